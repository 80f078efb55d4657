"""dlc's own `fit`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc import nn
from dlc.bench import fits
from dlc.bench.problem import Array

_ROUNDS = 25
_EPOCHS = 5  # of the longer fits


class Fit:
    """An epoch of a network that has these parameters first."""

    def __init__(self, constants: Sequence[Array]) -> None:
        w1, _, w2, _, w3, _ = constants
        self.model = nn.Sequential(
            nn.Conv2d(1, len(w1), 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(len(w1), len(w2), 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(w3.shape[1], fits.CLASSES),
        )  # fmt: skip
        for parameter, value in zip(self.model.parameters(), constants, strict=True):
            parameter.assign(value)
        self.model.compile(
            dlc.optim.Adam(learning_rate=fits.RATE),
            dlc.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

    def __call__(self, x: dlc.Tensor, y: dlc.Tensor) -> dlc.Tensor:
        """The mean loss of an epoch."""
        return dlc.asarray(self._fit(x.numpy(), y.numpy(), shuffle=False))

    def _fit(self, x: Array, y: Array, shuffle: bool, epochs: int = 1) -> float:
        flat, labels = x.reshape(-1, *x.shape[2:]), y.reshape(-1)
        history = self.model.fit(flat, labels, x.shape[1], epochs, shuffle=shuffle, verbose=0)
        return history.history["loss"][0]

    def over_steps(self, given: dlc.Tensor, labels: dlc.Tensor) -> dict[str, float]:
        """How much longer fits take than their compiled steps on batches that lie ready.

        Fits are of one epoch and of five, in the order of the samples and shuffled. They and as
        many steps have their turns one after the other; the shares are medians of the ratios.
        """
        x, y = given.numpy(), labels.numpy()
        batches = [(np.array(a), np.array(b), None) for a, b in zip(x, y, strict=True)]
        self._fit(x, y, shuffle=False)
        step = self.model._training_or_error().steps.functions["train_step"]

        def shares(epochs: int) -> tuple[float, float]:
            def steps() -> None:
                for _ in range(epochs):
                    for batch in batches:
                        step(*batch)

            turns: list[Callable[[], Any]] = [
                steps,
                lambda: self._fit(x, y, False, epochs),
                lambda: self._fit(x, y, True, epochs),
            ]
            rounds = [_in_turn(turns, k) for k in range(_ROUNDS)][2:]
            bare, plain, shuffled = zip(*rounds, strict=True)
            return _median_share(plain, bare), _median_share(shuffled, bare)

        found: dict[str, float] = {"steps": len(batches), "epochs": _EPOCHS}
        for epochs, name in ((1, "over_steps"), (_EPOCHS, "epochs_over_steps")):
            found[name], found[f"shuffled_{name}"] = shares(epochs)
        return found


def _in_turn(calls: Sequence[Callable[[], Any]], first: int) -> list[float]:
    """The seconds of each call, of which another one comes first in each round."""
    seconds = [0.0] * len(calls)
    for k in range(len(calls)):
        at = (first + k) % len(calls)
        start = time.perf_counter()
        calls[at]()
        seconds[at] = time.perf_counter() - start
    return seconds


def _median_share(seconds: Sequence[float], bare: Sequence[float]) -> float:
    return statistics.median(a / b - 1 for a, b in zip(seconds, bare, strict=True))
