"""Files of weights: the published layout in all its wrappings, and files damaged, foreign or hostile."""

from __future__ import annotations

import argparse
import hashlib
import io
import os

import numpy as np
import pytest
import torch

from tests.released_layout import Released, randomised
from zenlib import Architecture, build_network, zennet
from zenlib.errors import CheckpointError
from zenlib.networks.weights import load_weights, read_checkpoint, released_names
from zenlib.networks.zennets import ZENNETS, zennet_architecture

SMALL = (
    "SuperConvK3BNRELU(3,8,2,2)SuperResK3K3(8,8,1,16,2)SuperResK1K5K1(8,24,2,8,2)"
    "SuperResIDWE2K3(24,32,2,16,2)SuperConvK1BNRELU(32,40,1,1)"
)


@pytest.fixture(scope="module")
def published():
    """The released wiring of the smallest published network, random weights, 10 classes."""
    return randomised(Released(zennet_architecture("zennet-0.5M").to_string(), 10, False))


@pytest.fixture
def saved(published, tmp_path):
    def save(content):
        torch.save(content, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    return save


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def assert_same_outputs(network, reference):
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(IMAGES), reference.eval()(IMAGES), rtol=1e-5, atol=1e-5)


WRAPPINGS = {
    "bare": lambda state: state,
    "as the released code saves it": lambda state: {
        "state_dict": state,
        "epoch": 479,
        "top1_acc": 83.6,
        "top5_acc": 96.0,
    },
    "from several devices": lambda state: {"state_dict": prefixed(state, "module.")},
    "compiled, from several devices": lambda state: {"model": prefixed(state, "_orig_mod.module.")},
    "with the state of an optimiser": lambda state: {
        "state_dict": state,
        "optimizer": torch.optim.SGD([torch.zeros(3)], lr=0.1).state_dict(),
    },
    "with numpy accuracies": lambda state: {
        "state_dict": state,
        "top1_acc": np.float64(83.6),
        "top5_acc": np.float32(96),
    },
    "average, flat": lambda state: {
        "state_dict": prefixed_noise(state),
        "state_dict_ema": prefixed(state, "module."),
    },
    "average, nested": lambda state: {
        "state_dict": prefixed_noise(state),
        "ema": {"module": 1, "state_dict": state},
    },
}


def prefixed_noise(state):
    return {name: torch.ones_like(tensor) for name, tensor in state.items()}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_published_file_gives_the_outputs_of_the_released_wiring(wrapping, published, saved):
    path = saved(WRAPPINGS[wrapping](published.state_dict()))
    assert_same_outputs(zennet("zennet-0.5M", checkpoint=path), published)


def test_all_kinds_of_blocks_with_and_without_gates_give_the_same_outputs():
    for use_se in (False, True):
        reference = randomised(Released(SMALL, 7, use_se), seed=int(use_se))
        architecture = Architecture.from_string(SMALL, use_se=use_se)
        network = build_network(architecture, 7)
        load_weights(network, architecture, reference.state_dict())
        assert_same_outputs(network, reference)


@pytest.mark.parametrize("name", ZENNETS)
def test_the_names_and_shapes_of_all_published_networks_are_those_of_the_released_wiring(name):
    architecture = zennet_architecture(name)
    with torch.device("meta"):
        reference = Released(architecture.to_string(), 1000, architecture.use_se)
        network = build_network(architecture)
    names = released_names(architecture)
    ours = {names[own]: tensor.shape for own, tensor in network.state_dict().items()}
    assert ours == {theirs: tensor.shape for theirs, tensor in reference.state_dict().items()}


# Digests of the listings of names, shapes and types of two networks of the released code.
LISTINGS = {
    ("zennet-400M-SE", 1000): "accd5e433405364315769e189c12b1662b135f99d67f7804236c7253168d071c",
    ("zennet-1.0M", 10): "966614e3af1e2520764f55a1c836251e26d73c4e0e309c77e3dbcb1449e3fcf8",
}


@pytest.mark.parametrize(("name", "num_classes"), LISTINGS)
def test_the_names_are_those_of_the_released_code(name, num_classes):
    architecture = zennet_architecture(name)
    names = released_names(architecture)
    with torch.device("meta"):
        network = build_network(architecture, num_classes)
    lines = [
        f"{names[own]}\t{list(tensor.shape)}\t{str(tensor.dtype)[6:]}"
        for own, tensor in network.state_dict().items()
    ]
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == LISTINGS[name, num_classes]


def test_the_weights_or_their_average_can_be_asked_for(published, saved):
    other = randomised(Released(zennet_architecture("zennet-0.5M").to_string(), 10, False), seed=9)
    path = saved({"state_dict": published.state_dict(), "state_dict_ema": other.state_dict()})
    assert_same_outputs(zennet("zennet-0.5M", checkpoint=path, averaged=False), published)
    assert_same_outputs(zennet("zennet-0.5M", checkpoint=path, averaged=True), other)
    plain = saved({"state_dict": published.state_dict()})
    with pytest.raises(CheckpointError, match="needed a moving average"):
        read_checkpoint(plain, averaged=True)


