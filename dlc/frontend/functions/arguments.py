"""Checking and normalising what users give to functions: axes, dtypes, shapes of operands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dlc.frontend.apply import (
    apply,
    as_tensor,
    broadcast_to,
    contains_tensor,
    new_handle,
    promote,
)
from dlc.frontend.context import current_trace, note_reading
from dlc.frontend.extent import as_dim
from dlc.frontend.tensor import Tensor
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, broadcast_dim
from dlc.ir.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    IndexRangeError,
    ShapeError,
    ValueRangeError,
)
from dlc.ir.types import DType, Shape, TensorType, dtype_of
from dlc.runtime.places import CPU, PLACES, is_place, may_be_elsewhere, on_host

if TYPE_CHECKING:  # of GPUs only
    from dlc.frontend import call_place
else:
    call_place = deferred("dlc.frontend.call_place")

ArrayLike: TypeAlias = Tensor | np.ndarray[Any, Any] | np.generic | bool | int | float
AxisLike: TypeAlias = int | Sequence[int] | None

_KINDS = {"f": "float", "i": "signed integer", "u": "unsigned integer", "b": "bool"}


def check_device(device: Any) -> None:
    """DeviceError for a `device=` that is none: tensors lie on "cpu" and on "cuda:0"."""
    if device is not None and not is_place(str(device)):
        raise DeviceError(f"there is no device {device!r}", hint=PLACES)


def placed(x: Tensor, device: Any) -> Tensor:
    """A new tensor on the device that a `device=` names, or where the tensors of the call lie.

    Raises:
        DeviceError: for one that is not there.
    """
    check_device(device)
    if x.is_traced:
        return x
    if device is None and may_be_elsewhere() and (there := call_place.find()) != CPU:
        return x.to(there)
    return x if device is None else x.to(str(device))


def held_dtype(x: Tensor) -> DType:
    """`x.tensor.dtype`, without making a type."""
    return dtype_of(d.dtype) if (d := x._data) is not None else x.tensor.dtype


def held_shape(x: Tensor) -> Shape:
    """`x.tensor.shape`, without making a type."""
    return d.shape if (d := x._data) is not None else x.tensor.shape


def check_kinds(name: str, tensors: Sequence[Tensor], kinds: str, hint: str | None = None) -> None:
    """DTypeError, in the name of function `name`, unless each element kind is one of `kinds`."""
    for t in tensors:
        dtype = held_dtype(t)
        if dtype.kind not in kinds:
            shown = [t.tensor for t in tensors]
            wanted = " or ".join(_KINDS[k] for k in kinds)
            raise DTypeError(
                f"{name} of {types_text(shown)}: the dtype must be {wanted}, not {dtype.name}",
                hint=hint or "convert it first, for example with .astype(dlc.int32)",
            )


def types_text(types: Sequence[TensorType]) -> str:
    """Types for a message: `f32[2,3] and f32[4]`."""
    texts = [str(t) for t in types]
    return " and ".join(texts) if len(texts) < 3 else ", ".join(texts)


def find_axis(name: str, axis: Any, type_: TensorType, rank: int | None = None) -> int:
    """An axis counted from 0, from one that may count from the end.

    Args:
        name: The function, for messages.
        axis: What the user gave.
        type_: The operand, for messages.
        rank: The rank that the axis is within; that of `type_` unless given.
    """
    rank = type_.rank if rank is None else rank
    try:
        number = index(axis)
    except TypeError:
        raise ArgumentError(
            f"{name} of {type_}: an axis must be an integer, got {type(axis).__name__}"
        ) from None
    if not -rank <= number < rank:
        allowed = f"axes are {-rank} to {rank - 1}" if rank else "a scalar has no axes"
        raise IndexRangeError(f"{name} of {type_}: axis {number} is out of range", hint=allowed)
    return number % rank


def find_axes(name: str, axis: Any, type_: TensorType, rank: int | None = None) -> tuple[int, ...]:
    """Distinct axes counted from 0, in the user's order; all axes for None.

    Raises:
        ArgumentError: something is not an integer.
        IndexRangeError: an axis is out of range.
        ValueRangeError: an axis is named twice.
    """
    if axis is None:
        return tuple(range(type_.rank if rank is None else rank))
    given = axis if is_several(axis) else (axis,)
    axes = tuple(find_axis(name, a, type_, rank) for a in given)
    if len(set(axes)) != len(axes):
        raise ValueRangeError(f"{name} of {type_}: axis {axis} names one axis twice")
    return axes


def is_several(value: Any) -> bool:
    """Whether an argument that may be one integer or several is several; a tensor is one."""
    return (
        isinstance(value, Iterable)
        and not isinstance(value, (str, Tensor))
        and getattr(value, "ndim", 1) != 0  # arrays of no axes have `__iter__`, too
    )


def integer(name: str, what: str, value: Any) -> int:
    """A Python integer, from anything that is one; ArgumentError otherwise."""
    try:
        return index(value)
    except TypeError:
        raise ArgumentError(
            f"{name}: {what} must be an integer, got {type(value).__name__}"
        ) from None


def find_shape(name: str, shape: Any) -> Shape:
    """The dims of a shape that a user gave: one integer or a sequence of integers, none negative.

    Raises:
        ArgumentError: something is not an integer.
        ValueRangeError: an extent is negative.
    """
    dims = raw_shape(name, shape)
    for d in dims:
        if isinstance(d, int) and d < 0:
            raise ValueRangeError(f"{name}: the shape {shape} has the negative extent {d}")
    return dims


def raw_shape(name: str, shape: Any) -> Shape:
    """`find_shape` with negative integers let through."""
    if not (is_several(shape) or (isinstance(shape, Tensor) and shape.ndim)):
        return (as_dim(shape, f"{name}: a shape"),)
    return tuple(as_dim(d, f"{name}: an extent") for d in shape)


def common_shape(name: str, shapes: Sequence[Shape], types: Sequence[TensorType]) -> Shape:
    """The shape to which `shapes` broadcast; ShapeError names the function and its operands."""
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = []
    for k in range(rank):
        extent: Dim = 1
        for shape in shapes:
            place = k - rank + len(shape)
            d = shape[place] if place >= 0 else 1
            common = broadcast_dim(extent, d)
            if common is None:
                raise ShapeError(
                    f"{name} of {types_text(types)}: axis {k - rank} has {extent} and {d} elements",
                    hint="from the last axis on, extents must be equal or 1",
                )
            extent = common
        result.append(extent)
    return tuple(result)


def match_shapes(name: str, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tensors broadcast to their common shape."""
    shapes = [held_shape(t) for t in tensors]
    first = shapes[0]
    for other in shapes:
        if other != first:
            break
    else:
        return tuple(tensors)
    shape = common_shape(name, shapes, [t.tensor for t in tensors])
    return tuple(broadcast_to(t, shape) for t in tensors)


