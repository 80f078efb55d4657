"""What the loops over a row fetch ahead of its use.

The first loop that reads a row waits for memory, and so does the one that writes the result; the
loops between them compute on what is in the cache. The heaviest of those fetches the next row of
what is read, and the lines of this row that are written later: rows are too short for the CPU to
see where the next one begins. A pointwise computation of many operations fetches what it reads and
writes a little later: it fills the CPU's window with few vectors, so that loads begin too late.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dlc.codegen.cpu.contraction_form import flat_offset
from dlc.codegen.cpu.grouping import Group
from dlc.codegen.index_math import IndexMath, axis_name, coefficient
from dlc.codegen.kernel_ir import Assign, Par, Param
from dlc.codegen.kernel_transform import rename_axes
from dlc.codegen.schedule import count_ops, value_nodes
from dlc.ir.dims import Dim, symbols_of
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr, index

FEW_OPS = 10  # a shorter one keeps memory busy by itself
STREAM_AHEAD = 2048  # bytes that a long pointwise computation fetches ahead
LONGEST_ROW = 1 << 18  # bytes; what is fetched must still be in the cache when it is used


@dataclass(frozen=True)
class Ahead:
    """An access of the fetching loop; what is fetched is `distance` elements on.

    write: it is to be written there, not read.
    near: it comes into the first-level cache, else into the second.
    """

    name: str
    ix: tuple[Expr, ...]
    distance: Dim
    write: bool
    near: bool = True


@dataclass(frozen=True)
class _Row:
    """A row of a tensor that a loop walks: the offset of its first element."""

    name: str
    start: Dim


class RowAccesses:
    """Finds what is fetched, in nests whose innermost parallel axis is `row`.

    Args:
        math: Index polynomials that know the axes.
        params: The kernel's parameters.
        row: The axis whose next iteration follows this one.
    """

    def __init__(self, math: IndexMath, params: Iterable[Param], row: Axis) -> None:
        self.math, self.params, self.row = math, {p.name: p for p in params}, row

    def fetches(self, groups: Sequence[Group]) -> list[list[Ahead]]:
        """For each of the loops of a row, in order, what it fetches."""
        found: list[list[Ahead]] = [[] for _ in groups]
        weights = [count_ops(e for i in g.items for e in (i.expr, *i.ix)) for g in groups]
        readers: dict[_Row, list[tuple[int, Expr]]] = {}
        for k, group in enumerate(groups):
            for access, row in self._loads(group).items():
                readers.setdefault(row, []).append((k, access))
        for uses in readers.values():
            # The first loads what was fetched; all later ones find it in the cache.
            distance = self._distance(uses[0][1])
            if len(uses) > 1 and distance != 0:
                k, access = max(uses[1:], key=lambda use: weights[use[0]])
                found[k].append(Ahead(access.attr, access.args, distance, write=False))
        for k, group in enumerate(groups):
            for access in self._stores(group):
                before = [m for m in range(k) if _alike(groups[m], group)]
                if before:
                    m = max(before, key=lambda m: weights[m])
                    renamed = {group.axes[0].name: index(groups[m].axes[0].name)}
                    ix = tuple(rename_axes(i, renamed) for i in access.args)
                    found[m].append(Ahead(access.attr, ix, 0, write=True))
        return [_at_levels(each, w) for each, w in zip(found, weights, strict=True)]

    def _offset(self, access: Expr) -> Dim | None:
        """The flattened offset of a load or store of a parameter, None for a local."""
        param = self.params.get(access.attr)
        return None if param is None else flat_offset(self.math, param, access.args)

    def _walked(self, access: Expr, group: Group) -> _Row | None:
        """The row that a loop walks element by element with this access."""
        offset = self._offset(access)
        if offset is None or len(group.axes) != 1 or group.axes[0].block is not None:
            return None
        linear = coefficient(offset, axis_name(group.axes[0].name))
        return None if linear is None or linear[0] != 1 else _Row(access.attr, linear[1])

    def _loads(self, group: Group) -> dict[Expr, _Row]:
        found: dict[Expr, _Row] = {}
        for item in group.items:
            for node in value_nodes(item.expr):
                if node.op == "load" and (row := self._walked(node, group)) is not None:
                    found[node] = row
        return found

    def _stores(self, group: Group) -> list[Expr]:
        stores = [
            Expr("load", i.ix, i.expr.dtype, i.name) for i in group.items if i.kind == "store"
        ]
        return [s for s in stores if self._walked(s, group) is not None]

    def _distance(self, access: Expr) -> Dim:
        """Elements from a row to the next."""
        offset = self._offset(access)
        linear = None if offset is None else coefficient(offset, axis_name(self.row.name))
        return 0 if linear is None else linear[0]


def _at_levels(fetches: list[Ahead], ops: int) -> list[Ahead]:
    """What a loop of so many operations fetches: into the second level, if much at a time.

    More lines than the first level can wait for would stop its loads.
    """
    reads = sum(not x.write for x in fetches)
    near = ops >= FEW_OPS * reads
    return [x if x.write else replace(x, near=near) for x in fetches]


def _alike(a: Group, b: Group) -> bool:
    return len(a.axes) == 1 and a.axes[0].block is None and a.axes[0].extent == b.axes[0].extent


def streamed(math: IndexMath, params: Iterable[Param], nest: Par, axis: Axis) -> list[Expr]:
    """What a pointwise computation of many operations fetches: its accesses along an axis."""
    by_name = {p.name: p for p in params}
    assigns = [s for s in nest.body if isinstance(s, Assign) and not s.axes]
    nodes = [n for s in assigns for n in value_nodes(s.expr)]
    loops = len(assigns) != len(nest.body) or any(n.op in ("reduce", "dot") for n in nodes)
    if loops or count_ops(s.expr for s in assigns) <= FEW_OPS:
        return []
    accesses = [n for n in nodes if n.op == "load"]
    accesses += [Expr("load", s.ix, s.expr.dtype, s.name) for s in assigns]
    found: list[Expr] = []
    for access in dict.fromkeys(accesses):
        if access.attr in by_name:
            offset = flat_offset(math, by_name[access.attr], access.args)
            linear = coefficient(offset, axis_name(axis.name))
            # What does not vary with every axis is read again, from the cache.
            varies = set(symbols_of(offset)) >= {axis_name(a.name) for a in nest.axes}
            if linear is not None and linear[0] == 1 and varies:
                found.append(access)
    return found
