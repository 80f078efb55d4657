"""`CSVLogger`: losses and metrics in a file of comma-separated values."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from dlc.callbacks.base import Callback, Logs


class CSVLogger(Callback):
    """Writes losses and metrics of each epoch to a file of comma-separated values.

    Args:
        filename: The file.
        separator: What stands between values.
        append: Whether to keep what is in the file, whose columns are then kept too.

    A value that an epoch does not have is NA.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        self.filename, self.separator, self.append = Path(filename), separator, append
        self._file: TextIO | None = None
        self._writer: Any = None
        self._names: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        """The lines so far: what a run that was killed had written since a checkpoint goes."""
        with self.filename.open(newline="") as file:
            return {"names": self._names, "text": file.read()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on after those lines."""
        self._names = state["names"]
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(state["text"])
        self._file.flush()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Opens the file."""
        old = self.filename.exists() and self.filename.stat().st_size > 0
        self._names = []
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
            if not any(n.startswith("val_") for n in held):  # a later epoch may have them
                self._names += [f"val_{n}" for n in self._names]
            self._writer.writerow(["epoch", *self._names])
        self._writer.writerow([epoch, *(held.get(n, "NA") for n in self._names)])
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
