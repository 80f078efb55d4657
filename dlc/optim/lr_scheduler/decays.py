"""Schedulers that lower rates: by a function, by factors, along lines, powers and cosines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dlc.ir.errors import ValueRangeError
from dlc.optim import schedules
from dlc.optim.lr_scheduler.base import LRScheduler, Scheduled, for_groups
from dlc.optim.optimizer import Optimizer


class LambdaLR(LRScheduler):
    """The first rate times a function of the step.

    Args:
        optimizer: Whose learning rates are moved.
        lr_lambda: A function of the step, or one for each group.
        last_epoch: Steps that were made.
    """

    relative = False

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = for_groups(optimizer, lr_lambda, "lr_lambda", callable)
        super().__init__(optimizer, last_epoch)

    def rate(self, k: int, step: int) -> float:
        """The first rate times the function."""
        return self.base_lrs[k] * self.lr_lambdas[k](step)


class MultiplicativeLR(LRScheduler):
    """The rate before times a function of the step.

    Args:
        optimizer: Whose learning rates are moved.
        lr_lambda: A function of the step, or one for each group.
        last_epoch: Steps that were made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = for_groups(optimizer, lr_lambda, "lr_lambda", callable)
        super().__init__(optimizer, last_epoch)

    def rate(self, k: int, step: int) -> float:
        """The product of all functions until the step."""
        return self.base_lrs[k] * math.prod(self.lr_lambdas[k](t) for t in range(1, step + 1))

    def get_lr(self) -> list[float]:
        """The rates now times the functions."""
        groups = self.optimizer.param_groups
        if self.last_epoch <= 0:
            return [g.lr for g in groups]
        return [g.lr * f(self.last_epoch) for g, f in zip(groups, self.lr_lambdas, strict=True)]


class StepLR(Scheduled):
    """Times gamma after every `step_size` steps.

    Args:
        optimizer: Whose learning rates are moved.
        step_size: Steps between changes.
        gamma: A factor.
        last_epoch: The number of steps that were made; -1 for a new run.

    Example:
        >>> optimizer = dlc.optim.SGD([dlc.Variable([1.0])], lr=1.0)
        >>> scheduler = dlc.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for _ in range(4):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.25
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.StepDecay:
        """Steps down."""
        return schedules.StepDecay(base, self.step_size, self.gamma)


class MultiStepLR(Scheduled):
    """Times gamma at each of some numbers of steps.

    Args:
        optimizer: Whose learning rates are moved.
        milestones: Numbers of steps.
        gamma: A factor.
        last_epoch: The number of steps that were made; -1 for a new run.

    Example:
        >>> optimizer = dlc.optim.SGD([dlc.Variable([1.0])], lr=1.0)
        >>> scheduler = dlc.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 3], gamma=0.5)
        >>> for _ in range(3):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.25
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.MultiStepDecay:
        """Steps down."""
        return schedules.MultiStepDecay(base, self.milestones, self.gamma)


class ConstantLR(Scheduled):
    """The rate times `factor`, until `total_iters` steps were made.

    Args:
        optimizer: Whose learning rates are moved.
        factor: From 0 to 1.
        total_iters: Steps until the rate is the optimizer's own.
        last_epoch: The number of steps that were made; -1 for a new run.

    Raises:
        ValueRangeError: for a factor out of range.

    Example:
        >>> optimizer = dlc.optim.SGD([dlc.Variable([1.0])], lr=1.0)
        >>> scheduler = dlc.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
        >>> for _ in range(1):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueRangeError(f"ConstantLR(factor={factor}): from 0 to 1")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.Joined:
        """Two numbers."""
        return schedules.Joined([base * self.factor, base], [self.total_iters])


class LinearLR(Scheduled):
    """A line from `start_factor` to `end_factor` times the rate.

    Args:
        optimizer: Whose learning rates are moved.
        start_factor: Above 0, at most 1.
        end_factor: From 0 to 1.
        total_iters: Steps from the one to the other.
        last_epoch: The number of steps that were made; -1 for a new run.

    Raises:
        ValueRangeError: for factors out of range.

    Example:
        >>> optimizer = dlc.optim.SGD([dlc.Variable([1.0])], lr=1.0)
        >>> scheduler = dlc.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=4)
        >>> for _ in range(2):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.75
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ValueRangeError(
                f"LinearLR(start_factor={start_factor}, end_factor={end_factor}): from 0 to 1"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.PolynomialDecay:
        """A line."""
        first, last = base * self.start_factor, base * self.end_factor
        return schedules.PolynomialDecay(first, self.total_iters, last)


class ExponentialLR(Scheduled):
    """Times gamma in each step.

    Args:
        optimizer: Whose learning rates are moved.
        gamma: A factor.
        last_epoch: The number of steps that were made; -1 for a new run.

    Example:
        >>> optimizer = dlc.optim.SGD([dlc.Variable([1.0])], lr=1.0)
        >>> scheduler = dlc.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> for _ in range(2):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.25
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.ExponentialDecay:
        """A power of gamma."""
        return schedules.ExponentialDecay(base, 1, self.gamma)


class PolynomialLR(Scheduled):
    """To 0 in `total_iters` steps, along a power of the steps that are left.

    Args:
        optimizer: Whose learning rates are moved.
        total_iters: Steps until 0.
        power: 1 for a straight line.
        last_epoch: The number of steps that were made; -1 for a new run.

    Example:
        >>> optimizer = dlc.optim.SGD([dlc.Variable([1.0])], lr=1.0)
        >>> scheduler = dlc.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4)
        >>> for _ in range(1):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.75
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.PolynomialDecay:
        """A power."""
        return schedules.PolynomialDecay(base, self.total_iters, 0.0, self.power)


class CosineAnnealingLR(Scheduled):
    """A cosine down to `eta_min` in `T_max` steps, and up again.

    Args:
        optimizer: Whose learning rates are moved.
        T_max: Steps down.
        eta_min: The lowest rate.
        last_epoch: The number of steps that were made; -1 for a new run.

    Example:
        >>> optimizer = dlc.optim.SGD([dlc.Variable([1.0])], lr=1.0)
        >>> scheduler = dlc.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
        >>> for _ in range(2):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.5
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        self.floor = eta_min
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.CosineAnnealing:
        """A cosine."""
        return schedules.CosineAnnealing(base, self.T_max, self.eta_min)


class CosineAnnealingWarmRestarts(Scheduled):
    """Half cosines down to `eta_min`, the first of `T_0` steps, each `T_mult` times as long.

    Args:
        optimizer: Whose learning rates are moved.
        T_0: Steps of the first one.
        T_mult: How many times as long each is as the one before.
        eta_min: The lowest rate.
        last_epoch: The number of steps that were made; -1 for a new run.

    Example:
        >>> optimizer = dlc.optim.SGD([dlc.Variable([1.0])], lr=1.0)
        >>> scheduler = dlc.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=4)
        >>> for _ in range(2):
        ...     scheduler.step()
        >>> optimizer.param_groups[0]["lr"]
        0.5
    """

    relative = False

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> Callable[[Any], Any]:
        """Cosines from 1 to 0, between the rates."""
        cosines = schedules.CosineDecayRestarts(1.0, self.T_0, self.T_mult)
        return lambda step: self.eta_min + (base - self.eta_min) * cosines(step)
