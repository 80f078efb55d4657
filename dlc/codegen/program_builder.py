"""From a fused function to its program: fusions lowered to kernels, calls over numbered slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.kernel_names import normalised_text
from dlc.codegen.lower import Lowered, LoweredKernel, lower_fusion
from dlc.codegen.program import Call, Program, Slot, SlotKind
from dlc.ir.core import Function, Node
from dlc.ir.equal import structural_hash
from dlc.ir.errors import BackendError


def build_program(
    function: Function, donated: Sequence[int] = (), fixed: Sequence[int] = ()
) -> Program:
    """The program of a fused function.

    Args:
        function: What the program computes.
        donated: Positions of params whose memory results may take over.
        fixed: Positions of params that have the same value in every call.
    """
    return _ProgramBuilder(function, donated, fixed).build()


class _ProgramBuilder:
    def __init__(self, function: Function, donated: Sequence[int], fixed: Sequence[int]) -> None:
        self.function = function
        self.given = [p for k, p in enumerate(function.params) if k not in fixed]
        self.fixed = [function.params[k] for k in fixed]
        self.donated = tuple(self.given.index(function.params[k]) for k in donated)
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
        for k, p in enumerate(self.given):
            self.slot_of[p, 0] = self._slot(Slot("input", p.tensor, k))
        for k, p in enumerate(self.fixed):
            self.slot_of[p, 0] = self._slot(Slot("fixed", p.tensor, k))
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
            tuple(p.tensor for p in self.given),
            tuple(r.tensor for r in self.function.results),
            tuple(self.slots),
            tuple(self.unique),
            tuple(self.calls),
            tuple(self.constants),
            self.donated,
            tuple(p.tensor for p in self.fixed),
            texts=tuple(self.kernels),
        )
        return share_memory(with_kept_results(program))

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


def with_kept_results(program: Program) -> Program:
    """Moves the calls whose results are the same every time to `once`.

    They read what is fixed alone, write no output, and have extents that are known.
    """
    slots = list(program.slots)
    known = {k for k, s in enumerate(slots) if s.kind in ("constant", "fixed")}
    once: list[Call] = []
    calls: list[Call] = []
    for call in program.calls:
        params = program.kernels[call.kernel].params
        modes = list(zip(params, call.args, strict=True))
        outs = {a for p, a in modes if p.mode != "in"}
        same = all(a in known for p, a in modes if p.mode == "in") and outs != set(call.args)
        fits = all(slots[a].kind == "temporary" for a in outs)
        if same and fits and all(isinstance(d, int) for d in call.dims):
            known |= outs
            once.append(call)
            for a in outs:
                slots[a] = replace(slots[a], kind="kept")
        else:
            calls.append(call)
    return replace(program, slots=tuple(slots), calls=tuple(calls), once=tuple(once))


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
    was donated. While Python may still raise, no input is written to.
    """
    last = last_uses(program)
    calls_python = [k for k in range(len(program.calls)) if program.runs_in_python(k)]
    last_python = max(calls_python, default=-1)
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
                if _may_take(program, slots, source, out, inputs=k > last_python):
                    slots[out] = replace(slots[out], shares=source)
                    taken.add(source)
                    break
    return replace(program, slots=tuple(slots))


def _may_take(program: Program, slots: list[Slot], source: int, out: int, *, inputs: bool) -> bool:
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
    donated = inputs and kind == "input" and slots[root].position in program.donated
    return donated and (o.kind == "temporary" or o.type == slots[root].type)
