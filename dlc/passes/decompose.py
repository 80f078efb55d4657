"""Expands ops that stand for simpler ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, has_bodies, map_bodies, with_inputs
from dlc.ir.op import ANY_ROW, Op
from dlc.ir.record import dataclass
from dlc.ir.verifier import Stage
from dlc.passes.manager import Pass, PassContext


def expand(function: Function, chosen: Callable[[Node], bool]) -> Function:
    """`function` with the decomposition of each `chosen` node in its place, however deep."""
    if not any(chosen(n) for n in function.nodes):
        return function
    b = IRBuilder()
    new = _settle(b, function.nodes, {p: p for p in function.params}, chosen)
    return Function(function.name, function.params, (new[r] for r in function.results), b.nodes)


def _settle(
    b: IRBuilder, nodes: Iterable[Node], new: dict[Node, Node], chosen: Callable[[Node], bool]
) -> dict[Node, Node]:
    """Appends `nodes` to `b`, expanding those that are chosen; returns what each became."""
    several: dict[Node, list[Any]] = {}  # the results of ops that have more than one
    for node in nodes:
        if node.inputs and node.inputs[0] in several:
            new[node] = several[node.inputs[0]][node.attrs["index"]]
            continue
        inputs = tuple(new.get(x, x) for x in node.inputs)
        if chosen(node):
            inner = IRBuilder(node.loc)
            result: Any = node.op.decompose(inner, *inputs, **node.attrs)  # type: ignore[misc]
            settled = _settle(b, inner.nodes, {}, chosen)
            if isinstance(result, Node):
                new[node] = settled.get(result, result)
            else:
                several[node] = [settled.get(r, r) for r in result]
        else:
            new[node] = with_inputs(node, inputs)
            b.nodes.append(new[node])
    return new


def _has_no_derivative(op: Op, reverse: bool) -> bool:
    own = op.jvp is not None or (reverse and (op.vjp or op.vjp_all) is not None)
    return op.decompose is not None and not own


def expand_undifferentiable(function: Function, *, reverse: bool = False) -> Function:
    """Expands the ops whose derivative is that of what they stand for."""
    return expand(function, lambda n: _has_no_derivative(n.op, reverse))


@dataclass(frozen=True)
class Decompose(Pass):
    """Expands every op that stands for simpler ones."""

    name: ClassVar[str] = "decompose"
    stage: ClassVar[Stage | None] = "decomposed"
    own_kernels: int = ANY_ROW  # of rows up to this extent, ops stay that have some of their own

    def apply(self, function: Function, context: PassContext) -> Function:
        """`function` without composite ops, and after it the bodies inside.

        Some of them come with what an op stands for, such as a loop in a checkpoint.
        """
        made = self.run(function, context)
        if not has_bodies(made):
            return made
        return map_bodies(made, lambda body: self.apply(body, context))

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` without composite ops."""
        composite = [n for n in function.nodes if self._expands(n)]
        kept = {n for n in composite if not context.allows(self.name, n.op.name, n.loc)}
        return expand(function, lambda n: self._expands(n) and n not in kept)

    def _expands(self, node: Node) -> bool:
        op = node.op
        return op.decompose is not None and not (op.own_kernel and self._has_kernel(node))

    def _has_kernel(self, node: Node) -> bool:
        """Whether the rows of a node's first operands are short enough, and that is known."""
        limit = self.own_kernels
        rows = [x.shape[-1] for x in node.inputs[:3]]  # queries, keys and values
        return limit >= ANY_ROW or all(isinstance(n, int) and 0 < n <= limit for n in rows)
