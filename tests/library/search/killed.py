"""One search that writes its checkpoint after every round: what the tests kill."""

from __future__ import annotations

import sys

from tests.library.search.scores import BUDGET, patient
from zenlib.networks.architecture import Architecture
from zenlib.search import search

if __name__ == "__main__":
    path, strategy, evaluations, *log = sys.argv[1:]

    def logged(architecture: Architecture) -> float:
        with open(log[0], "a", encoding="utf-8") as file:
            print(architecture, file=file)
        return patient(architecture)

    logged.__module__, logged.__qualname__ = patient.__module__, patient.__qualname__
    search(
        "resnet-like",
        logged if log else patient,
        BUDGET,
        evaluations=int(evaluations),
        population=20,
        round_size=8,
        strategy=strategy,
        checkpoint=path,
        checkpoint_seconds=0.0,
        progress=False,
    )
