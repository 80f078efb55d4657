"""Derivatives of loops and branches, to third order, against differences and against PyTorch."""

import numpy as np
import pytest
import torch

import dlc
from dlc.ir.interpret import interpret
from dlc.ir.verifier import verify
from dlc.passes.autodiff import jvp_function, vjp_function
from dlc.runtime.executable import Options, compile_function


def while_of_unknown_length(x, n):
    def step(c):
        return c[0] + 1, dlc.sin(c[1]) * x + c[1]

    return dlc.while_loop(lambda c: c[0] < n, step, (0, x))[1]


def while_that_value_decides(x, n):
    return dlc.while_loop(lambda c: dlc.abs(c) < 3.0 + n, lambda c: c * 1.25 + 0.01 * x, x)


def scan_with_all(x, n):
    def step(c, row):
        return dlc.tanh(c * row["a"] + x), (c * c, row["b"])

    rows = dlc.asarray(np.array([0.5, 1.5, -0.3])) * x
    last, (ys, bs) = dlc.scan(step, x, {"a": rows, "b": rows * x})
    return last + dlc.sum(ys * bs)


def scan_backwards(x, n):
    def step(c, row):
        return c + dlc.exp(row * c * 0.1), dlc.sin(c)

    last, ys = dlc.scan(step, x * x, x * np.array([1.0, 2.0, 3.0]), reverse=True)
    return last * ys[0] + ys[2]


def one_of_two(x, n):
    return dlc.cond(n % 2 == 0, lambda y: dlc.exp(y) * x, lambda y: y * y * dlc.sin(y), x)


def one_of_three(x, n):
    branches = [lambda y: y * x, lambda y: dlc.cos(y) * n, lambda y: dlc.tanh(y) * dlc.exp(x)]
    return dlc.switch(n - 2, branches, x)


def loops_inside(x, n):
    def step(i, c):
        def inner(d):
            return d[0] + 1, d[1] * dlc.cos(x) + 0.1 * d[1] ** 2

        _, held = dlc.while_loop(lambda d: d[0] < i, inner, (0, c))
        longer = lambda: dlc.sin(held) + dlc.fori_loop(0, i, lambda j, e: e * x, c)  # noqa: E731
        return dlc.cond(i % 2 == 0, lambda: held * 0.7, longer)

    return dlc.fori_loop(0, n, step, x)


def gradients_inside(x, n):
    def energy(y):
        return dlc.fori_loop(0, 3, lambda i, c: c * dlc.sin(y) + c, y)

    def step(c):
        return c[0] + 1, c[1] + 0.1 * dlc.grad(energy)(c[1])

    return dlc.while_loop(lambda c: c[0] < n, step, (0, x))[1]


FUNCTIONS = [
    while_of_unknown_length, while_that_value_decides, scan_with_all, scan_backwards, one_of_two,
    one_of_three, loops_inside, gradients_inside,
]  # fmt: skip


def at(x):
    return dlc.asarray(np.float64(x))


