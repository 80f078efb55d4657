"""Optimizers that descend from Adam and Adagrad: Adamax, NAdam, RAdam, Adadelta, Lion, Ftrl."""

from __future__ import annotations

from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ValueRangeError
from dlc.optim.optimizer import Optimizer, Settings, Slots
from dlc.optim.rules import MEANS_IN_KERAS, Adam, decayed, like, moved_means, wide

__all__ = ["Adadelta", "Adamax", "Ftrl", "Lion", "NAdam", "Nadam", "RAdam"]


class Adamax(Adam):
    """Adam with the largest of gradients in the place of their squares' mean (Kingma and Ba, 2015).

    PyTorch's spelling: `lr=2e-3, betas=(0.9, 0.999), eps=1e-8` (added to gradients),
    `weight_decay=0, maximize=False`. Keras's: `learning_rate=1e-3, beta_1=0.9, beta_2=0.999,
    epsilon=1e-7` (added to the largest), `weight_decay=None`.
    """

    torch: ClassVar = {
        "lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "maximize": False,
    }  # fmt: skip
    keras: ClassVar = MEANS_IN_KERAS

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The mean, and the largest."""
        return {name: dlc.zeros_like(parameter) for name in ("mean", "largest")}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step by the mean over the largest."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        b1, b2, eps = settings["beta1"], settings["beta2"], settings["eps"]
        mean = slots["mean"] + (1 - b1) * (g - slots["mean"])
        size = abs(g) if self.is_keras else abs(g) + eps
        largest = dlc.maximum(b2 * slots["largest"], size)
        lr = like(wide(rate) / (1 - b1 ** wide(step)), parameter)
        below = largest + eps if self.is_keras else largest
        return parameter - lr * mean / below, {"mean": mean, "largest": largest}


class NAdam(Adam):
    """Adam with Nesterov's momentum (Dozat, 2016).

    PyTorch's spelling: `lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
    momentum_decay=4e-3, decoupled_weight_decay=False, maximize=False`. Keras's:
    `learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=None`, where the
    momentum decays as with `momentum_decay=1`. Keras's name is `Nadam`.
    """

    torch: ClassVar = {
        "lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0,
        "momentum_decay": 4e-3, "decoupled_weight_decay": False, "maximize": False,
    }  # fmt: skip
    keras: ClassVar = MEANS_IN_KERAS

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {"momentum_decay": 1.0, **super().normalise(settings)}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """Both means, and the product of the momenta so far."""
        found: Slots = {name: dlc.zeros_like(parameter) for name in ("mean", "square")}
        return {**found, "product": dlc.asarray(1.0, dtype=dlc.float64)}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step by the mean as it will be."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        b1, t, slow = settings["beta1"], wide(step), settings["momentum_decay"]
        mean, square = moved_means(slots, g, settings)
        share = b1 * (1 - 0.5 * 0.96 ** (t * slow))
        coming = b1 * (1 - 0.5 * 0.96 ** ((t + 1) * slow))
        product = slots["product"] * share
        of_gradient = like(wide(rate) * (1 - share) / (1 - product), parameter)
        of_mean = like(wide(rate) * coming / (1 - product * coming), parameter)
        root = dlc.sqrt(square * like(1 / (1 - settings["beta2"] ** t), parameter))
        move = (of_gradient * g + of_mean * mean) / (root + settings["eps"])
        return parameter - move, {"mean": mean, "square": square, "product": product}


Nadam = NAdam


class RAdam(Adam):
    """Adam whose first steps are as large as their variance allows (Liu et al., 2020).

    PyTorch's spelling: `lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
    decoupled_weight_decay=False, maximize=False`. The other one: `learning_rate=1e-3, beta_1=0.9,
    beta_2=0.999, epsilon=1e-7, weight_decay=None`, with the same formula.
    """

    torch: ClassVar = {
        "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0,
        "decoupled_weight_decay": False, "maximize": False,
    }  # fmt: skip
    keras: ClassVar = MEANS_IN_KERAS

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """Both means."""
        return {name: dlc.zeros_like(parameter) for name in ("mean", "square")}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step by the mean, over the root where the variance of that is bounded."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        b1, b2, t = settings["beta1"], settings["beta2"], wide(step)
        mean, square = moved_means(slots, g, settings)
        most = 2 / (1 - b2) - 1
        rest = 1 - b2**t
        length = most - 2 * t * b2**t / rest
        bounded = length > 5
        inside = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
        shrink = dlc.sqrt(dlc.where(bounded, inside, 1.0)) * dlc.sqrt(rest)
        over_root = like(shrink, parameter) / (dlc.sqrt(square) + settings["eps"])
        factor = dlc.where(bounded, over_root, like(1.0, parameter))
        lr = like(wide(rate) / (1 - b1**t), parameter)
        return parameter - lr * mean * factor, {"mean": mean, "square": square}


class Adadelta(Optimizer):
    """Steps as large as the last ones were, over the root of squared gradients (Zeiler, 2012).

    PyTorch's spelling: `lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, maximize=False`. Keras's:
    `learning_rate=1e-3, rho=0.95, epsilon=1e-7, weight_decay=None`.
    """

    torch: ClassVar = {
        "lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0, "maximize": False,
    }  # fmt: skip
    keras: ClassVar = {
        "learning_rate": 1e-3, "rho": 0.95, "epsilon": 1e-7, "weight_decay": None,
    }  # fmt: skip

    names: ClassVar = {"epsilon": "eps"}

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {"decoupled": self.is_keras, **super().normalise(settings)}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The means of squared gradients and of squared steps."""
        return {name: dlc.zeros_like(parameter) for name in ("square", "moved")}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step by the quotient of the roots."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        rho, eps = settings["rho"], settings["eps"]
        square = rho * slots["square"] + (1 - rho) * g * g
        move = dlc.sqrt(slots["moved"] + eps) / dlc.sqrt(square + eps) * g
        moved = rho * slots["moved"] + (1 - rho) * move * move
        return parameter - like(rate, parameter) * move, {"square": square, "moved": moved}


class Lion(Adam):
    """Steps of one size, by the sign of a mean of gradients (Chen et al., 2023).

    The first spelling: `lr=1e-4, betas=(0.9, 0.99), weight_decay=0, maximize=False`, the paper's.
    Keras's: `learning_rate=1e-3, beta_1=0.9, beta_2=0.99, weight_decay=None`. The decay is apart
    from the gradient in both.
    """

    torch: ClassVar = {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "maximize": False}
    keras: ClassVar = {
        "learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.99, "weight_decay": None,
    }  # fmt: skip

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {**super().normalise(settings), "decoupled": True}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The mean of gradients."""
        return {"mean": dlc.zeros_like(parameter)}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step against the sign."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        b1, b2 = settings["beta1"], settings["beta2"]
        direction = dlc.sign(b1 * slots["mean"] + (1 - b1) * g)
        mean = b2 * slots["mean"] + (1 - b2) * g
        return parameter - like(rate, parameter) * direction, {"mean": mean}


class Ftrl(Optimizer):
    """Follow the regularised leader, per coordinate (McMahan et al., 2013).

    The first spelling: `lr=1e-3, learning_rate_power=-0.5, initial_accumulator_value=0.1,
    l1_regularization_strength=0, l2_regularization_strength=0,
    l2_shrinkage_regularization_strength=0, beta=0, weight_decay=0, maximize=False`. Keras's: the
    same with `learning_rate=`, without `maximize`, and `weight_decay=None` (apart from the
    gradient).

    Example:
        >>> w = dlc.Variable([0.5])
        >>> optimizer = dlc.optim.Ftrl(learning_rate=0.1, l1_regularization_strength=9.0)
        >>> optimizer.apply_gradients([(dlc.asarray([1.0]), w)])
        >>> w.numpy()
        array([0.], dtype=float32)
    """

    _shared: ClassVar = {
        "learning_rate_power": -0.5, "initial_accumulator_value": 0.1,
        "l1_regularization_strength": 0.0, "l2_regularization_strength": 0.0,
        "l2_shrinkage_regularization_strength": 0.0, "beta": 0.0,
    }  # fmt: skip
    torch: ClassVar = {"lr": 1e-3, **_shared, "weight_decay": 0.0, "maximize": False}
    keras: ClassVar = {"learning_rate": 1e-3, **_shared, "weight_decay": None}

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        for name in ("initial_accumulator_value", *(n for n in self._shared if n[0] == "l")):
            value, sign = settings[name], -1 if name == "learning_rate_power" else 1
            if sign * value < 0:
                bound = "most" if sign < 0 else "least"
                raise ValueRangeError(f"Ftrl: {name}={value} must be at {bound} 0")
        return {"decoupled": self.is_keras, **super().normalise(settings)}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The sum of squares, and the linear part of what the leader minimises."""
        first = settings["initial_accumulator_value"]
        return {"square": dlc.full_like(parameter, first), "linear": dlc.zeros_like(parameter)}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """The least of the linear part with both regularisations."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        lr, power = like(rate, parameter), -settings["learning_rate_power"]
        square = slots["square"] + g * g
        now, before = square**power / lr, slots["square"] ** power / lr
        shrunk = g + 2 * settings["l2_shrinkage_regularization_strength"] * parameter
        linear = slots["linear"] + shrunk - (now - before) * parameter
        most = settings["l1_regularization_strength"]
        steep = now + 2 * settings["l2_regularization_strength"] + settings["beta"] / lr
        new = (dlc.clip(linear, -most, most) - linear) / steep
        return new, {"square": square, "linear": linear}
