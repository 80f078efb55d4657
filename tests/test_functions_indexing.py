"""Reading at places given by integer tensors, against NumPy, exactly."""

import functions_harness as h
import numpy as np
import pytest

import dlc


def test_take():
    x = h.values((4, 5, 3))
    places = np.array([[3, 0], [-1, -4]])
    for axis in (0, 1, -1, None):
        held = places % 3
        h.check(
            lambda v, i, a=axis: dlc.take(v, i, axis=a),
            lambda v, i, a=axis: np.take(v, i, axis=a),
            [x, held],
            ulps=0,
        )
    for dtype in ("int8", "int64", "uint16"):
        i = np.array([1, 3], dtype)
        h.check(
            lambda v, i: dlc.take(v, i, axis=0), lambda v, i: np.take(v, i, axis=0), [x, i], ulps=0
        )
    h.check(
        lambda v, i: dlc.take(v, i, axis=0), lambda v, i: np.take(v, i, axis=0), [x, places], ulps=0
    )
    assert dlc.take(x, [], axis=0).shape == (0, 5, 3)
    order = np.argsort(x, axis=1)
    h.check(
        lambda v, i: dlc.take_along_axis(v, i, axis=1),
        lambda v, i: np.take_along_axis(v, i, axis=1),
        [x, order],
        ulps=0,
    )
    last = np.array([[[-1]]])
    h.check(
        dlc.take_along_axis,
        lambda v, i: np.take_along_axis(v, np.broadcast_to(i, (4, 5, 1)), -1),
        [x, last],
        ulps=0,
        ways=("interpreted", "native", "traced"),
    )
    labels = np.array([[0, 2], [3, 1]])
    for axis, want in ((-1, np.eye(4)[labels]), (0, np.moveaxis(np.eye(4)[labels], -1, 0))):
        h.check(
            lambda i, a=axis: dlc.one_hot(i, 4, axis=a),
            lambda i, w=want: w,
            [labels],
            dtype="float32",
        )
    assert dlc.one_hot(labels, 4, dtype=bool).dtype == bool


def test_indices_out_of_range():
    x = h.values((4, 5))
    with pytest.raises(
        IndexError, match=r"take: the index 4 at \(1,\) is out of range for 4 elements"
    ):
        dlc.take(x, [0, 4], axis=0)
    with pytest.raises(IndexError, match="the index -6 at"):
        dlc.take_along_axis(x, np.full((4, 1), -6), axis=1)
    with pytest.raises(IndexError, match="the label 3 is none of 3 classes"):
        dlc.one_hot(3, 3)
    with pytest.raises(IndexError, match=r"cross_entropy: the label -1 at \(0,\)"):
        dlc.cross_entropy(x, np.array([-1, 0, 0, 0]))
    with pytest.raises(TypeError, match="indices are integers"):
        dlc.take(x, np.array([True, False]))
    nearest = h.run_traced(lambda v, i: dlc.take(v, i, axis=0), [x, np.array([9, -9])])[0]
    assert np.array_equal(nearest, x[[3, 0]])
    with pytest.raises(ValueError, match="the indices need 2 axes"):
        dlc.take_along_axis(x, np.array([0]))


@pytest.mark.parametrize("shape", [(3, 7), (1, 1), (5,), (40,)])
def test_sums_of_short_rows_that_are_taken(shape):
    # Several rows make one vector, each lane with a row of its own.
    table, places = h.values((13, 12)), np.random.default_rng(1).integers(0, 13, shape)

    def total(i):
        return dlc.nn.functional.embedding(i, table).sum(axis=-1)

    got = dlc.compile(total)(places)
    np.testing.assert_allclose(got.numpy(), table[places].sum(-1), rtol=1e-5, atol=1e-5)


def beginning(x, starts, sizes):
    """The part of x that JAX's functions mean."""
    held = [s + n if s < 0 else s for s, n in zip(starts, x.shape, strict=True)]
    held = [min(max(s, 0), n - k) for s, n, k in zip(held, x.shape, sizes, strict=True)]
    return tuple(slice(s, s + k) for s, k in zip(held, sizes, strict=True))


@pytest.mark.parametrize(
    ("sizes", "starts"),
    [
        ((2, 3, 1), (1, 0, 2)),
        ((2, 5, 3), (1, 4, 9)),
        ((4, 2, 3), (-9, -1, 0)),
        ((1, 5, 2), (-1, 0, 1)),
        ((4, 5, 3), (2, 2, 2)),
        ((0, 1, 3), (9, -3, 0)),
    ],
)
def test_parts_that_begin_where_values_say(sizes, starts):
    x, update = h.values((4, 5, 3)), h.values(sizes, seed=1)
    whole = np.asarray(starts, np.int32)
    place = beginning(x, starts, sizes)
    replaced = x.copy()
    replaced[place] = update
    read = dlc.compile(lambda v, s: dlc.dynamic_slice(v, s, sizes))
    write = dlc.compile(lambda v, u, *s: dlc.dynamic_update_slice(v, u, list(s)))
    for got in (dlc.dynamic_slice(x, list(starts), sizes), read(x, whole)):
        assert np.array_equal(got.numpy(), x[place])
    for got in (dlc.dynamic_update_slice(x, update, whole), write(x, update, *starts)):
        assert np.array_equal(got.numpy(), replaced)


