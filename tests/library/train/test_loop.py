"""The training loop: that it learns, goes on after a kill, agrees between devices, stops where it must."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.library.train.small import (
    ALL_DIGITS,
    NETWORK,
    RECIPE,
    curve,
    few_digits,
    lost_process,
    work,
    work_until_killed,
)
from zenlib.errors import CheckpointError, TrainingDiverged
from zenlib.networks.module import build_network
from zenlib.networks.weights import load_weights, read_checkpoint
from zenlib.train import RECIPES, evaluate, train
from zenlib.train.checkpoint import read
from zenlib.train.datasets import DATASETS
from zenlib.train.loop import Training

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", autouse=True)
def as_in_the_processes_that_tests_start():
    """One thread, so that sums are equal to the last bit, and few images."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        few_digits(patch)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The log and the folder of the small training, without interruption."""
    out = tmp_path_factory.mktemp("whole")
    return train(NETWORK, "digits", RECIPE, out, device="cpu", progress=False), out


# Copies of a process that has loaded everything and computed nothing: a thread of torch would stand in them.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.library.train.small"])


def exit_codes(*processes):
    """Of processes that run beside one another."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    return [process.exitcode for process in processes]


def test_digits_are_learned(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "digits", ALL_DIGITS)
    recipe = dataclasses.replace(RECIPES["digits"], epochs=5, learning_rate=0.4, init_gain=1.4)
    log = train(NETWORK, "digits", recipe, tmp_path, device="cpu", progress=False)
    assert log[-1]["test_top1"] > 93
    assert log[-1]["loss"] < log[0]["loss"] / 2


def test_the_log_on_disk_is_what_was_returned_and_the_rate_ends_near_zero(trained):
    log, out = trained
    assert pd.read_csv(out / "log.csv")["test_top1"].tolist() == [row["test_top1"] for row in log]
    assert [row["epoch"] for row in log] == [1, 2, 3]
    assert log[-1]["learning_rate"] < 0.05 * log[0]["learning_rate"]


def test_the_checkpoint_holds_the_network_that_was_tested(trained):
    """Averaged weights, since the recipe averages.

    The evaluation reads them from the file and finds the accuracy of the log.
    """
    log, out = trained
    network = build_network(NETWORK, 10)
    load_weights(network, NETWORK, read_checkpoint(out / "last.pth")[0])
    found = evaluate(network, "digits", resolution=RECIPE.resolution, device="cpu", progress=False)
    assert found.top1 == pytest.approx(log[-1]["test_top1"])
    assert found.loss == pytest.approx(log[-1]["test_loss"], rel=1e-4)
    load_weights(network, NETWORK, read_checkpoint(out / "last.pth", averaged=False)[0])
    assert evaluate(
        network, "digits", resolution=RECIPE.resolution, device="cpu", progress=False
    ).loss != pytest.approx(log[-1]["test_loss"], rel=1e-4)


def test_a_training_in_pieces_is_the_training_in_one(trained, tmp_path):
    assert train(NETWORK, "digits", RECIPE, tmp_path, until=0, device="cpu", progress=False) == []
    for until in (1, None):
        log = train(NETWORK, "digits", RECIPE, tmp_path, until=until, device="cpu", progress=False)
    assert curve(log) == curve(trained[0])
    whole, pieces = read(trained[1] / "last.pth"), read(tmp_path / "last.pth")
    assert all(
        torch.equal(whole["state_dict"][name], tensor) for name, tensor in pieces["state_dict"].items()
    )


def test_a_finished_training_is_not_trained_again(trained):
    log, out = trained
    before = (out / "last.pth").stat().st_mtime_ns
    assert train(NETWORK, "digits", RECIPE, out, device="cpu", progress=False) == log
    assert (out / "last.pth").stat().st_mtime_ns == before


def test_a_killed_training_goes_on_to_the_same_curve(trained, tmp_path, tried):
    """Killed without warning in the middle of an epoch, and compared with one that was left alone."""
    tried("training killed by SIGKILL")
    killed = PROCESSES.Process(target=work_until_killed, args=(tmp_path, 9))  # an epoch has 6 steps
    assert exit_codes(killed) == [-signal.SIGKILL]
    assert len(read(tmp_path / "last.pth")["log"]) == 1
    assert curve(train(NETWORK, "digits", RECIPE, tmp_path, device="cpu", progress=False)) == curve(
        trained[0]
    )


def test_a_second_training_in_the_folder_is_told_who_is_there(tmp_path, monkeypatch, tried):
    tried("second search, training or runner begun in one folder")

    def looks(self, *arguments):
        with pytest.raises(
            CheckpointError, match=f"no other training is at work, got one that process {os.getpid()} on"
        ):
            train(NETWORK, "digits", RECIPE, tmp_path, seed=1, device="cpu", progress=False)
        return step(self, *arguments)

    step = Training._step
    monkeypatch.setattr(Training, "_step", looks)
    train(NETWORK, "digits", RECIPE, tmp_path, until=1, device="cpu", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pth", "log.csv"]


def test_a_rank_that_is_killed_ends_the_others_and_all_go_on_to_the_same_curve(tmp_path, tried):
    tried("one of two training processes killed")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    first, second = (shared | {"RANK": rank, "LOCAL_RANK": rank} for rank in "01")
    surviving = PROCESSES.Process(target=lost_process, args=(tmp_path / "killed", first))
    dying = PROCESSES.Process(target=work_until_killed, args=(tmp_path / "killed", 9, second))
    assert exit_codes(surviving, dying) == [0, -signal.SIGKILL]
    assert len(read(tmp_path / "killed" / "last.pth")["log"]) == 1
    two_processes(tmp_path / "killed")
    two_processes(tmp_path / "whole")
    logs = (read(tmp_path / name / "last.pth")["log"] for name in ("killed", "whole"))
    assert curve(next(logs)) == curve(next(logs))


@pytest.mark.parametrize("field", ["settings", "log", "optimiser", "scaler", "state_dict", "averaged"])
def test_a_checkpoint_that_lacks_something_is_refused(trained, tmp_path, field, tried):
    tried("field missing in the checkpoint of a training")
    state = torch.load(trained[1] / "last.pth", weights_only=True)
    del state[field]
    torch.save(state, tmp_path / "last.pth")
    with pytest.raises(CheckpointError, match=f"last.pth: needed the checkpoint of .*{field}"):
        train(NETWORK, "digits", RECIPE, tmp_path, device="cpu", progress=False)


def test_a_flipped_bit_in_a_checkpoint_is_refused_or_harmless(trained, tmp_path, tried):
    tried("bit flipped in the checkpoint of a training", 150)
    content = (trained[1] / "last.pth").read_bytes()
    rng, refused = random.Random(0), 0
    for _ in range(150):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (tmp_path / "last.pth").write_bytes(flipped)
        try:
            assert same(read(tmp_path / "last.pth"), read(trained[1] / "last.pth"))
        except CheckpointError:
            refused += 1
    assert refused > 75


def same(one, other):
    """Whether two states are equal to the bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_log_that_was_damaged_is_written_again(trained, tmp_path):
    shutil.copy(trained[1] / "last.pth", tmp_path)
    (tmp_path / "log.csv").write_text("epoch\n9\n")
    train(NETWORK, "digits", RECIPE, tmp_path, device="cpu", progress=False)
    assert (tmp_path / "log.csv").read_bytes() == (trained[1] / "log.csv").read_bytes()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def two_processes(out):
    """With the variables that torchrun sets."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    ranks = [shared | {"RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    assert exit_codes(*(PROCESSES.Process(target=work, args=(out, 1, 2, rank)) for rank in ranks)) == [0, 0]


def torchrun(out):
    launcher = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        f"--master-port={free_port()}",
        "--master-addr=127.0.0.1",
    ]
    command = [sys.executable, *launcher, "-m", "tests.library.train.small", str(out), "1", "2"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("start", [two_processes, pytest.param(torchrun, marks=pytest.mark.slow)])
def test_two_processes_train_as_one_process_in_two_passes(start, tmp_path):
    """BatchNorm normalises 32 images at a time in both: the gradients are the same sums in another order."""
    start(tmp_path / "two")
    train(NETWORK, "digits", RECIPE, tmp_path / "one", accumulate=2, until=2, device="cpu", progress=False)
    two, one = read(tmp_path / "two" / "last.pth"), read(tmp_path / "one" / "last.pth")
    for name, tensor in one["state_dict"].items():
        if "running" not in name and "num_batches" not in name:  # weights, not statistics: see below
            torch.testing.assert_close(two["state_dict"][name], tensor, rtol=2e-3, atol=2e-4)
    for mine, other in zip(one["log"], two["log"], strict=True):
        assert other["loss"] == pytest.approx(mine["loss"], rel=1e-4)
        # The test loss differs: two processes update running statistics once a step and average them, one
        # process twice.


def test_the_order_does_not_depend_on_loading_processes(tmp_path):
    short = dataclasses.replace(RECIPE, epochs=2)
    logs = [
        train(
            NETWORK,
            "digits",
            short,
            tmp_path / str(workers),
            workers=workers,
            until=1,
            device="cpu",
            progress=False,
        )
        for workers in (0, 2)
    ]
    assert curve(logs[0]) == curve(logs[1])


def test_another_seed_is_another_training(trained, tmp_path):
    log = train(NETWORK, "digits", RECIPE, tmp_path, seed=1, until=1, device="cpu", progress=False)
    assert log[0]["loss"] != trained[0][0]["loss"]


def test_a_loss_that_is_not_finite_names_the_last_good_checkpoint(tmp_path, monkeypatch):
    train(NETWORK, "digits", RECIPE, tmp_path, until=2, device="cpu", progress=False)
    before = (tmp_path / "last.pth").read_bytes()
    monkeypatch.setattr("zenlib.train.loop.learning_rate", lambda recipe, step, steps: float("inf"))
    with pytest.raises(
        TrainingDiverged, match=r"in epoch 3; the last good checkpoint is .*last\.pth, after epoch 2"
    ):
        train(NETWORK, "digits", RECIPE, tmp_path, device="cpu", progress=False)
    assert (tmp_path / "last.pth").read_bytes() == before


def test_a_training_that_diverges_at_once_says_that_there_is_no_checkpoint(tmp_path):
    wild = dataclasses.replace(RECIPE, learning_rate=1e30, zero_last_norm=False)
    with pytest.raises(TrainingDiverged, match="there is no checkpoint yet"):
        train(NETWORK, "digits", wild, tmp_path, device="cpu", progress=False)
    assert not (tmp_path / "last.pth").exists()


def test_a_training_of_other_settings_is_not_gone_on_with(trained):
    with pytest.raises(CheckpointError, match=r"learning_rate is 0\.4 there and 0\.1 here"):
        train(
            NETWORK,
            "digits",
            dataclasses.replace(RECIPE, learning_rate=0.1),
            trained[1],
            device="cpu",
            progress=False,
        )


def test_a_training_goes_on_only_with_as_many_accumulated_passes(trained):
    with pytest.raises(CheckpointError, match=r"accumulate is 1 there and 2 here"):
        train(NETWORK, "digits", RECIPE, trained[1], accumulate=2, device="cpu", progress=False)


def test_a_damaged_checkpoint_is_refused(trained, tmp_path):
    (tmp_path / "last.pth").write_bytes((trained[1] / "last.pth").read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match="truncated"):
        train(NETWORK, "digits", RECIPE, tmp_path, device="cpu", progress=False)


def test_weights_that_are_no_checkpoint_of_a_training_are_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "last.pth")
    with pytest.raises(CheckpointError, match="needed the checkpoint of a training"):
        train(NETWORK, "digits", RECIPE, tmp_path, device="cpu", progress=False)


def test_a_disk_that_is_full_leaves_the_last_checkpoint(trained, monkeypatch, tmp_path):
    from zenlib.train import checkpoint

    checkpoint.write(tmp_path / "last.pth", {"log": [1]})
    monkeypatch.setattr(
        os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(CheckpointError, match="No space left on device; what was there before is whole"):
        checkpoint.write(tmp_path / "last.pth", {"log": [1, 2]})
    assert checkpoint.read(tmp_path / "last.pth")["log"] == [1]


def test_bfloat16_trains_to_nearly_the_same_loss(trained, tmp_path):
    log = train(NETWORK, "digits", RECIPE, tmp_path, dtype="bfloat16", device="cpu", progress=False)
    assert log[-1]["loss"] == pytest.approx(trained[0][-1]["loss"], rel=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_gpu_trains_to_nearly_the_same_loss(dtype, trained, tmp_path):
    log = train(NETWORK, "digits", RECIPE, tmp_path, dtype=dtype, device="cuda", progress=False)
    assert log[-1]["loss"] == pytest.approx(trained[0][-1]["loss"], rel=0.1)


@pytest.mark.parametrize(
    ("dtype", "message"), [("float16", "needed float32 or bfloat16 on cpu"), ("float8", "needed one of")]
)
def test_a_type_that_cannot_train_is_refused(dtype, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(NETWORK, "digits", RECIPE, tmp_path, dtype=dtype, device="cpu", progress=False)


def test_parts_that_do_not_divide_a_step_are_refused(tmp_path):
    with pytest.raises(ValueError, match="needed a multiple of devices times accumulated passes"):
        train(NETWORK, "digits", RECIPE, tmp_path, accumulate=3, device="cpu", progress=False)
