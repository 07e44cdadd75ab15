"""The scores of this project as proxies: Phi, three definitions of Zen, closed form and repaired score.

Those that draw take N(0, 1) weights and images by definition, on the vanilla form of the network, so a real
batch is not used.
"""

from __future__ import annotations

from typing import Any

import torch

from zenlib.proxies.query import Query
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.scores.graph_form import repaired_score
from zenlib.scores.phi import phi_score
from zenlib.scores.zen import BnVariance, Norm, ZenTerms, zen_terms
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN


def phi(query: Query) -> float:
    """The Phi-Score of one draw, in float64, which reaches eight times as deep as float32. Larger is better.

    Source: Lin et al. 2021, Definition 1; see `zenlib.phi_score`.
    """
    return phi_score(query.once(_vanilla), dtype=torch.float64, **_one_draw(query)).mean


def zen(query: Query, norm: Norm = "l1", bn_variance: BnVariance = "minibatch") -> float:
    """The Zen-Score of one draw. Larger is better.

    Source: Lin et al. 2021, Algorithm 1; see `zenlib.zen_score`.
    """
    return float(query.once(_terms).score(norm, bn_variance)[0])


def closed_form(query: Query) -> float:
    """The expected Zen-Score by arithmetic; needs a vanilla form that is a chain. Larger is better.

    Source: see `zenlib.closed_form_zen_score`.
    """
    return closed_form_zen_score(query.once(_vanilla), batch_size=query.batch_size)


def repaired(query: Query) -> float:
    """The repaired Zen-Score by arithmetic, of the network with its skips. Larger is better.

    Source: see `zenlib.scores.graph_form.repaired_score`.
    """
    return repaired_score(query.network, query.resolution)


def _vanilla(query: Query) -> VCNN:
    return to_vcnn(query.network, query.resolution)


def _terms(query: Query) -> ZenTerms:
    """The terms of every definition from one pass."""
    return zen_terms(query.once(_vanilla), **_one_draw(query))


def _one_draw(query: Query) -> dict[str, Any]:
    return {"batch_size": query.batch_size, "repeats": 1, "seed": query.seed, "device": query.device}
