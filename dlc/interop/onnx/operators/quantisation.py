"""Numbers of few bits: scales and zero points."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.element_types import (
    COMPUTED,
    SMALL_INTEGERS,
    STORED,
    UINT8,
    Stored,
    decode,
    encode,
    is_float,
    kind_of,
)
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.operators.convolution import conv


def _aligned(p: Any, x: Any, axis: int, block: int) -> Any:
    """A scale or zero point so that it fits x: one number, one a slice, or one a block."""
    if p.ndim == 0 or (p.ndim == 1 and p.size == 1 and not block):
        return dlc.reshape(p, ())
    axis %= x.ndim
    if not block and p.ndim == 1:
        shape = [1] * x.ndim
        shape[axis] = -1
        return dlc.reshape(p, tuple(shape))
    if not block:
        return p
    index: list[slice] = [slice(None)] * x.ndim
    index[axis] = slice(0, x.shape[axis])
    return dlc.repeat(p, block, axis=axis)[tuple(index)]


def _numbers(value: Any, dtype: Any) -> Any:
    if isinstance(value, Stored):
        return decode(value, dtype)
    return dlc.astype(value, dtype)


def _limits(kind: int) -> tuple[float, float]:
    if kind in COMPUTED:
        info = np.iinfo(np.dtype(COMPUTED[kind].numpy))
        return float(info.min), float(info.max)
    low, high = SMALL_INTEGERS[kind]
    return float(low), float(high)


def quantised(y: Any, kind: int, zero: Any, saturate: bool = True) -> Any:
    """Scaled numbers as elements of a type: rounded to even, moved by the zero point, cut."""
    if is_float(kind):
        return encode(y if zero is None else y + zero, kind, saturate=saturate)
    y = dlc.round(y)
    if zero is not None:
        y = y + zero
    y = dlc.clip(y, *_limits(kind))
    return encode(y, kind) if kind in STORED else dlc.astype(y, COMPUTED[kind])


@operator("QuantizeLinear")
def quantize_linear(node: Any, x: Any, scale: Any, zero: Any = None) -> Any:
    """x / scale + zero point, as a type of few bits."""
    kind = node.attr("output_dtype", 0)
    if not kind:
        kind = UINT8
        if zero is not None:
            kind = zero.kind if isinstance(zero, Stored) else kind_of(zero.dtype)
    axis, block = node.attr("axis", 1), node.attr("block_size", 0)
    precision = node.attr("precision", 0)
    wide = dlc.float32
    if precision:
        wide = COMPUTED[precision]
    elif x.dtype == dlc.float64 or scale_type(scale) == dlc.float64:
        wide = dlc.float64
    s = _aligned(_numbers(scale, wide), x, axis, block)
    z = None if zero is None else _aligned(_numbers(zero, wide), x, axis, block)
    return quantised(dlc.astype(x, wide) / s, kind, z, bool(node.attr("saturate", 1)))


def scale_type(scale: Any) -> Any:
    """The type of a scale."""
    return dlc.float32 if isinstance(scale, Stored) else scale.dtype


@operator("DequantizeLinear")
def dequantize_linear(node: Any, x: Any, scale: Any, zero: Any = None) -> Any:
    """(x - zero point) * scale, as floats."""
    kind = node.attr("output_dtype", 0)
    result = COMPUTED[kind] if kind else scale_type(scale)
    plain = x.codes if isinstance(x, Stored) else x
    axis, block = node.attr("axis", 1), node.attr("block_size", 0)
    wide = dlc.float64 if result == dlc.float64 else dlc.float32
    y = _numbers(x, wide)
    if zero is not None:
        y = y - _aligned(_numbers(zero, wide), plain, axis, block)
    return dlc.astype(y * _aligned(_numbers(scale, wide), plain, axis, block), result)


@operator("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(_node: Any, x: Any) -> Any:
    """uint8, by the range of the elements, zero included."""
    low, high = dlc.minimum(dlc.min(x), 0), dlc.maximum(dlc.max(x), 0)
    scale = dlc.astype((high - low) / 255, dlc.float32)
    safe = dlc.where(scale == 0, 1, scale)
    zero = dlc.clip(dlc.round(-low / safe), 0, 255)
    return quantised(x / safe, UINT8, zero), scale, dlc.astype(zero, dlc.uint8)


@operator("QLinearMatMul")
def qlinear_matmul(
    _node: Any, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any,
    y_scale: Any, y_zero: Any,
) -> Any:  # fmt: skip
    """The product of quantised matrices, quantised."""

    def rows(p: Any) -> Any:
        return dlc.expand_dims(p, -1) if p.ndim == 1 and p.size > 1 else p

    wide = dlc.int32
    total = (dlc.astype(a, wide) - dlc.astype(rows(a_zero), wide)) @ (
        dlc.astype(b, wide) - dlc.astype(b_zero, wide)
    )
    number = dlc.float32
    scale = dlc.astype(rows(a_scale), number) * dlc.astype(b_scale, number)
    y = dlc.astype(total, number) * scale / dlc.astype(rows(y_scale), number)
    return quantised(y, kind_of(y_zero.dtype), dlc.astype(rows(y_zero), number))


@operator("QLinearConv", since=10)
def qlinear_conv(
    node: Any, x: Any, x_scale: Any, x_zero: Any, weight: Any, w_scale: Any, w_zero: Any,
    y_scale: Any, y_zero: Any, bias: Any = None,
) -> Any:  # fmt: skip
    """The convolution of quantised tensors, quantised."""
    rank = x.ndim - 2

    def channels(p: Any, before: int) -> Any:
        if p.ndim == 0 or p.size == 1:
            return dlc.reshape(p, ())
        return dlc.reshape(p, (*[1] * before, -1, *[1] * (rank + 1 - before)))

    wide = dlc.int32
    moved = dlc.astype(x, wide) - dlc.astype(dlc.reshape(x_zero, ()), wide)
    filters = dlc.astype(weight, wide) - dlc.astype(channels(w_zero, 0), wide)
    total = conv(node, moved, filters, bias)
    number = dlc.float32
    factor = dlc.reshape(dlc.astype(x_scale, number), ()) / dlc.reshape(
        dlc.astype(y_scale, number), ()
    )
    w = dlc.astype(w_scale, number)
    w = dlc.reshape(w, ()) if w.size == 1 else dlc.reshape(w, (1, -1, *[1] * rank))
    y = dlc.astype(total, number) * (w * factor)
    return quantised(y, kind_of(y_zero.dtype), dlc.reshape(dlc.astype(y_zero, number), ()))
