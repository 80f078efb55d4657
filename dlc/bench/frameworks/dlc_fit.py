"""dlc's own `fit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc import nn
from dlc.bench import fits
from dlc.bench.problem import Array, Program


def fit(constants: Sequence[Array]) -> Program:
    """An epoch of a network that has these parameters first."""
    w1, _, w2, _, w3, _ = constants
    model = nn.Sequential(
        nn.Conv2d(1, len(w1), 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(len(w1), len(w2), 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(w3.shape[1], fits.CLASSES),
    )  # fmt: skip
    for parameter, value in zip(model.parameters(), constants, strict=True):
        parameter.assign(value)
    model.compile(
        dlc.optim.Adam(learning_rate=fits.RATE),
        dlc.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    def epoch(x: dlc.Tensor, y: dlc.Tensor) -> Any:
        flat, labels = x.numpy().reshape(-1, *x.shape[2:]), y.numpy().reshape(-1)
        history = model.fit(flat, labels, x.shape[1], shuffle=False, verbose=0)
        return dlc.asarray(history.history["loss"][0])

    return epoch
