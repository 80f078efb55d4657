"""Boxes, grids of positions, and convolutions that look elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc.frontend.context import current_trace
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.operators.convolution import window_pads
from dlc.interop.onnx.values import ints


@operator("AffineGrid", since=20, known=(1,))
def affine_grid(node: Any, theta: Any, size: Any) -> Any:
    """The positions that affine maps take those of a grid from."""
    return dlc.affine_grid(theta, tuple(ints(size)), bool(node.attr("align_corners", 0)))


@operator("NonMaxSuppression", since=10, known=(2, 3, 4))
def non_max_suppression(
    node: Any, boxes: Any, scores: Any, most: Any = None, overlap: Any = None, least: Any = None
) -> Any:
    """The boxes [batch, class, box] that no better one covers, class by class.

    How many there are depends on data: it runs between compiled programs.
    """
    if current_trace() is not None:
        raise node.needs_run()
    limit = 0 if most is None else int(most.reshape(-1)[0])
    threshold = 0.0 if overlap is None else float(overlap.reshape(-1)[0])
    floor = -np.inf if least is None else float(least.reshape(-1)[0])
    corners = _corners(boxes, bool(node.attr("center_point_box", 0)))
    kept = _suppressed(corners, scores, limit, threshold, floor)
    chosen = [
        (b, c, int(i))
        for b, classes in enumerate(kept)
        for c, places in enumerate(classes)
        for i in places
    ]
    return np.array(chosen, np.int64).reshape(-1, 3)


def _corners(boxes: Any, centred: bool) -> Any:
    a, b, c, d = (boxes[..., k] for k in range(4))
    if centred:
        return dlc.stack([b - d / 2, a - c / 2, b + d / 2, a + c / 2], axis=-1)
    return dlc.stack(
        [dlc.minimum(a, c), dlc.minimum(b, d), dlc.maximum(a, c), dlc.maximum(b, d)], axis=-1
    )


def _suppressed(
    corners: Any, scores: Any, limit: int, threshold: float, floor: float
) -> list[list[Any]]:
    """For each sample and class the places of boxes that stay, best first."""
    covered = (_overlaps(corners) > threshold).numpy()
    order = dlc.argsort(scores, axis=-1, descending=True).numpy()
    enough = (scores > floor).numpy()
    result: list[list[Any]] = []
    for b in range(order.shape[0]):
        classes: list[Any] = []
        for c in range(order.shape[1]):
            places: list[int] = []
            for i in order[b, c]:
                if len(places) >= limit:
                    break
                if enough[b, c, i] and not covered[b, i, places].any():
                    places.append(int(i))
            classes.append(places)
        result.append(classes)
    return result


def _overlaps(corners: Any) -> Any:
    """The intersection over the union of each pair of boxes."""
    one, two = corners[:, :, None, :], corners[:, None, :, :]
    low, high = dlc.maximum(one[..., :2], two[..., :2]), dlc.minimum(one[..., 2:], two[..., 2:])
    sides = dlc.maximum(high - low, 0)
    common = sides[..., 0] * sides[..., 1]
    area = (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1])
    whole = area[:, :, None] + area[:, None, :] - common
    return dlc.where(whole > 0, common / dlc.where(whole > 0, whole, 1), 0)


@operator("DeformConv", since=19)
def deform_conv(
    node: Any, x: Any, weight: Any, offset: Any, bias: Any = None, mask: Any = None
) -> Any:
    """A convolution whose filters look at places that are moved by an input."""
    rank = x.ndim - 2
    sizes = list(weight.shape[2:])
    strides, dilations = node.attr("strides", [1] * rank), node.attr("dilations", [1] * rank)
    pads = window_pads(node, x.shape[2:], sizes, strides, dilations)
    groups, shared = node.attr("group", 1), node.attr("offset_group", 1)
    n, channels = x.shape[:2]
    counts = list(offset.shape[2:])
    taps = int(np.prod(sizes))
    moved = dlc.reshape(offset, (n, shared, taps, rank, *counts))
    at: list[Any] = []
    grid = np.meshgrid(*[np.arange(s) for s in sizes], indexing="ij")
    for k in range(rank):
        tap = grid[k].reshape(taps, *[1] * rank) * dilations[k] - pads[k][0]
        shape = [1] * (rank + 1)
        shape[1 + k] = -1
        place = tap + (np.arange(counts[k]) * strides[k]).reshape(shape)
        at.append(moved[:, :, :, k] + place.astype(np.float32))
    values = _interpolated(dlc.reshape(x, (n, shared, channels // shared, *x.shape[2:])), at)
    if mask is not None:
        values = values * dlc.reshape(mask, (n, shared, 1, taps, *counts))
    columns = dlc.reshape(values, (n, groups, channels // groups * taps, -1))
    filters = dlc.reshape(weight, (groups, weight.shape[0] // groups, -1))
    y = dlc.reshape(dlc.matmul(filters, columns), (n, weight.shape[0], *counts))
    return y if bias is None else y + dlc.reshape(bias, (1, -1, *[1] * rank))


def _interpolated(x: Any, at: list[Any]) -> Any:
    """x [n, group, channel, ...] at [n, group, tap, ...]: [n, group, channel, tap, ...]."""
    rank = len(at)
    low = [dlc.floor(a) for a in at]
    n = dlc.reshape(dlc.arange(x.shape[0]), (-1, *[1] * (rank + 2)))
    g = dlc.reshape(dlc.arange(x.shape[1]), (1, -1, *[1] * (rank + 1)))
    result: Any = None
    for corner in np.ndindex(*[2] * rank):
        weight: Any = None
        index: list[Any] = []
        for k, o in enumerate(corner):
            place = low[k] + o
            w = 1 - dlc.abs(at[k] - place)
            extent = x.shape[3 + k]
            w = dlc.where(dlc.logical_and(place >= 0, place < extent), w, 0)
            weight = w if weight is None else weight * w
            index.append(dlc.astype(dlc.clip(place, 0, extent - 1), dlc.int64))
        part = x[(n, g, slice(None), *index)]  # channels last
        part = part * weight[..., None]
        result = part if result is None else result + part
    return dlc.moveaxis(result, -1, 2)
