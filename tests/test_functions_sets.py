"""Places, sets and statistics against NumPy: eager, compiled with a size, and what says no."""

import functions_harness as h
import numpy as np
import pytest
import torch

import dlc

SEEDS = range(8)


def sample(seed, dtype=None):
    rng = np.random.default_rng([5, seed])
    shape = tuple(int(d) for d in rng.choice([0, 1, 3, 7, 20], rng.integers(1, 4)))
    dtype = dtype or h.ALL[seed % len(h.ALL)]
    x = h.values(shape, dtype, seed)
    if dtype in h.FLOATS:
        x = np.round(x.astype(np.float64)).astype(x.dtype)
    return x


def same(got, want):
    got = got.numpy()
    assert got.shape == np.shape(want)
    wide = got.astype(np.float64) if got.dtype.kind not in "iub" else got
    assert np.array_equal(wide, want, equal_nan=wide.dtype.kind == "f")


@pytest.mark.parametrize("seed", SEEDS)
def test_nonzero(seed):
    x = sample(seed)
    for got, want in zip(dlc.nonzero(dlc.asarray(x)), np.nonzero(x), strict=True):
        same(got, want)
    same(dlc.argwhere(dlc.asarray(x)), np.argwhere(x))
    same(dlc.flatnonzero(dlc.asarray(x)), np.flatnonzero(x))
    sized = dlc.compile(lambda v: dlc.nonzero(v, size=9, fill_value=-1))(x)
    for got, want in zip(sized, np.nonzero(x), strict=True):
        padded = np.full(9, -1)
        padded[: len(want)] = want[:9]
        same(got, padded)


@pytest.mark.parametrize("seed", range(13))
def test_unique(seed):
    x = sample(seed)
    wide = x.astype(np.float32) if x.dtype.kind not in "iubf" else x
    values, indices, inverse, counts = np.unique(
        wide, return_index=True, return_inverse=True, return_counts=True
    )
    got = dlc.unique_all(dlc.asarray(x))
    for g, w in zip(got, (values, indices, inverse.reshape(x.shape), counts), strict=True):
        same(g, w)
    same(dlc.unique_values(dlc.asarray(x)), values)
    same(dlc.unique_counts(dlc.asarray(x)).counts, counts)
    same(dlc.unique_inverse(dlc.asarray(x)).inverse_indices, inverse.reshape(x.shape))
    both = dlc.unique(dlc.asarray(x), return_index=True, return_inverse=True, return_counts=True)
    assert len(both) == 4
    if not x.size:
        return
    sized = dlc.compile(lambda v: dlc.unique_all(v, size=7))(x)
    k = min(7, len(values))
    same(sized.values, np.concatenate([values[:k], np.full(7 - k, values[0])]).astype(wide.dtype))
    same(sized.indices, np.concatenate([indices[:k], np.zeros(7 - k, int)]))
    same(sized.inverse_indices, inverse.reshape(x.shape))
    if len(values) <= 7:
        same(sized.counts, np.concatenate([counts[:k], np.zeros(7 - k, int)]))


def test_nan_and_zeros_in_sets():
    x = dlc.asarray([np.nan, 0.0, 1.0, np.nan, -0.0])
    assert dlc.unique_values(x).shape == (4,)
    assert dlc.unique_counts(x).counts.tolist() == [2, 1, 1, 1]
    assert dlc.unique(x, return_counts=True)[1].tolist() == [2, 1, 2]
    assert dlc.isin(x, x).tolist() == [False, True, True, False, True]


@pytest.mark.parametrize("seed", SEEDS)
def test_sets_of_two(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 12, (3, 5)), rng.integers(4, 20, int(rng.integers(0, 9)))
    a, b = dlc.asarray(x), dlc.asarray(y)
    for name in ("union1d", "intersect1d", "setdiff1d"):
        same(getattr(dlc, name)(a, b), getattr(np, name)(x, y))
    same(dlc.isin(a, b), np.isin(x, y))
    same(dlc.compile(lambda u, v: dlc.isin(u, v, invert=True))(x, y), np.isin(x, y, invert=True))
    united = np.union1d(x, y)
    got = dlc.compile(lambda u, v: dlc.union1d(u, v, size=20))(x, y).numpy()
    assert np.array_equal(got[: len(united)], united)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 100])
