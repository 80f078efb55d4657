"""Derivatives of loops and branches.

Forward mode: the same loop over carries with their tangents beside them. Reverse mode: the loop
keeps, for each iteration, what its derivative reads; a loop in the other order sends cotangents
back. A loop whose length is not known counts its iterations, and what it keeps grows (`TRIPS`).
Branches keep values for the derivative of the one that ran, and zeros for the others.

Derivatives are made of the same three ops, so they have derivatives again, of any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import TRIPS
from dlc.ir.ops.control import scan_parts
from dlc.ir.record import dataclass
from dlc.ir.types import TensorType, TupleType
from dlc.passes.body_split import Split, split_derivative

Slopes = Sequence["Node | None"]


class Mode(Protocol):
    """How functions are differentiated: `dlc.passes.autodiff`."""

    def activity(self, function: Function, active: Sequence[bool]) -> list[bool]:
        """Which results may depend smoothly on these parameters."""
        ...

    def forward(self, function: Function, wrt: Sequence[int]) -> Function:
        """Forward mode with respect to parameters."""
        ...

    def reverse(self, function: Function, wrt: Sequence[int], results: Sequence[int]) -> Function:
        """Reverse mode from results to parameters."""
        ...


def _where(flags: Iterable[bool]) -> list[int]:
    return [k for k, f in enumerate(flags) if f]


def _parts(b: IRBuilder, node: Node) -> list[Node]:
    assert isinstance(node.type, TupleType)
    return [b.get(node, index=k) for k in range(len(node.type.items))]


def _picked(items: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    return [x for x, f in zip(items, flags, strict=True) if f]


# What loops have in common.


@dataclass(frozen=True)
class Loop:
    """The parts of a `scan` or `while` node.

    Args:
        node: The node.
        count: The operand that says how often it runs, if one does.
        consts, carries, xs: The other operands.
    """

    node: Node
    count: Node | None
    consts: list[Node]
    carries: list[Node]
    xs: list[Node]

    @property
    def body(self) -> Function:
        """What an iteration computes."""
        return self.node.attrs["body"]

    @property
    def is_while(self) -> bool:
        """Whether a condition ends it."""
        return "cond" in self.node.attrs

    def order(self, operands: Sequence[Any]) -> list[Any]:
        """Of something for each operand, that for the parameters of the body."""
        return list(operands[0 if self.count is None else 1 :])

    def results(self, of_body: Sequence[Any], count: Any) -> list[Any]:
        """Of something for each result of the body, that for the results of the node."""
        n = len(self.carries)
        counted = self.is_while and self.node.attrs["counted"]
        return [*of_body[:n], *([count] if counted else []), *of_body[n:]]

    def of_body(self, results: Sequence[Any]) -> list[Any]:
        """Of something for each result of the node, that for the results of the body."""
        n = len(self.carries)
        counted = self.is_while and self.node.attrs["counted"]
        return [*results[:n], *results[n + counted :]]


def loop_of(node: Node) -> Loop:
    """The parts of a loop."""
    if node.op.name == "scan":
        return Loop(node, *scan_parts(node.inputs, node.attrs))
    n: int = node.attrs["consts"]
    return Loop(node, None, list(node.inputs[:n]), list(node.inputs[n:]), [])


def loop_activity(mode: Mode, loop: Loop, active: Sequence[bool]) -> tuple[list[bool], list[bool]]:
    """Which parameters of the body, and which of its results, may depend smoothly on operands.

    A carry that depends on something in one iteration does in all that follow.
    """
    flags = list(active)
    first = len(loop.consts)
    while True:
        found = mode.activity(loop.body, flags)
        grown = [
            k
            for k in range(len(loop.carries))
            if found[k] and not flags[first + k] and loop.carries[k].tensor.dtype.is_float
        ]
        if not grown:
            carried = flags[first : first + len(loop.carries)]
            return flags, [*carried, *found[len(loop.carries) :]]
        for k in grown:
            flags[first + k] = True


def activity(mode: Mode, node: Node, active: Sequence[bool]) -> list[bool]:
    """Which results of a loop or of branches may depend smoothly on these operands."""
    if node.op.name == "switch":
        branches: tuple[Function, ...] = node.attrs["branches"]
        found = [mode.activity(f, active[1:]) for f in branches]
        return [any(flags) for flags in zip(*found, strict=True)]
    loop = loop_of(node)
    return loop.results(loop_activity(mode, loop, loop.order(active))[1], False)


# Forward mode.


def forward(
    mode: Mode, b: IRBuilder, node: Node, tangents: Slopes
) -> tuple[list[Node], list[Node | None]]:
    """The results of a loop or of branches, and their tangents."""
    b.loc = node.loc
    rule = _switch_forward if node.op.name == "switch" else _loop_forward
    return rule(mode, b, node, tangents)


def _switch_forward(
    mode: Mode, b: IRBuilder, node: Node, tangents: Slopes
) -> tuple[list[Node], list[Node | None]]:
    wrt = _where(t is not None for t in tangents[1:])
    out = activity(mode, node, [t is not None for t in tangents])
    made: list[Function] = []
    for f in node.attrs["branches"]:
        derived = mode.forward(f, wrt)
        slopes = _picked(_tangents_of(f, derived), out)
        made.append(Function(f.name, derived.params, (*f_results(f, derived), *slopes)))
    given = [t for t in tangents if t is not None]
    parts = _parts(b, b.switch(*node.inputs, *given, branches=tuple(made)))
    slopes = iter(parts[len(out) :])
    return parts[: len(out)], [next(slopes) if f else None for f in out]


def f_results(function: Function, derived: Function) -> tuple[Node, ...]:
    """The results of a function among those of its derivative."""
    return derived.results[: len(function.results)]


def _tangents_of(function: Function, derived: Function) -> list[Node | None]:
    """For each result of a function, its tangent among the results of its forward derivative."""
    slopes = iter(derived.results[len(function.results) :])
    return [next(slopes) if r.tensor.dtype.is_float else None for r in function.results]


def _loop_forward(
    mode: Mode, b: IRBuilder, node: Node, tangents: Slopes
) -> tuple[list[Node], list[Node | None]]:
    loop = loop_of(node)
    given = loop.order(tangents)
    flags, out = loop_activity(mode, loop, [t is not None for t in given])
    operands = [*loop.consts, *loop.carries, *loop.xs]
    slopes = [
        b.zeros(x.tensor) if f and t is None else t
        for x, t, f in zip(operands, given, flags, strict=True)
    ]
    derived = mode.forward(loop.body, _where(flags))
    extra = iter(derived.params[len(loop.body.params) :])
    places = [next(extra) if f else None for f in flags]
    ends = [_tangents_of(loop.body, derived)[k] if f else None for k, f in enumerate(out)]
    a, n = len(loop.consts), len(loop.carries)
    values = f_results(loop.body, derived)

    def beside(items: Sequence[Any], others: Sequence[Any], at: range) -> list[Any]:
        """Items, then the others of the same places that are there."""
        mine, theirs = items[at.start : at.stop], others[at.start : at.stop]
        return [*mine, *(x for x in theirs if x is not None)]

    parts = [range(a), range(a, a + n), range(a + n, len(operands))]
    params = [p for at in parts for p in beside(derived.params, places, at)]
    inputs = [x for at in parts for x in beside(operands, slopes, at)]
    results = [r for at in (range(n), range(n, len(out))) for r in beside(values, ends, at)]
    counts = [len(beside(operands, slopes, at)) for at in parts]
    body = Function(loop.body.name, params, results, derived.nodes)
    made = _again(b, loop, inputs, body, counts)
    carried = sum(out[:n])
    whole = loop.results(range(len(out)), len(out))  # where each result of the node comes from
    found = _parts(b, made)
    middle = len(found) - (len(out) - n) - sum(out[n:])  # the first that is stacked
    ordered = [*found[:n], *found[middle : middle + len(out) - n]]
    if len(whole) > len(out):
        ordered.append(found[n + carried])
    ends_of = iter([*found[n : n + carried], *found[middle + len(out) - n :]])
    tangents_of_body = [next(ends_of) if f else None for f in out]
    return [ordered[k] for k in whole], [
        tangents_of_body[k] if k < len(out) else None for k in whole
    ]


def _again(
    b: IRBuilder, loop: Loop, inputs: Sequence[Node], body: Function, counts: Sequence[int]
) -> Node:
    """The loop with another body, and the operands for it."""
    attrs = dict(loop.node.attrs)
    if not loop.is_while:
        first = [] if loop.count is None else [loop.count]
        attrs |= {"body": body, "consts": counts[0], "carries": counts[1]}
        return b.scan(*first, *inputs, **attrs)
    attrs |= {"cond": _widened(loop, body), "body": body, "consts": counts[0]}
    return b.emit(loop.node.op, inputs, attrs)


def _widened(loop: Loop, body: Function) -> Function:
    """The condition of a loop, of the parameters of another body."""
    cond: Function = loop.node.attrs["cond"]
    own = dict(zip(loop.body.params, cond.params, strict=True))
    b = IRBuilder()
    params = [own[p] if p in own else b.param(p.tensor) for p in body.params]
    return Function(cond.name, params, cond.results, cond.nodes)


# Reverse mode.

Back = Callable[[IRBuilder, Slopes], "list[Node | None]"]


def reverse(
    mode: Mode, b: IRBuilder, node: Node, active: Sequence[bool], wanted: Sequence[bool]
) -> tuple[list[Node], Back]:
    """The results of a loop or of branches, and what sends their cotangents back.

    Args:
        mode: Differentiates bodies.
        b: Gets the nodes.
        node: The loop or the branches.
        active: The operands whose cotangents are asked for.
        wanted: The results that get cotangents.
    """
    b.loc = node.loc
    rule = _switch_reverse if node.op.name == "switch" else _loop_reverse
    return rule(mode, b, node, active, wanted)


def _switch_reverse(
    mode: Mode, b: IRBuilder, node: Node, active: Sequence[bool], wanted: Sequence[bool]
) -> tuple[list[Node], Back]:
    wrt, results = _where(active[1:]), _where(wanted)
    branches: tuple[Function, ...] = node.attrs["branches"]
    operands = node.inputs[1:]
    free = range(len(operands))
    splits = [split_derivative(f, mode.reverse(f, wrt, results), free) for f in branches]
    slots = _Slots()
    places = [slots.place(s.forward.results[len(wanted) :]) for s in splits]
    made = [
        _with_slots(s, len(wanted), p, slots.types) for s, p in zip(splits, places, strict=True)
    ]
    parts = _parts(b, b.switch(*node.inputs, branches=tuple(made)))
    kept = parts[len(wanted) :]
    read = sorted({k for s in splits for k in s.params})

    def back(b: IRBuilder, cotangents: Slopes) -> list[Node | None]:
        given = [
            b.zeros(parts[k].tensor) if cotangents[k] is None else cotangents[k] for k in results
        ]
        functions = tuple(
            _backward_branch(s, p, slots.types, read, operands)
            for s, p in zip(splits, places, strict=True)
        )
        inputs = [*(operands[k] for k in read), *kept, *given]
        found = iter(_parts(b, b.switch(node.inputs[0], *inputs, branches=functions)))
        return [None, *(next(found) if f else None for f in active[1:])]

    return parts[: len(wanted)], back


class _Slots:
    """What branches keep: one list of types, of which each branch takes what it needs."""

    def __init__(self) -> None:
        self.types: list[TensorType] = []

    def place(self, values: Sequence[Node]) -> list[int]:
        """A place for each value, all different."""
        taken: list[int] = []
        for v in values:
            fitting = (k for k, t in enumerate(self.types) if t == v.tensor and k not in taken)
            k = next(fitting, None)
            if k is None:
                k = len(self.types)
                self.types.append(v.tensor)
            taken.append(k)
        return taken


def _with_slots(
    split: Split, count: int, places: Sequence[int], types: Sequence[TensorType]
) -> Function:
    """A branch that results in what any branch keeps: its own, or zeros."""
    f = split.forward
    b = IRBuilder()
    own = dict(zip(places, f.results[count:], strict=True))
    kept = [own[k] if k in own else b.zeros(t) for k, t in enumerate(types)]
    return Function(f.name, f.params, (*f.results[:count], *kept), (*f.nodes, *b.nodes))


def _backward_branch(
    split: Split,
    places: Sequence[int],
    types: Sequence[TensorType],
    read: Sequence[int],
    operands: Sequence[Node],
) -> Function:
    """The derivative of a branch, of all that any branch reads."""
    f = split.backward
    b = IRBuilder()
    a, n = len(split.params), split.kept
    mine = dict(zip(split.params, f.params[:a], strict=True))
    own = dict(zip(places, f.params[a : a + n], strict=True))
    before = [mine[k] if k in mine else b.param(operands[k].tensor) for k in read]
    kept = [own[k] if k in own else b.param(t) for k, t in enumerate(types)]
    return Function(f.name, (*before, *kept, *f.params[a + n :]), f.results, f.nodes)


def _loop_reverse(
    mode: Mode, b: IRBuilder, node: Node, active: Sequence[bool], wanted: Sequence[bool]
) -> tuple[list[Node], Back]:
    loop = loop_of(node)
    a, n = len(loop.consts), len(loop.carries)
    flags, out = loop_activity(mode, loop, loop.order(active))
    asked = loop.of_body(wanted)
    results = [k for k, f in enumerate(out) if f and (k < n or asked[k])]
    free = [k for k in range(len(flags)) if k < a or k >= a + n]
    split = split_derivative(loop.body, mode.reverse(loop.body, _where(flags), results), free)
    # Constants and what is stacked are there anyway; carries are kept like other values.
    carried = [k for k in split.params if a <= k < a + n]
    f = split.forward
    body = Function(
        f.name, f.params, (*f.results, *(loop.body.params[k] for k in carried)), f.nodes
    )
    kept_loop = _keeping(b, loop, body)
    found = _parts(b, kept_loop)
    kept_count = split.kept + len(carried)
    kept = found[len(found) - kept_count :] if kept_count else []
    count = found[n] if loop.is_while else loop.count
    shown = [*found[:n], *found[n + loop.is_while : len(found) - kept_count]]
    values = loop.results(shown, count)

    def back(b: IRBuilder, cotangents: Slopes) -> list[Node | None]:
        given = loop.of_body(cotangents)
        pull = _Pull(b, loop, split, flags, results, count)
        slopes = pull.run(shown, given, kept, carried)
        ordered = [s if f else None for s, f in zip(slopes, loop.order(active), strict=True)]
        return [*([] if loop.count is None else [None]), *ordered]

    return values, back


def _keeping(b: IRBuilder, loop: Loop, body: Function) -> Node:
    """The loop, with what an iteration keeps stacked at the end of its results."""
    attrs = dict(loop.node.attrs) | {"body": body}
    if loop.is_while:
        attrs |= {"counted": True}
    return b.emit(loop.node.op, loop.node.inputs, attrs)


class _Pull:
    """Makes the loop that sends cotangents back.

    Args:
        b: Gets the nodes.
        loop: The loop that ran forward.
        split: The derivative of its body.
        flags: Parameters of the body that get cotangents.
        results: The results of the body that have some.
        count: How often the loop ran, where its length does not say it.
    """

    def __init__(
        self,
        b: IRBuilder,
        loop: Loop,
        split: Split,
        flags: Sequence[bool],
        results: Sequence[int],
        count: Node | None,
    ) -> None:
        self.b, self.loop, self.split, self.flags = b, loop, split, flags
        self.results, self.count = results, count

    def run(
        self,
        values: Sequence[Node],
        cotangents: Slopes,
        kept: Sequence[Node],
        carried: Sequence[int],
    ) -> list[Node | None]:
        """The cotangents of the operands that parameters of the body stand for.

        Args:
            values: The results that the body's results became.
            cotangents: Theirs.
            kept: What was kept, in the order of the split, then these carries.
            carried: The positions of parameters of the body.
        """
        b, loop, split = self.b, self.loop, self.split
        a, n = len(loop.consts), len(loop.carries)
        operands = [*loop.consts, *loop.carries, *loop.xs]
        f = split.backward
        params = dict(zip(split.params, f.params, strict=False))
        given = list(f.params[len(split.params) : len(split.params) + split.kept])
        seeds = f.params[len(split.params) + split.kept :]
        ends = [k for k in self.results if k < n]
        rows = [k for k in self.results if k >= n]
        read = [k for k in split.params if k < a]
        along = [k for k in split.params if k >= a + n]
        gradients = iter(f.results)
        slope = {k: next(gradients) for k in _where(self.flags)}
        summed = [k for k in slope if k < a]
        inner = IRBuilder()
        inner.nodes.extend(f.nodes)
        totals = [inner.param(operands[k].tensor) for k in summed]
        new_totals = [inner.add(t, slope[k]) for t, k in zip(totals, summed, strict=True)]
        body = Function(
            f.name,
            [
                *(params[k] for k in read),
                *seeds[: len(ends)],
                *totals,
                *(params[k] for k in along),
                *given,
                *(params[k] for k in carried),
                *seeds[len(ends) :],
            ],
            [
                *(slope[a + k] for k in ends),
                *new_totals,
                *(slope[k] for k in slope if k >= a + n),
            ],
            inner.nodes,
        )
        first = [self._cotangent(values[k], cotangents[k]) for k in ends]
        first += [b.zeros(operands[k].tensor) for k in summed]
        stacked = [
            *(operands[k] for k in along),
            *kept,
            *(self._cotangent(values[k], cotangents[k]) for k in rows),
        ]
        length = TRIPS if loop.is_while else loop.node.attrs["length"]
        counted = [self.count] if length == TRIPS and self.count is not None else []
        made = b.scan(
            *counted,
            *(operands[k] for k in read),
            *first,
            *stacked,
            body=body,
            length=length,
            consts=len(read),
            carries=len(first),
            reverse=not loop.node.attrs.get("reverse", False),
        )
        order = [*(a + k for k in ends), *summed, *(k for k in slope if k >= a + n)]
        by_place = dict(zip(order, _parts(b, made), strict=True))
        return [by_place.get(k) for k in range(len(operands))]

    def _cotangent(self, value: Node, given: Node | None) -> Node:
        if given is not None:
            return given
        if TRIPS in value.tensor.shape:
            assert self.count is not None
            return zero_rows(self.b, self.count, value.tensor)
        return self.b.zeros(value.tensor)


# Tensors of a row for each iteration of a loop whose length is not known.


def zero_rows(b: IRBuilder, count: Node, type_: TensorType) -> Node:
    """Rows of zeros."""
    inner = IRBuilder()
    row = inner.zeros(type_.with_shape(type_.shape[1:]))
    body = inner.function("zeros", [], [row])
    return b.get(b.scan(count, body=body, length=TRIPS), index=0)


def add_rows(b: IRBuilder, x: Node, y: Node) -> Node:
    """The sum of two such tensors of one loop."""
    inner = IRBuilder()
    row = x.tensor.with_shape(x.tensor.shape[1:])
    params = [inner.param(row), inner.param(row)]
    body = inner.function("add", params, [inner.add(*params)])
    return b.get(b.scan(_count_of(b, x), x, y, body=body, length=TRIPS), index=0)


def _count_of(b: IRBuilder, rows: Node) -> Node:
    """How many rows there are."""
    (source,) = rows.inputs
    if source.op.name == "scan":
        return source.inputs[0]
    return b.get(source, index=len(source.inputs) - source.attrs["consts"])
