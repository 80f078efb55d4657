"""Continuous distributions, each a formula of uniform or normal numbers.

What is a smooth function of its parameters has their derivatives (reparameterisation).
"""

from __future__ import annotations

import math
from typing import Any

from dlc.frontend.apply import as_dims, as_tensor, convert, rounded_once
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import composed, elementwise, reduction
from dlc.frontend.functions.shape import expand_dims, matrix_transpose
from dlc.frontend.linalg.decompositions import qr
from dlc.frontend.linalg.products import diagonal
from dlc.frontend.linalg.solving import cholesky
from dlc.frontend.random.generator import (
    float_dtype,
    key_of,
    normal,
    unit,
)
from dlc.frontend.special.quantiles import quantile, share_below
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.ops.families import same_shape
from dlc.ir.types import DType, float32, float64


def _held(dtype: DType) -> DType:
    return float64 if dtype is float64 else float32


def _open_unit(key: Tensor | None, name: str, shape: Any, dtype: DType) -> Tensor:
    """Uniform numbers in (0, 1): the middles of the steps of `unit`."""
    held = _held(dtype)
    half = 2.0**-54 if held is float64 else 2.0**-25
    return elementwise.add(unit(key_of(key, name), as_dims(shape), held), half)


def exponential(key: Tensor | None, shape: Any = (), dtype: Any = float32) -> Tensor:
    """Numbers of the exponential distribution with mean 1.

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        dtype: A float type.

    Example:
        >>> dlc.random.exponential(dlc.random.key(0), (2, 3)).shape
        (2, 3)
    """
    d = float_dtype(dtype, "exponential")
    u = unit(key_of(key, "exponential"), as_dims(shape), _held(d))
    return convert(elementwise.negative(elementwise.log1p(elementwise.negative(u))), d)


def gumbel(key: Tensor | None, shape: Any = (), dtype: Any = float32) -> Tensor:
    """Numbers of the standard Gumbel distribution: -log(-log(u)).

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        dtype: A float type.

    Example:
        >>> dlc.random.gumbel(dlc.random.key(0), (2, 3)).shape
        (2, 3)
    """
    d = float_dtype(dtype, "gumbel")
    u = _open_unit(key, "gumbel", shape, d)
    inner = elementwise.negative(elementwise.log(u))
    return convert(elementwise.negative(elementwise.log(inner)), d)


def laplace(key: Tensor | None, shape: Any = (), dtype: Any = float32) -> Tensor:
    """Numbers of the standard Laplace distribution, with density exp(-|x|) / 2.

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        dtype: A float type.

    Example:
        >>> dlc.random.laplace(dlc.random.key(0), (2, 3)).shape
        (2, 3)
    """
    d = float_dtype(dtype, "laplace")
    u = elementwise.subtract(elementwise.multiply(_open_unit(key, "laplace", shape, d), 2.0), 1.0)
    size = elementwise.log1p(elementwise.negative(elementwise.abs(u)))
    return convert(composed.copysign(size, u), d)


def logistic(key: Tensor | None, shape: Any = (), dtype: Any = float32) -> Tensor:
    """Numbers of the standard logistic distribution: log(u / (1 - u)).

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        dtype: A float type.

    Example:
        >>> dlc.random.logistic(dlc.random.key(0), (2, 3)).shape
        (2, 3)
    """
    d = float_dtype(dtype, "logistic")
    u = _open_unit(key, "logistic", shape, d)
    rest = elementwise.log1p(elementwise.negative(u))
    return convert(elementwise.subtract(elementwise.log(u), rest), d)


def cauchy(key: Tensor | None, shape: Any = (), dtype: Any = float32) -> Tensor:
    """Numbers of the standard Cauchy distribution: tan(pi (u - 1 / 2)).

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        dtype: A float type.

    Example:
        >>> dlc.random.cauchy(dlc.random.key(0), (2, 3)).shape
        (2, 3)
    """
    d = float_dtype(dtype, "cauchy")
    u = elementwise.subtract(_open_unit(key, "cauchy", shape, d), 0.5)
    return convert(elementwise.tan(elementwise.multiply(u, math.pi)), d)


def normal_quantile(p: Tensor) -> Tensor:
    """The number that a normal one is below with probability p, at float64; finite."""
    q = elementwise.subtract(p, 0.5)
    least = elementwise.minimum(p, elementwise.subtract(1.0, p))
    return quantile(q, elementwise.maximum(least, 1e-300))


_BEYOND = 30.0  # from where on tails are drawn by logarithms: at 38 a probability is 0


def _excess(t: Tensor) -> Tensor:
    """-t^2/2 - log(sqrt(2 pi)) less the logarithm of the probability above t, which is large."""
    s = elementwise.reciprocal(elementwise.square(t))
    series = elementwise.multiply(s, rounded_once(s, as_tensor(3.0), -1.0))
    return elementwise.subtract(elementwise.log(t), elementwise.log1p(series))


