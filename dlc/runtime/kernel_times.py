"""How long a program and each of its kernels take, without what calls them.

A table that repeats a record many times is run in one go, so that neither Python nor the start of a
table is in the time of a kernel.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.codegen.memory_plan import byte_size
from dlc.codegen.program import Call
from dlc.ir.errors import DeviceError
from dlc.runtime.buffers import address_of, aligned_copy, empty
from dlc.runtime.cpu import BoundCpuProgram
from dlc.runtime.executable import Executable
from dlc.runtime.program_table import Job, ProgramTable, run_table

_AT_LEAST = 2e-3  # seconds of a measurement
_MOST = 1000  # repetitions
_TRIES = 7


class ProgramTimer:
    """Times a program on given arrays.

    Args:
        executable: A program for the CPU.
        arrays: Its inputs. They are copied, as a program may write to those that are donated.
        num_threads: Most threads to use.

    Raises:
        DeviceError: for a program of another device.

    Example:
        >>> timer = ProgramTimer(lowered.executable, [x, w], num_threads=2)
        >>> timer.seconds(), [timer.seconds(k) for k in range(len(timer.calls))]
    """

    def __init__(
        self, executable: Executable, arrays: Sequence[np.ndarray[Any, Any]], num_threads: int
    ) -> None:
        arrays = executable.changing(arrays)
        bound = executable.bound_for(tuple([a.shape for a in arrays]))
        if not isinstance(bound, BoundCpuProgram):
            raise DeviceError(
                f"kernels of the device {executable.options.device!r} cannot be timed one by one",
                hint="use the device cpu",
            )
        self.program = bound.program
        self.calls: tuple[Call, ...] = self.program.calls
        self.jobs: list[Job] = bound.jobs
        self.num_threads = num_threads
        self._bound = bound
        self._given = list(arrays)
        self._memory = _Memory(bound, arrays)

    def seconds(self, call: int | None = None) -> float:
        """The median time of the whole program, or of one of its calls alone."""
        once = self._table(call, 1)
        self._start_anew()
        before = _seconds_of(lambda: self._run(once))
        repeats = max(1, min(_MOST, round(_AT_LEAST / max(before, 1e-9))))
        table = self._table(call, repeats)
        tries = _TRIES if before < 0.1 else 3
        found = [_seconds_of(lambda: self._run(table)) / repeats for _ in range(tries)]
        return statistics.median(found)

    def _table(self, call: int | None, repeats: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        table = ProgramTable(len(self.program.slots), self._bound.scratch_bytes)
        for _ in range(repeats):
            if call is None:
                self._bound.add_to(table)
            else:
                table.call(self.jobs[call])
        return table.array()

    def _start_anew(self) -> None:
        """Inputs as they were given, and temporaries as the program leaves them."""
        self._memory.restore(self._given)
        self._run(self._bound.table)
        self._memory.restore(self._given)

    def _run(self, table: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        run_table(table, self._memory.pointers, self.num_threads)


class _Memory:
    """The slots of one call that never ends."""

    def __init__(self, bound: BoundCpuProgram, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
        program, plan = bound.program, bound.plan
        types = [p.dtype for p in program.params]
        self.inputs = [aligned_copy(a, t) for a, t in zip(arrays, types, strict=True)]
        self.outputs = [empty(shape, dtype) for shape, dtype, _ in bound.outputs]
        self.arena = np.empty(plan.arena_bytes + 64, np.uint8)
        base = (self.arena.ctypes.data + 63) & -64
        self.rows: list[np.ndarray[Any, Any]] = []
        self.pointers: list[int] = []
        for s, slot in enumerate(program.slots):
            match slot.kind:
                case "input":
                    address = address_of(self.inputs[slot.position])
                case "output":
                    address = address_of(self.outputs[slot.position])
                case "temporary":
                    address = base + plan.offsets.get(s, 0)
                case "slice":  # a call by itself has one row
                    row = np.empty(byte_size(slot.type, bound.values) + 64, np.uint8)
                    self.rows.append(row)
                    address = (row.ctypes.data + 63) & -64
                case "growing":
                    address = 0
                case "constant" | "fixed" | "kept":
                    array = bound.code.standing.get(s)
                    address = 0 if array is None else address_of(array)
            self.pointers.append(address)

    def restore(self, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
        for mine, given in zip(self.inputs, arrays, strict=True):
            mine[...] = given


def _seconds_of(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
