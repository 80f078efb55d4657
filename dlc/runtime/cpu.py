"""Programs on the CPU: code mapped into the process, a table walked by the native driver."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.codegen.cpu.backend import CpuCode
from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.memory_plan import MemoryPlan, plan_memory
from dlc.codegen.program import Call, Program, independent_runs
from dlc.ir.dims import evaluate, product
from dlc.ir.types import DType, uint8
from dlc.runtime.buffers import empty
from dlc.runtime.loader import load_blobs
from dlc.runtime.program_table import Job, ProgramTable, run_table


class CpuProgram:
    """A program whose kernels are in executable memory."""

    def __init__(self, program: Program, payloads: Sequence[bytes]) -> None:
        self.program = program
        self.codes = [CpuCode.from_bytes(p) for p in payloads]
        loaded = load_blobs([c.blob for c in self.codes])
        self.loaded = loaded
        self.addresses = [x.address(c.entry) for x, c in zip(loaded, self.codes, strict=True)]

    def bind(self, values: Mapping[str, int]) -> BoundCpuProgram:
        """The table for these values of the symbols."""
        return BoundCpuProgram(self, values)

    def job(self, call: Call, values: Mapping[str, int]) -> Job:
        """One call of a kernel with its extents filled in."""
        kernel, code = self.program.kernels[call.kernel], self.codes[call.kernel]
        dims = tuple(evaluate(d, values) for d in call.dims)
        own = dict(zip(kernel.dims, dims, strict=True))
        slots = tuple(self.program.memory_of(a) for a in call.args)
        address = self.addresses[call.kernel]
        if _writes_nothing(kernel, own):
            return Job(address, 0, 1, slots, dims)
        # A hint about cost, which may divide by an extent.
        chunk = 1 if 0 in dims else max(1, evaluate(code.chunk, own))
        return Job(address, evaluate(code.units, own), chunk, slots, dims)

    def scratch_bytes(self, call: Call, values: Mapping[str, int]) -> int:
        """What a worker needs for one call."""
        kernel, code = self.program.kernels[call.kernel], self.codes[call.kernel]
        own = {n: evaluate(d, values) for n, d in zip(kernel.dims, call.dims, strict=True)}
        return 0 if _writes_nothing(kernel, own) else evaluate(code.scratch, own)


def _writes_nothing(kernel: Kernel, values: Mapping[str, int]) -> bool:
    outs = (p for p in kernel.params if p.mode != "in")
    return all(evaluate(product(p.dims), values) == 0 for p in outs)


class BoundCpuProgram:
    """A program table with the layout of its memory."""

    def __init__(self, code: CpuProgram, values: Mapping[str, int]) -> None:
        program = code.program
        self.code, self.program = code, program
        self.plan: MemoryPlan = plan_memory(program, values)
        scratch = max((code.scratch_bytes(c, values) for c in program.calls), default=0)
        table = ProgramTable(len(program.slots), scratch)
        for run in independent_runs(program):
            jobs = [code.job(program.calls[k], values) for k in run]
            if len(jobs) == 1:
                table.call(jobs[0])
            else:
                table.group(jobs)
        self.table = table.array()
        self.outputs: list[tuple[tuple[int, ...], DType, int | None]] = []
        for k, r in enumerate(program.results):
            shape = tuple(evaluate(d, values) for d in r.shape)
            self.outputs.append((shape, r.dtype, self._donor(k)))
        self._arenas: list[np.ndarray[Any, Any]] = []
        self._lock = threading.Lock()

    def _donor(self, result: int) -> int | None:
        """The input whose memory a result is in."""
        for s, slot in enumerate(self.program.slots):
            if slot.kind == "output" and slot.position == result:
                root = self.program.slots[self.program.memory_of(s)]
                return root.position if root.kind == "input" else None
        return None

    def run(
        self, inputs: Sequence[np.ndarray[Any, Any]], num_threads: int
    ) -> list[np.ndarray[Any, Any]]:
        """Runs the table; the arrays must have the types that the program was bound for."""
        results = [
            empty(shape, dtype) if donor is None else inputs[donor]
            for shape, dtype, donor in self.outputs
        ]
        arena = self._take_arena()
        base = arena.ctypes.data if arena is not None else 0
        pointers: list[int] = []
        for s, slot in enumerate(self.program.slots):
            match slot.kind:
                case "input":
                    pointers.append(inputs[slot.position].ctypes.data)
                case "output":
                    pointers.append(results[slot.position].ctypes.data)
                case "constant":
                    pointers.append(self.program.constants[slot.position].ctypes.data)
                case "temporary":
                    pointers.append(base + self.plan.offsets[s] if s in self.plan.offsets else 0)
        run_table(self.table, pointers, num_threads)
        if arena is not None:
            with self._lock:
                self._arenas.append(arena)
        return results

    def _take_arena(self) -> np.ndarray[Any, Any] | None:
        if not self.plan.arena_bytes:
            return None
        with self._lock:
            if self._arenas:
                return self._arenas.pop()
        return empty((self.plan.arena_bytes,), uint8)
