"""Nests with axes that alternate between two expressions, as nests over pairs of elements.

    par l<64: o[l] = select((l+1)%2 == 0, x[(l+1)/2], y[l/2])
    par l<32: o[l*2] = y[l]; o[l*2+1] = x[l+1]

In the first form each element computes both and divides its index. Interleaved parts are joined so,
as those of complex numbers and rotary embeddings are, and rows and columns that a window of stride
two has read get their gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from dlc.codegen.kernel_ir import Assign, Par, Param, Stmt
from dlc.codegen.kernel_transform import rebuild
from dlc.ir.record import replace
from dlc.ir.scalar import Axis, Expr, const, fresh_axis, index, integer_of, op, walk
from dlc.ir.types import bool_, int64

_Range: TypeAlias = tuple[int, int]  # the least and the greatest value


def split_pairs(stmts: Sequence[Stmt], params: Sequence[Param]) -> Sequence[Stmt]:
    """The statements with axes of their only nest over pairs, where these alternate.

    That is the last axis, then others: what is stored at once is then still side by side.
    """
    nest = stmts[0]
    if len(stmts) != 1 or not isinstance(nest, Par) or not nest.axes:
        return stmts
    outputs = {p.name for p in params if p.mode != "in"}
    if not all(isinstance(s, Assign) and s.name in outputs for s in nest.body):
        return stmts
    split = _in_pairs(nest, nest.axes[-1])
    if split is None:
        return stmts
    for axis in reversed(nest.axes[:-1]):
        split = _in_pairs(split, axis) or split
    return [split]


def _in_pairs(nest: Par, axis: Axis) -> Par | None:
    """The nest over pairs of an axis; None where that does not alternate."""
    body = [s for s in nest.body if isinstance(s, Assign)]
    if not _has_pairs(axis, len(nest.axes)) or not _alternates(
        body, axis, is_last=axis == nest.axes[-1]
    ):
        return None
    if not all(_is_stored_along(s, axis) for s in body):
        return None
    assert isinstance(axis.extent, int)
    pairs = Axis(fresh_axis(), axis.extent // 2)
    fold = _Folding(axis, pairs, nest.axes)
    made = tuple(
        replace(s, ix=tuple(fold(i, odd) for i in s.ix), expr=fold(s.expr, odd))
        for s in body
        for odd in (0, 1)
    )
    axes = tuple(pairs if a == axis else a for a in nest.axes if a != axis or pairs.extent != 1)
    return Par(axes, made)


def _has_pairs(axis: Axis, rank: int) -> bool:
    extent = axis.extent
    if axis.block is not None or not isinstance(extent, int) or extent % 2 or not extent:
        return False
    return extent > 2 or rank > 1


def _is_stored_along(s: Assign, axis: Axis) -> bool:
    """Whether all is stored along the axis, and no input is read just where that is.

    The memory of such an input may be taken over, which is worth more.
    """
    if s.axes or s.accumulate or s.ix.count(index(axis.name)) != 1:
        return False
    places: dict[str, set[tuple[Expr, ...]]] = {}
    for x in walk(s.expr):
        if x.op == "load":
            places.setdefault(x.attr, set()).add(x.args)
    return {s.ix} not in places.values()


def _alternates(body: Sequence[Assign], axis: Axis, *, is_last: bool) -> bool:
    """Whether what is stored depends on which element of a pair it is, by a choice or a place."""
    here = index(axis.name)
    nodes = [x for s in body for x in walk(s.expr)]
    pending = [x.args[0] for x in nodes if x.op == "select"]
    loads = [x.args for x in nodes if x.op == "load"]
    if axis.extent != 2:
        pending += [i for ix in loads for i in ix]
    elif any(ix[-1:] != (here,) for ix in loads):
        return is_last  # what is read along it is read as it is stored
    parts: dict[int, Expr] = {}
    while pending:
        e = pending.pop()
        if id(e) not in parts:
            parts[id(e)] = e
            pending.extend(e.args)
    if axis.extent == 2:
        return any(y == here for y in parts.values())
    return any(_halved(y, here) is not None for y in parts.values())


def _halved(e: Expr, axis: Expr) -> int | None:
    """The number k of `(axis+k)/2` and `(axis+k)%2`; None for what is neither."""
    if e.op not in ("floordiv", "mod") or integer_of(e.args[1]) != 2:
        return None
    distance, rest = 0, e.args[0]
    while rest.op in ("add", "sub") and (by := integer_of(rest.args[1])) is not None:
        distance += by if rest.op == "add" else -by
        rest = rest.args[0]
    return distance if rest == axis else None


_COMPARED: Mapping[str, Callable[[_Range, _Range], bool | None]] = {
    "lt": lambda a, b: True if a[1] < b[0] else False if a[0] >= b[1] else None,
    "le": lambda a, b: True if a[1] <= b[0] else False if a[0] > b[1] else None,
    "gt": lambda a, b: True if a[0] > b[1] else False if a[1] <= b[0] else None,
    "ge": lambda a, b: True if a[0] >= b[1] else False if a[1] < b[0] else None,
    "eq": lambda a, b: (
        False if a[1] < b[0] or b[1] < a[0] else True if a == b == (a[0],) * 2 else None
    ),
    "ne": lambda a, b: (
        True if a[1] < b[0] or b[1] < a[0] else False if a == b == (a[0],) * 2 else None
    ),
}
_COMPUTED: Mapping[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}


class _Folding:
    """Puts one element of a pair in the place of an axis, and decides what depends on which."""

    def __init__(self, axis: Axis, pairs: Axis, axes: Sequence[Axis]) -> None:
        self.axis, self.pairs = index(axis.name), pairs
        self.ranges = {
            index(a.name): (0, a.extent - 1)
            for a in (*axes, pairs)
            if isinstance(a.extent, int) and a.block is None
        }
        self.memos: tuple[dict[int, Expr], dict[int, Expr]] = ({}, {})
        self.known: dict[int, _Range] = {}  # of what the memos hold

    def __call__(self, e: Expr, odd: int) -> Expr:
        def change(x: Expr, args: tuple[Expr, ...]) -> Expr:
            made = self._element(x, odd) or self._folded(x.with_args(args))
            self._note(made)
            return made

        return rebuild(e, self.memos[odd], change)

    def _element(self, x: Expr, odd: int) -> Expr | None:
        """The axis, or half of it or of what is some way from it, or what that leaves."""
        number = const(0, int64) if self.pairs.extent == 1 else index(self.pairs.name)
        if x == self.axis:
            twice = self._folded(op("mul", number, const(2, int64)))
            self._note(twice)
            return self._folded(op("add", twice, const(odd, int64)))
        distance = _halved(x, self.axis)
        if distance is None:
            return None
        if x.op == "mod":
            return const((odd + distance) % 2, int64)
        return self._folded(op("add", number, const((odd + distance) // 2, int64)))

    def _folded(self, x: Expr) -> Expr:
        if x.op == "select" and x.args[0].op == "const":
            return x.args[1] if x.args[0].attr else x.args[2]
        if x.op in ("and", "or") and x.dtype is bool_:
            for a, b in (x.args, x.args[::-1]):
                if a.op == "const":
                    return b if a.attr == (x.op == "and") else a
        if x.op in _COMPUTED and x.dtype is int64:
            return self._computed(x)
        if x.op in _COMPARED and x.args[0].dtype is int64:
            a, b = map(self._range, x.args)
            known = None if a is None or b is None else _COMPARED[x.op](a, b)
            return x if known is None else const(known, bool_)
        return x

    def _computed(self, x: Expr) -> Expr:
        a, b = map(integer_of, x.args)
        if a is not None and b is not None:
            value = _COMPUTED[x.op](a, b)
            return const(value, int64) if _fits(value) else x
        nothing = 1 if x.op == "mul" else 0
        return x.args[0] if b == nothing else x.args[1] if a == nothing and x.op != "sub" else x

    def _range(self, e: Expr) -> _Range | None:
        number = integer_of(e)
        if number is not None:
            return number, number
        return self.ranges.get(e) if e.op == "index" else self.known.get(id(e))

    def _note(self, e: Expr) -> None:
        """Notes the range of what is computed of numbers and axes."""
        if e.op in _COMPUTED and e.dtype is int64:
            a, b = map(self._range, e.args)
            if a is not None and b is not None:
                ends = [_COMPUTED[e.op](p, q) for p in a for q in b]
                if all(map(_fits, ends)):
                    self.known[id(e)] = min(ends), max(ends)


def _fits(value: int) -> bool:
    """Whether a number does not wrap."""
    return -(1 << 63) <= value < 1 << 63
