"""Functions of tensors as sets: distinct elements, membership, unions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlc.frontend.apply import apply, as_tensor, convert, materialise, promote
from dlc.frontend.functions.arguments import ArrayLike, find_axis, reshaped
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.creation import full, iota, ones, zeros, zeros_like
from dlc.frontend.functions.cumulative import cumulative_sum
from dlc.frontend.functions.elementwise import equal, less, not_equal
from dlc.frontend.functions.indexing import take
from dlc.frontend.functions.reduction import count_nonzero
from dlc.frontend.functions.searching import known_count, searchsorted, true_places
from dlc.frontend.functions.shape import concat
from dlc.frontend.functions.sorting import argsort, sort
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim
from dlc.ir.errors import ArgumentError
from dlc.ir.record import NamedTuple, dataclass
from dlc.ir.types import bool_, int64


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Tensor
    inverse_indices: Tensor


@dataclass(frozen=True)
class _Runs:
    """The elements in their order, cut into runs of equal ones.

    starts: where each run begins; there: which of the starts are of a run.
    """

    x: Tensor
    order: Tensor
    ordered: Tensor
    begins: Tensor
    starts: Tensor
    there: Tensor
    fixed: bool

    def _filled(self, found: Tensor, fill: Any) -> Tensor:
        return where(self.there, found, fill) if self.fixed else found

    def values(self, fill_value: ArrayLike | None) -> Tensor:
        """The first element of each run."""
        found = take(self.ordered, self.starts)
        if not self.fixed:
            return found
        fill = self.ordered[:1] if fill_value is None else fill_value
        return convert(self._filled(found, fill), found.tensor.dtype)

    def indices(self) -> Tensor:
        """Where the first element of each run is in the flattened tensor."""
        return self._filled(take(self.order, self.starts), 0)

    def counts(self) -> Tensor:
        """How many elements each run has."""
        size = apply("dim", dim=self.order.tensor.shape[0])
        first = self._filled(self.starts, size)
        return concat([first[1:], reshaped(size, (1,))]) - first

    def inverse(self) -> Tensor:
        """The number of the run of each element of the tensor."""
        number = cumulative_sum(self.begins) - 1
        at = apply("scatter_add", zeros_like(number), self.order, number, axis=0)
        return reshaped(at, self.x.tensor.shape)


def _runs(name: str, x: ArrayLike, size: Any, equal_nan: bool) -> _Runs:
    tensor = materialise(as_tensor(x))
    flat = reshaped(tensor, (tensor.tensor.size,))
    order = argsort(flat)
    ordered = take(flat, order) if flat.tensor.size != 0 else flat
    begins = zeros((0,), dtype=bool_)
    if flat.tensor.size != 0:
        before, after = ordered[:-1], ordered[1:]
        differ = not_equal(before, after)
        if equal_nan and tensor.tensor.dtype.is_float:
            differ = differ & ~(not_equal(before, before) & not_equal(after, after))
        begins = concat([ones((1,), dtype=bool_), differ])
    total = count_nonzero(begins)
    count = known_count(name, size, total, f"dlc.{name}(x, size=10)")
    starts = _places(begins, count)
    there = less(iota((count,)), total)
    return _Runs(tensor, order, ordered, begins, starts, there, size is not None)


def _places(mask: Tensor, count: Dim) -> Tensor:
    """`true_places`, with zeros where the mask has no more elements."""
    places = true_places(mask, count)
    found = places.tensor.shape[0]
    if found == count:
        return places
    return apply("pad", places, low=(0,), high=(count - found,), value=0)


def unique_values(
    x: ArrayLike, /, *, size: Any = None, fill_value: ArrayLike | None = None
) -> Tensor:
    """The distinct elements, in ascending order.

    Args:
        x: A tensor or array of any dtype and shape.
        size: How many elements the result has. Needed in compiled code, where their number is not
            known: the greatest are left out where there are more.
        fill_value: What stands behind them where there are fewer; the least one by default.

    Returns:
        A tensor of one axis. Each NaN is distinct; -0.0 is 0.0.

    Raises:
        TracedValueError: x is traced and there is no `size`.

    Example:
        >>> dlc.unique_values(dlc.asarray([3, 1, 3, 2]))
        Tensor([1, 2, 3], dtype=int64)
    """
    return _runs("unique_values", x, size, equal_nan=False).values(fill_value)


def unique_counts(
    x: ArrayLike, /, *, size: Any = None, fill_value: ArrayLike | None = None
) -> UniqueCounts:
    """The distinct elements, in ascending order, and how often each occurs.

    Args:
        x: A tensor or array of any dtype and shape.
        size: How many elements the results have, as of `unique_values`.
        fill_value: What stands behind the values, as of `unique_values`.

    Returns:
        A pair (values, counts); counts are int64, and 0 where values are filled.

    Raises:
        TracedValueError: x is traced and there is no `size`.

    Example:
        >>> dlc.unique_counts(dlc.asarray([3, 1, 3, 2])).counts
        Tensor([1, 1, 2], dtype=int64)
    """
    runs = _runs("unique_counts", x, size, equal_nan=False)
    return UniqueCounts(runs.values(fill_value), runs.counts())


def unique_inverse(
    x: ArrayLike, /, *, size: Any = None, fill_value: ArrayLike | None = None
) -> UniqueInverse:
    """The distinct elements, in ascending order, and which of them each element is.

    Args:
        x: A tensor or array of any dtype and shape.
        size: How many elements the results have, as of `unique_values`.
        fill_value: What stands behind the values, as of `unique_values`.

    Returns:
        A pair (values, inverse_indices); the latter is int64 and has the shape of x.

    Raises:
        TracedValueError: x is traced and there is no `size`.

    Example:
        >>> dlc.unique_inverse(dlc.asarray([3, 1, 3, 2])).inverse_indices
        Tensor([2, 0, 2, 1], dtype=int64)
    """
    runs = _runs("unique_inverse", x, size, equal_nan=False)
    return UniqueInverse(runs.values(fill_value), runs.inverse())


def unique_all(
    x: ArrayLike, /, *, size: Any = None, fill_value: ArrayLike | None = None
) -> UniqueAll:
    """The distinct elements, where each is first, which of them each element is, and how often.

    Args:
        x: A tensor or array of any dtype and shape.
        size: How many elements the results have, as of `unique_values`.
        fill_value: What stands behind the values, as of `unique_values`.

    Returns:
        A tuple (values, indices, inverse_indices, counts), all but the values int64. Indices are of
        the flattened tensor, and 0 where values are filled.

    Raises:
        TracedValueError: x is traced and there is no `size`.

    Example:
        >>> dlc.unique_all(dlc.asarray([3, 1, 3, 2])).indices
        Tensor([1, 3, 0], dtype=int64)
    """
    runs = _runs("unique_all", x, size, equal_nan=False)
    return UniqueAll(runs.values(fill_value), runs.indices(), runs.inverse(), runs.counts())


def unique(
    x: ArrayLike,
    /,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: Any = None,
    fill_value: ArrayLike | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """The distinct elements, in ascending order, as NumPy spells it.

    Args:
        x: A tensor or array of any dtype and shape.
        return_index: Whether to give where each is first in the flattened tensor, too.
        return_inverse: Whether to give which of them each element is, in the shape of x.
        return_counts: Whether to give how often each occurs.
        axis: The axis of which slices are compared, in the order of their first elements, then of
            their second ones; None for all elements. Not in compiled code.
        equal_nan: Whether all NaN are one element.
        size: How many elements the results have, as of `unique_values`.
        fill_value: What stands behind the values, as of `unique_values`.

    Returns:
        The distinct elements, or a tuple of them and of what was asked for, in the order above.

    Raises:
        ArgumentError: There are an axis and a size.
        IndexRangeError: The axis is out of range.
        TracedValueError: x is traced and there is no `size`.

    Example:
        >>> dlc.unique(dlc.asarray([3, 1, 3, 2]), return_counts=True)
        (Tensor([1, 2, 3], dtype=int64), Tensor([1, 1, 2], dtype=int64))
    """
    if axis is not None:
        if size is not None:
            raise ArgumentError("unique along an axis has no size")
        parts = _unique_slices(x, axis, equal_nan)
        asked = (True, return_index, return_inverse, return_counts)
        kept = tuple(t for t, wanted in zip(parts, asked, strict=True) if wanted)
        return kept[0] if len(kept) == 1 else kept
    runs = _runs("unique", x, size, equal_nan)
    found = [runs.values(fill_value)]
    if return_index:
        found.append(runs.indices())
    if return_inverse:
        found.append(runs.inverse())
    if return_counts:
        found.append(runs.counts())
    return found[0] if len(found) == 1 else tuple(found)


def _unique_slices(x: ArrayLike, axis: int, equal_nan: bool) -> tuple[Tensor, ...]:
    """The distinct slices, where each is first, which one each slice is, and their counts."""
    tensor = materialise(as_tensor(x))
    along = find_axis("unique", axis, tensor.tensor)
    hint = "the slices of a tensor outside compiled code"
    known_count("unique along an axis", None, zeros((), dtype=int64), hint)
    rows = np.moveaxis(tensor.numpy(), along, 0)
    rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    order = np.lexsort(rows.T[::-1]) if rows.shape[1] else np.arange(len(rows))
    ordered = rows[order]
    same = ordered[1:] == ordered[:-1]
    if equal_nan:
        same |= (ordered[1:] != ordered[1:]) & (ordered[:-1] != ordered[:-1])
    begins = np.concatenate([np.ones(min(len(rows), 1), bool), ~same.all(1)])
    starts = np.flatnonzero(begins)
    inverse = np.empty(len(rows), np.int64)
    inverse[order] = np.cumsum(begins) - 1
    counts = np.diff(np.append(starts, len(rows)))
    # The order is stable: the first of equal slices begins their run.
    first = order[starts].astype(np.int64)
    whole = (as_tensor(a) for a in (first, inverse, counts))
    return (take(tensor, first, axis=along), *whole)


def setxor1d(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The distinct elements that are in one of both only, in ascending order.

    Args:
        x: A tensor or array of any shape.
        y: Another one.

    Returns:
        A tensor of one axis.

    Raises:
        DTypeError: The dtypes have no common one.
        TracedValueError: An argument is traced.

    Example:
        >>> dlc.setxor1d(dlc.asarray([1, 3, 2]), dlc.asarray([2, 5]))
        Tensor([1, 3, 5], dtype=int64)
    """
    return sort(concat([setdiff1d(x, y), setdiff1d(y, x)]))


