"""Sorts as kernels: each row is sorted once for all results, values, places or both.

One long row is sorted in two parts, which threads share, and a second kernel merges them:

    par p<2:   s, q = sort(n<B, x[B*p+n]);  part[p,k] k<B = s[k]
    par b<C:   i = how many of the first 8192*b elements are of part[0];
               for k<8192: o[8192*b+k] = the lesser of part[0,i] and part[1,8192*b+k-i]; ...

The order of equal elements is that of the sort of the whole row, so that parts do not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dlc.codegen.kernel_ir import Assign, For, Par, Param, Sort, Stmt
from dlc.ir import scalar
from dlc.ir.core import Node
from dlc.ir.dims import Dim, add, ceildiv, mul, product
from dlc.ir.inline import Inliner
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import DType, TensorType, int64

if TYPE_CHECKING:
    from dlc.codegen.lower import LoweredKernel, Lowering

LONG = 1 << 16  # elements of a row that is worth sorting in parts
_BLOCK = 8192  # elements that are merged as one piece of work, and
_CHAINS = 8  # parts of it that are merged at the same time, as each waits for its own loads
_HALVINGS = 32  # more than the binary logarithm of any extent


def _number(value: int) -> Expr:
    return scalar.const(value, int64)


@dataclass
class _Row:
    """The sort of one row: what is around the axis, and the results."""

    low: Lowering
    node: Node

    def __post_init__(self) -> None:
        low, node = self.low, self.node
        self.axis, self.x = node.attrs["axis"], node.inputs[0]
        extents = [(k, d) for k, d in enumerate(node.shape) if k != self.axis]
        self.outer = tuple(Axis(low.names.make(f"i{k}"), d) for k, d in extents)
        self.rows = tuple(scalar.index(a.name) for a in self.outer)
        self.inliner = Inliner(low.leaf, {a.name: a.extent for a in self.outer})
        self.results = list(zip(low.body.results, low.out_names, strict=True))
        kinds = {r.op.name: r.tensor.dtype for r, _ in self.results}
        # To merge by, values are always wanted.
        self.kinds: dict[str, DType] = {"sort": self.x.tensor.dtype} | kinds

    def place(self, at: Expr) -> tuple[Expr, ...]:
        """The indices of the row's element at a place."""
        return (*self.rows[: self.axis], at, *self.rows[self.axis :])

    def key(self, over: Axis, at: Expr) -> Expr:
        """The element at a place, a function of an axis."""
        self.inliner.extents[over.name] = over.extent
        return self.inliner.value(self.x, self.place(at))

    def tile(self, kind: str) -> str:
        """A name for a tile of values or places."""
        return self.low.names.make("s" if kind == "sort" else "p")


def sort_statements(low: Lowering, node: Node) -> list[Stmt]:
    """The statements of a sort by rows."""
    row = _Row(low, node)
    over = Axis(low.names.make("n"), row.x.shape[row.axis])
    key = row.key(over, scalar.index(over.name))
    kept = Axis(low.names.make("k"), node.shape[row.axis])
    tiles = {r.op.name: row.tile(r.op.name) for r, _ in row.results}
    at = (scalar.index(kept.name),)
    values, places = tiles.get("sort"), tiles.get("argsort")
    stmts: list[Stmt] = [Sort(values, places, at, kept, over, key, node.attrs["descending"])]
    for result, name in row.results:
        own = Axis(scalar.fresh_axis(), node.shape[row.axis])
        k = scalar.index(own.name)
        value = scalar.load(tiles[result.op.name], (k,), result.tensor.dtype)
        stmts.append(Assign(name, row.place(k), (own,), value))
    return [Par(row.outer, tuple(stmts))]


def sorts_in_parts(node: Node) -> bool:
    """Whether a sort is of one long row, all of which is kept."""
    size, axis = product(node.shape), node.attrs["axis"]
    if not isinstance(size, int) or node.shape != node.inputs[0].shape:
        return False
    return size >= LONG and node.shape[axis] == size


