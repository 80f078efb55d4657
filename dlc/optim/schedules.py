"""Learning rates as functions of the number of steps that were made.

Each can be given as the learning rate of an optimizer, also inside compiled steps, and is computed
at float64. Of a plain number of steps they give a NumPy scalar, of a tensor a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

import dlc
from dlc.ir.errors import ValueRangeError

__all__ = [
    "CosineAnnealing", "CosineDecay", "CosineDecayRestarts", "Cyclic", "ExponentialDecay",
    "InverseTimeDecay", "Joined", "LearningRateSchedule", "LinearWarmup", "MultiStepDecay",
    "OneCycle", "PiecewiseConstantDecay", "PolynomialDecay", "StepDecay",
]  # fmt: skip

Rate = Callable[[Any], Any] | float


class LearningRateSchedule:
    """The base of schedules; your own defines `rate_at` or `__call__`.

    Example:
        >>> class Halving(dlc.optim.schedules.LearningRateSchedule):
        ...     def __call__(self, step):
        ...         return 0.5 ** (step + 1)
        >>> dlc.optim.SGD(learning_rate=Halving()).learning_rate
        0.5
    """

    def __call__(self, step: Any) -> Any:
        """The learning rate after `step` steps."""
        if isinstance(step, (int, float, np.generic, np.ndarray)):
            return self.rate_at(np.float64(step), np)
        return self.rate_at(dlc.asarray(step, dtype=dlc.float64), dlc)

    def rate_at(self, done: Any, xp: Any) -> Any:
        """The learning rate after `done` steps, at float64, by the functions of `xp`."""
        raise NotImplementedError


def _positive(name: str, **values: float) -> None:
    for key, value in values.items():
        if not value > 0:
            raise ValueRangeError(f"{name}: {key}={value} must be positive")


def _rate_of(given: Rate, done: Any) -> Any:
    """A schedule after so many steps, or a number."""
    return given(done) if callable(given) else given


class ExponentialDecay(LearningRateSchedule):
    """initial_learning_rate * decay_rate ** (step / decay_steps).

    Args:
        initial_learning_rate: The first one.
        decay_steps: Steps after which it is decay_rate times as large.
        decay_rate: A factor.
        staircase: Whether the exponent is rounded down.

    Example:
        >>> schedule = dlc.optim.schedules.ExponentialDecay(1.0, 10, 0.5)
        >>> [round(schedule(k).item(), 3) for k in (0, 10, 20)]
        [1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
    ) -> None:
        _positive(type(self).__name__, decay_steps=decay_steps, decay_rate=decay_rate)
        self.first, self.steps, self.factor = initial_learning_rate, decay_steps, decay_rate
        self.staircase = staircase

    def rate_at(self, done: Any, xp: Any) -> Any:
        """The first rate times a power of the factor."""
        p = done / self.steps
        return self.first * xp.exp(math.log(self.factor) * (xp.floor(p) if self.staircase else p))


