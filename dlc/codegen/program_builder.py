"""From a fused function to its program: fusions lowered to kernels, calls over numbered slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.kernel_names import normalised_text
from dlc.codegen.lower import Lowered, LoweredKernel, lower_fusion
from dlc.codegen.lower_loop import lower_loop
from dlc.codegen.program import (
    Branch,
    Call,
    Carry,
    Loop,
    Program,
    Slice,
    Slot,
    SlotKind,
    Step,
    inner_steps,
    sequences,
)
from dlc.ir.core import Function, Node
from dlc.ir.dims import TRIPS
from dlc.ir.equal import structural_hash
from dlc.ir.errors import BackendError
from dlc.ir.ops.control import scan_parts
from dlc.ir.record import replace
from dlc.ir.types import TensorType, TupleType, bool_, int64

BOOL = TensorType(bool_)


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
        self.kernels: dict[str, int] = {}
        self.lowered: dict[str, Lowered] = {}
        self.loops: list[Lowered] = []
        self.kernel_of: dict[int, int] = {}
        self.unique: list[Kernel] = []
        self.calls: list[Call] = []
        self.constants: list[np.ndarray[Any, Any]] = []

    def build(self) -> Program:
        """Lowers every fusion and numbers what it reads and writes."""
        params: dict[Node, int] = {}
        for k, p in enumerate(self.given):
            params[p] = self._slot(Slot("input", p.tensor, k))
        for k, p in enumerate(self.fixed):
            params[p] = self._slot(Slot("fixed", p.tensor, k))
        steps = _Block(self, self.function, params).steps()
        straight = all(isinstance(s, int) for s in steps)
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
            steps=() if straight else steps,
            texts=tuple(self.kernels),
        )
        return share_memory(with_kept_results(program))

    def _slot(self, slot: Slot) -> int:
        self.slots.append(slot)
        return len(self.slots) - 1

    def temporary(self, type_: TensorType) -> int:
        """A new slot for a tensor that lives between calls."""
        return self._slot(Slot("temporary", type_))

    def moving(self, type_: TensorType) -> int:
        """A new slot for the row of a tensor that an iteration works on."""
        return self._slot(Slot("slice", type_))

    def result(self, type_: TensorType, position: int | None) -> int:
        """A new slot for something computed; `position` is that among the program's results."""
        kind: SlotKind = "temporary" if position is None else "output"
        if TRIPS in type_.shape:
            kind = "growing"
        return self._slot(Slot(kind, type_, position or 0))

    def constant(self, node: Node) -> int:
        """A new slot for an array."""
        slot = self._slot(Slot("constant", node.tensor, len(self.constants)))
        self.constants.append(np.ascontiguousarray(node.attrs["value"]))
        return slot

    def fusion(self, node: Node, inputs: list[int], outs: list[int]) -> list[int]:
        """The numbers of the calls that compute a fusion."""
        return self.lowered_calls(node, self._lowered(node.attrs["body"]), inputs, outs)

    def lowered_calls(
        self, node: Node, lowered: Lowered, inputs: list[int], outs: list[int]
    ) -> list[int]:
        """The numbers of the calls that compute a node by these kernels."""
        places = {
            "param": inputs,
            "result": outs,
            "partial": [self.temporary(t) for t in lowered.partials],
        }
        first = len(self.calls)
        for kernel in lowered.kernels:
            args = tuple(places[a.kind][a.number] for a in kernel.args)
            self.calls.append(Call(self._kernel(kernel), args, kernel.dims, node.loc))
        return list(range(first, len(self.calls)))

    def loop(self, kernel: LoweredKernel) -> Lowered:
        """The lowering of a loop; it is kept, as its kernel is known by where it is in memory."""
        self.loops.append(Lowered((kernel,)))
        return self.loops[-1]

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


def _key(node: Node) -> tuple[Node, int]:
    if node.op.name == "get":
        return node.inputs[0], node.attrs["index"]
    return node, 0


