"""Dropout in its forms. A random key may be given; None takes the next of the global generator."""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn.functional.arguments import tensor, wide


def _check(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueRangeError(f"{name}(p={p}): a probability is between 0 and 1")


def dropout(x: Any, p: float = 0.5, training: bool = True, key: Any = None) -> dlc.Tensor:
    """Sets each element to 0 with probability p and divides the others by 1 - p.

    Srivastava et al. (2014).

    Args:
        x: A tensor or array.
        p: The probability.
        training: Whether anything is done.
        key: A random key.

    Raises:
        ValueRangeError: p is no probability.

    Example:
        >>> dlc.nn.functional.dropout(dlc.ones(3), training=False)
        Tensor([1., 1., 1.], dtype=float32)
    """
    _check("dropout", p)
    return _dropped(tensor(x), p, training, key, tensor(x).shape)


def _dropped(x: dlc.Tensor, p: float, training: bool, key: Any, shape: Any) -> dlc.Tensor:
    if not training or p == 0:
        return dlc.asarray(x)  # a handle of its own
    if p == 1:
        return dlc.zeros_like(x)
    kept = dlc.random.bernoulli(key, 1 - p, shape)
    (held,), dtype = wide(x)
    return dlc.where(kept, held / (1 - p), 0.0).astype(dtype)


def feature_dropout(x: Any, p: float = 0.5, training: bool = True, key: Any = None) -> dlc.Tensor:
    """`dropout` of whole channels: all elements of one index of the first two axes.

    Args:
        x: A tensor or array [N, C, ...].
        p: The probability.
        training: Whether anything is done.
        key: A random key.

    Raises:
        ShapeError: There are fewer than two axes.
        ValueRangeError: p is no probability.

    Example:
        >>> dlc.nn.functional.feature_dropout(dlc.ones((1, 2, 3)), p=1.0).shape
        (1, 2, 3)
    """
    _check("feature_dropout", p)
    held = tensor(x)
    return _dropped(held, p, training, key, _channels("feature_dropout", held))


def _channels(name: str, x: dlc.Tensor) -> tuple[Any, ...]:
    if x.ndim < 2:
        raise ShapeError(f"{name} of {x.tensor}: it takes [N, C, ...]")
    return (*x.shape[:2], *(1 for _ in range(x.ndim - 2)))


dropout1d = dropout2d = dropout3d = feature_dropout


def alpha_dropout(x: Any, p: float = 0.5, training: bool = True, key: Any = None) -> dlc.Tensor:
    """Dropout for `selu`: mean and variance of what has mean 0 and variance 1 stay.

    Klambauer et al., "Self-normalizing neural networks", 2017.

    Args:
        x: A tensor or array.
        p: The probability.
        training: Whether anything is done.
        key: A random key.

    Raises:
        ValueRangeError: p is no probability.

    Example:
        >>> dlc.nn.functional.alpha_dropout(dlc.ones(3), training=False)
        Tensor([1., 1., 1.], dtype=float32)
    """
    _check("alpha_dropout", p)
    return _alpha(tensor(x), p, training, key, tensor(x).shape)


def _alpha(x: dlc.Tensor, p: float, training: bool, key: Any, shape: Any) -> dlc.Tensor:
    if not training or p == 0:
        return dlc.asarray(x)  # a handle of its own
    if p == 1:
        return dlc.zeros_like(x)
    least = -1.7580993408473766  # the limit of selu on the left
    scale = 1 / math.sqrt((1 - p) * (1 + p * least * least))
    kept = dlc.random.bernoulli(key, 1 - p, shape)
    (held,), dtype = wide(x)
    return (scale * dlc.where(kept, held, least) - scale * p * least).astype(dtype)


def feature_alpha_dropout(
    x: Any, p: float = 0.5, training: bool = True, key: Any = None
) -> dlc.Tensor:
    """`alpha_dropout` of whole channels.

    Args:
        x: A tensor or array [N, C, ...].
        p: The probability.
        training: Whether anything is done.
        key: A random key.

    Raises:
        ShapeError: There are fewer than two axes.
        ValueRangeError: p is no probability.

    Example:
        >>> dlc.nn.functional.feature_alpha_dropout(dlc.ones((1, 2)), training=False)
        Tensor([[1., 1.]], dtype=float32)
    """
    _check("feature_alpha_dropout", p)
    held = tensor(x)
    return _alpha(held, p, training, key, _channels("feature_alpha_dropout", held))
