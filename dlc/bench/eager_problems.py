"""Problems of eager mode: small tensors, where what a call costs besides its kernel counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program, draw, plain, size

F32 = 4  # bytes
ROW = 3  # of a matrix that is read by an index
LINKS = 20  # of a chain of operations
RATE = 0.0  # of steps that leave the parameters what they are, so that each result is known


def _of_matrix(name: str, function: Program, moved: Callable[[Extents], int]) -> Problem:
    """A function of one matrix."""
    return Problem(
        f"eager_{name}",
        draw("mn"),
        plain(function),
        operations=lambda e: size(e, "mn"),
        bytes=lambda e: F32 * moved(e),
    )


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _layers(rng: np.random.Generator, e: Extents) -> Arrays:
    shapes = ((e["h"], e["i"]), (e["h"],), (e["o"], e["h"]), (e["o"],))
    return tuple(rng.standard_normal(s, np.float32) / np.float32(8) for s in shapes)


def _network(constants: Sequence[Array]) -> Program:
    w1, b1, w2, b2 = constants
    return lambda x: np.maximum(x @ w1.T + b1, 0) @ w2.T + b2


def _gradients(constants: Sequence[Array]) -> Program:
    """Of the mean of squares of the network's results, for its parameters."""
    w1, b1, w2, b2 = constants

    def run(x: Array) -> Arrays:
        h = np.maximum(x @ w1.T + b1, 0)
        d = 2 * (h @ w2.T + b2) / (len(x) * len(b2))
        dh = (d @ w2) * (h > 0)
        return dh.T @ x, dh.sum(0), d.T @ h, d.sum(0)

    return run


def _step(constants: Sequence[Array]) -> Program:
    """A step of Adam for the mean of squares of the network's results, which is the result."""
    network, gradients = _network(constants), _gradients(constants)
    held = list(constants)
    means, squares = ([np.zeros_like(c) for c in constants] for _ in range(2))
    count = 0

    def run(x: Array) -> Array:
        nonlocal count
        count += 1
        first, second = 1 - 0.9**count, 1 - 0.999**count
        for k, g in enumerate(gradients(x)):
            means[k] += 0.1 * (g - means[k])
            squares[k] += 0.001 * (g * g - squares[k])
            size = np.sqrt(squares[k] / second) + 1e-8
            held[k] = held[k] - RATE * (means[k] / first) / size
        return np.square(network(x)).mean()

    return run


def _chain_gradient(x: Array) -> Array:
    """Of the sum of y, which begins as x and becomes tanh(y) + x at each link, for x."""
    slopes: list[Array] = []
    y = x
    for _ in range(LINKS):
        y = np.tanh(y)
        slopes.append(1 - y * y)
        y = y + x
    total = np.zeros_like(x)
    cotangent = np.ones_like(x)
    for slope in reversed(slopes):
        total += cotangent
        cotangent = cotangent * slope
    return total + cotangent


def _of_network(name: str, build: Callable[[Sequence[Array]], Program], passes: int) -> Problem:
    return Problem(
        f"eager_{name}",
        draw("bi"),
        build,
        operations=lambda e: passes * 2 * (size(e, "bih") + size(e, "bho")),
        bytes=lambda e: F32 * passes * (size(e, "ih") + size(e, "ho") + size(e, "bi")),
        constants=_layers,
    )


EXP = _of_matrix("exp", np.exp, lambda e: 2 * size(e, "mn"))
ROW_SUMS = _of_matrix("row_sums", lambda x: x.sum(-1), lambda e: size(e, "mn") + e["m"])
SOFTMAX = _of_matrix("softmax", _softmax, lambda e: 2 * size(e, "mn"))
PART = _of_matrix("part", lambda x: x[ROW], lambda e: 2 * e["n"])
NETWORK = _of_network("network", _network, 1)
GRADIENTS = _of_network("gradients", _gradients, 3)
STEP = _of_network("step", _step, 3)
CHAIN = _of_matrix("chain", _chain_gradient, lambda e: 2 * size(e, "mn"))
_SMALL, _NETWORK = dict(m=16, n=16), dict(b=32, i=64, h=128, o=10)
CASES = (
    Case("exp 16x16", EXP, _SMALL),
    Case("sums of rows 16x16", ROW_SUMS, _SMALL),
    Case("softmax 16x16", SOFTMAX, _SMALL),
    Case("row of 16x16", PART, _SMALL),
    Case("network 64-128-10 batch 32", NETWORK, _NETWORK),
    Case("gradients 64-128-10 batch 32", GRADIENTS, _NETWORK),
    Case("step of Adam 64-128-10 batch 32", STEP, _NETWORK),
    Case("gradient of a chain 16x16", CHAIN, _SMALL),
)
SMOKE = (
    *(Case(p.name, p, dict(m=5, n=7)) for p in (EXP, ROW_SUMS, SOFTMAX, PART, CHAIN)),
    *(Case(p.name, p, dict(b=3, i=5, h=4, o=2)) for p in (NETWORK, GRADIENTS, STEP)),
)
