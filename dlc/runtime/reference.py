"""Programs on the reference backend: each kernel run by the kernel interpreter, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.program import Program
from dlc.codegen.reference.interpreter import run_kernel
from dlc.ir.dims import evaluate
from dlc.runtime.buffers import empty


class ReferenceProgram:
    """A program whose code is the text of its kernels."""

    def __init__(self, program: Program, payloads: Sequence[bytes]) -> None:
        self.program = program
        self.kernels = [parse_kernel(p.decode()) for p in payloads]

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
        arrays: list[np.ndarray[Any, Any]] = []
        for slot in program.slots:
            if slot.kind == "input":
                arrays.append(inputs[slot.position])
            elif slot.kind == "constant":
                arrays.append(program.constants[slot.position])
            else:
                arrays.append(
                    empty([evaluate(d, self.values) for d in slot.type.shape], slot.type.dtype)
                )
        for call in program.calls:
            kernel = self.code.kernels[call.kernel]
            dims = {
                n: evaluate(d, self.values) for n, d in zip(kernel.dims, call.dims, strict=True)
            }
            named = {
                p.name: arrays[a].reshape([evaluate(d, dims) for d in p.dims])
                for p, a in zip(kernel.params, call.args, strict=True)
            }
            if any(named[p.name].size for p in kernel.params if p.mode != "in"):
                run_kernel(kernel, named, dims)
        results: dict[int, np.ndarray[Any, Any]] = {
            s.position: arrays[k] for k, s in enumerate(program.slots) if s.kind == "output"
        }
        return [results[k] for k in range(len(program.results))]
