"""Axes that alternate between two expressions, as axes over pairs: strides of two, interleaving."""

import itertools
import re

import numpy as np
import pytest

import dlc

torch = pytest.importorskip("torch")
fn, functional = dlc.nn.functional, torch.nn.functional


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def kernels(function, *args):
    return dlc.compile(function).lower(*args).as_text("kernels", locations=False)


def gradient(function, ct):
    return dlc.grad(lambda x: dlc.sum(function(x) * ct))


def check_gradient(ours, theirs, x):
    """A function and its gradient, compiled, against PyTorch at float64."""
    given = torch.from_numpy(x).double().requires_grad_()
    y = theirs(given)
    ct = numbers(*y.shape, seed=1)
    (expected,) = torch.autograd.grad(y, given, torch.from_numpy(ct).double())
    np.testing.assert_allclose(dlc.compile(ours)(x).numpy(), y.detach().numpy(), atol=1e-5)
    found = dlc.compile(gradient(ours, ct))(x).numpy()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)


WINDOWS = [
    (k, s, p) for k, s, p in itertools.product((1, 2, 3, 5), (2, 3, 4), (0, 1, 2)) if p <= k // 2
]


def sizes_of(kind, window):
    """Small and large extents, odd and even.

    Maxima of 25 elements take as long to compile as all others together: of those, half of the
    sizes a window, so that every stride and every padding meets every size.
    """
    kernel, stride, padding = window
    sizes = ((7, 8), (34, 35)), ((12, 6), (5, 66))
    if (kind, kernel) == ("max", 5):
        return sizes[(stride + padding) % 2]
    return [*sizes[0], *sizes[1]]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_gradients_of_pooling_with_strides(kind, window):
    kernel, stride, padding = window
    pool = f"{kind}_pool2d"
    for height, width in sizes_of(kind, window):
        check_gradient(
            lambda x: getattr(fn, pool)(x, kernel, stride, padding),
            lambda x: getattr(functional, pool)(x, kernel, stride, padding),
            numbers(2, 3, height, width),
        )


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("window", [(1, 2, 0), (3, 2, 1), (2, 2, 0), (4, 2, 1), (3, 3, 1)], ids=str)
def test_gradients_of_convolutions_with_strides(window, groups):
    kernel, stride, padding = window
    w = numbers(6, 6 // groups, kernel, kernel, seed=2)
    how = dict(stride=stride, padding=padding, groups=groups)
    for height, width in ((8, 7), (10, 36)):
        check_gradient(
            lambda x: fn.conv2d(x, w, **how),
            lambda x: functional.conv2d(x, torch.from_numpy(w).double(), **how),
            numbers(2, 6, height, width),
        )


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_interpolation_and_its_gradient(mode, scale):
    for height, width in ((1, 1), (3, 40), (17, 5)):
        check_gradient(
            lambda x: fn.interpolate(x, scale_factor=scale, mode=mode),
            lambda x: functional.interpolate(x, scale_factor=scale, mode=mode),
            numbers(2, 3, height, width),
        )


def test_what_alternates_is_over_pairs():
    ct, x = numbers(2, 8, 9), numbers(2, 16, 18)
    text = kernels(gradient(lambda x: fn.avg_pool2d(x, 2), ct), x)
    places = re.findall(r"o\[\w+,(.*?)\] =", text)
    assert [re.sub(r"\w\*2", "2", p) for p in places] == ["2,2", "2+1,2", "2,2+1", "2+1,2+1"]
    assert "select" not in text
    assert "%" not in text
    text = kernels(lambda x: dlc.repeat(dlc.repeat(x, 2, axis=1), 2, axis=2), x)
    assert "/" not in text.partition("# program")[0]


@pytest.mark.parametrize("shift", [-3, -2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("extent", [2, 3, 4, 34, 35, 66])
def test_halves_of_places_some_way_off(shift, extent):
    places = (np.arange(extent) + shift) // 2
    x, y = numbers(extent + 4, seed=3), numbers(extent + 4, seed=4)

    def taken(x, y):
        at = (dlc.arange(extent) + shift) // 2 + 2
        return dlc.where((dlc.arange(extent) + shift) % 2 == 0, x[at], -y[at])

    expected = np.where((np.arange(extent) + shift) % 2 == 0, x[places + 2], -y[places + 2])
    np.testing.assert_array_equal(dlc.compile(taken)(x, y).numpy(), expected)
