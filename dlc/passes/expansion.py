"""Puts what composite ops stand for in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, with_inputs
from dlc.ir.op import Op


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
