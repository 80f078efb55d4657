"""Sums over the rows of a row kernel: each block of rows adds up its own, a second kernel those.

    par b<d2:
     partial[b,n] n<N = 0.0
     for r<32 while 32*b+r < R:
      ...                                what the kernel computes of row 32*b+r
      partial[b,n] n<N += ...

What is in a block depends on neither threads nor chunks, so neither do the bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.kernel_ir import Assign, For, Par, Param, Stmt
from dlc.codegen.kernel_transform import rewrite
from dlc.ir import scalar
from dlc.ir.core import Node
from dlc.ir.dims import ceildiv, product
from dlc.ir.ops.families import accumulator
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import DType, Shape, TensorType

ROWS = 32  # of a block; changes bits, so it is in the kernel's text


@dataclass(frozen=True)
class Partial:
    """The sums that a row kernel leaves of one column reduction.

    Args:
        node: The reduction.
        name: Of the kernel's parameter.
        outer: The extents of the nest's axes but the last, and how many blocks that one has.
    """

    node: Node
    name: str
    outer: Shape

    @property
    def dtype(self) -> DType:
        """Of the sums: float32 for shorter floats."""
        return accumulator(self.node.tensor.dtype)

    @property
    def type(self) -> TensorType:
        """Of the sums in memory."""
        return TensorType(self.dtype, (*self.outer, product(self.node.shape)))


def in_blocks(nest: Par, params: Sequence[Param], partials: Sequence[str]) -> tuple[Par, Shape]:
    """The nest with the last axis in blocks, and the extents of its axes then.

    Args:
        nest: Its body adds each row's own to a row of `partials`.
        params: The kernel's parameters; other names are locals.
        partials: Parameters that have a row for each block in the place of one for each row.
    """
    known = {p.name for p in params}
    row = nest.axes[-1]
    block = Axis(scalar.fresh_axis(), ceildiv(row.extent, ROWS))
    inner = Axis(scalar.fresh_axis(), ROWS)
    number, own = scalar.index(block.name), scalar.index(inner.name)
    first = scalar.mul_index(number, scalar.const(ROWS, scalar.int64))
    at = scalar.add_index(first, own)

    def moved(e: Expr) -> Expr:
        def change(x: Expr) -> Expr | None:
            if x.op == "index" and x.attr == row.name:
                return at
            if x.op == "load" and x.attr not in known:
                return x.with_args(tuple(local(a) for a in x.args))
            return None

        return rewrite(e, change)

    def local(ix: Expr) -> Expr:
        return own if ix == scalar.index(row.name) else ix

    starts: list[Stmt] = []
    body: list[Stmt] = []
    for s in nest.body:
        assert isinstance(s, Assign)
        if s.name in partials:
            ix = tuple(number if i == scalar.index(row.name) else i for i in s.ix)
            zero = scalar.const(0.0 if s.expr.dtype.is_float else 0, s.expr.dtype)
            starts.append(replace(s, ix=ix, expr=zero, accumulate=False))
        elif s.name in known:
            ix = tuple(moved(i) for i in s.ix)
        else:
            ix = tuple(local(i) for i in s.ix)
        body.append(replace(s, ix=ix, expr=moved(s.expr)))
    some = scalar.op("lt", at, scalar.dim(row.extent))
    axes = (*nest.axes[:-1], block)
    return Par(axes, (*starts, For(inner, tuple(body), (), some))), tuple(a.extent for a in axes)


def sum_of_partials(partial: Partial, out: str) -> tuple[Par, Param]:
    """The nest that adds up the blocks' sums, and the parameter that it writes."""
    *outer, size = partial.type.shape
    over = tuple(Axis(scalar.fresh_axis(), d) for d in outer)
    column = Axis(scalar.fresh_axis(), size)
    ix = tuple(scalar.index(a.name) for a in (*over, column))
    total = scalar.reduce("sum", over, scalar.load(partial.name, ix, partial.dtype))
    dtype = partial.node.tensor.dtype
    assign = Assign(out, (scalar.index(column.name),), (), scalar.convert(total, dtype))
    return Par((column,), (assign,)), Param(out, "out", dtype, (size,))
