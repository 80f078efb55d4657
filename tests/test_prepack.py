"""Matrices that no call changes: in panels, made once, shared, with the bits of run-time ones."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

import dlc
from dlc.codegen.cpu.isa import ISA_LEVELS, host_flags, host_machine
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.ir.config import config
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.ir.types import float32, float64
from dlc.passes import prepack
from dlc.passes.manager import parse_pipeline, run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.passes.prepack import Prepack
from dlc.runtime import kept
from dlc.runtime.bisection import find_culprit
from dlc.runtime.buffers import ALIGNMENT, HUGE_PAGE, is_usable, together
from dlc.runtime.device import find_device
from dlc.runtime.executable import Options, passes_of
from dlc.runtime.verification import compilation, verify_function

LEVELS = [isa.name for isa in ISA_LEVELS if isa.runs_on(host_machine(), host_flags())]


def numbers(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def kernels(function, *args):
    return function.lower(*args).as_text("kernels", locations=False)


def is_packed(function, *args):
    return "%32]" in kernels(function, *args) or "%16]" in kernels(function, *args)


def product_error(y, x, w):
    exact = x.astype(np.float64) @ w.astype(np.float64)
    size = np.abs(x.astype(np.float64)) @ np.abs(w.astype(np.float64))
    return float(np.max(np.abs(y.astype(np.float64) - exact) / size))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("rows", "depth", "columns"), [(1, 64, 100), (5, 515, 33), (8, 1100, 10), (70, 77, 129)]
)
def test_a_fixed_matrix_gives_the_bits_of_one_that_is_passed(level, rows, depth, columns):
    x, w, b = numbers(rows, depth), numbers(depth, columns, seed=1), numbers(columns, seed=2)
    with config.scope(isa=level):
        fixed = dlc.compile(lambda x: dlc.relu(x @ w + b))
        passed = dlc.compile(lambda x, w, b: dlc.relu(x @ w + b))
        y = fixed(x).numpy()
        assert y.tobytes() == passed(x, w, b).numpy().tobytes()
        assert "once panels" in kernels(fixed, x)
    assert product_error(dlc.compile(lambda x: x @ w)(x).numpy(), x, w) < depth * 2.0**-24


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [16, 24, 40, 48, 56, 64])
def test_as_many_rows_as_columns(level, dtype, size):
    x, w = numbers(size, size, dtype=dtype), numbers(size, size, dtype=dtype, seed=1)
    with config.scope(isa=level):
        y = dlc.compile(lambda x: x @ w)(x).numpy()
        assert y.tobytes() == dlc.compile(lambda x, w: x @ w)(x, w).numpy().tobytes()
    assert product_error(y, x, w) < size * np.finfo(dtype).eps


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("columns", [550, 1100, 2100])
def test_few_rows_take_several_panels_at_once(level, columns):
    w, b = numbers(600, columns), numbers(columns, seed=1)
    with config.scope(isa=level):
        fixed = dlc.compile(lambda x: x @ w - b)
        passed = dlc.compile(lambda x, w, b: x @ w - b)
        for rows in (1, 2, 3, 4, 5, 13):  # from the second on by one program for any number
            x = numbers(rows, 600, seed=2)
            assert fixed(x).numpy().tobytes() == passed(x, w, b).numpy().tobytes()
            known = dlc.compile(lambda x: x @ w - b, num_threads=3)(x)  # a program of its own
            assert known.numpy().tobytes() == fixed(x).numpy().tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float16", dlc.bfloat16.numpy, "int32"], ids=str)
def test_every_type_is_packed(dtype):
    x, w = 8 * numbers(6, 130), 8 * numbers(130, 37, seed=1)
    x, w = x.astype(dtype), w.astype(dtype)
    fixed = dlc.compile(lambda x: x @ w)
    assert is_packed(fixed, x)
    assert fixed(x).numpy().tobytes() == dlc.compile(lambda x, w: x @ w)(x, w).numpy().tobytes()


def test_any_number_of_threads_gives_the_same_bits():
    x, w, v = numbers(37, 300), numbers(300, 700, seed=1), numbers(10, 700, seed=2)

    def network(x):
        return dlc.relu(x @ w) @ dlc.asarray(v).T

    one = dlc.compile(network, num_threads=1)(x).numpy()
    for threads in (2, 3, 7):
        assert dlc.compile(network, num_threads=threads)(x).numpy().tobytes() == one.tobytes()


def test_a_transposed_matrix_costs_nothing():
    x, w = numbers(4, 96), numbers(80, 96, seed=1)
    f = dlc.compile(lambda x: x @ dlc.asarray(w).T)
    assert is_packed(f, x)
    assert "1 calls" in kernels(f, x)
    assert product_error(f(x).numpy(), x, w.T) < 1e-6


def test_what_is_computed_from_weights_is_computed_once():
    x, w = numbers(4, 96), numbers(96, 80, seed=1)
    f = dlc.compile(lambda x: x @ dlc.exp(dlc.asarray(w)))
    assert "1 calls of 2 kernels" in kernels(f, x)
    assert product_error(f(x).numpy(), x, np.exp(w)) < 1e-5


def test_what_many_steps_compute_from_weights():
    """Each of which reads what the one before wrote twice."""
    x, w = numbers(4, 20), numbers(20, 20, seed=1)

    def f(xp, w):
        for _ in range(40):
            w = w - xp.sum(w, axis=0, keepdims=True) * np.float32(0.02)
        return w

    y = dlc.compile(lambda x: x @ f(dlc, dlc.asarray(w)))(x)
    assert product_error(y.numpy(), x, f(np, w)) < 1e-5


def test_batches_of_any_size_by_one_program():
    w = numbers(96, 80, seed=1)
    f = dlc.compile(lambda x: x @ w)
    f.warmup("f32[n,96]")
    for rows in (1, 3, 100):
        x = numbers(rows, 96, seed=rows)
        assert product_error(f(x).numpy(), x, w) < 1e-6
    assert f.stats.compilations == 1
    x = numbers(2, 3, 96)
    assert product_error(dlc.compile(lambda x: x @ w)(x).numpy(), x, w) < 1e-6


def test_a_matrix_of_two_products_is_packed_once():
    x, w = numbers(5, 96), numbers(96, 96, seed=1)
    f = dlc.compile(lambda x: (x @ w) @ w)
    assert kernels(f, x).count("once panels") == 1
    assert product_error(f(x).numpy(), x, w.astype("f8") @ w) < 1e-5
    # Elsewhere it is read as it is.
    g = dlc.compile(lambda x: (x @ w) + dlc.sum(dlc.asarray(w), axis=0))
    np.testing.assert_allclose(g(x).numpy(), x @ w + w.sum(0), rtol=1e-4, atol=1e-4)


def test_panels_are_written_a_row_at_a_time():
    x, w = numbers(5, 96), numbers(96, 100, seed=1)
    text = kernels(dlc.compile(lambda x: x @ w), x)
    assert "k<32" in text.partition("kernel panels")[2].partition("kernel dot")[0]


def test_programs_with_the_same_weights_share_their_panels():
    w = numbers(97, 83, seed=7)
    f, g = dlc.compile(lambda x: x @ w), dlc.compile(lambda x: dlc.tanh(x @ w))
    for function, rows in ((f, 1), (f, 9), (g, 2)):
        function(numbers(rows, 97))
    panels = [r() for r, _ in kept._shared.values()]
    assert sum(a is not None and a.shape == (3, 97, 32) for a in panels) == 1
    changed = w.copy()
    f(numbers(3, 97))
    w[...] = 2 * changed  # taken when a function was traced
    np.testing.assert_allclose(f(np.ones((1, 97), "f4")).numpy()[0], changed.sum(0), atol=1e-4)
    h = dlc.compile(lambda x: x @ w)
    np.testing.assert_allclose(h(np.ones((1, 97), "f4")).numpy()[0], w.sum(0), atol=1e-4)


def test_arrays_of_the_same_bytes_are_no_reason_to_share_across_changes():
    w = np.full((64, 64), np.nan, np.float32)
    f = dlc.compile(lambda x: x @ w)
    assert np.isnan(f(np.ones((1, 64), "f4")).numpy()).all()
    w[...] = 1
    g = dlc.compile(lambda x: x @ w)
    assert (g(np.ones((1, 64), "f4")).numpy() == 64).all()


def test_derivatives_pass_through_fixed_matrices():
    w = numbers(96, 80, seed=1)
    gradient = dlc.compile(dlc.grad(lambda x: dlc.sum((x @ w) ** 2)))
    x = numbers(3, 96)
    assert kernels(gradient, x).count("once panels") == 2  # w and its transpose
    expected = 2 * (x.astype("f8") @ w) @ w.T
    np.testing.assert_allclose(gradient(x).numpy(), expected, rtol=1e-4, atol=1e-3)


def test_special_values():
    x, w = numbers(2, 64), numbers(64, 33, seed=1)
    w[3, 5], w[4, 6], w[:, 7] = np.nan, np.inf, -0.0
    x[1] = 0
    f = dlc.compile(lambda x: x @ w)
    expected = dlc.compile(lambda x, w: x @ w)(x, w).numpy()
    assert f(x).numpy().tobytes() == expected.tobytes()
    assert np.isnan(expected[:, 5]).all()
    assert not np.isnan(expected[:, 32]).any()


def test_native_entries_serve_functions_with_fixed_matrices():
    x, w = numbers(2, 64), numbers(64, 33, seed=1)
    f = dlc.compile(lambda x: x @ w)
    results = {f(x).numpy().tobytes() for _ in range(8)}
    assert len(results) == 1
    assert f.stats.python_calls < 8


def test_small_fixed_operands_and_those_of_one_column_are_left_alone():
    x = numbers(4, 96)
    for columns, dtype in ((1, "f4"), (8, "f4")):
        w = numbers(96, columns, dtype=dtype)
        assert not is_packed(dlc.compile(lambda x, w=w: x @ w), x)


def test_the_interpreter_takes_fixed_values_too():
    x, w = numbers(4, 96), numbers(96, 80, seed=1)
    with config.scope(disable_jit=True):
        assert product_error(dlc.compile(lambda x: x @ w)(x).numpy(), x, w) < 1e-6
    on_reference = dlc.compile(lambda x: x @ w, device="reference")
    assert product_error(on_reference(x).numpy(), x, w) < 1e-6


SECOND = """
import numpy as np, dlc
w = np.arange(96 * 80, dtype=np.float32).reshape(96, 80) % 7 * {factor}
f = dlc.compile(lambda x: x @ w)
y = f(np.ones((3, 96), np.float32)).numpy()
assert (y == w.sum(0)).all()
print(f.stats.kernels_compiled if hasattr(f.stats, "kernels_compiled") else "", end="")
import sys
sys.exit(any(m.startswith("llvmlite") for m in sys.modules) and {cached})
"""


def test_the_cache_serves_other_processes_whatever_the_weights_are(tmp_path):
    for factor, cached in ((1, False), (1, True), (3, True)):
        script = SECOND.format(factor=factor, cached=cached)
        environment = {"DLC_CACHE_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
        subprocess.run([sys.executable, "-c", script], check=True, env=environment)


# The pass.

PROGRAM = """
func @f(%x: f32[3,96], %w: f32[96,96], %v: f32[96,96]) -> (f32[3,96]) {
  %0: f32[3,96] = dot_general(%x, %w) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]}
  %1: f32[3,96] = dot_general(%0, %v) {lhs_batch=[], lhs_contract=[1], rhs_batch=[], rhs_contract=[0]}
  return %1
}
"""  # noqa: E501


def test_the_pass_keeps_values_and_its_text_is_read_back():
    function = parse_function(PROGRAM)
    (step,) = parse_pipeline('prepack{panel_bits=1024,fixed="1 2"}')
    assert step == Prepack(1024, "1 2")
    packed = run_pipeline(function, [step], verify=True)
    assert [n.op.name for n in packed.nodes].count("panels") == 2
    assert print_function(parse_function(print_function(packed))) == print_function(packed)
    args = [numbers(*p.shape, seed=k) for k, p in enumerate(function.params)]
    assert np.array_equal(interpret(packed, args)[0], interpret(function, args)[0])
    only_one = run_pipeline(function, [Prepack(1024, "2")])
    assert [n.op.name for n in only_one.nodes].count("panels") == 1
    assert run_pipeline(function, [Prepack(0, "1 2")]) is function
    assert run_pipeline(function, [Prepack(1024, "0")]) is function


def test_kernels_in_panels_are_text_like_any():
    w = numbers(96, 80)
    f = dlc.compile(lambda x: x @ w)
    for kernel in f.lower("f32[n,96]").executable.program.kernels:
        text = print_kernel(kernel)
        assert print_kernel(parse_kernel(text)) == text


def test_a_pass_that_packs_wrongly_is_caught_and_named(monkeypatch):
    passes = pipeline_of("O2", 1024, (1, 2))
    function = parse_function(PROGRAM)
    assert find_culprit(compilation(function, passes=passes, device="reference")) is None
    made = prepack.make_node

    first = []

    def confused(op, inputs, attrs, loc=None):
        node = made(op, inputs, attrs, loc)
        if op is OPS["panels"]:
            first.append(node)
        return made(op, first[:1], attrs, loc) if op is OPS["from_panels"] else node

    monkeypatch.setattr(prepack, "make_node", confused)
    culprit = find_culprit(compilation(function, passes=passes, device="reference"))
    assert culprit is not None
    assert culprit.stage == "prepack"


def test_the_passes_that_compile_are_those_that_are_verified():
    chosen = compilation(parse_function(PROGRAM)).passes
    assert chosen == passes_of(Options())
    (step,) = [p for p in chosen if isinstance(p, Prepack)]
    assert step.panel_bits == find_device("cpu").backend().panel_bits > 0
    w = numbers(96, 80)
    closure = dlc.compile(lambda x: x @ w).lower("f32[3,96]").closure
    passes = passes_of(Options(fixed=closure.fixed_params))
    packed = run_pipeline(closure.function, passes)
    assert any(n.op.name == "panels" for f in kernels_of(packed) for n in f.nodes)
    assert verify_function(closure.function, passes=passes).ok


def kernels_of(function):
    return [n.attrs["body"] for n in function.nodes if n.op.name == "fusion"]


def test_what_is_kept_lies_side_by_side_in_huge_pages():
    types = [((300, 1000), float32), ((7,), float64), ((0, 3), float32), ((513, 1023), float32)]
    arrays = together(types)
    for (shape, dtype), array in zip(types, arrays, strict=True):
        assert (array.shape, array.dtype) == (shape, dtype.numpy)
        assert is_usable(array)
        assert array.ctypes.data % ALIGNMENT == 0
    places = [(a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays]
    assert places[0][0] % HUGE_PAGE == 0
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))
    assert places[-1][1] - places[0][0] < sum(a.nbytes for a in arrays) + 64 * len(arrays)
    for k, array in enumerate(arrays):
        array[...] = k
    assert [set(a.ravel().tolist()) for a in arrays] == [{0.0}, {1.0}, set(), {3.0}]


def test_little_that_is_kept_has_memory_of_its_own():
    first, second = together([((3, 4), float32), ((5,), float32)])
    assert first.base is not second.base
    assert first.nbytes + second.nbytes == 68
