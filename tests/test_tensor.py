"""Tensors: making them, what they are, value semantics, operators, indexing, interchange."""

import copy
import itertools
import operator
import pickle
import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlc
from dlc.frontend import elsewhere, suggesting
from dlc.frontend.unheld import UNHELD

NAMES = ["float64", "float32", "float16", "bfloat16", "int8", "int16", "int32", "int64"]
NAMES += ["uint8", "uint16", "uint32", "uint64", "bool"]
DTYPES = [getattr(dlc, name) for name in NAMES]


# Making tensors


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_arrays_keep_their_dtype(dtype):
    array = np.array([[1, 0, 3]]).astype(dtype.numpy)
    x = dlc.asarray(array)
    assert x.dtype is dtype
    assert x.shape == (1, 3)
    assert x.numpy().dtype == dtype.numpy
    np.testing.assert_array_equal(x.numpy(), array)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, "f32"), (2, "i64"), (True, "bool"), ([1.0, 2], "f32"), ([1, 2], "i64"),
        ([True], "bool"), ([], "f32"), ([[]], "f32"), ((1, 2.5), "f32"),
        (np.float64(2), "f64"), (np.int8(2), "i8"),
        ([np.float64(1)], "f64"), (np.float16([1]), "f16"),
    ],
)  # fmt: skip
def test_default_dtypes(value, dtype):
    assert dlc.asarray(value).dtype.short == dtype


def test_asarray_copies():
    array = np.ones(3, np.float32)
    x = dlc.asarray(array)
    array[0] = 5
    assert x.tolist() == [1, 1, 1]


def test_asarray_shares_when_asked():
    array = dlc.ones((3,)).numpy()
    assert np.shares_memory(dlc.asarray(array, copy=False).numpy(), array)
    with pytest.raises(dlc.ArgumentError, match="DLC104"):
        dlc.asarray(array, dtype="f64", copy=False)


def test_asarray_of_tensors_and_of_lists_of_them():
    x = dlc.asarray([1.0, 2.0])
    assert dlc.asarray(x, dtype="f64").dtype is dlc.float64
    pair = dlc.asarray([x, x + 1])
    assert pair.shape == (2, 2)
    assert pair.tolist() == [[1, 2], [2, 3]]


def test_asarray_of_other_byte_order_and_strides():
    array = np.arange(12, dtype=">i4").reshape(3, 4)[::2, ::-1]
    np.testing.assert_array_equal(dlc.asarray(array).numpy(), array)


@pytest.mark.parametrize("value", [object(), "text", 1j, {1, 2}, ["a"], [None]])
def test_asarray_of_no_data(value):
    with pytest.raises(dlc.ArgumentError, match="DLC104"):
        dlc.asarray(value)


@pytest.mark.parametrize("dtype", [np.complex64, "U3", "datetime64[s]", np.longdouble])
def test_asarray_of_unsupported_dtypes(dtype):
    with pytest.raises(dlc.DTypeError, match="DLC102"):
        dlc.asarray(np.zeros(2, dtype))


def test_ragged_lists():
    with pytest.raises(dlc.ShapeError, match="equal lengths"):
        dlc.asarray([[1, 2], [3]])


def test_tensor_cannot_be_made_directly():
    with pytest.raises(dlc.ArgumentError, match="asarray"):
        dlc.Tensor([1])


def test_memory_is_aligned():
    for n in (1, 3, 100):
        assert dlc.asarray(np.zeros(n)).numpy().ctypes.data % 64 == 0


# What a tensor is


def test_properties():
    x = dlc.zeros((2, 3))
    assert (x.ndim, x.size, x.nbytes, x.itemsize, x.device, len(x)) == (2, 6, 24, 4, "cpu", 2)
    assert x.T.shape == (3, 2)
    assert dlc.zeros((2, 3, 4)).mT.shape == (2, 4, 3)
    with pytest.raises(dlc.ShapeError, match=r"\.mT"):
        dlc.zeros((2, 3, 4)).T  # noqa: B018


def test_numpy_is_a_read_only_view():
    x = dlc.asarray([1.0, 2.0])
    view = x.numpy()
    assert np.shares_memory(view, x.numpy())
    with pytest.raises(ValueError):
        view[0] = 3


