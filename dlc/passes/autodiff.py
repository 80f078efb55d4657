"""Differentiation of functions.

Forward mode by the rows' jvp, reverse mode by transposing what the jvp traced.

An input in which an op is linear is transposed by the op's own rule. For any other input the op's
jvp is traced with a placeholder tangent; the traced nodes that depend on the placeholder are linear
in it and are transposed in reverse order (Frostig et al., "Decomposing reverse-mode automatic
differentiation", 2021). So each op has one derivative rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, with_inputs
from dlc.ir.deferred import deferred
from dlc.ir.dims import TRIPS
from dlc.ir.errors import DerivativeError
from dlc.ir.op import NoDerivative, Op
from dlc.ir.types import TensorType, TupleType
from dlc.passes.expansion import expand_undifferentiable

# Only of functions with products, and of those with loops or branches.
if TYPE_CHECKING:
    from dlc.passes import attention_ops, control_derivatives
else:
    attention_ops = deferred("dlc.passes.attention_ops")
    control_derivatives = deferred("dlc.passes.control_derivatives")


class _Builder(IRBuilder):
    """What derivative rules write to."""

    def jvp_of(self, function: Function, wrt: Sequence[int]) -> Function:
        """`jvp_function`."""
        return jvp_function(function, wrt)

    def vjp_of(
        self, function: Function, wrt: Sequence[int], results: Sequence[int] | None = None
    ) -> Function:
        """`vjp_function`."""
        return vjp_function(function, wrt, results)


Tangents: TypeAlias = "Sequence[Node | None]"


def _types(node: Node) -> Sequence[TensorType]:
    return node.type.items if isinstance(node.type, TupleType) else (node.type,)


def is_differentiable(node: Node) -> bool:
    """Whether a tangent of `node`, or of one of its results, can be other than zero."""
    if not any(t.dtype.is_float for t in _types(node)):
        return False
    rule = node.op.jvp
    return not isinstance(rule, NoDerivative) or rule.reason == "unknown"


def active_nodes(function: Function, wrt: Iterable[Node]) -> set[Node]:
    """The floats of `wrt`, and the nodes that may depend smoothly on them."""
    active = {p for p in wrt if p.tensor.dtype.is_float}
    parts: dict[Node, list[bool]] = {}
    for node in function.nodes:
        flags = [x in active for x in node.inputs]
        if not any(flags):
            continue
        if node.op.family == "control":
            parts[node] = control_derivatives.activity(_MODE, node, flags)
            active.add(node)
        elif node.op.name == "get" and node.inputs[0] in parts:
            if parts[node.inputs[0]][node.attrs["index"]] and node.tensor.dtype.is_float:
                active.add(node)
        elif is_differentiable(node):
            active.add(node)
    return active


class _Mode:
    """How the bodies of loops and branches are differentiated."""

    def activity(self, function: Function, active: Sequence[bool]) -> list[bool]:
        wrt = [p for p, f in zip(function.params, active, strict=True) if f]
        found = active_nodes(function, wrt)
        return [r in found for r in function.results]

    def forward(self, function: Function, wrt: Sequence[int]) -> Function:
        return jvp_function(function, wrt)

    def reverse(self, function: Function, wrt: Sequence[int], results: Sequence[int]) -> Function:
        return vjp_function(function, wrt, results)


_MODE = _Mode()


def _rule(op: Op) -> Callable[..., Any]:
    if not callable(op.jvp):
        raise DerivativeError(
            f"op {op.name} has no derivative",
            hint="wrap its input in dlc.stop_gradient if it is constant",
        )
    return op.jvp


def node_jvp(
    b: IRBuilder, node: Node, out: Node, inputs: Sequence[Node], tangents: Sequence[Node | None]
) -> Any:
    """The tangent of `node` (whose value is `out`), None when it is zero; of several, one each."""
    if all(t is None for t in tangents) or not is_differentiable(node):
        return None
    return _rule(node.op)(b, out, list(inputs), list(tangents), **node.attrs)


def add_tangents(b: IRBuilder, x: Node | None, y: Node | None) -> Node | None:
    """x + y where None is zero."""
    if x is None or y is None:
        return y if x is None else x
    return control_derivatives.add_rows(b, x, y) if TRIPS in x.tensor.shape else b.add(x, y)


def _is_linear(op: Op, i: int) -> bool:
    return op.linear == "all" or i in op.linear


def input_cotangent(b: IRBuilder, node: Node, ct: Any, i: int) -> Node | None:
    """The cotangent that `node` passes to its input `i`; `ct` is a list for several results."""
    if node.op.transpose is not None and _is_linear(node.op, i):
        return node.op.transpose(b, ct, i, node.inputs, **node.attrs)
    if node.op.vjp is not None:
        return node.op.vjp(b, node, ct, i, node.inputs, **node.attrs)
    placeholder = b.param(node.inputs[i].tensor)
    tangents = [placeholder if k == i else None for k in range(len(node.inputs))]
    start = len(b.nodes)
    found = _rule(node.op)(b, node, list(node.inputs), tangents, **node.attrs)
    linear = _split_linear(b, start, placeholder)
    given: dict[Node, Node] = {}
    for tangent, part in zip(*_listed(found, ct), strict=True):
        total = None if tangent is None else add_tangents(b, given.get(tangent), part)
        if tangent is not None and total is not None:
            given[tangent] = total
    return transpose_nodes(b, linear, given, placeholder) if given else None


def _listed(found: Any, ct: Any) -> tuple[Tangents, Tangents]:
    """The tangents and the cotangents of a node's results as lists."""
    return ([found], [ct]) if isinstance(ct, Node) else (found or [None] * len(ct), ct)


