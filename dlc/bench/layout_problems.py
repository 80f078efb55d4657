"""Problems of layout: weights as PyTorch keeps them, and what mostly moves elements about."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program, draw, plain, size
from dlc.bench.problems import MATMUL

F32 = 4  # bytes


def _draw_rotary(rng: np.random.Generator, e: Extents) -> Arrays:
    """Heads of d pairs; a cosine and a sine for each pair and place."""
    x = rng.standard_normal((e["b"], e["h"], e["t"], 2 * e["d"]), np.float32)
    angles = rng.uniform(-math.pi, math.pi, (e["t"], e["d"])).astype(np.float32)
    return x, np.cos(angles), np.sin(angles)


def _moved(name: str, shapes: Sequence[str], result: str, function: Program) -> Problem:
    """Each element of the operands is read once, and each of the result is written once."""
    return Problem(
        name,
        draw(*shapes),
        plain(function),
        operations=lambda e: max(size(e, s) for s in (*shapes, result)),
        bytes=lambda e: F32 * sum(size(e, s) for s in (*shapes, result)),
    )


def _rotary(x: Array, c: Array, s: Array) -> Array:
    a, b = x[..., ::2], x[..., 1::2]
    return np.stack([a * c - b * s, a * s + b * c], axis=-1).reshape(x.shape)


LINEAR = Problem(
    "linear",
    draw("mk", "nk"),
    plain(lambda x, w: x @ w.T),
    operations=lambda e: 2 * size(e, "mnk"),
    bytes=lambda e: F32 * (size(e, "mk") + size(e, "nk") + size(e, "mn")),
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
    plain(_rotary),
    operations=lambda e: 6 * size(e, "bhtd"),
    bytes=lambda e: F32 * (4 * size(e, "bhtd") + 2 * size(e, "td")),
)
SUM_OF_ALL = Problem(
    "sum_of_all",
    draw("mn"),
    plain(np.sum),
    operations=lambda e: size(e, "mn"),
    bytes=lambda e: F32 * size(e, "mn"),
    tolerance=1e-3,
)
CASES = (
    *(
        Case(f"matmul {m}x{k}x{n}", MATMUL, dict(m=m, k=k, n=n))
        for m, k, n in ((1, 768, 3072), (1, 4096, 4096), (4, 768, 3072))
    ),
    *(
        Case(f"linear {m}x{k}x{n}", LINEAR, dict(m=m, k=k, n=n))
        for m, k, n in ((1, 768, 3072), (1, 4096, 4096), (1, 768, 50_257), (8, 768, 3072))
    ),
    Case("add transposed 1024x1024", ADD_TRANSPOSED, dict(m=1024, n=1024)),
    Case("merged heads 4x12x128x64", MERGED_HEADS, dict(b=4, h=12, t=128, d=64)),
    Case("rotary 8x12x128x64", ROTARY, dict(b=8, h=12, t=128, d=32)),
    Case("sum of all 1024x1024", SUM_OF_ALL, dict(m=1024, n=1024)),
)
