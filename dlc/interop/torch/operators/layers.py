"""Operators of networks: products, convolutions, norms, attention; gradients by `dlc.vjp`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dlc
from dlc.interop.torch.gradients import gradients
from dlc.interop.torch.operators.arguments import expanded, times, wide
from dlc.interop.torch.table import aten
from dlc.ir.errors import ModelError


@aten("mm", "bmm", "matmul")
def mm(a: Any, b: Any) -> Any:
    """The product of matrices."""
    return dlc.matmul(a, b)


@aten("addmm", "baddbmm")
def addmm(c: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta c + alpha a b."""
    y = dlc.matmul(a, b)
    if alpha != 1:
        y = times(y, alpha)
    if beta == 0:
        return y
    return y + (c if beta == 1 else times(c, beta))


@aten("mv")
def mv(a: Any, b: Any) -> Any:
    """A matrix times a vector."""
    return dlc.matmul(a, b)


@aten("dot")
def dot(a: Any, b: Any) -> Any:
    """The product of vectors."""
    return dlc.vecdot(a, b)


@aten("_softmax")
def softmax(x: Any, dim: int, _half: bool = False) -> Any:
    """Exponentials over their sum."""
    return dlc.softmax(x, axis=dim) if x.ndim else dlc.ones_like(x)


@aten("_log_softmax")
def log_softmax(x: Any, dim: int, _half: bool = False) -> Any:
    """The logarithm of softmax."""
    return dlc.log_softmax(x, axis=dim) if x.ndim else dlc.zeros_like(x)


@aten("_softmax_backward_data")
def softmax_backward(gradient: Any, y: Any, dim: int, _dtype: Any) -> Any:
    """The gradient of softmax, from its result."""
    if not y.ndim:
        return dlc.zeros_like(y)
    gradient, y = wide(gradient, y)
    product = gradient * y
    return product - y * dlc.sum(product, axis=dim, keepdims=True)


@aten("_log_softmax_backward_data")
def log_softmax_backward(gradient: Any, y: Any, dim: int, _dtype: Any) -> Any:
    """The gradient of log_softmax, from its result."""
    if not y.ndim:
        return dlc.zeros_like(y)
    gradient, y = wide(gradient, y)
    return gradient - dlc.exp(y) * dlc.sum(gradient, axis=dim, keepdims=True)


@aten("embedding")
def embedding(
    weight: Any, indices: Any, _padding: int = -1, _scale: bool = False, _sparse: bool = False
) -> Any:
    """Rows of a table."""
    return dlc.take(weight, indices, axis=0)


