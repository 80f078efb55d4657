"""Merges neighbouring axes that every access walks as one.

Those of a nest, so that inner loops are long, and those of an input, so that it is contiguous along
what it is read by:

par i<8, j<3: o[i,j] = x[i,j]*y[i,j]      becomes      par n<24: o[n] = x[n]*y[n]
par n<24: o[n] = x[n/3,n%3]               becomes      par n<24: o[n] = x[n]
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from dlc.codegen.kernel_ir import Assign, Par, Param, Stmt
from dlc.codegen.kernel_transform import map_expressions, rebuild
from dlc.ir.dims import Dim, mul
from dlc.ir.scalar import Axis, Expr, fresh_axis, index, walk


def collapse_axes(
    stmts: Sequence[Stmt], params: Sequence[Param]
) -> tuple[list[Stmt], tuple[Param, ...]]:
    """The statements and parameters with axes merged where possible."""
    nest = stmts[0]
    if len(stmts) != 1 or not isinstance(nest, Par):
        return list(stmts), tuple(params)
    if not all(isinstance(s, Assign) for s in nest.body):
        return list(stmts), tuple(params)
    kept = tuple(params)
    k = len(nest.axes) - 2
    while k >= 0:
        merged = _Merge(nest, kept, k).run()
        if merged is not None:
            nest, kept = merged
        k -= 1
    return [nest], kept


def accesses(assigns: Iterable[Assign]) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    """The tensors that assignments store and load, each with the indices."""
    for s in assigns:
        yield s.name, s.ix
        for e in (*s.ix, s.expr):
            for x in walk(e):
                if x.op == "load":
                    yield x.attr, x.args


def merge_digits(
    stmts: Sequence[Stmt], params: Sequence[Param]
) -> tuple[tuple[Stmt, ...], tuple[Param, ...]]:
    """The statements and parameters with those axes of inputs merged that numbers are split over.

    An element of `x[..,n/D,n%D,..]` is that of n where these two axes are one.
    """
    body = tuple(stmts)
    reads = _reads(body, {p.name for p in params if p.mode == "in"})
    merges = {p.name: _digits(p.dims, reads[p.name]) for p in params if p.name in reads}
    if not any(merges.values()):
        return body, tuple(params)
    memo: dict[int, Expr] = {}

    def change(x: Expr, args: tuple[Expr, ...]) -> Expr:
        for d in merges.get(x.attr, ()) if x.op == "load" else ():
            args = _joined(args, d)
        return x.with_args(args)

    kept = tuple(_without(p, merges.get(p.name, ())) for p in params)
    return map_expressions(body, lambda e: rebuild(e, memo, change)), kept


def _reads(body: tuple[Stmt, ...], names: set[str]) -> dict[str, list[tuple[Expr, ...]]]:
    """The indices of all loads of some tensors, of those that are loaded."""
    found: dict[str, list[tuple[Expr, ...]]] = {}

    def note(e: Expr) -> Expr:
        for x in walk(e):
            if x.op == "load" and x.attr in names:
                found.setdefault(x.attr, []).append(x.args)
        return e

    map_expressions(body, note)
    return found


def _digits(dims: tuple[Dim, ...], places: Sequence[tuple[Expr, ...]]) -> list[int]:
    """The axes to merge with those that follow them, one after the other.

    The first digits are those of what the last ones leave, so they come first.
    """
    found: list[int] = []
    d = 0
    while d < len(dims) - 1:
        if all(_are_digits(ix, d, dims[d + 1]) for ix in places):
            found.append(d)
            dims = _merged(dims, d)
            places = [_joined(ix, d) for ix in places]
        else:
            d += 1
    return found


def _without(param: Param, merged: Sequence[int]) -> Param:
    return replace(param, dims=functools.reduce(_merged, merged, param.dims))


def _merged(dims: tuple[Dim, ...], d: int) -> tuple[Dim, ...]:
    return (*dims[:d], mul(dims[d], dims[d + 1]), *dims[d + 2 :])


def _are_digits(ix: Sequence[Expr], d: int, base: Dim) -> bool:
    """Whether two indices are the quotient of a number by `base` and what is left."""
    high, low = ix[d], ix[d + 1]
    if (high.op, low.op) != ("floordiv", "mod") or high.args != low.args:
        return False
    by = high.args[1]
    return by.op in ("dim", "const") and by.attr == base


def _joined(ix: tuple[Expr, ...], d: int) -> tuple[Expr, ...]:
    return (*ix[:d], ix[d].args[0], *ix[d + 2 :])


class _Merge:
    """Tries to make one axis of `nest.axes[k]` and the one after it."""

    def __init__(self, nest: Par, params: tuple[Param, ...], k: int) -> None:
        self.nest, self.k = nest, k
        self.params = {p.name: p for p in params}
        self.a, self.b = nest.axes[k : k + 2]
        self.names = {self.a.name, self.b.name}
        self.merged = Axis(fresh_axis(), self.a.extent * self.b.extent)
        self.at: dict[str, int | None] = {}  # the dim of each tensor at which the pair stands
        self.memo: dict[int, Expr] = {}

    def run(self) -> tuple[Par, tuple[Param, ...]] | None:
        """The nest and parameters after the merge; None where an access keeps the axes apart."""
        if self.a.block is not None or self.b.block is not None:
            return None
        if (
            not all(self._fits(name, ix) for name, ix in accesses(self._assigns()))
            or self._is_value()
        ):
            return None
        body = tuple(self._assign(s) for s in self.nest.body if isinstance(s, Assign))
        axes = (*self.nest.axes[: self.k], self.merged, *self.nest.axes[self.k + 2 :])
        return Par(axes, body), tuple(self._param(p) for p in self.params.values())

    def _assigns(self) -> Iterator[Assign]:
        for s in self.nest.body:
            assert isinstance(s, Assign)
            yield s

    def _mentions(self, e: Expr) -> bool:
        return any(x.op in ("index", "block") and x.attr in self.names for x in walk(e))

    def _fits(self, name: str, ix: tuple[Expr, ...]) -> bool:
        """Whether an access holds the pair side by side, or not at all, as all of its tensor do."""
        hits = [d for d, e in enumerate(ix) if self._mentions(e)]
        place: int | None = None
        if hits:
            d = hits[0]
            if hits != [d, d + 1] or ix[d] != index(self.a.name) or ix[d + 1] != index(self.b.name):
                return False
            param = self.params.get(name)
            if param is not None and param.dims[d : d + 2] != (self.a.extent, self.b.extent):
                return False
            place = d
        return self.at.setdefault(name, place) == place

    def _is_value(self) -> bool:
        """Whether an axis is used other than as an index of an access."""
        seen: set[int] = set()
        stack = [s.expr for s in self._assigns()]
        while stack:
            e = stack.pop()
            if id(e) in seen:
                continue
            seen.add(id(e))
            if e.op == "index" and e.attr in self.names:
                return True
            inside = e.op == "load"
            stack.extend(a for a in e.args if not (inside and a.op == "index"))
        return False

    def _ix(self, name: str, ix: tuple[Expr, ...]) -> tuple[Expr, ...]:
        d = self.at[name]
        return ix if d is None else (*ix[:d], index(self.merged.name), *ix[d + 2 :])

    def _expr(self, e: Expr) -> Expr:
        return rebuild(e, self.memo, self._node)

    def _node(self, x: Expr, args: tuple[Expr, ...]) -> Expr:
        return x.with_args(self._ix(x.attr, args) if x.op == "load" else args)

    def _assign(self, s: Assign) -> Assign:
        return replace(s, ix=self._ix(s.name, s.ix), expr=self._expr(s.expr))

    def _param(self, p: Param) -> Param:
        d = self.at.get(p.name)
        if d is None:
            return p
        return replace(p, dims=(*p.dims[:d], self.merged.extent, *p.dims[d + 2 :]))
