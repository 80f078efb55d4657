"""Element types in which an operator does not exist, or has no kernel in ONNX Runtime.

An op of these is written at a wider type, and its result brought back. That changes no number: half
types are computed at `float32` and rounded by dlc too, and of integers that wrap the low bits stay.
"""

from __future__ import annotations

from dlc.ir.build import IRBuilder
from dlc.ir.core import Node
from dlc.ir.types import (
    DType,
    TensorType,
    bfloat16,
    bool_,
    float32,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

_WIDER = {
    bfloat16: float32, bool_: int32, int8: int32, int16: int32, uint8: int32, uint16: int32,
    int32: int64, uint32: int64, uint64: int64,
}  # fmt: skip

_SHORT, _SMALL = (int16, uint16), (int8, int16, uint8, uint16)
_ORDERED = ("argmax", "argmin", "sort", "argsort", "reduce_max", "reduce_min")
_UNSIGNED = (uint8, uint16, uint32, uint64)
_SUMS = (*_SMALL, uint32, uint64)
# What is not written as it is, besides bfloat16.
_NARROW: dict[str, tuple[DType, ...]] = {
    **dict.fromkeys(("max", "min", "pad", "floordiv", "mod", "shl", "shr"), _SHORT),
    **dict.fromkeys(("cumulative_max", "cumulative_min"), _SHORT),
    **dict.fromkeys(("scatter_set", "scatter_max", "scatter_min"), _SHORT),
    **dict.fromkeys(("scatter_add", "scatter_along", "scatter_mul"), _SHORT),
    **dict.fromkeys(_ORDERED, (*_SHORT, uint32, uint64, bool_)),
    **dict.fromkeys(("reduce_sum", "cumulative_sum"), _SUMS),
    **dict.fromkeys(("dot_general", "convolution", "depthwise_convolution"), _SMALL),
    **dict.fromkeys(("window_max", "window_sum"), _SMALL),
    "reduce_prod": (*_SUMS, int32),
    "neg": _UNSIGNED,
    "select": (*_SHORT, uint64, bool_),
}
# What moves bfloat16 without looking at it.
_MOVES = (
    "barrier", "bitcast", "concat", "constant", "flip", "full", "get", "no_derivative", "reshape",
    "slice", "slice_update", "stop_gradient", "take", "take_along", "transpose",
)  # fmt: skip


def _is_narrow(node: Node, dtype: DType) -> bool:
    name = node.op.name
    if dtype is bfloat16:
        return name not in _MOVES
    return dtype in _NARROW.get(name, ())


def widened(node: Node) -> tuple[list[Node], Node] | None:
    """The nodes that stand for one, and that of its result, or None where it can be written."""
    if node.op.carries:
        return None
    operands = _narrow_operands(node)
    made = "dtype" in node.op.attrs and not node.inputs and node.attrs["dtype"] is bfloat16
    if not operands and not made:
        return None
    b = IRBuilder(node.loc)
    inputs = [_to_wider(b, node, x) if x in operands else x for x in node.inputs]
    attrs = {**node.attrs, "dtype": float32} if made else node.attrs
    result = getattr(b, node.op.name)(*inputs, **attrs)
    if result.tensor.dtype is not node.tensor.dtype:
        if _turns(node):
            result = _first_bit_turned(b, result)
        result = b.convert(result, dtype=node.tensor.dtype)
    return b.nodes, result


def _to_wider(b: IRBuilder, node: Node, x: Node) -> Node:
    # The kernels of products of integers of up to 32 bits do not wrap.
    dtype = x.tensor.dtype
    product = node.op.name == "reduce_prod" and dtype.is_integer
    wide = b.convert(x, dtype=int64 if product else _WIDER[dtype])
    return _first_bit_turned(b, wide) if _turns(node) else wide


def _turns(node: Node) -> bool:
    """Whether the order of uint64 has to become that of int64."""
    return node.op.name in _ORDERED and node.inputs[0].tensor.dtype is uint64


def _first_bit_turned(b: IRBuilder, x: Node) -> Node:
    least = b.full(value=-(1 << 63), dtype=int64, shape=x.tensor.shape)
    return b.bit_xor(x, least)


def _narrow_operands(node: Node) -> set[Node]:
    kinds = (x for x in node.inputs if isinstance(x.type, TensorType))
    found = {x for x in kinds if _is_narrow(node, x.tensor.dtype)}
    if node.op.name == "select":  # the condition is none of its values
        found.discard(node.inputs[0])
    if node.op.name == "convert" and _is_direct(node):
        return set()
    return found


def _is_direct(node: Node) -> bool:
    """Whether a conversion is one Cast."""
    return node.attrs["dtype"].is_float
