"""Programs on the CPU: code mapped into the process, a table walked by the native driver."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.codegen.chunks import CHUNK_COST
from dlc.codegen.cpu.stored_code import THREADS, CpuCode
from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.memory_plan import MemoryPlan, byte_dim, plan_memory
from dlc.codegen.program import (
    Branch,
    Call,
    Loop,
    Program,
    Step,
    inner_steps,
    runs_of,
    sequences,
)
from dlc.ir.config import config
from dlc.ir.dims import TRIPS, Dim, evaluate, product
from dlc.ir.types import DType, uint8
from dlc.runtime.buffers import ALIGNMENT, address_of, addresses_of
from dlc.runtime.host_calls import host_callback
from dlc.runtime.kept import standing_arrays
from dlc.runtime.loader import load_blobs
from dlc.runtime.program_table import (
    CarryWords,
    Job,
    LoopWords,
    ProgramTable,
    SliceWords,
    run_pointers,
    run_table,
    work_area_bytes,
)
from dlc.runtime.result_memory import empty_result

_WAKING = 12
"""Chunks from which on it pays to wake threads that sleep: that alone takes as long as a few."""

_CHUNKS_EACH = 32
"""A thread's chunks, where there is enough work: what is read next is fetched ahead within a chunk,
not from one to the next, but the more there are, the less threads wait for each other at the end.
"""

_LONGEST = 16
"""What a chunk then costs at most, in chunks of the usual cost."""

_OFTEN = 16
"""How often a loop is thought to run where that is not known."""


class CpuProgram:
    """A program whose kernels are in executable memory."""

    def __init__(
        self,
        program: Program,
        payloads: Sequence[bytes],
        fixed: Sequence[np.ndarray[Any, Any]] = (),
    ) -> None:
        self.program = program
        coded = [k for k, kernel in enumerate(program.kernels) if kernel.host is None]
        self.codes = {k: CpuCode.from_bytes(payloads[k]) for k in coded}
        self.loaded = load_blobs([c.blob for c in self.codes.values()])
        self.addresses = {
            k: x.address(c.entry) for x, (k, c) in zip(self.loaded, self.codes.items(), strict=True)
        }
        self.standing = standing_arrays(program, payloads, fixed, self._run_once)

    def bind(self, values: Mapping[str, int]) -> BoundCpuProgram:
        """The table for these values of the symbols."""
        return BoundCpuProgram(self, values)

    def _run_once(self, calls: Sequence[Call], arrays: Mapping[int, np.ndarray[Any, Any]]) -> None:
        jobs, scratch = self.jobs(calls, {})
        table = ProgramTable(len(self.program.slots), scratch)
        for job in jobs:
            table.call(job)
        pointers = [address_of(arrays[s]) if s in arrays else 0 for s in range(table.n_slots)]
        run_table(table.array(), pointers, config.thread_count(None))

    def jobs(self, calls: Sequence[Call], values: Mapping[str, int]) -> tuple[list[Job], int]:
        """Calls with their extents filled in, and the scratch memory that a worker needs."""
        # Of many equal layers, most calls are of the same kernel with the same extents.
        known: dict[tuple[int, tuple[int, ...]], tuple[int, int, int, float]] = {}
        jobs: list[Job] = []
        for call in calls:
            dims = tuple(evaluate(d, values) for d in call.dims)
            slots = tuple(self.program.memory_of(a) for a in call.args)
            if call.kernel not in self.codes:
                jobs.append(self._host_job(call, dims, slots))
                continue
            found = known.get((call.kernel, dims))
            if found is None:
                found = known[call.kernel, dims] = self._work(call.kernel, dims)
            units, chunk, _, work = found
            jobs.append(Job(self.addresses[call.kernel], units, chunk, slots, dims, work))
        return jobs, max((scratch for _, _, scratch, _ in known.values()), default=0)

    def _host_job(self, call: Call, dims: tuple[int, ...], slots: tuple[int, ...]) -> Job:
        kernel = self.program.kernels[call.kernel]
        own = dict(zip(kernel.dims, dims, strict=True))
        address, callback = host_callback(kernel, own, call.loc)
        units = 0 if _writes_nothing(kernel, own) else 1
        return Job(address, units, 1, slots, work=2.0, host=callback)

    def _work(self, number: int, dims: tuple[int, ...]) -> tuple[int, int, int, float]:
        """The units, the chunk, the scratch bytes and the work of a kernel for these extents."""
        kernel, code = self.program.kernels[number], self.codes[number]
        own = dict(zip(kernel.dims, dims, strict=True))
        if _writes_nothing(kernel, own):
            return 0, 1, 0, 0.0
        units, scratch = evaluate(code.units, own), evaluate(code.scratch, own)
        if 0 in dims:  # hints about cost may divide by an extent
            return units, 1, scratch, 0.0
        threads = config.thread_count()
        chunk = max(1, evaluate(code.chunk, own | {THREADS: threads}))
        count = units / chunk
        # A chunk costs more than is usual where there is little to share out.
        work = max(count, evaluate(code.cost, own) / CHUNK_COST)
        together = int(count / max(threads * _CHUNKS_EACH, work / _LONGEST))
        return units, chunk * max(1, together), scratch, work


def _writes_nothing(kernel: Kernel, values: Mapping[str, int]) -> bool:
    outs = (p for p in kernel.params if p.mode != "in")
    return all(evaluate(product(p.dims), values) == 0 for p in outs)


def add_steps(
    table: ProgramTable,
    program: Program,
    jobs: Sequence[Job],
    steps: Sequence[Step],
    number: Callable[[Dim], int],
) -> None:
    """Adds the records of steps to a table.

    Args:
        table: The table.
        program: The program of which the steps are.
        jobs: The program's calls.
        steps: The steps.
        number: Gives the word that stands for a dim.
    """
    for part in sequences(steps):
        if isinstance(part, range):
            for run in runs_of(program, part):
                table.independent(jobs[run.start : run.stop])
            continue
        inner = [
            functools.partial(add_steps, table, program, jobs, s, number) for s in inner_steps(part)
        ]
        if isinstance(part, Branch):
            table.branch(program.memory_of(part.index), inner)
        else:
            table.loop(_loop_words(program, part, number), *inner)


def _loop_words(program: Program, loop: Loop, number: Callable[[Dim], int]) -> LoopWords:
    slots, place = program.slots, program.memory_of
    length = loop.length

    def size(slot: int) -> int:
        return number(byte_dim(slots[slot].type))

    carries = [CarryWords(c.slot, c.next, place(c.first), size(c.slot)) for c in loop.carries]
    slices = [
        SliceWords(
            x.slot, place(x.whole), size(x.slot), x.written and slots[x.whole].kind == "growing"
        )
        for x in loop.slices
    ]
    return LoopWords(
        loop.counter,
        tuple(carries),
        tuple(slices),
        None if length is None or length == TRIPS else number(length),
        loop.condition,
        None if loop.count is None else place(loop.count),
        loop.reverse,
    )


class BoundCpuProgram:
    """A program table with the layout of its memory."""

    def __init__(self, code: CpuProgram, values: Mapping[str, int]) -> None:
        program = code.program
        self.code, self.program = code, program
        self.plan: MemoryPlan = plan_memory(program, values)
        self.jobs, self.scratch_bytes = code.jobs(program.calls, values)
        self.values = values
        table = ProgramTable(len(program.slots), self.scratch_bytes)
        self.work = self._work(program.all_steps)  # in chunks of the usual cost
        self.add_to(table)
        table.wakes = self.work >= _WAKING
        self.table = table.array()
        self.table_address = self.table.ctypes.data
        self.outputs: list[tuple[tuple[int, ...], DType, int | None]] = []
        donors = self._donors()
        for k, r in enumerate(program.results):
            shape = tuple(evaluate(d, values) for d in r.shape)
            self.outputs.append((shape, r.dtype, donors.get(k)))
        inputs, outputs = self._slots("input"), self._slots("output")
        assert inputs == [(k, k) for k in range(len(program.params))]  # in the first slots
        self._fresh = [s for s in outputs if s[1] not in donors]
        self._frames: list[_Frame] = []
        self._ran = False

    def add_to(self, table: ProgramTable) -> None:
        """Adds the records of the program to a table."""
        program = self.program
        number = functools.partial(evaluate, values=self.values)
        add_steps(table, program, self.jobs, program.all_steps, number)

    def _work(self, steps: Sequence[Step]) -> float:
        """What steps cost, in chunks of the usual cost."""
        total = 0.0
        for step in steps:
            if isinstance(step, int):
                total += self.jobs[step].work
                continue
            inner = [self._work(s) for s in inner_steps(step)]
            if isinstance(step, Branch):
                total += max(inner)
            elif step.length is None or step.length == TRIPS:
                # It may run for long, and others must be able to work meanwhile.
                total += 2 + _OFTEN * sum(inner)
            else:
                total += evaluate(step.length, self.values) * sum(inner)
        return total

    def _slots(self, kind: str) -> list[tuple[int, int]]:
        """The slots of a kind, each with its position among them."""
        return [(s, x.position) for s, x in enumerate(self.program.slots) if x.kind == kind]

    def _donors(self) -> dict[int, int]:
        """For each result that is in the memory of an input, the position of that."""
        found: dict[int, int] = {}
        for s, position in self._slots("output"):
            root = self.program.slots[self.program.memory_of(s)]
            if root.kind == "input":
                found[position] = root.position
        return found

    def run(
        self, inputs: Sequence[np.ndarray[Any, Any]], num_threads: int
    ) -> list[np.ndarray[Any, Any]]:
        """Runs the table; the arrays must have the types that the program was bound for."""
        results = [
            empty_result(shape, dtype, repeated=self._ran) if donor is None else inputs[donor]
            for shape, dtype, donor in self.outputs
        ]
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(self)
        pointers = frame.pointers
        pointers[: len(inputs)] = addresses_of(inputs)
        for s, position in self._fresh:
            pointers[s] = address_of(results[position])
        run_pointers(self.table_address, frame.address, num_threads)
        self._frames.append(frame)
        self._ran = True
        return results


class _Frame:
    """What one call of a program needs: its slots, temporaries, and the driver's work area.

    The slots of temporaries and constants are filled in for good.
    """

    def __init__(self, bound: BoundCpuProgram) -> None:
        program, plan = bound.program, bound.plan
        area_at = -(-plan.arena_bytes // ALIGNMENT) * ALIGNMENT
        size = area_at + work_area_bytes(bound.table)
        self.memory = empty_result((size,), uint8, repeated=False)
        base = address_of(self.memory)
        self.pointers = (ctypes.c_uint64 * (len(program.slots) + 1))()
        for s, offset in plan.offsets.items():
            self.pointers[s] = base + offset
        for s, array in bound.code.standing.items():
            self.pointers[s] = address_of(array)
        self.pointers[len(program.slots)] = base + area_at
        self.address = ctypes.addressof(self.pointers)
