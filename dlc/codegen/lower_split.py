"""Reductions that are split over blocks: too few rows, or columns, to share out otherwise.

    par i<R, n<N:4096: partial[i,#n] = sum(n, x[i,n])       few long rows
    par n<R:32, i<N:   partial[#n,i] = sum(n, x[n,i])       columns of many rows, read in order

A second kernel reduces the partial results and computes the rest of the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlc.codegen.kernel_ir import Assign, Par, Param, Stmt
from dlc.codegen.kernel_transform import rename_axes
from dlc.codegen.lower_columns import ROWS
from dlc.ir import scalar
from dlc.ir.build import make_node
from dlc.ir.core import Node
from dlc.ir.dims import ceildiv, product
from dlc.ir.inline import Inliner
from dlc.ir.op import OPS
from dlc.ir.record import NamedTuple
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import Shape, TensorType
from dlc.passes.fuse import MANY_ROWS, SPLIT_SIZE, is_row_reduction, is_split_reduction

if TYPE_CHECKING:
    from dlc.codegen.lower import LoweredKernel, Lowering

BLOCK = 4096  # elements a block of a long row; changes bits, so it is in the kernel's text


class _Partial(NamedTuple):
    """The partial results of a reduction: the parameter that holds them, and the axis of blocks.

    first: That is the first axis of the parameter, not the last.
    """

    name: str
    type: TensorType
    axis: Axis
    first: bool


def splits_rows(node: Node) -> bool:
    """Whether a reduction is over few long rows."""
    if "axes" not in node.attrs or not is_row_reduction(node):
        return False
    source, axes = node.inputs[0], node.attrs["axes"]
    return is_split_reduction(node.shape, [source.shape[a] for a in axes])


def splits_columns(node: Node) -> bool:
    """Whether a reduction over leading axes is of so many rows that blocks of them are shared out.

    Few columns are too little to share out, and rows are read in order.
    """
    axes, shape = node.attrs.get("axes", ()), node.inputs[0].shape
    rows, columns = product(shape[: len(axes)]), product(node.shape)
    if tuple(axes) != tuple(range(len(axes))):
        return False
    if not isinstance(rows, int) or not isinstance(columns, int):
        return False
    return rows >= MANY_ROWS and rows * columns >= SPLIT_SIZE


def split_reductions(
    low: Lowering, split: Sequence[Node], kept: Shape, *, first: bool
) -> tuple[tuple[LoweredKernel, ...], tuple[TensorType, ...]]:
    """The kernel of the partial results, and that of the rest of the body.

    Args:
        low: The lowering of the body.
        split: Reductions of the same axes.
        kept: The extents of what is left of them.
        first: Whether the leading axes are reduced, not the trailing ones.
    """
    axes = low.axes(kept)
    inliner = Inliner(low.leaf, {a.name: a.extent for a in axes})
    shape, count = split[0].inputs[0].shape, len(split[0].attrs["axes"])
    size = product(shape[:count] if first else shape[len(kept) :])
    at, to = (0, (size, *kept)) if first else (len(kept), (*kept, size))
    elements = ROWS if first else BLOCK
    block = Axis(scalar.fresh_axis(), size, elements)
    number = Expr("block", (), scalar.int64, block.name)
    ix = (number, *low.rows) if first else (*low.rows, number)
    blocks = ceildiv(size, elements)
    assigns: list[Assign] = []
    partials: dict[Node, _Partial] = {}
    for node in split:
        flat = make_node(OPS["reshape"], node.inputs, {"shape": to})
        e = inliner.computed(make_node(node.op, (flat,), {"axes": (at,)}), low.rows)
        reduction = e.args[0] if e.op == "convert" else e
        kind, (axis,) = reduction.attr
        body = rename_axes(reduction.args[0], {axis.name: scalar.index(block.name)})
        total = Expr("reduce", (body,), reduction.dtype, (kind, (block,)))
        name = low.names.make("partial")
        assigns.append(Assign(name, ix, (), total))
        type_ = TensorType(total.dtype, (blocks, *kept) if first else (*kept, blocks))
        partials[node] = _Partial(name, type_, Axis(scalar.fresh_axis(), blocks), first)
    names, types = [p.name for p in partials.values()], tuple(p.type for p in partials.values())
    low.partial_names += names
    params = low.params(names, [t.dtype for t in types], [t.shape for t in types])
    nest = Par((block, *axes) if first else (*axes, block), tuple(assigns))
    kernel = low.kernel("partial_" + split[0].op.name.removeprefix("reduce_"), params, [nest])
    return (kernel, _rest(low, partials, kept)), types


def _rest(low: Lowering, partials: dict[Node, _Partial], kept: Shape) -> LoweredKernel:
    """The kernel in which the reductions read their partial results."""
    axes = low.axes(kept)
    stmts: list[Stmt] = []
    inliner = Inliner(low.leaf, {a.name: a.extent for a in axes})
    for node in low.body.nodes:
        if node in partials:
            stmts.append(_reduce_partials(low, node, partials[node]))
        for r, name in zip(low.results, low.out_names, strict=True):
            if r is node:
                stmts.append(low.store(inliner, node, name, ()))
    extra = [Param(p.name, "in", p.type.dtype, p.type.shape) for p in partials.values()]
    return low.finish([Par(axes, tuple(stmts))], extra)


def _reduce_partials(low: Lowering, node: Node, partial: _Partial) -> Assign:
    kind = node.op.name.removeprefix("reduce_")
    number = scalar.index(partial.axis.name)
    ix = (number, *low.rows) if partial.first else (*low.rows, number)
    body = scalar.load(partial.name, ix, partial.type.dtype)
    total = scalar.reduce(kind, (partial.axis,), body)  # type: ignore[arg-type]
    local = low.local(node)
    return Assign(local, low.rows, (), scalar.convert(total, node.tensor.dtype))
