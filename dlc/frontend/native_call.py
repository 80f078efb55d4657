"""Calls of compiled functions that native code serves, without Python in between.

When a function has been called a few times with arguments of the same shapes, it gets an entry for
them (`dlc.runtime.entry`). What an entry cannot know is looked at before it is called: whether a
trace is in progress, and whether settings have changed since. What it does know is in its guards: a
tensor with a history goes through Python, so that gradients are recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dlc.frontend.closure import Closure
from dlc.frontend.context import current
from dlc.frontend.execution import Program
from dlc.frontend.signature import Call, CallKey, LeafKey
from dlc.frontend.tensor import Tensor
from dlc.frontend.tree import Leaf
from dlc.ir.config import config
from dlc.ir.locks import make_lock
from dlc.runtime.call_plan import Argument, entry_plan
from dlc.runtime.cpu import BoundCpuProgram
from dlc.runtime.entry import Conditions, Entry, PythonEntry, TensorLayout, make_entry
from dlc.runtime.executable import Executable

if TYPE_CHECKING:
    from dlc.frontend.stats import CompileStats

MAX_ENTRIES = 4
REPEATS = 2
_MAX_REMEMBERED = 256
_MAX_PATIENCE = 1 << 20

_NUMBERS = (bool, int, float)
_PLAIN = {"_history": None, "_weak": False, "_trace": None}
LAYOUT = TensorLayout(Tensor, "_data", defaults={**_PLAIN, "_node": None}, required=_PLAIN)
overrides = config._overrides


class Kind(NamedTuple):
    """Calls that one entry can serve."""

    leaves: tuple[LeafKey, ...]
    shapes: tuple[tuple[int, ...], ...]
    numbers: tuple[bool, ...]


class Active(NamedTuple):
    """The entries of a function, with the settings that they were made under.

    entry: the newest one; each passes on to the one before it, the first to Python.
    """

    entry: Entry
    overrides: dict[str, Any] | None
    generation: int
    kinds: tuple[Kind, ...]
    programs: tuple[Executable, ...]

    def is_current(self) -> bool:
        """Whether no setting has changed, for this thread."""
        return self.overrides is overrides.get() and self.generation == config._generation


def native_program(
    key: CallKey, closure: Closure, program: Program, donated: tuple[int, ...]
) -> Executable | None:
    """The program, if calls of it can be native.

    Its arguments must be a flat list, its results one tensor or a tuple of them, and it must not
    touch anything else.
    """
    args, kwargs = key.structure.children
    output = closure.output
    outside = closure.captures or closure.variables or closure.gradients or closure.guards
    if outside or closure.has_state or donated or key.static or kwargs.children:
        return None
    if output.kind is not Leaf and (output.kind is not tuple or not output.children):
        return None
    if not isinstance(program, Executable):
        return None
    leaves = (*args.children, *output.children)
    return program if all(c.kind is Leaf for c in leaves) else None


def _argument(given: Any, weak: bool, shape: tuple[int, ...]) -> Argument | None:
    """What an entry can be made for to take `given`; None if it would not take it."""
    if isinstance(given, Tensor):
        if type(given) is not Tensor or given._weak or given._history is not None:
            return None
        given = given._data
    elif type(given) in _NUMBERS:
        kind = np.bool_ if type(given) is bool else np.int64 if type(given) is int else np.float64
        return Argument((), np.dtype(kind), scalar=True)
    if type(given) is not np.ndarray or weak or given.shape != shape:
        return None
    usable = given.flags.c_contiguous and given.flags.aligned and given.dtype.isnative
    return Argument(shape, given.dtype) if usable else None


class NativeCalls:
    """The entries of one compiled function: a few, for the shapes that it is called with.

    A call that no entry takes goes through Python, which makes an entry when such calls repeat.
    When there are too many, or settings have changed, all are dropped; each time that happens the
    next ones need twice as many calls, so that nothing is made over and over.

    Args:
        stats: Where calls are counted.
        fallback: Serves a call through Python.
        use: Lets calls of the function go to an entry from now on.
    """

    def __init__(
        self,
        stats: CompileStats,
        fallback: Callable[..., Any],
        use: Callable[[Entry], None],
    ) -> None:
        self.active: Active | None = None
        self._stats, self._fallback, self._use = stats, fallback, use
        self._patience = REPEATS
        self._seen: dict[Kind, int] = {}
        self._seen_under: tuple[dict[str, Any] | None, int] = (None, 0)
        self._lock = make_lock()

    def serves(self, program: object) -> bool:
        """Whether there is an entry for a program."""
        return self.active is not None and program in self.active.programs

    def note(self, program: Executable, closure: Closure, call: Call) -> None:
        """Counts a call that went through Python; makes an entry when there were enough."""
        numbers = tuple([type(x) in _NUMBERS for x in call.given])
        kind = Kind(call.key.leaves, call.shapes, numbers)
        # Never waits: nothing depends on this call, and a fork may have copied the lock as held.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if len(self._seen) >= _MAX_REMEMBERED or not self._under_same_settings():
                self._seen.clear()
            seen = self._seen[kind] = self._seen.get(kind, 0) + 1
            if seen >= self._patience:
                del self._seen[kind]
                self._make(kind, program, closure, call)
        finally:
            self._lock.release()

    def _under_same_settings(self) -> bool:
        """Whether settings are as when this was last asked."""
        before, generation = self._seen_under
        self._seen_under = (overrides.get(), config._generation)
        return self._seen_under[0] is before and self._seen_under[1] == generation

    def _make(self, kind: Kind, program: Executable, closure: Closure, call: Call) -> None:
        now, generation = self._seen_under
        before = self.active
        if before is not None and before.is_current() and kind in before.kinds:
            return
        arguments = [
            _argument(x, leaf.weak, shape)
            for x, leaf, shape in zip(call.given, call.key.leaves, call.shapes, strict=True)
        ]
        usable = [a for a in arguments if a is not None]
        if len(usable) < len(arguments) or config.debug_nans:
            return
        bound = program.bound_for(call.shapes)
        if not isinstance(bound, BoundCpuProgram):
            return
        plan = entry_plan(
            bound,
            usable,
            single=closure.output.kind is Leaf,
            num_threads=config.thread_count(program.options.num_threads),
            counts=self._stats.entry_counts,
            conditions=Conditions(
                variables=[(current, None), (overrides, now)],
                attributes=[(config, "_generation", generation)],
            ),
        )
        if plan is None:
            self._wait_longer()
            return
        if before is not None and (not before.is_current() or len(before.kinds) >= MAX_ENTRIES):
            before = None
            self._wait_longer()
        fallback = self._fallback if before is None else before.entry
        entry = make_entry(plan, LAYOUT, fallback)
        if isinstance(entry, PythonEntry):
            self._patience = _MAX_PATIENCE  # there are no native entries here
            return
        kinds, programs = (kind,), (program,)
        if before is not None:
            kinds, programs = (kind, *before.kinds), (program, *before.programs)
        self.active = Active(entry, now, generation, kinds, programs)
        self._use(entry)

    def _wait_longer(self) -> None:
        self._patience = min(2 * self._patience, _MAX_PATIENCE)
        self._seen.clear()
