"""TE-NAS: expressivity minus difficulty of training."""

from __future__ import annotations

from torch import Tensor

from zenlib.proxies.linear_regions import linear_regions
from zenlib.proxies.ntk import ntk
from zenlib.proxies.query import Query


def te_nas(query: Query) -> Tensor:
    """Number of linear regions minus the condition number of the NTK. Larger is better.

    Source: Lin et al. 2021, Figure 12, who call this the TE-Score. Differs: Chen et al. 2021 add ranks, not
    values, within the set of networks that is compared; as values one of the two dominates.
    """
    return query.once(linear_regions) + query.once(ntk)
