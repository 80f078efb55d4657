"""sin, cos and tan over the full range.

The angle becomes n*(pi/2) + r, |r| <= pi/4 and a little. Up to a bound by subtraction of n*(pi/2)
in parts (Cody and Waite; with fma the first step is exact). Beyond, after Payne and Hanek: x = m *
2^e with an integer m; of x/(2 pi) only the fraction counts, so only a window of the bits of 1/(2
pi), chosen by e, is multiplied by m, in integers. float32 reduces in float64, whose 53 bits hold
the product of the exact step. sin r = r + r^3*S(r^2), cos r = 1 - r^2/2 + r^4*C(r^2): Remez
exchange at 60 digits on |r| <= 0.8, relative errors 2^-27.8 and 2^-33 for float32 (degrees 2),
2^-57.6 and 2^-63 for float64 (degrees 5).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise

from dlc.codegen.scalar_math.value import Value, fma, horner, select, two_product, two_sum
from dlc.ir.types import float32, float64, int64, uint32, uint64

_S32 = (-0.16666653752326965, 0.008332090452313423, -0.00019505241652950644)
_C32 = (0.04166664555668831, -0.0013887251261621714, 2.442492223053705e-05)
_S64 = (
    -0.16666666666666624, 0.008333333333320222, -0.00019841269828002644, 2.7557313050873495e-06,
    -2.505065580642857e-08, 1.5890771156309395e-10,
)  # fmt: skip
_C64 = (
    0.041666666666666644, -0.0013888888888879728, 2.480158729212899e-05, -2.755731493028663e-07,
    2.0875781839186884e-09, -1.1361840448832991e-11,
)  # fmt: skip
_TWO_OVER_PI = 0.6366197723675814
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
_TWO_PI = (6.283185307179586, 2.4492935982947064e-16)
_MAGIC = 1.5 * 2.0**52
_LOW_HALF = 0xFFFFFFFF


@functools.cache
def _pi_bits(bits: int) -> int:
    """floor(pi * 2^bits), by Machin's formula."""
    one = 1 << (bits + 32)

    def arctan_of_inverse(n: int) -> int:
        term, total, k = one // n, 0, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    return (4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))) >> 32


@functools.cache
def inverse_two_pi_words(count: int, lead: int) -> tuple[int, ...]:
    """The bits of 1/(2 pi) after the binary point, behind `lead` zeros, as 64-bit words.

    Example:
        >>> inverse_two_pi_words(1, 0)[0] / 2**64
        0.15915494309189535
    """
    bits = 64 * count
    value = (1 << (bits - lead + bits + 64)) // (2 * _pi_bits(bits + 64))
    return tuple((value >> (64 * (count - 1 - k))) & (2**64 - 1) for k in range(count))


def _window(position: Value, words: Sequence[int], length: int) -> list[Value]:
    """`length` words from bit `position` (u64) of `words` on."""
    row = [position.lift(w) for w in words]
    word, shift = position >> 6, position & 63
    step = 1 << max((len(row) - length - 1).bit_length() - 1, 0)
    while step:
        far = (word & step) > 0
        row = [select(far, b, a) for a, b in zip(row, row[step:], strict=False)]
        step >>= 1
    back = 64 - shift
    return [(a << shift) | (b >> back) for a, b in pairwise(row[: length + 1])]


def _quarter(fraction: Value) -> tuple[Value, Value]:
    """The nearest quarter of a turn (0 to 3) of a 64-bit fraction, and the rest as i64."""
    n = (fraction + (1 << 61)) >> 62
    return n, (fraction - (n << 62)).convert(int64)


def _reduce_f32(x: Value) -> tuple[Value, Value]:
    """n modulo 4 (u32) and r (f32) of |x|."""
    a = abs(x)
    wide = a.convert(float64)
    t = fma(wide, _TWO_OVER_PI, _MAGIC)
    n = t - _MAGIC
    near = fma(-n, _HALF_PI[1], fma(-n, _HALF_PI[0], wide))
    # From 2^23 on, m is an integer of 24 bits times 2^e, e >= 0.
    bits = a.bits
    position = ((bits >> 23) - 150).convert(uint64)
    m = ((bits & 0x7FFFFF) | 0x800000).convert(uint64)
    high, low = _window(position, inverse_two_pi_words(4, 0), 2)
    quarter, rest = _quarter(m * high + ((m * (low >> 32)) >> 32))
    far = rest.convert(float64) * (_TWO_PI[0] * 2.0**-64)
    large = a >= 2.0**24
    r = select(large, far, near, seldom=True)
    n = select(large, quarter, t.bits, seldom=True)
    return n.convert(uint32), r.convert(float32)


