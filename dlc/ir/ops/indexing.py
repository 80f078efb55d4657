"""Rows that read or write at places given by integer tensors.

Indices count from 0; a negative one or one past the end reads (`take_along`, `take`) as the nearest
element within bounds and is left out by writes: so compiled code never leaves its buffers. The
public functions turn Python's negative indices into these first, and check concrete ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.dims import product
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.op import Attrs, Input, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import ALL, INTEGERS, accumulator, check_kind, filled, is_half, same_shape
from dlc.ir.ops.shape import check_axes
from dlc.ir.scalar import Expr
from dlc.ir.types import TensorType, int64

WIDE = ("f64", "f32", *INTEGERS)


def _check_indices(name: str, indices: TensorType) -> None:
    if indices.dtype is not int64:
        raise DTypeError(f"{name}: indices must be i64, got {indices}")


def _clamped(i: Expr, extent: Any) -> Expr:
    low = scalar.op("max", i, scalar.const(0, int64))
    return scalar.op("min", low, scalar.sub_index(scalar.dim(extent), scalar.const(1, int64)))


def _without(shape: Sequence[Any], axis: int) -> tuple[Any, ...]:
    return tuple(d for k, d in enumerate(shape) if k != axis)


def _infer_take(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, indices = types
    axis = attrs["axis"]
    _check_indices("take", indices)
    check_axes("take", (axis,), x)
    if x.shape[axis] == 0 and indices.size != 0:
        raise ShapeError(f"take from {x} along axis {axis}, which is empty")
    return x.with_shape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def _lower_take(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    x, indices = inputs
    axis, n = attrs["axis"], inputs[1].type.rank
    place = _clamped(indices(*ix[axis : axis + n]), x.type.shape[axis])
    return x(*ix[:axis], place, *ix[axis + n :])


def within_bounds(b: Any, indices: Any, extent: Any) -> Any:
    """`indices` moved to the nearest place within bounds, as reads do."""
    shape = indices.tensor.shape
    last = b.broadcast_to(b.dim(dim=extent - 1), shape=shape)
    return b.min(b.max(indices, b.full(value=0, shape=shape, dtype=int64)), last)


def _take_transpose(b: Any, ct: Any, i: int, x: Any, axis: int) -> Any:
    shape = x[0].tensor.shape
    return added_up(b, "scatter_add", within_bounds(b, x[1], shape[axis]), ct, shape, axis)


def _take_batch(b: Any, inputs: Any, batched: Any, axis: int) -> Any:
    x, indices = inputs
    if not batched[1]:
        return b.take(x, indices, axis=axis + 1)
    if not batched[0]:
        return batching.to_front(b, b.take(x, indices, axis=axis), axis)
    # Each element's own table: its indices are repeated for the slices that they pick from.
    size, *table = x.tensor.shape
    own = indices.tensor.shape[1:]
    count = product(own)
    lead, tail = table[:axis], table[axis + 1 :]
    wide = b.reshape(indices, shape=(size, *(1,) * axis, count, *(1,) * len(tail)))
    wide = b.broadcast_to(wide, shape=(size, *lead, count, *tail))
    found = b.take_along(x, wide, axis=axis + 1)
    return b.reshape(found, shape=(size, *lead, *own, *tail))


register(
    Op(
        "take",
        "The slices of x at `indices` along an axis; the axis is replaced by those of `indices`.",
        infer=_infer_take,
        reference=lambda x, indices, axis: np.take(x, indices, axis=axis, mode="clip"),
        attrs={"axis": "int"},
        family="indexing",
        lower=_lower_take,
        jvp=lambda b, out, x, t, axis: None if t[0] is None else b.take(t[0], x[1], axis=axis),
        linear=(0,),
        transpose=_take_transpose,
        batch=_take_batch,
        samples=lambda: [
            *(Sample((((6, 19), d), np.array([[3, 0, 5], [5, -1, 9]])), {"axis": 0}) for d in ALL),
            Sample((((6, 19), "f32"), np.array([18, 2])), {"axis": 1}),
            Sample((((6, 3), "f32"), np.array(4)), {"axis": 0}),
            Sample((((6, 3), "f32"), np.zeros((0,), np.int64)), {"axis": 0}),
        ],
    )
)


def check_wide(name: str, x: TensorType) -> None:
    """Half types are added up at float32, which is for the caller to make explicit."""
    check_kind(name, x, "fiu")
    if is_half(x.dtype):
        raise DTypeError(
            f"{name} into {x}: half types lose additions", hint="convert to float32 and back"
        )


def added_up(b: Any, op_name: str, indices: Any, ct: Any, shape: Any, axis: int) -> Any:
    """Cotangents added up at the places that were read, at float32 for half types."""
    dtype = ct.tensor.dtype
    wide = accumulator(dtype)
    zeros = b.full(value=0.0, shape=shape, dtype=wide)
    updates = b.convert(ct, dtype=wide) if wide is not dtype else ct
    total = getattr(b, op_name)(zeros, indices, updates, axis=axis)
    return b.convert(total, dtype=dtype) if wide is not dtype else total


def _check_scatter(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, indices, updates = types
    axis = attrs["axis"]
    check_wide("scatter_add", x)
    _check_indices("scatter_add", indices)
    check_axes("scatter_add", (axis,), x)
    expected = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    if updates.dtype is not x.dtype or not same_shape(updates.shape, expected):
        raise ShapeError(
            f"scatter_add of {updates} into {x} at {indices}: "
            f"updates must be {x.with_shape(expected)}"
        )
    return x


def _scatter_reference(x: Any, indices: Any, updates: Any, axis: int) -> Any:
    wide = np.moveaxis(x, axis, 0).copy()
    flat = indices.reshape(-1)
    moved = np.moveaxis(
        updates.reshape((*x.shape[:axis], flat.size, *x.shape[axis + 1 :])), axis, 0
    )
    for place, update in zip(flat, moved, strict=True):
        if 0 <= place < wide.shape[0]:
            wide[place] += update
    return np.moveaxis(wide, 0, axis)


def scatter_jvp(name: str) -> Callable[..., Any]:
    """The op on the tangents of the operand and the updates, where one is not zero."""

    def jvp(b: Any, out: Any, x: Any, t: Any, axis: int) -> Any:
        if t[0] is None and t[2] is None:
            return None
        given = [filled(b, 0.0, a) if v is None else v for a, v in ((x[0], t[0]), (x[2], t[2]))]
        return getattr(b, name)(given[0], x[1], given[1], axis=axis)

    return jvp


def are_inside(b: Any, indices: Any, extent: Any) -> Any:
    """Which indices are within bounds."""
    shape = indices.tensor.shape
    low = b.ge(indices, b.full(value=0, shape=shape, dtype=int64))
    return b.bit_and(low, b.lt(indices, b.broadcast_to(b.dim(dim=extent), shape=shape)))


def _scatter_batch(b: Any, inputs: Any, batched: Any, axis: int) -> Any:
    """Of indices that differ: into the tables of all elements, one behind the other."""
    if not batched[1]:
        flags = (batched[0], batched[2])
        x, updates = batching.all_batched(b, (inputs[0], inputs[2]), flags)
        return b.scatter_add(x, inputs[1], updates, axis=axis + 1)
    x, indices, updates = batching.all_batched(b, inputs, batched)
    size, *table = x.tensor.shape
    extent, rest = table[axis], (*table[:axis], *table[axis + 1 :])
    own = indices.tensor.shape[1:]
    # The axis, or the axes in its place in the updates, behind the batch axis.
    moved = _second(b, x, axis + 1, 1)
    flat = b.reshape(moved, shape=(size * extent, *rest))
    placed = b.reshape(
        _second(b, updates, axis + 1, len(own)), shape=(*indices.tensor.shape, *rest)
    )
    shape = indices.tensor.shape
    number = b.iota(shape=shape, axis=0, dtype=int64)
    first = b.mul(number, b.broadcast_to(b.dim(dim=extent), shape=shape))
    outside = b.full(value=-1, shape=shape, dtype=int64)
    places = b.select(are_inside(b, indices, extent), b.add(first, indices), outside)
    total = b.reshape(b.scatter_add(flat, places, placed, axis=0), shape=moved.tensor.shape)
    back = (0, *range(2, axis + 2), 1, *range(axis + 2, x.tensor.rank))
    return total if axis == 0 else b.transpose(total, axes=back)


def _second(b: Any, x: Any, axis: int, count: int) -> Any:
    """`x` with `count` axes from `axis` on moved behind axis 0."""
    if axis == 1:
        return x
    moved = range(axis, axis + count)
    rest = (k for k in range(1, x.tensor.rank) if k not in moved)
    return b.transpose(x, axes=(0, *moved, *rest))


def _scatter_transpose(b: Any, ct: Any, i: int, x: Any, axis: int) -> Any:
    if i == 0:
        return ct
    taken = b.take(ct, x[1], axis=axis)
    shape = x[1].tensor.shape
    inside = are_inside(b, x[1], x[0].tensor.shape[axis])
    lead, tail = taken.tensor.shape[:axis], taken.tensor.shape[axis + len(shape) :]
    mask = b.reshape(inside, shape=(*(1,) * len(lead), *shape, *(1,) * len(tail)))
    mask = b.broadcast_to(mask, shape=taken.tensor.shape)
    return b.select(mask, taken, b.full(value=0.0, shape=taken.tensor.shape, dtype=ct.tensor.dtype))


register(
    Op(
        "scatter_add",
        "x with updates added at `indices` along an axis, in the order of the indices.",
        infer=_check_scatter,
        reference=_scatter_reference,
        attrs={"axis": "int"},
        family="scatter",
        jvp=scatter_jvp("scatter_add"),
        linear=(0, 2),
        transpose=_scatter_transpose,
        batch=_scatter_batch,
        samples=lambda: [
            *(
                Sample((((6, 19), d), np.array([3, 0, 3, 3, 9, -1]), ((6, 19), d)), {"axis": 0})
                for d in WIDE
            ),
            Sample((((6, 5), "f32"), np.array([[4, 2], [2, 2]]), ((6, 2, 2), "f32")), {"axis": 1}),
            Sample((((4,), "f32"), np.array([1, 1, 3]), ((3,), "f32")), {"axis": 0}),
            Sample((((4, 3), "f32"), np.zeros((0,), np.int64), ((0, 3), "f32")), {"axis": 0}),
        ],
    )
)


def infer_along(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    """The type of what is read along an axis at indices of the operand's other extents."""
    x, indices = types
    axis = attrs["axis"]
    _check_indices("take_along", indices)
    check_axes("take_along", (axis,), x)
    if indices.rank != x.rank or not same_shape(
        _without(indices.shape, axis), _without(x.shape, axis)
    ):
        raise ShapeError(f"take_along of {x} at {indices}: only axis {axis} may differ")
    return x.with_shape(indices.shape)


