"""The optimizers: for each, settings in both spellings and the rule for one parameter.

Numbers that depend on the step are computed at float64, and rounded once to the parameter's type.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import dlc
from dlc.ir.errors import ValueRangeError
from dlc.optim.optimizer import Optimizer, Settings, Slots

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop"]


def wide(x: Any) -> Any:
    """A number or scalar tensor at float64."""
    return dlc.asarray(x, dtype=dlc.float64)  # a number not by way of float32


def like(x: Any, parameter: Any) -> Any:
    return dlc.astype(wide(x), parameter.dtype)


def is_used(setting: Any) -> bool:
    """Whether a setting is not 0, or may become another number."""
    return isinstance(setting, dlc.Variable) or bool(setting)


def decayed(parameter: Any, gradient: Any, settings: Settings, rate: Any) -> tuple[Any, Any]:
    """Weight decay: as a part of the gradient, or apart from it (Loshchilov and Hutter, 2019)."""
    gradient = -gradient if settings.get("maximize") else gradient
    decay = settings.get("weight_decay")
    if not decay:
        return parameter, gradient
    if settings["decoupled"]:
        return parameter * like(1 - wide(rate) * decay, parameter), gradient
    return parameter, gradient + decay * parameter


def moved_means(slots: Slots, gradient: Any, settings: Settings) -> tuple[Any, Any]:
    """Adam's means of gradients and of their squares, moved by a gradient.

    That of squares is no sum with a difference, which is NaN once a square was infinite.
    """
    mean = slots["mean"] + (1 - settings["beta1"]) * (gradient - slots["mean"])
    decay = settings["beta2"]
    return mean, decay * slots["square"] + (1 - decay) * gradient * gradient


# Keras's settings of optimizers with Adam's two means.
MEANS_IN_KERAS: Final = {
    "learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": None,
}  # fmt: skip


class SGD(Optimizer):
    """Gradient descent, with momentum (Sutskever et al., 2013).

    PyTorch's spelling: `lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False,
    maximize=False`. Keras's: `learning_rate=0.01, momentum=0, nesterov=False, weight_decay=None`
    (apart from the gradient), where the learning rate is inside the momentum.

    Example:
        >>> w = dlc.Variable([1.0])
        >>> dlc.optim.SGD(learning_rate=0.5).apply_gradients([(dlc.asarray([1.0]), w)])
        >>> w.numpy()
        array([0.5], dtype=float32)
    """

    torch: ClassVar = {
        "lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False,
        "maximize": False,
    }  # fmt: skip
    keras: ClassVar = {
        "learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": None,
    }  # fmt: skip

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {"dampening": 0.0, "decoupled": self.is_keras, **super().normalise(settings)}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The momentum, if any."""
        return {"momentum": dlc.zeros_like(parameter)} if is_used(settings["momentum"]) else {}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step along the gradient, or along the momentum."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        lr, share = like(rate, parameter), settings["momentum"]
        if "momentum" not in slots:
            return parameter - lr * g, {}
        if self.is_keras:
            m = share * slots["momentum"] - lr * g
            move = share * m - lr * g if settings["nesterov"] else m
            return parameter + move, {"momentum": m}
        kept = 1 - settings["dampening"]
        first = dlc.where(step == 1, like(1, parameter), like(kept, parameter))
        m = share * slots["momentum"] + (first * g if kept != 1 else g)
        move = g + share * m if settings["nesterov"] else m
        return parameter - lr * move, {"momentum": m}


class Adam(Optimizer):
    """Steps by the mean of gradients over the root of that of their squares (Kingma and Ba, 2015).

    PyTorch's spelling: `lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0` (in the gradient),
    `amsgrad=False, maximize=False, decoupled_weight_decay=False`. Keras's: `learning_rate=1e-3,
    beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False, weight_decay=None` (apart from the
    gradient); there epsilon is added before the root is corrected.

    Example:
        >>> w = dlc.Variable([1.0], requires_grad=True)
        >>> optimizer = dlc.optim.Adam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.numpy()
        array([0.9], dtype=float32)
    """

    torch: ClassVar = {
        "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False,
        "maximize": False, "decoupled_weight_decay": False,
    }  # fmt: skip
    keras: ClassVar = {**MEANS_IN_KERAS, "amsgrad": False}
    names: ClassVar = {
        "betas": ("beta1", "beta2"), "beta_1": "beta1", "beta_2": "beta2", "epsilon": "eps",
        "decoupled_weight_decay": "decoupled",
    }  # fmt: skip

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {"decoupled": self.is_keras, **super().normalise(settings)}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """Both means, and the largest of the second one with `amsgrad`."""
        names = ("mean", "square", "largest") if settings["amsgrad"] else ("mean", "square")
        return {name: dlc.zeros_like(parameter) for name in names}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """Means moved by the gradient; the step is their quotient, corrected for the start at 0."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        b1, b2, t = settings["beta1"], settings["beta2"], wide(step)
        mean, square = moved_means(slots, g, settings)
        held: Slots = {"mean": mean, "square": square}
        if settings["amsgrad"]:
            square = held["largest"] = dlc.maximum(slots["largest"], square)
        first, second = 1 - b1**t, dlc.sqrt(1 - b2**t)
        lr, root = wide(rate) / first, dlc.sqrt(square)
        if self.is_keras:
            lr, root = lr * second, root + settings["eps"]
        else:
            root = root * like(1 / second, parameter) + settings["eps"]
        return parameter - like(lr, parameter) * mean / root, held


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019).

    As `Adam`; the decay is 0.01 in PyTorch's spelling and 0.004 in Keras's.

    Example:
        >>> w = dlc.Variable([1.0])
        >>> optimizer = dlc.optim.AdamW([w], lr=0.1, weight_decay=0.5)
        >>> optimizer.apply_gradients([(dlc.asarray([0.0]), w)])
        >>> w.tolist()
        [0.9...]
    """

    torch: ClassVar = {
        name: value
        for name, value in {**Adam.torch, "weight_decay": 1e-2}.items()
        if name != "decoupled_weight_decay"
    }
    keras: ClassVar = {**Adam.keras, "weight_decay": 0.004}

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {**super().normalise(settings), "decoupled": True}


class RMSprop(Optimizer):
    """Steps by the gradient over the root of the mean of its squares (Tieleman and Hinton, 2012).

    PyTorch's spelling: `lr=0.01, alpha=0.99, eps=1e-8` (added to the root), `weight_decay=0,
    momentum=0, centered=False, maximize=False`. Keras's: `learning_rate=1e-3, rho=0.9, momentum=0,
    epsilon=1e-7` (added below the root), `centered=False, weight_decay=None`.

    Example:
        >>> w = dlc.Variable([1.0])
        >>> dlc.optim.RMSprop([w], lr=0.1, alpha=0.75).apply_gradients([(dlc.asarray([4.0]), w)])
        >>> w.tolist()
        [0.8...]
    """

    torch: ClassVar = {
        "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0,
        "centered": False, "maximize": False,
    }  # fmt: skip
    keras: ClassVar = {
        "learning_rate": 1e-3, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False,
        "weight_decay": None,
    }  # fmt: skip
    names: ClassVar = {"alpha": "rho", "epsilon": "eps"}

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {"decoupled": self.is_keras, **super().normalise(settings)}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The mean of squares; with their settings, the mean of gradients and the momentum."""
        names = ["square"]
        names += ["mean"] if settings["centered"] else []
        names += ["momentum"] if is_used(settings["momentum"]) else []
        return {name: dlc.zeros_like(parameter) for name in names}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """The mean moved by the squared gradient, and a step by the quotient."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        rho, eps, lr = settings["rho"], settings["eps"], like(rate, parameter)
        square = rho * slots["square"] + (1 - rho) * g * g
        held: Slots = {"square": square}
        spread = square
        if settings["centered"]:
            mean = held["mean"] = slots["mean"] + (1 - rho) * (g - slots["mean"])
            spread = square - mean * mean
        root = dlc.sqrt(spread + eps) if self.is_keras else dlc.sqrt(spread) + eps
        move = g / root
        if "momentum" in slots:
            if self.is_keras:
                move = lr * move
            move = held["momentum"] = settings["momentum"] * slots["momentum"] + move
            if self.is_keras:
                return parameter - move, held
        return parameter - lr * move, held


class Adagrad(Optimizer):
    """Steps by the gradient over the root of the sum of its squares (Duchi et al., 2011).

    PyTorch's spelling: `lr=0.01, lr_decay=0, weight_decay=0, initial_accumulator_value=0,
    eps=1e-10` (added to the root), `maximize=False`. Keras's: `learning_rate=1e-3,
    initial_accumulator_value=0.1, epsilon=1e-7` (added below the root), `weight_decay=None`.

    Example:
        >>> w = dlc.Variable([1.0])
        >>> dlc.optim.Adagrad([w], lr=0.5).apply_gradients([(dlc.asarray([4.0]), w)])
        >>> w.tolist()
        [0.5]
    """

    torch: ClassVar = {
        "lr": 0.01, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0,
        "eps": 1e-10, "maximize": False,
    }  # fmt: skip
    keras: ClassVar = {
        "learning_rate": 1e-3, "initial_accumulator_value": 0.1, "epsilon": 1e-7,
        "weight_decay": None,
    }  # fmt: skip

    names: ClassVar = {"epsilon": "eps"}

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        held = {"lr_decay": 0.0, "decoupled": self.is_keras, **super().normalise(settings)}
        if held["initial_accumulator_value"] < 0:
            raise ValueRangeError(
                f"Adagrad: initial_accumulator_value={held['initial_accumulator_value']}"
            )
        return held

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The sum of squares."""
        return {"square": dlc.full_like(parameter, settings["initial_accumulator_value"])}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """The sum with the squared gradient added, and a step by the quotient."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        square = slots["square"] + g * g
        lr = wide(rate)
        if settings["lr_decay"]:
            lr = lr / (1 + (wide(step) - 1) * settings["lr_decay"])
        eps = settings["eps"]
        root = dlc.sqrt(square + eps) if self.is_keras else dlc.sqrt(square) + eps
        return parameter - like(lr, parameter) * g / root, {"square": square}
