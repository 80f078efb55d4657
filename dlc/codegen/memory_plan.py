"""Memory planning: offsets in one arena for the temporaries of a program, from when they live.

A walk through time: what begins to live takes the smallest gap that is large enough, what ends
leaves one. Backwards in time other gaps are there, so both ways are tried.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence

from dlc.codegen.program import Branch, Loop, Program, Step, inner_steps, runs_of, sequences
from dlc.ir.dims import Dim, add, ceildiv, evaluate, mul
from dlc.ir.record import dataclass
from dlc.ir.types import TensorType

ALIGNMENT = 64


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets of temporaries in the arena, its size, and the most that lives at one time."""

    offsets: dict[int, int]
    arena_bytes: int
    live_bytes: int


def byte_dim(type_: TensorType) -> Dim:
    """The bytes of a tensor."""
    return mul(type_.size, type_.dtype.itemsize)


def byte_size(type_: TensorType, values: Mapping[str, int]) -> int:
    """The bytes of a tensor for these values of the symbols."""
    return evaluate(type_.size, values) * type_.dtype.itemsize


def plan_memory(program: Program, values: Mapping[str, int]) -> MemoryPlan:
    """Offsets for every temporary that has memory of its own."""
    lifetimes = _lifetimes(program)
    sizes = {s: _aligned(byte_size(program.slots[s].type, values)) for s in lifetimes}
    mirrored = {s: (-last, -first) for s, (first, last) in lifetimes.items()}
    plans = [_placed(lives, sizes) for lives in (lifetimes, mirrored)]
    arena, offsets = min(plans, key=lambda plan: plan[0])
    return MemoryPlan(offsets, arena, _peak(lifetimes, sizes))


def plan_symbolic_memory(program: Program) -> tuple[dict[int, Dim], Dim]:
    """Offsets for every temporary, and the size of all, whatever the values of the symbols.

    A temporary may lie where another one of equal size was that is dead by then.
    """
    lifetimes = _lifetimes(program)
    offsets: dict[int, Dim] = {}
    free: dict[Dim, list[tuple[int, Dim]]] = {}  # by size: until when it is used, and where
    arena: Dim = 0
    for s, (first, last) in sorted(lifetimes.items(), key=lambda item: (item[1], item[0])):
        size = mul(ceildiv(byte_dim(program.slots[s].type), ALIGNMENT), ALIGNMENT)
        places = free.setdefault(size, [])
        found = next((k for k, (until, _) in enumerate(places) if until < first), None)
        if found is None:
            offsets[s] = arena
            arena = add(arena, size)
            places.append((last, offsets[s]))
        else:
            offsets[s] = places[found][1]
            places[found] = (last, offsets[s])
    return offsets, arena


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def _placed(
    lifetimes: Mapping[int, tuple[int, int]], sizes: Mapping[int, int]
) -> tuple[int, dict[int, int]]:
    """(the size of the arena, offsets) in the order of time."""
    begin: dict[int, list[int]] = {}
    end: dict[int, list[int]] = {}
    for s, (first, last) in lifetimes.items():
        begin.setdefault(first, []).append(s)
        end.setdefault(last, []).append(s)
    arena = _Arena()
    offsets: dict[int, int] = {}
    for now in sorted(begin.keys() | end.keys()):
        for s in sorted(begin.get(now, ()), key=lambda s: (-sizes[s], s)):
            offsets[s] = arena.take(sizes[s])
        for s in end.get(now, ()):
            arena.leave(offsets[s], offsets[s] + sizes[s])
    return arena.size, offsets


class _Arena:
    """Memory with gaps, no two of which touch."""

    def __init__(self) -> None:
        self.size = 0
        self._gaps: list[tuple[int, int]] = []  # (length, start), in order
        self._starts: dict[int, int] = {}  # by where a gap stops
        self._stops: dict[int, int] = {}  # by where it starts

    def take(self, length: int) -> int:
        """Where so many bytes are free: in the smallest such gap, else at the end."""
        if length == 0:
            return 0
        k = bisect_left(self._gaps, (length, 0))
        at_end = self._starts.get(self.size, self.size)
        start = self._gaps[k][1] if k < len(self._gaps) else at_end
        stop = self._stops.get(start, start)
        if stop > start:
            self._remove(start, stop)
        self.size = max(self.size, start + length)
        if stop > start + length:
            self._add(start + length, stop)
        return start

    def leave(self, start: int, stop: int) -> None:
        """Makes a gap, one with those that it touches."""
        if start == stop:
            return
        before, behind = self._starts.get(start, start), self._stops.get(stop, stop)
        if before < start:
            self._remove(before, start)
        if behind > stop:
            self._remove(stop, behind)
        self._add(before, behind)

    def _add(self, start: int, stop: int) -> None:
        insort(self._gaps, (stop - start, start))
        self._starts[stop], self._stops[start] = start, stop

    def _remove(self, start: int, stop: int) -> None:
        del self._gaps[bisect_left(self._gaps, (stop - start, start))]
        del self._starts[stop], self._stops[start]


def _lifetimes(program: Program) -> dict[int, tuple[int, int]]:
    """When the memory of each temporary is first and last touched.

    Time goes by runs of calls, with moments before and after a loop and branches.
    """
    return Timeline(program).lifetimes


class Timeline:
    """The moments of a program, and between which of them the memory of each temporary lives.

    moments: What touches memory at each of them: a run of calls, a loop or branches.
    lifetimes: By slot, the first and the last moment.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.moments: list[range | Branch | Loop] = []
        self.lifetimes: dict[int, tuple[int, int]] = {}
        self.touched: list[int] = []
        self.follow(program.all_steps)

    @property
    def now(self) -> int:
        """The moment that is next."""
        return len(self.moments)

    def follow(self, steps: Sequence[Step]) -> None:
        """Goes through steps in order."""
        program = self.program
        for part in sequences(steps):
            if isinstance(part, range):
                for run in runs_of(program, part):
                    self._touch(run)
                continue
            start, known = self.now, len(self.touched)
            self._touch(part)
            for inner in inner_steps(part):
                self.follow(inner)
            self._touch(part)
            if not isinstance(part, Branch):
                self._outlive(start, known)

    def slots_at(self, moment: int) -> Iterator[int]:
        """What is touched then, a slot as often as it is."""
        part = self.moments[moment]
        if isinstance(part, range):
            return (a for c in part for a in self.program.calls[c].args)
        return iter((part.index, *part.results) if isinstance(part, Branch) else part.touched)

    def _touch(self, part: range | Branch | Loop) -> None:
        now = self.now
        self.moments.append(part)
        for s in self.slots_at(now):
            owner = self.program.memory_of(s)
            if self.program.slots[owner].kind == "temporary":
                self.lifetimes[owner] = (self.lifetimes.get(owner, (now, 0))[0], now)
                self.touched.append(owner)

    def _outlive(self, start: int, known: int) -> None:
        """Keeps what was there before a loop, and is read in it, until the loop's end.

        `known` is how much was touched before it.
        """
        for s in self.touched[known:]:
            first, _ = self.lifetimes[s]
            if first < start:
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
