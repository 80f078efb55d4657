"""Native calls of functions with trees of arguments, keywords, captured tensors and variables."""

import collections
import dataclasses
import gc
import sys
import threading
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_native_call import array, served, tensor

import dlc
from dlc.frontend import entry_chain
from dlc.runtime import entry_type

pytestmark = pytest.mark.skipif(
    entry_type.native_support() is None, reason="no native entries on this interpreter"
)


class Pair(NamedTuple):
    left: Any
    right: Any


def renewed(text):
    """An equal string that is another object."""
    return bytes(text, "ascii").decode()


def warm_with(f, *args, **kwargs):
    for _ in range(entry_chain.REPEATS):
        f(*args, **kwargs)
    assert served(f, *args, **kwargs)[0] == 1
    return f


# Arguments.


def total(tree):
    leaves = dlc.tree.leaves(tree)
    return sum((dlc.sum(x) * (k + 1) for k, x in enumerate(leaves)), 0.0)


def trees():
    a, b, c = array(3), array(2, 2, seed=1), array(4, seed=2)
    return {
        "list": [a, b, c],
        "tuple": (a, (b,), c),
        "named": Pair(a, Pair(b, c)),
        "dict": {"w": a, "b": b, "a": [c]},
        "numbers": [a, 2.0, {"k": 3, "t": True}],
        "none": [None, a, (None, b)],
        "empty": [[], a, {}, ()],
        "tensors": {1: dlc.asarray(a), 0: (dlc.asarray(b), c)},
        "deep": [[[[[[a]]], b]], c],
    }


@pytest.mark.parametrize("name", trees())
def test_trees_of_arguments(name):
    f = dlc.compile(total)
    tree = trees()[name]
    expected = f(tree).item()
    warm_with(f, tree)
    again = trees()[name]
    count, result = served(f, again)
    assert (count, result.item()) == (1, expected)


@pytest.mark.parametrize(
    "other",
    [
        lambda a, b: [a],
        lambda a, b: [a, b, b],
        lambda a, b: (a, b),
        lambda a, b: [a, [b]],
        lambda a, b: [a, None],
        lambda a, b: {0: a, 1: b},
        lambda a, b: [a, b.astype(np.float64)],
        lambda a, b: [a, b[:1]],
        lambda a, b: [a, 1.0],
        lambda a, b: [a, dlc.Variable(b)],
        lambda a, b: collections.UserList([a, b]).data[:1],
    ],
)
def test_other_trees_are_seen(other):
    f = dlc.compile(total)
    a, b = array(3), array(2, 2, seed=1)
    warm_with(f, [a, b])
    expected = dlc.compile(total)(other(a, b)).item()
    count, result = served(f, other(a, b))
    assert (count, result.item()) == (0, expected)
    assert served(f, [a, b])[0] == 1


def test_dicts():
    f = dlc.compile(lambda d: d["weight"] - 2 * d["bias"])
    w, b = array(3), array(3, seed=1)
    expected = (w - 2 * b).tolist()
    warm_with(f, {"weight": w, "bias": b})
    for given, hits in [
        ({"weight": w, "bias": b}, 1),
        ({"bias": b, "weight": w}, 0),  # another order
        ({renewed("weight"): w, "bias": b}, 1),
        (collections.OrderedDict(weight=w, bias=b), 0),
    ]:
        count, result = served(f, given)
        assert (count, result.tolist()) == (hits, expected)
    warm_with(f, {"bias": b, "weight": w})
    with pytest.raises(KeyError):
        f({"weight": w, "x": b})
    assert f({"weight": b, "bias": w}).tolist() == (b - 2 * w).tolist()


