"""The rule of each tensor function, by its plain name.

Functions that are not here make a derived tensor that the output must not depend on.
"""

from __future__ import annotations

from functools import partial

from zenlib.vanilla.capture import arithmetic, mixing, moves, pooling
from zenlib.vanilla.capture.follow import Follower, Rule

NAMES: dict[str, Rule] = {
    "conv1d conv2d conv3d": mixing.conv,
    "linear": mixing.linear,
    "matmul": mixing.matmul,
    "einsum": mixing.einsum,
    "baddbmm": partial(mixing.attention, products=1),
    "scaled_dot_product_attention multi_head_attention_forward": partial(mixing.attention, products=2),
    "max_pool1d max_pool2d max_pool3d": partial(pooling.pool, kind="max"),
    "avg_pool1d avg_pool2d avg_pool3d": partial(pooling.pool, kind="avg"),
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d": partial(pooling.adaptive_pool, kind="max"),
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d": partial(pooling.adaptive_pool, kind="avg"),
    "pad": pooling.pad,
    "interpolate upsample": partial(
        arithmetic.of_one_size, why="makes a feature map larger or smaller by interpolation"
    ),
    """mean sum nanmean nansum amax amin max min std var var_mean std_mean logsumexp median prod
    aminmax""": partial(pooling.reduction, dim_at=1),
    "norm vector_norm": partial(pooling.reduction, dim_at=2),
    "mul addcmul": arithmetic.product,
    "div": arithmetic.quotient,
    "add sub": arithmetic.total,
    """relu relu6 leaky_relu prelu rrelu elu celu selu gelu silu mish hardswish hardtanh threshold softplus
    softsign logsigmoid log_sigmoid tanhshrink hardshrink softshrink clamp clamp_min clamp_max abs absolute
    neg negative square pow float_power sqrt rsqrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan
    asin acos atan sinh cosh asinh acosh atanh sinc sign sgn signbit round floor ceil trunc fix frac
    nan_to_num bernoulli heaviside remainder fmod floordiv floor_divide masked_fill masked_scatter
    fake_quantize_per_tensor_affine fake_quantize_per_channel_affine fused_moving_avg_obs_fake_quant
    fake_quantize_learnable_per_tensor_affine logical_not bitwise_not invert isnan isinf isfinite isposinf
    isneginf""": arithmetic.activation,
    "sigmoid hardsigmoid softmax erf": partial(arithmetic.activation, gate=2),
    "tanh": partial(arithmetic.activation, gate=1),
    """maximum minimum where lerp hypot atan2 copysign logaddexp logaddexp2 xlogy
    addcdiv""": arithmetic.pointwise,
    """gt ge lt le eq ne greater greater_equal less less_equal not_equal isclose logical_and logical_or
    logical_xor bitwise_and bitwise_or bitwise_xor and or xor""": arithmetic.mask,
    "copy": partial(arithmetic.of_one_size, why="repeats a feature map by broadcasting", name="src", at=1),
    "set": arithmetic.replaced,
    """batch_norm layer_norm group_norm instance_norm local_response_norm rms_norm normalize dropout
    dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout""": arithmetic.left_out,
    """contiguous clone detach to type type_as float half double bfloat16 cpu cuda data requires_grad
    positive pos as_tensor asarray alias real""": arithmetic.unchanged,
    """view reshape flatten ravel unflatten squeeze unsqueeze view_as
    reshape_as""": moves.reshape,
    """permute movedim transpose t T mT select narrow chunk split split_with_sizes tensor_split unsafe_chunk
    unsafe_split unbind""": moves.view,
    "expand expand_as broadcast_to repeat tile": moves.expand,
    "index_select": moves.index_select,
    "flip": partial(moves.reorder, dim_at=1),
    "roll repeat_interleave": partial(moves.reorder, dim_at=2),
    "getitem": moves.getitem,
    "setitem": moves.assign,
    "glu": moves.glu,
    "cat stack": moves.concat,
    "channel_shuffle": moves.channel_shuffle,
    "pixel_unshuffle unfold": moves.pixel_unshuffle,
    "conv_transpose1d conv_transpose2d conv_transpose3d": partial(
        Follower.unsupported, why="is a transposed convolution, which makes a map larger"
    ),
    "pixel_shuffle fold": partial(Follower.unsupported, why="makes channels into pixels"),
    "grid_sample": partial(Follower.unsupported, why="samples a map at positions of its own"),
}
"""Names of functions, several where they share a rule."""

RULES: dict[str, Rule] = {name: rule for names, rule in NAMES.items() for name in names.split()}
