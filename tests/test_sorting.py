"""Sorting: every dtype, axis and length, against NumPy's stable sort, and gradients."""

import functions_harness as h
import ml_dtypes
import numpy as np
import pytest
import torch

import dlc
from dlc.codegen.cpu.isa import host_flags, host_machine, isa_named
from dlc.ir.types import dtype_of


def places(x, axis=-1, descending=False):
    """The stable order of NumPy."""
    x = x.astype(np.float32) if x.dtype == ml_dtypes.bfloat16 else x
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    n = x.shape[axis]
    return np.flip(n - 1 - np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)


def bits(x):
    """Values that are equal where they are the same bits, or both NaN."""
    if x.dtype.kind in "iub":
        return x
    held = x.view(f"u{x.itemsize}").astype(np.uint64)
    return np.where(x != x, np.uint64(2**63), held)


def ordinary(shape, dtype, seed):
    """Values of which several are equal, zeros of both signs and NaN among them."""
    rng = np.random.default_rng(seed)
    x = h.values(shape, dtype, seed)
    if dtype in h.FLOATS and x.size:
        some = h.specials(dtype)
        hit = rng.random(shape) < 0.3
        x = np.where(hit, rng.choice(some, shape), x).astype(dtype_of(dtype).numpy)
    return x


def check_sort(x, axis, descending, k):
    want = np.take(places(x, axis, descending), np.arange(k), axis)
    values = np.take_along_axis(x, want, axis)

    def both(v):
        top = dlc.topk(v, k, axis, largest=descending)
        return (top.values, top.indices)

    compiled = dlc.compile(both)
    for got in (both(dlc.asarray(x)), compiled(x)):
        assert np.array_equal(got[1].numpy(), want)
        assert np.array_equal(bits(got[0].numpy()), bits(values))
    if k == x.shape[axis]:
        for f, wanted in ((dlc.sort, values), (dlc.argsort, want)):
            eager = f(dlc.asarray(x), axis=axis, descending=descending)
            assert np.array_equal(bits(eager.numpy()), bits(wanted))


@pytest.mark.parametrize("seed", range(30))
def test_any_shape(seed):
    rng = np.random.default_rng([7, seed])
    rank = rng.integers(1, 4)
    shape = tuple(int(d) for d in rng.choice([0, 1, 2, 3, 5, 17, 31, 64, 100], rank))
    axis = int(rng.integers(-rank, rank))
    dtype = h.ALL[seed % len(h.ALL)]
    k = shape[axis] if seed % 3 else int(rng.integers(0, shape[axis] + 1))
    check_sort(ordinary(shape, dtype, seed), axis, bool(seed % 2), k)


@pytest.mark.parametrize("dtype", h.ALL)
@pytest.mark.parametrize("length", [2, 47, 48, 49, 255, 257, 1000, 5000])
def test_every_dtype_and_length(dtype, length):
    x = ordinary((2, length), dtype, length)
    check_sort(x, 1, bool(length % 2), length)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "float64", "float32"])
def test_all_bits(dtype):
    rng = np.random.default_rng(3)
    raw = rng.integers(0, 2**64, (3, 700), np.uint64, endpoint=False)
    x = raw.view(np.dtype(dtype)).reshape(3, -1)
    check_sort(x, 1, False, x.shape[1])
    check_sort(x, 1, True, 9)


def test_a_row_in_order_and_backwards():
    x = np.arange(3000, dtype=np.float32)
    for row in (x, x[::-1].copy(), np.zeros_like(x), np.tile(x[:7], 100)):
        check_sort(row, 0, False, len(row))
        check_sort(row, 0, True, 100)


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3"])
def test_narrower_vectors(level):
    if not isa_named(level).runs_on(host_machine(), host_flags()):
        pytest.skip("not run by this machine")
    with dlc.config.scope(isa=level):
        for dtype in ("float32", "float64", "uint8"):
            x = ordinary((3, 900), dtype, 1)
            check_sort(x, 1, False, 900)
            check_sort(x, 1, True, 20)


