"""Activations by name, and as layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import dlc
from dlc.ir.errors import ValueRangeError, nearest
from dlc.nn import functional
from dlc.nn.module import Module

Function: TypeAlias = Callable[[Any], dlc.Tensor]


def linear(x: Any) -> Any:
    """What it is given."""
    return x


# Names of Keras and PyTorch.
NAMES: dict[str, Function] = {
    "linear": linear,
    "relu": dlc.relu,
    "gelu": dlc.gelu,
    "sigmoid": dlc.sigmoid,
    "tanh": dlc.tanh,
    "softmax": functools.partial(dlc.softmax, axis=-1),
    "log_softmax": functools.partial(dlc.log_softmax, axis=-1),
    "softplus": dlc.softplus,
    "silu": dlc.silu,
    "swish": dlc.silu,
    "log_sigmoid": dlc.log_sigmoid,
    "exponential": dlc.exp,
    "leaky_relu": functools.partial(functional.leaky_relu, negative_slope=0.2),
    **{
        name: getattr(functional, name)
        for name in (
            "celu",
            "elu",
            "glu",
            "hard_shrink",
            "hard_sigmoid",
            "hard_silu",
            "hard_swish",
            "hard_tanh",
            "hardshrink",
            "hardsigmoid",
            "hardswish",
            "hardtanh",
            "logsigmoid",
            "mish",
            "relu6",
            "selu",
            "soft_shrink",
            "softmin",
            "softshrink",
            "softsign",
            "sparse_plus",
            "sparse_sigmoid",
            "sparsemax",
            "squareplus",
            "tanh_shrink",
            "tanhshrink",
        )
    },
}


def get(given: Any) -> Function:
    """An activation by name, as it was given, or `linear` for None.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one.
    """
    if given is None:
        return linear
    if callable(given):
        return cast(Function, given)
    if given not in NAMES:
        raise ValueRangeError(f"no activation {given!r}", hint=nearest(str(given), NAMES))
    return NAMES[given]


class Activation(Module):
    """A layer that applies an activation, given by name or as a function (Keras).

    Example:
        >>> dlc.nn.Activation("relu")(dlc.asarray([-1.0, 2.0]))
        Tensor([0., 2.], dtype=float32)
    """

    def __init__(self, activation: Any) -> None:
        self.activation = get(activation)
        self.name = activation if isinstance(activation, str) else ""

    def forward(self, x: Any) -> dlc.Tensor:
        """The activation of `x`."""
        return self.activation(x)

    def extra_repr(self) -> str:
        """The name."""
        return repr(self.name) if self.name else getattr(self.activation, "__name__", "")


class _Named(Module):
    """The base of layers without settings."""

    function: Callable[..., dlc.Tensor]

    def forward(self, x: Any) -> dlc.Tensor:
        """The function of `x`, element by element."""
        return type(self).function(x)


class ReLU(_Named):
    """max(x, 0)."""

    function = staticmethod(dlc.relu)


class Sigmoid(_Named):
    """1 / (1 + exp(-x))."""

    function = staticmethod(dlc.sigmoid)


class Tanh(_Named):
    """The hyperbolic tangent."""

    function = staticmethod(dlc.tanh)


class SiLU(_Named):
    """x sigmoid(x) (Elfwing et al., 2018)."""

    function = staticmethod(dlc.silu)


class LogSigmoid(_Named):
    """log sigmoid(x)."""

    function = staticmethod(dlc.log_sigmoid)


class Identity(_Named):
    """What it is given."""

    function = staticmethod(linear)


class GELU(Module):
    """x times the normal distribution function of x (Hendrycks and Gimpel, 2016).

    Args:
        approximate: "none", or "tanh" for the formula with a hyperbolic tangent.
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueRangeError(f'GELU(approximate={approximate!r}): it is "none" or "tanh"')
        self.approximate = approximate

    def forward(self, x: Any) -> dlc.Tensor:
        """The activation of `x`."""
        return dlc.gelu(x, approximate=self.approximate == "tanh")

    def extra_repr(self) -> str:
        """The setting."""
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """exp(x) / sum(exp(x)) over an axis.

    Args:
        dim: The axis (PyTorch's name).
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Any) -> dlc.Tensor:
        """The shares, which add up to 1."""
        return dlc.softmax(x, axis=self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of softmax, computed without it."""

    def forward(self, x: Any) -> dlc.Tensor:
        """The logarithms of the shares."""
        return dlc.log_softmax(x, axis=self.dim)
