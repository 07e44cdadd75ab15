"""`zenlib train`, `evaluate` and `export`, from the command line to the file."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from torch.torch_version import TorchVersion

from tests.library.cli.test_cli import run
from tests.released_layout import Released, randomised
from zenlib import Architecture, build_network, zennet
from zenlib.networks.onnx import export_onnx

SMALL = (
    "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,16,1)"
    "SuperResK3K3(16,24,2,24,1)SuperConvK1BNRELU(24,32,1,1)"
)
TRAIN = [
    "train",
    "--arch",
    SMALL,
    "--data",
    "digits",
    "--device",
    "cpu",
    "--set",
    "epochs=3",
    "--set",
    "warmup_epochs=1",
    "--set",
    "learning_rate=0.4",
]


def test_a_module_of_ones_own_is_trained_and_evaluated(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),\n"
        "                         nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))\n"
    )
    name, out = f"{tmp_path / 'mine.py'}:make", tmp_path / "out"
    options = [*TRAIN[TRAIN.index("--data") :], "--set", "init_gain=1.4", "--out", out]
    code, _, err = run(capsys, "train", name, *options)
    assert code == 0, err
    top1 = float((out / "log.csv").read_text().splitlines()[-1].split(",")[4])
    assert top1 > 40
    assert run(capsys, "train", name, *options)[0] == 0  # a training that is done
    code, shown, err = run(
        capsys, "evaluate", name, "--checkpoint", out / "last.pth", "--data", "digits", "--device", "cpu"
    )
    assert code == 0, err
    assert f"{top1:.3f}" in shown
    code, _, err = run(capsys, "train", "--arch", SMALL, *options)
    assert code == 1 and "architecture" in err


def test_a_network_is_trained_evaluated_and_exported(capsys, tmp_path):
    code, _, err = run(capsys, *TRAIN, "--set", "init_gain=1.4", "--set", "averaging=0.5", "--out", tmp_path)
    assert code == 0, err
    assert "epoch 3/3: loss" in err and "top-1" in err
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert len(log) == 4
    top1 = float(log[-1].split(",")[4])
    assert top1 > 60

    common = ["--arch", SMALL, "--checkpoint", tmp_path / "last.pth"]
    code, out, err = run(capsys, "evaluate", *common, "--data", "digits", "--device", "cpu")
    assert code == 0, err
    assert f"{top1:.3f}" in out and "359" in out and "16 x 16" in out  # as it was trained
    assert f"{top1:.3f}" not in run(capsys, "evaluate", *common, "--data", "digits", "--resolution", 8)[1]
    strided = SMALL.replace("(3,8,1,1)", "(3,8,2,1)")  # whose weights have the same shapes
    wrong = ["evaluate", strided, *common[2:], "--data", "digits"]
    assert f"got those of {SMALL}, which" in run(capsys, *wrong)[2]

    code, out, err = run(capsys, "export", *common, "--out", tmp_path / "net.onnx")
    assert code == 0, err
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    assert session.run(None, {"images": np.zeros((5, 3, 16, 16), np.float32)})[0].shape == (5, 10)


def test_gated_networks_of_the_released_layout_run_in_onnxruntime_to_its_logits(capsys, tmp_path):
    blocks = "SuperResK1K5K1(8,16,2,8,1)SuperResIDWE2K3(16,24,2,16,1)"
    structure = f"SuperConvK3BNRELU(3,8,2,1){blocks}SuperConvK1BNRELU(24,32,1,1)"
    reference = randomised(Released(structure, 10, True))
    torch.save({"state_dict": reference.state_dict()}, tmp_path / "published.pth")
    command = [
        "export",
        "--arch",
        structure,
        "--gates",
        "--resolution",
        32,
        "--checkpoint",
        tmp_path / "published.pth",
    ]
    code, _, err = run(capsys, *command, "--out", tmp_path / "net.onnx")
    assert code == 0, err
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        torch.testing.assert_close(
            torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0]),
            reference(images),
            rtol=1e-3,
            atol=1e-4,
        )


def test_a_file_that_gives_other_logits_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("zenlib.networks.onnx._difference", lambda network, path, images: 0.5)
    with pytest.raises(ValueError, match="needed the logits of the module, got others by"):
        export_onnx(build_network(Architecture.from_string(SMALL), 3), tmp_path / "net.onnx", 16)
    assert list(tmp_path.iterdir()) == []


def test_an_exporter_that_fails_on_batchnorm_is_named_before_it_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.6.0+cu124"))
    with pytest.raises(ValueError, match=r"torch: needed 2\.7 or newer to export a network, got 2\.6\.0"):
        export_onnx(build_network(Architecture.from_string(SMALL), 3), tmp_path / "net.onnx", 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--arch", SMALL, "--data", "mnist"], "data: needed one of cifar10"),
        (["train", "--arch", SMALL, "--data", "digits", "--recipe", "mnist"], "recipe: needed one of cifar"),
        (["train", "--arch", "zennet-9", "--data", "digits"], "network: needed one of\n  a ZenNet"),
        (
            ["train", "resnet18", "--data", "digits"],
            "network: needed 10 classes, as the data set has, got 1000",
        ),
        (["train", "resnet18", "--data", "digits", "--gates"], "gates: needed a network built of blocks"),
        (["train", "--arch", SMALL, "--data", "mnist", "--recipe", "digits"], "data: needed one of cifar10"),
        (
            ["search", "--space", "resnet-like", "--initial", "resnet18", "--params", "1e6"],
            "needed one built of blocks, since a search changes blocks",
        ),
        (["train", "--arch", SMALL, "--data", "digits", "--set", "epoch=3"], "needed name=value"),
        (
            ["train", "--arch", SMALL, "--data", "cifar10", "--root", "nowhere"],
            "cifar-10-batches-py in nowhere",
        ),
        (["train", "--arch", SMALL, "--data", "imagenet", "--recipe", "imagenet-plain"], "1,000 folders"),
        (
            ["evaluate", "--arch", "zennet-1.2ms", "--checkpoint", "nowhere.pth", "--data", "imagenet"],
            "nowhere.pth, which does not exist",
        ),
        (
            ["export", "--arch", "zennet-1.2ms", "--checkpoint", "nowhere.pth"],
            "nowhere.pth, which does not exist",
        ),
    ],
)
def test_what_cannot_be_done_is_one_message(arguments, message, capsys, tmp_path):
    out = [] if arguments[0] == "evaluate" else ["--out", tmp_path / "out"]
    code, _, err = run(capsys, *arguments, *out)
    assert code == 1
    assert message in err and "Traceback" not in err


def test_weights_for_other_classes_are_refused_by_the_evaluation(capsys, tmp_path):
    torch.save(zennet("zennet-0.5M", 7).state_dict(), tmp_path / "seven.pth")
    code, _, err = run(
        capsys,
        "evaluate",
        "--arch",
        "zennet-0.5M",
        "--checkpoint",
        tmp_path / "seven.pth",
        "--data",
        "digits",
        "--device",
        "cpu",
    )
    assert code == 1 and "needed 10 classes, as the data set has, got 7" in err


def test_a_structure_is_read_from_the_file_of_a_search(capsys, tmp_path):
    (tmp_path / "best.txt").write_text(SMALL + "\n")
    code, out, err = run(
        capsys,
        "export",
        "--arch",
        tmp_path / "best.txt",
        "--num-classes",
        4,
        "--resolution",
        16,
        "--out",
        tmp_path / "n.onnx",
    )
    assert code == 0, err
    assert "logits differ by at most" in out


def test_the_command_line_starts_without_the_extras_and_names_the_one_that_is_missing(tmp_path):
    """Modules of the extras are hidden from a fresh process."""
    hide = (
        "import sys; [sys.modules.__setitem__(name, None) for name in ('timm', 'torchvision', 'onnxruntime', "
        "'onnxscript', 'sklearn')]"
    )
    command = f"{hide}; from zenlib.cli import main; main(sys.argv[1:])"

    def start(*arguments):
        return subprocess.run(
            [sys.executable, "-c", command, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=os.environ,
            check=False,
        )

    assert start("--help").returncode == 0
    failed = start(*TRAIN, "--out", tmp_path)
    assert (
        failed.returncode == 1
        and "pip install 'zenlib[train]'" in failed.stderr
        and "Traceback" not in failed.stderr
    )
