"""Common subexpression elimination."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

import numpy as np

from dlc.ir.core import Function, Node, has_effect, with_inputs
from dlc.ir.equal import structural_hash
from dlc.ir.patterns import COMMUTATIVE
from dlc.ir.record import dataclass
from dlc.passes.manager import Pass, PassContext


@dataclass(frozen=True)
class Cse(Pass):
    """Replaces a node by an earlier one of the same op, inputs and attributes.

    What has effects stays as it is. A few ops read their inputs in either order.
    """

    name: ClassVar[str] = "cse"

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with equal nodes made one."""
        first: dict[Hashable, Node] = {}
        new: dict[Node, Node] = {p: p for p in function.params}
        nodes: list[Node] = []
        for node in function.nodes:
            inputs = tuple(new[x] for x in node.inputs)
            key = (node.op.name, _inputs_key(node, inputs), _attrs_key(node))
            found = first.get(key)
            if has_effect(node):
                found = None
            if found is None or not context.allows(self.name, node.op.name, node.loc):
                found = first[key] = with_inputs(node, inputs)
                nodes.append(found)
            new[node] = found
        if len(nodes) == len(function.nodes):
            return function
        return function.with_results((new[r] for r in function.results), nodes)


def _inputs_key(node: Node, inputs: tuple[Node, ...]) -> Hashable:
    ids = [id(x) for x in inputs]
    if node.op.name in COMMUTATIVE and ids[0] > ids[1]:
        ids[0], ids[1] = ids[1], ids[0]
    return tuple(ids)


def _attrs_key(node: Node) -> Hashable:
    return tuple((name, value_key(value)) for name, value in node.attrs.items())


_EXACT = (int, bool, str)  # whose values, of one type, are the same where they are equal


def value_key(value: Any) -> Hashable:
    """A key that two attributes share only if they are the same: 1 and True are not."""
    kind = type(value)
    if kind in _EXACT:
        return kind, value
    if isinstance(value, tuple):
        return tuple([value_key(v) for v in value])
    if isinstance(value, np.ndarray):
        return value.dtype.name, value.shape, value.tobytes()
    if isinstance(value, Function):
        return structural_hash(value)
    if isinstance(value, (int, float)):
        return kind, repr(value)
    return value if isinstance(value, Hashable) else id(value)
