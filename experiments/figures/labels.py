"""Names and units of the columns, as the axes show them: written once, so that no two figures disagree."""

from __future__ import annotations

LABELS = {
    "zen": "Zen-Score (nats)",
    "closed_form": "closed-form Zen-Score (nats)",
    "depth": "depth (layers)",
    "convs": "number of convolutions",
    "params": "parameters",
    "flops": "FLOPs (multiply-adds)",
    "top1": "ImageNet top-1 (%)",
    "evaluations": "scored candidates",
}
"""Column name -> text for an axis, with its unit in brackets; add a row for a new column."""


def label(column: str) -> str:
    """The text of an axis that shows `column`.

    Raises:
        ValueError: the column has no label yet.
    """
    if column not in LABELS:
        raise ValueError(
            f"column: needed one that LABELS names, got {column!r}; add its label and unit there"
        )
    return LABELS[column]


SCORES = {
    "zen_l1_running": "Zen, released",
    "zen_l1_minibatch": "Zen, as built",
    "vanilla_l1_minibatch": "Zen, skips cut",
    "vanilla_l1_running": "Zen, skips cut, released",
    "log_delta_l1": "log Delta alone",
    "wired": "edges that are not none",
    "convs": "convolutions",
    "flops": "FLOPs",
    "params": "parameters",
    "live_convs": "live convolutions",
}
"""Names of scores; others are shown by the name of their proxy."""


def name_of(score: str) -> str:
    """How figures call a score."""
    return SCORES.get(score, score.replace("_", "-"))
