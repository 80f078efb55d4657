"""Running sums and products, and differences, against NumPy at float64."""

import functions_harness as h
import numpy as np
import pytest

import dlc
from dlc.passes.fuse import SPLIT_SIZE

RUNNING = {"cumulative_sum": np.cumsum, "cumulative_prod": np.cumprod}


def with_first(reference, first):
    def padded(x, axis):
        edge = np.full_like(np.take(x, [0], axis), first)
        return np.concatenate([edge, reference(x, axis=axis)], axis)

    return padded


@pytest.mark.parametrize("name", RUNNING)
def test_axes(name):
    x = np.abs(h.values((3, 4, 5))) / 2 + 0.5
    for axis in (0, 1, -1):
        h.check(
            lambda v, a=axis: getattr(dlc, name)(v, axis=a),
            lambda v, a=axis: RUNNING[name](v, axis=a),
            [x],
            ulps=8,
        )
        first = with_first(RUNNING[name], float(name.endswith("prod")))
        h.check(
            lambda v, a=axis: getattr(dlc, name)(v, axis=a, include_initial=True),
            lambda v, a=axis, f=first: f(v, a),
            [x],
            ulps=8,
        )


@pytest.mark.parametrize("name", RUNNING)
@pytest.mark.parametrize("dtype", h.ALL)
def test_dtypes(name, dtype):
    x = h.values((7, 9), dtype)
    got = getattr(dlc, name)(x, axis=1)
    held = dlc.asarray(x).dtype
    wide = {"u": dlc.uint64}.get(held.kind, dlc.int64)
    assert got.dtype == (held if held.is_float else wide)
    if held.is_float:
        exact = RUNNING[name](x.astype(np.float64), axis=1)
        scale = RUNNING[name](np.abs(x.astype(np.float64)), axis=1)
        assert (np.abs(got.numpy().astype(np.float64) - exact) <= 9 * h.EPS[dtype] * scale).all()
    else:
        assert (got.numpy() == RUNNING[name](x, axis=1, dtype=got.dtype.numpy)).all()
    if held.kind != "b":
        assert getattr(dlc, name)(x, axis=0, dtype=dlc.float64).dtype == dlc.float64


def test_half_types_add_at_float32():
    x = np.full(4096, 1.0, np.float16)
    assert dlc.cumulative_sum(x).numpy()[-1] == 4096  # at float16 it would stay at 2048


def test_special_values_go_on():
    x = np.array([1.0, -0.0, np.inf, 2.0, -np.inf, 1.0, np.nan], np.float32)
    for name, reference in RUNNING.items():
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(getattr(dlc, name)(x).numpy(), reference(x))


@pytest.mark.parametrize("shape", [(0,), (1,), (2, 0), (0, 3), (1, 1, 70)], ids=str)
def test_empty_and_long(shape):
    x = h.values(shape)
    for name, reference in RUNNING.items():
        np.testing.assert_allclose(
            getattr(dlc, name)(x, axis=-1).numpy(), reference(x, axis=-1), rtol=1e-5, atol=1e-5
        )


def test_gradients_with_zeros():
    x = np.array([[2.0, 0.0, 3.0, -1.5], [0.0, 0.5, 0.0, 1.0]])
    weight = np.arange(8.0).reshape(2, 4) - 2.5

    def loss(v):
        return dlc.sum(dlc.cumulative_prod(v, axis=1) * weight)

    found = dlc.grad(loss)(x).numpy()
    step = 1e-6
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        slope = (np.cumprod(up, 1) - np.cumprod(down, 1)) * weight
        assert abs(found[i] - slope.sum() / (2 * step)) < 1e-6
    sums = dlc.grad(lambda v: dlc.sum(dlc.cumulative_sum(v, axis=0) * weight))(x).numpy()
    np.testing.assert_allclose(sums, np.cumsum(weight[::-1], 0)[::-1])


def test_numpy_names_flatten():
    x = h.values((3, 4))
    np.testing.assert_allclose(dlc.cumsum(x).numpy(), np.cumsum(x), rtol=1e-5)
    np.testing.assert_allclose(dlc.cumprod(x, axis=1).numpy(), np.cumprod(x, axis=1), rtol=1e-5)
    np.testing.assert_allclose(dlc.cumprod(x).numpy(), np.cumprod(x), rtol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2, 6])
def test_differences(n):
    x = h.values((4, 5))
    # Whether a symbolic extent is longer than several steps is not known.
    ways = tuple(h.WAYS) if n < 2 else ("interpreted", "native", "traced")
    for axis in (0, -1):
        h.check(
            lambda v, a=axis: dlc.diff(v, axis=a, n=n),
            lambda v, a=axis: np.diff(v, axis=a, n=n),
            [np.round(x * 8) / 8],  # exact
            ways=ways,
        )


def test_differences_of_bools_and_with_edges():
    x = np.array([True, True, False, True])
    assert dlc.diff(x).numpy().tolist() == np.diff(x).tolist()
    v = np.array([1, 4, 9])
    for wide in (np.arange(6.0).reshape(2, 3) ** 2, np.array([3.0, 1.0])):
        for axis in range(wide.ndim):
            given = {"axis": axis, "prepend": 0, "append": np.float64(9)}
            for diff in (dlc.diff, dlc.compile(lambda x, given=given: dlc.diff(x, **given))):
                got = diff(wide, **given) if diff is dlc.diff else diff(wide)
                np.testing.assert_array_equal(got.numpy(), np.diff(wide, **given))
    got = dlc.diff(v, prepend=np.array([0]), append=np.array([10, 12]))
    assert got.numpy().tolist() == [1, 3, 5, 1, 2]


