"""The statements of a nest as code: groups of assignments, ordered loops, inner parallel nests.

Two ways of being vectors: inside of a vectorised `par` axis every value has one element a lane,
tiles too, and all inner loops are scalar and ordered; otherwise the last axis of each inner loop
is vectorised, and reductions end in a fixed tree over the lanes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.expressions import ExprEmitter, Tensor, Value
from dlc.codegen.cpu.fetch_ahead import Ahead, RowAccesses
from dlc.codegen.cpu.group_loop import GroupLoop, entered, runs
from dlc.codegen.cpu.grouping import Group, Grouping, Item, uses
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.ordered_loop import ordered_loop
from dlc.codegen.cpu.scopes import free_names
from dlc.codegen.cpu.sort_keys import KeySort
from dlc.codegen.cpu.sort_share import Share
from dlc.codegen.cpu.sort_statement import SortEmitter
from dlc.codegen.index_math import IndexMath, block_name, blocks_of
from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt, statements
from dlc.codegen.schedule import tile_extents
from dlc.ir.dims import Dim, add, floordiv, mul, product, symbol
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import Axis, Expr, load
from dlc.ir.types import DType


@dataclass
class Scratch:
    """The layout of a worker's scratch memory."""

    size: Dim = 0
    places: dict[tuple[str, int], Dim] = field(default_factory=dict[tuple[str, int], Dim])

    def place(self, name: str, copy: int, size: Dim) -> Dim:
        """The byte offset of a tile, given a place when it is first asked for."""
        key = (name, copy)
        if key not in self.places:
            self.places[key] = self.size
            self.size = add(self.size, mul(floordiv(add(size, 63), 64), 64))
        return self.places[key]


@dataclass
class _Carried:
    """A local that a `for` carries: its accumulators' LLVM types and initial values."""

    name: str
    dtype: DType
    types: list[str]
    initial: list[str]
    tile: tuple[Axis, ...]