def slope(f, x, h=1e-4):
    """Central differences, extrapolated."""

    def difference(h):
        return (f(x + h) - f(x - h)) / (2 * h)

    return (4 * difference(h / 2) - difference(h)) / 3


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_three_derivatives(f):
    n = dlc.asarray(4)

    def g(x):
        return f(x, n)

    def along(h):
        return lambda x: dlc.jvp(h, (x,), (at(1.0),))[1]

    def value(h):
        return lambda x: h(at(x)).item()

    x = 0.7
    first = slope(value(g), x)
    for way in (dlc.grad(g), along(g), dlc.compile(dlc.grad(g)), dlc.compile(along(g))):
        assert value(way)(x) == pytest.approx(first, rel=1e-7, abs=1e-8)
    second = slope(value(dlc.grad(g)), x)
    twice = [dlc.grad(dlc.grad(g)), along(dlc.grad(g)), dlc.grad(along(g)), along(along(g))]
    for way in (*twice, dlc.compile(twice[0])):
        assert value(way)(x) == pytest.approx(second, rel=1e-7, abs=1e-8)
    third = slope(value(twice[0]), x)
    for way in (dlc.grad(twice[0]), dlc.compile(along(twice[2]))):
        assert value(way)(x) == pytest.approx(third, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_derived_functions_are_legal_and_run_everywhere(f):
    lowered = dlc.compile(f).lower(dlc.spec((), dlc.float64), dlc.spec((), dlc.int64))
    forward = jvp_function(lowered.function, [0])
    backward = vjp_function(lowered.function, [0])
    twice = vjp_function(backward, [0])
    for function, extra in ((forward, 1), (backward, 1), (twice, 3)):
        verify(function)
        args = [np.array(0.7), np.array(3), *[np.array(1.0)] * extra]
        args = args[: len(function.params)]
        expected = interpret(function, args)
        for device, level in (("cpu", "O2"), ("reference", "O0")):
            options = Options(level=level, device=device, verify=True)
            made = compile_function(function, options=options)
            for got, want in zip(made(args), expected, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-12)


def test_no_iteration_passes_the_cotangent_on():
    for n in (0, -3):
        f = dlc.grad(lambda x, k: dlc.while_loop(lambda c: c[0] < k, lambda c: (c[0] + 1, c[1] ** 2), (0, x))[1])  # fmt: skip # noqa: E501
        for way in (f, dlc.compile(f)):
            assert way(at(3.0), dlc.asarray(n)).item() == 1.0
    empty = dlc.grad(lambda x: dlc.scan(lambda c, r: (c * r, r), x, dlc.zeros((0,)))[0])
    assert empty(2.0).item() == 1.0


@pytest.mark.parametrize("threads", [1, 2])
def test_the_tape_grows(threads):
    """Rows of a few sizes, far more of them than there is memory for at first."""
    rng = np.random.default_rng(0)
    for size, n in ((1, 5000), (7, 1000), (300, 130), (1, 3)):
        a = rng.uniform(0.9, 1.1, size)

        def f(x, k, a=a):
            def step(c):
                return c[0] + 1, dlc.sin(c[1] * a) + 0.001 * x

            return dlc.sum(dlc.while_loop(lambda c: c[0] < k, step, (0, x))[1])

        x = rng.standard_normal(size)
        for way in (dlc.grad(f), dlc.compile(dlc.grad(f), num_threads=threads)):
            got = [way(dlc.asarray(x), dlc.asarray(n)).numpy() for _ in range(2)]
            t = torch.tensor(x, requires_grad=True)
            y = t
            for _ in range(n):
                y = torch.sin(y * torch.tensor(a)) + 0.001 * t
            y.sum().backward()
            np.testing.assert_allclose(got[0], t.grad.numpy(), rtol=1e-9)
            np.testing.assert_array_equal(got[0], got[1])


def lstm(x, w, u, b, h, c):
    def step(state, row):
        h, c = state
        gates = row @ w + h @ u + b
        i, f, g, o = dlc.split(gates, 4, axis=-1)
        c = dlc.sigmoid(f) * c + dlc.sigmoid(i) * dlc.tanh(g)
        h = dlc.sigmoid(o) * dlc.tanh(c)
        return (h, c), h

    return dlc.scan(step, (h, c), x)


def test_lstm_by_scan_agrees_with_pytorch():
    """Thirty shapes, values and gradients, at float64."""
    rng = np.random.default_rng(5)

    def loss(arrays):
        (h, c), ys = lstm(*arrays)
        return dlc.sum(ys * ys) + dlc.sum(h * c)

    step = dlc.compile(dlc.value_and_grad(loss))
    for _ in range(30):
        steps, batch, wide, hidden = (int(k) for k in rng.integers(1, 9, 4))
        shapes = [
            (steps, batch, wide), (wide, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,),
            (batch, hidden), (batch, hidden),
        ]  # fmt: skip
        arrays = [rng.standard_normal(s) for s in shapes]
        value, gradients = step([dlc.asarray(a) for a in arrays])
        x, w, u, b, h, c = (torch.tensor(a, requires_grad=True) for a in arrays)
        cell = torch.nn.LSTM(wide, hidden).double()
        parameters = {
            "weight_ih_l0": w.t(), "weight_hh_l0": u.t(), "bias_ih_l0": b,
            "bias_hh_l0": torch.zeros_like(b),
        }  # fmt: skip
        ys, (last_h, last_c) = torch.func.functional_call(cell, parameters, (x, (h[None], c[None])))
        want = (ys * ys).sum() + (last_h * last_c).sum()
        want.backward()
        assert value.item() == pytest.approx(want.item(), rel=1e-12)
        for got, t in zip(gradients, (x, w, u, b, h, c), strict=True):
            np.testing.assert_allclose(got.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_both_habits_of_gradients():
    def power(v, k):
        return dlc.while_loop(lambda c: c[0] < k, lambda c: (c[0] + 1, c[1] * v), (0, v * 1.0))[1]

    def by_backward(k):
        v = dlc.Variable(1.5, requires_grad=True)
        power(v, k).backward()
        return v.grad

    def by_tape(k):
        v = dlc.Variable(1.5)
        with dlc.GradientTape() as tape:
            y = power(v, k)
        return tape.gradient(y, v)

    for k in (0, 1, 3):
        want = (k + 1) * 1.5**k
        assert by_backward(dlc.asarray(k)).item() == want
        assert by_tape(dlc.asarray(k)).item() == want


def test_a_training_step_with_a_loop_inside():
    rng = np.random.default_rng(2)
    w = dlc.Variable(rng.standard_normal((3, 3)) * 0.3, requires_grad=True)
    x = rng.standard_normal((5, 3))

    def loss():
        return dlc.sum(dlc.fori_loop(0, 4, lambda i, c: dlc.tanh(c @ w), dlc.asarray(x)) ** 2)

    @dlc.compile
    def step():
        w.zero_grad()
        value = loss()
        value.backward()
        w.assign_sub(0.05 * w.grad)
        return value

    first = step().item()
    for _ in range(20):
        last = step().item()
    assert last < 0.7 * first


def test_training_inside_a_loop():
    """The gradient and the step of each iteration are the loop's own."""

    def descend(x0, rate):
        return dlc.fori_loop(0, 60, lambda i, x: x - rate * dlc.grad(lambda y: (y - 2) ** 2)(x), x0)

    for way in (descend, dlc.compile(descend)):
        assert way(0.0, 0.1).item() == pytest.approx(2.0, abs=1e-4)
    sensitivity = dlc.grad(descend, argnums=0)(0.0, 0.1).item()
    assert sensitivity == pytest.approx(0.8**60, rel=1e-4)


def test_integers_and_stopped_values_get_nothing():
    def f(x, k):
        def step(c):
            i, y, z = c
            return i + 1, y * dlc.stop_gradient(y) + i, z + dlc.astype(dlc.floor(y), dlc.int64)

        _, y, z = dlc.while_loop(lambda c: c[0] < k, step, (0, x, 0))
        return y * z

    x = 1.25
    y, z, dy = x, 0, 1.0
    for i in range(3):
        z += int(np.floor(y))
        y, dy = y * y + i, dy * y
    assert dlc.grad(f)(at(x), dlc.asarray(3)).item() == dy * z


def test_symbolic_lengths_and_widths():
    def f(x, w):
        return dlc.sum(dlc.scan(lambda c, r: (dlc.tanh(c * w + r), c), x[0] * 0, x)[1] ** 2)

    step = dlc.compile(dlc.grad(f, argnums=(0, 1)))
    rng = np.random.default_rng(4)
    for n, m in ((4, 3), (5, 2), (9, 7), (1, 1)):
        x, w = rng.standard_normal((n, m)), rng.standard_normal(m)
        got = step(x, w)
        tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
        c, total = tx[0] * 0, 0
        for k in range(n):
            total = total + (c**2).sum()
            c = torch.tanh(c * tw + tx[k])
        total.backward() if total.requires_grad else None
        for g, t in zip(got, (tx, tw), strict=True):
            want = np.zeros(t.shape) if t.grad is None else t.grad.numpy()
            np.testing.assert_allclose(g.numpy(), want, rtol=1e-10, atol=1e-13)
    assert step.stats.compilations <= 4


def test_tapes_see_through_compiled_loops():
    f = dlc.compile(lambda x: dlc.scan(lambda c, r: (c * r, c), 1.0, x)[0])
    for n in (2, 3, 4):  # from the second on, by a program of any length
        x = dlc.asarray(np.arange(1.0, n + 1))
        with dlc.GradientTape() as tape:
            tape.watch(x)
            y = f(x)
        product = np.prod(np.arange(1.0, n + 1))
        np.testing.assert_allclose(tape.gradient(y, x).numpy(), product / np.arange(1.0, n + 1))


def test_ir_functions_with_loops_take_any_extents():
    lowered = dlc.compile(lambda x: dlc.scan(lambda c, r: (c + r, c), x[0], x)).lower("f32[n,m]")
    f = dlc.compile(lowered.function)
    for shape in ((2, 3), (4, 5)):
        last, before = f(np.ones(shape, np.float32))
        assert last.tolist() == [shape[0] + 1] * shape[1]
        assert before.shape == shape
