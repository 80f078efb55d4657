"""exp and its family: exp2, expm1, sinh, cosh, tanh, sigmoid.

x = n*ln2 + r with |r| <= ln2/2 (two parts of ln2 and fma: the first step is exact), then e^r = 1 +
r + r^2*q(r) with q a minimax polynomial. n comes out of the low bits of x/ln2 + 1.5*2^p, where p
is the number of fraction bits, without a conversion. e^r * 2^n is rounded once. Coefficients:
Remez exchange at 60 digits on |r| <= 1.003*ln2/2, the error weighed relative to e^r - 1: 2^-26.2
for float32 (degree 4), 2^-55.6 for float64 (degree 9). tanh x = x + x^3*T(x^2), fitted in the same
way up to 0.5625 (degrees 4 and 10, relative errors 2^-29.5 and 2^-59.7; the first serves up to
0.6); beyond, 1 - 2/(e^2x + 1).
"""

from __future__ import annotations

from dlc.codegen.scalar_math.value import Value, fma, horner, ldexp, select, with_sign
from dlc.ir.record import dataclass
from dlc.ir.types import DType, float32


@dataclass(frozen=True)
class _Format:
    """What differs between the float types."""

    fraction_bits: int
    bias: int
    ln2: tuple[float, float]
    q: tuple[float, ...]
    tanh: tuple[float, ...]
    zero_below: float  # exp is 0 from here down
    infinite_above: float
    minus_one_below: float  # expm1 is -1
    one_above: float  # tanh is 1
    tanh_near: float  # below, tanh is a polynomial
    sinh_above: float  # sinh and cosh are infinite

    @property
    def magic(self) -> float:
        return 1.5 * 2.0**self.fraction_bits


_LOG2E = 1.4426950408889634
_F32 = _Format(
    23,
    127,
    (0.6931471824645996, -1.904654323148236e-09),
    (
        0.4999999701976776, 0.16666541993618011, 0.04166720435023308, 0.008366713300347328,
        0.0013882499188184738,
    ),
    (
        -0.3333331346511841, 0.13332442939281464, -0.0538361594080925, 0.021001214161515236,
        -0.006169838365167379,
    ),
    -104.0, 89.0, -20.0, 10.0, 0.6, 89.5,
)  # fmt: skip
_F64 = _Format(
    52,
    1023,
    (0.6931471805599453, 2.3190468138462996e-17),
    (
        0.5000000000000006, 0.16666666666666588, 0.04166666666657467, 0.008333333333390832,
        0.0013888888932308025, 0.00019841269716956275, 2.4801504322850877e-05,
        2.755740848094236e-06, 2.7626435563089336e-07, 2.505381525858867e-08,
    ),
    (
        -0.333333333333333, 0.1333333333332537, -0.05396825396261206, 0.02186948834535516,
        -0.008863231851610287, 0.0035920838194470647, -0.0014554868596671525, 0.000588204150252058,
        -0.00023274989168914427, 8.238791659197018e-05, -1.890995934960859e-05,
    ),
    -746.0, 710.0, -40.0, 22.0, 0.5625, 710.5,
)  # fmt: skip


def _format(dtype: DType) -> _Format:
    return _F32 if dtype is float32 else _F64


def at_most(x: Value, limit: float) -> Value:
    """The smaller one; NaN stays."""
    return select(x > limit, limit, x)


def at_least(x: Value, limit: float) -> Value:
    """The larger one; NaN stays."""
    return select(x < limit, limit, x)


def _reduce(x: Value, offset: int) -> tuple[Value, Value]:
    """Bits whose low end is n + offset, and r."""
    form = _format(x.dtype)
    magic = form.magic + offset
    t = fma(x, _LOG2E, magic)
    n = t - magic
    return t.bits, fma(-n, form.ln2[1], fma(-n, form.ln2[0], x))


def _reduce_to_float(x: Value) -> tuple[Value, Value]:
    """n as a float, and r but for its second part of ln2."""
    form = _format(x.dtype)
    n = fma(x, _LOG2E, form.magic) - form.magic
    return n, fma(-n, form.ln2[0], x)


def _power(r: Value) -> Value:
    """e^r for |r| <= ln2/2."""
    return fma(fma(horner(r, _format(r.dtype).q), r, 1.0), r, 1.0)


