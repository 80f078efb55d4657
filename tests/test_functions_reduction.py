"""Reductions and softmax against NumPy at float64."""

import warnings

import functions_harness as h
import numpy as np
import pytest

import dlc

AXES = (None, 0, -1, (0, 2), (2, 1), ())
SLOW = ("interpreted", "traced")


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


REFERENCES = {
    "sum": np.sum, "prod": np.prod, "mean": np.mean, "var": np.var, "std": np.std, "max": np.max,
    "min": np.min, "any": np.any, "all": np.all, "count_nonzero": np.count_nonzero,
    "logsumexp": logsumexp,
}  # fmt: skip


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", REFERENCES)
def test_axes(name, keepdims):
    x = np.abs(h.values((3, 4, 5))) + 0.5  # of one sign: sums do not cancel
    x[1, 2] = 0.0 if name in ("any", "all", "count_nonzero") else x[1, 2]
    for axis in AXES:
        h.check(
            lambda v, a=axis: getattr(dlc, name)(v, axis=a, keepdims=keepdims),
            lambda v, a=axis: REFERENCES[name](v, axis=a, keepdims=keepdims),
            [x],
            ulps=16,
            ways=tuple(h.WAYS) if axis in (None, (0, 2), -1) else SLOW,
        )
    scalar = np.float32(2.5)
    h.check(getattr(dlc, name), REFERENCES[name], [np.array(scalar)], ulps=4, ways=SLOW)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places(name):
    function, reference = getattr(dlc, name), getattr(np, name)
    x = np.round(h.values((3, 4, 5)))  # with ties: the first one counts
    x[2, 1, 3] = np.nan
    for axis in (None, 0, 1, -1):
        for keepdims in (False, True):
            h.check(
                lambda v, a=axis, k=keepdims: function(v, axis=a, keepdims=k),
                lambda v, a=axis, k=keepdims: reference(v, axis=a, keepdims=k),
                [x],
                dtype="int64",
            )
    for dtype in h.ALL:
        v = h.values((7,), dtype)
        h.check(function, reference, [v], ways=SLOW)


@pytest.mark.parametrize("dtype", h.ALL)
def test_dtypes(dtype):
    x = h.values((4, 5), dtype)
    for name in ("sum", "prod"):
        kind = x.dtype.kind
        expected = "uint64" if kind == "u" else "int64" if kind in "ib" else dtype
        wide = x.astype(np.float64) if dtype in h.FLOATS else x
        got = h.run_eager(getattr(dlc, name), [x], interpreted=True)[0]
        assert got.dtype.name == expected
        h.assert_close(got, getattr(np, name)(wide), ulps=64)
    for name in ("max", "min", "any", "all", "count_nonzero"):
        got = h.run_eager(getattr(dlc, name), [x], interpreted=True)[0]
        want = getattr(np, name)(x)
        assert got == want
        if name in ("max", "min"):
            assert got.dtype == x.dtype
    for name in ("mean", "var", "std"):
        got = h.run_eager(getattr(dlc, name), [x], interpreted=True)[0]
        assert got.dtype.name == (dtype if dtype in h.FLOATS else "float32")
        h.assert_close(got, getattr(np, name)(x.astype(np.float64)), ulps=64)


def test_asked_for_dtypes_and_corrections():
    x = np.full(1000, 100, np.int8)
    assert dlc.sum(x).item() == 100000
    assert dlc.sum(x, dtype="int8").item() == np.sum(x, dtype=np.int8)
    assert dlc.sum(x, dtype=dlc.float32).dtype == dlc.float32
    assert dlc.mean(x, dtype="f64").dtype == dlc.float64
    f = h.values((9,))
    h.check(lambda v: dlc.var(v, correction=1), lambda v: np.var(v, ddof=1), [f], ulps=16)
    h.check(lambda v: dlc.std(v, correction=1.5), lambda v: np.std(v, ddof=1.5), [f], ulps=16)
    with pytest.raises(TypeError, match=r"sum of i8\[1000\] at bool"):
        dlc.sum(x, dtype=bool)
    with pytest.raises(TypeError, match="mean of .*the dtype must be float"):
        dlc.mean(x, dtype="int32")
    with pytest.raises(TypeError, match="correction must be a number, got str"):
        dlc.var(f, correction="1")


