"""Reading and writing at places given by arrays: what `x[i, j]` and `x.at[i, j]` stand for.

Several arrays are broadcast together and become one: the axes that they index are moved to the
front and made one axis, and places along it are computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from dlc.frontend.apply import apply, as_tensor, broadcast_shapes, broadcast_to, convert
from dlc.frontend.functions.arguments import known_values
from dlc.frontend.tensor import Tensor, functions
from dlc.ir.dims import Dim, add, product
from dlc.ir.errors import ArgumentError, IndexRangeError, ShapeError
from dlc.ir.record import dataclass
from dlc.ir.types import DType, TensorType, bool_, float32, int64, uint8, uint64

Mode = Literal["clip", "fill", "wrap"]


@dataclass
class Places:
    """Places along one axis, counted from its start.

    index: an int64 tensor.
    extent: of the axis.
    inside: whether all are known to be within bounds.
    """

    index: Tensor
    extent: Dim
    inside: bool


@dataclass
class Writing:
    """How an update is written.

    name: "set", or what is done with what is there: "add", "mul", "min", "max".
    combine: the same, of two tensors.
    mode: what happens to places out of bounds: they are errors where they are known, unless a mode
        is given, and left out otherwise, unless the mode moves them.
    """

    name: str
    combine: Callable[[Tensor, Tensor], Tensor]
    mode: Mode | None = None


def find_places(type_: TensorType, axis: int, index: Tensor, given: Any, checked: bool) -> Places:
    """The places that an array of integers gives along an axis; known ones are `checked`.

    Raises:
        ArgumentError: It is not of integers.
        IndexRangeError: A known one is out of range.
    """
    if not index.dtype.is_integer:
        raise ArgumentError(f"index of {type_} by {index.tensor}: indices must be integers")
    extent = type_.shape[axis]
    known = known_values(given, index)
    if known is None or not isinstance(extent, int) or not checked:
        return Places(from_start(as_int64(index), extent), extent, False)
    if not known.size:
        return Places(convert(index, int64), extent, True)
    low, high = int(known.min()), int(known.max())
    if low < -extent or high >= extent:
        wrong = low if low < -extent else high
        raise IndexRangeError(
            f"index {wrong} is out of range for axis {axis} of {type_}, which has {extent} elements"
        )
    held = as_int64(index)
    return Places(held if low >= 0 else from_start(held, extent), extent, True)


def as_int64(index: Tensor) -> Tensor:
    """Integers as int64; those of uint64 that are beyond it are its largest, not negative."""
    if index.tensor.dtype is uint64:
        index = functions.minimum(index, 2**63 - 1)
    return convert(index, int64)


def from_start(index: Tensor, extent: Dim) -> Tensor:
    """Indices with negative ones counted from the end."""
    end = functions.add(index, as_tensor(extent))
    return functions.where(functions.less(index, 0), end, index)


def _clipped(places: Places) -> Tensor:
    if places.inside:
        return places.index
    last = as_tensor(add(places.extent, -1))
    return functions.minimum(functions.maximum(places.index, 0), last)


def with_mode(arrays: Mapping[int, Places], mode: Mode) -> dict[int, Places]:
    """The places, with those out of bounds moved as a mode has it."""
    if mode == "fill":
        return dict(arrays)
    return {
        k: p if p.inside else Places(_clipped(p) if mode == "clip" else _wrapped(p), p.extent, True)
        for k, p in arrays.items()
    }


def _wrapped(places: Places) -> Tensor:
    return functions.remainder(places.index, as_tensor(places.extent))


def filling(dtype: DType, value: Any) -> Any:
    """What is read where nothing is, with mode "fill": a value that was given, or JAX's own."""
    if value is not None:
        return value
    if dtype.is_float:
        return math.nan
    if dtype.kind == "b":
        return True
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if dtype.kind == "i" else limits.max)


def is_inside(y: Tensor, arrays: Mapping[int, Places], separated: bool) -> Tensor | None:
    """Which elements that are read at arrays of places are within bounds; None where all are.

    It broadcasts to what is read.
    """
    inside: Tensor | None = None
    for places in arrays.values():
        within = _is_inside(places)
        if within is not None:
            inside = within if inside is None else functions.logical_and(inside, within)
    if inside is None:
        return None
    joined = _join(y, arrays, separated)
    wide = broadcast_to(inside, joined.shape)
    behind = len(joined.rest) - joined.before
    return apply("reshape", wide, shape=(*joined.shape, *(1 for _ in range(behind))))


