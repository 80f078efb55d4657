"""Operators that count elements, or points of several coordinates, by bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import dlc
from dlc.interop.torch.table import aten


def _ends(line: Any, given: Sequence[float] | None) -> tuple[Any, Any]:
    """Where the bins begin and end: by default at the extremes of the elements."""
    if given is not None:
        low, high = (dlc.asarray(v, dtype=line.dtype) for v in given)
    elif line.shape[0] == 0:
        low, high = dlc.asarray(0, dtype=line.dtype), dlc.asarray(1, dtype=line.dtype)
    else:
        low, high = dlc.min(line), dlc.max(line)
    same = low == high
    return dlc.where(same, low - 0.5, low), dlc.where(same, high + 0.5, high)


def _edges(line: Any, count: int, given: Sequence[float] | None) -> Any:
    """The edges of bins of one width, from both ends to the middle as PyTorch has them."""
    low, high = _ends(line, given)
    step = (high - low) / count
    place = dlc.arange(count + 1, dtype=line.dtype)
    return dlc.where(place < (count + 1) // 2, low + step * place, high - step * (count - place))


def _counted(points: Any, edges: Sequence[Any], weight: Any, density: bool) -> Any:
    """How many points, or what weight of these, each bin has.

    Args:
        points: Points by coordinates: [n, len(edges)].
        edges: The ascending edges of the bins of each coordinate; the last bin has both of its own.
        weight: That of each point; 1 by default.
        density: Whether to divide by the total and by the sizes of bins.
    """
    shape = tuple(e.shape[0] - 1 for e in edges)
    place: Any = dlc.zeros(points.shape[:1], dtype=dlc.int64)
    inside: Any = dlc.ones(points.shape[:1], dtype=dlc.bool)
    for k, (count, bounds) in enumerate(zip(shape, edges, strict=True)):
        line = points[:, k]
        inside = inside & (line >= bounds[0]) & (line <= bounds[-1])
        found = dlc.searchsorted(bounds, line, side="right") - 1
        place = place * count + dlc.astype(dlc.clip(found, 0, count - 1), dlc.int64)
    own = dlc.ones(points.shape[:1], dtype=points.dtype)
    own = own if weight is None else dlc.reshape(weight, own.shape)
    room = dlc.zeros((math.prod(shape),), dtype=points.dtype)
    hist = dlc.reshape(dlc.index_add(room, 0, place, dlc.where(inside, own, 0)), shape)
    if not density:
        return hist
    hist = hist / dlc.sum(hist)
    for k, bounds in enumerate(edges):
        widths = bounds[1:] - bounds[:-1]
        hist = hist / dlc.reshape(widths, (-1, *[1] * (len(shape) - 1 - k)))
    return hist


def _line(x: Any) -> Any:
    """The elements as points of one coordinate."""
    return dlc.reshape(x, (math.prod(x.shape), 1))


def _points(x: Any) -> Any:
    return dlc.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


@aten("histogram.bin_ct")
def histogram(
    x: Any, bins: int = 100, *, range: Sequence[float] | None = None, weight: Any = None,
    density: bool = False,
) -> Any:  # fmt: skip
    """The elements in each of bins of one width, and the edges of these."""
    edges = _edges(_line(x)[:, 0], bins, range)
    return _counted(_line(x), [edges], weight, density), edges


@aten("histogram.bins_tensor")
def histogram_between(x: Any, bins: Any, *, weight: Any = None, density: bool = False) -> Any:
    """The elements between given edges, and these."""
    return _counted(_line(x), [bins], weight, density), bins


@aten("_histogramdd_bin_edges")
def histogramdd_bin_edges(
    x: Any, bins: Sequence[int], *, range: Sequence[float] | None = None, weight: Any = None,
    density: bool = False,
) -> list[Any]:  # fmt: skip
    """The edges of bins of one width for each coordinate of points."""
    del weight, density
    points = _points(x)
    given = [None] * len(bins) if range is None else list(zip(range[::2], range[1::2], strict=True))
    pairs = zip(bins, given, strict=True)
    return [_edges(points[:, k], count, ends) for k, (count, ends) in enumerate(pairs)]


@aten("_histogramdd_from_bin_cts")
def histogramdd(
    x: Any, bins: Sequence[int], *, range: Sequence[float] | None = None, weight: Any = None,
    density: bool = False,
) -> Any:  # fmt: skip
    """The points in each of bins of one width for each coordinate."""
    return _counted(_points(x), histogramdd_bin_edges(x, bins, range=range), weight, density)


@aten("_histogramdd_from_bin_tensors")
def histogramdd_between(
    x: Any, bins: Sequence[Any], *, weight: Any = None, density: bool = False
) -> Any:
    """The points between given edges of each coordinate."""
    return _counted(_points(x), bins, weight, density)
