"""Random architectures for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from zenlib.networks.architecture import KINDS, Architecture, Block

WIDTHS = st.sampled_from([1, 3, 8, 12, 16, 24])


@st.composite
def blocks(draw: st.DrawFn, in_channels: int, kind: str | None = None) -> Block:
    kind = kind or draw(st.sampled_from(KINDS))
    return Block(
        kind=kind,
        kernel=draw(st.sampled_from([1, 3, 5, 7])),
        in_channels=in_channels,
        out_channels=draw(WIDTHS),
        stride=draw(st.sampled_from([1, 1, 2])),
        layers=draw(st.integers(1, 3)),
        bottleneck=0 if kind == "conv" else draw(WIDTHS),
        expansion=draw(st.sampled_from([1, 2, 4, 6])) if kind == "inverted" else 0,
    )


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    rows = [draw(blocks(in_channels=3, kind="conv"))]
    for _ in range(draw(st.integers(0, 4))):
        rows.append(draw(blocks(in_channels=rows[-1].out_channels)))
    return Architecture(tuple(rows), use_se=draw(st.booleans()))
