"""From a program of the CPU, bound to extents, to the plan of a native call entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dlc.runtime.cpu import BoundCpuProgram
from dlc.runtime.entry import ArrayParameter, Conditions, EntryPlan, Result, ScalarParameter

_MAX_BYTES = 1 << 22
"""Larger results are better allocated by NumPy, which asks for huge pages; and an entry keeps the
temporaries of each thread that calls it. Such a call takes long, so that little is lost."""


class Argument(NamedTuple):
    """What a caller passes for one parameter: a tensor or an array, or a Python scalar."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scalar: bool = False


def entry_plan(
    bound: BoundCpuProgram,
    arguments: Sequence[Argument],
    *,
    single: bool,
    num_threads: int,
    counts: np.ndarray[tuple[int], np.dtype[np.int64]],
    conditions: Conditions,
) -> EntryPlan | None:
    """The plan of calls of a program, None for one that an entry cannot or should not run.

    Args:
        bound: The program.
        arguments: One for each of its parameters.
        single: Whether its one result is returned itself, not in a tuple.
        num_threads: Most threads to use.
        counts: Where the entry counts its calls.
        conditions: What must be so when the entry is called.
    """
    slots = bound.program.slots
    donors = any(donor is not None for _, _, donor in bound.outputs)
    sizes = [t.itemsize * _product(shape) for shape, t, _ in bound.outputs]
    if donors or bound.plan.arena_bytes + sum(sizes) > _MAX_BYTES:
        return None
    place = {(s.kind, s.position): k for k, s in enumerate(slots)}
    places = [("input", k) for k in range(len(arguments))]
    places += [("output", k) for k in range(len(bound.outputs))]
    if any(p not in place for p in places):
        return None
    parameters: list[ArrayParameter | ScalarParameter] = []
    for k, a in enumerate(arguments):
        slot = place["input", k]
        if a.scalar:
            parameters.append(ScalarParameter(slot, a.dtype))
        else:
            parameters.append(ArrayParameter(slot, a.shape, a.dtype, accepts_arrays=True))
    return EntryPlan(
        parameters,
        [
            Result(place["output", k], shape, dtype.numpy)
            for k, (shape, dtype, _) in enumerate(bound.outputs)
        ],
        bound.table,
        constants={
            k: bound.program.constants[s.position]
            for k, s in enumerate(slots)
            if s.kind == "constant"
        },
        temporaries={
            k: bound.plan.offsets.get(k, 0) for k, s in enumerate(slots) if s.kind == "temporary"
        },
        arena_bytes=bound.plan.arena_bytes,
        single=single,
        num_threads=num_threads,
        release_gil=bound.chunks > 1,
        keep=bound,
        counts=counts,
        conditions=conditions,
    )


def _product(shape: Sequence[int]) -> int:
    size = 1
    for d in shape:
        size *= d
    return size
