"""`associative_scan` against loops: values, gradients, trees, axes, compiled."""

import numpy as np
import pytest

import dlc

RNG = np.random.default_rng(2)


def recurrence(a, b):
    """h[t] = a[t] h[t-1] + b[t], as pairs that are combined."""
    return dlc.associative_scan(lambda x, y: (x[0] * y[0], y[0] * x[1] + y[1]), (a, b))[1]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 13])
def test_recurrences(length):
    a, b = RNG.uniform(-1, 1, (2, length, 3))
    h, want = np.zeros(3), []
    for t in range(length):
        h = a[t] * h + b[t]
        want.append(h)
    for f in (recurrence, dlc.compile(recurrence)):
        assert np.allclose(f(a, b).numpy(), np.reshape(want, (length, 3)), rtol=1e-12)

    def loop(a, b):
        zero = dlc.zeros(3, dtype="float64")
        step = lambda h, x: ((new := x[0] * h + x[1]), new)  # noqa: E731
        return dlc.sum(dlc.scan(step, zero, (a, b))[1] ** 2)

    if length:
        tensors = dlc.asarray(a), dlc.asarray(b)
        total = dlc.grad(lambda a, b: dlc.sum(recurrence(a, b) ** 2), argnums=(0, 1))(*tensors)
        for g, w in zip(total, dlc.grad(loop, argnums=(0, 1))(*tensors), strict=True):
            assert np.allclose(g.numpy(), w.numpy(), rtol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_axes_and_order(axis, reverse):
    x = RNG.integers(0, 3, (4, 5, 6))
    add = lambda a, b: {"x": a["x"] + b["x"]}  # noqa: E731
    names = dlc.associative_scan(add, {"x": dlc.asarray(x)}, reverse, axis)["x"]
    turned = np.flip(x, axis) if reverse else x
    want = np.flip(np.cumsum(turned, axis), axis) if reverse else np.cumsum(turned, axis)
    assert np.array_equal(names.numpy(), want)
    # What does not commute: the first argument is of the elements that came before.
    last = dlc.associative_scan(lambda a, b: b, dlc.asarray(x), reverse, axis)
    assert np.array_equal(last.numpy(), x)


def test_mistakes():
    with pytest.raises(dlc.ShapeError, match="one extent"):
        dlc.associative_scan(lambda a, b: a, (dlc.ones(3), dlc.ones(4)))
    with pytest.raises(dlc.ArgumentError, match="no tensors"):
        dlc.associative_scan(lambda a, b: a, [])
    with pytest.raises(dlc.ArgumentError, match="returns"):
        dlc.associative_scan(lambda a, b: (a, b), dlc.ones(3))
    with pytest.raises(dlc.IndexRangeError):
        dlc.associative_scan(lambda a, b: a, dlc.ones(3), axis=1)
