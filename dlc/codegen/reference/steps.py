"""Walks the steps of a program over arrays: loops and branches around runs of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dlc.codegen.program import Branch, Loop, Program, Step, runs_of, sequences
from dlc.ir.dims import TRIPS, evaluate
from dlc.ir.types import TensorType

Array: TypeAlias = np.ndarray[Any, Any]


class StepWalker:
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
        self.program, self.arrays, self.values, self.run = program, arrays, values, run

    def walk(self) -> None:
        """Runs all steps."""
        self._steps(self.program.all_steps)

    def _steps(self, steps: Sequence[Step]) -> None:
        for part in sequences(steps):
            match part:
                case range():
                    for calls in runs_of(self.program, part):
                        self.run(calls)
                case Branch():
                    number = int(self.arrays[part.index][()])
                    self._steps(part.branches[min(max(number, 0), len(part.branches) - 1)])
                case Loop():
                    self._loop(part)

    def _loop(self, loop: Loop) -> None:
        arrays = self.arrays
        for c in loop.carries:
            arrays[c.slot][...] = arrays[c.first]
        limit = self._limit(loop)
        grown: dict[int, list[Array]] = {}
        for x in loop.slices:
            if x.written and self.program.slots[x.whole].kind == "growing":
                grown[x.slot] = []
        trips = 0
        while self._goes_on(loop, trips, limit):
            at = trips if limit is None or not loop.reverse else limit - 1 - trips
            for x in loop.slices:
                if x.slot in grown:
                    arrays[x.slot] = self._fresh(self.program.slots[x.slot].type)
                    grown[x.slot].append(arrays[x.slot])
                else:
                    arrays[x.slot] = arrays[x.whole][at, ...]
            self._steps(loop.body)
            self._swap(loop)
            trips += 1
        if trips % 2:
            self._swap(loop)
            for c in loop.carries:
                arrays[c.slot][...] = arrays[c.next]
        if loop.length is None and loop.count is not None:
            arrays[loop.count][...] = trips
        for x in loop.slices:
            if x.slot in grown:
                rows = grown[x.slot][::-1] if loop.reverse else grown[x.slot]
                type_ = self.program.slots[x.slot].type
                empty = np.empty((0, *self._shape(type_)), type_.dtype.numpy)
                arrays[x.whole] = np.stack(rows) if rows else empty

    def _limit(self, loop: Loop) -> int | None:
        if loop.length is None:
            return None
        if loop.length == TRIPS:
            assert loop.count is not None
            return int(self.arrays[loop.count][()])
        return evaluate(loop.length, self.values)

    def _goes_on(self, loop: Loop, trips: int, limit: int | None) -> bool:
        if limit is not None:
            return trips < limit
        assert loop.condition is not None
        self._steps(loop.test)
        return bool(self.arrays[loop.condition][()])

    def _swap(self, loop: Loop) -> None:
        arrays = self.arrays
        for c in loop.carries:
            arrays[c.slot], arrays[c.next] = arrays[c.next], arrays[c.slot]

    def _shape(self, type_: TensorType) -> tuple[int, ...]:
        return tuple(evaluate(d, self.values) for d in type_.shape)

    def _fresh(self, type_: TensorType) -> Array:
        return np.empty(self._shape(type_), type_.dtype.numpy)
