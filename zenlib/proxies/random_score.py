"""A score that knows nothing: the level that a proxy must exceed."""

from __future__ import annotations

import hashlib

import numpy as np

from zenlib.networks.architecture import Architecture
from zenlib.proxies.query import Query


def random_score(query: Query) -> float:
    """A number from U[0, 1) that depends on the network's structure and the seed alone.

    Two networks of one structure get one number. Differs: the released Zen-NAS draws from the global N(0, 1),
    so that its random search cannot be repeated.
    """
    network = query.network
    text = network.to_string() if isinstance(network, Architecture) else repr(network)
    digest = hashlib.sha256(text.encode()).digest()
    return float(np.random.default_rng([query.seed, *digest]).random())
