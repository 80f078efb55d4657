"""`x[index]` and `x[index] = value`, as NumPy has them.

An index has a basic part (integers, slices, `...` and `None`), which is a slice, a flip and a
reshape, and arrays of places in what that leaves (`dlc.frontend.places`). A mask is the places
where it is true; where these are not known while tracing, it can be written through but not read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.frontend.apply import apply, as_array, as_tensor, convert, new_handle, promote
from dlc.frontend.context import current_trace
from dlc.frontend.extent import as_dim, slice_bound
from dlc.frontend.functions.arguments import known_values
from dlc.frontend.native_functions import NativeFunction
from dlc.frontend.places import (
    Places,
    Writing,
    find_places,
    read_places,
    stretched,
    with_mode,
    write_places,
    write_where,
)
from dlc.frontend.tensor import Array, Tensor, contiguous, make, make_like
from dlc.ir.dims import Dim, DimExpr, add, at_least, dims_equal, floordiv, mul
from dlc.ir.errors import ArgumentError, IndexRangeError, ShapeError, ValueRangeError
from dlc.ir.record import dataclass, field
from dlc.ir.types import TensorType, bool_

_PLAIN_BOUNDS = {int, type(None)}
_PARTS = 32  # indices that are served by native code at one time
_FEW = 1 << 13  # elements that NumPy copies in less time than it takes to find a kernel


@dataclass
class Subscript:
    """An index in parts; the first four lists have an entry for each axis of the tensor.

    result: the axes of the basic part's result in order: an axis number, or None for a new one.
    arrays: the places along axes of that result, by axis.
    mask: a mask whose places are not known, and its first axis.
    separated: whether something stands between the arrays, so that their axes come first.
    """

    start: list[Dim] = field(default_factory=list[Dim])
    limit: list[Dim] = field(default_factory=list[Dim])
    step: list[int] = field(default_factory=list[int])
    flipped: list[int] = field(default_factory=list[int])
    result: list[int | None] = field(default_factory=list["int | None"])
    arrays: dict[int, Places] = field(default_factory=dict[int, Places])
    mask: tuple[int, Tensor] | None = None
    separated: bool = False

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


def _is_array(item: Any) -> bool:
    """Whether an item is an array of places or a mask, a traced integer or a bool."""
    if isinstance(item, Tensor):
        return item.is_traced or bool(item.ndim) or item.dtype is bool_
    if isinstance(item, (np.ndarray, list)):
        return not (isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu")
    return isinstance(item, (bool, np.bool_))


def _as_index(item: Any) -> Tensor:
    if isinstance(item, list):
        return as_tensor(item or np.zeros(0, np.int64))
    return item if isinstance(item, Tensor) else as_tensor(as_array(np.asarray(item)))


def _width(item: Any) -> int:
    """How many axes an item indexes."""
    if item is None or item is Ellipsis:
        return 0
    if _is_array(item) and (found := _as_index(item)).dtype is bool_:
        return found.ndim
    return 1


def _expand(type_: TensorType, index: Any) -> list[Any]:
    """The items of an index, with slices in the place of `...` and for axes that are left out."""
    items: list[Any] = list(index) if isinstance(index, tuple) else [index]
    ellipses = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise ValueRangeError(f"index of {type_}: '...' may stand only once")
    used = sum(_width(item) for item in items)
    if used > type_.rank:
        raise IndexRangeError(f"index of {type_}: {used} indices for {type_.rank} axes")
    at = ellipses[0] if ellipses else len(items)
    rest = [slice(None)] * (type_.rank - used)
    # An ellipsis that stands for no axis still comes between what is on either side of it.
    mark = [Ellipsis] if ellipses and not rest else []
    return [*items[:at], *mark, *rest, *items[at + 1 :]]


def parse(x: Tensor, index: Any, checked: bool = True) -> Subscript:
    """The parts of an index into `x`; `checked`: whether known places must be within bounds.

    Raises:
        IndexRangeError: for an integer out of range, or too many indices.
        ShapeError: for a mask that does not fit, and arrays that do not broadcast.
        ArgumentError: for what is no index.
    """
    type_ = x.tensor
    s = Subscript()
    items = _expand(type_, index)
    has_arrays = any(map(_is_array, items))
    last: int | None = None
    for number, item in enumerate(items):
        if _is_array(item) or (has_arrays and not _is_between(item)):
            s.separated |= last is not None and last != number - 1
            last = number
            _add_array(s, type_, item, checked)
        elif item is None:
            s.result.append(None)
        elif isinstance(item, slice):
            axis = len(s.start)
            _add_slice(s, axis, type_.shape[axis], item)
            s.result.append(axis)
        elif item is not Ellipsis:
            _add_position(s, type_, item, checked)
    if s.mask is not None and s.arrays:
        raise ArgumentError(
            f"index of {type_} by a traced mask and arrays",
            hint="index in two steps, or combine masks with dlc.where",
        )
    return s


def _is_between(item: Any) -> bool:
    return item is None or item is Ellipsis or isinstance(item, slice)


def _add_array(s: Subscript, type_: TensorType, item: Any, checked: bool) -> None:
    """Appends a mask, an array of places, or an integer that stands beside arrays."""
    axis = len(s.start)
    if not _is_array(item):
        position, inside = _position(type_, axis, item, checked)
        known = np.int64(position) if inside and isinstance(position, int) else item
        found = as_tensor(known)
        _add_places(s, type_, found, item, checked)
        return
    found = _as_index(item)
    if found.dtype is not bool_:
        _add_places(s, type_, found, item, checked)
        return
    shape = found.tensor.shape
    fits = zip(shape, type_.shape[axis : axis + len(shape)], strict=True)
    if not all(dims_equal(a, b) for a, b in fits):
        raise ShapeError(
            f"index of {type_} by a mask {found.tensor}",
            hint="a mask has the extents of the axes that it indexes",
        )
    known = known_values(item, found)
    if known is None:
        if s.mask is not None:
            raise ArgumentError(
                f"index of {type_} by two traced masks", hint="combine them with & or dlc.where"
            )
        s.mask = (len(s.result), found)
        for d in shape:
            s.result.append(len(s.start))
            s.add(0, d)
        return
    if not shape:  # a new axis with one element, or none
        s.arrays[len(s.result)] = Places(as_tensor(np.zeros(int(known), np.int64)), 1, True)
        s.result.append(None)
    for places in np.nonzero(known) if shape else ():
        _add_places(s, type_, as_tensor(places), places, checked)


def _add_places(s: Subscript, type_: TensorType, found: Tensor, given: Any, checked: bool) -> None:
    axis = len(s.start)
    s.arrays[len(s.result)] = find_places(type_, axis, found, given, checked)
    s.result.append(axis)
    s.add(0, type_.shape[axis])


def _add_slice(s: Subscript, axis: int, extent: Dim, item: slice) -> None:
    try:
        step = 1 if item.step is None else item.step.__index__()
    except AttributeError:
        raise ArgumentError(f"a slice's step must be an integer, got {item.step!r}") from None
    if step == 0:
        raise ValueRangeError("a slice's step must not be 0")
    if step > 0:
        start = slice_bound(item.start, extent, 0)
        limit = slice_bound(item.stop, extent, extent, stop=True)
        s.add(start, limit if at_least(limit, start, expected=True) else start, step)
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
        if not at_least(d, 0, expected=True):
            d = add(d, extent)
        if not at_least(d, -1, expected=True):
            return -1
        last = add(extent, -1)
        return d if at_least(last, d, expected=True) else last

    first, stop = bound(item.start, add(extent, -1)), bound(item.stop, -1)
    distance = add(first, mul(stop, -1))
    if not at_least(distance, 1, expected=True):
        return 0, 0
    count = floordiv(add(distance, step - 1), step)
    return add(first, mul(add(count, -1), -step)), count


def _add_position(s: Subscript, type_: TensorType, item: Any, checked: bool) -> None:
    """Appends an integer; one that is out of range, and may be, is an array of one place."""
    position, inside = _position(type_, len(s.start), item, checked)
    if inside:
        s.add(position, add(position, 1))
    else:
        _add_places(s, type_, as_tensor(item), item, checked)


def _position(type_: TensorType, axis: int, item: Any, checked: bool) -> tuple[Dim, bool]:
    """An integer's place counted from the start, and whether it is there; a `checked` one is."""
    if not isinstance(item, DimExpr) and not hasattr(item, "__index__"):
        raise ArgumentError(
            f"index of {type_} by {type(item).__name__}",
            hint="an index is an integer, a slice, ..., None, an array of integers, or a mask",
        )
    extent = type_.shape[axis]
    d = as_dim(item, "an index")
    position = d if at_least(d, 0, expected=True) else add(d, extent)
    inside = at_least(position, 0, expected=True) and at_least(
        add(extent, -1), position, expected=True
    )
    if checked and not inside:
        raise IndexRangeError(
            f"index {d} is out of range for axis {axis} of {type_}, which has {extent} elements"
        )
    return position, inside


