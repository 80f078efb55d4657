"""Cuts long sums of products where a product's result is small, so that threads can share them.

A product of few rows and columns is one piece of work, however long its sums are. Here it becomes a
batch of products of parts of the contracted axis, and a sum over the batch. How it is cut follows
from the shapes alone, as it decides bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import ClassVar

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.ops.families import widened
from dlc.ir.record import dataclass
from dlc.passes.manager import Pass, PassContext
from dlc.passes.replacing import replaced

_TILE = (64, 64)  # rows and columns of a result that are one piece of work
_ROUND = 64  # lengths of parts are multiples of it


@dataclass(frozen=True)
class SplitProducts(Pass):
    """Cuts the longest contracted axis of products with small results and long sums.

    Args:
        pieces: Pieces of work that are enough.
        least: Products of an element that are summed in one go, at least.
        worth: Multiplications and reads of a part: with fewer it is not worth sharing.
    """

    name: ClassVar[str] = "split_products"
    inexact: ClassVar[str | None] = "sums of parts are added up"
    pieces: int = 32
    least: int = 2048
    worth: int = 1 << 19

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with such products in parts."""
        lengths = {n: length for n in function.nodes if (length := self._part(n))}
        found = {n: partial(_in_parts, length=length) for n, length in lengths.items()}
        return replaced(function, found, self.name, context)

    def _part(self, node: Node) -> int:
        """The length along the longest contracted axis of a part of a product; 0 for one in whole.

        Shapes that are not known when the program is compiled do not count: programs for any number
        of rows have rows enough.
        """
        if node.op.family != "contraction" or "lhs_contract" not in node.attrs:
            return 0
        lhs, rhs = (_numbers(x.shape) for x in node.inputs)
        summed = [lhs[a] for a in node.attrs["lhs_contract"]] if lhs and rhs else []
        if not summed or 0 in lhs or 0 in rhs:
            return 0
        batch = prod(lhs[a] for a in node.attrs["lhs_batch"])
        rows, columns = (prod(s) // batch // prod(summed) for s in (lhs, rhs))
        work = batch * -(-rows // _TILE[0]) * -(-columns // _TILE[1])
        each = rows * columns + rows + columns
        shortest = max(self.least, self.worth // (batch * each))
        parts = min(self.pieces // work, prod(summed) // shortest)
        longest = max(summed)
        length = longest // max(1, parts)
        length -= length % _ROUND if length > self.least else 0
        return length if parts > 1 else 0


def _numbers(shape: Sequence[object]) -> list[int]:
    """The extents of a shape; none when one is not known."""
    found = [d for d in shape if isinstance(d, int)]
    return found if len(found) == len(shape) else []


def _in_parts(b: IRBuilder, node: Node, length: int) -> Node:
    """The product as a sum of products of `length` along the longest contracted axis."""
    attrs, type_ = node.attrs, node.tensor
    lhs, rhs = node.inputs
    extents = _numbers([lhs.shape[a] for a in attrs["lhs_contract"]])
    extent = max(extents)
    which = extents.index(extent)
    at = (attrs["lhs_contract"][which], attrs["rhs_contract"][which])
    parts = extent // length
    batch = {
        f"{side}_{kind}": ((a,) if kind == "batch" else ()) + _moved(attrs[f"{side}_{kind}"], a)
        for side, a in zip(("lhs", "rhs"), at, strict=True)
        for kind in ("batch", "contract")
    }
    # Sums of parts are rounded to half types once, at the end.
    pieces = [widened(b, _cut(b, x, a, parts, length)) for x, a in zip((lhs, rhs), at, strict=True)]
    total = b.reduce_sum(b.dot_general(*pieces, **batch), axes=(0,))
    if parts * length < extent:
        rest = [
            widened(b, _slice(b, x, a, parts * length, extent))
            for x, a in zip((lhs, rhs), at, strict=True)
        ]
        total = b.add(total, b.dot_general(*rest, **attrs))
    return b.convert(total, dtype=type_.dtype) if total.tensor.dtype is not type_.dtype else total


def _moved(axes: Sequence[int], at: int) -> tuple[int, ...]:
    """Axes of a tensor as numbered when a new one is in front of axis `at`."""
    return tuple(a + (a >= at) for a in axes)


def _cut(b: IRBuilder, x: Node, axis: int, parts: int, length: int) -> Node:
    """The first parts of an axis, with their number as an axis in front of it."""
    whole = _slice(b, x, axis, 0, parts * length)
    shape = (*x.shape[:axis], parts, length, *x.shape[axis + 1 :])
    return b.reshape(whole, shape=shape)


def _slice(b: IRBuilder, x: Node, axis: int, start: int, limit: int) -> Node:
    if start == 0 and limit == x.shape[axis]:
        return x
    rank = x.tensor.rank
    starts = tuple(start if k == axis else 0 for k in range(rank))
    limits = tuple(limit if k == axis else d for k, d in enumerate(x.shape))
    return b.slice(x, start=starts, limit=limits, step=(1,) * rank)
