"""What is known of values without a call: that all elements are equal, or count."""

from __future__ import annotations

from dlc.ir.build import make_node
from dlc.ir.core import Function, Node
from dlc.ir.dims import DimUnknown
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS
from dlc.ir.ops.families import same_shape
from dlc.ir.types import Shape

_ELEMENTWISE = ("unary", "binary", "ternary")
_MOVES = ("reshape", "broadcast_to", "transpose")
_DEPTH = 16


def number_of(node: Node) -> float | None:
    """The number that each element of `node` is, where that follows from constants.

    Example:
        >>> number_of(b.sqrt(b.full(value=4.0, shape=(3,), dtype=float32)))
        2.0
    """
    found = _scalar(node, _DEPTH)
    return None if found is None else float(found.attrs["value"])


def _scalar(node: Node, depth: int) -> Node | None:
    """A `full` of one element with the number that each element of `node` is."""
    name = node.op.name
    if name == "full":
        return make_node(OPS["full"], (), {**node.attrs, "shape": ()})
    if name == "dim" and isinstance(node.attrs["dim"], int):
        return _full(node.attrs["dim"], node)
    if name == "constant" and node.attrs["value"].size == 1:
        return _full(node.attrs["value"].reshape(())[()], node)
    if depth == 0 or not node.inputs:
        return None
    if name in _MOVES:
        return _scalar(node.inputs[0], depth - 1)
    if node.op.family not in _ELEMENTWISE:
        return None
    numbers: list[Node] = []
    for x in node.inputs:
        number = _scalar(x, depth - 1)
        if number is None:
            return None
        numbers.append(number)
    made = make_node(node.op, numbers, dict(node.attrs))
    return _full(interpret(Function("number", (), (made,)), ())[0][()], node)


def _full(value: object, like: Node) -> Node:
    python = {"b": bool, "f": float}.get(like.tensor.dtype.kind, int)(value)  # type: ignore[call-overload]
    return make_node(OPS["full"], (), {"value": python, "shape": (), "dtype": like.tensor.dtype})


def of_extents(node: Node) -> Node | None:
    """The one element that all of `node` are, where it follows from extents and constants."""
    for _ in range(_DEPTH):
        if node.op.name not in _MOVES:
            break
        (node,) = node.inputs
    return node if not node.shape and _depends_on_extents(node, _DEPTH) else None


def _depends_on_extents(node: Node, depth: int) -> bool:
    if node.op.name in ("dim", "full"):
        return True
    known = node.op.family in _ELEMENTWISE or node.op.name in _MOVES
    return known and depth > 0 and all(_depends_on_extents(x, depth - 1) for x in node.inputs)


def same_extents(a: Shape, b: Shape) -> bool:
    """Whether two shapes are known to be equal for all extents."""
    try:
        return same_shape(a, b)
    except DimUnknown:
        return False


def position_of(node: Node) -> int | None:
    """The axis along which the elements of `node` are 0, 1, 2, ...; None if there is none."""
    for _ in range(_DEPTH):
        if node.op.name in ("add", "mul"):
            neutral = int(node.op.name == "mul")
            pairs = (node.inputs, node.inputs[::-1])
            kept = [x for x, y in zip(*pairs, strict=True) if number_of(y) == neutral]
            if not kept:
                return None
            node = kept[0]
        elif node.op.name == "convert" and node.inputs[0].tensor.dtype.is_integer:
            node = node.inputs[0]
        else:
            break
    if node.op.name == "iota":
        return node.attrs["axis"]
    if node.op.name not in ("reshape", "broadcast_to"):
        return None
    (x,) = node.inputs
    axis = position_of(x)
    if axis is None:
        return None
    if node.op.name == "broadcast_to":
        return axis + node.tensor.rank - x.tensor.rank
    places = [a for a, d in enumerate(node.shape) if d != 1]
    alone = all(d == 1 for a, d in enumerate(x.shape) if a != axis)
    return places[0] if alone and len(places) == 1 else None