def test_keywords():
    f = dlc.compile(lambda x, y, *, scale=1.0, flag=None: (x - y) * scale)
    x, y = array(3), array(3, seed=1)
    expected = ((x - y) * np.float32(2)).tolist()
    warm_with(f, x, y, scale=2.0)
    warm_with(f, x, scale=2.0, y=y)
    warm_with(f, y=y, x=x, scale=2.0)
    for _ in range(2):
        assert served(f, x, y, scale=2.0)[1].tolist() == expected
        assert served(f, x, scale=2.0, y=y)[1].tolist() == expected
        assert served(f, y=y, x=x, scale=2.0)[1].tolist() == expected
    assert served(f, x, y, scale=4.0)[1].tolist() == ((x - y) * np.float32(4)).tolist()
    assert served(f, y, x, scale=2.0)[1].tolist() == ((y - x) * np.float32(2)).tolist()
    assert served(f, x=y, y=x, scale=2.0)[1].tolist() == ((y - x) * np.float32(2)).tolist()
    keywords = {"scale": 2.0}
    assert served(f, x, y, **keywords) == (1, pytest.approx(expected))
    with pytest.raises(dlc.ArgumentError):
        f(x, y, other=2.0)
    assert f(x, y, flag=None).tolist() == (x - y).tolist()


def test_variadic_functions():
    f = dlc.compile(lambda *xs, **named: total([xs, named]))
    x, y = array(3), array(3, seed=1)
    warm_with(f, x, y, a=x, b=y)
    expected = f(x, y, a=x, b=y).item()
    warm_with(f, x, y, b=y, a=x)
    assert served(f, x, y, b=y, a=x) == (1, pytest.approx(expected))
    assert served(f, x, y, a=y, b=x)[1].item() != expected


@dataclasses.dataclass(frozen=True)
class Options:
    power: int


def test_static_arguments():
    f = dlc.compile(lambda x, how, k: x * (k.power if how == "power" else k), static_argnums=(1, 2))
    x = array(3)
    options = Options(3)
    for how, k in [("times", 7), ("times", 1000), ("power", options), ("times", 7.0)]:
        warm_with(f, x, how, k)
    for how, k, factor, hits in [
        (renewed("times"), 7, 7, 1),
        ("times", int("1000"), 1000, 1),
        ("power", options, 3, 1),
        ("power", Options(3), 3, 0),  # equal, but another object: Python looks
        ("times", 8, 8, 0),
        ("times", 7.0, 7, 1),
        ("times", True, 1, 0),
    ]:
        count, result = served(f, x, how, k)
        assert np.array_equal(result.numpy(), x * np.float32(factor)), (how, k)
        assert count == hits, (how, k)


# Results.


@dataclasses.dataclass
class Both:
    a: object
    b: object


@pytest.mark.parametrize(
    "make",
    [
        lambda x: [x + 1, x],
        lambda x: (x + 1, (x, [x * 2])),
        lambda x: {"b": x, "a": {"c": (x + 1,)}},
        lambda x: (),
        lambda x: None,
        lambda x: [None, x, {}],
        lambda x: Pair(x, [x + 1]),
        lambda x: Both(x, {"a": x + 1}),
        lambda x: collections.OrderedDict(b=x, a=x + 1),
    ],
)
def test_trees_of_results(make):
    f = dlc.compile(make)
    x = tensor(3)
    expected, structure = dlc.tree.flatten(f(x))
    warm_with(f, x)
    for _ in range(3):
        count, result = served(f, x)
        leaves, found = dlc.tree.flatten(result)
        assert count == 1
        assert found == structure
        assert list(map(type, leaves)) == [dlc.Tensor] * len(leaves)
        for a, b in zip(leaves, expected, strict=True):
            assert a.tolist() == b.tolist()
    if isinstance(result, dict):
        assert list(result) == list(f.__wrapped__(x)) or sorted(result) == list(result)


# What a function uses besides its arguments.


def test_captured_tensors():
    w = tensor(3)
    f = dlc.compile(lambda x: x + w)
    x = np.zeros(3, np.float32)
    warm_with(f, x)
    before = w.numpy()
    assert served(f, x)[1].tolist() == before.tolist()
    w[...] = 5
    count, result = served(f, x)
    assert (count, result.tolist()) == (1, [5] * 3)


def test_captured_tensors_that_get_a_history():
    w, v = tensor(3), dlc.Variable(array(3), requires_grad=True)
    f = dlc.compile(lambda x: x * w)
    x = tensor(3)
    warm_with(f, x)
    w[...] = v * 2
    count, y = served(f, x)
    assert count == 0
    dlc.sum(y).backward()
    assert np.allclose(v.grad.numpy(), 2 * x.numpy())


