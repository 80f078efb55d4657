"""Questions about tensors: infinities by sign, equality, shapes."""

from __future__ import annotations

from typing import Any

from dlc.frontend.apply import apply, as_tensor, materialise
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, find_axis
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ShapeError
from dlc.ir.types import bool_


def _infinite(name: str, x: ArrayLike, value: float) -> Tensor:
    held = materialise(as_tensor(x))
    check_kinds(name, (held,), "fiub")
    if not held.tensor.dtype.is_float:
        return apply("full", value=False, shape=held.tensor.shape, dtype=bool_)
    return elementwise.equal(held, value)


def isposinf(x: ArrayLike, /) -> Tensor:
    """Whether each element is plus infinity.

    Args:
        x: A tensor, array or number of any shape.

    Returns:
        A bool tensor of x's shape.

    Example:
        >>> dlc.isposinf(dlc.asarray([dlc.inf, -dlc.inf, 1.0])).tolist()
        [True, False, False]
    """
    return _infinite("isposinf", x, float("inf"))


def isneginf(x: ArrayLike, /) -> Tensor:
    """Whether each element is minus infinity.

    Args:
        x: A tensor, array or number of any shape.

    Returns:
        A bool tensor of x's shape.

    Example:
        >>> dlc.isneginf(dlc.asarray([dlc.inf, -dlc.inf, 1.0])).tolist()
        [False, True, False]
    """
    return _infinite("isneginf", x, float("-inf"))


def array_equiv(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """Whether two tensors have the same elements once they are broadcast.

    Args:
        x: A tensor, array or number.
        y: Another one.

    Returns:
        A scalar of dtype bool; false for shapes that do not broadcast.

    Example:
        >>> dlc.array_equiv(dlc.asarray([1, 1]), 1)
        Tensor(True, dtype=bool)
    """
    try:
        return reduction.all(elementwise.equal(x, y))
    except ShapeError:
        return apply("full", value=False, shape=(), dtype=bool_)


def shape(x: ArrayLike, /) -> tuple[Any, ...]:
    """The shape of what may be no tensor yet.

    Args:
        x: A tensor, an array, a number, or nested lists of numbers.

    Returns:
        A tuple of integers.

    Example:
        >>> dlc.shape([[1, 2, 3]])
        (1, 3)
    """
    return as_tensor(x).shape


def ndim(x: ArrayLike, /) -> int:
    """The number of axes of what may be no tensor yet.

    Args:
        x: A tensor, an array, a number, or nested lists of numbers.

    Returns:
        An integer.

    Example:
        >>> dlc.ndim([[1, 2, 3]])
        2
    """
    return as_tensor(x).ndim


def size(x: ArrayLike, /, axis: int | None = None) -> Any:
    """The number of elements, or the extent of an axis.

    Args:
        x: A tensor, an array, a number, or nested lists of numbers.
        axis: The axis; all elements count for None.

    Returns:
        An integer.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.size([[1, 2, 3]])
        3
    """
    held = as_tensor(x)
    if axis is None:
        return held.size
    return held.shape[find_axis("size", axis, held.tensor)]
