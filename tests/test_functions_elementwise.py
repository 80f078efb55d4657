"""Elementwise functions against NumPy at float64: every dtype, special values, each way to run."""

import math

import functions_harness as h
import numpy as np
import pytest

import dlc
from dlc.ir.types import dtype_of

erf = np.vectorize(math.erf, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])


def floor_divide(x, y):
    """NumPy's, but the floor of the quotient where an operand is infinite (Array API)."""
    with np.errstate(all="ignore"):
        if np.asarray(x).dtype.kind in "iu":
            return np.floor_divide(x, y)
        return np.where(np.isinf(x) | np.isinf(y), np.floor(x / y), np.floor_divide(x, y))


FLOAT_UNARY = {
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "cbrt": np.cbrt,
    "reciprocal": lambda x: 1 / x,
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "erf": erf,
    "erfc": erfc,
}  # fmt: skip
FLOAT_BINARY = {
    "divide": np.divide, "atan2": np.arctan2, "hypot": np.hypot, "copysign": np.copysign,
    "logaddexp": np.logaddexp,
}  # fmt: skip
NUMBER_BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum,
    "minimum": np.minimum,
}  # fmt: skip
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
SHAPES = [(3, 5), (1,), (0, 3), (), (2, 1, 7)]


@pytest.mark.parametrize("name", FLOAT_UNARY)
def test_float_functions_of_one(name):
    function, reference = getattr(dlc, name), FLOAT_UNARY[name]
    for dtype in h.FLOATS:
        check_unary(function, reference, h.values((3, 5), dtype), ulps=6, dtype=dtype)
        check_unary(function, reference, h.specials(dtype), ulps=6, dtype=dtype)
    for shape in SHAPES:
        h.check(function, reference, [np.abs(h.values(shape)) / 4], ulps=6)
    h.check(
        function, lambda x: reference(x.astype(float)), [np.array([1, 2, 3], np.int8)],
        ulps=6, dtype="float32", ways=("interpreted", "traced"),
    )  # fmt: skip


def check_unary(function, reference, x, **options):
    h.check(function, reference, [x], ways=("interpreted", "traced"), **options)


@pytest.mark.parametrize("name", FLOAT_BINARY)
def test_float_functions_of_two(name):
    function, reference = getattr(dlc, name), FLOAT_BINARY[name]
    for dtype in h.FLOATS:
        x = h.specials(dtype)
        h.check(function, reference, [x[:, None], x], ways=("interpreted",), dtype=dtype)
    h.check(function, reference, [h.values((3, 1)), h.values((2, 1, 5), seed=1)], ulps=6)
    h.check(
        function, lambda x, y: reference(x.astype(float), y.astype(float)),
        [np.array([1, 2], np.int16), np.array([3, 4], np.int16)],
        ulps=6, dtype="float32", ways=("interpreted",),
    )  # fmt: skip


@pytest.mark.parametrize("name", NUMBER_BINARY)
def test_arithmetic_at_every_dtype(name):
    function, reference = getattr(dlc, name), NUMBER_BINARY[name]
    for dtype in h.NUMBERS:
        held = dtype_of(dtype).numpy
        x, y = h.values((3, 5), dtype), h.values((5,), dtype, seed=1)
        with np.errstate(all="ignore"):
            want = reference(x, y)
        got = h.run_eager(function, [x, y], interpreted=True)[0]
        assert got.dtype == held, dtype
        assert np.array_equal(got, want), dtype
    for shape in SHAPES:
        h.check(function, reference, [h.values(shape), h.values(shape, seed=1)])
    h.check(function, reference, [h.specials(), h.specials()[::-1].copy()])


