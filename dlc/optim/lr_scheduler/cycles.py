"""Schedulers that raise and lower rates, and move the momentum the other way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from dlc.ir.errors import ValueRangeError
from dlc.optim import schedules
from dlc.optim.lr_scheduler.base import Scheduled, for_groups, is_number
from dlc.optim.optimizer import Optimizer


class _WithMomentum(Scheduled):
    """A scheduler that also moves the momentum, or Adam's first beta, the other way."""

    relative = False
    cycle_momentum: bool

    def _prepare(self) -> None:
        super()._prepare()
        self._name = ""
        if self.cycle_momentum:
            settings = self.optimizer.settings
            self._name = "beta1" if "beta1" in settings else "momentum"
            if self._name not in settings:
                raise ValueRangeError(
                    f"{type(self).__name__}(cycle_momentum=True): "
                    f"{type(self.optimizer).__name__} has no momentum",
                    hint="give it cycle_momentum=False",
                )
            self.momentum = self.momentum_schedule()

    def momentum_schedule(self) -> Callable[[Any], Any]:
        """The momentum as a function of the step."""
        raise NotImplementedError

    def _set(self, rates: Sequence[float]) -> None:
        super()._set(rates)
        if self._name:
            for group in self.optimizer.param_groups:
                group.move(self._name, float(self.momentum(self.last_epoch)))


class CyclicLR(_WithMomentum):
    """Up and down in straight lines; see `dlc.optim.schedules.Cyclic`.

    Args:
        optimizer: Whose learning rates are moved.
        base_lr, max_lr: The lowest and the highest rate, or one for each group.
        step_size_up, step_size_down: Steps up and down.
        mode, gamma: What becomes of the height: "triangular", "triangular2" or "exp_range".
        scale_fn: A function that takes the place of `mode`, of the cycle's number or the step.
        scale_mode: "cycle" or "iterations", for `scale_fn`.
        cycle_momentum: Whether the momentum goes from `max_momentum` down and up again.
        base_momentum, max_momentum: Its lowest and highest value.
        last_epoch: Steps that were made.
    """

    def __init__(  # noqa: PLR0913, PLR0917  PyTorch's arguments
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[Any], Any] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self._shape: Any = {
            "step_size_up": step_size_up, "step_size_down": step_size_down, "mode": mode,
            "gamma": gamma, "scale": scale_fn, "scale_by_step": scale_mode == "iterations",
        }  # fmt: skip
        self.cycle_momentum = cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        self.max_lrs = for_groups(optimizer, max_lr, "max_lr", is_number)
        if last_epoch == -1:
            lowest = for_groups(optimizer, base_lr, "base_lr", is_number)
            for group, low in zip(optimizer.param_groups, lowest, strict=True):
                group.lr = low
        super().__init__(optimizer, last_epoch)

    def _prepare(self) -> None:
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        made = iter([schedules.Cyclic(low, high, **self._shape) for low, high in pairs])
        self.schedule = lambda base: next(made)
        super()._prepare()

    def momentum_schedule(self) -> schedules.Cyclic:
        """From the highest down."""
        return schedules.Cyclic(self.max_momentum, self.base_momentum, **self._shape)


class OneCycleLR(_WithMomentum):
    """Up to the highest rate and down to a very low one; see `dlc.optim.schedules.OneCycle`.

    Args:
        optimizer: Whose learning rates are moved, one `step` a batch.
        max_lr: The highest rate, or one for each group.
        total_steps: All steps; or `epochs` times `steps_per_epoch`.
        epochs, steps_per_epoch: See there.
        pct_start: The share of the steps that go up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: Whether the momentum goes from `max_momentum` down and up again.
        base_momentum, max_momentum: Its lowest and highest value.
        div_factor: The first rate is the highest one over this.
        final_div_factor: The last rate is the first one over this.
        three_phase: Whether it goes down to the first rate in as many steps as up, and then on.
        last_epoch: Steps that were made.

    Raises:
        ValueRangeError: without a number of steps, and for a step beyond it.
    """

    def __init__(  # noqa: PLR0913, PLR0917  PyTorch's arguments
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueRangeError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        self.total_steps, self.cycle_momentum = total_steps, cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        self._shape: Any = {
            "total_steps": total_steps, "pct_start": pct_start, "anneal_strategy": anneal_strategy,
            "three_phase": three_phase,
        }  # fmt: skip
        self._factors: Any = {"div_factor": div_factor, "final_div_factor": final_div_factor}
        self.max_lrs = for_groups(optimizer, max_lr, "max_lr", is_number)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, self.max_lrs, strict=True):
                group.lr = group.initial_lr = high / div_factor
        super().__init__(optimizer, last_epoch)

    def _prepare(self) -> None:
        highest = iter(self.max_lrs)
        self.schedule = lambda base: schedules.OneCycle(
            next(highest), **self._shape, **self._factors
        )
        super()._prepare()

    def momentum_schedule(self) -> schedules.OneCycle:
        """From the highest down, and back at the end."""
        made = schedules.OneCycle(1.0, **self._shape)
        high, low = self.max_momentum, self.base_momentum
        made.rates = [high, low, *[high] * (len(made.rates) - 2)]
        return made

    def step(self, epoch: int | None = None) -> None:
        """A step more."""
        wanted = self.last_epoch + 1 if epoch is None else epoch
        if wanted >= self.total_steps:
            raise ValueRangeError(
                f"OneCycleLR: step {wanted + 1} of {self.total_steps}",
                hint="call step() once a batch, and give the number of all batches",
            )
        super().step(epoch)
