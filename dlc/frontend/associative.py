"""`associative_scan`: running combinations of a sequence, in a logarithmic number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.frontend import tree
from dlc.frontend.apply import as_tensor, materialise
from dlc.frontend.conversion import user_function
from dlc.frontend.extent import known_extent
from dlc.frontend.functions.arguments import find_axis, reshaped
from dlc.frontend.functions.rearrange import flip
from dlc.frontend.functions.shape import concat, part, stack
from dlc.frontend.tensor import Tensor
from dlc.frontend.traced import check_callable
from dlc.ir.errors import ArgumentError, ShapeError


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """The combinations of all elements up to each one, by a function that is associative.

    As many elements are combined at once as can be (Blelloch, "Prefix sums and their
    applications", 1990): 2 log2(n) steps, of 2 n combinations in all. `dlc.scan` takes any
    function, in n steps.

    Args:
        fn: Of two trees like `elems`, of the elements at several places at once; fn(a, fn(b, c)) is
            to be fn(fn(a, b), c).
        elems: A tree of tensors with one extent along the axis.
        reverse: Whether to begin at the end; the first argument of fn is then of later elements.
        axis: The axis.

    Returns:
        A tree like `elems`.

    Raises:
        ArgumentError: There are no tensors, or fn returns another tree.
        IndexRangeError: The axis is out of range.
        ShapeError: The extents differ.

    Example:
        >>> dlc.associative_scan(lambda a, b: a * b, dlc.asarray([1, 2, 3, 4]))
        Tensor([ 1,  2,  6, 24], dtype=int64)
    """
    check_callable(fn, "associative_scan")
    leaves, structure = tree.flatten(elems)
    tensors = [materialise(as_tensor(x)) for x in leaves]
    if not tensors:
        raise ArgumentError("associative_scan of no tensors")
    axes = [find_axis("associative_scan", axis, t.tensor) for t in tensors]
    lengths = [t.tensor.shape[k] for t, k in zip(tensors, axes, strict=True)]
    length = known_extent(lengths[0])
    if any(known_extent(n) != length for n in lengths):
        raise ShapeError(
            f"associative_scan of {', '.join(str(t.tensor) for t in tensors)}: one extent along "
            f"axis {axis} is needed"
        )

    def combine(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        first, second = (tree.unflatten(structure, list(x)) for x in (a, b))
        found, returned = tree.flatten(user_function(fn)(first, second))
        if returned != structure:
            raise ArgumentError(f"associative_scan: fn returns {returned}, of {structure}")
        return [materialise(as_tensor(x)) for x in found]

    def turned(xs: list[Tensor]) -> list[Tensor]:
        return [flip(x, axis=k) for x, k in zip(xs, axes, strict=True)] if reverse else xs

    return tree.unflatten(structure, turned(_scanned(combine, turned(tensors), axes, length)))


def _scanned(
    combine: Callable[[list[Tensor], list[Tensor]], list[Tensor]],
    xs: list[Tensor],
    axes: list[int],
    length: int,
) -> list[Tensor]:
    if length < 2:
        return xs

    def every_other(start: int, stop: int) -> list[Tensor]:
        return [part(x, k, start, stop, 2) for x, k in zip(xs, axes, strict=True)]

    half = length // 2
    pairs = combine(every_other(0, 2 * half), every_other(1, 2 * half))
    odd = _scanned(combine, pairs, axes, half)
    # What comes before each further element at an even place is known.
    before = [part(x, k, 0, (length - 1) // 2) for x, k in zip(odd, axes, strict=True)]
    first = [part(x, k, 0, 1) for x, k in zip(xs, axes, strict=True)]
    even = first
    if length > 2:
        rest = combine(before, every_other(2, length))
        even = [concat(p, axis=k) for p, k in zip(zip(first, rest, strict=True), axes, strict=True)]
    return [_interleaved(a, b, k) for a, b, k in zip(even, odd, axes, strict=True)]


def _interleaved(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """The slices of both in turn; `a` may have one more."""
    count = b.tensor.shape[axis]
    both = stack([part(a, axis, 0, count), b], axis=axis + 1)
    shape = both.tensor.shape
    joined = reshaped(both, (*shape[:axis], shape[axis] * 2, *shape[axis + 2 :]))
    if a.tensor.shape[axis] == count:
        return joined
    return concat([joined, part(a, axis, count, a.tensor.shape[axis])], axis=axis)
