"""Batches of products of very small matrices become sums of products, element by element.

What prepares a product of matrices takes longer than one of 3x3 by a vector. As a sum over an axis
it is vectorised along the batch, and fused with what its operands and its result are part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import Dim
from dlc.ir.ops.families import widened
from dlc.ir.record import dataclass
from dlc.passes.manager import Pass, PassContext
from dlc.passes.replacing import replaced


@dataclass(frozen=True)
class SmallProducts(Pass):
    """Writes batches of small products as sums.

    Args:
        most: Multiplications of one product of the batch.
    """

    name: ClassVar[str] = "small_products"
    inexact: ClassVar[str | None] = "products are added in another order"
    most: int = 64

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with such products as sums."""
        found = {n: _as_sum for n in function.nodes if self._is_small(n)}
        return replaced(function, found, self.name, context)

    def _is_small(self, node: Node) -> bool:
        if node.op.name != "dot_general" or not node.attrs["lhs_batch"]:
            return False
        batch = len(node.attrs["lhs_batch"])
        summed = [node.inputs[0].shape[a] for a in node.attrs["lhs_contract"]]
        if not summed:
            return False
        known = [d for d in (*summed, *node.shape[batch:]) if isinstance(d, int)]
        return len(known) == len(summed) + len(node.shape) - batch and prod(known) <= self.most


def _as_sum(b: IRBuilder, node: Node) -> Node:
    """The product as one element by element, over [batch, rows, columns, summed], and its sum."""
    attrs, type_ = node.attrs, node.tensor
    x, y = (widened(b, v) for v in node.inputs)
    batch, rank = len(attrs["lhs_batch"]), len(type_.shape)
    rows = x.tensor.rank - batch - len(attrs["lhs_contract"])
    summed = tuple(x.shape[a] for a in attrs["lhs_contract"])
    shape = (*type_.shape, *summed)
    left = _placed(b, x, attrs["lhs_batch"], attrs["lhs_contract"], batch + rows, rank)
    right = _placed(b, y, attrs["rhs_batch"], attrs["rhs_contract"], batch, batch + rows)
    each = b.mul(*(b.broadcast_to(v, shape=shape) for v in (left, right)))
    total = b.reduce_sum(each, axes=tuple(range(rank, len(shape))))
    return b.convert(total, dtype=type_.dtype) if total.tensor.dtype is not type_.dtype else total


def _placed(
    b: IRBuilder, x: Node, batch: Sequence[int], summed: Sequence[int], start: int, end: int
) -> Node:
    """An operand as [batch, free, summed], with axes of one element from `start` to `end`."""
    free = [k for k in range(x.tensor.rank) if k not in batch and k not in summed]
    order = (*batch, *free, *summed)
    if order != tuple(range(x.tensor.rank)):
        x = b.transpose(x, axes=order)
    ones: tuple[Dim, ...] = (1,) * (end - start)
    shape = (*x.shape[:start], *ones, *x.shape[start:])
    return b.reshape(x, shape=shape) if ones else x
