"""Programs: the calls of kernels that compute a function, over numbered slots of memory.

A program is data: which kernels, in which order, on which slots, with which dims. Sizes may be
symbolic; binding it to the extents of a call makes a table that the runtime walks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

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

SlotKind = Literal["input", "output", "constant", "fixed", "kept", "temporary"]


@dataclass(frozen=True)
class Slot:
    """A place for one tensor.

    `fixed` slots hold what is given once, when the program is loaded, and `kept` ones what is
    computed from that and from constants.
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
class Program:
    """A compiled function without its code.

    `params` are what a call gives. `fixed` are the types of what is given when the program is
    loaded; `once` are the calls that are made then, of which `calls` find the results. `texts` are
    the normalised texts of the kernels, of a program that was built in this process.
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
    texts: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def standing(self) -> tuple[int, ...]:
        """The slots that calls read and that hold the same in each call."""
        read = {a for c in self.calls for a in c.args}
        return tuple(
            k
            for k, s in enumerate(self.slots)
            if k in read and s.kind in ("constant", "fixed", "kept")
        )

    def runs_in_python(self, call: int) -> bool:
        """Whether a call is one of Python."""
        return self.kernels[self.calls[call].kernel].host is not None

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
        for c in (*self.once, *self.calls):
            args = ", ".join(f"s{a}" for a in c.args)
            dims = ", ".join(dim_text(d) for d in c.dims)
            place = f"  {c.loc}" if locations and c.loc else ""
            when = "once " if c in self.once else ""
            yield f"{when}{self.kernels[c.kernel].name}({args}; {dims}){place}"

    def memory_of(self, slot: int) -> int:
        """The slot whose memory `slot` is in."""
        while True:
            shared = self.slots[slot].shares
            if shared is None:
                return slot
            slot = shared


def independent_runs(program: Program) -> list[range]:
    """Cuts the calls into runs that may overlap: none writes what another one touches.

    A call of Python is a run of its own.
    """
    runs: list[range] = []
    start = 0
    read: set[int] = set()
    written: set[int] = set()
    for k, call in enumerate(program.calls):
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
    if program.calls:
        runs.append(range(start, len(program.calls)))
    return runs
