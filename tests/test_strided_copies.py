"""Copies that exchange axes or take every second element, at sizes around those of blocks."""

import numpy as np
import pytest
from functions_harness import values

import dlc
from dlc.ir.config import config

ISAS = ("x86-64-v4", "x86-64-v3", "x86-64-v2")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "int8", "uint64"])
def test_transposes(dtype, isa):
    permutations = [
        ((100, 33), (1, 0)), ((3, 17, 70), (2, 0, 1)), ((16, 2, 16, 5), (3, 1, 2, 0)),
        ((15, 200), (1, 0)), ((130, 64), (1, 0)), ((5, 40, 3), (0, 2, 1)), ((1, 40), (1, 0)),
    ]  # fmt: skip

    def f(*xs):
        return [dlc.permute_dims(x, p) for x, (_, p) in zip(xs, permutations, strict=True)]

    arrays = [values(shape, dtype) for shape, _ in permutations]
    with config.scope(isa=isa):
        found = dlc.compile(f)(*arrays)
    for x, y, (_, p) in zip(arrays, found, permutations, strict=True):
        assert np.array_equal(y.numpy(), x.transpose(p))


def test_transposes_that_convert_and_any_sizes():
    f = dlc.compile(lambda x: x.T.astype(dlc.float32))
    for shape in ((20, 50), (33, 17), (64, 64), (7, 300), (300, 7)):
        x = values(shape, "bfloat16")
        assert np.array_equal(f(x).numpy(), x.T.astype(np.float32))
    assert f.stats.compilations <= 2


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64"])
def test_every_second_element(dtype, isa):
    cases = [((3, 97), 0), ((2, 64), 1), ((5, 3), 2), ((1, 1001), 1)]

    def f(*xs):
        return [x[:, first::2] + x[:, first::2] for x, (_, first) in zip(xs, cases, strict=True)]

    arrays = [values(shape, dtype) for shape, _ in cases]
    with config.scope(isa=isa):
        found = dlc.compile(f)(*arrays)
    for x, y, (_, first) in zip(arrays, found, cases, strict=True):
        assert np.array_equal(y.numpy(), x[:, first::2] + x[:, first::2])


def test_every_second_element_at_the_end_of_memory():
    for n in (1, 31, 32, 33, 63, 65):
        x = values((n,))
        assert np.array_equal(dlc.compile(lambda v: -v[::2])(x).numpy(), -x[::2])
        padded = dlc.compile(lambda v: dlc.pad(v, (1, 2))[::2] * 2)(x).numpy()
        assert np.array_equal(padded, np.pad(x, (1, 2))[::2] * 2)


def test_places_out_of_memory_in_a_transposed_tensor():
    x, places = values((3, 40, 33)), np.array([5, 0, 32, 7, 7] * 8)
    f = dlc.compile(lambda v, p: dlc.take(dlc.permute_dims(v, (0, 2, 1)), p, axis=1))
    assert np.array_equal(f(x, places).numpy(), x.transpose(0, 2, 1)[:, places])
