"""Moves work out of loops, and drops what nobody reads of loops and branches.

prune     results, carries and operands that nothing depends on
invariant what is the same in each iteration is computed before the loop
ahead     products of what is stacked, which need no carry, become one product for all rows
sums      carries to which each iteration adds a product become one product after the loop,
          over all rows
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, has_effect, live_nodes, reachable, with_inputs
from dlc.ir.dims import TRIPS, Dim
from dlc.ir.ops.control import scan_parts
from dlc.ir.record import dataclass
from dlc.passes.batch import batch_function
from dlc.passes.control_batch import inline
from dlc.passes.manager import Pass, PassContext

_KERNELS = ("contraction", "reduction")


@dataclass(frozen=True)
class Loops(Pass):
    """Moves work out of loops, and drops what nobody reads."""

    name: ClassVar[str] = "loops"
    inexact: ClassVar[str | None] = "sums of products are made after a loop, in one go"
    moves: bool = True  # whether sums may be made in another order

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with less in its loops and branches."""
        if not any(n.op.family == "control" for n in function.nodes):
            return function
        b = IRBuilder()
        read = _read_parts(function)
        new: dict[Node, Node] = {p: p for p in function.params}
        parts: dict[Node, list[Node | None]] = {}
        for node in function.nodes:
            if node.op.name == "get" and node.inputs[0] in parts:
                found = parts[node.inputs[0]][node.attrs["index"]]
                if found is not None:
                    new[node] = found
                continue
            kept = with_inputs(node, tuple(new[x] for x in node.inputs))
            # What is only there for its effects stays as it is.
            smaller = node.op.family == "control" and (node in read or not has_effect(node))
            if smaller and context.allows(self.name, node.op.name, node.loc):
                b.loc = node.loc
                parts[node] = self._smaller(b, kept, read.get(node, set()))
            else:
                new[node] = kept
                b.nodes.append(kept)
        results = [new[r] for r in function.results]
        return Function(function.name, function.params, results, b.nodes)

    def _smaller(self, b: IRBuilder, node: Node, read: set[int]) -> list[Node | None]:
        if node.op.name == "switch":
            return _prune_switch(b, node, read)
        loop = _Loop(b, node, read)
        loop.prune()
        if self.moves:
            loop.hoist()
            loop.sum_after()
            loop.prune()
        return loop.emit()


def _read_parts(function: Function) -> dict[Node, set[int]]:
    """Which results of each loop and branches something reads."""
    users = function.users()
    found: dict[Node, set[int]] = {}
    results = set(function.results)
    for n in function.nodes:
        is_part = n.op.name == "get" and n.inputs[0].op.family == "control"
        if is_part and (users[n] or n in results):
            found.setdefault(n.inputs[0], set()).add(n.attrs["index"])
    return found


def _depending(nodes: Iterable[Node], sources: Iterable[Node]) -> set[Node]:
    found = set(sources)
    for n in nodes:
        if any(x in found for x in n.inputs):
            found.add(n)
    return found


def _with(function: Function, params: Sequence[Node], results: Sequence[Node]) -> Function:
    """Other parameters and results; of the nodes those that are needed, in their order."""
    needed = live_nodes(function.nodes, results)
    nodes = [n for n in function.nodes if n in needed]
    return Function(function.name, params, results, nodes)


def _prune_switch(b: IRBuilder, node: Node, read: set[int]) -> list[Node | None]:
    branches: tuple[Function, ...] = node.attrs["branches"]
    count = len(branches[0].results)
    kept = sorted(read)
    index, *operands = node.inputs
    smaller = [_with(f, f.params, [f.results[k] for k in kept]) for f in branches]
    used = [k for k in range(len(operands)) if any(_reads(f, f.params[k]) for f in smaller)]
    made = tuple(_with(f, [f.params[k] for k in used], f.results) for f in smaller)
    whole = b.emit(node.op, [index, *(operands[k] for k in used)], {"branches": made})
    found: list[Node | None] = [None] * count
    for place, k in enumerate(kept):
        found[k] = b.get(whole, index=place)
    return found


def _reads(function: Function, x: Node) -> bool:
    return x in function.results or any(x in n.inputs for n in function.nodes)


