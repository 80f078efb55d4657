"""pow, and the roots and lengths: cbrt, rsqrt, hypot.

pow of float32 is 2^(y*log2 x) in float64: the logarithm of relative error 2^-36.6, the power
2^-28.9. pow of float64 holds log x in two floats of relative error near 2^-65: with s = f/(2+f)
and z = s^2, log(1+f) = 2s + s*z*(2/3 + z*Q(z)), all but z*Q in two parts. Coefficients: Remez
exchange at 60 digits.
"""

from __future__ import annotations

from dlc.codegen.scalar_math.exponential import at_least, at_most, exp_in_range
from dlc.codegen.scalar_math.logarithm import decompose
from dlc.codegen.scalar_math.value import (
    Value,
    fast_two_sum,
    fma,
    horner,
    select,
    two_product,
    two_sum,
    with_sign,
)
from dlc.ir.types import float32, float64

_Q32 = (0.6666666563933314, 0.400003367048401, 0.28537205094596807, 0.23584240890194005)
_POWER32 = (
    0.6931472068687615, 0.24022651361763844, 0.05550326455775837, 0.009618001867887561,
    0.0013400804453001128, 0.00015476885032630455,
)  # fmt: skip
_Q64 = (
    0.39999999999999997, 0.28571428571434654, 0.22222222219683355, 0.18181818642489833,
    0.15384570557956312, 0.13335847199409687, 0.11683437557875359, 0.11923604129227258,
)  # fmt: skip
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
_LN2 = (0.6931471805599453, 2.3190468138462996e-17)
_LOG2E = 1.4426950408889634
_INFINITY = float("inf")


def pow_(x: Value, y: Value) -> Value:
    """x^y with the special cases of IEEE 754's pow."""
    power = _pow_f32 if x.dtype is float32 else _pow_f64
    a = abs(x)
    magnitude = power(a, y)
    # A number to an infinite power of 1 in magnitude: 1, unless y is NaN.
    magnitude = select(a.equals(1.0) & y.equals(y), 1.0, magnitude)
    whole = y.op("trunc").equals(y)
    half = y * 0.5
    odd = whole & half.op("trunc").op("ne", half)
    signed = (magnitude.bits | select(odd, x.sign_bit, x.sign_bit.lift(0))).as_float
    no_root = (x < 0.0) & (a < _INFINITY) & (abs(y) < _INFINITY) & whole.op("not")
    result = select(no_root, float("nan"), signed)
    return select(x.equals(1.0) | y.equals(0.0), 1.0, result)


def _logarithm_at_ends(a: Value, y: Value) -> Value:
    """log a, y being that of a positive finite a."""
    return select(a.equals(0.0), -_INFINITY, select(a < _INFINITY, y, a))


def _pow_f32(a: Value, y: Value) -> Value:
    wide = a.convert(float64)
    k, m = decompose(wide)
    f = m - 1.0
    half = f * 0.5 * f
    s = f / (f + 2.0)
    z = s * s
    log = f - (half - s * (half + z * horner(z, _Q32)))
    exponent = y.convert(float64) * _logarithm_at_ends(wide, fma(log, _LOG2E, k))
    exponent = at_least(at_most(exponent, 160.0), -160.0)
    magic = 1.5 * 2.0**52 + 1023
    t = exponent + magic
    r = exponent - (t - magic)
    p = fma(r, horner(r, _POWER32), 1.0)
    return (p * (t.bits << 52).as_float).convert(float32)


