"""Nests with an axis whose quotient and rest are what it is used by, as nests over these two.

    par k<768: o[k] = x[k/64,k%64]+b[k]
    par i<12, j<64: o[i,j] = x[i,j]+b[i,j]

In the first form elements next to each other are read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.collapse import accesses
from dlc.codegen.kernel_ir import Assign, Par, Param, Stmt
from dlc.codegen.kernel_transform import rebuild
from dlc.ir.dims import Dim
from dlc.ir.record import replace
from dlc.ir.scalar import Axis, Expr, fresh_axis, index, integer_of, walk

# The shortest inner axis that is worthwhile: a few vectors.
_SHORTEST = 32


def split_digits(
    stmts: Sequence[Stmt], params: Sequence[Param]
) -> tuple[Sequence[Stmt], tuple[Param, ...]]:
    """The statements and parameters with the axes of their only nest split where that is so."""
    nest, kept = stmts[0], tuple(params)
    if len(stmts) != 1 or not isinstance(nest, Par):
        return stmts, kept
    names = {p.name for p in params}
    if not all(isinstance(s, Assign) and not s.axes and s.name in names for s in nest.body):
        return stmts, kept
    for axis in nest.axes:
        assigns = [s for s in nest.body if isinstance(s, Assign)]
        split = _Split.of(axis, assigns, kept)
        if split is not None:
            nest, kept = split.nest(nest), split.params(kept)
    return [nest], kept


class _Split:
    """An axis that is split: by what, and the dims of parameters that stand for all of it."""

    def __init__(self, axis: Axis, by: int, places: dict[str, int]) -> None:
        assert isinstance(axis.extent, int)
        self.axis, self.by, self.places = index(axis.name), by, places
        self.axes = Axis(fresh_axis(), axis.extent // by), Axis(fresh_axis(), by)
        self.high, self.low = (index(a.name) for a in self.axes)
        self.memo: dict[int, Expr] = {}

    @classmethod
    def of(cls, axis: Axis, assigns: Sequence[Assign], params: Sequence[Param]) -> _Split | None:
        """How an axis is split; None where its elements are used otherwise, or by other numbers."""
        here = index(axis.name)
        nodes = [x for s in assigns for e in (*s.ix, s.expr) for x in walk(e)]
        halves = [x for x in nodes if x.op in ("floordiv", "mod") and x.args[0] == here]
        by = {integer_of(x.args[1]) for x in halves}
        size = by.pop() if len(by) == 1 else None
        extent = axis.extent
        if not isinstance(extent, int) or axis.block is not None:
            return None
        if size is None or size < _SHORTEST:
            return None
        if extent % size or not any(x.op == "mod" for x in halves):
            return None
        places: dict[str, int] = {}
        whole = 0
        for name, ix in accesses(assigns):
            at = [d for d, e in enumerate(ix) if e == here]
            whole += len(at)
            if len(at) > 1 or places.setdefault(name, at[0] if at else -1) != (at[0] if at else -1):
                return None
        dims = {p.name: p.dims for p in params}
        places = {name: d for name, d in places.items() if d >= 0}
        if any(dims[name][d] != extent for name, d in places.items()):
            return None
        # Each use of the axis is in a quotient or rest, or the index of such a place.
        uses = _uses(assigns, here)
        return cls(axis, size, places) if uses == whole + len(halves) else None

    def nest(self, nest: Par) -> Par:
        """The nest over the two axes."""
        axes = [b for a in nest.axes for b in (self.axes if index(a.name) == self.axis else (a,))]
        body = [
            replace(s, ix=self._ix(s.name, tuple(map(self._expr, s.ix))), expr=self._expr(s.expr))
            for s in nest.body
            if isinstance(s, Assign)
        ]
        return Par(tuple(axes), tuple(body))

    def params(self, params: Sequence[Param]) -> tuple[Param, ...]:
        """The parameters with two dims for all of the axis."""
        return tuple(
            replace(p, dims=self._two(p.dims, self.places[p.name], self.axes[0].extent, self.by))
            if p.name in self.places
            else p
            for p in params
        )

    @staticmethod
    def _two(of: tuple[Dim, ...], d: int, high: Dim, low: Dim) -> tuple[Dim, ...]:
        return (*of[:d], high, low, *of[d + 1 :])

    def _ix(self, name: str, ix: tuple[Expr, ...]) -> tuple[Expr, ...]:
        d = self.places.get(name)
        return ix if d is None else (*ix[:d], self.high, self.low, *ix[d + 1 :])

    def _expr(self, e: Expr) -> Expr:
        return rebuild(e, self.memo, self._node)

    def _node(self, x: Expr, args: tuple[Expr, ...]) -> Expr:
        if x.op in ("floordiv", "mod") and x.args[0] == self.axis:
            return self.high if x.op == "floordiv" else self.low
        return x.with_args(self._ix(x.attr, args) if x.op == "load" else args)


def _uses(assigns: Sequence[Assign], axis: Expr) -> int:
    """How often an axis is an operand, or an index of what is stored."""
    found = 0
    for s in assigns:
        found += sum(i == axis for i in s.ix)
        for e in (*s.ix, s.expr):
            found += e == axis and e is s.expr
            found += sum(a == axis for x in walk(e) for a in x.args)
    return found