def test_special_values():
    nan, inf = np.nan, np.inf
    for row in ([1, nan, 2], [inf, 1, 2], [-inf, -inf, -inf], [inf, -inf, 0], [-0.0, 0.0, -0.0]):
        x = np.array(row, np.float32)
        for name in ("sum", "prod", "max", "min", "mean", "logsumexp"):
            reference = np.logaddexp.reduce if name == "logsumexp" else REFERENCES[name]
            h.check(getattr(dlc, name), reference, [x], ulps=8, ways=("interpreted", "native"))


def test_nothing():
    x = np.zeros((0, 3), np.float32)
    assert dlc.sum(x).item() == 0
    assert dlc.prod(x, axis=0).numpy().tolist() == [1, 1, 1]
    assert np.isnan(dlc.mean(x).item())
    assert np.isnan(dlc.var(x, axis=0).numpy()).all()
    assert dlc.sum(x, axis=1).shape == (0,)
    assert dlc.max(x, axis=1).shape == (0,)
    assert not dlc.any(x).item()
    assert dlc.all(x).item()
    assert dlc.logsumexp(x, axis=0).numpy().tolist() == [-np.inf] * 3
    assert dlc.softmax(x).shape == (0, 3)
    for function in (dlc.max, dlc.min, dlc.argmax, dlc.argmin):
        with pytest.raises(ValueError, match=rf"{function.__name__} of f32\[0,3\].*no element"):
            function(x)


@pytest.mark.parametrize("axis", [-1, 0, (1, 2), (2, 0), None])
def test_softmax(axis):
    x = h.values((3, 4, 5)) * 4
    h.check(lambda v: dlc.softmax(v, axis), lambda v: softmax(v, axis), [x], ulps=32)
    top = float(np.abs(x).max())
    h.check(
        lambda v: dlc.log_softmax(v, axis),
        lambda v: np.log(softmax(v, axis)),
        [x],
        ulps=4,
        floor=top,
    )
    for dtype in h.FLOATS:
        h.check(
            lambda v: dlc.softmax(v, axis),
            lambda v: softmax(v, axis),
            [h.values((2, 3, 4), dtype)],
            ulps=16,
            dtype=dtype,
            ways=SLOW,
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_within_some_units_of_the_quotient(dtype):
    # Of multiples of 1/8 the distances from the maximum are exact, of few of them sums nearly so.
    x = np.random.default_rng(2).integers(-60, 60, (500, 37)).astype(dtype) / 8
    wide = x.astype(np.longdouble)
    e = np.exp(wide - wide.max(axis=1, keepdims=True))
    want = e / e.sum(axis=1, keepdims=True)
    got = dlc.softmax(x, axis=1).numpy()
    assert (abs(got - want) <= 4 * np.spacing(want.astype(dtype))).all()


def test_softmax_of_special_rows():
    inf, nan = np.inf, np.nan
    x = [[-inf, -inf, -inf], [inf, 0, -inf], [nan, 0, 1], [-inf, 3, -inf], [0, -104, -200]]
    got = dlc.softmax(np.array(x, np.float32), axis=1).numpy()
    assert np.isnan(got[:3]).all()
    assert got[3:].tolist() == [[0, 1, 0], [1, 0, 0]]
    small = dlc.softmax(np.array([0, -100], np.float32)).numpy()  # a subnormal stays one
    assert 0 < small[1] == np.exp(np.float64(-100)).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 66_000), (1, 70_001), (2, 256, 257)])
def test_few_long_rows(shape):
    # Their reductions are split over blocks.
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    axes = tuple(range(1, x.ndim))
    y = dlc.compile(lambda v: v - dlc.max(v, axis=axes, keepdims=True))(x).numpy()
    assert (y == x - x.max(axis=axes, keepdims=True)).all()
    flat, wide = x.reshape(shape[0], -1), x.reshape(shape[0], -1).astype(np.float64)
    got, total = dlc.compile(lambda v: (dlc.softmax(v, axis=1), 2 * dlc.sum(v, axis=1)))(flat)
    np.testing.assert_allclose(got.numpy(), softmax(wide, 1), rtol=1e-4)
    np.testing.assert_allclose(total.numpy(), 2 * wide.sum(axis=1), rtol=1e-4)