def _log_in_two_parts(a: Value) -> tuple[Value, Value]:
    """log a of a positive finite float64 with about 65 bits."""
    k, m = decompose(a)
    f = m - 1.0
    below, below_error = two_sum(f, f.lift(2.0))
    s = f / below
    s_error = (fma(-s, below, f) - s * below_error) / below
    z, z_error = two_product(s, s)
    z_error = fma(s + s, s_error, z_error)
    q = z * horner(z, _Q64)
    c, c_error = fast_two_sum(q.lift(_TWO_THIRDS[0]), q)
    c_error = c_error + _TWO_THIRDS[1]
    # s * z * c, in two parts each.
    sz, sz_error = two_product(s, z)
    sz_error = fma(s, z_error, fma(s_error, z, sz_error))
    tail, tail_error = two_product(sz, c)
    tail_error = fma(sz, c_error, fma(sz_error, c, tail_error))
    high, low = fast_two_sum(s + s, tail)
    low = low + (tail_error + (s_error + s_error))
    base, base_error = two_product(k, _LN2[0])
    total, error = two_sum(base, high)
    return fast_two_sum(total, error + (low + fma(k, _LN2[1], base_error)))


def _pow_f64(a: Value, y: Value) -> Value:
    high, low = _log_in_two_parts(a)
    product = y * _logarithm_at_ends(a, high)
    low = fma(y, high, -product) + y * low
    limited = at_least(at_most(product, 710.0), -746.0)
    # Beyond the ends the second part may be anything.
    low = select(limited.equals(product), low, 0.0)
    return exp_in_range(limited, low)


def rsqrt(x: Value) -> Value:
    """1 / sqrt(x), with a Newton step at twice the precision after two rounded operations."""
    y = 1.0 / x.op("sqrt")
    product, error = two_product(x, y)
    defect = fma(-product, y, 1.0) - error * y
    # Of a zero or an infinity the defect is NaN.
    return select(defect.equals(defect), fma(y * 0.5, defect, y), y)


def cbrt(x: Value) -> Value:
    """The cube root: a third of the bits, Halley's iteration, and a last step by the residual."""
    single = x.dtype is float32
    a = abs(x)
    # Away from the ends of the range, by a power of eight.
    steps = 24 if single else 320
    tiny = a < (2.0**-100 if single else 2.0**-960)
    huge = a > (2.0**100 if single else 2.0**960)
    scale = select(tiny, a.lift(8.0**steps), select(huge, a.lift(8.0**-steps), 1.0))
    back = select(tiny, a.lift(2.0**-steps), select(huge, a.lift(2.0**steps), 1.0))
    scaled = a * scale
    bits = scaled.bits
    third = ((bits >> 15) * 21845) >> 1 if single else (bits >> 32) * 0x55555555
    # Two thirds of the bias, less what makes the errors over three octaves alike.
    offset = int((127 * 2 / 3 - 0.0331) * 2**23) if single else int((1023 * 2 / 3 - 0.0331) * 2**52)
    t = (third + offset).as_float
    for _ in range(2 if single else 3):
        cube = t * t * t
        t = t * ((cube + scaled + scaled) / (cube + cube + scaled))
    square, square_error = two_product(t, t)
    residual = fma(square, t, -scaled) + square_error * t
    t = (t - residual / (square * 3.0)) * back
    plain = a.equals(0.0) | (a < _INFINITY).op("not")
    return select(plain, x, with_sign(t, x.sign_bit))


def hypot(x: Value, y: Value) -> Value:
    """sqrt(x^2 + y^2) without overflow on the way; infinite if either is, NaN or not."""
    a, b = abs(x), abs(y)
    if x.dtype is float32:
        u, v = a.convert(float64), b.convert(float64)
        length = fma(u, u, v * v).op("sqrt").convert(float32)
    else:
        length = _hypot_f64(a, b)
    infinite = a.equals(_INFINITY) | b.equals(_INFINITY)
    return select(infinite, _INFINITY, length)


def _hypot_f64(a: Value, b: Value) -> Value:
    top, low = select(a < b, b, a), select(a < b, a, b)
    large, small = top > 2.0**500, top < 2.0**-500
    scale = select(large, top.lift(2.0**-600), select(small, top.lift(2.0**600), 1.0))
    back = select(large, top.lift(2.0**600), select(small, top.lift(2.0**-600), 1.0))
    u, v = top * scale, low * scale
    return fma(u, u, v * v).op("sqrt") * back
