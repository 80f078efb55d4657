"""Pipes that join elements and take them apart: batches, padded ones, windows."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dlc
from dlc.data.elements import columns, padded, rows_of, stacked, transposed
from dlc.data.pipe import UNKNOWN, Pipe
from dlc.ir.errors import DlcError, ShapeError
from dlc.ir.integers import at_least

ROWS = "batch"  # the name of an extent that is not the same for all batches


class Batch(Pipe):
    """So many elements at once."""

    gathers = True  # whether rows of a table are read together

    def __init__(self, parent: Pipe, size: int, drop: bool) -> None:
        self.parent, self.size, self.drop = parent, at_least(size, 1, "batch_size"), drop

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """The number of batches."""
        length = self.parent.length()
        if length < 0:
            return length
        return length // self.size if self.drop else -(-length // self.size)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches: gathered from a table where there is one."""
        table, first = self.parent.table() if self.gathers else None, start * self.size
        if table is None:
            elements, join = self.parent.walk(epoch, first), self.joined
        else:
            elements, join = self.parent.rows(epoch, first), table.gather
        for number in itertools.count(start):
            part = list(itertools.islice(elements, self.size))
            if len(part) < self.size and (self.drop or not part):
                return
            try:
                batch = join(part)
            except DlcError as error:
                error.context = f"in batch {number} of the dataset"
                raise
            yield batch

    def joined(self, elements: Sequence[Any]) -> Any:
        """One batch of elements."""
        return transposed(elements, stacked)

    def spec(self) -> Any:
        """The types of the parent with one more axis."""
        length = self.parent.length()
        even = self.drop or (length >= 0 and length % self.size == 0)
        rows = self.size if even else ROWS

        def wider(leaf: Any) -> Any:
            known = isinstance(leaf, dlc.Spec)
            return dlc.spec((rows, *leaf.shape), leaf.dtype) if known else leaf

        return dlc.tree.map(wider, self.parent.spec())


class PaddedBatch(Batch):
    """So many elements at once, filled up to one shape."""

    gathers = False

    def __init__(self, parent: Pipe, size: int, shapes: Any, values: Any, drop: bool) -> None:
        super().__init__(parent, size, drop)
        self._shapes, self._values = shapes, values

    def joined(self, elements: Sequence[Any]) -> Any:
        """One batch of elements."""
        parts, structure = columns(elements)
        shapes = _each_leaf("padded_shapes", elements[0], self._shapes, is_shape)
        values = _each_leaf("padding_values", elements[0], self._values, _is_value)
        return dlc.tree.unflatten(
            structure, [padded(c, s, v) for c, s, v in zip(parts, shapes, values, strict=True)]
        )

    def spec(self) -> Any:
        """The types of the first batch."""
        return Pipe.spec(self)


def is_shape(tree: Any) -> bool:
    """Whether it is a shape or nothing, not a tree of shapes."""
    return tree is None or (
        isinstance(tree, (tuple, list)) and all(e is None or isinstance(e, int) for e in tree)
    )


def _is_value(tree: Any) -> bool:
    return not isinstance(tree, (tuple, list, dict))


def _each_leaf(what: str, element: Any, given: Any, one: Callable[[Any], bool]) -> list[Any]:
    """One for all leaves, or those of a tree like the element.

    Raises:
        ShapeError: for a tree that is not like it.
    """
    if one(given):
        return [given] * len(dlc.tree.leaves(element))
    if isinstance(given, dict) and isinstance(element, dict) and given.keys() == element.keys():
        pairs = [(element[key], given[key]) for key in sorted(element)]
    elif (
        not isinstance(given, dict)
        and isinstance(element, (tuple, list))
        and len(given) == len(element)
    ):
        pairs = list(zip(element, given, strict=True))
    else:
        raise ShapeError(
            f"{what}={given!r}, where elements are {dlc.tree.structure(element)}",
            hint="give one for all, or a tree like the elements",
        )
    return [leaf for pair in pairs for leaf in _each_leaf(what, *pair, one)]


class Unbatch(Pipe):
    """The rows of batches."""

    def __init__(self, parent: Pipe) -> None:
        self.parent = parent

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """Known where nothing was left out of the batches, or there is none."""
        if type(self.parent) is Batch and not self.parent.drop:
            return self.parent.parent.length()
        length = self.parent.length()
        return length if length <= 0 else UNKNOWN

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The rows."""
        rows = itertools.chain.from_iterable(map(rows_of, self.parent.walk(epoch, 0)))
        return itertools.islice(rows, start, None)


class Window(Pipe):
    """Runs of elements, as lists.

    Args:
        parent: Where the elements come from.
        size: Elements of a window.
        shift: Elements between the beginnings of two windows; None for `size`.
        stride: Elements between two of a window.
        drop: Whether windows at the end that have fewer are left out.
    """

    def __init__(self, parent: Pipe, size: int, shift: int | None, stride: int, drop: bool) -> None:
        self.parent = parent
        self.size, self.stride = at_least(size, 1, "size"), at_least(stride, 1, "stride")
        self.shift = self.size if shift is None else at_least(shift, 1, "shift")
        self.drop = drop

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """The number of windows."""
        length = self.parent.length()
        if length < 0:
            return length
        span = (self.size - 1) * self.stride + 1 if self.drop else 1
        return max(0, (length - span) // self.shift + 1)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The windows."""
        span = (self.size - 1) * self.stride + 1
        elements = self.parent.walk(epoch, start * self.shift)
        held: deque[Any] = deque(itertools.islice(elements, span))
        while held:
            window = list(itertools.islice(held, 0, span, self.stride))
            if self.drop and len(window) < self.size:
                return
            yield window
            for _ in range(min(self.shift, len(held))):
                held.popleft()
            for _ in range(max(0, self.shift - span)):
                next(elements, None)
            held.extend(itertools.islice(elements, span - len(held)))
