"""Problems of layout: weights as PyTorch keeps them, and what mostly moves elements about."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from dlc.bench.problem import Array, Arrays, Extents, Problem, Program

F32 = 4  # bytes


def _size(e: Extents, axes: str) -> int:
    return math.prod(e[axis] for axis in axes)


def _draw(*shapes: str) -> Callable[[np.random.Generator, Extents], Arrays]:
    def draw(rng: np.random.Generator, e: Extents) -> Arrays:
        return tuple(rng.standard_normal([e[a] for a in s], np.float32) for s in shapes)

    return draw


def _draw_rotary(rng: np.random.Generator, e: Extents) -> Arrays:
    """Heads of d pairs; a cosine and a sine for each pair and place."""
    x = rng.standard_normal((e["b"], e["h"], e["t"], 2 * e["d"]), np.float32)
    angles = rng.uniform(-math.pi, math.pi, (e["t"], e["d"])).astype(np.float32)
    return x, np.cos(angles), np.sin(angles)


def _plain(function: Program) -> Callable[[Sequence[Array]], Program]:
    return lambda constants: function


def _moved(name: str, shapes: Sequence[str], result: str, function: Program) -> Problem:
    """Each element of the operands is read once, and each of the result is written once."""
    return Problem(
        name,
        _draw(*shapes),
        _plain(function),
        operations=lambda e: max(_size(e, s) for s in (*shapes, result)),
        bytes=lambda e: F32 * sum(_size(e, s) for s in (*shapes, result)),
    )


def _rotary(x: Array, c: Array, s: Array) -> Array:
    a, b = x[..., ::2], x[..., 1::2]
    return np.stack([a * c - b * s, a * s + b * c], axis=-1).reshape(x.shape)


LINEAR = Problem(
    "linear",
    _draw("mk", "nk"),
    _plain(lambda x, w: x @ w.T),
    operations=lambda e: 2 * _size(e, "mnk"),
    bytes=lambda e: F32 * (_size(e, "mk") + _size(e, "nk") + _size(e, "mn")),
)
ADD_TRANSPOSED = _moved("add_transposed", ("mn", "nm"), "mn", lambda x, y: x + y.T)
MERGED_HEADS = _moved(
    "merged_heads",
    ("bhtd",),
    "bhtd",
    lambda x: np.moveaxis(x, 1, 2).reshape(x.shape[0], x.shape[2], -1),
)
ROTARY = Problem(
    "rotary",
    _draw_rotary,
    _plain(_rotary),
    operations=lambda e: 6 * _size(e, "bhtd"),
    bytes=lambda e: F32 * (4 * _size(e, "bhtd") + 2 * _size(e, "td")),
)
SUM_OF_ALL = Problem(
    "sum_of_all",
    _draw("mn"),
    _plain(np.sum),
    operations=lambda e: _size(e, "mn"),
    bytes=lambda e: F32 * _size(e, "mn"),
    tolerance=1e-3,
)
