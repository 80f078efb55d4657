"""Programs: the calls of kernels that compute a function, over numbered slots of memory.

A program is data: which kernels, in which order, on which slots, with which dims. Sizes may be
symbolic; binding it to the extents of a call makes a table that the runtime walks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from dlc.codegen.kernel_ir import Kernel
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, dim_text
from dlc.ir.location import SourceLocation
from dlc.ir.record import dataclass, field
from dlc.ir.types import TensorType

if TYPE_CHECKING:
    from dlc.codegen import kernel_printer
else:
    kernel_printer = deferred("dlc.codegen.kernel_printer")

SlotKind = Literal["input", "output", "constant", "fixed", "kept", "temporary", "slice", "growing"]


@dataclass(frozen=True)
class Slot:
    """A place for one tensor.

    `fixed` slots hold what is given once, when the program is loaded, and `kept` ones what is
    computed from that and from constants. A `slice` is the part of another slot that an iteration
    of a loop works on, and a `growing` slot has memory that loops of unknown length fill.
    `shares` is the slot whose memory it takes over, by then read for the last time.
    """

    kind: SlotKind
    type: TensorType
    position: int = 0  # among the slots of its kind
    shares: int | None = None


@dataclass(frozen=True)
class Call:
    """One call of a kernel: a slot for each parameter, a dim for each symbol."""

    kernel: int
    args: tuple[int, ...]
    dims: tuple[Dim, ...]
    loc: SourceLocation | None = None


@dataclass(frozen=True)
class Branch:
    """Runs one of several lists of steps, by the number that a slot holds.

    `results` are the slots that each of them writes.
    """

    index: int
    branches: tuple[tuple[Step, ...], ...]
    results: tuple[int, ...] = ()
    loc: SourceLocation | None = None


@dataclass(frozen=True)
class Carry:
    """What iterations hand on: each reads `slot` and writes `next`; both then swap their memory.

    It begins as a copy of `first`, and ends in the memory that `slot` had at the beginning.
    """

    slot: int
    next: int
    first: int


@dataclass(frozen=True)
class Slice:
    """Lets `slot` be the row of `whole` that has the iteration's number."""

    slot: int
    whole: int
    written: bool = False


@dataclass(frozen=True)
class Loop:
    """Runs `body` again and again.

    Either `length` times, which a slot holds at run time if it is `TRIPS`, or (`length` is None)
    while the bool that `test` leaves in the slot `condition` is true.

    counter: a slot of its own, for the number of the iteration.
    count: the slot of the number of iterations: that is read, or (without a length) gets it.
    """

    body: tuple[Step, ...]
    counter: int
    carries: tuple[Carry, ...] = ()
    slices: tuple[Slice, ...] = ()
    length: Dim | None = None
    reverse: bool = False
    test: tuple[Step, ...] = ()
    condition: int | None = None
    count: int | None = None
    loc: SourceLocation | None = None

    @property
    def touched(self) -> tuple[int, ...]:
        """The slots that are read, written or moved between calls."""
        found = [self.counter]
        found += [s for s in (self.condition, self.count) if s is not None]
        found += [s for c in self.carries for s in (c.slot, c.next, c.first)]
        found += [s for x in self.slices for s in (x.slot, x.whole)]
        return tuple(found)


# The number of a call, or what holds others.
Step: TypeAlias = int | Branch | Loop


