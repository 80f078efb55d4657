"""Stores matrices that no call changes in the order in which products read them.

A right operand that depends on fixed parameters and constants alone is written as what is read
back from its panels (`dlc.ir.panels`). The panels then depend on nothing else either, so that a
program makes them once (`Program.once`), and the product streams them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dlc.ir.build import make_node
from dlc.ir.core import Function, Node, with_inputs
from dlc.ir.op import OPS
from dlc.ir.types import float32
from dlc.passes.manager import Pass, PassContext

_WORTHWHILE = 1024  # elements from which a matrix is worth a kernel that packs it


@dataclass(frozen=True)
class Prepack(Pass):
    """Reads fixed right operands of products from panels.

    panel_bits: the width of a panel, in bits of the type that products are summed at; 0 where the
        backend has no use for panels.
    fixed: the positions of the parameters that have the same value in every call, as "0 2 3".
    """

    name: ClassVar[str] = "prepack"
    nested: ClassVar[bool] = False
    panel_bits: int = 0
    fixed: str = ""

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with such operands in panels."""
        if not self.panel_bits:
            return function
        positions = set(map(int, self.fixed.split()))
        fixed = {p for k, p in enumerate(function.params) if k in positions}
        new: dict[Node, Node] = {p: p for p in function.params}
        nodes: list[Node] = []
        packed: dict[tuple[Node, int], Node] = {}
        for node in function.nodes:
            if node.op.name == "constant" or (node.inputs and fixed.issuperset(node.inputs)):
                fixed.add(node)
            inputs = tuple(new[x] for x in node.inputs)
            kept = with_inputs(node, inputs)
            if self._packs(node, fixed) and context.allows(self.name, node.op.name, node.loc):
                kept = self._product(kept, packed, nodes)
            new[node] = kept
            nodes.append(kept)
        if not packed:
            return function
        return Function(function.name, function.params, [new[r] for r in function.results], nodes)

    def _packs(self, node: Node, fixed: set[Node]) -> bool:
        """Whether a node is the product of something with a fixed matrix of several columns."""
        if node.op.family != "contraction" or node.inputs[1] not in fixed or node in fixed:
            return False
        w, summed = node.inputs[1].tensor, node.attrs.get("rhs_contract", ())
        if w.rank != 2 or len(summed) != 1:
            return False
        rows, columns = w.shape[summed[0]], w.shape[1 - summed[0]]
        if not isinstance(rows, int) or not isinstance(columns, int):
            return False
        return columns > 1 and rows * columns >= _WORTHWHILE

    def _product(self, node: Node, packed: dict[tuple[Node, int], Node], nodes: list[Node]) -> Node:
        """The product with its right operand read from panels."""

        def emit(op: str, x: Node, **attrs: object) -> Node:
            made = make_node(OPS[op], (x,), attrs, node.loc)
            nodes.append(made)
            return made

        x, w = node.inputs
        (summed,) = node.attrs["rhs_contract"]
        columns = w.shape[1 - summed]
        assert isinstance(columns, int)
        matrix = packed.get((w, summed))
        if matrix is None:
            rows = emit("transpose", w, axes=(1, 0)) if summed else w
            matrix = emit("panels", rows, width=self._width(node, columns))
            packed[w, summed] = matrix
        back = emit("from_panels", matrix, columns=columns)
        back = emit("transpose", back, axes=(1, 0)) if summed else back
        return make_node(node.op, (x, back), dict(node.attrs), node.loc)

    def _width(self, node: Node, columns: int) -> int:
        dtype = node.tensor.dtype
        bits = max(dtype.bits, float32.bits) if dtype.is_float else dtype.bits
        width = self.panel_bits // bits
        return width // 2 if columns <= width // 2 else width