def test_searchsorted(side, n):
    rng = np.random.default_rng(n)
    x = np.sort(rng.integers(0, 30, n).astype(np.float32))
    v = np.append(rng.integers(-2, 33, (3, 6)).astype(np.float32), [np.nan, np.inf, -np.inf])
    want = np.searchsorted(x, v, side)
    same(dlc.searchsorted(dlc.asarray(x), dlc.asarray(v), side=side), want)
    f = dlc.compile(lambda a, b: dlc.searchsorted(a, b, side=side))
    same(f(x, v), want)
    same(f(np.append(x, np.float32(40)), v), np.searchsorted(np.append(x, 40), v, side))
    order = rng.permutation(n)
    mixed = np.empty_like(x)
    mixed[order] = x
    same(dlc.searchsorted(mixed, v, side=side, sorter=order), want)
    if n > 1:
        for edges in (x, x[::-1].copy()):
            bins = np.unique(edges) if edges is x else np.unique(edges)[::-1].copy()
            for right in (False, True):
                same(dlc.digitize(v[:-3], bins, right=right), np.digitize(v[:-3], bins, right))


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_quantiles(method, axis):
    x = h.values((4, 3, 5), "float64")
    for q in (0.0, 0.3, 1.0, np.array([0.5, 0.125]), np.array([[0.1, 0.9]])):
        for keep in (False, True):
            want = np.quantile(x, q, axis=axis, method=method, keepdims=keep)
            got = dlc.quantile(dlc.asarray(x), q, axis, method=method, keepdims=keep)
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-14, atol=1e-14)
    f = dlc.compile(lambda v: (dlc.percentile(v, 30.0, axis), dlc.median(v, axis)))
    low, middle = f(x)
    np.testing.assert_allclose(low.numpy(), np.percentile(x, 30, axis=axis), rtol=1e-13)
    np.testing.assert_allclose(middle.numpy(), np.median(x, axis=axis), rtol=1e-14)


def test_quantiles_of_nan_and_gradients():
    x = np.array([[1.0, np.nan, 2.0], [3.0, 1.0, 2.0]])
    assert np.isnan(dlc.median(x, 1).numpy()).tolist() == [True, False]
    assert np.isnan(dlc.quantile(x, np.array([0.1, 0.2]), 1).numpy())[:, 0].all()
    assert dlc.median(dlc.asarray([1, 2, 4, 9])).item() == 3.0
    v = np.array([3.0, 1.0, 7.0, 5.0])
    t = torch.tensor(v, requires_grad=True)
    torch.quantile(t, 0.4).backward()
    np.testing.assert_allclose(dlc.grad(lambda a: dlc.quantile(a, 0.4))(v).numpy(), t.grad)


@pytest.mark.parametrize("seed", SEEDS)
def test_counts(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.integers(0, 9, 30), rng.standard_normal(30)
    same(dlc.bincount(x), np.bincount(x))
    same(dlc.bincount(x, minlength=12), np.bincount(x, minlength=12))
    np.testing.assert_allclose(dlc.bincount(x, w).numpy(), np.bincount(x, w), rtol=1e-14)
    same(dlc.compile(lambda v: dlc.bincount(v, length=5))(x), np.bincount(x)[:5])
    v = np.round(rng.standard_normal((5, 20)) * 4) / 4
    for bins in (1, 7, np.array([-1.0, 0.0, 0.5, 2.0])):
        hist, edges = dlc.histogram(v, bins)
        want, places = np.histogram(v, bins)
        same(hist, want)
        np.testing.assert_allclose(edges.numpy(), places, rtol=1e-14)
    hist, _ = dlc.histogram(v, 4, (-1.0, 1.0), density=True)
    want, _ = np.histogram(v, 4, (-1, 1), density=True)
    np.testing.assert_allclose(hist.numpy(), want, rtol=1e-14)
    many = dlc.compile(lambda x: dlc.histogram(x, 2, (0, 1), density=True).hist)
    same(many(np.ones(70_000, np.float16)), np.array([0, 2], np.float32))  # beyond float16
    weighted = dlc.compile(lambda a, b: dlc.histogram(a, 3, weights=b).hist)(v, np.abs(v))
    np.testing.assert_allclose(weighted.numpy(), np.histogram(v, 3, weights=np.abs(v))[0])


@pytest.mark.parametrize("way", [lambda f: f, dlc.compile])
def test_counts_of_points(way):
    rng = np.random.default_rng(3)
    points, w = np.round(rng.standard_normal((200, 3)) * 4) / 4, rng.random(200)
    points[3, 1] = 9
    bounds = [(-1, 1), None, (-2, 0.5)]
    for bins, settings in (
        (4, {}), ([2, 3, 5], {"range": bounds}), ([2, [-1, 0, 0.5, 2], 3], {"weights": w}),
        (3, {"density": True, "range": bounds}),
    ):  # fmt: skip
        found = way(lambda p, s=settings, b=bins: dlc.histogramdd(p, b, **s))(points)
        want, edges = np.histogramdd(points, bins, **settings)
        np.testing.assert_allclose(found[0].numpy(), want, rtol=1e-13)
        assert found[0].dtype == dlc.float64
        for mine, theirs in zip(found[1], edges, strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-14)
    x, y = points[:, 0], points[:, 1]
    for bins in (5, [3, 4], [-1.0, 0.0, 0.5, 2.0], [2, [-1.0, 0.0, 1.0]]):
        found = way(lambda x, y, b=bins: dlc.histogram2d(x, y, b, weights=w))(x, y)
        for mine, theirs in zip(found, np.histogram2d(x, y, bins, weights=w), strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-13)
    same(dlc.histogram2d([0.0, np.nan, 1.0], [0.0, 0.0, 1.0], 2, [(0, 1), (0, 1)])[0], np.eye(2))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "bool"])
