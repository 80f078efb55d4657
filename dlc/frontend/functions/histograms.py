"""Counts of values by bins, along one axis or several."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.frontend.apply import apply, as_tensor, convert, materialise, promote
from dlc.frontend.extent import as_dim
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, reshaped
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import full_like, iota, ones_like, zeros
from dlc.frontend.functions.elementwise import less, less_equal, not_equal
from dlc.frontend.functions.reduction import max as greatest
from dlc.frontend.functions.reduction import min as least
from dlc.frontend.functions.reduction import sum as total
from dlc.frontend.functions.searching import searchsorted
from dlc.frontend.functions.statistics import added
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import at_least, product
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.ops.families import same_shape
from dlc.ir.record import NamedTuple
from dlc.ir.types import float32, float64, int64


class Histogram(NamedTuple):
    """Counts, and the edges of their bins."""

    hist: Tensor
    bin_edges: Tensor


def histogram(
    x: ArrayLike,
    /,
    bins: int | ArrayLike = 10,
    range: tuple[float, float] | None = None,
    density: bool = False,
    weights: ArrayLike | None = None,
) -> Histogram:
    """How many elements are in each bin.

    Args:
        x: A tensor or array of numbers, of any shape.
        bins: How many bins of equal width there are, or their edges in ascending order.
        range: The first and the last edge; the least and the greatest element by default.
        density: Whether to divide by the width of the bins and by the sum of all.
        weights: What is added for each element; 1 by default.

    Returns:
        A pair (hist, bin_edges). A bin holds its lower edge, the last one its upper edge too.

    Raises:
        ShapeError: The edges have not one axis, or the weights have another shape than x.
        ValueRangeError: There are no bins, or the range is empty or not finite.

    Example:
        >>> dlc.histogram(dlc.asarray([1.0, 2.0, 2.5, 4.0]), 3).hist
        Tensor([1, 2, 1], dtype=int64)
    """
    tensor = materialise(as_tensor(x))
    check_kinds("histogram", (tensor,), "fiu")
    flat = reshaped(tensor, (tensor.tensor.size,))
    edges = _edges(flat, bins, range)
    inside = _places(flat, edges)
    updates = ones_like(inside)
    if weights is not None:
        updates = _weights("histogram", weights, tensor)
    hist = added((edges.tensor.shape[0] - 1,), inside, updates)
    return Histogram(_over_area(hist, [edges]) if density else hist, edges)


def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Sequence[tuple[float, float] | None] | None = None,
    density: bool = False,
    weights: ArrayLike | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """How many points are in each bin of a grid.

    Args:
        sample: Points [N, D]; or a list of their coordinates, D tensors [N].
        bins: How many bins of equal width there are along each axis: one number, or a list of D
            numbers or edges in ascending order.
        range: For each axis the first and the last edge, or None for the least and the greatest
            coordinate; None for all axes.
        density: Whether to divide by the area of the bins and by the sum of all.
        weights: What is added for each point, [N]; 1 by default.

    Returns:
        A pair (hist, edges): a tensor with an axis for each coordinate, of float64 without weights,
        and the edges of each. A bin holds its lower edges, the last ones their upper edges too.

    Raises:
        ShapeError: The shapes do not fit.
        ArgumentError: There are not as many bins or ranges as coordinates.
        ValueRangeError: There are no bins, or a range is empty or not finite.

    Example:
        >>> points = dlc.asarray([[0.0, 0.0], [0.1, 0.9], [1.0, 1.0]])
        >>> dlc.histogramdd(points, 2)[0]
        Tensor([[1., 1.],
                [0., 1.]], dtype=float64)
    """
    columns = _coordinates(sample)
    count = len(columns)
    several = list(bins) if isinstance(bins, (list, tuple)) else [bins] * count
    ranges = [None] * count if range is None else list(range)
    if not len(several) == len(ranges) == count:
        raise ArgumentError(
            f"histogramdd of {count} coordinates with {len(several)} bins and {len(ranges)} ranges"
        )
    edges = [_edges(c, b, r) for c, b, r in zip(columns, several, ranges, strict=True)]
    shape = tuple(e.tensor.shape[0] - 1 for e in edges)
    place, inside = zeros((), dtype=int64), None
    for column, row, extent in zip(columns, edges, shape, strict=True):
        at = _places(column, row)
        extents = apply("broadcast_to", apply("dim", dim=extent), shape=at.tensor.shape)
        fits = less_equal(zeros((), dtype=int64), at) & less(at, extents)
        place, inside = place * extents + at, fits if inside is None else inside & fits
    assert inside is not None
    place = where(inside, place, -1)
    updates = ones_like(place, dtype=float64)
    if weights is not None:
        updates = _weights("histogramdd", weights, columns[0])
    hist = reshaped(added((product(shape),), place, updates), shape)
    return _over_area(hist, edges) if density else hist, tuple(edges)


def histogram2d(
    x: ArrayLike,
    y: ArrayLike,
    bins: Any = 10,
    range: Sequence[tuple[float, float] | None] | None = None,
    density: bool = False,
    weights: ArrayLike | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """How many points of the plane are in each bin of a grid.

    Args:
        x: The first coordinates [N].
        y: The second ones [N].
        bins: How many bins of equal width there are along both axes, or the edges of both in
            ascending order; or two of these in a list.
        range: For each axis the first and the last edge; see `histogramdd`.
        density: Whether to divide by the area of the bins and by the sum of all.
        weights: What is added for each point, [N]; 1 by default.

    Returns:
        A triple (hist, x_edges, y_edges); x is along the first axis of `hist`, which is of float64
        without weights.

    Raises:
        ShapeError: The shapes do not fit.
        ArgumentError: There are not two bins or ranges.
        ValueRangeError: There are no bins, or a range is empty or not finite.

    Example:
        >>> dlc.histogram2d(dlc.asarray([0.0, 1.0]), dlc.asarray([0.0, 5.0]), 2)[0]
        Tensor([[1., 0.],
                [0., 1.]], dtype=float64)
    """
    # As NumPy has it, a list of any other length is one of edges.
    two = isinstance(bins, (list, tuple)) and len(bins) == 2
    hist, (first, second) = histogramdd(
        [x, y], list(bins) if two else [bins, bins], range, density, weights
    )
    return hist, first, second


def _coordinates(sample: Any) -> list[Tensor]:
    """The coordinates of points, each [N]."""
    if isinstance(sample, (list, tuple)):
        columns = [materialise(as_tensor(c)) for c in sample]
    else:
        points = materialise(as_tensor(sample))
        if points.tensor.rank != 2 or not isinstance(points.tensor.shape[1], int):
            raise ShapeError(f"histogramdd of {points.tensor}: points are [N, D], D is a number")
        columns = [points[:, k] for k in builtins.range(points.tensor.shape[1])]
    check_kinds("histogramdd", columns, "fiu")
    for c in columns:
        if c.tensor.rank != 1 or not same_shape(c.tensor.shape, columns[0].tensor.shape):
            raise ShapeError(
                f"histogramdd of coordinates {columns[0].tensor} and {c.tensor}: each is [N]"
            )
    return columns


def _places(flat: Tensor, edges: Tensor) -> Tensor:
    """The bins of values [N]: -1 below all and for NaN, their number above all."""
    flat, row = promote(flat, edges)
    inside = searchsorted(row, flat, side="right") - 1
    count = edges.tensor.shape[0] - 1
    final = apply("broadcast_to", apply("dim", dim=count - 1), shape=inside.tensor.shape)
    inside = where(less_equal(flat, row[-1]) & less_equal(row[-1], flat), final, inside)
    return where(not_equal(flat, flat), -1, inside) if flat.tensor.dtype.is_float else inside


def _weights(name: str, weights: ArrayLike, x: Tensor) -> Tensor:
    """The weights of values, [N]."""
    updates = materialise(as_tensor(weights))
    if not same_shape(updates.tensor.shape, x.tensor.shape):
        raise ShapeError(f"{name} of {x.tensor} with weights {updates.tensor}")
    return reshaped(updates, (x.tensor.size,))


def _over_area(hist: Tensor, edges: Sequence[Tensor]) -> Tensor:
    """Counts over their sum and the areas of their bins."""
    rank = len(edges)
    result = hist
    for k, e in enumerate(edges):
        widths = e[1:] - e[:-1]
        # Counts become floats of the type of the widths, but no half type, which they may exceed.
        result, widths, _ = promote(result, widths, zeros((), dtype=float32))
        if k == 0:
            result = result / total(result)
        result = result / reshaped(widths, (widths.tensor.shape[0], *(1,) * (rank - 1 - k)))
    return result


def _edges(x: Tensor, bins: int | ArrayLike, range: tuple[float, float] | None) -> Tensor:
    given = as_tensor(bins)
    if given.ndim:
        edges = materialise(given)
        if edges.tensor.rank != 1 or edges.tensor.shape[0] == 1:
            raise ShapeError(f"histogram with edges {edges.tensor}: one axis, of two or more")
        return edges
    count = as_dim(bins, "histogram: bins")
    if not at_least(count, 1, expected=True):
        raise ValueRangeError(f"histogram with {count} bins")
    dtype = x.tensor.dtype if x.tensor.dtype.is_float else float32
    if range is not None:
        if not 0 <= range[1] - range[0] < math.inf:
            raise ValueRangeError(f"histogram over the range {range}")
        if isinstance(count, int):  # the same edges eagerly and compiled, and NumPy's
            first, last = range if range[0] < range[1] else (range[0] - 0.5, range[1] + 0.5)
            return convert(as_tensor(np.linspace(first, last, count + 1)), dtype)
        low, high = (full_like(zeros((), dtype=dtype), v) for v in range)
    elif x.tensor.size == 0:
        low, high = zeros((), dtype=dtype), full_like(zeros((), dtype=dtype), 1)
    else:
        low, high = convert(least(x), dtype), convert(greatest(x), dtype)
    flat = less_equal(high, low)
    low, high = where(flat, low - 0.5, low), where(flat, high + 0.5, high)
    steps = convert(iota((count + 1,)), dtype)
    part = (high - low) * (steps / convert(apply("dim", dim=count), dtype)) + low
    last = apply("broadcast_to", apply("dim", dim=count), shape=steps.tensor.shape)
    return where(less(iota((count + 1,)), last), part, high)
