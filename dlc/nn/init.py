"""Filling tensors in place, by the names of `torch.nn.init`.

Each takes a variable or tensor, gives it other values and returns it. Layouts are PyTorch's,
`[outputs, inputs, *window]`. Random numbers come from the global generator, or from `key`.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

import dlc
from dlc.frontend.misuse import publish as _publish
from dlc.ir.errors import ValueRangeError, nearest
from dlc.nn import initializers

Held = TypeVar("Held", bound=dlc.Tensor)

_GAINS = {
    "linear": 1.0, "identity": 1.0, "sigmoid": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0,
    "conv_transpose1d": 1.0, "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0), "leaky_relu": 0.0, "selu": 0.75,
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor of deviations that makes up for an activation, as PyTorch has it.

    Args:
        nonlinearity: The name of an activation.
        param: The slope of "leaky_relu"; 0.01 for None.

    Raises:
        ValueRangeError: for an activation that there is no factor for.

    Example:
        >>> round(calculate_gain("relu"), 4)
        1.4142
    """
    if nonlinearity not in _GAINS:
        raise ValueRangeError(
            f"no gain for the activation {nonlinearity!r}", hint=nearest(nonlinearity, _GAINS)
        )
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    return _GAINS[nonlinearity]


def _fill(tensor: Held, init: initializers.Initializer) -> Held:
    """Gives a tensor the values of an initialiser."""
    shape = tuple(tensor.shape)
    value = init(shape, tensor.dtype)
    if isinstance(tensor, dlc.Variable):
        tensor.assign(value)
    else:
        tensor[...] = value
    return tensor


def uniform_(tensor: Held, a: float = 0.0, b: float = 1.0, key: Any = None) -> Held:
    """Numbers that are uniform between a and b.

    Args:
        tensor: What is filled, and returned.
        a: The lowest.
        b: The highest.
        key: A random key; the global generator without one.

    Example:
        >>> weight = dlc.nn.Linear(3, 2).weight
        >>> bool((abs(dlc.nn.init.uniform_(weight, -0.5, 0.5)) <= 0.5).all())
        True
    """
    return _fill(tensor, initializers.uniform(a, b, key))


def normal_(tensor: Held, mean: float = 0.0, std: float = 1.0, key: Any = None) -> Held:
    """Normal numbers.

    Args:
        tensor: What is filled, and returned.
        mean: Their mean.
        std: Their deviation.
        key: A random key; the global generator without one.
    """
    return _fill(tensor, initializers.normal(mean, std, key))


def trunc_normal_(
    tensor: Held,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    key: Any = None,
) -> Held:
    """Normal numbers between a and b, as if others had been drawn again.

    Args:
        tensor: What is filled, and returned.
        mean: The mean, of those that are not cut.
        std: Their deviation.
        a: The lowest, itself and not in deviations.
        b: The highest.
        key: A random key; the global generator without one.
    """

    def init(shape: Any, dtype: Any) -> dlc.Tensor:
        low, high = (a - mean) / std, (b - mean) / std
        return dlc.random.truncated_normal(key, low, high, shape, dtype) * std + mean

    return _fill(tensor, init)


def constant_(tensor: Held, val: float) -> Held:
    """One number everywhere.

    Example:
        >>> dlc.nn.init.constant_(dlc.nn.Linear(2, 2).bias, 0.5).tolist()
        [0.5, 0.5]
    """
    return _fill(tensor, initializers.constant(val))


def ones_(tensor: Held) -> Held:
    """Ones."""
    return _fill(tensor, initializers.ones())


def zeros_(tensor: Held) -> Held:
    """Zeros."""
    return _fill(tensor, initializers.zeros())


