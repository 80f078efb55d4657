"""`x[index]`, `x[index] = value` and `x.at[index]` against NumPy."""

import functions_harness as h
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import dlc
from dlc.ir.config import config

X = h.values((3, 4, 5))
WIDE, PAIR, ONE = np.array([[0, 2], [-1, 1]]), np.array([2, 0]), np.array([1])
ROWS, MASK = np.array([True, False, True]), X[:, :, 0] > 0
ALL = slice(None)
CASES = {
    "one array": (WIDE,),
    "an array of a middle axis": (ALL, PAIR),
    "an array behind a slice with a step": (slice(1, None), PAIR),
    "two arrays": (WIDE, PAIR),
    "two arrays behind a slice": (ALL, PAIR, ONE),
    "two arrays and a slice between": (WIDE, ALL, PAIR),
    "an integer, a slice and an array": (0, ALL, PAIR),
    "an ellipsis for nothing between arrays": (WIDE, PAIR, ..., ONE),
    "an ellipsis between arrays": (PAIR, ..., ONE),
    "new axes between arrays": (None, WIDE, None, PAIR),
    "an integer beside an array": (PAIR, 0),
    "an array and reversed axes": (slice(None, None, -2), PAIR, slice(None, None, -1)),
    "a mask of two axes": (MASK,),
    "a mask of the first axis": (ROWS,),
    "a mask of the last axis": (..., X[0, 0] > 0),
    "a mask and an array": (ROWS, PAIR),
    "a mask, a slice and an array": (ROWS, ALL, PAIR),
    "true": (True,),
    "false": (False,),
    "true beside an integer": (0, True),
    "a list": ([0, 1],),
    "an empty list": ([],),
    "no index": (),
}


def of(items):
    """An index as one writes it."""
    return items if len(items) != 1 else items[0]


def as_tensors(items):
    return tuple(dlc.asarray(v) if isinstance(v, np.ndarray) else v for v in items)


def read_and_write(x, items, given, update):
    """What NumPy and dlc read, and what they have after writing."""
    want = x.copy()
    want[of(items)] = update
    got = dlc.asarray(x)
    read = got[of(given)].numpy()
    got[of(given)] = update
    return (x[of(items)], want), (read, got.numpy())


@pytest.mark.parametrize("name", CASES)
def test_eager(name):
    items = CASES[name]
    update = h.values(X[of(items)].shape, seed=3)
    for value in (update, np.float32(7)):
        for given in (items, as_tensors(items)):
            want, got = read_and_write(X, items, given, value)
            for w, g in zip(want, got, strict=True):
                assert w.shape == g.shape
                assert np.array_equal(w, g)


def with_arrays(items, arrays):
    rest = iter(arrays)
    is_given = [isinstance(v, np.ndarray) and v.dtype != bool for v in items]
    return of(tuple(next(rest) if given else v for v, given in zip(items, is_given, strict=True)))


@pytest.mark.parametrize("name", [n for n in CASES if "array" in n])
def test_compiled_with_traced_arrays(name):
    items = CASES[name]
    arrays = [v for v in items if isinstance(v, np.ndarray) and v.dtype != bool]
    update = h.values(X[of(items)].shape, seed=3)

    def both(x, v, *places):
        read, x = x[with_arrays(items, places)], dlc.positive(x)
        x[with_arrays(items, places)] = v
        return read, x

    want, _ = read_and_write(X, items, items, update)
    # Slices and masks need to know extents.
    symbolic = not any(word in name for word in ("mask", "step", "reversed"))
    for way, got in (
        ("compiled", [r.numpy() for r in dlc.compile(both)(X, update, *arrays)]),
        ("symbolic", h.run_traced(both, [X, update, *arrays], symbolic)),
    ):
        for w, g in zip(want, got, strict=True):
            assert np.array_equal(w, g), way


