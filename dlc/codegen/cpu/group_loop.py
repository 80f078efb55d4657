"""The loop of one group of assignments: vectors, a masked tail, and accumulators of reductions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu.block_sums import BLOCK, BlockSums, Held
from dlc.codegen.cpu.expressions import Value, Vector
from dlc.codegen.cpu.extremes import as_folded, as_lanes
from dlc.codegen.cpu.fetch_ahead import LONGEST_ROW, Ahead
from dlc.codegen.cpu.grouping import Group, Item
from dlc.codegen.cpu.reductions import Reduction
from dlc.codegen.index_math import axis_name
from dlc.codegen.schedule import inner_first, reduction_unroll
from dlc.ir.dims import Dim, lower_bound, mul, product
from dlc.ir.scalar import Axis, Expr, const, index, op
from dlc.ir.types import int64

if TYPE_CHECKING:
    from dlc.codegen.cpu.statements import StatementEmitter

_Fetch: TypeAlias = tuple[Ahead, tuple[str, str]]  # what is fetched, and how far on (see `_reach`)


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
        self.inner: Held = []
        self.widths: tuple[int, int] | None = None
        self.sums: BlockSums | None = None
        self.hidden = entered(group.axes) | {i.name for i in group.items}
        self.roots = [e for i in group.items for e in (i.expr, *i.ix)]

    def emit(self) -> None:
        """Emits the loops, and binds the results of the reductions."""
        owner, group = self.owner, self.group
        lanes = self.ex.lanes
        if lanes > 1 or inner_first(group.items, owner.math, owner.kernel):
            if lanes > 1:
                self.reductions = {name: as_lanes(r) for name, r in self.reductions.items()}
            self.inner = self._start(lanes)
            self.sums = self._block_sums(lanes, BLOCK)
            held = self._ordered(0, [*self.inner, *self._carried()], lanes)
            self._bind(self._closed(held), lanes, Value("", lanes > 1))
            return
        self.reductions = {name: as_folded(r) for name, r in self.reductions.items()}
        narrow = owner.lanes
        wide = narrow * reduction_unroll(self.roots)
        self.widths = wide, narrow
        self.inner = [*self._start(wide), *self._start(narrow)]
        self.sums = self._block_sums(narrow, BLOCK * wide if len(group.axes) == 1 else BLOCK)
        held = self._vectorised(0, [*self.inner, *self._carried()])
        merged = {
            name: self.reductions[name].fold(self.em, values, narrow, 1)
            for name, values in self._closed(held).items()
        }
        self._bind(merged, 1, Value("", False))

    # Blocks of long sums

    def _block_sums(self, lanes: int, longest: int) -> BlockSums | None:
        """The blocks of sums that may have more elements than `longest`; None without any."""
        size = product(self._longest(a) for a in self.group.axes)
        if isinstance(size, int) and size <= longest:
            return None
        sums = BlockSums(self.em, self.reductions, lanes)
        return sums if sums.sums else None

    def _carried(self) -> Held:
        return [] if self.sums is None else self.sums.start()

    def _in_one(self, held: Sequence[str], names: Iterable[str]) -> dict[str, list[str]]:
        """The accumulators of reductions, those of both widths as one."""
        if not self.widths:
            found = self._unpack(held)
            return {name: found[name] for name in names}
        wide, narrow = self.widths
        half = len(held) // 2
        first, second = self._unpack(held[:half]), self._unpack(held[half:])
        merged: dict[str, list[str]] = {}
        for name in names:
            reduction = self.reductions[name]
            folded = reduction.fold(self.em, first[name], wide, narrow)
            merged[name] = reduction.merge(self.em, folded, second[name], narrow)
        return merged

    def _closed(self, held: Sequence[str]) -> dict[str, list[str]]:
        """The accumulators of each reduction, with the blocks before."""
        count = len(self.inner)
        found = self._in_one(held[:count], self.reductions)
        if self.sums is not None:
            last = {name: found[name][0] for name in self.sums.sums}
            whole = self.sums.whole(last, held[count:])
            found |= {name: [value] for name, value in whole.items()}
        return found

    def _after(self, held: Sequence[str], steps: str) -> list[str]:
        """What is held after so many steps more of the innermost loop."""
        if self.sums is None:
            return list(held)
        summed, count = self.sums.sums, len(self.inner)
        names = [name for name, r in self.reductions.items() for _ in r.start(1)]
        names *= 2 if self.widths else 1
        fresh = [v if n in summed else "" for n, (_, v) in zip(names, self.inner, strict=True)]
        inner = [(t, v) for (t, _), v in zip(self.inner, held[:count], strict=True)]

        def sums(accumulators: list[str]) -> dict[str, str]:
            return {n: v[0] for n, v in self._in_one(accumulators, summed).items()}

        return self.sums.after(steps, inner, held[count:], sums, fresh)

    def _blocks(
        self,
        axis: Axis,
        bounds: tuple[str, str],
        step: int,
        held: Held,
        run: Callable[[tuple[str, str], Held], list[str]],
    ) -> list[str]:
        """A loop over the innermost axis, `run` for at most a block of steps at a time."""
        if self.sums is None:
            return run(bounds, held)
        em = self.em
        types = [t for t, _ in held]
        longest = self._longest(axis)

        def part(start: str, length: str, now: Held) -> list[str]:
            values = run((start, iv.add(em, start, length)), now)
            return self._after(values, iv.floordiv(em, length, str(step), unsigned=True))

        def block(start: str, values: list[str]) -> list[str]:
            left = iv.subtract(em, bounds[1], start)
            length = iv.minimum(em, left, str(BLOCK * step))
            return part(start, length, list(zip(types, values, strict=True)))

        if isinstance(longest, int) and longest <= BLOCK * step:
            return part(bounds[0], iv.subtract(em, bounds[1], bounds[0]), held)
        return em.loop(*bounds, BLOCK * step, block, held)

    def _start(self, lanes: int) -> Held:
        return [pair for r in self.reductions.values() for pair in r.start(lanes)]

    def _unpack(self, held: Sequence[str]) -> dict[str, list[str]]:
        left = list(held)
        return {name: [left.pop(0) for _ in r.start(1)] for name, r in self.reductions.items()}

    def _bind(self, held: Mapping[str, Sequence[str]], lanes: int, form: Value) -> None:
        for name, values in held.items():
            reduction = self.reductions[name]
            result = reduction.finish(self.em, values, lanes)
            self.ex.bind_value(name, Value(result, form.varies))

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

    def _ordered(self, k: int, held: Held, lanes: int) -> list[str]:
        """Scalar loops over the axes from the k-th on."""
        if k == len(self.group.axes):
            return self._with_inner(held, lanes)
        axis = self.group.axes[k]
        self._prepare(k, (lanes,))
        bounds = self.owner.axis_range(axis)
        types = [t for t, _ in held]

        def iteration(i: str, values: list[str]) -> list[str]:
            with self.ex.scope({axis.name: i}):
                return self._ordered(k + 1, list(zip(types, values, strict=True)), lanes)

        if k < len(self.group.axes) - 1:
            return self.em.loop(*bounds, 1, iteration, held)
        return self._blocks(axis, bounds, 1, held, lambda b, h: self.em.loop(*b, 1, iteration, h))

    def _with_inner(self, held: Held, lanes: int) -> list[str]:
        values = [v for _, v in held]
        count = len(self.inner)
        return [*self._step(values[:count], lanes, None), *values[count:]]

    def _vectorised(self, k: int, held: Held) -> list[str]:
        """Loops over the axes from the k-th on, the last one in vectors."""
        assert self.widths is not None
        axis, last = self.group.axes[k], k == len(self.group.axes) - 1
        self._prepare(k, self.widths if last else (1,))
        bounds = self.owner.axis_range(axis)
        if last:
            return self._innermost(axis, bounds, held)
        types = [t for t, _ in held]

        def iteration(i: str, values: list[str]) -> list[str]:
            with self.ex.scope({axis.name: i}):
                return self._vectorised(k + 1, list(zip(types, values, strict=True)))

        return self.em.loop(*bounds, 1, iteration, held)

    def _innermost(self, axis: Axis, bounds: tuple[str, str], held: Held) -> list[str]:
        """Full vectors, of both widths."""
        assert self.widths is not None
        em, (wide, narrow), half = self.em, self.widths, len(self.inner) // 2
        types = [t for t, _ in held]
        bounds, whole = self._from_line(axis, bounds)
        end = self._main_end(bounds, wide)

        def main(part: tuple[str, str], now: Held) -> list[str]:
            return [*self._main(axis, part, now[:half], fetches), *(v for _, v in now[half:])]

        longest = self._longest(axis)
        fetches: list[_Fetch] = []
        if not isinstance(longest, int) or longest >= wide:
            fetches = [(access, self._reach(axis, access)) for access in self.ahead]
            values = self._blocks(axis, (bounds[0], end), wide, held, main)
            held = list(zip(types, values, strict=True))
        if fetches:  # rows may begin within a line, so that their last element is in one more
            self._fetch(axis, (iv.subtract(em, bounds[1], "1"), 1), fetches)
        whole = whole and isinstance(axis.extent, int) and axis.extent % wide == 0
        if axis.block is not None or axis.name in self.owner.ranges or not whole:
            values = [v for _, v in held]
            tail = self._tail(axis, (end, bounds[1]), held[half : 2 * half], narrow, fetches)
            values[half : 2 * half] = tail
            if len(self.group.axes) > 1:
                left = iv.add(em, iv.subtract(em, bounds[1], end), str(narrow - 1))
                values = self._after(values, iv.floordiv(em, left, str(narrow), unsigned=True))
            return values
        return [v for _, v in held]

    def _from_line(self, axis: Axis, bounds: tuple[str, str]) -> tuple[tuple[str, str], bool]:
        """What of a loop is left after elements before a line of what it stores past the caches.

        And whether that is all of it. What reductions sum up together stays together.
        """
        stores = [(i.name, i.ix) for i in self.group.items if i.kind == "store"]
        start = None if self.reductions else self.ex.line_start(stores, axis.name, bounds)
        if start is None:
            return bounds, True
        self._tail(axis, (bounds[0], start), [], self.owner.lanes)
        return (start, bounds[1]), False

    def _longest(self, axis: Axis) -> Dim:
        return axis.extent if axis.block is None else axis.block

    def _main(
        self, axis: Axis, bounds: tuple[str, str], held: Held, fetches: Sequence[_Fetch]
    ) -> list[str]:
        """Full vectors of the wider width, fetching so far ahead."""
        assert self.widths is not None
        wide, _ = self.widths

        def iteration(i: str, values: list[str]) -> list[str]:
            self._fetch(axis, (i, wide), fetches)
            with self.ex.scope({axis.name: i}, Vector(axis.name, wide)):
                return self._step(values, wide, None)

        return self.em.loop(*bounds, wide, iteration, held)

    def _fetch(self, axis: Axis, part: tuple[str, int], fetches: Sequence[_Fetch]) -> None:
        """Fetches what lies so far ahead of some elements: (the first, how many)."""
        i, count = part
        with self.ex.scope({axis.name: i}, Vector(axis.name, count)):
            for access, reach in fetches:
                self.ex.fetch(access.name, access.ix, reach, write=access.write, near=access.near)

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
        held: Held,
        narrow: int,
        fetches: Sequence[_Fetch] = (),
    ) -> list[str]:
        """What the full vectors leave, in masked vectors."""

        def iteration(i: str, values: list[str]) -> list[str]:
            self._fetch(axis, (i, narrow), fetches)
            mask = self.em.mask_below(iv.subtract(self.em, bounds[1], i), narrow)
            with self.ex.scope({axis.name: i}, Vector(axis.name, narrow, mask)):
                return self._step(values, narrow, mask)

        return self.em.loop(*bounds, narrow, iteration, held)

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
                self.ex.bind_value(item.name, value)
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
