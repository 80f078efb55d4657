"""Calls of compiled functions that native code serves, without Python in between.

When a function has been called a few times with arguments of the same form and shapes, it gets an
entry for them (`dlc.runtime.entry`), which looks at everything that the result depends on: the
arguments, the variables and tensors that the function uses, settings, and whether a trace is in
progress. What would have a history goes through Python, so that gradients are recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dlc.frontend.closure import Closure
from dlc.frontend.entry_chain import EntryChain, PlannedCall, Unusual
from dlc.frontend.recording import recording_state
from dlc.frontend.signature import NUMBERS, Call, CallKey, Given, Signature
from dlc.frontend.tensor import Tensor
from dlc.frontend.tree import Structure
from dlc.frontend.variable import Variable, variables_lock
from dlc.ir.config import config
from dlc.ir.deferred import deferred
from dlc.ir.record import NamedTuple
from dlc.runtime.cpu import BoundCpuProgram
from dlc.runtime.executable import Executable

# Not needed by a process that calls nothing twice.
if TYPE_CHECKING:
    from dlc.frontend import call_guards, entry_layouts
    from dlc.frontend.stats import CompileStats
    from dlc.runtime import call_plan
    from dlc.runtime.entry import Entry
else:
    call_guards = deferred("dlc.frontend.call_guards")
    entry_layouts = deferred("dlc.frontend.entry_layouts")
    call_plan = deferred("dlc.runtime.call_plan")


class Kind(NamedTuple):
    """Calls that one entry can serve."""

    program: Executable
    key: CallKey
    shapes: tuple[tuple[int, ...], ...]
    classes: tuple[type, ...]
    positional: int
    names: tuple[str, ...]
    orders: tuple[tuple[Any, ...], ...]  # of the keys of dicts, which the key of a call hides


class NativeCalls(EntryChain):
    """The entries of one compiled function.

    Args:
        stats: Where calls are counted.
        signature: The function's.
        fallback: Serves a call through Python.
        use: Lets calls of the function go to an entry from now on.
    """

    def __init__(
        self,
        stats: CompileStats,
        signature: Signature,
        fallback: Callable[..., Any],
        use: Callable[[Entry], None],
    ) -> None:
        super().__init__(fallback, use)
        self._stats, self._signature = stats, signature

    def serves(self, program: object) -> bool:
        """Whether there is an entry for a program."""
        kinds = () if self.active is None else self.active.kinds
        return any(isinstance(k, Kind) and k.program is program for k in kinds)

    def note(self, program: Executable, closure: Closure, call: Call, given: Given) -> None:
        """Counts a call that went through Python; makes an entry when there were enough."""
        classes = tuple([_class(x) for x in call.given])
        names = tuple(given.kwargs)
        has_dicts = _has_dicts(call.key.structure.children[0]) or given.kwargs
        orders = tuple(_key_orders(given)) if has_dicts else ()
        kind = Kind(program, call.key, call.shapes, classes, len(given.args), names, orders)
        # Calls may come to be served by another program.
        self.count(kind, kind[1:], lambda: self._plan(program, closure, call, given))

    def _plan(self, program: Executable, closure: Closure, call: Call, given: Given) -> PlannedCall:
        recording = recording_state.get()
        form, matters = call_guards.call_form(
            call, given, self._signature, closure, recording.enabled
        )
        if matters and recording.enabled and recording.tapes:
            raise Unusual("variables under a tape")
        bound = program.bound_for(_input_shapes(call, closure))
        if not isinstance(bound, BoundCpuProgram):
            raise Unusual("another device")
        plan = call_plan.entry_plan(
            bound,
            form,
            lock=variables_lock if closure.has_state else None,
            num_threads=config.thread_count(program.options.num_threads),
            counts=self._stats.entry_counts,
        )
        if plan is None:
            raise Unusual("large temporaries")
        with_histories = not closure.has_state and (recording.enabled or not matters)
        layouts = entry_layouts
        layout = layouts.LAYOUT if with_histories else layouts.LAYOUT_WITHOUT_HISTORIES
        return PlannedCall(plan, layout, recording if matters else None)


def _class(x: Any) -> type:
    """What tells arguments apart that have equal keys: numbers, variables, and all others."""
    kind = type(x)
    return kind if kind in NUMBERS or issubclass(kind, Variable) else Tensor


@functools.lru_cache(256)
def _has_dicts(s: Structure) -> bool:
    return s.kind is dict or any(map(_has_dicts, s.children))


def _key_orders(value: Any) -> Iterator[tuple[Any, ...]]:
    children = value
    if type(value) is dict:
        yield tuple(value)
        children = value.values()
    elif not isinstance(value, (list, tuple)):
        return
    for child in children:
        yield from _key_orders(child)


def _input_shapes(call: Call, closure: Closure) -> tuple[tuple[int, ...], ...]:
    gradients = [g for v in closure.gradients if (g := v._grad) is not None]
    others = (*closure.changing, *closure.variables, *gradients)
    return (*call.shapes, *(tuple(x.shape) for x in others))
