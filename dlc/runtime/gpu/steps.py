"""Walks the steps of a program on a GPU: the host puts launches into the stream, and decides.

What a branch or a loop of unknown length depends on is read from the GPU; all else goes on without
waiting for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.codegen.memory_plan import byte_size
from dlc.codegen.program import Branch, Loop, Program, walk_steps
from dlc.codegen.step_walk import Rows, StepWalk, growing_rows
from dlc.codegen.triton.stored_code import ALIGNMENT
from dlc.ir.dims import TRIPS, evaluate
from dlc.ir.types import int8
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.gpu.device import Gpu


class GpuSteps(StepWalk):
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
        super().__init__(program, values, pointers)
        self.gpu, self.pointers, self._run = gpu, pointers, run
        self._held: list[GpuArray] = []  # memory of slots that grow

    def run(self, calls: range) -> None:
        """Puts calls into the stream."""
        for call in calls:
            self._run(call)

    def _at(self, slot: int) -> int:
        return self.pointers[self.program.memory_of(slot)]

    def read(self, slot: int) -> Any:
        """The only element of a slot, when it is computed."""
        dtype = self.program.slots[slot].type.dtype
        array = np.empty((), dtype.numpy)
        self.gpu.copy_out(array.ctypes.data, self._at(slot), dtype.itemsize)
        return array[()]

    def write(self, slot: int, number: int) -> None:
        """Sets the only element of a slot."""
        array = np.array(number, self.program.slots[slot].type.dtype.numpy)
        self.gpu.copy_in(self._at(slot), array.ctypes.data, array.nbytes)

    def copy(self, to: int, source: int) -> None:
        """Copies a slot into another one."""
        self.gpu.copy(self.pointers[to], self._at(source), self.size(to))

    def rows(self, loop: Loop) -> Rows:
        """The rows of a loop that begins."""
        return _Rows(self, loop)

    def size(self, slot: int) -> int:
        """The bytes of a slot."""
        return byte_size(self.program.slots[slot].type, self.values)

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


class _Rows:
    def __init__(self, steps: GpuSteps, loop: Loop) -> None:
        self.steps, self.gpu, self.loop = steps, steps.gpu, loop
        self._grown: dict[int, list[GpuArray]] = growing_rows(steps.program, loop)
        self._kept = [x for x in loop.slices if x.slot not in self._grown]
        self._size = {x.slot: steps.size(x.slot) for x in loop.slices}
        # Code takes addresses for multiples: rows that begin elsewhere have a place beside.
        self._beside = {
            x.slot: GpuArray(self.gpu, (self._size[x.slot],), int8)
            for x in self._kept
            if self._size[x.slot] % ALIGNMENT
        }
        self._at: dict[int, int] = {}

    def enter(self, at: int) -> None:
        """Points the slots at the rows of a number."""
        pointers, place = self.steps.pointers, self.steps.program.memory_of
        for x in self._kept:
            row = self._at[x.slot] = pointers[place(x.whole)] + at * self._size[x.slot]
            beside = self._beside.get(x.slot)
            pointers[x.slot] = row if beside is None else beside.pointer
            if not x.written:
                self.gpu.copy(pointers[x.slot], row, self._size[x.slot])
        for slot, found in self._grown.items():
            found.append(self.steps.fresh(slot))
            pointers[slot] = found[-1].pointer

    def leave(self) -> None:
        """Puts what was written beside where it belongs."""
        for x in self._kept:
            if x.written and x.slot in self._beside:
                self.gpu.copy(self._at[x.slot], self._beside[x.slot].pointer, self._size[x.slot])

    def end(self) -> None:
        """Puts rows of slots that have grown side by side."""
        self._beside.clear()
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
