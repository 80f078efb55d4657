"""Random integers, classes, orders and choices."""

from __future__ import annotations

from typing import Any

from dlc.frontend.apply import (
    apply,
    as_dims,
    as_tensor,
    convert,
    dtype_argument,
    materialise,
)
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.arguments import common_shape, find_axis, reshaped
from dlc.frontend.functions.creation import arange
from dlc.frontend.functions.indexing import take, take_along_axis
from dlc.frontend.functions.sorting import argsort
from dlc.frontend.random.continuous import gumbel
from dlc.frontend.random.generator import bernoulli, bits, key_of
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import is_empty, product
from dlc.ir.errors import DTypeError, ShapeError, ValueRangeError
from dlc.ir.ops.families import check_number, same_shape
from dlc.ir.types import float32, int32, int64, uint64


def randint(
    key: Tensor | None, shape: Any = (), minval: Any = 0, maxval: Any = None, dtype: Any = int64
) -> Tensor:
    """Integers uniform from `minval` up to `maxval`, which is not among them.

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        minval: The least integer, a number or a tensor.
        maxval: One more than the largest.
        dtype: An integer type, which must hold all of them.

    Returns:
        A tensor of that dtype. With n integers to choose from, probabilities differ from 1 / n by
        less than 2^-64.

    Raises:
        DTypeError: The dtype is not of integers.
        ValueRangeError: The bounds are numbers, and there is no integer between them, or one that
            the dtype does not hold.

    Example:
        >>> x = dlc.random.randint(dlc.random.key(0), (100,), 0, 6)
        >>> dlc.max(x).item()
        5
    """
    d = dtype_argument(dtype)
    if not d.is_integer:
        raise DTypeError(f"random.randint of {d.name}: an integer type is needed")
    if maxval is None:
        minval, maxval = 0, minval
    if isinstance(minval, int) and isinstance(maxval, int):
        if not minval < maxval:
            raise ValueRangeError(
                f"randint from {minval} up to {maxval}: there is no integer between"
            )
        for number in (minval, maxval - 1):
            check_number("randint", number, d)
    held = uint64 if d is uint64 else int64
    low, high = (convert(materialise(as_tensor(x)), held) for x in (minval, maxval))
    count = convert(elementwise.subtract(high, low), uint64)  # wraps to the right number
    word = bits(key_of(key, "randint"), shape, uint64)
    offset = elementwise.remainder(word, count)
    return convert(elementwise.add(low, convert(offset, held)), d)


def rademacher(key: Tensor | None, shape: Any = (), dtype: Any = int32) -> Tensor:
    """-1 and 1, each with probability 1/2.

    Args:
        key: A key; None takes the next of the global generator.
        shape: The result's shape.
        dtype: A signed type of numbers.

    Example:
        >>> dlc.random.rademacher(dlc.random.key(0), (2,)).shape
        (2,)
    """
    d = dtype_argument(dtype)
    if d.kind not in "if":
        raise DTypeError(f"random.rademacher of {d.name}: a signed type is needed")
    side = convert(bernoulli(key_of(key, "rademacher"), 0.5, shape), d)
    return elementwise.subtract(elementwise.multiply(side, 2), 1)


def categorical(key: Tensor | None, logits: Any, axis: int = -1, shape: Any = None) -> Tensor:
    """Classes, each with a probability proportional to the exponential of its logit.

    The largest of logits with Gumbel's noise (Maddison et al., "A* sampling", 2014).

    Args:
        key: A key; None takes the next of the global generator.
        logits: Logarithms of probabilities, up to a constant; -inf for a class that never comes.
        axis: The axis of the classes.
        shape: The result's shape, to which that of `logits` without the axis broadcasts; that one
            when not given.

    Returns:
        A tensor of int64.

    Raises:
        ShapeError: The shape does not fit.

    Example:
        >>> dlc.random.categorical(dlc.random.key(0), dlc.asarray([-dlc.inf, 0.0])).item()
        1
    """
    x = materialise(as_tensor(logits))
    x = x if x.tensor.dtype.is_float else convert(x, float32)
    along = find_axis("categorical", axis, x.tensor)
    held = x.tensor.shape
    rest = (*held[:along], *held[along + 1 :])
    dims = rest if shape is None else as_dims(shape)
    if common_shape("categorical", (rest, dims), (x.tensor,)) != tuple(dims):
        raise ShapeError(f"categorical of {x.tensor}: {rest} does not broadcast to {dims}")
    rows = elementwise.add(_last(x, along), 0.0)
    noise = gumbel(key_of(key, "categorical"), (*dims, held[along]), x.tensor.dtype)
    return reduction.argmax(elementwise.add(rows, noise), axis=-1)


