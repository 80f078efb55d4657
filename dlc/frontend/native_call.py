"""Calls of compiled functions that native code serves, without Python in between.

When a function has been called a few times with arguments of the same form and shapes, it gets an
entry for them (`dlc.runtime.entry`), which looks at everything that the result depends on: the
arguments, the variables and tensors that the function uses, settings, and whether a trace is in
progress. What would have a history goes through Python, so that gradients are recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from dlc.frontend.call_guards import NUMBERS, Given, Unusual, call_form
from dlc.frontend.closure import Closure
from dlc.frontend.context import current
from dlc.frontend.recording import Recording, recording_state
from dlc.frontend.signature import Call, CallKey, Signature
from dlc.frontend.tensor import Tensor
from dlc.frontend.tree import Structure
from dlc.frontend.variable import Variable, variables_lock
from dlc.ir.config import config
from dlc.ir.locks import make_lock
from dlc.runtime.call_plan import entry_plan
from dlc.runtime.cpu import BoundCpuProgram
from dlc.runtime.entry import Entry, PythonEntry, make_entry
from dlc.runtime.entry_plan import Conditions, EntryPlan, TensorLayout
from dlc.runtime.executable import Executable

if TYPE_CHECKING:
    from dlc.frontend.stats import CompileStats

MAX_ENTRIES = 4
REPEATS = 2
_MAX_REMEMBERED = 256
_MAX_PATIENCE = 1 << 20

_PLAIN = {"_weak": False, "_trace": None}
_MADE = {"_history": None, **_PLAIN, "_node": None}
_RESET = {"_history": None}
LAYOUT = TensorLayout(Tensor, "_data", _MADE, {"_history": None, **_PLAIN}, _RESET)
# Where histories do not matter: in functions that replace variables, and inside `no_grad`.
LAYOUT_WITHOUT_HISTORIES = replace(LAYOUT, required=_PLAIN)
overrides = config._overrides


class Kind(NamedTuple):
    """Calls that one entry can serve."""

    program: Executable
    key: CallKey
    shapes: tuple[tuple[int, ...], ...]
    classes: tuple[type, ...]
    positional: int
    names: tuple[str, ...]
    orders: tuple[tuple[Any, ...], ...]  # of the keys of dicts, which the key of a call hides


class State(NamedTuple):
    """What an entry depends on that is no argument; each is compared by identity."""

    overrides: dict[str, Any] | None
    generation: int
    recording: Recording | None  # None where it does not matter

    def is_current(self) -> bool:
        """Whether it is so for this thread."""
        return (
            self.overrides is overrides.get()
            and self.generation == config._generation
            and self.recording in (None, recording_state.get())
        )

    def conditions(self) -> Conditions:
        """For the native code that dispatches calls."""
        variables: list[Any] = [(current, None), (overrides, self.overrides)]
        if self.recording is not None:
            variables.append((recording_state, self.recording))
        return Conditions(variables, [(config, "_generation", self.generation)])


class Active(NamedTuple):
    """The entries of a function, with what they depend on.

    entry: the newest one; each passes on to the one before it, the first to Python.
    """

    entry: Entry
    state: State
    kinds: tuple[Kind, ...]


class NativeCalls:
    """The entries of one compiled function: a few, for the calls that it gets.

    A call that no entry takes goes through Python, which makes an entry when such calls repeat.
    When there are too many, or settings have changed, all are dropped; each time that happens the
    next ones need twice as many calls, so that nothing is made over and over.

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
        self.active: Active | None = None
        self._stats, self._signature = stats, signature
        self._fallback, self._use = fallback, use
        self._patience = REPEATS
        self._seen: dict[tuple[Any, ...], int] = {}
        self._seen_under = State(None, 0, None)
        self._lock = make_lock()

    def serves(self, program: object) -> bool:
        """Whether there is an entry for a program."""
        active = self.active
        return active is not None and any(kind.program is program for kind in active.kinds)

    def note(self, program: Executable, closure: Closure, call: Call, given: Given) -> None:
        """Counts a call that went through Python; makes an entry when there were enough."""
        classes = tuple([_class(x) for x in call.given])
        names = tuple(given.kwargs)
        has_dicts = _has_dicts(call.key.structure.children[0]) or given.kwargs
        orders = tuple(_key_orders(given)) if has_dicts else ()
        kind = Kind(program, call.key, call.shapes, classes, len(given.args), names, orders)
        # Never waits: nothing depends on this call, and a fork may have copied the lock as held.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if len(self._seen) >= _MAX_REMEMBERED or not self._under_same_settings():
                self._seen.clear()
            like = kind[1:]  # calls may come to be served by another program
            seen = self._seen[like] = self._seen.get(like, 0) + 1
            if seen >= self._patience:
                del self._seen[like]
                self._make(kind, closure, call, given)
        finally:
            self._lock.release()

    def _under_same_settings(self) -> bool:
        """Whether settings are as when this was last asked."""
        before = self._seen_under
        now = self._seen_under = State(overrides.get(), config._generation, None)
        return now.overrides is before.overrides and now.generation == before.generation

    def _make(self, kind: Kind, closure: Closure, call: Call, given: Given) -> None:
        before = self.active
        if before is not None and before.state.is_current() and kind in before.kinds:
            return
        if config.debug_nans:
            return
        try:
            plan, layout, state = self._plan(kind, closure, call, given)
        except Unusual:
            self._wait_longer()
            return
        if before is not None and (
            not before.state.is_current() or len(before.kinds) >= MAX_ENTRIES
        ):
            before = None
            self._wait_longer()
        if before is not None:
            state = state._replace(recording=state.recording or before.state.recording)
        plan = replace(plan, conditions=state.conditions())
        entry = make_entry(plan, layout, self._fallback if before is None else before.entry)
        if isinstance(entry, PythonEntry):
            self._patience = _MAX_PATIENCE  # there are no native entries here
            return
        kinds = (kind,) if before is None else (kind, *before.kinds)
        self.active = Active(entry, state, kinds)
        self._use(entry)

    def _plan(
        self, kind: Kind, closure: Closure, call: Call, given: Given
    ) -> tuple[EntryPlan, TensorLayout, State]:
        recording = recording_state.get()
        form, matters = call_form(call, given, self._signature, closure, recording.enabled)
        if matters and recording.enabled and recording.tapes:
            raise Unusual("variables under a tape")
        program = kind.program
        bound = program.bound_for(_input_shapes(call, closure))
        if not isinstance(bound, BoundCpuProgram):
            raise Unusual("another device")
        plan = entry_plan(
            bound,
            form,
            lock=variables_lock if closure.has_state else None,
            num_threads=config.thread_count(program.options.num_threads),
            counts=self._stats.entry_counts,
        )
        if plan is None:
            raise Unusual("large temporaries")
        state = self._seen_under._replace(recording=recording if matters else None)
        with_histories = not closure.has_state and (recording.enabled or not matters)
        return plan, LAYOUT if with_histories else LAYOUT_WITHOUT_HISTORIES, state

    def _wait_longer(self) -> None:
        self._patience = min(2 * self._patience, _MAX_PATIENCE)
        self._seen.clear()


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
    others = (*closure.captures, *closure.variables, *gradients)
    return (*call.shapes, *(tuple(x.shape) for x in others))