@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extremes(name, dtype):
    x = h.values((5, 9), dtype)
    if dtype == "float32":
        x[2, 4] = np.nan
    for axis in (0, 1):
        want = getattr(torch, name)(torch.tensor(x), axis)
        got = dlc.compile(lambda v, a=axis: getattr(dlc, name)(v, a))(x)
        assert got.values.numpy().dtype == x.dtype
        np.testing.assert_array_equal(got.values.numpy(), want.values.numpy())
        np.testing.assert_array_equal(got.indices.numpy(), want.indices.numpy())
    if dtype == "float64":
        w = h.values((5, 9), dtype, 1)
        t = torch.tensor(x, requires_grad=True)
        (getattr(torch, name)(t, 1).values * torch.tensor(w)).sum().backward()
        grad = dlc.grad(lambda v: dlc.sum(getattr(dlc, name)(v, 1).values * w))(x)
        np.testing.assert_allclose(grad.numpy(), t.grad.numpy())


def test_running_sums_of_exponentials():
    x = np.array([[-np.inf, 1.0, 1000.0, -3.0, 1001.0], [700.0, -700.0, 0.5, 2.0, 3.0]])
    t = torch.tensor(x, requires_grad=True)
    want = torch.logcumsumexp(t, 1)
    got = dlc.logcumsumexp(dlc.asarray(x), 1)
    np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-14)
    torch.logcumsumexp(t[1], 0).sum().backward()
    grad = dlc.grad(lambda v: dlc.sum(dlc.logcumsumexp(v, 0)))(x[1])
    np.testing.assert_allclose(grad.numpy(), t.grad[1].numpy(), rtol=1e-12)


def test_ordered_by_several_keys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (2, 3, 50))
    same(dlc.lexsort([dlc.asarray(a), dlc.asarray(b)]), np.lexsort((a, b)))
    same(dlc.lexsort([a, b], axis=0), np.lexsort((a, b), axis=0))


def test_the_kth_element():
    x = h.values((4, 7))
    for axis in (0, 1):
        want = torch.kthvalue(torch.tensor(x), 3, axis)
        got = dlc.kthvalue(x, 3, axis)
        same(got.values, want.values.numpy())
        same(got.indices, want.indices.numpy())
    assert dlc.kthvalue(x, 1, 0, keepdims=True).values.shape == (1, 7)
    with pytest.raises(dlc.ValueRangeError, match="axis 0 has no element 5"):
        dlc.kthvalue(x, 5, 0)


SIZES = {
    "nonzero": dlc.nonzero,
    "argwhere": dlc.argwhere,
    "flatnonzero": dlc.flatnonzero,
    "unique": dlc.unique,
    "unique_values": dlc.unique_values,
    "union1d": lambda x: dlc.union1d(x, x),
    "intersect1d": lambda x: dlc.intersect1d(x, x),
    "bincount": dlc.bincount,
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_depend_on_values_are_refused_when_compiled(name):
    with pytest.raises(dlc.TracedValueError, match="depends on them") as caught:
        dlc.compile(SIZES[name])(np.array([1, 2, 2]))
    assert "dlc." in str(caught.value.hint)


def test_bad_arguments():
    x = dlc.asarray([1.0, 2.0])
    with pytest.raises(dlc.ArgumentError, match="side='up'"):
        dlc.searchsorted(x, x, side="up")
    with pytest.raises(dlc.ShapeError, match="one axis"):
        dlc.searchsorted(dlc.ones((2, 2)), x)
    with pytest.raises(dlc.ShapeError, match="no axes"):
        dlc.nonzero(dlc.asarray(1.0))
    with pytest.raises(dlc.ValueRangeError, match="not from 0 to 1"):
        dlc.quantile(x, 1.5)
    with pytest.raises(dlc.ArgumentError, match="no method 'cubic'"):
        dlc.quantile(x, 0.5, method="cubic")
    with pytest.raises(dlc.ShapeError, match="no elements"):
        dlc.median(dlc.ones((0,)))
    with pytest.raises(dlc.ValueRangeError, match="must not be negative"):
        dlc.bincount(np.array([1, -1]))
    with pytest.raises(dlc.ValueRangeError, match="with 0 bins"):
        dlc.histogram(x, 0)
    with pytest.raises(dlc.ArgumentError, match="2 coordinates with 3 bins"):
        dlc.histogramdd([x, x], [1, 2, 3])
    with pytest.raises(dlc.ShapeError, match=r"points are \[N, D\]"):
        dlc.histogramdd(np.ones(3))
    with pytest.raises(dlc.ShapeError, match=r"each is \[N\]"):
        dlc.histogram2d(np.ones(3), np.ones(4))
    for wrong in ((0.0, np.inf), (np.nan, 1.0), (1.0, 0.0)):
        with pytest.raises(dlc.ValueRangeError, match="over the range"):
            dlc.histogram(x, 3, wrong)
    with pytest.raises(dlc.ShapeError, match="shapes differ"):
        dlc.lexsort([x, dlc.ones((3,))])
