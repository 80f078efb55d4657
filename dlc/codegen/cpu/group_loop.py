"""The loop of one group of assignments: vectors, a masked tail, and accumulators of reductions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu.expressions import Value, Vector
from dlc.codegen.cpu.extremes import as_folded, as_lanes
from dlc.codegen.cpu.fetch_ahead import LONGEST_ROW, Ahead
from dlc.codegen.cpu.grouping import Group, Item
from dlc.codegen.cpu.reductions import Reduction
from dlc.codegen.index_math import axis_name
from dlc.codegen.schedule import inner_first, reduction_unroll
from dlc.ir.dims import Dim, lower_bound, mul
from dlc.ir.scalar import Axis, Expr, const, index, op
from dlc.ir.types import int64

if TYPE_CHECKING:
    from dlc.codegen.cpu.statements import StatementEmitter


class GroupLoop:
    """The loop of one group, with the accumulators of its reductions, and what it fetches."""

    def __init__(
        self,
        owner: StatementEmitter,
        group: Group,
        outside: set[str],
        ahead: Sequence[Ahead] = (),
    ) -> None:
        self.owner, self.group, self.outside, self.ahead = owner, group, outside, ahead
        self.em, self.ex = owner.em, owner.ex
        self.reductions = {
            i.name: Reduction(i.reduction, i.expr.dtype, owner.isa)
            for i in group.items
            if i.kind == "reduce"
        }
        self.hidden = entered(group.axes) | {i.name for i in group.items}
        self.roots = [e for i in group.items for e in (i.expr, *i.ix)]

    def emit(self) -> None:
        """Emits the loops, and binds the results of the reductions."""
        owner, group = self.owner, self.group
        lanes = self.ex.lanes
        if lanes > 1 or inner_first(group.items, owner.math, owner.kernel):
            if lanes > 1:
                self.reductions = {name: as_lanes(r) for name, r in self.reductions.items()}
            held = self._ordered(0, self._start(lanes), lanes)
            self._bind(held, lanes, Value("", lanes > 1))
            return
        self.reductions = {name: as_folded(r) for name, r in self.reductions.items()}
        narrow = owner.lanes
        wide = narrow * reduction_unroll(self.roots)
        held = self._vectorised(0, [*self._start(wide), *self._start(narrow)], wide, narrow)
        count = len(self._start(wide))
        merged: dict[str, list[str]] = {}
        wide_held, narrow_held = self._unpack(held[:count]), self._unpack(held[count:])
        for name, reduction in self.reductions.items():
            folded = reduction.fold(self.em, wide_held[name], wide, narrow)
            both = reduction.merge(self.em, folded, narrow_held[name], narrow)
            merged[name] = reduction.fold(self.em, both, narrow, 1)
        self._bind([v for name in self.reductions for v in merged[name]], 1, Value("", False))

    def _start(self, lanes: int) -> list[tuple[str, str]]:
        return [pair for r in self.reductions.values() for pair in r.start(lanes)]

    def _unpack(self, held: Sequence[str]) -> dict[str, list[str]]:
        left = list(held)
        return {name: [left.pop(0) for _ in r.start(1)] for name, r in self.reductions.items()}

    def _bind(self, held: Sequence[str], lanes: int, form: Value) -> None:
        for name, values in self._unpack(held).items():
            reduction = self.reductions[name]
            result = reduction.finish(self.em, values, lanes)
            self.ex.bind_value(name, Value(result, form.varies), reduction.result)

    def _prepare(self, k: int, widths: Iterable[int]) -> None:
        axes = self.group.axes[k:]
        hidden = entered(axes) | {i.name for i in self.group.items}
        loads = all(runs(a) for a in axes)
        for width in widths:
            self.ex.prepare(self.roots, hidden, lanes=width, loads=loads)
        for access in self.ahead:
            self.ex.prepare_place(access.name, access.ix, entered(axes))
        for item in self.group.items:
            if item.kind == "store" or (item.kind == "tile" and item.name in self.outside):
                self.ex.prepare_place(item.name, item.ix, entered(axes))

    def _ordered(self, k: int, held: list[tuple[str, str]], lanes: int) -> list[str]:
        """Scalar loops over the axes from the k-th on."""
        if k == len(self.group.axes):
            return self._step([v for _, v in held], lanes, None)
        axis = self.group.axes[k]
        self._prepare(k, (lanes,))
        low, end = self.owner.axis_range(axis)
        types = [t for t, _ in held]

        def iteration(i: str, values: list[str]) -> list[str]:
            with self.ex.scope({axis.name: i}):
                return self._ordered(k + 1, list(zip(types, values, strict=True)), lanes)

        return self.em.loop(low, end, 1, iteration, held)

    def _vectorised(self, k: int, held: list[tuple[str, str]], wide: int, narrow: int) -> list[str]:
        """Loops over the axes from the k-th on, the last one in vectors."""
        axis = self.group.axes[k]
        self._prepare(k, (wide, narrow) if k == len(self.group.axes) - 1 else (1,))
        low, end = self.owner.axis_range(axis)
        types = [t for t, _ in held]
        if k == len(self.group.axes) - 1:
            count = len(held) // 2
            first, second = held[:count], held[count:]
            return [
                *self._main(axis, (low, end), first, wide),
                *self._tail(axis, (low, end), second, (wide, narrow)),
            ]

        def iteration(i: str, values: list[str]) -> list[str]:
            with self.ex.scope({axis.name: i}):
                inner = list(zip(types, values, strict=True))
                return self._vectorised(k + 1, inner, wide, narrow)

        return self.em.loop(low, end, 1, iteration, held)

    def _longest(self, axis: Axis) -> Dim:
        return axis.extent if axis.block is None else axis.block

    def _main(
        self, axis: Axis, bounds: tuple[str, str], held: list[tuple[str, str]], wide: int
    ) -> list[str]:
        """Full vectors of `wide` lanes."""
        longest = self._longest(axis)
        if isinstance(longest, int) and longest < wide:
            return [v for _, v in held]
        reaches = [self._reach(axis, access) for access in self.ahead]

        def iteration(i: str, values: list[str]) -> list[str]:
            with self.ex.scope({axis.name: i}, Vector(axis.name, wide)):
                for access, reach in zip(self.ahead, reaches, strict=True):
                    self.ex.fetch(access.name, access.ix, reach, write=access.write)
                return self._step(values, wide, None)

        return self.em.loop(bounds[0], self._main_end(bounds, wide), wide, iteration, held)

    def _reach(self, axis: Axis, access: Ahead) -> tuple[str, str]:
        """How many bytes on an access fetches, and whether its rows are short enough to."""
        size = self.ex.tensor(access.name).dtype.itemsize
        row = self.ex.index(mul(axis.extent, size))
        short = self.em.value(f"icmp sle i64 {row}, {LONGEST_ROW}")
        return self.ex.index(mul(access.distance, size)), short

    def _main_end(self, bounds: tuple[str, str], wide: int) -> str:
        low, end = bounds
        length = iv.subtract(self.em, end, low)
        if not length.startswith("%"):
            return iv.add(self.em, low, str(int(length) // wide * wide))
        return iv.add(self.em, low, self.em.value(f"and i64 {length}, {-wide}"))

    def _tail(
        self,
        axis: Axis,
        bounds: tuple[str, str],
        held: list[tuple[str, str]],
        widths: tuple[int, int],
    ) -> list[str]:
        """What the full vectors leave, in masked vectors."""
        wide, narrow = widths
        if axis.block is None and isinstance(axis.extent, int) and axis.extent % wide == 0:
            return [v for _, v in held]

        def iteration(i: str, values: list[str]) -> list[str]:
            mask = self.em.mask_below(iv.subtract(self.em, bounds[1], i), narrow)
            with self.ex.scope({axis.name: i}, Vector(axis.name, narrow, mask)):
                return self._step(values, narrow, mask)

        return self.em.loop(self._main_end(bounds, wide), bounds[1], narrow, iteration, held)

    def _step(self, values: Sequence[str], lanes: int, mask: str | None) -> list[str]:
        """One vector of every item: all are computed before any is stored."""
        held = self._unpack(values)
        stores: list[tuple[Item, str]] = []
        for item in self.group.items:
            if item.kind == "reduce":
                self._update(item, held, lanes, mask)
                continue
            value = self.ex.emit(item.expr)
            if item.kind == "store" or item.name in self.outside:
                stores.append((item, self.ex.spread(value, item.expr.dtype)))
            if item.kind == "tile":
                self.ex.bind_value(item.name, value, item.expr.dtype)
        for item, value in stores:
            self.ex.store(item.name, item.ix, value)
        return [v for name in self.reductions for v in held[name]]

    def _update(self, item: Item, held: dict[str, list[str]], lanes: int, mask: str | None) -> None:
        reduction = self.reductions[item.name]
        value = self.ex.vector(item.expr)
        position = self.ex.vector(position_in(item.axes)) if reduction.is_arg else ""
        held[item.name] = reduction.update(self.em, held[item.name], (value, position), lanes, mask)


def position_in(axes: Sequence[Axis]) -> Expr:
    """The position of an element in the order of a reduction."""
    position: Expr = const(0, int64)
    for axis in axes:
        i = index(axis.name)
        extent: Expr = Expr("dim", (), int64, axis.extent)
        if isinstance(axis.extent, int):
            extent = const(axis.extent, int64)
        if axis.block is not None:
            number = Expr("block", (), int64, axis.name)
            i = op("sub", i, op("mul", number, const(axis.block, int64)))
            extent = const(axis.block, int64)
        position = i if position.op == "const" else op("add", op("mul", position, extent), i)
    return position


def entered(axes: Iterable[Axis]) -> frozenset[str]:
    """The names that a loop over axes binds."""
    return frozenset(axis_name(a.name) for a in axes)


def runs(axis: Axis) -> bool:
    """Whether a loop over an axis is known to run at least once."""
    low = 1 if axis.block is not None else lower_bound(axis.extent)
    return low is not None and low >= 1
