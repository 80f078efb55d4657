"""The gamma distribution and those that are made of it."""

from __future__ import annotations

from typing import Any

from dlc.frontend.apply import apply, as_dims, as_tensor, broadcast_to, convert, rounded_once
from dlc.frontend.custom import custom_jvp
from dlc.frontend.functions import composed, elementwise, reduction
from dlc.frontend.functions.arguments import common_shape
from dlc.frontend.random.generator import (
    float_dtype,
    fold_in,
    key_of,
    normal,
    split,
    unit,
)
from dlc.frontend.random.rejection import first_accepted
from dlc.frontend.special.incomplete import log_gamma_slope
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim
from dlc.ir.errors import ShapeError
from dlc.ir.types import DType, bool_, float32, float64

_TRIES = 12
"""Proposals, of which the first that is accepted counts. Each is with a probability of at least
0.95, so that all are refused with one below 3e-16: less than rounding shows."""


def _held(dtype: DType) -> DType:
    return float64 if dtype is float64 else float32


def _dims(name: str, shape: Any, *parameters: Tensor) -> tuple[Dim, ...]:
    own = [p.tensor.shape for p in parameters]
    types = [p.tensor for p in parameters]
    common = common_shape(name, own, types)
    if shape is None:
        return common
    dims = as_dims(shape)
    if common_shape(name, (common, dims), types) != tuple(dims):
        raise ShapeError(f"random.{name}: parameters of shape {common} do not broadcast to {dims}")
    return dims


def _log_gamma(key: Tensor, shape_parameter: Tensor, dims: tuple[Dim, ...]) -> Tensor:
    """Logarithms of gamma numbers."""
    return _accepted(key, broadcast_to(shape_parameter, dims))


@custom_jvp
def _accepted(key: Tensor, a: Tensor) -> Tensor:
    """A logarithm for each shape parameter.

    Marsaglia and Tsang, "A simple method for generating gamma variables", 2000: shapes below 1 by
    those above, times a power of a uniform number.
    """
    dims, held = a.tensor.shape, a.tensor.dtype
    small = elementwise.less(a, 1.0)
    d = elementwise.subtract(composed.where(small, elementwise.add(a, 1.0), a), 1.0 / 3.0)
    c = elementwise.multiply(elementwise.rsqrt(d), 1.0 / 3.0)

    def propose(step_key: Tensor) -> tuple[Tensor, Tensor]:
        keys = split(step_key)
        x = normal(keys[0], dims, held)
        u = elementwise.subtract(1.0, unit(keys[1], dims, held))
        root = rounded_once(c, x, 1.0)
        inside = elementwise.greater(root, 0.0)
        log = elementwise.log(composed.where(inside, root, 1.0))
        log_v = elementwise.multiply(log, 3.0)
        rest = rounded_once(elementwise.negative(elementwise.square(root)), root, 1.0)
        rest = rounded_once(log, 3.0, rest)
        limit = rounded_once(d, rest, elementwise.multiply(elementwise.square(x), 0.5))
        return log_v, elementwise.logical_and(inside, elementwise.less(elementwise.log(u), limit))

    # Past the last proposal, that of the largest density.
    every = apply("full", value=True, shape=dims, dtype=bool_)
    found = first_accepted(key, elementwise.multiply(c, 0.0), every, propose, _TRIES)
    result = elementwise.add(found, elementwise.log(d))
    boost = elementwise.subtract(1.0, unit(fold_in(key, _TRIES), dims, held))
    lift = elementwise.divide(elementwise.log(boost), composed.where(small, a, 1.0))
    return elementwise.add(result, composed.where(small, lift, 0.0))


def _accepted_jvp(primals: tuple[Tensor, Tensor], tangents: tuple[Tensor, Tensor]) -> Any:
    key, a = primals
    value = _accepted(key, a)
    slope = log_gamma_slope(convert(a, float64), convert(value, float64))
    return value, elementwise.multiply(convert(slope, a.tensor.dtype), tangents[1])


_accepted.defjvp(_accepted_jvp)


def loggamma(key: Tensor | None, a: Any, shape: Any = None, dtype: Any = float32) -> Tensor:
    """Logarithms of numbers of the gamma distribution, which do not underflow for small shapes.

    Args:
        key: A key; None takes the next of the global generator.
        a: The shape parameter, above 0: a number or a tensor.
        shape: The result's shape; that of `a` when not given.
        dtype: A float type.

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.random.loggamma(dlc.random.key(0), 1e-3, (2,)).shape
        (2,)
    """
    d = float_dtype(dtype, "loggamma")
    alpha = convert(as_tensor(a), _held(d))
    dims = _dims("loggamma", shape, alpha)
    return convert(_log_gamma(key_of(key, "loggamma"), alpha, dims), d)


