"""Places out of range, in what reads or writes by index: PyTorch's error, where dlc has none.

In compiled programs dlc reads the nearest element, and leaves out what is written elsewhere.
Through PyTorch's door a program says whether any place was out of range: then its error follows.
Places in memory, which `as_strided` has, may be outside of a tensor and yet be PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dlc
from dlc.interop.torch.checks import location_of, operator_name
from dlc.interop.torch.extents import expression_of
from dlc.interop.torch.operators.places import reach
from dlc.interop.torch.running import filled, layout_of, lies_as, memory_of, places_of
from dlc.ir.errors import ModelError

if TYPE_CHECKING:
    from torch.fx import Node

_ALONG = (
    "gather.default", "index_add.default", "index_reduce.default", "index_select.default",
    "scatter.reduce", "scatter.src", "scatter.value", "scatter.value_reduce",
    "scatter_add.default", "scatter_reduce.two",
)  # fmt: skip
_FLAT = ("put.default", "take.default")
_ROWS = ("_embedding_bag.default", "_embedding_bag_forward_only.default", "embedding.default")
_BY_AXIS = ("index.Tensor", "index_put.default")
# Where the shape, the strides and the offset in memory begin among the arguments.
_IN_MEMORY = {
    "as_strided.default": 1, "as_strided_copy.default": 1, "as_strided_scatter.default": 2,
}  # fmt: skip


def readers_of_places(nodes: Sequence[Node]) -> list[Node]:
    """The nodes whose operators read or write by index, and check it."""
    known = {*_ALONG, *_BY_AXIS, *_FLAT, *_ROWS}
    return [n for n in nodes if n.op == "call_function" and operator_name(n) in known]


def any_outside(nodes: Sequence[Node], values: Mapping[Any, Any]) -> Any:
    """Whether a place that one of the nodes reads or writes is out of range: a tensor.

    Args:
        nodes: What `readers_of_places` gave.
        values: The values of all nodes.
    """
    outside = dlc.zeros((), dtype=dlc.bool)
    for node in nodes:
        for places, extent, least in _places(node, values):
            outside = outside | dlc.any((places < least) | (places >= extent))
    return outside


def readers_of_memory(nodes: Sequence[Node], elsewhere: Container[Any] = ()) -> list[Node]:
    """The nodes that read or write by places in memory which are not known before a program runs.

    The operators themselves check those that are.

    Args:
        nodes: The nodes.
        elsewhere: Memory in which inputs may begin elsewhere than in the trace.
    """
    return [n for n in nodes if n.op == "call_function" and _is_open(n, elsewhere)]


def _is_open(node: Node, elsewhere: Container[Any]) -> bool:
    if operator_name(node) not in _IN_MEMORY:
        return False
    like = lies_as(node.args[0]).meta["val"]
    if begins_anywhere(node) and memory_of(like) in elsewhere:
        return True
    numbers = (*like.shape, *places_of(like), *_numbers_of(node))
    return any(hasattr(n, "meta") or expression_of(n) is not None for n in numbers)


def _numbers_of(node: Node) -> list[Any]:
    *numbers, offset = _in_memory(node)
    return [n for part in numbers for n in part] + [offset]


def sources_in_memory(nodes: Sequence[Node]) -> list[Node]:
    """The nodes whose memory others read or write from a given offset in it."""
    return [lies_as(n.args[0]) for n in nodes if n.op == "call_function" and begins_anywhere(n)]


def begins_anywhere(node: Node) -> bool:
    """Whether what an operator reads or writes begins at a given offset in memory."""
    return operator_name(node) in _IN_MEMORY and _in_memory(node)[2] is not None


def is_outside(node: Node, values: Mapping[Any, Any], symbols: Mapping[Any, Any]) -> Any:
    """Whether a place in memory is outside of the tensor: a tensor.

    Args:
        node: One of those that `readers_of_memory` gave.
        values: The values of all nodes.
        symbols: Those of PyTorch's symbols.
    """
    shape, strides, offset = filled(_in_memory(node), values)
    first, last = reach(shape, strides, offset, layout_of(node, symbols))
    count = math.prod(dlc.asarray(values[node.args[0]]).shape)
    outside = (dlc.asarray(first) < 0) | (dlc.asarray(last) >= count)
    return outside & (dlc.asarray(math.prod(shape)) > 0)


def _in_memory(node: Node) -> tuple[Any, Any, Any]:
    begin = _IN_MEMORY[operator_name(node)]
    shape, strides, *rest = node.args[begin:]
    return shape, strides, rest[0] if rest else node.kwargs.get("storage_offset")


def outside_of(node: Node) -> ModelError:
    """The error for what is outside of a tensor, and where PyTorch has elements."""
    error = ModelError(
        "as_strided reads or writes outside of the tensor",
        hint="as_strided of the whole tensor that this one is a part of",
        location=location_of(node),
    )
    error.context = f"in {node.format_node()}"
    return error


def _places(node: Node, values: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Places, the extent that they must be below, and the least that they may be."""
    name, args = operator_name(node), node.args
    shape = dlc.asarray(values[args[0]]).shape
    if name in _BY_AXIS:
        yield from _places_by_axis(shape, args[1], values)
    elif name in _FLAT:
        yield dlc.asarray(values[args[1]]), math.prod(shape), -math.prod(shape)
    elif name in _ROWS:
        yield dlc.asarray(values[args[1]]), shape[0], 0
    else:
        along: Any = args[1]
        yield dlc.asarray(values[args[2]]), shape[along] if shape else 1, 0


def _places_by_axis(
    shape: Sequence[Any], indices: Any, values: Mapping[Any, Any]
) -> Iterator[tuple[Any, Any, Any]]:
    axis = 0
    for index in indices:
        places = None if index is None else dlc.asarray(values[index])
        if places is None or places.dtype != dlc.bool:
            if places is not None:
                yield places, shape[axis], -shape[axis]
            axis += 1
        else:  # a mask is as long as the axes that it stands for
            axis += places.ndim
