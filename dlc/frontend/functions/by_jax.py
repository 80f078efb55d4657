"""Parts that begin at places which are values, by JAX's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.frontend.apply import apply, as_tensor, convert, materialise
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import ArrayLike, integer, reshaped
from dlc.frontend.functions.indexing import take
from dlc.frontend.subscript import setitem
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, at_least, mul
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.types import TensorType, int64


def dynamic_slice(
    x: ArrayLike, start_indices: ArrayLike | Sequence[ArrayLike], slice_sizes: Sequence[int], /
) -> Tensor:
    """A part of x of a known size that begins where values say, as `jax.lax.dynamic_slice`.

    `x[start:stop]` does for bounds that are known while tracing.

    Args:
        x: A tensor or array of any dtype.
        start_indices: An integer for each axis, as a list or a vector. Negative ones count from the
            end; a part that would not be within x begins at the nearest place where it is.
        slice_sizes: The part's extent along each axis.

    Returns:
        A tensor of these extents, of x's dtype.

    Raises:
        DTypeError: A start is not an integer.
        ShapeError: Another number of starts or sizes than axes, or a size above the extent.

    Example:
        >>> at = dlc.compile(lambda x, i: dlc.dynamic_slice(x, [i], [2]))
        >>> at(dlc.arange(5), 1).tolist(), at(dlc.arange(5), 9).tolist()
        ([1, 2], [3, 4])
    """
    held = materialise(as_tensor(x))
    sizes = [integer("dynamic_slice", "a size", s) for s in slice_sizes]
    for axis, places in _places("dynamic_slice", held.tensor, start_indices, sizes):
        held = take(held, places, axis=axis)
    return held


def dynamic_update_slice(
    x: ArrayLike, update: ArrayLike, start_indices: ArrayLike | Sequence[ArrayLike], /
) -> Tensor:
    """x with a part replaced, which begins where values say, as `jax.lax.dynamic_update_slice`.

    Args:
        x: A tensor or array of any dtype.
        update: The part, with as many axes; it is converted to x's dtype.
        start_indices: As of `dynamic_slice`.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        DTypeError: A start is not an integer.
        ShapeError: Another number of starts or axes, or a part that is larger than x.

    Example:
        >>> put = dlc.compile(lambda x, i: dlc.dynamic_update_slice(x, [7, 8], [i]))
        >>> put(dlc.arange(5), 1).tolist(), put(dlc.arange(5), 9).tolist()
        ([0, 7, 8, 3, 4], [0, 1, 2, 7, 8])
    """
    held, part = (materialise(as_tensor(t)) for t in (x, update))
    type_ = held.tensor
    if part.tensor.rank != type_.rank:
        raise ShapeError(
            f"dynamic_update_slice of {type_} by {part.tensor}: they need as many axes"
        )
    part = convert(part, type_.dtype)
    found = _places("dynamic_update_slice", type_, start_indices, part.tensor.shape)
    if not found:
        return part
    first, last = found[0][0], found[-1][0]  # slices would take axes between these to the front
    moved = dict(found)
    index: list[slice | Tensor] = [slice(None)] * first
    for axis in range(first, last + 1):
        places = moved[axis] if axis in moved else _numbers(type_.shape[axis])
        index.append(reshaped(places, (*places.tensor.shape, *(1,) * (last - axis))))
    return setitem(held, tuple(index), part)


def _places(
    name: str, x: TensorType, starts: ArrayLike | Sequence[ArrayLike], sizes: Sequence[Dim]
) -> list[tuple[int, Tensor]]:
    """The axes along which a part is smaller than x, each with the places of the part."""
    given = list(starts) if isinstance(starts, (list, tuple)) else _elements(name, starts)
    if len(given) != x.rank or len(sizes) != x.rank:
        raise ShapeError(
            f"{name} of {x} with {len(given)} starts and {len(sizes)} extents: it takes one of "
            "each for each axis"
        )
    found: list[tuple[int, Tensor]] = []
    for axis, (start, size, extent) in enumerate(zip(given, sizes, x.shape, strict=True)):
        at = as_tensor(start)
        if at.tensor.rank or not at.tensor.dtype.is_integer:
            raise DTypeError(f"{name}: the start of axis {axis} is {at.tensor}, it is one integer")
        if not at_least(extent, size) or (isinstance(size, int) and size < 0):
            raise ShapeError(f"{name} of {x}: an extent of {size} for axis {axis}")
        if size == extent:
            continue
        at, whole = convert(at, int64), apply("dim", dim=extent)
        at = composed.where(elementwise.less(at, 0), elementwise.add(at, whole), at)
        at = composed.clip(at, 0, apply("dim", dim=add(extent, mul(size, -1))))
        found.append((axis, elementwise.add(at, _numbers(size))))
    return found


def _numbers(extent: Dim) -> Tensor:
    return apply("iota", shape=(extent,), axis=0, dtype=int64)


def _elements(name: str, starts: Any) -> list[Tensor]:
    held = materialise(as_tensor(starts))
    if held.tensor.rank != 1 or not isinstance(held.tensor.shape[0], int):
        raise ShapeError(f"{name}: starts {held.tensor} are a vector of one for each axis")
    return [held[k] for k in range(held.tensor.shape[0])]