def test_our_own_names_load_too(saved):
    network = randomised(build_network(zennet_architecture("zennet-0.5M"), 10))
    assert_same_outputs(
        zennet("zennet-0.5M", checkpoint=saved({"state_dict": network.state_dict()})), network
    )


def test_old_files_without_counts_of_batches_load(published, saved):
    state = {
        name: tensor
        for name, tensor in published.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert_same_outputs(zennet("zennet-0.5M", checkpoint=saved(state)), published)


def test_the_old_file_format_of_torch_loads(published, tmp_path):
    torch.save(
        {"state_dict": published.state_dict()}, tmp_path / "old.pth", _use_new_zipfile_serialization=False
    )
    assert_same_outputs(zennet("zennet-0.5M", checkpoint=tmp_path / "old.pth"), published)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused_with_its_size(share, zipped, published, tmp_path):
    whole = io.BytesIO()
    torch.save({"state_dict": published.state_dict()}, whole, _use_new_zipfile_serialization=zipped)
    content = whole.getvalue()[: int(share * len(whole.getvalue()))]
    (tmp_path / "cut.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{len(content):,} bytes that cannot be read"):
        zennet("zennet-0.5M", checkpoint=tmp_path / "cut.pth")


def test_one_wrong_bit_is_found(published, tmp_path):
    whole = io.BytesIO()
    torch.save({"state_dict": published.state_dict()}, whole)
    content = bytearray(whole.getvalue())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        zennet("zennet-0.5M", checkpoint=tmp_path / "flipped.pth")


@pytest.mark.parametrize(
    "content", [b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n", os.urandom(4096)]
)
def test_a_file_of_another_kind_is_refused(content, tmp_path):
    (tmp_path / "page.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="needed"):
        zennet("zennet-0.5M", checkpoint=tmp_path / "page.pth")


class Hostile:
    def __reduce__(self):
        return os.mkdir, (os.environ["ZENLIB_TEST_MARK"],)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch, saved):
    monkeypatch.setenv("ZENLIB_TEST_MARK", str(tmp_path / "was-run"))
    path = saved({"state_dict": {"a": torch.zeros(1)}, "payload": Hostile()})
    with pytest.raises(CheckpointError, match="would have to be run"):
        zennet("zennet-0.5M", checkpoint=path)
    assert not (tmp_path / "was-run").exists()


def test_a_file_with_python_objects_says_what_to_do(published, saved):
    path = saved({"state_dict": published.state_dict(), "opt": argparse.Namespace(lr=0.1)})
    with pytest.raises(CheckpointError, match="save its state_dict alone"):
        zennet("zennet-0.5M", checkpoint=path)


def test_the_file_of_another_network_is_refused_by_name(published, saved):
    path = saved(published.state_dict())
    with pytest.raises(CheckpointError, match=r"are missing \(module_list"):
        zennet("zennet-1.0M", checkpoint=path)


def test_weights_of_another_shape_or_number_of_classes_are_refused(published, saved):
    path = saved(published.state_dict())
    with pytest.raises(
        CheckpointError, match=r"fc_linear.netblock.weight of shape \(100, 512\), got \(10, 512\)"
    ):
        zennet("zennet-0.5M", 100, checkpoint=path)


def test_weights_that_are_left_over_are_refused(published, saved):
    path = saved(published.state_dict() | {"teacher.weight": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"1 do not belong to it \(teacher.weight\)"):
        zennet("zennet-0.5M", checkpoint=path)


def test_weights_that_are_not_numbers_are_refused_and_leave_the_network_alone(published):
    architecture = zennet_architecture("zennet-0.5M")
    network = build_network(architecture, 10)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    broken = {name: tensor.clone() for name, tensor in published.state_dict().items()}
    broken["fc_linear.netblock.bias"][3] = float("nan")
    with pytest.raises(CheckpointError, match="finite"):
        load_weights(network, architecture, broken)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("content", [{}, [1, 2], torch.zeros(3), {"epoch": 3}, {"state_dict": {}}])
def test_a_file_without_weights_says_what_it_holds(content, saved):
    with pytest.raises(CheckpointError, match="needed a dictionary of weights"):
        zennet("zennet-0.5M", checkpoint=saved(content))


def test_weights_without_a_classifier_are_refused(saved):
    with pytest.raises(CheckpointError, match="needed the weights of a classifier"):
        zennet("zennet-0.5M", checkpoint=saved({"backbone.weight": torch.zeros(3)}))


@pytest.mark.parametrize("place", ["absent.pth", "."])
def test_a_missing_file_and_a_folder_are_refused(place, tmp_path):
    with pytest.raises(CheckpointError, match=r"does not exist|is a folder"):
        zennet("zennet-0.5M", checkpoint=tmp_path / place)
