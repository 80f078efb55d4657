"""The problems, with their meaning in NumPy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.bench.problem import Array, Arrays, Extents, Problem, Program, draw, plain, size

F32 = 4  # bytes


# Pointwise.


def _chain(x: Array, y: Array) -> Array:
    return np.tanh(x * y + x) * np.exp(-y * y)


WARM_UP = Problem(
    "warm_up",
    draw("mn"),
    plain(lambda x: np.sqrt(x * x + 1).sum(axis=-1)),
    operations=lambda e: 4 * size(e, "mn"),
    bytes=lambda e: F32 * size(e, "mn"),
)
ADD = Problem(
    "add",
    draw("mn", "mn"),
    plain(lambda x, y: x + y),
    operations=lambda e: size(e, "mn"),
    bytes=lambda e: F32 * 3 * size(e, "mn"),
)
CHAIN = Problem(
    "chain",
    draw("n", "n"),
    plain(_chain),
    operations=lambda e: 7 * e["n"],
    bytes=lambda e: F32 * 3 * e["n"],
)

# Rows.


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _standard(x: Array, *, centre: bool) -> tuple[Array, Array]:
    """x brought to variance 1, and what it was multiplied by."""
    if centre:
        x = x - x.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)
    return x * scale, scale


def _softmax_gradient(x: Array, ct: Array) -> Arrays:
    y = _softmax(x)
    return y, y * (ct - (ct * y).sum(axis=-1, keepdims=True))


def _log_softmax_gradient(x: Array, ct: Array) -> Arrays:
    y = _log_softmax(x)
    return y, ct - np.exp(y) * ct.sum(axis=-1, keepdims=True)


def _layer_norm_gradient(x: Array, w: Array, b: Array, ct: Array) -> Arrays:
    z, scale = _standard(x, centre=True)
    g = ct * w
    mean, along = g.mean(axis=-1, keepdims=True), (g * z).mean(axis=-1, keepdims=True)
    return z * w + b, scale * (g - mean - z * along), (ct * z).sum(axis=0), ct.sum(axis=0)


def _rms_norm_gradient(x: Array, w: Array, ct: Array) -> Arrays:
    z, scale = _standard(x, centre=False)
    g = ct * w
    along = (g * z).mean(axis=-1, keepdims=True)
    return z * w, scale * (g - z * along), (ct * z).sum(axis=0)


def _cross_entropy_gradient(x: Array, labels: Array) -> Arrays:
    y = _log_softmax(x)
    rows = np.arange(len(x))
    loss = -y[rows, labels].mean()
    gradient = np.exp(y)
    gradient[rows, labels] -= 1
    gradient /= len(x)
    return loss, gradient


def _draw_logits(rng: np.random.Generator, e: Extents) -> Arrays:
    logits = rng.standard_normal((e["m"], e["n"]), np.float32)
    return logits, rng.integers(0, e["n"], e["m"])


def _row_problem(name: str, axes: tuple[str, ...], function: Program, operations: int) -> Problem:
    """One read and one write of a matrix."""
    return Problem(
        name,
        draw(*axes),
        plain(function),
        operations=lambda e: operations * size(e, "mn"),
        bytes=lambda e: F32 * 2 * size(e, "mn"),
    )


def _row_gradient(name: str, axes: tuple[str, ...], function: Program, operations: int) -> Problem:
    """Reads a matrix and a cotangent, and writes the result and a gradient."""
    return Problem(
        name,
        draw(*axes),
        plain(function),
        operations=lambda e: operations * size(e, "mn"),
        bytes=lambda e: F32 * 4 * size(e, "mn"),
        tolerance=1e-4,
    )


SOFTMAX = _row_problem("softmax", ("mn",), _softmax, 5)
LOG_SOFTMAX = _row_problem("log_softmax", ("mn",), _log_softmax, 5)
LAYER_NORM = _row_problem(
    "layer_norm", ("mn", "n", "n"), lambda x, w, b: _standard(x, centre=True)[0] * w + b, 7
)
RMS_NORM = _row_problem("rms_norm", ("mn", "n"), lambda x, w: _standard(x, centre=False)[0] * w, 4)
SOFTMAX_GRADIENT = _row_gradient("softmax_gradient", ("mn", "mn"), _softmax_gradient, 9)
LOG_SOFTMAX_GRADIENT = _row_gradient("log_softmax_gradient", ("mn", "mn"), _log_softmax_gradient, 9)
LAYER_NORM_GRADIENT = _row_gradient(
    "layer_norm_gradient", ("mn", "n", "n", "mn"), _layer_norm_gradient, 18
)
RMS_NORM_GRADIENT = _row_gradient("rms_norm_gradient", ("mn", "n", "mn"), _rms_norm_gradient, 13)
CROSS_ENTROPY_GRADIENT = Problem(
    "cross_entropy_gradient",
    _draw_logits,
    plain(_cross_entropy_gradient),
    operations=lambda e: 7 * size(e, "mn"),
    bytes=lambda e: F32 * 2 * size(e, "mn"),
)

# Attention.


def _probabilities(q: Array, k: Array) -> Array:
    return _softmax((q @ k.swapaxes(-1, -2)) / math.sqrt(q.shape[-1]))


def _attention_gradient(q: Array, k: Array, v: Array, ct: Array) -> Arrays:
    p = _probabilities(q, k)
    dp = ct @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return p @ v, ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ ct


ATTENTION = Problem(
    "attention",
    draw("bhtd", "bhtd", "bhtd"),
    plain(lambda q, k, v: _probabilities(q, k) @ v),
    operations=lambda e: 4 * size(e, "bhttd"),
    bytes=lambda e: F32 * 4 * size(e, "bhtd"),
)


def _attention_causal(q: Array, k: Array, v: Array) -> Array:
    """One head after the other: the scores of all would need much memory."""
    result = np.empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    later = np.triu(np.ones((q.shape[-2], k.shape[-2]), bool), 1)
    for head in np.ndindex(q.shape[:-2]):
        scores = q[head] @ k[head].T / math.sqrt(q.shape[-1])
        scores[later] = -np.inf
        result[head] = _softmax(scores) @ v[head]
    return result


ATTENTION_CAUSAL = Problem(
    "attention_causal",
    ATTENTION.inputs,
    plain(_attention_causal),
    operations=lambda e: 2 * size(e, "bhttd"),
    bytes=ATTENTION.bytes,
)
ATTENTION_GRADIENT = Problem(
    "attention_gradient",
    draw("bhtd", "bhtd", "bhtd", "bhtd"),
    plain(_attention_gradient),
    operations=lambda e: 12 * size(e, "bhttd"),
    bytes=lambda e: F32 * 8 * size(e, "bhtd"),
    tolerance=1e-4,
)

# Products.


def erf(x: Array) -> Array:
    """The error function, within 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    factors = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    polynomial: Any = 0.0
    for factor in factors:
        polynomial = (polynomial + factor) * t
    return np.sign(x) * (1 - polynomial * np.exp(-x * x))


