"""The rule of each tensor function, by its plain name.

Functions that are not here make a derived tensor that the output must not depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from zenlib.vanilla.capture import arithmetic, mixing, moves, pooling
from zenlib.vanilla.capture.follow import Follower, Rule

ACTIVATIONS = [
    "relu",
    "relu6",
    "leaky_relu",
    "prelu",
    "rrelu",
    "elu",
    "celu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "hardswish",
    "hardtanh",
    "threshold",
    "softplus",
    "softsign",
    "logsigmoid",
    "log_sigmoid",
    "tanhshrink",
    "hardshrink",
    "softshrink",
    "clamp",
    "clamp_min",
    "clamp_max",
    "abs",
    "absolute",
    "neg",
    "negative",
    "square",
    "pow",
    "float_power",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "acosh",
    "atanh",
    "sinc",
    "sign",
    "sgn",
    "signbit",
    "round",
    "floor",
    "ceil",
    "trunc",
    "fix",
    "frac",
    "nan_to_num",
    "bernoulli",
    "heaviside",
    "remainder",
    "fmod",
    "floordiv",
    "floor_divide",
    "masked_fill",
    "masked_scatter",
    "fake_quantize_per_tensor_affine",
    "fake_quantize_per_channel_affine",
    "fused_moving_avg_obs_fake_quant",
    "fake_quantize_learnable_per_tensor_affine",
    "logical_not",
    "bitwise_not",
    "invert",
    "isnan",
    "isinf",
    "isfinite",
    "isposinf",
    "isneginf",
]
POINTWISE = [
    "maximum",
    "minimum",
    "where",
    "lerp",
    "hypot",
    "atan2",
    "copysign",
    "logaddexp",
    "logaddexp2",
    "xlogy",
    "addcdiv",
]
COMPARISONS = [
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "ne",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
    "isclose",
    "logical_and",
    "logical_or",
    "logical_xor",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "and",
    "or",
    "xor",
]
GATES = {"sigmoid": 2, "hardsigmoid": 2, "softmax": 2, "erf": 2, "tanh": 1}
"""Functions that give the factor of a product its standing as a gate; the larger number goes."""

NORMALISATIONS = [
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "local_response_norm",
    "rms_norm",
    "normalize",
]
DROPOUTS = [
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_dropout",
    "feature_alpha_dropout",
]
UNCHANGED = [
    "contiguous",
    "clone",
    "detach",
    "to",
    "type",
    "type_as",
    "float",
    "half",
    "double",
    "bfloat16",
    "cpu",
    "cuda",
    "data",
    "requires_grad",
    "positive",
    "pos",
    "as_tensor",
    "asarray",
    "alias",
    "real",
]
REDUCTIONS = [
    "mean",
    "sum",
    "nanmean",
    "nansum",
    "amax",
    "amin",
    "max",
    "min",
    "std",
    "var",
    "var_mean",
    "std_mean",
    "logsumexp",
    "median",
    "prod",
    "aminmax",
]
RESHAPES = [
    "view",
    "reshape",
    "flatten",
    "ravel",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "view_as",
    "reshape_as",
]
SPLITS = ["chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split", "unbind"]
REFUSED = {
    "conv_transpose1d": "is a transposed convolution, which makes a map larger",
    "conv_transpose2d": "is a transposed convolution, which makes a map larger",
    "conv_transpose3d": "is a transposed convolution, which makes a map larger",
    "pixel_shuffle": "makes channels into pixels",
    "fold": "makes channels into pixels",
    "grid_sample": "samples a map at positions of its own",
}


def _rules() -> Iterator[tuple[str, Rule]]:
    yield from {"linear": mixing.linear, "matmul": mixing.matmul}.items()
    for axes in (1, 2, 3):
        yield f"conv{axes}d", mixing.conv
        for kind in ("max", "avg"):
            yield f"{kind}_pool{axes}d", partial(pooling.pool, kind=kind)
            yield f"adaptive_{kind}_pool{axes}d", partial(pooling.adaptive_pool, kind=kind)
    yield "einsum", mixing.einsum
    for name, products in {
        "baddbmm": 1,
        "scaled_dot_product_attention": 2,
        "multi_head_attention_forward": 2,
    }.items():
        yield name, partial(mixing.attention, products=products)
    yield "pad", pooling.pad
    for name in REDUCTIONS:
        yield name, partial(pooling.reduction, dim_at=1)
    for name in ("norm", "vector_norm"):
        yield name, partial(pooling.reduction, dim_at=2)
    for name in ("interpolate", "upsample"):
        yield name, pooling.resize
    yield from {
        "mul": arithmetic.product,
        "div": arithmetic.quotient,
        "add": arithmetic.total,
        "sub": arithmetic.total,
    }.items()
    yield "addcmul", arithmetic.affine
    for name in ACTIVATIONS:
        yield name, arithmetic.activation
    for name, gate in GATES.items():
        yield name, partial(arithmetic.activation, gate=gate)
    for name in POINTWISE:
        yield name, arithmetic.pointwise
    for name in COMPARISONS:
        yield name, arithmetic.mask
    yield "copy", arithmetic.copied
    for name in NORMALISATIONS:
        yield name, partial(arithmetic.left_out, kind=name.replace("_", " "))
    for name in DROPOUTS:
        yield name, partial(arithmetic.left_out, kind="dropout")
    for name in UNCHANGED:
        yield name, arithmetic.unchanged
    for name in RESHAPES:
        yield name, moves.reshape
    for name in ("permute", "movedim", "transpose", "t", "T", "mT"):
        yield name, moves.permute
    for name in ("expand", "expand_as", "broadcast_to", "repeat", "tile"):
        yield name, moves.expand
    for name in SPLITS:
        yield name, moves.split
    yield from {
        "select": moves.select,
        "narrow": moves.narrow,
        "index_select": moves.index_select,
        "getitem": moves.getitem,
        "setitem": moves.assign,
        "glu": moves.glu,
        "cat": moves.concat,
        "stack": moves.concat,
        "channel_shuffle": moves.channel_shuffle,
        "pixel_unshuffle": moves.pixel_unshuffle,
        "unfold": moves.pixel_unshuffle,
    }.items()
    for name, dim_at in {"flip": 1, "roll": 2, "repeat_interleave": 2}.items():
        yield name, partial(moves.reorder, dim_at=dim_at)
    yield "set", arithmetic.replaced
    for name, why in REFUSED.items():
        yield name, partial(Follower.unsupported, why=why)


RULES: dict[str, Rule] = dict(_rules())
