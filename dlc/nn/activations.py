"""Activations by name."""

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
            "rrelu",
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


# What they need besides x, without which a name does not say enough.
_INCOMPLETE = {"gumbel_softmax": "key", "prelu": "weight", "threshold": "threshold, value"}


def get(given: Any) -> Function:
    """An activation by name, as it was given, or `linear` for None.

    Raises:
        ValueRangeError: for a name that is not known, with the nearest one; and for that of a
            function that needs more than a tensor.
    """
    if given is None:
        return linear
    if callable(given):
        return cast(Function, given)
    if given in _INCOMPLETE:
        more = _INCOMPLETE[given]
        raise ValueRangeError(
            f"the activation {given!r} needs more than a tensor: {more}",
            hint=f"give a function: lambda x: dlc.nn.functional.{given}(x, {more})",
        )
    if given not in NAMES:
        raise ValueRangeError(f"no activation {given!r}", hint=nearest(str(given), NAMES))
    return NAMES[given]


class Activation(Module):
    """A layer that applies an activation (Keras).

    Args:
        activation: A name or function.
        name: The layer's name.

    Example:
        >>> dlc.nn.Activation("relu")(dlc.asarray([-1.0, 2.0]))
        Tensor([0., 2.], dtype=float32)
    """

    def __init__(self, activation: Any, name: str | None = None) -> None:
        self.activation, self.name = get(activation), name
        self._word = activation if isinstance(activation, str) else ""

    def forward(self, x: Any) -> dlc.Tensor:
        """The activation of `x`."""
        return self.activation(x)

    def extra_repr(self) -> str:
        """The name."""
        return repr(self._word) if self._word else getattr(self.activation, "__name__", "")
