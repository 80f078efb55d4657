"""Rows that put the elements along an axis in order.

The order is total up to equality, and elements that are equal stay in their order, ascending or
descending: NaN is the greatest and equal to NaN, -0.0 is equal to 0.0, and false is less than true.
`count` is how many are kept, from the front, at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir.dims import minimum
from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, NoDerivative, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import ALL, FLOATS
from dlc.ir.ops.shape import check_axes
from dlc.ir.types import DType, TensorType, int64

LONGEST = 2**31 - 1
"""The longest axis that is sorted."""


def sorted_places(x: Any, descending: bool) -> Any:
    """The places of the elements along the last axis of a NumPy array in their order."""
    if x.dtype.name == "bfloat16":
        x = x.astype(np.float32)
    if not descending:
        return np.argsort(x, axis=-1, kind="stable")
    # From the back, so that the last of equal elements comes last again.
    return (x.shape[-1] - 1 - np.argsort(x[..., ::-1], axis=-1, kind="stable"))[..., ::-1]


def _reference(values: bool) -> Callable[..., Any]:
    def reference(x: Any, axis: int, descending: bool, count: int) -> Any:
        moved = np.moveaxis(x, axis, -1)
        places = sorted_places(moved, descending)[..., :count]
        kept = np.take_along_axis(moved, places, -1) if values else places.astype(np.int64)
        return np.moveaxis(kept, -1, axis)

    return reference


def _infer(name: str, result: DType | None) -> Callable[[Sequence[TensorType], Attrs], TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        x, axis, count = types[0], attrs["axis"], attrs["count"]
        check_axes(name, (axis,), x)
        extent = x.shape[axis]
        if isinstance(count, int) and count < 0:
            raise ShapeError(f"{name} of {x} along axis {axis}: {count} elements")
        if isinstance(extent, int) and extent > LONGEST:
            raise ShapeError(f"{name} of {x}: axis {axis} has more than {LONGEST} elements")
        shape = (*x.shape[:axis], minimum(count, extent), *x.shape[axis + 1 :])
        return TensorType(result or x.dtype, shape)

    return infer


def _sort_jvp(b: Any, out: Any, x: Any, t: Any, axis: int, descending: bool, count: Any) -> Any:
    places = b.argsort(x[0], axis=axis, descending=descending, count=count)
    return b.take_along(t[0], places, axis=axis)


def _samples(dtypes: Sequence[str]) -> Callable[[], list[Sample]]:
    def samples() -> list[Sample]:
        shapes: list[tuple[tuple[int, ...], int]] = [
            ((5, 19), 0), ((3, 4, 5), 1), ((4, 1), 1), ((2, 0), 1), ((0, 3), 1),
            ((2, 300), 1),
        ]  # fmt: skip
        made: list[Sample] = []
        for descending in (False, True):
            for dtype in dtypes:
                attrs = {"axis": 1, "descending": descending, "count": 33}
                made.append(Sample((((3, 33), dtype),), attrs))
            for shape, axis in shapes:
                attrs = {"axis": axis, "descending": descending, "count": shape[axis]}
                made.append(Sample(((shape, dtypes[0]),), attrs))
            attrs = {"axis": 1, "descending": descending, "count": 3}
            made.append(Sample((((4, 70), dtypes[0]),), attrs))
        return made

    return samples


_ATTRS: dict[str, Any] = {"axis": "int", "descending": "bool", "count": "dim"}

register(
    Op(
        "sort",
        "The first `count` elements along an axis in their order; equal ones stay in theirs.",
        infer=_infer("sort", None),
        reference=_reference(values=True),
        attrs=_ATTRS,
        family="sort",
        jvp=_sort_jvp,
        batch=batching.along_axis("sort"),
        samples=_samples((*FLOATS, *(d for d in ALL if d not in FLOATS))),
    )
)
register(
    Op(
        "argsort",
        "Where along an axis the first `count` elements in their order are.",
        infer=_infer("argsort", int64),
        reference=_reference(values=False),
        attrs=_ATTRS,
        family="sort",
        jvp=NoDerivative("integer"),
        batch=batching.along_axis("argsort"),
        samples=_samples(ALL),
    )
)
