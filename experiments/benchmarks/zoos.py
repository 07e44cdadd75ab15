"""Every network of timm and pytorchcv through the conversion: what comes out, its convolutions and its score.

    python -m experiments.benchmarks.zoos [timm] [pytorchcv]

appends one row for each name to `zoos.csv`, in random order, and goes on where it stopped. Networks are built
without memory for their weights and converted at the resolution that they are made for. Once all names are
there, those for which the closed form refuses get one Monte-Carlo draw at `DRAWN_AT` pixels, if they take
such images.
"""

from __future__ import annotations

import csv
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from experiments.record.results import checkout
from zenlib.errors import ConversionError, ScoreUndefined
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.scores.zen import zen_score
from zenlib.vanilla.convert import to_vcnn

TABLE = (checkout() or Path()).joinpath("experiments", "benchmarks", "zoos.csv")
COLUMNS = ("library", "name", "resolution", "outcome", "convs", "method", "score", "reason")
DRAWN_AT = 64
"""Side of the images of a draw, pixels."""
MOST_FLOPS = 1e9
"""Multiply-adds for one image up to which a draw takes some seconds on one core."""
LONGEST_REASON = 160
LIBRARIES = ("timm", "pytorchcv")

Zoo = tuple[list[str], Callable[[str], nn.Module], Callable[[nn.Module], int]]


def zoo(library: str) -> Zoo:
    """The names of a library, what builds one, and what says the side of its images."""
    if library == "timm":
        import timm

        return (
            timm.list_models(),
            timm.create_model,
            lambda net: (getattr(net, "pretrained_cfg", None) or {}).get("input_size", (3, 224, 224))[-1],
        )
    if library == "pytorchcv":
        from pytorchcv.model_provider import _models, get_model

        return sorted(_models), get_model, lambda net: getattr(net, "in_size", (224, 224))[0]
    raise ValueError(f"library: needed 'timm' or 'pytorchcv', got {library!r}")


def row_of(library: str, name: str) -> dict[str, str]:
    """One row of the table."""
    _, build, side_of = zoo(library)
    row = dict.fromkeys(COLUMNS, "") | {"library": library, "name": name}
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = build(name)
    except Exception as error:  # whatever a library says about a name that it lists
        return row | {"outcome": "not built", "reason": _short(error)}
    side = side_of(net)
    row["resolution"] = str(side)
    try:
        vcnn = to_vcnn(net, side)
    except ConversionError as error:
        return row | {"outcome": "refused", "reason": _short(error)}
    row |= {"outcome": "converts", "convs": str(len(vcnn.convs))}
    try:
        return row | {"method": "closed form", "score": f"{closed_form_zen_score(vcnn):.4f}"}
    except ConversionError as error:
        row["reason"] = _short(error)
        return row


def drawn(row: dict[str, str]) -> dict[str, str]:
    """The row of a network without closed form, with one draw of its score, or the method "none"."""
    _, build, _ = zoo(row["library"])
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = build(row["name"])
        try:
            vcnn = to_vcnn(net, DRAWN_AT)
            if vcnn.flops > MOST_FLOPS:
                return row | {"method": "none"}
            with torch.device("cpu"):
                score = zen_score(vcnn, batch_size=4, repeats=1)
        except (ConversionError, ScoreUndefined):
            return row | {"method": "none"}
    return row | {"method": f"one draw at {DRAWN_AT}", "score": f"{score.mean:.2f}"}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:LONGEST_REASON]


def rows() -> Iterator[dict[str, str]]:
    """The stored rows."""
    if TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)


def summary() -> str:
    """What came out, a line for each library."""
    return "\n".join(map(_summary, LIBRARIES))


def _summary(library: str) -> str:
    found = [row for row in rows() if row["library"] == library]
    outcomes = Counter(row["outcome"] for row in found)
    mixing = sum("transformer" in row["reason"] or "attention" in row["reason"] for row in found)
    scored = sum(bool(row["score"]) for row in found)
    return (
        f"Of {len(found):,} names of {library}, {outcomes['converts']:,} convert ({scored:,} with a score in "
        f"the table), {outcomes['refused']:,} are refused ({mixing:,} for attention) and "
        f"{outcomes['not built']:,} cannot be built."
    )


def main(libraries: list[str]) -> None:
    """Appends the rows that are missing, then fills in the draws that are missing."""
    there = {(row["library"], row["name"]) for row in rows()}
    names = [(library, name) for library in libraries for name in zoo(library)[0]]
    random.Random(0).shuffle(names)  # so that an unfinished table is a fair sample
    for name in tqdm([name for name in names if name not in there], desc="converted"):
        _write([row_of(*name)], "a")
    stored = list(rows())
    for place, row in enumerate(tqdm(stored, desc="drawn")):
        if row["library"] in libraries and row["outcome"] == "converts" and not row["method"]:
            stored[place] = drawn(row)
            _write(stored, "w")


def _write(given: list[dict[str, str]], mode: str) -> None:
    new = mode == "w" or not TABLE.exists()
    with TABLE.open(mode, newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(given)


if __name__ == "__main__":
    main(sys.argv[1:] or list(LIBRARIES))
