"""Functions that read and write along an axis, against PyTorch and NumPy."""

import functions_harness as h
import numpy as np
import pytest

import dlc

torch = pytest.importorskip("torch")
X, SRC = h.values((4, 5)), h.values((3, 6), seed=1)
ROWS = np.array([[0, 3, 3, 1, 0], [2, 2, 0, 1, 3], [0, 0, 0, 0, 0]])
COLUMNS = np.array([[4, 0], [0, 0], [2, 1]])


def eager_and_compiled(function, *arrays):
    yield function(*(dlc.asarray(a) for a in arrays)).numpy()
    yield dlc.compile(function)(*arrays).numpy()


@pytest.mark.parametrize(("axis", "index"), [(0, ROWS), (1, COLUMNS)])
def test_as_pytorch(axis, index):
    x, src, at = (torch.from_numpy(a) for a in (X, SRC, index))
    for got in eager_and_compiled(lambda v, i: dlc.gather(v, axis, i), X, index):
        assert np.array_equal(got, torch.gather(x, axis, at))
    for got in eager_and_compiled(lambda v, i, s: dlc.scatter_add(v, axis, i, s), X, index, SRC):
        assert np.allclose(got, torch.scatter_add(x, axis, at, src), rtol=1e-6)
    for got in eager_and_compiled(lambda v, i: dlc.scatter(v, axis, i, 2.5), X, index):
        assert np.array_equal(got, torch.scatter(x, axis, at, 2.5))
    for how in ("sum", "prod", "mean", "amax", "amin"):
        for include in (True, False):
            want = torch.scatter_reduce(x, axis, at, src, how, include_self=include)

            def reduced(v, i, s, how=how, include=include):
                return dlc.scatter_reduce(v, axis, i, s, how, include_self=include)

            for got in eager_and_compiled(reduced, X, index, SRC):
                assert np.allclose(got, want, rtol=1e-6), (how, include)


def test_slices_and_masks_as_pytorch():
    x, places = torch.from_numpy(X), np.array([1, 1, 3])
    at, rows = torch.from_numpy(places), SRC[:, :5]
    got = dlc.index_add(X, 0, places, rows, alpha=2)
    assert np.allclose(got.numpy(), x.index_add(0, at, torch.from_numpy(rows), alpha=2), rtol=1e-6)
    got = dlc.index_add(X, 1, places, X[:, :3])
    assert np.allclose(got.numpy(), x.index_add(1, at, x[:, :3]), rtol=1e-6)
    assert np.array_equal(dlc.index_select(X, 1, places).numpy(), x.index_select(1, at))
    got = dlc.masked_fill(X, X[:1] > 0, 9)
    assert np.array_equal(got.numpy(), x.masked_fill(x[:1] > 0, 9))


def test_put_along_axis_as_numpy():
    for axis, index in ((1, np.array([[4], [0], [-1], [2]])), (None, np.array([3, 19, -20]))):
        want = X.copy()
        np.put_along_axis(want, index, 7.0, axis)
        for got in eager_and_compiled(
            lambda v, i, a=axis: dlc.put_along_axis(v, i, 7.0, a), X, index
        ):
            assert np.array_equal(got, want)
    for dtype in ("int8", "bool", "bfloat16"):
        x = h.values((2, 3), dtype)
        got = dlc.put_along_axis(x, np.array([[1], [0]]), dlc.asarray(x[:, :1]), axis=1).numpy()
        want = x.copy()
        np.put_along_axis(want, np.array([[1], [0]]), x[:, :1], 1)
        assert np.array_equal(got, want), dtype


def test_of_duplicates_the_last_stays_and_has_the_gradient():
    index, src = np.array([1, 1, 2]), np.array([5.0, 6.0, 7.0], np.float32)
    put = lambda x, s: dlc.scatter(x, 0, index, s)  # noqa: E731
    assert put(np.zeros(3, np.float32), src).tolist() == [0, 6, 7]
    weights = np.array([1.0, 2.0, 3.0], np.float32)
    gx, gs = dlc.grad(lambda x, s: dlc.sum(put(x, s) * weights), (0, 1))(
        np.zeros(3, np.float32), src
    )
    assert gx.tolist() == [1, 0, 0]
    assert gs.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: dlc.gather(X, 0, np.array([[4]])), IndexError, "the index 4 is out of range"),
        (lambda: dlc.gather(X, 0, np.array([1])), ValueError, "need 2 axes"),
        (lambda: dlc.gather(X, 0, np.zeros((1, 6), int)), ValueError, "axis 1 of the indices"),
        (lambda: dlc.scatter(X, 0, ROWS, SRC[:, :2]), ValueError, "is longer"),
        (lambda: dlc.scatter_reduce(X, 0, ROWS, 1.0, "most"), ValueError, "no reduction 'most'"),
        (lambda: dlc.masked_fill(X, X, 1), TypeError, "must be bool"),
        (lambda: dlc.put_along_axis(X, np.array([[0.5]]), 1, 0), TypeError, "integers"),
    ],
)
def test_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call()
