"""`pad`: elements added around a tensor."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import apply, as_tensor, convert
from dlc.frontend.apply import broadcast_to as stretch
from dlc.frontend.extent import as_dim
from dlc.frontend.functions import composed, elementwise, reduction, statistics
from dlc.frontend.functions.arguments import ArrayLike, fresh
from dlc.frontend.functions.shape import concat, part
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, at_least, is_empty, maximum, minimum, mul
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError, nearest
from dlc.ir.types import TensorType, float32, float64, int64

# What the ends of an axis are made of, in the modes that compute it.
_EDGES: dict[str, Callable[..., Tensor]] = {
    "linear_ramp": reduction.max,  # by `_ramp`
    "maximum": reduction.max,
    "mean": reduction.mean,
    "median": statistics.median,
    "minimum": reduction.min,
}


def _places(shape: tuple[Dim, ...], axis: int) -> Tensor:
    return apply("iota", shape=shape, axis=axis, dtype=int64)


def _scalar(dim: Dim) -> Tensor:
    return apply("dim", dim=dim)


def _widths(pad_width: Any, type_: TensorType) -> list[tuple[Dim, Dim]]:
    """The elements before and after each axis, by NumPy's rules for short forms."""
    wrong = ArgumentError(
        f"pad of {type_}: the width {pad_width} does not say what is added to {type_.rank} axes",
        hint="give one integer, (before, after), or such a pair for each axis",
    )
    if not isinstance(pad_width, (list, tuple)):
        width = as_dim(pad_width, "pad: a width")
        pairs = [(width, width)] * type_.rank
    else:
        items = list(pad_width)
        if not builtins.any(isinstance(v, (list, tuple)) for v in items):
            items = [items]
        if builtins.any(not isinstance(v, (list, tuple)) or len(v) not in (1, 2) for v in items):
            raise wrong
        pairs = [(as_dim(v[0], "pad: a width"), as_dim(v[-1], "pad: a width")) for v in items]
        if len(pairs) == 1:
            pairs *= type_.rank
        if len(pairs) != type_.rank:
            raise wrong
    for before, after in pairs:
        if not (at_least(before, 0, expected=True) and at_least(after, 0, expected=True)):
            raise ValueRangeError(f"pad of {type_}: the width {pad_width} is negative")
    return pairs


_MODES = ("constant", "edge", "empty", "reflect", "symmetric", "wrap", *_EDGES)


def pad(
    x: ArrayLike,
    /,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: float = 0,
    end_values: float = 0,
    stat_length: int | None = None,
) -> Tensor:
    """x with elements added before and after it along its axes.

    Args:
        x: A tensor or array of any shape and dtype.
        pad_width: How many: an integer, (before, after), or such a pair for each axis.
        mode: "constant"; "edge" repeats the outermost element; "reflect" mirrors around it,
            "symmetric" mirrors with it; "wrap" continues at the other end; "linear_ramp" goes to
            `end_values` in equal steps; "maximum", "mean", "median" and "minimum" are those of the
            axis; "empty" adds what nobody should rely on. As in NumPy.
        constant_values: The number that is added in mode "constant".
        end_values: The outermost number in mode "linear_ramp".
        stat_length: How many of the outermost elements the maximum, mean and so on are of; all of
            them for None.

    Returns:
        A tensor of x's dtype.

    Raises:
        ArgumentError: The widths do not fit x's axes, or the constant is not a number.
        ValueRangeError: A width is negative, or there is no such mode.
        ShapeError: An empty axis has nothing to repeat.

    Example:
        >>> dlc.pad(dlc.asarray([1, 2]), (1, 2))
        Tensor([0, 1, 2, 0, 0], dtype=int64)
    """
    tensor = as_tensor(x)
    type_ = tensor.tensor
    pairs = _widths(pad_width, type_)
    if mode not in _MODES:
        raise ValueRangeError(f"pad has no mode {mode!r}", hint=nearest(str(mode), _MODES))
    if mode in ("constant", "empty"):
        if not isinstance(constant_values, (bool, int, float)):
            kind = type(constant_values).__name__
            raise ArgumentError(f"pad: constant_values must be a number, got {kind}")
        low, high = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
        value = type_.dtype.numpy.type(constant_values).item()
        return apply("pad", tensor, low=low, high=high, value=value)
    for axis, (before, after) in enumerate(pairs):
        if (before, after) == (0, 0):
            continue
        if is_empty(type_.shape[axis]):
            raise ShapeError(f"pad of {type_} in mode {mode!r}: axis {axis} is empty")
        if mode in _EDGES:
            ends = _padded_ends(tensor, axis, (before, after), mode, end_values, stat_length)
            tensor = concat([ends[0], tensor, ends[1]], axis=axis)
            continue
        places = _padded_places(type_.shape[axis], before, after, mode)
        tensor = apply("take", tensor, places, axis=axis)
    return fresh(tensor, x)


