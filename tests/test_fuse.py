"""What is fused: kernels of known programs (more would be slower), and that groups are legal."""

import itertools

import numpy as np
import pytest
from functions_harness import trace
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import random_values, same_bits
from test_memory_plan import VALUES, functions

import dlc
from dlc.codegen.program_builder import build_program
from dlc.ir.dims import symbol
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.ir.types import dtype_of
from dlc.ir.verifier import verify
from dlc.passes.fuse import Fuse, is_split_reduction
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of

X = np.ones((64, 300), np.float32)
LABELS = np.zeros(64, np.int64)
W, B, V, C = (np.ones(s, np.float32) for s in ((300, 100), (100,), (100, 10), (10,)))
SCALE = np.ones(300, np.float32)
BATCH = np.ones((5, 300, 40), np.float32)


def gradient(f, argnums=0):
    return dlc.grad(lambda *a: dlc.sum(f(*a) * a[0]), argnums=argnums)


def _loss(parameters, x, labels):
    w, b, v, c = parameters
    return dlc.cross_entropy(dlc.relu(x @ w + b) @ v + c, labels)


def train_step(w, b, v, c, x, labels):
    loss, slopes = dlc.value_and_grad(_loss)([w, b, v, c], x, labels)
    return loss, *(p - 0.1 * s for p, s in zip([w, b, v, c], slopes, strict=True))


def adam(p, m, v, g):
    m = 0.9 * m + 0.1 * g
    v = 0.99 * v + 0.01 * g * g
    return p - 1e-3 * m / (dlc.sqrt(v) + 1e-8), m, v


def softmax(x):
    return dlc.softmax(x, axis=1)


def wide_product(x, w):
    return x.astype(dlc.float32) @ w.astype(dlc.float32)


def behind_rows(x, y):
    return dlc.einsum("bik,bkj->ibj", x, dlc.swapaxes(y, 1, 2)) + 1


def likelihood(x, labels):
    chosen = dlc.take_along_axis(dlc.log_softmax(x, axis=-1), labels[:, None], axis=1)
    return -dlc.mean(chosen)


PROGRAMS = {
    # name: (function, operands, most groups, most calls with extents known late)
    "a chain": (lambda x: dlc.exp(x * 2 + 1) / (1 + dlc.abs(x)), [X], 1, 1),
    "two results": (lambda x: (dlc.exp(x), dlc.sin(x) + 1), [X], 1, 1),
    "softmax": (softmax, [X], 1, 1),
    "log_softmax": (lambda x: dlc.log_softmax(x, axis=1), [X], 1, 1),
    "logsumexp": (lambda x: dlc.logsumexp(x, axis=1), [X], 1, 1),
    "softmax and its gradient": (gradient(softmax), [X], 1, 1),
    "layer norm": (dlc.layer_norm, [X, SCALE, SCALE], 1, 1),
    "layer norm's gradients": (gradient(dlc.layer_norm, (0, 1, 2)), [X, SCALE, SCALE], 2, 2),
    "mean and variance of rows": (lambda x: (dlc.mean(x, axis=1), dlc.var(x, axis=1)), [X], 1, 1),
    "layer norm of one row": (dlc.layer_norm, [X[None, :1], SCALE, SCALE], 1, 1),
    "softmax of one row": (softmax, [X[:1]], 1, 1),
    "sums of columns": (lambda x: (dlc.sum(x, axis=0), dlc.sum(x * x, axis=0)), [X], 1, 1),
    "cross entropy": (dlc.cross_entropy, [X, LABELS], 2, 3),
    "cross entropy and gradient": (dlc.value_and_grad(dlc.cross_entropy), [X, LABELS], 2, 4),
    "likelihood by labels and gradient": (dlc.value_and_grad(likelihood), [X, LABELS], 2, 4),
    "a layer": (lambda x, w, b: dlc.relu(x @ w + b), [X, W, B], 1, 1),
    "a layer on a batch of one": (lambda x, w, b: dlc.relu(x @ w + b), [X[None], W, B], 1, 1),
    "halves added up at float32": (wide_product, [X.astype("f2"), W.astype("f2")], 1, 1),
    "a transposed product": (lambda x, y: dlc.gelu(x.T @ y), [X, X], 1, 1),
    "a matrix by each of a batch": (lambda w, x: dlc.relu(w @ x), [W.T, BATCH], 1, 1),
    "products with the batch behind rows": (behind_rows, [BATCH, BATCH], 1, 1),
    "a product whose rows become columns": (lambda x, y: dlc.exp((x.T @ y).T), [X, X], 1, 2),
    "a product for which that costs more": (lambda x, y: dlc.exp((x @ y).T), [X, W], 2, 2),
    "a product whose batch becomes columns": (
        lambda x, y: dlc.transpose(x @ y, (1, 2, 0)), [BATCH, BATCH.transpose(0, 2, 1)], 2, 2
    ),
    "adam": (adam, [X, X, X, X], 1, 1),
    "a training step": (train_step, [W, B, V, C, X, LABELS], 10, 12),
}  # fmt: skip


