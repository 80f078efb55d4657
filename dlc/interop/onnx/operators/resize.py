"""Resizing by interpolation: positions and weights of neighbours are computed once for an axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import ints
from dlc.ir.errors import ModelError

Array = np.ndarray[Any, Any]


class _Axis:
    """One axis that is resized: from `extent` elements to `count`, by `scale`."""

    def __init__(
        self, node: Any, extent: int, count: int, scale: float, region: tuple[float, float]
    ) -> None:
        self.extent, self.count, self.scale = extent, count, scale
        self.mode = node.attr("mode", "nearest")
        self.transform = node.attr("coordinate_transformation_mode", "half_pixel")
        self.nearest = node.attr("nearest_mode", "round_prefer_floor")
        self.cubic = node.attr("cubic_coeff_a", -0.75)
        self.exclude = bool(node.attr("exclude_outside", 0))
        self.antialias = bool(node.attr("antialias", 0))
        self.region = region

    def positions(self) -> Array:
        """Where each result lies among the elements."""
        k = np.arange(self.count, dtype=np.float64)
        length = self.scale * self.extent
        match self.transform:
            case "half_pixel":
                return (k + 0.5) / self.scale - 0.5
            case "half_pixel_symmetric":
                adjustment = self.count / length
                centre = self.extent / 2
                return centre * (1 - adjustment) + (k + 0.5) / self.scale - 0.5
            case "pytorch_half_pixel":
                return (k + 0.5) / self.scale - 0.5 if length > 1 else np.zeros_like(k)
            case "align_corners":
                if length <= 1:
                    return np.zeros_like(k)
                return k * (self.extent - 1) / (length - 1)
            case "asymmetric":
                return k / self.scale
            case "tf_half_pixel_for_nn":
                return (k + 0.5) / self.scale
            case "tf_crop_and_resize":
                start, end = self.region
                if self.count <= 1:
                    return np.full_like(k, 0.5 * (start + end) * (self.extent - 1))
                step = (end - start) * (self.extent - 1) / (length - 1)
                return start * (self.extent - 1) + k * step
            case other:
                raise ModelError(f"coordinate_transformation_mode={other!r}")

    def taps(self) -> tuple[Array, Array]:
        """The neighbours [count, taps] of each result, and their weights."""
        at = self.positions()
        if self.mode == "nearest":
            return self._nearest(at)[:, None], np.ones((self.count, 1))
        if self.mode == "linear":
            return self._weighted(at, 1.0, lambda d: np.maximum(0.0, 1 - np.abs(d)))
        if self.mode == "cubic":
            return self._weighted(at, 2.0, self._cubic)
        raise ModelError(f"mode={self.mode!r}")

    def _nearest(self, at: Array) -> Array:
        match self.nearest:
            case "round_prefer_floor":
                places = np.ceil(at - 0.5)
            case "round_prefer_ceil":
                places = np.floor(at + 0.5)
            case "floor":
                places = np.floor(at)
            case _:
                places = np.ceil(at)
        return np.clip(places, 0, self.extent - 1).astype(np.int64)

    def _cubic(self, distance: Array) -> Array:
        a, d = self.cubic, np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0.0))

    def _weighted(self, at: Array, reach: float, weight: Any) -> tuple[Array, Array]:
        stretch = min(self.scale, 1.0) if self.antialias else 1.0
        reach = reach / stretch
        first = np.floor(at - reach).astype(np.int64) + 1
        taps = 2 * math.ceil(reach) + (1 if stretch < 1 else 0)
        places = first[:, None] + np.arange(taps)
        weights = weight((places - at[:, None]) * stretch)
        if self.exclude:
            inside = (places >= 0) & (places < self.extent)
            weights = np.where(inside, weights, 0.0)
        weights = weights / weights.sum(axis=1, keepdims=True)
        return np.clip(places, 0, self.extent - 1), weights


def _resized(x: Any, axis: int, how: _Axis, outside: float) -> Any:
    places, weights = how.taps()
    shape = [1] * x.ndim
    shape[axis] = how.count
    result: Any = None
    integer = not dlc.isdtype(x.dtype, "real floating")
    if how.mode == "nearest":
        result = dlc.take(x, places[:, 0], axis=axis)
    else:
        wide = dlc.astype(x, dlc.float32) if integer else x
        kind = np.dtype(wide.dtype.numpy)
        used = [tap for tap in range(places.shape[1]) if np.any(weights[:, tap])]
        for tap in used or [0]:  # the results may be none
            factor = weights[:, tap].astype(kind).reshape(shape)
            part = dlc.take(wide, places[:, tap], axis=axis) * factor
            result = part if result is None else result + part
    if how.transform == "tf_crop_and_resize":
        at = how.positions()
        beyond = ((at < 0) | (at > how.extent - 1)).reshape(shape)
        result = dlc.where(beyond, outside, result)
    return result


def _cast_back(y: Any, x: Any) -> Any:
    if y.dtype == x.dtype:
        return y
    kind = np.dtype(x.dtype.numpy)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        y = dlc.clip(dlc.round(y), float(limits.min), float(limits.max))
    return dlc.astype(y, x.dtype)


def _resize(
    node: Any, x: Any, axes: list[int], sizes: list[int], scales: list[float], regions: Any
) -> Any:
    y = x
    for k, axis in enumerate(axes):
        extent = int(x.shape[axis])
        if scales[k] == 1.0 and sizes[k] == extent and regions is None:
            continue
        region = (0.0, 1.0)
        if regions is not None:
            region = (float(regions[k]), float(regions[k + len(axes)]))
        how = _Axis(node, extent, sizes[k], scales[k], region)
        y = _resized(y, axis, how, node.attr("extrapolation_value", 0.0))
    return _cast_back(y, x)


@operator("Upsample", known=(1,))
def upsample(node: Any, x: Any, scales: Any = None) -> Any:
    """Elements repeated or interpolated, by factors."""
    factors = [float(s) for s in (node.attr("scales") if scales is None else scales)]
    node = _Old(node)
    sizes = [math.floor(int(d) * f) for d, f in zip(x.shape, factors, strict=True)]
    return _resize(node, x, list(range(x.ndim)), sizes, factors, None)


@operator("Resize", known=(1,))
def resize_before_11(node: Any, x: Any, scales: Any) -> Any:
    """Elements repeated or interpolated, by factors."""
    return upsample(node, x, scales)


class _Old:
    """A node with the attributes that Resize had before it could be told."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        if name == "coordinate_transformation_mode":
            return "asymmetric"
        return "floor" if name == "nearest_mode" else self.node.attr(name, default)


