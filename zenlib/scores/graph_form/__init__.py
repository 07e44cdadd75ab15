"""The Zen-Score by arithmetic on graphs with their shortcuts, sums and poolings, and the repaired score.

`operations` is a network as data, read from a module by `of_module`; `torus` is the mathematics of filters;
`sources` says how alike two maps are; `arithmetic` is the pass.

The Zen-Score sums log sigma over BatchNorms. On a chain, what a convolution reads has variance 1 and sigma
says what the convolution gains. On a graph sigma also carries the variance q that sums have built up, which
the next BatchNorm divides out. The repair keeps what is left of each term when this is seen:

    repaired = sum over live convolutions of 1/2 log(c PR),  c = CENTRED after a ReLU, else 1

with PR, the participation ratio of the inputs that one output sums, in place of their number: inputs that are
copies of each other add no independent evidence. On a chain of independent inputs it is the sum of log sigma.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from zenlib.errors import ConversionError
from zenlib.networks.architecture import Architecture
from zenlib.scores.graph_form.arithmetic import GraphTerms
from zenlib.scores.graph_form.operations import Graph, graph_of_architecture, graph_of_vcnn
from zenlib.vanilla.vcnn import VCNN

if TYPE_CHECKING:
    import torch

__all__ = ["Graph", "GraphTerms", "Network", "Writes", "graph_of", "repaired", "repaired_score"]


@runtime_checkable
class Writes(Protocol):
    """What writes its operations itself, such as a cell of a space of one's own."""

    def as_graph(self, resolution: int | None) -> Graph:
        """Its operations at a side of the images in pixels; None for the side that it is meant for."""


Network: TypeAlias = "Architecture | VCNN | Writes | Graph | torch.nn.Module"
"""Whatever `graph_of` reads."""


def graph_of(network: Network, resolution: int | None = None) -> Graph:
    """The operations of a network.

    Args:
        network: any module, an architecture (with its shortcuts, without gates), a `VCNN`, or an object with
            a method `as_graph`.
        resolution: side of the images in pixels; None means that of a given `VCNN`, else 224.

    Raises:
        ArchitectureError: the resolution is too small for the strides.
        ConversionError: its output depends on an operation without a rule, on windows or maps that are not
            square, or not on the image; or a given `VCNN` has another resolution.
    """
    if isinstance(network, (VCNN, Graph)):
        if resolution not in (None, network.resolution):
            raise ConversionError(
                f"resolution: this network was read at {network.resolution}, got {resolution}; convert it "
                "again"
            )
        return graph_of_vcnn(network) if isinstance(network, VCNN) else network
    if isinstance(network, Writes):
        return network.as_graph(resolution)
    resolution = 224 if resolution is None else resolution
    if isinstance(network, Architecture):
        return graph_of_architecture(network, resolution)
    from zenlib.scores.graph_form.of_module import graph_of_module  # torch is needed only here

    return graph_of_module(network, resolution)


def repaired_score(network: Network, resolution: int | None = None) -> float:
    """The repaired Zen-Score, nats; larger is better. Arguments and errors as in `graph_of`."""
    return repaired(GraphTerms(graph_of(network, resolution)))


def repaired(terms: GraphTerms) -> float:
    """The sum over live convolutions of the gain with effective fan-in, nats."""
    return sum(conv.effective_gain for conv in terms.convs if conv.live)