def test_thread_counts_give_the_same_bits():
    x = h.values((70, 300))
    bits = set()
    for threads in (1, 2, 3, 7):
        f = dlc.compile(
            lambda v: (dlc.cumulative_sum(v, axis=0), dlc.cumulative_prod(v, axis=1)),
            num_threads=threads,
        )
        bits.add(b"".join(t.numpy().tobytes() for t in f(x)))
    assert len(bits) == 1


def long_row(dtype, rows=(), extra=70):
    """More than one thread walks through: with a last block that is short."""
    return h.values((*rows, SPLIT_SIZE + extra), dtype)


@pytest.mark.parametrize("rows", [(), (3,), (1, 2)], ids=str)
def test_long_rows(rows):
    """By blocks, nearer to the exact sums than one addition after the other."""
    x = np.abs(long_row("float32", rows))
    exact = np.cumsum(x.astype(np.float64), axis=-1)
    got = dlc.cumulative_sum(x, axis=-1).numpy()
    results = [
        dlc.compile(lambda v: dlc.cumulative_sum(v, axis=-1), num_threads=k)(x).numpy()
        for k in (1, 2, 3)
    ]
    assert len({r.tobytes() for r in results}) == 1
    in_order = np.cumsum(x, axis=-1)
    assert np.std(results[0] - exact) < np.std(in_order - exact) / 4
    assert np.std(got - exact) <= np.std(in_order - exact)
    first = dlc.cumulative_sum(x, axis=-1, include_initial=True).numpy()
    assert (first[..., 0] == 0).all()
    assert (first[..., 1:] == got).all()


def test_a_row_of_any_length_is_in_blocks():
    f = dlc.compile(lambda v: dlc.cumulative_sum(v, axis=-1))
    for extra in (0, 1, -SPLIT_SIZE + 5, 4096):
        x = np.abs(long_row("float32", (1,), extra))
        exact = np.cumsum(x.astype(np.float64), axis=-1)
        np.testing.assert_allclose(f(x).numpy(), exact, rtol=2e-6)


def test_long_rows_without_rounding():
    """Integers, which wrap, and extremes have the values that they have in order."""
    for dtype in ("int64", "int8", "uint16"):
        x = long_row(dtype, (2,))
        for name, reference in RUNNING.items():
            got = getattr(dlc, name)(x, axis=1, dtype=dtype).numpy()
            assert (got == reference(x, axis=1, dtype=x.dtype)).all()
    x = long_row("float32", (2,))
    x[1, 60000], x[0, 100], x[1, 5] = np.nan, -0.0, np.inf
    for function, reference in ((dlc.cummax, np.maximum), (dlc.cummin, np.minimum)):
        values, places = function(x, 1)
        np.testing.assert_array_equal(values.numpy(), reference.accumulate(x, axis=1))
        np.testing.assert_array_equal(np.take_along_axis(x, places.numpy(), 1), values.numpy())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_long_rows_of_other_floats(dtype):
    x = np.abs(long_row(dtype)) / 64
    exact = np.cumsum(x.astype(np.float64))
    got = dlc.cumulative_sum(x).numpy().astype(np.float64)
    assert (np.abs(got - exact) <= (1e-5 + h.EPS[dtype]) * exact).all()


def test_special_values_go_on_through_blocks():
    x = long_row("float32")
    x[[5000, 20000, 40000]] = np.inf, -np.inf, 1.0
    with np.errstate(invalid="ignore"):
        wanted = np.cumsum(x.astype(np.float64))
    got = dlc.cumulative_sum(x).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-2)
    x[:] = 0.0
    x[3], x[9000:9100] = np.inf, 2.0
    with np.errstate(invalid="ignore"):
        wanted = np.cumprod(x)
    np.testing.assert_array_equal(dlc.cumulative_prod(x).numpy(), wanted)


def test_products_of_long_rows_are_in_order():
    """No block of them has a product of its own, which might overflow."""
    x = np.ones(SPLIT_SIZE, np.float32)
    x[0], x[50000:50200] = 0.0, 1e30
    assert (dlc.cumulative_prod(x).numpy() == 0).all()


def test_long_rows_from_the_end():
    x, weight = long_row("float64"), long_row("float64", extra=70)[::-1].copy()
    got = dlc.grad(lambda v: dlc.sum(dlc.cumulative_sum(v) * weight))(x).numpy()
    np.testing.assert_allclose(got, np.cumsum(weight[::-1])[::-1], rtol=1e-10, atol=1e-9)


def test_errors():
    x = np.ones((2, 3))
    with pytest.raises(dlc.ArgumentError, match="needs an axis"):
        dlc.cumulative_sum(x)
    with pytest.raises(dlc.IndexRangeError, match="axis 2 is out of range"):
        dlc.cumulative_prod(x, axis=2)
    with pytest.raises(dlc.IndexRangeError, match="out of range"):
        dlc.cumulative_sum(1.0, axis=0)
    with pytest.raises(dlc.DTypeError, match="bool"):
        dlc.cumulative_sum(x, axis=0, dtype=dlc.bool_)
    with pytest.raises(dlc.ValueRangeError, match="n=-1"):
        dlc.diff(x, n=-1)
    with pytest.raises(dlc.ShapeError, match="no axis"):
        dlc.diff(1.0)
