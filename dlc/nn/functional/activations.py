"""Activations by the names of `torch.nn.functional` and `keras.activations`.

Each takes a tensor, an array or a number of any shape. Integers and bools count as float32, half
types are computed at float32, NaN stays NaN.
"""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.ir.errors import ValueRangeError
from dlc.nn.functional.arguments import pointwise, wide


def _bend(x: dlc.Tensor, half: float) -> dlc.Tensor:
    """x between two ends and 0 beyond, where a parabola's derivative would be NaN for infinity."""
    return dlc.where(dlc.abs(x) >= half, 0.0, x)


@pointwise
def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> dlc.Tensor:
    """x cut off at two values, with derivative 0 from there on.

    Args:
        x: A tensor, array or number.
        min_val: The least value.
        max_val: The largest.

    Example:
        >>> dlc.nn.functional.hardtanh(dlc.asarray([-3.0, 0.5]))
        Tensor([-1. ,  0.5], dtype=float32)
    """
    return dlc.where(x <= min_val, min_val, dlc.where(x >= max_val, max_val, x))


def hard_tanh(x: Any) -> dlc.Tensor:
    """x cut off at -1 and 1 (Keras).

    Example:
        >>> dlc.nn.functional.hard_tanh(dlc.asarray([-3.0, 0.5]))
        Tensor([-1. ,  0.5], dtype=float32)
    """
    return hardtanh(x)


def relu6(x: Any) -> dlc.Tensor:
    """min(max(x, 0), 6), with derivative 0 at both ends.

    Example:
        >>> dlc.nn.functional.relu6(dlc.asarray([-3.0, 0.5, 7.0]))
        Tensor([0. , 0.5, 6. ], dtype=float32)
    """
    return hardtanh(x, 0.0, 6.0)


@pointwise
def elu(x: Any, alpha: float = 1.0) -> dlc.Tensor:
    """x, and alpha (exp(x) - 1) where x is not positive (Clevert et al., 2015).

    Args:
        x: A tensor, array or number.
        alpha: Minus the limit on the left.

    Example:
        >>> dlc.nn.functional.elu(dlc.asarray([-1.0, 2.0]))
        Tensor([-0.632...,  2.  ...], dtype=float32)
    """
    return dlc.where(x > 0, x, alpha * dlc.expm1(dlc.where(x > 0, 0.0, x)))


@pointwise
def selu(x: Any) -> dlc.Tensor:
    """The scaled `elu` of Klambauer et al. (2017), which keeps mean 0 and variance 1.

    Example:
        >>> dlc.nn.functional.selu(dlc.asarray(1.0))
        Tensor(1.050..., dtype=float32)
    """
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return dlc.where(x > 0, scale * x, scale * alpha * dlc.expm1(dlc.where(x > 0, 0.0, x)))


@pointwise
def celu(x: Any, alpha: float = 1.0) -> dlc.Tensor:
    """x, and alpha (exp(x / alpha) - 1) where x is not positive (Barron, 2017).

    Args:
        x: A tensor, array or number.
        alpha: Minus the limit on the left.

    Example:
        >>> dlc.nn.functional.celu(dlc.asarray([-1.0, 2.0]), alpha=0.5)
        Tensor([-0.432...,  2.  ...], dtype=float32)
    """
    return dlc.where(x > 0, x, alpha * dlc.expm1(dlc.where(x > 0, 0.0, x) / alpha))


@pointwise
def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> dlc.Tensor:
    """log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold (PyTorch).

    Args:
        x: A tensor, array or number.
        beta: How sharp the bend is.
        threshold: Where the function is taken for x.

    Example:
        >>> dlc.nn.functional.softplus(dlc.asarray(0.0))
        Tensor(0.693..., dtype=float32)
    """
    scaled = x * beta
    return dlc.where(scaled > threshold, x, dlc.softplus(scaled) / beta)


@pointwise
def mish(x: Any) -> dlc.Tensor:
    """x tanh(log(1 + exp(x))) (Misra, 2019).

    Example:
        >>> dlc.nn.functional.mish(dlc.asarray(1.0))
        Tensor(0.865..., dtype=float32)
    """
    return x * dlc.tanh(dlc.softplus(x))


