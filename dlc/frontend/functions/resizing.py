"""Images of other sizes: interpolation, and pixels moved between channels and places."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.frontend.apply import as_tensor, broadcast_to, convert, materialise
from dlc.frontend.extent import as_dim, known_extent
from dlc.frontend.functions import adaptive_pooling, composed, elementwise, indexing, open_places
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    integer,
    reshaped,
    transposed,
)
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least, floordiv, is_multiple, mul
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError, nearest
from dlc.ir.types import float32

_RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
_EXACT = 1 << 12  # parts of a factor by which multiples of extents are exact
_CUBIC = -0.75  # Keys's parameter, as PyTorch has it


def interpolate(
    x: ArrayLike,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Images of another size, as `torch.nn.functional.interpolate`.

    Args:
        x: A tensor or array [N, C, *S] with one to three axes S, of floats; of any number for the
            modes "nearest" and "nearest-exact".
        size: The extents of the result, one number or one an axis.
        scale_factor: What the extents are multiplied by, in the place of `size`.
        mode: "nearest" (rounding down), "nearest-exact" (to the nearest centre), "linear",
            "bilinear" or "trilinear" by the number of axes, "bicubic" (Keys, "Cubic convolution
            interpolation for digital image processing", 1981, with -0.75), or "area" (means).
        align_corners: Whether the centres of the corner pixels stay in place, rather than the
            corners themselves; for the linear and cubic modes.
        recompute_scale_factor: Whether places follow from the extents rather than from
            `scale_factor`, which the rounding of extents makes another.
        antialias: Whether pixels are averaged when the result is smaller; for "bilinear" and
            "bicubic".

    Returns:
        A tensor [N, C, *size] of x's dtype.

    Raises:
        ArgumentError: Neither or both of size and scale_factor are given, or as many as not fit.
        ShapeError: The rank does not fit the mode.
        ValueRangeError: There is no such mode, or it does not take a setting.

    Example:
        >>> dlc.interpolate(dlc.asarray([[[1.0, 2.0]]]), scale_factor=2)
        Tensor([[[1., 1., 2., 2.]]], dtype=float32)
    """
    x = materialise(as_tensor(x))
    if mode not in _MODES:
        raise ValueRangeError(f"interpolate has no mode {mode!r}", hint=nearest(str(mode), _MODES))
    rank = x.tensor.rank - 2
    wanted = _RANKS.get(mode)
    if not 1 <= rank <= 3 or (wanted is not None and wanted != rank):
        raise ShapeError(
            f"interpolate of {x.tensor} in mode {mode!r}: it takes a tensor [N, C, *S] with "
            f"{wanted or '1 to 3'} axes S"
        )
    check_kinds("interpolate", (x,), "fiu" if mode.startswith("nearest") else "f")
    if mode in ("nearest", "nearest-exact", "area") and align_corners is not None:
        raise ValueRangeError(f"interpolate in mode {mode!r} has no align_corners")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueRangeError(f"interpolate in mode {mode!r} has no antialias")
    # How many pixels antialiasing averages depends on the numbers.
    extents = [known_extent(d) if antialias else d for d in x.tensor.shape[2:]]
    sizes, factors = _sizes(extents, size, scale_factor, bool(recompute_scale_factor))
    if mode == "area":
        pools = (
            adaptive_pooling.adaptive_avg_pool1d, adaptive_pooling.adaptive_avg_pool2d,
            adaptive_pooling.adaptive_avg_pool3d,
        )  # fmt: skip
        return pools[rank - 1](x, sizes)
    # As in PyTorch: an axis that stays as long as it is stays as it is, whatever its factor, and
    # each of the nearest pixels is there twice where there are twice as many.
    kept = antialias or mode not in ("bicubic", "nearest-exact")
    for k, (extent, count, factor) in enumerate(zip(extents, sizes, factors, strict=True)):
        if kept and count == extent:
            continue
        if mode == "nearest" and count == mul(extent, 2):
            factor = None  # noqa: PLW2901
        if mode.startswith("nearest"):
            x = _nearest(x, k + 2, extent, count, factor, exact=mode == "nearest-exact")
            continue
        settings = factor, mode, bool(align_corners)
        if isinstance(extent, int) and isinstance(count, int):
            find = _antialiased if antialias else _neighbours
            x = _weighted(x, k + 2, *find(extent, count, *settings))
        else:
            x = _weighted_open(x, k + 2, extent, count, *settings)
    return x