def gamma(key: Tensor | None, a: Any, shape: Any = None, dtype: Any = float32) -> Tensor:
    """Numbers of the gamma distribution with scale 1.

    The derivative with respect to the shape parameter is the implicit one: that of the number below
    which the distribution has the same share.

    Args:
        key: A key; None takes the next of the global generator.
        a: The shape parameter, above 0: a number or a tensor.
        shape: The result's shape; that of `a` when not given.
        dtype: A float type.

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.random.gamma(dlc.random.key(0), 2.0, (2,)).shape
        (2,)
    """
    d = float_dtype(dtype, "gamma")
    alpha = convert(as_tensor(a), _held(d))
    dims = _dims("gamma", shape, alpha)
    return convert(elementwise.exp(_log_gamma(key_of(key, "gamma"), alpha, dims)), d)


def beta(key: Tensor | None, a: Any, b: Any, shape: Any = None, dtype: Any = float32) -> Tensor:
    """Numbers of the beta distribution.

    Args:
        key: A key; None takes the next of the global generator.
        a: The power of x in the density, plus 1: a number or a tensor.
        b: That of 1 - x.
        shape: The result's shape; that of the parameters when not given.
        dtype: A float type.

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.random.beta(dlc.random.key(0), 2.0, 3.0, (2,)).shape
        (2,)
    """
    d = float_dtype(dtype, "beta")
    first, second = (convert(as_tensor(x), _held(d)) for x in (a, b))
    dims = _dims("beta", shape, first, second)
    keys = split(key_of(key, "beta"))
    logs = [_log_gamma(keys[k], x, dims) for k, x in enumerate((first, second))]
    return convert(apply("sigmoid", elementwise.subtract(*logs)), d)


def dirichlet(key: Tensor | None, alpha: Any, shape: Any = None, dtype: Any = float32) -> Tensor:
    """Vectors of the Dirichlet distribution, which add up to 1.

    Args:
        key: A key; None takes the next of the global generator.
        alpha: The parameters [..., n].
        shape: How many vectors; the leading shape of `alpha` when not given.
        dtype: A float type.

    Returns:
        A tensor [*shape, n].

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.random.dirichlet(dlc.random.key(0), dlc.ones(3), (2,)).shape
        (2, 3)
    """
    d = float_dtype(dtype, "dirichlet")
    a = convert(as_tensor(alpha), _held(d))
    if not a.tensor.rank:
        raise ShapeError("random.dirichlet of a number: the parameters are a vector")
    wanted = None if shape is None else (*as_dims(shape), a.tensor.shape[-1])
    logs = _log_gamma(key_of(key, "dirichlet"), a, _dims("dirichlet", wanted, a))
    return convert(reduction.softmax(logs, axis=-1), d)


def chisquare(key: Tensor | None, df: Any, shape: Any = None, dtype: Any = float32) -> Tensor:
    """Numbers of the chi-square distribution.

    Args:
        key: A key; None takes the next of the global generator.
        df: The degrees of freedom, above 0: a number or a tensor.
        shape: The result's shape; that of `df` when not given.
        dtype: A float type.

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.random.chisquare(dlc.random.key(0), 3.0, (2,)).shape
        (2,)
    """
    d = float_dtype(dtype, "chisquare")
    a = elementwise.multiply(convert(as_tensor(df), _held(d)), 0.5)
    logs = _log_gamma(key_of(key, "chisquare"), a, _dims("chisquare", shape, a))
    return convert(elementwise.multiply(elementwise.exp(logs), 2.0), d)


def student_t(key: Tensor | None, df: Any, shape: Any = None, dtype: Any = float32) -> Tensor:
    """Numbers of Student's t distribution.

    Args:
        key: A key; None takes the next of the global generator.
        df: The degrees of freedom, above 0: a number or a tensor.
        shape: The result's shape; that of `df` when not given.
        dtype: A float type.

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.random.student_t(dlc.random.key(0), 3.0, (2,)).shape
        (2,)
    """
    d = float_dtype(dtype, "student_t")
    a = elementwise.multiply(convert(as_tensor(df), _held(d)), 0.5)
    dims = _dims("student_t", shape, a)
    keys = split(key_of(key, "student_t"))
    logs = _log_gamma(keys[1], a, dims)
    spread = elementwise.exp(
        elementwise.multiply(elementwise.subtract(elementwise.log(a), logs), 0.5)
    )
    return convert(elementwise.multiply(normal(keys[0], dims, _held(d)), spread), d)
