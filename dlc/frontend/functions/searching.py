"""Functions that find places: of what is not zero, and in sorted tensors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from dlc.frontend.apply import apply, as_tensor, materialise, promote
from dlc.frontend.context import current_trace
from dlc.frontend.extent import as_dim
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, reshaped
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import iota, zeros_like
from dlc.frontend.functions.elementwise import less, less_equal, not_equal
from dlc.frontend.functions.indexing import take
from dlc.frontend.functions.rearrange import flip
from dlc.frontend.functions.reduction import count_nonzero
from dlc.frontend.functions.shape import stack
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least, is_empty
from dlc.ir.errors import ArgumentError, ShapeError, TracedValueError, ValueRangeError
from dlc.ir.ops.sorting import LONGEST
from dlc.ir.types import bool_, int64


def known_count(name: str, size: Any, count: Tensor, write: str) -> Dim:
    """How many elements a result has: `size` where it is given, else the value of `count`.

    Raises:
        TracedValueError: There is no `size`, and values are known only when the program runs.
    """
    if size is not None:
        found = as_dim(size, f"{name}: size")
        if not at_least(found, 0, expected=True):
            raise ValueRangeError(f"{name} of size {found}")
        return found
    if current_trace() is not None:
        raise TracedValueError(
            f"{name} of traced values: how many elements the result has depends on them",
            hint=f"say how many it has at most: {write}",
        )
    return int(count.item())


def true_places(mask: Tensor, count: Dim) -> Tensor:
    """Where a mask of one axis is true, in order; places of others where fewer than `count` are."""
    return apply("argsort", mask, axis=0, descending=True, count=count)


def as_mask(x: Tensor) -> Tensor:
    """Whether each element is not zero."""
    return x if x.tensor.dtype is bool_ else not_equal(x, zeros_like(x))


def flatnonzero(x: ArrayLike, /, *, size: Any = None, fill_value: ArrayLike = 0) -> Tensor:
    """The places of the elements that are not zero, in the flattened tensor.

    Args:
        x: A tensor or array of any dtype.
        size: How many places the result has. Needed in compiled code, where their number is not
            known: places beyond it are left out.
        fill_value: What the result holds where there are fewer places.

    Returns:
        An int64 tensor of one axis, in ascending order.

    Raises:
        TracedValueError: x is traced and there is no `size`.

    Example:
        >>> dlc.flatnonzero(dlc.asarray([0, 3, 0, 4]))
        Tensor([1, 3], dtype=int64)
    """
    return _flat_places("flatnonzero", as_tensor(x), size, fill_value)[0]


def _flat_places(
    name: str, x: Tensor, size: Any, fill_value: ArrayLike
) -> tuple[Tensor, Tensor | None]:
    """The places, and of a `size` which of them are of elements."""
    tensor = materialise(x)
    mask = as_mask(reshaped(tensor, (tensor.tensor.size,)))
    if size is None and type(mask._data) is np.ndarray:  # what NumPy does in one go
        return as_tensor(np.flatnonzero(mask._data)), None
    total = count_nonzero(mask)
    count = known_count(name, size, total, f"dlc.{name}(x, size=10)")
    places = true_places(mask, count)
    found = places.tensor.shape[0]
    if found != count:  # fewer elements than places
        places = apply("pad", places, low=(0,), high=(count - found,), value=0)
    if size is None:
        return places, None
    there = less(iota((count,)), total)
    return where(there, places, fill_value), there


def nonzero(x: ArrayLike, /, *, size: Any = None, fill_value: ArrayLike = 0) -> tuple[Tensor, ...]:
    """The indices of the elements that are not zero: a tensor for each axis.

    Args:
        x: A tensor or array of any dtype, of at least one axis.
        size: How many indices each result has. Needed in compiled code, where their number is not
            known: those beyond it are left out.
        fill_value: What the results hold where there are fewer.

    Returns:
        As many int64 tensors of one axis as x has axes, in row-major order.

    Raises:
        ShapeError: x has no axes.
        TracedValueError: x is traced and there is no `size`.

    Example:
        >>> dlc.nonzero(dlc.asarray([[0, 3], [4, 0]]))
        (Tensor([0, 1], dtype=int64), Tensor([1, 0], dtype=int64))
    """
    tensor = as_tensor(x)
    shape = tensor.tensor.shape
    if not shape:
        raise ShapeError(f"nonzero of {tensor.tensor}, which has no axes")
    rest, there = _flat_places("nonzero", tensor, size, 0)
    found: list[Tensor] = []
    for extent in reversed(shape[1:]):
        whole = apply("broadcast_to", apply("dim", dim=extent), shape=rest.tensor.shape)
        found.insert(0, apply("mod", rest, whole))
        rest = apply("floordiv", rest, whole)
    found.insert(0, rest)
    return tuple(found) if there is None else tuple(where(there, f, fill_value) for f in found)


def argwhere(x: ArrayLike, /, *, size: Any = None, fill_value: ArrayLike = 0) -> Tensor:
    """The indices of the elements that are not zero: a row for each element.

    Args:
        x: A tensor or array of any dtype, of at least one axis.
        size: How many rows the result has, as of `nonzero`.
        fill_value: What the other rows hold.

    Returns:
        An int64 tensor [elements, axes of x], in row-major order.

    Raises:
        ShapeError: x has no axes.
        TracedValueError: x is traced and there is no `size`.

    Example:
        >>> dlc.argwhere(dlc.asarray([[0, 3], [4, 0]]))
        Tensor([[0, 1],
                [1, 0]], dtype=int64)
    """
    return stack(nonzero(x, size=size, fill_value=fill_value), axis=1)


def searchsorted(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    side: Literal["left", "right"] = "left",
    sorter: ArrayLike | None = None,
) -> Tensor:
    """Where elements belong in a sorted tensor, so that it stays sorted.

    Args:
        x1: A tensor or array of one axis, in ascending order (as `sorter` says, where it is given).
        x2: The elements, of any shape.
        side: Whether before or behind the elements of x1 that are equal.
        sorter: The places of x1's elements in their order, as `argsort` gives them.

    Returns:
        An int64 tensor of the shape of x2: how many elements of x1 stand before. NaN is the
        greatest.

    Raises:
        ArgumentError: `side` is neither.
        DTypeError: `sorter` is not of integers.
        ShapeError: x1 or `sorter` has not one axis.

    Example:
        >>> dlc.searchsorted(dlc.asarray([1.0, 2.0, 2.0, 3.0]), dlc.asarray([2.0, 9.0]))
        Tensor([1, 4], dtype=int64)
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side={side!r}", hint='it is "left" or "right"')
    row, wanted = (materialise(t) for t in promote(as_tensor(x1), as_tensor(x2)))
    if row.tensor.rank != 1:
        raise ShapeError(f"searchsorted in {row.tensor}: the first argument must have one axis")
    if sorter is not None:
        order = materialise(as_tensor(sorter))
        check_kinds("searchsorted", (order,), "iu", "a sorter holds places, as of dlc.argsort")
        row = take(row, order)
    return _search(row, wanted, side)


