"""Learning rates that a loop of your own moves, with PyTorch's names, formulas and defaults.

    scheduler = dlc.optim.lr_scheduler.StepLR(optimizer, step_size=30)
    for epoch in range(90):
        train(...)
        scheduler.step()

The rates are in variables of the optimizer: that they change compiles nothing anew.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.optim import schedules
from dlc.optim.optimizer import Group, Optimizer

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
    "CyclicLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR",
    "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


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


class _Scheduled(LRScheduler):
    """A scheduler by a schedule of `dlc.optim.schedules` for each group."""

    def _prepare(self) -> None:
        self.schedules = [self.schedule(base) for base in self.base_lrs]

    def schedule(self, base: float) -> Callable[[Any], Any]:
        """The schedule of a group whose rate begins at `base`."""
        raise NotImplementedError

    def rate(self, k: int, step: int) -> float:
        """The schedule's."""
        return float(self.schedules[k](step))


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
        self.lr_lambdas = _for_groups(optimizer, lr_lambda, "lr_lambda", callable)
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
        self.lr_lambdas = _for_groups(optimizer, lr_lambda, "lr_lambda", callable)
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


class StepLR(_Scheduled):
    """Times gamma after every `step_size` steps."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.StepDecay:
        """Steps down."""
        return schedules.StepDecay(base, self.step_size, self.gamma)


class MultiStepLR(_Scheduled):
    """Times gamma at each of some numbers of steps."""

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


class ConstantLR(_Scheduled):
    """The rate times `factor`, until `total_iters` steps were made."""

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


class LinearLR(_Scheduled):
    """A line from `start_factor` to `end_factor` times the rate."""

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


class ExponentialLR(_Scheduled):
    """Times gamma in each step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.ExponentialDecay:
        """A power of gamma."""
        return schedules.ExponentialDecay(base, 1, self.gamma)


class PolynomialLR(_Scheduled):
    """To 0 in `total_iters` steps, along a power of the steps that are left."""

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


class CosineAnnealingLR(_Scheduled):
    """A cosine down to `eta_min` in `T_max` steps, and up again."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        self.floor = eta_min
        super().__init__(optimizer, last_epoch)

    def schedule(self, base: float) -> schedules.CosineAnnealing:
        """A cosine."""
        return schedules.CosineAnnealing(base, self.T_max, self.eta_min)


class CosineAnnealingWarmRestarts(_Scheduled):
    """Half cosines down to `eta_min`, the first of `T_0` steps, each `T_mult` times as long."""

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


class _WithMomentum(_Scheduled):
    """A scheduler that also moves the momentum, or Adam's first beta, the other way."""

    relative = False
    cycle_momentum: bool

    def _prepare(self) -> None:
        super()._prepare()
        self._name = ""
        if self.cycle_momentum:
            group = self.optimizer.param_groups[0]
            self._name = "beta1" if "beta1" in group.settings else "momentum"
            if not group.settings.get(self._name):
                raise ValueRangeError(
                    f"{type(self).__name__}(cycle_momentum=True): "
                    f"{type(self.optimizer).__name__} has no momentum",
                    hint="give it momentum=0.9, or cycle_momentum=False",
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
        self.max_lrs = _for_groups(optimizer, max_lr, "max_lr", _is_number)
        if last_epoch == -1:
            lowest = _for_groups(optimizer, base_lr, "base_lr", _is_number)
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
        self.max_lrs = _for_groups(optimizer, max_lr, "max_lr", _is_number)
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


class ReduceLROnPlateau:
    """Lowers the rates when a number has stopped getting better.

    Args:
        optimizer: Whose learning rates are moved.
        mode: "min" or "max": what is better.
        factor: What rates are multiplied by, below 1.
        patience: Numbers that may be no better before that.
        threshold: What counts as better: by more than this.
        threshold_mode: "rel" for a share of the best one, "abs".
        cooldown: Numbers after a change that do not count.
        min_lr: The lowest rate, or one for each group.
        eps: Changes of rates that are smaller are left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if not 0 <= factor < 1:
            raise ValueRangeError(f"ReduceLROnPlateau(factor={factor}): from 0 to below 1")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueRangeError(
                f"ReduceLROnPlateau(mode={mode!r}, threshold_mode={threshold_mode!r}): "
                '"min" or "max", "rel" or "abs"'
            )
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.min_lrs = _for_groups(optimizer, min_lr, "min_lr", _is_number)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [g.lr for g in optimizer.param_groups]

    def step(self, metrics: Any) -> None:
        """Looks at a number: a float, or a tensor of one element."""
        value = float(metrics)
        self.last_epoch += 1
        if self._better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                lower = max(group.lr * self.factor, lowest)
                if group.lr - lower > self.eps:
                    group.lr = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [g.lr for g in self.optimizer.param_groups]

    def _better(self, value: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            limit = self.best * (1 + sign * self.threshold)
        else:
            limit = self.best + sign * self.threshold
        return sign * value > sign * limit

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {k: v for k, v in vars(self).items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where another was."""
        vars(self).update(state_dict)


def _has_function(x: Any) -> bool:
    return isinstance(x, list) and any(callable(v) for v in x)


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float))


def _for_groups(
    optimizer: Optimizer, given: Any, name: str, single: Callable[[Any], bool]
) -> list[Any]:
    """One thing for each group of parameters, of one or of a list."""
    groups: list[Group] = optimizer.param_groups
    if single(given):
        return [given] * len(groups)
    if len(given) != len(groups):
        raise ValueRangeError(f"{len(given)} of {name} for {len(groups)} groups of parameters")
    return list(given)


def _shared(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> Optimizer:
    """The optimizer that all of some schedulers move."""
    if not schedulers:
        raise ArgumentError(f"{name} of no schedulers")
    held = schedulers[0].optimizer if optimizer is None else optimizer
    if any(s.optimizer is not held for s in schedulers):
        raise ArgumentError(f"{name} of schedulers of several optimizers")
    return held