class StepDecay(ExponentialDecay):
    """initial_learning_rate * gamma ** (step // step_size).

    Args:
        initial_learning_rate: The first one.
        step_size: Steps between changes.
        gamma: A factor.

    Example:
        >>> schedule = dlc.optim.schedules.StepDecay(1.0, 10, gamma=0.5)
        >>> [round(schedule(k).item(), 3) for k in (9, 10, 20)]
        [1.0, 0.5, 0.25]
    """

    def __init__(self, initial_learning_rate: float, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(initial_learning_rate, step_size, gamma, staircase=True)


class MultiStepDecay(LearningRateSchedule):
    """initial_learning_rate * gamma ** (the number of milestones that were reached).

    Args:
        initial_learning_rate: The first one.
        milestones: Numbers of steps.
        gamma: A factor.

    Example:
        >>> schedule = dlc.optim.schedules.MultiStepDecay(1.0, [10, 15], gamma=0.5)
        >>> [round(schedule(k).item(), 3) for k in (9, 10, 15)]
        [1.0, 0.5, 0.25]
    """

    def __init__(
        self, initial_learning_rate: float, milestones: Sequence[int], gamma: float = 0.1
    ) -> None:
        self.first, self.milestones, self.gamma = initial_learning_rate, sorted(milestones), gamma

    def rate_at(self, done: Any, xp: Any) -> Any:
        """The rate of the last milestone."""
        rate: Any = done * 0 + self.first
        for k, milestone in enumerate(self.milestones, 1):
            rate = xp.where(done >= milestone, self.first * self.gamma**k, rate)
        return rate


class InverseTimeDecay(LearningRateSchedule):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Args:
        initial_learning_rate: The first one.
        decay_steps: Steps in which the divisor grows by decay_rate.
        decay_rate: See there.
        staircase: Whether step / decay_steps is rounded down.

    Example:
        >>> schedule = dlc.optim.schedules.InverseTimeDecay(1.0, 10, 1.0)
        >>> [round(schedule(k).item(), 3) for k in (0, 10, 30)]
        [1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
    ) -> None:
        _positive("InverseTimeDecay", decay_steps=decay_steps)
        self.first, self.steps, self.factor = initial_learning_rate, decay_steps, decay_rate
        self.staircase = staircase

    def rate_at(self, done: Any, xp: Any) -> Any:
        """The first rate over what grows."""
        p = done / self.steps
        return self.first / (1 + self.factor * (xp.floor(p) if self.staircase else p))


class PolynomialDecay(LearningRateSchedule):
    """From the first learning rate to the last one along a power of the steps that are left.

    Args:
        initial_learning_rate: The first one.
        decay_steps: Steps until the last one.
        end_learning_rate: The last one.
        power: 1 for a straight line.
        cycle: Whether to begin again, over a multiple of the steps, when they are done.

    Example:
        >>> schedule = dlc.optim.schedules.PolynomialDecay(1.0, 10, 0.0)
        >>> [round(schedule(k).item(), 3) for k in (0, 5, 20)]
        [1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        _positive("PolynomialDecay", decay_steps=decay_steps)
        self.first, self.last = initial_learning_rate, end_learning_rate
        self.steps, self.power, self.cycle = decay_steps, power, cycle

    def rate_at(self, done: Any, xp: Any) -> Any:
        """Between the rates, by the share that is left."""
        total: Any = self.steps
        if self.cycle:
            total = total * xp.maximum(xp.ceil(done / self.steps), 1.0)
        else:
            done = xp.minimum(done, total)
        return (self.first - self.last) * (1 - done / total) ** self.power + self.last


class CosineDecay(LearningRateSchedule):
    """Half a cosine (Loshchilov and Hutter, 2017), after a straight warm-up.

    Args:
        initial_learning_rate: Where the decay, or the warm-up, begins.
        decay_steps: Steps of the decay.
        alpha: The last learning rate, as a share of the one where the decay began.
        warmup_target: The learning rate at the end of the warm-up; None for no warm-up.
        warmup_steps: Its steps.

    Example:
        >>> schedule = dlc.optim.schedules.CosineDecay(1.0, 100)
        >>> [schedule(k).item() for k in (0, 100, 200)]
        [1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        _positive("CosineDecay", decay_steps=decay_steps)
        self.first, self.steps, self.alpha = initial_learning_rate, decay_steps, alpha
        self.target, self.warmup = warmup_target, warmup_steps if warmup_target is not None else 0

    def rate_at(self, done: Any, xp: Any) -> Any:
        """A line up to the cosine, and the cosine."""
        top = self.first if self.target is None else self.target
        share = xp.clip((done - self.warmup) / self.steps, 0.0, 1.0)
        rate = top * ((1 - self.alpha) * 0.5 * (1 + xp.cos(math.pi * share)) + self.alpha)
        if not self.warmup:
            return rate
        rising = self.first + (top - self.first) * done / self.warmup
        return xp.where(done < self.warmup, rising, rate)


class CosineAnnealing(LearningRateSchedule):
    """A cosine from the first learning rate to the last one, and back, again and again.

    Args:
        initial_learning_rate: The first one.
        period: Steps from the first to the last one.
        end_learning_rate: The last one.

    Example:
        >>> schedule = dlc.optim.schedules.CosineAnnealing(1.0, 10)
        >>> [round(schedule(k).item(), 3) for k in (0, 5, 10, 20)]
        [1.0, 0.5, 0.0, 1.0]
    """

    def __init__(
        self, initial_learning_rate: float, period: float, end_learning_rate: float = 0.0
    ) -> None:
        _positive("CosineAnnealing", period=period)
        self.first, self.last, self.period = initial_learning_rate, end_learning_rate, period

    def rate_at(self, done: Any, xp: Any) -> Any:
        """Between the rates, by a cosine."""
        return self.last + (self.first - self.last) * (1 + xp.cos(math.pi * done / self.period)) / 2


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines, one after the other (Loshchilov and Hutter, 2017).

    Args:
        initial_learning_rate: Where the first one begins.
        first_decay_steps: The steps of the first one.
        t_mul: How many times as long each is as the one before, at least 1.
        m_mul: How many times as high it begins.
        alpha: The last learning rate of each, as a share of the initial one.

    Example:
        >>> schedule = dlc.optim.schedules.CosineDecayRestarts(1.0, 10)
        >>> [round(schedule(k).item(), 3) for k in (0, 5, 10, 20)]
        [1.0, 0.5, 1.0, 0.5]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        _positive("CosineDecayRestarts", first_decay_steps=first_decay_steps)
        if not t_mul >= 1:
            raise ValueRangeError(f"CosineDecayRestarts: t_mul={t_mul} must be at least 1")
        self.first, self.steps = initial_learning_rate, first_decay_steps
        self.t_mul, self.m_mul, self.alpha = t_mul, m_mul, alpha

    def rate_at(self, done: Any, xp: Any) -> Any:
        """The cosine that the step is in; its number is by the sum of a geometric series."""
        share = done / self.steps
        if self.t_mul == 1:
            number = xp.floor(share)
            share = share - number
        else:
            whole = xp.log(1 + share * (self.t_mul - 1)) / math.log(self.t_mul)
            number = xp.floor(whole + 1e-10)  # a logarithm may be just below a whole number
            length = xp.exp(math.log(self.t_mul) * number)
            share = xp.maximum((share - (length - 1) / (self.t_mul - 1)) / length, 0.0)
        height = 1.0 if self.m_mul == 1 else xp.exp(math.log(self.m_mul) * number)
        cosine = 0.5 * height * (1 + xp.cos(math.pi * share))
        return self.first * ((1 - self.alpha) * cosine + self.alpha)


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[k] from after boundaries[k - 1] up to boundaries[k].

    Args:
        boundaries: Numbers of steps, increasing.
        values: Learning rates, one more.

    Example:
        >>> schedule = dlc.optim.schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
        >>> [round(schedule(k).item(), 3) for k in (10, 11, 21)]
        [1.0, 0.5, 0.1]
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        if len(values) != len(boundaries) + 1 or sorted(boundaries) != list(boundaries):
            raise ValueRangeError(
                f"PiecewiseConstantDecay of {len(boundaries)} boundaries and {len(values)} values",
                hint="give boundaries in increasing order, and one more value",
            )
        self.boundaries, self.values = list(boundaries), list(values)

    def rate_at(self, done: Any, xp: Any) -> Any:
        """The value of the piece."""
        rate: Any = done * 0 + self.values[0]
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = xp.where(done > boundary, value, rate)
        return rate


class LinearWarmup(LearningRateSchedule):
    """A straight line up to another schedule (or number), which begins when it is reached.

    Args:
        after: A schedule or a learning rate.
        steps: Steps of the warm-up.
        start: The first share of the learning rate where `after` begins.

    Example:
        >>> schedule = dlc.optim.schedules.LinearWarmup(1.0, 10)
        >>> [round(schedule(k).item(), 3) for k in (0, 5, 20)]
        [0.0, 0.5, 1.0]
    """

    def __init__(self, after: Rate, steps: int, start: float = 0.0) -> None:
        _positive("LinearWarmup", steps=steps)
        self.after, self.steps, self.start = after, steps, start

    def rate_at(self, done: Any, xp: Any) -> Any:
        """A share of what comes after."""
        share = xp.minimum(done / self.steps, 1.0)
        rate = _rate_of(self.after, xp.maximum(done - self.steps, 0.0))
        return rate * (self.start + (1 - self.start) * share)


class Joined(LearningRateSchedule):
    """Schedules one after the other, each of which begins at 0 when it is its turn.

    Args:
        schedules: Schedules or learning rates.
        boundaries: Numbers of steps where the next begins, one fewer, increasing.

    Example:
        >>> schedule = dlc.optim.schedules.Joined([0.5, 0.25], [10])
        >>> [schedule(k).item() for k in (9, 10)]
        [0.5, 0.25]
    """

    def __init__(self, schedules: Sequence[Rate], boundaries: Sequence[int]) -> None:
        if len(schedules) != len(boundaries) + 1 or sorted(boundaries) != list(boundaries):
            raise ValueRangeError(
                f"Joined of {len(schedules)} schedules and {len(boundaries)} boundaries",
                hint="give boundaries in increasing order, and one more schedule",
            )
        self.schedules, self.boundaries = list(schedules), list(boundaries)

    def rate_at(self, done: Any, xp: Any) -> Any:
        """The rate of the schedule whose turn it is."""
        rate = done * 0 + _rate_of(self.schedules[0], done)
        for boundary, schedule in zip(self.boundaries, self.schedules[1:], strict=True):
            later = _rate_of(schedule, xp.maximum(done - boundary, 0.0))
            rate = xp.where(done >= boundary, later, rate)
        return rate


class Cyclic(LearningRateSchedule):
    """Up and down in straight lines (Smith, 2017).

    Args:
        base_learning_rate: The lowest one.
        max_learning_rate: The highest one, of the first cycle.
        step_size_up: Steps up.
        step_size_down: Steps down; as many by default.
        mode: "triangular"; "triangular2" for half the height in each cycle; "exp_range" for a
            height times gamma ** step.
        gamma: See there.
        scale: A function of the number of the cycle, from 1, that takes the place of `mode`; of
            the step with `scale_by_step`.
        scale_by_step: See there.

    Example:
        >>> schedule = dlc.optim.schedules.Cyclic(0.1, 1.1, step_size_up=10)
        >>> [round(schedule(k).item(), 3) for k in (0, 5, 10, 20)]
        [0.1, 0.6, 1.1, 0.1]
    """

    def __init__(
        self,
        base_learning_rate: float,
        max_learning_rate: float,
        step_size_up: float = 2000,
        step_size_down: float | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale: Callable[[Any], Any] | None = None,
        scale_by_step: bool = False,
    ) -> None:
        down = step_size_up if step_size_down is None else step_size_down
        _positive("Cyclic", step_size_up=step_size_up, step_size_down=down, gamma=gamma)
        if mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueRangeError(
                f'Cyclic(mode={mode!r}): "triangular", "triangular2" or "exp_range"'
            )
        self.low, self.high = base_learning_rate, max_learning_rate
        self.up, self.total = step_size_up, step_size_up + down
        self.mode, self.gamma, self.scale, self.by_step = mode, gamma, scale, scale_by_step

    def rate_at(self, done: Any, xp: Any) -> Any:
        """A share of the height above the lowest rate."""
        cycle = xp.floor(done / self.total)
        share, turn = done / self.total - cycle, self.up / self.total
        height = xp.where(share <= turn, share / turn, (1 - share) / (1 - turn))
        if self.scale is not None:
            height = height * self.scale(done if self.by_step else cycle + 1)
        elif self.mode == "triangular2":
            height = height * xp.exp(-math.log(2.0) * cycle)
        elif self.mode == "exp_range":
            height = height * xp.exp(math.log(self.gamma) * done)
        return self.low + (self.high - self.low) * height


class OneCycle(LearningRateSchedule):
    """Up to the highest learning rate, and down to a very low one (Smith and Topin, 2018).

    Args:
        max_learning_rate: The highest one.
        total_steps: All steps.
        pct_start: The share of the steps that go up.
        anneal_strategy: "cos" for half cosines, "linear" for lines.
        div_factor: The first learning rate is the highest one over this.
        final_div_factor: The last learning rate is the first one over this.
        three_phase: Whether it goes down to the first rate in as many steps as up, and then on.

    Example:
        >>> schedule = dlc.optim.schedules.OneCycle(1.0, total_steps=10)
        >>> [round(schedule(k).item(), 3) for k in (0, 2, 9)]
        [0.04, 1.0, 0.0]
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        _positive("OneCycle", total_steps=total_steps, div_factor=div_factor)
        if not 0 <= pct_start <= 1:
            raise ValueRangeError(f"OneCycle: pct_start={pct_start} must be from 0 to 1")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueRangeError(f'OneCycle(anneal_strategy={anneal_strategy!r}): "cos", "linear"')
        first = max_learning_rate / div_factor
        last = first / final_div_factor
        self.cosine = anneal_strategy == "cos"
        up = pct_start * total_steps - 1
        self.ends = [up, 2 * pct_start * total_steps - 2] if three_phase else [up]
        self.ends.append(total_steps - 1)
        self.rates = [first, max_learning_rate, *([first] if three_phase else []), last]

    def rate_at(self, done: Any, xp: Any) -> Any:
        """Between the rates at the ends of the phase."""
        rate: Any = done * 0 + self.rates[-1]
        starts = [0.0, *self.ends[:-1]]
        for k in reversed(range(len(self.ends))):
            share = (done - starts[k]) / (self.ends[k] - starts[k] or 1.0)
            along = (1 - xp.cos(math.pi * share)) / 2 if self.cosine else share
            here = self.rates[k] + (self.rates[k + 1] - self.rates[k]) * along
            rate = xp.where(done <= self.ends[k], here, rate)
        return rate
