"""Many networks at once: `zenlib score -`, `zenlib rank` and `score_many`; and proxies on given images."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tests.library.cli.test_cli import TINY, run
from tests.library.cli.test_cli_networks import read
from zenlib import PROXIES, Architecture, closed_form_zen_score, score_many, zen_score
from zenlib.vanilla.convert import to_vcnn

LINES = f"{TINY}\n# a remark\n\nwild.py:tall\n wild.py:flat \nleaves.py:Net\nnonesuch\nsqueezenet1_1\n"


def lines(capsys, monkeypatch, text, *arguments):
    """The rows that `zenlib score -` writes."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    code, out, err = run(capsys, "score", "-", *arguments)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_names_on_standard_input_are_answered_one_json_line_each_whatever_is_refused(
    capsys, monkeypatch, folder
):
    rows = lines(capsys, monkeypatch, LINES, "--repeats", 2, "--batch-size", 8, "--resolution", 64)
    tiny, tall, flat, leaves, unknown, squeeze = rows
    net = Architecture.from_string(TINY)
    assert tiny["score"] == closed_form_zen_score(net, 64) and tiny["by"] == "closed-form"
    vcnn = to_vcnn(net, 64)
    assert [tiny[name] for name in ("params", "convolutions", "weights", "flops")] == [
        net.params(),
        len(vcnn.convs),
        vcnn.weights,
        vcnn.flops,
    ]
    assert tall["by"] == squeeze["by"] == "zen" and tall["stderr"] > 0 and squeeze["convolutions"] == 26
    import torchvision

    expected = zen_score(torchvision.models.squeezenet1_1(), 64, repeats=2, batch_size=8, device="cpu")
    assert squeeze["score"] == pytest.approx(float(expected))
    assert flat["score"] is None and "runs at 32 x 32" in flat["reason"]
    assert leaves["reason"] == "SystemExit: 0" and "needed one of a ZenNet" in unknown["reason"]
    assert [row["network"] for row in rows][1:3] == ["wild.py:tall", "wild.py:flat"]


def test_processes_give_the_same_rows_and_one_that_dies_costs_its_network_alone(capsys, monkeypatch, folder):
    settings = ["--repeats", 1, "--batch-size", 2, "--resolution", 16]
    names = f"{TINY}\nwild.py:tall\nown.py:Net\n"
    alone = lines(capsys, monkeypatch, names, *settings)
    spread = lines(capsys, monkeypatch, names.replace("own", "wild.py:Dies\nown"), *settings, "--workers", 1)
    assert [spread[0], spread[1], spread[3]] == alone
    assert spread[2]["network"] == "wild.py:Dies" and spread[2]["reason"] == "its process died"


def test_networks_are_ranked_by_score_and_the_refused_are_told(capsys, folder):
    found = read(capsys, "rank", TINY, "timm:resnet1[04]t", "nonesuch", "--top", 2, "--resolution", 64)
    assert [row["network"] for row in found["ranked"]] == ["timm:resnet14t", "timm:resnet10t"]
    assert found["ranked"][0]["score"] > found["ranked"][1]["score"]
    assert [row["network"] for row in found["refused"]] == ["nonesuch"]
    code, out, err = run(capsys, "rank", TINY, "zennet-0.[51]M", "nonesuch", "--proxy", "params")
    assert code == 0 and "best 2 of 3 networks" in out and "nonesuch: network: needed one of" in err


def test_a_ranking_of_networks_that_all_are_refused_is_no_success(capsys):
    code, _, err = run(capsys, "rank", "nonesuch", "timm:nothing*")
    assert code == 1 and "needed at least one that can be scored, got 2 that cannot" in err
    assert "nonesuch: network: needed one of" in err


def test_an_empty_standard_input_and_an_unknown_proxy_are_refused(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n# nothing\n"))
    code, out, err = run(capsys, "score", "-")
    assert code == 1 and out == "" and "needed names or structures on standard input" in err
    code, _, err = run(capsys, "rank", TINY, "--proxy", "beauty")
    assert code == 1 and "proxy: needed one of" in err


def test_modules_and_proxies_are_scored_from_python():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    (row,) = score_many([net], 32, progress=False)
    assert row["network"] == "Sequential" and row["score"] == closed_form_zen_score(to_vcnn(net, 32))
    (row,) = score_many([TINY], 16, proxies=["params", "flops", "naswot"], progress=False)
    assert row["by"] == "params" and row["score"] == Architecture.from_string(TINY).params(10)
    assert row["flops"] == Architecture.from_string(TINY).flops(16, 10) and row["naswot"] > 0


def test_a_proxy_sees_the_images_of_a_file_and_a_file_that_is_none_is_one_message(capsys, tmp_path):
    images = np.random.default_rng(0).normal(size=(4, 3, 16, 16))
    np.save(tmp_path / "images.npy", images)
    asked = ["score", TINY, "--proxy", "naswot", "--json", "--batch"]
    code, out, err = run(capsys, *asked, tmp_path / "images.npy")
    assert code == 0, err
    net, batch = Architecture.from_string(TINY), torch.from_numpy(images).float()
    told = json.loads(out)
    assert told["scores"]["naswot"]["value"] == PROXIES["naswot"](net, device="cpu", batch=(batch, None))
    assert (told["batch_size"], told["resolution"]) == (4, 16)
    wrong = {
        "flat": (images[0], "flat.npy: an array of 3 axes"),
        "wide": (
            images[..., 1:],
            "batch: needed images (N, C, side, side) and labels (N,), got (4, 3, 16, 15)",
        ),
        "bytes": (images.astype(np.uint8), "batch: needed images as finite floating-point numbers"),
        "objects": (np.array([None]), "batch: needed a .npy file of images"),
    }
    for name, (array, message) in wrong.items():
        np.save(tmp_path / f"{name}.npy", array)
        assert message in run(capsys, *asked, tmp_path / f"{name}.npy")[2]
    assert "batch: needed a .npy file of images" in run(capsys, *asked, tmp_path / "none.npy")[2]
    assert (
        "needed 16, the side of the images"
        in run(capsys, *asked, tmp_path / "images.npy", "--resolution", 32)[2]
    )
    assert "batch: needed --proxy" in run(capsys, "score", TINY, "--batch", tmp_path / "images.npy")[2]