def test_variables_that_are_read():
    v = dlc.Variable(array(3))
    f = dlc.compile(lambda x: x + v)
    x = np.zeros(3, np.float32)
    warm_with(f, x)
    for k in range(3):
        v.assign(k)
        assert served(f, x)[0] == 1
        assert f(x).tolist() == [k] * 3
    with dlc.GradientTape() as tape:
        count, y = served(f, x)
        assert count == 0
        y = dlc.sum(y * y)
    assert tape.gradient(y, v).tolist() == [4] * 3
    v.assign(0)  # what the tape saw is gone
    assert served(f, x)[0] == 1


def test_variables_with_gradients_outside_of_recording():
    v = dlc.Variable(array(3), requires_grad=True)
    f = dlc.compile(lambda x: x * v)
    x = tensor(3)
    with dlc.no_grad():
        warm_with(f, x)
        y = f(x)
    assert y._history is None
    for _ in range(3):
        count, y = served(f, x)
        assert count == 0
        assert y._history is not None
    dlc.sum(y).backward()
    assert v.grad.tolist() == x.tolist()


def counter():
    v = dlc.Variable(np.zeros(4, np.float32))

    @dlc.compile
    def step(x):
        v.assign_add(x)
        return v * 2

    return v, step


def test_variables_are_replaced_in_place():
    v, step = counter()
    x = np.ones(4, np.float32)
    warm_with(step, x)
    at = v._data.ctypes.data
    for k in range(4, 9):
        count, y = served(step, x)
        assert (count, y.tolist(), v.tolist()) == (1, [2 * k] * 4, [k] * 4)
    assert v._data.ctypes.data == at
    assert type(v._data) is np.ndarray


def test_views_of_variables_keep_their_values():
    v, step = counter()
    x = np.ones(4, np.float32)
    warm_with(step, x)
    view, value = v.numpy(), v.value()
    before = view.tolist()
    at = v._data.ctypes.data
    count, _ = served(step, x)
    assert count == 1
    assert v._data.ctypes.data != at  # somebody could look
    assert view.tolist() == value.tolist() == before
    assert v.tolist() == [b + 1 for b in before]
    assert served(step, x)[0] == 1  # the value is in memory of its own now


def test_views_of_part_of_a_variable_keep_their_values():
    v = dlc.Variable(np.arange(5, dtype=np.int8))
    step = dlc.compile(lambda: [v.assign_add(np.int8(1)), None][1])
    warm_with(step)
    part = v.numpy()[1:4]
    before = part.tolist()
    assert served(step)[0] == 1
    assert part.tolist() == before
    assert v.tolist() == [k + 4 for k in range(5)]


def test_optimizer_steps_while_the_loss_is_there():
    w = dlc.Variable(array(3), requires_grad=True)
    optimizer = dlc.optim.SGD([w], lr=0.5)
    losses = []
    for _ in range(2 * entry_chain.REPEATS):
        before = w.numpy().copy()
        losses.append(dlc.sum(w * w))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
        np.testing.assert_allclose(w.numpy(), before - 0.5 * 2 * before, atol=1e-6)
    assert optimizer._compiled.stats.entry_counts[0] == entry_chain.REPEATS
    losses[0].backward()  # of the values that there were
    np.testing.assert_allclose(w.grad.numpy(), 2 * before + 2 * array(3), atol=1e-6)


def test_variables_that_swap_their_values():
    a, b = dlc.Variable(array(3)), dlc.Variable(array(3, seed=1))

    @dlc.compile
    def swap():
        old = a.value()
        a.assign(b)
        b.assign(old)

    first, second = a.tolist(), b.tolist()
    for k in range(7):
        swap()
        assert [a.tolist(), b.tolist()] == ([second, first] if k % 2 == 0 else [first, second])
    assert swap.stats.entry_counts[0] > 0


def test_variables_as_arguments():
    v, w = dlc.Variable(array(3)), dlc.Variable(array(3, seed=1))
    f = dlc.compile(lambda a, b: a - b)
    expected = (array(3) - array(3, seed=1)).tolist()
    warm_with(f, v, w)
    assert served(f, v, w)[1].tolist() == expected
    assert served(f, v, array(3, seed=1))[0] == 0
    warm_with(f, [v][0], array(3, seed=1))
    with dlc.GradientTape() as tape:
        count, y = served(f, v, w)
        assert count == 0
        y = dlc.sum(y)
    assert tape.gradient(y, w).tolist() == [-1] * 3