def sort_in_parts(
    low: Lowering, node: Node
) -> tuple[tuple[LoweredKernel, ...], tuple[TensorType, ...]]:
    """The kernel that sorts both parts of a row, and the one that merges them."""
    row = _Row(low, node)
    length = ceildiv(node.shape[row.axis], 2)
    names = {kind: low.names.make("part") for kind in row.kinds}
    shape = (*(a.extent for a in row.outer), 2, add(length, 1))
    types = tuple(TensorType(dtype, shape) for dtype in row.kinds.values())
    low.partial_names += names.values()
    reads = low.params([], [], [])
    made = [Param(names[k], "out", d, shape) for k, d in row.kinds.items()]
    first = low.finished("sort_parts", [_parts(row, length, names)], (*reads, *made))
    read = [Param(names[k], "in", d, shape) for k, d in row.kinds.items()]
    outs = [Param(name, "out", r.tensor.dtype, r.shape) for r, name in row.results]
    chain = _BLOCK // _CHAINS
    second = low.finished(
        "merge",
        [_Merge(row, length, names).nest()],
        (*read, *outs),
        constant=[_BLOCK, *(chain * u for u in range(1, _CHAINS))],
    )
    return (first, second), types


def _parts(row: _Row, length: Dim, names: dict[str, str]) -> Par:
    """Sorts both parts, each followed by what all come before."""
    low, node = row.low, row.node
    part, over = Axis(low.names.make("p"), 2), Axis(low.names.make("n"), length)
    start = scalar.mul_index(scalar.index(part.name), scalar.dim(length))
    at = scalar.add_index(start, scalar.index(over.name))
    size, down = node.shape[row.axis], node.attrs["descending"]
    key = row.key(over, at)
    last = _last(key.dtype, down)
    if mul(length, 2) != size:
        key = scalar.pad(key, last) if key.op == "load" else _inside(row, over, at, last)
    kept = Axis(low.names.make("k"), length)
    tiles = {kind: row.tile(kind) for kind in row.kinds}
    ix = (scalar.index(kept.name),)
    stmts: list[Stmt] = [Sort(tiles["sort"], tiles.get("argsort"), ix, kept, over, key, down)]
    for kind, dtype in row.kinds.items():
        own = Axis(scalar.fresh_axis(), length)
        k = scalar.index(own.name)
        value = scalar.load(tiles[kind], (k,), dtype)
        if kind == "argsort":
            value = scalar.op("add", value, start)
        place = (*row.rows, scalar.index(part.name))
        stmts.append(Assign(names[kind], (*place, k), (own,), value))
        behind = last if kind == "sort" else _number(0)
        stmts.append(Assign(names[kind], (*place, scalar.dim(length)), (), behind))
    return Par((*row.outer, part), tuple(stmts))


def _inside(row: _Row, over: Axis, at: Expr, last: Expr) -> Expr:
    """The element at a place, which is `last` behind the row's end."""
    size = scalar.dim(row.node.shape[row.axis])
    near = scalar.op("min", at, scalar.dim(add(row.node.shape[row.axis], -1)))
    return scalar.select(scalar.op("lt", at, size), row.key(over, near), last)


def _last(dtype: DType, descending: bool) -> Expr:
    """A value that none comes after."""
    if dtype.kind == "b":
        return scalar.const(not descending, dtype)
    if dtype.is_float:
        return scalar.const(-np.inf if descending else np.nan, dtype)
    info = np.iinfo(dtype.numpy)
    return scalar.const(int(info.min if descending else info.max), dtype)


