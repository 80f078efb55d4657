"""The NumPy meaning of each scalar op: the op rows, the folder and the interpreters share it.

`NUMPY_SCALAR[name](*arrays)` broadcasts its arguments, which have the dtypes that the op takes, and
returns an array of the result's dtype; `convert` and `bitcast` take that dtype as last argument.
No function warns or raises for a value. Math functions (rows with `math`) of less than float64 are
computed at float64 and rounded once; other ops on float16 and bfloat16 are computed at float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dlc.ir.deferred import deferred
from dlc.ir.scalar import SCALAR_OPS
from dlc.ir.types import DType, bfloat16, bool_, dtype_of

if TYPE_CHECKING:
    import fractions
else:
    fractions = deferred("fractions")

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Meaning: TypeAlias = Callable[..., Array]

_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)


def _odd_sum(a: Array, b: Array) -> Array:
    """The sum at float64, rounded to odd if inexact, so that a narrower rounding stays right."""
    s = a + b
    t = s - a
    error = (a - (s - t)) + (b - t)
    even = (s.view(np.int64) & 1) == 0
    moved = np.nextafter(s, np.where(error > 0, np.inf, -np.inf))
    return np.where((error != 0) & np.isfinite(error) & even, moved, s)


def _split(a: Array) -> tuple[Array, Array]:
    """Dekker's split of float64 into two halves of 26 bits."""
    c = a * 134217729.0
    high = c - (c - a)
    return high, a - high


def _fma_in_range(a: Array, b: Array, c: Array) -> Array:
    """The fma of float64 where nothing overflows or underflows (Boldo and Melquiond)."""
    (ah, al), (bh, bl) = _split(a), _split(b)
    product = a * b
    low = al * bl - (((product - ah * bh) - al * bh) - ah * bl)
    s = c + low
    t = s - c
    s_error = (c - (s - t)) + (low - t)
    total = product + s
    t = total - product
    error = (product - (total - t)) + (s - t)
    return total + _odd_sum(s_error, error)


def _fma_exact(a: float, b: float, c: float) -> float:
    exact = fractions.Fraction(a) * fractions.Fraction(b) + fractions.Fraction(c)
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _fma64(a: Array, b: Array, c: Array) -> Array:
    a, b, c = (np.array(x) for x in np.broadcast_arrays(a, b, c))
    # a*b overflows only above; a finite product cannot change an infinite or NaN c.
    result = np.where(np.isfinite(a) & np.isfinite(b) & ~np.isfinite(c), c, a * b + c)
    finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c) & (a != 0) & (b != 0)
    usual = finite & (c != 0)
    for x, bound in ((a, 400), (b, 400), (c, 900)):
        usual &= (np.abs(x) > 2.0**-bound) & (np.abs(x) < 2.0**bound)
    result[usual] = _fma_in_range(a[usual], b[usual], c[usual])
    for i in np.argwhere(finite & ~usual):
        at = tuple(i)
        result[at] = _fma_exact(float(a[at]), float(b[at]), float(c[at]))
    return result


def _fma(a: Array, b: Array, c: Array) -> Array:
    if a.dtype == _F64:
        return _fma64(a, b, c)
    # A product of two float32 is exact at float64.
    product = a.astype(_F64) * b.astype(_F64)
    return _odd_sum(*np.broadcast_arrays(product, c.astype(_F64))).astype(a.dtype)


def _ldexp(x: Array, n: Array) -> Array:
    limit = 4.0 * np.finfo(x.dtype).maxexp
    return np.ldexp(x, np.clip(np.nan_to_num(n), -limit, limit).astype(np.int32))


def _minimum(a: Array, b: Array) -> Array:
    result = np.minimum(a, b)
    if a.dtype.kind != "f":
        return result
    # -0.0 orders before 0.0, so that the order of a reduction cannot show.
    return np.where((a == 0) & (b == 0), -(-a - b), result)


def _maximum(a: Array, b: Array) -> Array:
    result = np.maximum(a, b)
    return result if a.dtype.kind != "f" else np.where((a == 0) & (b == 0), a + b, result)


def _floor_divide(a: Array, b: Array) -> Array:
    result = np.floor_divide(a, b)
    if a.dtype.kind != "f":
        return result
    # Of and by infinities the Array API has the floor of the quotient, and NumPy what fits `mod`.
    return np.where(np.isinf(a) | np.isinf(b), np.floor(a / b), result)


def _shift_left(a: Array, count: Array) -> Array:
    ok = (count >= 0) & (count < a.dtype.itemsize * 8)
    zero = a.dtype.type(0)
    return np.where(ok, np.left_shift(a, np.where(ok, count, zero)), zero)