def exp(x: Value) -> Value:
    """e^x."""
    form = _format(x.dtype)
    n, r = _reduce_to_float(at_most(x, form.infinite_above))
    power = _power(fma(-n, form.ln2[1], r))
    # Zero at once, which has any n: to scale a number down to it is slow.
    return ldexp(select(x < form.zero_below, 0.0, power), n)


def exp_in_range(x: Value, correction: Value, factor: Value | None = None) -> Value:
    """factor * e^(x + correction), for results that are not far out of range."""
    form = _format(x.dtype)
    n, r = _reduce_to_float(x)
    r = fma(-n, form.ln2[1], r) + correction
    # The power in two parts, the first 1 + r.
    high = r + 1.0
    low = fma(r * r, horner(r, form.q), r - (high - 1.0))
    return ldexp(high + low if factor is None else fma(high, factor, low * factor), n)


def exp2(x: Value) -> Value:
    """2^x."""
    form = _format(x.dtype)
    limit = form.bias + 1.0
    x = at_least(at_most(x, limit), -limit - form.fraction_bits - 1)
    n = (x + form.magic) - form.magic
    d = x - n
    r = d * form.ln2[0]
    low = fma(d, form.ln2[0], -r) + d * form.ln2[1]
    return ldexp(fma(r * r, horner(r, form.q), low) + r + 1.0, n)


def _expm1_times(x: Value, exponent: int) -> Value:
    """(e^x - 1) * 2^exponent for x within range; with exponent -2 up to where sinh overflows."""
    form = _format(x.dtype)
    i, r = _reduce(x, form.bias + exponent)
    scale = (i << form.fraction_bits).as_float
    part = fma(r * r, horner(r, form.q), r)
    return fma(scale, part, scale - 2.0**exponent)


def expm1(x: Value) -> Value:
    """e^x - 1."""
    form = _format(x.dtype)
    limited = at_least(at_most(x, form.infinite_above), form.minus_one_below)
    # A zero keeps its sign, a subnormal its bits.
    tiny = abs(x) < 2.0 ** (-form.fraction_bits - 3)
    return select(tiny, x, _expm1_times(limited, -2) * 4.0)


def sinh(x: Value) -> Value:
    """(e^x - e^-x) / 2."""
    quarter = _expm1_times(at_most(abs(x), _format(x.dtype).sinh_above), -2)
    half = quarter + quarter
    # The ratio is half / (2 half + 1), which would be NaN where half overflows.
    return with_sign(half + quarter / (half + 0.5), x.sign_bit)


def cosh(x: Value) -> Value:
    """(e^x + e^-x) / 2."""
    form = _format(x.dtype)
    i, r = _reduce(at_most(abs(x), form.sinh_above), form.bias - 2)
    scale = (i << form.fraction_bits).as_float
    quarter = scale * (fma(r * r, horner(r, form.q), r) + 1.0)
    return quarter + quarter + 0.125 / quarter


def tanh(x: Value) -> Value:
    """(e^2x - 1) / (e^2x + 1)."""
    form = _format(x.dtype)
    a = at_most(abs(x), form.one_above)
    z = a * a
    near = fma(z * a, horner(z, form.tanh), a)
    n, r = _reduce_to_float(a + a)
    if x.dtype is float32:
        # n is small where the quotient is not, so that the second part of ln2 is not missed.
        power = _power(r)
    else:
        r = fma(-n, form.ln2[1], r)
        power = fma(r * r, horner(r, form.q), r) + 1.0
    far = 1.0 - 2.0 / (ldexp(power, n) + 1.0)
    return with_sign(select(a < form.tanh_near, near, far), x.sign_bit)


def sigmoid(x: Value) -> Value:
    """1 / (1 + e^-x), by e^-|x|, which does not overflow."""
    form = _format(x.dtype)
    n, r = _reduce_to_float(at_least(-abs(x), form.zero_below))
    e = ldexp(_power(fma(-n, form.ln2[1], r)), n)
    # The errors of the sum and of the division are taken off, by the residual.
    top, bottom = select(x >= 0.0, 1.0, e), e + 1.0
    inverse = 1.0 / bottom
    y = top * inverse
    residual = fma(-y, bottom, top) - y * (e - (bottom - 1.0))
    return fma(residual, inverse, y)