def _is_inside(places: Places) -> Tensor | None:
    if places.inside:
        return None
    index = places.index
    return functions.logical_and(
        functions.greater_equal(index, 0), functions.less(index, as_tensor(places.extent))
    )


@dataclass
class _Joined:
    """Several arrays as one, and how the tensor is arranged for it.

    order: the axes of the tensor, those that are indexed in front.
    shape: of the places.
    rest: the extents of the other axes.
    extent: how many elements the indexed axes have together.
    before: how many of the other axes come before those of the places.
    """

    order: tuple[int, ...]
    shape: tuple[Dim, ...]
    rest: tuple[Dim, ...]
    extent: Dim
    before: int


def _join(y: Tensor, arrays: Mapping[int, Places], separated: bool) -> _Joined:
    axes = sorted(arrays)
    shape = y.tensor.shape
    try:
        common = broadcast_shapes(*(p.index.tensor.shape for p in arrays.values()))
    except ShapeError:
        shown = ", ".join(str(p.index.tensor) for p in arrays.values())
        raise ShapeError(
            f"index by arrays {shown}, which do not broadcast",
            hint="extents must be equal or 1, from the last axis on",
        ) from None
    others = [k for k in range(len(shape)) if k not in arrays]
    return _Joined(
        (*axes, *others),
        common,
        tuple(shape[k] for k in others),
        product(shape[k] for k in axes),
        0 if separated else axes[0],
    )


def _one_index(arrays: Mapping[int, Places], shape: tuple[Dim, ...], writes: bool) -> Tensor:
    """The places along the indexed axes as one axis; for writes those out of bounds are -1."""
    total: Tensor | None = None
    inside: Tensor | None = None
    for axis in sorted(arrays):
        places = arrays[axis]
        if len(arrays) == 1:
            return places.index
        own = _clipped(places)
        total = (
            own
            if total is None
            else functions.add(functions.multiply(total, as_tensor(places.extent)), own)
        )
        within = _is_inside(places) if writes else None
        if within is not None:
            inside = within if inside is None else functions.logical_and(inside, within)
    assert total is not None
    total = broadcast_to(total, shape)
    return total if inside is None else functions.where(inside, total, -1)


def _placed(x: Tensor, count: int, before: int) -> Tensor:
    """`x` with its first `count` axes moved behind the `before` that follow."""
    if not before:
        return x
    rank = x.tensor.rank
    order = (*range(count, count + before), *range(count), *range(count + before, rank))
    return apply("transpose", x, axes=order)


def _unplaced(x: Tensor, count: int, before: int) -> Tensor:
    if not before:
        return x
    rank = x.tensor.rank
    order = (*range(before, before + count), *range(before), *range(before + count, rank))
    return apply("transpose", x, axes=order)


def _flat(y: Tensor, joined: _Joined, count: int) -> Tensor:
    """`y` with the indexed axes in front, as one."""
    if joined.order != tuple(range(len(joined.order))):
        y = apply("transpose", y, axes=joined.order)
    shape = (joined.extent, *joined.rest)
    return y if count == 1 else apply("reshape", y, shape=shape)


def read_places(y: Tensor, arrays: Mapping[int, Places], separated: bool) -> Tensor:
    """The elements of `y` at arrays of places along axes; NumPy's rule says where axes go."""
    joined = _join(y, arrays, separated)
    index = _one_index(arrays, joined.shape, writes=False)
    if len(arrays) == 1:
        return apply("take", y, index, axis=next(iter(arrays)))
    found = apply("take", _flat(y, joined, len(arrays)), index, axis=0)
    return _placed(found, len(joined.shape), joined.before)


def write_places(
    y: Tensor,
    arrays: Mapping[int, Places],
    separated: bool,
    update: Tensor,
    how: Writing,
    given: TensorType,
) -> Tensor:
    """`y` with updates written at arrays of places, in the order of the places.

    Args:
        y: What is written to.
        arrays: The places along its axes.
        separated: Whether the axes of the places are the first ones of the update.
        update: Broadcasts to what reading at the places gives.
        how: What is done with what is there.
        given: The type of the tensor that was indexed, for messages.
    """
    joined = _join(y, arrays, separated)
    count, rest = len(joined.shape), joined.rest
    wanted = (*rest[: joined.before], *joined.shape, *rest[joined.before :])
    update = _unplaced(stretched(update, wanted, given), count, joined.before)
    index = _one_index(arrays, joined.shape, writes=True)
    size = product(joined.shape)
    if size == 0 or y.tensor.size == 0:
        return y
    flat = _flat(y, joined, len(arrays))
    index = apply("reshape", index, shape=(size,))
    update = apply("reshape", update, shape=(size, *rest))
    result = _written(flat, index, update, how.name)
    shape = tuple(y.tensor.shape[k] for k in joined.order)
    result = apply("reshape", result, shape=shape) if len(arrays) > 1 else result
    back = tuple(int(k) for k in np.argsort(joined.order))
    return result if back == tuple(range(len(back))) else apply("transpose", result, axes=back)


