"""The CPU backend's basic scalar ops against their NumPy meaning, at each level it runs here."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from scalar_harness import HOST_LEVELS, argument, compile_scalar, emit_loop

import dlc
from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.isa import isa_named
from dlc.codegen.cpu.literals import literal
from dlc.codegen.cpu.llvm import assembly, compile_module
from dlc.codegen.cpu.scalars import emit_op
from dlc.ir import scalar
from dlc.ir.errors import BackendError
from dlc.ir.scalar import SCALAR_OPS
from dlc.ir.scalar_reference import NUMPY_SCALAR
from dlc.ir.types import (
    DTYPES,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    uint8,
    uint16,
    uint64,
)

LEVELS = pytest.mark.parametrize("isa", HOST_LEVELS, ids=lambda i: i.name)
BASIC = [row for row in SCALAR_OPS.values() if not row.math and row.result != "given"]
HALVES = (float16, bfloat16)
RNG = np.random.default_rng(0)


def specials(dtype, n=40):
    """Values at the edges of a type, and random ones."""
    if dtype is bool_:
        return np.array([False, True])
    if not dtype.is_float:
        info = np.iinfo(dtype.numpy)
        edges = [
            0,
            1,
            2,
            3,
            7,
            8,
            31,
            32,
            63,
            64,
            65,
            info.max,
            info.max - 1,
            info.min,
            info.min + 1,
        ]
        if dtype.kind == "i":
            edges += [-1, -2, -3, -7, -64]
        values = [e for e in edges if info.min <= e <= info.max]
        random = RNG.integers(info.min, info.max, n, dtype.numpy, endpoint=True)
        return np.concatenate([np.array(values, dtype.numpy), random])
    info = ml_dtypes.finfo(dtype.numpy)
    edges = [
        0.0,
        0.5,
        1.0,
        1.5,
        2.5,
        3.0,
        0.1,
        math.pi,
        float(info.max),
        float(info.tiny),
        math.inf,
    ]
    edges += [float(info.smallest_subnormal), float(info.eps), 1e4, 7.5e-3]
    values = np.array([s * e for e in edges for s in (1, -1)] + [math.nan])
    random = RNG.standard_normal(n) * 2.0 ** RNG.integers(-20, 20, n)
    with np.errstate(over="ignore"):
        return np.concatenate([values, random]).astype(dtype.numpy)


def same(got, want):
    """Equal bits, but for any NaN being as good as another."""
    assert got.dtype == want.dtype
    if got.dtype.kind not in "fV":
        return got == want
    bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[got.dtype.itemsize]
    return (got.view(bits) == want.view(bits)) | (np.isnan(got) & np.isnan(want))


def cases(row):
    kept = [d for d in DTYPES if d.kind in row.kinds]
    return (
        kept
        if row.result == "bool" or row.name == "select"
        else [d for d in kept if d not in HALVES]
    )


def grid(row, dtype):
    """Every combination of special values for up to two arguments, shuffled triples for three."""
    values = specials(dtype)
    if row.name == "select":
        a, b = (np.array(x) for x in zip(*itertools.product(values, values), strict=True))
        return [RNG.random(len(a)) < 0.5, a, b]
    if row.name == "ldexp":
        bias = 127 if dtype is float32 else 1023
        most = bias * 3 // 2
        n = [0, 1, -1, 5, bias, -bias, *range(bias - 30, bias + 30), most, -most]
        n += [-k for k in range(bias - 30, bias + 60)]
        size = np.abs(values)
        values = values[~(size > 0) | ((size > 2.0**-30) & (size < 2.0**30)) | (size == math.inf)]
        pairs = list(itertools.product(values, n))
        lowest = float(np.finfo(dtype.numpy).min)
        pairs += itertools.product((0.0, -0.0), (-2.0 * most, -1e30, lowest, -math.inf))
        return [np.array(column, dtype.numpy) for column in zip(*pairs, strict=True)]
    if row.arity == 3:
        return [RNG.choice(values, 20000) for _ in range(3)]
    pairs = list(itertools.product(values, repeat=row.arity))
    return [np.array(column, dtype.numpy) for column in zip(*pairs, strict=True)]


@LEVELS
@pytest.mark.parametrize("row", BASIC, ids=lambda r: r.name)
def test_meaning(row, isa):
    for dtype in cases(row):
        arrays = grid(row, dtype)
        dtypes = [bool_, dtype, dtype] if row.name == "select" else [dtype] * row.arity
        expr = scalar.op(row.name, *(argument(k, d) for k, d in enumerate(dtypes)))
        want = NUMPY_SCALAR[row.name](*arrays)
        for lanes in (1, isa.lanes(max(dtype.bits, 8))):
            got = compile_scalar(expr, dtypes, lanes, isa)(*arrays)
            bad = np.flatnonzero(~same(got, want))[:3]
            shown = [([a[i] for a in arrays], got[i], want[i]) for i in bad]
            assert not shown, (row.name, dtype.short, lanes, shown)


@LEVELS
@pytest.mark.parametrize("source", DTYPES, ids=lambda d: d.short)
def test_converts(source, isa):
    values = specials(source, 2000)
    if source in (float32, float64):
        # Ties of the half types and their neighbours, and the limits of the integers.
        halves = np.arange(0, 65536, 7, np.uint16)
        with np.errstate(all="ignore"):
            near = [halves.view(h.numpy).astype(source.numpy) for h in HALVES]
            near = np.concatenate([x[:-1] / 2 + x[1:] / 2 for x in near])
            limits = np.array([s * 2.0**k for k in range(6, 66) for s in (1, -1)], source.numpy)
            near = np.concatenate([values, near, limits])
            values = np.concatenate(
                [np.nextafter(near, source.numpy.type(x)) for x in (-np.inf, np.inf)]
            )
            values = np.concatenate([near, values])
    elif source.kind in "iu" and source.bits >= 32:
        # Ties of float32 and bfloat16.
        ties = [(2 * m + 1) << k for k in range(source.bits - 10) for m in (128, 129, 255)]
        more = [s * t + e for t in ties for s in (1, -1) for e in (-1, 0, 1)]
        info = np.iinfo(source.numpy)
        more = [x for x in more if info.min <= x <= info.max]
        values = np.concatenate([values, np.array(more, source.numpy)])
    for target in DTYPES:
        expr = scalar.convert(argument(0, source), target)
        want = NUMPY_SCALAR["convert"](values, target)
        for lanes in (1, isa.lanes(max(source.bits, target.bits, 8))):
            got = compile_scalar(expr, [source], lanes, isa)(values)
            bad = np.flatnonzero(~same(got, want))[:3]
            shown = [(values[i], got[i], want[i]) for i in bad]
            assert not shown, (source.short, target.short, lanes, shown)


@LEVELS
@pytest.mark.parametrize("dtype", HALVES, ids=lambda d: d.short)
@pytest.mark.parametrize("wide", [float32, float64], ids=lambda d: d.short)
def test_every_half_survives_a_round_trip(dtype, wide, isa):
    values = np.arange(65536, dtype=np.uint16).view(dtype.numpy)
    there = compile_scalar(scalar.convert(argument(0, dtype), wide), [dtype], 8, isa)(values)
    back = compile_scalar(scalar.convert(argument(0, wide), dtype), [wide], 8, isa)(there)
    with np.errstate(invalid="ignore"):  # some of the patterns are signalling NaNs
        assert same(there, values.astype(wide.numpy)).all()
        assert same(back, values).all()


@LEVELS
def test_saturation_and_nan(isa):
    x = np.array([math.nan, math.inf, -math.inf, 1e30, -1e30, 2.9, -2.9, -0.5, 256.0], np.float32)
    for target, want in (
        (int8, [0, 127, -128, 127, -128, 2, -2, 0, 127]),
        (uint8, [0, 255, 0, 255, 0, 2, 0, 0, 255]),
        (int64, [0, 2**63 - 1, -(2**63), 2**63 - 1, -(2**63), 2, -2, 0, 256]),
        (uint64, [0, 2**64 - 1, 0, 2**64 - 1, 0, 2, 0, 0, 256]),
        (bool_, [True, True, True, True, True, True, True, True, True]),
    ):
        run = compile_scalar(scalar.convert(argument(0, float32), target), [float32], 4, isa)
        assert run(x).tolist() == want


@LEVELS
@pytest.mark.parametrize("lanes", [1, 4])
def test_integer_division_never_traps(isa, lanes):
    a = np.array([7, -7, 7, -7, 0, -(2**31), -(2**31), 5], np.int32)
    b = np.array([2, 2, -2, -2, 0, -1, 0, 0], np.int32)
    x, y = argument(0, int32), argument(1, int32)
    quotient = compile_scalar(scalar.op("floordiv", x, y), [int32] * 2, lanes, isa)(a, b)
    rest = compile_scalar(scalar.op("mod", x, y), [int32] * 2, lanes, isa)(a, b)
    assert quotient.tolist() == [3, -4, -4, 3, 0, -(2**31), 0, 0]
    assert rest.tolist() == [1, 1, -1, -1, 0, 0, 0, 0]


@LEVELS
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.short)
def test_extremes_order_zeros_and_keep_nan(dtype, isa):
    a = np.array([-0.0, 0.0, math.nan, 1.0, -math.inf], dtype.numpy)
    b = np.array([0.0, -0.0, 1.0, math.nan, math.nan], dtype.numpy)
    x, y = argument(0, dtype), argument(1, dtype)
    low = compile_scalar(scalar.op("min", x, y), [dtype] * 2, 4, isa)(a, b)
    high = compile_scalar(scalar.op("max", x, y), [dtype] * 2, 4, isa)(a, b)
    assert np.signbit(low[:2]).all()
    assert not np.signbit(high[:2]).any()
    assert np.isnan(low[2:]).all()
    assert np.isnan(high[2:]).all()


@LEVELS
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.short)
def test_mod_of_far_apart_operands_is_exact(dtype, isa):
    n = 300
    top = 120 if dtype is float32 else 1000
    a, b = (
        (RNG.uniform(1, 2, n) * 2.0 ** RNG.integers(-top - 20, top, n)).astype(dtype.numpy)
        for _ in range(2)
    )
    b[:20] = ml_dtypes.finfo(dtype.numpy).smallest_subnormal * np.arange(1, 21)
    a[20:30], b[20:30] = ml_dtypes.finfo(dtype.numpy).max, np.inf
    expr = scalar.op("mod", argument(0, dtype), argument(1, dtype))
    got = compile_scalar(expr, [dtype] * 2, 4, isa)(a, b)
    want = np.array([math.fmod(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)])
    assert (got == want.astype(dtype.numpy)).all()


def exact_fma(a, b, c):
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(exact) if exact else a * b + c
    except OverflowError:
        return math.copysign(math.inf, exact)


@LEVELS
def test_fma_rounds_once_over_the_whole_range(isa):
    n = 4000
    # Products at both ends of the range, sums that cancel all but the last bits, and subnormals.
    a = RNG.uniform(-2, 2, n) * 2.0 ** RNG.integers(-540, 520, n)
    b = RNG.uniform(-2, 2, n) * 2.0 ** RNG.integers(-540, 500, n)
    c = RNG.uniform(-2, 2, n) * 2.0 ** RNG.integers(-1074, 1020, n)
    c[::2] = -(a * b)[::2]
    c[::6] *= 1 + 2.0**-52
    c[1::7] = 5e-324
    a[5::8], b[5::8] = RNG.uniform(1, 2, n)[5::8], RNG.uniform(1, 2, n)[5::8]
    c[5::16] = -(a * b)[5::16]
    c[~np.isfinite(c)] = 1.0
    want = [exact_fma(*t) for t in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
    expr = scalar.op("fma", *(argument(k, float64) for k in range(3)))
    for lanes in (1, 4):
        got = compile_scalar(expr, [float64] * 3, lanes, isa)(a, b, c)
        assert same(got, np.array(want)).all()


@LEVELS
def test_fma_of_float32(isa):
    n = 20000
    a, b = (
        (RNG.uniform(-2, 2, n) * 2.0 ** RNG.integers(-75, 60, n)).astype(np.float32) for _ in "ab"
    )
    c = (RNG.uniform(-2, 2, n) * 2.0 ** RNG.integers(-149, 120, n)).astype(np.float32)
    c[::2] = -(a * b)[::2]
    # Ties but for a c far below, which decides: 1 + 2^-24 + 2^-80 and its like.
    a[:90], b[:90] = 1 + np.float32(2**-12) * np.arange(90) % 2, 1 + np.float32(2**-12)
    c[:90] = np.float32(2.0) ** -RNG.integers(60, 140, 90) * RNG.choice([-1, 1], 90)
    expr = scalar.op("fma", *(argument(k, float32) for k in range(3)))
    got = compile_scalar(expr, [float32] * 3, 8, isa)(a, b, c)
    best = compile_scalar(expr, [float32] * 3, 8, HOST_LEVELS[0])(a, b, c)
    # Exact in rationals; near halfway between two float32 the float64 value is rounded itself.
    exact = np.array([exact_fma(*t) for t in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)])
    assert same(got, best).all()
    assert (np.abs(got - exact) <= np.spacing(np.abs(got)) * 0.5000001)[np.isfinite(got)].all()


@pytest.mark.parametrize("row", BASIC, ids=lambda r: r.name)
def test_compiles_for_aarch64(row):
    isa = isa_named("aarch64")
    for dtype in cases(row):
        dtypes = [bool_, dtype, dtype] if row.name == "select" else [dtype] * row.arity
        expr = scalar.op(row.name, *(argument(k, d) for k, d in enumerate(dtypes)))
        compile_module(module_text([emit_loop(expr, dtypes, 4, isa)]), isa)


@pytest.mark.parametrize("source", DTYPES, ids=lambda d: d.short)
def test_converts_compile_for_aarch64(source):
    isa = isa_named("aarch64")
    for target in DTYPES:
        expr = scalar.convert(argument(0, source), target)
        compile_module(module_text([emit_loop(expr, [source], 4, isa)]), isa)


@LEVELS
def test_bitcast(isa):
    x = specials(float32, 100)
    there = compile_scalar(scalar.bitcast(argument(0, float32), int32), [float32], 4, isa)(x)
    assert (there == x.view(np.int32)).all()
    for half in HALVES:
        bits = np.arange(65536, dtype=np.uint16)
        expr = scalar.bitcast(argument(0, half), uint16)
        assert (compile_scalar(expr, [half], 8, isa)(bits.view(half.numpy)) == bits).all()


def test_literals_are_exact():
    assert literal(0.1, float32) == "0x3FB99999A0000000"
    assert literal(-0.0, float64, 2) == "splat (double 0x8000000000000000)"
    assert literal(1.0, float16) == str(0x3C00)  # registers have the bits
    assert literal(1.0, bfloat16) == str(0x3F80)
    assert literal(True, bool_) == "true"
    assert literal(255, uint8, 4) == "splat (i8 255)"


def test_max_uses_no_more_than_a_few_instructions():
    isa = isa_named("x86-64-v4")
    zero = scalar.const(0.0, float32)
    expr = scalar.op("max", argument(0, float32), zero)
    text = assembly(module_text([emit_loop(expr, [float32], 16, isa)]), isa)
    assert sum("zmm" in line for line in text.splitlines()) <= 8, text


def test_math_and_half_arithmetic_are_not_basic():
    em = emit_loop(argument(0, float32), [float32], 1, HOST_LEVELS[0])
    with pytest.raises(BackendError, match="no scalar op exp on f32"):
        emit_op(em, "exp", float32, [float32], ["%x"], 1, HOST_LEVELS[0])
    with pytest.raises(BackendError, match="no scalar op add on f16"):
        emit_op(em, "add", float16, [float16] * 2, ["%x", "%y"], 1, HOST_LEVELS[0])


@LEVELS
@pytest.mark.parametrize("dtype", HALVES, ids=lambda d: d.short)
@pytest.mark.parametrize("size", [1, 7, 31, 257])
def test_half_types_compared_and_chosen(isa, dtype, size):
    """No value of a half type crosses a branch as one: LLVM would call a library for it."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-2, 3, size).astype(dtype.numpy) for _ in range(2))

    def f(m, a, b):
        unequal = a != b
        first = m.where(a.astype(bool), b, a)
        return m.where(unequal, unequal, a.astype(bool)), first, m.where(first < b, first, b)

    with dlc.config.scope(isa=isa.name):
        got = dlc.compile(lambda a, b: f(dlc, a, b))(a, b)
    for x, wanted in zip(got, f(np, a, b), strict=True):
        np.testing.assert_array_equal(x.numpy(), wanted)