def _infer_take_along(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    result = infer_along(types, attrs)
    x, axis = types[0], attrs["axis"]
    if x.shape[axis] == 0 and result.size != 0:
        raise ShapeError(f"take_along from {x} along axis {axis}, which is empty")
    return result


def _lower_along(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    x, indices = inputs
    axis = attrs["axis"]
    place = _clamped(indices(*ix), x.type.shape[axis])
    return x(*ix[:axis], place, *ix[axis + 1 :])


def _along_reference(x: Any, indices: Any, axis: int) -> Any:
    return np.take_along_axis(x, np.clip(indices, 0, x.shape[axis] - 1), axis)


def _along_transpose(b: Any, ct: Any, i: int, x: Any, axis: int) -> Any:
    """Of one index a row: an element of x gets the cotangent where its place is that index."""
    shape = x[0].tensor.shape
    clamped = within_bounds(b, x[1], shape[axis])
    if x[1].tensor.shape[axis] == 1:
        places = b.iota(shape=shape, axis=axis, dtype=int64)
        hit = b.eq(places, b.broadcast_to(clamped, shape=shape))
        zeros = b.full(value=0.0, shape=shape, dtype=ct.tensor.dtype)
        return b.select(hit, b.broadcast_to(ct, shape=shape), zeros)
    return added_up(b, "scatter_along", clamped, ct, shape, axis)


register(
    Op(
        "take_along",
        "Along an axis, the elements of x at `indices`, which has x's shape but for that axis.",
        infer=_infer_take_along,
        reference=_along_reference,
        attrs={"axis": "int"},
        family="indexing",
        lower=_lower_along,
        jvp=lambda b, out, x, t, axis: (
            None if t[0] is None else b.take_along(t[0], x[1], axis=axis)
        ),
        linear=(0,),
        transpose=_along_transpose,
        batch=batching.along_axis("take_along"),
        samples=lambda: [
            *(Sample((((3, 19), d), np.array([[18], [0], [7]])), {"axis": 1}) for d in ALL),
            Sample((((3, 4), "f32"), np.array([[2, 2, 0], [-1, 4, 3], [3, 3, 3]])), {"axis": 1}),
            Sample((((3, 2), "f32"), np.array([[2, 0]])), {"axis": 0}),
        ],
    )
)


def _infer_scatter_along(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, indices, updates = types
    check_wide("scatter_along", x)
    infer_along((x, indices), attrs)
    if updates.dtype is not x.dtype or not same_shape(updates.shape, indices.shape):
        raise ShapeError(
            f"scatter_along of {updates} into {x} at {indices}: "
            "updates must have the indices' shape"
        )
    return x


def _scatter_along_reference(x: Any, indices: Any, updates: Any, axis: int) -> Any:
    wide = np.moveaxis(x, axis, -1).copy()
    rows = wide.reshape(math.prod(wide.shape[:-1]), wide.shape[-1])
    places = np.moveaxis(indices, axis, -1).reshape(rows.shape[0], indices.shape[axis])
    values = np.moveaxis(updates, axis, -1).reshape(places.shape)
    for r, (row_places, row_values) in enumerate(zip(places, values, strict=True)):
        for place, value in zip(row_places, row_values, strict=True):
            if 0 <= place < rows.shape[1]:
                rows[r, place] += value
    return np.moveaxis(rows.reshape(wide.shape), -1, axis)


def _scatter_along_transpose(b: Any, ct: Any, i: int, x: Any, axis: int) -> Any:
    return ct if i == 0 else b.take_along(ct, x[1], axis=axis)


register(
    Op(
        "scatter_along",
        "Along an axis, x with updates added at `indices` (all within bounds), in their order.",
        infer=_infer_scatter_along,
        reference=_scatter_along_reference,
        attrs={"axis": "int"},
        family="scatter",
        jvp=scatter_jvp("scatter_along"),
        linear=(0, 2),
        transpose=_scatter_along_transpose,
        batch=batching.along_axis("scatter_along"),
        samples=lambda: [
            *(
                Sample(
                    (((3, 4), d), np.array([[2, 2, 0], [1, 0, 3], [3, 3, 3]]), ((3, 3), d)),
                    {"axis": 1},
                )
                for d in WIDE
            ),
            Sample((((3, 2), "f32"), np.array([[2, 0], [2, 1]]), ((2, 2), "f32")), {"axis": 0}),
        ],
    )
)