def _sizes(
    extents: list[Dim], size: Any, scale_factor: Any, recompute: bool
) -> tuple[list[Dim], list[float | None]]:
    """The extents of the result, and the factors by which places are found if not from those."""
    if (size is None) == (scale_factor is None):
        raise ArgumentError("interpolate takes either size or scale_factor")
    given = scale_factor if size is None else size
    values = list(given) if isinstance(given, (tuple, list)) else [given] * len(extents)
    if len(values) != len(extents):
        raise ArgumentError(f"interpolate: {given!r} does not say the size of {len(extents)} axes")
    if size is not None:
        sizes = [as_dim(v, "interpolate: size") for v in values]
        factors: list[float | None] = [None] * len(extents)
    else:
        scales = [float(f) for f in values]
        if not all(map(math.isfinite, scales)):
            raise ValueRangeError(f"interpolate: scale_factor is {given!r}")
        sizes = [_scaled(e, f) for e, f in zip(extents, scales, strict=True)]
        factors = [None if recompute else f for f in scales]
    if not all(at_least(n, 1, expected=True) for n in sizes) or 0 in extents:
        raise ValueRangeError(f"interpolate of {extents} to {sizes}: nothing is left")
    return sizes, factors


def _scaled(extent: Dim, factor: float) -> Dim:
    """The floor of a multiple."""
    if not isinstance(extent, int):
        over, under = factor.as_integer_ratio()
        if max(abs(over), under) <= _EXACT:  # as floats have it
            return floordiv(mul(extent, over), under)
    return math.floor(known_extent(extent) * factor)


def _scale(extent: int, count: int, factor: float | None) -> float:
    return extent / count if factor is None else 1.0 / factor


