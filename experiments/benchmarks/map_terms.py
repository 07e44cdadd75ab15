"""What the arithmetic on graphs says about the maps of a network: variance, growth and effective numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

from zenlib.scores.formulas.backward import Backward
from zenlib.scores.formulas.by_name import CLASSES, IMAGES
from zenlib.scores.formulas.forward import Forward
from zenlib.scores.graph_form import Graph, GraphTerms
from zenlib.scores.graph_form.sources import overlaps
from zenlib.scores.graph_form.torus import multiplicity
from zenlib.scores.rectifier import M1_SQUARED
from zenlib.vanilla.vcnn import IMAGE


class MapTerms(NamedTuple):
    """What the arithmetic says about one map.

    Attributes:
        variance: of a value, averaged over channels.
        growth: mean squared difference of the two branches over 2 variance, 1 - their correlation; NaN where
            not asked for.
        neighbour: correlation of a value with its right neighbour.
        channel_count: effective number of channels, 1 / mean squared correlation of two of them, a channel
            with itself included.
        value_count: effective number of independent values of the map, the same over channels and positions.
    """

    variance: float
    growth: float
    neighbour: float
    channel_count: float
    value_count: float


def map_terms(terms: GraphTerms, place: int) -> MapTerms:
    """The numbers of the map that an operation gives."""
    blend = terms.maps[place]
    (mean, chance), count = blend.itself, multiplicity(blend.grid)
    assert mean is not None  # a map is alike to itself
    everywhere = float((mean[0] ** 2 * count).sum()) / blend.channels
    if chance is not None:
        sums = float((chance.profiles[1] * count).sum()), float((chance.carrier**2 * count).sum())
        everywhere += (1 - 1 / blend.channels) * sums[0] * sums[1]
    return MapTerms(
        blend.variance,
        math.nan if len(mean) == 1 else 1 - float(mean[1, 0, 0]),
        float(mean[0, 0, min(1, blend.grid // 2)]),
        1 / overlaps(blend.itself, blend.grid, blend.channels)[0],
        blend.side**2 / everywhere,
    )


def marks(terms: GraphTerms) -> tuple[MapTerms, ...]:
    """The outputs of cells, where the network has cells."""
    return tuple(map_terms(terms, place) for place in terms.graph.marks)


def last(terms: GraphTerms) -> MapTerms:
    """The map before global pooling, before its ReLU."""
    return map_terms(terms, _end(terms))


def _end(terms: GraphTerms) -> int:
    place = terms.graph.output
    while terms.maps[place].rectified:
        place = terms.graph.operations[place].inputs[0]
    return place


def log_delta(terms: GraphTerms) -> float:
    """Log of the expected L1 norm of the difference of the two outputs, nats."""
    end, growth = terms.maps[_end(terms)], last(terms).growth
    # Of the difference of two rectified maps, whose root is that of theirs.
    size = end.channels * end.side**2
    return math.log(size * math.sqrt(2 * growth * M1_SQUARED * end.variance))


def log_norms(terms: GraphTerms) -> float:
    """Sum of log sigma over BatchNorms that follow no convolution, nats."""
    operations = terms.graph.operations
    read = [one.inputs[0] for one in operations if one.kind == "norm"]
    others = [place for place in read if place == IMAGE or operations[place].kind != "conv"]
    return sum(0.5 * math.log(terms.maps[place].variance) for place in others)


def growth(graph: Graph) -> float:
    """Log of the squared gradient behind the first convolution over that behind the last."""
    convs = Backward(Forward(graph, IMAGES), CLASSES).convs
    first, last = (conv.output * graph.operations[conv.place].values for conv in (convs[0], convs[-1]))
    return math.log(first / last)
