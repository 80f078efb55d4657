"""Callbacks that watch a number: they stop, slow down or save."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from dlc.callbacks.base import Callback, Logs
from dlc.ir.errors import ValueRangeError, nearest


class _Monitor(Callback):
    """Knows the best value so far of a number in the logs.

    Args:
        monitor: The name of the number.
        mode: "min", "max", or "auto" for "max" if the name says accuracy, auc, precision or recall.
        min_delta: What counts as better: a change by more than this.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueRangeError(f'{type(self).__name__}(mode={mode!r}): "auto", "min" or "max"')
        rising = ("acc", "auc", "precision", "recall")
        largest = mode == "max" or (mode == "auto" and any(w in monitor for w in rising))
        self.monitor, self.sign, self.min_delta = monitor, 1 if largest else -1, abs(min_delta)
        self.best = -self.sign * math.inf

    def value(self, logs: Logs | None) -> float:
        """The number; ValueRangeError when the logs do not have it."""
        held = logs or {}
        if self.monitor not in held:
            raise ValueRangeError(
                f"{type(self).__name__} watches {self.monitor!r}, but there are "
                f"{', '.join(held) or 'no values'}",
                hint=nearest(self.monitor, held),
            )
        return float(held[self.monitor])

    def improves(self, value: float) -> bool:
        """Whether a value is better than the best so far, which it then is."""
        if self.sign * (value - self.best) > self.min_delta:
            self.best = value
            return True
        return False


class EarlyStopping(_Monitor):
    """Ends training when a number has stopped getting better.

    Args:
        monitor: The name of the number.
        min_delta: What counts as better: a change by more than this.
        patience: Epochs without a better one before the end.
        verbose: Whether it says so.
        mode: "min", "max" or "auto".
        baseline: What must be better than.
        restore_best_weights: Whether the model gets the weights of the best epoch back.
        start_from_epoch: The first epoch that counts.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.stopped_epoch = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begins again."""
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self.best = -self.sign * math.inf if self.baseline is None else self.baseline
        self.best_weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Looks at the number."""
        if epoch < self.start_from_epoch:
            return
        if self.improves(self.value(logs)):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.state_dict()
            return
        self.wait += 1
        if self.wait >= max(self.patience, 1):
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Gives the best weights back."""
        if self.stopped_epoch and self.verbose:
            print(f"epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)


class ReduceLROnPlateau(_Monitor):
    """Lowers the learning rate when a number has stopped getting better.

    Args:
        monitor: The name of the number.
        factor: What the learning rate is multiplied by.
        patience: Epochs without a better one before that.
        verbose: Whether it says so.
        mode: "min", "max" or "auto".
        min_delta: What counts as better: a change by more than this.
        cooldown: Epochs after a change that do not count.
        min_lr: The lowest learning rate.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueRangeError(f"ReduceLROnPlateau(factor={factor}): between 0 and 1")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.resting = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begins again."""
        self.wait = self.resting = 0
        self.best = -self.sign * math.inf

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Looks at the number."""
        better = self.improves(self.value(logs))
        if self.resting:
            self.resting -= 1
            self.wait = 0
        if better:
            self.wait = 0
            return
        if self.resting:
            return
        self.wait += 1
        optimizer = self.model.optimizer
        if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
            new = max(optimizer.learning_rate * self.factor, self.min_lr)
            optimizer.learning_rate = new
            self.wait, self.resting = 0, self.cooldown
            if self.verbose:
                print(f"epoch {epoch + 1}: learning rate {new:.6g}")


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Args:
        schedule: A function of the epoch, from 0, and the learning rate.
        verbose: Whether it says so.
    """

    def __init__(self, schedule: Callable[[int, float], float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Sets the learning rate."""
        optimizer = self.model.optimizer
        optimizer.learning_rate = float(self.schedule(epoch, optimizer.learning_rate))
        if self.verbose:
            print(f"epoch {epoch + 1}: learning rate {optimizer.learning_rate:.6g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Adds the learning rate to the logs."""
        if isinstance(logs, dict):
            logs["learning_rate"] = self.model.optimizer.learning_rate


class ModelCheckpoint(_Monitor):
    """Saves the weights after each epoch, or only when a number is better than before.

    Args:
        filepath: A file ending in .safetensors; names in braces are replaced:
            `"{epoch:02d}-{val_loss:.2f}.safetensors"`.
        monitor: The name of the number.
        verbose: Whether it says so.
        save_best_only: Whether only the best are saved.
        mode: "min", "max" or "auto".
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only = save_best_only

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves."""
        if self.save_best_only and not self.improves(self.value(logs)):
            return
        path = self.filepath.format(epoch=epoch + 1, **(logs or {}))
        self.model.save_weights(path)
        if self.verbose:
            print(f"epoch {epoch + 1}: saved {path}")
