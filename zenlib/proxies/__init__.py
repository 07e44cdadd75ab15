"""Training-free proxies of accuracy by name, all with one signature; higher is better.

    PROXIES["synflow"](architecture_or_module, resolution=32, batch_size=16, seed=0, device="cpu") -> float

No data set is needed: images and labels are drawn, or given as `batch`.
"""

from __future__ import annotations

from functools import partial

from zenlib.proxies import az_nas, counts, zen
from zenlib.proxies.epsinas import epsinas
from zenlib.proxies.fisher import fisher
from zenlib.proxies.grad_norm import grad_norm
from zenlib.proxies.grasp import grasp
from zenlib.proxies.intrain import intrain
from zenlib.proxies.jacob_cov import jacob_cov
from zenlib.proxies.linear_regions import linear_regions
from zenlib.proxies.meco import meco
from zenlib.proxies.naswot import naswot
from zenlib.proxies.near import near
from zenlib.proxies.ntk import ntk
from zenlib.proxies.proxy import Proxy
from zenlib.proxies.random_score import random_score
from zenlib.proxies.snip import snip
from zenlib.proxies.swap import swap
from zenlib.proxies.synflow import synflow
from zenlib.proxies.te_nas import te_nas
from zenlib.proxies.vkdnw import vkdnw
from zenlib.proxies.wrcor import wrcor
from zenlib.proxies.zico import zico

__all__ = ["PROXIES", "Proxy"]

_SINGULAR_NTK = "the kernel is singular, as two images have one gradient"

PROXIES: dict[str, Proxy] = {
    proxy.name: proxy
    for proxy in (
        Proxy("params", counts.params, "counting"),
        Proxy("flops", counts.flops, "counting"),
        Proxy("layers", counts.layers, "counting"),
        *(Proxy(name, compute, "counting") for name, compute in counts.SUMS.items()),
        Proxy("random", random_score, "counting", label="own"),
        Proxy("grad-norm", grad_norm, "gradients"),
        Proxy("snip", snip, "gradients"),
        Proxy("grasp", grasp, "gradients", label="approximation"),
        Proxy("fisher", fisher, "gradients"),
        Proxy("fisher-channels", partial(fisher, per_weight=False), "gradients", label="approximation"),
        Proxy(
            "synflow",
            synflow,
            "gradients",
            "no path leads from the image to the output, or the network is too deep for float64",
            label="stabilised",
        ),
        Proxy(
            "jacob-cov",
            jacob_cov,
            "gradients",
            "the output does not depend on some image",
            label="stabilised",
        ),
        Proxy(
            "naswot",
            naswot,
            "forward",
            "two images have one activation pattern, so the determinant is 0",
            label="stabilised",
        ),
        Proxy("ntk", ntk, "gradients", _SINGULAR_NTK, label="approximation"),
        Proxy("linear-regions", linear_regions, "forward", label="own"),
        Proxy("te-nas", te_nas, "gradients", _SINGULAR_NTK, label="approximation"),
        Proxy("zico", zico, "gradients", label="approximation"),
        Proxy("swap", swap, "forward"),
        Proxy("meco", meco, "forward", label="approximation"),
        Proxy("near", near, "forward"),
        Proxy("intrain", intrain, "gradients", label="approximation"),
        Proxy(
            "vkdnw", vkdnw, "gradients", "the output does not depend on these weights", label="approximation"
        ),
        Proxy(
            "epsinas",
            epsinas,
            "forward",
            "the outputs of all images are equal, or left float64",
            label="stabilised",
        ),
        Proxy(
            "wrcor",
            wrcor,
            "gradients",
            "two images correlate fully in every rectifier",
            label="approximation",
        ),
        Proxy("az-expressivity", az_nas.expressivity, "forward", label="approximation"),
        Proxy("az-progressivity", az_nas.progressivity, "forward", label="approximation"),
        Proxy("az-trainability", az_nas.trainability, "gradients", label="approximation"),
        Proxy("az-complexity", az_nas.complexity, "counting"),
        Proxy(
            "phi",
            zen.phi,
            "forward",
            "without BatchNorm the features of so deep a network leave the range of float64",
            label="stabilised",
        ),
        Proxy("zen", zen.zen, "forward", label="own"),
        Proxy("zen-frobenius", partial(zen.zen, norm="frobenius"), "forward"),
        Proxy("zen-running", partial(zen.zen, bn_variance="running"), "forward"),
        Proxy("closed-form", zen.closed_form, "counting", label="own"),
        Proxy("repaired", zen.repaired, "counting", label="own"),
    )
}
"""Every proxy by name.

"zen" is (l1, mini-batch), "zen-frobenius" the paper's Algorithm 1, "zen-running" the released code.
"""
