"""Neighbouring axes as one: of nests, of reductions, and of the tensors that they walk."""

import itertools
import re

import numpy as np
import pytest

import dlc

KINDS = ("sum", "mean", "max", "min", "prod", "var", "std", "all", "any", "logsumexp")
SHAPE = (3, 5, 4, 7)


def kernels(function, *args):
    return dlc.compile(function).lower(*args).as_text("kernels", locations=False)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def reductions(text):
    """The axes of each reduction, as numbers of them."""
    return [len(found.split("<")) - 1 for found in re.findall(r"sum\((.*?), [a-z]\w*\[", text)]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ((1, 2), [1]),
        ((2, 3), [1]),
        ((0, 1), [1]),
        ((1, 2, 3), [1]),
        ((0, 2, 3), [2]),
        ((0, 2), [2]),
    ],
)
def test_axes_that_are_reduced_together_are_one(axes, expected):
    assert reductions(kernels(lambda x: dlc.sum(x, axis=axes), numbers(*SHAPE))) == expected


def test_what_a_reduction_shares_with_later_statements_is_merged_there_too():
    def centred(x):
        return x - dlc.sum(x, axis=(1, 2), keepdims=True)

    text = kernels(centred, numbers(64, 30, 50))
    assert "x: f32[d0,d1]" in text
    assert reductions(text) == [1]


def test_axes_stay_apart_where_something_tells_them_apart():
    given = numbers(6, 9, 8), numbers(9), numbers(8, seed=1)
    cases = {
        "rows": lambda x, r, c: dlc.sum(x * r[:, None], axis=(1, 2)),
        "columns": lambda x, r, c: dlc.sum(dlc.maximum(x, c), axis=(1, 2)),
        "turned": lambda x, r, c: dlc.sum(x + x[:, ::-1], axis=(1, 2)),
        "cut": lambda x, r, c: dlc.sum(x[:, :, 1:], axis=(1, 2)),
        "position": lambda x, r, c: dlc.sum(dlc.where(dlc.arange(8) > 3, x, 0.0), axis=(1, 2)),
    }
    for name, function in cases.items():
        assert name == "rows" or reductions(kernels(function, *given)) == [2], name
        exact = function(*(dlc.asarray(a.astype(np.float64)) for a in given)).numpy()
        found = dlc.compile(function)(*given).numpy()
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_reduction_over_every_choice_of_axes(kind):
    x = numbers(*SHAPE)
    for count in range(1, 5):
        for axes in itertools.combinations(range(4), count):
            wide = x.astype(np.float64)
            if kind == "logsumexp":
                expected = np.log(np.exp(wide).sum(axis=axes))
            else:
                expected = getattr(np, kind)(
                    wide > 0.2 if kind in ("all", "any") else wide, axis=axes
                )

            def reduced(x, axes=axes):
                return getattr(dlc, kind)(x > 0.2 if kind in ("all", "any") else x, axis=axes)

            found = dlc.compile(reduced)(x).numpy()
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5, err_msg=str(axes))


@pytest.mark.parametrize("axes", [(1, 2), (2, 3), (1, 2, 3), (0, 2, 3), (0, 1)])
def test_normalisation_over_several_axes(axes):
    def normalised(x, scale):
        mean = dlc.mean(x, axis=axes, keepdims=True)
        centred = x - mean
        return centred * dlc.rsqrt(dlc.mean(centred * centred, axis=axes, keepdims=True)) * scale

    x, scale = numbers(*SHAPE), numbers(*SHAPE[1:], seed=1)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(axes, keepdims=True)) / wide.std(axes, keepdims=True) * scale
    np.testing.assert_allclose(dlc.compile(normalised)(x, scale).numpy(), expected, atol=2e-5)
    gradient = dlc.compile(dlc.grad(lambda x, s: dlc.sum(normalised(x, s) ** 3)))(x, scale)
    step, at = 1e-3, np.unravel_index(17, x.shape)

    def total(by):
        moved = wide.copy()
        moved[at] += by
        centred = moved - moved.mean(axes, keepdims=True)
        return float(((centred / moved.std(axes, keepdims=True) * scale) ** 3).sum())

    slope = (total(step) - total(-step)) / (2 * step)
    np.testing.assert_allclose(gradient.numpy()[at], slope, rtol=2e-3, atol=2e-3)