def test_items():
    assert dlc.asarray(2.5).item() == 2.5
    assert dlc.asarray([[7]]).item() == 7
    assert dlc.asarray([1, 2, 3]).item(1) == 2
    with pytest.raises(dlc.ShapeError, match="not one"):
        dlc.asarray([1, 2]).item()


def test_python_numbers():
    assert int(dlc.asarray(3)) == 3
    assert float(dlc.asarray([2.5])) == 2.5
    assert bool(dlc.asarray(True))
    assert [10, 20][dlc.asarray(1)] == 20
    assert f"{dlc.asarray(2.0):.2f}" == "2.00"
    with pytest.raises(dlc.ShapeError):
        bool(dlc.asarray([1, 2]))
    with pytest.raises(dlc.ArgumentError):
        operator.index(dlc.asarray(1.0))


def test_iteration_and_containment():
    x = dlc.asarray([[1, 2], [3, 4]])
    assert [r.tolist() for r in x] == [[1, 2], [3, 4]]
    assert 3 in x
    assert 9 not in x
    with pytest.raises(TypeError):
        iter(dlc.asarray(1))
    with pytest.raises(TypeError):
        len(dlc.asarray(1))


def test_hash_is_identity_and_equality_elementwise():
    x = dlc.asarray([1.0, np.nan])
    assert (x == x).tolist() == [True, False]
    assert (x != x).tolist() == [False, True]
    assert len({x, x, dlc.asarray([1.0])}) == 2


def test_repr():
    assert repr(dlc.asarray([1.5, 2])) == "Tensor([1.5, 2. ], dtype=float32)"
    assert repr(dlc.asarray(True)) == "Tensor(True, dtype=bool)"


def test_copies_and_pickles():
    x = dlc.asarray([1.0, 2.0])
    for y in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        y[0] = 9
        assert y.tolist() == [9, 2]
    assert x.tolist() == [1, 2]


def test_to():
    x = dlc.asarray([1.0])
    assert x.to("cpu").tolist() == [1]
    assert x.to(dlc.float64).dtype is dlc.float64
    with pytest.raises(dlc.DeviceError, match="DLC503"):
        x.to("cuda:0")
    assert x.block_until_ready() is x


# Promotion

ORDER = {"b": 0, "u": 1, "i": 1, "f": 2}


def expected_type(a, b):
    """An independent statement of the rules."""
    if a is b:
        return a
    if "f" in (a.kind, b.kind):
        if a.kind != b.kind:
            return a if a.kind == "f" else b
        if {a.name, b.name} == {"float16", "bfloat16"}:
            return dlc.float32
        return max(a, b, key=lambda d: d.bits)
    if "b" in (a.kind, b.kind):
        return b if a.kind == "b" else a
    common = np.promote_types(a.numpy, b.numpy)
    return None if common.kind == "f" else next(d for d in DTYPES if d.numpy == common)


@pytest.mark.parametrize(("a", "b"), list(itertools.product(DTYPES, DTYPES)), ids=str)
def test_promotion_of_tensors(a, b):
    x, y = dlc.ones((2,), dtype=a), dlc.ones((2,), dtype=b)
    wanted = expected_type(a, b)
    if wanted is None:
        with pytest.raises(dlc.DTypeError, match="no common dtype"):
            dlc.result_type(x, y)
    else:
        assert dlc.result_type(x, y) is wanted
        assert (x == y).dtype is dlc.bool
        if "bool" not in (a.name, b.name) or a is not b:
            assert dlc.maximum(x, y).dtype is wanted if wanted is not dlc.bool else True


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_promotion_of_python_scalars(dtype):
    x = dlc.ones((2,), dtype=dtype)
    floats = dtype if dtype.is_float else dlc.float32
    assert (x + 1.5).dtype is floats
    assert (1.5 * x).dtype is floats
    assert (x * 2).dtype is (dlc.int64 if dtype is dlc.bool else dtype)
    if dtype is not dlc.bool:
        assert (x + True).dtype is dtype


def test_python_integers_must_fit():
    x = dlc.ones((2,), dtype="u8")
    with pytest.raises(dlc.ValueRangeError, match="300 does not fit uint8"):
        x + 300
    with pytest.raises(dlc.ValueRangeError):
        x - (-1)