def eye_(tensor: Held) -> Held:
    """A matrix with ones on its diagonal and zeros elsewhere.

    Example:
        >>> dlc.nn.init.eye_(dlc.nn.Linear(2, 2).weight).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return _fill(tensor, initializers.identity())


def dirac_(tensor: Held, groups: int = 1) -> Held:
    """Filters of a convolution that gives channels as they are; see `initializers.dirac`."""
    return _fill(tensor, initializers.dirac(groups))


def xavier_uniform_(tensor: Held, gain: float = 1.0, key: Any = None) -> Held:
    """Uniform, of variance gain**2 * 2 / (inputs + outputs) (Glorot and Bengio, 2010).

    Args:
        tensor: What is filled, and returned: a matrix [outputs, inputs], or filters.
        gain: A factor of the deviation; see `calculate_gain`.
        key: A random key; the global generator without one.

    Example:
        >>> weight = dlc.nn.Linear(4, 2).weight  # of bound sqrt(6 / (4 + 2))
        >>> bool((abs(dlc.nn.init.xavier_uniform_(weight)) <= 1.0).all())
        True
    """
    return _fill(tensor, initializers.variance_scaling(gain**2, "fan_avg", "uniform", key, True))


def xavier_normal_(tensor: Held, gain: float = 1.0, key: Any = None) -> Held:
    """Normal, of the variance of `xavier_uniform_`."""
    return _fill(tensor, initializers.variance_scaling(gain**2, "fan_avg", "normal", key, True))


def kaiming_uniform_(
    tensor: Held,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    key: Any = None,
) -> Held:
    """Uniform, of variance gain**2 / n (He et al., 2015).

    Args:
        tensor: What is filled, and returned: a matrix [outputs, inputs], or filters.
        a: The slope of "leaky_relu".
        mode: Whether n are inputs, "fan_in", or outputs, "fan_out".
        nonlinearity: The activation that follows, which decides about the gain.
        key: A random key; the global generator without one.

    Raises:
        ValueRangeError: for an activation that there is no gain for, and another mode.

    Example:
        >>> weight = dlc.nn.Linear(6, 2).weight  # of bound sqrt(2) * sqrt(3 / 6)
        >>> bool((abs(dlc.nn.init.kaiming_uniform_(weight, nonlinearity="relu")) <= 1.0).all())
        True
    """
    scale = calculate_gain(nonlinearity, a) ** 2
    return _fill(tensor, initializers.variance_scaling(scale, mode, "uniform", key, True))


def kaiming_normal_(
    tensor: Held,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    key: Any = None,
) -> Held:
    """Normal, of variance gain**2 / n (He et al., 2015); see `kaiming_uniform_`."""
    scale = calculate_gain(nonlinearity, a) ** 2
    return _fill(tensor, initializers.variance_scaling(scale, mode, "normal", key, True))


def orthogonal_(tensor: Held, gain: float = 1.0, key: Any = None) -> Held:
    """Orthogonal rows or columns of a matrix of all axes but the first (Saxe et al., 2014).

    Args:
        tensor: What is filled, and returned, with at least two axes.
        gain: The length of the shorter ones.
        key: A random key; the global generator without one.

    Example:
        >>> w = dlc.nn.init.orthogonal_(dlc.nn.Linear(3, 2).weight)
        >>> dlc.abs(w @ w.T - dlc.eye(2)).max().item() < 1e-6
        True
    """
    return _fill(tensor, initializers.orthogonal(gain, key, outputs_first=True))


def sparse_(tensor: Held, sparsity: float, std: float = 0.01, key: Any = None) -> Held:
    """A normal matrix, of each column of which a share is 0 (Martens, 2010).

    Args:
        tensor: A matrix.
        sparsity: The share.
        std: The deviation of the others.
        key: A random key.

    Raises:
        ValueRangeError: for what is no matrix.
    """
    if len(tensor.shape) != 2:
        raise ValueRangeError(f"sparse_ of {tensor.tensor}: it takes a matrix")

    def init(shape: Any, dtype: Any) -> dlc.Tensor:
        first, second = (None, None) if key is None else dlc.random.split(key)
        values = dlc.random.normal(first, shape, dtype) * std
        order = np.argsort(dlc.random.uniform(second, shape).numpy(), axis=0)
        dropped = np.argsort(order, axis=0) < math.ceil(sparsity * shape[0])
        return dlc.where(dropped, 0.0, values).astype(dtype)

    return _fill(tensor, init)


_publish(globals())
