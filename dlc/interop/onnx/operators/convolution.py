"""Products: of matrices, and convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dlc
from dlc.interop.onnx.operator_table import operator

Pairs = list[tuple[Any, Any]]


def window_pads(
    node: Any,
    extents: Sequence[Any],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pairs:
    """What is added before and behind each axis, by `auto_pad` or `pads`."""
    auto = node.attr("auto_pad", "NOTSET")
    if auto == "VALID":
        return [(0, 0)] * len(sizes)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pairs: Pairs = []
        for extent, size, stride, dilation in zip(extents, sizes, strides, dilations, strict=True):
            covered = (size - 1) * dilation + 1
            count = (extent + stride - 1) // stride
            whole = max(0, (count - 1) * stride + covered - extent)
            small, large = whole // 2, whole - whole // 2
            pairs.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return pairs
    pads = node.attr("pads", [0] * (2 * len(sizes)))
    half = len(sizes)
    return list(zip(pads[:half], pads[half:], strict=True))


def _steps(node: Any, rank: int) -> tuple[list[int], list[int]]:
    return node.attr("strides", [1] * rank), node.attr("dilations", [1] * rank)


@operator("Conv")
def conv(node: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    """A convolution."""
    rank = x.ndim - 2
    strides, dilations = _steps(node, rank)
    pads = window_pads(node, x.shape[2:], weight.shape[2:], strides, dilations)
    return dlc.conv(
        x, weight, bias, stride=tuple(strides), padding=pads, dilation=tuple(dilations),
        groups=node.attr("group", 1),
    )  # fmt: skip


@operator("ConvInteger", since=10)
def conv_integer(
    node: Any, x: Any, weight: Any, x_zero: Any = None, weight_zero: Any = None
) -> Any:
    """A convolution of 8-bit integers in 32 bits."""
    x, weight = dlc.astype(x, dlc.int32), dlc.astype(weight, dlc.int32)
    if x_zero is not None:
        x = x - dlc.astype(x_zero, dlc.int32)
    if weight_zero is not None:
        zero = dlc.astype(weight_zero, dlc.int32)
        weight = weight - (dlc.reshape(zero, (-1, *[1] * (weight.ndim - 1))) if zero.ndim else zero)
    return conv(node, x, weight)


@operator("ConvTranspose")
def conv_transpose(node: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    """The transpose of a convolution."""
    rank = x.ndim - 2
    strides, dilations = _steps(node, rank)
    extra = node.attr("output_padding", [0] * rank)
    function = getattr(dlc, f"conv_transpose{rank}d")
    whole = function(
        x, weight, stride=tuple(strides), dilation=tuple(dilations), groups=node.attr("group", 1)
    )
    pads = _transposed_pads(node, x, whole, strides, extra)
    index: list[slice] = [slice(None)] * 2
    widths: list[tuple[Any, Any]] = [(0, 0)] * 2
    for k, (before, behind) in enumerate(pads):
        extent = whole.shape[2 + k] + extra[k]
        widths.append((0, extra[k] + max(0, -behind)))
        index.append(slice(before, extent - behind))
    result = dlc.pad(whole, widths)[tuple(index)]
    return result if bias is None else result + dlc.reshape(bias, (1, -1, *[1] * rank))


def _transposed_pads(
    node: Any, x: Any, whole: Any, strides: Sequence[int], extra: Sequence[int]
) -> Pairs:
    rank = len(strides)
    wanted = node.attr("output_shape", None)
    auto = node.attr("auto_pad", "NOTSET")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [x.shape[2 + k] * strides[k] for k in range(rank)]
    if wanted is None:
        pads = node.attr("pads", [0] * (2 * rank))
        return list(zip(pads[:rank], pads[rank:], strict=True))
    pairs: Pairs = []
    for k, extent in enumerate(wanted[-rank:]):
        total = whole.shape[2 + k] + extra[k] - extent
        if total < 0:  # more than there is: zeros behind
            pairs.append((0, total))
            continue
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return pairs


@operator("CausalConvWithState", since=27)
def causal_conv(node: Any, x: Any, weight: Any, bias: Any = None, past: Any = None) -> Any:
    """A convolution of each channel over its past, and what the next call needs of it."""
    kept = weight.shape[-1] - 1
    if past is None:
        past = dlc.zeros((*x.shape[:2], kept), dtype=x.dtype)
    whole = dlc.concat([past, x], axis=-1)
    y = dlc.conv(whole, weight, bias, groups=x.shape[1])
    if node.attr("activation", "none") in ("silu", "swish"):
        y = y * dlc.sigmoid(y)
    length = whole.shape[-1]
    return y, whole[..., length - kept : length]


@operator("MatMul")
def matmul(_node: Any, a: Any, b: Any) -> Any:
    """The product of matrices."""
    return dlc.matmul(a, b)


@operator("MatMulInteger", since=10)
def matmul_integer(_node: Any, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    """The product of 8-bit integers in 32 bits."""
    a, b = dlc.astype(a, dlc.int32), dlc.astype(b, dlc.int32)
    if a_zero is not None:
        zero = dlc.astype(a_zero, dlc.int32)
        a = a - (dlc.expand_dims(zero, -1) if zero.ndim == 1 and zero.size > 1 else zero)
    return dlc.matmul(a, b if b_zero is None else b - dlc.astype(b_zero, dlc.int32))


@operator("Gemm")
def gemm(node: Any, a: Any, b: Any, c: Any = None) -> Any:
    """alpha a b + beta c."""
    a = a.mT if node.attr("transA", 0) else a
    b = b.mT if node.attr("transB", 0) else b
    alpha, beta = node.attr("alpha", 1.0), node.attr("beta", 1.0)
    y = dlc.matmul(a, b)
    if alpha != 1.0:
        y = dlc.astype(y * alpha, a.dtype)
    if c is None or beta == 0.0:
        return y
    return y + (c if beta == 1.0 else dlc.astype(c * beta, a.dtype))


@operator("Einsum", since=12)
def einsum(node: Any, *parts: Any) -> Any:
    """A sum over products, written in Einstein's notation."""
    return dlc.einsum(node.attr("equation").replace(" ", ""), *parts)