def isin(x1: ArrayLike, x2: ArrayLike, /, *, invert: bool = False) -> Tensor:
    """Whether each element of x1 is among those of x2.

    Args:
        x1: A tensor, array or number.
        x2: A tensor, array or number, of any shape.
        invert: Whether to say which are not.

    Returns:
        A bool tensor of the shape of x1. NaN is in nothing.

    Raises:
        DTypeError: The dtypes have no common one.

    Example:
        >>> dlc.isin(dlc.asarray([1, 2, 5]), dlc.asarray([5, 1]))
        Tensor([ True, False,  True], dtype=bool)
    """
    x, among = (materialise(t) for t in promote(as_tensor(x1), as_tensor(x2)))
    if among.tensor.size == 0:
        return full(x.tensor.shape, invert, dtype=bool_)
    row = sort(reshaped(among, (among.tensor.size,)))
    nearest = apply("take", row, searchsorted(row, x), axis=0)  # the last one where all are less
    return not_equal(nearest, x) if invert else equal(nearest, x)


def union1d(x: ArrayLike, y: ArrayLike, /, *, size: Any = None) -> Tensor:
    """The distinct elements of both, in ascending order.

    Args:
        x: A tensor or array of any shape.
        y: Another one.
        size: How many elements the result has, as of `unique_values`.

    Returns:
        A tensor of one axis.

    Raises:
        DTypeError: The dtypes have no common one.
        TracedValueError: An argument is traced and there is no `size`.

    Example:
        >>> dlc.union1d(dlc.asarray([1, 3]), dlc.asarray([2, 1]))
        Tensor([1, 2, 3], dtype=int64)
    """
    return _runs("union1d", concat(_flat_pair(x, y)), size, equal_nan=True).values(None)


