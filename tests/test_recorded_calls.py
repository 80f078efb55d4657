"""Calls that are recorded for gradients: by native entries as in Python, in every mode."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.frontend import eager, entry_chain
from dlc.runtime import entry_type

native = pytest.mark.skipif(
    entry_type.native_support() is None, reason="no native entries on this interpreter"
)

ROUNDS = 2 * entry_chain.REPEATS + 2
RNG = np.random.default_rng(11)
X, Y = (RNG.standard_normal((5, 6)).astype(np.float32) for _ in range(2))
SPECIAL = X.copy()
SPECIAL[0] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42]


def square(x):
    return x * x


# Functions that one kernel or a view computes; the second argument is a plain tensor.
CALLS = {
    "add": lambda x, y: x + y,
    "from": lambda x, y: y - x,
    "twice": lambda x, y: x * x,
    "number": lambda x, y: x * 0.1,
    "integer": lambda x, y: 3 - x,
    "divided": lambda x, y: 1 / x,
    "square": lambda x, y: x**2,
    "power": lambda x, y: x**1.5,
    "compared": lambda x, y: dlc.where(x > 0.5, x, y),
    "where": lambda x, y: dlc.where(y > 0, x, 0.0),
    "where minus": lambda x, y: dlc.where(y > 0, x, -0.0),
    "maximum": lambda x, y: dlc.maximum(x, 0.25),
    "relu": lambda x, y: dlc.relu(x),
    "exp": lambda x, y: dlc.exp(x),
    "softmax": lambda x, y: dlc.softmax(x, axis=0),
    "sum": lambda x, y: dlc.sum(x, axis=1),
    "mean": lambda x, y: dlc.mean(x, axis=0, keepdims=True),
    "matmul": lambda x, y: x @ y.T,
    "turned": lambda x, y: dlc.exp(x.T),
    "part": lambda x, y: x[1:4, ::2],
    "row": lambda x, y: x[2],
    "of part": lambda x, y: dlc.tanh(x[:, 1:3]),
    "two parts": lambda x, y: x[1:, :2] * x[:-1, 2:4],
    "one part twice": lambda x, y: square(x[:, 1:3]),
    "repeated": lambda x, y: x * y[:, :1],
    "reshape": lambda x, y: dlc.reshape(x, (3, 10)),
    "of turned": lambda x, y: dlc.reshape(x.T, (-1,)),
    "transpose": lambda x, y: dlc.permute_dims(x, (1, 0)),
    "expand": lambda x, y: dlc.expand_dims(x, axis=1),
    "stretched": lambda x, y: dlc.broadcast_to(x, (2, *x.shape)),
    "flip": lambda x, y: dlc.flip(x, axis=1),
    "wide": lambda x, y: x.astype("float64"),
    "half": lambda x, y: x.astype(dlc.float16),
    "concat": lambda x, y: dlc.concat([x, y, x], axis=1),
    "stack": lambda x, y: dlc.stack([y, x], axis=-1),
    "clip": lambda x, y: dlc.clip(x, -0.5, 1),
    "nan": lambda x, y: dlc.where(dlc.isnan(x), y, x),
    "leaky": lambda x, y: dlc.nn.functional.leaky_relu(x, 0.1),
    "split": lambda x, y: dlc.split(x, 2, axis=1)[1],
}


def in_python(function, *args):
    """The result where no setting lets an entry be taken."""
    with dlc.config.scope(num_threads=2):
        return function(*args)


def same(result, wanted):
    assert result.dtype is wanted.dtype
    assert result.shape == wanted.shape
    assert result.numpy().tobytes() == wanted.numpy().tobytes()


def gradient(function, x, y):
    """The result for a variable, and the gradient of a weighted sum of it."""
    v = dlc.Variable(x, requires_grad=True)
    result = function(v, dlc.asarray(y))
    weights = np.linspace(-1, 2, result.size).reshape(result.shape)
    dlc.sum(result * dlc.asarray(weights, dtype=result.dtype)).backward()
    return result, v.grad


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("x", [X, SPECIAL], ids=["usual", "special"])
def test_values_and_gradients_are_those_of_python(name, x):
    wanted, slope = in_python(gradient, CALLS[name], x, Y)
    for _ in range(ROUNDS):
        result, found = gradient(CALLS[name], x, Y)
        same(result, wanted)
        np.testing.assert_allclose(found.numpy(), slope.numpy(), rtol=2e-6, atol=1e-7)


def served_by_python():
    """The calls that still run operations in Python when they have been repeated."""
    v, y = dlc.Variable(X, requires_grad=True), dlc.asarray(Y)
    found, plain = set(), eager.run
    for name, call in CALLS.items():
        for _ in range(4 * ROUNDS):
            call(v, y)
        eager.run = lambda *a, name=name: found.add(name) or plain(*a)
        assert call(v, y)._history is not None
        eager.run = plain
    return found


@native
def test_entries_serve_what_is_recorded():
    """In a process of its own: where entries have been dropped, new ones need more calls."""
    script = "import test_recorded_calls as t; print(t.served_by_python())"
    paths = [str(Path(__file__).parent), str(Path(dlc.__file__).parents[1])]
    path = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "set()", run.stderr


@pytest.mark.parametrize("name", CALLS)
def test_modes(name):
    """Each mode after the entries for recorded calls have been made."""
    function = CALLS[name]
    v, y = dlc.Variable(X, requires_grad=True), dlc.asarray(Y)
    wanted = in_python(function, v, y)
    for _ in range(ROUNDS):
        assert function(v, y)._history.persistent
        with dlc.no_grad():
            result = function(v, y)
            assert result._history is None
            same(result, wanted)
        plain = function(dlc.Variable(X), y)
        assert plain._history is None
        same(plain, wanted)
        with dlc.GradientTape() as tape:
            w = dlc.Variable(X)
            watched = function(w, y)
        assert not watched._history.persistent
        same(watched, wanted)
        assert (tape.gradient(watched, w) is None) is (not watched.dtype.is_float)
    np.testing.assert_allclose(
        dlc.compile(function)(v, y).numpy(), wanted.numpy(), rtol=2e-6, atol=1e-7
    )
    batched = dlc.vmap(function)(dlc.stack([v, v]), dlc.stack([y, y]))
    np.testing.assert_allclose(batched.numpy()[1], wanted.numpy(), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (3, 0), (1, 1, 4)], ids=str)
@pytest.mark.parametrize("name", ["add", "twice", "number", "square", "where", "exp", "wide"])
def test_odd_shapes(name, shape):
    x, y = np.full(shape, 1.25, np.float32), np.full(shape, 0.5, np.float32)
    wanted, slope = in_python(gradient, CALLS[name], x, y)
    for _ in range(ROUNDS):
        result, found = gradient(CALLS[name], x, y)
        same(result, wanted)
        same(found, slope)


@pytest.mark.parametrize("value", [0.0, -0.0, 2, 2.0, True, np.nan, 1e300], ids=repr)
def test_numbers_that_are_alike_are_told_apart(value):
    others = [0.0, -0.0, 2, 2.0, True, np.nan, 1e300]
    for f in (dlc.maximum, dlc.pow, lambda x, n: x + n, lambda x, n: x == n):
        v = dlc.Variable(X[0], requires_grad=True)
        for _ in range(ROUNDS):
            f(v, value)
        for n in others:
            same(f(v, n), in_python(f, v, n))


def test_numbers_are_operands_of_their_own():
    v = dlc.Variable(X, requires_grad=True)
    for k in range(3 * ROUNDS):
        v.grad = None
        dlc.sum(v * (0.5 + k)).backward()
        assert v.grad.numpy().tolist() == np.full(X.shape, 0.5 + k).tolist()


def test_the_value_at_the_time_counts():
    v = dlc.Variable([1.0, 2.0], requires_grad=True)
    for k in range(3 * ROUNDS):
        v.assign([1.0 + k, 2.0])
        v.grad = None
        loss = dlc.sum(v * v)
        v.assign([9.0, 9.0])
        loss.backward()
        assert v.grad.tolist() == [2.0 + 2 * k, 4.0]


def test_views_do_not_follow_writes():
    array = X.copy()
    for _ in range(ROUNDS):
        x = dlc.asarray(X)
        turned, part = x.T, dlc.reshape(x, (30,))
        x[0] = 7.0
        assert turned.numpy().tobytes() == X.T.tobytes()
        assert part.numpy().tobytes() == X.tobytes()
        of_array, before = dlc.permute_dims(array, (1, 0)), array.T.copy()
        array[1] += 1
        assert of_array.numpy().tobytes() == before.tobytes()
        v = dlc.Variable(X)
        held = dlc.permute_dims(v, (1, 0))
        dlc.compile(lambda v=v: [v.assign_add(dlc.ones(X.shape)), None][1])()
        assert held.numpy().tobytes() == X.T.tobytes()


def test_a_view_that_is_donated_leaves_the_whole_alone():
    donating = dlc.compile(lambda v: v + 1.0, donate_argnums=0)
    for _ in range(ROUNDS):
        x = dlc.asarray(X)
        donating(dlc.reshape(dlc.expand_dims(dlc.reshape(x, (6, 5)), 0), (30,)))
        assert x.numpy().tobytes() == X.tobytes()


def test_errors_are_those_of_python():
    v, y = dlc.Variable(X, requires_grad=True), dlc.asarray(Y)
    for _ in range(ROUNDS):
        v + y, v @ y.T, dlc.reshape(v, (3, 10)), v[1:3]
    for wrong in (
        lambda: v + y[:, :4], lambda: v @ y, lambda: dlc.reshape(v, (4, 10)), lambda: v[0.0:2],
        lambda: v[7], lambda: dlc.reshape(v, (3.0, 10)), lambda: dlc.permute_dims(v, (0, 0)),
    ):  # fmt: skip
        with pytest.raises(dlc.DlcError) as found:
            wrong()
        with pytest.raises(dlc.DlcError) as wanted:
            in_python(wrong)
        assert found.value.message == wanted.value.message


def test_calls_keep_their_lines():
    v = dlc.Variable(X, requires_grad=True)
    for _ in range(ROUNDS):
        first = v * 2
    second = v * 2
    assert second._history.place[1] == first._history.place[1] + 1


def test_settings():
    v, y = dlc.Variable(X, requires_grad=True), dlc.asarray(Y)
    for _ in range(ROUNDS):
        v @ y.T
    with dlc.autocast("bfloat16"):
        assert (v @ y.T).dtype is dlc.bfloat16
    assert (v @ y.T).dtype is dlc.float32
    negative = dlc.Variable(-np.abs(X), requires_grad=True)
    for _ in range(ROUNDS):
        dlc.log(negative)
    with dlc.config.scope(debug_nans=True), pytest.raises(dlc.DlcError, match="log"):
        dlc.log(negative)


def test_second_derivatives():
    x = dlc.Variable(X, requires_grad=True)
    for _ in range(ROUNDS):
        x.grad = None
        (slope,) = dlc.autograd.grad(dlc.sum(x * x * x), x, create_graph=True)
        dlc.sum(slope * slope).backward()
        np.testing.assert_allclose(x.grad.numpy(), 36 * X**3, rtol=1e-5, atol=1e-6)


def test_gradients_add_up_and_graphs_stay():
    v = dlc.Variable(X, requires_grad=True)
    for _ in range(ROUNDS):
        v.grad = None
        losses = [dlc.sum(v * k) for k in (1.0, 2.0)]
        for loss in (*losses, losses[0]):
            loss.backward()
        assert v.grad.numpy().tolist() == np.full(X.shape, 4.0).tolist()


def test_threads():
    wanted, slope = in_python(gradient, CALLS["power"], np.abs(X), Y)
    wrong = []

    def work():
        for _ in range(40):
            result, found = gradient(CALLS["power"], np.abs(X), Y)
            if result.numpy().tobytes() != wanted.numpy().tobytes():
                wrong.append(result)
            if not np.allclose(found.numpy(), slope.numpy(), rtol=2e-6):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_long_chains_end_without_recursion():
    v = dlc.Variable(1.0, requires_grad=True)
    y = v
    for _ in range(20000):
        y = y + 1.0
    assert y.item() == 20001
    del y
