"""Kernels brought into the form that Triton source is written from.

Triton has no arrays of its own within a program, so tiles are gone: each read of a tile is replaced
by its definition, and equal expressions are computed once where they stand in the same block. Axes
that run over the same extent have the same name, so that what several reductions of a row need is
found to be equal. Stores wait for the end of a nest, where one loop does all of an extent.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from dlc.codegen.index_math import IndexMath, axis_name, coefficient
from dlc.codegen.kernel_ir import ENDLESS, Assign, For, Kernel, Par, Sort, Stmt, statements
from dlc.codegen.kernel_printer import print_with_lines
from dlc.codegen.kernel_transform import normalise, rename_axes, rewrite
from dlc.codegen.ordered_bits import OrderedBits
from dlc.ir.dims import Dim, add, mul
from dlc.ir.errors import BackendError
from dlc.ir.inline import guard_loads
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import (
    Axis,
    Expr,
    const,
    index,
    load,
    op,
    reduce,
    reduced_axes,
    select,
    walk,
)
from dlc.ir.scalar import dim as scalar_dim
from dlc.ir.types import int64


@dataclass(frozen=True)
class Item:
    """An assignment: a scalar of the iteration, or a store over `axes`; `text` is its line."""

    name: str
    ix: tuple[Expr, ...]
    axes: tuple[Axis, ...]
    expr: Expr
    text: str
    where: Expr | None = None  # a store is left out where this does not hold


@dataclass(frozen=True)
class Loop:
    """Ordered iterations over an axis within a program.

    carry: first values of scalars.
    stop: where the iterations end, if that is before the axis does.
    condition: what has to hold for each of them, of an axis without an end.
    """

    axis: Axis
    body: tuple[Step, ...]
    text: str
    carry: tuple[Item, ...] = ()
    stop: Dim | None = None
    condition: Expr | None = None


Step: TypeAlias = Item | Loop


@dataclass(frozen=True)
class Nest:
    """One launch: independent iterations over `axes`.

    stores: done after `steps`, grouped by the extents of their own axes.
    volatile: written parameters whose elements are touched more than once: reads may not be moved,
        and a store must wait for other threads.
    """

    kernel: Kernel
    axes: tuple[Axis, ...]
    steps: tuple[Step, ...]
    stores: tuple[tuple[Item, ...], ...]
    volatile: frozenset[str]
    math: IndexMath

    def items(self) -> Iterator[Item]:
        """Every assignment."""
        yield from _items(self.steps)
        for group in self.stores:
            yield from group


def _items(steps: Iterable[Step]) -> Iterator[Item]:
    for s in steps:
        if isinstance(s, Loop):
            yield from s.carry
            yield from _items(s.body)
        else:
            yield s


def cannot(kernel: Kernel, text: str, why: str) -> BackendError:
    """The error for a statement that has no form in Triton."""
    return BackendError(f"kernel {kernel.name}: no Triton code for '{text.strip()}': {why}")


def plan_nests(kernel: Kernel) -> list[Nest]:
    """The launches of a kernel, in order.

    Raises:
        BackendError: for a statement that cannot be expressed, naming it.
    """
    return [_NestPlan(kernel, texts).nest(s) for s, texts in _top_level(kernel)]


def _top_level(kernel: Kernel) -> Iterator[tuple[Stmt, dict[int, str]]]:
    text, lines = print_with_lines(kernel)
    printed = text.split("\n")

    def line(s: Stmt) -> str:
        return printed[lines[id(s)] - 1] if id(s) in lines else kernel.name

    plain = normalise(kernel)
    kinds = (Assign, For, Sort)
    originals = [s for s in statements(kernel.body) if isinstance(s, kinds)]
    normal = [s for s in statements(plain.body) if isinstance(s, kinds)]
    texts = {id(n): line(o) for n, o in zip(normal, originals, strict=True)}
    for s in plain.body:
        yield s, texts


class _NestPlan:
    """The work on one nest."""

    def __init__(self, kernel: Kernel, texts: Mapping[int, str]) -> None:
        self.kernel, self.texts = kernel, texts
        self.tiles: dict[str, Assign] = {}
        self.names: dict[tuple[str, int], str] = {}
        self.written: set[str] = set()
        self.axes: tuple[Axis, ...] = ()

    def nest(self, s: Stmt) -> Nest:
        axes: tuple[Axis, ...] = ()
        body: tuple[Stmt, ...] = (s,)
        while len(body) == 1:
            (only,) = body
            if not isinstance(only, Par):
                break
            axes, body = (*axes, *only.axes), only.body
        self.axes = axes
        if isinstance(body[0], Sort):
            return self._ranked(axes, body[0], body[1:])
        inner = [t for x in body for t in statements((x,))]
        self.written = {t.name for t in inner if isinstance(t, Assign)}
        self.written &= {p.name for p in self.kernel.params}
        steps = self.body(body)
        volatile = self._volatile(steps)
        stores: list[tuple[Item, ...]] = []
        if not volatile and not any(isinstance(x, Loop) for x in steps):
            flat = [x for x in steps if isinstance(x, Item)]
            steps = [x for x in flat if x.name not in self.written]
            stores = _grouped([x for x in flat if x.name in self.written])
        self._check_aliases(steps, stores)
        math = IndexMath()
        for axis in (*axes, *_inner_axes(steps, stores)):
            math.declare(axis)
        return Nest(self.kernel, axes, tuple(steps), tuple(stores), volatile, math)

    def _ranked(self, axes: tuple[Axis, ...], s: Sort, stores: Sequence[Stmt]) -> Nest:
        """A sort: each element is stored at the place that is the count of those before it."""
        keys, n, other = OrderedBits(s.expr.dtype, s.descending), s.over, f"{s.over.name}.other"
        here = keys.encoded(s.expr)
        there = rename_axes(here, {n.name: index(other)})
        earlier = op("and", op("eq", there, here), op("lt", index(other), index(n.name)))
        before = op("or", op("lt", there, here), earlier)
        count = select(before, const(1, int64), const(0, int64))
        rank = load("rank", (), int64)
        total = reduce("sum", (Axis(other, n.extent),), count)
        steps: list[Step] = [Item("rank", (), (), total, self._text(s))]
        tiles = {s.values: s.expr, s.positions: index(n.name)}
        kept = None if s.axis.extent == n.extent else op("lt", rank, scalar_dim(s.axis.extent))
        found: list[Item] = []
        why = "sorted tiles can only be stored"
        for a in stores:
            if not isinstance(a, Assign) or self.kernel.param(a.name) is None:
                raise cannot(self.kernel, self._text(a), why)
            if len(a.axes) != 1 or a.axes[0].extent != s.axis.extent:
                raise cannot(self.kernel, self._text(a), why)
            at = index(a.axes[0].name)

            def value(node: Expr, at: Expr = at, text: str = self._text(a)) -> Expr | None:
                access = node.args[0] if node.op == "pad" else node
                if access.op != "load" or access.attr not in tiles:
                    return None
                if node.args != (at,):
                    raise cannot(self.kernel, text, why)
                return tiles[node.attr]

            names = {at.attr: rank}
            ix = tuple(rename_axes(i, names) for i in a.ix)
            expr = rename_axes(rewrite(a.expr, value), names)
            found.append(Item(a.name, ix, (), expr, self._text(a), kept))
        math = IndexMath()
        for axis in (*axes, n, *_inner_axes(steps, ())):
            math.declare(axis)
        return Nest(self.kernel, (*axes, n), tuple(steps), (tuple(found),), frozenset[str](), math)

    def _volatile(self, steps: Sequence[Step]) -> frozenset[str]:
        """Written parameters of which an element may be touched twice, perhaps by other threads."""
        items = list(_items(steps))
        roots = [e for i in items for e in (i.expr, *i.ix)]
        read = {n.attr for e in roots for n in walk(e) if n.op == "load"}
        in_loops = {i.name for s in steps if isinstance(s, Loop) for i in _items(s.body)}
        stores = Counter(i.name for i in items)
        again = read | in_loops | {name for name, count in stores.items() if count > 1}
        return frozenset(again & self.written)

    def body(self, body: Sequence[Stmt]) -> list[Step]:
        steps: list[Step] = []
        for s in body:
            match s:
                case Assign():
                    self._assign(s, steps)
                case Par():
                    inner = tuple(self.body(s.body))
                    for axis in reversed(s.axes):
                        inner = (Loop(axis, inner, f"par {axis.name}"),)
                    steps += inner
                case For():
                    steps.append(self._loop(s))
                case Sort():
                    raise cannot(self.kernel, self._text(s), "a sort")
        return steps

    def _loop(self, s: For) -> Loop:
        text, condition = self._text(s), s.condition
        stop = None if condition is None else _stop(condition, s.axis)
        if stop is not None:
            condition = None
        # Elements that lanes work on would end apart.
        early = condition is not None and (self.axes or s.axis.extent != ENDLESS)
        if early or any(c.axes for c in s.carry):
            raise cannot(self.kernel, text, "an early end, or tiles that are carried")
        carry = tuple(Item(c.name, c.ix, (), self._inlined(c.expr), text) for c in s.carry)
        return Loop(s.axis, tuple(self.body(s.body)), text, carry, stop, condition)

    def _text(self, s: Stmt) -> str:
        return self.texts.get(id(s), self.kernel.name)

    def _assign(self, s: Assign, steps: list[Step]) -> None:
        text = self._text(s)
        s = replace(s, expr=self._inlined(s.expr), ix=tuple(self._inlined(i) for i in s.ix))
        if s.name not in self.written and s.axes:
            if any(n.op == "load" and n.attr in self.written for n in walk(s.expr)):
                raise cannot(self.kernel, text, "a tile of values that are overwritten")
            self.tiles[s.name] = s
            return
        s = self._shared_axes(s)
        steps.append(Item(s.name, s.ix, s.axes, s.expr, text))

    def _inlined(self, e: Expr) -> Expr:
        """`e` with reads of tiles replaced by what they hold."""

        def change(node: Expr) -> Expr | None:
            access = node.args[0] if node.op == "pad" else node
            tile = self.tiles.get(access.attr) if access.op == "load" else None
            if tile is None:
                return None
            at = [rewrite(i, change) for i in access.args]
            names = {i.attr: a for i, a in zip(tile.ix, at, strict=True) if i != a}
            value = rename_axes(tile.expr, names)
            if node is access:
                return value
            inside = _within_tile(tile, at)
            return select(inside, guard_loads(value), rewrite(node.args[1], change))

        return rewrite(e, change)

    def _shared_axes(self, s: Assign) -> Assign:
        """Own and reduced axes named after their extent and how deep they are nested."""
        own, names = self._renamed(s.axes, 0)
        depth = len(s.axes)
        return Assign(
            s.name,
            tuple(self._with_names(i, names, depth) for i in s.ix),
            own,
            self._with_names(s.expr, names, depth),
        )

    def _renamed(
        self, axes: Sequence[Axis], depth: int
    ) -> tuple[tuple[Axis, ...], dict[str, Expr]]:
        new: list[Axis] = []
        names: dict[str, Expr] = {}
        for k, a in enumerate(axes):
            if a.block is not None:  # the block is open: the name says which one
                new.append(a)
                continue
            key = (str(a.extent), depth + k)
            name = self.names.setdefault(key, a.name)
            new.append(Axis(name, a.extent))
            names[a.name] = index(name)
        return tuple(new), names

    def _with_names(self, e: Expr, names: Mapping[str, Expr], depth: int) -> Expr:
        def change(node: Expr) -> Expr | None:
            if node.op == "index":
                return names.get(node.attr)
            if node.op != "reduce":
                return None
            kind, axes = node.attr
            renamed, inner = self._renamed(axes, depth)
            body = self._with_names(node.args[0], {**names, **inner}, depth + len(axes))
            return Expr("reduce", (body,), node.dtype, (kind, renamed))

        return rewrite(e, change)

    def _check_aliases(self, steps: Sequence[Step], stores: Sequence[Sequence[Item]]) -> None:
        """An output in the memory of an input must not be stored before a later read of that."""
        done: set[str] = set()
        for items in (*((i,) for i in _items(steps)), *stores):
            places = {i.name: i.ix for i in items}
            for item in items:
                for p in self.kernel.params:
                    late = p.name in done
                    if p.may_alias and (late or p.name in places):
                        self._check_reads(item, p.may_alias, None if late else places[p.name])
            done.update(places)

    def _check_reads(self, item: Item, inputs: Sequence[str], at: tuple[Expr, ...] | None) -> None:
        for n in walk(item.expr):
            if n.op == "load" and n.attr in inputs and n.args != at:
                why = f"{n.attr} would be read again after its memory is taken over"
                raise cannot(self.kernel, item.text, why)


def _within_tile(tile: Assign, at: Sequence[Expr]) -> Expr:
    """Whether indices are those of an element of a tile."""
    extents = {a.name: a.extent for a in tile.axes}
    own = ((a, extents[i.attr]) for i, a in zip(tile.ix, at, strict=True) if i.attr in extents)
    zero = const(0, int64)
    checks = (op("and", op("ge", a, zero), op("lt", a, scalar_dim(n))) for a, n in own)
    return functools.reduce(lambda x, y: op("and", x, y), checks)


def _stop(condition: Expr, axis: Axis) -> Dim | None:
    """Where a loop ends whose condition is that its axis is below something; None for others."""
    if condition.op != "lt" or condition.args[0].dtype is not int64 or axis.block is not None:
        return None
    math = IndexMath()
    low, high = (math.polynomial(x) for x in condition.args)
    found = coefficient(add(low, mul(high, -1)), axis_name(axis.name))
    if math.opaque or found is None or found[0] != 1:
        return None
    return mul(found[1], -1)


def _grouped(stores: Sequence[Item]) -> list[tuple[Item, ...]]:
    groups: dict[tuple[Axis, ...], list[Item]] = {}
    for item in stores:
        groups.setdefault(item.axes, []).append(item)
    return [tuple(g) for g in groups.values()]


def _inner_axes(steps: Iterable[Step], stores: Iterable[Sequence[Item]]) -> Iterator[Axis]:
    for s in steps:
        if isinstance(s, Loop):
            yield s.axis
            yield from _inner_axes(s.body, ())
        else:
            yield from axes_of(s)
    for group in stores:
        for item in group:
            yield from axes_of(item)


def axes_of(item: Item) -> Iterator[Axis]:
    """The axes of an item and those that its expressions reduce."""
    yield from item.axes
    for e in (item.expr, *item.ix):
        for node in walk(e):
            yield from reduced_axes(node)


def row_extent(nest: Nest) -> Dim | None:
    """The one extent of all loops inside of a nest; None when there are several, or nested ones."""
    extents: set[Dim] = set()
    if any(isinstance(s, Loop) for s in nest.steps):
        return None
    for item in nest.items():
        if len(item.axes) > 1:
            return None
        extents.update(a.extent for a in item.axes)
        if any(a.block is not None for a in axes_of(item)):
            return None
        for node in walk(item.expr):
            axes = reduced_axes(node)
            if not axes:
                continue
            nested = any(reduced_axes(n) for n in walk(node.args[0]))
            if len(axes) > 1 or item.axes or nested:
                return None
            extents.update(a.extent for a in axes)
    if len(extents) != 1:
        return None
    (extent,) = extents
    return extent
