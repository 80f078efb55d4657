"""Operators on pairs of elements, casts, and the like."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import dlc
from dlc.frontend.apply import apply
from dlc.interop.onnx.element_types import (
    COMPUTED,
    SMALL_INTEGERS,
    STORED,
    STRING,
    Stored,
    decode,
    encode,
    kind_of,
    numpy_type,
    stored,
)
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import as_tensor, is_text
from dlc.ir.errors import ModelError

_PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": dlc.add,
    "Sub": dlc.subtract,
    "Mul": dlc.multiply,
    "Less": dlc.less,
    "LessOrEqual": dlc.less_equal,
    "Greater": dlc.greater,
    "GreaterOrEqual": dlc.greater_equal,
    "And": dlc.logical_and,
    "Or": dlc.logical_or,
    "Xor": dlc.logical_xor,
    "BitwiseAnd": dlc.bitwise_and,
    "BitwiseOr": dlc.bitwise_or,
    "BitwiseXor": dlc.bitwise_xor,
}


def _pair(function: Callable[[Any, Any], Any], _node: Any, a: Any, b: Any) -> Any:
    return function(a, b)


for _name, _function in _PAIRS.items():
    operator(_name)(functools.partial(_pair, _function))


@operator("Equal")
def equal(_node: Any, a: Any, b: Any) -> Any:
    """Whether elements are equal; texts are compared when they are known."""
    if is_text(a) or is_text(b):
        return np.asarray(a == b)
    return dlc.equal(a, b)


@operator("Div")
def div(_node: Any, a: Any, b: Any) -> Any:
    """The quotient; of integers, towards zero."""
    if not dlc.isdtype(a.dtype, "integral"):
        return dlc.divide(a, b)
    quotient = dlc.floor_divide(a, b)
    if dlc.isdtype(a.dtype, "unsigned integer"):
        return quotient
    rest = a - quotient * b
    upwards = dlc.logical_and(rest != 0, (a < 0) != (b < 0))
    return dlc.astype(quotient + dlc.astype(upwards, a.dtype), a.dtype)


@operator("Mod")
def mod(node: Any, a: Any, b: Any) -> Any:
    """The remainder, of the divisor's sign, or of the dividend's for fmod."""
    return dlc.fmod(a, b) if node.attr("fmod", 0) else dlc.remainder(a, b)


@operator("Pow")
def power(_node: Any, a: Any, b: Any) -> Any:
    """A power of a's type."""
    if a.dtype == b.dtype:
        return dlc.pow(a, b)
    if dlc.isdtype(b.dtype, "integral") and not dlc.isdtype(a.dtype, "integral"):
        return dlc.pow(a, dlc.astype(b, a.dtype))
    if dlc.isdtype(b.dtype, "integral"):
        wide = dlc.astype(a, dlc.int64)
        return dlc.astype(dlc.pow(wide, dlc.astype(b, dlc.int64)), a.dtype)
    wide = dlc.float64 if dlc.isdtype(a.dtype, "integral") else a.dtype
    return dlc.astype(dlc.pow(dlc.astype(a, wide), dlc.astype(b, wide)), a.dtype)


@operator("BitShift")
def bit_shift(node: Any, a: Any, b: Any) -> Any:
    """Bits moved to the left or to the right."""
    left = node.attr("direction") == "LEFT"
    return (dlc.bitwise_left_shift if left else dlc.bitwise_right_shift)(a, b)


@operator("Max")
def maximum(_node: Any, *parts: Any) -> Any:
    """The largest of several tensors."""
    return functools.reduce(dlc.maximum, parts)


@operator("Min")
def minimum(_node: Any, *parts: Any) -> Any:
    """The smallest of several tensors."""
    return functools.reduce(dlc.minimum, parts)


@operator("Sum")
def total(_node: Any, *parts: Any) -> Any:
    """The sum of several tensors."""
    return functools.reduce(dlc.add, parts)


@operator("Mean")
def mean(node: Any, *parts: Any) -> Any:
    """The mean of several tensors."""
    return total(node, *parts) / len(parts)


@operator("Where")
def where(_node: Any, condition: Any, a: Any, b: Any) -> Any:
    """Elements of a or b."""
    return dlc.where(condition, a, b)


@operator("Clip")
def clip_by_attributes(node: Any, x: Any) -> Any:
    """Elements kept within limits."""
    limits = [node.attr("min", None), node.attr("max", None)]
    return dlc.clip(x, *limits)


@operator("Clip", since=11)
def clip(_node: Any, x: Any, low: Any = None, high: Any = None) -> Any:
    """Elements kept within limits that are tensors; the upper one prevails."""
    if low is not None:
        x = dlc.maximum(x, low)
    return x if high is None else dlc.minimum(x, high)


def kind_of_value(value: Any) -> int:
    """The ONNX element type of a value."""
    if isinstance(value, Stored):
        return value.kind
    return STRING if is_text(value) else kind_of(value.dtype)


def cast_to(node: Any, x: Any, kind: int) -> Any:
    """Elements as another type.

    Raises:
        ModelError: To or from text, when it is not known while tracing.
    """
    if is_text(x):
        return _from_text(x, kind)
    if kind == STRING:
        raise ModelError("a cast of computed numbers to text")
    if kind in STORED:
        numbers = decode(x) if isinstance(x, Stored) else x
        saturate = bool(node.attr("saturate", 1))
        if isinstance(x, Stored) and x.kind in SMALL_INTEGERS:
            numbers = x.codes
        return encode(
            dlc.asarray(numbers), kind, saturate=saturate, round_mode=node.attr("round_mode", "up")
        )
    target = COMPUTED.get(kind)
    if target is None:
        numpy_type(kind)
        raise ModelError(f"a cast to the element type {kind}")
    if isinstance(x, Stored):
        return dlc.astype(decode(x), target)
    if target == dlc.bool:
        return x != 0 if x.dtype != dlc.bool else x
    return dlc.astype(x, target)


def _from_text(x: Any, kind: int) -> Any:
    """Numbers that are written in a text known while tracing."""
    if kind == STRING:
        return x
    wanted = numpy_type(kind)
    numbers = np.array([float(t) for t in x.reshape(-1).tolist()], np.float64).reshape(x.shape)
    if wanted.kind in "iu":
        numbers = np.array([int(t) for t in x.reshape(-1).tolist()]).reshape(x.shape)
    return as_tensor(numbers.astype(wanted))


@operator("Cast")
def cast(node: Any, x: Any) -> Any:
    """Elements as another type."""
    return cast_to(node, x, node.attr("to"))


@operator("CastLike")
def cast_like(node: Any, x: Any, like: Any) -> Any:
    """Elements as the type of another tensor."""
    return cast_to(node, x, kind_of_value(like))


@operator("BitCast", since=26)
def bit_cast(node: Any, x: Any) -> Any:
    """The same bits as another type of the same width."""
    kind = node.attr("to")
    if isinstance(x, Stored) or kind in STORED:
        codes = x.codes if isinstance(x, Stored) else x
        if kind in STORED:
            like = stored(np.zeros((), numpy_type(kind))).codes.dtype
            return Stored(
                _same_bits(dlc.asarray(codes), dlc.int8 if like == np.int8 else dlc.uint8), kind
            )
        x = dlc.asarray(codes)
    return _same_bits(x, COMPUTED[kind])


def _same_bits(x: Any, dtype: Any) -> Any:
    if x.dtype == dlc.bool:
        x = dlc.astype(x, dlc.uint8)
    return x if dtype == x.dtype else apply("bitcast", x, dtype=dtype)
