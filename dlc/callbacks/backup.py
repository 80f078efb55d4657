"""`BackupAndRestore`: a fit that was killed goes on where it was."""

from __future__ import annotations

import os
from typing import Any, Literal

from dlc.callbacks.base import Callback, Logs, frequency
from dlc.train.checkpoints import CheckpointManager


class BackupAndRestore(Callback):
    """Keeps checkpoints of a fit in a folder; a fit that finds one there goes on from it.

    A checkpoint holds the weights and buffers, the optimizer, metrics, random numbers, the position
    in the data, the history and the state of callbacks: a run that was killed at any moment and
    begun again ends with the bits of one that was not. Call the same script again; data must come
    in the same order, as arrays and `dlc.data.Dataset` do. Batches of a generator that have been
    trained with are drawn and left out.

    Its hooks come after those of all other callbacks. The last two checkpoints are kept: if the
    newest is damaged, a warning says so and the one before is used.

    Args:
        backup_dir: The folder, for this fit alone.
        save_freq: "epoch", or a number of steps of training between checkpoints.
        delete_checkpoint: Whether they are removed when training has come to its end.

    Raises:
        ValueRangeError: for another `save_freq`.
    """

    kept = ("_steps",)
    runs_last = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: Literal["epoch"] | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = frequency(BackupAndRestore, save_freq)
        self.delete_checkpoint = delete_checkpoint
        self._manager = CheckpointManager(None, backup_dir, max_to_keep=2)
        self._steps = 0  # since the last checkpoint
        if self.save_freq != "epoch":  # else there is no hook that has numbers read in each step
            self.on_train_batch_end = self._after_step

    @property
    def _state(self) -> Any:
        return self.model._training_or_error().state

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Goes on from a checkpoint, if there is one."""
        self._steps = 0
        contents = self._manager.read()
        if contents is not None:
            self._state.resume(contents)

    def _after_step(self, batch: int, logs: Logs | None = None) -> None:
        """Writes a checkpoint, after every `save_freq` steps."""
        self._steps += self._steps_done(batch)
        if isinstance(self.save_freq, int) and self._steps >= self.save_freq:
            self._steps = 0
            self._save(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes a checkpoint, unless they are written by steps."""
        if self.save_freq == "epoch":
            self._save(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Removes the checkpoints, if wanted."""
        if self.delete_checkpoint:
            self._manager.delete()

    def _save(self, logs: Logs | None) -> None:
        state = self._state
        state.logs = {name: float(value) for name, value in (logs or {}).items()}
        self._manager.checkpoint = state.checkpoint()
        self._manager.save(epoch=state.epoch, step=state.step)
