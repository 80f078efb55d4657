"""Recognises a kernel that is one contraction with an epilogue, and brings it to matrix form.

Matrix form is `par outer.., m<M, n<N: acc = dot(k<K, a*b); stores of expressions of acc`: axes of
one role whose strides allow it are merged into one, so that only one m, n and k axis is left, and
the n axis is one along which the outputs are contiguous where there is such an axis.

An operand that is read by windows or with steps is gathered: along m, n or k it has several parts,
the axes that were merged all the same, and its offsets are the sums of those of the parts.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from dlc.codegen.index_math import (
    IndexMath,
    axis_name,
    evaluate_at,
    stride_along,
)
from dlc.codegen.kernel_ir import Assign, Kernel, Par, Param
from dlc.codegen.kernel_transform import rename_axes, rewrite
from dlc.codegen.scalar_math import expand_all
from dlc.ir.dims import Dim, add, mul, product, symbol
from dlc.ir.panels import panels_of
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr, const, load, walk
from dlc.ir.types import DType, int64

ACCUMULATOR = "$acc"  # the local that holds the contraction in the epilogue

Parts: TypeAlias = tuple[tuple[Dim, Dim], ...]


@dataclass(frozen=True)
class Operand:
    """One factor of the product, in matrix form.

    tensor: the parameter that it is loaded from.
    dtypes: its type in memory, then each that it is converted to; the last is the accumulator's.
    at: the flattened offset of an element, a polynomial over the axes.
    stride: elements between neighbours along m (of `a`) or n (of `b`).
    k_stride: elements between neighbours along k; None when it is gathered. `at` is then the offset
        of the element where m, n and k are 0.
    parts, k_parts: of a gathered operand, (extent, stride) of the axes that m or n, and k, consist
        of; the last varies fastest.
    panel: the width of the panels that it is stored in, 0 for none. `at` then holds for columns
        that begin a panel; in it, neighbours along n are adjacent.
    """

    tensor: str
    dtypes: tuple[DType, ...]
    at: Dim
    stride: Dim
    k_stride: Dim | None
    panel: int = 0
    parts: Parts = ()
    k_parts: Parts = ()


@dataclass(frozen=True)
class Contraction:
    """A kernel in matrix form.

    stores: the outputs, whose expressions load the contraction as `ACCUMULATOR`.
    direct: for a single output that is the contraction itself, contiguous along n: the flattened
        offset of an element and the elements between its rows. None otherwise.
    turned: whether the first output is contiguous along m.
    """

    kernel: Kernel
    dtype: DType
    a: Operand
    b: Operand
    outer: tuple[Axis, ...]
    m: Axis
    n: Axis
    k: Axis
    stores: tuple[Assign, ...]
    math: IndexMath
    direct: tuple[Dim, Dim] | None
    turned: bool

    @property
    def batches(self) -> Dim:
        """The number of matrix products."""
        return product(a.extent for a in self.outer)


@functools.lru_cache(16)  # a kernel is first asked for what it is, then written
def contraction_of(kernel: Kernel) -> Contraction | None:
    """The matrix form of `kernel`; None unless it is one contraction with an epilogue."""
    body = _inlined(kernel)
    if body is None:
        return None
    par, node, stores = body
    a, b = (_loaded(x) for x in node.args)
    if a is None or b is None:
        return None
    axes = (*par.axes, *node.attr)
    if any(x.block is not None for x in axes):
        return None
    return _Matching(kernel, par.axes, node, a, b, stores).matrix_form()


def _inlined(kernel: Kernel) -> tuple[Par, Expr, tuple[Assign, ...]] | None:
    """(loop nest, the dot node, stores of expressions of it) when there is one dot alone."""
    if len(kernel.body) != 1 or not isinstance(kernel.body[0], Par):
        return None
    par, values = kernel.body[0], dict[str, Expr]()
    stores: list[Assign] = []

    def local(e: Expr) -> Expr | None:
        if e.op == "pad" and e.args[0].attr in values:
            return values[e.args[0].attr]  # an element that this very iteration has made
        return values.get(e.attr) if e.op == "load" else None

    for s in par.body:
        if not isinstance(s, Assign) or s.axes or s.accumulate:
            return None
        expr = rewrite(s.expr, local)
        if kernel.param(s.name) is None:
            values[s.name] = expr
        else:
            stores.append(replace(s, expr=expr))
    nodes = [x for s in stores for e in (*s.ix, s.expr) for x in walk(e)]
    dots = {x for x in nodes if x.op == "dot"}
    outputs = {s.name for s in stores}
    if len(dots) != 1 or any(x.op in ("reduce", "block") for x in nodes):
        return None
    (node,) = dots
    if any(x.op == "load" and x.attr in outputs for x in walk(node)):
        return None
    accumulator = load(ACCUMULATOR, (), node.dtype)

    def replaced(e: Expr) -> Expr | None:
        return accumulator if e == node else None

    done = tuple(replace(s, expr=expand_all(rewrite(s.expr, replaced))) for s in stores)
    written_later = [s.name for k, s in enumerate(done) if _rereads(done[k + 1 :], s.name)]
    return None if written_later else (par, node, done)


def _rereads(later: Sequence[Assign], name: str) -> bool:
    return any(x.op == "load" and x.attr == name for s in later for x in walk(s.expr))


def _loaded(e: Expr) -> tuple[Expr, tuple[DType, ...]] | None:
    """(the load, the types it passes through) of conversions of a load."""
    dtypes: list[DType] = [e.dtype]
    while e.op == "convert":
        e = e.args[0]
        dtypes.append(e.dtype)
    if e.op != "load" or any(
        x.op in ("load", "reduce", "dot", "pad") for i in e.args for x in walk(i)
    ):
        return None
    return e, tuple(reversed(dtypes))


def _axes_in(expressions: Iterable[Expr]) -> set[str]:
    return {x.attr for e in expressions for x in walk(e) if x.op == "index"}


@dataclass
class _Matching:
    """The work of `contraction_of` once the parts are known."""

    kernel: Kernel
    axes: tuple[Axis, ...]
    node: Expr
    a: tuple[Expr, tuple[DType, ...]]
    b: tuple[Expr, tuple[DType, ...]]
    stores: tuple[Assign, ...]
    m_taken: Sequence[Axis] = ()
    n_taken: Sequence[Axis] = ()

    def matrix_form(self) -> Contraction | None:
        """The result; None without an m or n axis, or when an offset is not affine in them."""
        in_a, in_b = _axes_in(self.a[0].args), _axes_in(self.b[0].args)
        if not any(x.name in in_a ^ in_b for x in self.axes):
            return None  # products of vectors are better reduced across lanes
        self._drop_unit_axes()
        in_a, in_b = _axes_in(self.a[0].args), _axes_in(self.b[0].args)
        m = [x for x in self.axes if x.name in in_a - in_b]
        n = [x for x in self.axes if x.name in in_b - in_a]
        if self._columns_of_a({x.name for x in m}):
            self.a, self.b, m, n = self.b, self.a, n, m
        n = self._contiguous_last(n)
        m_axis, m_rest, self.m_taken = self._merged(m, "$m", self.a[0])
        n_axis, n_rest, self.n_taken = self._merged(n, "$n", self.b[0])
        outer = {x.name for x in (*m_rest, *n_rest)} | (in_a & in_b) | self._unused(in_a | in_b)
        outer_axes = tuple(x for x in self.axes if x.name in outer)
        return self._finish(outer_axes, m_axis, n_axis)

    def _unused(self, used: set[str]) -> set[str]:
        return {x.name for x in self.axes} - used

    def _drop_unit_axes(self) -> None:
        both = (*self.axes, *self.node.attr)
        self._rename({x.name: const(0, int64) for x in both if x.extent == 1})
        self.axes = tuple(x for x in self.axes if x.extent != 1)
        self.node = Expr(
            "dot",
            self.node.args,
            self.node.dtype,
            tuple(x for x in self.node.attr if x.extent != 1),
        )

    def _rename(self, names: Mapping[str, Expr]) -> None:
        self.a = (rename_axes(self.a[0], names), self.a[1])
        self.b = (rename_axes(self.b[0], names), self.b[1])
        self.stores = tuple(
            replace(
                s,
                ix=tuple(rename_axes(i, names) for i in s.ix),
                expr=rename_axes(s.expr, names),
            )
            for s in self.stores
        )

    def _flat(self, math: IndexMath, name: str, ix: Sequence[Expr]) -> Dim:
        param = self.kernel.param(name)
        assert param is not None
        return flat_offset(math, param, ix)

    def _math(self, axes: Iterable[Axis]) -> IndexMath:
        math = IndexMath()
        for axis in axes:
            math.declare(axis)
        return math

    def _contiguous_output(self) -> str | None:
        """The axis along which the first output is contiguous."""
        first = self.stores[0]
        at = self._flat(self._math(self.axes), first.name, first.ix)
        return next((x.name for x in reversed(self.axes) if stride_along(at, x.name) == 1), None)

    def _columns_of_a(self, axes: set[str]) -> bool:
        """Whether columns are the axes of a, not those of b.

        What is in panels has columns; if neither is, those that the first output has side by side.
        """
        in_a, in_b = (panels_of(x.args) for x, _ in (self.a, self.b))
        if in_a is not None or in_b is not None:
            return in_b is None
        return self._contiguous_output() in axes

    def _contiguous_last(self, n: list[Axis]) -> list[Axis]:
        best = self._contiguous_output()
        return [x for x in n if x.name != best] + [x for x in n if x.name == best]

    def _places(self) -> tuple[list[Expr], set[str]]:
        """(loads in the epilogue and places stored to, axes whose values it uses otherwise)."""
        places = [load(s.name, s.ix) for s in self.stores]
        other: set[str] = set()
        pending = [s.expr for s in self.stores]
        seen: set[int] = set()
        while pending:
            e = pending.pop()
            if id(e) in seen:
                continue
            seen.add(id(e))
            if e.op == "load":
                if e.attr != ACCUMULATOR:
                    places.append(e)
            elif e.op in ("pad", "index"):
                other |= _axes_in([e])
                pending.extend(e.args[1:])
            else:
                pending.extend(e.args)
        return places, other

    def _merged(
        self, axes: list[Axis], name: str, read: Expr
    ) -> tuple[Axis, list[Axis], list[Axis]]:
        """(one axis for as many of the innermost axes as merge, the rest, those in the one)."""
        if not axes:
            return Axis(name, 1), [], []
        places, other = self._places()
        math = self._math((*self.axes, *self.node.attr))
        ats = [self._flat(math, e.attr, e.args) for e in places]
        if not self._is_gathered(read):
            ats.append(self._flat(math, read.attr, read.args))
        last, rest = axes[-1], axes[:-1]
        taken, extent = [last], last.extent
        while rest and last.name not in other and rest[-1].name not in other:
            if not all(_merges(at, rest[-1].name, last.name, extent) for at in ats):
                break
            extent = mul(rest[-1].extent, extent)
            taken.insert(0, rest.pop())
        return Axis(last.name, extent), rest, taken

    def _is_gathered(self, read: Expr) -> bool:
        """Whether some index of an operand is more than an axis: of a window, or in steps."""
        summed = {x.name for x in self.node.attr}
        math = self._math((*self.axes, *self.node.attr))
        for e in read.args:
            own = _axes_in([e])
            if own & summed and own - summed:
                return True
            step = stride_along(math.polynomial(e), next(iter(own))) if len(own) == 1 else 1
            if isinstance(step, int) and step != 1:
                return True
        return False

    def _finish(self, outer: tuple[Axis, ...], m: Axis, n: Axis) -> Contraction | None:
        axes = self.node.attr
        k = Axis(axes[-1].name, product(x.extent for x in axes)) if axes else Axis("$k", 1)
        every = self._math((*self.axes, *axes))
        operands: list[Operand] = []
        for (e, dtypes), axis, taken in ((self.a, m, self.m_taken), (self.b, n, self.n_taken)):
            panels = panels_of(e.args) if axis is n else None
            at = self._flat(every, e.attr, e.args)
            if panels is not None and panels.axis == n.name:
                at = self._panel_offset(every, e, panels.width)
            parts, k_parts = _parts(at, taken), _parts(at, axes)
            if parts is None or k_parts is None:
                return None
            last = () if dtypes[-1] is self.node.dtype else (self.node.dtype,)
            width = 0 if panels is None else panels.width
            made = Operand(e.attr, (*dtypes, *last), at, 0, None, width, parts, k_parts)
            operands.append(_placed(made, axis.name, k.name, (*taken, *axes)))
        self._rename({x.name: const(0, int64) for x in (*self.m_taken[:-1], *self.n_taken[:-1])})
        math = self._math((*outer, m, n, k))
        first = self._flat(math, self.stores[0].name, self.stores[0].ix)
        turned = (
            stride_along(first, m.name) == 1 and stride_along(first, n.name) != 1 and n.extent != 1
        )
        return Contraction(
            self.kernel, self.node.dtype, operands[0], operands[1], outer, m, n, k, self.stores,
            math, self._direct(math, m, n), turned,
        )  # fmt: skip

    def _panel_offset(self, math: IndexMath, e: Expr, width: int) -> Dim:
        """The offset of `w[j/width,k,j%width]` where column j begins a panel."""
        param = self.kernel.param(e.attr)
        assert param is not None
        column = math.polynomial(e.args[0].args[0])
        return add(mul(column, param.dims[1]), mul(math.polynomial(e.args[1]), width))

    def _direct(self, math: IndexMath, m: Axis, n: Axis) -> tuple[Dim, Dim] | None:
        first = self.stores[0]
        if len(self.stores) > 1 or first.expr != load(ACCUMULATOR, (), self.node.dtype):
            return None
        param = self.kernel.param(first.name)
        at = self._flat(math, first.name, first.ix)
        rows = stride_along(at, m.name)
        if param is None or param.dtype is not self.node.dtype or rows is None:
            return None
        return (at, rows) if n.extent == 1 or stride_along(at, n.name) == 1 else None


def flat_offset(math: IndexMath, param: Param, ix: Sequence[Expr]) -> Dim:
    """The row-major offset of an element, a polynomial over the axes."""
    at: Dim = 0
    for i, extent in zip(ix, param.dims, strict=True):
        at = add(mul(at, extent), math.polynomial(i))
    return math.recombine(at)


def _merges(at: Dim, outer: str, inner: str, inner_extent: Dim) -> bool:
    a, b = stride_along(at, outer), stride_along(at, inner)
    return a is not None and b is not None and a == mul(b, inner_extent)


def _parts(at: Dim, axes: Sequence[Axis]) -> Parts | None:
    """(extent, stride) of axes in an offset, neighbours that are walked as one made one."""
    found: list[tuple[Dim, Dim]] = []
    for axis in axes:
        stride = stride_along(at, axis.name)
        if stride is None:
            return None
        if found and found[-1][1] == mul(stride, axis.extent):
            found[-1] = (mul(found[-1][0], axis.extent), stride)
        else:
            found.append((axis.extent, stride))
    return tuple(found)


def _placed(operand: Operand, name: str, k: str, axes: Sequence[Axis]) -> Operand:
    """An operand with the strides along m or n and k, or gathered, and the offset that is left."""
    at = evaluate_at(operand.at, {axis_name(x.name): 0 for x in axes})
    strides = [parts[-1][1] if parts else 0 for parts in (operand.parts, operand.k_parts)]
    if len(operand.parts) > 1 or len(operand.k_parts) > 1:
        return replace(operand, at=at, stride=strides[0])
    for axis, stride in zip((name, k), strides, strict=True):
        at = add(at, mul(symbol(axis_name(axis)), stride))
    return replace(operand, at=at, stride=strides[0], k_stride=strides[1], parts=(), k_parts=())