def _multiply_high(a: Value, b: Value) -> Value:
    """The upper word of the product of two words."""
    a1, a0, b1, b0 = a >> 32, a & _LOW_HALF, b >> 32, b & _LOW_HALF
    middle = a1 * b0 + ((a0 * b0) >> 32)
    other = a0 * b1 + (middle & _LOW_HALF)
    return a1 * b1 + (middle >> 32) + (other >> 32)


def _far_f64(a: Value) -> tuple[Value, Value, Value]:
    """n modulo 4, and r in two parts, of a >= 2^30."""
    bits = a.bits
    m = (bits & ((1 << 52) - 1)) | (1 << 52)
    # From 2^30 on the exponent of m is at least -22: so many zeros lead the bits.
    position = (bits >> 52) - (1075 - 22)
    w0, w1, w2 = _window(position, inverse_two_pi_words(19, 22), 3)
    low = m * w1 + _multiply_high(m, w2)
    carry = select(low < m * w1, low.lift(1), 0)
    high = m * w0 + _multiply_high(m, w1) + carry
    n, rest = _quarter(high)
    # The rest as four digits of 32 bits, the first with the sign.
    digits = (
        (rest >> 32).convert(float64) * 2.0**-32,
        (high & _LOW_HALF).convert(float64) * 2.0**-64,
        (low >> 32).convert(float64) * 2.0**-96,
        (low & _LOW_HALF).convert(float64) * 2.0**-128,
    )
    h, e1 = two_sum(digits[0], digits[1])
    h, e2 = two_sum(h, digits[2] + digits[3])
    h, e = two_sum(h, e1 + e2)
    r, error = two_product(h, _TWO_PI[0])
    return n, r, fma(h, _TWO_PI[1], fma(e, _TWO_PI[0], error))


def _near_f64(a: Value) -> tuple[Value, Value, Value]:
    """n modulo 4 in the low bits, and r in two parts, of a < 2^30."""
    t = fma(a, _TWO_OVER_PI, _MAGIC)
    n = t - _MAGIC
    first = fma(-n, _HALF_PI[0], a)
    p, p_error = two_product(n, _HALF_PI[1])
    r, error = two_sum(first, -p)
    return t.bits, r, fma(-n, _HALF_PI[2], error - p_error)


def _reduce_f64(x: Value) -> tuple[Value, Value, Value]:
    a = abs(x)
    large = a >= 2.0**30
    far, near = _far_f64(a), _near_f64(a)
    n, r, low = (select(large, f, n, seldom=True) for f, n in zip(far, near, strict=True))
    return n, r, low


def _sin_cos(x: Value) -> tuple[Value, Value, Value]:
    """n (the quadrant is n modulo 4), sin r and cos r of |x|."""
    if x.dtype is float32:
        n, r = _reduce_f32(x)
        z = r * r
        sin = fma(z * r, horner(z, _S32), r)
        return n, sin, fma(z * z, horner(z, _C32), fma(z, -0.5, 1.0))
    n, r, low = _reduce_f64(x)
    z = r * r
    sin = r + fma(z * r, horner(z, _S64), low * fma(z, -0.5, 1.0))
    half = z * 0.5
    w = 1.0 - half
    rest = fma(z * z, horner(z, _C64), -(r * low))
    return n, sin, w + (((1.0 - w) - half) + rest)


def _at_infinity(x: Value, y: Value) -> Value:
    return select(abs(x) < float("inf"), y, x - x)


def _flip(y: Value, n: Value, sign: Value | None) -> Value:
    """y negated for the odd n/2, and by a sign bit."""
    flip = (n & 2) << (y.dtype.bits - 2)
    return (y.bits ^ (flip if sign is None else flip ^ sign)).as_float


def sin(x: Value) -> Value:
    """The sine; NaN at infinity."""
    n, s, c = _sin_cos(x)
    return _at_infinity(x, _flip(select((n & 1) > 0, c, s), n, x.sign_bit))


def cos(x: Value) -> Value:
    """The cosine; NaN at infinity."""
    n, s, c = _sin_cos(x)
    return _at_infinity(x, _flip(select((n & 1) > 0, s, c), n + 1, None))


def tan(x: Value) -> Value:
    """The tangent; NaN at infinity."""
    n, s, c = _sin_cos(x)
    odd = (n & 1) > 0
    quotient = select(odd, c, s) / select(odd, s, c)
    # Minus the cotangent in the odd quadrants.
    flip = (n & 1) << (x.dtype.bits - 1)
    return _at_infinity(x, (quotient.bits ^ flip ^ x.sign_bit).as_float)
