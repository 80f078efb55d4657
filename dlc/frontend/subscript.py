"""`x[index]` and `x[index] = value`: integers, slices, `...`, `None`, one array of integers.

Reading is a slice, a flip, a take and a reshape; writing is a `slice_update`, whose result the
handle is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.frontend.apply import (
    apply,
    as_array,
    as_tensor,
    broadcast_to,
    convert,
    promote,
)
from dlc.frontend.extent import as_dim, slice_bound
from dlc.frontend.tensor import Tensor, functions, make_like
from dlc.ir.dims import Dim, DimExpr, add, at_least, floordiv, mul
from dlc.ir.errors import ArgumentError, IndexRangeError, ShapeError, ValueRangeError
from dlc.ir.record import dataclass, field
from dlc.ir.types import TensorType, bool_, int64


@dataclass
class Subscript:
    """An index in parts, an entry for each axis of the tensor.

    kept: for each axis whether it stays; an integer removes it.
    result: the axes of the result in order: an axis number, or None for a new one.
    gather: the axis that an integer tensor indexes, and that tensor.
    """

    start: list[Dim] = field(default_factory=list[Dim])
    limit: list[Dim] = field(default_factory=list[Dim])
    step: list[int] = field(default_factory=list[int])
    flipped: list[int] = field(default_factory=list[int])
    result: list[int | None] = field(default_factory=list["int | None"])
    gather: tuple[int, Tensor] | None = None

    def add(self, start: Dim, limit: Dim, step: int = 1) -> None:
        """Appends the range of an axis."""
        self.start.append(start)
        self.limit.append(limit)
        self.step.append(step)

    def is_whole(self, shape: Sequence[Dim]) -> bool:
        """Whether the ranges take everything."""
        return all(
            a == 0 and b == d and s == 1
            for a, b, s, d in zip(self.start, self.limit, self.step, shape, strict=True)
        )

    def attrs(self) -> dict[str, Any]:
        """The attributes of `slice` and `slice_update`."""
        return {"start": tuple(self.start), "limit": tuple(self.limit), "step": tuple(self.step)}


def _is_array_index(item: Any) -> bool:
    if isinstance(item, Tensor):
        return item.is_traced or bool(item.ndim) or item.dtype is bool_
    if isinstance(item, (np.ndarray, list)):
        return not (isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu")
    return isinstance(item, (bool, np.bool_))


def _expand(type_: TensorType, index: Any) -> list[Any]:
    """The index as a list with an item for each axis, and None for new ones."""
    items: list[Any] = list(index) if isinstance(index, tuple) else [index]
    ellipses = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise ValueRangeError(f"index of {type_}: '...' may stand only once")
    used = sum(item is not None and item is not Ellipsis for item in items)
    if used > type_.rank:
        raise IndexRangeError(f"index of {type_}: {used} indices for {type_.rank} axes")
    at = ellipses[0] if ellipses else len(items)
    return [*items[:at], *[slice(None)] * (type_.rank - used), *items[at + 1 :]]


def parse(x: Tensor, index: Any) -> Subscript:
    """The parts of an index into `x`.

    Raises:
        IndexRangeError: for an integer out of range, or too many indices.
        ArgumentError: for what is no index.
    """
    type_ = x.tensor
    s = Subscript()
    after_slice = False
    for item in _expand(type_, index):
        if item is None:
            s.result.append(None)
            continue
        axis = len(s.start)
        extent = type_.shape[axis]
        if isinstance(item, slice):
            after_slice |= s.gather is not None
            _add_slice(s, axis, extent, item)
            s.result.append(axis)
        elif _is_array_index(item):
            if s.gather is not None:
                raise ArgumentError(
                    f"index of {type_} with several arrays",
                    hint="index one axis at a time, or use dlc.take_along_axis",
                )
            s.gather = (axis, _index_tensor(type_, axis, item))
            s.add(0, extent)
            s.result.append(axis)
        else:
            if after_slice:
                raise ArgumentError(
                    f"index of {type_} with an array and, after a slice, an integer",
                    hint="index in two steps: x[i][...]",
                )
            position = _position(type_, axis, item)
            s.add(position, add(position, 1))
    return s


def _add_slice(s: Subscript, axis: int, extent: Dim, item: slice) -> None:
    try:
        step = 1 if item.step is None else item.step.__index__()
    except AttributeError:
        raise ArgumentError(f"a slice's step must be an integer, got {item.step!r}") from None
    if step == 0:
        raise ValueRangeError("a slice's step must not be 0")
    if step > 0:
        start = slice_bound(item.start, extent, 0)
        limit = slice_bound(item.stop, extent, extent)
        s.add(start, limit if at_least(limit, start) else start, step)
        return
    low, count = _descending(item, extent, -step)
    s.flipped.append(axis)
    s.add(low, add(low, _span(count, -step)), -step)


def _span(count: Dim, step: int) -> Dim:
    """The length of the shortest range with `count` positions, 0 for none."""
    if count == 0:
        return 0
    return add(mul(add(count, -1), step), 1)


def _descending(item: slice, extent: Dim, step: int) -> tuple[Dim, Dim]:
    """The lowest position and the number of positions of a slice that counts down."""

    def bound(value: Any, default: Dim) -> Dim:
        if value is None:
            return default
        d = as_dim(value, "a slice's bound")
        if not at_least(d, 0):
            d = add(d, extent)
        if not at_least(d, -1):
            return -1
        last = add(extent, -1)
        return d if at_least(last, d) else last

    first, stop = bound(item.start, add(extent, -1)), bound(item.stop, -1)
    distance = add(first, mul(stop, -1))
    if not at_least(distance, 1):
        return 0, 0
    count = floordiv(add(distance, step - 1), step)
    return add(first, mul(add(count, -1), -step)), count


def _position(type_: TensorType, axis: int, item: Any) -> Dim:
    if not isinstance(item, DimExpr) and not hasattr(item, "__index__"):
        raise ArgumentError(
            f"index of {type_} by {type(item).__name__}",
            hint="an index is an integer, a slice, ..., None, or one array of integers",
        )
    extent = type_.shape[axis]
    d = as_dim(item, "an index")
    position = d if at_least(d, 0) else add(d, extent)
    if not (at_least(position, 0) and at_least(add(extent, -1), position)):
        raise IndexRangeError(
            f"index {d} is out of range for axis {axis} of {type_}, which has {extent} elements"
        )
    return position


def _index_tensor(type_: TensorType, axis: int, item: Any) -> Tensor:
    """An index tensor that counts from 0; concrete values are checked."""
    indices = item if isinstance(item, Tensor) else as_tensor(as_array(item))
    if isinstance(item, list) and not item:
        indices = as_tensor(np.zeros(0, np.int64))
    if indices.dtype is bool_:
        raise ArgumentError(
            f"index of {type_} by a mask: the shape of the result would depend on values",
            hint="use dlc.where(mask, x, other)",
        )
    if not indices.dtype.is_integer:
        raise ArgumentError(f"index of {type_} by {indices.tensor}: indices must be integers")
    extent = type_.shape[axis]
    concrete = indices._data
    if concrete is not None and isinstance(extent, int) and concrete.size:
        low, high = int(concrete.min()), int(concrete.max())
        if low < -extent or high >= extent:
            wrong = low if low < -extent else high
            raise IndexRangeError(
                f"index {wrong} is out of range for axis {axis} of {type_}, "
                f"which has {extent} elements"
            )
        if low >= 0:
            return convert(indices, int64)
    return from_start(convert(indices, int64), extent)


def from_start(indices: Tensor, extent: Dim) -> Tensor:
    """Indices with negative ones counted from the end."""
    end = functions.add(indices, as_tensor(extent))
    return functions.where(functions.less(indices, 0), end, indices)


def getitem(x: Tensor, index: Any) -> Tensor:
    """`x[index]`.

    Raises:
        IndexRangeError: for an integer out of range, or too many indices.
        ArgumentError: for what is no index.
    """
    s = parse(x, index)
    y = x
    if not s.is_whole(x.tensor.shape):
        y = apply("slice", y, **s.attrs())
    if s.flipped:
        y = apply("flip", y, axes=tuple(s.flipped))
    extra = 0
    if s.gather is not None:
        axis, indices = s.gather
        y = apply("take", y, indices, axis=axis)
        extra = indices.ndim - 1
    shape = _result_shape(s, y.tensor.shape, extra)
    if shape != y.tensor.shape:
        y = apply("reshape", y, shape=shape)
    return make_like(y) if y is x else y


def _result_shape(s: Subscript, shape: tuple[Dim, ...], extra: int) -> tuple[Dim, ...]:
    """The shape that integers and None leave; a take has made `extra` axes more."""
    result: list[Dim] = []
    for axis in s.result:
        if axis is None:
            result.append(1)
        elif s.gather is not None and axis == s.gather[0]:
            result += shape[axis : axis + 1 + extra]
        else:
            behind = s.gather is not None and axis > s.gather[0]
            result.append(shape[axis + extra if behind else axis])
    return tuple(result)


def setitem(x: Tensor, index: Any, value: Any) -> Tensor:
    """The value that `x[index] = value` gives to `x`; `value` is converted to its element type.

    Raises:
        IndexRangeError: for an integer out of range, or too many indices.
        ShapeError: when `value` does not broadcast to what is replaced.
        ArgumentError: for what is no index that can be assigned to.
    """
    update = _converted(value, x)
    items = index if isinstance(index, tuple) else (index,)
    arrays = [k for k in items if _is_array_index(k)]
    if arrays:
        return _set_where(x, index, arrays, update)
    s = parse(x, index)
    target = tuple(
        floordiv(add(add(b, mul(a, -1)), k - 1), k)
        for a, b, k in zip(s.start, s.limit, s.step, strict=True)
    )
    seen = _result_shape(s, target, 0)
    update = _stretched(update, seen, x.tensor)
    if seen != target:
        update = apply("reshape", update, shape=target)
    if s.flipped:
        update = apply("flip", update, axes=tuple(s.flipped))
    if x._weak:
        x, update = promote(x, update)
    return apply("slice_update", x, update, **s.attrs())


def _converted(value: Any, x: Tensor) -> Tensor:
    return convert(as_tensor(value), x.dtype if x._weak else x.tensor.dtype, x._weak)


def _stretched(update: Tensor, shape: tuple[Dim, ...], type_: TensorType) -> Tensor:
    """`update` broadcast to `shape`; NumPy lets leading extents of 1 go."""
    own = update.tensor.shape
    spare = len(own) - len(shape)
    if spare > 0 and all(d == 1 for d in own[:spare]):
        update = apply("reshape", update, shape=own[spare:])
    try:
        return broadcast_to(update, shape)
    except ShapeError:
        wanted = type_.with_shape(shape)
        raise ShapeError(
            f"assignment of {update.tensor} to a part of {type_} that is {wanted}"
        ) from None


def _set_where(x: Tensor, index: Any, arrays: Sequence[Any], update: Tensor) -> Tensor:
    """Assignment through a mask, or at one traced position."""
    item = arrays[0]
    mask = item if isinstance(item, Tensor) else as_tensor(as_array(item))
    whole = [slice(None), Ellipsis]
    others = [k for k in index if k is not item] if isinstance(index, tuple) else []
    if len(arrays) == 1 and mask.dtype is bool_ and not others:
        shape = x.tensor.shape
        lead = mask.tensor.shape
        if lead == shape[: len(lead)] and not update.ndim:
            mask = apply("reshape", mask, shape=(*lead, *[1] * (len(shape) - len(lead))))
            return functions.where(mask, update, x)
        raise ArgumentError(
            f"assignment of {update.tensor} through a mask {mask.tensor} into {x.tensor}",
            hint="use dlc.where(mask, value, x); a scalar goes through a mask of leading axes",
        )
    if (
        len(arrays) == 1
        and not mask.ndim
        and all(any(k is w or k == w for w in whole) for k in others)
    ):
        axis = _axis_of(x, index, item)
        shape = x.tensor.shape
        places = apply("iota", shape=shape, axis=axis, dtype=int64)
        hit = functions.equal(places, _index_tensor(x.tensor, axis, item))
        rest = tuple(d for k, d in enumerate(shape) if k != axis)
        row = _stretched(update, rest, x.tensor)
        kept = tuple(1 if k == axis else d for k, d in enumerate(shape))
        return functions.where(hit, apply("reshape", row, shape=kept), x)
    raise ArgumentError(
        f"assignment into {x.tensor} at an array of indices",
        hint="assign at integers and slices, through a mask, or build the result with dlc.where",
    )


def _axis_of(x: Tensor, index: Any, item: Any) -> int:
    items = _expand(x.tensor, index)
    return next(k for k, found in enumerate(items) if found is item)
