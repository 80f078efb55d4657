"""Finds softmax along an axis, as the op or written out, and tests for rows without a number."""

from __future__ import annotations

import math

from dlc.ir.core import Node
from dlc.ir.types import bool_
from dlc.passes.uniform import number_of, same_extents


def softmax_operand(node: Node, axis: int) -> tuple[Node, list[Node]] | None:
    """What `node` is the softmax of along `axis`, and the nodes that compute it."""
    if node.op.name == "softmax":
        return (node.inputs[0], [node]) if node.attrs["axis"] == axis else None
    quotient = _quotient(node, axis)
    if quotient is None:
        return None
    e, total, parts = quotient
    if e.op.name != "exp" or total.op.name != "reduce_sum" or total.inputs[0] is not e:
        return None
    shifted = e.inputs[0]
    if total.attrs["axes"] != (axis,) or shifted.op.name != "sub":
        return None
    x, column = shifted.inputs
    found = _per_row(column, axis)
    if found is None:
        return None
    top, stretched = found
    around: list[Node] = []
    while top.op.name == "stop_gradient":
        around.append(top)
        (top,) = top.inputs
    if top.op.name != "reduce_max" or top.attrs["axes"] != (axis,) or top.inputs[0] is not x:
        return None
    return x, [*parts, e, total, shifted, *stretched, *around, top]


def _quotient(node: Node, axis: int) -> tuple[Node, Node, list[Node]] | None:
    """x, y and the nodes that divide x by the y of its row, or multiply it by the inverse."""
    if node.op.name == "div":
        found = _per_row(node.inputs[1], axis)
        return None if found is None else (node.inputs[0], found[0], [node, *found[1]])
    for at in (1, 0) if node.op.name == "mul" else ():
        inverse, parts = _peeled(node.inputs[at], node, axis)
        if inverse.op.name == "div" and number_of(inverse.inputs[0]) == 1:
            total, more = _peeled(inverse.inputs[1], node, axis)
            return node.inputs[1 - at], total, [node, *parts, inverse, *more]
    return None


def _per_row(node: Node, axis: int) -> tuple[Node, list[Node]] | None:
    """A value without `axis` that `node` repeats along it, and the nodes that repeat it."""
    x, parts = _peeled(node, node, axis)
    rows = (*node.shape[:axis], *node.shape[axis + 1 :])
    return (x, parts) if same_extents(x.shape, rows) else None


def _peeled(x: Node, like: Node, axis: int) -> tuple[Node, list[Node]]:
    """What is repeated along `axis` to the shape of `like`, and the nodes that repeat it."""
    parts: list[Node] = []
    while (inner := _narrowed(x, like, axis)) is not None:
        parts.append(x)
        x = inner
    return x, parts


def _narrowed(x: Node, like: Node, axis: int) -> Node | None:
    """The operand of what repeats values along `axis`, or gives them that axis."""
    if x.op.name not in ("broadcast_to", "reshape"):
        return None
    (inner,) = x.inputs
    shape = like.shape
    rows, column = ((*shape[:axis], *one, *shape[axis + 1 :]) for one in ((), (1,)))
    fits = same_extents(inner.shape, column) or (
        x.op.name == "reshape" and same_extents(inner.shape, rows)
    )
    return inner if fits else None


def blind_test(node: Node, scores: Node, axis: int) -> list[Node] | None:
    """The nodes by which `node` says which rows of scores are -inf throughout; None if it does not.

    Such a test is of all, or the opposite of one of any that is not, with bools as integers in
    between.
    """
    parts: list[Node] = []
    outside = inside = False
    while node.op.name not in ("reduce_any", "reduce_all"):
        inner = _narrowed(node, scores, axis)
        if inner is None:
            found = _opposite(node)
            if found is None:
                return None
            inner, turned = found
            outside ^= turned
        parts.append(node)
        node = inner
    parts.append(node)
    if node.attrs["axes"] != (axis,) or outside != (node.op.name == "reduce_any"):
        return None
    (node,) = node.inputs
    while (found := _opposite(node)) is not None:
        parts.append(node)
        node, turned = found
        inside ^= turned
    inside ^= node.op.name == "ne"
    is_test = node.op.name in ("eq", "ne") and node.inputs[0] is scores and inside == outside
    return [*parts, node] if is_test and number_of(node.inputs[1]) == -math.inf else None


def _opposite(node: Node) -> tuple[Node, bool] | None:
    """The bool that a bool is made of, perhaps as an integer, and whether it is the opposite."""
    name = node.op.name
    if name == "bit_not" and node.tensor.dtype is bool_:
        return node.inputs[0], True
    if name == "convert" and node.inputs[0].tensor.dtype is bool_:
        return node.inputs[0], False
    if name in ("eq", "ne") and _is_truth(node.inputs[0]) and number_of(node.inputs[1]) == 0:
        return node.inputs[0], name == "eq"
    return None


def _is_truth(node: Node) -> bool:
    """Whether `node` is a bool, or 0 or 1 for one."""
    if node.op.name == "convert":
        node = node.inputs[0]
    return node.tensor.dtype is bool_
