"""Combinations, runs and masked places of elements by PyTorch's names."""

from __future__ import annotations

import itertools

import numpy as np

from dlc.frontend.apply import apply, as_tensor, convert, materialise
from dlc.frontend.extent import known_extent
from dlc.frontend.functions import elementwise, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    find_axis,
    integer,
    known_values,
    match_shapes,
    reshaped,
    same_dtype,
)
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import meshgrid
from dlc.frontend.functions.cumulative import cumulative_sum
from dlc.frontend.functions.indexing import take
from dlc.frontend.functions.searching import nonzero
from dlc.frontend.functions.shape import concat, moveaxis, stack
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import add
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError, ValueRangeError
from dlc.ir.types import bool_, int64


def cartesian_prod(*tensors: ArrayLike) -> Tensor:
    """PyTorch's `cartesian_prod`: all tuples of an element of each vector.

    Args:
        *tensors: Vectors.

    Returns:
        A tensor [tuples, vectors] of the common dtype; of one vector alone, that vector.

    Raises:
        ArgumentError: There is no vector.
        ShapeError: One is no vector.

    Example:
        >>> dlc.cartesian_prod(dlc.asarray([1, 2]), dlc.asarray([5, 6])).tolist()
        [[1, 5], [1, 6], [2, 5], [2, 6]]
    """
    if not tensors:
        raise ArgumentError("cartesian_prod of no vectors")
    held = [materialise(t) for t in same_dtype(tensors)]
    for t in held:
        if t.tensor.rank != 1:
            raise ShapeError(f"cartesian_prod of {t.tensor}: it takes vectors")
    if len(held) == 1:
        return held[0]
    grids = meshgrid(*held, indexing="ij")
    return stack([reshaped(g, (g.tensor.size,)) for g in grids], axis=-1)


def combinations(x: ArrayLike, /, r: int = 2, with_replacement: bool = False) -> Tensor:
    """PyTorch's `combinations`: all ways to take r elements of a vector, in order.

    Args:
        x: A vector of an extent that is known while tracing.
        r: How many elements are taken.
        with_replacement: Whether an element may be taken several times.

    Returns:
        A tensor [combinations, r] of x's dtype.

    Raises:
        ShapeError: x is no vector.
        ValueRangeError: r is negative.

    Example:
        >>> dlc.combinations(dlc.asarray([1, 2, 3])).tolist()
        [[1, 2], [1, 3], [2, 3]]
    """
    held = materialise(as_tensor(x))
    if held.tensor.rank != 1:
        raise ShapeError(f"combinations of {held.tensor}: it takes a vector")
    count = integer("combinations", "r", r)
    if count < 0:
        raise ValueRangeError(f"combinations(r={r}): at least 0")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = list(choose(range(known_extent(held.tensor.shape[0])), count))
    return take(held, np.asarray(places, np.int64).reshape(len(places), count), axis=0)


def masked_scatter(x: ArrayLike, mask: ArrayLike, source: ArrayLike, /) -> Tensor:
    """PyTorch's `masked_scatter`: x with the elements of another tensor where a mask is true.

    Args:
        x: A tensor or array.
        mask: Bools. The shapes of both broadcast.
        source: The elements, taken in row-major order; at least as many as the mask has places.

    Returns:
        A tensor of the broadcast shape and of x's dtype.

    Raises:
        DTypeError: The mask is not of bools.
        ShapeError: The shapes do not broadcast, or there are too few elements, where that is known;
            else the last one is taken again.

    Example:
        >>> dlc.masked_scatter(dlc.zeros(3), [True, False, True], dlc.asarray([5.0, 6.0]))
        Tensor([5., 0., 6.], dtype=float32)
    """
    held, chosen = match_shapes("masked_scatter", [materialise(as_tensor(t)) for t in (x, mask)])
    if chosen.tensor.dtype is not bool_:
        raise DTypeError(f"masked_scatter by {chosen.tensor}: a mask of bools is needed")
    values = materialise(as_tensor(source))
    size, have = chosen.tensor.size, values.tensor.size
    known = known_values(mask, chosen)
    needed = 1 if known is None else np.count_nonzero(np.broadcast_to(known, held.shape))
    if isinstance(have, int) and have < needed and size != 0:
        raise ShapeError(f"masked_scatter of {values.tensor} to {needed} places or more")
    if have == 0:
        return held
    flat = reshaped(chosen, (size,))
    places = elementwise.subtract(cumulative_sum(convert(flat, int64), axis=0), 1)
    places = elementwise.minimum(elementwise.maximum(places, 0), apply("dim", dim=add(have, -1)))
    taken = take(reshaped(values, (have,)), places, axis=0)
    taken = convert(reshaped(taken, held.tensor.shape), held.tensor.dtype)
    return where(chosen, taken, held)


def unique_consecutive(
    x: ArrayLike,
    /,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """PyTorch's `unique_consecutive`: the first of each run of equal elements.

    Args:
        x: A tensor or array.
        return_inverse: Whether the number of the run of each element is wanted too.
        return_counts: Whether the lengths of the runs are wanted too.
        dim: The axis whose slices are compared; for None all elements are, in row-major order.

    Returns:
        The elements, or a tuple of them and of what else is wanted, of int64. Without `dim` the
        inverse has the shape of x.

    Raises:
        IndexRangeError: The axis is out of range.
        TracedValueError: x is traced: how many runs there are depends on it.

    Example:
        >>> dlc.unique_consecutive(dlc.asarray([1, 1, 2, 1]), return_counts=True)
        (Tensor([1, 2, 1], dtype=int64), Tensor([2, 1, 1], dtype=int64))
    """
    held = materialise(as_tensor(x))
    shape = held.tensor.shape
    along = None if dim is None else find_axis("unique_consecutive", dim, held.tensor)
    rows = reshaped(held, (held.tensor.size,)) if along is None else moveaxis(held, along, 0)
    count = known_extent(rows.tensor.shape[0])
    others = tuple(range(1, rows.tensor.rank))
    begins = np.ones(min(count, 1), bool)
    differs = reduction.any(elementwise.not_equal(rows[1:], rows[:-1]), axis=others)
    marks = concat([as_tensor(begins), differs], axis=0) if count else as_tensor(begins)
    (starts,) = nonzero(marks)
    values = take(rows, starts, axis=0)
    found = [values if along is None else moveaxis(values, 0, along)]
    if return_inverse:
        runs = elementwise.subtract(cumulative_sum(convert(marks, int64), axis=0), 1)
        found.append(reshaped(runs, shape if along is None else (count,)))
    if return_counts:
        ends = concat([starts[1:], as_tensor(np.full(min(count, 1), count, np.int64))], axis=0)
        found.append(elementwise.subtract(ends, starts))
    return found[0] if len(found) == 1 else tuple(found)