def test_integers_wrap_and_divide_by_floor():
    x = np.array([127, -128, 7, -7, 7, -7, 0, 5], np.int8)
    y = np.array([1, -1, 2, 2, -2, -2, 3, 0], np.int8)
    with np.errstate(all="ignore"):
        for name, reference in (
            ("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply),
            ("floor_divide", floor_divide), ("remainder", np.remainder),
        ):  # fmt: skip
            assert np.array_equal(getattr(dlc, name)(x, y).numpy(), reference(x, y)), name
    f = np.array([7.5, -7.5, 0.0, -0.0, np.inf, np.nan, 1e-30], np.float32)
    g = np.array([2.0, 2.0, -1.0, 3.0, 2.0, 1.0, -5.0], np.float32)
    h.check(dlc.floor_divide, floor_divide, [f, g], ways=("interpreted", "traced"))
    h.check(dlc.remainder, np.remainder, [f, g], ways=("interpreted", "traced"))
    pairs = np.meshgrid(h.specials(), h.specials())
    h.check(dlc.floor_divide, floor_divide, [p.ravel() for p in pairs], ulps=1)


def test_bools_are_added_and_multiplied_as_numpy_does():
    x, y = np.array([True, True, False, False]), np.array([True, False, True, False])
    for name in ("add", "multiply", "maximum", "minimum"):
        got = getattr(dlc, name)(x, y).numpy()
        assert got.dtype == bool, name
        assert np.array_equal(got, getattr(np, name)(x, y)), name
    for function in (dlc.subtract, dlc.remainder):
        with pytest.raises(TypeError, match=rf"{function.__name__} of bool\[4\]"):
            function(x, y)
    with pytest.raises(TypeError, match=r"negative of bool\[4\]"):
        dlc.negative(x)


@pytest.mark.parametrize("dtype", h.ALL)
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name, dtype):
    x, y = h.values((4, 5), dtype), h.values((5,), dtype, seed=3)
    if dtype in h.FLOATS:
        y[0], x[0, 0], x[1, 0] = np.nan, np.nan, -0.0
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x, y)
    assert np.array_equal(h.run_eager(getattr(dlc, name), [x, y], interpreted=True)[0], want)
    assert np.array_equal(h.run_traced(getattr(dlc, name), [x, y])[0], want)


def test_logic_and_bits():
    x = np.array([0.0, -0.0, np.nan, 2.0, -1.0], np.float32)
    y = np.array([1, 0, 0, 3, 0], np.int64)
    for name in ("logical_and", "logical_or", "logical_xor"):
        h.check(getattr(dlc, name), getattr(np, name), [x, y], dtype="bool")
    h.check(dlc.logical_not, np.logical_not, [x], dtype="bool")
    for dtype in (*h.SIGNED, *h.UNSIGNED, "bool"):
        a, b = h.values((7,), dtype), h.values((7,), dtype, seed=1)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
            h.check(
                getattr(dlc, name),
                getattr(np, name),
                [a, b],
                ways=("interpreted", "traced"),
                dtype=dtype,
            )
        h.check(dlc.bitwise_invert, np.invert, [a], ways=("interpreted", "traced"), dtype=dtype)
    a = np.array([5, -5, 127, -128], np.int8)
    assert dlc.bitwise_left_shift(a, 1).numpy().tolist() == [10, -10, -2, 0]
    assert dlc.bitwise_right_shift(a, 1).numpy().tolist() == [2, -3, 63, -64]
    with pytest.raises(TypeError, match=r"bitwise_and of f32\[5\] and f32\[5\]"):
        dlc.bitwise_and(x, x)


def test_rounding_and_signs():
    x = np.array(
        [0.5, 1.5, 2.5, -0.5, -1.5, 0.0, -0.0, np.nan, np.inf, -np.inf, 8388609.0], np.float32
    )
    for name, reference in (
        ("floor", np.floor), ("ceil", np.ceil), ("trunc", np.trunc), ("round", np.round),
        ("negative", np.negative), ("abs", np.abs), ("sign", np.sign), ("square", np.square),
        ("positive", np.positive), ("signbit", np.signbit), ("isnan", np.isnan),
        ("isinf", np.isinf), ("isfinite", np.isfinite),
    ):  # fmt: skip
        h.check(getattr(dlc, name), reference, [x])
        want = reference(x)
        if want.dtype.kind == "f" and name != "sign":
            for way in h.WAYS.values():  # which sign a NaN has is nobody's business
                got = np.asarray(way(getattr(dlc, name), [x])[0])
                kept = ~np.isnan(x)
                assert np.array_equal(np.signbit(got)[kept], np.signbit(want)[kept]), name
        for dtype in (*h.SIGNED, *h.UNSIGNED):
            n = h.values((6,), dtype)
            if name != "negative" or dtype in h.SIGNED:
                got = h.run_eager(getattr(dlc, name), [n], interpreted=True)[0]
                assert np.array_equal(got, reference(n)), (name, dtype)
    assert not np.signbit(dlc.sign(np.float32(-0.0)).numpy())
    h.check(lambda v: dlc.round(v, 1), lambda v: np.round(v, 1), [h.values((5,), "float64")])
    h.check(lambda v: dlc.round(v, -1), lambda v: np.round(v, -1), [h.values((5,), "float64") * 50])
    with pytest.raises(ValueError, match=r"round of i64\[2\] to -1 decimals"):
        dlc.round(np.array([1, 2]), -1)