def _far_below(u: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Numbers of a normal distribution between two bounds that are far below 0, from uniform ones.

    By the logarithm of the distribution function: the root of its leading term, and one of Newton's
    steps to the whole.
    """
    a, b = elementwise.negative(last), elementwise.negative(first)
    base = _excess(a)
    half = elementwise.multiply(elementwise.subtract(a, b), 0.5)
    span = rounded_once(half, elementwise.add(a, b), elementwise.subtract(base, _excess(b)))
    share = elementwise.log1p(elementwise.multiply(u, elementwise.expm1(span)))
    t = elementwise.sqrt(rounded_once(a, a, elementwise.multiply(share, -2.0)))
    rate = elementwise.add(t, elementwise.reciprocal(t))
    step = elementwise.divide(elementwise.subtract(_excess(t), base), rate)
    return elementwise.subtract(step, t)


def _between(u: Tensor, first: Tensor, last: Tensor, far: bool | None) -> Tensor:
    """Numbers of a normal distribution between bounds; `far`: whether both are below -_BEYOND."""
    if far:
        return _far_below(u, first, last)
    start, end = share_below(first), share_below(last)
    p = rounded_once(elementwise.subtract(end, start), u, start)
    found = normal_quantile(p)
    if far is None:
        low, high = elementwise.minimum(first, -_BEYOND), elementwise.minimum(last, -_BEYOND)
        found = composed.where(elementwise.less(last, -_BEYOND), _far_below(u, low, high), found)
    return found


def truncated_normal(
    key: Tensor | None,
    lower: Any = -2.0,
    upper: Any = 2.0,
    shape: Any = None,
    dtype: Any = float32,
) -> Tensor:
    """Numbers of the normal distribution with mean 0 and variance 1 that lie between two bounds.

    Computed at float64 by the inverse of the distribution function. Half of the line is mirrored,
    so that bounds far out on either side lose nothing.

    Args:
        key: A key; None takes the next of the global generator.
        lower: The lower bound, a number or a tensor; may be -inf.
        upper: The upper bound; may be inf.
        shape: The result's shape; that of the bounds when not given.
        dtype: A float type.

    Raises:
        ValueRangeError: The bounds are numbers, and the lower one is not below the other.

    Example:
        >>> x = dlc.random.truncated_normal(dlc.random.key(0), 1.0, 2.0, (3,))
        >>> dlc.all(x >= 1.0).item()
        True
    """
    d = float_dtype(dtype, "truncated_normal")
    if isinstance(lower, (int, float)) and isinstance(upper, (int, float)) and not lower < upper:
        raise ValueRangeError(f"truncated_normal between {lower} and {upper}")
    low, high = (convert(as_tensor(x), float64) for x in (lower, upper))
    dims = as_dims(shape) if shape is not None else elementwise.add(low, high).tensor.shape
    u = unit(key_of(key, "truncated_normal"), dims, float64)
    # Above 0 the distribution function is close to 1: from there the mirror image is drawn.
    mirrored = elementwise.greater(low, 0.0)
    first = composed.where(mirrored, elementwise.negative(high), low)
    last = composed.where(mirrored, elementwise.negative(low), high)
    known = isinstance(lower, (int, float)) and isinstance(upper, (int, float))
    far = (lower > _BEYOND or upper < -_BEYOND) if known else None
    x = composed.clip(_between(u, first, last, far), first, last)
    x = convert(composed.where(mirrored, elementwise.negative(x), x), d)
    # Rounding may have passed a bound.
    return composed.clip(x, convert(low, d), convert(high, d))


@casts
def multivariate_normal(
    key: Tensor | None, mean: Any, cov: Any, shape: Any = (), dtype: Any = float32
) -> Tensor:
    """Vectors of a normal distribution.

    Args:
        key: A key; None takes the next of the global generator.
        mean: The mean [n].
        cov: The covariance [n, n], positive definite.
        shape: How many vectors.
        dtype: A float type.

    Returns:
        A tensor [*shape, n].

    Raises:
        ShapeError: Mean and covariance do not fit.
        LinAlgError: The covariance is not positive definite.

    Example:
        >>> mean, cov = dlc.zeros(2), dlc.asarray([[2.0, 1.0], [1.0, 2.0]])
        >>> dlc.random.multivariate_normal(dlc.random.key(0), mean, cov, (5,)).shape
        (5, 2)
    """
    d = float_dtype(dtype, "multivariate_normal")
    held = _held(d)
    m, c = convert(as_tensor(mean), held), convert(as_tensor(cov), held)
    if m.tensor.rank != 1 or not same_shape(c.tensor.shape, m.tensor.shape * 2):
        raise ShapeError(
            f"multivariate_normal of {m.tensor} and {c.tensor}: they must be [n] and [n, n]"
        )
    z = normal(key_of(key, "multivariate_normal"), (*as_dims(shape), m.tensor.shape[0], 1), held)
    moved = reduction.sum(elementwise.multiply(cholesky(c), matrix_transpose(z)), axis=-1)
    return convert(elementwise.add(moved, m), d)


def orthogonal(key: Tensor | None, n: Any, shape: Any = (), dtype: Any = float32) -> Tensor:
    """Orthogonal matrices, uniform over all (by Haar's measure).

    Mezzadri, "How to generate random matrices from the classical compact groups", 2007.

    Args:
        key: A key; None takes the next of the global generator.
        n: The number of rows and columns.
        shape: How many matrices.
        dtype: A float type.

    Returns:
        A tensor [*shape, n, n].

    Example:
        >>> dlc.random.orthogonal(dlc.random.key(0), 3).shape
        (3, 3)
    """
    d = float_dtype(dtype, "orthogonal")
    size = as_dims((n, n))
    z = normal(key_of(key, "orthogonal"), (*as_dims(shape), *size), _held(d))
    q, r = qr(z)
    signs = composed.copysign(1.0, diagonal(r))
    return convert(elementwise.multiply(q, expand_dims(signs, axis=-2)), d)
