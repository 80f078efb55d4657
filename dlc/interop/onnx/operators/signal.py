"""Windows, filters and Fourier transforms: real and imaginary parts are a last axis of two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.element_types import COMPUTED, FLOAT
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import ints


def _window(node: Any, size: Any, coefficients: tuple[float, ...]) -> Any:
    count = int(ints(size)[0])
    span = count if node.attr("periodic", 1) else count - 1
    k = np.arange(count, dtype=np.float64)
    made = sum(
        (-1) ** n * c * np.cos(2 * math.pi * n * k / span) for n, c in enumerate(coefficients)
    )
    kind = COMPUTED[node.attr("output_datatype", FLOAT)]
    return np.asarray(made).astype(np.dtype(kind.numpy))


@operator("HannWindow", since=17, known=(0,))
def hann_window(node: Any, size: Any) -> Any:
    """Half a cosine, raised."""
    return _window(node, size, (0.5, 0.5))


@operator("HammingWindow", since=17, known=(0,))
def hamming_window(node: Any, size: Any) -> Any:
    """A raised cosine that does not reach zero."""
    return _window(node, size, (25 / 46, 21 / 46))


@operator("BlackmanWindow", since=17, known=(0,))
def blackman_window(node: Any, size: Any) -> Any:
    """Two cosines."""
    return _window(node, size, (0.42, 0.5, 0.08))


def _mel(hertz: Any) -> Any:
    return 2595 * np.log10(1 + hertz / 700)


@operator("MelWeightMatrix", since=17, known=(0, 1, 2, 3, 4))
def mel_weight_matrix(node: Any, bands: Any, length: Any, rate: Any, lower: Any, upper: Any) -> Any:
    """Triangles on the mel scale, over the bins of a spectrum."""
    count, size = int(bands.reshape(-1)[0]), int(length.reshape(-1)[0])
    low, high = float(lower.reshape(-1)[0]), float(upper.reshape(-1)[0])
    bins = size // 2 + 1
    points = np.arange(count + 2)
    mel_low, mel_high = _mel(low), _mel(high)
    mels = points * (mel_high - mel_low) / (count + 2) + mel_low
    hertz = 700 * (10 ** (mels / 2595) - 1)
    edges = ((size + 1) * hertz // int(rate.reshape(-1)[0])).astype(np.int64)
    made = np.zeros((bins, count))
    for k in range(count):
        a, b, c = edges[k : k + 3]
        if b == a:
            made[b, k] = 1
        else:
            rise = np.arange(a, b + 1)
            made[a : b + 1, k] = (rise - a) / (b - a)
        if c != b:
            fall = np.arange(b, c)
            made[b:c, k] = (c - fall) / (c - b)
    kind = COMPUTED[node.attr("output_datatype", FLOAT)]
    return made.astype(np.dtype(kind.numpy))


def _transformed(x: Any, count: int, inverse: bool, onesided: bool) -> Any:
    """The Fourier transform of [..., n, 1 or 2] along n, as a product with a matrix."""
    length = x.shape[-2]
    if count > length:
        x = dlc.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, count - length), (0, 0)])
    else:
        x = x[..., :count, :]
    kind = np.dtype(x.dtype.numpy)
    if inverse and onesided:
        return _inverse_of_half(x, count, kind)
    rows = count // 2 + 1 if onesided else count
    angle = 2 * math.pi * (np.outer(np.arange(rows), np.arange(count)) % count) / count
    sign = 1.0 if inverse else -1.0
    cos, sin = np.cos(angle).astype(kind), (sign * np.sin(angle)).astype(kind)
    real = x[..., 0]
    a, b = dlc.matmul(real, cos.T), dlc.matmul(real, sin.T)
    if x.shape[-1] == 2:
        imaginary = x[..., 1]
        a = a - dlc.matmul(imaginary, sin.T)
        b = b + dlc.matmul(imaginary, cos.T)
    if inverse:
        a, b = a / count, b / count
    return dlc.stack([a, b], axis=-1)


def _inverse_of_half(x: Any, count: int, kind: Any) -> Any:
    """The real signal of which half of the transform is given."""
    half = count // 2 + 1
    x = x[..., :half, :]
    k, n = np.arange(half), np.arange(count)
    angle = 2 * math.pi * (np.outer(k, n) % count) / count
    weight = np.full(half, 2.0)
    weight[0] = 1.0
    if count % 2 == 0:
        weight[-1] = 1.0
    cos = (weight[:, None] * np.cos(angle) / count).astype(kind)
    sin = (weight[:, None] * np.sin(angle) / count).astype(kind)
    real = dlc.matmul(x[..., 0], cos) - dlc.matmul(x[..., 1], sin)
    return dlc.expand_dims(real, -1)


def _dft(node: Any, x: Any, length: Any, axis: int) -> Any:
    inverse, onesided = bool(node.attr("inverse", 0)), bool(node.attr("onesided", 0))
    axis %= x.ndim
    moved = dlc.moveaxis(x, axis, -2)
    if length is not None and length.size:
        count = int(ints(length)[0])
    elif inverse and onesided:
        count = 2 * (moved.shape[-2] - 1)
    else:
        count = moved.shape[-2]
    if inverse and onesided:
        half = count // 2 + 1
        extra = half - moved.shape[-2]
        if extra > 0:
            moved = dlc.pad(moved, [(0, 0)] * (x.ndim - 2) + [(0, extra), (0, 0)])
        made = _inverse_of_half(moved, count, np.dtype(x.dtype.numpy))
    else:
        made = _transformed(moved, count, inverse, onesided)
    return dlc.moveaxis(made, -2, axis)


@operator("DFT", since=17, known=(1,))
def dft_along_attribute(node: Any, x: Any, length: Any = None) -> Any:
    """The discrete Fourier transform."""
    return _dft(node, x, length, node.attr("axis", 1))


@operator("DFT", since=20, known=(1, 2))
def dft(node: Any, x: Any, length: Any = None, axis: Any = None) -> Any:
    """The discrete Fourier transform."""
    return _dft(node, x, length, -2 if axis is None else int(ints(axis)[0]))


@operator("STFT", since=17, known=(1, 3))
def stft(node: Any, x: Any, step: Any, window: Any = None, length: Any = None) -> Any:
    """The Fourier transforms of windows along a signal [batch, n, 1 or 2]."""
    hop = int(ints(step)[0])
    size = window.shape[0] if length is None else int(ints(length)[0])
    frames = (x.shape[1] - size) // hop + 1
    index = np.arange(frames)[:, None] * hop + np.arange(size)
    parts = dlc.take(x, index, axis=1)  # [batch, frame, size, 1 or 2]
    if window is not None:
        parts = parts * dlc.reshape(window, (-1, 1))
    return _transformed(parts, size, False, bool(node.attr("onesided", 1)))