@dataclass(frozen=True)
class Program:
    """A compiled function without its code.

    `params` are what a call gives. `fixed` are the types of what is given when the program is
    loaded; `once` are the calls that are made then, of which `calls` find the results. `texts` are
    the normalised texts of the kernels, of a program that was built in this process. `steps` are
    the numbers of the calls in the order in which they are made, with loops and branches around
    them; empty where all are made once, one after the other.
    """

    name: str
    params: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    slots: tuple[Slot, ...]
    kernels: tuple[Kernel, ...]
    calls: tuple[Call, ...]
    constants: tuple[np.ndarray[Any, Any], ...]
    donated: tuple[int, ...] = ()
    fixed: tuple[TensorType, ...] = ()
    once: tuple[Call, ...] = ()
    steps: tuple[Step, ...] = ()
    texts: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def standing(self) -> tuple[int, ...]:
        """The slots that calls read and that hold the same in each call."""
        read = {a for c in self.calls for a in c.args} | self.driven
        return tuple(
            k
            for k, s in enumerate(self.slots)
            if k in read and s.kind in ("constant", "fixed", "kept")
        )

    def runs_in_python(self, call: int) -> bool:
        """Whether a call is one of Python."""
        return self.kernels[self.calls[call].kernel].host is not None

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """`steps`, also where they are nothing but calls in order."""
        return self.steps or tuple(range(len(self.calls)))

    @property
    def driven(self) -> frozenset[int]:
        """The slots that are read, written or moved between calls."""
        found: set[int] = set()
        for step in walk_steps(self.steps):
            if isinstance(step, Branch):
                found.update((step.index, *step.results))
            elif isinstance(step, Loop):
                found.update(step.touched)
        return frozenset(found)

    def text(self, *, locations: bool = True) -> str:
        """The kernels and the table of calls."""
        kernels = "\n".join(kernel_printer.print_kernel(k) for k in self.kernels)
        return kernels + "\n" + "\n".join("# " + line for line in self.table_lines(locations))

    def table_lines(self, locations: bool = True) -> Iterator[str]:
        """The slots and calls, a line each."""
        yield f"program {self.name}: {len(self.calls)} calls of {len(self.kernels)} kernels"
        for k, s in enumerate(self.slots):
            shared = "" if s.shares is None else f" in the memory of s{s.shares}"
            yield f"s{k}: {s.kind} {s.position} {s.type}{shared}"
        for c in self.once:
            yield "once " + self._call_line(c, locations)
        yield from self._step_lines(self.all_steps, locations)

    def _call_line(self, c: Call, locations: bool) -> str:
        args = ", ".join(f"s{a}" for a in c.args)
        dims = ", ".join(dim_text(d) for d in c.dims)
        place = f"  {c.loc}" if locations and c.loc else ""
        return f"{self.kernels[c.kernel].name}({args}; {dims}){place}"

    def _step_lines(self, steps: Sequence[Step], locations: bool) -> Iterator[str]:
        for step in steps:
            if isinstance(step, int):
                yield self._call_line(self.calls[step], locations)
                continue
            place = f"  {step.loc}" if locations and step.loc else ""
            if isinstance(step, Branch):
                for k, branch in enumerate(step.branches):
                    yield f"case {k} of s{step.index}:{place if k == 0 else ''}"
                    yield from ("  " + line for line in self._step_lines(branch, locations))
                continue
            yield f"{_loop_line(step)}:{place}"
            for before, part in (("  while ", step.test), ("  ", step.body)):
                yield from (before + line for line in self._step_lines(part, locations))

    def memory_of(self, slot: int) -> int:
        """The slot whose memory `slot` is in."""
        return self._owners[slot]

    @cached_property
    def _owners(self) -> tuple[int, ...]:
        found: dict[int, int] = {}
        for k in range(len(self.slots)):
            chain: list[int] = []
            slot = k
            while slot not in found and (shared := self.slots[slot].shares) is not None:
                chain.append(slot)
                slot = shared
            owner = found.get(slot, slot)
            found |= dict.fromkeys((*chain, slot), owner)
        return tuple(found[k] for k in range(len(self.slots)))


def _loop_line(loop: Loop) -> str:
    parts = [f"s{c.slot} = s{c.first} then s{c.next}" for c in loop.carries]
    parts += [f"s{x.slot} {'into' if x.written else 'of'} s{x.whole}" for x in loop.slices]
    if loop.length is None:
        often = f"while s{loop.condition}"
        parts += [] if loop.count is None else [f"count s{loop.count}"]
    else:
        number = dim_text(loop.length) if loop.count is None else f"s{loop.count}"
        often = f"{number} times" + (" from the end" if loop.reverse else "")
    return f"loop {often} ({', '.join(parts)})" if parts else f"loop {often}"


def inner_steps(step: Step) -> tuple[tuple[Step, ...], ...]:
    """The lists of steps that a step holds, in their order."""
    if isinstance(step, Branch):
        return step.branches
    return (step.test, step.body) if isinstance(step, Loop) else ()


def walk_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps and all that are inside of them, in order."""
    for step in steps:
        yield step
        for inner in inner_steps(step):
            yield from walk_steps(inner)


def sequences(steps: Iterable[Step]) -> Iterator[range | Branch | Loop]:
    """The steps with calls that follow each other together."""
    start = stop = 0
    for step in steps:
        if isinstance(step, int) and step == stop and start < stop:
            stop += 1
            continue
        if start < stop:
            yield range(start, stop)
        start = stop = 0
        if isinstance(step, int):
            start, stop = step, step + 1
        else:
            yield step
    if start < stop:
        yield range(start, stop)


def independent_runs(program: Program) -> list[range]:
    """Cuts the calls into runs that may overlap: none writes what another one touches.

    A call of Python is a run of its own.
    """
    found: list[range] = []
    _add_runs(program, program.all_steps, found)
    return found


def _add_runs(program: Program, steps: Sequence[Step], found: list[range]) -> None:
    for part in sequences(steps):
        if isinstance(part, range):
            found += runs_of(program, part)
        else:
            for inner in inner_steps(part):
                _add_runs(program, inner, found)


def runs_of(program: Program, calls: range) -> list[range]:
    """Cuts calls that follow each other into runs that may overlap."""
    runs: list[range] = []
    start = calls.start
    read: set[int] = set()
    written: set[int] = set()
    for k in calls:
        call = program.calls[k]
        kernel = program.kernels[call.kernel]
        memory = [program.memory_of(a) for a in call.args]
        outs = {m for p, m in zip(kernel.params, memory, strict=True) if p.mode != "in"}
        ins = set(memory) - outs
        alone = kernel.host is not None or (k > start and program.runs_in_python(k - 1))
        if k > start and (alone or ins & written or outs & (read | written)):
            runs.append(range(start, k))
            start, read, written = k, set(), set()
        read |= ins
        written |= outs
    if calls:
        runs.append(range(start, calls.stop))
    return runs
