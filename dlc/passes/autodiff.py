"""Differentiation of functions.

Forward mode by the rows' jvp, reverse mode by transposing what the jvp traced.

An input in which an op is linear is transposed by the op's own rule. For any other input the op's
jvp is traced with a placeholder tangent; the traced nodes that depend on the placeholder are linear
in it and are transposed in reverse order (Frostig et al., "Decomposing reverse-mode automatic
differentiation", 2021). So each op has one derivative rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.errors import DerivativeError
from dlc.ir.op import NoDerivative, Op
from dlc.ir.types import TensorType, TupleType
from dlc.passes.decompose import expand_undifferentiable


def is_differentiable(node: Node) -> bool:
    """Whether a tangent of `node` can be other than zero."""
    if isinstance(node.type, TupleType) or not node.type.dtype.is_float:
        return False
    return not isinstance(node.op.jvp, NoDerivative)


def active_nodes(function: Function, wrt: Iterable[Node]) -> set[Node]:
    """The floats of `wrt`, and the nodes that may depend smoothly on them."""
    active = {p for p in wrt if p.tensor.dtype.is_float}
    for node in function.nodes:
        if any(x in active for x in node.inputs) and is_differentiable(node):
            active.add(node)
    return active


def _rule(op: Op) -> Callable[..., Any]:
    if not callable(op.jvp):
        raise DerivativeError(
            f"op {op.name} has no derivative",
            hint="wrap its input in dlc.stop_gradient if it is constant",
        )
    return op.jvp


def node_jvp(
    b: IRBuilder, node: Node, out: Node, inputs: Sequence[Node], tangents: Sequence[Node | None]
) -> Node | None:
    """The tangent of `node` (whose value is `out`), None when it is zero."""
    if all(t is None for t in tangents) or not is_differentiable(node):
        return None
    return _rule(node.op)(b, out, list(inputs), list(tangents), **node.attrs)


def add_tangents(b: IRBuilder, x: Node | None, y: Node | None) -> Node | None:
    """x + y where None is zero."""
    return y if x is None else x if y is None else b.add(x, y)


def _is_linear(op: Op, i: int) -> bool:
    return op.linear == "all" or i in op.linear


def input_cotangent(b: IRBuilder, node: Node, ct: Node, i: int) -> Node | None:
    """The cotangent that `node` passes to its input `i`."""
    if node.op.transpose is not None and _is_linear(node.op, i):
        return node.op.transpose(b, ct, i, node.inputs, **node.attrs)
    if node.op.vjp is not None:
        return node.op.vjp(b, node, ct, i, node.inputs, **node.attrs)
    placeholder = b.param(node.inputs[i].tensor)
    tangents = [placeholder if k == i else None for k in range(len(node.inputs))]
    start = len(b.nodes)
    tangent = _rule(node.op)(b, node, list(node.inputs), tangents, **node.attrs)
    if tangent is None:
        return None
    linear = _split_linear(b, start, placeholder)
    return transpose_nodes(b, linear, {tangent: ct}, placeholder)


def _split_linear(b: IRBuilder, start: int, placeholder: Node) -> list[Node]:
    """Takes the nodes that depend on the placeholder out of those emitted since `start`."""
    dependent = {placeholder}
    linear: list[Node] = []
    kept: list[Node] = []
    for n in b.nodes[start:]:
        if any(x in dependent for x in n.inputs):
            dependent.add(n)
            linear.append(n)
        else:
            kept.append(n)
    b.nodes[start:] = kept
    return linear


def transpose_nodes(
    b: IRBuilder, linear: Sequence[Node], cotangents: dict[Node, Node], source: Node
) -> Node | None:
    """Sends cotangents back through nodes that are linear in `source`."""
    carried = {source, *linear}
    for n in reversed(linear):
        ct = cotangents.pop(n, None)
        if ct is None:
            continue
        for i, x in enumerate(n.inputs):
            if x not in carried:
                continue
            if n.op.transpose is None or not _is_linear(n.op, i):
                raise DerivativeError(
                    f"the derivative rule used {n.op.name}, which is not linear in input {i}"
                )
            part = n.op.transpose(b, ct, i, n.inputs, **n.attrs)
            total = add_tangents(b, cotangents.get(x), part)
            assert total is not None
            cotangents[x] = total
    return cotangents.get(source)


def backward(
    b: IRBuilder, nodes: Sequence[Node], cotangents: dict[Node, Node], active: set[Node]
) -> dict[Node, Node]:
    """Sends cotangents back through `nodes` (in execution order).

    Returns those of every active value reached.
    """
    for node in reversed(nodes):
        ct = cotangents.get(node)
        if ct is None or node not in active:
            continue
        b.loc = node.loc
        for i, x in enumerate(node.inputs):
            if x not in active:
                continue
            part = input_cotangent(b, node, ct, i)
            total = add_tangents(b, cotangents.get(x), part)
            if total is not None:
                cotangents[x] = total
    return cotangents


def vjp_function(
    function: Function, wrt: Sequence[int], results: Sequence[int] | None = None
) -> Function:
    """Reverse mode.

    (params, a cotangent for each of `results`) -> (results of `function`, cotangents of params
    `wrt`).

    `results` are positions of float results, by default all float ones. A parameter that no result
    depends on gets zeros.
    """
    function = expand_undifferentiable(function, reverse=True)
    if results is None:
        results = [k for k, r in enumerate(function.results) if r.tensor.dtype.is_float]
    b = IRBuilder()
    b.nodes.extend(function.nodes)
    sources = [function.params[k] for k in wrt]
    active = active_nodes(function, sources)
    cotangents: dict[Node, Node] = {}
    extra: list[Node] = []
    for k in results:
        r = function.results[k]
        p = b.param(r.tensor, f"ct{k}")
        extra.append(p)
        total = add_tangents(b, cotangents.get(r), p)
        assert total is not None
        cotangents[r] = total
    cotangents = backward(b, function.nodes, cotangents, active)
    b.loc = None
    gradients = [cotangents[s] if s in cotangents else zeros(b, s.tensor) for s in sources]
    return Function(
        function.name + "_vjp", (*function.params, *extra), (*function.results, *gradients), b.nodes
    )


def zeros(b: IRBuilder, type_: TensorType) -> Node:
    """A tensor of zeros."""
    return b.const(0.0 if type_.dtype.is_float else 0, type_)


def jvp_function(function: Function, wrt: Sequence[int]) -> Function:
    """Forward mode.

    (params, a tangent for each of params `wrt`) -> (results, a tangent for each float result).
    """
    function = expand_undifferentiable(function)
    b = IRBuilder()
    tangents: dict[Node, Node] = {}
    extra: list[Node] = []
    for k in wrt:
        p = function.params[k]
        t = b.param(p.tensor, f"t_{p.name or k}")
        extra.append(t)
        tangents[p] = t
    for node in function.nodes:
        b.nodes.append(node)
        b.loc = node.loc
        given = [tangents.get(x) for x in node.inputs]
        tangent = node_jvp(b, node, node, node.inputs, given)
        if tangent is not None:
            tangents[node] = tangent
    b.loc = None
    floats = [r for r in function.results if r.tensor.dtype.is_float]
    outs = [tangents[r] if r in tangents else zeros(b, r.tensor) for r in floats]
    return Function(
        function.name + "_jvp", (*function.params, *extra), (*function.results, *outs), b.nodes
    )