def input_cotangents(b: IRBuilder, node: Node, ct: Any, wanted: Sequence[bool]) -> Tangents:
    """What `node` passes to each of its inputs that are wanted."""
    if node.op.vjp_all is not None:
        return node.op.vjp_all(b, node, ct, wanted, node.inputs, **node.attrs)
    return [input_cotangent(b, node, ct, i) if w else None for i, w in enumerate(wanted)]


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


class _Backward:
    """Reverse mode for one function.

    Args:
        b: Gets all nodes, those that run forward first.
        function: What is differentiated.
        sources: The parameters that cotangents are asked for.
        results: The results that have some.
    """

    def __init__(
        self, b: IRBuilder, function: Function, sources: Sequence[Node], results: Sequence[Node]
    ) -> None:
        self.b, self.function = b, function
        self.active = active_nodes(function, sources)
        self.reached = _reached(function, self.active, results)
        self.new: dict[Node, Node] = {p: p for p in function.params}
        self.cotangents: dict[Node, Node] = {}  # by nodes of the function
        # Of the results of ops that have several.
        self.parts: dict[Node, list[Node | None]] = {}
        # For loops and branches, what sends cotangents back.
        self.pulls: dict[Node, control_derivatives.Back] = {}

    def run_forward(self) -> None:
        """Appends the function, with loops that keep what their derivatives read."""
        values: dict[Node, list[Node]] = {}
        for node in self.function.nodes:
            if node.op.name == "get" and node.inputs[0] in values:
                self.new[node] = values[node.inputs[0]][node.attrs["index"]]
                continue
            kept = with_inputs(node, tuple(self.new[x] for x in node.inputs))
            wanted = self.reached.get(node)
            if wanted is None or not any(wanted):
                self.new[node] = kept
                self.b.nodes.append(kept)
                continue
            flags = [x in self.active for x in node.inputs]
            values[node], self.pulls[node] = control_derivatives.reverse(
                _MODE, self.b, kept, flags, wanted
            )

    def give(self, node: Node, ct: Node) -> None:
        """Adds to the cotangent of a value."""
        self.cotangents[node] = self._sum(self.cotangents.get(node), ct)

    def _sum(self, x: Node | None, y: Node) -> Node:
        total = add_tangents(self.b, x, y)
        assert total is not None
        return total

    def run_backward(self) -> None:
        """Sends cotangents back through all nodes."""
        for node in reversed(self.function.nodes):
            if node not in self.active:
                continue
            self.b.loc = node.loc
            several = isinstance(node.type, TupleType)
            ct = self.parts.get(node) if several else self.cotangents.get(node)
            if ct is None:
                continue
            if node in self.pulls:
                assert isinstance(ct, list)
                self._pass_on(node, self.pulls[node](self.b, ct))
            elif node.op.name == "get":
                assert isinstance(ct, Node)
                whole, k = node.inputs[0], node.attrs["index"]
                given = self.parts.setdefault(whole, [None] * len(_types(whole)))
                given[k] = self._sum(given[k], ct)
            else:
                wanted = [x in self.active for x in node.inputs]
                self._pass_on(node, input_cotangents(self.b, self.new[node], ct, wanted))

    def _pass_on(self, node: Node, parts: Sequence[Node | None]) -> None:
        for x, part in zip(node.inputs, parts, strict=True):
            if part is not None and x in self.active:
                self.give(x, part)


