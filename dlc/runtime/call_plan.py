"""From a program of the CPU, bound to extents, to the plan of a native call entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.ir.record import dataclass, field
from dlc.runtime.cpu import BoundCpuProgram
from dlc.runtime.entry_plan import Cleared, EntryPlan, Guard, Held, Result

_NOTHING = np.empty(0, np.uint8)
_MAX_ARENA = 1 << 26
"""An entry has temporaries of its own, besides those of the calls before it."""


@dataclass(frozen=True)
class CallForm:
    """What calls look like from outside.

    Args:
        parameters: A guard for each argument; input k of the program is in slot k.
        names: Of the last arguments.
        held: Guards of the program's other inputs.
        targets: For each result the object and the attribute that get it; None if it is returned.
        cleared: What is None after a call.
        form: What is returned, as `EntryPlan` has it.
        finish: Makes what is returned of that.
        constants: The inputs that are the same in each call, by their numbers.
    """

    parameters: Sequence[Guard]
    names: tuple[str, ...]
    held: Sequence[Held]
    targets: Sequence[tuple[object, str] | None]
    cleared: Sequence[Cleared]
    form: Any
    finish: Callable[[Any], Any] | None
    constants: Mapping[int, np.ndarray[Any, Any]] = field(
        default_factory=dict[int, "np.ndarray[Any, Any]"]
    )


def entry_plan(
    bound: BoundCpuProgram,
    call: CallForm,
    *,
    lock: Any,
    num_threads: int,
    counts: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> EntryPlan | None:
    """The plan of calls of a program, None for one that an entry cannot or should not run.

    Args:
        bound: The program.
        call: What a call looks like.
        lock: What is held while variables are replaced.
        num_threads: Most threads to use.
        counts: Where the entry counts its calls.
    """
    slots = bound.program.slots
    if bound.plan.arena_bytes > _MAX_ARENA:
        return None
    place = {s.position: k for k, s in enumerate(slots) if s.kind == "output"}
    if any(k not in place for k in range(len(bound.outputs))):
        return None
    results: list[Result | Cleared] = []
    for k, ((shape, dtype, donor), target) in enumerate(
        zip(bound.outputs, call.targets, strict=True)
    ):
        holder, attribute = target or (None, None)
        results.append(Result(place[k], shape, dtype.numpy, donor, holder, attribute))
    standing = ("constant", "fixed", "kept")
    moving = ("temporary", "slice", "growing")
    unread = {k: _NOTHING for k, s in enumerate(slots) if s.kind in standing}
    releases = bound.work > 1  # so are calls of Python
    return EntryPlan(
        call.parameters,
        [*results, *call.cleared],
        bound.table,
        call.names,
        call.held,
        constants={**unread, **bound.code.standing, **call.constants},
        temporaries={
            k: bound.plan.offsets.get(k, 0) for k, s in enumerate(slots) if s.kind in moving
        },
        arena_bytes=bound.plan.arena_bytes,
        form=call.form,
        finish=call.finish,
        num_threads=num_threads,
        release_gil=releases,
        lock=lock if releases else None,
        keep=bound,
        counts=counts,
    )