class _Block:
    """The steps that compute a function, whose parameters are in slots.

    Args:
        builder: Makes slots and calls.
        function: A fused function.
        params: The slots of its parameters.
        targets: Those that its results are to be in; without them it is the whole program.
    """

    def __init__(
        self,
        builder: _ProgramBuilder,
        function: Function,
        params: dict[Node, int],
        targets: Sequence[int] | None = None,
    ) -> None:
        self.builder, self.function = builder, function
        self.slot_of: dict[tuple[Node, int], int] = {(p, 0): s for p, s in params.items()}
        results = [_key(r) for r in function.results]
        self.read: dict[Node, set[int]] = {}  # which results of a node are read
        for n in function.nodes:
            if n.op.name == "get":
                self.read.setdefault(n.inputs[0], set()).add(n.attrs["index"])
        self.targets: dict[tuple[Node, int], int] = {}
        self.positions: dict[tuple[Node, int], int] = {}
        if targets is None:
            self.positions = {key: k for k, key in enumerate(results)}
        else:
            self.targets = dict(zip(results, targets, strict=True))

    def steps(self) -> tuple[Step, ...]:
        """Computes every node in turn."""
        found: list[Step] = []
        for node in self.function.nodes:
            match node.op.name:
                case "constant":
                    self.slot_of[node, 0] = self.builder.constant(node)
                case "fusion":
                    body: Function = node.attrs["body"]
                    outs = self._results(node, [r.tensor for r in body.results])
                    found += self.builder.fusion(node, self._inputs(node), outs)
                case "get":
                    pass
                case "switch":
                    found.append(self._switch(node))
                case "while" | "scan":
                    found += self._loop(node)
                case name:
                    raise BackendError(
                        f"op {name} is left after fusion: the pipeline must end with fuse"
                    )
        return tuple(found)

    def _inputs(self, node: Node) -> list[int]:
        return [self.slot_of[_key(x)] for x in node.inputs]

    def _results(self, node: Node, types: Sequence[TensorType]) -> list[int]:
        """Slots for the results of a node."""
        found: list[int] = []
        for k, t in enumerate(types):
            slot = self.targets.get((node, k))
            if slot is None:
                slot = self.builder.result(t, self.positions.get((node, k)))
            self.slot_of[node, k] = slot
            found.append(slot)
        return found

    def _inner(
        self, function: Function, params: Sequence[int], targets: Sequence[int]
    ) -> tuple[Step, ...]:
        slots = dict(zip(function.params, params, strict=True))
        return _Block(self.builder, function, slots, targets).steps()

    def _switch(self, node: Node) -> Branch:
        assert isinstance(node.type, TupleType)
        index, *operands = self._inputs(node)
        results = self._results(node, node.type.items)
        branches: tuple[Function, ...] = node.attrs["branches"]
        inner = tuple(self._inner(f, operands, results) for f in branches)
        return Branch(index, inner, tuple(results), node.loc)

    def _loop(self, node: Node) -> list[Step]:
        """A loop inside of a kernel if it can be, else one of steps."""
        lowered = lower_loop(node, self.read.get(node, ()))
        if lowered is None:
            return [self._while(node) if node.op.name == "while" else self._scan(node)]
        assert isinstance(node.type, TupleType)
        whole = self.builder.loop(lowered)
        inputs, outs = self._inputs(node), self._results(node, node.type.items)
        return [*self.builder.lowered_calls(node, whole, inputs, outs)]

    def _carries(self, first: Sequence[int], slots: Sequence[int]) -> list[Carry]:
        types = [self.builder.slots[s].type for s in slots]
        nexts = [self.builder.temporary(t) for t in types]
        return [Carry(s, n, f) for s, n, f in zip(slots, nexts, first, strict=True)]

    def _slices(self, whole: Sequence[int], *, written: bool) -> list[Slice]:
        types = [self.builder.slots[s].type for s in whole]
        return [
            Slice(self.builder.moving(t.with_shape(t.shape[1:])), s, written)
            for t, s in zip(types, whole, strict=True)
        ]

    def _while(self, node: Node) -> Loop:
        assert isinstance(node.type, TupleType)
        builder, count = self.builder, node.attrs["consts"]
        operands, results = self._inputs(node), self._results(node, node.type.items)
        given = operands[:count]
        n = len(operands) - count
        carries = self._carries(operands[count:], results[:n])
        slices = self._slices(results[n + 1 :], written=True)
        counter, condition = builder.temporary(TensorType(int64)), builder.temporary(BOOL)
        inside = [*given, *(c.slot for c in carries)]
        left = [*(c.next for c in carries), *(x.slot for x in slices)]
        return Loop(
            test=self._inner(node.attrs["cond"], inside, [condition]),
            body=self._inner(node.attrs["body"], inside, left),
            counter=counter,
            carries=tuple(carries),
            slices=tuple(slices),
            condition=condition,
            count=results[n] if node.attrs["counted"] else None,
            loc=node.loc,
        )

    def _scan(self, node: Node) -> Loop:
        assert isinstance(node.type, TupleType)
        results = self._results(node, node.type.items)
        count, given, first, xs = scan_parts(self._inputs(node), node.attrs)
        n = len(first)
        carries = self._carries(first, results[:n])
        read, written = self._slices(xs, written=False), self._slices(results[n:], written=True)
        inside = [*given, *(c.slot for c in carries), *(x.slot for x in read)]
        left = [*(c.next for c in carries), *(y.slot for y in written)]
        return Loop(
            body=self._inner(node.attrs["body"], inside, left),
            counter=self.builder.temporary(TensorType(int64)),
            carries=tuple(carries),
            slices=(*read, *written),
            length=node.attrs["length"],
            reverse=node.attrs["reverse"],
            count=count,
            loc=node.loc,
        )