def test_such_parts_in_loops_gradients_and_batches():
    x = h.values((6, 2))
    rows = dlc.scan(lambda c, i: (c, dlc.dynamic_slice(x, [i, 0], (2, 2)).sum()), 0, np.arange(5))[
        1
    ]
    np.testing.assert_allclose(rows.numpy(), (x[1:] + x[:-1]).sum(1), rtol=1e-5)
    g = dlc.grad(lambda v: (dlc.dynamic_slice(v, [9, 0], [2, 1]) ** 2).sum())(x)
    wanted = np.zeros_like(x)
    wanted[4:, :1] = 2 * x[4:, :1]
    np.testing.assert_allclose(g.numpy(), wanted)
    many = dlc.vmap(lambda i: dlc.dynamic_update_slice(x, [[7.0, 8.0]], [i, 0]))(np.arange(3))
    assert many.numpy()[1, 1].tolist() == [7, 8]
    assert many.numpy()[2, 1].tolist() == x[1].tolist()
    run = dlc.compile(lambda v, i: dlc.dynamic_update_slice(v, v[:1] * 0, [i, 0]))
    for rows in (3, 4, 5, 6):  # of any extent
        assert run(x[:rows], rows).numpy()[rows - 1].tolist() == [0, 0]
    assert dlc.dynamic_update_slice(np.arange(3), [1.7], [0]).tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: dlc.dynamic_slice(x, [0], [1, 1]), ValueError, "1 starts and 2 extents"),
        (lambda x: dlc.dynamic_slice(x, [0, 0.5], [1, 1]), TypeError, "axis 1 is f32"),
        (lambda x: dlc.dynamic_slice(x, [0, 0], [1, 4]), ValueError, "extent of 4 for axis 1"),
        (lambda x: dlc.dynamic_slice(x, [0, 0], [1, -1]), ValueError, "extent of -1"),
        (lambda x: dlc.dynamic_slice(x, 0, [1, 1]), ValueError, "a vector of one for each"),
        (lambda x: dlc.dynamic_update_slice(x, x[0], [0, 0]), ValueError, "as many axes"),
        (lambda x: dlc.dynamic_update_slice(x, dlc.ones((9, 1)), [0, 0]), ValueError, "of 9"),
    ],
)
def test_parts_that_there_are_not(call, error, message):
    with pytest.raises(error, match=message):
        call(h.values((2, 3)))


def test_take_reads_out_of_bounds_as_a_mode_says():
    """Values from `jax.numpy`; NumPy's clip and wrap are the same."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    places = np.array([[1, 7], [-2, -9]])
    for mode in ("clip", "wrap"):
        want = np.take(x, places, axis=1, mode=mode)
        got = dlc.compile(lambda v, i, m=mode: dlc.take(v, i, axis=1, mode=m))(x, places)
        assert np.array_equal(got.numpy(), want)
        assert np.array_equal(dlc.asarray(x).take(places, axis=1, mode=mode).numpy(), want)
    nan = np.nan
    filled = dlc.take(x, places, axis=0, mode="fill")
    assert np.array_equal(filled[0].numpy(), [x[1], [nan] * 4], equal_nan=True)
    assert np.array_equal(filled[1].numpy(), [x[1], [nan] * 4], equal_nan=True)
    assert dlc.take(x, places, mode="fill", fill_value=-3).tolist() == [[1, 7], [10, 3]]
    along = np.array([[1, 5], [-1, -7], [0, 3]])
    for mode, want in (
        ("clip", [[1, 3], [7, 4], [8, 11]]), ("wrap", [[1, 1], [7, 5], [8, 11]]),
        ("fill", [[1, -1], [7, -1], [8, 11]]),
    ):  # fmt: skip
        got = dlc.take_along_axis(x, along, axis=1, mode=mode, fill_value=-1)
        assert got.tolist() == want, mode
    read = dlc.grad(lambda v: dlc.take(v, places, axis=1, mode="fill", fill_value=0).sum())
    assert read(x).sum(axis=0).tolist() == [0, 3, 3, 0]
    with pytest.raises(ValueError, match="modes are clip, fill, wrap"):
        dlc.take(x, places, axis=0, mode="raise")
    with pytest.raises(IndexError, match='mode="clip"'):
        dlc.take(x, places, axis=0)