def test_weak_values_stay_weak():
    half = dlc.ones((2,), dtype="f16")
    assert (half * dlc.sin(0.5)).dtype is dlc.float16
    assert dlc.sin(0.5).dtype is dlc.float32
    assert dlc.sin(0.5).numpy().dtype == np.float32
    assert (dlc.ones((2,), dtype="f64") * dlc.exp(1)).numpy()[0] == pytest.approx(np.e, abs=1e-15)


def test_numpy_scalars_are_not_weak():
    assert (dlc.ones((2,)) * np.float64(2)).dtype is dlc.float64


# Value semantics


def test_writes_reach_one_handle_only():
    array = np.arange(6, dtype=np.float32)
    x = dlc.asarray(array)
    y, view, z = x, x[1:4], x.numpy()
    w = dlc.asarray(x)
    x[1:3] = 9
    assert y is x
    assert x.tolist() == [0, 9, 9, 3, 4, 5]
    assert view.tolist() == [1, 2, 3]
    assert w.tolist() == z.tolist() == array.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.skipif(not UNHELD, reason="what this Python's stack borrows is not counted")
@pytest.mark.parametrize("compiled", [False, True])
def test_writes_that_would_be_lost_are_refused(compiled):
    def run(statement):
        v = dlc.Variable(np.zeros((2, 3), np.float32))
        scope = {"x": dlc.asarray(v), "xs": [dlc.asarray(v)], "v": v}
        exec(f"def f(x, xs):\n {statement}\n return x, xs[0], v", scope)
        f = dlc.compile(scope["f"]) if compiled else scope["f"]
        return [int(dlc.sum(t).item()) for t in f(scope["x"], scope["xs"])]

    for statement in (
        "x[0][1] = 5", "x[0][1] += 5", "x.T[0] = 5", "x.reshape(-1)[:] = 5",
        "v.data[0] = 5", "v[0][1] = 5", "v.value()[:] = 5",
    ):  # fmt: skip
        with pytest.raises(dlc.DlcError, match="would be lost") as raised:
            run(statement)
        assert raised.value.location.line == 2
    for statement, sums in {
        "xs[0][1] = 5": [0, 15, 0],
        "(lambda: x)()[0, 1] = 5": [5, 0, 0],
        "y = x[0]; y[1] = 5; x[0] = y": [5, 0, 0],
        "v[0, 1] = 5": [0, 0, 5],
        "v.data += 5": [0, 0, 30],
    }.items():
        assert run(statement) == sums


def test_augmented_assignment_makes_a_new_handle():
    x = dlc.asarray([1.0])
    y = x
    x += 1
    assert (x.tolist(), y.tolist()) == ([2], [1])


def test_overlapping_writes():
    x = dlc.asarray(np.arange(6))
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3, 4]
    x[:] = x[::-1]
    assert x.tolist() == [4, 3, 2, 1, 0, 0]


# Indexing

SHAPES = [(), (5,), (4, 3), (2, 3, 4), (0, 3), (1,)]


@st.composite
def indices(draw):
    shape = draw(st.sampled_from(SHAPES))
    items = []
    for extent in shape[: draw(st.integers(0, len(shape)))]:
        if draw(st.booleans()) and extent:
            items.append(draw(st.integers(-extent, extent - 1)))
        else:
            bound = st.none() | st.integers(-extent - 2, extent + 2)
            step = draw(st.sampled_from([None, 1, 2, 3, -1, -2, -3]))
            items.append(slice(draw(bound), draw(bound), step))
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), None)
    if draw(st.booleans()):
        items.append(Ellipsis)
    return shape, tuple(items)


@given(indices())
def test_reading_equals_numpy(case):
    shape, index = case
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    np.testing.assert_array_equal(dlc.asarray(array)[index].numpy(), array[index], strict=True)


@given(indices(), st.booleans())
def test_writing_equals_numpy(case, broadcast):
    shape, index = case
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    x = dlc.asarray(array)
    part = array[index]
    value = 100 if broadcast else 100 + np.arange(part.size).reshape(part.shape)
    array[index] = value
    x[index] = value
    np.testing.assert_array_equal(x.numpy(), array, strict=True)


