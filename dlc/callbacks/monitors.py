"""Callbacks that watch a number, or set the learning rate: they stop, or slow down."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from dlc.callbacks.base import Callback, Logs
from dlc.ir.errors import NanError, ValueRangeError, nearest

_RISING = ("acc", "auc", "precision", "recall", "f1", "iou", "similarity", "r2", "sensitivity")


class Monitor(Callback):
    """Knows the best value so far of a number in the logs.

    Args:
        monitor: The name of the number.
        mode: "min", "max", or "auto" for "max" if the name says accuracy, auc, precision, recall,
            or another measure that rises.
        min_delta: What counts as better: a change by more than this.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueRangeError(f'{type(self).__name__}(mode={mode!r}): "auto", "min" or "max"')
        largest = mode == "max" or (mode == "auto" and any(w in monitor for w in _RISING))
        self.monitor, self.sign, self.min_delta = monitor, 1 if largest else -1, abs(min_delta)
        self.best = self.worst

    @property
    def worst(self) -> float:
        """What every number is better than."""
        return -self.sign * math.inf

    def value(self, epoch: int, logs: Logs | None) -> float | None:
        """The number; None after an epoch without validation, when it is one of validation.

        Raises:
            ValueRangeError: when the logs do not have it.
        """
        held = logs or {}
        if self.monitor not in held:
            every = self.params.get("validation_freq", 1)
            if self.monitor.startswith("val_") and (epoch + 1) % every:
                return None
            raise ValueRangeError(
                f"{type(self).__name__} watches {self.monitor!r}, but there are "
                f"{', '.join(held) or 'no values'}",
                hint=nearest(self.monitor, held),
            )
        return float(held[self.monitor])

    def better(self, value: float, than: float) -> bool:
        """Whether a value is better than another, by what counts."""
        return self.sign * (value - than) > self.min_delta

    def improves(self, value: float) -> bool:
        """Whether a value is better than the best so far, which it then is."""
        if self.better(value, self.best):
            self.best = value
            return True
        return False


class EarlyStopping(Monitor):
    """Ends training when a number has stopped getting better.

    Args:
        monitor: The name of the number.
        min_delta: What counts as better: a change by more than this.
        patience: Epochs without a better one before the end.
        verbose: Whether it says so.
        mode: "min", "max" or "auto".
        baseline: Patience begins again only with numbers better than this one, too.
        restore_best_weights: Whether the model gets the weights of the best epoch back.
        start_from_epoch: The first epoch that counts.
    """

    kept = ("wait", "stopped_epoch", "best_epoch", "best", "best_weights")

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
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begins again."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best, self.best_weights = self.worst, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Looks at the number."""
        value = self.value(epoch, logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        better = self.improves(value)
        if better or self.best_weights is None:
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.state_dict()
        if better:
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Gives the best weights back."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch, {self.best_epoch + 1}")
            self.model.load_state_dict(self.best_weights)


class ReduceLROnPlateau(Monitor):
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

    kept = ("wait", "resting", "best")

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
        self.best = self.worst

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Looks at the number, and adds the learning rate to the logs."""
        optimizer = self.model.optimizer
        if isinstance(logs, dict):
            logs["learning_rate"] = optimizer.learning_rate
        value = self.value(epoch, logs)
        if value is None:
            return
        better = self.improves(value)
        if self.resting:
            self.resting -= 1
            self.wait = 0
        if better:
            self.wait = 0
            return
        if self.resting:
            return
        self.wait += 1
        if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
            new = max(optimizer.learning_rate * self.factor, self.min_lr)
            optimizer.learning_rate = new
            self.wait, self.resting = 0, self.cooldown
            if self.verbose:
                print(f"\nEpoch {epoch + 1}: reducing the learning rate to {new:.6g}")


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch, and adds it to the logs.

    Args:
        schedule: A function of the epoch, from 0, and the learning rate; or of the epoch alone.
        verbose: Whether it says so.

    Raises:
        ValueRangeError: when the function gives something else than a number.

    Example:
        >>> halving = dlc.callbacks.LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch)
        >>> halving.rate(2, 0.05)
        0.025
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def rate(self, epoch: int, before: float) -> float:
        """The learning rate of an epoch, by the function."""
        given = self.schedule(epoch, before) if _takes_two(self.schedule) else self.schedule(epoch)
        try:
            return float(given)
        except (TypeError, ValueError):
            raise ValueRangeError(
                f"LearningRateScheduler: the schedule gave {given!r} for epoch {epoch}",
                hint="it must return the learning rate, a number",
            ) from None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Sets the learning rate."""
        optimizer = self.model.optimizer
        optimizer.learning_rate = self.rate(epoch, optimizer.learning_rate)
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: the learning rate is {optimizer.learning_rate:.6g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Adds the learning rate to the logs."""
        if isinstance(logs, dict):
            logs["learning_rate"] = self.model.optimizer.learning_rate


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a schedule wants the learning rate too."""
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a function of C that does not say
        return True
    return True


class TerminateOnNaN(Callback):
    """Ends training when the loss is NaN or infinite.

    Without this callback, `fit` raises NanError for a loss that is NaN.

    Args:
        raise_error: Whether that is an error; else `fit` returns what there is.
    """

    handles_nan = True

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Looks at the loss."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise NanError(f"the loss is {loss} after step {batch + 1}")
        print(f"\nBatch {batch}: the loss is {loss}, training ends")
        self.model.stop_training = True
