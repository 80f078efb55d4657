"""Continuous distributions, each a formula of uniform or normal numbers.

What is a smooth function of its parameters has their derivatives (reparameterisation).
"""

from __future__ import annotations

import math
from typing import Any

from dlc.frontend.apply import as_dims, as_tensor, convert
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
    rounded_once,
    unit,
)
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


# Coefficients of Wichura, "Algorithm AS 241: the percentage points of the normal distribution",
# 1988, PPND16: numerator and denominator near the middle, in the tails, and far out.
_MIDDLE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
     1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
     3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
     5.2264952788528545610e3),
)  # fmt: skip
_TAILS = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
     3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9),
)  # fmt: skip
_FAR = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15),
)  # fmt: skip


def _ratio(x: Tensor, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """The quotient of two polynomials."""
    parts: list[Tensor] = []
    for terms in coefficients:
        total = elementwise.multiply(x, 0.0)
        for c in reversed(terms):
            total = rounded_once(total, x, c)
        parts.append(total)
    return elementwise.divide(*parts)


def normal_quantile(p: Tensor) -> Tensor:
    """The number that a normal one is below with probability p, at float64."""
    q = elementwise.subtract(p, 0.5)
    square = rounded_once(elementwise.negative(q), q, 0.180625)
    middle = elementwise.multiply(q, _ratio(square, _MIDDLE))
    least = elementwise.minimum(p, elementwise.subtract(1.0, p))
    least = elementwise.maximum(least, 1e-300)
    root = elementwise.sqrt(elementwise.negative(elementwise.log(least)))
    tails = composed.where(
        elementwise.less_equal(root, 5.0),
        _ratio(elementwise.subtract(root, 1.6), _TAILS),
        _ratio(elementwise.subtract(root, 5.0), _FAR),
    )
    return composed.where(
        elementwise.less_equal(elementwise.abs(q), 0.425), middle, composed.copysign(tails, q)
    )


def _below(x: Tensor) -> Tensor:
    """The probability that a normal number is below x, also where that is tiny."""
    return elementwise.multiply(elementwise.erfc(elementwise.multiply(x, -math.sqrt(0.5))), 0.5)


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
    start, end = _below(first), _below(last)
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
