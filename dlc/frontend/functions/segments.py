"""Reductions over segments: elements that carry the same number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.frontend.apply import apply, as_tensor, convert, materialise
from dlc.frontend.functions.arguments import ArrayLike, check_kinds
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import full
from dlc.frontend.functions.elementwise import less, named
from dlc.frontend.functions.reduction import max as greatest
from dlc.frontend.functions.searching import known_count
from dlc.frontend.places import as_int64
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import dims_equal
from dlc.ir.errors import ShapeError
from dlc.ir.types import DType, float32

_DOC = """The {words} of the slices of each segment.

    Args:
        data: A tensor or array with at least one axis, along the first of which the slices lie.
        segment_ids: The number of the segment of each slice: integers with one axis. Slices with
            a negative number, or one that is too large, count nowhere.
        num_segments: How many segments there are; one more than the largest number by default,
            which is not known in compiled code.

    Returns:
        A tensor of the dtype of data, with a slice for each segment; {empty} for one without any.

    Raises:
        DTypeError: The numbers are not integers.
        ShapeError: There are not as many numbers as slices.
        TracedValueError: The numbers are traced and `num_segments` is not given.

    Example:
        >>> dlc.{name}(dlc.asarray([1, 2, 3]), dlc.asarray([0, 1, 1]))
        Tensor([{shown}], dtype=int64)
    """


def _segments(name: str, words: str, empty: str, shown: str) -> Callable[..., Tensor]:
    method = _METHODS[name]

    def function(data: ArrayLike, segment_ids: ArrayLike, num_segments: Any = None) -> Tensor:
        x, ids = (materialise(as_tensor(t)) for t in (data, segment_ids))
        check_kinds(name, (x,), "fiu")
        check_kinds(name, (ids,), "iu")
        rows = x.tensor.shape[:1]
        if not rows or ids.tensor.rank != 1 or not dims_equal(rows[0], ids.tensor.shape[0]):
            raise ShapeError(f"{name} of {x.tensor} in segments {ids.tensor}: a number a slice")
        ids = as_int64(ids)
        largest = as_tensor(0) if ids.tensor.size == 0 else greatest(ids) + 1
        write = f"dlc.{name}(data, segment_ids, num_segments=10)"
        count = known_count(name, num_segments, largest, write)
        dtype = x.tensor.dtype
        # Half types are added at float32.
        held = float32 if dtype.is_float and dtype.bits == 16 else dtype
        start = full((count, *x.tensor.shape[1:]), _neutral(method, held), dtype=held)
        # Negative numbers, which would count from the end, go past it.
        places = where(less(ids, 0), apply("dim", dim=count), ids)
        written = getattr(start.at[places], method)(convert(x, held), mode="drop")
        return convert(written, dtype)

    doc = _DOC.format(name=name, words=words, empty=empty, shown=shown)
    return named(function, name, doc)


_METHODS = {
    "segment_sum": "add", "segment_prod": "multiply", "segment_max": "max", "segment_min": "min",
}  # fmt: skip


def _neutral(method: str, dtype: DType) -> float:
    if method in ("add", "multiply"):
        return 0 if method == "add" else 1
    if dtype.is_float:
        return -math.inf if method == "max" else math.inf
    ends = np.iinfo(dtype.numpy)
    return int(ends.min if method == "max" else ends.max)


segment_sum = _segments("segment_sum", "sums", "0", "1, 5")
segment_prod = _segments("segment_prod", "products", "1", "1, 6")
segment_max = _segments("segment_max", "largest", "the least number", "1, 3")
segment_min = _segments("segment_min", "smallest", "the largest number", "1, 2")
