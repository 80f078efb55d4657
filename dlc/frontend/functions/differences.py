"""Differences of neighbours: derivatives, jumps of angles, running integrals."""

from __future__ import annotations

import math
from typing import Any

from dlc.frontend.apply import as_tensor, float_promote, materialise
from dlc.frontend.functions import elementwise
from dlc.frontend.functions.arguments import ArrayLike, AxisLike, find_axes, find_axis, reshaped
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.cumulative import cumsum
from dlc.frontend.functions.shape import concat, flatten, part
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, at_least, is_empty
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.ops.families import same_shape


def gradient(
    f: ArrayLike, /, *varargs: ArrayLike, axis: AxisLike = None, edge_order: int = 1
) -> Any:
    """The derivative of samples by differences of their neighbours, second-order inside.

    Args:
        f: The samples: a tensor or array. Integers and bools are taken as float32.
        *varargs: The distance of samples: none for 1, one number for all axes, or for each axis a
            number or the places along it.
        axis: The axis or axes; all of them for None.
        edge_order: The order of the differences at the ends: 1 or 2.

    Returns:
        A tensor of f's shape; a list of one for each axis where there are several.

    Raises:
        ArgumentError: There are not as many distances as axes.
        IndexRangeError: An axis is out of range.
        ShapeError: An axis has fewer than edge_order + 1 samples, or another number of places.
        ValueRangeError: The edge order is another one.

    Example:
        >>> dlc.gradient(dlc.asarray([1.0, 2.0, 4.0, 7.0]))
        Tensor([1. , 1.5, 2.5, 3. ], dtype=float32)
    """
    if edge_order not in (1, 2):
        raise ValueRangeError(f"gradient of edge order {edge_order}: it is 1 or 2")
    (values,) = float_promote(f)
    values = materialise(values)
    axes = find_axes("gradient", axis, values.tensor)
    if len(varargs) not in (0, 1, len(axes)):
        raise ArgumentError(f"gradient over {len(axes)} axes with {len(varargs)} distances")
    steps = list(varargs) if len(varargs) == len(axes) else list(varargs or (1.0,)) * len(axes)
    found = [_slope(values, k, s, edge_order) for k, s in zip(axes, steps, strict=True)]
    return found[0] if len(found) == 1 else found


def _slope(x: Tensor, axis: int, spacing: ArrayLike, order: int) -> Tensor:
    extent = x.tensor.shape[axis]
    if not at_least(extent, order + 1, expected=True):
        raise ShapeError(
            f"gradient of {x.tensor}: axis {axis} needs {order + 1} samples for edge order {order}"
        )
    (step,) = float_promote(spacing)
    if step.tensor.rank:
        if not same_shape(step.tensor.shape, (extent,)):
            raise ShapeError(f"gradient of {x.tensor}: places {step.tensor} along axis {axis}")
        shape = tuple(extent if k == axis else 1 for k in range(x.tensor.rank))
        at = reshaped(materialise(step), shape)
        width = elementwise.subtract(part(at, axis, 1, extent), part(at, axis, 0, add(extent, -1)))
    else:
        width = step
    jumps = elementwise.subtract(part(x, axis, 1, extent), part(x, axis, 0, add(extent, -1)))
    slopes = elementwise.divide(jumps, width)
    return _between(slopes, width, axis, add(extent, -1), order)


def _cut(x: Tensor, axis: int, start: Dim, stop: Dim) -> Tensor:
    return part(x, axis, start, stop) if x.tensor.rank else x


def _between(slopes: Tensor, width: Tensor, axis: int, count: Dim, order: int) -> Tensor:
    """The slopes at the samples, of those between them: the other step weighs each neighbour."""
    ends = [part(slopes, axis, 0, 1), part(slopes, axis, add(count, -1), count)]
    if not at_least(count, 2, expected=True):
        return concat([ends[0], ends[0]], axis=axis)
    left, right = part(slopes, axis, 0, add(count, -1)), part(slopes, axis, 1, count)
    before, after = _cut(width, axis, 0, add(count, -1)), _cut(width, axis, 1, count)
    weighed = elementwise.add(
        elementwise.multiply(left, after), elementwise.multiply(right, before)
    )
    inner = elementwise.divide(weighed, elementwise.add(before, after))
    if order == 2:
        ends = [
            _edge(slopes, width, axis, 0, 1),
            _edge(slopes, width, axis, add(count, -1), add(count, -2)),
        ]
    return concat([ends[0], inner, ends[1]], axis=axis)


def _edge(slopes: Tensor, width: Tensor, axis: int, near: Dim, far: Dim) -> Tensor:
    """The slope at an end, of the parabola through three samples."""
    first, second = (part(slopes, axis, k, add(k, 1)) for k in (near, far))
    h, w = (_cut(width, axis, k, add(k, 1)) for k in (near, far))
    bend = elementwise.divide(elementwise.subtract(first, second), elementwise.add(h, w))
    return elementwise.add(first, elementwise.multiply(bend, h))


def ediff1d(
    x: ArrayLike, /, to_end: ArrayLike | None = None, to_begin: ArrayLike | None = None
) -> Tensor:
    """The differences of neighbours in row-major order.

    Args:
        x: A tensor or array.
        to_end: What comes behind them.
        to_begin: What comes before them.

    Returns:
        A tensor with one axis, of x's dtype.

    Example:
        >>> dlc.ediff1d(dlc.asarray([1, 4, 9]), to_begin=0)
        Tensor([0, 3, 5], dtype=int64)
    """
    row = flatten(materialise(as_tensor(x)))
    count = row.tensor.shape[0]
    if is_empty(count):
        inner = row
    else:
        inner = elementwise.subtract(part(row, 0, 1, count), part(row, 0, 0, add(count, -1)))
    pieces = [inner]
    dtype = row.tensor.dtype
    if to_begin is not None:
        pieces.insert(0, flatten(elementwise.add(as_tensor(to_begin), 0)).astype(dtype))
    if to_end is not None:
        pieces.append(flatten(elementwise.add(as_tensor(to_end), 0)).astype(dtype))
    return concat(pieces) if len(pieces) > 1 else inner


def unwrap(
    p: ArrayLike, /, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi
) -> Tensor:
    """Angles without the jumps of a period or so.

    Args:
        p: A tensor or array. Integers and bools are taken as float32.
        discont: From which size on a jump is removed; half a period by default.
        axis: The axis along which angles follow each other.
        period: The size of a full turn.

    Returns:
        A tensor of p's shape.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.unwrap(dlc.asarray([0.0, 3.0, -3.0]), period=6.0)
        Tensor([0., 3., 3.], dtype=float32)
    """
    (x,) = float_promote(p)
    x = materialise(x)
    along = find_axis("unwrap", axis, x.tensor)
    count = x.tensor.shape[along]
    if not at_least(count, 2, expected=True):
        return elementwise.add(x, 0)
    jump = elementwise.subtract(part(x, along, 1, count), part(x, along, 0, add(count, -1)))
    half = period / 2
    shifted = elementwise.subtract(elementwise.remainder(elementwise.add(jump, half), period), half)
    # Half a turn upwards stays one upwards.
    up = elementwise.logical_and(elementwise.equal(shifted, -half), elementwise.greater(jump, 0))
    shifted = where(up, half, shifted)
    small = elementwise.less(elementwise.abs(jump), half if discont is None else max(half, discont))
    correction = where(small, 0, elementwise.subtract(shifted, jump))
    moved = elementwise.add(part(x, along, 1, count), cumsum(correction, axis=along))
    return concat([part(x, along, 0, 1), moved], axis=along)
