"""Canonical names: kernels that differ in names alone become equal, and so does their code."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from dlc.codegen.kernel_ir import Assign, For, Host, Kernel, Par, Sort, Stmt
from dlc.codegen.kernel_printer import print_kernel
from dlc.ir.dims import Dim, DimExpr, substitute, symbol
from dlc.ir.op import map_attr_dims
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr, reduced_axes


def normalised_text(kernel: Kernel) -> str:
    """The text of `canonical(kernel)`: the part of a cache key that says what a kernel computes.

    Example:
        >>> text = "kernel f(x: f32[N], out y: f32[N]): par n<N: y[n]=x[n]"
        >>> print(normalised_text(parse_kernel(text)))
        kernel k(p0: f32[d0], out p1: f32[d0]):
         par i0<d0:
          p1[i0] = p0[i0]
    """
    return print_kernel(canonical(kernel))


def canonical(kernel: Kernel) -> Kernel:
    """The kernel with its own name and those of dims, params, axes and locals numbered in order."""
    return _Renamer(kernel).run()


@dataclass(frozen=True)
class _Names:
    """New names in a scope, by old name."""

    axes: dict[str, str]
    tensors: dict[str, str]


class _Renamer:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.dims: dict[str, Dim] = {name: symbol(f"d{k}") for k, name in enumerate(kernel.dims)}
        self.params = {p.name: f"p{k}" for k, p in enumerate(kernel.params)}
        self.local_numbers: Iterator[int] = itertools.count()

    def run(self) -> Kernel:
        params = tuple(
            replace(
                p,
                name=self.params[p.name],
                dims=tuple(map(self.dim, p.dims)),
                may_alias=tuple(self.params[a] for a in p.may_alias),
            )
            for p in self.kernel.params
        )
        dims = tuple(f"d{k}" for k in range(len(self.kernel.dims)))
        body = self.body(self.kernel.body, _Names({}, dict(self.params)))
        host = self.kernel.host
        if host is not None:
            host = Host(host.op, tuple(map_attr_dims(a, self.dim) for a in host.attrs))
        return Kernel("k", params, dims, body, host)

    def dim(self, d: Dim) -> Dim:
        return substitute(d, self.dims)

    def enter(self, axes: Iterable[Axis], names: _Names) -> tuple[tuple[Axis, ...], _Names]:
        """The axes under new names (the open block keeps its own), and the scope inside of them."""
        renamed: list[Axis] = []
        inner = _Names(dict(names.axes), dict(names.tensors))
        for axis in axes:
            opened = axis.block is not None and axis.name in names.axes
            if not opened:
                # By depth, so that equal reductions side by side stay equal.
                inner.axes[axis.name] = f"i{len(inner.axes)}"
            renamed.append(Axis(inner.axes[axis.name], self.dim(axis.extent), axis.block))
        return tuple(renamed), inner

    # Statements

    def body(self, body: tuple[Stmt, ...], names: _Names) -> tuple[Stmt, ...]:
        return tuple(self.statement(s, names) for s in body)

    def statement(self, s: Stmt, names: _Names) -> Stmt:
        if isinstance(s, Assign):
            return self.assign(s, names)
        if isinstance(s, Sort):
            return self.sort(s, names)
        if isinstance(s, Par):
            axes, inner = self.enter(s.axes, names)
            return Par(axes, self.body(s.body, inner))
        carry = tuple(self.assign(c, names) for c in s.carry)
        (axis,), inner = self.enter((s.axis,), names)
        following = {f"next_{c.name}": f"next_{names.tensors[c.name]}" for c in s.carry}
        inner.tensors.update(following)
        condition = None if s.condition is None else self.expression(s.condition, inner)
        return For(axis, self.body(s.body, inner), carry, condition)

    def assign(self, s: Assign, names: _Names) -> Assign:
        axes, inner = self.enter(s.axes, names)
        expr = self.expression(s.expr, inner)
        ix = tuple(self.expression(e, inner) for e in s.ix)
        if s.name not in names.tensors:
            names.tensors[s.name] = f"t{next(self.local_numbers)}"
        return Assign(names.tensors[s.name], ix, axes, expr, s.accumulate)

    def sort(self, s: Sort, names: _Names) -> Sort:
        (over,), inside = self.enter((s.over,), names)
        expr = self.expression(s.expr, inside)
        (axis,), inner = self.enter((s.axis,), names)
        ix = tuple(self.expression(e, inner) for e in s.ix)
        for name in s.names:
            names.tensors[name] = f"t{next(self.local_numbers)}"
        values, positions = (n and names.tensors[n] for n in (s.values, s.positions))
        return Sort(values, positions, ix, axis, over, expr, s.descending)

    # Expressions

    def expression(self, e: Expr, names: _Names) -> Expr:
        """`e` under new names; iterative, since expressions may be deep."""
        done: dict[int, Expr] = {}
        stack = [(e, False)]
        while stack:
            node, ready = stack.pop()
            if id(node) in done:
                continue
            if reduced_axes(node) or node.op in ("reduce", "dot"):
                done[id(node)] = self.reduction(node, names)
            elif ready:
                done[id(node)] = self.node(node, tuple(done[id(a)] for a in node.args), names)
            else:
                stack.append((node, True))
                stack.extend((a, False) for a in reversed(node.args))
        return done[id(e)]

    def node(self, e: Expr, args: tuple[Expr, ...], names: _Names) -> Expr:
        attr = e.attr
        if e.op in ("index", "block"):
            attr = names.axes[attr]
        elif e.op == "load":
            attr = names.tensors[attr]
        elif e.op == "dim" and isinstance(attr, DimExpr):
            attr = self.dim(attr)
        return Expr(e.op, args, e.dtype, attr)

    def reduction(self, e: Expr, names: _Names) -> Expr:
        axes, inner = self.enter(reduced_axes(e), names)
        args = tuple(self.expression(a, inner) for a in e.args)
        return Expr(e.op, args, e.dtype, axes if e.op == "dot" else (e.attr[0], axes))
