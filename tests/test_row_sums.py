"""Sums over the rows of a row kernel: partial sums of blocks of rows, and what cannot join."""

import numpy as np
import pytest
from functions_harness import trace
from op_cases import same_bits

import dlc
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.kernel_verifier import verify_kernel
from dlc.codegen.lower_columns import ROWS
from dlc.codegen.program_builder import build_program
from dlc.ir.types import dtype_of
from dlc.passes.fuse import MANY_ROWS
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of

RNG = np.random.default_rng(5)
EPS = 0.1


def program_of(function, arrays, symbolic=False):
    found, _ = trace(function, arrays, symbolic)
    program = build_program(run_pipeline(found, pipeline_of("O2"), verify=True))
    for kernel in program.kernels:
        verify_kernel(kernel)
    return program


def norm(x, g):
    return dlc.rms_norm(x, g, eps=EPS)


def norms(x, g, ct):
    """A norm without its usual mean, pulled back: sums over rows of several values of the rows."""
    y, pull_back = dlc.vjp(norm, x, g)
    return (y, *pull_back(ct), dlc.sum(ct, axis=tuple(range(x.ndim - 1))))


def norms_at_float64(x, g, ct):
    x, g, ct = (a.astype(np.float64) for a in (x, g, ct))
    rows = tuple(range(x.ndim - 1))
    r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPS)
    along = (ct * g * x).mean(axis=-1, keepdims=True)
    return x * r * g, r * (ct * g - x * r * r * along), (ct * x * r).sum(rows), ct.sum(rows)


