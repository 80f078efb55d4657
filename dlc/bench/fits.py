"""An epoch of `fit` as a problem: a small network of convolutions on images of digits, in NumPy.

Two convolutions of 3 by 3 with relu and a maximum of 2 by 2 each, a linear layer, cross-entropy and
Adam, as Keras's guides have them. A set of inputs is an epoch, in batches; the result is its mean
loss. The order of the samples is that of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program

F32 = 4  # bytes
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-7  # of Keras's Adam
CLASSES = 10


def _shapes(e: Extents) -> list[tuple[int, ...]]:
    """Of the parameters: filters as (out, in, 3, 3), the matrix as (out, in)."""
    last = e["d"] * (e["n"] // 4) ** 2
    return [(e["c"], 1, 3, 3), (e["c"],), (e["d"], e["c"], 3, 3), (e["d"],), (CLASSES, last),
            (CLASSES,)]  # fmt: skip


def _draw_parameters(rng: np.random.Generator, e: Extents) -> Arrays:
    drawn: list[Array] = []
    for shape in _shapes(e):
        scale = math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
        drawn.append(rng.standard_normal(shape, np.float32) * np.float32(scale))
    return tuple(drawn)


def _draw_epoch(rng: np.random.Generator, e: Extents) -> Arrays:
    """Images in batches, and their classes, which lie where the image is bright."""
    y = rng.integers(0, CLASSES, (e["s"], e["b"]))
    x = rng.standard_normal((e["s"], e["b"], 1, e["n"], e["n"]), np.float32)
    x[..., 0, :, :] += np.float32(0.3) * y[..., None, None].astype(np.float32)
    return x, y


def _convolution(x: Array, w: Array, b: Array) -> Array:
    n = x.shape[2]
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    parts = (
        np.einsum("bchw,oc->bohw", wide[:, :, r : r + n, s : s + n], w[:, :, r, s], optimize=True)
        for r in range(3)
        for s in range(3)
    )
    return sum(parts) + b[:, None, None]


def _convolution_gradients(x: Array, w: Array, ct: Array) -> tuple[Array, Array, Array]:
    n = x.shape[2]
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    dx, dw = np.zeros_like(wide), np.zeros_like(w)
    for r in range(3):
        for s in range(3):
            part = (slice(None), slice(None), slice(r, r + n), slice(s, s + n))
            dw[:, :, r, s] = np.einsum("bohw,bchw->oc", ct, wide[part], optimize=True)
            dx[part] += np.einsum("bohw,oc->bchw", ct, w[:, :, r, s], optimize=True)
    return dx[:, :, 1:-1, 1:-1], dw, ct.sum((0, 2, 3))


def _windows(x: Array) -> Array:
    """Windows of 2 by 2 side by side, as the last axis; a last row that is alone is left out."""
    half = x.shape[2] // 2
    x = x[:, :, : 2 * half, : 2 * half]
    split = x.reshape(*x.shape[:2], half, 2, half, 2)
    return split.transpose(0, 1, 2, 4, 3, 5).reshape(*x.shape[:2], half, half, 4)


def _unpooled(ct: Array, chosen: Array, like: Array) -> Array:
    """What goes back through the maximum of windows, and through relu."""
    half = ct.shape[2]
    spread = np.where(np.arange(4) == chosen[..., None], ct[..., None], 0)
    spread = spread.reshape(*ct.shape, 2, 2).transpose(0, 1, 2, 4, 3, 5)
    found = np.zeros_like(like)
    found[:, :, : 2 * half, : 2 * half] = spread.reshape(*ct.shape[:2], 2 * half, 2 * half)
    return np.where(like > 0, found, 0)


def _layer(x: Array, w: Array, b: Array) -> tuple[Array, Array, Array]:
    """Sums, the places of the largest in windows, and the largest."""
    sums = _convolution(x, w, b)
    windows = _windows(np.maximum(sums, 0))
    return sums, windows.argmax(-1), windows.max(-1)


def _gradients(parameters: Sequence[Array], x: Array, y: Array) -> tuple[Any, list[Array]]:
    w1, b1, w2, b2, w3, b3 = parameters
    sums1, chosen1, h1 = _layer(x, w1, b1)
    sums2, chosen2, h2 = _layer(h1, w2, b2)
    flat = h2.reshape(len(x), -1)
    logits = flat @ w3.T + b3
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    rows = np.arange(len(x))
    loss = -logs[rows, y].mean()
    ct = np.exp(logs)
    ct[rows, y] -= 1
    ct /= len(x)
    back2 = _unpooled((ct @ w3).reshape(h2.shape), chosen2, sums2)
    dh1, dw2, db2 = _convolution_gradients(h1, w2, back2)
    _, dw1, db1 = _convolution_gradients(x, w1, _unpooled(dh1, chosen1, sums1))
    return loss, [dw1, db1, dw2, db2, ct.T @ flat, ct.sum(0)]


def _fit(constants: Sequence[Array]) -> Program:
    parameters = [a.copy() for a in constants]
    first, second = ([np.zeros_like(a) for a in constants] for _ in range(2))
    count = 0

    def epoch(x: Array, y: Array) -> Any:
        nonlocal count
        losses: list[Any] = []
        for images, labels in zip(x, y, strict=True):
            loss, gradients = _gradients(parameters, images, labels)
            losses.append(loss)
            count += 1
            rate = RATE * math.sqrt(1 - BETA2**count) / (1 - BETA1**count)
            for k, g in enumerate(gradients):
                first[k] += (1 - BETA1) * (g - first[k])
                second[k] += (1 - BETA2) * (g * g - second[k])
                parameters[k] -= rate * first[k] / (np.sqrt(second[k]) + EPSILON)
        return np.mean(losses)

    return epoch


def _operations(e: Extents) -> int:
    first, second = 9 * e["c"] * e["n"] ** 2, 9 * e["c"] * e["d"] * (e["n"] // 2) ** 2
    last = CLASSES * e["d"] * (e["n"] // 4) ** 2
    return e["s"] * e["b"] * 2 * (2 * first + 3 * second + 3 * last)


def _bytes(e: Extents) -> int:
    kept = e["c"] * e["n"] ** 2 + e["d"] * (e["n"] // 2) ** 2
    parameters = sum(map(math.prod, _shapes(e)))
    return F32 * e["s"] * (e["b"] * (e["n"] ** 2 + 2 * kept) + 6 * parameters)


FIT = Problem(
    "fit",
    _draw_epoch,
    _fit,
    operations=_operations,
    bytes=_bytes,
    constants=_draw_parameters,
    tolerance=1e-3,  # one value on the other side of a kink, and the steps after it differ
)
DIGITS = dict(s=56, b=32, c=16, d=32, n=8)  # all 1797 digits of scikit-learn, but five
CASES = (
    Case("fit digits 56 steps of 32", FIT, DIGITS),
    Case("fit digits 28 steps of 64", FIT, {**DIGITS, "s": 28, "b": 64}),
    Case("fit digits 14 steps of 128", FIT, {**DIGITS, "s": 14, "b": 128}),
)
SMOKE = (Case("fit", FIT, dict(s=4, b=8, c=3, d=5, n=8)),)