def _shift_right(a: Array, count: Array) -> Array:
    top = a.dtype.itemsize * 8 - 1
    ok = (count >= 0) & (count <= top)
    zero = a.dtype.type(0)
    beyond = np.where(a < 0, ~zero, zero)
    return np.where(ok, np.right_shift(a, np.where(ok, count, zero)), beyond)


def _float_to_integer(x: Array, target: np.dtype[Any]) -> Array:
    limits = np.iinfo(target)
    whole = np.trunc(x.astype(_F64))
    below, above = whole < float(limits.min), whole >= float(int(limits.max) + 1)
    inside = np.where(below | above | np.isnan(whole), 0.0, whole).astype(target)
    inside = np.where(below, target.type(limits.min), inside)
    return np.where(above, target.type(limits.max), inside)


def _to_bfloat16(x: Array) -> Array:
    """Rounded once: NumPy's own conversion goes through float32 and can round twice."""
    if x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        # Of more than 53 bits, those that float64 cannot hold only matter as "not zero".
        low = x & x.dtype.type(0x7FF)
        big = (x >= 2**53) if x.dtype.kind == "u" else ((x >= 2**53) | (x <= -(2**53)))
        x = np.where(big & (low != 0), (x - low) | x.dtype.type(0x400), x)
    if x.dtype.kind in "iu":
        x = x.astype(_F64)
    if x.dtype == _F64:
        single = x.astype(_F32)
        back = single.astype(_F64)
        even = (single.view(np.int32) & 1) == 0
        moved = np.nextafter(single, np.where(x > back, np.inf, -np.inf).astype(_F32))
        inexact = (x != back) & np.isfinite(x) & np.isfinite(single) & even
        x = np.where(inexact, moved, single)
    return x.astype(bfloat16.numpy)


def _convert(x: Array, dtype: DType) -> Array:
    target = dtype.numpy
    source = dtype_of(x.dtype)
    if source is dtype:
        return x
    if dtype is bool_:
        return x != x.dtype.type(0)
    if source.is_float and dtype.is_integer:
        return _float_to_integer(x, target)
    return _to_bfloat16(x) if dtype is bfloat16 else x.astype(target)


def _bitcast(x: Array, dtype: DType) -> Array:
    return np.ascontiguousarray(x).view(dtype.numpy).reshape(x.shape)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _elementwise(f: Callable[[float], float]) -> Meaning:
    ufunc = np.frompyfunc(f, 1, 1)
    return lambda x: np.asarray(ufunc(x), _F64)


def _rsqrt(x: Array) -> Array:
    return 1 / np.sqrt(x)


_BASIC: dict[str, Meaning] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "min": _minimum, "max": _maximum,
    "floordiv": _floor_divide, "mod": np.mod, "div": np.divide, "ldexp": _ldexp,
    "fma": _fma, "neg": np.negative,
    "abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "rint": np.rint,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "not": np.invert, "shl": _shift_left, "shr": _shift_right, "select": np.where,
    "convert": _convert, "bitcast": _bitcast,
}  # fmt: skip
_MATH: dict[str, Meaning] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "erf": _elementwise(math.erf),
    "erfc": _elementwise(math.erfc), "sigmoid": _sigmoid, "rsqrt": _rsqrt, "cbrt": np.cbrt,
    "pow": np.power, "atan2": np.arctan2, "hypot": np.hypot,
}  # fmt: skip
_AS_GIVEN = frozenset({"select", "convert", "bitcast"})


def _quiet(name: str) -> Meaning:
    """The meaning of `name` without warnings, computed at the width stated above."""
    wide = None if name in _AS_GIVEN else _F64 if name in _MATH else _F32
    plain = _MATH.get(name) or _BASIC[name]

    def meaning(*args: Any) -> Array:
        arrays = [a if isinstance(a, DType) else np.asarray(a) for a in args]
        last = arrays[-1]
        with np.errstate(all="ignore"):
            if wide is None or isinstance(last, DType) or not _is_narrower(last.dtype, wide):
                return np.asarray(plain(*arrays))
            result = np.asarray(plain(*(np.asarray(a).astype(wide) for a in arrays)))
            return result if result.dtype == np.bool_ else _convert(result, dtype_of(last.dtype))

    meaning.__name__ = name
    return meaning


def _is_narrower(dtype: np.dtype[Any], wide: np.dtype[Any]) -> bool:
    return dtype_of(dtype).is_float and dtype.itemsize < wide.itemsize


NUMPY_SCALAR: dict[str, Meaning] = {name: _quiet(name) for name in SCALAR_OPS}
