"""`ModelCheckpoint`: weights in files, while training goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from dlc.callbacks.base import Logs, frequency
from dlc.callbacks.monitors import Monitor
from dlc.ir.errors import ArgumentError, nearest


class ModelCheckpoint(Monitor):
    """Saves the weights after each epoch or some steps, or only when a number is better.

    Args:
        filepath: A file ending in .safetensors; names in braces are replaced by the number of the
            epoch, of the step (with `save_freq`) and by the logs:
            `"{epoch:02d}-{val_loss:.2f}.safetensors"`. Folders that are missing are made.
        monitor: The name of the number.
        verbose: Whether it says so.
        save_best_only: Whether only the best are saved.
        save_weights_only: Parameters and buffers are what is saved in any case.
        mode: "min", "max" or "auto".
        save_freq: "epoch", or a number of steps of training between files.
        initial_value_threshold: With `save_best_only`, what the first must be better than.

    Raises:
        ArgumentError: for another ending, and for a name in braces that the logs do not have.
        ValueRangeError: for another `save_freq`.
    """

    kept = ("best", "_epoch", "_since")

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Literal["epoch"] | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = frequency(ModelCheckpoint, save_freq)
        if not self.filepath.endswith(".safetensors"):
            name = self.filepath
            for ending in (".weights.h5", ".keras", ".h5", ".hdf5", ".ckpt"):
                name = name.removesuffix(ending)
            raise ArgumentError(
                f"ModelCheckpoint: the file {self.filepath!r} must end in .safetensors",
                hint=f"weights are written to {name + '.safetensors'!r}; for a whole run, use "
                "callbacks.BackupAndRestore, and for a program without code model.save",
            )
        if initial_value_threshold is not None:
            self.best = initial_value_threshold
        self._epoch = self._since = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Keeps the number of the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Saves, after every `save_freq` steps."""
        if isinstance(self.save_freq, str):
            return
        self._since += self._steps_done(batch)
        if self._since >= self.save_freq:
            self._since = 0
            self._save(self._epoch, logs, {"batch": batch + 1})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves."""
        if self.save_freq == "epoch":
            self._save(epoch, logs, {})

    def _save(self, epoch: int, logs: Logs | None, more: dict[str, int]) -> None:
        said = f"\nEpoch {epoch + 1}: "
        if self.save_best_only:
            value, before = self.value(epoch, logs), self.best
            if value is None:
                return
            if not self.improves(value):
                if self.verbose:
                    print(f"{said}{self.monitor} did not improve from {before:.5f}")
                return
            said += f"{self.monitor} improved from {before:.5f} to {value:.5f}, "
        path = self._path({"epoch": epoch + 1, **more, **(logs or {})})
        path.parent.mkdir(parents=True, exist_ok=True)
        self.model.save_weights(path)
        if self.verbose:
            print(f"{said}saved {path}")

    def _path(self, names: Logs) -> Path:
        try:
            return Path(self.filepath.format(**names))
        except KeyError as error:
            name = str(error.args[0])
            raise ArgumentError(
                f"ModelCheckpoint: {self.filepath!r} names {name}, but there are "
                f"{', '.join(names)}",
                hint=nearest(name, names),
            ) from None