def test_the_same_variable_as_argument_and_written():
    v = dlc.Variable(np.ones(3, np.float32))

    @dlc.compile
    def f(x):
        v.assign(x * 2)
        return x

    for k in range(6):
        assert f(v).tolist() == [2**k] * 3
    assert v.tolist() == [64] * 3


def adam(width):
    weights = [dlc.Variable(array(width, width)), dlc.Variable(array(width, seed=1))]
    first = [dlc.Variable(np.zeros(w.shape, np.float32)) for w in weights]
    count = dlc.Variable(np.float32(0))

    def loss(parameters, x):
        w, b = parameters
        return dlc.mean(dlc.tanh(x @ w + b) ** 2)

    def step(x, rate):
        value, gradients = dlc.value_and_grad(loss)(weights, x)
        count.assign_add(1)
        for p, m, g in zip(weights, first, gradients, strict=True):
            m.assign(0.9 * m + 0.1 * g)
            p.assign_sub(rate * m / (1 - 0.9**count))
        return {"loss": value, "steps": count.value()}

    return step, [*weights, *first, count]


@pytest.mark.parametrize("width", [8, 200])  # with and without other threads of Python
def test_training_steps(width):
    step, state = adam(width)
    other, expected = adam(width)
    f = dlc.compile(step)
    x = array(width, width)
    for _ in range(8):
        result = f(x, 0.1)
        with dlc.config.scope(num_threads=1):
            wanted = dlc.compile(other)(x, 0.1)
        assert result["loss"].item() == wanted["loss"].item()
        assert result["steps"].item() == wanted["steps"].item()
        for a, b in zip(state, expected, strict=True):
            assert np.array_equal(a.numpy(), b.numpy())
    assert f.stats.entry_counts[0] >= 5


def test_torch_like_training():
    w = dlc.Variable(array(4), requires_grad=True)

    @dlc.compile
    def step(x):
        loss = dlc.sum((x - w) ** 2)
        w.grad = None
        loss.backward()
        w.assign_sub(0.1 * w.grad)
        return loss

    x = array(4, seed=1)
    plain = array(4).copy()
    for _ in range(7):
        gradient = 2 * (plain - x)
        plain = plain - np.float32(0.1) * gradient
        step(x)
        assert np.allclose(w.numpy(), plain, atol=1e-6)
        assert np.allclose(w.grad.numpy(), gradient, atol=1e-6)
    assert step.stats.entry_counts[0] > 0
    # Eagerly, with the value that native code put there.
    w.grad = None
    dlc.sum(w * w).backward()
    assert np.allclose(w.grad.numpy(), 2 * w.numpy())


def test_gradients_that_come_and_go():
    w = dlc.Variable(array(3), requires_grad=True)

    @dlc.compile
    def accumulate(x):
        dlc.sum(x * w).backward()

    @dlc.compile
    def clear():
        w.grad = None

    x = array(3)
    for _ in range(3):
        for k in range(1, 6):
            accumulate(x)
            assert np.allclose(w.grad.numpy(), k * x)
        for _ in range(4):
            clear()
            assert w.grad is None
    assert accumulate.stats.entry_counts[0] > 0
    assert clear.stats.entry_counts[0] > 0


# Donation.


def test_donated_arguments():
    f = dlc.compile(lambda x, y: x + y, donate_argnums=0)
    y = tensor(64)
    for _ in range(entry_chain.REPEATS):
        f(tensor(64), y)
    x = tensor(64) * 1
    at = x._data.ctypes.data
    count, result = served(f, x, y)
    assert count == 1
    assert result._data.ctypes.data == at
    assert np.array_equal(result.numpy(), 2 * y.numpy())
    with pytest.raises(dlc.DonatedBufferError, match="64"):
        x.numpy()
    with pytest.raises(dlc.DonatedBufferError):
        f(x, y)
    assert served(f, y, y)[0] == 0  # the other argument is the same tensor


