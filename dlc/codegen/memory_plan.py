"""Memory planning: offsets in one arena for the temporaries of a program, from when they live.

First fit by decreasing size over the lifetimes: a temporary may lie where another one was that is
dead by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dlc.codegen.program import Branch, Program, Step, inner_steps, runs_of, sequences
from dlc.ir.dims import evaluate
from dlc.ir.record import dataclass
from dlc.ir.types import TensorType

ALIGNMENT = 64


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets of temporaries in the arena, its size, and the most that lives at one time."""

    offsets: dict[int, int]
    arena_bytes: int
    live_bytes: int


def byte_size(type_: TensorType, values: Mapping[str, int]) -> int:
    """The bytes of a tensor for these values of the symbols."""
    return evaluate(type_.size, values) * type_.dtype.itemsize


def plan_memory(program: Program, values: Mapping[str, int]) -> MemoryPlan:
    """Offsets for every temporary that has memory of its own."""
    lifetimes = _lifetimes(program)
    sizes = {s: _aligned(byte_size(program.slots[s].type, values)) for s in lifetimes}
    offsets: dict[int, int] = {}
    for s in sorted(lifetimes, key=lambda s: (-sizes[s], s)):
        first, last = lifetimes[s]
        busy = sorted(
            (offsets[t], offsets[t] + sizes[t])
            for t in offsets
            if lifetimes[t][0] <= last and first <= lifetimes[t][1]
        )
        offsets[s] = _first_gap(busy, sizes[s])
    arena = max((offsets[s] + sizes[s] for s in offsets), default=0)
    return MemoryPlan(offsets, arena, _peak(lifetimes, sizes))


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def _first_gap(busy: list[tuple[int, int]], size: int) -> int:
    at = 0
    for start, stop in busy:
        if start - at >= size:
            break
        at = max(at, stop)
    return at


def _lifetimes(program: Program) -> dict[int, tuple[int, int]]:
    """When the memory of each temporary is first and last touched.

    Time goes by runs of calls, with moments before and after a loop and branches.
    """
    timeline = _Timeline(program)
    timeline.follow(program.all_steps)
    return timeline.lifetimes


class _Timeline:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.now = 0
        self.lifetimes: dict[int, tuple[int, int]] = {}

    def follow(self, steps: Sequence[Step]) -> None:
        """Goes through steps in order."""
        program = self.program
        for part in sequences(steps):
            if isinstance(part, range):
                for run in runs_of(program, part):
                    self._touch(a for c in run for a in program.calls[c].args)
                continue
            start = self.now
            around = (part.index, *part.results) if isinstance(part, Branch) else part.touched
            self._touch(around)
            for inner in inner_steps(part):
                self.follow(inner)
            self._touch(around)
            if not isinstance(part, Branch):
                self._outlive(start)

    def _touch(self, slots: Iterable[int]) -> None:
        for s in slots:
            owner = self.program.memory_of(s)
            if self.program.slots[owner].kind == "temporary":
                self.lifetimes[owner] = (self.lifetimes.get(owner, (self.now, 0))[0], self.now)
        self.now += 1

    def _outlive(self, start: int) -> None:
        """Keeps what was there before a loop, and is read in it, until the loop's end."""
        for s, (first, last) in self.lifetimes.items():
            if first < start <= last:
                self.lifetimes[s] = (first, self.now - 1)


def _peak(lifetimes: Mapping[int, tuple[int, int]], sizes: Mapping[int, int]) -> int:
    change: dict[int, int] = {}
    for s, (first, last) in lifetimes.items():
        change[first] = change.get(first, 0) + sizes[s]
        change[last + 1] = change.get(last + 1, 0) - sizes[s]
    live = peak = 0
    for k in sorted(change):
        live += change[k]
        peak = max(peak, live)
    return peak
