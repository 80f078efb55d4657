"""Computes at compile time what depends on constants alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dlc.ir.core import Function, Node, substitute_nodes, with_inputs
from dlc.ir.build import make_node
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS
from dlc.ir.types import TensorType, TupleType
from dlc.passes.manager import Pass, PassContext


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Runs nodes whose inputs are constants through the interpreter.

    limit: the most bytes that a folded result may have; larger ones are computed when the program runs.
    """

    name: ClassVar[str] = "fold_constants"
    limit: int = 1 << 16

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with constant nodes in place of foldable ones."""

        def fold(node: Node, inputs: tuple[Node, ...]) -> Node:
            kept = with_inputs(node, inputs)
            if not self._foldable(kept) or not context.allows(self.name, node.op.name, node.loc):
                return kept
            (value,) = interpret(Function("fold", (), (kept,)), ())
            return as_constant(value, kept)

        return substitute_nodes(function, fold)

    def _foldable(self, node: Node) -> bool:
        type_ = node.type
        if isinstance(type_, TupleType) or not type_.is_static or node.op.family == "structural":
            return False
        if node.op.reference is None and node.op.decompose is None:
            return False
        if not node.inputs or any(x.op.name not in ("constant", "full") for x in node.inputs):
            return False
        size = type_.size
        assert isinstance(size, int)
        return size * type_.dtype.itemsize <= self.limit


def as_constant(value: np.ndarray[Any, Any], like: Node) -> Node:
    """A `full` where all elements have the same bits, else a `constant`."""
    type_: TensorType = like.tensor
    flat = value.reshape(-1)
    if flat.size:
        raw = np.ascontiguousarray(flat).view(np.uint8).reshape(flat.size, -1)
        if bool((raw == raw[:1]).all()):
            return _full(flat[0], like)
    return make_node(OPS["constant"], (), {"value": value.astype(type_.dtype.numpy)}, like.loc)


def _full(element: Any, like: Node) -> Node:
    type_ = like.tensor
    python = bool(element) if type_.dtype.kind == "b" else float(element) if type_.dtype.is_float else int(element)
    attrs = {"value": python, "shape": type_.shape, "dtype": type_.dtype}
    return make_node(OPS["full"], (), attrs, like.loc)
