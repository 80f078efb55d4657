"""Functions that read at places given by integer tensors."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dlc.frontend.apply import (
    apply,
    as_tensor,
    convert,
    dtype_argument,
    materialise,
)
from dlc.frontend.apply import broadcast_to as stretch
from dlc.frontend.extent import as_dim
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    common_shape,
    find_axis,
    known_values,
    reshaped,
)
from dlc.frontend.functions.shape import flatten
from dlc.frontend.places import as_int64, filling, from_start
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least
from dlc.ir.errors import IndexRangeError, ShapeError, ValueRangeError
from dlc.ir.record import dataclass
from dlc.ir.types import float32, int64


@dataclass
class _Found:
    """Indices as int64 that count from 0.

    index: those of known values are within bounds.
    inside: with mode "fill", which of them are.
    """

    index: Tensor
    inside: Tensor | None = None


def _filled(read: Tensor, inside: Tensor, fill_value: Any) -> Tensor:
    """What was read, and a number in the place of what is not there."""
    dtype = read.tensor.dtype
    return composed.where(inside, read, convert(as_tensor(filling(dtype, fill_value)), dtype))


_MODES: Final = ("clip", "fill", "wrap")


def _places(
    name: str, indices: ArrayLike, extent: Dim, mode: str | None, *, clips_raw: bool = False
) -> _Found:
    """The places that indices stand for.

    Raises:
        DTypeError: They are not integers.
        IndexRangeError: A known one is out of range, and there is no mode.
        ValueRangeError: There is no such mode.
    """
    found = materialise(as_tensor(indices))
    if found.tensor.size == 0 and found.tensor.dtype.is_float:
        found = convert(found, int64)  # the dtype of an empty list says nothing
    check_kinds(name, (found,), "iu", "indices are integers; for a bool mask use dlc.where")
    if mode is not None:
        return _moved(name, as_int64(found), apply("dim", dim=extent), mode, clips_raw)
    data = known_values(indices, found)
    if data is not None and isinstance(extent, int):
        _check_inside(name, data, extent)
    unsigned = found.tensor.dtype.kind == "u"
    found = as_int64(found)
    if unsigned or (data is not None and not (data < 0).any()):
        return _Found(found)
    return _Found(from_start(found, extent))


def _check_inside(name: str, data: np.ndarray[Any, Any], extent: int) -> None:
    wrong = (data < -extent) | (data >= extent) if data.dtype.kind == "i" else data >= extent
    if wrong.any():
        at = tuple(int(v) for v in np.argwhere(wrong)[0])
        where = f" at {at}" if at else ""
        raise IndexRangeError(
            f"{name}: the index {data[at]}{where} is out of range for {extent} elements",
            hint='mode="clip", "wrap" or "fill" says what is read there',
        )


def _moved(name: str, index: Tensor, extent: Tensor, mode: str, clips_raw: bool) -> _Found:
    """Indices as a mode takes them; `clips_raw`: "clip" does not count from the end."""
    if mode not in _MODES:
        raise ValueRangeError(f"{name} has no mode {mode!r}", hint=f"modes are {', '.join(_MODES)}")
    if mode == "wrap":
        return _Found(elementwise.remainder(index, extent))
    if mode == "fill" or not clips_raw:
        end = elementwise.add(index, extent)
        index = composed.where(elementwise.less(index, 0), end, index)
    if mode == "clip":
        last = elementwise.subtract(extent, 1)
        return _Found(elementwise.minimum(elementwise.maximum(index, 0), last))
    low, high = elementwise.greater_equal(index, 0), elementwise.less(index, extent)
    return _Found(index, elementwise.logical_and(low, high))


def take(
    x: ArrayLike,
    indices: ArrayLike,
    /,
    axis: int | None = None,
    *,
    mode: str | None = None,
    fill_value: Any = None,
) -> Tensor:
    """The slices of x at the places that `indices` gives along an axis.

    Args:
        x: A tensor or array of any dtype.
        indices: Integers of any shape; negative ones count from the end.
        axis: The axis; for None the places are those of the elements in row-major order.
        mode: What is read at indices out of bounds: with "clip" the nearest element (of negative
            indices, too, the first one, as in NumPy and JAX), with "wrap" that counted on from the
            other end, with "fill" `fill_value`. By default they are errors where they are known,
            and read the nearest element otherwise.
        fill_value: NaN by default, of integers the least, or of unsigned ones the largest.

    Returns:
        A tensor of x's dtype and shape, with the axis replaced by those of `indices`.

    Raises:
        DTypeError: The indices are not integers.
        ValueRangeError: There is no such mode.
        IndexRangeError: The axis is out of range, or an index is.

    Example:
        >>> dlc.take(dlc.asarray([10, 20, 30]), dlc.asarray([2, 0]))
        Tensor([30, 10], dtype=int64)
    """
    x = materialise(as_tensor(x))
    if axis is None:
        x, axis = flatten(x), 0
    along = find_axis("take", axis, x.tensor)
    extent = x.tensor.shape[along]
    places = _places("take", indices, extent, mode, clips_raw=True)
    read = apply("take", x, places.index, axis=along)
    if places.inside is None:
        return read
    behind = x.tensor.rank - along - 1
    inside = reshaped(places.inside, (*places.inside.tensor.shape, *(1 for _ in range(behind))))
    return _filled(read, inside, fill_value)


def take_along_axis(
    x: ArrayLike,
    indices: ArrayLike,
    /,
    axis: int = -1,
    *,
    mode: str | None = None,
    fill_value: Any = None,
) -> Tensor:
    """Along an axis, the elements of x at the places that `indices` gives for each row.

    Args:
        x: A tensor or array of any dtype.
        indices: Integers with as many axes as x; the axes but `axis` broadcast. Negative ones
            count from the end.
        axis: The axis.
        mode: As in `dlc.take`, but negative indices count from the end with "clip", too.
        fill_value: As in `dlc.take`.

    Returns:
        A tensor of x's dtype.

    Raises:
        DTypeError: The indices are not integers.
        ValueRangeError: There is no such mode.
        IndexRangeError: The axis is out of range, or an index is.
        ShapeError: The shapes do not fit.

    Example:
        >>> x = dlc.asarray([[1, 9, 3], [8, 2, 4]])
        >>> dlc.take_along_axis(x, dlc.argmax(x, axis=1, keepdims=True), axis=1)
        Tensor([[9],
                [8]], dtype=int64)
    """
    x = materialise(as_tensor(x))
    type_ = x.tensor
    along = find_axis("take_along_axis", axis, type_)
    extent = type_.shape[along]
    places = _places("take_along_axis", indices, extent, mode)
    held = places.index.tensor
    if held.rank != type_.rank:
        raise ShapeError(
            f"take_along_axis of {type_} at {held}: the indices need {type_.rank} axes",
            hint="add axes of extent 1 with dlc.expand_dims",
        )
    if extent == 0 and held.size != 0:
        raise ShapeError(f"take_along_axis of {type_}: axis {along} is empty")
    rest = common_shape(
        "take_along_axis",
        [tuple(1 if k == along else d for k, d in enumerate(t.shape)) for t in (type_, held)],
        (type_, held),
    )
    x = stretch(x, (*rest[:along], extent, *rest[along + 1 :]))
    index = stretch(places.index, (*rest[:along], held.shape[along], *rest[along + 1 :]))
    read = apply("take_along", x, index, axis=along)
    return read if places.inside is None else _filled(read, places.inside, fill_value)


def one_hot(
    indices: ArrayLike, /, num_classes: int, *, axis: int = -1, dtype: Any = None
) -> Tensor:
    """1 at the place that each index gives along a new axis, 0 elsewhere.

    Args:
        indices: Integers of any shape, from 0 to below `num_classes`.
        num_classes: The extent of the new axis.
        axis: The place of the new axis in the result.
        dtype: The dtype of the result; float32 by default.

    Returns:
        A tensor with one axis more. An index out of range that is not known while tracing gives
        zeros only.

    Raises:
        ArgumentError: `num_classes` is not an integer.
        DTypeError: The indices are not integers.
        IndexRangeError: The place of the axis is out of range, or an index is.
        ValueRangeError: `num_classes` is negative.

    Example:
        >>> dlc.one_hot(dlc.asarray([0, 2]), 3)
        Tensor([[1., 0., 0.],
                [0., 0., 1.]], dtype=float32)
    """
    found = materialise(as_tensor(indices))
    check_kinds("one_hot", (found,), "iu")
    classes = as_dim(num_classes, "one_hot: num_classes")
    if not at_least(classes, 0, expected=True):
        raise ValueRangeError(f"one_hot of {classes} classes")
    check_classes("one_hot", known_values(indices, found), classes)
    held = found.tensor
    place = find_axis("one_hot", axis, held, held.rank + 1)
    shape = (*held.shape[:place], classes, *held.shape[place:])
    column = reshaped(convert(found, int64), (*held.shape[:place], 1, *held.shape[place:]))
    counted = apply("iota", shape=shape, axis=place, dtype=int64)
    hit = elementwise.equal(counted, column)
    return convert(hit, float32 if dtype is None else dtype_argument(dtype))


def check_classes(name: str, labels: np.ndarray[Any, Any] | None, classes: Dim) -> None:
    """IndexRangeError for a label, of known value, that is no class."""
    if labels is None or not isinstance(classes, int):
        return
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        at = tuple(int(v) for v in np.argwhere(wrong)[0])
        where = f" at {at}" if at else ""
        raise IndexRangeError(f"{name}: the label {labels[at]}{where} is none of {classes} classes")