@st.composite
def indices(draw, shape):
    """Items for some of the axes; arrays broadcast to one shape."""
    common = draw(st.sampled_from([(), (2,), (3,), (2, 3), (0,), (1,)]))
    items, axis = [], 0
    while axis < len(shape) and draw(st.integers(0, 5)):
        extent = shape[axis]
        kind = draw(st.sampled_from(["integer", "slice", "array", "mask", "new", "wide mask"]))
        if kind == "new":
            items.append(None)
            continue
        width = min(2, len(shape) - axis) if kind == "wide mask" else 1
        if kind in ("integer", "array") and not extent:
            kind = "slice"
        if kind == "integer":
            items.append(draw(st.integers(-extent, extent - 1)))
        elif kind == "slice":
            bound = st.none() | st.integers(-extent - 1, extent + 1)
            step = draw(st.sampled_from([None, 1, 2, 3, -1, -2]))
            items.append(slice(draw(bound), draw(bound), step))
        elif kind == "array":
            own = tuple(draw(st.sampled_from([d, 1])) for d in common)
            cut = draw(st.integers(0, len(own)))
            size = int(np.prod(own[cut:]))
            places = st.lists(st.integers(-extent, extent - 1), min_size=size, max_size=size)
            items.append(np.array(draw(places), np.int64).reshape(own[cut:]))
        else:
            size = int(np.prod(shape[axis : axis + width]))
            flags = st.lists(st.booleans(), min_size=size, max_size=size)
            items.append(np.array(draw(flags), bool).reshape(shape[axis : axis + width]))
        axis += width
    if draw(st.booleans()):
        # What stands behind it indexes other axes, which must have the same extents.
        anywhere = len(set(shape)) <= 1
        items.insert(draw(st.integers(0, len(items))) if anywhere else len(items), ...)
    return tuple(items)


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=60, suppress_health_check=list(hypothesis.HealthCheck))
def test_any_index(data):
    shape = tuple(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    items = data.draw(indices(shape))
    x = h.values(shape)
    try:
        part = x[of(items)]
    except IndexError:
        with pytest.raises((dlc.IndexRangeError, dlc.ShapeError)):
            dlc.asarray(x)[of(items)]
        return
    update = h.values(part.shape, seed=1)
    with config.scope(disable_jit=True):
        want, got = read_and_write(x, items, as_tensors(items), update)
    arrays = [v for v in items if isinstance(v, np.ndarray) and v.dtype != bool]
    if 0 in shape or part.size == 0:
        traced = want
    else:

        def both(v, u, *places):
            read, v = v[with_arrays(items, places)], dlc.positive(v)
            v[with_arrays(items, places)] = u
            return read, v

        traced = h.run_traced(both, [x, update, *arrays])
    for w, g, t in zip(want, got, traced, strict=True):
        assert w.shape == g.shape == t.shape
        assert np.array_equal(w, g)
        assert np.array_equal(w, t)


AT = {
    "add": (np.add, "float32"), "subtract": (np.subtract, "float64"), "min": (np.minimum, "int32"),
    "multiply": (np.multiply, "int64"), "max": (np.maximum, "float16"),
}  # fmt: skip


@pytest.mark.parametrize("name", AT)
def test_at_combines_each_time_that_a_place_occurs(name):
    ufunc, dtype = AT[name]
    x = h.values((3, 4, 5), dtype)
    for items in ((np.array([0, 2, 0, 0]),), (np.array([1, 1, 2]), ALL, np.array([0, 0, 4])),
                  (1, slice(1, None)), (MASK,)):  # fmt: skip
        update = h.values(x[of(items)].shape, dtype, seed=2)
        want = x.copy()
        ufunc.at(want, of(items), update)
        method = dlc.compile(lambda v, u, k=items: getattr(v.at[of(k)], name)(u))
        for got in (getattr(dlc.asarray(x).at[of(items)], name)(update), method(x, update)):
            assert got.dtype == dtype
            assert np.array_equal(got.numpy(), want)


def test_at_sets_divides_raises_and_applies():
    x, places = h.values((4,)), np.array([0, 2, 0])
    v = dlc.asarray(x)
    assert v.at[places].set(np.array([1.0, 2.0, 3.0])).tolist() == [3.0, x[1], 2.0, x[3]]
    factors = np.array([2.0, 4.0, 2.0], np.float32)
    assert np.array_equal(v.at[places].divide(factors).numpy(), x / np.float32([4, 1, 4, 1]))
    powers = np.abs(x) ** np.float32([4, 1, 4, 1])
    assert np.allclose(dlc.abs(v).at[places].power(factors).numpy(), powers, rtol=1e-6)
    assert v.at[1:].apply(dlc.exp).tolist()[0] == x[0]
    assert np.array_equal(v.at[1:].get().numpy(), x[1:])
    assert np.array_equal(v.numpy(), x)
    with pytest.raises(TypeError, match="it takes floats"):
        dlc.arange(3).at[0].divide(2)
    flags = dlc.asarray([True, False, False])
    again = np.array([0, 1, 1])
    assert flags.at[again].add(np.array([False, False, True])).tolist() == [True, True, False]
    assert flags.at[again].multiply(np.array([False, True, True])).tolist() == [False] * 3
    half = dlc.zeros(2, dtype=dlc.float16).at[np.zeros(5000, int)].add(1.0)
    assert half.tolist() == [5000.0, 0.0]  # added up at float32


def test_modes_for_places_out_of_bounds():
    x, places = dlc.asarray([10.0, 20.0, 30.0]), np.array([1, 5, -7])
    read = dlc.compile(lambda v, i, mode: v.at[i].get(mode=mode), static_argnames=("mode",))
    for mode, want in (
        ("clip", [20, 30, 10]), ("wrap", [20, 30, 30]), ("fill", [20, np.nan, np.nan])
    ):  # fmt: skip
        assert np.array_equal(x.at[places].get(mode=mode).numpy(), want, equal_nan=True), mode
        assert np.array_equal(read(x, places, mode=mode).numpy(), want, equal_nan=True), mode
    fills = {dlc.int8: -128, dlc.uint8: 255, dlc.bool: True}
    for dtype, want in fills.items():
        assert x.astype(dtype).at[9:].get(mode="fill").shape == (0,)
        assert x.astype(dtype).at[[9]].get(mode="fill").tolist() == [want]
    assert x.at[places].get(mode="fill", fill_value=4).tolist() == [20, 4, 4]
    for mode, want in (("drop", [10, 1, 30]), ("clip", [3, 1, 2]), ("wrap", [10, 1, 3])):
        update = np.array([1.0, 2.0, 3.0])
        assert x.at[places].set(update, mode=mode).tolist() == want, mode
    assert dlc.compile(lambda v, i: v.at[i].set(0.0))(x, places).tolist() == [10, 0, 30]
    grid = dlc.zeros((2, 2)).at[np.array([0, 0, 9]), np.array([0, 9, 0])].set(1.0, mode="drop")
    assert grid.tolist() == [[1, 0], [0, 0]]
    with pytest.raises(IndexError, match=r"index -7 is out of range for axis 0 of f32\[3\]"):
        x.at[places].set(0.0)
    with pytest.raises(ValueError, match="no mode 'bounce'"):
        x.at[places].get(mode="bounce")


@pytest.mark.parametrize("item", [7, -9, (1, 9), (slice(None), -5), (7, [0, 1]), (None, 3, ...)])
@pytest.mark.parametrize("mode", ["fill", "clip", "wrap"])
def test_a_mode_says_what_known_integers_out_of_bounds_are(item, mode):
    """They are places like those of arrays; without a mode they are errors."""
    x = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    items = item if isinstance(item, tuple) else (item,)
    arrays = tuple(np.asarray(k) if isinstance(k, int) else k for k in items)
    traced = dlc.compile(lambda v, *places: v.at[_put(arrays, places)].get(mode=mode))
    places = [k for k in arrays if isinstance(k, np.ndarray)]
    for method, args in (("get", ()), ("set", (1.0,)), ("add", (2.0,))):
        got = getattr(dlc.asarray(x).at[item], method)(*args, mode=mode)
        known = dlc.compile(lambda v, m=method, a=args: getattr(v.at[item], m)(*a, mode=mode))(x)
        assert np.array_equal(got.numpy(), known.numpy(), equal_nan=True)
        if method == "get":
            assert np.array_equal(got.numpy(), traced(x, *places).numpy(), equal_nan=True)
    with pytest.raises(IndexError, match="out of range"):
        dlc.asarray(x).at[item].set(1.0)
    dropped = dlc.asarray(x).at[item].set(1.0, mode="drop")
    assert np.array_equal(dropped.numpy(), x)


def _put(arrays, places):
    """The items with those that are arrays replaced, in order."""
    left = list(places)
    return tuple(left.pop(0) if isinstance(k, np.ndarray) else k for k in arrays)


def test_places_beyond_int64_are_not_negative():
    x = np.array([1.0, 2.0, 3.0])
    for place in (2**63, 2**64 - 2):
        i = np.array([place], np.uint64)
        for read in (lambda x, i: x[i], dlc.take, lambda x, i: dlc.take_along_axis(x, i, axis=0)):
            assert dlc.compile(read)(x, i).tolist() == [3]
        for write in (
            lambda x, i: dlc.asarray(x).at[i].set(9),
            lambda x, i: dlc.put_along_axis(x, i, dlc.asarray([9.0]), axis=0),
        ):
            assert dlc.compile(write)(x, i).tolist() == [1, 2, 3]


def test_masks_in_compiled_code():
    write = dlc.compile(_written)
    for mask in (MASK, ROWS, X > 0):
        want = X.copy()
        want[mask] = 1.5
        assert np.array_equal(write(X, mask, np.float32(1.5)).numpy(), want)
        update = h.values(X[mask].shape, seed=4)
        want[mask] = update
        assert np.array_equal(write(X, mask, update).numpy(), want)
    middle = np.array([True, False, False, True])
    want = X.copy()
    want[:, middle] = 2.0
    got = dlc.compile(lambda x, m: _written(x, (slice(None), m), 2.0))(X, middle)
    assert np.array_equal(got.numpy(), want)
    summed = dlc.compile(lambda x, m: x.at[m].add(1.0))(X, MASK)
    assert np.array_equal(summed.numpy(), np.where(MASK[:, :, None], X + 1, X))
    with pytest.raises(TypeError, match=r"write dlc.where\(mask, x, other\)"):
        dlc.compile(lambda x, m: x[m])(X, MASK)
    with pytest.raises(TypeError, match="two traced masks"):
        dlc.compile(lambda x, m, n: _written(x, (m, n), 0.0))(X, ROWS, middle)
    fixed = dlc.compile(lambda x: x[MASK])(X)  # of an array: its values are known
    assert np.array_equal(fixed.numpy(), X[MASK])


def _written(x, index, value):
    x[index] = value
    return x


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ((WIDE, PAIR, ONE, ONE), IndexError, "4 indices for 3 axes"),
        ((np.array([3]),), IndexError, "index 3 is out of range for axis 0"),
        ((0, np.array([0, -5])), IndexError, "index -5 is out of range for axis 1"),
        ((np.array([0, 1]), np.array([0, 1, 2])), ValueError, "do not broadcast"),
        ((np.array([True, False]),), ValueError, r"by a mask bool\[2\]"),
        ((np.array([0.5]),), TypeError, "indices must be integers"),
        (("a",), TypeError, "index of"),
        ((..., 0, ...), ValueError, "only once"),
    ],
)
def test_mistakes(index, error, message):
    for attempt in (lambda x: x[index], lambda x: _written(x, index, 0.0)):
        with pytest.raises(error, match=message):
            attempt(dlc.asarray(X))
    with pytest.raises(ValueError, match=r"assignment of f32\[7\] to a part"):
        dlc.asarray(X)[WIDE] = np.ones(7, np.float32)


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_gathered_rows_of_what_is_padded(value):
    """The place read differs from lane to lane by the index too, not by the column alone."""
    rng = np.random.default_rng(0)
    a, places = rng.standard_normal(118).astype("f4"), rng.integers(0, 8, (30, 16))

    def f(m, a, places):
        rows = m.pad(a, ((6, 4),), constant_values=value).reshape(8, 16)
        return m.take_along_axis(rows, places, axis=0) * 2

    got = dlc.compile(lambda a, places: f(dlc, a, places))(a, places)
    np.testing.assert_array_equal(got.numpy(), f(np, a, places))
