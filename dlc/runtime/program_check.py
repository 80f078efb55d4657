"""Runs a program's kernels by the kernel interpreter, each step of memory planning by itself.

What a compiled program does with memory is done here with arrays: first every slot has an array of
its own, then slots share memory as the program says, then temporaries lie in one arena at the
planned offsets. Fresh memory holds values that show.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.codegen.memory_plan import plan_memory
from dlc.codegen.program import Call, Program
from dlc.codegen.reference.interpreter import run_kernel
from dlc.codegen.reference.steps import StepWalker
from dlc.ir.dims import evaluate
from dlc.ir.errors import BackendError
from dlc.ir.record import replace

Array: TypeAlias = npt.NDArray[Any]
Memory: TypeAlias = Literal["own", "shared", "planned"]
FRESH = 0x7F  # bytes that make large numbers of all types


def run_program(
    program: Program, args: Sequence[Array], values: Mapping[str, int], memory: Memory
) -> list[Array]:
    """The results of a program on `args`.

    Args:
        program: Without donated or fixed parameters.
        args: Arrays of its parameters' types.
        values: The extents of its symbols.
        memory: Whether each slot has an array of its own, or memory is shared as the program says,
            or temporaries lie at the offsets of the memory plan as well. In the last case, calls
            that may run at the same time run in reverse order.

    Raises:
        BackendError: An argument was written to.
    """
    if memory == "own":
        program = replace(program, slots=tuple(replace(s, shares=None) for s in program.slots))
    arrays = _slots(program, args, values, planned=memory == "planned")
    order = itertools.count()

    def run_call(call: Call) -> None:
        kernel = program.kernels[call.kernel]
        dims = {n: evaluate(d, values) for n, d in zip(kernel.dims, call.dims, strict=True)}
        named = {
            p.name: arrays[a].reshape([evaluate(d, dims) for d in p.dims])
            for p, a in zip(kernel.params, call.args, strict=True)
        }
        outs = [named[p.name] for p in kernel.params if p.mode != "in"]
        number = next(order)
        if all(out.size == 0 for out in outs):  # devices leave such calls out
            return
        # Iterations are independent: memory that is shared wrongly shows in another order.
        run_kernel(kernel, named, dims, order_seed=None if memory == "own" else number)

    def run(calls: range) -> None:
        for k in reversed(calls) if memory == "planned" else calls:
            run_call(program.calls[k])

    for call in program.once:
        run_call(call)
    StepWalker(program, arrays, values, run).walk()
    for k, slot in enumerate(program.slots):
        if slot.kind != "input":
            continue
        array = arrays[k]
        if array.tobytes() != args[slot.position].tobytes():
            raise BackendError(f"argument {slot.position} was written to")
    outputs = {s.position: arrays[k] for k, s in enumerate(program.slots) if s.kind == "output"}
    return [outputs[k] for k in range(len(program.results))]


def _slots(
    program: Program, args: Sequence[Array], values: Mapping[str, int], *, planned: bool
) -> dict[int, Array]:
    plan = plan_memory(program, values)
    arena = np.full(plan.arena_bytes, FRESH, np.uint8)
    memory: dict[int, Array] = {}
    arrays: dict[int, Array] = {}
    for k, slot in enumerate(program.slots):
        if slot.kind in ("slice", "growing"):  # loops set them
            continue
        shape = tuple(evaluate(d, values) for d in slot.type.shape)
        count = int(np.prod(shape)) * slot.type.dtype.itemsize
        root = program.memory_of(k)
        if slot.kind == "input":
            own = np.array(args[slot.position], order="C")
            memory[k] = own.reshape(-1).view(np.uint8)
            arrays[k] = own
        elif slot.kind == "constant":
            arrays[k] = program.constants[slot.position]
        else:
            if root not in memory:
                at = plan.offsets.get(root) if planned else None
                fresh = np.full(count, FRESH, np.uint8)
                memory[root] = fresh if at is None else arena[at : at + count]
            raw = memory[root][:count]
            arrays[k] = raw.view(slot.type.dtype.numpy).reshape(shape)
    return arrays
