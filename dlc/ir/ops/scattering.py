"""Rows that write at places given by integer tensors: in the place of what is there, or combined.

Indices are as for reads (`dlc.ir.ops.indexing`); writes out of bounds are left out. Each row of
the operand has indices of its own: those that are the same for all are broadcast, which costs
nothing in a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import ALL, NUMBERS, check_kind, filled, same_shape
from dlc.ir.ops.indexing import (
    WIDE,
    added_up,
    are_inside,
    check_wide,
    infer_along,
    scatter_jvp,
    within_bounds,
)
from dlc.ir.scalar_reference import NUMPY_SCALAR
from dlc.ir.types import TensorType, int64


def _check_along(name: str, types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, indices, updates = types
    infer_along((x, indices), attrs)
    if updates.dtype is not x.dtype or not same_shape(updates.shape, indices.shape):
        raise ShapeError(
            f"{name} of {updates} into {x} at {indices}: updates must have the indices' shape"
        )
    return x


def _combined_reference(combine: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def reference(x: Any, indices: Any, updates: Any, axis: int) -> Any:
        result = x.copy()
        for at in np.ndindex(indices.shape):
            place = (*at[:axis], int(indices[at]), *at[axis + 1 :])
            if 0 <= place[axis] < x.shape[axis]:
                result[place] = combine(result[place], updates[at])
        return result

    return reference


def _is_last(b: Any, x: Any, indices: Any, axis: int) -> Any:
    """Which updates are within bounds, and the last at their place: those that stay."""
    shape = indices.tensor.shape
    order = b.iota(shape=shape, axis=axis, dtype=int64)
    nobody = b.full(value=-1, shape=x.tensor.shape, dtype=int64)
    owner = b.scatter_set(nobody, indices, order, axis=axis)
    inside = are_inside(b, indices, x.tensor.shape[axis])
    return b.bit_and(inside, b.eq(b.take_along(owner, indices, axis=axis), order))


def _set_transpose(b: Any, ct: Any, i: int, x: Any, axis: int) -> Any:
    zeros = b.full(value=0.0, shape=x[1].tensor.shape, dtype=ct.tensor.dtype)
    if i == 0:
        return b.scatter_set(ct, x[1], zeros, axis=axis)
    taken = b.take_along(ct, x[1], axis=axis)
    return b.select(_is_last(b, x[0], x[1], axis), taken, zeros)


def _along_samples(dtypes: Sequence[str]) -> list[Sample]:
    places = np.array([[2, 2, 0], [1, -1, 3], [3, 4, 3]])
    narrow = np.array([[2, 0], [2, 1], [0, 0]])
    return [
        *(Sample((((3, 4), d), places, ((3, 3), d)), {"axis": 1}) for d in dtypes),
        Sample((((3, 2), "f32"), narrow, ((3, 2), "f32")), {"axis": 0}),
        Sample((((3, 2), "f32"), np.zeros((0, 2), np.int64), ((0, 2), "f32")), {"axis": 0}),
    ]


register(
    Op(
        "scatter_set",
        "Along an axis, x with updates in the place of what is at `indices`, in their order.",
        infer=lambda types, attrs: _check_along("scatter_set", types, attrs),
        reference=_combined_reference(lambda own, update: update),
        attrs={"axis": "int"},
        family="scatter",
        jvp=scatter_jvp("scatter_set"),
        linear=(0, 2),
        transpose=_set_transpose,
        batch=batching.along_axis("scatter_set"),
        samples=lambda: _along_samples(ALL),
    )
)


def added_along(b: Any, x: Any, indices: Any, updates: Any, axis: int) -> Any:
    """Updates added up at their places in the shape of `x`; those out of bounds are left out."""
    outside = b.full(value=0.0, shape=updates.tensor.shape, dtype=updates.tensor.dtype)
    updates = b.select(are_inside(b, indices, x.tensor.shape[axis]), updates, outside)
    near = within_bounds(b, indices, x.tensor.shape[axis])
    return added_up(b, "scatter_along", near, updates, x.tensor.shape, axis)


def _extreme_scatter_jvp(b: Any, out: Any, x: Any, t: Any, axis: int) -> Any:
    """The tangents of the operand and the updates that are the result, in equal shares."""
    dtype = out.tensor.dtype
    if t[0] is None and t[2] is None:
        return None
    mine = b.convert(b.eq(x[0], out), dtype=dtype)
    chosen = b.convert(b.eq(x[2], b.take_along(out, x[1], axis=axis)), dtype=dtype)
    count = b.add(mine, added_along(b, out, x[1], chosen, axis))
    total = None if t[0] is None else b.mul(mine, t[0])
    if t[2] is not None:
        moved = added_along(b, out, x[1], b.mul(chosen, t[2]), axis)
        total = moved if total is None else b.add(total, moved)
    return b.div(total, count)


def _product_scatter_jvp(b: Any, out: Any, x: Any, t: Any, axis: int) -> Any:
    """The product rule."""
    if t[0] is None and t[2] is None:
        return None
    total = None
    if t[0] is not None:
        total = b.mul(t[0], b.scatter_mul(filled(b, 1.0, x[0]), x[1], x[2], axis=axis))
    if t[2] is not None:
        moved = added_along(b, x[0], x[1], b.mul(_others(b, x, axis), t[2]), axis)
        total = moved if total is None else b.add(total, moved)
    return total


def _others(b: Any, x: Any, axis: int) -> Any:
    """For each update the product of all other factors at its place, also where one of them is 0.

    It is the product of the factors that are not 0, over its own, unless another one is 0.
    """
    operand, indices, updates = x
    one, zero = filled(b, 1.0, updates), filled(b, 0.0, updates)
    is_zero = b.eq(updates, zero)
    own = b.select(is_zero, one, updates)
    product = b.take_along(b.scatter_mul(operand, indices, own, axis=axis), indices, axis=axis)
    flags = b.select(is_zero, one, zero)
    zeros = b.take_along(added_along(b, operand, indices, flags, axis), indices, axis=axis)
    return b.select(b.eq(zeros, flags), b.div(product, own), zero)


def _register_combined(name: str, doc: str, jvp: Any, meaning: Any, wide: bool) -> None:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        check_kind(name, types[0], "fiu")
        if wide:
            check_wide(name, types[0])
        return _check_along(name, types, attrs)

    register(
        Op(
            name,
            f"Along an axis, x with {doc} what is at `indices`, in their order.",
            infer=infer,
            reference=_combined_reference(meaning),
            attrs={"axis": "int"},
            family="scatter",
            jvp=jvp,
            batch=batching.along_axis(name),
            samples=lambda: _along_samples(WIDE if wide else NUMBERS),
        )
    )


_register_combined(
    "scatter_mul", "updates multiplied into", _product_scatter_jvp, np.multiply, wide=True
)
_register_combined(
    "scatter_min", "the smaller of updates and", _extreme_scatter_jvp, NUMPY_SCALAR["min"],
    wide=False,
)  # fmt: skip
_register_combined(
    "scatter_max", "the larger of updates and", _extreme_scatter_jvp, NUMPY_SCALAR["max"],
    wide=False,
)  # fmt: skip