class StatementEmitter:
    """Emits statements within a nest; see the module's docstring.

    Args:
        em: The function that is written.
        isa: The level that it is for.
        kernel: The normalised kernel.
        math: Index polynomials that know all of its axes.
        symbols: The i64 value of each run-time dim.
    """

    def __init__(
        self, em: Emitter, isa: Isa, kernel: Kernel, math: IndexMath, symbols: Mapping[str, str]
    ) -> None:
        names = {p.name for p in kernel.params}
        self.em, self.isa, self.kernel, self.math = em, isa, kernel, math
        self.ex = ExprEmitter(em, isa, math, symbols, read_and_written(kernel), self._reduce)
        self.grouping = Grouping(
            names,
            {p.name: frozenset(p.may_alias) for p in kernel.params},
            self.ex.is_known,
            lambda name: bool(self.ex.tensor(name).streams),
        )
        self.scratch = Scratch()
        self.lanes = 1
        self.tile_lanes = 1
        self._open: dict[str, tuple[str, str]] = {}
        self.storage: dict[str, str] = {}
        self.share: Share | None = None  # of a row that threads sort together, and
        self.ranges: dict[str, tuple[str, str]] = {}  # of axes that are run through in part
        self._carried: set[str] = set()

    # Bodies

    def body(self, body: Sequence[Stmt], row: Axis | None = None) -> None:
        """Emits statements in the current scope; those of a row, when `row` leads to the next."""
        k = 0
        while k < len(body):
            s = body[k]
            match s:
                case Assign():
                    run: list[Assign] = []
                    while k < len(body) and isinstance(a := body[k], Assign):
                        run.append(a)
                        k += 1
                    self.run(run, body[k:], row)
                    continue
                case Par():
                    self._inner_par(s)
                case For():
                    self._for(s)
                case Sort():
                    assert isinstance(s, KeySort)
                    SortEmitter(self, s).emit()
            k += 1

    def run(
        self, run: Sequence[Assign], following: Sequence[Stmt], row: Axis | None = None
    ) -> None:
        """Emits assignments; `following` are the statements that may read what they make."""
        groups = self.grouping.groups(run)
        ahead: list[list[Ahead]] = [[] for _ in groups]
        if row is not None and self.ex.lanes == 1:
            ahead = RowAccesses(self.math, self.kernel.params, row).fetches(groups)
        later = names_read(following) | self._carried
        for k, group in enumerate(groups):
            outside = later | uses([*groups[:k], *groups[k + 1 :]])
            self._group(group, outside, ahead[k])

    def _group(self, group: Group, outside: set[str], ahead: Sequence[Ahead] = ()) -> None:
        if not group.axes:
            self._at_once(group.items)
            return
        for item in group.items:
            if item.kind == "tile" and item.name in outside:
                self._bind_tile(item)
        GroupLoop(self, group, outside, ahead).emit()

    def _at_once(self, items: Sequence[Item]) -> None:
        stores: list[tuple[Item, str]] = []
        for item in items:
            if item.kind == "store":
                stores.append((item, self.ex.vector(item.expr)))
            else:
                self.ex.bind_value(item.name, self.ex.emit(item.expr))
        for item, value in stores:
            self.ex.store(item.name, item.ix, value)

    # Tiles

    def _bind_tile(self, item: Item) -> None:
        dims = tile_extents(item.axes, item.ix)
        by_name = {a.name: a for a in item.axes}
        origin = tuple(self.origin(by_name[i.attr]) for i in item.ix)
        lanes = self.ex.lanes if self.ex.lanes > 1 else 0
        pointer = self.storage.get(item.name)
        if pointer is None:
            pointer = self.tile_pointer(item.name, 0, dims, item.expr.dtype)
        self.ex.bind_tensor(item.name, Tensor(item.expr.dtype, pointer, dims, origin, lanes))

    def tile_pointer(self, name: str, copy: int, dims: tuple[Dim, ...], dtype: DType) -> str:
        """The address of a tile in scratch memory."""
        lanes = self.tile_lanes if self.ex.lanes > 1 else 1
        size = mul(product(dims), dtype.itemsize * lanes)
        offset = self.ex.index(self.scratch.place(name, copy, size))
        return self.em.value(f"getelementptr i8, ptr %scratch, i64 {offset}")

    @staticmethod
    def origin(axis: Axis) -> Dim:
        """The first value of an open block, 0 for other axes."""
        return 0 if axis.block is None else mul(symbol(block_name(axis.name)), axis.block)

    # Ranges

    def axis_range(self, axis: Axis) -> tuple[str, str]:
        """First value and end of an axis: of its open block, for a blocked one."""
        if axis.block is not None:
            return self._open[axis.name]
        return self.ranges.get(axis.name) or ("0", self.ex.index(axis.extent))

    def block_range(self, axis: Axis, number: str) -> tuple[str, str]:
        """First value and end of a block."""
        assert axis.block is not None
        low = iv.multiply(self.em, number, str(axis.block))
        end = iv.add(self.em, low, str(axis.block))
        return low, iv.minimum(self.em, end, self.ex.index(axis.extent))

    def at(self, axes: Sequence[Axis], values: Sequence[str], stack: ExitStack) -> None:
        """Enters a scope with these axes at these values: block numbers for blocked axes."""
        plain = {a.name: v for a, v in zip(axes, values, strict=True) if a.block is None}
        blocks = {a.name: v for a, v in zip(axes, values, strict=True) if a.block is not None}
        stack.enter_context(self.ex.scope(plain, blocks=blocks))
        saved = dict(self._open)
        stack.callback(lambda: setattr(self, "_open", saved))
        self._open = saved | {
            a.name: self.block_range(a, v)
            for a, v in zip(axes, values, strict=True)
            if a.block is not None
        }

    def prepare(self, body: Sequence[Stmt], axes: Sequence[Axis], lanes: Iterable[int]) -> None:
        """Moves what the iterations of `axes` over `body` do not change before them."""
        bound = [*axes, *(a for s in statements(tuple(body)) for a in _axes(s))]
        hidden = entered(bound) | {block_name(a.name) for a in bound if a.name not in self._open}
        hidden |= {n for a in _assigns(body) for n in (a.name, "next_" + a.name)}
        hidden |= {n for s in statements(tuple(body)) if isinstance(s, Sort) for n in s.names}
        for width in lanes:
            self.ex.prepare(
                (e for s in statements(tuple(body)) for e in _roots(s)),
                hidden,
                lanes=width,
                loads=all(runs(a) for a in bound),
            )
        for a in _assigns(body):
            if a.name in self.grouping.params:
                self.ex.prepare_place(a.name, a.ix, hidden)

    # Inner nests and ordered loops

    def _inner_par(self, par: Par) -> None:
        def level(k: int) -> None:
            if k == len(par.axes):
                self.body(par.body)
                return
            axis = par.axes[k]
            self.prepare(par.body, par.axes[k:], (self.ex.lanes,))

            def iteration(i: str, _: list[str]) -> list[str]:
                with ExitStack() as stack:
                    self.at([axis], [i], stack)
                    level(k + 1)
                return []

            count = axis.extent if axis.block is None else blocks_of(axis)
            self.em.loop("0", self.ex.index(count), 1, iteration)

        level(0)

    def _for(self, s: For) -> None:
        carried = self._initial(s.carry)
        types = [t for c in carried for t in c.types]
        initial = [v for c in carried for v in c.initial]
        names = {n for c in carried for n in (c.name, "next_" + c.name)}
        # Carried values change from one iteration to the next: bound before the loop, they are
        # hidden from what moves out of it by being assigned in it.
        self.prepare((*s.body, *s.carry), [s.axis], (self.ex.lanes,))
        opened = self._open.get(s.axis.name)
        if opened is not None:
            steps = iv.subtract(self.em, opened[1], opened[0])
        else:
            steps = self.ex.index(s.axis.extent if s.axis.block is None else blocks_of(s.axis))

        def enter(i: str, values: list[str], stack: ExitStack) -> None:
            if opened is None:
                self.at([s.axis], [i], stack)
            else:
                place = iv.add(self.em, opened[0], i)
                stack.enter_context(self.ex.scope({s.axis.name: place}))
            self._bind_carried(carried, values, stack)

        def condition(i: str, values: list[str]) -> str:
            assert s.condition is not None
            with ExitStack() as stack:
                enter(i, values, stack)
                return self.ex.scalar(s.condition)

        def iteration(i: str, values: list[str]) -> list[str]:
            with ExitStack() as stack:
                enter(i, values, stack)
                outer, self._carried = self._carried, self._carried | names
                self.body(s.body, s.axis if s.axis.block is None else None)
                self._carried = outer
                return self._next_values(carried, values, s.body)

        test = None if s.condition is None else condition
        final = ordered_loop(
            self.em, steps, list(zip(types, initial, strict=True)), iteration, test
        )
        self._bind_carried(carried, final, None)

    def _initial(self, carry: Sequence[Assign]) -> list[_Carried]:
        """Emits the initial values of carried locals."""
        outer, self._carried = self._carried, self._carried | {c.name for c in carry}
        self.run(carry, ())
        self._carried = outer
        found: list[_Carried] = []
        for c in carry:
            dtype = c.expr.dtype
            if c.axes:
                dims = tile_extents(c.axes, c.ix)
                pointers = [self.ex.tensor(c.name).pointer]
                pointers.append(self.tile_pointer(c.name, 1, dims, dtype))
                found.append(_Carried(c.name, dtype, ["ptr", "ptr"], pointers, c.axes))
            else:
                value = self.ex.vector(load(c.name, (), dtype))
                type_ = llvm_type(dtype, self.ex.lanes)
                found.append(_Carried(c.name, dtype, [type_], [value], ()))
        return found

    def _bind_carried(
        self, carried: Sequence[_Carried], values: Sequence[str], stack: ExitStack | None
    ) -> None:
        left = list(values)
        saved = dict(self.storage)
        for c in carried:
            own = [left.pop(0) for _ in c.types]
            if not c.tile:
                self.ex.bind_value(c.name, Value(own[0], self.ex.lanes > 1))
                continue
            held = self.ex.tensor(c.name)
            self.ex.bind_tensor(
                c.name, Tensor(held.dtype, own[0], held.dims, held.origin, held.lanes)
            )
            self.storage["next_" + c.name] = own[1]
        if stack is None:
            self.storage = saved
        else:
            stack.callback(lambda: setattr(self, "storage", saved))

    def _next_values(
        self, carried: Sequence[_Carried], values: Sequence[str], body: Sequence[Stmt]
    ) -> list[str]:
        assigned = {a.name for a in body if isinstance(a, Assign)}
        left, result = list(values), list[str]()
        for c in carried:
            own = [left.pop(0) for _ in c.types]
            if "next_" + c.name not in assigned:
                result += own
            elif c.tile:
                result += own[::-1]
            else:
                result.append(self.ex.vector(load("next_" + c.name, (), c.dtype)))
        return result

    # Reductions inside of expressions

    def _reduce(self, node: Expr) -> Value:
        found: list[Item] = []
        result = self.grouping.extract(node, (), found)
        for item in found:
            self._group(Group(item.axes, [item]), set())
        return self.ex.emit(result)


def _assigns(body: Sequence[Stmt]) -> list[Assign]:
    return [s for s in statements(tuple(body)) if isinstance(s, Assign)]


def _roots(s: Stmt) -> tuple[Expr, ...]:
    match s:
        case Assign() | Sort():
            return (*s.ix, s.expr)
        case For():
            return () if s.condition is None else (s.condition,)
        case Par():
            return ()


def _axes(s: Stmt) -> tuple[Axis, ...]:
    """The axes that a statement itself binds."""
    if isinstance(s, Sort):
        return (s.axis, s.over)
    return (s.axis,) if isinstance(s, For) else s.axes


def names_read(body: Sequence[Stmt]) -> set[str]:
    """Every name that statements refer to."""
    return set[str]().union(*(free_names(e) for s in statements(tuple(body)) for e in _roots(s)))


def read_and_written(kernel: Kernel) -> frozenset[str]:
    """The parameters that a kernel both loads from and stores to."""
    params = {p.name for p in kernel.params}
    stored = {s.name for s in statements(kernel.body) if isinstance(s, Assign)}
    return frozenset(params & stored & names_read(kernel.body))