def _flat_pair(x: ArrayLike, y: ArrayLike) -> tuple[Tensor, Tensor]:
    a, b = (materialise(t) for t in promote(as_tensor(x), as_tensor(y)))
    return reshaped(a, (a.tensor.size,)), reshaped(b, (b.tensor.size,))


def intersect1d(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The distinct elements that are in both, in ascending order.

    Args:
        x: A tensor or array of any shape.
        y: Another one.

    Returns:
        A tensor of one axis.

    Raises:
        DTypeError: The dtypes have no common one.
        TracedValueError: An argument is traced.

    Example:
        >>> dlc.intersect1d(dlc.asarray([1, 3, 2]), dlc.asarray([2, 1]))
        Tensor([1, 2], dtype=int64)
    """
    return _chosen("intersect1d", x, y, invert=False)


def setdiff1d(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The distinct elements of x that are not in y, in ascending order.

    Args:
        x: A tensor or array of any shape.
        y: Another one.

    Returns:
        A tensor of one axis.

    Raises:
        DTypeError: The dtypes have no common one.
        TracedValueError: An argument is traced.

    Example:
        >>> dlc.setdiff1d(dlc.asarray([1, 3, 2]), dlc.asarray([2, 1]))
        Tensor([3], dtype=int64)
    """
    return _chosen("setdiff1d", x, y, invert=True)


def _chosen(name: str, x: ArrayLike, y: ArrayLike, *, invert: bool) -> Tensor:
    """The distinct elements of x that are in y, or that are not."""
    a, b = _flat_pair(x, y)
    hint = "dlc.isin(x, y), which has the shape of x"
    known_count(name, None, zeros((), dtype=int64), hint)
    found = _runs(name, a, None, equal_nan=True).values(None)
    mask = isin(found, b, invert=invert)
    return take(found, _places(mask, int(count_nonzero(mask).item())))
