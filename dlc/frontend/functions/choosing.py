"""Choosing among arrays, leaving out and putting in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.frontend.apply import as_tensor, broadcast_to, convert, materialise, promote_all
from dlc.frontend.extent import known_extent
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    find_axis,
    integer,
    known_values,
    match_shapes,
    reshaped,
)
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.indexing import take
from dlc.frontend.functions.searching import flatnonzero
from dlc.frontend.functions.shape import concat, flatten, moveaxis
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import (
    ArgumentError,
    IndexRangeError,
    ShapeError,
    TracedValueError,
    ValueRangeError,
)


def select(
    condlist: Sequence[ArrayLike], choicelist: Sequence[ArrayLike], default: ArrayLike = 0
) -> Tensor:
    """Of the first condition that is true, the choice; element by element.

    Args:
        condlist: Bools: tensors or arrays of shapes that broadcast.
        choicelist: A choice for each condition; their dtypes are promoted.
        default: What is chosen where no condition is true.

    Returns:
        A tensor of the common shape and dtype.

    Raises:
        ArgumentError: There are not as many choices as conditions, or none.
        ShapeError: The shapes do not broadcast.

    Example:
        >>> x = dlc.asarray([-2, 0, 3])
        >>> dlc.select([x < 0, x > 0], [-1, 1])
        Tensor([-1,  0,  1], dtype=int64)
    """
    if len(condlist) != len(choicelist) or not condlist:
        raise ArgumentError(
            f"select of {len(condlist)} conditions and {len(choicelist)} choices: "
            "as many of both are needed, and at least one"
        )
    conditions = [as_tensor(c) for c in condlist]
    check_kinds("select", conditions, "b", "conditions are bools: write x != 0")
    *choices, result = promote_all([*choicelist, default])
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = where(condition, choice, result)
    return materialise(result)


def choose(a: ArrayLike, choices: Any, /, *, mode: str = "raise") -> Tensor:
    """For each integer, the element of the choice of that number.

    Args:
        a: Integers that broadcast to the shape of the choices.
        choices: A sequence of tensors or arrays of shapes that broadcast, or a tensor along whose
            first axis they lie.
        mode: What an integer out of range does: "raise" (the nearest choice where values are known
            only when a compiled program runs), "wrap", or "clip".

    Returns:
        A tensor of the common shape and dtype.

    Raises:
        ArgumentError: There are no choices.
        DTypeError: `a` is not of integers.
        IndexRangeError: A known integer is out of range.
        ValueRangeError: There is no such mode.

    Example:
        >>> dlc.choose(dlc.asarray([1, 0]), [[10, 20], [30, 40]])
        Tensor([30, 20], dtype=int64)
    """
    if mode not in ("raise", "wrap", "clip"):
        raise ValueRangeError(f"choose has no mode {mode!r}", hint='"raise", "wrap" or "clip"')
    places = materialise(as_tensor(a))
    check_kinds("choose", (places,), "iu")
    held = choices if isinstance(choices, (list, tuple)) else list(as_tensor(choices))
    tensors = [materialise(t) for t in promote_all(held)]
    n = len(tensors)
    if not n:
        raise ArgumentError("choose among no choices")
    known = known_values(a, places)
    if mode == "raise" and known is not None and ((known < 0) | (known >= n)).any():
        raise IndexRangeError(f"choose: an integer is out of range for {n} choices")
    if mode == "wrap":
        places = elementwise.remainder(places, n)
    places, *tensors = match_shapes("choose", [places, *tensors])
    result = tensors[0]
    for k, tensor in enumerate(tensors[1:], 1):
        reached = elementwise.greater_equal(places, k)
        result = where(reached, tensor, result)
    return result


def piecewise(
    x: ArrayLike,
    condlist: Sequence[ArrayLike],
    funclist: Sequence[ArrayLike | Callable[..., Any]],
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """A function of pieces: where conditions are true, of the last one that is.

    Args:
        x: A tensor or array.
        condlist: Bools of x's shape.
        funclist: For each condition a function of x, or a number; and one more for where none is
            true, 0 by default. Every function is called with all of x.
        *args: Further arguments of the functions.
        **kwargs: And more.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ArgumentError: There are not as many functions as conditions, or one more.

    Example:
        >>> x = dlc.asarray([-2.0, 3.0])
        >>> dlc.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v * 10])
        Tensor([ 2., 30.], dtype=float32)
    """
    tensor = materialise(as_tensor(x))
    if len(funclist) not in (len(condlist), len(condlist) + 1):
        raise ArgumentError(
            f"piecewise of {len(condlist)} conditions and {len(funclist)} functions: "
            "as many functions are needed, or one more"
        )

    def value(f: Any) -> Tensor:
        found = as_tensor(f(tensor, *args, **kwargs) if callable(f) else f)
        return broadcast_to(convert(found, tensor.tensor.dtype), tensor.tensor.shape)

    result = value(funclist[-1] if len(funclist) > len(condlist) else 0)
    for condition, f in zip(condlist, funclist, strict=False):
        result = where(condition, value(f), result)
    return result


def compress(condition: ArrayLike, x: ArrayLike, /, axis: int | None = None) -> Tensor:
    """The slices along an axis at which a condition is true.

    Args:
        condition: Bools with one axis; further slices count as false.
        x: A tensor or array.
        axis: The axis; for None the elements in row-major order.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The condition does not have one axis.
        TracedValueError: The condition is traced: how many slices there are depends on it.

    Example:
        >>> dlc.compress([False, True, True], dlc.asarray([1, 2, 3, 4]))
        Tensor([2, 3], dtype=int64)
    """
    mask = as_tensor(condition)
    if mask.tensor.rank != 1:
        raise ShapeError(f"compress by {mask.tensor}: the condition has one axis")
    tensor, along = _along("compress", x, axis)
    return take(tensor, flatnonzero(mask), axis=along)


def extract(condition: ArrayLike, x: ArrayLike, /) -> Tensor:
    """The elements at which a condition is true, in row-major order.

    Args:
        condition: Bools, as many as x has elements.
        x: A tensor or array.

    Returns:
        A tensor with one axis.

    Raises:
        TracedValueError: The condition is traced.

    Example:
        >>> x = dlc.asarray([[1, 2], [3, 4]])
        >>> dlc.extract(x % 2 == 0, x)
        Tensor([2, 4], dtype=int64)
    """
    return compress(flatten(condition), x)


def _along(name: str, x: ArrayLike, axis: int | None) -> tuple[Tensor, int]:
    tensor = materialise(as_tensor(x))
    if axis is None:
        return flatten(tensor), 0
    return tensor, find_axis(name, axis, tensor.tensor)


def append(x: ArrayLike, values: ArrayLike, /, axis: int | None = None) -> Tensor:
    """x with further values behind it.

    Args:
        x: A tensor or array.
        values: What comes behind, of x's shape but for the axis.
        axis: The axis; for None both are taken in row-major order.

    Returns:
        A tensor of the common dtype.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.append(dlc.asarray([1, 2]), [3])
        Tensor([1, 2, 3], dtype=int64)
    """
    first, last = (materialise(as_tensor(t)) for t in (x, values))
    if axis is None:
        return concat([flatten(first), flatten(last)])
    return concat([first, last], axis=axis)


def _positions(name: str, obj: Any, extent: int, limit: int) -> np.ndarray[Any, Any]:
    """Places that a user gave, as integers from 0 on."""
    if isinstance(obj, slice):
        return np.arange(extent)[obj]
    given = known_values(obj, as_tensor(obj))
    if given is None:
        raise TracedValueError(
            f"{name} at places that are known only when the program runs",
            hint="use dlc.where, or indexing with places of a fixed number",
        )
    if given.dtype.kind == "b":
        if given.shape != (extent,):
            raise ShapeError(f"{name}: a mask {given.shape} for {extent} slices")
        return np.flatnonzero(given)
    places = given.astype(np.int64) if given.size else np.zeros(given.shape, np.int64)
    if given.size and given.dtype.kind not in "iu":
        raise ArgumentError(f"{name} at {given.dtype} places: integers or a mask are needed")
    if ((places < -extent) | (places >= limit)).any():
        raise IndexRangeError(f"{name}: a place is out of range for {extent} slices")
    return np.where(places < 0, places + extent, places)


def delete(x: ArrayLike, obj: Any, /, axis: int | None = None) -> Tensor:
    """x without the slices at some places.

    Args:
        x: A tensor or array.
        obj: The places: an integer, several, a slice or a mask, whose values are known.
        axis: The axis; for None the elements in row-major order.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: The axis or a place is out of range.
        TracedValueError: The places are traced.

    Example:
        >>> dlc.delete(dlc.asarray([1, 2, 3, 4]), [0, 2])
        Tensor([2, 4], dtype=int64)
    """
    tensor, along = _along("delete", x, axis)
    extent = known_extent(tensor.tensor.shape[along])
    gone = _positions("delete", obj, extent, extent)
    return take(tensor, np.setdiff1d(np.arange(extent), gone), axis=along)


def insert(x: ArrayLike, obj: Any, values: ArrayLike, /, axis: int | None = None) -> Tensor:
    """x with further slices before some places.

    Args:
        x: A tensor or array.
        obj: The places of x: an integer, several, a slice or a mask, whose values are known.
        values: What is put in; it broadcasts, and takes x's dtype.
        axis: The axis; for None the elements in row-major order.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: The axis or a place is out of range.
        ShapeError: The values do not fit.
        TracedValueError: The places are traced.

    Example:
        >>> dlc.insert(dlc.asarray([1, 2, 3]), 1, 9)
        Tensor([1, 9, 2, 3], dtype=int64)
    """
    tensor, along = _along("insert", x, axis)
    extent = known_extent(tensor.tensor.shape[along])
    places = _positions("insert", obj, extent, extent + 1)
    added = convert(materialise(as_tensor(values)), tensor.tensor.dtype)
    shape = list(tensor.tensor.shape)
    if places.ndim == 0:  # as many slices as there are come before one place
        lead = (1,) * (len(shape) - added.tensor.rank)
        added = moveaxis(reshaped(added, (*lead, *added.tensor.shape)), 0, along)
        count = integer("insert", "the number of slices", added.tensor.shape[along])
        places = np.full(count, places)
    shape[along] = places.size
    added = broadcast_to(added, _fitting(added, tuple(shape)))
    order = np.argsort(places, kind="stable")
    target = places[order] + np.arange(places.size)
    whole = np.empty(extent + places.size, np.int64)
    kept = np.ones(whole.size, bool)
    kept[target] = False
    whole[kept] = np.arange(extent)
    whole[target] = extent + order
    return take(concat([tensor, added], axis=along), whole, axis=along)


def _fitting(added: Tensor, shape: tuple[Any, ...]) -> tuple[Any, ...]:
    held = added.tensor.shape
    fits = len(held) <= len(shape) and all(
        d in (1, s) for d, s in zip(reversed(held), reversed(shape), strict=False)
    )
    if not fits:
        raise ShapeError(f"insert of values {added.tensor} where {shape} is needed")
    return shape


def ix_(*sequences: ArrayLike) -> tuple[Tensor, ...]:
    """Index arrays of which each is along an axis of its own: `x[dlc.ix_(rows, columns)]`.

    Args:
        *sequences: Integers with one axis each, or masks whose values are known.

    Returns:
        A tensor for each, with as many axes as there are sequences.

    Raises:
        ShapeError: One does not have one axis.

    Example:
        >>> x = dlc.asarray([[1, 2, 3], [4, 5, 6]])
        >>> x[dlc.ix_([0, 1], [2, 0])]
        Tensor([[3, 1],
                [6, 4]], dtype=int64)
    """
    found: list[Tensor] = []
    for k, sequence in enumerate(sequences):
        tensor = materialise(as_tensor(sequence))
        if tensor.tensor.rank != 1:
            raise ShapeError(f"ix_ of {tensor.tensor}: sequences have one axis")
        if tensor.tensor.dtype.kind == "b":
            tensor = flatnonzero(tensor)
        shape = tuple(tensor.tensor.size if j == k else 1 for j in range(len(sequences)))
        found.append(reshaped(tensor, shape))
    return tuple(found)


def unravel_index(indices: ArrayLike, shape: Any, /) -> tuple[Tensor, ...]:
    """The coordinates of places that count the elements of a shape in row-major order.

    Args:
        indices: Integers of any shape. One out of range that is not known while tracing gives the
            coordinates of the nearest place.
        shape: An integer or several, which are known.

    Returns:
        A tensor of the shape of `indices` for each axis.

    Raises:
        DTypeError: The indices are not integers.
        IndexRangeError: A known one is out of range.

    Example:
        >>> [t.item() for t in dlc.unravel_index(7, (3, 4))]
        [1, 3]
    """
    extents = _shape("unravel_index", shape)
    places = materialise(as_tensor(indices))
    check_kinds("unravel_index", (places,), "iu")
    count = functools.reduce(lambda a, b: a * b, extents, 1)
    known = known_values(indices, places)
    if known is not None and ((known < 0) | (known >= count)).any():
        raise IndexRangeError(f"unravel_index: a place is out of range for a tensor {extents}")
    rest = composed.clip(places, 0, max(count - 1, 0))
    found: list[Tensor] = []
    for extent in reversed(extents):
        found.append(elementwise.remainder(rest, max(extent, 1)))
        rest = elementwise.floor_divide(rest, max(extent, 1))
    return tuple(reversed(found))


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    given = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(integer(name, "an extent", d) for d in given)


def ravel_multi_index(
    multi_index: Sequence[ArrayLike], dims: Any, /, mode: str = "raise"
) -> Tensor:
    """The places in row-major order of coordinates.

    Args:
        multi_index: Integers for each axis, of shapes that broadcast.
        dims: The shape: an integer or several.
        mode: What a coordinate out of range does: "raise" (the nearest place where values are known
            only when a compiled program runs), "wrap", or "clip".

    Returns:
        A tensor of integers.

    Raises:
        ArgumentError: There are not as many coordinates as axes.
        DTypeError: The coordinates are not integers.
        IndexRangeError: A known one is out of range.
        ValueRangeError: There is no such mode.

    Example:
        >>> dlc.ravel_multi_index((1, 3), (3, 4))
        Tensor(7, dtype=int64)
    """
    if mode not in ("raise", "wrap", "clip"):
        raise ValueRangeError(f"ravel_multi_index has no mode {mode!r}")
    extents = _shape("ravel_multi_index", dims)
    given = list(multi_index)
    if len(given) != len(extents):
        raise ArgumentError(f"ravel_multi_index of {len(given)} coordinates in {extents}")
    coordinates = match_shapes("ravel_multi_index", [materialise(as_tensor(c)) for c in given])
    check_kinds("ravel_multi_index", coordinates, "iu")
    result = as_tensor(0)
    for k, (coordinate, extent) in enumerate(zip(coordinates, extents, strict=True)):
        known = known_values(given[k], coordinate)
        if mode == "raise" and known is not None and ((known < 0) | (known >= extent)).any():
            raise IndexRangeError(
                f"ravel_multi_index: coordinate {k} is out of range for {extents}"
            )
        wrapped = mode == "wrap"
        inside = (
            elementwise.remainder(coordinate, extent)
            if wrapped
            else composed.clip(coordinate, 0, extent - 1)
        )
        result = elementwise.add(elementwise.multiply(result, extent), inside)
    return materialise(result)


def diag_indices(n: int, /, ndim: int = 2) -> tuple[Tensor, ...]:
    """The places of the main diagonal of a tensor with equal extents.

    Args:
        n: The extent.
        ndim: The number of axes.

    Returns:
        A tensor of integers for each axis.

    Example:
        >>> x = dlc.ones((2, 2))
        >>> x.at[dlc.diag_indices(2)].set(5.0)
        Tensor([[5., 1.],
                [1., 5.]], dtype=float32)
    """
    places = as_tensor(np.arange(integer("diag_indices", "n", n)))
    return (places,) * ndim
