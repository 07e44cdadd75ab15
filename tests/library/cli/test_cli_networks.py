"""The network argument of commands, answers for machines, help, completion, and errors as users meet them."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
import torch
import typer.main

from tests.library.cli.test_cli import SEARCH, TINY, run
from zenlib import build_network, closed_form_zen_score
from zenlib.cli import app as cli
from zenlib.cli.app import COMMANDS
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import zennet_architecture


def read(capsys, *arguments):
    """The answer of a command that succeeds, as data."""
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


QUICK = ["--resolution", 16, "--repeats", 2, "--batch-size", 8]


@pytest.mark.parametrize(
    "network",
    [
        "own.py:Net",
        "own.py:net",
        "own:Net",
        "timm:resnet18d",
        "squeezenet1_1",
        "best.txt",
        TINY,
        "zennet-0.1ms",
    ],
)
def test_a_network_may_be_named_in_many_ways(capsys, folder, network):
    found = read(capsys, "score", network, "--resolution", 32, *QUICK[2:])
    assert found["network"] == network and found["resolution"] == 32
    zen = found["scores"]["zen"]
    assert zen["n"] == 2 and zen["stderr"] < 1 < zen["value"]


def test_the_folder_of_a_search_stands_for_its_best_network_at_its_resolution(capsys, folder):
    run(capsys, *SEARCH[:8], 20, "--resolution", 16, "--out", "found")
    best = Architecture.from_string((folder / "found" / "best.txt").read_text())
    for network in ("found", "found/history.parquet", "found/best.txt"):
        found = read(capsys, "score", network, *QUICK[2:])
        assert found["resolution"] == 16
        assert found["scores"]["closed-form"]["value"] == pytest.approx(closed_form_zen_score(best, 16))


def test_other_scores_are_told_by_name_and_an_undefined_one_with_its_reason(capsys, folder):
    settings = ("--resolution", 16, "--batch-size", 2)
    found = read(capsys, "score", TINY, "--proxy", "params", "--proxy", "naswot", *settings)["scores"]
    assert (
        found["params"]["value"] == Architecture.from_string(TINY).params(10) and found["naswot"]["value"] > 0
    )
    names = [entry["name"] for entry in read(capsys, "proxies")["proxies"]]
    assert {"zen", "closed-form", "synflow"} <= set(names)
    deep = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,8,1,8,700)"
    assert "none: " in run(capsys, "score", "squeezenet1_1", "--proxy", "closed-form", "--resolution", 32)[1]
    undefined = read(capsys, "score", "squeezenet1_1", "--proxy", "closed-form", "--resolution", 32)[
        "scores"
    ]["closed-form"]
    assert undefined["value"] is None and "needed a chain" in undefined["reason"]
    assert read(capsys, "score", deep, "--proxy", "layers", *settings)["scores"]["layers"]["value"] > 1400


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("resnet5O", "did you mean resnet50"),
        ("ZENNET-1.0m", "did you mean zennet-1.0M"),
        ("timm:resnet18z", "did you mean resnet18"),
        ("own.py", "such as own.py:Net; got own.py; it has Net, Wide, Broken, number"),
        ("own.py:Nte", "got 'Nte', which it does not have; it has Net, Wide"),
        (
            "own.py:Wide",
            "Wide of own.py needs width; add a function to the file, such as def make(): return "
            "Wide(width=...)",
        ),
        (
            "own.py:Broken",
            "own.py:Broken raised RuntimeError: the weights are in the other office; `zenlib --debug",
        ),
        ("own.py:number", "torch.nn.Module or a zenlib.Architecture, got int"),
        ("bare.py", "it has no class of a network and no function"),
        ("lost.py:Net", "needs the module 'nowhere_to_be_found', which is not installed here"),
        ("nowhere.py:Net", "found none at nowhere.py"),
        ("nowhere:Net", "there is no module 'nowhere' here; a file ends in .py"),
        ("empty.txt", "got the empty file empty.txt"),
        ("wrong.txt", "wrong.txt: structure string, character 78: needed ')' after layers"),
        ("weights.pth", "got weights.pth: .pth holds weights, which name no network"),
        ("nowhere.onnx", "got nowhere.onnx: .onnx holds an exported graph"),
        ("own.ipynb:Net", "put the class or function into a file of Python and name it, such as my.py:Net"),
        ("config.yaml", "add a function that builds the network from them to a file of Python"),
        ("script.py:Net", "script.py ended itself (SystemExit: 2) while it was imported or called; put what"),
        ("leaves.py:make", "leaves.py:make ended itself (SystemExit: None) while it was imported or called"),
        ("leaves.py:Net", "network: its code ended itself (SystemExit: 0); needed one that returns"),
        ("timm:nonesuch*", "needed a name that timm knows, got 'nonesuch*'"),
        ("binary.txt", "needed a text file with a structure string, got the binary file binary.txt"),
        (".", "needed the folder of a search, with history.parquet in it"),
        ("", "network: needed one of a ZenNet"),
    ],
)
def test_what_names_no_network_is_one_helpful_message(capsys, folder, network, told):
    code, out, err = run(capsys, "score", network, *QUICK)
    assert code == 1 and out == ""
    assert told in " ".join(err.split()) and "Traceback" not in err


def test_a_transformer_is_refused_with_the_reason(capsys):
    code, _, err = run(capsys, "score", "timm:vit_tiny_patch16_224")
    assert code == 1 and "VisionTransformer: " in err and "Traceback" not in err


def test_a_chain_without_a_closed_form_keeps_its_monte_carlo_score(capsys, folder):
    scores = read(capsys, "score", "wild.py:tall", *QUICK)["scores"]
    assert scores["zen"]["value"] > 1 and scores["closed-form"]["value"] is None
    assert "needed square convolutions" in scores["closed-form"]["reason"]
    code, out, _ = run(capsys, "score", "timm:tf_efficientnet_b0", "--resolution", 32, *QUICK[2:])
    assert code == 0 and "repeats)" in out and "none: " in out


def test_what_has_no_score_at_all_is_refused_and_of_several_proxies_the_others_are_told(capsys, folder):
    deep = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,8,1,8,2)"
    code, out, err = run(capsys, "score", deep, "--resolution", 8, "--batch-size", 0)
    assert code == 1 and out == "" and "batch_size: needed a whole number of at least 1, got 0" in err
    code, out, err = run(capsys, "score", deep, "--resolution", 8, "--proxy", "params", "--batch-size", 0)
    assert code == 1 and "batch_size: needed" in err
    found = read(capsys, "score", "wild.py:tall", "--proxy", "closed-form", "--proxy", "params", *QUICK)[
        "scores"
    ]
    assert found["closed-form"]["value"] is None and found["params"]["value"] == 944


@pytest.mark.parametrize(("network", "works"), [("flat", 32), ("digits", 28), ("odd", 100)])
@pytest.mark.parametrize("command", ["score", "convert", "latency", "export"])
def test_a_network_for_other_images_is_told_which_side_failed_and_which_works(
    capsys, folder, command, network, works
):
    rest = {"export": ["--out", "net.onnx"], "latency": ["--device", "cpu"]}.get(command, [])
    code, out, err = run(capsys, command, f"wild.py:{network}", *rest)
    assert code == 1 and out == ""
    assert f"Sequential fails at 224 x 224 (the default), but runs at {works} x {works}" in err
    assert f"give --resolution {works}" in err and "Traceback" not in err
    assert run(capsys, "convert", f"wild.py:{network}", "--resolution", works)[0] == 0


@pytest.mark.parametrize("side", ["0", "-5"])
@pytest.mark.parametrize("command", ["score", "convert", "latency", "export", "evaluate"])
def test_no_side_of_an_image_is_zero_or_less(capsys, folder, command, side):
    rest = {"export": ["--out", "net.onnx"], "evaluate": ["--data", "digits", "--checkpoint", "w.pth"]}
    if command == "evaluate":
        torch.save(build_network(Architecture.from_string(TINY), 10).state_dict(), "w.pth")
    code, out, err = run(capsys, command, TINY, "--resolution", side, *rest.get(command, []))
    assert code == 1 and out == "" and f"resolution: needed a whole number of at least 1, got {side}" in err


def test_what_a_network_prints_goes_to_standard_error(folder):
    command = [sys.executable, "-m", "zenlib.cli", "score", "wild.py:Loud", "--json", *map(str, QUICK)]
    for arguments, given in ((command, None), ([*command[:4], "-", *map(str, QUICK)], "wild.py:Loud\n")):
        done = subprocess.run(arguments, input=given, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["network"] == "wild.py:Loud"
        assert all(told in done.stderr for told in ("loading 1", "shape torch.Size", "from a shell"))


def test_the_channels_of_the_images_may_be_said(capsys, folder):
    for command in ("score", "convert"):
        code, _, err = run(capsys, command, "wild.py:digits", "--resolution", 28, "--in-channels", 3)
        assert code == 1 and "Invalid channel dimensions" in err
        assert run(capsys, command, "wild.py:digits", "--resolution", 28, "--in-channels", 1)[0] == 0
    assert (
        "in_channels: needed the Zen-Score"
        in run(capsys, "score", TINY, "--proxy", "params", "--in-channels", 3)[2]
    )


def test_a_script_that_asks_for_arguments_asks_in_its_own_name(capsys, folder):
    err = run(capsys, "score", "script.py:Net")[2]
    assert "usage: script.py" in err and "usage: zenlib" not in err


def test_convert_export_and_latency_take_networks_of_ones_own(capsys, folder):
    converted = read(capsys, "convert", "own.py:Net", "--resolution", 16)
    assert [step["operation"] for step in converted["steps"]] == ["conv", "conv"] and converted["is_chain"]
    assert converted["weights"] == 8 * 3 * 9 + 16 * 8 * 9
    exported = read(capsys, "export", "own.py:Net", "--resolution", 16, "--out", "net.onnx")
    assert exported["bytes"] == (folder / "net.onnx").stat().st_size and exported["largest_difference"] < 1e-3
    timed = read(capsys, "latency", "own.py:Net", "--resolution", 16, "--device", "cpu")
    assert timed["measured"]["milliseconds"] > 0 and "predicted_milliseconds" not in timed


def test_a_search_and_a_correlation_answer_as_json(capsys, folder):
    found = read(capsys, *SEARCH[:8], 20, "--out", "found")
    assert found["best"] == (folder / "found" / "best.txt").read_text().strip()
    assert found["scored"] == 20 and found["params"] <= 1e6 and found["latency_ms"] is None
    (folder / "mine.csv").write_text(
        "zen,top1\n" + "\n".join(f"{value},{value * value % 7}" for value in range(12))
    )
    (line,) = read(
        capsys, "correlate", "mine.csv", "--score", "zen", "--accuracy", "top1", "--resamples", 100
    )["correlations"]
    assert line["n"] == 12 and line["kendall_interval"][0] <= line["kendall"] <= line["kendall_interval"][1]


@pytest.mark.parametrize("arguments", [[], ["zennet-1.0M", "--arch", "zennet-1.0M"]])
def test_a_network_is_named_once(capsys, tmp_path, arguments):
    code, _, err = run(capsys, "export", *arguments, "--out", tmp_path / "net.onnx")
    assert code == 2 and "needed a network, as NETWORK or as --arch" in " ".join(
        err.replace("│", " ").split()
    )


EXAMPLES = [example for examples in COMMANDS.values() for example in examples]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_help_is_a_command_that_exists(example):
    words = shlex.split(example.partition("-m zenlib.cli ")[2] or example.removeprefix("zenlib "))
    words = words[: words.index("<")] if "<" in words else words
    group = typer.main.get_command(cli.app)
    name, command, rest = group.resolve_command(
        group.make_context("zenlib", words.copy(), resilient_parsing=True), words
    )
    assert command is not None and command.name == name
    if "--device cuda" not in example:  # a machine without one refuses it, rightly
        command.make_context(name, list(rest))


def test_the_help_of_every_command_shows_its_examples(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for command, examples in COMMANDS.items():
        code, out, _ = run(capsys, command.__name__, "--help")
        assert code == 0 and all(example in " ".join(out.split()) for example in examples)
    assert "Exit codes: 0 done, 1 refused" in run(capsys, "--help")[1]


def complete(words, shell="bash"):
    """What the shell would offer after these words."""
    environment = os.environ | {
        "_ZENLIB_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    environment |= {"_TYPER_COMPLETE_ARGS": words}
    done = subprocess.run(
        [sys.executable, "-c", "from zenlib.cli import main; main([])"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


def test_the_shell_completes_commands_networks_and_names(folder):
    assert complete("zenlib sco") == ["score"]
    assert complete("zenlib score zennet-0.1") == ["zennet-0.1ms"]
    assert complete("zenlib score bes") == ["best.txt"]
    assert complete("zenlib search --space mob") == ["mobilenet-like"]
    script = subprocess.run(
        [sys.executable, "-c", "from zenlib.cli import main; main(['--show-completion', 'bash'])"],
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "_ZENLIB_COMPLETE=complete_bash" in script and "zenlib" in script


def test_debug_shows_the_traceback_wherever_it_stands(capsys):
    for arguments in (["--debug", "convert", "resnet5O"], ["convert", "resnet5O", "--debug"]):
        with pytest.raises(ValueError, match="did you mean resnet50"):
            cli.main(arguments)


def test_what_was_not_foreseen_is_named_without_a_traceback(capsys, monkeypatch):
    monkeypatch.setattr("zenlib.vanilla.convert.to_vcnn", lambda *_: {}["missing"])
    code, _, err = run(capsys, "convert", "zennet-1.0M")
    assert (
        code == 70
        and "KeyError: 'missing'" in err
        and "`zenlib --debug convert zennet-1.0M` shows where" in err
        and "Traceback" not in err
    )


def test_an_interrupted_search_leaves_no_partial_file_and_goes_on(capsys, tmp_path):
    arguments = [
        "search",
        "--space",
        "resnet-like",
        "--evaluations",
        "1000000",
        "--params",
        "1e6",
        "--out",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "zenlib.cli", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    journal = tmp_path / "search.journal"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted; the same command goes on from the last checkpoint" in err and "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["search.journal"]
    code, _, err = run(capsys, "score", tmp_path, *QUICK[2:], "--resolution", 32)
    assert code == 0, err


def test_published_resolutions_are_used_where_none_is_given(capsys):
    assert read(capsys, "convert", "zennet-1.0M")["resolution"] == 32
    assert read(capsys, "convert", "timm:resnet18d")["resolution"] == 224
    assert read(capsys, "convert", zennet_architecture("zennet-1.0M").to_string())["resolution"] == 224


def test_networks_of_signals_and_cubes_are_scored_and_told_a_length_that_runs(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def signal():\n"
        "    return nn.Sequential(nn.Conv1d(2, 8, 9), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())\n"
        "def long():\n"
        "    return nn.Sequential(nn.Conv1d(2, 8, 800), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())\n"
        "def cube():\n"
        "    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())\n"
    )
    options = ["--repeats", "1", "--batch-size", "2"]
    found = read(capsys, "score", f"{tmp_path / 'mine.py'}:signal", *options)["scores"]
    assert math.isfinite(found["zen"]["value"]) and "got 1-d ones" in found["closed-form"]["reason"]
    code, out, err = run(capsys, "convert", f"{tmp_path / 'mine.py'}:cube")
    assert code == 0 and "64 x 64 x 64" in out, err
    code, _, err = run(capsys, "score", f"{tmp_path / 'mine.py'}:long", *options)
    assert code == 1 and "fails at 224 (the default), but runs at 1000; give --resolution 1000" in err
