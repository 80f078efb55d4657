"""Computes at compile time what depends on constants alone."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from dlc.ir.build import make_node
from dlc.ir.core import Function, Node, substitute_nodes, with_inputs
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS
from dlc.ir.record import dataclass
from dlc.ir.types import TensorType, TupleType
from dlc.passes.manager import Pass, PassContext

_ELEMENTWISE = ("unary", "binary", "ternary", "compare")


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Runs nodes whose inputs are constants through the interpreter.

    limit: the most bytes of an array that is read or made for this; larger ones wait for the call.
    """

    name: ClassVar[str] = "fold_constants"
    limit: int = 1 << 16

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with constant nodes in place of foldable ones."""

        def fold(node: Node, inputs: tuple[Node, ...]) -> Node:
            kept = with_inputs(node, inputs)
            if not self._foldable(kept) or not context.allows(self.name, node.op.name, node.loc):
                return kept
            if _is_of_numbers(kept):
                return _full(_value(_on_scalars(kept))[()], kept)
            return as_constant(_value(kept), kept)

        return substitute_nodes(function, fold)

    def _foldable(self, node: Node) -> bool:
        if (
            isinstance(node.type, TupleType)
            or node.op.family in ("structural", "host")
            or not node.inputs
        ):
            return False
        if node.op.reference is None and node.op.decompose is None:
            return False
        if any(x.op.name not in ("constant", "full") for x in node.inputs):
            return False
        types = (node.tensor, *(x.tensor for x in node.inputs))
        return _is_of_numbers(node) or all(map(self._is_small, types))

    def _is_small(self, type_: TensorType) -> bool:
        size = type_.size
        if not all(isinstance(d, int) for d in type_.shape):
            return False  # of f32[0,n] too: its op may ask for n
        return isinstance(size, int) and size * type_.dtype.itemsize <= self.limit


def _is_of_numbers(node: Node) -> bool:
    """Whether each element of the result is the same function of the same numbers."""
    return node.op.family in _ELEMENTWISE and all(x.op.name == "full" for x in node.inputs)


def _on_scalars(node: Node) -> Node:
    numbers = [make_node(OPS["full"], (), {**x.attrs, "shape": ()}) for x in node.inputs]
    return make_node(node.op, numbers, dict(node.attrs))


def _value(node: Node) -> np.ndarray[Any, Any]:
    return interpret(Function("fold", (), (node,)), ())[0]


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
    python = {"b": bool, "f": float}.get(type_.dtype.kind, int)(element)
    attrs = {"value": python, "shape": type_.shape, "dtype": type_.dtype}
    return make_node(OPS["full"], (), attrs, like.loc)
