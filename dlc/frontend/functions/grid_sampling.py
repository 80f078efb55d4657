"""Images read at places of a grid, and the grids of affine maps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from dlc.frontend.apply import apply, as_tensor, convert, materialise
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import elementwise, linalg
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, find_shape, reshaped
from dlc.frontend.functions.composed import round as rounded
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.indexing import take_along_axis
from dlc.frontend.functions.resizing import cubic_far, cubic_near
from dlc.frontend.functions.shape import concat
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, dims_equal, is_empty, product
from dlc.ir.errors import ShapeError, ValueRangeError, nearest
from dlc.ir.types import DType, float32, int64

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


@casts
def affine_grid(theta: ArrayLike, size: Any, align_corners: bool = False) -> Tensor:
    """The places that affine maps read images at, as `torch.nn.functional.affine_grid`.

    Args:
        theta: The maps: [N, 2, 3] for images, [N, 3, 4] for volumes.
        size: The shape of the result of `grid_sample`: (N, C, H, W) or (N, C, D, H, W).
        align_corners: Whether -1 and 1 are the centres of the corner pixels, or their corners.

    Returns:
        A tensor [N, H, W, 2] or [N, D, H, W, 3] of theta's dtype: x, y (and z) from -1 to 1.

    Raises:
        DTypeError: theta is not of floats.
        ShapeError: theta does not fit the size.

    Example:
        >>> dlc.affine_grid(dlc.asarray([[[1.0, 0, 0], [0, 1, 0]]]), (1, 1, 1, 2))
        Tensor([[[[-0.5,  0. ],
                  [ 0.5,  0. ]]]], dtype=float32)
    """
    maps = materialise(as_tensor(theta))
    check_kinds("affine_grid", (maps,), "f")
    shape = find_shape("affine_grid", size)
    rank = len(shape) - 2
    if rank not in (2, 3):
        raise ShapeError(f"affine_grid of size {size}: (N, C, H, W) or (N, C, D, H, W) is needed")
    held = maps.tensor.shape
    if len(held) != 3 or held[1:] != (rank, rank + 1) or not dims_equal(held[0], shape[0]):
        raise ShapeError(
            f"affine_grid of {maps.tensor} for size {size}: maps [N, {rank}, {rank + 1}] are needed"
        )
    dtype = maps.tensor.dtype
    wide = dtype if dtype.bits >= 32 else float32
    places = tuple(shape[2:])
    columns = [
        _row(places, k, align_corners, wide) for k in reversed(range(rank))
    ]  # x varies along the last axis
    columns.append(apply("full", value=1, shape=(*places, 1), dtype=wide))
    points = reshaped(concat(columns, axis=-1), (product(places), rank + 1))
    found = linalg.matmul(points, apply("transpose", convert(maps, wide), axes=(0, 2, 1)))
    return convert(reshaped(found, (held[0], *places, rank)), dtype)


def _row(places: tuple[Dim, ...], axis: int, align_corners: bool, dtype: DType) -> Tensor:
    """The coordinates along an axis, for each place."""
    count = places[axis]
    steps = apply("iota", shape=(*places, 1), axis=axis, dtype=dtype)
    if count == 1:
        return elementwise.multiply(steps, 0)
    total = convert(apply("dim", dim=count), dtype)
    if align_corners:
        scaled = elementwise.divide(elementwise.multiply(steps, 2), elementwise.subtract(total, 1))
        return elementwise.subtract(scaled, 1)
    odd = elementwise.add(elementwise.multiply(steps, 2), 1)
    return elementwise.subtract(elementwise.divide(odd, total), 1)


@casts
def grid_sample(
    x: ArrayLike,
    grid: ArrayLike,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Images read at places of a grid, as `torch.nn.functional.grid_sample`.

    Args:
        x: A tensor or array [N, C, H, W] or [N, C, D, H, W] of floats.
        grid: The places [N, *out, 2], or 3: x, y (and z), where -1 and 1 are the edges of images.
        mode: "bilinear" (between the two neighbours along each axis), "nearest", or "bicubic"
            (images only).
        padding_mode: What is outside: "zeros", the nearest edge ("border"), or the mirror image
            ("reflection").
        align_corners: Whether -1 and 1 are the centres of the corner pixels, or their corners.

    Returns:
        A tensor [N, C, *out] of x's dtype.

    Raises:
        DTypeError: x or the grid is not of floats.
        ShapeError: The shapes do not fit.
        ValueRangeError: There is no such mode.

    Example:
        >>> image = dlc.asarray([[[[1.0, 2.0], [3.0, 4.0]]]])
        >>> dlc.grid_sample(image, dlc.zeros((1, 1, 1, 2)))
        Tensor([[[[2.5]]]], dtype=float32)
    """
    images, places = (materialise(as_tensor(t)) for t in (x, grid))
    check_kinds("grid_sample", (images, places), "f")
    _check(images, places, mode, padding_mode)
    dtype = images.tensor.dtype
    wide = dtype if dtype.bits >= 32 else float32
    extents = images.tensor.shape[2:]
    rank, aligned = len(extents), bool(align_corners)
    n, c = images.tensor.shape[:2]
    out = places.tensor.shape[1:-1]
    flat = reshaped(convert(images, wide), (n, c, product(extents)))
    points = reshaped(convert(places, wide), (n, product(out), rank))
    axes: list[_Axis] = []
    for k, extent in enumerate(extents):
        at = reshaped(points[:, :, rank - 1 - k : rank - k], (n, product(out)))
        axes.append(_Axis(_in_pixels(at, extent, aligned), extent, padding_mode, aligned, mode))
    total: Tensor | None = None
    for corner in itertools.product(*(axis.taps() for axis in axes)):
        place, weight, inside = _joined(corner, extents)
        read = take_along_axis(flat, reshaped(place, (n, 1, product(out))), axis=2)
        if inside is not None:
            weight = where(inside, weight, 0)
            # What lies outside does not count, whatever the nearest pixel holds.
            read = where(reshaped(inside, (n, 1, product(out))), read, 0)
        part = elementwise.multiply(read, reshaped(weight, (n, 1, product(out))))
        total = part if total is None else elementwise.add(total, part)
    assert total is not None
    return convert(reshaped(total, (n, c, *out)), dtype)