@aten("convolution")
def convolution(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> Any:  # fmt: skip
    """A convolution, or its transpose."""
    rank = weight.ndim - 2
    single = x.ndim == rank + 1
    x = x[None] if single else x
    stride, padding, dilation = (expanded(v, rank) for v in (stride, padding, dilation))
    if transposed:
        function = getattr(dlc, f"conv_transpose{rank}d")
        y = function(
            x, weight, bias, stride, padding, expanded(output_padding, rank), groups, dilation
        )
    else:
        y = dlc.conv(
            x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
    return y[0] if single else y


@aten("convolution_backward")
def convolution_backward(  # noqa: PLR0913, PLR0917  what the schema has
    gradient: Any, x: Any, weight: Any, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, wanted: Sequence[bool],
) -> Any:  # fmt: skip
    """The gradients of a convolution."""
    del bias_sizes

    def forward(x: Any, weight: Any) -> Any:
        return convolution(
            x, weight, None, stride, padding, dilation, transposed, output_padding, groups
        )

    results = [None, None]
    if wanted[0] or wanted[1]:
        results = list(gradients(forward, [x, weight], gradient, wanted[:2]))
    bias = None
    if wanted[2]:
        bias = dlc.sum(gradient, axis=(0, *range(2, gradient.ndim)))
    return (*results, bias)


def _per_channel(p: Any, rank: int) -> Any:
    return dlc.reshape(p, (1, -1, *[1] * (rank - 2)))


@aten("_native_batch_norm_legit_no_training")
def batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, _momentum: float, eps: float
) -> Any:
    """By given statistics of channels."""
    empty = dlc.zeros((0,))
    return dlc.batch_norm(x, mean, var, weight, bias, eps=eps), empty, empty


@aten("_native_batch_norm_legit", "native_batch_norm", "_native_batch_norm_legit_functional")
def batch_norm_training(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float
) -> Any:
    """By the statistics of the batch, or by given ones; with what the gradient needs of them."""
    if not training:
        empty = dlc.zeros((0,))
        return dlc.batch_norm(x, mean, var, weight, bias, eps=eps), empty, empty, mean, var
    x, weight, bias = wide(x, weight, bias)
    axes = (0, *range(2, x.ndim))
    here, spread = dlc.mean(x, axis=axes), dlc.var(x, axis=axes)
    inverse = dlc.rsqrt(spread + eps)
    y = (x - _per_channel(here, x.ndim)) * _per_channel(inverse, x.ndim)
    if weight is not None:
        y = y * _per_channel(weight, x.ndim)
    if bias is not None:
        y = y + _per_channel(bias, x.ndim)
    if mean is None:
        return y, here, inverse, None, None
    count = math.prod(x.shape[a] for a in axes)
    unbiased = spread * (count / (count - 1))
    return (
        y, here, inverse, mean + momentum * (here - mean), var + momentum * (unbiased - var)
    )  # fmt: skip


@aten("_native_batch_norm_legit.no_stats")
def batch_norm_alone(
    x: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float
) -> Any:
    """By the statistics of the batch."""
    return batch_norm_training(x, weight, bias, None, None, training, momentum, eps)[:3]


@aten("_batch_norm_with_update_functional")
def batch_norm_with_update(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> Any:
    """By the statistics of the batch, with memory that a library of PyTorch's may want."""
    y, *kept, mean, var = batch_norm_training(x, weight, bias, mean, var, True, momentum, eps)
    return y, *kept, dlc.zeros((0,), dtype=dlc.uint8), mean, var


@aten("native_batch_norm_backward")
def batch_norm_backward(
    gradient: Any, x: Any, weight: Any, mean: Any, var: Any, here: Any, inverse: Any,
    training: bool, eps: float, wanted: Sequence[bool],
) -> Any:  # fmt: skip
    """The gradients of batch norm."""
    gradient, x, weight = wide(gradient, x, weight)
    axes = (0, *range(2, x.ndim))
    if not training:
        here, inverse = mean, dlc.rsqrt(var + eps)
    scale = _per_channel(inverse, x.ndim)
    hat = (x - _per_channel(here, x.ndim)) * scale
    g = gradient if weight is None else gradient * _per_channel(weight, x.ndim)
    if training:
        first = dlc.mean(g, axis=axes, keepdims=True)
        g = g - first - hat * dlc.mean(g * hat, axis=axes, keepdims=True)
    return (
        g * scale if wanted[0] else None,
        dlc.sum(gradient * hat, axis=axes) if wanted[1] else None,
        dlc.sum(gradient, axis=axes) if wanted[2] else None,
    )


def _attention(q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float | None) -> Any:
    """Attention; keys may have fewer heads than queries."""
    groups = q.shape[1] != k.shape[1]
    return dlc.scaled_dot_product_attention(
        q, k, v, mask, is_causal=causal, scale=scale, enable_gqa=groups
    )


@aten("_scaled_dot_product_flash_attention_for_cpu")
def attention(
    q: Any, k: Any, v: Any, dropout: float = 0.0, causal: bool = False, *, attn_mask: Any = None,
    scale: float | None = None,
) -> Any:  # fmt: skip
    """Attention, and the logarithms of the sums of its rows.

    Raises:
        ModelError: With dropout.
    """
    if dropout:
        raise ModelError("attention with dropout", hint="dropout_p=0.0, or dropout beside it")
    y = _attention(q, k, v, attn_mask, causal, scale)
    return y, dlc.zeros(q.shape[:-1], dtype=dlc.float32)  # nothing but its gradient reads them


@aten("_scaled_dot_product_flash_attention_for_cpu_backward")
def attention_backward(
    gradient: Any, q: Any, k: Any, v: Any, _y: Any, _sums: Any, _dropout: float, causal: bool, *,
    attn_mask: Any = None, scale: float | None = None,
) -> Any:  # fmt: skip
    """The gradients of attention."""

    def forward(q: Any, k: Any, v: Any) -> Any:
        return _attention(q, k, v, attn_mask, causal, scale)

    return gradients(forward, [q, k, v], gradient, [True] * 3)


@aten("native_layer_norm")
def layer_norm(x: Any, shape: Sequence[Any], weight: Any, bias: Any, eps: float) -> Any:
    """Over the last axes, with the means and the inverse deviations."""
    x, weight, bias = wide(x, weight, bias)
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    mean = dlc.mean(x, axis=axes, keepdims=True)
    inverse = dlc.rsqrt(dlc.var(x, axis=axes, keepdims=True) + eps)
    y = (x - mean) * inverse
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias), mean, inverse


@aten("native_layer_norm_backward")
def layer_norm_backward(
    gradient: Any, x: Any, shape: Sequence[Any], mean: Any, inverse: Any, weight: Any, bias: Any,
    wanted: Sequence[bool],
) -> Any:  # fmt: skip
    """The gradients of layer norm."""
    del bias
    gradient, x, mean, inverse, weight = wide(gradient, x, mean, inverse, weight)
    count = len(shape)
    inner, outer = tuple(range(x.ndim - count, x.ndim)), tuple(range(x.ndim - count))
    hat = (x - mean) * inverse
    g = gradient if weight is None else gradient * weight
    first = dlc.mean(g, axis=inner, keepdims=True)
    second = dlc.mean(g * hat, axis=inner, keepdims=True)
    return (
        (g - first - hat * second) * inverse if wanted[0] else None,
        dlc.sum(gradient * hat, axis=outer) if wanted[1] else None,
        dlc.sum(gradient, axis=outer) if wanted[2] else None,
    )


@aten("native_group_norm")
def group_norm(
    x: Any, weight: Any, bias: Any, n: Any, channels: Any, size: Any, groups: int, eps: float
) -> Any:
    """Groups of channels, with the means and the inverse deviations."""
    x, weight, bias = wide(x, weight, bias)
    rows = dlc.reshape(x, (n, groups, channels // groups * size))
    mean = dlc.mean(rows, axis=2)
    inverse = dlc.rsqrt(dlc.var(rows, axis=2) + eps)
    y = dlc.reshape((rows - mean[..., None]) * inverse[..., None], x.shape)
    if weight is not None:
        y = y * _per_channel(weight, x.ndim)
    return (y if bias is None else y + _per_channel(bias, x.ndim)), mean, inverse


@aten("native_group_norm_backward")
def group_norm_backward(
    gradient: Any, x: Any, mean: Any, inverse: Any, weight: Any, n: Any, channels: Any, size: Any,
    groups: int, wanted: Sequence[bool],
) -> Any:  # fmt: skip
    """The gradients of group norm."""
    gradient, x, mean, inverse, weight = wide(gradient, x, mean, inverse, weight)
    shape = (n, groups, channels // groups * size)
    g = gradient if weight is None else gradient * _per_channel(weight, x.ndim)
    rows, g = dlc.reshape(x, shape), dlc.reshape(g, shape)
    hat = (rows - mean[..., None]) * inverse[..., None]
    first = dlc.mean(g, axis=2, keepdims=True)
    second = dlc.mean(g * hat, axis=2, keepdims=True)
    whole = dlc.reshape(hat, x.shape)
    axes = (0, *range(2, x.ndim))
    return (
        dlc.reshape((g - first - hat * second) * inverse[..., None], x.shape)
        if wanted[0]
        else None,
        dlc.sum(gradient * whole, axis=axes) if wanted[1] else None,
        dlc.sum(gradient, axis=axes) if wanted[2] else None,
    )


@aten("_weight_norm_interface_backward")
def weight_norm_backward(
    gradient: Any, direction: Any, size: Any, norms: Any, dim: int
) -> tuple[Any, Any]:
    """The gradients of a weight that is a direction of a given size."""
    axes = tuple(a for a in range(direction.ndim) if a != dim)
    norms = dlc.reshape(norms, size.shape)
    along = dlc.sum(gradient * direction, axis=axes, keepdims=True) / norms
    return (gradient - direction * (along / norms)) * (size / norms), along