@pointwise
def softsign(x: Any) -> dlc.Tensor:
    """x / (1 + |x|).

    Example:
        >>> dlc.nn.functional.softsign(dlc.asarray([-1.0, 3.0]))
        Tensor([-0.5 ,  0.75], dtype=float32)
    """
    return x / (1.0 + dlc.abs(x))


@pointwise
def hardsigmoid(x: Any) -> dlc.Tensor:
    """x / 6 + 1 / 2, cut off at 0 and 1.

    Example:
        >>> dlc.nn.functional.hardsigmoid(dlc.asarray([-4.0, 0.0, 3.0]))
        Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    return dlc.where(x <= -3.0, 0.0, dlc.where(x >= 3.0, 1.0, x / 6.0 + 0.5))


hard_sigmoid = hardsigmoid


@pointwise
def hardswish(x: Any) -> dlc.Tensor:
    """x times `hardsigmoid` of x (Howard et al., 2019).

    Example:
        >>> dlc.nn.functional.hardswish(dlc.asarray([-4.0, 1.0, 3.0]))
        Tensor([0.   ...
    """
    inside = _bend(x, 3.0)
    return dlc.where(x <= -3.0, 0.0, dlc.where(x >= 3.0, x, inside * (inside + 3.0) / 6.0))


hard_swish = hard_silu = hardswish


@pointwise
def hardshrink(x: Any, lambd: float = 0.5) -> dlc.Tensor:
    """x, and 0 where its magnitude is at most `lambd`.

    Args:
        x: A tensor, array or number.
        lambd: The largest magnitude that becomes 0.

    Example:
        >>> dlc.nn.functional.hardshrink(dlc.asarray([-0.4, 2.0]))
        Tensor([0., 2.], dtype=float32)
    """
    return dlc.where(dlc.abs(x) <= lambd, 0.0, x)


hard_shrink = hardshrink


@pointwise
def softshrink(x: Any, lambd: float = 0.5) -> dlc.Tensor:
    """x moved towards 0 by `lambd`, and 0 where its magnitude is at most that.

    Args:
        x: A tensor, array or number.
        lambd: How far.

    Example:
        >>> dlc.nn.functional.softshrink(dlc.asarray([-0.4, 2.0]))
        Tensor([0. , 1.5], dtype=float32)
    """
    if lambd < 0:
        raise ValueRangeError(f"softshrink by {lambd}: it takes a number of at least 0")
    moved = dlc.where(x > lambd, x - lambd, x + lambd)
    return dlc.where(dlc.abs(x) <= lambd, 0.0, moved)


soft_shrink = softshrink


@pointwise
def tanhshrink(x: Any) -> dlc.Tensor:
    """x - tanh(x).

    Example:
        >>> dlc.nn.functional.tanhshrink(dlc.asarray(1.0))
        Tensor(0.238..., dtype=float32)
    """
    return x - dlc.tanh(x)


tanh_shrink = tanhshrink


@pointwise
def threshold(x: Any, threshold: float, value: float) -> dlc.Tensor:
    """x where it is above a threshold, else a value.

    Args:
        x: A tensor, array or number.
        threshold: The largest x that is replaced.
        value: What replaces it.

    Example:
        >>> dlc.nn.functional.threshold(dlc.asarray([0.1, 2.0]), 0.5, -1.0)
        Tensor([-1.,  2.], dtype=float32)
    """
    return dlc.where(x <= threshold, value, x)


@pointwise
def leaky_relu(x: Any, negative_slope: float = 0.01) -> dlc.Tensor:
    """x, and a multiple of it where x is not positive.

    Args:
        x: A tensor, array or number.
        negative_slope: The factor there; 0.01 as in PyTorch, where Keras has 0.2.

    Example:
        >>> dlc.nn.functional.leaky_relu(dlc.asarray([-1.0, 2.0]), 0.5)
        Tensor([-0.5,  2. ], dtype=float32)
    """
    return dlc.where(x > 0, x, x * negative_slope)


def prelu(x: Any, weight: Any) -> dlc.Tensor:
    """x, and `weight` times x where x is not positive (He et al., 2015).

    Args:
        x: A tensor or array; its axis 1 is that of channels.
        weight: One number, or one for each channel.

    Raises:
        ShapeError: There are not as many weights as channels.

    Example:
        >>> dlc.nn.functional.prelu(dlc.asarray([[-1.0, -1.0]]), dlc.asarray([0.5, 0.25]))
        Tensor([[-0.5 , -0.25]], dtype=float32)
    """
    (held, w), dtype = wide(x, weight)
    if w.size != 1 and held.ndim > 1:
        w = dlc.reshape(w, (w.shape[0], *(1 for _ in range(held.ndim - 2))))
    return dlc.where(held > 0, held, held * w).astype(dtype)


def rrelu(
    x: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    key: Any = None,
) -> dlc.Tensor:
    """`leaky_relu` with a random slope for each element (Xu et al., 2015).

    Args:
        x: A tensor, array or number.
        lower: The least slope.
        upper: The largest.
        training: Whether slopes are random, else they are the mean of the two.
        key: A random key; None takes the next of the global generator.

    Example:
        >>> dlc.nn.functional.rrelu(dlc.asarray([-8.0, 2.0]), 0.25, 0.25)
        Tensor([-2.,  2.], dtype=float32)
    """
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    (held,), dtype = wide(x)
    slope = dlc.random.uniform(key, held.shape, held.dtype, lower, upper)
    return dlc.where(held > 0, held, held * slope).astype(dtype)


def glu(x: Any, dim: int = -1) -> dlc.Tensor:
    """The first half of x along an axis, times the sigmoid of the second (Dauphin et al., 2016).

    Args:
        x: A tensor or array.
        dim: The axis, of even extent.

    Raises:
        ValueRangeError: The extent is odd.

    Example:
        >>> dlc.nn.functional.glu(dlc.asarray([2.0, 0.0]))
        Tensor([1.], dtype=float32)
    """
    (held,), dtype = wide(x)
    first, second = dlc.split(held, 2, axis=dim)
    return (first * dlc.sigmoid(second)).astype(dtype)


def logsigmoid(x: Any) -> dlc.Tensor:
    """The logarithm of the sigmoid, without overflow; `dlc.log_sigmoid` by PyTorch's name.

    Example:
        >>> dlc.nn.functional.logsigmoid(dlc.asarray(0.0))
        Tensor(-0.693..., dtype=float32)
    """
    return dlc.log_sigmoid(x)


@casts
def softmax(x: Any, dim: int = -1, *, axis: int | None = None) -> dlc.Tensor:
    """exp(x) over its sum along an axis; see `dlc.softmax`.

    Args:
        x: A tensor or array.
        dim: The axis whose elements add up to 1.
        axis: The same under its other name.

    Example:
        >>> dlc.nn.functional.softmax(dlc.asarray([0.0, 0.0]), dim=0)
        Tensor([0.5, 0.5], dtype=float32)
    """
    return dlc.softmax(x, axis=dim if axis is None else axis)


@casts
def log_softmax(x: Any, dim: int = -1, *, axis: int | None = None) -> dlc.Tensor:
    """The logarithm of `softmax`; see `dlc.log_softmax`.

    Args:
        x: A tensor or array.
        dim: The axis along which the sum is.
        axis: The same under its other name.

    Example:
        >>> dlc.nn.functional.log_softmax(dlc.asarray([0.0]), dim=0)
        Tensor([0.], dtype=float32)
    """
    return dlc.log_softmax(x, axis=dim if axis is None else axis)


def softmin(x: Any, dim: int = -1, *, axis: int | None = None) -> dlc.Tensor:
    """The softmax of -x.

    Args:
        x: A tensor or array.
        dim: The axis whose elements add up to 1.
        axis: The same under its other name.

    Example:
        >>> dlc.nn.functional.softmin(dlc.asarray([0.0, 0.0]))
        Tensor([0.5, 0.5], dtype=float32)
    """
    (held,), dtype = wide(x)
    return softmax(dlc.negative(held), dim, axis=axis).astype(dtype)


def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, dim: int = -1, key: Any = None
) -> dlc.Tensor:
    """A sample of a categorical distribution that can be differentiated (Jang et al., 2016).

    Args:
        logits: Logarithms of probabilities, up to a constant.
        tau: The temperature: the lower, the closer to a choice of one.
        hard: Whether the result is that choice, with the derivative of the soft one.
        dim: The axis of the classes.
        key: A random key; None takes the next of the global generator.

    Example:
        >>> x = dlc.nn.functional.gumbel_softmax(dlc.zeros(3), hard=True, key=dlc.random.key(0))
        >>> dlc.sum(x)
        Tensor(1., dtype=float32)
    """
    (held,), dtype = wide(logits)
    u = dlc.random.uniform(key, held.shape, held.dtype)
    tiny = float(dlc.finfo(held.dtype).smallest_normal)
    noise = -dlc.log(-dlc.log(dlc.maximum(u, tiny)))
    soft = dlc.softmax((held + noise) / tau, axis=dim)
    if hard:
        at = dlc.argmax(soft, axis=dim)
        chosen = dlc.moveaxis(dlc.one_hot(at, held.shape[dim]).astype(held.dtype), -1, dim)
        soft = chosen + (soft - dlc.stop_gradient(soft))
    return soft.astype(dtype)


@pointwise
def squareplus(x: Any, b: float = 4.0) -> dlc.Tensor:
    """(x + sqrt(x^2 + b)) / 2, a smooth `relu` without exponentials (Barron, 2021; Keras).

    Args:
        x: A tensor, array or number.
        b: How wide the bend is.

    Example:
        >>> dlc.nn.functional.squareplus(dlc.asarray(0.0))
        Tensor(1., dtype=float32)
    """
    # For negative x the sum cancels; b over the difference is the same.
    root = dlc.hypot(x, math.sqrt(b))
    below = dlc.where(x < 0, root - x, 1.0)
    return dlc.where(x < 0, b / below, x + root) / 2.0


@pointwise
def sparse_plus(x: Any) -> dlc.Tensor:
    """0 up to -1, (x + 1)^2 / 4 up to 1, then x (Keras).

    Example:
        >>> dlc.nn.functional.sparse_plus(dlc.asarray([-2.0, 0.0, 2.0]))
        Tensor([0.  , 0.25, 2.  ], dtype=float32)
    """
    inside = dlc.square(_bend(x, 1.0) + 1.0) / 4.0
    return dlc.where(x <= -1.0, 0.0, dlc.where(x >= 1.0, x, inside))


@pointwise
def sparse_sigmoid(x: Any) -> dlc.Tensor:
    """(x + 1) / 2, cut off at 0 and 1: the derivative of `sparse_plus` (Keras).

    Example:
        >>> dlc.nn.functional.sparse_sigmoid(dlc.asarray([-2.0, 0.0, 2.0]))
        Tensor([0. , 0.5, 1. ], dtype=float32)
    """
    return dlc.where(x <= -1.0, 0.0, dlc.where(x >= 1.0, 1.0, (x + 1.0) / 2.0))


def sparsemax(x: Any, axis: int = -1) -> dlc.Tensor:
    """The point of the simplex that is nearest to x: a softmax with zeros (Keras).

    Martins and Astudillo, "From softmax to sparsemax", 2016.

    Args:
        x: A tensor or array.
        axis: The axis whose elements add up to 1.

    Example:
        >>> dlc.nn.functional.sparsemax(dlc.asarray([0.0, 0.5, 3.0]))
        Tensor([0., 0., 1.], dtype=float32)
    """
    (held,), dtype = wide(x)
    rows = dlc.moveaxis(held, axis, -1)
    ordered = dlc.sort(rows, axis=-1, descending=True)
    sums = dlc.cumulative_sum(ordered, axis=-1)
    counts = dlc.arange(1, rows.shape[-1] + 1, dtype=held.dtype)
    kept = 1.0 + counts * ordered > sums
    number = dlc.sum(kept, axis=-1, keepdims=True, dtype=dlc.int64)
    total = dlc.take_along_axis(sums, number - 1, axis=-1)
    found = dlc.relu(rows - (total - 1.0) / number.astype(held.dtype))
    return dlc.moveaxis(found, -1, axis).astype(dtype)


def exponential(x: Any) -> dlc.Tensor:
    """exp(x) (Keras).

    Example:
        >>> dlc.nn.functional.exponential(dlc.asarray(0.0))
        Tensor(1., dtype=float32)
    """
    return dlc.exp(x)


def swish(x: Any) -> dlc.Tensor:
    """x sigmoid(x): `dlc.silu` by its other name.

    Example:
        >>> dlc.nn.functional.swish(dlc.asarray(0.0))
        Tensor(0., dtype=float32)
    """
    return dlc.silu(x)