def _search(row: Tensor, wanted: Tensor, side: str) -> Tensor:
    """By bits of the result, the highest first: adds a power of two where all before it belong."""
    extent = row.tensor.shape[0]
    result = zeros_like(wanted, dtype=int64)
    if is_empty(extent):
        return result
    count = apply("broadcast_to", apply("dim", dim=extent), shape=result.tensor.shape)
    longest = extent if isinstance(extent, int) else LONGEST
    for bit in reversed(range(longest.bit_length())):
        further = result + (1 << bit)
        there = apply("take", row, further - 1, axis=0)
        before = _before(there, wanted, side) & less_equal(further, count)
        result = where(before, further, result)
    return result


def _before(x: Tensor, wanted: Tensor, side: str) -> Tensor:
    """Whether x stands before what is wanted; NaN behind all else."""
    if not x.tensor.dtype.is_float:
        return less(x, wanted) if side == "left" else less_equal(x, wanted)
    x_nan, wanted_nan = not_equal(x, x), not_equal(wanted, wanted)
    if side == "left":
        return less(x, wanted) | (wanted_nan & ~x_nan)
    return less_equal(x, wanted) | wanted_nan


def digitize(x: ArrayLike, bins: ArrayLike, /, right: bool = False) -> Tensor:
    """The number of the bin that each element belongs to, as NumPy counts them.

    Args:
        x: A tensor, array or number.
        bins: The edges, of one axis, in ascending or descending order.
        right: Whether an edge belongs to the bin before it, of ascending ones.

    Returns:
        An int64 tensor of the shape of x: 0 before the first edge, `len(bins)` behind the last.

    Raises:
        ShapeError: The bins have not one axis.

    Example:
        >>> dlc.digitize(dlc.asarray([0.2, 6.4, 3.0]), dlc.asarray([0.0, 1.0, 2.5, 4.0]))
        Tensor([1, 4, 3], dtype=int64)
    """
    edges = materialise(as_tensor(bins))
    if edges.tensor.rank != 1:
        raise ShapeError(f"digitize with bins {edges.tensor}: they must have one axis")
    extent = edges.tensor.shape[0]
    ascending = searchsorted(edges, x, side="left" if right else "right")
    if is_empty(extent):
        return ascending
    turned = searchsorted(flip(edges), x, side="left" if right else "right")
    descending = apply("broadcast_to", apply("dim", dim=extent), shape=turned.tensor.shape) - turned
    return where(less_equal(edges[0], edges[-1]), ascending, descending)
