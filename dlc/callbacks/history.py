"""`History`: what happened in training."""

from __future__ import annotations

import os
from typing import Any

from dlc.callbacks import plots
from dlc.callbacks.base import Callback, Logs


class History(Callback):
    """Losses and metrics of each epoch; `fit` returns one.

    Attributes:
        epoch: The numbers of the epochs, from 0.
        history: A list of numbers, one an epoch, by name.
    """

    kept = ("epoch", "history")

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Counts epochs anew."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keeps the numbers of an epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draws losses and metrics over epochs, each with its validation; needs matplotlib.

        Args:
            path: A file to write to; its ending is the format. Without one the figure is one of
                `matplotlib.pyplot`, which notebooks show.

        Returns:
            The axes, an array of them: one a loss or metric.

        Raises:
            MissingPackageError: without matplotlib.
        """
        return plots.draw(self.epoch, self.history, path)

    def __repr__(self) -> str:
        last = {n: v[-1] for n, v in self.history.items()}
        return f"<History of {len(self.epoch)} epochs, at last {last}>"
