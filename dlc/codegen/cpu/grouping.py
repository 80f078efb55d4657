"""Runs of assignments as groups that share one loop.

Reductions are taken out of the expressions that do not vary with them, each becoming an item of
its own; then an item joins an earlier loop over the same extents when nothing in between forbids
it, so that `e[n] = exp(...)` and `sum(n, e[n])` read and write the row once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from dlc.codegen.cpu.scopes import free_names
from dlc.codegen.index_math import axis_name
from dlc.codegen.kernel_ir import Assign
from dlc.codegen.kernel_transform import rename_axes, rewrite
from dlc.ir.errors import BackendError
from dlc.ir.scalar import Axis, Expr, ReduceKind, index, load, reduced_axes, walk

ItemKind = Literal["scalar", "tile", "store", "reduce"]


@dataclass(frozen=True)
class Item:
    """A value to compute over axes: a local scalar, a tile, a store, or a reduction to a scalar."""

    kind: ItemKind
    name: str
    axes: tuple[Axis, ...]
    expr: Expr
    ix: tuple[Expr, ...] = ()
    reduction: ReduceKind = "sum"


@dataclass
class Group:
    """Items that are computed in one loop over `axes`; without axes, at once."""

    axes: tuple[Axis, ...]
    items: list[Item] = field(default_factory=list[Item])


class Grouping:
    """Makes groups of assignments.

    Args:
        params: Names of the kernel's parameters; other names are locals.
        aliases: The inputs whose memory an output may have taken over.
        known: Whether an expression has been computed already, so that it stays as it is.
        streams: Whether an output may be stored past the caches.
    """

    def __init__(
        self,
        params: Iterable[str],
        aliases: Mapping[str, frozenset[str]],
        known: Callable[[Expr], bool],
        streams: Callable[[str], bool],
    ) -> None:
        self.params, self.streams = frozenset(params), streams
        self.aliases = aliases
        self.known = known
        self._count = 0

    def fresh(self) -> str:
        """A name for the result of a reduction."""
        self._count += 1
        return f"%r{self._count}"

    def items(self, assigns: Iterable[Assign]) -> list[Item]:
        """The items of assignments, in order."""
        found: list[Item] = []
        for a in assigns:
            expr = self.extract(a.expr, a.axes, found)
            ix = tuple(self.extract(i, a.axes, found) for i in a.ix)
            kind = "store" if a.name in self.params else "tile" if a.axes else "scalar"
            found.append(Item(kind, a.name, a.axes, expr, ix))
        return found

    def extract(self, e: Expr, axes: Iterable[Axis], found: list[Item]) -> Expr:
        """`e` with reductions that do not vary with `axes` replaced by loads of their results."""
        hidden = {axis_name(a.name) for a in axes}

        def change(node: Expr) -> Expr | None:
            if node.op != "reduce" or free_names(node) & hidden or self.known(node):
                return None
            over = reduced_axes(node)
            body = self.extract(node.args[0], over, found)
            name = self.fresh()
            found.append(Item("reduce", name, over, body, (), node.attr[0]))
            return load(name, (), node.dtype)

        return rewrite(e, change)

    def groups(self, assigns: Iterable[Assign]) -> list[Group]:
        """The groups of a run of assignments, in order."""
        groups: list[Group] = []
        for item in self.items(assigns):
            place = self._place(item, groups)
            self._check_aliases(item, groups[:place])
        return groups

    def _place(self, item: Item, groups: list[Group]) -> int:
        """Adds the item to a group, a new one if need be, and returns which.

        Best to one whose stores go where its own goes: loops that store whole lines past the caches
        begin with the first of these, which is within the lines of what others store.
        """
        fitting: list[tuple[int, Item]] = []
        for k in range(len(groups) - 1, -1, -1):
            fitted = _fit(item, groups[k].axes)
            if fitted is not None and self._joins(fitted, groups[k], groups[k + 1 :]):
                fitting.append((k, fitted))
        if not fitting:
            groups.append(Group(item.axes, [item]))
            return len(groups) - 1
        alike = (x for x in fitting if self._stores_alike(item, groups[x[0]]))
        k, fitted = next(alike, fitting[0])
        groups[k].items.append(fitted)
        return k

    def _stores_alike(self, item: Item, group: Group) -> bool:
        stored = [x.name for x in (item, *group.items) if x.kind == "store"]
        return item.kind != "store" or len(set(map(self.streams, stored))) == 1

    def reads(self, item: Item) -> frozenset[str]:
        """The tensors and locals that an item reads."""
        names = frozenset[str]().union(*(free_names(e) for e in (item.expr, *item.ix)))
        return frozenset(n for n in names if n[0] not in "@#")

    def _overwrites(self, item: Item) -> frozenset[str]:
        """The names whose memory an item changes."""
        if item.kind != "store":
            return frozenset()
        return self.aliases.get(item.name, frozenset()) | {item.name}

    def _joins(self, item: Item, group: Group, later: Sequence[Group]) -> bool:
        reads, overwrites = self.reads(item), self._overwrites(item)
        for other in (x for g in later for x in g.items):
            if other.name in reads or self._overwrites(other) & (reads | overwrites):
                return False
            if overwrites & self.reads(other):
                return False
        for other in group.items:
            if other.name in reads and not _forwards(other, item):
                return False
            if other.name == item.name or item.name in self.reads(other):
                return False
            if self._takes_over(item, other) or self._takes_over(other, item):
                return False
        return True

    def _takes_over(self, item: Item, other: Item) -> bool:
        """Whether `item` changes elements of an input that other iterations of `other` read."""
        names = (self._overwrites(item) - {item.name}) & self.reads(other)
        # Which names are read is known of every expression: few have to be walked.
        return bool(names) and any(e.attr in names and e.args != item.ix for e in _loads(other))

    def _check_aliases(self, item: Item, groups: Sequence[Group]) -> None:
        """Refuses what in-place memory would break: an input read after its buffer is written."""
        reads = self.reads(item)
        for group in groups:
            for other in group.items:
                lost = (self._overwrites(other) - {other.name}) & reads
                if lost:
                    raise BackendError(
                        f"{item.name} reads {', '.join(sorted(lost))} after {other.name}, "
                        "which may have taken over its buffer, was written",
                        hint="drop it from may_alias",
                    )


def _fit(item: Item, axes: tuple[Axis, ...]) -> Item | None:
    """The item over the axes of a group, None when they have other extents."""
    if len(item.axes) != len(axes):
        return None
    for mine, theirs in zip(item.axes, axes, strict=True):
        if (mine.extent, mine.block) != (theirs.extent, theirs.block):
            return None
        if mine.block is not None and mine.name != theirs.name:
            return None
    names = {m.name: index(t.name) for m, t in zip(item.axes, axes, strict=True)}
    names = {k: v for k, v in names.items() if v.attr != k}
    return replace(
        item,
        axes=axes,
        expr=rename_axes(item.expr, names),
        ix=tuple(rename_axes(i, names) for i in item.ix),
    )


def _forwards(other: Item, item: Item) -> bool:
    """Whether `item` can use what `other` has just computed in the same iteration."""
    if other.kind == "scalar":
        return not item.axes
    return other.kind == "tile" and _same_place(item, other)


def _same_place(item: Item, tile: Item) -> bool:
    """Whether an item reads a tile only at the element that the same iteration made."""
    return all(n.args == tile.ix for n in _loads(item) if n.attr == tile.name)


def _loads(item: Item) -> Iterator[Expr]:
    return (n for e in (item.expr, *item.ix) for n in walk(e) if n.op == "load")


def uses(groups: Iterable[Group]) -> set[str]:
    """Every name that the items of some groups refer to."""
    names: set[str] = set()
    for group in groups:
        for item in group.items:
            names |= free_names(item.expr).union(*map(free_names, item.ix))
    return names
