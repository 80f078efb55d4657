"""Functions that read at places given by integer tensors."""

from __future__ import annotations

from typing import Any

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
from dlc.frontend.places import as_int64
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least
from dlc.ir.errors import IndexRangeError, ShapeError, ValueRangeError
from dlc.ir.types import float32, int64


def _places(name: str, indices: ArrayLike, extent: Dim) -> Tensor:
    """Indices as int64 that count from 0; those whose values are known are checked.

    Raises:
        DTypeError: They are not integers.
        IndexRangeError: A known one is out of range.
    """
    found = materialise(as_tensor(indices))
    if found.tensor.size == 0 and found.tensor.dtype.is_float:
        found = convert(found, int64)  # the dtype of an empty list says nothing
    check_kinds(name, (found,), "iu", "indices are integers; for a bool mask use dlc.where")
    data = known_values(indices, found)
    if data is not None and isinstance(extent, int):
        wrong = (data < -extent) | (data >= extent) if data.dtype.kind == "i" else data >= extent
        if wrong.any():
            at = tuple(int(v) for v in np.argwhere(wrong)[0])
            where = f" at {at}" if at else ""
            raise IndexRangeError(
                f"{name}: the index {data[at]}{where} is out of range for {extent} elements"
            )
    unsigned = found.tensor.dtype.kind == "u"
    found = as_int64(found)
    if unsigned or (data is not None and not (data < 0).any()):
        return found
    counted = elementwise.add(found, apply("dim", dim=extent))
    return composed.where(elementwise.less(found, 0), counted, found)


def take(x: ArrayLike, indices: ArrayLike, /, axis: int | None = None) -> Tensor:
    """The slices of x at the places that `indices` gives along an axis.

    Args:
        x: A tensor or array of any dtype.
        indices: Integers of any shape; negative ones count from the end.
        axis: The axis; for None the places are those of the elements in row-major order.

    Returns:
        A tensor of x's dtype and shape, with the axis replaced by those of `indices`. An index out
        of range that is not known while tracing reads the nearest element.

    Raises:
        DTypeError: The indices are not integers.
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
    places = _places("take", indices, extent)
    return apply("take", x, places, axis=along)


def take_along_axis(x: ArrayLike, indices: ArrayLike, /, axis: int = -1) -> Tensor:
    """Along an axis, the elements of x at the places that `indices` gives for each row.

    Args:
        x: A tensor or array of any dtype.
        indices: Integers with as many axes as x; the axes but `axis` broadcast. Negative ones
            count from the end.
        axis: The axis.

    Returns:
        A tensor of x's dtype. An index out of range that is not known while tracing reads the
        nearest element.

    Raises:
        DTypeError: The indices are not integers.
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
    places = _places("take_along_axis", indices, extent)
    held = places.tensor
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
    places = stretch(places, (*rest[:along], held.shape[along], *rest[along + 1 :]))
    return apply("take_along", x, places, axis=along)


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