def fused(function):
    return run_pipeline(function, pipeline_of("O2"), verify=True)


def groups(function):
    return [n for n in function.nodes if n.op.name == "fusion"]


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_programs_need_no_more_kernels_than(name):
    function, args, most, most_late = PROGRAMS[name]
    optimized = fused(trace(function, args, symbolic=False)[0])
    assert len(groups(optimized)) <= most, [g.attrs["body"].name for g in groups(optimized)]
    late = build_program(fused(trace(function, args, symbolic=True)[0]))
    assert len(late.calls) <= most_late, [k.name for k in late.kernels]


ORDERS = list(itertools.permutations("bcij"))
# Every order of float32 and, a third each, of one other type; without a batch, all of all.
PRODUCTS = {
    **{("", t): list(itertools.permutations("cij")) for t in ("f32", "f64", "bf16", "i32")},
    ("b", "f32"): ORDERS,
    **{("b", t): ORDERS[k::3] for k, t in enumerate(("f64", "bf16", "i32"))},
}


@pytest.mark.parametrize(("batch", "dtype"), PRODUCTS)
def test_products_with_their_axes_in_any_order(batch, dtype):
    """At a first and a second size, with and without what reads them, of odd and large extents."""
    rng = np.random.default_rng(0)
    orders, dtype = PRODUCTS[batch, dtype], np.dtype(dtype_of(dtype).numpy)
    for order in orders:
        subscripts = f"{batch}ik,{batch}ckj->{''.join(order)}"

        def product(x, y, subscripts=subscripts):
            z = dlc.einsum(subscripts, x, y)
            return z, dlc.maximum(z * 2 - 1, 0)

        f, only = dlc.compile(product), dlc.compile(lambda x, y, p=product: p(x, y)[1])
        for b, c, i, j, k in (
            (3, 2, 65, 70, 9),
            (2, 3, 33, 48, 17),
            (1, 2, 1, 40, 3),
            (2, 2, 5, 3, 0),
        ):
            shapes = ((b,) * len(batch) + (i, k), (b,) * len(batch) + (c, k, j))
            x, y = (rng.integers(-4, 5, s).astype(dtype) for s in shapes)
            want = np.einsum(subscripts, x.astype(np.float64), y.astype(np.float64))
            above = np.maximum(want * 2 - 1, 0)
            for got, right in zip((*f(x, y), only(x, y)), (want, above, above), strict=True):
                np.testing.assert_array_equal(got.numpy().astype(np.float64), right)


def test_products_repeated_along_more_axes():
    """What reads them has their axes and more behind them, so it is no epilogue in another order.

    As the gradient of a network that ends in a mean over pixels and a product has.
    """
    rng = np.random.default_rng(0)
    x, y, pixels = (rng.integers(-4, 5, s) * 1.0 for s in ((4, 3), (3, 8), (4, 8, 2, 2)))

    @dlc.compile
    def masked(x, y, pixels):
        return dlc.where(pixels > 0, (x @ y)[:, :, None, None], 0)

    want = np.where(pixels > 0, (x @ y)[:, :, None, None], 0)
    for rows in (4, 3):
        got = masked(x[:rows], y, pixels[:rows])
        np.testing.assert_array_equal(got.numpy(), want[:rows])


