"""Learning rates as functions of the number of steps that were made.

A schedule is called with an integer tensor or a number and gives a number: it is a part of the
compiled step. Names spelt as Keras's (`CosineDecay`) have its arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import dlc
from dlc.ir.errors import ValueRangeError

__all__ = [
    "CosineDecay", "ExponentialDecay", "InverseTimeDecay", "LinearWarmup", "PiecewiseConstantDecay",
    "PolynomialDecay", "StepDecay",
]  # fmt: skip


def _wide(step: Any) -> dlc.Tensor:
    return dlc.asarray(step, dtype=dlc.float64)


def _positive(name: str, **values: float) -> None:
    for key, value in values.items():
        if not value > 0:
            raise ValueRangeError(f"{name}: {key}={value} must be positive")


class ExponentialDecay:
    """initial_learning_rate * decay_rate ** (step / decay_steps).

    Args:
        initial_learning_rate: The first one.
        decay_steps: Steps after which it is decay_rate times as large.
        decay_rate: A factor.
        staircase: Whether the exponent is rounded down.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
    ) -> None:
        _positive("ExponentialDecay", decay_steps=decay_steps, decay_rate=decay_rate)
        self.first, self.steps, self.factor = initial_learning_rate, decay_steps, decay_rate
        self.staircase = staircase

    def __call__(self, step: Any) -> Any:
        """The learning rate after `step` steps."""
        p = _wide(step) / self.steps
        return self.first * dlc.exp(math.log(self.factor) * (dlc.floor(p) if self.staircase else p))


class StepDecay(ExponentialDecay):
    """initial_learning_rate * gamma ** (step // step_size).

    Args:
        initial_learning_rate: The first one.
        step_size: Steps between changes.
        gamma: A factor.
    """

    def __init__(self, initial_learning_rate: float, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(initial_learning_rate, step_size, gamma, staircase=True)


class InverseTimeDecay:
    """initial_learning_rate / (1 + decay_rate * step / decay_steps)."""

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

    def __call__(self, step: Any) -> Any:
        """The learning rate after `step` steps."""
        p = _wide(step) / self.steps
        return self.first / (1 + self.factor * (dlc.floor(p) if self.staircase else p))


class PolynomialDecay:
    """From the first learning rate to the last one along a power of the steps that are left.

    Args:
        initial_learning_rate: The first one.
        decay_steps: Steps until the last one.
        end_learning_rate: The last one.
        power: 1 for a straight line.
        cycle: Whether to begin again, over a multiple of the steps, when they are done.
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

    def __call__(self, step: Any) -> Any:
        """The learning rate after `step` steps."""
        done, total = _wide(step), dlc.asarray(self.steps, dtype=dlc.float64)
        if self.cycle:
            total = total * dlc.maximum(dlc.ceil(done / self.steps), 1.0)
        else:
            done = dlc.minimum(done, total)
        return (self.first - self.last) * (1 - done / total) ** self.power + self.last


class CosineDecay:
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

    def __call__(self, step: Any) -> Any:
        """The learning rate after `step` steps."""
        done = _wide(step)
        top = self.first if self.target is None else self.target
        share = dlc.clip((done - self.warmup) / self.steps, 0.0, 1.0)
        rate = top * ((1 - self.alpha) * 0.5 * (1 + dlc.cos(math.pi * share)) + self.alpha)
        if not self.warmup:
            return rate
        rising = self.first + (top - self.first) * done / self.warmup
        return dlc.where(done < self.warmup, rising, rate)


class PiecewiseConstantDecay:
    """values[k] from after boundaries[k - 1] up to boundaries[k].

    Args:
        boundaries: Numbers of steps, increasing.
        values: Learning rates, one more.
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        if len(values) != len(boundaries) + 1 or sorted(boundaries) != list(boundaries):
            raise ValueRangeError(
                f"PiecewiseConstantDecay of {len(boundaries)} boundaries and {len(values)} values",
                hint="give boundaries in increasing order, and one more value",
            )
        self.boundaries, self.values = list(boundaries), list(values)

    def __call__(self, step: Any) -> Any:
        """The learning rate after `step` steps."""
        done = _wide(step)
        rate = dlc.asarray(self.values[0], dtype=dlc.float64)
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = dlc.where(done > boundary, value, rate)
        return rate


class LinearWarmup:
    """A straight line up to another schedule (or number), which begins when it is reached.

    Args:
        after: A schedule or a learning rate.
        steps: Steps of the warm-up.
        start: The first share of the learning rate where `after` begins.
    """

    def __init__(self, after: Callable[[Any], Any] | float, steps: int, start: float = 0.0) -> None:
        _positive("LinearWarmup", steps=steps)
        self.after, self.steps, self.start = after, steps, start

    def __call__(self, step: Any) -> Any:
        """The learning rate after `step` steps."""
        done = _wide(step)
        later = dlc.maximum(done - self.steps, 0.0)
        rate = self.after(later) if callable(self.after) else self.after
        share = dlc.minimum(done / self.steps, 1.0)
        return rate * (self.start + (1 - self.start) * share)
