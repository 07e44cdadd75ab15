"""One search that writes its checkpoint after every round: what the tests kill."""

from __future__ import annotations

import sys

from tests.library.search.scores import BUDGET, patient
from zenlib.search import search

if __name__ == "__main__":
    path, strategy, evaluations = sys.argv[1:]
    search(
        "resnet-like",
        patient,
        BUDGET,
        evaluations=int(evaluations),
        population=20,
        round_size=8,
        strategy=strategy,
        checkpoint=path,
        checkpoint_seconds=0.0,
        progress=False,
    )