def _linear_gelu(x: Array, w: Array, b: Array) -> Array:
    y = x @ w + b
    return 0.5 * y * (1 + erf(y * math.sqrt(0.5)))


MATMUL = Problem(
    "matmul",
    draw("mk", "kn"),
    plain(np.matmul),
    operations=lambda e: 2 * size(e, "mkn"),
    bytes=lambda e: F32 * (size(e, "mk") + size(e, "kn") + size(e, "mn")),
)
MATMUL_CONSTANT = Problem(
    "matmul_constant",
    draw("mk"),
    lambda constants: lambda x: x @ constants[0],
    operations=MATMUL.operations,
    bytes=MATMUL.bytes,
    constants=draw("kn"),
)
MATMUL_BATCHED = Problem(
    "matmul_batched",
    draw("bmk", "bkn"),
    plain(np.matmul),
    operations=lambda e: 2 * size(e, "bmkn"),
    bytes=lambda e: F32 * (size(e, "bmk") + size(e, "bkn") + size(e, "bmn")),
)
LINEAR_GELU = Problem(
    "linear_gelu",
    draw("mk", "kn", "n"),
    plain(_linear_gelu),
    operations=lambda e: 2 * size(e, "mkn") + 10 * size(e, "mn"),
    bytes=MATMUL.bytes,
)

# Networks.

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def _layers(e: Extents) -> list[tuple[int, int]]:
    return list(itertools.pairwise((e["i"], e["h"], e["h"], e["o"])))


def _weights(e: Extents) -> int:
    return sum(m * n + n for m, n in _layers(e))


def _draw_network(rng: np.random.Generator, e: Extents) -> Arrays:
    arrays: list[Array] = []
    for m, n in _layers(e):
        arrays.append(rng.standard_normal((m, n), np.float32) * np.float32(math.sqrt(2 / m)))
        arrays.append(rng.standard_normal(n, np.float32) * np.float32(0.1))
    return tuple(arrays)