def _reached(
    function: Function, active: set[Node], results: Sequence[Node]
) -> dict[Node, list[bool]]:
    """For each loop and branches that `results` depend on, which of its results they read."""
    marked = {r for r in results if r in active}
    found: dict[Node, list[bool]] = {}
    for node in reversed(function.nodes):
        if node not in active:
            continue
        if node.op.name == "get" and node.inputs[0].op.family == "control":
            if node in marked:
                whole = node.inputs[0]
                assert isinstance(whole.type, TupleType)
                flags = found.setdefault(whole, [False] * len(whole.type.items))
                flags[node.attrs["index"]] = True
        elif node in marked or node in found:
            marked.update(x for x in node.inputs if x in active)
    return found


def vjp_function(
    function: Function, wrt: Sequence[int], results: Sequence[int] | None = None
) -> Function:
    """Reverse mode.

    (params, a cotangent for each of `results`) -> (results of `function`, cotangents of params
    `wrt`).

    `results` are positions of float results, by default all float ones. A parameter that no result
    depends on gets zeros.
    """
    if any(n.op.name == "dot_general" for n in function.nodes):
        # Derivatives of scores would read them: attention is found before there are any.
        function = attention_ops.with_attention(function)
    function = expand_undifferentiable(function, reverse=True)
    if results is None:
        results = [k for k, r in enumerate(function.results) if r.tensor.dtype.is_float]
    b = _Builder()
    sources = [function.params[k] for k in wrt]
    work = _Backward(b, function, sources, [function.results[k] for k in results])
    work.run_forward()
    extra: list[Node] = []
    for k in results:
        r = function.results[k]
        p = b.param(r.tensor, f"ct{k}")
        extra.append(p)
        work.give(r, p)
    work.run_backward()
    b.loc = None
    found = work.cotangents
    gradients = [found[s] if s in found else b.zeros(s.tensor) for s in sources]
    outputs = (work.new[r] for r in function.results)
    return Function(
        function.name + "_vjp", (*function.params, *extra), (*outputs, *gradients), b.nodes
    )


def jvp_function(function: Function, wrt: Sequence[int]) -> Function:
    """Forward mode.

    (params, a tangent for each of params `wrt`) -> (results, a tangent for each float result).
    """
    function = expand_undifferentiable(function)
    b = _Builder()
    tangents: dict[Node, Node] = {}
    extra: list[Node] = []
    for k in wrt:
        p = function.params[k]
        t = b.param(p.tensor, f"t_{p.name or k}")
        extra.append(t)
        tangents[p] = t
    new: dict[Node, Node] = {p: p for p in function.params}
    parts: dict[Node, tuple[list[Node], list[Node | None]]] = {}
    several: dict[Node, Tangents] = {}  # of the results of other ops that have more than one
    for node in function.nodes:
        b.loc = node.loc
        if node.op.name == "get" and node.inputs[0] in parts:
            values, slopes = parts[node.inputs[0]]
            new[node], tangent = values[node.attrs["index"]], slopes[node.attrs["index"]]
        else:
            given = [tangents.get(x) for x in node.inputs]
            kept = with_inputs(node, tuple(new[x] for x in node.inputs))
            if node.op.family == "control" and any(t is not None for t in given):
                parts[node] = control_derivatives.forward(_MODE, b, kept, given)
                continue
            b.nodes.append(kept)
            new[node] = kept
            if node.op.name == "get" and node.inputs[0] in several:
                tangent = several[node.inputs[0]][node.attrs["index"]]
            else:
                tangent = node_jvp(b, kept, kept, kept.inputs, given)
        if isinstance(node.type, TupleType):
            several[node] = [None] * len(node.type.items) if tangent is None else tangent
        elif tangent is not None:
            tangents[node] = tangent
    b.loc = None
    floats = [r for r in function.results if r.tensor.dtype.is_float]
    outs = [tangents[r] if r in tangents else b.zeros(r.tensor) for r in floats]
    results = (new[r] for r in function.results)
    return Function(function.name + "_jvp", (*function.params, *extra), (*results, *outs), b.nodes)
