"""Optimizers that are older than Adam's family: Rprop and ASGD."""

from __future__ import annotations

from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ValueRangeError
from dlc.optim.optimizer import Optimizer, Settings, Slots
from dlc.optim.rules import decayed, like, wide

__all__ = ["ASGD", "Rprop"]


class Rprop(Optimizer):
    """Steps by the sign of the gradient, each element's longer while that stays (Riedmiller, 1993).

    For gradients of all the data, not of batches. PyTorch's spelling: `lr=0.01` (the length of the
    first steps), `etas=(0.5, 1.2)` (by how much lengths shrink and grow), `step_sizes=(1e-6, 50)`
    (their bounds), `maximize=False`. The other one has `learning_rate=`, with the same formula.

    Example:
        >>> w = dlc.Variable([1.0, -1.0], requires_grad=True)
        >>> optimizer = dlc.optim.Rprop([w], lr=0.25)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.numpy()
        array([ 0.75, -0.75], dtype=float32)
    """

    _shared: ClassVar = {"etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)}
    torch: ClassVar = {"lr": 0.01, **_shared, "maximize": False}
    keras: ClassVar = {"learning_rate": 0.01, **_shared}
    names: ClassVar = {"etas": ("shrink", "grow"), "step_sizes": ("least", "most")}

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        held = super().normalise(settings)
        if not 0 < held["shrink"] < 1 < held["grow"]:
            raise ValueRangeError(
                f"Rprop: etas={settings['etas']}: the first is between 0 and 1, the second above 1"
            )
        if not 0 <= held["least"] <= held["most"]:
            raise ValueRangeError(
                f"Rprop: step_sizes={settings['step_sizes']}: the least is 0 or more, and at most "
                "the other"
            )
        return held

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The signs of the last gradient, and the lengths of the steps; 0 before the first."""
        return {name: dlc.zeros_like(parameter) for name in ("sign", "length")}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step against the sign; none for elements whose gradient has turned."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        sign, before = dlc.sign(g), slots["length"]
        same = sign * slots["sign"]
        grow, shrink, first = (
            like(x, parameter) for x in (settings["grow"], settings["shrink"], rate)
        )
        factor = dlc.where(same > 0, grow, dlc.where(same < 0, shrink, 1.0))
        length = dlc.where(before > 0, before, first) * factor
        length = dlc.clip(length, settings["least"], settings["most"])
        sign = dlc.where(same < 0, 0.0, sign)
        return parameter - length * sign, {"sign": sign, "length": length}


class ASGD(Optimizer):
    """Gradient descent whose rate falls, with the mean of its parameters (Polyak, Juditsky, 1992).

    PyTorch's spelling: `lr=0.01, lambd=1e-4, alpha=0.75` (how the rate falls), `t0=1e6` (the step
    after which means begin), `weight_decay=0, maximize=False`. The other one has `learning_rate=`,
    with the same formula. The mean of the k-th parameter is `state_dict()["k.mean"]`.

    Example:
        >>> w = dlc.Variable([1.0], requires_grad=True)
        >>> optimizer = dlc.optim.ASGD([w], lr=0.25, t0=0)
        >>> for _ in range(2):
        ...     w.grad = dlc.asarray([1.0])
        ...     optimizer.step()
        >>> w.numpy().round(3), optimizer.state_dict()["0.mean"].numpy().round(3)
        (array([0.5], dtype=float32), array([0.5], dtype=float32))
    """

    _shared: ClassVar = {"lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0}
    torch: ClassVar = {"lr": 0.01, **_shared, "maximize": False}
    keras: ClassVar = {"learning_rate": 0.01, **_shared}

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {**super().normalise(settings), "decoupled": False}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The mean, and the rate of the next step; 0 before the first."""
        return {"mean": dlc.zeros_like(parameter), "rate": dlc.asarray(0.0, dtype=dlc.float64)}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step along the gradient, and the mean moved towards where it leads."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        before, fall = wide(step) - 1, settings["lambd"]
        now = dlc.where(before > 0, slots["rate"], wide(rate))
        new = parameter * like(1 - fall * now, parameter) - like(now, parameter) * g
        share = like(1 / dlc.maximum(before - settings["t0"], 1.0), parameter)
        mean = dlc.where(share == 1, new, slots["mean"] + (new - slots["mean"]) * share)
        coming = wide(rate) / (1 + fall * wide(rate) * wide(step)) ** settings["alpha"]
        return new, {"mean": mean, "rate": coming}
