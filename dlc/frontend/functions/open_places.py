"""What resizing reads along axes of open extents: places and weights, computed in the program.

They are what `resizing` and `adaptive_pooling` compute with NumPy for extents that are numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.frontend.apply import apply, as_tensor, convert
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import reshaped
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, ceildiv, mul
from dlc.ir.types import DType, float32, float64, int64

Column = tuple[Tensor, Tensor]
"""For each pixel of a result, the place of one that it is made of, and its weight."""


def number(dim: Dim, dtype: DType = float64) -> Tensor:
    """An extent as a tensor."""
    return convert(apply("dim", dim=dim), dtype)


def counted(count: Dim, dtype: DType = int64) -> Tensor:
    """0, 1, ... below an extent."""
    return convert(apply("iota", shape=(count,), axis=0, dtype=int64), dtype)


def stays(extent: Dim, count: Dim) -> Tensor:
    """Whether an axis stays as long as it is."""
    return elementwise.equal(number(extent, int64), number(count, int64))


def _whole(x: Tensor, least: Dim, most: Dim) -> Tensor:
    """The floor of floats, within two extents."""
    found = convert(elementwise.floor(x), int64)
    return composed.clip(found, number(least, int64), number(most, int64))


def _scale(extent: Dim, count: Dim, factor: float | None) -> Tensor:
    if factor is None:
        return elementwise.divide(number(extent), number(count))
    return convert(as_tensor(1.0 / factor), float64)


def nearest(extent: Dim, count: Dim, factor: float | None, *, exact: bool) -> Tensor:
    """The place of the pixel that each one of the result is."""
    scale = _scale(extent, count, factor)
    if factor is not None and not exact:
        twice = elementwise.equal(number(count), number(mul(extent, 2)))
        scale = composed.where(twice, 0.5, scale)
    place = elementwise.add(counted(count, float32), 0.5 if exact else 0.0)
    found = _whole(elementwise.multiply(place, convert(scale, float32)), 0, add(extent, -1))
    return found if exact else composed.where(stays(extent, count), counted(count), found)


def _centres(extent: Dim, count: Dim, factor: float | None, align: bool) -> Tensor:
    """As in `resizing`; quotients, which no pass joins with the difference behind them."""
    place = counted(count, float64)
    if align:
        across = elementwise.multiply(place, number(add(extent, -1)))
        return elementwise.divide(across, elementwise.maximum(number(add(count, -1)), 1.0))
    centre = elementwise.add(place, 0.5)
    if factor is None:
        across = elementwise.multiply(centre, number(extent))
        scaled = elementwise.divide(across, number(count))
    else:
        scaled = elementwise.divide(centre, convert(as_tensor(factor), float64))
    return elementwise.subtract(scaled, 0.5)


def linear(extent: Dim, count: Dim, factor: float | None, align: bool) -> list[Column]:
    """The two neighbours of each pixel of the result; where none moves, the second has no part."""
    at = elementwise.maximum(_centres(extent, count, factor, align), 0.0)
    at = composed.where(stays(extent, count), counted(count, float64), at)
    last = add(extent, -1)
    start = _whole(at, 0, last)
    part = elementwise.subtract(at, convert(start, float64))
    after = elementwise.minimum(elementwise.add(start, 1), number(last, int64))
    return [(start, elementwise.subtract(1.0, part)), (after, part)]


def cubic(
    extent: Dim,
    count: Dim,
    factor: float | None,
    align: bool,
    weight: Sequence[Callable[[Tensor], Tensor]],
) -> list[Column]:
    """The four neighbours; `weight` are functions of a distance below 1, and from 1 to 2."""
    at = _centres(extent, count, factor, align)
    start = elementwise.floor(at)
    columns: list[Column] = []
    for k in range(-1, 3):
        place = elementwise.add(start, float(k))
        distance = elementwise.abs(elementwise.subtract(at, place))
        near, far = (f(distance) for f in weight)
        zero = composed.where(elementwise.less(distance, 2.0), far, 0.0)
        held = composed.where(elementwise.less(distance, 1.0), near, zero)
        columns.append((_whole(place, 0, add(extent, -1)), held))
    return columns


def windows(extent: Dim, count: Dim) -> tuple[Tensor, Tensor, Tensor]:
    """The places of the windows of adaptive pooling, [count, longest], and where each ends.

    Returns:
        The places, which go on behind shorter windows, the first ones and those behind the last.
    """
    i, whole, parts = counted(count), number(extent, int64), number(count, int64)
    behind = elementwise.multiply(elementwise.add(i, 1), whole)
    starts = elementwise.floor_divide(elementwise.multiply(i, whole), parts)
    ends = elementwise.floor_divide(elementwise.add(behind, number(add(count, -1), int64)), parts)
    starts, ends = (reshaped(x, (count, 1)) for x in (starts, ends))
    longest = add(ceildiv(extent, count), 1)  # windows begin and end within elements
    return elementwise.add(starts, counted(longest)), starts, ends
