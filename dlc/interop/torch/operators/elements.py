"""Operators on elements."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

import dlc
from dlc.frontend.apply import apply
from dlc.interop.torch.arrays import dtype_of
from dlc.interop.torch.operators.arguments import fitted, operand, times
from dlc.interop.torch.table import Function, aten

_UNARY: dict[str, Callable[[Any], Any]] = {
    "abs": dlc.abs, "acos": dlc.acos, "acosh": dlc.acosh, "asin": dlc.asin, "asinh": dlc.asinh,
    "atan": dlc.atan, "atanh": dlc.atanh, "bitwise_not": dlc.bitwise_invert, "ceil": dlc.ceil,
    "cos": dlc.cos, "cosh": dlc.cosh, "erf": dlc.erf, "erfc": dlc.erfc, "exp": dlc.exp,
    "exp2": dlc.exp2, "expm1": dlc.expm1, "floor": dlc.floor, "isinf": dlc.isinf,
    "isnan": dlc.isnan, "log": dlc.log, "log10": dlc.log10, "log1p": dlc.log1p, "log2": dlc.log2,
    "neg": dlc.negative, "reciprocal": dlc.reciprocal, "relu": lambda x: dlc.maximum(x, 0),
    "rsqrt": dlc.rsqrt, "sigmoid": dlc.sigmoid, "sin": dlc.sin, "sinh": dlc.sinh,
    "sqrt": dlc.sqrt, "tan": dlc.tan, "tanh": dlc.tanh, "trunc": dlc.trunc, "erfinv": dlc.erfinv,
    "digamma": dlc.digamma, "lgamma": dlc.lgamma, "signbit": dlc.signbit, "square": dlc.square,
    "logical_not": lambda x: x == 0, "silu": dlc.silu,
}  # fmt: skip
_FLOATS = {
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "erf", "erfc", "exp", "exp2",
    "expm1", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sigmoid", "sin", "sinh",
    "sqrt", "tan", "tanh", "erfinv", "digamma", "lgamma",
}  # fmt: skip


def is_float(x: Any) -> bool:
    """Whether elements are floats."""
    return dlc.isdtype(x.dtype, "real floating")


def as_float(x: Any) -> Any:
    """Integers as float32, as PyTorch computes functions of them."""
    return x if not hasattr(x, "dtype") or is_float(x) else dlc.astype(x, dlc.float32)


def _unary(name: str, x: Any) -> Any:
    if name in ("ceil", "floor", "trunc") and not is_float(x):
        return x
    if name in ("isinf", "isnan") and not is_float(x):
        return dlc.zeros(x.shape, dtype=dlc.bool)
    return _UNARY[name](as_float(x) if name in _FLOATS else x)


for _name in _UNARY:
    aten(_name)(functools.partial(_unary, _name))


@aten("sign", "sgn")
def sign(x: Any) -> Any:
    """-1, 0 or 1."""
    return dlc.where(x == x, dlc.sign(x), 0) if x.dtype != dlc.bool else x  # noqa: PLR0124  NaN


@aten("round")
def round_(x: Any, *, decimals: int = 0) -> Any:
    """The nearest integer, the even one of two."""
    if not is_float(x):
        return x
    if not decimals:
        return dlc.round(x)
    scale = 10.0**decimals
    return dlc.round(x * scale) / scale


def _number(x: Any) -> Any:
    """Bools as integers, for arithmetic."""
    return dlc.astype(x, dlc.int64) if getattr(x, "dtype", None) == dlc.bool else x


def _pairs(*names: str, by: str = "dtype", digits: bool = False) -> Callable[[Function], Function]:
    """Rows of (a, b, ...) that PyTorch converts to one element type first.

    Args:
        names: Those of the rows.
        by: What the row needs to know this type.
        digits: Whether b, where it is a single element, is not rounded to 16-bit floats.
    """

    def add(function: Function) -> Function:
        @functools.wraps(function)
        def run(a: Any, b: Any, *args: Any, **keywords: Any) -> Any:
            dtype = keywords.pop(by)
            if digits and dtype in (dlc.float16, dlc.bfloat16) and _is_inexact(b, dtype):
                dtype = dlc.float32
            return function(operand(a, dtype), operand(b, dtype), *args, **keywords)

        aten(*names, needs=(by,))(run)
        return function

    return add


def _is_inexact(x: Any, dtype: Any) -> bool:
    """Whether a single element may be none of a type's."""
    if hasattr(x, "dtype"):
        return x.ndim == 0 and x.dtype != dtype
    with np.errstate(over="ignore"):
        return isinstance(x, (int, float)) and float(dtype.numpy.type(x)) != x


