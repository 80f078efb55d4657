"""Accuracy, special values and portability of the math functions, run by the CPU backend."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scalar_harness import HOST_LEVELS, argument, compile_scalar, emit_loop

from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.isa import isa_named
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.scalar_math import ULP_BOUNDS, expand, expand_all
from dlc.codegen.scalar_math.trigonometric import inverse_two_pi_words
from dlc.ir import scalar
from dlc.ir.scalar import SCALAR_OPS
from dlc.ir.scalar_reference import NUMPY_SCALAR
from dlc.ir.types import float16, float32, float64

MATH = [row.name for row in SCALAR_OPS.values() if row.math]
BINARY = [name for name in MATH if SCALAR_OPS[name].arity == 2]
FLOATS = pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.short)
EVERY = pytest.mark.parametrize("name", MATH)
WIDE = np.longdouble
EXTENDED = np.finfo(WIDE).nmant >= 63


def math_expr(name, dtype):
    arity = SCALAR_OPS[name].arity
    return expand_all(scalar.op(name, *(argument(k, dtype) for k in range(arity))))


def compiled(name, dtype, isa=HOST_LEVELS[0], lanes=None):
    dtypes = [dtype] * SCALAR_OPS[name].arity
    return compile_scalar(math_expr(name, dtype), dtypes, lanes or isa.lanes(dtype.bits), isa)


def ulps(got, want):
    """The error in units in the last place; infinite for a wrong special value."""
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        place = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, 1)))
        error = np.abs((got.astype(want.dtype) - want) / place)
        # Next to the largest number, the rounded reference may be infinite and the other way round.
        top = np.finfo(got.dtype).max
        edge = np.isinf(rounded) != np.isinf(got)
        clipped = np.abs(
            np.clip(got, -top, top).astype(want.dtype)
            - np.clip(want, -2 * WIDE(top), 2 * WIDE(top))
        )
        error = np.where(edge, clipped / np.spacing(top), error)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(
        same, np.where(np.isfinite(error), error, 0), np.where(np.isnan(error), np.inf, error)
    )


def wide_erf(a):
    """erf of 0 <= a <= 2.5 by a series of positive terms."""
    total, term = a.copy(), a.copy()
    for n in range(1, 100):
        term = term * (2 * a * a) / (2 * n + 1)
        total = total + term
    return 2 / np.sqrt(WIDE(2) * np.arccos(WIDE(0))) * np.exp(-a * a) * total


def wide_erfc(a):
    """erfc of a >= 2 by its continued fraction."""
    tail = np.zeros_like(a)
    for n in range(150, 0, -1):
        tail = (WIDE(n) / 2) / (a + tail)
    return np.exp(-a * a) / np.sqrt(WIDE(2) * np.arccos(WIDE(0))) / (a + tail)


def erf_reference(x):
    a = np.abs(x)
    y = np.where(a < 2, wide_erf(np.minimum(a, 2)), 1 - wide_erfc(np.clip(a, 2, 100)))
    return np.where(np.isnan(x), x, np.copysign(y, x))


def erfc_reference(x):
    a = np.abs(x)
    y = np.where(a < 2, 1 - wide_erf(np.minimum(a, 2)), wide_erfc(np.clip(a, 2, 120)))
    return np.where(np.isnan(x), x, np.where(x < 0, 2 - y, y))


WIDE_REFERENCE = {
    "erf": erf_reference,
    "erfc": erfc_reference,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "pow": np.power, "atan2": np.arctan2,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))),
}  # fmt: skip


def wide_reference(name, arrays):
    with np.errstate(all="ignore"):
        return WIDE_REFERENCE.get(name, getattr(np, name, None))(*(a.astype(WIDE) for a in arrays))


def pairs(x, rng):
    """Second arguments for a sweep: of any size, and near 1 so that results stay within range."""
    n = len(x)
    near = (rng.standard_normal(n) * 4).astype(x.dtype)
    steep = (1 + rng.standard_normal(n) * 1e-4).astype(x.dtype)
    first = np.concatenate([x, np.abs(near), near, np.abs(steep), np.rint(near * 3)])
    large = (rng.standard_normal(n) * 3e5).astype(x.dtype)
    second = np.concatenate([rng.permutation(x), near * 20, np.rint(near * 9), large, near])
    return [first, second]


def check(name, dtype, arrays, want):
    got = compiled(name, dtype)(*arrays)
    error = ulps(got, want)
    worst = int(np.argmax(error))
    shown = [a[worst] for a in arrays], got[worst], want[worst]
    assert error[worst] <= ULP_BOUNDS[name, dtype], shown


@EVERY
def test_float32_over_all_magnitudes(name):
    """A prime stride over all bit patterns, judged at float64."""
    stride = 4099 if name not in BINARY else 32771
    x = np.arange(0, 2**32, stride, np.uint64).astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        arrays = pairs(x, np.random.default_rng(0)) if name in BINARY else [x]
        want = NUMPY_SCALAR[name](*(a.astype(np.float64) for a in arrays))
    check(name, float32, arrays, want)


@EVERY
@pytest.mark.skipif(not EXTENDED, reason="long double has no more bits than float64 here")
def test_float64_over_all_magnitudes(name):
    """Random bit patterns and the ranges where functions bend, judged at 64 bits of significand."""
    rng = np.random.default_rng(1)
    n = 8000 if name in ("erf", "erfc") else 40000
    small = rng.integers(0, 2**64, n, np.uint64).view(np.float64)
    x = np.concatenate([
        small, rng.standard_normal(n), rng.uniform(-1, 1, n), rng.standard_normal(n) * 8,
        rng.standard_normal(n) * 300, 1 + rng.standard_normal(n) * 1e-3,
        rng.standard_normal(n) * 2.0 ** rng.integers(-60, 0, n),
    ])  # fmt: skip
    arrays = pairs(x[:: len(BINARY)], rng) if name in BINARY else [x]
    check(name, float64, arrays, wide_reference(name, arrays))


@pytest.mark.skipif(not EXTENDED, reason="long double has no more bits than float64 here")
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@FLOATS
def test_next_to_multiples_of_a_quarter_turn(name, dtype):
    k = np.concatenate([np.arange(1, 5000), 2 ** np.arange(13, 62), 3 ** np.arange(8, 38)])
    x = (k.astype(WIDE) * np.arccos(WIDE(0))).astype(dtype.numpy)
    # The float64 nearest to such a multiple of all, 2^-61 from it.
    hardest = 6381956970095103 * 2.0**797
    x = np.concatenate([x, [hardest] if dtype is float64 else [1e22]]).astype(dtype.numpy)
    check(name, dtype, [x], wide_reference(name, [x]))


def test_hardest_cosine():
    x = np.array([6381956970095103 * 2.0**797])
    assert compiled("cos", float64)(x)[0] == -4.68716592425462761112e-19


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    2.5,
    1e300,
    -1e300,
    math.inf,
    -math.inf,
]


@EVERY
@FLOATS
def test_special_values(name, dtype):
    """Zeros with their signs, infinities and NaN are as C has them."""
    info = np.finfo(dtype.numpy)
    with np.errstate(over="ignore"):
        values = np.array([*SPECIAL, math.nan, -5.0, 4.0], dtype.numpy)
    values = np.concatenate([values, [info.max, -info.max, info.smallest_subnormal, info.tiny]])
    if name in BINARY:
        arrays = [np.repeat(values, len(values)), np.tile(values, len(values))]
    else:
        arrays = [values]
    got, want = compiled(name, dtype)(*arrays), NUMPY_SCALAR[name](*arrays)
    plain = np.isfinite(want) & (want != 0)
    exact = (got == want) & (np.signbit(got) == np.signbit(want)) | np.isnan(got) & np.isnan(want)
    fine = np.where(plain, np.isclose(got, want, rtol=8 * info.eps, atol=0), exact)
    # Two halves of the least subnormal round either way.
    with np.errstate(invalid="ignore"):
        fine |= plain & (np.abs(got.astype(WIDE) - want) <= info.smallest_subnormal)
    assert fine.all(), [(a[~fine][0] for a in arrays), got[~fine][0], want[~fine][0]]


def test_exact_values():
    powers = np.arange(-126, 127, dtype=np.float32)
    assert (compiled("exp2", float32)(powers) == 2.0**powers).all()
    assert (compiled("log2", float32)(np.float32(2) ** powers) == powers).all()
    whole = np.arange(-20.0, 20.0)
    assert (compiled("pow", float64)(whole, np.full(40, 3.0)) == whole**3).all()
    assert (compiled("cbrt", float64)(whole**3) == whole).all()
    assert compiled("exp", float32)(np.zeros(4, np.float32)).tolist() == [1.0] * 4
    assert compiled("sigmoid", float64)(np.zeros(4)).tolist() == [0.5] * 4


def portable_sample(dtype):
    rng = np.random.default_rng(2)
    unsigned = np.uint32 if dtype is float32 else np.uint64
    patterns = rng.integers(0, 2**dtype.bits, 600, unsigned).view(dtype.numpy)
    ordinary = (rng.standard_normal(600) * 4).astype(dtype.numpy)
    return np.concatenate([patterns, ordinary, np.array(SPECIAL[:9], dtype.numpy)])


@EVERY
@FLOATS
def test_every_level_and_width_gives_the_same_bits(name, dtype):
    x = portable_sample(dtype)
    arrays = [x, x[::-1].copy()][: SCALAR_OPS[name].arity]
    results = [compiled(name, dtype, isa)(*arrays) for isa in HOST_LEVELS]
    results.append(compiled(name, dtype, HOST_LEVELS[0], lanes=1)(*arrays))
    unsigned = np.uint32 if dtype is float32 else np.uint64
    for other in results[1:]:
        nan = np.isnan(results[0]) & np.isnan(other)
        assert ((results[0].view(unsigned) == other.view(unsigned)) | nan).all()


@EVERY
@FLOATS
def test_compiles_for_aarch64(name, dtype):
    isa = isa_named("aarch64")
    dtypes = [dtype] * SCALAR_OPS[name].arity
    loop = emit_loop(math_expr(name, dtype), dtypes, isa.lanes(dtype.bits), isa)
    assert compile_module(module_text([loop]), isa).object


def test_every_math_op_has_bounds():
    assert set(ULP_BOUNDS) == {(name, dtype) for name in MATH for dtype in (float32, float64)}


def test_expand_all_leaves_basic_ops_and_keeps_what_is_asked():
    x = argument(0, float32)
    tree = scalar.op(
        "add", scalar.op("exp", scalar.op("tanh", x)), scalar.op("exp", scalar.op("tanh", x))
    )
    ops = [node.op for node in scalar.walk(expand_all(tree))]
    assert not any(SCALAR_OPS[op].math for op in ops if op in SCALAR_OPS)
    # Two equal calls are expanded once.
    alone = len(list(scalar.walk(expand_all(scalar.op("exp", scalar.op("tanh", x))))))
    assert len(ops) == alone + 1
    kept = [n.op for n in scalar.walk(expand_all(tree, keep=frozenset({"tanh"})))]
    assert "tanh" in kept
    assert "exp" not in kept


def test_what_has_no_expansion():
    with pytest.raises(TypeError, match="no expansion of add at f32"):
        expand(scalar.op("add", argument(0, float32), argument(1, float32)))
    with pytest.raises(TypeError, match="no expansion of exp at f16"):
        expand(scalar.op("exp", argument(0, float16)))


def test_exp_stays_short():
    nodes = [n for n in scalar.walk(math_expr("exp", float32)) if n.op not in ("const", "bitcast")]
    assert len(nodes) <= 27, len(nodes)


def test_bits_of_inverse_two_pi():
    (word,) = inverse_two_pi_words(1, 0)
    assert word / 2**64 == 1 / (2 * math.pi)
    assert inverse_two_pi_words(2, 22)[0] == word >> 22
    assert inverse_two_pi_words(19, 0)[:4] == inverse_two_pi_words(4, 0)
