"""Replaces nodes of a function by what a pass makes of them, and leaves the others as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, with_inputs
from dlc.passes.manager import PassContext

Make = Callable[[IRBuilder, Node], Node]


def replaced(
    function: Function, found: Mapping[Node, Make], name: str, context: PassContext
) -> Function:
    """`function` with nodes replaced, where the context allows it.

    Args:
        function: The function.
        found: What makes the replacement of a node, given the node with its new inputs.
        name: Of the pass.
        context: That the pass runs in.
    """
    if not found:
        return function
    b = IRBuilder()
    new: dict[Node, Node] = {p: p for p in function.params}
    for node in function.nodes:
        kept = with_inputs(node, tuple(new[x] for x in node.inputs))
        make = found.get(node)
        if make is not None and context.allows(name, node.op.name, node.loc):
            b.loc = node.loc
            new[node] = make(b, kept)
        else:
            new[node] = kept
            b.nodes.append(kept)
    return Function(function.name, function.params, [new[r] for r in function.results], b.nodes)
