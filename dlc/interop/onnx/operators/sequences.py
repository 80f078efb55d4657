"""Sequences and optional values: lists and None, which no program sees."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.operators.shape import cut
from dlc.interop.onnx.values import as_tensor, ints
from dlc.ir.errors import ModelError


@operator("SequenceConstruct", raw=True)
def sequence_construct(_node: Any, *parts: Any) -> Any:
    """A sequence of its inputs."""
    return list(parts)


@operator("SequenceEmpty")
def sequence_empty(_node: Any) -> Any:
    """A sequence of nothing."""
    return []


def _place(place: Any, length: int, what: str, *, behind: bool = False) -> int:
    """The index of an element, or of the one that would follow."""
    k = int(place.reshape(-1)[0])
    if not -length <= k < length + behind:
        raise ModelError(f"{what}: the place {k} is outside of a sequence of {length}")
    return k + length if k < 0 else k


@operator("SequenceAt", raw=True, known=(1,))
def sequence_at(_node: Any, parts: Any, place: Any) -> Any:
    """One element."""
    return parts[_place(place, len(parts), "SequenceAt")]


@operator("SequenceInsert", raw=True, known=(2,))
def sequence_insert(_node: Any, parts: Any, value: Any, place: Any = None) -> Any:
    """A sequence with one element more."""
    end = len(parts)
    k = end if place is None else _place(place, end, "SequenceInsert", behind=True)
    return [*parts[:k], value, *parts[k:]]


@operator("SequenceErase", raw=True, known=(1,))
def sequence_erase(_node: Any, parts: Any, place: Any = None) -> Any:
    """A sequence with one element less."""
    k = len(parts) - 1 if place is None else _place(place, len(parts), "SequenceErase")
    return [*parts[:k], *parts[k + 1 :]]


@operator("SequenceLength", raw=True)
def sequence_length(_node: Any, parts: Any) -> Any:
    """The number of elements."""
    return np.array(len(parts), np.int64)


@operator("SplitToSequence", known=(1,))
def split_to_sequence(node: Any, x: Any, sizes: Any = None) -> Any:
    """The parts of a tensor."""
    axis = node.attr("axis", 0) % x.ndim
    extent = x.shape[axis]
    if sizes is None:
        wanted = [1] * int(extent)
    elif sizes.ndim == 0:
        each = int(sizes)
        wanted = [each] * (extent // each) + ([extent % each] if extent % each else [])
    else:
        wanted = ints(sizes)
    parts = cut(x, axis, wanted)
    if sizes is None and not node.attr("keepdims", 1):
        return [dlc.squeeze(part, axis=axis) for part in parts]
    return list(parts)


@operator("ConcatFromSequence", raw=True)
def concat_from_sequence(node: Any, parts: Any) -> Any:
    """One tensor of the elements."""
    tensors = [as_tensor(p) for p in parts]
    join = dlc.stack if node.attr("new_axis", 0) else dlc.concat
    return join(tensors, axis=node.attr("axis"))


@operator("SequenceMap", raw=True)
def sequence_map(node: Any, first: Any, *rest: Any) -> Any:
    """A graph over the elements of sequences."""
    body = node.attr("body")
    columns: list[list[Any]] = [[] for _ in body.outputs]
    for k, value in enumerate(first):
        given = [value, *(r[k] if isinstance(r, list) else r for r in rest)]
        for column, result in zip(columns, node.run(body, given), strict=True):
            column.append(result)
    return tuple(columns)


@operator("Optional", raw=True)
def optional(_node: Any, value: Any = None) -> Any:
    """A value, or nothing."""
    return value


@operator("OptionalHasElement", raw=True)
def optional_has_element(_node: Any, value: Any = None) -> Any:
    """Whether there is a value."""
    return np.array(value is not None)


@operator("OptionalGetElement", raw=True)
def optional_get_element(_node: Any, value: Any) -> Any:
    """The value, which must be there."""
    if value is None:
        raise ModelError("OptionalGetElement of nothing")
    return value
