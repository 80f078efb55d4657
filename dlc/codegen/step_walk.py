"""A walk through the steps of a program: its loops and branches, wherever its slots lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dlc.codegen.program import Branch, Loop, Program, Step, sequences
from dlc.ir.dims import TRIPS, evaluate


class Rows(Protocol):
    """The rows of larger slots that the iterations of a loop work on."""

    def enter(self, at: int) -> None:
        """Lets slots be the rows of a number."""

    def leave(self) -> None:
        """Puts rows where they belong, when an iteration is done."""

    def end(self) -> None:
        """Makes whole slots of rows that were made one by one."""


class StepWalk(ABC):
    """Goes through a program; those who derive from it say what a slot is.

    Args:
        program: What runs.
        values: The extents of its symbols.
        places: What each slot is in, by its number; what moves and grows is replaced here.
    """

    def __init__(self, program: Program, values: Mapping[str, int], places: Any) -> None:
        self.program, self.values, self.places = program, values, places

    @abstractmethod
    def run(self, calls: range) -> None:
        """Runs calls, one after the other."""

    @abstractmethod
    def read(self, slot: int) -> Any:
        """The only element of a slot."""

    @abstractmethod
    def write(self, slot: int, number: int) -> None:
        """Sets the only element of a slot."""

    @abstractmethod
    def copy(self, to: int, source: int) -> None:
        """Copies a slot into another one."""

    @abstractmethod
    def rows(self, loop: Loop) -> Rows:
        """The rows of a loop that begins."""

    def walk(self) -> None:
        """Goes through all steps."""
        self._steps(self.program.all_steps)

    def _steps(self, steps: Sequence[Step]) -> None:
        for part in sequences(steps):
            match part:
                case range():
                    self.run(part)
                case Branch():
                    number = int(self.read(part.index))
                    self._steps(part.branches[min(max(number, 0), len(part.branches) - 1)])
                case Loop():
                    self._loop(part)

    def _loop(self, loop: Loop) -> None:
        for c in loop.carries:
            self.copy(c.slot, c.first)
        limit, rows, trips = self._limit(loop), self.rows(loop), 0
        while self._goes_on(loop, trips, limit):
            rows.enter(trips if limit is None or not loop.reverse else limit - 1 - trips)
            self._steps(loop.body)
            rows.leave()
            self._swap(loop)
            trips += 1
        if trips % 2:
            self._swap(loop)
            for c in loop.carries:
                self.copy(c.slot, c.next)
        if loop.length is None and loop.count is not None:
            self.write(loop.count, trips)
        rows.end()

    def _limit(self, loop: Loop) -> int | None:
        if loop.length is None:
            return None
        if loop.length == TRIPS:
            assert loop.count is not None
            return int(self.read(loop.count))
        return evaluate(loop.length, self.values)

    def _goes_on(self, loop: Loop, trips: int, limit: int | None) -> bool:
        if limit is not None:
            return trips < limit
        assert loop.condition is not None
        self._steps(loop.test)
        return bool(self.read(loop.condition))

    def _swap(self, loop: Loop) -> None:
        places = self.places
        for c in loop.carries:
            places[c.slot], places[c.next] = places[c.next], places[c.slot]


def growing_rows(program: Program, loop: Loop) -> dict[int, list[Any]]:
    """For each slot that is a row of one which grows with each iteration, a list for its rows."""
    return {
        x.slot: [] for x in loop.slices if x.written and program.slots[x.whole].kind == "growing"
    }
