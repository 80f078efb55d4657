"""`Pipe`: what a dataset walks, and the pipes at the beginning of all others.

A pipe is walked for the epoch with a number, from an element on: the same elements for the same
number, whatever was walked before, so that an iteration can be gone on with in another process.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dlc
from dlc.data.elements import spec_of
from dlc.data.tables import Table
from dlc.ir.errors import ShapeError

INFINITE, UNKNOWN = -1, -2  # lengths


class Pipe:
    """Elements by epoch; a subclass says how they are walked."""

    def parents(self) -> tuple[Pipe, ...]:
        """The pipes that this one reads."""
        return ()

    def length(self) -> int:
        """The number of elements, or INFINITE or UNKNOWN."""
        return UNKNOWN

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements of an epoch from element `start` on."""
        raise NotImplementedError

    def table(self) -> Table | None:
        """Where the elements are rows of a table: the table."""
        return None

    def rows(self, epoch: int, start: int) -> Iterator[int]:
        """The numbers of those rows, as `walk`; only where there is a table."""
        raise NotImplementedError

    def spec(self) -> Any:
        """The types of an element."""
        for element in self.walk(0, 0):
            return dlc.tree.map(spec_of, element)
        raise ShapeError("the dataset is empty: its elements have no types")


def pipes_of(pipe: Pipe) -> Iterator[Pipe]:
    """A pipe with all that it reads, depth first."""
    yield pipe
    for parent in pipe.parents():
        yield from pipes_of(parent)


class Rows(Pipe):
    """All rows of a table, in order."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def length(self) -> int:
        """The number of rows."""
        return self._table.length

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The rows."""
        return map(self._table.row, self.rows(epoch, start))

    def table(self) -> Table | None:
        """The table."""
        return self._table

    def rows(self, epoch: int, start: int) -> Iterator[int]:
        """Their numbers."""
        return iter(range(start, self._table.length))


class Listed(Pipe):
    """The elements of a sequence, such as a range or a list."""

    def __init__(self, elements: Sequence[Any]) -> None:
        self._elements = elements

    def length(self) -> int:
        """The length of the sequence."""
        return len(self._elements)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements."""
        return itertools.islice(iter(self._elements[start:]), None)


class Generated(Pipe):
    """What a function gives that is called for each pass and returns an iterable.

    Args:
        function: The function.
        arguments: Its arguments.
        spec: The types of an element, a tree of `dlc.Spec`, which are checked; None for any.
    """

    def __init__(
        self, function: Callable[..., Any], arguments: Sequence[Any] = (), spec: Any = None
    ) -> None:
        self._function, self._arguments, self._spec = function, arguments, spec

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements, the first of which are thrown away."""
        found = itertools.islice(iter(self._function(*self._arguments)), start, None)
        if self._spec is None:
            return found
        return (self._checked(element, start + k) for k, element in enumerate(found))

    def _checked(self, element: Any, number: int) -> Any:
        leaves, structure = dlc.tree.flatten(element)
        wanted, wanted_structure = dlc.tree.flatten(self._spec)
        found = [spec_of(leaf) for leaf in leaves]
        if structure != wanted_structure or not all(map(_fits, found, wanted)):
            shown = dlc.tree.unflatten(structure, [str(s) for s in found])
            raise ShapeError(
                f"element {number} of the generator is {shown}, the output_signature "
                f"{dlc.tree.map(str, self._spec)}"
            )
        return element

    def spec(self) -> Any:
        """The types as given, or those of the first element."""
        return super().spec() if self._spec is None else self._spec


def _fits(found: Any, wanted: Any) -> bool:
    """Whether a type is the wanted one, any extent being that of a name."""
    if not hasattr(found, "shape") or not hasattr(wanted, "shape"):
        return found == wanted
    return (
        found.dtype == wanted.dtype
        and len(found.shape) == len(wanted.shape)
        and all(
            isinstance(w, str) or f == w for f, w in zip(found.shape, wanted.shape, strict=True)
        )
    )