def _nearest(
    x: Tensor, axis: int, extent: Dim, count: Dim, factor: float | None, *, exact: bool
) -> Tensor:
    if not (isinstance(extent, int) and isinstance(count, int)):
        times = floordiv(count, extent)
        # Multiples of a power of 2 are exact.
        if factor is None and isinstance(times, int) and times.bit_count() == 1:
            return _repeated(x, axis, times)
        return indexing.take(x, open_places.nearest(extent, count, factor, exact=exact), axis=axis)
    scale = np.float32(_scale(extent, count, factor))
    place = np.arange(count, dtype=np.float32) + np.float32(0.5 if exact else 0.0)
    places = np.minimum(np.floor(place * scale).astype(np.int64), extent - 1)
    if count % extent == 0 and np.array_equal(places, np.arange(count) // (count // extent)):
        return _repeated(x, axis, count // extent)
    return indexing.take(x, places, axis=axis)


def _repeated(x: Tensor, axis: int, times: int) -> Tensor:
    if times == 1:
        return x
    shape = x.tensor.shape
    apart = reshaped(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    held = broadcast_to(apart, (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return reshaped(held, (*shape[:axis], mul(shape[axis], times), *shape[axis + 1 :]))


def _centres(extent: int, count: int, factor: float | None, align: bool) -> Any:
    """Where the centres of the result's pixels are among the image's, the first of which is 0."""
    place = np.arange(count)
    if align:
        return place * (extent - 1) / max(count - 1, 1)
    scaled = (place + 0.5) * extent / count if factor is None else (place + 0.5) / factor
    return scaled - 0.5


def cubic_near(t: Any, a: float = _CUBIC) -> Any:
    """The weight of a pixel at a distance below 1."""
    return ((a + 2) * t - (a + 3)) * t * t + 1


def cubic_far(t: Any, a: float = _CUBIC) -> Any:
    """That of one at a distance from 1 to 2."""
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a


def _cubic(distance: Any, a: float = _CUBIC) -> Any:
    t = np.abs(distance)
    return np.where(t < 1, cubic_near(t, a), np.where(t < 2, cubic_far(t, a), 0.0))


def _neighbours(
    extent: int, count: int, factor: float | None, mode: str, align: bool
) -> tuple[Any, Any]:
    """The pixels that each one of the result is made of, and their weights, [count, pixels]."""
    at = _centres(extent, count, factor, align)
    if mode == "bicubic":
        start = np.floor(at).astype(np.int64)
        places = start[:, None] + np.arange(-1, 3)
        return np.clip(places, 0, extent - 1), _cubic(at[:, None] - places)
    at = np.maximum(at, 0.0)
    start = np.minimum(np.floor(at).astype(np.int64), extent - 1)
    part = at - start
    places = np.stack([start, np.minimum(start + 1, extent - 1)], 1)
    return places, np.stack([1 - part, part], 1)


def _antialiased(
    extent: int, count: int, factor: float | None, mode: str, align: bool
) -> tuple[Any, Any]:
    """The same with a filter as wide as a pixel of the result, where that is larger."""
    if align:
        scale = (extent - 1) / (count - 1) if count > 1 else 0.0
    else:
        scale = _scale(extent, count, factor)
    stretch = max(scale, 1.0)
    radius = (2.0 if mode == "bicubic" else 1.0) * stretch
    filter_: Callable[[Any], Any] = _keys if mode == "bicubic" else _triangle
    centre = (np.arange(count) + 0.5) * scale
    start = np.maximum((centre - radius + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + radius + 0.5).astype(np.int64), extent)
    places = start[:, None] + np.arange(int((end - start).max()))
    weights = filter_((places + 0.5 - centre[:, None]) / stretch)
    weights = np.where(places < end[:, None], weights, 0.0)
    return np.minimum(places, extent - 1), weights / weights.sum(1, keepdims=True)


def _triangle(distance: Any) -> Any:
    return np.maximum(1 - np.abs(distance), 0.0)


def _keys(distance: Any) -> Any:
    return _cubic(distance, -0.5)


def _weighted(x: Tensor, axis: int, places: Any, weights: Any) -> Tensor:
    """Sums of pixels along an axis, by weights."""
    dtype = x.tensor.dtype
    shape = (len(places), *(1,) * (x.tensor.rank - axis - 1))
    held = weights.astype(np.float32 if dtype.bits == 16 else dtype.numpy)
    total: Tensor | None = None
    for k in range(places.shape[1]):
        read = indexing.take(x, places[:, k], axis=axis)
        part = elementwise.multiply(read, held[:, k].reshape(shape).astype(dtype.numpy))
        total = part if total is None else elementwise.add(total, part)
    assert total is not None
    return total


def _weighted_open(
    x: Tensor, axis: int, extent: Dim, count: Dim, factor: float | None, mode: str, align: bool
) -> Tensor:
    """The same along an axis of open extents."""
    if mode == "bicubic":
        weights = cubic_near, cubic_far
        columns = open_places.cubic(extent, count, factor, align, weights)
    else:
        columns = open_places.linear(extent, count, factor, align)
    dtype = x.tensor.dtype
    shape = (count, *(1,) * (x.tensor.rank - axis - 1))
    total: Tensor | None = None
    for places, weights in columns:
        held = convert(weights, float32 if dtype.bits == 16 else dtype)
        read = indexing.take(x, places, axis=axis)
        if total is not None and mode != "bicubic":
            # An axis that stays as long as it is stays as it is, with infinities and -0.0 in it.
            read = composed.where(open_places.stays(extent, count), -0.0, read)
        part = elementwise.multiply(read, convert(reshaped(held, shape), dtype))
        total = part if total is None else elementwise.add(total, part)
    assert total is not None
    return total


def pixel_shuffle(x: ArrayLike, upscale_factor: int) -> Tensor:
    """Channels as pixels of a larger image, as `torch.nn.functional.pixel_shuffle`.

    Args:
        x: A tensor or array [..., C * r * r, H, W].
        upscale_factor: The factor r.

    Returns:
        A tensor [..., C, H * r, W * r].

    Raises:
        ShapeError: The channels are no multiple of r * r, or there are too few axes.
        ValueRangeError: The factor is less than 1.

    Example:
        >>> dlc.pixel_shuffle(dlc.ones((1, 8, 3, 3)), 2).shape
        (1, 2, 6, 6)
    """
    x, r = _pixels("pixel_shuffle", x, upscale_factor)
    *lead, channels, h, w = x.tensor.shape
    if not is_multiple(channels, r * r):
        raise ShapeError(
            f"pixel_shuffle of {x.tensor} by {r}: {channels} channels are no multiple of {r * r}"
        )
    each, n = floordiv(channels, r * r), len(lead)
    split = reshaped(x, (*lead, each, r, r, h, w))
    moved = transposed(split, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return reshaped(moved, (*lead, each, mul(h, r), mul(w, r)))


def pixel_unshuffle(x: ArrayLike, downscale_factor: int) -> Tensor:
    """Pixels of a smaller image as channels, as `torch.nn.functional.pixel_unshuffle`.

    Args:
        x: A tensor or array [..., C, H * r, W * r].
        downscale_factor: The factor r.

    Returns:
        A tensor [..., C * r * r, H, W].

    Raises:
        ShapeError: An extent is no multiple of r, or there are too few axes.
        ValueRangeError: The factor is less than 1.

    Example:
        >>> dlc.pixel_unshuffle(dlc.ones((1, 2, 6, 6)), 2).shape
        (1, 8, 3, 3)
    """
    x, r = _pixels("pixel_unshuffle", x, downscale_factor)
    *lead, channels, h, w = x.tensor.shape
    if not (is_multiple(h, r) and is_multiple(w, r)):
        raise ShapeError(f"pixel_unshuffle of {x.tensor} by {r}: {h} or {w} is no multiple of {r}")
    rows, columns, n = floordiv(h, r), floordiv(w, r), len(lead)
    split = reshaped(x, (*lead, channels, rows, r, columns, r))
    moved = transposed(split, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    total: Dim = mul(channels, r * r)
    return reshaped(moved, (*lead, total, rows, columns))


def _pixels(name: str, x: ArrayLike, factor: int) -> tuple[Tensor, int]:
    x, r = materialise(as_tensor(x)), integer(name, "the factor", factor)
    if r < 1:
        raise ValueRangeError(f"{name}: the factor is {r}, it must be at least 1")
    if x.tensor.rank < 3:
        raise ShapeError(f"{name} of {x.tensor}: it takes a tensor [..., C, H, W]")
    return x, r