@pytest.mark.parametrize(
    "index",
    [
        [2, 0], ([3, -1],), (slice(None), [1, 1]), (..., np.array([[0], [2]])),
        (slice(1, 3), [2, 0]), (None, [0, 1]), (1, [0, 2]), ([0, 1], slice(None, None, -1)), [],
    ],
    ids=str,
)  # fmt: skip
def test_reading_at_arrays(index):
    array = np.arange(12).reshape(4, 3)
    index = np.array(index, np.int64) if index == [] else index
    np.testing.assert_array_equal(dlc.asarray(array)[index].numpy(), array[index])


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (4, dlc.IndexRangeError), (-5, dlc.IndexRangeError), ((0, 3), dlc.IndexRangeError),
        ((0, 0, 0), dlc.IndexRangeError), ([4], dlc.IndexRangeError), (1.5, dlc.ArgumentError),
        ("a", dlc.ArgumentError), ([1.5], dlc.ArgumentError), (([0], [3]), dlc.IndexRangeError),
        (slice(None, None, 0), dlc.ValueRangeError), ((..., ...), dlc.ValueRangeError),
        (np.array([True, False, True]), dlc.ShapeError), (slice("a"), dlc.ArgumentError),
    ],
    ids=str,
)  # fmt: skip
def test_bad_indices(index, error):
    x = dlc.zeros((4, 3))
    with pytest.raises(error):
        x[index]
    assert issubclass(error, (IndexError, TypeError, ValueError))


def test_writing_through_masks():
    array = np.arange(6.0).reshape(2, 3)
    x = dlc.asarray(array)
    mask = array > 2
    array[mask] = -1
    x[mask] = -1
    np.testing.assert_array_equal(x.numpy(), array)
    array[np.array([True, False])] = 7
    x[dlc.asarray([True, False])] = 7
    np.testing.assert_array_equal(x.numpy(), array)


def test_writing_converts_and_checks():
    x = dlc.asarray([1, 2, 3])
    x[0] = 2.9
    assert x.tolist() == [2, 2, 3]
    with pytest.raises(dlc.ShapeError, match="assignment of"):
        x[:2] = np.array([1, 2, 3])
    x[1:] = np.array([[8, 9]])
    assert x.tolist() == [2, 8, 9]


# Operators

BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    "other", [2.0, 3, np.float32(1.5), np.full((2, 2), 3, np.float32)], ids=repr
)
def test_operators_in_both_orders(name, other):
    f = getattr(operator, name)
    array = np.array([[1.5, -2.0], [4.0, 0.5]], np.float32)
    with np.errstate(all="ignore"):
        for result, wanted in (
            (f(dlc.asarray(array), other), f(array, other)),
            (f(other, dlc.asarray(array)), f(other, array)),
        ):
            assert type(result) is dlc.Tensor
            np.testing.assert_allclose(result.numpy(), wanted, rtol=1e-6)
            assert result.numpy().dtype == wanted.dtype