def test_channels_behind_pixels():
    """A convolution stores them where its reader wants them."""
    filters = np.ones((3, 3, 8, 64), np.float32)  # HWIO

    def pixels_first(x, w):
        y = dlc.conv(x, dlc.transpose(w, (3, 2, 0, 1)))
        return dlc.relu(dlc.transpose(y, (0, 2, 3, 1)))

    x = np.random.default_rng(0).integers(-4, 5, (2, 8, 9, 11)).astype(np.float32)
    assert len(groups(fused(trace(pixels_first, [x, filters], symbolic=False)[0]))) == 1
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3)).sum((1, 4, 5))
    want = np.maximum(windows, 0)[..., None].repeat(64, axis=-1)
    for frozen in (False, True):
        f = dlc.compile((lambda x: pixels_first(x, filters)) if frozen else pixels_first)
        got = f(x) if frozen else f(x, filters)
        np.testing.assert_array_equal(got.numpy(), want)


def test_equal_layers_share_their_kernels():
    def layers(x, *ws):
        for w in ws:
            x = dlc.relu(dlc.layer_norm(x @ w, np.ones(16, np.float32), np.zeros(16, np.float32)))
        return x

    args = [np.ones((8, 16), np.float32), *(np.ones((16, 16), np.float32) for _ in range(12))]
    program = build_program(fused(trace(layers, args, symbolic=False)[0]))
    assert len(program.kernels) <= 2
    assert len(program.calls) >= 12


def test_nothing_but_fusions_is_left():
    for function, args, _, _ in PROGRAMS.values():
        optimized = fused(trace(function, args, symbolic=False)[0])
        assert {n.op.name for n in optimized.nodes} <= {"fusion", "get", "constant"}


def test_every_op_has_a_kernel_at_the_lowest_level():
    text = """func @f(%x: f32[4]) -> (f32[4]) {
      %0: f32[4] = add(%x, %x)
      %1: f32[4] = neg(%0)
      %2: f32[2,2] = reshape(%1) {shape=[2,2]}
      %3: f32[2,2] = exp(%2)
      %4: f32[4] = reshape(%3) {shape=[4]}
      return %4 }"""
    optimized = run_pipeline(parse_function(text), pipeline_of("O0"))
    # The last reshape is a result, so it is stored; the first is an index in the kernel of exp.
    assert len(groups(optimized)) == 4


@settings(max_examples=200)
@given(functions(), st.booleans(), st.integers(3, 48))
def test_groups_are_legal(function, grouped, most):
    """Producers come first (the verifier sees to it), params are bounded, values stay the same."""
    optimized = run_pipeline(function, (Fuse(groups=grouped, max_inputs=most),), verify=True)
    verify(optimized)
    for g in groups(optimized):
        body = g.attrs["body"]
        alone = sum(n.op.cost > 0 or n.op.family == "reduction" for n in body.nodes) <= 1
        one = len(body.results) == 1
        assert alone or one or len(body.params) + len(body.results) <= most
    rng = np.random.default_rng(0)

    def extent(d):
        return d if isinstance(d, int) else VALUES[str(d)]

    params = [p.tensor for p in function.params]
    args = [random_values(rng, t.dtype, [extent(d) for d in t.shape]) for t in params]
    for a, b in zip(interpret(optimized, args), interpret(function, args), strict=True):
        assert same_bits(a, b)


def test_a_cycle_between_groups_is_not_made():
    """x -> (a sum of all) -> back into a chain that could have joined x's group."""
    text = """func @f(%x: f32[8,16]) -> (f32[8,16]) {
      %0: f32[8,16] = exp(%x)
      %1: f32[16] = reduce_sum(%0) {axes=[0]}
      %2: f32[8,16] = broadcast_to(%1) {shape=[8,16]}
      %3: f32[8,16] = div(%0, %2)
      return %3 }"""
    optimized = run_pipeline(parse_function(text), (Fuse(),), verify=True)
    assert 2 <= len(groups(optimized)) <= 3


