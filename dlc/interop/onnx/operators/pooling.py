"""Operators over windows."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.operators.convolution import Pairs, window_pads
from dlc.interop.onnx.values import ints


class _Windows:
    """The windows of a pooling node over a tensor [N, C, ...], with what is added around it."""

    def __init__(self, node: Any, x: Any) -> None:
        self.sizes: list[int] = node.attr("kernel_shape")
        rank = len(self.sizes)
        self.strides: list[int] = node.attr("strides", [1] * rank)
        self.dilations: list[int] = node.attr("dilations", [1] * rank)
        extents = x.shape[2:]
        self.pads: Pairs = window_pads(node, extents, self.sizes, self.strides, self.dilations)
        self.given = list(self.pads)
        if node.attr("ceil_mode", 0):
            self.pads = [self._with_last(k, extents[k]) for k in range(rank)]

    def _with_last(self, k: int, extent: Any) -> tuple[Any, Any]:
        """The padding of an axis with what a last window that is not whole needs."""
        before, behind = self.pads[k]
        covered = (self.sizes[k] - 1) * self.dilations[k] + 1
        whole = extent + before + behind
        count = -(-(whole - covered) // self.strides[k]) + 1
        if (count - 1) * self.strides[k] >= extent + before:  # it would begin in the padding
            count -= 1
        return before, behind + max(0, (count - 1) * self.strides[k] + covered - whole)

    def padded(self, x: Any, value: Any, pads: Pairs | None = None) -> Any:
        """The tensor with its surroundings."""
        pads = self.pads if pads is None else pads
        if all(p == (0, 0) for p in pads):
            return x
        return dlc.pad(x, [(0, 0), (0, 0), *pads], constant_values=value)

    def sums(self, x: Any) -> Any:
        """The sum over each window of a padded tensor."""
        total: Any = None
        counts = [
            (x.shape[2 + k] - (self.sizes[k] - 1) * self.dilations[k] - 1) // self.strides[k] + 1
            for k in range(len(self.sizes))
        ]
        for offset in np.ndindex(*self.sizes):
            index = [slice(None), slice(None)]
            for k, o in enumerate(offset):
                start = o * self.dilations[k]
                stop = start + (counts[k] - 1) * self.strides[k] + 1
                index.append(slice(start, stop, self.strides[k]))
            part = x[tuple(index)]
            total = part if total is None else total + part
        return total


def _lowest(x: Any) -> Any:
    kind = np.dtype(x.dtype.numpy)
    return -math.inf if kind.kind not in "iu" else int(np.iinfo(kind).min)


def _max_pool(x: Any, windows: _Windows, indices: bool = False) -> Any:
    rank = len(windows.sizes)
    function = getattr(dlc, f"max_pool{rank}d")
    return function(
        windows.padded(x, _lowest(x)), tuple(windows.sizes), tuple(windows.strides),
        dilation=tuple(windows.dilations), return_indices=indices,
    )  # fmt: skip


@operator("MaxPool")
def max_pool(node: Any, x: Any) -> Any:
    """The largest element of each window, and its place in the tensor."""
    windows = _Windows(node, x)
    if not node.wants(1):
        return _max_pool(x, windows)
    y, places = _max_pool(x, windows, indices=True)
    extents = x.shape[2:]
    wide = [e + sum(p) for e, p in zip(extents, windows.pads, strict=True)]
    coordinates: list[Any] = []
    for k in reversed(range(len(extents))):
        coordinates.append(places % wide[k] - windows.pads[k][0])
        places = places // wide[k]
    coordinates.reverse()
    order = range(len(extents))
    if node.attr("storage_order", 0):
        order = reversed(order)
    flat: Any = 0
    for k in order:
        flat = flat * extents[k] + coordinates[k]
    n, c = x.shape[:2]
    base = dlc.reshape(dlc.arange(n * c) * math.prod(extents), (n, c, *[1] * len(extents)))
    return y, dlc.astype(flat + base, dlc.int64)


@operator("AveragePool")
def average_pool(node: Any, x: Any) -> Any:
    """The mean of each window; what is added around counts only if asked for."""
    windows = _Windows(node, x)
    total = windows.sums(windows.padded(x, 0))
    ones = dlc.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    if node.attr("count_include_pad", 0):
        # What ceil_mode adds never counts.
        behind = [
            (0, all_[1] - given[1]) for all_, given in zip(windows.pads, windows.given, strict=True)
        ]
        ones = windows.padded(windows.padded(ones, 1, windows.given), 0, behind)
    else:
        ones = windows.padded(ones, 0)
    return total / windows.sums(ones)


@operator("LpPool")
def lp_pool(node: Any, x: Any) -> Any:
    """The p-norm of each window."""
    windows = _Windows(node, x)
    p = node.attr("p", 2)
    powers = x * x if p == 2 else dlc.pow(dlc.abs(x), float(p))
    total = windows.sums(windows.padded(powers, 0))
    return dlc.sqrt(total) if p == 2 else dlc.pow(total, 1.0 / p)


def _spatial(x: Any) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@operator("GlobalAveragePool")
def global_average_pool(_node: Any, x: Any) -> Any:
    """The mean of each channel."""
    return dlc.mean(x, axis=_spatial(x), keepdims=True)


@operator("GlobalMaxPool")
def global_max_pool(_node: Any, x: Any) -> Any:
    """The largest element of each channel."""
    return dlc.max(x, axis=_spatial(x), keepdims=True)


@operator("GlobalLpPool")
def global_lp_pool(node: Any, x: Any) -> Any:
    """The p-norm of each channel."""
    p = float(node.attr("p", 2))
    return dlc.pow(dlc.sum(dlc.pow(dlc.abs(x), p), axis=_spatial(x), keepdims=True), 1.0 / p)


@operator("MaxUnpool", known=(2,))
def max_unpool(node: Any, x: Any, places: Any, extents: Any = None) -> Any:
    """Elements put where a MaxPool found them; zero elsewhere."""
    sizes = node.attr("kernel_shape")
    rank = len(sizes)
    strides = node.attr("strides", [1] * rank)
    pads = node.attr("pads", [0] * (2 * rank))
    natural = [
        (x.shape[2 + k] - 1) * strides[k] + sizes[k] - pads[k] - pads[k + rank] for k in range(rank)
    ]
    inner = (*x.shape[:2], *natural)
    flat = dlc.zeros(math.prod(inner), dtype=x.dtype)
    flat = flat.at[dlc.reshape(places, (-1,))].set(dlc.reshape(x, (-1,)))
    made = dlc.reshape(flat, inner)
    if extents is None:
        return made
    widths = [(0, wanted - now) for wanted, now in zip(ints(extents), inner, strict=True)]
    return dlc.pad(made, widths)


@operator("RoiAlign", since=10)
def roi_align(node: Any, x: Any, regions: Any, images: Any) -> Any:
    """The mean or maximum of interpolated samples in the bins of regions."""
    height, width = node.attr("output_height", 1), node.attr("output_width", 1)
    ratio = node.attr("sampling_ratio", 0)
    half = node.attr(
        "coordinate_transformation_mode",
        "half_pixel" if node.version >= 16 else "output_half_pixel",
    )
    shift = 0.5 if half == "half_pixel" else 0.0
    box = regions * node.attr("spatial_scale", 1.0) - shift
    x1, y1, x2, y2 = (box[:, k] for k in range(4))
    wide, tall = x2 - x1, y2 - y1
    if half != "half_pixel":
        wide, tall = dlc.maximum(wide, 1.0), dlc.maximum(tall, 1.0)
    rows = _Samples(y1, tall, height, ratio, x.shape[2])
    columns = _Samples(x1, wide, width, ratio, x.shape[3])
    chosen = dlc.take(x, images, axis=0)
    return _aligned(chosen, rows, columns, largest=node.attr("mode", "avg") == "max")


class _Samples:
    """The samples along an axis of the bins of regions, in blocks.

    Without a ratio, a bin has as many samples as it is long, which differs by region: those of
    regions within the image are one block, and there are more blocks if a region is larger.
    """

    def __init__(self, start: Any, length: Any, bins: int, ratio: int, extent: Any) -> None:
        self.start, self.size, self.bins = start, length / bins, bins
        if ratio > 0:
            self.count: Any = dlc.full(start.shape, ratio, dtype=start.dtype)
            self.width, self.blocks = ratio, 1
        else:
            self.count = dlc.where(self.size > 0, dlc.ceil(self.size), 0)
            self.width = -(-int(extent) // bins) + 1
            # with a 0 behind them, as there may be no regions
            most = dlc.max(dlc.pad(self.count, (0, 1)))
            self.blocks: Any = dlc.astype(dlc.ceil(most / self.width), dlc.int64)

    def block(self, k: Any) -> tuple[Any, Any]:
        """Positions [region, bin, sample], and which of the samples count."""
        samples = dlc.astype(k * self.width + dlc.arange(self.width), self.start.dtype)
        bins = dlc.arange(self.bins, dtype=self.start.dtype)[None, :, None]
        step = (samples + 0.5) / dlc.maximum(self.count, 1)[:, None]
        at = self.start[:, None, None] + (bins + step[:, None, :]) * self.size[:, None, None]
        return at, dlc.broadcast_to((samples < self.count[:, None])[:, None, :], at.shape)


def _neighbours(at: Any, extent: Any) -> tuple[Any, Any, Any, Any]:
    valid = dlc.logical_and(at >= -1.0, at <= extent)
    at = dlc.clip(at, 0, extent - 1)
    low = dlc.astype(dlc.floor(at), dlc.int32)
    high = dlc.minimum(low + 1, extent - 1)
    return low, high, at - low, valid


def _aligned(x: Any, rows: _Samples, columns: _Samples, largest: bool) -> Any:
    """The mean or maximum of the samples of each bin; 0 where there are none."""

    def step(k: Any, pooled: Any) -> Any:
        parts = rows.block(k // columns.blocks), columns.block(k % columns.blocks)
        more = _pooled(x, *parts, largest)
        return dlc.maximum(pooled, more) if largest else pooled + more

    n, channels = x.shape[:2]
    shape = (n, rows.bins, columns.bins, channels)
    start = dlc.full(shape, -math.inf if largest else 0, dtype=x.dtype)
    pooled = dlc.fori_loop(0, rows.blocks * columns.blocks, step, start)
    count = (rows.count * columns.count)[:, None, None, None]
    pooled = dlc.where(count > 0, pooled if largest else pooled / dlc.maximum(count, 1), 0)
    return dlc.moveaxis(pooled, -1, 1)


def _pooled(x: Any, rows: tuple[Any, Any], columns: tuple[Any, Any], largest: bool) -> Any:
    """The sum or maximum [region, bin, bin, channel] of a block of samples."""
    r_low, r_high, r_part, r_valid = _neighbours(rows[0], x.shape[2])
    c_low, c_high, c_part, c_valid = _neighbours(columns[0], x.shape[3])
    regions = dlc.reshape(dlc.arange(x.shape[0]), (-1, 1, 1, 1, 1))

    def by_row(v: Any) -> Any:
        return v[:, :, :, None, None]

    def by_column(v: Any) -> Any:
        return v[:, None, None, :, :]

    def corner(r: Any, c: Any, weight: Any) -> Any:
        # axes: region, bin, sample, bin, sample, channel
        return x[regions, :, by_row(r), by_column(c)] * weight[..., None]

    rp, cp = by_row(r_part), by_column(c_part)
    valid = dlc.logical_and(by_row(r_valid), by_column(c_valid))[..., None]
    counted = dlc.logical_and(by_row(rows[1]), by_column(columns[1]))[..., None]
    corners = [
        corner(r_low, c_low, (1 - rp) * (1 - cp)),
        corner(r_low, c_high, (1 - rp) * cp),
        corner(r_high, c_low, rp * (1 - cp)),
        corner(r_high, c_high, rp * cp),
    ]
    if largest:
        value = dlc.where(valid, functools.reduce(dlc.maximum, corners), 0)
        return dlc.max(dlc.where(counted, value, -math.inf), axis=(2, 4))
    value = corners[0] + corners[1] + corners[2] + corners[3]
    return dlc.sum(dlc.where(dlc.logical_and(valid, counted), value, 0), axis=(2, 4))
