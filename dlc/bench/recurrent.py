"""Recurrent networks as problems, with their meaning in NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.bench.problem import Array, Arrays, Case, Extents, Problem, Program

F32 = 4  # bytes
RATE = 0.1


def _weights(e: Extents) -> int:
    return (e["i"] + e["h"] + 1) * 4 * e["h"]


def _draw_cell(rng: np.random.Generator, e: Extents) -> Arrays:
    """Weights of what comes in and of the state, and biases; gates in PyTorch's order."""
    scale = np.float32(1 / math.sqrt(e["h"]))
    shapes = [(e["i"], 4 * e["h"]), (e["h"], 4 * e["h"]), (4 * e["h"],)]
    return tuple(rng.uniform(-1, 1, s).astype(np.float32) * scale for s in shapes)


def _draw_rows(rng: np.random.Generator, e: Extents) -> Arrays:
    shapes = [(e["t"], e["b"], e["i"]), (e["t"], e["b"], e["h"])]
    return tuple(rng.standard_normal(s, np.float32) for s in shapes)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _forward(parameters: Sequence[Array], x: Array) -> list[tuple[Array, ...]]:
    """For each step, the gates, both states after it, and those before."""
    w, u, b = parameters
    h = c = np.zeros((x.shape[1], u.shape[0]), x.dtype)
    steps: list[tuple[Array, ...]] = []
    for row in x:
        i, f, g, o = np.split(row @ w + h @ u + b, 4, axis=-1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        new = f * c + i * g
        steps.append((i, f, g, o, new, o * np.tanh(new), c, h))
        c, h = new, o * np.tanh(new)
    return steps


def _gradients(parameters: Sequence[Array], x: Array, y: Array) -> tuple[Array, list[Array]]:
    """The mean squared error of the outputs, and its gradients."""
    _, u, _ = parameters
    steps = _forward(parameters, x)
    outputs = np.stack([s[5] for s in steps])
    loss = ((outputs - y) ** 2).mean()
    found = [np.zeros_like(p) for p in parameters]
    dh = dc = np.zeros_like(outputs[0])
    for t in reversed(range(len(x))):
        i, f, g, o, c, _, c_before, h_before = steps[t]
        dh = dh + 2 * (outputs[t] - y[t]) / y.size
        s = np.tanh(c)
        dc = dc + dh * o * (1 - s * s)
        inner = (dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g))
        gates = np.concatenate([*inner, dh * s * o * (1 - o)], axis=-1)
        parts = [x[t].T @ gates, h_before.T @ gates, gates.sum(0)]
        found = [total + part for total, part in zip(found, parts, strict=True)]
        dh, dc = gates @ u.T, dc * f
    return loss, found


def _training_step(constants: Sequence[Array]) -> Program:
    parameters = [a.copy() for a in constants]

    def step(x: Array, y: Array) -> Any:
        loss, found = _gradients(parameters, x, y)
        for k, g in enumerate(found):
            parameters[k] -= RATE * g
        return loss

    return step


LSTM_TRAINING = Problem(
    "lstm_training",
    _draw_rows,
    _training_step,
    operations=lambda e: 6 * e["t"] * e["b"] * _weights(e),
    bytes=lambda e: F32 * (3 * _weights(e) + e["t"] * e["b"] * (2 * e["i"] + 12 * e["h"])),
    constants=_draw_cell,
    tolerance=1e-4,
)
CASES = (
    Case("lstm training 64x32x256", LSTM_TRAINING, dict(t=64, b=32, i=256, h=256)),
    Case("lstm training 16x8x64", LSTM_TRAINING, dict(t=16, b=8, i=64, h=64)),
)
