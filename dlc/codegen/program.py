"""Programs: the calls of kernels that compute a function, over numbered slots of memory.

A program is data: which kernels, in which order, on which slots, with which dims. Sizes may be
symbolic; binding it to the extents of a call makes a table that the runtime walks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.kernel_names import normalised_text
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.lower import Lowered, LoweredKernel, lower_fusion
from dlc.ir.core import Function, Node
from dlc.ir.dims import Dim, dim_text
from dlc.ir.equal import structural_hash
from dlc.ir.errors import BackendError
from dlc.ir.location import SourceLocation
from dlc.ir.types import TensorType

SlotKind = Literal["input", "output", "constant", "temporary"]


@dataclass(frozen=True)
class Slot:
    """A place for one tensor.

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

    `levels` are runs of calls that do not depend on each other.
    """

    name: str
    params: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    slots: tuple[Slot, ...]
    kernels: tuple[Kernel, ...]
    calls: tuple[Call, ...]
    constants: tuple[np.ndarray[Any, Any], ...]
    donated: tuple[int, ...] = ()

    def text(self, *, locations: bool = True) -> str:
        """The kernels and the table of calls."""
        kernels = "\n".join(print_kernel(k) for k in self.kernels)
        return kernels + "\n" + "\n".join("# " + line for line in self.table_lines(locations))

    def table_lines(self, locations: bool = True) -> Iterator[str]:
        """The slots and calls, a line each."""
        yield f"program {self.name}: {len(self.calls)} calls of {len(self.kernels)} kernels"
        for k, s in enumerate(self.slots):
            shared = "" if s.shares is None else f" in the memory of s{s.shares}"
            yield f"s{k}: {s.kind} {s.position} {s.type}{shared}"
        for c in self.calls:
            args = ", ".join(f"s{a}" for a in c.args)
            dims = ", ".join(dim_text(d) for d in c.dims)
            place = f"  {c.loc}" if locations and c.loc else ""
            yield f"{self.kernels[c.kernel].name}({args}; {dims}){place}"

    def memory_of(self, slot: int) -> int:
        """The slot whose memory `slot` is in."""
        while True:
            shared = self.slots[slot].shares
            if shared is None:
                return slot
            slot = shared


def build_program(function: Function, donated: Sequence[int] = ()) -> Program:
    """The program of a fused function.

    `donated` are positions of params whose memory results may take over.
    """
    return _ProgramBuilder(function, tuple(donated)).build()


class _ProgramBuilder:
    def __init__(self, function: Function, donated: tuple[int, ...]) -> None:
        self.function, self.donated = function, donated
        self.slots: list[Slot] = []
        self.slot_of: dict[tuple[Node, int], int] = {}
        self.kernels: dict[str, int] = {}
        self.lowered: dict[str, Lowered] = {}
        self.kernel_of: dict[int, int] = {}
        self.unique: list[Kernel] = []
        self.calls: list[Call] = []
        self.constants: list[np.ndarray[Any, Any]] = []
        self.results = {self._key(r): k for k, r in enumerate(function.results)}

    @staticmethod
    def _key(node: Node) -> tuple[Node, int]:
        if node.op.name == "get":
            return node.inputs[0], node.attrs["index"]
        return node, 0

    def build(self) -> Program:
        """Lowers every fusion and numbers what it reads and writes."""
        for k, p in enumerate(self.function.params):
            self.slot_of[p, 0] = self._slot(Slot("input", p.tensor, k))
        for node in self.function.nodes:
            match node.op.name:
                case "constant":
                    self.slot_of[node, 0] = self._slot(
                        Slot("constant", node.tensor, len(self.constants))
                    )
                    self.constants.append(np.ascontiguousarray(node.attrs["value"]))
                case "fusion":
                    self._fusion(node)
                case "get":
                    pass
                case name:
                    raise BackendError(
                        f"op {name} is left after fusion: the pipeline must end with fuse"
                    )
        program = Program(
            self.function.name,
            tuple(p.tensor for p in self.function.params),
            tuple(r.tensor for r in self.function.results),
            tuple(self.slots),
            tuple(self.unique),
            tuple(self.calls),
            tuple(self.constants),
            self.donated,
        )
        return share_memory(program)

    def _slot(self, slot: Slot) -> int:
        self.slots.append(slot)
        return len(self.slots) - 1

    def _fusion(self, node: Node) -> None:
        body: Function = node.attrs["body"]
        lowered = self._lowered(body)
        outs: list[int] = []
        for k, r in enumerate(body.results):
            position = self.results.get((node, k))
            kind: SlotKind = "temporary" if position is None else "output"
            slot = self._slot(Slot(kind, r.tensor, position or 0))
            self.slot_of[node, k] = slot
            outs.append(slot)
        places = {
            "param": [self.slot_of[self._key(x)] for x in node.inputs],
            "result": outs,
            "partial": [self._slot(Slot("temporary", t)) for t in lowered.partials],
        }
        for kernel in lowered.kernels:
            args = tuple(places[a.kind][a.number] for a in kernel.args)
            self.calls.append(Call(self._kernel(kernel), args, kernel.dims, node.loc))

    def _lowered(self, body: Function) -> Lowered:
        """Equal bodies, of equal layers say, are lowered once."""
        key = structural_hash(body)
        if key not in self.lowered:
            self.lowered[key] = lower_fusion(body)
        return self.lowered[key]

    def _kernel(self, lowered: LoweredKernel) -> int:
        found = self.kernel_of.get(id(lowered))
        if found is None:
            found = self.kernel_of[id(lowered)] = self._new_kernel(lowered)
        return found

    def _new_kernel(self, lowered: LoweredKernel) -> int:
        key = normalised_text(lowered.kernel)
        if key not in self.kernels:
            self.kernels[key] = len(self.unique)
            name = f"{lowered.kernel.name}_{len(self.unique)}"
            self.unique.append(replace(lowered.kernel, name=name))
        return self.kernels[key]


def last_uses(program: Program) -> dict[int, int]:
    """The number of the last call that touches each slot."""
    last: dict[int, int] = {}
    for k, call in enumerate(program.calls):
        last.update(dict.fromkeys(call.args, k))
    return last


def share_memory(program: Program) -> Program:
    """Lets outputs of a kernel take over the memory of inputs that it reads for the last time.

    Only where the kernel says that this is safe (`may_alias`), the element counts are equal for
    every value of the symbols, and nobody outside sees the memory: a temporary, or an input that
    was donated.
    """
    last = last_uses(program)
    slots = list(program.slots)
    taken: set[int] = set()
    for k, call in enumerate(program.calls):
        kernel = program.kernels[call.kernel]
        by_name = {p.name: a for p, a in zip(kernel.params, call.args, strict=True)}
        for p, out in zip(kernel.params, call.args, strict=True):
            if p.mode != "out":
                continue
            for name in p.may_alias:
                source = by_name[name]
                once = call.args.count(source) == 1
                if source in taken or last[source] != k or not once:
                    continue
                if _may_take(program, slots, source, out):
                    slots[out] = replace(slots[out], shares=source)
                    taken.add(source)
                    break
    return replace(program, slots=tuple(slots))


def _may_take(program: Program, slots: list[Slot], source: int, out: int) -> bool:
    s, o = slots[source], slots[out]
    if s.kind == "output":  # a result lives on, though calls read it for the last time
        return False
    if s.type.size != o.type.size or s.type.dtype.itemsize != o.type.dtype.itemsize:
        return False
    root = source
    while True:
        shared = slots[root].shares
        if shared is None:
            break
        root = shared
    kind = slots[root].kind
    if kind == "temporary":
        return o.kind == "temporary"
    donated = kind == "input" and slots[root].position in program.donated
    return donated and (o.kind == "temporary" or o.type == slots[root].type)


def independent_runs(program: Program) -> list[range]:
    """Cuts the calls into runs that may overlap: none writes what another one touches."""
    runs: list[range] = []
    start = 0
    read: set[int] = set()
    written: set[int] = set()
    for k, call in enumerate(program.calls):
        kernel = program.kernels[call.kernel]
        memory = [program.memory_of(a) for a in call.args]
        outs = {m for p, m in zip(kernel.params, memory, strict=True) if p.mode != "in"}
        ins = set(memory) - outs
        if ins & written or outs & (read | written):
            runs.append(range(start, k))
            start, read, written = k, set(), set()
        read |= ins
        written |= outs
    if program.calls:
        runs.append(range(start, len(program.calls)))
    return runs