def _last(x: Tensor, axis: int) -> Tensor:
    order = (*(k for k in range(x.tensor.rank) if k != axis), axis)
    return x if axis == x.tensor.rank - 1 else apply("transpose", x, axes=order)


def permutation(key: Tensor | None, x: Any, axis: int = 0, independent: bool = False) -> Tensor:
    """A tensor with its elements along an axis in a random order, or the order of n numbers.

    Sorts random words of 64 bits: two are equal with a probability below n^2 / 2^65.

    Args:
        key: A key; None takes the next of the global generator.
        x: A tensor or array; or an integer n, which stands for 0, 1, ..., n - 1.
        axis: The axis.
        independent: Whether each row along the axis has an order of its own.

    Example:
        >>> dlc.sort(dlc.random.permutation(dlc.random.key(0), 4))
        Tensor([0, 1, 2, 3], dtype=int64)
    """
    k = key_of(key, "permutation")
    values = arange(x) if isinstance(x, int) else materialise(as_tensor(x))
    along = find_axis("permutation", axis, values.tensor)
    shape = values.tensor.shape
    if independent:
        order = argsort(bits(k, shape, uint64), axis=along)
        return take_along_axis(values, order, axis=along)
    return take(values, argsort(bits(k, (shape[along],), uint64)), axis=along)


def shuffle(key: Tensor | None, x: Any, axis: int = 0) -> Tensor:
    """`permutation` by another name. The tensor that is given stays as it is.

    Args:
        key: A key; None takes the next of the global generator.
        x: A tensor or array.
        axis: The axis.

    Example:
        >>> dlc.random.shuffle(dlc.random.key(0), dlc.ones((3, 2))).shape
        (3, 2)
    """
    return permutation(key, x, axis)


def choice(
    key: Tensor | None,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
) -> Tensor:
    """Elements chosen at random.

    Args:
        key: A key; None takes the next of the global generator.
        a: A tensor or array; or an integer n, which stands for 0, 1, ..., n - 1.
        shape: How many are chosen.
        replace: Whether an element may be chosen again.
        p: The probability of each element; all are alike when not given.
        axis: The axis along which elements of `a` lie.

    Returns:
        A tensor with `shape` in the place of that axis.

    Raises:
        ShapeError: There are not as many probabilities as elements.
        ValueRangeError: More elements are to be chosen than there are, or some of none.

    Example:
        >>> dlc.random.choice(dlc.random.key(0), 5, (3,), replace=False).shape
        (3,)
    """
    k, dims = key_of(key, "choice"), as_dims(shape)
    values = arange(a) if isinstance(a, int) else materialise(as_tensor(a))
    along = find_axis("choice", axis, values.tensor)
    n, count = values.tensor.shape[along], product(dims)
    chances = None if p is None else materialise(as_tensor(p))
    if chances is not None and not same_shape(chances.tensor.shape, (n,)):
        raise ShapeError(f"choice of {n} elements with probabilities {chances.tensor}")
    if not replace and isinstance(n, int) and isinstance(count, int) and count > n:
        raise ValueRangeError(f"choice of {count} of {n} elements, each once")
    if count != 0 and is_empty(n):
        raise ValueRangeError(f"choice of {count} of no elements")
    if replace:
        if chances is None:
            at = randint(k, dims, 0, apply("dim", dim=n))
        else:
            at = categorical(k, elementwise.log(chances), shape=dims)
    elif chances is None:
        at = reshaped(permutation(k, apply("iota", shape=(n,), axis=0, dtype=int64))[:count], dims)
    else:  # the order of the noisy logits: Kool et al., "Stochastic beams and where to find them"
        noisy = elementwise.add(elementwise.log(chances), gumbel(k, (n,), chances.tensor.dtype))
        at = reshaped(argsort(noisy, descending=True)[:count], dims)
    flat = take(values, reshaped(at, (count,)), axis=along)
    shape_ = values.tensor.shape
    return reshaped(flat, (*shape_[:along], *dims, *shape_[along + 1 :]))