class _Merge:
    """The kernel that merges both parts."""

    def __init__(self, row: _Row, length: Dim, names: dict[str, str]) -> None:
        self.row, self.names, self.low = row, names, row.low
        self.length = scalar.dim(length)
        self.size = scalar.dim(row.node.shape[row.axis])
        self.descending = row.node.attrs["descending"]
        blocks = ceildiv(row.node.shape[row.axis], _BLOCK)
        self.block = Axis(self.low.names.make("b"), blocks)
        self.rows = (*row.rows, scalar.index(self.block.name))
        self.start = scalar.mul_index(scalar.index(self.block.name), _number(_BLOCK))

    def nest(self) -> Par:
        """Blocks of the result: of whole ones all chains go on together, the last is one chain."""
        chain = _BLOCK // _CHAINS
        starts = [scalar.add_index(self.start, _number(chain * u)) for u in range(_CHAINS)]
        found = [self.low.names.make("lo") for _ in starts]
        whole = scalar.op("le", scalar.add_index(self.start, _number(_BLOCK)), self.size)
        k, rest = Axis(self.low.names.make("k"), chain), Axis(self.low.names.make("r"), _BLOCK)
        r = scalar.add_index(self.start, scalar.index(rest.name))
        short = scalar.op("and", scalar.op("not", whole), scalar.op("lt", r, self.size))
        stmts: list[Stmt] = [
            self._search(starts, found),
            self._merged(k, starts, found, whole),
            self._merged(rest, starts[:1], found[:1], short),
        ]
        return Par((*self.row.outer, self.block), tuple(stmts))

    def _local(self, name: str, dtype: DType = int64) -> Expr:
        return scalar.load(name, self.rows, dtype)

    def _carried(self, wanted: str) -> str:
        name = self.low.names.make(wanted)
        self.low.names.taken.add("next_" + name)
        return name

    def _set(self, name: str, value: Expr) -> Assign:
        return Assign(name, self.rows, (), value)

    def _element(self, kind: str, part: Expr, at: Expr) -> Expr:
        """An element of a part; what all come before where there is none."""
        near = scalar.op("min", at, self.length)
        return scalar.load(self.names[kind], (*self.row.rows, part, near), self.row.kinds[kind])

    def _value(self, part: int, at: Expr) -> Expr:
        return self._element("sort", _number(part), at)

    def _goes_first(self, a: Expr, c: Expr) -> Expr:
        """Whether a, of the first part, comes before c of the second: also if they are equal."""
        if a.dtype.kind == "b":
            one, other = (a, c) if self.descending else (c, a)
            return scalar.op("or", one, scalar.op("not", other))
        before = scalar.op("ge" if self.descending else "le", a, c)
        if not a.dtype.is_float:
            return before
        greatest = a if self.descending else c
        return scalar.op("or", before, scalar.op("ne", greatest, greatest))

    def _search(self, starts: Sequence[Expr], found: Sequence[str]) -> For:
        """How many elements of the first part come before each start, by halving."""
        carry: list[Assign] = []
        body: list[Assign] = []
        left: Expr | None = None
        for t, lo in zip(starts, found, strict=True):
            self.low.names.taken.add("next_" + lo)
            hi = self._carried("hi")
            least = scalar.op("max", scalar.op("sub", t, self.length), _number(0))
            carry += [self._set(lo, least), self._set(hi, scalar.op("min", t, self.length))]
            low, high = self._local(lo), self._local(hi)
            some = scalar.op("lt", low, high)
            middle = scalar.op("floordiv", scalar.op("add", low, high), _number(2))
            # Where nothing is left to halve, there may be no element before the start.
            other = scalar.op("sub", scalar.op("max", t, _number(1)), _number(1))
            other = scalar.op("max", scalar.op("sub", other, middle), _number(0))
            first = self._goes_first(self._value(0, middle), self._value(1, other))
            above = scalar.op("and", some, first)
            below = scalar.op("and", some, scalar.op("not", first))
            after = scalar.op("add", middle, _number(1))
            body += [
                self._set("next_" + lo, scalar.select(above, after, low)),
                self._set("next_" + hi, scalar.select(below, middle, high)),
            ]
            left = some if left is None else scalar.op("or", left, some)
        axis = Axis(self.low.names.make("t"), _HALVINGS)
        return For(axis, tuple(body), tuple(carry), left)

    def _merged(
        self, axis: Axis, starts: Sequence[Expr], found: Sequence[str], condition: Expr
    ) -> For:
        """The elements from each start on, as long as a condition holds."""
        k, places = scalar.index(axis.name), "argsort" in self.row.kinds
        carry: list[Assign] = []
        chosen: list[Assign] = []
        stores: list[Assign] = []
        for t, lo in zip(starts, found, strict=True):
            taken = self._carried("i")
            carry.append(self._set(taken, self._local(lo)))
            i, at = self._local(taken), scalar.add_index(t, k)
            j = scalar.op("sub", at, i)
            a, c = self._value(0, i), self._value(1, j)
            first = self._goes_first(a, c)
            if places:
                # Values that are equal to what all come before have places of their own.
                some = scalar.op("lt", i, self.length)
                none = scalar.op("ge", j, self.length)
                first = scalar.op("or", none, scalar.op("and", some, first))
            # All is read before anything is written, which the next chain's reads would wait for.
            first = self._kept(chosen, "f", first)
            for result, name in self.row.results:
                value = scalar.select(first, a, c)
                if result.op.name == "argsort":
                    part = scalar.select(first, _number(0), _number(1))
                    value = self._element("argsort", part, scalar.select(first, i, j))
                value = self._kept(chosen, "v", value)
                stores.append(Assign(name, self.row.place(at), (), value))
            following = scalar.op("add", i, scalar.convert(first, int64))
            chosen.append(self._set("next_" + taken, following))
        return For(axis, (*chosen, *stores), tuple(carry), condition)

    def _kept(self, stmts: list[Assign], wanted: str, value: Expr) -> Expr:
        """The value in a local that the statements set."""
        name = self.low.names.make(wanted)
        stmts.append(self._set(name, value))
        return self._local(name, value.dtype)