@pytest.mark.parametrize("dtype", h.FLOATS)
def test_nextafter(dtype):
    x = h.specials(dtype)
    a, b = (v.copy() for v in np.broadcast_arrays(x[:, None], x))
    with np.errstate(all="ignore"):
        want = np.nextafter(a, b)
    for way in ("interpreted", "native", "traced"):
        got = np.asarray(h.WAYS[way](dlc.nextafter, [a, b])[0])
        same = (got == want) & ((np.signbit(got) == np.signbit(want)) | (a == b))
        assert (same | (np.isnan(got) & np.isnan(want))).all(), way


def test_powers():
    x = np.array([2.0, -2.0, 0.0, -0.0, np.inf, np.nan, 0.5], np.float32)
    y = np.array([3.0, 2.0, 0.0, -1.0, -2.0, 0.0, np.inf], np.float32)
    h.check(dlc.pow, np.power, [x[:, None], y])
    for exponent in (0, 1, 2, 3, 0.5, -1):
        h.check(lambda v, e=exponent: v**e, lambda v, e=exponent: np.power(v, float(e)), [x])
    n = np.array([[0], [1], [-1], [3], [-2]], np.int32)
    e = np.array([0, 1, 2, 5, 31, 33], np.int32)
    ways = ("interpreted", "traced")
    h.check(dlc.pow, np.power, [n, e], ways=ways, dtype="int32")
    assert dlc.pow(n, np.int32(-3)).numpy().tolist() == [[0], [1], [-1], [0], [0]]
    for k in range(6):
        assert np.array_equal((dlc.asarray(n) ** k).numpy(), n**k)
    with pytest.raises(ValueError, match="integers have no power -1"):
        dlc.asarray(n) ** -1


def test_clip_where_astype():
    x = h.values((4, 5))
    h.check(lambda v: dlc.clip(v, -1, 1), lambda v: np.clip(v, -1, 1), [x], dtype="float32")
    h.check(lambda v: dlc.clip(v, max=0.5), lambda v: np.minimum(v, 0.5), [x])
    h.check(dlc.clip, lambda v: v, [x])
    low = h.values((5,), seed=4)
    h.check(lambda v, w: dlc.clip(v, w, None), np.maximum, [x, low])
    h.check(lambda v: dlc.clip(v, 1, -1), lambda v: np.clip(v, 1, -1), [x])
    h.check(dlc.where, np.where, [h.values((4, 1), "bool"), x, low])
    h.check(lambda c: dlc.where(c, 1, 2.5), lambda c: np.where(c, 1, 2.5), [x > 0], dtype="float32")
    with pytest.raises(TypeError, match="where needs the values"):
        dlc.where(x > 0)
    for dtype in h.ALL:
        held = dtype_of(dtype).numpy
        h.check(
            lambda v, d=dtype: dlc.astype(v, d),
            lambda v, d=held: v.astype(d),
            [h.values((6,), "int8") % 5],
            dtype=dtype,
            ways=("interpreted", "traced"),
        )
    got = dlc.astype(np.array([1e9, -1e9, np.nan, 2.9], np.float32), "int8").numpy()
    assert got.tolist() == [127, -128, 0, 2]
    with pytest.raises(TypeError, match="float128x"):
        dlc.astype(x, "float128x")


def test_numbers_are_weak():
    x = np.array([1, 2], np.int8)
    assert dlc.add(x, 1).dtype == dlc.int8
    assert dlc.add(x, 1.5).dtype == dlc.float32
    assert dlc.divide(x, 2).dtype == dlc.float32
    for dtype in h.FLOATS:
        assert dlc.multiply(h.values((2,), dtype), 2.0).dtype.name == dtype
        assert dlc.pow(h.values((2,), dtype), 3).dtype.name == dtype
        assert dlc.sign(h.values((2,), dtype)).dtype.name == dtype
    assert dlc.exp(1).dtype == dlc.float32
    with pytest.raises(ValueError, match="300 does not fit int8"):
        dlc.add(x, 300)


def test_errors_name_the_function_and_the_shapes():
    with pytest.raises(ValueError, match=r"add of f32\[3,2\] and f32\[3\]: axis -1 has 2 and 3"):
        dlc.add(h.values((3, 2)), h.values((3,)))
    with pytest.raises(TypeError, match="uint64 and int64|int64 and uint64"):
        dlc.add(np.array([1], np.uint64), np.array([1], np.int64))
    with pytest.raises(TypeError, match="str"):
        dlc.exp("one")
