"""Functions that rearrange elements against NumPy, exactly, at every dtype."""

import functions_harness as h
import numpy as np
import pytest

import dlc
from dlc.ir.types import dtype_of

CASES = {
    "reshape": lambda xp, x: xp.reshape(x, (4, -1)),
    "reshape to one axis": lambda xp, x: xp.reshape(x, -1),
    "reshape to the same": lambda xp, x: xp.reshape(x, (2, 3, 4)),
    "flatten": lambda xp, x: xp.ravel(x),
    "permute_dims": lambda xp, x: xp.permute_dims(x, (2, 0, -2)),
    "transpose": lambda xp, x: xp.transpose(x),
    "matrix_transpose": lambda xp, x: xp.matrix_transpose(x),
    "swapaxes": lambda xp, x: xp.swapaxes(x, 0, -1),
    "moveaxis": lambda xp, x: xp.moveaxis(x, 0, -1),
    "moveaxis of several": lambda xp, x: xp.moveaxis(x, (2, 0), (0, 1)),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x[:, :1], (5, 2, 3, 4)),
    "expand_dims": lambda xp, x: xp.expand_dims(x, (0, -1)),
    "squeeze": lambda xp, x: xp.squeeze(xp.expand_dims(x, (0, 2))),
    "squeeze an axis": lambda xp, x: xp.squeeze(xp.expand_dims(x, (0, 2)), axis=-3),
    "concat": lambda xp, x: xp.concat([x, x[:, :2], x], axis=1),
    "concat of all": lambda xp, x: xp.concat([x, x[0]], axis=None),
    "stack": lambda xp, x: xp.stack([x, x], axis=-1),
    "split": lambda xp, x: xp.split(x, 2, axis=2),
    "split at places": lambda xp, x: xp.split(x, [1, 1, -1, 9], axis=2),
    "unstack": lambda xp, x: xp.unstack(x, axis=1),
    "flip": lambda xp, x: xp.flip(x),
    "flip an axis": lambda xp, x: xp.flip(x, axis=(0, -1)),
    "roll": lambda xp, x: xp.roll(x, 5),
    "roll axes": lambda xp, x: xp.roll(x, (1, -2), axis=(0, 2)),
    "pad": lambda xp, x: xp.pad(x, ((1, 0), (0, 2), (3, 1)), constant_values=1),
    "pad evenly": lambda xp, x: xp.pad(x, 2),
    "repeat": lambda xp, x: xp.repeat(x, 3),
    "repeat an axis": lambda xp, x: xp.repeat(x, 2, axis=1),
    "repeat by counts": lambda xp, x: xp.repeat(x, np.array([2, 0, 1]), axis=1),
    "repeat by a list": lambda xp, x: xp.repeat(x, [3], axis=-1),
    "tile": lambda xp, x: xp.tile(x, (2, 1, 3, 2)),
    "tile once": lambda xp, x: xp.tile(x, 2),
    "tril": lambda xp, x: xp.tril(x, k=1),
    "triu": lambda xp, x: xp.triu(x, k=-1),
    "diagonal": lambda xp, x: xp.diagonal(x),
    "diagonal of others": lambda xp, x: xp.diagonal(x, offset=-1, axis1=2, axis2=1),
    "diagonal outside": lambda xp, x: xp.diagonal(x, offset=9),
    "trace": lambda xp, x: xp.trace(x, offset=1, axis1=1, axis2=2),
    **{
        f"pad {mode}": lambda xp, x, mode=mode: xp.pad(x, ((5, 3), (0, 0), (9, 2)), mode=mode)
        for mode in ("edge", "reflect", "symmetric", "wrap")
    },
    "pad maximum": lambda xp, x: xp.pad(x, ((2, 1), (0, 0), (0, 3)), mode="maximum"),
    "pad minimum of a few": lambda xp, x: xp.pad(x, 2, mode="minimum", stat_length=2),
}
# They name extents, or look whether one is 1.
INTEGER_EXTENTS = {
    "unstack", "split", "split at places", "reshape", "reshape to the same", "roll",
    "broadcast_to", "squeeze", "concat", "repeat by counts", "pad minimum of a few",
}  # fmt: skip


def exactly(got, want):
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        assert g.dtype == w.dtype
        assert np.array_equal(g, w)


