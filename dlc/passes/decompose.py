"""Expands ops that stand for simpler ones."""

from __future__ import annotations

from typing import ClassVar

from dlc.ir.core import Function, Node, has_bodies, map_bodies
from dlc.ir.op import ANY_ROW
from dlc.ir.record import dataclass
from dlc.ir.verifier import Stage
from dlc.passes.expansion import expand
from dlc.passes.manager import Pass, PassContext


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
