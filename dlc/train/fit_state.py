"""`FitState`: where a fit is, and the checkpoint from which it goes on bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dlc
from dlc.metrics.metric import Metric
from dlc.train.checkpoints import Checkpoint

if TYPE_CHECKING:
    from dlc.callbacks import CallbackList
    from dlc.train.training import Training


class FitState:
    """The state of a fit beside that of the model: position, numbers, callbacks.

    Attributes:
        epoch, step: Those that come next, counted from 0.
        logs: The numbers of the last step or epoch.
        resumed: Whether a checkpoint was restored.
        passes_before: How many passes over data there were in earlier fits, of which this one does
            not go on with the last: a fit after a fit has orders of its own.

    Args:
        training: How the model is trained.
        hooks: The callbacks.
        epoch: The first epoch.
    """

    def __init__(self, training: Training, hooks: CallbackList, epoch: int) -> None:
        self.training, self.hooks = training, hooks
        self.epoch, self.step = epoch, 0
        self.logs: dict[str, float] = {}
        self.resumed = False
        self.passes_before = max(0, training.passes - epoch)
        self._contents: Mapping[str, Any] | None = None

    def checkpoint(self) -> Checkpoint:
        """Everything that the fit goes on from."""
        training = self.training
        held: dict[str, Any] = {
            "model": training.model,
            "optimizer": training.optimizer,
            "metrics": training.outputs,
            "fit": self,
        }
        for path, module in training.model.named_modules():  # for steps of the user's own
            held.update(_stateful(vars(module), f"model.{path}" if path else "model"))
        return Checkpoint(**held)

    def resume(self, contents: Mapping[str, Any]) -> None:
        """Goes on from what was in a file; builds the model if that has not been done."""
        form = contents["objects"]["fit"]["form"]
        if form is not None:
            self.training.steps.build(dlc.tree.map(dlc.spec, form))
        self._contents, self.resumed = contents, True
        self.load_again()

    def load_again(self) -> None:
        """Undoes what hooks did that had run before the checkpoint was made, too."""
        assert self._contents is not None
        self.checkpoint().load_contents(self._contents)

    def state_dict(self) -> dict[str, Any]:
        """The state, as a checkpoint takes it."""
        training = self.training
        return {
            "epoch": self.epoch,
            "step": self.step,
            "logs": self.logs,
            "seed": training.seed,
            "passes_before": self.passes_before,
            "stop_training": training.stop_training,
            "form": training.steps.form,
            "callbacks": [[type(c).__name__, c.state_dict()] for c in self.hooks],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from there; callbacks are found by their classes and their order."""
        self.epoch, self.step, self.logs = state["epoch"], state["step"], dict(state["logs"])
        self.training.seed = state["seed"]
        self.passes_before = state.get("passes_before", 0)  # none in files of before there was one
        self.training.stop_training = state["stop_training"]
        saved = list(state["callbacks"])
        for callback in self.hooks:
            name = type(callback).__name__
            found = next((entry for entry in saved if entry[0] == name), None)
            if found is not None:
                saved.remove(found)
                callback.load_state_dict(found[1])


def _stateful(x: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What has state beside parameters and buffers, also in containers, by name."""
    if isinstance(x, (dlc.optim.Optimizer, dlc.optim.LossScaler, Metric)):
        yield name, x
    elif isinstance(x, (dict, list, tuple)):
        for key, value in x.items() if isinstance(x, dict) else enumerate(x):
            yield from _stateful(value, f"{name}.{key}")