@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name):
    case = CASES[name]
    for dtype in h.ALL:
        x = h.values((2, 3, 4), dtype)
        want = h.leaves(case(np, x))
        if name == "trace" and dtype == "bfloat16":
            want = h.leaves(np.trace(x.astype(np.float32), 1, 1, 2).astype(x.dtype))
        ways = h.WAYS if dtype == "float32" else ("interpreted", "traced")
        for way in ways:
            if way == "symbolic" and name not in INTEGER_EXTENTS:
                exactly(h.run_traced(lambda v: case(dlc, v), [x], symbolic=True), want)
            elif way != "symbolic":
                exactly(h.WAYS[way](lambda v: case(dlc, v), [x]), want)


@pytest.mark.parametrize(
    "name", ["flatten", "transpose", "flip", "roll", "concat", "stack", "tile", "tril"]
)
def test_empty_and_single(name):
    for shape in ((0, 3, 4), (1, 1, 1), (2, 0, 1)):
        x = h.values(shape)
        exactly(h.run_eager(lambda v: CASES[name](dlc, v), [x], True), [CASES[name](np, x)])


def test_several_at_once():
    x, y = h.values((3, 1)), h.values((4,), "int16")
    exactly([t.numpy() for t in dlc.broadcast_arrays(x, y)], np.broadcast_arrays(x, y))
    assert dlc.broadcast_shapes((3, 1), 4, (1,)) == (3, 4)
    assert dlc.concat([np.int8([1]), np.float32([2])]).dtype == dlc.float32
    assert dlc.stack([1, 2.5]).numpy().tolist() == [1, 2.5]
    pads = dlc.pad(h.values((3,), "int8"), 1, constant_values=-1)
    assert pads.numpy()[[0, -1]].tolist() == [-1, -1]


