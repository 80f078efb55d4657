"""Products and einsum against NumPy at float64."""

import functions_harness as h
import numpy as np
import pytest

import dlc

SLOW = ("interpreted", "traced")
SIZE = 40.0  # of the sums of products below, for errors where terms cancel

MATMULS = [
    ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (6, 3, 4)),
    ((6, 2, 3), (5, 1, 3, 4)),
    ((1, 2, 3), (5, 3, 4)), ((7, 5, 2, 3), (5, 3, 4)), ((5, 2, 3), (7, 5, 3, 4)), ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)), ((1, 1, 2, 3), (3, 1)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((1, 1), (1, 1)),
    ((7, 1, 2, 3), (1, 5, 3, 4)), ((4, 0, 2, 3), (3, 2)), ((2, 1, 1, 3), (2, 6, 3, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_matmul(left, right):
    x, y = h.values(left), h.values(right, seed=1)
    h.check(dlc.matmul, np.matmul, [x, y], ulps=2, floor=SIZE)
    h.check(lambda a, b: a @ b, np.matmul, [x, y], ulps=2, floor=SIZE, ways=("interpreted",))


@pytest.mark.parametrize("dtype", h.ALL)
def test_dtypes_of_products(dtype):
    x, y = h.values((3, 4), dtype), h.values((4, 5), dtype, seed=1)
    wide = np.float64 if dtype in h.FLOATS else x.dtype
    options = {"ulps": 2, "floor": SIZE, "dtype": dtype, "ways": SLOW}
    for function, reference in (
        (dlc.matmul, np.matmul),
        (lambda a, b: dlc.einsum("ij,jk->ki", a, b), lambda a, b: np.matmul(a, b).T),
        (lambda a, b: dlc.tensordot(a, b, axes=1), np.matmul),
        (lambda a, b: dlc.vecdot(a, dlc.matrix_transpose(b)[:3]), None),
    ):
        if reference is None:
            want = (x.astype(wide) * y.T[:3].astype(wide)).sum(-1, dtype=wide)
            got = h.run_eager(function, [x, y], interpreted=True)[0]
            h.assert_close(got, want.astype(bool) if dtype == "bool" else want, 2, floor=SIZE)
        else:
            h.check(function, reference, [x, y], **options)
    assert dlc.matmul(x, y.astype(np.float64)).dtype == dlc.float64


def test_other_products():
    x, y = h.values((2, 3, 4)), h.values((4, 3, 5), seed=1)
    h.check(
        lambda a, b: dlc.tensordot(a, b, axes=((1, -1), (1, 0))),
        lambda a, b: np.tensordot(a, b, axes=((1, -1), (1, 0))),
        [x, y],
        ulps=2,
        floor=SIZE,
    )
    h.check(
        lambda a, b: dlc.tensordot(a, b, axes=0), lambda a, b: np.tensordot(a, b, axes=0), [x, y]
    )
    h.check(dlc.dot, np.dot, [x, h.values((5, 4, 2), seed=2)], ulps=2, floor=SIZE)
    h.check(dlc.dot, np.dot, [x, np.array(np.float32(2))])
    h.check(dlc.inner, np.inner, [x, h.values((5, 4), seed=2)], ulps=2, floor=SIZE)
    h.check(dlc.outer, np.outer, [x, y], ways=SLOW)
    h.check(
        lambda a, b: dlc.vecdot(a, b, axis=0),
        lambda a, b: (a * b).sum(0),
        [h.values((4, 3)), h.values((4, 3), seed=1)],
        ulps=2,
        floor=SIZE,
    )


EINSUMS = [
    ("ij,jk", [(2, 3), (3, 4)]), ("ij,jk->ki", [(2, 3), (3, 4)]), ("ij->", [(2, 3)]),
    ("ii", [(3, 3)]), ("ii->i", [(3, 3)]), ("iij->ji", [(3, 3, 2)]), ("iii->i", [(3, 3, 3)]),
    ("ba", [(2, 3)]), ("...ij,...jk->...ik", [(5, 1, 2, 3), (4, 3, 2)]), ("i...", [(2, 3, 4)]),
    ("i...->...", [(2, 3, 4)]), ("...ii->...i", [(2, 3, 3)]), ("bij,bij->b", [(4, 2, 3)] * 2),
    ("i,j,k", [(2,), (3,), (4,)]), ("ij,kj,kl->il", [(2, 3), (5, 3), (5, 6)]),
    (",ij", [(), (2, 3)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]), ("ij,ij->ij", [(2, 3), (1, 3)]),
    ("ij,kj->ik", [(2, 3), (1, 1)]), ("i j , j k -> i k", [(2, 3), (3, 4)]),
    ("ijk,k->", [(2, 3, 4), (4,)]),
    ("...,...", [(2, 3), (3,)]), ("ij,i->j", [(0, 3), (0,)]),
    ("abc,cd,de,ea->b", [(2, 3, 4), (4, 5), (5, 6), (6, 2)]),
    ("ij->j", [(1, 3)]), ("ijkk,kl->lij", [(2, 3, 4, 4), (4, 2)]),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS)
def test_einsum(subscripts, shapes):
    arrays = [h.values(s, seed=k) for k, s in enumerate(shapes)]
    h.check(
        lambda *xs: dlc.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
        arrays,
        ulps=4,
        floor=SIZE * 3 ** len(shapes),
    )
    ints = [h.values(s, "int32", seed=k) for k, s in enumerate(shapes)]
    h.check(
        lambda *xs: dlc.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
        ints,
        dtype="int32",
        ways=("interpreted",),
    )


@pytest.mark.parametrize(
    ("subscripts", "count", "column", "text"),
    [
        ("ij,jk->iq", 2, 9, "no operand has 'q'"),
        ("ij.k", 1, 3, "an ellipsis has three dots"),
        ("ij,jk->ii", 2, 9, "the output has 'i' twice"),
        ("i-j", 1, 2, "'-' stands alone"),
        ("i>j", 1, 2, "'>' stands alone"),
        ("i1,j", 2, 2, "'1' is no letter"),
        ("ij->j,i", 1, 6, "einsum has one output"),
        ("i...j...", 1, 6, "one ellipsis"),
        ("...i->i", 1, 8, "missing from the output"),
        ("ij->i->j", 1, 6, "'-' stands alone"),
    ],
)
def test_einsum_points_at_the_place(subscripts, count, column, text):
    with pytest.raises(ValueError, match=text) as caught:
        dlc.einsum(subscripts, *[h.values((2, 2, 2))] * count)
    assert caught.value.column == column
    assert caught.value.quoted == subscripts


def test_errors_of_products():
    x, y = h.values((2, 3)), h.values((4, 5))
    for function in (dlc.matmul, dlc.dot, lambda a, b: dlc.tensordot(a, b, axes=1)):
        with pytest.raises(
            ValueError, match=r"of f32\[2,3\] and f32\[4,5\]: axis 1 of the first has 3"
        ):
            function(x, y)
    with pytest.raises(ValueError, match="scalars have no rows"):
        dlc.matmul(x, 2.0)
    with pytest.raises(
        ValueError, match=r"matmul of f32\[2,3,4\] and f32\[5,4,3\]: axis -1 has 2 and 5|axis"
    ):
        dlc.matmul(h.values((2, 3, 4)), h.values((5, 4, 3)))
    with pytest.raises(ValueError, match=r"'j' stands for 3 and for 4 elements"):
        dlc.einsum("ij,jk", x, y)
    with pytest.raises(ValueError, match="'ijk' describes 3 axes and the operand is f32\\[2,3\\]"):
        dlc.einsum("ijk", x)
    with pytest.raises(ValueError, match="2 operands are described and 1 given"):
        dlc.einsum("ij,jk", x)
    with pytest.raises(TypeError, match="einsum takes subscripts first"):
        dlc.einsum(x, "ij")
    with pytest.raises(TypeError, match="tensordot over axes"):
        dlc.tensordot(x, y, axes=1.5)
