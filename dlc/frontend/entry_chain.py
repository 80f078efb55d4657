"""Entries of one callable: a few, each for calls of one kind, as long as settings stay the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from dlc.frontend.context import cast_type, current, watcher
from dlc.frontend.recording import Recording, recording_state
from dlc.ir.config import config
from dlc.ir.deferred import deferred
from dlc.ir.locks import make_lock
from dlc.ir.record import NamedTuple, replace

# Not needed by a process that calls nothing twice.
if TYPE_CHECKING:
    from dlc.ir.types import DType
    from dlc.runtime import entry as entries
    from dlc.runtime import entry_plan
    from dlc.runtime.entry import Entry
    from dlc.runtime.entry_plan import Conditions, EntryPlan, TensorLayout
else:
    entries = deferred("dlc.runtime.entry")
    entry_plan = deferred("dlc.runtime.entry_plan")

MAX_ENTRIES = 4
REPEATS = 2
_MAX_REMEMBERED = 256
_MAX_PATIENCE = 1 << 20

overrides = config._overrides


class Unusual(Exception):
    """Calls of this kind stay with Python."""


class State(NamedTuple):
    """What an entry depends on that is no argument; each is compared by identity."""

    overrides: dict[str, Any] | None
    generation: int
    recording: Recording | None  # None where it does not matter
    cast: DType | None

    def is_current(self) -> bool:
        """Whether it is so for this thread."""
        return (
            self.overrides is overrides.get()
            and self.generation == config._generation
            and self.cast is cast_type.get()
            and self.recording in (None, recording_state.get())
        )

    def conditions(self) -> Conditions:
        """For the native code that dispatches calls."""
        variables: list[Any] = [(current, None), (overrides, self.overrides)]
        variables += [(cast_type, self.cast), (watcher, None)]
        if self.recording is not None:
            variables.append((recording_state, self.recording))
        return entry_plan.Conditions(variables, [(config, "_generation", self.generation)])


class Active(NamedTuple):
    """The entries of a callable, with what they depend on.

    entry: the newest one; each passes on to the one before it, the first to Python.
    """

    entry: Entry
    state: State
    kinds: tuple[Hashable, ...]


class PlannedCall(NamedTuple):
    """What an entry is made of."""

    plan: EntryPlan
    layout: TensorLayout
    recording: Recording | None  # what it depends on of the state of recording


class EntryChain:
    """The entries of one callable.

    A call that no entry takes goes through Python, which makes an entry when such calls repeat.
    When there are too many, or settings have changed, all are dropped; each time that happens the
    next ones need twice as many calls, so that nothing is made over and over.

    Args:
        fallback: Serves a call through Python.
        use: Lets calls go to an entry from now on.
        most: Entries that there are at one time.
    """

    def __init__(
        self,
        fallback: Callable[..., Any],
        use: Callable[[Entry], None],
        most: int = MAX_ENTRIES,
    ) -> None:
        self.active: Active | None = None
        self._fallback, self._use, self._most = fallback, use, most
        self._patience = REPEATS
        self._seen: dict[Hashable, int] = {}
        self._seen_under = State(None, 0, None, None)
        self._lock = make_lock()

    def count(self, kind: Hashable, like: Hashable, plan: Callable[[], PlannedCall]) -> None:
        """Counts a call that went through Python; makes an entry when there were enough.

        Args:
            kind: What the entry would be for.
            like: What is counted: calls of several kinds may be alike.
            plan: Plans the entry; Unusual where there cannot be one.
        """
        # Never waits: nothing depends on this call, and a fork may have copied the lock as held.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if len(self._seen) >= _MAX_REMEMBERED or not self._under_same_settings():
                self._seen.clear()
            seen = self._seen[like] = self._seen.get(like, 0) + 1
            if seen >= self._patience:
                del self._seen[like]
                self._make(kind, plan)
        finally:
            self._lock.release()

    def _under_same_settings(self) -> bool:
        """Whether settings are as when this was last asked."""
        before = self._seen_under
        now = self._seen_under = State(overrides.get(), config._generation, None, cast_type.get())
        return (
            now.overrides is before.overrides
            and now.generation == before.generation
            and now.cast is before.cast
        )

    def _make(self, kind: Hashable, plan: Callable[[], PlannedCall]) -> None:
        before = self.active
        if before is not None and before.state.is_current() and kind in before.kinds:
            return
        if config.debug_nans:
            return
        try:
            planned = plan()
        except Unusual:
            self._wait_longer()
            return
        if before is not None and (
            not before.state.is_current() or len(before.kinds) >= self._most
        ):
            before = None
            self._wait_longer()
        earlier = None if before is None else before.state.recording
        state = self._seen_under._replace(recording=planned.recording or earlier)
        made = replace(planned.plan, conditions=state.conditions())
        below = self._fallback if before is None else before.entry
        entry = entries.make_entry(made, planned.layout, below)
        if isinstance(entry, entries.PythonEntry):
            self._patience = _MAX_PATIENCE  # there are no native entries here
            return
        kinds = (kind,) if before is None else (kind, *before.kinds)
        self.active = Active(entry, state, kinds)
        self._use(entry)

    def _wait_longer(self) -> None:
        self._patience = min(2 * self._patience, _MAX_PATIENCE)
        self._seen.clear()
