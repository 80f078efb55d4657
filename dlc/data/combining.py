"""Pipes of several others: zip, concatenate, enumerate, interleave."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dlc
from dlc.data.background import in_background
from dlc.data.pipe import INFINITE, UNKNOWN, Pipe
from dlc.ir.integers import at_least


class Zip(Pipe):
    """Elements of several pipes side by side, until the first one ends."""

    def __init__(self, structure: Any, pipes: Sequence[Pipe]) -> None:
        self._structure, self._pipes = structure, tuple(pipes)

    def parents(self) -> tuple[Pipe, ...]:
        """The pipes."""
        return self._pipes

    def length(self) -> int:
        """The least."""
        lengths = [p.length() for p in self._pipes]
        if UNKNOWN in lengths:
            return 0 if 0 in lengths else UNKNOWN
        return min((n for n in lengths if n != INFINITE), default=INFINITE)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements as a tree."""
        for parts in zip(*(p.walk(epoch, start) for p in self._pipes), strict=False):
            yield _filled(self._structure, parts)

    def spec(self) -> Any:
        """The types of all."""
        return _filled(self._structure, [p.spec() for p in self._pipes])


def _filled(structure: Any, parts: Sequence[Any]) -> Any:
    return dlc.tree.unflatten(structure, parts)


class Concatenate(Pipe):
    """The elements of one pipe, then those of another."""

    def __init__(self, first: Pipe, second: Pipe) -> None:
        self._first, self._second = first, second

    def parents(self) -> tuple[Pipe, ...]:
        """Both."""
        return self._first, self._second

    def length(self) -> int:
        """The sum."""
        lengths = self._first.length(), self._second.length()
        if INFINITE in lengths:
            return INFINITE
        return UNKNOWN if UNKNOWN in lengths else sum(lengths)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements of both."""
        length = self._first.length()
        if 0 <= length <= start:
            yield from self._second.walk(epoch, start - length)
            return
        count = 0
        for element in self._first.walk(epoch, start if length >= 0 else 0):
            count += 1
            if length >= 0 or count > start:
                yield element
        yield from self._second.walk(epoch, max(0, start - count) if length < 0 else 0)

    def spec(self) -> Any:
        """The types of the first."""
        return self._first.spec()


class Numbered(Pipe):
    """Elements with their numbers."""

    def __init__(self, parent: Pipe, first: int) -> None:
        self.parent, self._first = parent, first

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def length(self) -> int:
        """That of the parent."""
        return self.parent.length()

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """Pairs of number and element."""
        return enumerate(self.parent.walk(epoch, start), self._first + start)


class Interleave(Pipe):
    """Elements of the pipes that a function makes of elements, in turn.

    Args:
        parent: Where the elements come from.
        function: Makes a pipe of one.
        cycle: How many pipes are open at a time.
        block: How many elements are taken from one in turn.
        parallel: Whether each is walked in a thread of its own.
    """

    def __init__(
        self, parent: Pipe, function: Callable[[Any], Pipe], cycle: int, block: int, parallel: bool
    ) -> None:
        self.parent, self._function, self._parallel = parent, function, parallel
        self._cycle = at_least(cycle, 1, "cycle_length")
        self._block = at_least(block, 1, "block_length")

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The elements; of `start` the ones before are thrown away."""
        return itertools.islice(self._walk(epoch), start, None)

    def _open(self, element: Any, epoch: int) -> Iterator[Any]:
        pipe = self._function(element)
        if not self._parallel:
            return pipe.walk(epoch, 0)
        return in_background(lambda: pipe.walk(epoch, 0), 2 * self._block)

    def _walk(self, epoch: int) -> Iterator[Any]:
        given = self.parent.walk(epoch, 0)
        slots: list[Iterator[Any] | None] = [
            self._open(e, epoch) for e in itertools.islice(given, self._cycle)
        ]
        while any(s is not None for s in slots):
            for k, slot in enumerate(slots):
                if slot is None:
                    continue
                count = 0
                for element in itertools.islice(slot, self._block):
                    count += 1
                    yield element
                if count < self._block:
                    found = next(given, _END)
                    slots[k] = None if found is _END else self._open(found, epoch)


_END = object()