def basic_part(x: Tensor, s: Subscript) -> Tensor:
    """What the integers, slices and None of an index leave of `x`."""
    y = x
    if not s.is_whole(x.tensor.shape):
        y = apply("slice", y, **s.attrs())
    if s.flipped:
        y = apply("flip", y, axes=tuple(s.flipped))
    shape = _result_shape(s, y.tensor.shape)
    return y if shape == y.tensor.shape else apply("reshape", y, shape=shape)


def getitem(x: Tensor, index: Any) -> Tensor:
    """`x[index]`.

    Raises:
        IndexRangeError: for an integer out of range, or too many indices.
        ShapeError: for a mask that does not fit, and arrays that do not broadcast.
        ArgumentError: for what is no index, and for a mask in a trace.
    """
    plain = _plain_view(x, index)
    if plain is not None:
        return plain
    return _part(x, index)


def _read_part(x: Tensor, index: Any) -> Tensor:
    y = read(x, parse(x, index))
    return new_handle(y) if y is x else y


_part = NativeFunction(_read_part, most=_PARTS)


def _plain_view(x: Tensor, index: Any) -> Tensor | None:
    """`x[index]` by NumPy's integers and slices, which are dlc's; None where that is not all.

    Of few elements by one tensor of places or a mask, it is NumPy's copy.
    """
    if type(x) is not Tensor or current_trace() is not None:
        return None
    data = x._data
    if type(data) is not np.ndarray or x._weak or x._history is not None:
        return None
    if type(index) is Tensor:
        return _few_elements(data, index)
    items: tuple[Any, ...] = index if type(index) is tuple else (index,)
    for item in items:
        if type(item) is slice:
            if not {type(item.start), type(item.stop), type(item.step)} <= _PLAIN_BOUNDS:
                return None
        elif type(item) is not int and item is not None and item is not ...:
            return None
    if ... not in items:
        items = (*items, ...)  # so that one element is an array too
    try:
        return make(data[items])
    except (IndexError, ValueError):
        return None  # to be told in dlc's words


