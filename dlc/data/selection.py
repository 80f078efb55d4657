"""Pipes that choose and order elements and do not look at them: shuffle, take, skip, shard, repeat.

Such a pipe reads either the elements of its parent or the numbers of rows, where the parent's
elements are rows of a table: then a batch is gathered at once, and what is left out is never read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dlc
from dlc.data.pipe import INFINITE, UNKNOWN, Pipe
from dlc.data.tables import Table
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.integers import at_least

Walk = Callable[[int, int], Iterator[Any]]
_PASSES = 1 << 32  # of an endless repetition, as far as their numbers are concerned


def fresh_seed() -> int:
    """A seed from the global generator of `dlc.random`."""
    high, low = dlc.random.bits(None, (2,)).numpy().tolist()
    return high << 32 | low


class Selection(Pipe):
    """A pipe whose elements are elements of its parent."""

    def __init__(self, parent: Pipe) -> None:
        self.parent = parent

    def parents(self) -> tuple[Pipe, ...]:
        """The parent."""
        return (self.parent,)

    def select(self, walk: Walk, epoch: int, start: int) -> Iterator[Any]:
        """The chosen ones of what `walk` gives by epoch."""
        raise NotImplementedError

    def walk(self, epoch: int, start: int) -> Iterator[Any]:
        """The chosen elements."""
        table = self.table()
        if table is not None:
            return map(table.row, self.rows(epoch, start))
        return self.select(self.parent.walk, epoch, start)

    def table(self) -> Table | None:
        """The table of the parent."""
        return self.parent.table()

    def rows(self, epoch: int, start: int) -> Iterator[int]:
        """The numbers of the chosen rows."""
        return self.select(self.parent.rows, epoch, start)

    def spec(self) -> Any:
        """The types of the parent."""
        return self.parent.spec()


class Shuffle(Selection):
    """Elements in an order that is a function of the seed and the epoch."""

    def __init__(self, parent: Pipe, size: int, seed: int | None, reshuffle: bool) -> None:
        super().__init__(parent)
        self.size = at_least(size, 1, "buffer_size")
        self.given = seed is not None
        self.seed = fresh_seed() if seed is None else at_least(seed, 0, "seed")
        self._reshuffle = reshuffle

    def length(self) -> int:
        """That of the parent."""
        return self.parent.length()

    def select(self, walk: Walk, epoch: int, start: int) -> Iterator[Any]:
        """All of them, of as many as fit into the buffer one at random each time."""
        rng = np.random.default_rng([self.seed, epoch if self._reshuffle else 0])
        length = self.parent.length()
        if 0 <= length <= self.size:
            found = list(walk(epoch, 0))
            if len(found) != length:
                raise ShapeError(f"a dataset whose length is {length} gave {len(found)} elements")
            return (found[k] for k in rng.permutation(length)[start:].tolist())
        return itertools.islice(self._buffered(walk(epoch, 0), rng), start, None)

    def _buffered(self, source: Iterator[Any], rng: np.random.Generator) -> Iterator[Any]:
        buffer = list(itertools.islice(source, self.size))
        places: Iterator[int] = iter(())
        for element in source:
            place = next(places, None)
            if place is None:
                places = iter(rng.integers(self.size, size=1024).tolist())
                place = next(places)
            yield buffer[place]
            buffer[place] = element
        for place in rng.permutation(len(buffer)).tolist():
            yield buffer[place]


class Take(Selection):
    """The first elements."""

    def __init__(self, parent: Pipe, count: int) -> None:
        super().__init__(parent)
        self._count = at_least(count, -1, "count")

    def length(self) -> int:
        """At most the count."""
        length = self.parent.length()
        if self._count < 0 or length == UNKNOWN:
            return length
        return self._count if length == INFINITE else min(self._count, length)

    def select(self, walk: Walk, epoch: int, start: int) -> Iterator[Any]:
        """The first, -1 being all."""
        if self._count < 0:
            return walk(epoch, start)
        return itertools.islice(walk(epoch, start), max(0, self._count - start))


class Skip(Selection):
    """All but the first elements."""

    def __init__(self, parent: Pipe, count: int) -> None:
        super().__init__(parent)
        self._count = at_least(count, 0, "count")

    def length(self) -> int:
        """What is left."""
        length = self.parent.length()
        return length if length < 0 else max(0, length - self._count)

    def select(self, walk: Walk, epoch: int, start: int) -> Iterator[Any]:
        """The others."""
        return walk(epoch, start + self._count)


class Shard(Selection):
    """Each n-th element."""

    def __init__(self, parent: Pipe, shards: int, index: int) -> None:
        super().__init__(parent)
        self._shards, self._index = at_least(shards, 1, "num_shards"), at_least(index, 0, "index")
        if index >= shards:
            raise ValueRangeError(f"index={index} of {shards} shards: less than their number")

    def length(self) -> int:
        """The part of the length."""
        length = self.parent.length()
        return length if length < 0 else max(0, -(-(length - self._index) // self._shards))

    def select(self, walk: Walk, epoch: int, start: int) -> Iterator[Any]:
        """Those whose number leaves the index."""
        first = self._index + start * self._shards
        return itertools.islice(walk(epoch, first), 0, None, self._shards)


class Repeat(Selection):
    """Passes one after another."""

    def __init__(self, parent: Pipe, count: int | None) -> None:
        super().__init__(parent)
        self._count = -1 if count is None else at_least(count, -1, "count")

    def length(self) -> int:
        """The length of all passes."""
        length = self.parent.length()
        if self._count >= 0:
            return length if length < 0 and self._count else self._count * length
        return length if length in (0, UNKNOWN) else INFINITE

    def select(self, walk: Walk, epoch: int, start: int) -> Iterator[Any]:
        """The passes, each with a number of its own, so that each is shuffled anew."""
        count = _PASSES if self._count < 0 else self._count
        length = self.parent.length()
        done, skipped = divmod(start, length) if length > 0 else (0, start)
        while done < count:
            elements = walk(epoch * count + done, skipped if length > 0 else 0)
            seen = length > 0
            for element in elements:
                seen = True
                if skipped and length <= 0:
                    skipped -= 1
                    continue
                yield element
            if not seen:
                return
            done, skipped = done + 1, 0 if length > 0 else skipped


class Filter(Selection):
    """Elements of which a function says so."""

    def __init__(self, parent: Pipe, accepts: Callable[[Any, int], Any]) -> None:
        super().__init__(parent)
        self._accepts = accepts

    def select(self, walk: Walk, epoch: int, start: int) -> Iterator[Any]:
        """The accepted ones."""
        table = self.table()
        elements = enumerate(walk(epoch, 0))
        chosen = (e for k, e in elements if self._accepts(e if table is None else table.row(e), k))
        return itertools.islice(chosen, start, None)
