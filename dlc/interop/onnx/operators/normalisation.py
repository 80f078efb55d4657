"""Operators that scale by means and variances."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.interop.onnx.element_types import COMPUTED
from dlc.interop.onnx.operator_table import operator


def _per_channel(p: Any, rank: int) -> Any:
    return dlc.reshape(p, (1, -1, *[1] * (rank - 2)))


@operator("BatchNormalization")
def batch_normalization(node: Any, x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
    """By the statistics of channels: those given, or in training those of the batch."""
    eps, momentum = node.attr("epsilon", 1e-5), node.attr("momentum", 0.9)
    training = bool(node.attr("training_mode", 0))
    given, given_var = mean, var
    if training:
        axes = (0, *range(2, x.ndim))
        mean, var = dlc.mean(x, axis=axes), dlc.var(x, axis=axes)
    factor = scale / dlc.sqrt(var + eps)
    y = (x - _per_channel(mean, x.ndim)) * _per_channel(factor, x.ndim) + _per_channel(bias, x.ndim)
    y = dlc.astype(y, x.dtype)
    if not training:
        return y
    return (
        y,
        dlc.astype(given * momentum + mean * (1 - momentum), given.dtype),
        dlc.astype(given_var * momentum + var * (1 - momentum), given_var.dtype),
    )


@operator("InstanceNormalization")
def instance_normalization(node: Any, x: Any, scale: Any, bias: Any) -> Any:
    """Each channel of each sample by itself."""
    return dlc.instance_norm(x, scale, bias, node.attr("epsilon", 1e-5))


@operator("GroupNormalization")
def group_normalization(node: Any, x: Any, scale: Any, bias: Any) -> Any:
    """Groups of channels of each sample."""
    groups = node.attr("num_groups")
    channels = x.shape[1]
    if node.version < 21:
        scale = dlc.repeat(scale, channels // groups)
        bias = dlc.repeat(bias, channels // groups)
    return dlc.astype(dlc.group_norm(x, groups, scale, bias, node.attr("epsilon", 1e-5)), x.dtype)


@operator("LayerNormalization")
def layer_normalization(node: Any, x: Any, scale: Any, bias: Any = None) -> Any:
    """Over the axes from one on, with the means and the inverse deviations."""
    axis = node.attr("axis", -1) % x.ndim
    axes = tuple(range(axis, x.ndim))
    stash = COMPUTED[node.attr("stash_type", 1)]
    wide = dlc.astype(x, stash) if x.dtype != dlc.float64 else x
    mean = dlc.mean(wide, axis=axes, keepdims=True)
    centred = wide - mean
    var = dlc.mean(centred * centred, axis=axes, keepdims=True)
    inverse = 1 / dlc.sqrt(var + node.attr("epsilon", 1e-5))
    y = dlc.astype(centred * inverse, x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


@operator("RMSNormalization")
def rms_normalization(node: Any, x: Any, scale: Any) -> Any:
    """By the root of the mean of squares over the axes from one on."""
    axis = node.attr("axis", -1) % x.ndim
    axes = tuple(range(axis, x.ndim))
    stash = COMPUTED[node.attr("stash_type", 1)]
    wide = dlc.astype(x, stash) if x.dtype != dlc.float64 else x
    mean = dlc.mean(wide * wide, axis=axes, keepdims=True)
    return dlc.astype(wide / dlc.sqrt(mean + node.attr("epsilon", 1e-5)), x.dtype) * scale


@operator("LpNormalization")
def lp_normalization(node: Any, x: Any) -> Any:
    """By the 1-norm or 2-norm of an axis; zero where that is zero."""
    axis = node.attr("axis", -1)
    if node.attr("p", 2) == 1:
        norm = dlc.sum(dlc.abs(x), axis=axis, keepdims=True)
    else:
        norm = dlc.sqrt(dlc.sum(x * x, axis=axis, keepdims=True))
    return dlc.where(norm == 0, 0, x / dlc.where(norm == 0, 1, norm))


@operator("MeanVarianceNormalization")
def mean_variance_normalization(node: Any, x: Any) -> Any:
    """Mean zero and variance one over some axes."""
    axes = tuple(node.attr("axes", [0, 2, 3]))
    mean = dlc.mean(x, axis=axes, keepdims=True)
    var = dlc.mean(x * x, axis=axes, keepdims=True) - mean * mean
    return (x - mean) / (dlc.sqrt(var) + 1e-9)


@operator("LRN")
def local_response_normalization(node: Any, x: Any) -> Any:
    """By the squares of neighbouring channels."""
    size = node.attr("size")
    alpha, beta = node.attr("alpha", 1e-4), node.attr("beta", 0.75)
    before = (size - 1) // 2
    widths = [(0, 0)] * x.ndim
    widths[1] = (before, size - 1 - before)
    squares = dlc.pad(x * x, widths)
    channels = x.shape[1]
    total = sum(squares[:, k : k + channels] for k in range(size))
    return x / dlc.pow(node.attr("bias", 1.0) + total * (alpha / size), beta)


@operator("Dropout", known=(1, 2), random=True)
def dropout(node: Any, x: Any, ratio: Any = None, training: Any = None) -> Any:
    """Elements kept at random in training; all of them otherwise."""
    rate = 0.5 if ratio is None else float(ratio)
    ones = dlc.ones(x.shape, dtype=dlc.bool)
    if training is None or not bool(training) or rate == 0.0:
        return x, ones
    kept = dlc.random.bernoulli(node.library.random.next(), 1 - rate, shape=x.shape)
    return dlc.where(kept, x / (1 - rate), 0), kept
