"""The NumPy meanings of the scalar ops against exact arithmetic and the stated edge cases."""

import math
from fractions import Fraction

import numpy as np
import pytest

from dlc.ir.scalar import SCALAR_OPS
from dlc.ir.scalar_reference import NUMPY_SCALAR as N
from dlc.ir.types import DTYPES, bfloat16, bool_, float16, int64, uint8, uint64

SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 5e-324, -5e-324, 1e308, -1e308]


def exact_fma(a, b, c, dtype):
    """fma by exact fractions, rounded by bisection over the representable values."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        if math.isfinite(a) and math.isfinite(b):
            return c
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        product_sign = math.copysign(1, a) * math.copysign(1, b)
        both_negative = (
            (a == 0 or b == 0) and product_sign < 0 and math.copysign(1, c) < 0 and c == 0
        )
        return -0.0 if both_negative else 0.0
    p, emin, emax = (53, -1074, 1024) if dtype == np.float64 else (24, -149, 128)
    magnitude = abs(exact)
    e = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    while Fraction(2) ** e > magnitude:
        e -= 1
    while Fraction(2) ** (e + 1) <= magnitude:
        e += 1
    quantum = Fraction(2) ** max(e - p + 1, emin)
    rounded = round(magnitude / quantum) * quantum  # Fraction rounds half to even
    value = math.inf if rounded >= Fraction(2) ** emax else float(rounded)
    return value if exact > 0 else -value


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["bits", "cancel", "far", "special"])
def test_fma_rounds_once(dtype, kind):
    rng = np.random.default_rng(1)
    bits = np.uint64 if dtype == np.float64 else np.uint32
    n = 1500
    if kind == "bits":
        words = [rng.integers(0, 2**64, n, dtype=np.uint64).astype(bits) for _ in range(3)]
        a, b, c = (w.view(dtype) for w in words)
    elif kind == "special":
        with np.errstate(all="ignore"):
            special = np.array(SPECIAL).astype(dtype)
        a, b, c = (x.ravel() for x in np.meshgrid(special, special, special))
    else:
        a, b = (rng.normal(size=n).astype(dtype) for _ in range(2))
        ulps = rng.integers(-2, 3, n) * np.finfo(dtype).eps
        c = -(a * b) * (1 + ulps).astype(dtype) if kind == "cancel" else rng.normal(size=n) * 1e-8
        c = c.astype(dtype)
    got = N["fma"](a, b, c)
    assert got.dtype == dtype
    triples = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    want = np.array([exact_fma(*t, dtype) for t in triples]).astype(dtype)
    np.testing.assert_array_equal(got, want)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(want[numbers]))


def test_float64_to_bfloat16_rounds_once():
    positive = np.arange(0x7F80, dtype=np.uint32) << 16
    positive = positive.view(np.float32).astype(np.float64)
    values = np.unique(np.concatenate([-positive, positive]))
    middle = (values[:-1] + values[1:]) / 2
    up = N["convert"](np.nextafter(middle, np.inf), bfloat16).astype(np.float64)
    down = N["convert"](np.nextafter(middle, -np.inf), bfloat16).astype(np.float64)
    np.testing.assert_array_equal(up, values[1:])
    np.testing.assert_array_equal(down, values[:-1])


@pytest.mark.parametrize("base", [2**62, -(2**62), 2**55, 3 * 2**53])
def test_int64_to_bfloat16_rounds_once(base):
    half = 2 ** (abs(base).bit_length() - 9)  # bfloat16 has 8 bits
    for offset, steps in ((half + 1, 1), (half - 1, 0), (half, 0)):
        value = base + offset if base > 0 else base - offset
        want = base + (2 * half * steps if base > 0 else -2 * half * steps)
        assert float(N["convert"](np.array(value), bfloat16)) == float(want)


def test_float_to_integer_saturates():
    x = np.array([np.nan, 1e30, -1e30, -1.9, 255.9, 9.3e18, 1.8e19])
    assert N["convert"](x, uint8).tolist() == [0, 255, 0, 0, 255, 255, 255]
    assert N["convert"](x, int64).tolist() == [
        0,
        2**63 - 1,
        -(2**63),
        -1,
        255,
        2**63 - 1,
        2**63 - 1,
    ]
    assert N["convert"](x, uint64).tolist() == [
        0, 2**64 - 1, 0, 0, 255, 9300000000000000000, 18000000000000000000
    ]  # fmt: skip
    assert N["convert"](np.array([np.nan, -0.0, 0.5]), bool_).tolist() == [True, False, True]


def test_integer_division_never_traps():
    a, b = np.int32([-(2**31), 5, -5]), np.int32([-1, 0, 2])
    assert N["floordiv"](a, b).tolist() == [-(2**31), 0, -3]
    assert N["mod"](a, b).tolist() == [0, 0, 1]


def test_shifts_out_of_range():
    assert N["shr"](np.int8([-5, -5, 100, -4]), np.int8([9, -1, 8, 1])).tolist() == [-1, -1, 0, -2]
    assert N["shl"](np.int8([1, 1, 1, 1]), np.int8([7, 8, -1, 1])).tolist() == [-128, 0, 0, 2]
    assert N["shr"](np.uint32([2**31]), np.uint32([31])).tolist() == [1]


def test_min_and_max_order_zeros_and_keep_nan():
    z = np.float32(0.0)
    assert np.signbit(N["min"](z, -z))
    assert np.signbit(N["min"](-z, z))
    assert not np.signbit(N["max"](z, -z))
    assert not np.signbit(N["max"](-z, z))
    assert np.signbit(N["max"](-z, -z))
    assert not np.signbit(N["min"](z, z))
    assert np.isnan(N["max"](np.float32(np.nan), z))
    assert np.isnan(N["min"](z, np.float32(np.nan)))


@pytest.mark.parametrize("name", SCALAR_OPS)
def test_every_row_has_the_stated_result_dtype(name):
    row = SCALAR_OPS[name]
    for d in DTYPES:
        if d.kind not in row.kinds:
            continue
        args = [np.array([[1, 0]], d.numpy)] * row.arity
        if name == "select":
            args[0] = np.array([True, False])
        if row.result == "given":
            for e in DTYPES:
                if name == "convert" or (e.bits == d.bits and e is not bool_):
                    out = N[name](*args, e)
                    assert (out.dtype, out.shape) == (e.numpy, (1, 2))
            continue
        out = N[name](*args)
        assert out.dtype == (np.bool_ if row.result == "bool" else d.numpy)
        assert out.shape == (1, 2)


def test_half_ops_are_computed_at_float32():
    a = np.float16([60000.0, 1.0])
    assert N["mul"](a, np.float16([2.0, 3.0])).tolist() == [math.inf, 3.0]
    assert N["exp"](np.array([1.0], float16.numpy)).tolist() == [float(np.float16(math.e))]