def test_results_have_buffers_of_their_own():
    text = """func @f(%x: f32[4]) -> (f32[4], f32[4], f32[4]) {
      %0: f32[4] = exp(%x)
      return %0, %0, %x }"""
    optimized = run_pipeline(parse_function(text), (Fuse(),))
    assert len(set(optimized.results)) == 3
    assert not set(optimized.results) & set(optimized.params)


def test_dead_code_gets_no_kernel():
    text = """func @f(%x: f32[4]) -> (f32[4]) {
      %0: f32[4] = exp(%x)
      %1: f32[4] = reduce_sum(%0) {axes=[]}
      %2: f32[4] = neg(%x)
      return %2 }"""
    (group,) = groups(run_pipeline(parse_function(text), (Fuse(),)))
    assert "exp" not in [n.op.name for n in group.attrs["body"].nodes]


@pytest.mark.parametrize("columns", [1, 3])
def test_beside_a_row_of_one_there_are_zeros(columns):
    def f(x):
        y = x * 2
        return y, -dlc.zeros((2, columns)).at[1:2].set(y)[:1]

    y, above = dlc.compile(f)(np.ones((1, columns), np.float32))
    assert (y.numpy() == 2).all()
    assert (above.numpy() == 0).all()


def test_an_element_of_each_row_is_taken_by_the_rows_kernel():
    def likely(x, labels):
        p = dlc.softmax(x, axis=1)
        return dlc.take_along_axis(p, labels[:, None], axis=1), dlc.max(p, axis=1)

    def all_of_it(x, labels):
        p = dlc.softmax(x, axis=1)
        return p, dlc.take_along_axis(p, labels[:, None], axis=1), dlc.take(p, labels[:3], axis=0)

    x = np.random.default_rng(0).standard_normal((64, 300)).astype(np.float32)
    labels = np.arange(64) * 7 % 300 - 20  # some count from the end
    e = np.exp(x.astype(np.float64))
    p = e / e.sum(axis=1, keepdims=True)
    picked = p[np.arange(64), labels][:, None]
    for function, want, kernels in (
        (likely, (picked, p.max(axis=1)), 1),
        (all_of_it, (p, picked, p[labels[:3]]), 2),
    ):
        program = build_program(fused(trace(function, [x, labels], symbolic=False)[0]))
        assert len(program.kernels) == kernels
        for got, right in zip(dlc.compile(function)(x, labels), want, strict=True):
            np.testing.assert_allclose(got.numpy(), right, rtol=1e-5)
    # No matrix is left in memory between the kernels of a loss.
    traced, _ = trace(dlc.value_and_grad(dlc.cross_entropy), [X, LABELS], symbolic=False)
    slots = build_program(fused(traced)).slots
    assert all(s.type.size < X.size for s in slots if s.kind == "temporary")


def test_what_is_split():
    n = symbol("n")
    assert is_split_reduction((), (1 << 16,))
    assert is_split_reduction((7,), (256, 256))
    assert not is_split_reduction((8,), (1 << 16,))
    assert not is_split_reduction((), ((1 << 16) - 1,))
    assert is_split_reduction((), (n,))
    assert not is_split_reduction((3,), (n,))
    assert not is_split_reduction((n,), (1 << 20,))


def test_long_chains_are_several_kernels():
    def chain(x, length):
        for _ in range(length):
            x = dlc.exp(-x) + 0.5
        return x

    x = np.linspace(-3, 3, 50, dtype=np.float32)
    for length, kernels in ((100, 1), (600, 5)):
        function, _ = trace(lambda x, length=length: chain(x, length), [x], symbolic=False)
        optimized = fused(function)
        assert len(groups(optimized)) == kernels
        (found,), (wanted,) = interpret(optimized, [x]), interpret(function, [x])
        np.testing.assert_array_equal(found, wanted)
