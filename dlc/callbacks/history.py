"""What happened in training, in memory and in a file."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, TextIO

from dlc.callbacks.base import Callback, Logs


class History(Callback):
    """Losses and metrics of each epoch; `fit` returns one.

    Attributes:
        epoch: The numbers of the epochs, from 0.
        history: A list of numbers, one an epoch, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keeps the numbers of an epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draws losses and metrics over epochs, each beside its validation; needs matplotlib.

        Args:
            path: A file to write to; its ending is the format.

        Returns:
            The figure.
        """
        from matplotlib.figure import Figure

        names = [n for n in self.history if not n.startswith("val_")]
        figure = Figure(figsize=(5 * max(len(names), 1), 4), layout="tight")
        for k, name in enumerate(names, 1):
            axes = figure.add_subplot(1, len(names), k)
            axes.plot(self.epoch, self.history[name], label=name)
            if f"val_{name}" in self.history:
                values = self.history[f"val_{name}"]
                axes.plot(self.epoch[-len(values) :], values, label=f"val_{name}")
            axes.set_xlabel("epoch")
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure

    def __repr__(self) -> str:
        last = {n: v[-1] for n, v in self.history.items()}
        return f"<History of {len(self.epoch)} epochs, at last {last}>"


class CSVLogger(Callback):
    """Writes losses and metrics of each epoch to a file of comma-separated values.

    Args:
        filename: The file.
        separator: What stands between values.
        append: Whether to keep what is in the file.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        self.filename, self.separator, self.append = Path(filename), separator, append
        self._file: TextIO | None = None
        self._writer: Any = None
        self._names: list[str] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Opens the file."""
        old = self.filename.exists() and self.filename.stat().st_size > 0
        if self.append and old:
            with self.filename.open(newline="") as file:
                self._names = next(csv.reader(file, delimiter=self.separator))[1:]
        self._file = self.filename.open("a" if self.append else "w", newline="")
        self._writer = csv.writer(self._file, delimiter=self.separator)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes a line, which is in the file when this returns."""
        held = logs or {}
        assert self._file is not None
        if not self._names:
            self._names = sorted(held)
            self._writer.writerow(["epoch", *self._names])
        self._writer.writerow([epoch, *(held.get(n, "") for n in self._names)])
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