def operands(name: str, *xs: Any) -> tuple[Tensor, ...]:
    """Arguments as tensors of their common dtype and shape."""
    return match_shapes(name, promote(*xs))


def same_dtype(tensors: Sequence[Any]) -> tuple[Tensor, ...]:
    """Arguments as tensors of their common dtype."""
    return promote(*tensors) if len(tensors) > 1 else tuple(as_tensor(t) for t in tensors)


def fresh(result: Tensor, x: Any) -> Tensor:
    """`result` as a handle of its own where it is the argument: handles can be assigned to."""
    return new_handle(result) if result is x else result


def known_values(given: Any, tensor: Tensor) -> np.ndarray[Any, Any] | None:
    """The values of an argument where they cannot be others when the function runs again.

    Args:
        given: The argument as the user gave it.
        tensor: The argument as a tensor.
    """
    if current_trace() is None:
        note_reading()
        return on_host(tensor._data)
    # A traced function reads the tensors it closes over anew at each call.
    return None if contains_tensor(given) else np.asarray(given)


def reshaped(x: Tensor, shape: Shape) -> Tensor:
    """`x` under another shape; `x` itself where it has that one."""
    return x if x.tensor.shape == shape else apply("reshape", x, shape=shape)


def transposed(x: Tensor, axes: Sequence[int]) -> Tensor:
    """`x` with its axes in the given order; `x` itself where they are in that order."""
    if list(axes) == list(range(len(axes))):
        return x
    return apply("transpose", x, axes=tuple(axes))
