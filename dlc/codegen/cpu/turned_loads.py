"""Loads that are contiguous along another axis than vectors: blocks of them are transposed first.

    par i, j: o[i,j] = x[j,i]+y[i,j]

has vectors along j, for each of which x would be read element by element, from as many lines. So
for some rows and columns at a time what is read of x is brought into scratch memory in the order of
o, by blocks of registers (`transposes`), and is read from there.
"""

from __future__ import annotations

from collections.abc import Iterator

from dlc.codegen.cpu.contraction_form import flat_offset
from dlc.codegen.index_math import IndexMath, stride_along
from dlc.codegen.kernel_ir import Assign, Kernel, Par, Param
from dlc.codegen.kernel_transform import rewrite
from dlc.ir.dims import Dim, symbols_of
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr, index, load, walk

# Rows and columns of a block, and the fewest of both for which it is worthwhile.
ROWS = 64
COLUMNS = 256
_FEWEST = 16


@dataclass(frozen=True)
class TurnedLoad:
    """A load that is transposed: the parameter that stands for it, and how far columns are apart.

    The parameter has rows of `COLUMNS` elements.
    """

    name: str
    access: Expr
    column: Dim


@dataclass(frozen=True)
class TurnedNest:
    """A kernel whose loads along `rows` are replaced by those of parameters of their own."""

    kernel: Kernel
    rows: Axis
    columns: Axis
    loads: tuple[TurnedLoad, ...]


def turned_nest(kernel: Kernel, math: IndexMath) -> TurnedNest | None:
    """The kernel with loads replaced, None where there are none to replace.

    Args:
        kernel: A normalised kernel.
        math: Index polynomials that know its axes.
    """
    nest = kernel.body[0]
    if len(kernel.body) != 1 or not isinstance(nest, Par) or not _is_pointwise(nest):
        return None
    columns = _contiguous(kernel, nest, math)
    if columns is None:
        return None
    found: dict[Expr, TurnedLoad] = {}
    rows: Axis | None = None
    for access in dict.fromkeys(_sure_loads(nest)):
        param = kernel.param(access.attr)
        if param is None or param.mode != "in" or param.dtype.kind == "b":
            continue
        offset = flat_offset(math, param, access.args)
        column = _stride(offset, columns)
        row = next((a for a in nest.axes if _stride(offset, a) == 1), None)
        if row is None or column in (None, 0, 1) or rows not in (None, row):
            continue
        assert column is not None
        rows = row
        found[access] = TurnedLoad(f"%turned{len(found)}", access, column)
    if rows is None or any(
        isinstance(a.extent, int) and a.extent < _FEWEST for a in (rows, columns)
    ):
        return None
    return TurnedNest(
        _replaced(kernel, nest, found, (rows, columns)), rows, columns, (*found.values(),)
    )


def _is_pointwise(nest: Par) -> bool:
    if any(a.block is not None for a in nest.axes):
        return False
    if not all(isinstance(s, Assign) and not s.axes and not s.accumulate for s in nest.body):
        return False
    return not any(x.op in ("reduce", "dot", "block") for e in _values(nest) for x in walk(e))


def _values(nest: Par) -> Iterator[Expr]:
    for s in nest.body:
        assert isinstance(s, Assign)
        yield from (*s.ix, s.expr)


def _sure_loads(nest: Par) -> Iterator[Expr]:
    """Loads that are of memory for each element: none of those that are padded."""
    pending, seen = list(_values(nest)), set[int]()
    while pending:
        e = pending.pop()
        if id(e) in seen:
            continue
        seen.add(id(e))
        if e.op == "load":
            yield e
        pending.extend(() if e.op == "pad" else e.args)


def _contiguous(kernel: Kernel, nest: Par, math: IndexMath) -> Axis | None:
    """The axis along which all outputs are contiguous."""
    axes: set[Axis] = set()
    for s in nest.body:
        assert isinstance(s, Assign)
        param = kernel.param(s.name)
        if param is not None:
            offset = flat_offset(math, param, s.ix)
            along = [a for a in nest.axes if _stride(offset, a) == 1]
            axes |= {along[-1]} if along else set(nest.axes)
    return axes.pop() if len(axes) == 1 else None


def _stride(at: Dim, axis: Axis) -> Dim | None:
    """Elements from one iteration of an axis to the next, None where that varies."""
    outside = any(n[0] == "$" for n in symbols_of(at))  # an index out of memory
    return None if outside else stride_along(at, axis.name)


def _replaced(
    kernel: Kernel, nest: Par, found: dict[Expr, TurnedLoad], axes: tuple[Axis, Axis]
) -> Kernel:
    rows, columns = axes
    at = index(rows.name), index(columns.name)

    def change(e: Expr) -> Expr | None:
        return load(found[e].name, at, e.dtype) if e in found else None

    body = tuple(
        replace(s, expr=rewrite(s.expr, change)) for s in nest.body if isinstance(s, Assign)
    )
    params = tuple(
        Param(t.name, "in", t.access.dtype, (rows.extent, COLUMNS)) for t in found.values()
    )
    nests = (Par(nest.axes, body),) if found else (nest,)
    return replace(kernel, params=(*kernel.params, *params), body=nests)