def test_a_long_row():
    x = ordinary((100_000,), "float32", 2)
    check_sort(x, 0, False, len(x))
    check_sort(x, 0, True, 100)
    check_sort(x.astype(np.float64), 0, True, len(x))
    for kept in (100, 40_000, len(x)):
        check_sort(x > 0.3, 0, True, kept)


@pytest.mark.parametrize(("dtype", "size", "descending"), [
    ("float32", 65_536, False), ("float32", 70_001, True), ("float64", 65_539, False),
    ("bool", 65_537, True), ("bfloat16", 81_920, False), ("int64", 66_000, True),
])  # fmt: skip
def test_one_long_row(dtype, size, descending):
    x = ordinary((1, size), dtype, size)
    check_sort(x, 1, descending, size)
    x = np.sort(x)
    order = dlc.compile(lambda v: dlc.argsort(v, descending=descending))
    for y in (x, x[:, ::-1].copy(), np.full_like(x, x[0, -1])):
        assert np.array_equal(order(y).numpy(), places(y, 1, descending))


@pytest.mark.parametrize("seed", range(30))
def test_gradients_are_those_of_torch(seed):
    rng = np.random.default_rng([8, seed])
    shape = tuple(int(d) for d in rng.integers(1, 9, rng.integers(1, 4)))
    axis = int(rng.integers(0, len(shape)))
    k = int(rng.integers(1, shape[axis] + 1))
    x = rng.permutation(int(np.prod(shape))).reshape(shape).astype(np.float64)
    down = bool(seed % 2)
    w = rng.standard_normal(shape)
    v = rng.standard_normal((*shape[:axis], k, *shape[axis + 1 :]))

    def loss(a):
        ordered = dlc.sort(a, axis=axis, descending=down)
        top = dlc.topk(a, k, axis, largest=not down).values
        return dlc.sum(ordered * w) + dlc.sum(top * top * v)

    t = torch.tensor(x, requires_grad=True)
    ordered = torch.sort(t, dim=axis, descending=down, stable=True).values
    top = torch.topk(t, k, dim=axis, largest=not down).values
    ((ordered * torch.tensor(w)).sum() + (top * top * torch.tensor(v)).sum()).backward()
    for g in (dlc.grad(loss)(dlc.asarray(x)), dlc.compile(dlc.grad(loss))(x)):
        np.testing.assert_allclose(g.numpy(), t.grad.numpy(), rtol=1e-13, atol=1e-13)


def test_named_results_and_any_size():
    f = dlc.compile(lambda x, k: dlc.topk(x, 3), static_argnames="k")
    for n in (3, 10, 33):
        x = h.values((2, n))
        top = f(x, 0)
        assert top._fields == ("values", "indices")
        assert np.array_equal(top.indices.numpy(), places(x, 1, True)[:, :3])


def test_bad_arguments():
    x = dlc.zeros((2, 3))
    with pytest.raises(dlc.ValueRangeError, match="no 4 elements along axis 1"):
        dlc.topk(x, 4)
    with pytest.raises(dlc.ValueRangeError, match="no -1 elements"):
        dlc.topk(x, -1)
    with pytest.raises(dlc.IndexRangeError, match="axis 2 is out of range"):
        dlc.sort(x, axis=2)
    with pytest.raises(dlc.IndexRangeError, match="a scalar has no axes"):
        dlc.argsort(1.0)


@pytest.mark.parametrize("part", [slice(1, None), slice(1, None, 2), slice(None, -1)], ids=str)
@pytest.mark.parametrize("function", ["sort", "argsort"])
def test_parts_of_rows_of_open_lengths(function, part):
    f = dlc.compile(lambda a: getattr(dlc, function)(a[:, part], axis=1))
    for shape in ((9, 9), (32, 33), (3, 20000), (2, 1)):
        a = np.random.default_rng(1).standard_normal(shape).astype("f4")
        wanted = getattr(np, function)(a[:, part], axis=1, kind="stable")
        np.testing.assert_array_equal(f(a).numpy(), wanted)
