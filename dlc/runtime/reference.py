"""Programs on the reference backend: each kernel run by the kernel interpreter, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.program import Call, Program
from dlc.codegen.reference.interpreter import run_kernel
from dlc.codegen.reference.steps import StepWalker
from dlc.ir.dims import evaluate
from dlc.runtime.buffers import empty
from dlc.runtime.kept import standing_arrays

Array: TypeAlias = np.ndarray[Any, Any]


class ReferenceProgram:
    """A program whose code is the text of its kernels."""

    def __init__(
        self,
        program: Program,
        payloads: Sequence[bytes],
        fixed: Sequence[np.ndarray[Any, Any]] = (),
    ) -> None:
        self.program = program
        self.kernels = [parse_kernel(p.decode()) for p in payloads]
        self.standing = standing_arrays(program, payloads, fixed, self._run_once)

    def _run_once(self, calls: Sequence[Call], arrays: Mapping[int, Array]) -> None:
        for call in calls:
            self.run(call, arrays, {})

    def run(self, call: Call, arrays: Mapping[int, Array], values: Mapping[str, int]) -> None:
        """Runs a call on the arrays of its slots."""
        kernel = self.kernels[call.kernel]
        dims = {n: evaluate(d, values) for n, d in zip(kernel.dims, call.dims, strict=True)}
        named = {
            p.name: arrays[a].reshape([evaluate(d, dims) for d in p.dims])
            for p, a in zip(kernel.params, call.args, strict=True)
        }
        if any(named[p.name].size for p in kernel.params if p.mode != "in"):
            run_kernel(kernel, named, dims)

    def bind(self, values: Mapping[str, int]) -> BoundReferenceProgram:
        """The program for these values of the symbols."""
        return BoundReferenceProgram(self, values)


class BoundReferenceProgram:
    """A program with its extents."""

    def __init__(self, code: ReferenceProgram, values: Mapping[str, int]) -> None:
        self.code, self.values = code, values

    def run(
        self, inputs: Sequence[np.ndarray[Any, Any]], num_threads: int
    ) -> list[np.ndarray[Any, Any]]:
        """Runs the calls in order; every slot has an array of its own."""
        program = self.code.program
        arrays = dict(self.code.standing)
        for k, slot in enumerate(program.slots):
            if slot.kind == "input":
                arrays[k] = inputs[slot.position]
            elif slot.kind in ("output", "temporary"):
                shape = [evaluate(d, self.values) for d in slot.type.shape]
                arrays[k] = empty(shape, slot.type.dtype)

        def run(calls: range) -> None:
            for k in calls:
                self.code.run(program.calls[k], arrays, self.values)

        StepWalker(program, arrays, self.values, run).walk()
        results: dict[int, np.ndarray[Any, Any]] = {
            s.position: arrays[k] for k, s in enumerate(program.slots) if s.kind == "output"
        }
        return [results[k] for k in range(len(program.results))]