def test_integer_operators():
    a, b = np.array([6, 5, -3], np.int32), np.array([2, 3, 1], np.int32)
    x, y = dlc.asarray(a), dlc.asarray(b)
    for name in ("and_", "or_", "xor", "lshift", "rshift"):
        f = getattr(operator, name)
        np.testing.assert_array_equal(f(x, y).numpy(), f(a, b))
        np.testing.assert_array_equal(f(x, 1).numpy(), f(a, 1))
        np.testing.assert_array_equal(f(1, y).numpy(), f(1, b))
    np.testing.assert_array_equal((~x).numpy(), ~a)
    np.testing.assert_array_equal((-x).numpy(), -a)
    np.testing.assert_array_equal(abs(x).numpy(), abs(a))
    assert (+x).tolist() == a.tolist()
    q, r = divmod(x, y)
    assert (q.tolist(), r.tolist()) == ((a // b).tolist(), (a % b).tolist())


def test_matmul_operator():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    for result in (dlc.asarray(a) @ a.T, a @ dlc.asarray(a.T)):
        np.testing.assert_array_equal(result.numpy(), a @ a.T)


def test_operators_of_foreign_objects():
    class Other:
        def __radd__(self, x):
            return "mine"

    assert dlc.asarray([1]) + Other() == "mine"
    with pytest.raises(TypeError):
        dlc.asarray([1]) + "a"


@pytest.mark.parametrize(
    "name", ["sum", "prod", "mean", "var", "std", "max", "min", "argmax", "argmin"]
)
def test_methods(name):
    array = np.arange(6, dtype=np.float32).reshape(2, 3) + 1
    x = dlc.asarray(array)
    for axis in (None, 0, 1):
        result = getattr(x, name)(axis)
        np.testing.assert_allclose(result.numpy(), getattr(array, name)(axis), rtol=1e-6)


def test_shape_methods():
    array = np.arange(6).reshape(1, 2, 3)
    x = dlc.asarray(array)
    assert x.reshape(3, 2).shape == x.reshape((3, -1)).shape == (3, 2)
    assert x.transpose().shape == (3, 2, 1)
    assert x.transpose(2, 0, 1).shape == x.transpose((2, 0, 1)).shape == (3, 1, 2)
    assert x.flatten().shape == x.ravel().shape == (6,)
    assert x.squeeze().shape == (2, 3)
    assert x.astype("f16").dtype is dlc.float16
    assert x.clip(1, 3).numpy().max() == 3


# Views and kernels of eager operations


@pytest.mark.parametrize("shape", [(3, 5), (1, 5), (3, 1), (0, 5), (1, 1)], ids=str)
def test_operations_on_views(shape):
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x = dlc.asarray(array)
    row = np.arange(shape[1], dtype=np.float32)
    cases = [
        (x.T * 2, array.T * 2),
        (x.T + x.T, array.T + array.T),
        (x[::-1, ::2] - 1, array[::-1, ::2] - 1),
        (dlc.broadcast_to(dlc.asarray(row), shape) + x, row + array),
        (dlc.exp(dlc.broadcast_to(dlc.asarray(1.0), shape)), np.exp(np.ones(shape, np.float32))),
        (
            dlc.broadcast_to(x, (2, *shape)).transpose().sum(axis=2),
            np.broadcast_to(array, (2, *shape)).T.sum(2),
        ),
        (x.T @ x, array.T @ array),
    ]
    for result, wanted in cases:
        np.testing.assert_allclose(result.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_one_kernel_serves_all_shapes():
    from dlc.frontend import eager

    dlc.asarray(np.ones((3, 4))) * np.ones((3, 4))
    before = sum(map(len, eager._kernels.values()))
    for n in range(2, 30):
        result = dlc.asarray(np.full((n, n + 1), 3.0)) * np.full((n, n + 1), 2.0)
        assert (result.numpy() == 6).all()
    assert sum(map(len, eager._kernels.values())) == before


# Interchange


def test_numpy_functions_give_arrays():
    x = dlc.asarray([1.0, 4.0])
    for result in (np.sqrt(x), np.add(x, x), np.concatenate([x, x]), np.sum(x), np.linalg.norm(x)):
        assert isinstance(result, (np.ndarray, np.generic))
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.array(x).flags.writeable
    assert not np.asarray(x).flags.writeable


def test_dlpack():
    x = dlc.asarray([[1.0, 2.0]])
    y = np.from_dlpack(x)
    np.testing.assert_array_equal(y, x.numpy())
    assert x.__dlpack_device__() == (1, 0)
    array = np.arange(3.0)
    z = dlc.from_dlpack(array)
    array[0] = 9
    assert z.tolist() == [0, 1, 2]
    with pytest.raises(dlc.ArgumentError):
        dlc.from_dlpack([1])


def test_dlpack_of_bfloat16():
    torch = pytest.importorskip("torch")
    given = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
    for x in (given, given.T, given[:, ::2], given[:0], given[0, 1]):
        for made in (dlc.from_dlpack(x), dlc.asarray(x), dlc.compile(lambda x: x + 0)(x)):
            assert made.dtype is dlc.bfloat16
            assert made.tolist() == x.tolist()
        back = torch.from_dlpack(dlc.from_dlpack(x))
        assert back.dtype is torch.bfloat16
        assert torch.equal(back, x)
    shared = dlc.from_dlpack(given, copy=False)
    given += 1
    assert shared.tolist() == given.tolist()
    for version in (None, (0, 8), (1, 0)):  # NumPy knows no bfloat16 yet
        capsule = dlc.ones(2, dtype="bf16").__dlpack__(max_version=version)
        assert ("versioned" in repr(capsule)) == (version == (1, 0))


def test_what_cannot_be_read_as_an_array():
    torch = pytest.importorskip("torch")
    for x, message in (
        (torch.ones(2, requires_grad=True), "detach"),
        (torch.ones(2, device="meta"), "meta device"),
        (torch.ones(2, dtype=torch.float8_e5m2), "could not be read as an array"),
    ):
        for call in (dlc.asarray, dlc.compile(dlc.relu)):
            with pytest.raises(dlc.ArgumentError, match=message):
                call(x)
    with pytest.raises(dlc.ArgumentError, match="detach"):
        dlc.from_dlpack(torch.ones(2, requires_grad=True))


def test_dlpack_consumers_cannot_write():
    x = dlc.asarray([1.0, 2.0])
    shared = np.from_dlpack(x)
    if shared.flags.writeable:
        shared[0] = 5
    assert x.tolist() == [1, 2]


def test_array_namespace():
    assert dlc.asarray([1]).__array_namespace__() is dlc


def test_bfloat16_array():
    assert dlc.ones((2,), dtype="bf16").numpy().dtype == ml_dtypes.bfloat16


def test_out_of_memory():
    with pytest.raises(dlc.MemoryLimitError):
        dlc.exp(dlc.zeros((1 << 24, 1 << 24, 1 << 10), dtype="f64"))


def test_disable_jit_gives_the_same():
    x = dlc.asarray(np.linspace(-2, 2, 7, dtype=np.float32))
    compiled = dlc.tanh(x * 2 + 1).sum()
    with dlc.config.scope(disable_jit=True):
        interpreted = dlc.tanh(x * 2 + 1).sum()
    np.testing.assert_allclose(compiled.numpy(), interpreted.numpy(), rtol=1e-6)


def test_dtype_functions():
    assert dlc.finfo(dlc.bfloat16).bits == 16
    assert dlc.finfo(dlc.zeros((1,), dtype="f64")).eps == np.finfo(np.float64).eps
    assert dlc.iinfo("u8").max == 255
    assert dlc.isdtype(dlc.int8, "integral")
    assert not dlc.isdtype(dlc.int8, ("bool", dlc.int16))
    assert dlc.can_cast("i32", "f16")
    assert not dlc.can_cast("u64", "i64")
    assert dlc.result_type("i32", 1.5) is dlc.float32
    for call in (lambda: dlc.finfo("i8"), lambda: dlc.iinfo("f32"), lambda: dlc.iinfo("nothing")):
        with pytest.raises(dlc.DTypeError):
            call()
    with pytest.raises(dlc.ArgumentError):
        dlc.isdtype("i8", "odd")


METHODS = [
    ("argsort", (), {}), ("argsort", (0,), {}), ("sort", (), {}), ("sort", (0,), {}),
    ("cumsum", (1,), {}), ("cumprod", (0,), {}), ("diagonal", (), {}), ("diagonal", (1, 1, 0), {}),
    ("trace", (), {}), ("trace", (-1,), {}), ("swapaxes", (0, 1), {}), ("take", ([0, 2],), {}),
    ("take", ([1],), {"axis": 1}), ("repeat", (2,), {}), ("repeat", (2,), {"axis": 0}),
    ("round", (), {}), ("round", (1,), {}), ("copy", (), {}), ("ravel", (), {}),
    ("dot", (np.arange(3.0, dtype=np.float32),), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), METHODS)
def test_methods_are_those_of_numpys_arrays(name, args, kwargs):
    x = np.float32([[0.25, -1.55, 3.0], [2.5, 0.5, -0.75], [1.0, 7.0, -3.25], [0.0, 4.5, 2.0]])
    wanted = np.sort(x, *args) if name == "sort" else getattr(x, name)(*args, **kwargs)

    def call(t):
        return getattr(t, name)(*args, **kwargs)

    for f in (call, dlc.compile(call)):
        np.testing.assert_allclose(f(dlc.asarray(x)).numpy(), wanted, rtol=1e-6)


def test_searchsorted_and_nonzero_methods():
    x = dlc.asarray([1.0, 2.0, 0.0, 4.0])
    assert x.sort().searchsorted([1.5]).tolist() == [2]
    assert x.nonzero()[0].tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: dlc.diff(x, n=0),
        lambda x: dlc.linalg.matrix_power(x, 1),
        lambda x: dlc.nn.functional.dropout(x, training=False),
        lambda x: dlc.nn.functional.alpha_dropout(x, 0.0),
    ],
)
def test_results_that_are_the_argument_are_other_tensors(function):
    for x in (dlc.ones((2, 2)), dlc.Variable(np.ones((2, 2)))):
        result = function(x)
        result[0] = 5
        assert x.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("owner", "name", "message"),
    [
        (dlc.ones(2), "sin", "'Tensor' object has no attribute 'sin'; write dlc.sin(x, ...)"),
        (dlc.ones(2), "view", "; write x.reshape(shape)"),
        (dlc.ones(2), "mul_", "; write x = dlc.mul(x, ...)"),
        (dlc.Variable(1.0), "clone", "'Variable' object has no attribute 'clone'; write x.copy()"),
        (dlc, "randn", "module 'dlc' has no attribute 'randn'; it is dlc.random.normal here"),
        (dlc, "reduce_sum", "it is dlc.sum here"),
        (dlc, "sofmax", "did you mean 'softmax'?"),
        (dlc, "qqqqqqqq", "module 'dlc' has no attribute 'qqqqqqqq'"),
        (dlc.nn, "Conv2DD", "module 'dlc.nn' has no attribute 'Conv2DD'; did you mean 'Conv2d'?"),
        (dlc.optim.lr_scheduler, "StepLr", "did you mean 'StepLR'?"),
        (dlc.data, "Loaderr", "did you mean 'DataLoader'?"),  # no module
        (dlc.optim, "SparseAdam", "it is dlc.optim.Adam, as gradients are dense, here"),
        (
            dlc.nn,
            "LazyLinear",
            "module 'dlc.nn' has no attribute 'LazyLinear'; it is dlc.nn.Dense here",
        ),
        (dlc.nn.functional, "sin", "it is dlc.sin here"),
        (dlc, "celu_", "it is dlc.nn.functional.celu here"),
        (dlc, "bernoulli", "it is dlc.random.bernoulli here"),
        (dlc, "pmean", "is written outside of dlc.vmap"),
        (dlc.linalg, "sqrt_", "it is dlc.sqrt here"),
        (dlc, "functional_call", "it is dlc.nn.utils.functional_call here"),
        (dlc.nn.Linear(1, 1), "cuda", """has no attribute 'cuda'; it is model.to("cuda") here"""),
        (dlc.nn.Linear(1, 1), "losses", "it is dlc.train.collect_losses here"),
        (dlc.linalg, "eig", "keep real and imaginary parts in two tensors"),
        (
            dlc.random,
            "randn",
            "module 'dlc.random' has no attribute 'randn'; it is dlc.random.normal here",
        ),
        (
            dlc,
            "complex64",
            ": there are no complex numbers; keep real and imaginary parts in two tensors",
        ),
    ],
)
def test_names_that_there_are_not_say_what_to_write(owner, name, message):
    with pytest.raises(AttributeError) as caught:
        getattr(owner, name)
    assert str(caught.value).endswith(message)
    assert not hasattr(owner, name)
    assert name not in dir(owner)


def test_extents_as_pytorch_takes_them():
    with pytest.raises(dlc.DTypeError, match="3 is no dtype") as caught:
        dlc.zeros(2, 3)
    assert caught.value.hint == "extents are one argument, as in dlc.zeros((2, 3))"


def test_what_is_suggested_for_names_of_others_is_there():
    x = dlc.ones((2, 2))
    absent = set(object.__dir__(x)) - set(dir(x))
    texts = [elsewhere.method(n) for n in absent]
    for table in (elsewhere._NAMES, suggesting.MODELS, *elsewhere._TABLES.values()):
        texts += table.values()
    for text in texts:
        for path in re.findall(r"\b(?:dlc|x)(?:\.\w+)+", text):
            value = x if path[0] == "x" else dlc
            for part in path.split(".")[1:]:
                value = getattr(value, part)