def _padded_ends(
    x: Tensor,
    axis: int,
    widths: tuple[Dim, Dim],
    mode: str,
    end_value: float,
    length: int | None,
) -> list[Tensor]:
    """What is added before and after an axis, of numbers that are computed from it."""
    extent, dtype = x.tensor.shape[axis], x.tensor.dtype
    found: list[Tensor] = []
    for side, width in enumerate(widths):
        shape = tuple(width if k == axis else d for k, d in enumerate(x.tensor.shape))
        if mode == "linear_ramp":
            edge = part(x, axis, 0, 1) if side == 0 else part(x, axis, add(extent, -1), extent)
            found.append(_ramp(edge, shape, axis, end_value, side == 0))
            continue
        count = extent if length is None else minimum(extent, as_dim(length, "pad: stat_length"))
        start = 0 if side == 0 else add(extent, mul(count, -1))
        used = part(x, axis, start, add(start, count))
        if mode in ("mean", "median") and not dtype.is_float:
            used = convert(used, float64)
        value = _EDGES[mode](used, axis=axis, keepdims=True)
        if used.tensor.dtype is not dtype:
            value = composed.round(value)
        found.append(stretch(convert(value, dtype), shape))
    return found


def _ramp(edge: Tensor, shape: tuple[Dim, ...], axis: int, end: float, rising: bool) -> Tensor:
    """Numbers in equal steps from `end` to just before the edge, or the other way round."""
    dtype = edge.tensor.dtype
    wide = float64 if dtype.bits > 32 or not dtype.is_float else float32
    width = shape[axis]
    steps = apply("iota", shape=shape, axis=axis, dtype=wide)
    if not rising:
        steps = elementwise.subtract(_scalar(add(width, -1)), steps)
    share = elementwise.divide(steps, _scalar(width))
    distance = elementwise.subtract(convert(edge, wide), end)
    ramp = elementwise.add(elementwise.multiply(distance, share), end)
    return convert(ramp if dtype.is_float else elementwise.floor(ramp), dtype)


def _padded_places(extent: Dim, before: Dim, after: Dim, mode: str) -> Tensor:
    """The place in the axis that each place of the padded axis repeats."""
    total = add(add(before, extent), after)
    places = elementwise.subtract(_places((total,), 0), _scalar(before))
    if mode == "edge":
        return composed.clip(places, 0, _scalar(add(extent, -1)))
    if mode == "wrap":
        return elementwise.remainder(places, _scalar(extent))
    # Mirrored, the axis repeats with a period of twice its extent, less the two outermost elements
    # where these are not repeated. Of one element there is nothing else to reflect.
    last = add(mul(extent, 2), -1 if mode == "symmetric" else -2)
    period = add(last, 1) if mode == "symmetric" else maximum(last, 1)
    inside = elementwise.remainder(places, _scalar(period))
    return elementwise.minimum(inside, elementwise.subtract(_scalar(last), inside))
