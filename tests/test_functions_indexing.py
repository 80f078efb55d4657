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