SHAPES = [
    (MANY_ROWS, 1), (257, 33), (ROWS * 9, 16), (1000, 300), (5, 64, 17), (300, 1, 5), (1, 300, 31),
    (2, 3, 50, 7),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("symbolic", [False, True])
def test_values(shape, symbolic):
    arrays = [RNG.standard_normal(s).astype(np.float32) for s in (shape, shape[-1:], shape)]
    program = program_of(norms, arrays, symbolic)
    assert any("partial" in print_kernel(k) for k in program.kernels)
    compiled = dlc.compile(norms)
    got = compiled(*(dlc.asarray(a) for a in arrays))
    if symbolic:
        more = [np.concatenate([a, a]) if a.ndim > 1 else a for a in arrays]
        compiled(*(dlc.asarray(a) for a in more))
        got = compiled(*(dlc.asarray(a) for a in arrays))
    assert compiled.stats.interpreted_ops == 0
    for a, b in zip(got, norms_at_float64(*arrays), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=2e-5, atol=2e-5 * abs(b).max())


@pytest.mark.parametrize("dtype", ["f64", "bf16", "f16"])
def test_other_types(dtype):
    kind = dtype_of(dtype).numpy
    arrays = [RNG.standard_normal(s).astype(kind) for s in ((300, 70), (70,), (300, 70))]

    def function(x, ct):
        return dlc.softmax(x, axis=1), dlc.sum(ct * x, axis=0), dlc.sum(x, axis=0)

    x, _, ct = arrays
    y, dot, total = (r.numpy() for r in dlc.compile(function)(x, ct))
    wide, other = x.astype(np.float64), ct.astype(np.float64)
    eps = (
        float(np.finfo(np.float64).eps)
        if dtype == "f64"
        else 2.0 ** -(8 if dtype == "bf16" else 11)
    )
    e = np.exp(wide - wide.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y.astype(np.float64), e / e.sum(axis=1, keepdims=True), 16 * eps)
    # Products of halves are rounded, their sums once.
    loose = 8 * eps * abs(other * wide).sum(axis=0).max()
    np.testing.assert_allclose(dot.astype(np.float64), (other * wide).sum(axis=0), 0, loose)
    np.testing.assert_allclose(total.astype(np.float64), wide.sum(axis=0), 0, loose)


def test_integers_and_special_values():
    def function(x, n):
        return dlc.sum(n, axis=1), dlc.sum(n, axis=0), dlc.max(x, axis=1), dlc.sum(x, axis=0)

    x = np.zeros((300, 6), np.float32)
    x[:, 1], x[7, 2], x[299, 3], x[40, 4], x[41, 4] = -0.0, np.nan, np.inf, np.inf, -np.inf
    n = RNG.integers(-(2**62), 2**62, (300, 6))  # their sums wrap
    got = [r.numpy() for r in dlc.compile(function)(x, n)]
    assert (got[0] == n.sum(axis=1)).all()
    assert (got[1] == n.sum(axis=0)).all()
    want = np.array([0, 0, np.nan, np.inf, np.nan, 0], np.float32)
    assert same_bits(got[3], want)


def test_the_bits_do_not_depend_on_threads():
    arrays = [RNG.standard_normal(s).astype(np.float32) for s in ((1003, 77), (77,), (1003, 77))]
    results = [
        [r.numpy() for r in dlc.compile(norms, num_threads=t)(*arrays)] for t in (1, 2, 3, 7)
    ]
    for other in results[1:]:
        assert all(map(same_bits, other, results[0]))


@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v2"])
def test_other_levels(level):
    arrays = [RNG.standard_normal(s).astype(np.float32) for s in ((270, 37), (37,), (270, 37))]
    with dlc.config.scope(isa=level):
        got = dlc.compile(norms)(*arrays)
    for a, b in zip(got, norms_at_float64(*arrays), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=2e-5, atol=2e-5 * abs(b).max())


def test_memory_is_read_once():
    x, g = np.ones((4096, 64), np.float32), np.ones(64, np.float32)
    program = program_of(norms, [x, g, x])
    first, second = program.kernels
    text = print_kernel(first)
    assert text.count("partial[") + text.count("partial_2[") >= 4  # each is begun and added to
    assert "for " in text
    blocks = 4096 // ROWS
    temporaries = [s.type for s in program.slots if s.kind == "temporary"]
    assert [t.shape for t in temporaries] == [(blocks, 64)] * 2
    assert all(p.name.startswith("partial") for p in second.params if p.mode == "in")


def test_few_rows_are_summed_by_a_kernel_of_its_own():
    x, g = np.ones((MANY_ROWS - 1, 64), np.float32), np.ones(64, np.float32)
    assert not any("partial" in print_kernel(k) for k in program_of(norms, [x, g, x]).kernels)


def test_what_needs_the_sums_is_another_kernel():
    # Square, so that the sums have as many elements as there are rows.
    def function(x):
        y = dlc.softmax(x, axis=1)
        s = dlc.sum(y, axis=0)
        return y, y * s[:, None], y - s, dlc.max(y * s[:, None], axis=1)

    x = RNG.standard_normal((300, 300)).astype(np.float32)
    got = [r.numpy() for r in dlc.compile(function)(x)]
    e = np.exp(x.astype(np.float64))
    y = e / e.sum(axis=1, keepdims=True)
    s = y.sum(axis=0)
    for a, b in zip(got, (y, y * s[:, None], y - s, (y * s[:, None]).max(axis=1)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


TALL = [(4096, 40), (1000, 300), (300, 500, 3), (66_000, 1), (257, 256), (256, 1, 700)]


def columns(x):
    squares = dlc.sum(x * x, axis=0)
    return dlc.sum(x, axis=0), 2 * squares + 1, dlc.max(x, axis=0), dlc.mean(dlc.exp(x), axis=0)


@pytest.mark.parametrize("shape", TALL)
def test_columns_of_many_rows(shape):
    x = RNG.standard_normal(shape).astype(np.float32)
    program = program_of(columns, [x])
    assert any(k.name.startswith("partial") for k in program.kernels)
    assert 1 in shape or len(program.kernels) == 2
    results = [[r.numpy() for r in dlc.compile(columns, num_threads=t)(x)] for t in (1, 2, 7)]
    assert all(same_bits(a, b) for r in results[1:] for a, b in zip(r, results[0], strict=True))
    w = x.astype(np.float64)
    want = w.sum(0), 2 * (w * w).sum(0) + 1, w.max(0), np.exp(w).mean(0)
    for a, b in zip(results[0], want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def test_columns_of_other_kinds():
    x = np.zeros((20_000, 7), np.float32)
    x[:, 1], x[7, 2], x[19_999, 3], x[40, 4], x[41, 4] = -0.0, np.nan, np.inf, np.inf, -np.inf
    n = RNG.integers(-(2**62), 2**62, (20_000, 7))  # their sums wrap

    def function(x, n):
        return (
            dlc.sum(n, axis=0), dlc.any(n > 2**61, axis=0), dlc.min(x, axis=0), dlc.sum(x, axis=0),
            dlc.sum(x.astype(dlc.bfloat16), axis=0), dlc.argmax(x, axis=0),
        )  # fmt: skip

    got = [r.numpy() for r in dlc.compile(function)(x, n)]
    assert (got[0] == n.sum(axis=0)).all()
    assert (got[1] == (n > 2**61).any(axis=0)).all()
    assert same_bits(got[2], np.array([0, -0.0, np.nan, 0, -np.inf, 0, 0], np.float32))
    sums = np.array([0, 0, np.nan, np.inf, np.nan, 0, 0], np.float32)
    assert same_bits(got[3], sums)
    assert same_bits(got[4].astype(np.float32), sums)
    assert (got[5] == [0, 0, 7, 19_999, 40, 0, 0]).all()
