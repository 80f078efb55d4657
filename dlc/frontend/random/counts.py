"""Counts: how often something happens.

Small means are found by walking up the distribution function, with one uniform number; large ones
by Hörmann's transformed rejection ("The transformed rejection method for generating Poisson random
variables", 1993; "The generation of binomial random variates", 1993), again until every element
is accepted. All is computed at float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import as_dims, as_tensor, broadcast_to, convert, dtype_argument
from dlc.frontend.control import while_loop
from dlc.frontend.functions import composed, elementwise, reduction
from dlc.frontend.functions.arguments import common_shape
from dlc.frontend.functions.composed import where
from dlc.frontend.random.generator import key_of, split, unit
from dlc.frontend.random.rejection import first_accepted
from dlc.frontend.special.gammas import log_gamma_of
from dlc.frontend.tensor import Tensor
from dlc.frontend.transforms import stop_gradient
from dlc.ir.errors import DTypeError, ShapeError, ValueRangeError
from dlc.ir.types import DType, bool_, float64, int64

_SMALL = 10.0  # means below are found by walking up
_LONGEST = 200  # steps, beyond which the distribution of a small mean has nothing left
_LARGEST = 2.0**53  # above, floats do not count by ones


def _parameters(name: str, shape: Any, *given: Any) -> tuple[Tensor, ...]:
    """Parameters at float64 and at the shape of the result; numbers of them have no derivative."""
    tensors = [stop_gradient(convert(as_tensor(p), float64)) for p in given]
    types = [t.tensor for t in tensors]
    common = common_shape(name, [t.shape for t in types], types)
    dims = common if shape is None else as_dims(shape)
    if common_shape(name, (common, dims), types) != tuple(dims):
        raise ShapeError(f"random.{name}: parameters of shape {common} do not broadcast to {dims}")
    return tuple(broadcast_to(t, dims) for t in tensors)


def _number_dtype(dtype: Any, name: str) -> DType:
    found = dtype_argument(dtype)
    if found is bool_:
        raise DTypeError(f"random.{name} of bool: a type of numbers is needed")
    return found


def _result(count: Tensor, valid: Tensor, dtype: DType) -> Tensor:
    """The counts; NaN for parameters that have no distribution, and -1 as an integer."""
    return convert(where(valid, count, math.nan if dtype.is_float else -1), dtype)


def _walk(u: Tensor, first: Tensor, ratio: Callable[[Tensor], Tensor], walked: Tensor) -> Tensor:
    """The least k at which the distribution function is above u.

    Args:
        u: Uniform numbers in [0, 1).
        first: The probability of 0.
        ratio: The probability of k + 1, given k, as a multiple of that of k.
        walked: Where a result is wanted.
    """

    def ahead(carry: Any) -> Tensor:
        step, _, _, total = carry
        more = elementwise.logical_and(walked, elementwise.greater_equal(u, total))
        return elementwise.logical_and(reduction.any(more), elementwise.less(step, _LONGEST))

    def up(carry: Any) -> Any:
        step, count, chance, total = carry
        count = where(elementwise.greater_equal(u, total), elementwise.add(count, 1), count)
        chance = elementwise.multiply(chance, ratio(convert(step, float64)))
        step = elementwise.add(step, 1)
        return step, count, chance, elementwise.add(total, chance)

    zero = convert(as_tensor(0), int64)
    return while_loop(ahead, up, (zero, elementwise.multiply(u, 0), first, first))[1]


def _rejected(
    key: Tensor, wanted: Tensor, propose: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> Tensor:
    """The first accepted of proposals made of two uniform numbers each."""
    dims = wanted.tensor.shape

    def of_key(step_key: Tensor) -> tuple[Tensor, Tensor]:
        keys = split(step_key)
        u = elementwise.subtract(unit(keys[0], dims, float64), 0.5)
        return propose(u, elementwise.subtract(1, unit(keys[1], dims, float64)))

    return first_accepted(key, _filled(wanted), wanted, of_key)


def _filled(like: Tensor) -> Tensor:
    return elementwise.multiply(convert(like, float64), 0)


def poisson(key: Tensor | None, lam: Any, shape: Any = None, dtype: Any = int64) -> Tensor:
    """Numbers of the Poisson distribution.

    Args:
        key: A key; None takes the next of the global generator.
        lam: The mean, from 0 on: a number or a tensor.
        shape: The result's shape; that of `lam` when not given.
        dtype: A type of numbers.

    Returns:
        A tensor of that dtype. Where `lam` is negative, NaN or above 2^53 it is NaN, and -1 as an
        integer.

    Raises:
        DTypeError: The dtype is bool.
        ShapeError: The shapes do not fit.
        ValueRangeError: `lam` is a number below 0.

    Example:
        >>> dlc.random.poisson(dlc.random.key(0), 0.0, (2,))
        Tensor([0, 0], dtype=int64)
    """
    d = _number_dtype(dtype, "poisson")
    if isinstance(lam, (int, float)) and lam < 0:
        raise ValueRangeError(f"random.poisson with mean {lam}: it is from 0 on")
    (mean,) = _parameters("poisson", shape, lam)
    keys = split(key_of(key, "poisson"))
    valid = elementwise.logical_and(
        elementwise.greater_equal(mean, 0), elementwise.less_equal(mean, _LARGEST)
    )
    large = elementwise.logical_and(valid, elementwise.greater_equal(mean, _SMALL))
    small = elementwise.logical_and(valid, elementwise.logical_not(large))
    low = where(small, mean, 1)
    u = unit(keys[0], mean.tensor.shape, float64)
    walked = _walk(
        u,
        elementwise.exp(elementwise.negative(low)),
        lambda k: elementwise.divide(low, elementwise.add(k, 1)),
        small,
    )
    high = where(large, mean, _SMALL)
    rejected = _rejected(keys[1], large, _poisson_proposals(high))
    return _result(where(large, rejected, walked), valid, d)


def _poisson_proposals(mean: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Hörmann's PTRS, for means from 10 on."""
    log_mean = elementwise.log(mean)
    b = elementwise.add(elementwise.multiply(elementwise.sqrt(mean), 2.53), 0.931)
    a = elementwise.subtract(elementwise.multiply(b, 0.02483), 0.059)
    scale = elementwise.add(elementwise.divide(1.1328, elementwise.subtract(b, 3.4)), 1.1239)
    box = elementwise.subtract(0.9277, elementwise.divide(3.6224, elementwise.subtract(b, 2)))

    def propose(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        distance = elementwise.subtract(0.5, elementwise.abs(u))
        tail = elementwise.divide(elementwise.multiply(a, 2), distance)
        place = elementwise.multiply(elementwise.add(tail, b), u)
        count = elementwise.floor(elementwise.add(elementwise.add(place, mean), 0.43))
        held = elementwise.maximum(count, 0)
        steepness = elementwise.add(elementwise.divide(a, elementwise.square(distance)), b)
        height = elementwise.log(elementwise.divide(elementwise.multiply(v, scale), steepness))
        density = elementwise.subtract(
            elementwise.subtract(elementwise.multiply(held, log_mean), mean),
            log_gamma_of(elementwise.add(held, 1)),
        )
        return count, _accepts(distance, v, box, count, None, height, density)

    return propose


def _accepts(
    distance: Tensor,
    v: Tensor,
    box: Tensor,
    count: Tensor,
    most: Tensor | None,
    height: Tensor,
    density: Tensor,
) -> Tensor:
    """Whether a proposal counts: most do at once, the others where they are below the density."""
    quick = elementwise.logical_and(
        elementwise.greater_equal(distance, 0.07), elementwise.less_equal(v, box)
    )
    possible = elementwise.greater_equal(count, 0)
    if most is not None:
        possible = elementwise.logical_and(possible, elementwise.less_equal(count, most))
    below = elementwise.logical_and(possible, elementwise.less_equal(height, density))
    return elementwise.logical_or(elementwise.logical_and(quick, possible), below)


def binomial(key: Tensor | None, n: Any, p: Any, shape: Any = None, dtype: Any = int64) -> Tensor:
    """How many of n trials succeed, each with probability p.

    Args:
        key: A key; None takes the next of the global generator.
        n: The number of trials, from 0 on: a number or a tensor.
        p: The probability, from 0 to 1: a number or a tensor.
        shape: The result's shape; that of the parameters when not given.
        dtype: A type of numbers.

    Returns:
        A tensor of that dtype. Where n is negative or above 2^53, or p is no probability, it is
        NaN, and -1 as an integer.

    Raises:
        DTypeError: The dtype is bool.
        ShapeError: The shapes do not fit.
        ValueRangeError: A parameter is a number out of its range.

    Example:
        >>> dlc.random.binomial(dlc.random.key(0), 7, 1.0, (2,))
        Tensor([7, 7], dtype=int64)
    """
    d = _number_dtype(dtype, "binomial")
    if isinstance(n, (int, float)) and n < 0:
        raise ValueRangeError(f"random.binomial of {n} trials")
    if isinstance(p, (int, float)) and not 0 <= p <= 1:
        raise ValueRangeError(f"random.binomial with probability {p}: it is from 0 to 1")
    trials, chance = _parameters("binomial", shape, n, p)
    trials = elementwise.floor(trials)
    keys = split(key_of(key, "binomial"))
    valid = elementwise.logical_and(
        elementwise.logical_and(
            elementwise.greater_equal(trials, 0), elementwise.less_equal(trials, _LARGEST)
        ),
        elementwise.logical_and(
            elementwise.greater_equal(chance, 0), elementwise.less_equal(chance, 1)
        ),
    )
    flipped = elementwise.greater(chance, 0.5)
    rare = where(flipped, elementwise.subtract(1, chance), chance)
    mean = elementwise.multiply(trials, rare)
    large = elementwise.logical_and(valid, elementwise.greater_equal(mean, _SMALL))
    small = elementwise.logical_and(valid, elementwise.logical_not(large))
    few, low = where(small, trials, 1), where(small, rare, 0.5)
    walked = _walk(
        unit(keys[0], mean.tensor.shape, float64),
        elementwise.exp(elementwise.multiply(few, elementwise.log1p(elementwise.negative(low)))),
        _binomial_ratio(few, low),
        small,
    )
    many, high = where(large, trials, 40), where(large, rare, 0.5)
    rejected = _rejected(keys[1], large, _binomial_proposals(many, high))
    count = where(large, rejected, walked)
    return _result(where(flipped, elementwise.subtract(trials, count), count), valid, d)


def _binomial_ratio(n: Tensor, p: Tensor) -> Callable[[Tensor], Tensor]:
    odds = elementwise.divide(p, elementwise.subtract(1, p))

    def ratio(k: Tensor) -> Tensor:
        left = elementwise.maximum(elementwise.subtract(n, k), 0)
        return elementwise.divide(elementwise.multiply(left, odds), elementwise.add(k, 1))

    return ratio


def _binomial_proposals(n: Tensor, p: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Hörmann's BTRS, for n p from 10 on and p up to 1/2."""
    rest = elementwise.subtract(1, p)
    mean = elementwise.multiply(n, p)
    spread = elementwise.sqrt(elementwise.multiply(mean, rest))
    b = elementwise.add(elementwise.multiply(spread, 2.53), 1.15)
    a = elementwise.add(elementwise.multiply(b, 0.0248), elementwise.multiply(p, 0.01))
    a = elementwise.subtract(a, 0.0873)
    alpha = elementwise.multiply(elementwise.add(elementwise.divide(5.1, b), 2.83), spread)
    box = elementwise.subtract(0.92, elementwise.divide(4.2, b))
    odds = elementwise.log(elementwise.divide(p, rest))
    mode = elementwise.floor(elementwise.multiply(elementwise.add(n, 1), p))

    def ways(k: Tensor) -> Tensor:
        return elementwise.add(
            log_gamma_of(elementwise.add(k, 1)),
            log_gamma_of(elementwise.add(elementwise.subtract(n, k), 1)),
        )

    most_likely = ways(mode)

    def propose(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        distance = elementwise.subtract(0.5, elementwise.abs(u))
        tail = elementwise.divide(elementwise.multiply(a, 2), distance)
        place = elementwise.multiply(elementwise.add(tail, b), u)
        count = elementwise.floor(elementwise.add(elementwise.add(place, mean), 0.5))
        held = composed.clip(count, 0, n)
        steepness = elementwise.add(elementwise.divide(a, elementwise.square(distance)), b)
        height = elementwise.log(elementwise.divide(elementwise.multiply(v, alpha), steepness))
        density = elementwise.add(
            elementwise.subtract(most_likely, ways(held)),
            elementwise.multiply(elementwise.subtract(held, mode), odds),
        )
        return count, _accepts(distance, v, box, count, n, height, density)

    return propose


def geometric(key: Tensor | None, p: Any, shape: Any = None, dtype: Any = int64) -> Tensor:
    """How many trials it takes to succeed once, each with probability p.

    Args:
        key: A key; None takes the next of the global generator.
        p: The probability, above 0 and up to 1: a number or a tensor.
        shape: The result's shape; that of `p` when not given.
        dtype: A type of numbers.

    Returns:
        A tensor of that dtype, from 1 on. Where p is no such probability it is NaN, and -1 as an
        integer.

    Raises:
        DTypeError: The dtype is bool.
        ShapeError: The shapes do not fit.
        ValueRangeError: p is a number out of its range.

    Example:
        >>> dlc.random.geometric(dlc.random.key(0), 1.0, (2,))
        Tensor([1, 1], dtype=int64)
    """
    d = _number_dtype(dtype, "geometric")
    if isinstance(p, (int, float)) and not 0 < p <= 1:
        raise ValueRangeError(f"random.geometric with probability {p}: above 0 and up to 1")
    (chance,) = _parameters("geometric", shape, p)
    valid = elementwise.logical_and(
        elementwise.greater(chance, 0), elementwise.less_equal(chance, 1)
    )
    u = unit(key_of(key, "geometric"), chance.tensor.shape, float64)
    waited = elementwise.divide(
        elementwise.log1p(elementwise.negative(u)),
        elementwise.log1p(elementwise.negative(where(valid, chance, 0.5))),
    )
    return _result(elementwise.add(elementwise.floor(waited), 1), valid, d)
