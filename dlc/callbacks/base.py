"""`Callback`, and one that is made of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from dlc.ir.errors import ArgumentError, nearest
from dlc.ir.integers import at_least

Logs = Mapping[str, Any]
Hook = Callable[..., Any]
HOOKS = (
    "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin",
    "on_train_batch_end", "on_test_begin", "on_test_end", "on_test_batch_begin",
    "on_test_batch_end", "on_predict_begin", "on_predict_end", "on_predict_batch_begin",
    "on_predict_batch_end", "on_batch_begin", "on_batch_end",
)  # fmt: skip


class Callback:
    """The base of callbacks; a subclass defines the hooks that it wants.

    Attributes:
        model: The model that is trained, set before the first hook.
        params: A dict with "epochs", "steps" (None where not known) and "verbose".

    `logs` holds numbers by name, such as `{"loss": 0.5, "val_loss": 0.7}`. To end training, a hook
    sets `self.model.stop_training = True`. The hooks and their order are Keras's; `on_batch_begin`
    and `on_batch_end` are other names for the hooks of steps of training.

    Example:
        >>> class Loud(dlc.callbacks.Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(epoch, sorted(logs))
        >>> dlc.callbacks.CallbackList([Loud()]).on_epoch_end(0, {"loss": 0.5})
        0 ['loss']
    """

    handles_nan = False  # whether training goes on to the hooks of a step whose loss is NaN

    # Names of attributes that a checkpoint keeps: numbers, lists and dicts of them, tensors.
    kept: ClassVar[tuple[str, ...]] = ()
    runs_last: ClassVar[bool] = False  # whether its hooks come after those of all others

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Tells the callback its model."""
        self.model = model

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the attributes whose names are in `kept`."""
        return {name: getattr(self, name) for name in self.kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` gave, after `on_train_begin`."""
        for name, value in state.items():
            setattr(self, name, value)

    def _steps_done(self, batch: int) -> int:
        """How many steps the hook after a batch is for: see `steps_per_execution`."""
        return batch % self.params.get("steps_per_execution", 1) + 1

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
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step of training."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_end`."""

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


def frequency(kind: type[Callback], save_freq: Any) -> Literal["epoch"] | int:
    """When a callback saves: after epochs, or each so many steps of training.

    Raises:
        ValueRangeError: for something else.
    """
    if save_freq == "epoch":
        return "epoch"
    return at_least(save_freq, 1, f'{kind.__name__}: "epoch" or a number of steps; save_freq')


class LambdaCallback(Callback):
    """A callback of functions, by the names of hooks.

    Args:
        on_epoch_begin, on_epoch_end: Functions of the epoch and the logs.
        on_train_begin, on_train_end: Functions of the logs.
        on_train_batch_begin, on_train_batch_end: Functions of the step and the logs.
        hooks: The other hooks, by name.

    Raises:
        ArgumentError: for a name that is no hook.

    Example:
        >>> hook = dlc.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch))
        >>> hook.on_epoch_end(3)
        3
    """

    def __init__(
        self,
        on_epoch_begin: Hook | None = None,
        on_epoch_end: Hook | None = None,
        on_train_begin: Hook | None = None,
        on_train_end: Hook | None = None,
        on_train_batch_begin: Hook | None = None,
        on_train_batch_end: Hook | None = None,
        **hooks: Hook | None,
    ) -> None:
        super().__init__()
        hooks.update(
            on_epoch_begin=on_epoch_begin, on_epoch_end=on_epoch_end, on_train_begin=on_train_begin,
            on_train_end=on_train_end, on_train_batch_begin=on_train_batch_begin,
            on_train_batch_end=on_train_batch_end,
        )  # fmt: skip
        for name, function in hooks.items():
            if name not in HOOKS:
                hint = nearest(name, HOOKS) or f"hooks: {', '.join(HOOKS)}"
                raise ArgumentError(f"no hook {name!r}", hint=hint)
            if function is not None:
                setattr(self, name, _padded(function, name))


def _padded(function: Hook, name: str) -> Hook:
    """A hook whose logs may be left out by who calls it."""
    if "batch" in name or "epoch" in name:
        return lambda number, logs=None: function(number, logs)
    return lambda logs=None: function(logs)
