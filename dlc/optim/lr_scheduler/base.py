"""The base of PyTorch's schedulers, and of those by a schedule for each group of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.optim.optimizer import Group, Optimizer


class LRScheduler:
    """The base of schedulers; a subclass says the rate of a group at a step.

    Args:
        optimizer: Whose learning rates are moved.
        last_epoch: The number of steps that were made; -1 for a new run, whose rates begin where
            the optimizer's are.

    Raises:
        ArgumentError: for an optimizer whose learning rate is a function of the step, and for a
            run that goes on with an optimizer that has no "initial_lr".
    """

    relative: ClassVar[bool] = True  # whether a rate that was changed by others stays changed
    floor = 0.0  # what rates are relative to

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"{type(self).__name__} of a {type(optimizer).__name__}: it moves an optimizer"
            )
        self.optimizer, self.last_epoch = optimizer, last_epoch
        for group in optimizer.param_groups:
            if group.schedule is not None:
                raise ArgumentError(
                    f"{type(self).__name__}: the optimizer's learning rate is a function already",
                    hint="give the optimizer a number",
                )
            if last_epoch == -1 and group.initial_lr is None:
                group.initial_lr = group.lr
            elif group.initial_lr is None:
                raise ArgumentError(f'{type(self).__name__}: a group has no "initial_lr"')
        self.base_lrs = [float(g.initial_lr or 0.0) for g in optimizer.param_groups]
        self._last_lr = [g.lr for g in optimizer.param_groups]
        self._prepare()
        self.step()

    def _prepare(self) -> None:
        """What a subclass does when the groups are known."""

    def rate(self, k: int, step: int) -> float:
        """The rate of group k after so many steps, of which others know nothing."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        """The rates of the groups at `last_epoch`."""
        found: list[float] = []
        for k, group in enumerate(self.optimizer.param_groups):
            rate = self.rate(k, self.last_epoch)
            if self.relative and self.last_epoch > 0:
                before = self.rate(k, self.last_epoch - 1)
                now = group.lr
                if not math.isclose(now, before, rel_tol=1e-12) and before != self.floor:
                    share = (rate - self.floor) / (before - self.floor)
                    rate = self.floor + (now - self.floor) * share
            elif self.relative and group.lr != self.base_lrs[k]:
                first = rate / self.base_lrs[k] if self.base_lrs[k] else 1.0
                rate = group.lr * first
            found.append(rate)
        return found

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """A step more; with `epoch`, that many are made, and rates are what they are then."""
        if epoch is None:
            self.last_epoch += 1
            self._set(self.get_lr())
        else:
            self.last_epoch = epoch
            self._set([self.rate(k, epoch) for k in range(len(self.base_lrs))])

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            if group.lr != rate:
                group.lr = rate
        self._last_lr = [float(r) for r in rates]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes: numbers, no functions."""
        kept = (int, float, str, list, type(None))
        held = vars(self).items()
        return {k: v for k, v in held if isinstance(v, kept) and not _has_function(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another was."""
        vars(self).update(state_dict)


class Scheduled(LRScheduler):
    """A scheduler by a schedule of `dlc.optim.schedules` for each group."""

    def _prepare(self) -> None:
        self.schedules = [self.schedule(base) for base in self.base_lrs]

    def schedule(self, base: float) -> Callable[[Any], Any]:
        """The schedule of a group whose rate begins at `base`."""
        raise NotImplementedError

    def rate(self, k: int, step: int) -> float:
        """The schedule's."""
        return float(self.schedules[k](step))


def for_groups(
    optimizer: Optimizer, given: Any, name: str, single: Callable[[Any], bool]
) -> list[Any]:
    """One thing for each group of parameters, of one or of a list."""
    groups: list[Group] = optimizer.param_groups
    if single(given):
        return [given] * len(groups)
    if len(given) != len(groups):
        raise ValueRangeError(f"{len(given)} of {name} for {len(groups)} groups of parameters")
    return list(given)


def is_number(x: Any) -> bool:
    """Whether something is one number, for all groups."""
    return isinstance(x, (int, float))


def _has_function(x: Any) -> bool:
    return isinstance(x, list) and any(callable(v) for v in x)
