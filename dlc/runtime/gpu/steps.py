"""Walks the steps of a program on a GPU: the host puts launches into the stream, and decides.

What a branch or a loop of unknown length depends on is read from the GPU; all else goes on without
waiting for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.codegen.memory_plan import byte_size
from dlc.codegen.program import Branch, Loop, Program, Step, sequences, walk_steps
from dlc.codegen.triton.stored_code import ALIGNMENT
from dlc.ir.dims import TRIPS, evaluate
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.gpu.device import Gpu


class GpuSteps:
    """A walk through a program.

    Args:
        gpu: Where it runs.
        program: What runs.
        values: The extents of its symbols.
        pointers: The address of each slot's memory; those that move are replaced here.
        run: Puts a call into the stream.
    """

    def __init__(
        self,
        gpu: Gpu,
        program: Program,
        values: Mapping[str, int],
        pointers: list[int],
        run: Callable[[int], None],
    ) -> None:
        self.gpu, self.program, self.values = gpu, program, values
        self.pointers, self.run = pointers, run
        self._held: list[GpuArray] = []  # memory of slots that grow

    def walk(self) -> None:
        """Goes through all steps."""
        self._steps(self.program.all_steps)

    def _steps(self, steps: Sequence[Step]) -> None:
        for part in sequences(steps):
            if isinstance(part, range):
                for call in part:
                    self.run(call)
            elif isinstance(part, Branch):
                number = int(self._read(part.index))
                self._steps(part.branches[min(max(number, 0), len(part.branches) - 1)])
            else:
                self._loop(part)

    def _read(self, slot: int) -> Any:
        """The only element of a slot."""
        dtype = self.program.slots[slot].type.dtype
        array = np.empty((), dtype.numpy)
        at = self.pointers[self.program.memory_of(slot)]
        self.gpu.copy_out(array.ctypes.data, at, dtype.itemsize)
        return array[()]

    def size(self, slot: int) -> int:
        """The bytes of a slot."""
        return byte_size(self.program.slots[slot].type, self.values)

    def _loop(self, loop: Loop) -> None:
        pointers, place = self.pointers, self.program.memory_of
        for c in loop.carries:
            self.gpu.copy(pointers[c.slot], pointers[place(c.first)], self.size(c.slot))
        rows = _Rows(self, loop)
        limit, trips = self._limit(loop), 0
        while self._goes_on(loop, trips, limit):
            at = trips if limit is None or not loop.reverse else limit - 1 - trips
            rows.enter(at)
            self._steps(loop.body)
            rows.leave()
            self._swap(loop)
            trips += 1
        if trips % 2:
            self._swap(loop)
            for c in loop.carries:
                self.gpu.copy(pointers[c.slot], pointers[c.next], self.size(c.slot))
        if loop.length is None and loop.count is not None:
            self._write(loop.count, trips)
        rows.end()

    def _limit(self, loop: Loop) -> int | None:
        if loop.length is None:
            return None
        if loop.length == TRIPS:
            assert loop.count is not None
            return int(self._read(loop.count))
        return evaluate(loop.length, self.values)

    def _goes_on(self, loop: Loop, trips: int, limit: int | None) -> bool:
        if limit is not None:
            return trips < limit
        assert loop.condition is not None
        self._steps(loop.test)
        return bool(self._read(loop.condition))

    def _swap(self, loop: Loop) -> None:
        pointers = self.pointers
        for c in loop.carries:
            pointers[c.slot], pointers[c.next] = pointers[c.next], pointers[c.slot]

    def fresh(self, slot: int) -> GpuArray:
        """New memory for a slot."""
        type_ = self.program.slots[slot].type
        return GpuArray(self.gpu, [evaluate(d, self.values) for d in type_.shape], type_.dtype)

    def gather(self, whole: int, rows: Sequence[GpuArray]) -> None:
        """Puts the rows of a slot that has grown side by side."""
        dtype = self.program.slots[whole].type.dtype
        made = GpuArray(self.gpu, (sum(r.size for r in rows),), dtype)
        at = made.pointer
        for row in rows:
            self.gpu.copy(at, row.pointer, row.nbytes)
            at += row.nbytes
        self._held.append(made)
        self.pointers[self.program.memory_of(whole)] = made.pointer

    def _write(self, slot: int, number: int) -> None:
        array = np.array(number, self.program.slots[slot].type.dtype.numpy)
        at = self.pointers[self.program.memory_of(slot)]
        self.gpu.copy_in(at, array.ctypes.data, array.nbytes)


class _Rows:
    """The rows of larger slots that the iterations of a loop work on."""

    def __init__(self, steps: GpuSteps, loop: Loop) -> None:
        self.steps, self.gpu, self.loop = steps, steps.gpu, loop
        slots = steps.program.slots
        self._grown: dict[int, list[GpuArray]] = {
            x.slot: [] for x in loop.slices if x.written and slots[x.whole].kind == "growing"
        }
        self._kept = [x for x in loop.slices if x.slot not in self._grown]
        self._size = {x.slot: steps.size(x.slot) for x in loop.slices}
        # Code takes addresses for multiples: rows that begin elsewhere have a place beside.
        self._beside = {
            x.slot: self.gpu.allocate(self._size[x.slot])
            for x in self._kept
            if self._size[x.slot] % ALIGNMENT
        }
        self._at: dict[int, int] = {}

    def enter(self, at: int) -> None:
        """Points the slots at the rows of a number."""
        pointers, place = self.steps.pointers, self.steps.program.memory_of
        for x in self._kept:
            row = self._at[x.slot] = pointers[place(x.whole)] + at * self._size[x.slot]
            pointers[x.slot] = self._beside.get(x.slot, row)
            if not x.written:
                self.gpu.copy(pointers[x.slot], row, self._size[x.slot])
        for slot, found in self._grown.items():
            found.append(self.steps.fresh(slot))
            pointers[slot] = found[-1].pointer

    def leave(self) -> None:
        """Puts what was written beside where it belongs."""
        for x in self._kept:
            if x.written and x.slot in self._beside:
                self.gpu.copy(self._at[x.slot], self._beside[x.slot], self._size[x.slot])

    def end(self) -> None:
        """Puts rows of slots that have grown side by side."""
        for address in self._beside.values():
            self.gpu.free(address)
        for x in self.loop.slices:
            if x.slot in self._grown:
                rows = self._grown[x.slot]
                self.steps.gather(x.whole, rows[::-1] if self.loop.reverse else rows)


def is_decided_beforehand(program: Program) -> bool:
    """Whether the same launches are made in each call, so that they may be captured once."""
    if any(k.host is not None for k in program.kernels):
        return False
    for step in walk_steps(program.steps):
        if isinstance(step, Branch):
            return False
        if isinstance(step, Loop) and (step.length is None or step.length == TRIPS):
            return False
    return True
