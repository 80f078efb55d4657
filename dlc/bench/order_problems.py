"""Problems of order: sorts, selection, running sums, and additions at given places."""

from __future__ import annotations

import math

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program, draw, plain

F32, I64 = 4, 8  # bytes


def _draw_embedding(rng: np.random.Generator, e: Extents) -> Arrays:
    table = rng.standard_normal((e["v"], e["d"]), np.float32)
    ct = rng.standard_normal((e["n"], e["d"]), np.float32)
    return table, rng.integers(0, e["v"], e["n"]), ct


def _rows(name: str, function: Program, item: int, tolerance: float = 2e-5) -> Problem:
    """One read of a matrix and one write of its shape; a sort compares n log n times."""
    return Problem(
        name,
        draw("mn"),
        plain(function),
        operations=lambda e: math.ceil(e["m"] * e["n"] * math.log2(e["n"] + 1)),
        bytes=lambda e: (F32 + item) * e["m"] * e["n"],
        tolerance=tolerance,
    )


def _top(k: int) -> Problem:
    def top(x: Array) -> Arrays:
        places = np.argsort(-x, axis=-1, kind="stable")[:, :k]
        return np.take_along_axis(x, places, -1), places

    return Problem(
        f"top_{k}",
        draw("mn"),
        plain(top),
        operations=lambda e: e["m"] * e["n"],
        bytes=lambda e: F32 * e["m"] * e["n"] + (F32 + I64) * e["m"] * k,
    )


def _embedding_gradient(table: Array, places: Array, ct: Array) -> Array:
    gradient = np.zeros_like(table)
    np.add.at(gradient, places, ct)
    return gradient


SORT = _rows("sort", lambda x: np.sort(x, axis=-1), F32)
ARGSORT = _rows("argsort", lambda x: np.argsort(x, axis=-1, kind="stable"), I64)
CUMULATIVE_SUM = _rows("cumulative_sum", lambda x: np.cumsum(x, axis=-1), F32, tolerance=1e-3)
TOP_8, TOP_64 = _top(8), _top(64)
EMBEDDING_GRADIENT = Problem(
    "embedding_gradient",
    _draw_embedding,
    plain(_embedding_gradient),
    operations=lambda e: e["n"] * e["d"],
    bytes=lambda e: F32 * (e["v"] + e["n"]) * e["d"] + I64 * e["n"],
)
_ROWS, _LONG = dict(m=4096, n=1024), 1 << 20
CASES = (
    Case("sort 1M", SORT, dict(m=1, n=_LONG)),
    Case("sort 4096x1024", SORT, _ROWS),
    Case("argsort 1M", ARGSORT, dict(m=1, n=_LONG)),
    Case("argsort 4096x1024", ARGSORT, _ROWS),
    Case("top 8 of 4096x1024", TOP_8, _ROWS),
    Case("top 64 of 1M", TOP_64, dict(m=1, n=_LONG)),
    Case("cumulative sum 4096x1024", CUMULATIVE_SUM, _ROWS),
    Case("cumulative sum 4M", CUMULATIVE_SUM, dict(m=1, n=4 * _LONG)),
    Case("embedding gradient 50000x256", EMBEDDING_GRADIENT, dict(v=50_000, d=256, n=8192)),
)
