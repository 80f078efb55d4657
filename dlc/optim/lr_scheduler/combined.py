"""Several schedulers, at once or one after the other."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.optim.lr_scheduler.base import LRScheduler
from dlc.optim.optimizer import Optimizer


class ChainedScheduler:
    """Schedulers that all take a step at once, each on the rates that the one before has set.

    Args:
        schedulers: Schedulers of one optimizer.
        optimizer: That optimizer; it need not be given.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self.optimizer = _shared(type(self).__name__, schedulers, optimizer)
        self.schedulers = list(schedulers)
        self._last_lr = [g.lr for g in self.optimizer.param_groups]

    def step(self) -> None:
        """A step more, of each."""
        for scheduler in self.schedulers:
            scheduler.step()
        self._last_lr = [g.lr for g in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """The states of all."""
        return {"schedulers": [s.state_dict() for s in self.schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another was."""
        for scheduler, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR:
    """Schedulers one after the other.

    Args:
        optimizer: Whose learning rates are moved.
        schedulers: Schedulers of it.
        milestones: Numbers of steps at which the next begins, one fewer, increasing.
        last_epoch: Steps that were made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = _shared("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1 or sorted(milestones) != list(milestones):
            raise ValueRangeError(
                f"SequentialLR of {len(schedulers)} schedulers and {len(milestones)} milestones",
                hint="give milestones in increasing order, and one more scheduler",
            )
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:  # as it was before they took their first step
            if group.initial_lr is not None:
                group.lr = group.initial_lr
        for scheduler in schedulers:
            scheduler.last_epoch -= 1
        self.schedulers[0].step()

    def step(self) -> None:
        """A step more, of the one whose turn it is."""
        self.last_epoch += 1
        turn = bisect.bisect_right(self.milestones, self.last_epoch)
        first = turn > 0 and self.milestones[turn - 1] == self.last_epoch
        self.schedulers[turn].step(0 if first else None)

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return [g.lr for g in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The states of all, and the step."""
        states = [s.state_dict() for s in self.schedulers]
        return {"last_epoch": self.last_epoch, "schedulers": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another was."""
        self.last_epoch = state_dict["last_epoch"]
        for scheduler, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
            scheduler.load_state_dict(state)


def _shared(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> Optimizer:
    """The optimizer that all of some schedulers move."""
    if not schedulers:
        raise ArgumentError(f"{name} of no schedulers")
    held = schedulers[0].optimizer if optimizer is None else optimizer
    if any(s.optimizer is not held for s in schedulers):
        raise ArgumentError(f"{name} of schedulers of several optimizers")
    return held
