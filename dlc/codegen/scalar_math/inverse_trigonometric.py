"""asin, acos, atan and atan2.

atan t = t + t^3*A(t^2): float32 on [0, 1] (degree 8, relative error 2^-28), float64 on [0,
tan(pi/8)] (degree 10, 2^-59) after atan t = pi/4 + atan((t-1)/(t+1)); 1/t above 1. asin t = t +
t^3*B(t^2) on [0, 1/2] (degrees 4 and 12, 2^-27.6 and 2^-59.7), above it asin t = pi/2 - 2
asin(sqrt((1-t)/2)). Coefficients: Remez exchange at 60 digits.
"""

from __future__ import annotations

from dlc.codegen.scalar_math.value import Value, fma, horner, select, with_sign
from dlc.ir.types import float32

_A32 = (
    -0.3333331048488617, 0.19998835027217865, -0.14266890287399292, 0.10964632779359818,
    -0.08436833322048187, 0.058490317314863205, -0.031678296625614166, 0.011170127429068089,
    -0.001848321408033371,
)  # fmt: skip
_A64 = (
    -0.33333333333333254, 0.19999999999965856, -0.14285714281201137, 0.11111110826306382,
    -0.09090898841504981, 0.0769207753385449, -0.06663283631259524, 0.058490951341468894,
    -0.05044364227068527, 0.038185141340479345, -0.018031819051012865,
)  # fmt: skip
_B32 = (
    0.16666753590106964, 0.07495241612195969, 0.045477140694856644, 0.02414742112159729,
    0.04221884161233902,
)  # fmt: skip
_B64 = (
    0.1666666666666671, 0.07499999999980814, 0.044642857167054205, 0.030381943009285393,
    0.022372207696377884, 0.01735172692662855, 0.013979592288160248, 0.011407983866704585,
    0.010733904305774658, 0.0038672641189128566, 0.02134547999784707, -0.02052270341480652,
    0.032350299335662594,
)  # fmt: skip
# In two parts.
_HALF_PI = {
    32: (1.5707963705062866, -4.371138828673793e-08),
    64: (1.5707963267948966, 6.123233995736766e-17),
}
_TAN_EIGHTH = 0.41421356237309503


def _atan_of_ratio(top: Value, bottom: Value) -> Value:
    """atan(top / bottom) for 0 <= top <= bottom."""
    if top.dtype is float32:
        t = top / bottom
        z = t * t
        return fma(z * t, horner(z, _A32), t)
    upper = top > bottom * _TAN_EIGHTH
    t = select(upper, top - bottom, top) / select(upper, top + bottom, bottom)
    z = t * t
    high, low = (x / 2 for x in _HALF_PI[64])
    small = fma(z * t, horner(z, _A64), select(upper, t.lift(low), 0.0))
    return select(upper, (small + t) + high, small + t)


def _from_half_pi(y: Value, times: float) -> Value:
    """times * pi/2 - y."""
    high, low = _HALF_PI[y.dtype.bits]
    return high * times - (y - low * times)


def atan(x: Value) -> Value:
    """The arc tangent."""
    a = abs(x)
    above = a > 1.0
    # The ratio 1/inf is 0, as it should be.
    y = _atan_of_ratio(select(above, 1.0, a), select(above, a, 1.0))
    return with_sign(select(above, _from_half_pi(y, 1.0), y), x.sign_bit)


def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y), in (-pi, pi]; the zeros and infinities of C's atan2."""
    a, b = abs(y), abs(x)
    steep = a > b
    top, bottom = select(steep, b, a), select(steep, a, b)
    both_zero = bottom.equals(0.0)
    # Two infinities are a ratio of 1, two zeros one of 0.
    equal = top.equals(float("inf"))
    top = select(equal, 1.0, top)
    bottom = select(equal | both_zero, 1.0, bottom)
    if y.dtype is not float32:
        # top + bottom must not overflow.
        scale = select(bottom > 2.0**1000, y.lift(0.25), 1.0)
        top, bottom = top * scale, bottom * scale
    angle = _atan_of_ratio(top, bottom)
    angle = select(steep, _from_half_pi(angle, 1.0), angle)
    negative = x.sign_bit > 0
    angle = select(negative, _from_half_pi(angle, 2.0), angle)
    angle = select(_is_nan(x, y), x + y, angle)
    return with_sign(angle, y.sign_bit)


def _is_nan(x: Value, y: Value) -> Value:
    return x.op("ne", x) | y.op("ne", y)


def _asin_part(a: Value) -> tuple[Value, Value, Value]:
    """Where a > 1/2; the t that serves for the arc sine there and elsewhere; and asin t."""
    upper = a > 0.5
    z = select(upper, (1.0 - a) * 0.5, a * a)
    t = select(upper, z.op("sqrt"), a)
    series = _B32 if a.dtype is float32 else _B64
    return upper, t, fma(z * t, horner(z, series), t)


def asin(x: Value) -> Value:
    """The arc sine; NaN outside [-1, 1]."""
    upper, _, y = _asin_part(abs(x))
    return with_sign(select(upper, _from_half_pi(y + y, 1.0), y), x.sign_bit)


def acos(x: Value) -> Value:
    """The arc cosine; NaN outside [-1, 1]."""
    upper, _, y = _asin_part(abs(x))
    negative = x < 0.0
    double = y + y
    outer = select(negative, _from_half_pi(double, 2.0), double)
    signed = with_sign(y, x.sign_bit)
    return select(upper, outer, _from_half_pi(signed, 1.0))