def with_kept_results(program: Program) -> Program:
    """Moves the calls whose results are the same every time to `once`.

    They read what is fixed alone, write no output, and have extents that are known.
    """
    driven = program.driven
    number: dict[int, int] = {}
    slots = list(program.slots)
    known = {k for k, s in enumerate(slots) if s.kind in ("constant", "fixed")}
    once: list[Call] = []
    calls: list[Call] = []
    for k, call in enumerate(program.calls):
        params = program.kernels[call.kernel].params
        modes = list(zip(params, call.args, strict=True))
        outs = {a for p, a in modes if p.mode != "in"}
        same = all(a in known for p, a in modes if p.mode == "in") and outs != set(call.args)
        fits = all(slots[a].kind == "temporary" and a not in driven for a in outs)
        host = program.kernels[call.kernel].host
        fits = fits and not (host is not None and host.op.effect)
        if same and fits and all(isinstance(d, int) for d in call.dims):
            known |= outs
            once.append(call)
            for a in outs:
                slots[a] = replace(slots[a], kind="kept")
        else:
            number[k] = len(calls)
            calls.append(call)
    steps = _renumbered(program.steps, number)
    return replace(program, slots=tuple(slots), calls=tuple(calls), once=tuple(once), steps=steps)


def _renumbered(steps: Sequence[Step], number: dict[int, int]) -> tuple[Step, ...]:
    """Steps with other numbers of calls; those without one are left out."""
    found: list[Step] = []
    for step in steps:
        match step:
            case int():
                found += [number[step]] if step in number else []
            case Branch():
                inner = tuple(_renumbered(b, number) for b in step.branches)
                found.append(replace(step, branches=inner))
            case Loop():
                test, body = (_renumbered(part, number) for part in inner_steps(step))
                found.append(replace(step, test=test, body=body))
    return tuple(found)


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
    driven, block_of = program.driven, _blocks(program)
    made = {s: 0 for s, x in enumerate(slots) if x.kind == "input"}
    taken: set[int] = set()
    for k, call in enumerate(program.calls):
        kernel = program.kernels[call.kernel]
        by_name = {p.name: a for p, a in zip(kernel.params, call.args, strict=True)}
        outs = (a for p, a in zip(kernel.params, call.args, strict=True) if p.mode != "in")
        made.update(dict.fromkeys(outs, block_of[k]))
        for p, out in zip(kernel.params, call.args, strict=True):
            if p.mode != "out" or out in driven:
                continue
            for name in p.may_alias:
                source = by_name[name]
                once = call.args.count(source) == 1
                if source in taken or last[source] != k or not once:
                    continue
                # What another iteration, or what is between calls, reads lives on.
                if source in driven or made.get(source) != block_of[k]:
                    continue
                if _may_take(program, slots, source, out, inputs=k > last_python):
                    slots[out] = replace(slots[out], shares=source)
                    taken.add(source)
                    break
    return replace(program, slots=tuple(slots))


def _blocks(program: Program) -> dict[int, int]:
    """For each call, the number of the list of steps that it is in; the outermost is 0."""
    found: dict[int, int] = {}
    blocks = [program.all_steps]
    for number, steps in enumerate(blocks):
        for part in sequences(steps):
            if isinstance(part, range):
                found |= dict.fromkeys(part, number)
            else:
                blocks.extend(inner_steps(part))
    return found


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
