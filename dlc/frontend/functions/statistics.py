"""Functions of the distribution of values: quantiles, medians, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import apply, as_tensor, convert, materialise
from dlc.frontend.cast_table import casts
from dlc.frontend.extent import as_dim
from dlc.frontend.functions.arguments import (
    ArrayLike,
    AxisLike,
    check_kinds,
    find_axes,
    find_axis,
    known_values,
    reshaped,
    transposed,
)
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import ones_like, zeros
from dlc.frontend.functions.elementwise import ceil, floor, less, not_equal
from dlc.frontend.functions.indexing import take
from dlc.frontend.functions.reduction import max as greatest
from dlc.frontend.functions.searching import known_count
from dlc.frontend.functions.sorting import Selected, sort
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import at_least, is_empty, product
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.ops.families import same_shape
from dlc.ir.types import float32, int64

_METHODS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    # From the elements around a place, and how far it is from the first one to the next.
    "linear": lambda low, high, part: low + (high - low) * part,
    "lower": lambda low, high, part: low,
    "higher": lambda low, high, part: where(less(zeros(()), part), high, low),
    "nearest": lambda low, high, part: where(less(part, 0.5), low, high),
    "midpoint": lambda low, high, part: where(less(zeros(()), part), (low + high) / 2, low),
}


@casts
def quantile(
    x: ArrayLike,
    q: ArrayLike,
    /,
    axis: AxisLike = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """The values below which given parts of the elements lie.

    Args:
        x: A tensor or array of numbers.
        q: The parts, from 0 to 1: a number or a tensor of any shape.
        axis: The axis or axes over which elements are taken together; all of them by default.
        method: What lies between two elements: "linear", "lower", "higher", "midpoint" or
            "nearest" (of two that are equally near, the one at an even place).
        keepdims: Whether the axes stay, with one element.

    Returns:
        A tensor of the shape of q followed by the other axes of x, of a float dtype. NaN where one
        of the elements is NaN.

    Raises:
        ArgumentError: There is no such method.
        IndexRangeError: An axis is out of range.
        ShapeError: There are no elements.
        ValueRangeError: A part that is known is not from 0 to 1.

    Example:
        >>> dlc.quantile(dlc.asarray([1.0, 2.0, 3.0, 4.0]), 0.5)
        Tensor(2.5, dtype=float32)
    """
    return _quantile("quantile", x, q, axis, method, keepdims, 1.0)


@casts
def percentile(
    x: ArrayLike,
    q: ArrayLike,
    /,
    axis: AxisLike = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """`quantile` of parts in percent, from 0 to 100.

    Args:
        x: A tensor or array of numbers.
        q: The parts: a number or a tensor of any shape.
        axis: The axis or axes over which elements are taken together; all of them by default.
        method: What lies between two elements, as of `quantile`.
        keepdims: Whether the axes stay, with one element.

    Returns:
        A tensor of the shape of q followed by the other axes of x.

    Raises:
        ArgumentError: There is no such method.
        IndexRangeError: An axis is out of range.
        ShapeError: There are no elements.
        ValueRangeError: A part that is known is not from 0 to 100.

    Example:
        >>> dlc.percentile(dlc.asarray([1.0, 2.0, 3.0, 4.0]), 25.0)
        Tensor(1.75, dtype=float32)
    """
    return _quantile("percentile", x, q, axis, method, keepdims, 100.0)


def _quantile(
    name: str, x: ArrayLike, q: ArrayLike, axis: AxisLike, method: str, keepdims: bool, whole: float
) -> Tensor:
    tensor, axes, rows = rows_of(name, x, axis)
    part = check_parts(name, q, method, whole)
    part = convert(part, rows.tensor.dtype) / whole
    ordered = sort(rows)
    extent = ordered.tensor.shape[-1]
    at = part * convert(apply("dim", dim=extent - 1), part.tensor.dtype)
    below = convert(floor(at), int64)
    low = take(ordered, below, axis=-1)
    high = take(ordered, convert(ceil(at), int64), axis=-1)
    found = between(method, low, high, below, at - floor(at))
    last = ordered[..., -1:]
    found = where(not_equal(last, last), last, found) if part.ndim == 1 else found
    if part.ndim != 1:
        lead = (...,) + (None,) * part.ndim
        edge = ordered[..., -1][lead]
        found = where(not_equal(edge, edge), edge, found)
    rank = rows.tensor.rank - 1
    order = (*range(rank, rank + part.ndim), *range(rank))
    found = transposed(found, order)
    if not keepdims:
        return found
    kept = tuple(1 if k in axes else d for k, d in enumerate(tensor.tensor.shape))
    return reshaped(found, (*part.tensor.shape, *kept))


def check_parts(name: str, q: ArrayLike, method: str, whole: float) -> Tensor:
    """The parts as a tensor, whose known values are from 0 to `whole`; and there is the method."""
    if method not in _METHODS:
        raise ArgumentError(f"{name}: there is no method {method!r}", hint=", ".join(_METHODS))
    part = as_tensor(q)
    given = known_values(q, part)
    if given is not None and not ((given >= 0) & (given <= whole)).all():
        raise ValueRangeError(f"{name}: {q} is not from 0 to {whole:g}")
    return part


def between(method: str, low: Tensor, high: Tensor, place: Tensor, rest: Tensor) -> Tensor:
    """What lies between two elements.

    Args:
        method: How it is found.
        low: The element before.
        high: The one behind.
        place: Where `low` is in the order.
        rest: How far it is on the way from one to the other.
    """
    if method == "nearest":
        odd = convert(not_equal(place % 2, 0), rest.tensor.dtype)
        rest = where(not_equal(rest, 0.5), rest, odd)
    return _METHODS[method](low, high, rest)


def rows_of(name: str, x: ArrayLike, axis: AxisLike) -> tuple[Tensor, tuple[int, ...], Tensor]:
    """x, the axes, and the elements over those as the last axis, of a float dtype."""
    tensor = materialise(as_tensor(x))
    check_kinds(name, (tensor,), "fiu")
    type_ = tensor.tensor
    axes = find_axes(name, axis, type_)
    others = tuple(k for k in range(type_.rank) if k not in axes)
    count = product(type_.shape[k] for k in axes)
    if is_empty(count):
        raise ShapeError(f"{name} of {type_}: there are no elements")
    moved = transposed(tensor, (*others, *sorted(axes)))
    rows = reshaped(moved, (*(type_.shape[k] for k in others), count))
    rows = rows if type_.dtype.is_float else convert(rows, float32)
    return tensor, axes, rows


def median(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
    """The middle element, or the mean of the two in the middle.

    Args:
        x: A tensor or array of numbers.
        axis: The axis or axes over which elements are taken together; all of them by default.
        keepdims: Whether the axes stay, with one element.

    Returns:
        A tensor of a float dtype. NaN where one of the elements is NaN.

    Raises:
        IndexRangeError: An axis is out of range.
        ShapeError: There are no elements.

    Example:
        >>> dlc.median(dlc.asarray([3.0, 1.0, 2.0, 9.0]))
        Tensor(2.5, dtype=float32)
    """
    tensor, axes, rows = rows_of("median", x, axis)
    ordered = sort(rows)
    extent = ordered.tensor.shape[-1]
    low = take(ordered, apply("dim", dim=(extent - 1) // 2), axis=-1)
    high = take(ordered, apply("dim", dim=extent // 2), axis=-1)
    last = ordered[..., -1]
    found = where(not_equal(last, last), last, where(less(low, high), (low + high) / 2, low))
    if not keepdims:
        return found
    kept = tuple(1 if k in axes else d for k, d in enumerate(tensor.tensor.shape))
    return reshaped(found, kept)


def kthvalue(x: ArrayLike, /, k: int, axis: int = -1, *, keepdims: bool = False) -> Selected:
    """The k-th smallest element along an axis, and where it is, as PyTorch spells it.

    Args:
        x: A tensor or array of any dtype, of at least one axis.
        k: Which one, from 1.
        axis: The axis.
        keepdims: Whether the axis stays, with one element.

    Returns:
        A pair (values, indices). Of equal elements the first ones come first.

    Raises:
        ArgumentError: k is not an integer.
        IndexRangeError: The axis is out of range.
        ValueRangeError: There is no k-th element.

    Example:
        >>> dlc.kthvalue(dlc.asarray([3.0, 1.0, 2.0]), 2).values
        Tensor(2., dtype=float32)
    """
    tensor = materialise(as_tensor(x))
    at = find_axis("kthvalue", axis, tensor.tensor)
    extent, which = tensor.tensor.shape[at], as_dim(k, "kthvalue: k")
    known = isinstance(extent, int) and isinstance(which, int)
    if not at_least(which, 1, expected=True) or (
        known and not at_least(extent, which, expected=True)
    ):
        raise ValueRangeError(f"kthvalue of {tensor.tensor}: axis {at} has no element {which}")
    places = apply("argsort", tensor, axis=at, descending=False, count=which)
    last = (slice(None),) * at + (slice(-1, None),)
    places = places[last]
    values = apply("take_along", tensor, places, axis=at)
    if keepdims:
        return Selected(values, places)
    shape = tuple(d for n, d in enumerate(tensor.tensor.shape) if n != at)
    return Selected(reshaped(values, shape), reshaped(places, shape))


def bincount(
    x: ArrayLike,
    /,
    weights: ArrayLike | None = None,
    minlength: int = 0,
    *,
    length: Any = None,
) -> Tensor:
    """How often each integer occurs, or the sums of the weights of each.

    Args:
        x: Integers of one axis, none negative.
        weights: What is added for each; 1 by default.
        minlength: How many counts the result has at least.
        length: How many it has. Needed in compiled code, where the largest is not known: larger
            integers are left out.

    Returns:
        A tensor of one axis: of int64, or of the dtype of the weights.

    Raises:
        DTypeError: x is not of integers.
        ShapeError: x has not one axis, or the weights have another shape.
        TracedValueError: x is traced and there is no `length`.
        ValueRangeError: An integer of known value is negative.

    Example:
        >>> dlc.bincount(dlc.asarray([0, 2, 2]))
        Tensor([1, 0, 2], dtype=int64)
    """
    tensor = materialise(as_tensor(x))
    if tensor.tensor.rank != 1:
        raise ShapeError(f"bincount of {tensor.tensor}: it must have one axis")
    check_kinds("bincount", (tensor,), "iu")
    given = known_values(x, tensor)
    if given is not None and given.size and given.min() < 0:
        raise ValueRangeError(f"bincount of {given.min()}: integers must not be negative")
    places = convert(tensor, int64)
    most = is_empty(places.tensor.size)
    largest = zeros((), dtype=int64) if most else greatest(places) + 1
    count = known_count("bincount", length, largest, "dlc.bincount(x, length=10)")
    if length is None and isinstance(count, int):
        count = max(count, minlength)
    if weights is None:
        updates = ones_like(places)
    else:
        updates = materialise(as_tensor(weights))
        if not same_shape(updates.tensor.shape, tensor.tensor.shape):
            raise ShapeError(f"bincount of {tensor.tensor} with weights {updates.tensor}")
        if updates.tensor.dtype.kind == "b":
            updates = convert(updates, int64)
    return added((count,), places, updates)


def added(shape: Any, places: Tensor, updates: Tensor) -> Tensor:
    """Sums of updates by place; half types are added at float32."""
    dtype = updates.tensor.dtype
    if dtype.is_float and dtype.bits == 16:
        updates = convert(updates, float32)
    start = zeros(shape, dtype=updates.tensor.dtype)
    return convert(apply("scatter_add", start, places, updates, axis=0), dtype)
