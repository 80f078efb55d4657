"""Operators of networks: products, convolutions, pooling, norms; their gradients by `dlc.vjp`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import dlc
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
        y = y * alpha
    if beta == 0:
        return y
    return y + (c if beta == 1 else c * beta)


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
    product = gradient * y
    return product - y * dlc.sum(product, axis=dim, keepdims=True)


@aten("_log_softmax_backward_data")
def log_softmax_backward(gradient: Any, y: Any, dim: int, _dtype: Any) -> Any:
    """The gradient of log_softmax, from its result."""
    return gradient - dlc.exp(y) * dlc.sum(gradient, axis=dim, keepdims=True)


@aten("embedding")
def embedding(
    weight: Any, indices: Any, _padding: int = -1, _scale: bool = False, _sparse: bool = False
) -> Any:
    """Rows of a table."""
    return dlc.take(weight, indices, axis=0)


@aten("embedding_dense_backward")
def embedding_backward(
    gradient: Any, indices: Any, count: Any, padding: int, _scale: bool = False
) -> Any:
    """The gradient of a table."""
    width = gradient.shape[-1]
    flat = dlc.reshape(indices, (-1,))
    rows = dlc.reshape(gradient, (-1, width))
    if padding >= 0:
        rows = dlc.where((flat == padding)[:, None], 0, rows)
    return dlc.index_add(dlc.zeros((count, width), dtype=gradient.dtype), 0, flat, rows)


def _expanded(values: Sequence[int], rank: int) -> tuple[int, ...]:
    return tuple(values) if len(values) == rank else tuple(values) * rank


@aten("convolution")
def convolution(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> Any:  # fmt: skip
    """A convolution, or its transpose."""
    rank = weight.ndim - 2
    single = x.ndim == rank + 1
    x = x[None] if single else x
    stride, padding, dilation = (_expanded(v, rank) for v in (stride, padding, dilation))
    if transposed:
        function = getattr(dlc, f"conv_transpose{rank}d")
        y = function(
            x, weight, bias, stride, padding, _expanded(output_padding, rank), groups, dilation
        )
    else:
        y = dlc.conv(
            x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
    return y[0] if single else y


def _gradients(
    function: Callable[..., Any], inputs: Sequence[Any], gradient: Any, wanted: Sequence[bool]
) -> tuple[Any, ...]:
    """The gradients of those inputs that are wanted; None for the others."""
    chosen = [k for k, w in enumerate(wanted) if w]

    def of_chosen(*values: Any) -> Any:
        whole = list(inputs)
        for k, v in zip(chosen, values, strict=True):
            whole[k] = v
        return function(*whole)

    _, pull = dlc.vjp(of_chosen, *(inputs[k] for k in chosen))
    found = iter(pull(gradient))
    return tuple(next(found) if w else None for w in wanted)


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
        results = list(_gradients(forward, [x, weight], gradient, wanted[:2]))
    bias = None
    if wanted[2]:
        bias = dlc.sum(gradient, axis=(0, *range(2, gradient.ndim)))
    return (*results, bias)


def _pool_arguments(rank: int, size: Any, stride: Any, padding: Any) -> tuple[Any, ...]:
    size = _expanded(size, rank)
    stride = _expanded(stride, rank) if stride else size
    return size, stride, _expanded(padding, rank)


def _max_pool(rank: int) -> Callable[..., Any]:
    def forward(
        x: Any, size: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,),
        ceil_mode: bool = False,
    ) -> Any:  # fmt: skip
        """The largest element of each window, and where it is."""
        size, stride, padding = _pool_arguments(rank, size, stride, padding)
        function = getattr(dlc, f"max_pool{rank}d")
        return tuple(function(x, size, stride, padding, _expanded(dilation, rank), ceil_mode, True))

    return forward


def _max_pool_backward(rank: int) -> Callable[..., Any]:
    def backward(
        gradient: Any, x: Any, _size: Any, _stride: Any, _padding: Any, _dilation: Any,
        _ceil_mode: bool, places: Any,
    ) -> Any:  # fmt: skip
        """The gradient, added up where the largest elements are."""
        lead = x.shape[: x.ndim - rank]
        count = math.prod(x.shape[x.ndim - rank :])
        flat = dlc.zeros((*lead, count), dtype=gradient.dtype)
        index = dlc.reshape(places, (*lead, -1))
        added = dlc.scatter_add(flat, x.ndim - rank, index, dlc.reshape(gradient, (*lead, -1)))
        return dlc.reshape(added, x.shape)

    return backward


for _rank in (2, 3):
    aten(f"max_pool{_rank}d_with_indices")(_max_pool(_rank))
    aten(f"max_pool{_rank}d_with_indices_backward")(_max_pool_backward(_rank))


def _avg_pool(rank: int) -> Callable[..., Any]:
    def forward(
        x: Any, size: Any, stride: Any = (), padding: Any = (0,), ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        """The mean of each window."""
        size, stride, padding = _pool_arguments(rank, size, stride, padding)
        function = getattr(dlc, f"avg_pool{rank}d")
        extra = (divisor_override,) if rank > 1 else ()
        return function(x, size, stride, padding, ceil_mode, count_include_pad, *extra)

    return forward


def _avg_pool_backward(rank: int) -> Callable[..., Any]:
    def backward(gradient: Any, x: Any, *how: Any) -> Any:
        """The gradient of the mean of each window."""
        (result,) = _gradients(lambda x: _avg_pool(rank)(x, *how), [x], gradient, [True])
        return result

    return backward


for _rank in (1, 2, 3):
    aten(f"avg_pool{_rank}d")(_avg_pool(_rank))
    aten(f"avg_pool{_rank}d_backward")(_avg_pool_backward(_rank))


def _adaptive(rank: int) -> Callable[..., Any]:
    def forward(x: Any, size: Any) -> Any:
        """The means of windows, so that there are so many."""
        return getattr(dlc, f"adaptive_avg_pool{rank}d")(x, _expanded(size, rank))

    return forward


def _adaptive_backward(rank: int) -> Callable[..., Any]:
    def backward(gradient: Any, x: Any) -> Any:
        """The gradient of the means of windows."""
        size = gradient.shape[-rank:]
        (result,) = _gradients(lambda x: _adaptive(rank)(x, size), [x], gradient, [True])
        return result

    return backward


for _rank in (1, 2, 3):
    aten(f"_adaptive_avg_pool{_rank}d", f"adaptive_avg_pool{_rank}d")(_adaptive(_rank))
    aten(f"_adaptive_avg_pool{_rank}d_backward")(_adaptive_backward(_rank))


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


@aten("native_batch_norm_backward")
def batch_norm_backward(
    gradient: Any, x: Any, weight: Any, mean: Any, var: Any, here: Any, inverse: Any,
    training: bool, eps: float, wanted: Sequence[bool],
) -> Any:  # fmt: skip
    """The gradients of batch norm."""
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
    y = dlc.scaled_dot_product_attention(q, k, v, attn_mask, is_causal=causal, scale=scale)
    return y, dlc.zeros(q.shape[:-1], dtype=dlc.float32)  # nothing but its gradient reads them


@aten("_scaled_dot_product_flash_attention_for_cpu_backward")
def attention_backward(
    gradient: Any, q: Any, k: Any, v: Any, _y: Any, _sums: Any, _dropout: float, causal: bool, *,
    attn_mask: Any = None, scale: float | None = None,
) -> Any:  # fmt: skip
    """The gradients of attention."""

    def forward(q: Any, k: Any, v: Any) -> Any:
        return dlc.scaled_dot_product_attention(q, k, v, attn_mask, is_causal=causal, scale=scale)

    return _gradients(forward, [q, k, v], gradient, [True] * 3)


@aten("native_layer_norm")
def layer_norm(x: Any, shape: Sequence[Any], weight: Any, bias: Any, eps: float) -> Any:
    """Over the last axes, with the means and the inverse deviations."""
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
    x: Any, weight: Any, bias: Any, n: Any, channels: Any, _size: Any, groups: int, eps: float
) -> Any:
    """Groups of channels, with the means and the inverse deviations."""
    rows = dlc.reshape(x, (n, groups, -1))
    mean = dlc.mean(rows, axis=2)
    inverse = dlc.rsqrt(dlc.var(rows, axis=2) + eps)
    y = dlc.reshape((rows - mean[..., None]) * inverse[..., None], x.shape)
    del channels
    if weight is not None:
        y = y * _per_channel(weight, x.ndim)
    return (y if bias is None else y + _per_channel(bias, x.ndim)), mean, inverse


@aten("_weight_norm_interface_backward")
def weight_norm_backward(
    gradient: Any, direction: Any, size: Any, norms: Any, dim: int
) -> tuple[Any, Any]:
    """The gradients of a weight that is a direction of a given size."""
    axes = tuple(a for a in range(direction.ndim) if a != dim)
    norms = dlc.reshape(norms, size.shape)
    along = dlc.sum(gradient * direction, axis=axes, keepdims=True) / norms
    return (gradient - direction * (along / norms)) * (size / norms), along


@aten("upsample_nearest2d.vec", "upsample_nearest1d.vec", "upsample_nearest3d.vec")
def upsample_nearest(x: Any, size: Any, factors: Any) -> Any:
    """The nearest element."""
    return dlc.interpolate(x, size=size, scale_factor=factors, mode="nearest")


@aten("upsample_bilinear2d.vec")
def upsample_bilinear(x: Any, size: Any, align: bool, factors: Any) -> Any:
    """Between the four nearest elements."""
    return dlc.interpolate(x, size=size, scale_factor=factors, mode="bilinear", align_corners=align)


@aten("grid_sampler_2d")
def grid_sampler(x: Any, grid: Any, mode: int, padding: int, align: bool) -> Any:
    """Elements at given positions."""
    return dlc.nn.functional.grid_sample(
        x, grid, ("bilinear", "nearest", "bicubic")[mode],
        ("zeros", "border", "reflection")[padding], align,
    )  # fmt: skip
