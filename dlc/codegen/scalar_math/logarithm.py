"""log and its family: log2, log10, log1p, asinh, acosh, atanh.

x = m * 2^k with m in [sqrt(1/2), sqrt(2)), f = m - 1. float32: log(1+f) = f + f^2*R(f), degree 8,
relative error 2^-27.9. float64: with s = f/(2+f) and z = s^2, log(1+f) = f - f^2/2 + s*(f^2/2 +
z*Q(z)), degree 6, 2^-58.5. Coefficients: Remez exchange at 60 digits, the error weighed relative
to log(1+f).
"""

from __future__ import annotations

from dlc.codegen.scalar_math.value import Value, float_bits, fma, horner, select, with_sign
from dlc.ir.types import DType, float32

_R32 = (
    -0.49999988079071045, 0.33333325386047363, -0.25001582503318787, 0.2000197321176529,
    -0.16609084606170654, 0.1418183445930481, -0.13242985308170319, 0.12904366850852966,
    -0.07621696591377258,
)  # fmt: skip
_Q64 = (
    0.6666666666666734, 0.3999999999941353, 0.28571428742664623, 0.22222198542597085,
    0.1818356602381777, 0.15314004455818975, 0.14796436627954473,
)  # fmt: skip
_SQRT_HALF = 0.7071067811865476
# Constants in two parts: a product with the first, then one with the second.
_LN2 = {
    32: (0.6931471824645996, -1.904654323148236e-09),
    64: (0.6931471805599453, 2.3190468138462996e-17),
}
_LOG10_2 = {
    32: (0.3010300099849701, -1.4320989e-08),
    64: (0.30102999566398120, -2.8037281277851704e-18),
}
_LOG2E, _LOG10E = 1.4426950408889634, 0.4342944819032518


def _layout(dtype: DType) -> tuple[int, int]:
    return (23, 127) if dtype is float32 else (52, 1023)


def decompose(x: Value) -> tuple[Value, Value]:
    """k as a float and m of a positive finite x = m * 2^k; anything for other x."""
    fraction, bias = _layout(x.dtype)
    subnormal = x < 2.0 ** (1 - bias)
    raised = select(subnormal, x * 2.0**fraction, x)
    start = float_bits(_SQRT_HALF, x.dtype)
    # The field of the exponent now counts from sqrt(1/2).
    shifted = raised.bits + ((bias << fraction) - start)
    m = ((shifted & ((1 << fraction) - 1)) + start).as_float
    big = float_bits(2.0**fraction, x.dtype)
    k = ((shifted >> fraction) | big).as_float
    offset = 2.0**fraction + bias
    return k - select(subnormal, x.lift(offset + fraction), offset), m


def log_of_one_plus(f: Value, extra: Value | None = None) -> Value:
    """log(1+f) + extra for f in [sqrt(1/2)-1, sqrt(2)-1], |extra| small next to f or f's error."""
    if f.dtype is float32:
        rest = fma(f * f, horner(f, _R32), f.lift(0.0) if extra is None else extra)
        return f + rest
    half = f * 0.5 * f
    s = f / (f + 2.0)
    z = s * s
    inner = half + z * horner(z, _Q64)
    rest = s * inner if extra is None else fma(s, inner, extra)
    return f - (half - rest)


def _finish(x: Value, y: Value) -> Value:
    """The logarithm of any x, y being that of a positive finite one."""
    infinity = float("inf")
    y = select(x < infinity, y, x)
    y = select(x < 0.0, float("nan"), y)
    return select(x.equals(0.0), -infinity, y)


def log(x: Value) -> Value:
    """The natural logarithm."""
    k, m = decompose(x)
    high, low = _LN2[x.dtype.bits]
    return _finish(x, fma(k, high, log_of_one_plus(m - 1.0, k * low)))


def log2(x: Value) -> Value:
    """The logarithm to base 2; exact for powers of two."""
    k, m = decompose(x)
    return _finish(x, fma(log_of_one_plus(m - 1.0), _LOG2E, k))


def log10(x: Value) -> Value:
    """The logarithm to base 10."""
    k, m = decompose(x)
    high, low = _LOG10_2[x.dtype.bits]
    y = fma(log_of_one_plus(m - 1.0), _LOG10E, k * low)
    return _finish(x, fma(k, high, y))


def _log_of_sum(u: Value, c: Value) -> Value:
    """log(u + c) for a positive finite u and a c below its last place."""
    k, m = decompose(u)
    high, low = _LN2[u.dtype.bits]
    fraction, bias = _layout(u.dtype)
    # 2^(1-k) from the fields of the exponents; with one more factor 2 it is in range for every u.
    scale = ((m.bits - u.bits) + ((bias + 1) << fraction)).as_float
    return fma(k, high, log_of_one_plus((m - 1.0) + c * 0.5 * scale, k * low))


def _one_more(x: Value) -> tuple[Value, Value]:
    """1 + x rounded, and what the sum lost, for x > -1."""
    u = x + 1.0
    return u, select(x < 1.0, x - (u - 1.0), 1.0 - (u - x))


def _log1p_positive(x: Value) -> Value:
    """log(1+x) for x > -1 and finite."""
    return _log_of_sum(*_one_more(x))


def log1p(x: Value) -> Value:
    """log(1+x), accurate for small x."""
    infinity = float("inf")
    y = select(x < infinity, _log1p_positive(x), x)
    y = select(x < -1.0, float("nan"), y)
    y = select(x.equals(-1.0), -infinity, y)
    # A zero keeps its sign, and a subnormal its bits.
    return select(abs(x) < 2.0 ** (-60 if x.dtype is not float32 else -30), x, y)


def asinh(x: Value) -> Value:
    """log(x + sqrt(x^2 + 1)), odd."""
    a = abs(x)
    large = a > (2.0**13 if x.dtype is float32 else 2.0**28)
    safe = select(large, 1.0, a)
    square = safe * safe
    near = safe + square / ((square + 1.0).op("sqrt") + 1.0)
    y = _log_or_log1p(large, a, near)
    return with_sign(select(a < 2.0**-30, a, y), x.sign_bit)


def acosh(x: Value) -> Value:
    """log(x + sqrt(x^2 - 1)); NaN below 1."""
    large = x > (2.0**13 if x.dtype is float32 else 2.0**28)
    t = select(large, 1.0, x) - 1.0
    near = t + (t + t + t * t).op("sqrt")
    return select(x < 1.0, float("nan"), _log_or_log1p(large, x, near))


def _log_or_log1p(large: Value, x: Value, near: Value) -> Value:
    """log(2x) where large, else log1p(near); infinity and NaN of x stay."""
    # One evaluation serves both.
    u, c = _one_more(near)
    y = _log_of_sum(select(large, x, u), select(large, 0.0, c))
    y = y + select(large, y.lift(_LN2[x.dtype.bits][0]), 0.0)
    return select(x < float("inf"), y, x)


def atanh(x: Value) -> Value:
    """log((1+x) / (1-x)) / 2, odd; infinite at 1, NaN beyond."""
    a = abs(x)
    safe = select(a < 1.0, a, 0.0)
    y = _log1p_positive((safe + safe) / (1.0 - safe)) * 0.5
    y = select(a < 2.0**-30, a, y)
    y = select(a < 1.0, y, select(a.equals(1.0), x.lift(float("inf")), float("nan")))
    return with_sign(y, x.sign_bit)
