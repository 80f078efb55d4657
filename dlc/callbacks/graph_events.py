"""The operations of a model as TensorBoard's graph: nodes named by the modules they are from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import dlc
from dlc.frontend.context import outermost_trace
from dlc.frontend.lowered import Lowered
from dlc.frontend.watched import watched
from dlc.ir.core import Function, Node
from dlc.ir.packages import needed
from dlc.ir.types import TupleType


def _part(name: str) -> Any:
    return needed(f"tensorboardX.proto.{name}", "the graph for TensorBoard", "train")


def graph_of(model: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """The traced operations of a model on inputs, as a GraphDef."""
    scopes: dict[int, str] = {}
    closure = _lowered(model, inputs, scopes).closure
    names: dict[int, str] = {}
    params = closure.function.params
    first = closure.arguments + len(closure.captures)
    paths = _parameter_paths(model)
    for variable, node in zip(closure.variables, params[first:], strict=False):
        names[id(node)] = paths.get(id(variable)) or variable.name or "variable"
    return _graph(closure.function, scopes, names)


def _root(model: Any) -> str:
    return type(model).__name__


def _parameter_paths(model: Any) -> dict[int, str]:
    """The names of a module's variables, as paths of scopes."""
    if not hasattr(model, "named_modules"):
        return {}
    found = [*model.named_parameters(), *model.named_buffers()]
    return {id(v): f"{_root(model)}/{n.replace('.', '/')}" for n, v in found}


def _lowered(model: Any, inputs: Sequence[Any], scopes: dict[int, str]) -> Lowered:
    """A traced model; `scopes` gets the path of the innermost module for each operation."""
    compiled: Any = dlc.compile(model)
    if not hasattr(model, "named_modules"):
        return compiled.lower(*inputs)
    begun: list[int] = []

    def nodes() -> Sequence[Node]:
        trace = outermost_trace()
        return () if trace is None else trace.builder.nodes

    def before(_path: str, _module: Any) -> None:
        begun.append(len(nodes()))

    def after(path: str, _module: Any, _result: Any) -> None:
        scope = "/".join([_root(model), *(path.split(".") if path else ())])
        for node in nodes()[begun.pop() :]:
            scopes.setdefault(id(node), scope)

    with watched(model, after, before):
        return compiled.lower(*inputs)


def _graph(function: Function, scopes: dict[int, str], names: dict[int, str]) -> Any:
    graph, counts = _part("graph_pb2").GraphDef(), Counter[str]()
    graph.versions.producer = 22
    made: dict[Node, str] = {}
    for node in (*function.params, *function.nodes):
        is_param = node.op.name == "param"
        if is_param:
            path = names.get(id(node)) or f"input/{node.name or 'x'}"
        else:
            path = "/".join(filter(None, (scopes.get(id(node), ""), node.op.name)))
        counts[path] += 1
        made[node] = path if counts[path] == 1 else f"{path}_{counts[path] - 1}"
        kind = ("Variable" if id(node) in names else "Placeholder") if is_param else node.op.name
        _add_node(graph, made[node], kind, [made[x] for x in node.inputs], node)
    for k, result in enumerate(function.results):
        _add_node(graph, f"output/{k}", "Identity", [made[result]], result)
    return graph


def _add_node(graph: Any, name: str, kind: str, inputs: Sequence[str], node: Node) -> None:
    entry = graph.node.add(name=name, op=kind, input=inputs)
    types = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    shapes = entry.attr["_output_shapes"].list
    for t in types:
        shape = shapes.shape.add()
        for extent in t.shape:
            shape.dim.add(size=extent if isinstance(extent, int) else -1)
    entry.attr["dtype"].s = ", ".join(str(t.dtype) for t in types).encode()
    if kind != "Identity":
        for key, value in node.attrs.items():
            if value is not None and not isinstance(value, (Function, tuple)):
                entry.attr[key].s = str(value).encode()[:200]
    if node.loc is not None:
        entry.attr["source"].s = str(node.loc).encode()
