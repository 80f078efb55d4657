"""NumPy's functions that choose, cut, differ and count, against NumPy at float64."""

import functions_harness as h
import numpy as np
import pytest

import dlc

WAYS = ("interpreted", "traced")
NAN = np.array([[1.5, np.nan, -2.0], [np.nan, np.nan, 4.0]], np.float32)
VECTOR, OTHER = h.values((7,)), h.values((4,), seed=1)
CURVE = np.array([0.0, 1.0, 3.0, 4.0], np.float32)
WIDE = h.values((3, 5))
CASES = {
    **{
        f"{name} of {n}": (lambda xp, x, name=name, n=n: getattr(xp, name)(n) + 0 * x[0], [VECTOR])
        for name in ("bartlett", "hanning", "hamming", "blackman") for n in (1, 2, 7, 8)
    },
    "kaiser": (lambda xp, x: xp.kaiser(9, 3.5) * x[0], [VECTOR]),
    "logspace": (lambda xp, x: xp.logspace(x[0], 3.0, 5, base=2.0), [VECTOR]),
    "logspace without end": (lambda xp, x: xp.logspace(x[0], 2.0, 4, endpoint=False), [VECTOR]),
    "geomspace": (lambda xp, x: xp.geomspace(abs(x[0]) + 1, 300.0, 6), [VECTOR]),
    "geomspace below 0": (lambda xp, x: xp.geomspace(-8.0, -1.0, 4) + 0 * x[0], [VECTOR]),
    "select": (lambda xp, x: xp.select([x < -1, x > 1], [x * 2, x + 1], 9.0), [VECTOR]),
    **{
        f"choose {mode}": (
            lambda xp, i, x, mode=mode: xp.choose(i.astype("int64"), [x, x * 2, x + 5], mode=mode),
            [places, OTHER],
        )
        for mode, places in (
            ("raise", np.array([0, 2, 1, 0])), ("wrap", np.array([-1, 2, 5, 0])),
            ("clip", np.array([-1, 2, 5, 0])),
        )
    },
    "piecewise": (
        lambda xp, x: xp.piecewise(x, [x < -1, x > 1], [lambda v: v * v, 5.0, lambda v: -v]),
        [VECTOR],
    ),
    "append": (lambda xp, x, y: xp.append(x, y), [WIDE, OTHER]),
    "append along an axis": (lambda xp, x: xp.append(x, x, axis=1), [WIDE]),
    **{
        f"delete {obj}": (lambda xp, x, obj=obj: xp.delete(x, obj, axis=1), [WIDE])
        for obj in (0, -1, [1, 3, 1], slice(0, 4, 2))
    },
    "delete a mask": (lambda xp, x: xp.delete(x, np.array([True, False] * 2)), [OTHER]),
    **{
        f"insert at {obj} into {axis}": (
            lambda xp, x, obj=obj, axis=axis: xp.insert(x, obj, 7.0, axis=axis), [WIDE]
        )
        for obj in (0, -1, 3, [1, 2, 1], slice(0, 3, 2)) for axis in (None, 0, 1)
    },
    "insert several": (lambda xp, x, y: xp.insert(x, [3, 0, 0], y[:3], axis=0), [VECTOR, OTHER]),
    "insert slices": (lambda xp, x, y: xp.insert(x, [2, 0], y, axis=1), [WIDE, WIDE[:, :2]]),
    "insert slices at one place": (
        lambda xp, x, y: xp.insert(x, 1, y, axis=0), [WIDE, h.values((2, 5))],
    ),
    "insert a row": (lambda xp, x, y: xp.insert(x, 1, y, axis=0), [h.values((3, 4)), OTHER]),
    "insert a column": (lambda xp, x, y: xp.insert(x, 1, y, axis=1), [h.values((4, 3)), OTHER]),
    "gradient": (lambda xp, x: xp.gradient(x), [WIDE]),
    "gradient of second order": (lambda xp, x: xp.gradient(x, 0.5, axis=1, edge_order=2), [WIDE]),
    **{
        f"gradient at places, order {n}": (
            lambda xp, x, n=n: xp.gradient(x, CURVE, axis=0, edge_order=n), [h.values((4, 2))],
        )
        for n in (1, 2)
    },
    "gradient of two": (lambda xp, x: xp.gradient(x[:2]), [VECTOR]),
    "ediff1d": (lambda xp, x: xp.ediff1d(x, to_end=[9.0, 8.0], to_begin=0.0), [WIDE]),
    "unwrap": (lambda xp, x: xp.unwrap(x * 9, axis=0), [h.values((9, 2))]),
    "unwrap of a period": (lambda xp, x: xp.unwrap(x * 3, 1.5, period=2.0), [VECTOR]),
    **{
        f"nanquantile {method}": (
            lambda xp, x, method=method: xp.nanquantile(
                x, np.array([0.0, 0.3, 1.0]), axis=1, method=method
            ), [NAN],
        )
        for method in ("linear", "lower", "higher", "nearest", "midpoint")
    },
    "nanquantile of all": (lambda xp, x: xp.nanquantile(x, 0.4, keepdims=True), [NAN]),
    "nanpercentile": (lambda xp, x: xp.nanpercentile(x, 70.0, axis=0), [NAN]),
    "nanmedian": (lambda xp, x: xp.nanmedian(x, axis=1), [NAN]),
    "partition": (lambda xp, x: xp.partition(x, 3)[3], [VECTOR]),
    "argpartition": (lambda xp, x: xp.argpartition(x, 3)[3], [VECTOR]),
    "matvec": (lambda xp, x, y: xp.matvec(x, y), [h.values((2, 3, 4)), OTHER]),
    "vecmat": (lambda xp, x, y: xp.vecmat(y, x), [h.values((2, 4, 3)), OTHER]),
    "vdot": (lambda xp, x, y: xp.vdot(x, y), [h.values((2, 2)), OTHER]),
    "apply_along_axis": (
        lambda xp, x: xp.apply_along_axis(lambda v: xp.cumsum(v, axis=0)[1:], 0, x), [WIDE],
    ),
    "apply_along_axis to a number": (
        lambda xp, x: xp.apply_along_axis(lambda v, k: (v * k).sum(), 1, x, 2.0), [WIDE],
    ),
    "apply_along_axis to a matrix": (
        lambda xp, x: xp.apply_along_axis(lambda v: xp.outer(v, v[:2]), 1, x), [WIDE],
    ),
    "polyfit": (lambda xp, x, y: xp.polyfit(x, y, 2), [VECTOR, h.values((7,), seed=4)]),
    "polyfit of two": (lambda xp, x, y: xp.polyfit(x, y, 3), [VECTOR, h.values((7, 2), seed=4)]),
    "isposinf": (lambda xp, x: xp.isposinf(x), [h.specials()]),
    "isneginf": (lambda xp, x: xp.isneginf(x), [h.specials()]),
    "array_equiv": (lambda xp, x: xp.array_equiv(x, x[None]), [VECTOR]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name):
    function, arrays = CASES[name]

    def reference(*xs):
        with np.errstate(all="ignore"):
            found = function(np, *xs)
            return tuple(found) if isinstance(found, (list, tuple)) else found

    h.check(lambda *xs: function(dlc, *xs), reference, list(arrays), ulps=64, floor=1, ways=WAYS)


INDICES = {
    "unravel_index": lambda xp, i: xp.unravel_index(i, (3, 4, 2)),
    "ravel_multi_index": lambda xp, i: xp.ravel_multi_index((i % 3, i % 4), (3, 4)),
    "ravel wrapped": lambda xp, i: xp.ravel_multi_index((i - 9, i), (3, 4), mode="wrap"),
    "ravel clipped": lambda xp, i: xp.ravel_multi_index((i - 9, i), (3, 4), mode="clip"),
    "diag_indices": lambda xp, i: xp.diag_indices(3, 3),
    "ix_": lambda xp, i: xp.ix_(i[:2], i * 2),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices(name):
    places = np.array([0, 23, 7, 12])
    want = h.leaves(INDICES[name](np, places))
    for f in (INDICES[name], lambda xp, i: dlc.compile(lambda v: INDICES[name](xp, v))(i)):
        got = h.leaves(f(dlc, dlc.asarray(places)))
        assert all(np.array_equal(g.numpy(), w) for g, w in zip(got, want, strict=True))


def test_distinct_slices():
    x = np.array([[1, 2, 1], [3, 1, 3], [1, 2, 1], [1, 1, 9]])
    for axis in (0, 1):
        for array in (x, x.astype(np.float32), np.zeros((0, 3))[:: 1 - 2 * axis]):
            want = np.unique(array, True, True, True, axis=axis)
            got = dlc.unique(array, True, True, True, axis=axis)
            for g, w in zip(got, want, strict=True):
                assert np.array_equal(g.numpy(), w.reshape(g.shape))
    assert dlc.unique(np.array([[np.nan], [np.nan]]), axis=0).shape == (1, 1)
    assert dlc.setxor1d(x[0], x[3]).tolist() == np.setxor1d(x[0], x[3]).tolist()
    assert dlc.compress([False, True, True], x, axis=1).tolist() == x[:, 1:].tolist()
    assert dlc.extract(x > 2, x).tolist() == [3, 3, 9]
    assert dlc.ix_([0], np.array([True, False, True]))[1].tolist() == [[0, 2]]
    assert (dlc.shape([[1, 2]]), dlc.ndim(3.0), dlc.size(x), dlc.size(x, 1)) == ((1, 2), 0, 12, 3)
    with pytest.raises(dlc.TracedValueError, match="along an axis"):
        dlc.compile(lambda v: dlc.unique(v, axis=0))(x)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: dlc.geomspace(0, 1), dlc.ValueRangeError),
        (lambda: dlc.gradient(WIDE, edge_order=3), dlc.ValueRangeError),
        (lambda: dlc.gradient(WIDE[:1]), dlc.ShapeError),
        (lambda: dlc.gradient(WIDE, 1.0, 2.0, 3.0), dlc.ArgumentError),
        (lambda: dlc.insert(WIDE, 99, 0), dlc.IndexRangeError),
        (lambda: dlc.insert(WIDE, 0, OTHER, axis=0), dlc.ShapeError),
        (lambda: dlc.delete(WIDE, 9, axis=0), dlc.IndexRangeError),
        (lambda: dlc.compile(dlc.delete)(WIDE, 1), dlc.TracedValueError),
        (lambda: dlc.choose(dlc.asarray([3]), [1, 2]), dlc.IndexRangeError),
        (lambda: dlc.unravel_index(9, (2, 2)), dlc.IndexRangeError),
        (lambda: dlc.ravel_multi_index((1, 2), (2, 2)), dlc.IndexRangeError),
        (lambda: dlc.select([], []), dlc.ArgumentError),
        (lambda: dlc.piecewise(VECTOR, [VECTOR > 0], []), dlc.ArgumentError),
        (lambda: dlc.partition(WIDE, 9), dlc.IndexRangeError),
    ],
)
def test_mistakes(call, error):
    with pytest.raises(error):
        call()