def test_softmax_does_not_overflow():
    x = np.array([[1e4, 1e4, -np.inf], [-1e4, -1e4, -2e4]], np.float32)
    assert dlc.softmax(x).numpy().tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0]]
    assert np.isclose(dlc.logsumexp(x, axis=1).numpy(), [1e4 + np.log(2), -1e4 + np.log(2)]).all()


def test_errors():
    x = h.values((2, 3))
    with pytest.raises(IndexError, match=r"sum of f32\[2,3\]: axis 2 is out of range"):
        dlc.sum(x, axis=2)
    with pytest.raises(ValueError, match="names one axis twice"):
        dlc.mean(x, axis=(0, -2))
    with pytest.raises(TypeError, match="an axis must be an integer, got float"):
        dlc.max(x, axis=1.0)
    with pytest.raises(IndexError, match="a scalar has no axes"):
        dlc.softmax(np.float32(1))


CHOSEN = {
    "sum": {"initial": 3}, "prod": {"initial": 2.0}, "max": {"initial": -1.0},
    "min": {"initial": 0.5}, "mean": {}, "var": {"ddof": 1}, "std": {"correction": 1},
    "any": {}, "all": {},
}  # fmt: skip


@pytest.mark.parametrize("axis", [None, 0, (0, 2), ()])
@pytest.mark.parametrize("name", CHOSEN)
def test_reductions_of_those_elements_that_a_mask_chooses(name, axis):
    x, mask = h.values((3, 4, 5)), h.values((4, 1), seed=2) > -0.3
    x[0, 0] = np.nan
    mask[0] = False
    x = x > 0 if name in ("any", "all") else x
    options = CHOSEN[name]
    wide = x if x.dtype == bool else x.astype(np.float64)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of variances of one element
        want = getattr(np, name)(wide, axis=axis, where=mask, keepdims=True, **options)
    method = dlc.compile(
        lambda v, m: getattr(v, name)(axis=axis, where=m, keepdims=True, **options)
    )
    got = getattr(dlc, name)(x, axis=axis, where=mask, keepdims=True, **options)
    for result in (got, method(x, mask)):
        assert result.shape == want.shape
        assert result.dtype == x.dtype
        assert np.allclose(result.numpy(), want, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_reductions_of_chosen_elements_say_what_they_cannot_do():
    x = dlc.asarray([1, 2, 3])
    assert dlc.max(x, initial=9).item() == 9
    assert dlc.min(dlc.zeros((0, 2)), axis=0, initial=4).tolist() == [4.0, 4.0]
    assert dlc.std(np.ones((1, 2)), axis=0, ddof=1).numpy().tolist() != [0.0, 0.0]
    assert dlc.cov(np.arange(4.0), ddof=0).item() == 1.25
    for call, error, words in (
        (lambda: dlc.max(x, where=x > 1), TypeError, "needs initial="),
        (lambda: x.sum(where=x), TypeError, "must be of bools"),
        (lambda: dlc.mean(x, where=[True, False]), ValueError, "does not broadcast"),
        (lambda: dlc.sum(x, initial=0.5), TypeError, "initial=float64 of a result of int64"),
        (lambda: dlc.sum(x, initial=[1, 2]), ValueError, "must be one number"),
        (lambda: dlc.var(x, correction=1, ddof=2), TypeError, "correction=1 and ddof=2"),
        (lambda: x.mean(dim=0), TypeError, "did you mean 'axis'"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_statistics_of_chosen_halves_are_rounded_once():
    many = dlc.ones(70000, dtype=dlc.float16)  # whose sum and count are beyond the type
    assert dlc.nanmean(many).item() == dlc.mean(many, where=many > 0).item() == 1.0
    assert dlc.nanstd(many).item() == dlc.std(many, where=many > 0).item() == 0.0
    grad = dlc.grad(lambda v: dlc.var(v, where=[True, True, False, True]))
    assert np.allclose(grad(np.array([1.0, 2.0, np.inf, 6.0])).numpy(), [-4 / 3, -2 / 3, 0, 2])
