"""Problems of very small matrices: systems, inverses, determinants, factors, a Kalman filter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program, plain

F32 = 4  # bytes


def _systems(rng: np.random.Generator, e: Extents) -> Arrays:
    """Matrices whose pivots lie anywhere, none of them close to singular."""
    b, n = e["b"], e["n"]
    turns = np.linalg.qr(rng.standard_normal((b, n, n)))[0]
    sizes = rng.uniform(0.5, 2.0, (b, 1, n))
    a = (turns * sizes) @ np.linalg.qr(rng.standard_normal((b, n, n)))[0]
    return a.astype(np.float32), rng.standard_normal((b, n, 1), np.float32)


def _definite(rng: np.random.Generator, e: Extents) -> Arrays:
    a, _ = _systems(rng, e)
    return (a @ np.swapaxes(a, -1, -2),)


def _each(name: str, function: Program, inputs: int, columns: int) -> Problem:
    """Elimination in a matrix with further columns, for each matrix of a stack."""

    def draws(rng: np.random.Generator, e: Extents) -> Arrays:
        return _definite(rng, e) if name == "cholesky" else _systems(rng, e)[:inputs]

    def work(e: Extents) -> int:
        return e["b"] * (2 * e["n"] ** 3 // 3 + 2 * columns * e["n"] ** 2)

    def moved(e: Extents) -> int:
        return F32 * e["b"] * (e["n"] ** 2 + 2 * e["n"])

    return Problem(name, draws, plain(function), operations=work, bytes=moved, tolerance=1e-4)


def _kalman_constants(rng: np.random.Generator, e: Extents) -> Arrays:
    """How a state moves and with what noise, and how it is seen."""
    n, m = e["n"], e["m"]
    move = 0.95 * np.linalg.qr(rng.standard_normal((n, n)))[0]
    noise, seen, doubt = 0.1 * np.eye(n), rng.standard_normal((m, n)), np.eye(m)
    return tuple(x.astype(np.float32) for x in (move, noise, seen, doubt))


def _kalman(constants: Sequence[Array]) -> Program:
    move, noise, seen, doubt = constants

    def filtered(measured: Array) -> Array:
        x, p = np.zeros_like(move[0]), np.eye(len(move), dtype=move.dtype)
        states: list[Array] = []
        for y in measured:
            x, p = move @ x, move @ p @ move.T + noise
            s = seen @ p @ seen.T + doubt
            gain = np.linalg.solve(s, seen @ p).T
            x, p = x + gain @ (y - seen @ x), p - gain @ s @ gain.T
            states.append(x)
        return np.stack(states)

    return filtered


SOLVE = _each("solve", np.linalg.solve, 2, 1)
INVERSE = _each("inverse", np.linalg.inv, 1, 4)
DETERMINANT = _each("determinant", np.linalg.det, 1, 0)
CHOLESKY = _each("cholesky", np.linalg.cholesky, 1, 0)
KALMAN = Problem(
    "kalman",
    lambda rng, e: (rng.standard_normal((e["t"], e["m"]), np.float32),),
    _kalman,
    operations=lambda e: e["t"] * (4 * e["n"] ** 3 + 6 * e["m"] * e["n"] ** 2),
    bytes=lambda e: F32 * e["t"] * (e["m"] + e["n"]),
    constants=_kalman_constants,
    tolerance=1e-3,
)
_MANY = 100_000
CASES = (
    Case("solve 3x3", SOLVE, dict(b=1, n=3)),
    Case("solve 100000x3x3", SOLVE, dict(b=_MANY, n=3)),
    Case("solve 1000x4x4", SOLVE, dict(b=1000, n=4)),
    Case("inverse 3x3", INVERSE, dict(b=1, n=3)),
    Case("inverse 1000x4x4", INVERSE, dict(b=1000, n=4)),
    Case("determinant 100000x3x3", DETERMINANT, dict(b=_MANY, n=3)),
    Case("cholesky 1000x4x4", CHOLESKY, dict(b=1000, n=4)),
    Case("kalman filter 1000 steps of 4", KALMAN, dict(t=1000, n=4, m=2)),
)
