"""Walks the steps of a program over arrays: loops and branches around runs of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

import numpy as np

from dlc.codegen.program import Loop, Program, runs_of
from dlc.codegen.step_walk import Rows, StepWalk, growing_rows
from dlc.ir.dims import evaluate
from dlc.ir.types import TensorType

Array: TypeAlias = np.ndarray[Any, Any]


class StepWalker(StepWalk):
    """Runs a program whose slots are arrays.

    Args:
        program: What to run.
        arrays: By slot; those of slots that move or grow are set here.
        values: The extents of its symbols.
        run: Runs calls that are independent of each other.
    """

    def __init__(
        self,
        program: Program,
        arrays: MutableMapping[int, Array],
        values: Mapping[str, int],
        run: Callable[[range], None],
    ) -> None:
        super().__init__(program, values, arrays)
        self.arrays, self._run = arrays, run

    def run(self, calls: range) -> None:
        """Runs calls, those that are independent of each other at a time."""
        for part in runs_of(self.program, calls):
            self._run(part)

    def read(self, slot: int) -> Any:
        """The only element of a slot."""
        return self.arrays[slot][()]

    def write(self, slot: int, number: int) -> None:
        """Sets the only element of a slot."""
        self.arrays[slot][...] = number

    def copy(self, to: int, source: int) -> None:
        """Copies a slot into another one."""
        self.arrays[to][...] = self.arrays[source]

    def rows(self, loop: Loop) -> Rows:
        """The rows of a loop that begins."""
        return _Rows(self, loop)

    def shape(self, type_: TensorType) -> tuple[int, ...]:
        """The extents of a type."""
        return tuple(evaluate(d, self.values) for d in type_.shape)


class _Rows:
    def __init__(self, steps: StepWalker, loop: Loop) -> None:
        self.steps, self.loop = steps, loop
        self._grown: dict[int, list[Array]] = growing_rows(steps.program, loop)

    def enter(self, at: int) -> None:
        """Lets slots be the rows of a number."""
        steps, arrays = self.steps, self.steps.arrays
        for x in self.loop.slices:
            if x.slot in self._grown:
                type_ = steps.program.slots[x.slot].type
                arrays[x.slot] = np.empty(steps.shape(type_), type_.dtype.numpy)
                self._grown[x.slot].append(arrays[x.slot])
            else:
                arrays[x.slot] = arrays[x.whole][at, ...]

    def leave(self) -> None:
        """Nothing: rows are written where they belong."""

    def end(self) -> None:
        """Makes whole slots of rows that were made one by one."""
        for x in self.loop.slices:
            if x.slot in self._grown:
                rows = self._grown[x.slot][:: -1 if self.loop.reverse else 1]
                type_ = self.steps.program.slots[x.slot].type
                empty = np.empty((0, *self.steps.shape(type_)), type_.dtype.numpy)
                self.steps.arrays[x.whole] = np.stack(rows) if rows else empty
