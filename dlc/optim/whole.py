"""Optimizers that look at a parameter as a whole: Lamb, Adafactor, Muon."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.optim.optimizer import Optimizer, Settings, Slots
from dlc.optim.rules import MEANS_IN_KERAS, Adam, decayed, like, moved_means, wide

__all__ = ["Adafactor", "Lamb", "Muon"]


class Lamb(Adam):
    """Adam's steps, as long as the parameter is large (You et al., 2020).

    The first spelling: `lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0` (a part of the
    step, as in the paper), `maximize=False`. Keras's: `learning_rate=1e-3, beta_1=0.9,
    beta_2=0.999, epsilon=1e-7, weight_decay=None` (apart from the step).

    Example:
        >>> w = dlc.Variable([2.0])
        >>> dlc.optim.Lamb(learning_rate=0.25).apply_gradients([(dlc.asarray([1.0]), w)])
        >>> w.numpy()
        array([1.5], dtype=float32)
    """

    torch: ClassVar = {
        "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.0, "maximize": False,
    }  # fmt: skip
    keras: ClassVar = MEANS_IN_KERAS

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """Both means."""
        return {name: dlc.zeros_like(parameter) for name in ("mean", "square")}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """Adam's step, scaled from its own norm to the parameter's."""
        inside = {} if settings["decoupled"] else {"weight_decay": None}
        parameter, g = decayed(parameter, gradient, {**settings, **inside}, rate)
        mean, square = moved_means(slots, g, settings)
        first, second = (like(1 / (1 - settings[b] ** wide(step)), parameter)
                         for b in ("beta1", "beta2"))  # fmt: skip
        move = first * mean / (dlc.sqrt(second * square) + settings["eps"])
        if inside and settings["weight_decay"]:
            move = move + settings["weight_decay"] * parameter
        size, length = (dlc.sqrt(dlc.sum(x * x)) for x in (parameter, move))
        usual = (size > 0) & (length > 0)
        ratio = dlc.where(usual, size / dlc.where(usual, length, 1.0), 1.0)
        return parameter - like(rate, parameter) * ratio * move, {"mean": mean, "square": square}


class Adafactor(Optimizer):
    """Steps by gradients over means of squares of rows and columns (Shazeer and Stern, 2018).

    Parameters of one axis or none keep a mean for each element.

    PyTorch's spelling: `lr=0.01, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0,
    maximize=False`. Keras's: `learning_rate=1e-3, beta_2_decay=-0.8, epsilon_1=1e-30` (added to
    squares), `epsilon_2=1e-3, clip_threshold=1.0, weight_decay=None`. The decay is apart from the
    gradient in both, and the rate is at most 1 / sqrt(step), as with Keras's `relative_step`.

    Example:
        >>> w = dlc.Variable(dlc.ones((2, 2)), requires_grad=True)
        >>> optimizer = dlc.optim.Adafactor([w], lr=0.5)
        >>> w.sum().backward()
        >>> optimizer.step()
        >>> w.numpy()[0]
        array([0.5, 0.5], dtype=float32)
    """

    torch: ClassVar = {
        "lr": 1e-2, "beta2_decay": -0.8, "eps": (None, 1e-3), "d": 1.0, "weight_decay": 0.0,
        "maximize": False,
    }  # fmt: skip
    keras: ClassVar = {
        "learning_rate": 1e-3, "beta_2_decay": -0.8, "epsilon_1": 1e-30, "epsilon_2": 1e-3,
        "clip_threshold": 1.0, "weight_decay": None,
    }  # fmt: skip
    names: ClassVar = {
        "eps": ("epsilon_1", "epsilon_2"), "d": "clip_threshold", "beta2_decay": "beta_2_decay",
    }  # fmt: skip

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {**super().normalise(settings), "decoupled": True}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The means of rows and of columns, or of each element."""
        if parameter.ndim < 2:
            return {"square": dlc.zeros_like(parameter)}
        shape, dtype = parameter.shape, parameter.dtype
        rows, columns = (*shape[:-1], 1), (*shape[:-2], 1, shape[-1])
        return {"rows": dlc.zeros(rows, dtype=dtype), "columns": dlc.zeros(columns, dtype=dtype)}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step by the quotient, as long as the parameter is large."""
        before = parameter
        parameter, g = decayed(parameter, gradient, settings, rate)
        t, least = wide(step), settings["epsilon_1"]
        share = like(t ** settings["beta_2_decay"], parameter)
        square = g * g
        if self.is_keras:
            before, square = parameter, square + least
        seen = {
            name: square if name == "square" else dlc.mean(square, axis=axis, keepdims=True)
            for name, axis in (("rows", -1), ("columns", -2), ("square", None))
            if name in slots
        }
        held = {k: (1 - share) * slots[k] + share * v for k, v in seen.items()}
        least = float(dlc.finfo(parameter.dtype).eps) if least is None else least
        if "square" in held:
            spread = held["square"]
        else:
            mean = dlc.mean(held["rows"], axis=-2, keepdims=True)
            mean = mean if self.is_keras else dlc.maximum(mean, least)
            spread = held["rows"] / mean * held["columns"]
        if not self.is_keras:
            spread = dlc.maximum(spread, least * least)
        move = g / dlc.sqrt(spread)
        size, length = (dlc.sqrt(dlc.mean(x * x)) for x in (before, move))
        lr = like(dlc.minimum(wide(rate), 1 / dlc.sqrt(t)), parameter)
        lr = lr * dlc.maximum(size, settings["epsilon_2"])
        return parameter - lr * move / dlc.maximum(length / settings["clip_threshold"], 1.0), held


class Muon(Optimizer):
    """Steps by the momentum with all its singular values near 1 (Jordan et al., 2024).

    For matrices alone, in PyTorch's spelling: `lr=1e-3, weight_decay=0.1` (apart from the
    gradient), `momentum=0.95, nesterov=True, ns_coefficients=(3.4445, -4.775, 2.0315), eps=1e-7,
    ns_steps=5, adjust_lr_fn=None`: "original" (for None) makes the rate sqrt(rows / columns) times
    as large where that is above 1, "match_rms_adamw" 0.2 sqrt(max(rows, columns)) times. Other
    parameters, embeddings and the last layer are better given to another optimizer.

    Example:
        >>> w = dlc.Variable(dlc.zeros((2, 2)), requires_grad=True)
        >>> optimizer = dlc.optim.Muon([w], lr=1.0)
        >>> w.grad = dlc.asarray([[3.0, 0.0], [0.0, 3.0]])
        >>> optimizer.step()
        >>> w.numpy().round(1)[0]
        array([-1.1,  0. ], dtype=float32)
    """

    torch: ClassVar = {
        "lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True,
        "ns_coefficients": (3.4445, -4.775, 2.0315), "eps": 1e-7, "ns_steps": 5,
        "adjust_lr_fn": None,
    }  # fmt: skip
    keras: ClassVar = {"learning_rate": 1e-3}

    def __init__(self, given: Any = None, /, **settings: Any) -> None:
        super().__init__(given, **settings)
        if self.is_keras:
            raise ArgumentError(
                "Muon is for some of a model's parameters",
                hint="give it these: Muon([p for p in model.parameters() if p.ndim == 2], lr=1e-3)",
            )
        allowed = (None, "original", "match_rms_adamw")
        if self.settings["adjust_lr_fn"] not in allowed:
            raise ValueRangeError(
                f"Muon(adjust_lr_fn={self.settings['adjust_lr_fn']!r}): it is one of {allowed}"
            )

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each."""
        return {**super().normalise(settings), "decoupled": True}

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The momentum."""
        if parameter.ndim != 2:
            raise ShapeError(
                f"Muon of a parameter {dlc.asarray(parameter).tensor}: it takes matrices",
                hint="give others to another optimizer, such as AdamW",
            )
        return {"momentum": dlc.zeros_like(parameter)}

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """A step along the momentum, made nearly orthogonal."""
        parameter, g = decayed(parameter, gradient, settings, rate)
        share = settings["momentum"]
        momentum = share * slots["momentum"] + (1 - share) * g
        move = share * momentum + (1 - share) * g if settings["nesterov"] else momentum
        rows, columns = parameter.shape
        scale = math.sqrt(max(1, rows / max(columns, 1)))
        if settings["adjust_lr_fn"] == "match_rms_adamw":
            scale = 0.2 * math.sqrt(max(rows, columns))
        lr = like(wide(rate) * scale, parameter)
        return parameter - lr * _orthogonal(move, settings), {"momentum": momentum}


def _orthogonal(x: Any, settings: Settings) -> Any:
    """A matrix whose singular values are moved near 1 by a polynomial (Newton and Schulz)."""
    a, b, c = settings["ns_coefficients"]
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / dlc.maximum(dlc.sqrt(dlc.sum(x * x)), settings["eps"])
    for _ in range(settings["ns_steps"]):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
