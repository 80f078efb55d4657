"""`Callback`, a list of them, and one made of functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dlc.ir.errors import ArgumentError

Logs = Mapping[str, Any]
HOOKS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin",
    "on_train_batch_end", "on_test_begin", "on_test_end", "on_test_batch_begin",
    "on_test_batch_end", "on_predict_begin", "on_predict_end", "on_predict_batch_begin",
    "on_predict_batch_end",
)  # fmt: skip


class Callback:
    """The base of callbacks; a subclass defines the hooks that it wants.

    Attributes:
        model: The model that is trained, set before the first hook.
        params: A dict with "epochs", "steps" (None where not known) and "verbose".

    `logs` holds numbers by name, such as `{"loss": 0.5, "val_loss": 0.7}`. To end training, a hook
    sets `self.model.stop_training = True`.
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Tells the callback its model."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Tells the callback how training was called."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch, which counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step of training, which counts from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step of training."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation or validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After an evaluation or validation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of an evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of a prediction."""


class LambdaCallback(Callback):
    """A callback of functions, by the names of hooks.

    Raises:
        ArgumentError: for a name that is no hook.

    Example:
        >>> hook = dlc.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch))
        >>> hook.on_epoch_end(3)
        3
    """

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        super().__init__()
        for name, function in hooks.items():
            if name not in HOOKS:
                raise ArgumentError(f"no hook {name!r}", hint=f"hooks: {', '.join(HOOKS)}")
            setattr(self, name, _padded(function, name))


def _padded(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A hook whose logs may be left out by who calls it."""
    if "batch" in name or "epoch" in name:
        return lambda number, logs=None: function(number, logs)
    return lambda logs=None: function(logs)


class CallbackList:
    """Callbacks that are called one after the other."""

    def __init__(self, callbacks: Iterable[Callback], model: Any, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(
                    f"a {type(callback).__name__} is no callback",
                    hint="give objects of subclasses of dlc.callbacks.Callback",
                )
            callback.set_model(model)
            callback.set_params(params)
        self._users = {name: [c for c in self.callbacks if _has(c, name)] for name in HOOKS}

    def wants(self, hook: str) -> bool:
        """Whether any callback defines a hook: those of batches cost time."""
        return bool(self._users[hook])

    def call(self, hook: str, *args: Any) -> None:
        """Calls a hook of all callbacks that define it."""
        for callback in self._users[hook]:
            getattr(callback, hook)(*args)


def _has(callback: Callback, hook: str) -> bool:
    return hook in vars(callback) or getattr(type(callback), hook) is not getattr(Callback, hook)
