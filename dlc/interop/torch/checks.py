"""What a graph of PyTorch's must be made of: operators and values that dlc has."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dlc.interop.torch.arrays import dtype_of
from dlc.interop.torch.table import find
from dlc.ir.errors import DeviceError, DlcError, DTypeError, ModelError
from dlc.ir.location import SourceLocation

if TYPE_CHECKING:
    from torch.fx import Node

PYTHON_OPERATORS = frozenset({
    operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod, operator.neg,
    operator.truediv,
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
})  # fmt: skip
"""What graphs call for numbers."""

_OF_EXTENTS = ("sym_float", "sym_max", "sym_min")  # functions with rows for open extents

_FRAME = re.compile(r'File "(.+?)", line (\d+), in (\S+)')


def operator_name(node: Node) -> str:
    """The name of a node's operator, such as `add.Tensor`."""
    target = _target(node)
    name = str(getattr(target, "__name__", target))
    return name if "." in name else f"{name}.default"


def is_ordered(node: Node) -> bool:
    """Whether a node calls another operator, with a token that orders those with effects."""
    return getattr(node.target, "__name__", "") == "with_effects"


def _target(node: Node) -> Any:
    """The operator that a node calls."""
    return node.args[1] if is_ordered(node) else node.target


def takes_numbers(node: Node) -> bool:
    """Whether a node calls a function of Python's that open extents have none for."""
    value = node.meta.get("val")
    if not isinstance(value, (int, float)) and not hasattr(getattr(value, "node", None), "expr"):
        return False
    if node.target in PYTHON_OPERATORS or node.target is operator.getitem:
        return False
    return (
        not hasattr(node.target, "_schema")
        and getattr(node.target, "__name__", "") not in _OF_EXTENTS
    )


def is_known(node: Node) -> bool:
    """Whether dlc has a row for what a node calls, and its values."""
    if node.op != "call_function":
        return node.op in ("placeholder", "output", "get_attr")
    nodes = [*_inner(node), node]
    return all(map(_has_row, nodes)) and not any(map(_complaint, (*nodes, *node.all_input_nodes)))


def calls_graphs(node: Node) -> bool:
    """Whether a node is of control flow: it calls graphs."""
    return any(map(_graph_of, node.all_input_nodes))


def _graph_of(node: Node) -> Any:
    """The graph that a node stands for; None for other nodes."""
    if node.op != "get_attr":
        return None
    return getattr(getattr(node.graph.owning_module, str(node.target), None), "graph", None)


def _inner(node: Node) -> Iterator[Node]:
    """The nodes of the graphs that a node calls."""
    for graph in filter(None, map(_graph_of, node.all_input_nodes)):
        for inner in graph.nodes:
            yield inner
            yield from _inner(inner)


def _has_row(node: Node) -> bool:
    if node.op != "call_function":
        return True
    if node.target is operator.getitem or node.target in PYTHON_OPERATORS or takes_numbers(node):
        return True
    namespace = str(getattr(_target(node), "namespace", "aten"))
    return namespace in ("aten", "prims", "higher_order") and find(operator_name(node)) is not None


def check_known(nodes: Iterable[Node], hint: str) -> None:
    """Refuses nodes that cannot be compiled.

    Raises:
        ModelError: There are operators that dlc does not know; all are listed, each with the
            user's line where it is first used.
        DeviceError: A tensor is not in the memory of the host.
        DTypeError: A tensor has elements of a type that dlc has not.
    """
    nodes = [inner for node in nodes for inner in (*_inner(node), node)]
    missing: dict[str, Node] = {}
    for node in nodes:
        if not _has_row(node):
            missing.setdefault(str(_target(node)), node)
    if missing:
        places = {name: location_of(missing[name]) for name in sorted(missing)}
        noun = "operator" if len(missing) == 1 else "operators"
        error = ModelError(
            f"dlc does not know {len(missing)} {noun}: {', '.join(places)}",
            hint=hint,
            location=next(filter(None, places.values()), None),
        )
        if len(places) > 1:
            error.context = "\n  ".join(f"{n}: {p}" for n, p in places.items() if p is not None)
        raise error
    for node in nodes:
        error = _complaint(node)
        if error is not None:
            error.context = f"in {node.format_node()}"
            users = [n for n in (node, *node.users) if location_of(n) is not None]
            error.location = location_of(users[0]) if users else error.location
            raise error


def _complaint(node: Node) -> DlcError | None:
    """What is wrong with the values of a node."""
    for value in _tensors(node.meta.get("val")):
        if value.device.type != "cpu":
            return DeviceError(
                f"a tensor lies on {value.device}: the backend computes in the host's memory",
                hint="move it, and the model, with .to('cpu')",
            )
        try:
            dtype_of(value.dtype)
        except DTypeError as error:
            return error
    return None


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for v in value:
            yield from _tensors(v)
    elif hasattr(value, "dtype") and hasattr(value, "device"):
        yield value


def location_of(node: Node) -> SourceLocation | None:
    """The user's line that a node comes from; None where PyTorch does not say it."""
    import torch

    torch_folder = os.path.join(os.path.dirname(torch.__file__), "")
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    for file, line, function in reversed(frames):
        if not file.startswith(torch_folder):
            return SourceLocation(file, int(line), function)
    return None
