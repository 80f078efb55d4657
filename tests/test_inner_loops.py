"""Loops inside of a kernel: which ones they are, and the same bits as steps of a program give."""

import functools

import ml_dtypes
import numpy as np
import pytest
from functions_harness import trace
from op_cases import same_bits
from test_fuse import fused

import dlc
from dlc.codegen import program_builder
from dlc.codegen.kernel_cost import kernel_operations
from dlc.codegen.kernel_ir import ENDLESS, For, statements
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.kernel_verifier import verify_kernel
from dlc.codegen.program import Loop
from dlc.runtime.executable import compile_function

F32 = np.float32
GRID = np.linspace(-2, 2, 37, dtype=F32)
ROWS = np.arange(33 * 5, dtype=F32).reshape(33, 5) / 7


def newton(a):
    def far(c):
        return dlc.abs(c[0] * c[0] - a) > 1e-6 * a

    return dlc.while_loop(far, lambda c: (0.5 * (c[0] + a / c[0]), c[1] + 1), (a, 0))


def collatz(n):
    def step(c):
        return (dlc.where(c[0] % 2 == 0, c[0] // 2, 3 * c[0] + 1), c[1] + 1)

    return dlc.while_loop(lambda c: c[0] > 1, step, (n, 0))[1]


def oscillator(x, v):
    def step(_, c):
        v = c[1] - 0.01 * dlc.sin(c[0])
        return (c[0] + 0.01 * v, v)

    return dlc.fori_loop(0, 200, step, (x, v))


def counting(x, n):
    return dlc.fori_loop(0, n, lambda i, c: c * 0.99 + i, x)


def with_a_number(x, y):
    """A scalar and a tensor that iterations hand on, and both as results."""
    return dlc.scan(lambda c, _: ((c[0] * 0.5 + y * c[1], c[1] + 0.25), None), (x, 1.0), length=9)[
        0
    ]


def rows(x, reverse=False):
    return dlc.scan(lambda c, r: (dlc.maximum(c * 0.9, r), c - r), x[0], x, reverse=reverse)


def flags(x):
    return dlc.scan(lambda c, r: (c ^ (r > 0), c), dlc.asarray(False), x)


def wrapped(x):
    return dlc.scan(lambda c, r: (c * 3 + r, c), dlc.asarray(np.uint8(1)), x)


def table(x, places):
    """Each iteration reads a constant at a place that is computed."""
    return dlc.scan(lambda c, i: (c * 0.5 + x[i], None), 0.0, places)[0]


def gradient(x):
    def total(x):
        return dlc.sum(dlc.scan(lambda c, r: (dlc.tanh(c + r), c * r), 0.0, x)[1])

    return dlc.value_and_grad(total)(x)


INSIDE = {
    "newton": (newton, F32(7)),
    "newton of nothing": (newton, F32(np.nan)),
    "collatz": (collatz, np.int64(27)),
    "oscillator": (oscillator, GRID, GRID * 0),
    "oscillator of one": (oscillator, F32(1), F32(0)),
    "oscillator of none": (oscillator, GRID[:0], GRID[:0]),
    "oscillator in half precision": (oscillator, GRID.astype(np.float16), GRID.astype(np.float16)),
    "counting": (counting, F32(1), np.int64(50)),
    "not counting": (counting, F32(1), np.int64(-3)),
    "with a number": (with_a_number, GRID, F32(0.5)),
    "rows": (rows, ROWS),
    "rows from the end": (functools.partial(rows, reverse=True), ROWS.astype(ml_dtypes.bfloat16)),
    "a row": (rows, GRID),
    "no rows": (lambda x: dlc.scan(lambda c, r: (c + r, c), 1.5, x), GRID[:0]),
    "flags": (flags, GRID),
    "wrapped": (wrapped, np.arange(50, dtype=np.uint8)),
    "table": (table, GRID, np.array([3, 5, 36, 0, 3])),
}
STEPS = {
    "a product": (
        lambda x: dlc.scan(lambda c, r: (c @ c, dlc.sum(r)), dlc.eye(5), x),
        ROWS,
    ),
    "neighbours": (lambda x: dlc.fori_loop(0, 5, lambda i, c: dlc.roll(c, 1) + x, x), GRID),
    "a sum": (lambda x: dlc.while_loop(lambda c: dlc.sum(c) > 1, lambda c: c * 0.5, x), GRID + 3),
    "many rows": (
        lambda x: dlc.scan(lambda c, r: (c + r, None), x[0], x)[0],
        np.ones((3, 5000), F32),
    ),
    "shapes": (
        lambda x, y: dlc.fori_loop(0, 3, lambda i, c: (c[0] + 1, c[1] * 2), (x, y)),
        GRID,
        ROWS,
    ),
    "unknown lengths": (dlc.grad(lambda v: newton(v)[0]), F32(3)),
}


def loops(program):
    return [s for s in program.steps if isinstance(s, Loop)]


def inner(program):
    return [s for k in program.kernels for s in statements(k.body) if isinstance(s, For)]


def traced(case, *, symbolic=False):
    function, *args = case
    return trace(function, args, symbolic)[0], [np.asarray(a) for a in args]


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("name", list(INSIDE))
def test_a_loop_of_one_kernel_is_in_it(name, symbolic):
    program = program_builder.build_program(fused(traced(INSIDE[name], symbolic=symbolic)[0]))
    # How far apart the rows of a tensor are is to be known.
    assert bool(loops(program)) == (symbolic and name in ("rows", "rows from the end"))
    assert inner(program) or loops(program)
    for kernel in program.kernels:
        verify_kernel(kernel)
        assert print_kernel(parse_kernel(print_kernel(kernel))) == print_kernel(kernel)


@pytest.mark.parametrize("name", list(STEPS))
def test_other_loops_are_steps(name):
    assert loops(program_builder.build_program(fused(traced(STEPS[name])[0])))


@pytest.mark.parametrize("name", list(INSIDE))
def test_the_bits_are_those_of_steps(name, monkeypatch, tmp_path):
    function, args = traced(INSIDE[name])
    found = {}
    for form, threads in (("inside", 1), ("inside", 3), ("steps", 1)):
        with dlc.config.scope(cache_dir=tmp_path / form, num_threads=threads):
            if form == "steps":
                monkeypatch.setattr(program_builder, "lower_loop", lambda *_: None)
            made = compile_function(function)
            assert bool(loops(made.program)) == (form == "steps")
            for _ in range(2):
                found[form, threads] = made(args)
    want = found.pop(("steps", 1))
    for results in found.values():
        for got, wanted in zip(results, want, strict=True):
            assert same_bits(got, wanted)


@pytest.mark.parametrize(
    "name", ["newton", "counting", "with a number", "rows from the end", "table"]
)
def test_the_reference_runs_them(name):
    function, args = traced(INSIDE[name])
    with dlc.config.scope(device="reference"):
        reference = compile_function(function)(args)
    for got, want in zip(compile_function(function)(args), reference, strict=True):
        np.testing.assert_allclose(np.float64(got), np.float64(want), rtol=1e-6)


def test_what_is_printed_is_not_lost(capsys):
    def step(c):
        dlc.debug.print("{}", c)
        return c + 1

    f = dlc.compile(lambda x: dlc.while_loop(lambda c: c < 3, step, x))
    assert f(0).item() == 3
    assert capsys.readouterr().out.split() == ["0", "1", "2"]


def test_a_function_and_its_gradient_agree():
    got, slopes = dlc.compile(gradient)(GRID)
    step = 1e-6
    x = np.float64(GRID)

    def total(x):
        c, found = 0.0, 0.0
        for r in x:
            c, found = np.tanh(c + r), found + c * r
        return found

    np.testing.assert_allclose(got.item(), total(x), rtol=1e-5)
    for k in (0, 17, 36):
        d = np.zeros(len(x))
        d[k] = step
        slope = (total(x + d) - total(x - d)) / (2 * step)
        np.testing.assert_allclose(slopes.numpy()[k], slope, rtol=1e-4, atol=1e-5)


def test_values_of_long_bodies_that_are_read_twice():
    def body(c):
        for _ in range(60):
            c = c * c * 0.3 + c * 0.5 - 0.1
        return c

    x = np.linspace(-1.0, 1.0, 6)
    y, _ = dlc.compile(lambda x: dlc.scan(lambda c, _: (body(c), None), x, length=2))(x)
    np.testing.assert_allclose(y.numpy(), body(body(x)), rtol=1e-12)


def test_the_end_of_an_endless_loop_is_not_awaited():
    program = program_builder.build_program(fused(traced(INSIDE["newton"])[0]))
    (loop,) = inner(program)
    assert loop.axis.extent == ENDLESS
    (kernel,) = (k for k in program.kernels if loop in statements(k.body))
    assert 0 < kernel_operations(kernel) < 1 << 30
