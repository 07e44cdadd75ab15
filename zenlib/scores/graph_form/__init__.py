"""The Zen-Score by arithmetic on graphs with their shortcuts, sums and poolings, and the repaired score.

`operations` is a network as data, read from a module (`of_module`); `torus` is the
mathematics of filters; `sources` says how alike two maps are;
`arithmetic` is the pass; `scores` sums up.
"""

from zenlib.scores.graph_form.arithmetic import ConvTerms, GraphTerms
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.scores.graph_form.scores import Writes, graph_of, repaired, repaired_score

__all__ = [
    "ConvTerms",
    "Graph",
    "GraphTerms",
    "Operation",
    "Writes",
    "graph_of",
    "repaired",
    "repaired_score",
]