def _network(parameters: Sequence[Array], x: Array) -> Array:
    w1, b1, w2, b2, w3, b3 = parameters
    h = np.maximum(x @ w1 + b1, 0)
    h = np.maximum(h @ w2 + b2, 0)
    return h @ w3 + b3


def _network_gradients(parameters: Sequence[Array], x: Array, labels: Array) -> tuple[Any, ...]:
    w1, b1, w2, b2, w3, b3 = parameters
    h1 = np.maximum(x @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    loss, d3 = _cross_entropy_gradient(h2 @ w3 + b3, labels)
    d2 = (d3 @ w3.T) * (h2 > 0)
    d1 = (d2 @ w2.T) * (h1 > 0)
    products = [x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)]
    return loss, products


def _example_gradients(constants: Sequence[Array]) -> Program:
    """The gradients of each example's own loss, in the order of the parameters."""
    w1, b1, w2, b2, w3, b3 = constants

    def run(x: Array, labels: Array) -> Arrays:
        h1 = np.maximum(x @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        _, d3 = _cross_entropy_gradient(h2 @ w3 + b3, labels)
        d3 *= len(x)
        d2 = (d3 @ w3.T) * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        found: list[Array] = []
        for inputs, d in ((x, d1), (h1, d2), (h2, d3)):
            found += [inputs[:, :, None] * d[:, None, :], d]
        return tuple(found)

    return run


def _training_step(constants: Sequence[Array]) -> Program:
    """Adam (Kingma and Ba, 2015)."""
    parameters = [a.copy() for a in constants]
    first, second = [np.zeros_like(a) for a in constants], [np.zeros_like(a) for a in constants]
    count = 0

    def step(x: Array, labels: Array) -> Array:
        nonlocal count
        count += 1
        loss, gradients = _network_gradients(parameters, x, labels)
        rate = RATE / (1 - BETA1**count)
        root = math.sqrt(1 - BETA2**count)
        for k, g in enumerate(gradients):
            first[k] += (1 - BETA1) * (g - first[k])
            second[k] += (1 - BETA2) * (g * g - second[k])
            parameters[k] -= rate * first[k] / (np.sqrt(second[k]) / root + EPSILON)
        return loss

    return step


def _draw_batch(rng: np.random.Generator, e: Extents) -> Arrays:
    return rng.standard_normal((e["b"], e["i"]), np.float32), rng.integers(0, e["o"], e["b"])


def _draw_deep(rng: np.random.Generator, e: Extents) -> Arrays:
    n = e["n"]
    arrays: list[Array] = []
    for _ in range(e["layers"]):
        arrays.append(rng.standard_normal((n, n), np.float32) / np.float32(math.sqrt(n)))
        arrays.append(rng.standard_normal(n, np.float32))
    return tuple(arrays)


def _deep(constants: Sequence[Array]) -> Program:
    def run(x: Array) -> Array:
        for w, b in zip(constants[::2], constants[1::2], strict=True):
            x = np.tanh(x @ w + b)
        return x

    return run


MLP = Problem(
    "mlp",
    draw("bi"),
    lambda constants: lambda x: _network(constants, x),
    operations=lambda e: 2 * e["b"] * _weights(e),
    bytes=lambda e: F32 * (_weights(e) + e["b"] * (e["i"] + e["o"])),
    constants=_draw_network,
)
MLP_TRAINING = Problem(
    "mlp_training",
    _draw_batch,
    _training_step,
    operations=lambda e: (6 * e["b"] + 12) * _weights(e),
    bytes=lambda e: F32 * (6 * _weights(e) + e["b"] * e["i"]),
    constants=_draw_network,
    tolerance=1e-4,
)
EXAMPLE_GRADIENTS = Problem(
    "example_gradients",
    _draw_batch,
    _example_gradients,
    operations=lambda e: 5 * e["b"] * _weights(e),
    bytes=lambda e: F32 * (e["b"] + 1) * _weights(e),
    constants=_draw_network,
    tolerance=1e-4,
)
DEEP = Problem(
    "deep",
    draw("mn"),
    _deep,
    operations=lambda e: 2 * size(e, "mnn") * e["layers"],
    bytes=lambda e: F32 * size(e, "nn") * e["layers"],
    constants=_draw_deep,
    tolerance=1e-3,
)
