"""Recurrences as kernels: walks along an axis that carry a value, independent over other axes.

A long row, of few, is shared out by blocks where what a block adds can be told before it is walked:
the blocks are reduced first, and what comes before each one is combined with its own walk, which
loses less than one walk through all.

    par i<R, n<N:4096: partial[i,#n] = sum(n, x[i,n])
    par i<R: for b<B carry h[i]=0: before[i,b] = h[i]; next_h[i] = h[i]+partial[i,b]
    par i<R, n<N:4096:
     for n carry h[i]=0: next_h[i] = h[i]+x[i,n]; o[i,n] = before[i,#n]+next_h[i]

What is in a block depends on neither threads nor chunks, so neither do the bits. Products of floats
are not shared out: that of a block may overflow, or vanish, where what comes before is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dlc.codegen.kernel_ir import Assign, For, Par, Param
from dlc.codegen.lower_split import BLOCK
from dlc.ir import scalar
from dlc.ir.core import Node
from dlc.ir.dims import ceildiv, product
from dlc.ir.inline import Inliner
from dlc.ir.ops.families import accumulator
from dlc.ir.ops.reduction import identity_of
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import DType, TensorType
from dlc.passes.fuse import is_split_reduction

if TYPE_CHECKING:
    from dlc.codegen.lower import LoweredKernel, Lowering

_Step = Callable[[Expr, Sequence[Expr]], tuple[float, Expr]]

# What a recurrence begins with, and its next value from the one held and the operands.
_STEPS: dict[str, _Step] = {
    "cumulative_max": lambda h, x: (identity_of("max", h.dtype), scalar.op("max", h, x[0])),
    "cumulative_min": lambda h, x: (identity_of("min", h.dtype), scalar.op("min", h, x[0])),
    "cumulative_sum": lambda h, x: (0, scalar.op("add", h, x[0])),
    "cumulative_prod": lambda h, x: (1, scalar.op("mul", h, x[0])),
    "linear_recurrence": lambda h, x: (0, scalar.op("add", scalar.op("mul", x[0], h), x[1])),
}


def lower_recurrence(
    low: Lowering, node: Node
) -> tuple[tuple[LoweredKernel, ...], tuple[TensorType, ...]]:
    """The kernels of a recurrence, and the types of partial results between them."""
    walk = _Walk(low, node)
    kind = node.op.name.removeprefix("cumulative_")
    if not _in_blocks(node) or kind == node.op.name:
        return (low.finish([walk.nest()]),), ()
    return walk.split(kind)


def _in_blocks(node: Node) -> bool:
    """Whether a recurrence is of few long rows, whose blocks say what they add by themselves."""
    axis, shape = node.attrs["axis"], node.shape
    if node.op.name == "cumulative_prod" and node.tensor.dtype.is_float:
        return False
    adjacent = product(shape[axis + 1 :]) == 1
    rows = [d for d in shape[:axis] if d != 1]
    return adjacent and is_split_reduction(rows, (shape[axis],))


class _Walk:
    """The recurrence of a node: its axes, and where it reads and writes."""

    def __init__(self, low: Lowering, node: Node) -> None:
        self.low, self.node = low, node
        self.axis: int = node.attrs["axis"]
        rest = [(k, d) for k, d in enumerate(node.shape) if k != self.axis]
        self.outer = tuple(Axis(low.names.make(f"i{k}"), d) for k, d in rest)
        self.rows = tuple(scalar.index(a.name) for a in self.outer)
        self.kept = tuple(d for _, d in rest)
        self.dtype: DType = accumulator(node.tensor.dtype)
        self.held = low.names.make("h")
        low.names.taken.add("next_" + self.held)

    def nest(self) -> Par:
        """Each row from its first element to its last."""
        step = Axis(self.low.names.make("j"), self.node.shape[self.axis])
        return Par(self.outer, (self._loop(step),))

    def split(self, kind: str) -> tuple[tuple[LoweredKernel, ...], tuple[TensorType, ...]]:
        """The reductions of blocks, what comes before each block, and the walks through blocks."""
        low, size = self.low, self.node.shape[self.axis]
        blocks = ceildiv(size, BLOCK)
        block = Axis(low.names.make("n"), size, BLOCK)
        ix = (*self.rows, Expr("block", (), scalar.int64, block.name))
        partial, before = low.names.make("partial"), low.names.make("before")
        low.partial_names += [partial, before]
        type_ = TensorType(self.dtype, (*self.kept, blocks))

        (value,) = self._given(block)
        total = Expr("reduce", (value,), self.dtype, (kind, (block,)))
        assign = Assign(partial, ix, (), total)
        params = low.params([partial], [self.dtype], [type_.shape])
        axes = (*self.outer, block)
        first = low.kernel(f"partial_{kind}", params, [Par(axes, (assign,))])

        given = Param(partial, "in", self.dtype, type_.shape)
        made = Param(before, "out", self.dtype, type_.shape)
        second = low.kernel(f"before_{kind}", (given, made), [self._before(partial, before)])

        read = Param(before, "in", self.dtype, type_.shape)
        walk = self._loop(block, scalar.load(before, ix, self.dtype))
        third = low.finish([Par(axes, (walk,))], [read])
        return (first, second, third), (type_, type_)

    def _before(self, partial: str, before: str) -> Par:
        """The nest of what comes before each block."""
        number = Axis(self.low.names.make("b"), ceildiv(self.node.shape[self.axis], BLOCK))
        at = (*self.rows, scalar.index(number.name))
        held = self._held(self.held)
        first, following = self._step(held, [scalar.load(partial, at, self.dtype)])
        body = (
            Assign(before, at, (), held),
            Assign("next_" + self.held, self.rows, (), following),
        )
        start = Assign(self.held, self.rows, (), scalar.const(first, self.dtype))
        return Par(self.outer, (For(number, body, (start,)),))

    def _loop(self, step: Axis, before: Expr | None = None) -> For:
        """The walk over an axis, or over its open block, of which that comes `before` it."""
        (name,) = self.low.out_names
        first, following = self._step(self._held(self.held), self._given(step))
        result = self._held("next_" + self.held)
        if before is not None:
            _, result = self._step(before, [result])
        body = (
            Assign("next_" + self.held, self.rows, (), following),
            Assign(name, self._place(step), (), scalar.convert(result, self.node.tensor.dtype)),
        )
        start = Assign(self.held, self.rows, (), scalar.const(first, self.dtype))
        return For(step, body, (start,))

    def _step(self, held: Expr, given: Sequence[Expr]) -> tuple[float, Expr]:
        return _STEPS[self.node.op.name](held, given)

    def _held(self, name: str) -> Expr:
        return scalar.load(name, self.rows, self.dtype)

    def _given(self, step: Axis) -> list[Expr]:
        """The operands at a step, as what is carried."""
        inliner = Inliner(self.low.leaf, {a.name: a.extent for a in (*self.outer, step)})
        place = self._place(step)
        return [scalar.convert(inliner.value(x, place), self.dtype) for x in self.node.inputs]

    def _place(self, step: Axis) -> tuple[Expr, ...]:
        j = scalar.index(step.name)
        if self.node.attrs["reverse"]:
            j = scalar.sub_index(scalar.sub_index(scalar.dim(step.extent), _ONE), j)
        return (*self.rows[: self.axis], j, *self.rows[self.axis :])


_ONE = scalar.const(1, scalar.int64)