def _written(flat: Tensor, index: Tensor, update: Tensor, name: str) -> Tensor:
    """Rows of `update` written to the rows of `flat` at `index`."""
    dtype = flat.tensor.dtype
    if name == "add" and _write_dtype(dtype, name) is dtype:
        return apply("scatter_add", flat, index, update, axis=0)
    shape = update.tensor.shape
    column = apply("reshape", index, shape=(shape[0], *(1 for _ in shape[1:])))
    return write_along(flat, broadcast_to(column, shape), update, name, 0)


def write_along(x: Tensor, index: Tensor, update: Tensor, name: str, axis: int) -> Tensor:
    """`x` with updates written along an axis, at indices of their shape and counted from 0.

    Args:
        x: What is written to.
        index: int64; places out of bounds are left out.
        update: Of the shape of `index` and the dtype of `x`.
        name: "set", or what is done with what is there: "add", "mul", "min", "max".
        axis: The axis.
    """
    dtype = x.tensor.dtype
    wide = _write_dtype(dtype, name)
    if wide is not dtype:
        # Of bools the sum is whether one is true, and the product whether all are.
        of_bools = {"add": "max", "mul": "min"}.get(name, name) if dtype is bool_ else name
        result = write_along(convert(x, wide), index, convert(update, wide), of_bools, axis)
        return convert(result, dtype)
    if name != "add":
        return apply(f"scatter_{name}", x, index, update, axis=axis)
    places = Places(index, x.tensor.shape[axis], False)
    inside = _is_inside(places)
    assert inside is not None
    counted = functions.where(inside, update, 0)
    return apply("scatter_along", x, _clipped(places), counted, axis=axis)


def _write_dtype(dtype: DType, name: str) -> DType:
    if dtype is bool_ and name != "set":
        return uint8
    half = dtype.is_float and dtype.bits == 16
    return float32 if half and name in ("add", "mul") else dtype


def write_where(
    y: Tensor, axis: int, mask: Tensor, update: Tensor, how: Writing, given: TensorType
) -> Tensor:
    """`y` with updates written where a mask of its axes from `axis` on is true.

    An update with an axis for the places gives its elements in the order of the places.
    """
    shape, count = y.tensor.shape, mask.ndim
    lead, tail = shape[:axis], shape[axis + count :]
    wide = apply(
        "reshape", mask, shape=(*(1 for _ in lead), *shape[axis : axis + count], *(1 for _ in tail))
    )
    held = update.tensor.shape
    place = len(held) - len(tail) - 1
    if place >= 0 and held[place] != 1:
        flat = convert(apply("reshape", mask, shape=(mask.tensor.size,)), int64)
        number = functions.subtract(functions.cumulative_sum(flat), 1)
        number = functions.maximum(number, 0)
        chosen = apply("take", update, number, axis=place)
        moved = (*held[:place], *shape[axis : axis + count], *held[place + 1 :])
        update = apply("reshape", chosen, shape=moved)
    elif place >= 0:
        moved = (*held[:place], *(1 for _ in range(count)), *held[place + 1 :])
        update = apply("reshape", update, shape=moved)
    update = stretched(update, shape, given)
    return functions.where(wide, how.combine(y, update), y)


def stretched(update: Tensor, shape: Sequence[Dim], type_: TensorType) -> Tensor:
    """`update` broadcast to `shape`; NumPy lets leading extents of 1 go."""
    own = update.tensor.shape
    spare = len(own) - len(shape)
    if spare > 0 and all(d == 1 for d in own[:spare]):
        update = apply("reshape", update, shape=own[spare:])
    try:
        return broadcast_to(update, shape)
    except ShapeError:
        wanted = type_.with_shape(tuple(shape))
        raise ShapeError(
            f"assignment of {update.tensor} to a part of {type_} that is {wanted}"
        ) from None