def test_donated_arguments_that_others_see():
    f = dlc.compile(lambda x: x + 1, donate_argnums=0)
    for _ in range(entry_chain.REPEATS):
        f(tensor(8))
    x = tensor(8) * 1
    view = x.numpy()
    before = view.tolist()
    assert served(f, x)[0] == 0
    assert view.tolist() == before
    with pytest.raises(dlc.DonatedBufferError):
        x.numpy()
    twice = dlc.compile(lambda a, b: (a + 1, b + 2), donate_argnums=(0, 1))
    for _ in range(4):
        first, second = twice(tensor(8) * 1, tensor(8) * 1)
        assert np.array_equal(second.numpy(), first.numpy() + 1)
    x = tensor(8) * 1
    first, second = twice(x, x)
    assert np.array_equal(first.numpy(), array(8) + 1)
    assert np.array_equal(second.numpy(), array(8) + 2)


def test_donated_trees():
    f = dlc.compile(lambda s: {"a": s["a"] + 1, "b": [s["b"][0] * 2]}, donate_argnums=0)
    state = {"a": tensor(5) * 1, "b": [tensor(6) * 1]}
    for _ in range(8):
        state = f(state)
    assert f.stats.entry_counts[0] == 8 - entry_chain.REPEATS
    assert np.allclose(state["a"].numpy(), array(5) + 8)
    assert np.allclose(state["b"][0].numpy(), array(6) * 2**8)


# Threads, failures, memory.


def test_threads_that_update_one_variable():
    v, step = counter()
    x = np.ones(4, np.float32)
    warm_with(step, x)
    start = v.numpy()[0]

    def work():
        for _ in range(300):
            step(x)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert v.tolist() == [start + 1800] * 4


def test_readers_see_whole_updates():
    a, b = (dlc.Variable(np.zeros((300, 300), np.float32)) for _ in range(2))

    @dlc.compile
    def step(x):
        a.assign_add(x)
        b.assign_add(x)

    read = dlc.compile(lambda: dlc.max(dlc.abs(a - b)))
    x = np.ones((300, 300), np.float32)
    for _ in range(5):
        step(x)
        read()
    stop, found = threading.Event(), []

    def look():
        while not stop.is_set():
            found.append(read().item())

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(200):
        step(x)
    stop.set()
    reader.join()
    assert max(found) == 0
    assert a.numpy()[0, 0] == b.numpy()[0, 0] == 205


def test_results_that_are_too_large_change_nothing(monkeypatch):
    v, step = counter()
    x = np.ones(4, np.float32)
    warm_with(step, x)
    before = v.tolist()
    with pytest.raises(dlc.ArgumentError):
        step("text")
    with pytest.raises(dlc.DlcError):
        step(np.ones((2, 3), np.float32))
    assert v.tolist() == before
    assert served(step, x)[0] == 1


def test_no_reference_is_lost():
    v, step = counter()
    w = tensor(4)
    f = dlc.compile(lambda d, *, k: {"y": [d["a"] + w, None], "z": (d["b"][0] * k,)})
    x = np.ones(4, np.float32)
    tree = {"a": tensor(4), "b": [array(4)]}
    warm_with(step, x)
    warm_with(f, tree, k=2.0)
    things = [v, w, x, tree, tree["a"], tree["a"]._data, tree["b"], tree["b"][0], step, f]

    def measure():
        gc.collect()
        return [sys.getrefcount(t) for t in things], sys.getallocatedblocks()

    def run():
        for _ in range(500):
            step(x)
            f(tree, k=2.0)
            f(tree, k=3)  # a miss

    f(tree, k=3)
    run()
    counts, blocks = measure()
    run()
    after, blocks_after = measure()
    assert after == counts
    assert abs(blocks_after - blocks) < 50


def test_methods_with_state():
    class Layer:
        def __init__(self, seed):
            self.w = dlc.Variable(array(3, seed=seed))
            self.count = dlc.Variable(np.int64(0))

        @dlc.compile
        def __call__(self, x):
            self.count.assign_add(1)
            return x * self.w

    layers = [Layer(0), Layer(1)]
    x = np.ones(3, np.float32)
    for k in range(6):
        for seed, layer in enumerate(layers):
            assert layer(x).tolist() == array(3, seed=seed).tolist()
            assert layer.count.item() == k + 1
    gone = weakref.ref(layers[0])
    del layers, layer
    gc.collect()
    assert gone() is None