def test_results_are_other_handles():
    x = dlc.asarray(h.values((2, 3)))
    before = x.numpy().copy()
    for function in (
        dlc.positive, dlc.flatten, dlc.squeeze, dlc.transpose, dlc.round,
        lambda v: dlc.reshape(v, (2, 3)), lambda v: dlc.permute_dims(v, (0, 1)),
        lambda v: dlc.broadcast_to(v, (2, 3)), lambda v: dlc.astype(v, "f32"),
        lambda v: dlc.roll(v, 0), lambda v: dlc.meshgrid(v[0])[0],
        lambda v: dlc.concat([v]), dlc.clip, lambda v: dlc.pad(v, 0), lambda v: v**1,
        lambda v: dlc.flip(v, ()), lambda v: dlc.tile(v, 1), lambda v: dlc.repeat(v, 1, axis=0),
        lambda v: dlc.sum(v, axis=()), lambda v: dlc.einsum("ij->ij", v),
        lambda v: dlc.full((2, 3), v), lambda v: dlc.broadcast_arrays(v, 1)[0], lambda v: v[:],
    ):  # fmt: skip
        y = function(x)
        y[...] = 7.0
        assert np.array_equal(x.numpy(), before)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda x: dlc.reshape(x, (4, 2)),
            ValueError,
            r"reshape of f32\[2,3\] to \(4, 2\): 6 elements",
        ),
        (lambda x: dlc.reshape(x, (4, -1)), ValueError, "6 elements do not divide by 4"),
        (lambda x: dlc.reshape(x, (-1, -1)), ValueError, "one extent may be -1"),
        (lambda x: dlc.reshape(x, (2.0, 3)), TypeError, "reshape: an extent must be an integer"),
        (lambda x: dlc.permute_dims(x, (0,)), ValueError, "must name every axis once"),
        (lambda x: dlc.permute_dims(x, (0, 0)), ValueError, "names one axis twice"),
        (lambda x: dlc.broadcast_to(x, (2, 4)), ValueError, "broadcast"),
        (lambda x: dlc.squeeze(x, 0), ValueError, "axis 0 has 2 elements, not 1"),
        (
            lambda x: dlc.concat([x, x[0]]),
            ValueError,
            r"concat of f32\[2,3\] and f32\[3\] along axis 0",
        ),
        (lambda x: dlc.concat([]), TypeError, "concat of an empty list"),
        (lambda x: dlc.concat(3), TypeError, "concat takes a list of tensors, got int"),
        (lambda x: dlc.stack([x, x[:1]]), ValueError, "stack of"),
        (
            lambda x: dlc.split(x, 2, axis=1),
            ValueError,
            "3 elements do not divide into 2 equal parts",
        ),
        (lambda x: dlc.split(x, 0), ValueError, "into 0 parts"),
        (lambda x: dlc.pad(x, -1), ValueError, "is negative"),
        (lambda x: dlc.pad(x, [(1, 1)] * 3), TypeError, "does not say what is added to 2 axes"),
        (lambda x: dlc.pad(x, 1, mode="mirror"), ValueError, "pad has no mode 'mirror'"),
        (lambda x: dlc.repeat(x, -1), ValueError, "repeat of"),
        (lambda x: dlc.repeat(x, [1, -2], axis=0), ValueError, "-2 times"),
        (lambda x: dlc.repeat(x, [1, 2, 3], axis=0), ValueError, "one for each place"),
        (lambda x: dlc.repeat(x, [1.5, 2.0], axis=0), TypeError, "integers"),
        (lambda x: dlc.tril(x[0]), ValueError, "at least two axes"),
        (lambda x: dlc.flip(x, 2), IndexError, r"flip of f32\[2,3\]: axis 2 is out of range"),
        (lambda x: dlc.moveaxis(x, (0, 1), 0), ValueError, "2 axes cannot move to 1 places"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call(dlc.asarray(h.values((2, 3))))


def test_creation():
    for dtype in h.ALL:
        held = dtype_of(dtype).numpy
        made = (
            dlc.zeros((2, 3), dtype=dtype),
            dlc.ones(3, dtype=dtype),
            dlc.eye(3, 4, k=1, dtype=dtype),
            dlc.full((2,), 1, dtype=dtype),
            dlc.full_like(h.values((2,), dtype), 1),
        )
        want = (np.zeros((2, 3)), np.ones(3), np.eye(3, 4, 1), np.ones(2), np.ones(2))
        exactly([t.numpy() for t in made], [w.astype(held) for w in want])
        like = h.values((2, 0), dtype)
        for function in (dlc.zeros_like, dlc.ones_like, dlc.empty_like):
            assert function(like).shape == (2, 0)
            assert function(like).dtype.name == dtype
    assert dlc.zeros(2).dtype == dlc.full((), 2.5).dtype == dlc.float32
    assert dlc.full((), 2).dtype == dlc.int64
    assert dlc.full((), True).dtype == bool
    with pytest.raises(ValueError, match="zeros: the shape .* has the negative extent -1"):
        dlc.zeros((2, -1))
    with pytest.raises(RuntimeError, match="there is no device 'cuda:7'"):
        dlc.zeros(2, device="cuda:7")


def test_ranges():
    for args in (
        (5,),
        (2, 9),
        (2, 9, 3),
        (9, 2, -3),
        (2, 2),
        (5, 2),
        (0, 1, 0.1),
        (1.5, -2.0, -0.5),
    ):
        want = np.arange(*args)
        got = dlc.arange(*args).numpy()
        assert got.dtype == (np.float32 if want.dtype.kind == "f" else np.int64)
        assert np.array_equal(got, want.astype(got.dtype)), args
    assert dlc.arange(3, dtype="i8").dtype == dlc.int8
    with pytest.raises(ValueError, match="step of 0"):
        dlc.arange(0, 3, 0)
    with pytest.raises(TypeError, match="arange takes numbers"):
        dlc.arange("3")
    for args in ((0, 1, 5), (2, -3, 7), (0.1, 0.7, 4), (1, 2, 1), (1, 2, 0)):
        for endpoint in (True, False):
            want = np.linspace(*args, endpoint=endpoint)
            got = dlc.linspace(*args, endpoint=endpoint).numpy()
            h.assert_close(got, want, ulps=1)
            whole = np.linspace(*args, endpoint=endpoint, dtype=np.int64)
            exactly([dlc.linspace(*args, endpoint=endpoint, dtype="i64").numpy()], [whole])
    assert dlc.linspace(0, np.float64(1), 3).dtype == dlc.float64
    exactly([dlc.iota((2, 3), 1, dtype="u8").numpy()], [np.uint8([[0, 1, 2]] * 2)])
    x, y, z = np.arange(2), np.arange(3.0), np.int8([4])
    for indexing in ("xy", "ij"):
        got = dlc.meshgrid(x, y, z, indexing=indexing)
        exactly([t.numpy() for t in got], np.meshgrid(x, y, z, indexing=indexing))


def test_extents_that_are_not_known():
    def function(x):
        n, m = x.shape
        rows = dlc.arange(n)
        halves = dlc.reshape(x, (n * m,))
        return (
            rows, dlc.eye(n), dlc.zeros((n, 2)), dlc.reshape(halves, (m, -1)), dlc.tile(x, 2),
            dlc.roll(x, 2, axis=0), dlc.pad(x, 2, mode="reflect"), dlc.linspace(0, 1, n),
            dlc.concat([x, x], axis=0), dlc.flip(x), dlc.diagonal(x, offset=1), dlc.stack([x, x]),
            dlc.one_hot(rows, n),
        )  # fmt: skip

    x = h.values((4, 6))
    want = h.run_traced(function, [x])
    exactly(h.run_traced(function, [x], symbolic=True), want)


def test_repeats_that_are_traced_need_a_length():
    x, counts = np.arange(6.0, dtype=np.float32).reshape(2, 3), np.array([2, 0, 3])
    repeat = dlc.compile(lambda a, n: dlc.repeat(a, n, axis=1, total_repeat_length=5))
    assert np.array_equal(repeat(x, counts).numpy(), np.repeat(x, counts, axis=1))
    assert np.array_equal(repeat(x, np.array([9, 0, 0])).numpy(), x[:, [0] * 5])
    assert np.array_equal(repeat(x, np.array([1, 0, 0])).numpy(), x[:, [0, 2, 2, 2, 2]])
    with pytest.raises(TypeError, match="total_repeat_length"):
        dlc.compile(lambda a, n: dlc.repeat(a, n, axis=1))(x, counts)


@pytest.mark.parametrize("mode", ["mean", "median", "linear_ramp", "minimum", "maximum"])
def test_pad_with_numbers_computed_from_the_axis(mode):
    for dtype in ("float64", "float32", "int16", "uint8"):
        x = h.values((3, 4), dtype)
        settings = {"end_values": 9} if mode == "linear_ramp" else {}
        want = np.pad(x, ((2, 1), (0, 3)), mode=mode, **settings)
        got = dlc.pad(x, ((2, 1), (0, 3)), mode=mode, **settings).numpy()
        assert got.dtype == dtype
        assert np.allclose(got, want, rtol=1e-6), dtype
    assert dlc.pad(np.ones((2, 3)), 2, mode="empty").shape == (6, 7)
    few = np.arange(12.0).reshape(3, 4)
    want = np.pad(few, 2, mode="mean", stat_length=2)
    assert np.allclose(dlc.pad(few, 2, mode="mean", stat_length=2).numpy(), want)


@pytest.mark.parametrize("dtype", ["bool", "float32", "int64"])
@pytest.mark.parametrize(
    ("shape", "width"),
    [
        ((3, 0), ((0, 0), (0, 1))),
        ((0,), ((1, 0),)),
        ((0,), ((1, 2),)),
        ((4, 2, 0), ((0, 0), (0, 0), (1, 0))),
    ],
    ids=str,
)
@pytest.mark.parametrize("after", ["", "reshape", "tile", "repeat", "broadcast"])
def test_what_is_around_nothing(dtype, shape, width, after):
    """An axis of nothing that becomes one of extent 1 has no element at index 0."""
    steps = {
        "": lambda m, x: x,
        "reshape": lambda m, x: m.reshape(x, (-1,)),
        "tile": lambda m, x: m.tile(x, 2),
        "repeat": lambda m, x: m.repeat(x, 2, axis=-1),
        "broadcast": lambda m, x: m.broadcast_to(x, (3, *x.shape)),
    }
    x = np.zeros(shape, dtype)
    step = steps[after]
    got = dlc.compile(lambda x: step(dlc, dlc.pad(x, width, constant_values=1)))(x)
    np.testing.assert_array_equal(got.numpy(), step(np, np.pad(x, width, constant_values=1)))


@pytest.mark.parametrize("dims", [(1,), (0, 1), (1, -2), (-1,), (2, 2)])
def test_flatten_makes_some_axes_one(dims):
    """As PyTorch's, which model code calls as a method."""
    x = h.values((2, 3, 4, 5))
    first, last = (k % 4 for k in (*dims, -1)[:2])
    want = x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])
    for f in (lambda v: v.flatten(*dims), lambda v: dlc.flatten(v, *dims)):
        assert np.array_equal(f(dlc.asarray(x)).numpy(), want)
        assert np.array_equal(dlc.compile(f)(x).numpy(), want)
    assert dlc.zeros((2, 0, 3)).flatten(1).shape == (2, 0)
    assert dlc.flatten(3.0).shape == (1,)
    with pytest.raises(ValueError, match="end_dim 0 is before start_dim 1"):
        dlc.flatten(x, 1, 0)
    with pytest.raises(IndexError, match="axis 4 is out of range"):
        dlc.asarray(x).flatten(4)
