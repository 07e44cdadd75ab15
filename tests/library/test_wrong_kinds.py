"""A public call that is given the wrong kind of thing names the argument, what it needed, and what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zenlib
from zenlib import PROXIES, Architecture, Budget, Choices

CHAIN = Architecture.from_string("SuperConvK3BNRELU(3,8,1,1)SuperConvK1BNRELU(8,16,1,1)")
MODULE = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
IMAGES: Any = np.zeros((2, 3, 8, 8))


def search(**changes: Any) -> Any:
    settings = {"budget": Budget(params=1e6), "evaluations": 3, "progress": False} | changes
    return zenlib.search("resnet-like", "closed-form", **settings)


CALLS: dict[str, tuple[str, Callable[[], Any]]] = {
    "the vanilla form of a number": ("network", lambda: zenlib.to_vcnn(5)),
    "the score of a name": ("network", lambda: zenlib.zen_score("resnet18")),
    "Phi of nothing": ("network", lambda: zenlib.phi_score(None)),
    "the closed form of a name": ("network", lambda: zenlib.closed_form_zen_score("resnet18")),
    "the closed form at no size": ("resolution", lambda: zenlib.closed_form_zen_score(CHAIN, -1)),
    "a formula of a name": ("network", lambda: zenlib.arithmetic("naswot", "resnet18")),
    "a network from a module": ("architecture", lambda: zenlib.build_network(MODULE)),
    "a network of no classes": ("num_classes", lambda: zenlib.build_network(CHAIN, -1)),
    "a ZenNet by a list": ("name", lambda: zenlib.zennet(["zennet-1.0M"])),
    "many of one name": ("networks", lambda: next(iter(zenlib.score_many("resnet18")))),
    "many of one module": ("networks", lambda: next(iter(zenlib.score_many(MODULE)))),
    "a proxy of a name": ("network", lambda: PROXIES["synflow"]("resnet18")),
    "a proxy on no device": ("device", lambda: PROXIES["naswot"](CHAIN, resolution=8, device="gpu")),
    "a proxy on an array": (
        "batch",
        lambda: PROXIES["naswot"](CHAIN, resolution=8, batch=IMAGES),
    ),
    "a score on no device": ("device", lambda: zenlib.zen_score(CHAIN, resolution=8, device="gpu")),
    "Phi on no device": ("device", lambda: zenlib.phi_score(CHAIN, resolution=8, device="gpu")),
    "a search within a number": ("budget", lambda: search(budget=1e6)),
    "a search from a module": ("initial", lambda: search(initial=MODULE)),
    "a search on a number of workers": ("executor", lambda: search(executor=4)),
    "a search in no space": ("space", lambda: zenlib.search(None, "closed-form", Budget(), evaluations=1)),
    "a choice that is a number": ("options", lambda: Choices({"width": 3}, build=lambda choices: MODULE)),
    "a correlation of words": ("scores", lambda: zenlib.correlate(["a"] * 6, range(6))),
    "a budget in words": ("budget", lambda: Budget(params="1M")),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_wrong_kind_of_thing_is_told_by_its_argument(call: str) -> None:
    argument, run = CALLS[call]
    with pytest.raises(ValueError, match=rf"\b{argument}\b.*needed .*, got ") as caught:
        run()
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_a_device_may_be_given_as_an_object_of_torch() -> None:
    by_name, as_object = (zenlib.zen_score(CHAIN, 8, device=it) for it in ("cpu", torch.device("cpu")))
    assert by_name.mean == as_object.mean


def test_the_closed_form_takes_a_module_as_its_vanilla_form() -> None:
    vanilla = zenlib.to_vcnn(MODULE, 32)
    assert zenlib.closed_form_zen_score(MODULE, 32) == zenlib.closed_form_zen_score(vanilla)
