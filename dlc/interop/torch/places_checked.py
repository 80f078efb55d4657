"""Places out of range, in what reads or writes by index: PyTorch's error, where dlc has none.

In compiled programs dlc reads the nearest element, and leaves out what is written elsewhere.
Through PyTorch's door a program says whether any place was out of range: then its error follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dlc
from dlc.interop.torch.checks import operator_name

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