@operator("Resize", since=11, known=(1, 2, 3))
def resize(node: Any, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
    """Interpolated to other extents, by factors or sizes."""
    axes = [a % x.ndim for a in node.attr("axes", list(range(x.ndim)))]
    extents = [int(x.shape[a]) for a in axes]
    cropped = node.attr("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    regions = roi if cropped and roi is not None and roi.size else None
    if sizes is not None and sizes.size:
        wanted = [int(n) for n in ints(sizes)]
        factors = [n / e for n, e in zip(wanted, extents, strict=True)]
        policy = node.attr("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            one = min(factors) if policy == "not_larger" else max(factors)
            factors = [one] * len(axes)
            wanted = [math.floor(one * e + 0.5) for e in extents]
    else:
        factors = [float(s) for s in scales]
        length = list(extents)
        if regions is not None:
            half = len(axes)
            length = [e * float(regions[k + half] - regions[k]) for k, e in enumerate(extents)]
        wanted = [math.floor(e * f) for e, f in zip(length, factors, strict=True)]
    return _resize(node, x, axes, wanted, factors, regions)


@operator("GridSample", since=16)
def grid_sample(node: Any, x: Any, grid: Any) -> Any:
    """Elements at given positions, which are -1 to 1 along each axis."""
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(
        node.attr("mode", "linear"), node.attr("mode", "linear")
    )
    padding = node.attr("padding_mode", "zeros")
    align = bool(node.attr("align_corners", 0))
    rank = x.ndim - 2
    extents = x.shape[2:]
    at = [_unnormalised(grid[..., rank - 1 - k], extents[k], align) for k in range(rank)]
    if mode == "nearest":
        return _sampled(x, [dlc.round(a) for a in at], padding, align)
    reach = 2 if mode == "linear" else 4
    base = [dlc.floor(a) for a in at]
    result: Any = None
    for offsets in np.ndindex(*[reach] * rank):
        weight: Any = None
        places: list[Any] = []
        for k, o in enumerate(offsets):
            place = base[k] + (o if mode == "linear" else o - 1)
            distance = dlc.abs(at[k] - place)
            w = 1 - distance if mode == "linear" else _keys(distance)
            weight = w if weight is None else weight * w
            places.append(place)
        part = _sampled(x, places, padding, align) * dlc.expand_dims(weight, 1)
        result = part if result is None else result + part
    return result


def _keys(d: Any) -> Any:
    a = -0.75
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return dlc.where(d <= 1, near, dlc.where(d < 2, far, 0.0))


def _unnormalised(g: Any, extent: Any, align: bool) -> Any:
    return (g + 1) / 2 * (extent - 1) if align else ((g + 1) * extent - 1) / 2


def _sampled(x: Any, places: list[Any], padding: str, align: bool) -> Any:
    """Elements of x at whole positions [N, ...], as the padding says where they are outside."""
    rank = x.ndim - 2
    inside: Any = None
    index: list[Any] = []
    for k, place in enumerate(places):
        extent = x.shape[2 + k]
        at = _reflected(place, extent, align) if padding == "reflection" else place
        within = dlc.logical_and(at >= 0, at <= extent - 1)
        inside = within if inside is None else dlc.logical_and(inside, within)
        index.append(dlc.astype(dlc.clip(at, 0, extent - 1), dlc.int64))
    batch = dlc.reshape(dlc.arange(x.shape[0]), (-1, *[1] * rank))
    values = dlc.moveaxis(x[(batch, slice(None), *index)], -1, 1)
    if padding == "zeros":
        values = dlc.where(dlc.expand_dims(inside, 1), values, 0)
    return values


def _reflected(place: Any, extent: Any, align: bool) -> Any:
    low, high = (0.0, extent - 1.0) if align else (-0.5, extent - 0.5)
    length = high - low
    if align and isinstance(extent, int) and extent == 1:
        return place * 0
    distance = dlc.abs(place - low)
    turns = dlc.floor(distance / length)
    rest = distance - turns * length
    return dlc.where(turns % 2 == 0, low + rest, high - rest)
