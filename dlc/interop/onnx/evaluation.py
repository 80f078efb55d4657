"""Computing a graph's nodes one after the other: while a program is traced, or at once.

What is known is computed at once: integers by NumPy (`known_rules`), since they are mostly shapes
and may be extents, all else by dlc. The rest is recorded by the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dlc.frontend.context import current_trace
from dlc.interop.onnx.graph import Graph, Node
from dlc.interop.onnx.known_rules import known_rule
from dlc.interop.onnx.operator_table import Row
from dlc.interop.onnx.values import NeedsValue, as_tensor, at_once, concrete, is_known
from dlc.ir.errors import DlcError, ModelError

# What NumPy and Python raise of values that no operator takes: files are not to be trusted.
_MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class NeedsRun(BaseException):
    """A node has to run between compiled programs: the shapes of its results depend on data."""

    def __init__(self, node: Node) -> None:
        super().__init__(str(node))
        self.node = node


class Scope:
    """Values by name, those of the graphs around included."""

    def __init__(self, values: dict[str, Any], outer: Scope | None = None) -> None:
        self.values = values
        self.outer = outer
        self.done: list[Node] = []

    def __getitem__(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        raise ModelError(f"the value {name!r} is not defined")

    def __contains__(self, name: str) -> bool:
        return name in self.values or (self.outer is not None and name in self.outer)


class Evaluation:
    """What nodes need besides their inputs: the scope that they are in.

    `node.attr("body")` is run by `evaluation.run(graph, inputs)`.
    """

    def __init__(self, node: Node, scope: Scope) -> None:
        self.node, self.scope = node, scope

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    def run(self, graph: Graph, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of a graph in an attribute, for its inputs."""
        given = dict(zip(graph.inputs, inputs, strict=False))
        try:
            return evaluate(graph, given, self.scope)
        except NeedsValue as need:
            if need.name in self.scope:
                raise
            # It is computed inside: only this node as a whole can know it, by running.
            raise NeedsRun(self.node) from None
        except NeedsRun as need:
            if need.node is self.node:
                raise
            raise NeedsRun(self.node) from None

    def needs(self, k: int) -> NeedsValue:
        """The exception that says that input k has to be known."""
        return NeedsValue(self.node.inputs[k])

    def needs_run(self) -> NeedsRun:
        """The exception that says that this node has to run between compiled programs."""
        return NeedsRun(self.node)


def evaluate(graph: Graph, given: dict[str, Any], outer: Scope | None = None) -> list[Any]:
    """The outputs of a graph.

    Args:
        graph: The graph.
        given: Its inputs by name; those that are missing have a value in the graph.
        outer: The values around it.
    """
    scope = Scope({**graph.values, **given}, outer)
    run_nodes(graph.nodes, scope)
    return [scope[name] for name in graph.outputs]


def run_nodes(nodes: Iterable[Node], scope: Scope) -> None:
    """Computes nodes in order, and binds their results."""
    for node in nodes:
        inputs = [scope[name] if name else None for name in node.inputs]
        results = compute(node, inputs, scope)
        for name, value in zip(node.outputs, results, strict=False):
            if name:
                scope.values[name] = value
        scope.done.append(node)


def compute(node: Node, inputs: Sequence[Any], scope: Scope) -> Sequence[Any]:
    """The results of one node.

    Raises:
        DlcError: What the operator raises, with the node named.
        ModelError: An input lacks, or the operator has no meaning for these inputs and attributes.
        NeedsValue: A traced value has to be known.
        NeedsRun: The node cannot be traced.
    """
    try:
        return _compute(node, inputs, scope)
    except DlcError as error:
        if error.context is None:
            error.context = f"in {node}"
        raise
    except _MALFORMED as error:
        found = ModelError(
            f"{node.op} has no meaning for these inputs and attributes: "
            f"{type(error).__name__}: {error}",
            hint="onnx.checker.check_model(model, full_check=True) finds what is malformed",
        )
        found.context = f"in {node}"
        raise found from error


def _compute(node: Node, inputs: Sequence[Any], scope: Scope) -> Sequence[Any]:
    if node.row is None:
        assert node.body is not None
        given = dict(zip(node.body.inputs, inputs, strict=False))
        missing = {name: None for name in node.body.inputs if name not in given}
        return _in_function(node, lambda body: evaluate(body, {**given, **missing}))
    lacking = node.row.lacking(len(inputs))
    if lacking is not None:
        raise ModelError(f"{node.op} lacks its input {lacking!r}")
    everything_known = all(is_known(v) for v in inputs)
    if everything_known and inputs:
        rule = known_rule(node, inputs)
        if rule is not None:
            return rule
    tracing = current_trace() is not None
    if node.row.at_once and tracing:
        if not everything_known:
            raise NeedsRun(node)
        return _at_once(node, node.row, inputs, scope)
    has_graph = len(node.uses) > len([name for name in node.inputs if name])
    foldable = everything_known and not node.row.random and not has_graph
    if tracing and foldable and not any(_has_extents(v) for v in inputs):
        return _at_once(node, node.row, inputs, scope)
    return _listed(_call(node, node.row, inputs, scope))


def _in_function(node: Node, run: Callable[[Graph], Sequence[Any]]) -> Sequence[Any]:
    """Runs the body of a function: needs inside of it are needs of the node's inputs."""
    assert node.body is not None
    try:
        return run(node.body)
    except NeedsValue as need:
        if need.name in node.body.inputs:
            raise NeedsValue(node.inputs[node.body.inputs.index(need.name)]) from None
        raise NeedsRun(node) from None
    except NeedsRun:
        raise NeedsRun(node) from None


def _has_extents(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "O"


def _at_once(node: Node, row: Row, inputs: Sequence[Any], scope: Scope) -> list[Any]:
    with at_once():
        return [concrete(v) for v in _listed(_call(node, row, inputs, scope))]


def _call(node: Node, row: Row, inputs: Sequence[Any], scope: Scope) -> Any:
    args: list[Any] = []
    for k, value in enumerate(inputs):
        if k in row.known and value is not None:
            if not is_known(value) and current_trace() is not None:
                raise NeedsValue(node.inputs[k])
            args.append(concrete(value))
        else:
            args.append(value if row.raw else as_tensor(value))
    return row.function(Evaluation(node, scope), *args)


def _listed(results: Any) -> list[Any]:
    """The outputs: a tuple is several, anything else one."""
    return list(results) if isinstance(results, tuple) else [results]