@_pairs("add")
def add(a: Any, b: Any, *, alpha: float = 1) -> Any:
    """a + alpha b."""
    if getattr(a, "dtype", None) == dlc.bool and getattr(b, "dtype", 0) == dlc.bool:
        return dlc.logical_or(a, b) if alpha else a
    return _number(a) + (_number(b) if alpha == 1 else times(_number(b), alpha))


@_pairs("sub")
def sub(a: Any, b: Any, *, alpha: float = 1) -> Any:
    """a - alpha b."""
    return _number(a) - (_number(b) if alpha == 1 else times(_number(b), alpha))


@_pairs("rsub")
def rsub(a: Any, b: Any, *, alpha: float = 1) -> Any:
    """b - alpha a."""
    return sub(b, a, alpha=alpha)


@_pairs("mul", digits=True)
def mul(a: Any, b: Any) -> Any:
    """a b."""
    if getattr(a, "dtype", None) == dlc.bool and getattr(b, "dtype", None) == dlc.bool:
        return dlc.logical_and(a, b)
    return _number(a) * _number(b)


@_pairs("div", "true_divide", digits=True)
def div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Any:
    """a / b, rounded down or towards zero if asked for."""
    if rounding_mode is None:
        return dlc.divide(a, b)
    if rounding_mode == "floor":
        return _floor_divided(a, b)
    if is_float(a if hasattr(a, "dtype") else b):
        return dlc.trunc(dlc.divide(a, b))
    rest = dlc.fmod(a, b)
    return dlc.floor_divide(a - rest, b)


def _floor_divided(a: Any, b: Any) -> Any:
    """a / b rounded down; NaN of an infinite a, -1 of a number by an infinity of another sign."""
    quotient = dlc.floor_divide(a, b)
    if not is_float(quotient):
        return quotient
    quotient = dlc.where(dlc.isinf(dlc.asarray(b)) & (a * b < 0), -1, quotient)
    return dlc.where(dlc.isinf(dlc.asarray(a)) & (b != 0), math.nan, quotient)


@_pairs("fmod")
def fmod(a: Any, b: Any) -> Any:
    """The remainder, of the dividend's sign."""
    return dlc.fmod(a, b)


@_pairs("remainder")
def remainder(a: Any, b: Any) -> Any:
    """The remainder, of the divisor's sign."""
    return dlc.remainder(a, b)


@aten("pow", needs=("dtype",))
def power(a: Any, b: Any, *, dtype: Any) -> Any:
    """a to the b."""
    a = operand(a, dtype)
    if hasattr(b, "dtype"):
        return dlc.pow(a, operand(b, dtype))
    if b == 2:
        return a * a
    return dlc.sqrt(a) if b == 0.5 else dlc.pow(a, b)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": dlc.equal, "ne": dlc.not_equal, "lt": dlc.less, "le": dlc.less_equal,
    "gt": dlc.greater, "ge": dlc.greater_equal,
    "logical_and": lambda a, b: dlc.logical_and(a != 0, b != 0),
    "logical_or": lambda a, b: dlc.logical_or(a != 0, b != 0),
    "logical_xor": lambda a, b: dlc.logical_xor(a != 0, b != 0),
}  # fmt: skip
_PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "atan2": dlc.atan2, "maximum": dlc.maximum, "minimum": dlc.minimum,
    "fmax": dlc.fmax, "fmin": dlc.fmin, "hypot": dlc.hypot, "copysign": dlc.copysign,
    "nextafter": dlc.nextafter, "gcd": dlc.gcd,
    "bitwise_and": dlc.bitwise_and, "bitwise_or": dlc.bitwise_or, "bitwise_xor": dlc.bitwise_xor,
    "bitwise_left_shift": dlc.bitwise_left_shift, "__lshift__": dlc.bitwise_left_shift,
    "bitwise_right_shift": dlc.bitwise_right_shift, "__rshift__": dlc.bitwise_right_shift,
    "heaviside": dlc.heaviside,
}  # fmt: skip


