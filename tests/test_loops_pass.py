"""The pass that makes loops smaller: what it moves and drops, and that values stay."""

import numpy as np
import pytest
from test_control_derivatives import FUNCTIONS, lstm

import dlc
from dlc.ir.core import all_nodes
from dlc.ir.interpret import interpret
from dlc.passes.autodiff import vjp_function
from dlc.passes.loops import Loops
from dlc.passes.manager import parse_pipeline, run_pipeline
from dlc.runtime.verification import verify_function

BEFORE = "decompose,dce,fold_constants,simplify,cse,dce"


def traced(f, *args):
    return dlc.compile(f).lower(*args).function


def prepared(f, *args):
    return run_pipeline(traced(f, *args), parse_pipeline(BEFORE), verify=True)


def smaller(function):
    return run_pipeline(function, (Loops(),), verify=True)


def loops(function):
    return [n for n in all_nodes(function) if n.op.family == "control"]


def ops(function):
    return [n.op.name for n in function.nodes]


def same_values(before, after, seed=0):
    rng = np.random.default_rng(seed)
    args = [
        np.asarray(rng.standard_normal(p.shape), p.tensor.dtype.numpy)
        if p.tensor.dtype.is_float
        else np.asarray(rng.integers(0, 4, p.shape), p.tensor.dtype.numpy)
        for p in before.params
    ]
    for a, b in zip(interpret(before, args), interpret(after, args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_products_of_rows_are_one_product():
    def f(x, w, u):
        return dlc.scan(lambda c, r: (dlc.tanh(c @ u + r @ w), c), x[0] @ w, x)

    before = prepared(f, "f32[5,3,4]", "f32[4,6]", "f32[6,6]")
    after = smaller(before)
    (loop,) = loops(after)
    assert [n.op.name for n in loop.attrs["body"].nodes].count("dot_general") == 1
    assert "f32[5,3,6]" in [str(n.type) for n in after.nodes if n.op.name == "dot_general"]
    same_values(before, after)


def test_what_is_the_same_each_time_is_computed_before():
    def f(x, n):
        def step(c):
            return c[0] + 1, c[1] * dlc.sum(dlc.exp(x)) - dlc.max(x)

        return dlc.while_loop(lambda c: c[0] < n * n, step, (0, x))[1]

    before = prepared(f, "f32[6]", "i64[]")
    after = smaller(before)
    (loop,) = loops(after)
    assert not {"exp", "reduce_sum", "reduce_max"} & set(ops(loop.attrs["body"]))
    same_values(before, after)


def test_gradients_of_weights_are_one_product():
    def loss(w, x):
        return dlc.sum(dlc.scan(lambda c, r: (dlc.tanh((c + r) @ w), None), x[0], x)[0])

    before = run_pipeline(
        vjp_function(traced(loss, "f64[4,4]", "f64[5,3,4]"), [0]), parse_pipeline(BEFORE)
    )
    after = smaller(before)
    backward = loops(after)[-1]
    assert ops(backward.attrs["body"]).count("dot_general") == 1  # that of the carry
    assert ops(after).count("dot_general") == 1
    same_values(before, after)


def test_nothing_is_kept_that_nobody_reads():
    def f(x, k):
        def step(c):
            i, y, z, unused = c
            return i + 1, y * 2, z + dlc.sin(y), unused * z

        count, y, _, _ = dlc.while_loop(lambda c: c[0] < 5, step, (0, x, x, x))
        _, (ys, _) = dlc.scan(lambda c, r: (c + r, (c, dlc.exp(c))), x, dlc.stack([x, y]))
        a, _ = dlc.cond(k, lambda: (y, dlc.cos(y)), lambda: (-y, x))
        return y, ys, a, count

    before = prepared(f, "f32[]", "bool[]")
    after = smaller(before)
    names = {n.op.name for n in all_nodes(after)}
    assert not {"sin", "exp", "cos"} & names
    loop, scan, branches = loops(after)
    assert len(loop.type.items) == 2
    assert len(scan.type.items) == 2
    assert len(branches.type.items) == 1
    same_values(before, after)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_every_stage_of_loops_is_right(f):
    """Of functions and of their gradients, passes and kernels against the interpreter."""
    function = traced(f, dlc.spec((), dlc.float64), dlc.spec((), dlc.int64))
    args = [np.array(0.7), np.array(3)]
    report = verify_function(function, args)
    assert report.ok, str(report)
    gradient = vjp_function(function, [0])
    report = verify_function(gradient, [*args, np.array(1.0)])
    assert report.ok, str(report)


def test_an_lstm_at_every_stage():
    def loss(x, w, u, b, h, c):
        (h, c), ys = lstm(x, w, u, b, h, c)
        return dlc.sum(ys * ys) + dlc.sum(h * c)

    shapes = ["f32[9,3,4]", "f32[4,20]", "f32[5,20]", "f32[20]", "f32[3,5]", "f32[3,5]"]
    gradient = vjp_function(traced(loss, *shapes), range(6))
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(p.shape).astype(np.float32) for p in gradient.params]
    report = verify_function(gradient, args)
    assert report.ok, str(report)


def test_what_two_loops_compute_before_them_is_there_for_each():
    def total(w, h, xs):
        return dlc.sum(dlc.scan(lambda c, r: (dlc.tanh(c @ (w * 0.5) + r), c), h, xs)[0])

    rng = np.random.default_rng(0)
    args = [rng.normal(size=s).astype(np.float32) for s in ((8, 8), (8,), (5, 8))]
    found = dlc.compile(dlc.grad(total, argnums=(0, 1, 2)), verify=True)(*args)
    for a, b in zip(found, dlc.grad(total, argnums=(0, 1, 2))(*args), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)
