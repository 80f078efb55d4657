"""Convolutions by filters that no call changes: in panels, with the bits of run-time filters."""

import numpy as np
import pytest
from test_prepack import LEVELS, kernels, numbers

import dlc
from dlc.ir.config import config

PACKED = "once panels"
CASES = {
    "one step": ((1, 3, 7, 6), (64, 3, 3, 3), {}),
    "steps": ((2, 40, 6, 5), (64, 40, 3, 3), {"padding": 1}),
    "runs of steps": ((1, 256, 4, 5), (32, 256, 3, 3), {"padding": 1}),
    "half a panel": ((3, 12, 9, 9), (16, 12, 2, 3), {}),
    "strided": ((2, 9, 15, 12), (96, 9, 3, 3), {"stride": 2, "padding": 1}),
    "wide steps": ((1, 8, 20, 19), (32, 8, 3, 2), {"stride": 3}),
    "dilated": ((1, 12, 13, 11), (32, 12, 3, 3), {"dilation": (2, 3)}),
    "one window": ((4, 16, 3, 3), (64, 16, 3, 3), {}),
    "many rows": ((1, 4, 32, 33), (32, 4, 3, 3), {}),
    "many windows": ((1, 3, 67, 66), (64, 3, 3, 3), {}),
}


def both(function, x, w, **options):
    """Results with the filters fixed and given in each call."""
    fixed = dlc.compile(lambda x: function(x, w), **options)
    return fixed, fixed(x).numpy(), dlc.compile(function, **options)(x, w).numpy()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", CASES)
def test_fixed_filters_give_the_bits_of_those_that_are_passed(level, case):
    images, filters, options = CASES[case]
    x, w = numbers(*images), numbers(*filters, seed=1)
    with config.scope(isa=level):
        fixed, got, wanted = both(lambda x, w: dlc.conv2d(x, w, **options), x, w)
        assert PACKED in kernels(fixed, x)
    assert got.tobytes() == wanted.tobytes()


def test_against_exact_sums():
    x, w, b = numbers(2, 20, 7, 9), numbers(64, 20, 3, 3, seed=1), numbers(64, seed=2)

    def layer(x, w, b):
        return dlc.relu(dlc.conv2d(x, w, b, padding=1)) + dlc.sum(x, axis=1, keepdims=True)

    got = dlc.compile(lambda x: layer(x, w, b))(x).numpy()
    x, w, b = (v.astype(np.float64) for v in (x, w, b))
    exact = layer(*(dlc.asarray(v) for v in (x, w, b))).numpy()
    np.testing.assert_allclose(got, exact, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize(("dtype", "rank"), [("float64", 2), ("float32", 1), ("float32", 3)])
def test_other_types_and_ranks(dtype, rank):
    x = numbers(2, 10, *(8, 7, 6)[:rank], dtype=dtype)
    w = numbers(64, 10, *(3, 2, 3)[:rank], dtype=dtype, seed=1)
    convolve = getattr(dlc, f"conv{rank}d")
    fixed, got, wanted = both(convolve, x, w)
    assert PACKED in kernels(fixed, x)
    assert got.tobytes() == wanted.tobytes()


def test_any_number_of_threads_gives_the_same_bits():
    x, w = numbers(2, 33, 14, 14), numbers(96, 33, 3, 3, seed=1)
    results = [both(dlc.conv2d, x, w, num_threads=k)[1] for k in (1, 2, 5)]
    assert len({r.tobytes() for r in results}) == 1


def test_filters_that_are_left_alone():
    x = numbers(1, 16, 12, 12)
    for filters, options in [
        ((33, 16, 3, 3), {}),  # a panel that is not full
        ((64, 16, 1, 1), {}),  # nothing to gather
        ((64, 4, 3, 3), {"groups": 4}),
    ]:
        w = numbers(*filters, seed=1)
        f = dlc.compile(lambda x, w=w, o=options: dlc.conv2d(x, w, **o))
        assert PACKED not in kernels(f, x)
    half, w = x.astype(np.float16), numbers(64, 16, 3, 3).astype(np.float16)
    assert PACKED not in kernels(dlc.compile(lambda x: dlc.conv2d(x, w)), half)
    large, w = numbers(1, 2, 70, 70), numbers(96, 2, 3, 3)
    assert PACKED not in kernels(dlc.compile(lambda x: dlc.conv2d(x, w)), large)


def test_derivatives_pass_through_fixed_filters():
    x, w = numbers(2, 6, 8, 8), numbers(32, 6, 3, 3, seed=1)

    def loss(x, w):
        return dlc.sum(dlc.conv2d(x, w, padding=1) ** 2)

    got = dlc.compile(dlc.grad(lambda x: loss(x, w)))(x).numpy()
    wanted = dlc.grad(loss)(x, w).numpy()
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-4)


def test_special_values():
    x, w = numbers(1, 4, 6, 6), numbers(32, 4, 3, 3, seed=1)
    x[0, 0, 2, 2], x[0, 1, 5, 5], w[3, 2, 1, 1], w[9] = np.nan, np.inf, -np.inf, -0.0
    _, got, wanted = both(dlc.conv2d, x, w)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("rows", [1, 5, 16, 37])
def test_products_that_are_stored_turned(level, rows):
    """Sums of a row are stored a column apart: by transposed blocks."""
    x, w, r = numbers(rows, 50), numbers(50, 70, seed=1), numbers(70, rows, seed=2)
    with config.scope(isa=level):
        f = dlc.compile(lambda x, r: dlc.relu((x @ w).T + r))
        got = f(x, r).numpy()
        wanted = np.maximum(dlc.compile(lambda x: x @ w)(x).numpy().T + r, 0)
    np.testing.assert_array_equal(got, wanted)