class _Loop:
    """A loop being made smaller: its operands and the parts of its body, by what they are."""

    def __init__(self, b: IRBuilder, node: Node, read: set[int]) -> None:
        self.b, self.node = b, node
        self.is_while = node.op.name == "while"
        self.body: Function = node.attrs["body"]
        self.cond: Function | None = node.attrs.get("cond")
        if self.is_while:
            a: int = node.attrs["consts"]
            self.count: Node | None = None
            self.consts, self.carries, self.xs = list(node.inputs[:a]), list(node.inputs[a:]), []
        else:
            self.count, self.consts, self.carries, self.xs = scan_parts(node.inputs, node.attrs)
        a, n = len(self.consts), len(self.carries)
        self.const_params = list(self.body.params[:a])
        self.carry_params = list(self.body.params[a : a + n])
        self.row_params = list(self.body.params[a + n :])
        self.cond_consts = list(self.cond.params[:a]) if self.cond else []
        self.cond_carries = list(self.cond.params[a:]) if self.cond else []
        self.nexts = list(self.body.results[:n])
        self.rows = list(self.body.results[n:])
        self.nodes = list(self.body.nodes)
        counted = self.is_while and node.attrs["counted"]
        self.counted = bool(counted)
        # Where the results of the node come from: ("carry", k), ("count", 0) or ("row", k); or
        # nodes that stand for them already.
        self.places: list[Any] = [("carry", k) for k in range(n)]
        self.places += [("count", 0)] if counted else []
        self.places += [("row", k) for k in range(len(self.rows))]
        self.places = [p if k in read else None for k, p in enumerate(self.places)]

    # Pruning.

    def prune(self) -> None:
        """Drops what no result that is read depends on."""
        kept = {p[1] for p in self.places if _is(p, "row")}
        summed = (x for p in self.places if _is(p, "sum") for kind, x in p[2] if kind == "row")
        rows = sorted(kept | {self.rows.index(x) for x in summed})
        live = {p[1] for p in self.places if _is(p, "carry")}
        if self.cond is not None:
            asked = set(reachable(self.cond.results)) | set(self.cond.results)
            asked |= {x for n in reachable(self.cond.results) for x in n.inputs}
            live |= {k for k, p in enumerate(self.cond_carries) if p in asked}
        while True:
            needed = self._needed([*(self.nexts[k] for k in live), *(self.rows[k] for k in rows)])
            more = {k for k, p in enumerate(self.carry_params) if p in needed} - live
            if not more:
                break
            live |= more
        carries = sorted(live)
        self._renumber("carry", carries)
        self._renumber("row", rows)
        self.carries = [self.carries[k] for k in carries]
        self.carry_params = [self.carry_params[k] for k in carries]
        self.cond_carries = [self.cond_carries[k] for k in carries] if self.cond else []
        self.nexts = [self.nexts[k] for k in carries]
        self.rows = [self.rows[k] for k in rows]
        self.nodes = [n for n in self.nodes if n in needed]
        self._drop_operands(needed)

    def _drop_operands(self, needed: set[Node]) -> None:
        if self.cond is not None:
            asked = {x for n in reachable(self.cond.results) for x in n.inputs}
            needed = needed | {
                p
                for p, q in zip(self.const_params, self.cond_consts, strict=True)
                if q in asked or q in self.cond.results
            }
        kept = [k for k, p in enumerate(self.const_params) if p in needed]
        self.consts = [self.consts[k] for k in kept]
        self.const_params = [self.const_params[k] for k in kept]
        self.cond_consts = [self.cond_consts[k] for k in kept] if self.cond else []
        along = [k for k, p in enumerate(self.row_params) if p in needed]
        self.xs = [self.xs[k] for k in along]
        self.row_params = [self.row_params[k] for k in along]

    def _needed(self, results: Sequence[Node]) -> set[Node]:
        found = set(results)
        for n in reversed(self.nodes):
            if n in found or has_effect(n):
                found.add(n)
                found.update(n.inputs)
        return found

    def _renumber(self, kind: str, kept: Sequence[int]) -> None:
        number = {k: place for place, k in enumerate(kept)}
        self.places = [(kind, number[p[1]]) if _is(p, kind) else p for p in self.places]

    # Moving.

    def hoist(self) -> None:
        """Computes before the loop what is the same in each iteration, and products of rows."""
        late = _depending(self.nodes, self.carry_params)
        along = _depending(self.nodes, self.row_params)
        same = self._leaving(
            n
            for n in self.nodes
            if n not in late
            and n not in along
            and n.op.name not in ("constant", "get")
            and n.op.family != "control"
            and not n.op.effect
            and (n.op.cost > 0 or n.op.family in _KERNELS)
        )
        if same:
            self._before(same, stacked=False)
        if self.is_while or self.node.attrs["length"] == TRIPS:
            return
        ahead = self._leaving(
            n for n in self.nodes if n in along and n not in late and n.op.family == "contraction"
        )
        if ahead:
            self._before(ahead, stacked=True)

    def _leaving(self, nodes: Iterable[Node]) -> list[Node]:
        """Of nodes that are computed before the loop, those that something in it reads."""
        moved = list(nodes)
        before = set(moved)
        for n in reversed(self.nodes):
            if n in before:
                before.update(n.inputs)
        users = self._users()
        ends = {*self.nexts, *self.rows}
        return [n for n in moved if n in ends or any(u not in before for u in users.get(n, ()))]

    def _users(self) -> dict[Node, list[Node]]:
        found: dict[Node, list[Node]] = {}
        for n in self.nodes:
            for x in n.inputs:
                found.setdefault(x, []).append(n)
        return found

    def _before(self, chosen: Sequence[Node], *, stacked: bool) -> None:
        """Computes nodes before the loop; the body reads them as constants, or row by row."""
        params = [*self.const_params, *self.row_params]
        needed = set(reachable(chosen))
        inner = Function(self.body.name, params, chosen, [n for n in self.nodes if n in needed])
        operands = [*self.consts, *self.xs]
        if stacked:
            flags = [False] * len(self.consts) + [True] * len(self.xs)
            inner, _ = batch_function(inner, flags, self._length, True)
        found = inline(self.b, inner, operands)
        maker = IRBuilder()
        taken = {n: maker.param(n.tensor, n.name) for n in chosen}
        self._substitute(taken)
        if stacked:
            self.xs += found
            self.row_params += taken.values()
        else:
            self.consts += found
            self.const_params += taken.values()
            self.cond_consts += (maker.param(n.tensor) for n in chosen if self.cond)

    @property
    def _length(self) -> Dim:
        return self.node.attrs["length"]

    def _substitute(self, taken: dict[Node, Node]) -> None:
        """Puts other nodes in the place of some of the body's."""
        new = dict(taken)
        nodes: list[Node] = []
        for n in self.nodes:
            if n in new:
                continue
            new[n] = with_inputs(n, tuple(new.get(x, x) for x in n.inputs))
            nodes.append(new[n])
        self.nodes = nodes
        self.nexts = [new.get(r, r) for r in self.nexts]
        self.rows = [new.get(r, r) for r in self.rows]

    def sum_after(self) -> None:
        """Adds up after the loop what iterations only add to carries."""
        if self.is_while or self._length == TRIPS:
            return
        users = self._users()
        fixed = _depending(self.nodes, [*self.carry_params, *self.row_params])
        for k, (p, r) in enumerate(zip(self.carry_params, self.nexts, strict=True)):
            if r.op.name != "add" or p not in r.inputs or users[p] != [r] or users.get(r):
                continue
            part = r.inputs[1] if r.inputs[0] is p else r.inputs[0]
            if self.nexts.count(r) + self.rows.count(r) > 1 or part is p:
                continue
            if part.op.name not in ("dot_general", "reduce_sum"):
                continue
            if not all(x in fixed for x in part.inputs):
                continue
            self._sum(k, part)

    def _sum(self, k: int, part: Node) -> None:
        """Lets carry `k` be a sum over what `part` reads in all iterations."""
        place = ("carry", k)
        # Rows of the loop that the sum reads; `emit` makes it when these are there.
        sources = [self._row_of(x) for x in part.inputs]
        self.places = [
            ("sum", part, sources, self.carries[k]) if p == place else p for p in self.places
        ]

    def _row_of(self, x: Node) -> tuple[str, Node]:
        """Where all rows of a node of the body are: an operand, or what the body leaves."""
        if x in self.row_params:
            return "operand", self.xs[self.row_params.index(x)]
        if x not in self.rows:
            self.rows.append(x)
        return "row", x

    # The end.

    def emit(self) -> list[Node | None]:
        """The smaller loop; a node for each result of the one before that is read."""
        b = self.b
        params = [*self.const_params, *self.carry_params, *self.row_params]
        results = [*self.nexts, *self.rows]
        body = Function(self.body.name, params, results, self.nodes)
        attrs = {**self.node.attrs, "body": body, "consts": len(self.consts)}
        inputs = [*self.consts, *self.carries, *self.xs]
        if self.cond is not None:
            asked = [*self.cond_consts, *self.cond_carries]
            attrs["cond"] = Function(self.cond.name, asked, self.cond.results, self.cond.nodes)
        else:
            attrs["carries"] = len(self.carries)
            inputs = [*([] if self.count is None else [self.count]), *inputs]
        whole = b.emit(self.node.op, inputs, attrs)
        n = len(self.carries)
        carries = [b.get(whole, index=k) for k in range(n)]
        count = [b.get(whole, index=n)] if self.counted else []
        first = n + len(count)
        rows = [b.get(whole, index=first + k) for k in range(len(self.rows))]
        found: list[Node | None] = []
        for p in self.places:
            match p:
                case None:
                    found.append(None)
                case ("carry", k):
                    found.append(carries[k])
                case ("count", _):
                    found.append(count[0])
                case ("row", k):
                    found.append(rows[k])
                case _:
                    _, part, sources, start = p
                    given = [
                        x if kind == "operand" else rows[self.rows.index(x)] for kind, x in sources
                    ]
                    found.append(b.add(start, _over_all(b, part, given)))
        return found


def _is(place: Any, kind: str) -> bool:
    return place is not None and place[0] == kind


def _over_all(b: IRBuilder, part: Node, given: Sequence[Node]) -> Node:
    """The sum over all iterations of a product or a sum."""
    if part.op.name == "reduce_sum":
        return b.reduce_sum(given[0], axes=(0, *(a + 1 for a in part.attrs["axes"])))
    attrs = part.attrs
    lhs, rhs = given
    return b.dot_general(
        lhs,
        rhs,
        lhs_batch=_moved(attrs["lhs_batch"]),
        lhs_contract=(0, *_moved(attrs["lhs_contract"])),
        rhs_batch=_moved(attrs["rhs_batch"]),
        rhs_contract=(0, *_moved(attrs["rhs_contract"])),
    )


def _moved(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(a + 1 for a in axes)