@operator("Det")
def det(_node: Any, x: Any) -> Any:
    """The determinants of matrices."""
    return dlc.linalg.det(x)


@operator("Col2Im", since=18, known=(1, 2))
def col2im(node: Any, x: Any, image: Any, block: Any) -> Any:
    """Blocks added up where they overlap."""
    extents, sizes = [int(n) for n in image], [int(n) for n in block]
    rank = len(extents)
    strides, dilations = _steps(node, rank)
    pads = node.attr("pads", [0] * (2 * rank))
    whole = [e + pads[k] + pads[k + rank] for k, e in enumerate(extents)]
    counts = [
        (w - (s - 1) * d - 1) // t + 1
        for w, s, d, t in zip(whole, sizes, dilations, strides, strict=True)
    ]
    n, channels = x.shape[0], x.shape[1] // math.prod(sizes)
    blocks = dlc.reshape(x, (n, channels, *sizes, *counts))
    places: Any = 0
    for k in range(rank):
        shape = [1] * (2 * rank)
        shape[k], shape[rank + k] = sizes[k], counts[k]
        inside = dlc.reshape(dlc.arange(sizes[k]) * dilations[k], (-1, 1))
        along = inside + dlc.arange(counts[k]) * strides[k]
        places = places * whole[k] + dlc.reshape(along, tuple(shape))
    flat = dlc.zeros((n, channels, math.prod(whole)), dtype=x.dtype)
    index = dlc.broadcast_to(dlc.reshape(places, (-1,)), (n, channels, places.size))
    values = dlc.reshape(blocks, (n, channels, -1))
    made = dlc.reshape(dlc.scatter_add(flat, 2, index, values), (n, channels, *whole))
    inner = [slice(pads[k], pads[k] + extents[k]) for k in range(rank)]
    return made[(slice(None), slice(None), *inner)]