def _pair(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    return function(a, b)


for _name, _function in _PAIRS.items():
    _pairs(_name)(functools.partial(_pair, _function))
for _name, _function in _COMPARISONS.items():
    _pairs(_name, by="common")(functools.partial(_pair, _function))


@aten("fma")
def fma(a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""
    dtype = dlc.result_type(*(x for x in (a, b, c) if isinstance(x, dlc.Tensor)))
    if not dlc.isdtype(dtype, "real floating"):
        return a * b + c
    given = [dlc.asarray(x, dtype=dtype) for x in (a, b, c)]
    return apply("fma", *dlc.broadcast_arrays(*given))


@aten("where", needs=("dtype",))
def where(condition: Any, a: Any, b: Any, *, dtype: Any) -> Any:
    """Elements of a or b."""
    held = condition != 0 if condition.dtype != dlc.bool else condition
    return dlc.where(held, operand(a, dtype), operand(b, dtype))


@aten("clamp", needs=("dtype",))
def clamp(x: Any, low: Any = None, high: Any = None, *, dtype: Any) -> Any:
    """Kept within limits; the upper one prevails."""
    x = operand(x, dtype)
    if low is not None:
        x = dlc.maximum(x, _limit(low, dtype))
    return x if high is None else dlc.minimum(x, _limit(high, dtype))


def _limit(x: Any, dtype: Any) -> Any:
    return operand(x, dtype) if hasattr(x, "dtype") else fitted(x, dtype)


@aten("hardtanh")
def hardtanh(x: Any, low: float = -1, high: float = 1) -> Any:
    """Kept within limits."""
    return dlc.clip(x, low, high)


@aten("leaky_relu")
def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """A fraction of what is below zero."""
    return dlc.where(x > 0, x, x * slope)


@aten("elu")
def elu(x: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    """Exponential below zero."""
    return dlc.where(x > 0, x * scale, dlc.expm1(x * input_scale) * (alpha * scale))


@aten("gelu")
def gelu(x: Any, *, approximate: str = "none") -> Any:
    """Gaussian error linear unit."""
    return dlc.gelu(x, approximate=approximate)


@aten("threshold_backward")
def threshold_backward(gradient: Any, x: Any, limit: float) -> Any:
    """The gradient above a limit."""
    return dlc.where(x <= limit, 0, gradient)


@aten("alias", "detach", "clone", "lift_fresh_copy", "contiguous")
def same(x: Any, **_keywords: Any) -> Any:
    """The tensor itself."""
    return x


@aten("view.dtype", "view_copy.dtype")
def view_dtype(x: Any, dtype: Any) -> Any:
    """The bits read as another element type, of which the last axis has more or fewer."""
    wanted = dtype_of(dtype)
    x = dlc.astype(x, dlc.uint8) if x.dtype == dlc.bool else x
    bits = 8 if wanted == dlc.bool else wanted.bits
    given, made = _unsigned(x.dtype.bits), _unsigned(bits)
    x = x if x.dtype == given else apply("bitcast", x, dtype=given)
    if given.bits > bits:  # the lowest bits come first
        parts = [dlc.astype(x >> k, made) for k in range(0, given.bits, bits)]
        x = dlc.stack(parts, axis=-1).reshape(*x.shape[:-1], x.shape[-1] * len(parts))
    elif given.bits < bits:
        count = bits // given.bits
        pieces = dlc.astype(x, made).reshape(*x.shape[:-1], x.shape[-1] // count, count)
        x = functools.reduce(
            operator.or_, (pieces[..., k] << (k * given.bits) for k in range(count))
        )
    if wanted == dlc.bool:
        return x != 0
    return x if wanted == made else apply("bitcast", x, dtype=wanted)


def _unsigned(bits: int) -> Any:
    return getattr(dlc, f"uint{bits}")


@aten("_to_copy", "convert_element_type", "to")
def to_copy(x: Any, *_args: Any, **_keywords: Any) -> Any:
    """Elements as another type: that which the result has."""
    return x


@aten("copy")
def copy(x: Any, source: Any, _non_blocking: bool = False) -> Any:
    """The elements of another tensor, in the shape of x."""
    return dlc.broadcast_to(source, x.shape)
