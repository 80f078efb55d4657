"""What the nodes of PyTorch's graphs compute, one after the other, over dlc's tensors."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

import dlc
from dlc.frontend.extent import known_extent, plain
from dlc.interop.torch.arrays import array_of, dtype_of
from dlc.interop.torch.checks import (
    PYTHON_OPERATORS,
    is_ordered,
    location_of,
    operator_name,
    takes_numbers,
)
from dlc.interop.torch.extents import expression_of, symbols_among, value_of
from dlc.interop.torch.failures import raises, results_used
from dlc.interop.torch.table import find, needs_of
from dlc.interop.torch.versions import factors_are_transposed
from dlc.ir.errors import DlcError, ModelError

if TYPE_CHECKING:
    from torch.fx import Node

# Keywords that say nothing that the result's description does not say.
_ELSEWHERE = ("dtype", "layout", "device", "pin_memory", "memory_format", "generator")

_WRITES_OF_PARTS = ("as_strided_scatter", "diagonal_scatter", "select_scatter", "slice_scatter")


def draws(nodes: Sequence[Node]) -> list[Node]:
    """The nodes that draw random numbers."""
    return [n for n in nodes if n.op == "call_function" and "key" in needs_of(operator_name(n))]


def places_read(nodes: Sequence[Node]) -> list[Any]:
    """Strides and offsets in memory that nodes read, as PyTorch has them."""
    found: list[Any] = []
    for node in nodes:
        needs = needs_of(operator_name(node)) if node.op == "call_function" else ()
        if "number" in needs:
            found.append(node.meta["val"])
        if "layout" in needs:
            found += places_of(lies_as(node.args[0]).meta["val"])
    return found


def lies_as(node: Any) -> Node:
    """The node whose value has the strides and the offset of a node's.

    Writes to a part leave these as they are; what PyTorch describes is without the offset.
    """
    written = node.op == "call_function" and operator_name(node).split(".")[0] in _WRITES_OF_PARTS
    return lies_as(node.args[0]) if written else node


def memory_of(tensor: Any) -> Any:
    """What stands for the memory that a tensor of PyTorch's shares with its views."""
    return tensor.untyped_storage()._cdata


def places_of(tensor: Any) -> list[Any]:
    """The strides of a tensor of PyTorch's, and its offset in memory, at the end."""
    return [*tensor.stride(), tensor.storage_offset()]


def run_nodes(
    nodes: Sequence[Node],
    values: dict[Any, Any],
    key: Any,
    places: Mapping[Any, Any] = MappingProxyType({}),
) -> None:
    """Computes what nodes call from the values of other nodes, and adds the results to these.

    Args:
        nodes: The nodes, in order.
        values: The values of those that are there.
        key: A random key, where nodes draw random numbers.
        places: The values of symbols that only strides and offsets in memory have, and by what
            the offsets in a memory differ from those that PyTorch has.
    """
    drawing = {n: k for k, n in enumerate(draws(nodes))}
    symbols = symbols_of(values, places)
    for node in nodes:
        if node.op == "call_function":
            # Each operator has numbers of its own.
            own = dlc.random.fold_in(key, drawing[node]) if node in drawing else None
            values[node] = _call(node, values, own, symbols)


def _call(node: Node, values: dict[Any, Any], key: Any, symbols: Mapping[Any, Any]) -> Any:
    args, kwargs = (filled(x, values) for x in (node.args, node.kwargs))
    if node.target is operator.getitem:
        return args[0][args[1]]
    if node.target in PYTHON_OPERATORS:
        function: Any = node.target
        return function(*args, **kwargs)
    if takes_numbers(node):
        _close(node, symbols)
        function = node.target
        return function(*args, **kwargs)
    row = find(operator_name(node))
    assert row is not None
    if is_ordered(node):
        return args[0], row(*args[2:], **kwargs)
    for name in _ELSEWHERE:
        kwargs.pop(name, None)
    for name in needs_of(operator_name(node)):
        kwargs[name] = key if name == "key" else _NEEDED[name](node, symbols)
    try:
        return _typed(row(*args, **kwargs), node.meta.get("val"))
    except DlcError as error:
        _close(node, symbols)
        if error.context is None:
            error.context = f"in {node.format_node()}"
            error.location = location_of(node) or error.location
        raise


def _close(node: Node, symbols: Mapping[Any, Any]) -> None:
    """Asks for the extents that a node needs as numbers, which are then constants of the program.

    They are those in all its arguments where it calls a function of Python's, else those in floats.
    """
    for argument in node.all_input_nodes:
        expression = expression_of(argument.meta.get("val"))
        if expression is not None and (takes_numbers(node) or not _is_whole(expression)):
            for symbol in expression.free_symbols & symbols.keys():
                known_extent(plain(symbols[symbol]))


def _is_whole(expression: Any) -> bool:
    return expression.is_Boolean or bool(expression.is_integer)


def _first_dtype(node: Node, _symbols: Mapping[Any, Any]) -> Any:
    """The element type of the first result."""
    value = node.meta["val"]
    return dtype_of((value[0] if isinstance(value, (list, tuple)) else value).dtype)


def _common_dtype(node: Node, _symbols: Mapping[Any, Any]) -> Any:
    """The element type that PyTorch converts the first two arguments to."""
    import torch

    given = [getattr(x, "meta", {}).get("val", x) for x in node.args[:2]]
    return dtype_of(torch.result_type(*given))


