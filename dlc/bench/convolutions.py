"""Layers of convolutional networks: a convolution, a bias and relu, and their gradients.

A layer is padded such that its result is as large as its input, but for its stride. The images of
inference have weights that stay the same; in training everything is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program

F32 = 4  # bytes
_KINK = np.float32(1e-3)  # sums nearer to zero have no part in gradients


def _shapes(e: Extents) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Of the images, the filters and the biases."""
    groups = e.get("groups", 1)
    x = (e["b"], e["i"] * groups, e["n"], e["n"])
    return x, (e["o"] * groups, e["i"], e["k"], e["k"]), (e["o"] * groups,)


def _result(e: Extents, stride: int) -> tuple[int, ...]:
    side = (e["n"] - 1) // stride + 1
    return (e["b"], e["o"] * e.get("groups", 1), side, side)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, np.float32)


def _weights(rng: np.random.Generator, e: Extents) -> Arrays:
    _, w, b = _shapes(e)
    return _normal(rng, w) / np.float32(math.sqrt(math.prod(w[1:]))), _normal(rng, b)


def _windows(x: Array, w: Array, stride: int) -> Any:
    """For each element of the filters, what it is multiplied by: (r, s, part of the padded x)."""
    k, side = w.shape[2], (x.shape[2] - 1) // stride + 1
    wide = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    reach = (side - 1) * stride + 1
    for r in range(k):
        for s in range(k):
            yield r, s, wide, (slice(r, r + reach, stride), slice(s, s + reach, stride))


def _grouped(x: Array, groups: int, axis: int) -> Array:
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def _sums(stride: int) -> Callable[..., Array]:
    """A layer without its relu."""

    def sums(x: Array, w: Array, b: Array) -> Array:
        groups = x.shape[1] // w.shape[1]
        filters = _grouped(w, groups, 0)
        total: Any = 0
        for r, s, wide, (rows, columns) in _windows(x, w, stride):
            part = _grouped(wide[:, :, rows, columns], groups, 1)
            total = total + np.einsum("ngcpq,goc->ngopq", part, filters[..., r, s], optimize=True)
        total = total.reshape(total.shape[0], -1, *total.shape[3:])
        return total + b[:, None, None]

    return sums


def _layer(stride: int) -> Callable[..., Array]:
    return lambda x, w, b: np.maximum(_sums(stride)(x, w, b), 0)


def _gradient(stride: int) -> Callable[..., Arrays]:
    def gradient(x: Array, w: Array, b: Array, ct: Array) -> Arrays:
        groups = x.shape[1] // w.shape[1]
        y = _layer(stride)(x, w, b)
        ct = ct * (y > 0)
        d, filters = _grouped(ct, groups, 1), _grouped(w, groups, 0)
        dw = np.zeros_like(filters)
        dx: Any = None
        for r, s, wide, (rows, columns) in _windows(x, w, stride):
            part = _grouped(wide[:, :, rows, columns], groups, 1)
            dw[..., r, s] = np.einsum("ngopq,ngcpq->goc", d, part, optimize=True)
            dx = np.zeros_like(wide) if dx is None else dx
            back = np.einsum("ngopq,goc->ngcpq", d, filters[..., r, s], optimize=True)
            dx[:, :, rows, columns] += back.reshape(back.shape[0], -1, *back.shape[3:])
        k = w.shape[2] // 2
        dx = dx[:, :, k : k + x.shape[2], k : k + x.shape[3]]
        return y, dx, dw.reshape(w.shape), ct.sum((0, 2, 3))

    return gradient


def _operations(e: Extents, stride: int) -> int:
    return 2 * math.prod(_result(e, stride)) * e["i"] * e["k"] ** 2


def _bytes(e: Extents, stride: int) -> int:
    return F32 * (sum(map(math.prod, _shapes(e))) + math.prod(_result(e, stride)))


def _inference(stride: int) -> Problem:
    def build(constants: Sequence[Array]) -> Program:
        w, b = constants
        return lambda x: _layer(stride)(x, w, b)

    return Problem(
        "convolution" if stride == 1 else "convolution_strided",
        lambda rng, e: (_normal(rng, _shapes(e)[0]),),
        build,
        operations=lambda e: _operations(e, stride),
        bytes=lambda e: _bytes(e, stride),
        constants=_weights,
    )


def _training(stride: int) -> Problem:
    def inputs(rng: np.random.Generator, e: Extents) -> Arrays:
        given = (_normal(rng, _shapes(e)[0]), *_weights(rng, e))
        ct = _normal(rng, _result(e, stride))
        # At the kink of relu, rounding decides whether there is a slope.
        return (*given, ct * (np.abs(_sums(stride)(*given)) > _KINK))

    return Problem(
        "convolution_gradient" if stride == 1 else "convolution_strided_gradient",
        inputs,
        lambda constants: _gradient(stride),
        operations=lambda e: 3 * _operations(e, stride),
        bytes=lambda e: 3 * _bytes(e, stride),
    )


INFERENCE = {stride: _inference(stride) for stride in (1, 2)}
TRAINING = {stride: _training(stride) for stride in (1, 2)}

# Name, channels of images and result, side of images, of filters, stride, groups.
_LAYERS = (
    ("resnet conv1", 3, 64, 224, 7, 2, 1),
    ("resnet 64-64 1x1", 64, 64, 56, 1, 1, 1),
    ("resnet 64-64 3x3", 64, 64, 56, 3, 1, 1),
    ("resnet 64-256 1x1", 64, 256, 56, 1, 1, 1),
    ("resnet 128-128 3x3/2", 128, 128, 56, 3, 2, 1),
    ("resnet 128-128 3x3", 128, 128, 28, 3, 1, 1),
    ("resnet 256-512 1x1/2", 256, 512, 56, 1, 2, 1),
    ("resnet 256-256 3x3", 256, 256, 14, 3, 1, 1),
    ("resnet 1024-256 1x1", 1024, 256, 14, 1, 1, 1),
    ("resnet 512-512 3x3", 512, 512, 7, 3, 1, 1),
    ("mobilenet conv1", 3, 32, 224, 3, 2, 1),
    ("mobilenet 32 depthwise", 1, 1, 112, 3, 1, 32),
    ("mobilenet 144 depthwise/2", 1, 1, 56, 3, 2, 144),
    ("mobilenet 384 depthwise", 1, 1, 14, 3, 1, 384),
    ("mobilenet 24-144 1x1", 24, 144, 56, 1, 1, 1),
    ("mobilenet 320-1280 1x1", 320, 1280, 7, 1, 1, 1),
    ("unet 64-64 3x3", 64, 64, 128, 3, 1, 1),
    ("unet 128-128 3x3", 128, 128, 64, 3, 1, 1),
    ("unet 256-128 3x3", 256, 128, 64, 3, 1, 1),
    ("unet 512-512 3x3", 512, 512, 16, 3, 1, 1),
)
TRAINING_BATCH = 4


def _cases(problems: dict[int, Problem], batch: int, suffix: str) -> list[Case]:
    return [
        Case(
            f"{name}{suffix}",
            problems[stride],
            dict(b=batch, i=i, o=o, n=n, k=k, groups=groups),
        )
        for name, i, o, n, k, stride, groups in _LAYERS
    ]


CASES = (
    *_cases(INFERENCE, 1, ""),
    *_cases(TRAINING, TRAINING_BATCH, f" gradient batch {TRAINING_BATCH}"),
)
SMOKE = tuple(
    Case(problem.name.replace("_", " "), problem, dict(b=2, i=3, o=5, n=7, k=3, groups=2))
    for problem in (*INFERENCE.values(), *TRAINING.values())
)
