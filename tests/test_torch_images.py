"""Pooling, resizing and norms of channels agree with PyTorch, in values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  as PyTorch's users call it
from torch_judge import judge

import dlc


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def judge_all(x, calls):
    """Several calls of functions of both frameworks, their results as one."""

    def ours(v):
        return dlc.concat([dlc.reshape(getattr(dlc, n)(v, *a, **k), (-1,)) for n, a, k in calls])

    def theirs(v):
        return torch.cat([getattr(F, n)(v, *a, **k).reshape(-1) for n, a, k in calls])

    for name, args, settings in calls:
        shape = tuple(getattr(F, name)(torch.tensor(x), *args, **settings).shape)
        assert getattr(dlc, name)(x, *args, **settings).shape == shape
    judge(ours, theirs, [x])


GROUPS = {
    "max": ((2, 3, 9, 11), [
        ("max_pool2d", (2,), {}), ("max_pool2d", (3, 2, 1), {}),
        ("max_pool2d", ((3, 2), (2, 1), (1, 0), (2, 3)), {"ceil_mode": True}),
        ("max_pool2d", (9, 1, 4), {}), ("adaptive_max_pool2d", ((3, 4),), {}),
        ("adaptive_max_pool2d", ((None, 11),), {}),
    ]),
    "max of other ranks": ((2, 4, 5, 6, 7), [
        ("max_pool3d", (2,), {}), ("max_pool3d", ((1, 2, 3), 2, (0, 1, 1)), {}),
        ("adaptive_max_pool3d", ((2, 3, 3),), {}),
    ]),
    "lines": ((2, 3, 20), [
        ("max_pool1d", (3,), {}), ("avg_pool1d", (4, 3, 1), {}), ("adaptive_max_pool1d", (7,), {}),
        ("adaptive_avg_pool1d", (6,), {}), ("lp_pool1d", (2, 3, 2), {}),
        ("interpolate", (13,), {"mode": "linear"}), ("max_pool1d", (3, 2), {"ceil_mode": True}),
        ("lp_pool1d", (2, 3), {"ceil_mode": True}),
    ]),
    "means": ((2, 3, 10, 8), [
        ("avg_pool2d", (2,), {}), ("avg_pool2d", (3, 2, 1), {"count_include_pad": False}),
        ("avg_pool2d", (3, 2, 1), {"ceil_mode": True}),
        ("avg_pool2d", ((3, 2), (2, 3), 1), {"ceil_mode": True, "count_include_pad": False}),
        ("avg_pool2d", (3,), {"divisor_override": 5}), ("avg_pool2d", (8, 1, 4), {}),
        ("adaptive_avg_pool2d", (1,), {}), ("adaptive_avg_pool2d", ((4, 3),), {}),
        ("adaptive_avg_pool2d", ((5, None),), {}), ("lp_pool2d", (2, 3, 2), {}),
        ("lp_pool2d", (2, (3, 5), 3), {"ceil_mode": True}),
        ("local_response_norm", (2,), {"alpha": 0.5}), ("local_response_norm", (3,), {"k": 2.0}),
    ]),
    "volumes": ((1, 2, 4, 5, 6), [
        ("avg_pool3d", (2, 1, 1), {}), ("adaptive_avg_pool3d", ((2, 3, 2),), {}),
        ("lp_pool3d", (2, 2), {}), ("interpolate", ((3, 7, 6),), {"mode": "trilinear"}),
        ("interpolate", ((8, 3, 9),), {}),
    ]),
    "windows": ((2, 4, 7, 8), [
        ("unfold", ((2, 3), 1, 1, 2), {}), ("unfold", (3,), {"dilation": 2}),
        ("pixel_shuffle", (2,), {}), ("pixel_unshuffle", (1,), {}),
    ]),
    "resizing": ((2, 3, 5, 8), [
        ("interpolate", (), {"scale_factor": 2}), ("interpolate", ((7, 3),), {}),
        ("interpolate", (), {"scale_factor": (1.7, 0.6)}),
        ("interpolate", ((7, 3),), {"mode": "nearest-exact"}),
        ("interpolate", ((9, 6),), {"mode": "bilinear"}),
        ("interpolate", ((9, 6),), {"mode": "bilinear", "align_corners": True}),
        ("interpolate", (), {"scale_factor": 1.7, "mode": "bilinear"}),
        ("interpolate", (), {"scale_factor": 1.7, "mode": "bilinear",
                             "recompute_scale_factor": True}),
        ("interpolate", ((3, 11),), {"mode": "bicubic"}),
        ("interpolate", ((3, 11),), {"mode": "bicubic", "align_corners": True}),
        ("interpolate", ((3, 11),), {"mode": "area"}),
        ("interpolate", ((2, 3),), {"mode": "bilinear", "antialias": True}),
        ("interpolate", ((2, 3),), {"mode": "bicubic", "antialias": True}),
    ]),
    "resizing by a factor to as many, or twice as many": ((2, 3, 5, 4), [
        ("interpolate", (), {"scale_factor": (1.15, 2.2)}),
        ("interpolate", (), {"scale_factor": (1.15, 2.2), "mode": "bilinear"}),
        ("interpolate", (), {"scale_factor": (1.15, 2.2), "mode": "bicubic"}),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_agrees(group):
    shape, calls = GROUPS[group]
    judge_all(draw(*shape), calls)


def test_norms_of_windows_of_zeros_have_the_gradient_zero():
    x = np.float32([[[0, 0, 3, 4]]])
    slope = dlc.grad(lambda v: dlc.lp_pool1d(v, 2, 2).sum())
    for f in (slope, dlc.compile(slope)):
        assert np.allclose(f(x).numpy(), [[[0, 0, 0.6, 0.8]]])
    assert dlc.lp_pool1d(np.float16([[[0, 300]]]), 2, 2).item() == 300  # whose square is infinite


def test_smooth_images_that_a_factor_leaves_as_long():
    x, how = draw(2, 3, 5, 4), {"scale_factor": 1.15, "mode": "bilinear", "antialias": True}
    # PyTorch's gradient is not that of its result.
    assert np.array_equal(dlc.interpolate(x, **how).numpy(), x)
    assert np.array_equal(F.interpolate(torch.tensor(x), **how).numpy(), x)


def test_folded_windows():
    judge_all(draw(2, 12, 9), [("fold", (4, 2), {})])
    judge_all(draw(2, 27, 16), [("fold", ((8, 8), 3, 1, 1, 2), {})])


@pytest.mark.parametrize(
    ("name", "shape", "args"),
    [
        ("max_pool2d", (2, 3, 9, 8), (3, 2, 1)), ("max_pool1d", (2, 3, 9), (3, 2, 1)),
        ("max_pool3d", (2, 3, 5, 6, 7), (2,)), ("adaptive_max_pool2d", (3, 9, 8), ((4, 3),)),
        ("adaptive_max_pool2d", (2, 3, 9, 8), ((3, 4),)),
    ],
)  # fmt: skip
def test_places_of_the_largest(name, shape, args):
    x = draw(*shape).round()  # with equal elements
    values, places = getattr(dlc, name)(x, *args, return_indices=True)
    wanted, at = getattr(F, name)(torch.tensor(x), *args, return_indices=True)
    assert np.array_equal(values.numpy(), wanted.numpy())
    assert np.array_equal(places.numpy(), at.numpy())


def test_the_first_of_equal_elements_has_the_derivative():
    x = np.zeros((1, 1, 4, 4), np.float32)
    for size in (2, (4, 3)):
        given = torch.tensor(x, requires_grad=True)
        F.max_pool2d(given, size, 1).sum().backward()
        found = dlc.grad(lambda v, s=size: dlc.sum(dlc.max_pool2d(v, s, 1)))(x)
        assert np.array_equal(found.numpy(), given.grad.numpy())


def test_special_values_and_integers():
    x = np.array([[[1.0, np.nan, 2.0, -np.inf, -np.inf, np.inf, 0.0, -0.0]]], np.float32)
    assert np.array_equal(dlc.max_pool1d(x, 2).numpy(), [[[np.nan, 2, np.inf, 0]]], equal_nan=True)
    assert np.isneginf(dlc.max_pool1d(x[..., 3:5], 2).numpy()).all()
    k = np.array([[[-128, 3, 127, -1]]], np.int8)
    assert dlc.max_pool1d(k, 3, 1, 1).numpy().tolist() == [[[3, 127, 127, 127]]]


def test_norms_of_channels():
    x = draw(3, 6, 4, 5) * 2 + 1
    w, b, m = draw(6, seed=1), draw(6, seed=2), draw(6, seed=3)
    v = np.abs(draw(6, seed=4)) + 0.5
    judge(
        lambda x, w, b: dlc.batch_norm(x, m, v, w, b),
        lambda x, w, b: F.batch_norm(x, *(torch.tensor(a, dtype=x.dtype) for a in (m, v)), w, b),
        [x, w, b],
    )
    judge(
        lambda x, w, b: dlc.batch_norm(x, weight=w, bias=b, training=True)[0],
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        [x, w, b],
    )
    judge(
        lambda x, w, b: dlc.group_norm(x, 3, w, b, eps=1e-3),
        lambda x, w, b: F.group_norm(x, 3, w, b, eps=1e-3),
        [x, w, b],
    )
    judge(dlc.instance_norm, lambda x, w, b: F.instance_norm(x, weight=w, bias=b), [x, w, b])
    mean, var = torch.tensor(m), torch.tensor(v)
    F.batch_norm(torch.tensor(x), mean, var, training=True, momentum=0.3)
    _, new_mean, new_var = dlc.batch_norm(x, m, v, training=True, momentum=0.3)
    np.testing.assert_allclose(new_mean.numpy(), mean.numpy(), 1e-5, 1e-6)
    np.testing.assert_allclose(new_var.numpy(), var.numpy(), 1e-5, 1e-6)


def test_any_batch_and_extents_by_one_program():
    f = dlc.compile(lambda x: dlc.avg_pool2d(dlc.max_pool2d(x, 3, 2, 1), 2, 1))
    for shape in ((1, 2, 8, 8), (3, 2, 9, 12), (2, 2, 16, 7)):
        x = draw(*shape)
        wanted = F.avg_pool2d(F.max_pool2d(torch.tensor(x), 3, 2, 1), 2, 1)
        np.testing.assert_allclose(f(x).numpy(), wanted.numpy(), 1e-6, 1e-6)


X = np.ones((1, 2, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dlc.max_pool2d(X[0, 0], 2), r"max_pool2d of f32\[4,4\]: it takes a tensor"),
        (lambda: dlc.max_pool2d(X, 5), "covers 5 elements along axis 2, which has 4"),
        (lambda: dlc.max_pool2d(X, 6, 2, ceil_mode=True), "covers 6 elements along axis 2, .* 4"),
        (lambda: dlc.max_pool2d(X, 2, padding=2), "at most half of kernel_size"),
        (lambda: dlc.max_pool2d(X, (2, 2, 2)), "kernel_size is .2, 2, 2., there are 2 axes"),
        (lambda: dlc.avg_pool2d(X.astype(int), 2), "the dtype must be float"),
        (lambda: dlc.adaptive_avg_pool2d(X, (1, 2, 3)), "there are 2 axes"),
        (lambda: dlc.adaptive_max_pool2d(X, 0), "output_size is 0"),
        (lambda: dlc.lp_pool2d(X, 0, 2), "norm_type is 0"),
        (lambda: dlc.fold(np.ones((1, 12, 8)), 4, 2), "have 9 windows of 4 elements"),
        (lambda: dlc.interpolate(X), "either size or scale_factor"),
        (lambda: dlc.interpolate(X, 3, mode="cubic"), "no mode 'cubic'"),
        (lambda: dlc.interpolate(X, 3, mode="linear"), "with 1 axes S"),
        (lambda: dlc.interpolate(X, 3, align_corners=True), "has no align_corners"),
        (lambda: dlc.interpolate(X, scale_factor=0.1), "nothing is left"),
        (lambda: dlc.pixel_shuffle(X, 2), "2 channels are no multiple of 4"),
        (lambda: dlc.pixel_unshuffle(X, 3), "4 or 4 is no multiple of 3"),
        (lambda: dlc.batch_norm(X), "needs running_mean"),
        (lambda: dlc.batch_norm(X, X[0, 0, 0], X[0, 0, 0]), r"it must be f32\[2\]"),
        (lambda: dlc.group_norm(X, 3), "2 channels cannot be divided into 3 groups"),
        (lambda: dlc.instance_norm(X[0, 0]), r"it takes a tensor \[N, C"),
        (lambda: dlc.local_response_norm(X, 0), "size is 0"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