def _check(x: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    if mode not in _MODES:
        raise ValueRangeError(f"grid_sample has no mode {mode!r}", hint=nearest(str(mode), _MODES))
    if padding_mode not in _PADDINGS:
        raise ValueRangeError(
            f"grid_sample has no padding mode {padding_mode!r}",
            hint=nearest(str(padding_mode), _PADDINGS),
        )
    rank = x.tensor.rank - 2
    held = grid.tensor.shape
    fits = rank in (2, 3) and len(held) == rank + 2 and held[-1] == rank
    if not fits or not dims_equal(held[0], x.tensor.shape[0]):
        raise ShapeError(
            f"grid_sample of {x.tensor} at {grid.tensor}: images [N, C, H, W] take a grid "
            "[N, H', W', 2], volumes [N, C, D, H, W] one [N, D', H', W', 3]"
        )
    if mode == "bicubic" and rank != 2:
        raise ValueRangeError("grid_sample of volumes has no mode 'bicubic'")
    if any(map(is_empty, x.tensor.shape[1:])):
        raise ShapeError(f"grid_sample of {x.tensor}: there are no pixels")


def _in_pixels(at: Tensor, extent: Dim, aligned: bool) -> Tensor:
    size = convert(apply("dim", dim=extent), at.tensor.dtype)
    if aligned:
        return elementwise.multiply(
            elementwise.multiply(elementwise.add(at, 1), 0.5), elementwise.subtract(size, 1)
        )
    scaled = elementwise.multiply(elementwise.add(at, 1), size)
    return elementwise.multiply(elementwise.subtract(scaled, 1), 0.5)


class _Axis:
    """The places along one axis, in pixels."""

    def __init__(self, at: Tensor, extent: Dim, padding: str, aligned: bool, mode: str) -> None:
        self.extent, self.padding, self.aligned, self.mode = extent, padding, aligned, mode
        # Cubics are of pixels that are padded each, others of a place that is.
        self.at = at if mode == "bicubic" else self._padded(at)

    def taps(self) -> list[tuple[Tensor, Tensor, Tensor | None]]:
        """The pixels that count: their places, weights, and whether they are inside."""
        if self.mode == "nearest":
            near = rounded(self.at)
            return [self._tap(near, elementwise.add(elementwise.multiply(near, 0), 1))]
        low = elementwise.floor(self.at)
        part = elementwise.subtract(self.at, low)
        if self.mode == "bilinear":
            weights = [elementwise.subtract(1, part), part]
            return [self._tap(elementwise.add(low, k), w) for k, w in enumerate(weights)]
        cubics = [
            cubic_far(elementwise.add(part, 1)),
            cubic_near(part),
            cubic_near(elementwise.subtract(1, part)),
            cubic_far(elementwise.subtract(2, part)),
        ]
        return [
            self._tap(self._padded(elementwise.add(low, k - 1)), w) for k, w in enumerate(cubics)
        ]

    def _tap(self, place: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        top = convert(apply("dim", dim=self.extent - 1), place.tensor.dtype)
        inside = elementwise.logical_and(
            elementwise.greater_equal(place, 0), elementwise.less_equal(place, top)
        )
        held = convert(where(inside, place, 0), int64)
        if self.padding == "zeros":
            return held, weight, inside
        # Only the second neighbour of the last pixel is outside; it weighs nothing.
        return held, weight, None

    def _padded(self, at: Tensor) -> Tensor:
        """Places outside, brought inside; a derivative stops where an edge does it."""
        if self.padding == "zeros":
            return at
        top = convert(apply("dim", dim=self.extent - 1), at.tensor.dtype)
        if self.padding == "reflection":
            at = self._reflected(at, top)
        below, above = elementwise.less_equal(at, 0), elementwise.greater_equal(at, top)
        return where(below, 0, where(above, top, at))

    def _reflected(self, at: Tensor, top: Tensor) -> Tensor:
        """Places between the two mirrors, which are at the centres or the edges of pixels."""
        start = 0.0 if self.aligned else -0.5
        span = elementwise.add(top, 0.0 if self.aligned else 1.0)
        flat = elementwise.equal(span, 0)
        span = where(flat, 1, span)
        distance = elementwise.subtract(at, start)
        distance = where(elementwise.less(distance, 0), elementwise.negative(distance), distance)
        turns = elementwise.floor(elementwise.divide(distance, span))
        rest = elementwise.subtract(distance, elementwise.multiply(turns, span))
        even = elementwise.equal(elementwise.remainder(turns, 2), 0)
        found = elementwise.add(where(even, rest, elementwise.subtract(span, rest)), start)
        return where(flat, 0, found)


def _joined(
    corner: Sequence[tuple[Tensor, Tensor, Tensor | None]], extents: Sequence[Dim]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The place in row-major order, the weight, and whether it is inside, of one along each."""
    place, weight, inside = corner[0]
    for (more, factor, within), extent in zip(corner[1:], extents[1:], strict=True):
        place = elementwise.add(elementwise.multiply(place, apply("dim", dim=extent)), more)
        weight = elementwise.multiply(weight, factor)
        if inside is not None and within is not None:
            inside = elementwise.logical_and(inside, within)
    return place, weight, inside