def layout_of(node: Node, symbols: Mapping[Any, Any]) -> tuple[tuple[Any, ...], Any]:
    """The strides and the offset in memory of the first argument."""
    like = lies_as(node.args[0]).meta["val"]
    # Not PyTorch's own numbers: where these are compared, it takes the values of its trace.
    *strides, offset = (_place(n, symbols) for n in places_of(like))
    return tuple(strides), offset + symbols.get(memory_of(like), 0)


def _number(node: Node, symbols: Mapping[Any, Any]) -> Any:
    """The stride, or the offset in memory, that a node stands for."""
    return _place(node.meta["val"], symbols)


def _place(number: Any, symbols: Mapping[Any, Any]) -> Any:
    """A number that PyTorch may have left open, by the values of its symbols."""
    value = value_of(number, symbols)
    if value is None:
        raise ModelError(
            f"a place in memory by {number}, which depends on more than the inputs",
            hint="x.contiguous()",
        )
    return value


def symbols_of(values: Mapping[Node, Any], places: Mapping[Any, Any]) -> dict[Any, Any]:
    """The values of PyTorch's symbols.

    Args:
        values: Those of a graph's inputs, among others.
        places: Those of others.
    """
    return {**places, **symbols_among(shapes_of(values))}


def shapes_of(values: Mapping[Node, Any]) -> list[tuple[Any, Any]]:
    """Shapes of a graph's inputs as PyTorch has them, and as they are; numbers are extents too."""
    return [
        (n.meta["val"].shape, x.shape) if is_tensor(n) else ((n.meta.get("val"),), (x,))
        for n, x in values.items()
        if n.op == "placeholder" and x is not None  # a token has no shape
    ]


def _shape_of(node: Node, symbols: Mapping[Any, Any]) -> Any:
    """The shape of a node's result, or of each; None where one depends on more than these."""
    results = node.meta["val"]
    if not isinstance(results, (list, tuple)):
        shape = tuple(value_of(d, symbols) for d in results.shape)
        return None if any(d is None for d in shape) else shape
    shapes = [tuple(value_of(d, symbols) for d in r.shape) for r in results]
    return None if any(d is None for s in shapes for d in s) else shapes


def _results(node: Node, _symbols: Mapping[Any, Any]) -> Any:
    """What the tracer says about the results."""
    return node.meta["val"]


_NEEDED = {
    "common": _common_dtype, "dtype": _first_dtype, "layout": layout_of, "number": _number,
    "results": _results, "shape": _shape_of,
    "strict": lambda node, _symbols: raises(node),
    "used": lambda node, _symbols: results_used(node),
    "transposed": lambda node, _symbols: factors_are_transposed(node),
}  # fmt: skip


def constants_of(module: Any, nodes: Sequence[Node]) -> dict[Node, Any]:
    """What a graph holds: tensors, and graphs that operators of control flow call."""
    from torch.utils._python_dispatch import _disable_current_modes

    held = {n: getattr(module, str(n.target)) for n in nodes if n.op == "get_attr"}
    with _disable_current_modes():  # the tracer's mode has no data
        return {n: Subgraph(x) if hasattr(x, "graph") else array_of(x) for n, x in held.items()}


class Subgraph:
    """A graph that an operator of control flow calls, as a function over dlc's tensors.

    Args:
        module: The graph.
    """

    def __init__(self, module: Any) -> None:
        self.nodes = list(module.graph.nodes)
        self.inputs = [n for n in self.nodes if n.op == "placeholder"]
        self.constants = constants_of(module, self.nodes)
        self.output: Any = self.nodes[-1].args[0]

    def __call__(self, *args: Any) -> Any:
        """What the graph makes of values for its inputs."""
        values = self.constants | dict(zip(self.inputs, args, strict=True))
        run_nodes(self.nodes, values, None)
        return filled(self.output, values)


def is_node(value: Any) -> bool:
    """Whether a value among the arguments or results of a graph is a node of it."""
    return hasattr(value, "all_input_nodes")


def is_tensor(node: Any) -> bool:
    """Whether what a node stands for is a tensor."""
    value = getattr(node, "meta", {}).get("val")
    return hasattr(value, "dtype") and hasattr(value, "shape")


def filled(x: Any, values: Mapping[Any, Any]) -> Any:
    """Arguments with values in the place of nodes."""
    if isinstance(x, (list, tuple)):
        return [filled(v, values) for v in x]
    if isinstance(x, dict):
        return {k: filled(v, values) for k, v in x.items()}
    try:
        found = values.get(x)
    except TypeError:
        return x
    if found is None:
        return x
    return dlc.asarray(found) if isinstance(found, np.ndarray) else found


def _typed(value: Any, like: Any) -> Any:
    """Results with the element types that PyTorch says they have."""
    if isinstance(value, (list, tuple)):
        likes: Sequence[Any] = like if isinstance(like, (list, tuple)) else [None] * len(value)
        return [_typed(v, k) for v, k in zip(value, likes, strict=False)]
    if not isinstance(value, dlc.Tensor) or not hasattr(like, "dtype"):
        return value
    wanted = dtype_of(like.dtype)
    return value if value.dtype == wanted else _converted(value, wanted)


def _converted(value: Any, wanted: Any) -> Any:
    return value != 0 if wanted == dlc.bool else dlc.astype(value, wanted)
