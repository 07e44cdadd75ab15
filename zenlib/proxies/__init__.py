"""Training-free proxies of accuracy by name, all with one signature; higher is better.

    PROXIES["synflow"](architecture_or_module, resolution=32, batch_size=16, seed=0, device="cpu") -> float

No data set is needed: images and labels are drawn, or given as `batch`.
"""

from __future__ import annotations

from functools import partial

from zenlib.proxies import az_nas, counts, zen
from zenlib.proxies.correlations import jacob_cov, wrcor
from zenlib.proxies.features import intrain, meco, near
from zenlib.proxies.gradients import fisher, grad_norm, grasp, snip, zico
from zenlib.proxies.patterns import linear_regions, naswot, swap
from zenlib.proxies.proxy import Proxy
from zenlib.proxies.random_score import random_score
from zenlib.proxies.replaced_weights import epsinas, synflow
from zenlib.proxies.spectra import ntk, te_nas, vkdnw

__all__ = ["PROXIES", "Proxy"]

_SINGULAR = "the kernel is singular, as two images have one gradient"
_NO_PATH = "no path leads from the image to the output, or the network is too deep for float64"
_ONE_PATTERN = "two images have one activation pattern, so the determinant is 0"
_EQUAL_OUTPUTS = "the outputs of all images are equal, or left float64"
_TOO_DEEP = "without BatchNorm the features of so deep a network leave the range of float64"

PROXIES: dict[str, Proxy] = {
    proxy.name: proxy
    for proxy in (
        Proxy("params", counts.params, "counting"),
        Proxy("flops", counts.flops, "counting"),
        Proxy("layers", counts.layers, "counting"),
        *(Proxy(name, compute, "counting") for name, compute in counts.SUMS.items()),
        Proxy("random", random_score, "counting", "own"),
        Proxy("grad-norm", grad_norm, "gradients"),
        Proxy("snip", snip, "gradients"),
        Proxy("grasp", grasp, "gradients", "approximation"),
        Proxy("fisher", fisher, "gradients"),
        Proxy("fisher-channels", partial(fisher, per_weight=False), "gradients", "approximation"),
        Proxy("synflow", synflow, "gradients", "stabilised", _NO_PATH),
        Proxy("jacob-cov", jacob_cov, "gradients", "stabilised", "the output does not depend on some image"),
        Proxy("naswot", naswot, "forward", "stabilised", _ONE_PATTERN),
        Proxy("ntk", ntk, "gradients", "approximation", _SINGULAR),
        Proxy("linear-regions", linear_regions, "forward", "own"),
        Proxy("te-nas", te_nas, "gradients", "approximation", _SINGULAR),
        Proxy("zico", zico, "gradients", "approximation"),
        Proxy("swap", swap, "forward"),
        Proxy("meco", meco, "forward", "approximation"),
        Proxy("near", near, "forward"),
        Proxy("intrain", intrain, "gradients", "approximation"),
        Proxy("vkdnw", vkdnw, "gradients", "approximation", "the output does not depend on these weights"),
        Proxy("epsinas", epsinas, "forward", "stabilised", _EQUAL_OUTPUTS),
        Proxy("wrcor", wrcor, "gradients", "approximation", "two images correlate fully in every rectifier"),
        Proxy("az-expressivity", az_nas.expressivity, "forward", "approximation"),
        Proxy("az-progressivity", az_nas.progressivity, "forward", "approximation"),
        Proxy("az-trainability", az_nas.trainability, "gradients", "approximation"),
        Proxy("az-complexity", az_nas.complexity, "counting"),
        Proxy("phi", zen.phi, "forward", "stabilised", _TOO_DEEP),
        Proxy("zen", zen.zen, "forward", "own"),
        Proxy("zen-frobenius", partial(zen.zen, norm="frobenius"), "forward"),
        Proxy("zen-running", partial(zen.zen, bn_variance="running"), "forward"),
        Proxy("closed-form", zen.closed_form, "counting", "own"),
        Proxy("repaired", zen.repaired, "counting", "own"),
    )
}
"""Every proxy by name.

"zen" is (l1, mini-batch), "zen-frobenius" the paper's Algorithm 1, "zen-running" the released code.
"""
