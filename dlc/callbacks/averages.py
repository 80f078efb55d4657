"""`SwapEMAWeights`: averages of parameters in their place, for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlc.callbacks.base import Callback, Logs


class SwapEMAWeights(Callback):
    """Evaluates and predicts with the averages that an optimizer keeps with `use_ema=True`.

    Before a validation, evaluation or prediction the parameters and their averages change places,
    and after it they change back.

    Args:
        swap_on_epoch: Whether they stay changed until the next epoch begins, for callbacks such as
            `ModelCheckpoint` that come later; after the last epoch the model keeps the averages.

    Raises:
        ArgumentError: for an optimizer without `use_ema=True`.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._held: list[tuple[Any, Any]] | None = None  # parameters with their values

    def state_dict(self) -> dict[str, Any]:
        """The parameters that are not in the model now, for a checkpoint."""
        return {"held": None if self._held is None else [value for _, value in self._held]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""
        held = state["held"]
        if held is not None:
            held = list(zip(self.model.parameters(), held, strict=True))
        self._held = held

    def _swap(self, averages: bool) -> None:
        """Puts the averages, or the parameters, in the model."""
        if averages and self._held is None:
            held = [(p, p.data) for p in self.model.parameters()]
            self.model.optimizer.finalize_variable_values()
            self._held = held
        elif not averages and self._held is not None:
            for parameter, value in self._held:
                parameter.assign(value)
            self._held = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """The parameters come back."""
        self._swap(averages=False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """The averages come, with `swap_on_epoch`."""
        if self.swap_on_epoch:
            self._swap(averages=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """What the model holds now it keeps."""
        self._held = None

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """The averages come."""
        self._swap(averages=True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """The parameters come back."""
        self._swap(averages=False)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """The averages come."""
        self._swap(averages=True)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """The parameters come back."""
        self._swap(averages=False)