def _few_elements(data: Array, index: Tensor) -> Tensor | None:
    """What is at places or under a mask, where that is little; None elsewhere, and for errors."""
    places = index._data
    if type(places) is not np.ndarray or places.dtype.kind not in "bi" or not places.ndim:
        return None
    count = data.size if places.dtype.kind == "b" else places.size * math.prod(data.shape[1:])
    if count > _FEW:
        return None
    try:
        return make(data[places])
    except IndexError:
        return None  # likewise


def read(x: Tensor, s: Subscript) -> Tensor:
    """What is at an index of `x`; perhaps `x` itself."""
    if s.mask is not None:
        raise ArgumentError(
            f"index of {x.tensor} by a traced mask: the shape would depend on its values",
            hint="write dlc.where(mask, x, other), which keeps the shape, or index outside of "
            "compiled code; x[mask] = value can be compiled",
        )
    y = basic_part(x, s)
    return read_places(y, s.arrays, s.separated) if s.arrays else y


def _result_shape(s: Subscript, shape: Sequence[Dim]) -> tuple[Dim, ...]:
    """The shape that integers and None leave of the sliced axes."""
    return tuple(1 if axis is None else shape[axis] for axis in s.result)


def setitem(x: Tensor, index: Any, value: Any) -> Tensor:
    """The value that `x[index] = value` gives to `x`; `value` is converted to its element type.

    Raises:
        IndexRangeError: for an integer out of range, or too many indices.
        ShapeError: when `value` does not broadcast to what is replaced.
        ArgumentError: for what is no index that can be assigned to.
    """
    return updated(x, index, value, Writing("set", lambda _, update: update))


def updated(x: Tensor, index: Any, value: Any, how: Writing) -> Tensor:
    """`x` with `value` written at an index, or combined with what is there."""
    update = convert(as_tensor(value), x.dtype if x._weak else x.tensor.dtype, x._weak)
    s = parse(x, index, checked=how.mode is None)
    if how.mode is not None:
        s.arrays = with_mode(s.arrays, how.mode)
    target = tuple(
        floordiv(add(add(b, mul(a, -1)), k - 1), k)
        for a, b, k in zip(s.start, s.limit, s.step, strict=True)
    )
    seen = _result_shape(s, target)
    if s.arrays or s.mask is not None or how.name != "set":
        part = basic_part(x, s)
        if s.arrays:
            update = write_places(part, s.arrays, s.separated, update, how, x.tensor)
        elif s.mask is not None:
            update = write_where(part, *s.mask, update, how, x.tensor)
        else:
            update = how.combine(part, stretched(update, seen, x.tensor))
    else:
        update = stretched(update, seen, x.tensor)
    if seen != target:
        update = apply("reshape", update, shape=target)
    if s.flipped:
        update = apply("flip", update, axes=tuple(s.flipped))
    if x._weak:
        x, update = promote(x, update)
    if s.is_whole(x.tensor.shape):
        value = make_like(update)
        if value._data is not None:
            value._data = contiguous(value._data)  # not a number that is read again and again
        return value
    return apply("slice_update", x, update, **s.attrs())
