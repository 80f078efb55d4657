"""Merges neighbouring axes that every access walks as one.

Those of a nest or a reduction, so that inner loops are long, and those of an input, so that it is
contiguous along what it is read by:

par i<8, j<3: o[i,j] = x[i,j]*y[i,j]      becomes      par n<24: o[n] = x[n]*y[n]
sum(i<8, j<3, x[k,i,j])                   becomes      sum(n<24, x[k,n])
par n<24: o[n] = x[n/3,n%3]               becomes      par n<24: o[n] = x[n]
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence

from dlc.codegen.kernel_ir import Assign, Par, Param, Stmt
from dlc.codegen.kernel_transform import map_expressions, rebuild
from dlc.ir.dims import Dim, mul
from dlc.ir.record import replace
from dlc.ir.scalar import Axis, Expr, fresh_axis, index, reduced_axes, walk


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
    tried: set[str] = set()
    while (pair := _next_pair(nest, tried)) is not None:
        tried.add(pair[0].name)
        merged = _Merge(nest, kept, pair).run()
        if merged is not None:
            nest, kept = merged
    return [nest], kept


def _next_pair(nest: Par, tried: Collection[str]) -> tuple[Axis, Axis] | None:
    """The last axis of a list that was not tried yet, with the one after it."""
    for axes in _axis_lists(nest):
        for pair in reversed(list(itertools.pairwise(axes))):
            if pair[0].name not in tried:
                return pair
    return None


def _axis_lists(nest: Par) -> Iterator[tuple[Axis, ...]]:
    """The axes of a nest, of its assignments, and of what these reduce over, side by side."""
    yield nest.axes
    for s in _assigns(nest):
        yield s.axes
        for x in walk(s.expr):
            yield reduced_axes(x)


def _assigns(nest: Par) -> Iterator[Assign]:
    for s in nest.body:
        assert isinstance(s, Assign)
        yield s


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
    """Tries to make a pair of neighbouring axes one, and all pairs that walk the same tensors."""

    def __init__(self, nest: Par, params: tuple[Param, ...], pair: tuple[Axis, Axis]) -> None:
        self.nest, self.params = nest, {p.name: p for p in params}
        self.pairs = {
            (a.name, b.name): (a, b)
            for axes in _axis_lists(nest)
            for a, b in itertools.pairwise(axes)
        }
        self.merged: dict[tuple[str, str], Axis] = {}
        self.names: set[str] = set()  # of the axes that are merged
        self.at: dict[str, int] = {}  # the dim at which tensors have a pair
        self.memo: dict[int, Expr] = {}
        self._add(pair)

    def run(self) -> tuple[Par, tuple[Param, ...]] | None:
        """The nest and parameters after the merge; None where something keeps the axes apart."""
        if any(a.block is not None or b.block is not None for a, b in self.pairs.values()):
            return None
        every = list(accesses(_assigns(self.nest)))
        known = 0
        while known < len(self.names) + len(self.at):  # until no access adds a pair or a tensor
            known = len(self.names) + len(self.at)
            if not all(self._fits(name, ix) for name, ix in every):
                return None
        if self._is_value() or not self._is_apart():
            return None
        body = tuple(self._assign(s) for s in _assigns(self.nest))
        params = tuple(self._param(p) for p in self.params.values())
        return Par(self._axes(self.nest.axes), body), params

    def _add(self, pair: tuple[Axis, Axis]) -> None:
        a, b = pair
        if (a.name, b.name) not in self.merged:
            self.merged[a.name, b.name] = Axis(fresh_axis(), mul(a.extent, b.extent))
            self.names |= {a.name, b.name}

    def _fits(self, name: str, ix: tuple[Expr, ...]) -> bool:
        """Whether an access holds a pair where all of its tensor do, and no axis elsewhere."""
        hits = [d for d, e in enumerate(ix) if self._mentions(e)]
        d = self.at.get(name, hits[0] if hits else None)
        if d is None:
            return True
        if not set(hits) <= {d, d + 1} or d + 1 >= len(ix):
            return False
        a, b = ix[d], ix[d + 1]
        pair = self.pairs.get((a.attr, b.attr)) if a.op == b.op == "index" else None
        if pair is None or not self._is_whole(name, d, pair):
            return False
        self.at[name] = d
        self._add(pair)
        return True

    def _is_whole(self, name: str, d: int, pair: tuple[Axis, Axis]) -> bool:
        """Whether a pair walks all of two dims of a tensor, as all that do are alike."""
        param, (a, b) = self.params.get(name), pair
        if param is not None:
            return param.dims[d : d + 2] == (a.extent, b.extent)
        stored = next(s.ix for s in _assigns(self.nest) if s.name == name)
        first = self.pairs.get((stored[d].attr, stored[d + 1].attr))
        return first is not None and [x.extent for x in first] == [x.extent for x in pair]

    def _mentions(self, e: Expr) -> bool:
        return any(x.op in ("index", "block") and x.attr in self.names for x in walk(e))

    def _is_apart(self) -> bool:
        """Whether each axis is in one pair only, and never without the other one."""
        pairs = [name for pair in self.merged for name in pair]
        if len(pairs) != len(self.names):
            return False
        for axes in _axis_lists(self.nest):
            names = [a.name for a in axes]
            together = sum(pair in self.merged for pair in itertools.pairwise(names))
            if sum(name in self.names for name in names) != 2 * together:
                return False
        return True

    def _is_value(self) -> bool:
        """Whether an axis is used other than as an index of an access."""
        seen: set[int] = set()
        stack = [s.expr for s in _assigns(self.nest)]
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

    def _axes(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        found: list[Axis] = []
        for axis in axes:
            before = found[-1].name if found else ""
            if (before, axis.name) in self.merged:
                found[-1] = self.merged[before, axis.name]
            else:
                found.append(axis)
        return tuple(found)

    def _ix(self, name: str, ix: tuple[Expr, ...]) -> tuple[Expr, ...]:
        d = self.at.get(name)
        if d is None:
            return ix
        return (*ix[:d], index(self.merged[ix[d].attr, ix[d + 1].attr].name), *ix[d + 2 :])

    def _expr(self, e: Expr) -> Expr:
        return rebuild(e, self.memo, self._node)

    def _node(self, x: Expr, args: tuple[Expr, ...]) -> Expr:
        if x.op == "reduce":
            return Expr(x.op, args, x.dtype, (x.attr[0], self._axes(x.attr[1])))
        if x.op == "dot":
            return Expr(x.op, args, x.dtype, self._axes(x.attr))
        return x.with_args(self._ix(x.attr, args) if x.op == "load" else args)

    def _assign(self, s: Assign) -> Assign:
        ix = self._ix(s.name, s.ix)
        return replace(s, ix=ix, axes=self._axes(s.axes), expr=self._expr(s.expr))

    def _param(self, p: Param) -> Param:
        d = self.at.get(p.name)
        return p if d is None else replace(p, dims=_merged(p.dims, d))
