"""Small extents that are numbers in a kernel's text, as they decide how it is best computed.

All others are given with each call, so that a kernel serves for tensors of any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlc.codegen.kernel_ir import Assign, Par, Stmt
from dlc.ir.dims import Dim, product
from dlc.ir.scalar import Axis, index, integer_of, reduced_axes, walk

_SHORT = 16  # elements, at least a vector's of float32
_FEW = 8  # rows
_LARGE = 1 << 14  # elements of a matrix


def fixed_extents(stmts: Sequence[Stmt]) -> Iterator[Dim]:
    """The extents that are to be numbers, of a kernel that is a single nest."""
    (nest, *more) = stmts
    if not more and isinstance(nest, Par):
        assigns = [s for s in nest.body if isinstance(s, Assign)]
        sums = any(x.op in ("reduce", "dot") for s in assigns for x in walk(s.expr))
        if sums:
            yield from _few_rows(nest.axes, assigns)
            yield from _widths_of_panels(nest.axes, assigns)
        elif len(assigns) == len(nest.body) and not any(s.axes for s in assigns):
            yield from _short_exchanged(nest.axes, assigns)
            yield from _widths_of_panels(nest.axes, assigns)


def _short_exchanged(axes: Sequence[Axis], assigns: Sequence[Assign]) -> Iterator[Dim]:
    """Short extents of the last axis and of others that a load of a pointwise kernel has last."""
    if not axes:
        return
    by_index, last = {index(a.name): a for a in axes}, axes[-1]
    for s in assigns:
        loads = (x.args[-1] for x in walk(s.expr) if x.op == "load" and x.args)
        others = {by_index.get(i, last) for i in loads} - {last}
        for axis in (*others, last) if others else ():
            if isinstance(axis.extent, int) and axis.extent < _SHORT:
                yield axis.extent


def _widths_of_panels(axes: Sequence[Axis], assigns: Sequence[Assign]) -> Iterator[Dim]:
    """Extents of axes that loads read as the elements `i*W+k` of a run of W: the text says W."""
    nodes = [x for s in assigns for x in walk(s.expr)]
    bound = (a for x in nodes for a in reduced_axes(x))
    extents = {index(a.name): a.extent for a in (*axes, *bound)}
    for x in nodes:
        for e in x.args if x.op == "load" else ():
            if e.op == "add" and e.args[0].op == "mul" and e.args[1] in extents:
                width = integer_of(e.args[0].args[1])
                if width is not None and width == extents[e.args[1]]:
                    yield width


def _few_rows(axes: Sequence[Axis], assigns: Sequence[Assign]) -> Iterator[Dim]:
    """Small extents of axes that one of the operands of a product has, the other being large."""
    for dot in (x for s in assigns for x in walk(s.expr) if x.op == "dot"):
        a, b = ({i for x in walk(e) if x.op == "load" for i in x.args} for e in dot.args)
        if any(i.op != "index" for i in a | b):
            continue
        extents = {index(x.name): x.extent for x in (*axes, *dot.attr)}
        for mine, other in ((a, b), (b, a)):
            size = product(extents[i] for i in other)
            if not isinstance(size, int) or size >= _LARGE:
                own = (extents[i] for i in mine - other)
                yield from (n for n in own if isinstance(n, int) and n <= _FEW)
