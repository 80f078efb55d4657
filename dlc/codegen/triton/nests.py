"""Parallel nests as Triton functions: which axes are blocks, loops, reductions and stores.

One program does a block of one or two parallel axes, or one iteration of them, and walks reduced
axes block by block. A row kernel is written in several variants: for rows that fit in one block,
where every value is computed once and stays in registers, and for longer ones, which are read again
by each loop.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from dlc.codegen.index_math import axis_name as axis_symbol
from dlc.codegen.index_math import blocks_of, coefficient
from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Stmt
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.schedule import Strides, vector_axis
from dlc.codegen.triton.code import Launch, Variant, module_source
from dlc.codegen.triton.folds import Fold, fold_of
from dlc.codegen.triton.plan import Item, Loop, Nest, Step, axes_of, cannot, row_extent
from dlc.codegen.triton.scalars import literal
from dlc.codegen.triton.values import Scope, Span, Value, ValueWriter
from dlc.ir.dims import Dim, add, floordiv, product, symbols_of
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass
from dlc.ir.scalar import Axis, Expr, load, walk
from dlc.ir.types import DType, int64

POINTWISE = 1024  # elements a program
SHORT_ROW, SHORT_ROWS = 128, 8  # extent of a short row, and rows a program
LONG_ROW = 4096  # extent up to which a row stays in registers
ROW_BLOCK = 1024  # elements of a longer row at a time
COLUMNS, COLUMN_ROWS = 128, 8  # of a reduction whose neighbours in memory are parallel
LANES = 32  # what the cost model of `schedule` takes for a vector: a warp


@dataclass(frozen=True)
class Tiling:
    """Sizes of blocks: of parallel axes by name, and of any axis inside of the nest.

    held: whether the loops inside are a single block, so that values stay from one to the next.
    """

    blocks: dict[str, int]
    inner: int
    held: bool = False


def write_nest(nest: Nest, number: int) -> Launch:
    """The variants of a nest; `number` tells the nests of a kernel apart."""
    return Launch(tuple(_variants(nest, number)))


def _variants(nest: Nest, number: int) -> Iterator[Variant]:
    def variant(tiling: Tiling, suffix: str, **facts: object) -> Variant:
        entry = f"{nest.kernel.name}_{number}{suffix}"
        writer = NestWriter(nest, tiling)
        return Variant(writer.source(entry), entry, writer.grid(), **facts)  # type: ignore[arg-type]

    vector = _vector_axis(nest)
    has_loops = any(isinstance(s, Loop) for s in nest.steps)
    inner = any(True for i in nest.items() for _ in axes_of(i))
    if has_loops or (inner and vector is not None):
        size = {vector: COLUMNS} if vector is not None else {}
        tiling = Tiling(size, COLUMN_ROWS if size else ROW_BLOCK)
        yield variant(tiling, "_aligned", aligned=True)
        yield variant(tiling, "")
        return
    if not inner:
        tiling = Tiling(_pointwise_blocks(nest), 1)
        yield variant(tiling, "_aligned", aligned=True)
        yield variant(tiling, "")
        return
    extent = row_extent(nest)
    if extent is not None and not isinstance(extent, int):
        rows = {a.name: SHORT_ROWS for a in nest.axes[-1:] if a.block is None}
        short = Tiling(rows, SHORT_ROW, held=True)
        yield variant(short, "_short", at_most=((extent, SHORT_ROW),))
        held = Tiling({}, LONG_ROW, held=True)
        yield variant(held, "_held", at_most=((extent, LONG_ROW),), num_warps=8)
    yield variant(Tiling({}, ROW_BLOCK), "")


def _as_statements(nest: Nest) -> Par:
    """The nest as kernel IR again, for the cost model of schedules."""

    def assign(i: Item) -> Assign:
        return Assign(i.name, i.ix, i.axes, i.expr)

    def body(steps: Sequence[Step]) -> tuple[Stmt, ...]:
        return tuple(
            For(s.axis, body(s.body), tuple(map(assign, s.carry)))
            if isinstance(s, Loop)
            else assign(s)
            for s in steps
        )

    stores = [i for group in nest.stores for i in group]
    return Par(nest.axes, body((*nest.steps, *stores)))


def _vector_axis(nest: Nest) -> str | None:
    stops = [s.stop for s in nest.steps if isinstance(s, Loop) and s.stop is not None]
    if any(symbols_of(stop) & {axis_symbol(a.name) for a in nest.axes} for stop in stops):
        return None  # loops that end apart cannot be lanes of one
    par = _as_statements(nest)
    kernel = Kernel(nest.kernel.name, nest.kernel.params, nest.kernel.dims, (par,))
    axis = vector_axis(par, kernel, nest.math, LANES)
    if axis is None and any(isinstance(s, Loop) for s in nest.steps):
        # What is ordered inside leaves only the parallel axes to be blocks.
        return next((a.name for a in reversed(nest.axes) if a.block is None), None)
    return axis


def _pointwise_blocks(nest: Nest) -> dict[str, int]:
    axes = [a for a in nest.axes if a.block is None]
    if not axes:
        return {}
    last = axes[-1]
    if len(axes) == 1:
        return {last.name: _block(last, POINTWISE)}
    before = axes[-2]
    if _is_transposed(nest, before):
        return {before.name: _block(before, 32), last.name: _block(last, 32)}
    size = _block(last, 128)
    return {before.name: _block(before, POINTWISE // size), last.name: size}


def _is_transposed(nest: Nest, axis: Axis) -> bool:
    """Whether an access that varies along the last axis is contiguous along another one."""
    strides, last = Strides(nest.kernel, nest.math), axis_symbol(nest.axes[-1].name)
    for item in nest.items():
        accesses = [n for n in walk(item.expr) if n.op == "load"]
        for access in (*accesses, load(item.name, item.ix, item.expr.dtype)):
            at = strides.offset(access)
            found = coefficient(at, axis_symbol(axis.name))
            if found is not None and found[0] == 1 and last in symbols_of(at):
                return True
    return False


def _block(axis: Axis, size: int) -> int:
    """The size of the block of an axis: a power of two, no larger than it need be."""
    extent = axis.extent if axis.block is None else axis.block
    return min(size, _power_of_two(extent)) if isinstance(extent, int) else size


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


class NestWriter(ValueWriter):
    """Writes the function of one nest in one variant."""

    def __init__(self, nest: Nest, tiling: Tiling) -> None:
        super().__init__(nest.kernel, nest.math)
        self.nest, self.tiling = nest, tiling

    def source(self, entry: str) -> str:
        """The module's text."""
        scope = self._program_scope()
        self.steps(self.nest.steps, scope)
        for group in self.nest.stores:
            self._stores(group, scope)
        title = print_kernel(self.nest.kernel).rstrip().split("\n")
        return module_source(self.kernel, entry, self.lines, title)

    def _count(self, axis: Axis) -> Dim:
        """The number of programs along a parallel axis."""
        if axis.block is not None:
            return blocks_of(axis)
        size = self.tiling.blocks.get(axis.name, 1)
        return axis.extent if size == 1 else floordiv(add(axis.extent, size - 1), size)

    def grid(self) -> Dim:
        """The number of programs."""
        return product(self._count(a) for a in self.nest.axes)

    def _program_scope(self) -> Scope:
        """What one program does: its part of each parallel axis, the last fastest."""
        axes = self.nest.axes
        blocks = [(a.name, s) for a in axes if (s := self.tiling.blocks.get(a.name, 1)) > 1]
        scope, outer = Scope(blocks=tuple(blocks)), Scope()
        self.write("pid = tl.program_id(0).to(tl.int64)")
        rest, parts = "pid", dict[str, str]()
        for k, axis in reversed(list(enumerate(axes))):
            if k == 0:
                parts[axis.name] = rest
                break
            count = self.offset(self._count(axis), outer).text
            parts[axis.name], following = self.name("pid"), self.name("pid")
            self.write(f"{parts[axis.name]}, {following} = {rest} % {count}, {rest} // {count}")
            rest = following
        for axis in axes:
            self._parallel_axis(axis, parts[axis.name], scope, outer)
        return scope

    def _parallel_axis(self, axis: Axis, part: str, scope: Scope, outer: Scope) -> None:
        end = self.offset(axis.extent, outer).text
        if axis.block is not None:
            scope.spans[axis.name] = self._open(part, axis.block, end)
            return
        names = [n for n, _ in scope.blocks]
        if axis.name not in names:
            self.scalar_axis(scope, axis, part)
            return
        k = names.index(axis.name)
        size = scope.blocks[k][1]
        lane = f"tl.arange(0, {size})"
        if scope.rank > 1:
            lane += f"[{', '.join(':' if d == k else 'None' for d in range(scope.rank))}]"
        own = frozenset({axis.name})
        scope.indices[axis.name] = self.assign(f"{part} * {size} + {lane}", scope, own)
        text = f"{scope.indices[axis.name].text} < {end}"
        scope.masks[axis.name] = self.assign(text, scope, own)

    def _open(self, number: str, block: int, end: str) -> Span:
        start, stop = self.name("start"), self.name("end")
        self.write(f"{start} = {number} * {block}")
        self.write(f"{stop} = tl.minimum({start} + {block}, {end})")
        return Span(start, stop, number)

    # Statements

    def steps(self, steps: Sequence[Step], scope: Scope) -> None:
        """Statements in order."""
        for s in steps:
            if isinstance(s, Loop):
                self.comment(s.text)
                self._loop(s, scope)
            elif s.name in self.params:
                self._stores((s,), scope)
            else:
                self.comment(s.text)
                scope.locals[s.name] = self._item_value(s, scope)

    def _item_value(self, item: Item, scope: Scope) -> Value:
        try:
            return self.fresh(item.expr, scope)
        except BackendError as error:
            raise cannot(self.kernel, item.text, error.message) from None

    def fresh(self, e: Expr, scope: Scope) -> Value:
        """The value of an expression; nothing of it is kept when it may change."""
        if self._is_volatile(e):
            return self.value(e, scope.inner())
        return self.value(e, scope)

    def _is_volatile(self, e: Expr) -> bool:
        volatile = self.nest.volatile
        return bool(volatile) and any(n.op == "load" and n.attr in volatile for n in walk(e))

    def _loop(self, s: Loop, scope: Scope) -> None:
        carried = {c.name: self._carried(self._item_value(c, scope), scope) for c in s.carry}
        if s.condition is None:
            inner = self._iteration(s.axis, scope, s.stop)
            self._iterate(s, inner, carried, scope)
        else:
            self._while(s, s.condition, carried, scope)
        self.depth -= 1
        scope.locals |= carried

    def _while(self, s: Loop, condition: Expr, carried: Mapping[str, Value], scope: Scope) -> None:
        going, counter = self.name("going"), self.name("i")

        def inside() -> Scope:
            inner = scope.inner()
            inner.locals |= carried
            self.scalar_axis(inner, s.axis, counter)
            return inner

        def decide() -> None:
            self.write(f"{going} = {self.fresh(condition, inside()).text}")

        self.write(f"{counter} = tl.full((), 0, tl.int64)")
        decide()
        self.write(f"while {going}:")
        self.depth += 1
        self._iterate(s, inside(), carried, scope)
        self.write(f"{counter} = {counter} + 1")
        decide()

    def _iterate(self, s: Loop, inner: Scope, carried: Mapping[str, Value], scope: Scope) -> None:
        """One iteration, and what it leaves to the next one."""
        inner.locals |= carried
        self.steps(s.body, inner)
        replaced = [
            (held.text, self._broadcast(following, scope))
            for name, held in carried.items()
            if (following := inner.locals.get("next_" + name)) is not None
        ]
        if replaced:  # all at once: one may be the present value of another
            names, values = (", ".join(x) for x in zip(*replaced, strict=True))
            self.write(f"{names} = {values}")

    def _iteration(self, axis: Axis, scope: Scope, stop: Dim | None) -> Scope:
        """Opens the loop over an axis, its blocks, or the values of its open block."""
        block = axis.block
        if block is None or scope.span(axis.name) is not None:
            span = self.span(axis, scope)
            end = span.end
            if stop is not None:
                end = f"tl.minimum({end}, {self.offset(stop, scope).text})"
            counter = self._enter(span.start, end, None)
            inner = scope.inner()
            self.scalar_axis(inner, axis, counter)
            return inner
        extent = self.offset(axis.extent, scope).text
        counter = self._enter("0", f"({extent} + {block - 1}) // {block}", None)
        inner = scope.inner()
        inner.spans[axis.name] = self._open(counter, block, extent)
        return inner

    def _carried(self, first: Value, scope: Scope) -> Value:
        """A variable that a loop replaces: of one shape throughout."""
        text = self._broadcast(first, scope)
        return self.assign(text, scope, frozenset(n for n, _ in scope.blocks))

    def _broadcast(self, value: Value, scope: Scope) -> str:
        text = value.at(scope.rank)
        return f"tl.broadcast_to({text}, {scope.shape})" if scope.rank else text

    def _stores(self, items: Sequence[Item], scope: Scope) -> None:
        """Assignments to parameters over the same axes: all are computed, then all are stored."""
        for item in items:
            self.comment(item.text)
        ordered = any(i.name in self.nest.volatile for i in items)
        with self.over(items[0].axes, scope, vector=len(items[0].axes) - 1) as inner:
            made = [self._stored(i, inner) for i in items]
            if ordered:  # other threads of the program have read, and will
                self.write("tl.debug_barrier()")
            for item, (value, changed) in zip(items, made, strict=True):
                work = inner.inner() if any(map(self._is_volatile, item.ix)) else inner
                at = self.place(item.name, item.ix, work)
                kept = changed if item.where is None else self.fresh(item.where, work)
                self.store(item.name, at, value, item.expr.dtype, work, kept)
            if ordered:
                self.write("tl.debug_barrier()")

    def _stored(self, item: Item, scope: Scope) -> tuple[Value, Value | None]:
        """The value of an element, and where it changes; None for everywhere.

        What stays as it was, in memory that an output has taken over, is neither read nor written.
        """
        old = self._old_element(item)
        if old is None:
            return self._item_value(item, scope), None
        try:
            return self._replaced(item, old, scope)
        except BackendError as error:
            raise cannot(self.kernel, item.text, error.message) from None

    def _replaced(self, item: Item, old: Expr, scope: Scope) -> tuple[Value, Value]:
        condition, first, second = item.expr.args
        new = first if second is old else second
        chosen = self.value(condition, scope)
        is_new = chosen.at(scope.rank)
        is_old = self.assign(f"{is_new} == 0", scope, chosen.axes).at(scope.rank)
        if new is second:
            is_new, is_old = is_old, is_new
        apart = f"(p_{item.name}.to(tl.int64) != p_{old.attr}.to(tl.int64))"
        read = self.assign(f"{is_old} & {apart}", scope, chosen.axes)
        kept = self.assign(f"{is_new} | {apart}", scope, chosen.axes)
        values = self.value(new, scope), self.load(old, scope, read)
        axes = chosen.axes.union(*(v.axes for v in values))
        texts = ", ".join(v.at(scope.rank) for v in values)
        return self.assign(f"tl.where({is_new}, {texts})", scope, axes), kept

    def _old_element(self, item: Item) -> Expr | None:
        """The load of the element in whose place another is stored, where a condition says so."""
        param = self.params[item.name]
        if item.expr.op != "select" or item.where is not None or self.nest.volatile:
            return None
        for e in item.expr.args[1:]:
            if e.op == "load" and e.attr in param.may_alias and e.args == item.ix:
                return e
        return None

    # Loops inside of a program

    @contextmanager
    def over(self, axes: Sequence[Axis], scope: Scope, vector: int) -> Generator[Scope]:
        """Loops over axes, the one numbered `vector` in blocks; gives the scope inside.

        A negative `vector` walks all of them one value at a time.
        """
        inner, depth = scope, self.depth
        for k, axis in enumerate(axes):
            if k != vector:
                span = self.span(axis, inner)
                counter = self._enter(f"{span.start}", span.end, None)
                inner = inner.inner()
                self.scalar_axis(inner, axis, counter)
        if vector >= 0:
            inner = self._blocks(axes[vector], inner)
        yield inner
        self.depth = depth

    def _enter(self, start: str, end: str, step: int | None) -> str:
        """Opens a loop; gives its counter as an i64."""
        counter, value = self.name("i"), self.name()
        by = f", {step}" if step is not None else ""
        self.write(f"for {counter} in range({start}, {end}{by}):")
        self.depth += 1
        self.write(f"{value} = {counter} + tl.full((), 0, tl.int64)")
        return value

    def span(self, axis: Axis, scope: Scope) -> Span:
        """What an axis runs over here: its open block, or all of it."""
        found = scope.span(axis.name) if axis.block is not None else None
        return found or Span("0", self.offset(axis.extent, scope).text)

    def single(self, axis: Axis) -> int | None:
        """The size of the one block that holds all of an axis; None when there may be several."""
        extent = axis.extent if axis.block is None else axis.block
        if isinstance(extent, int):
            return _power_of_two(extent) if extent <= self.tiling.inner else None
        return self.tiling.inner if self.tiling.held else None

    def _blocks(self, axis: Axis, scope: Scope) -> Scope:
        """The scope of a block of an axis, in a loop where there may be several."""
        span, lanes = self.span(axis, scope), self.single(axis)
        if lanes is not None:
            kept = scope.kept.get(axis.name)
            if kept is None:
                kept = scope.kept[axis.name] = scope.inner((axis.name, lanes))
                self.block_axis(kept, axis.name, self._base(span.start), span.end)
            return kept
        counter = self._enter(span.start, span.end, self.tiling.inner)
        inner = scope.inner((axis.name, self.tiling.inner))
        self.block_axis(inner, axis.name, counter, span.end)
        return inner

    def _base(self, start: str) -> str:
        return "tl.full((), 0, tl.int64)" if start == "0" else start

    # Reductions

    def reduction(self, e: Expr, scope: Scope) -> Value:
        """A reduction: blocks are combined element by element, then the elements of the result."""
        kind, axes = e.attr
        body: Expr = e.args[0]
        if kind.startswith("arg"):
            return _Extreme(self, kind, axes, body).write(scope)
        nested = scope.rank > len(self.tiling.blocks)
        vector = -1 if nested or not axes else _vector_position(axes)
        fold = fold_of(kind, body.dtype)
        loops = nested or len(axes) > 1 or self.single(axes[vector]) is None
        if not loops:
            with self.over(axes, scope, vector) as inner:
                masked = self._masked(fold, body, inner)
                return self._finish(fold, masked, inner, scope)
        total = self.name("acc")
        shape = scope
        if vector >= 0:
            axis = axes[vector]
            shape = scope.inner((axis.name, self.single(axis) or self.tiling.inner))
        self.write(f"{total} = {_filled(shape, fold.identity, fold.dtype)}")
        with self.over(axes, scope, vector) as inner:
            masked = self._masked(fold, body, inner)
            self.write(f"{total} = {fold.combine(total, masked)}")
        everywhere = frozenset(n for n, _ in shape.blocks)
        if vector < 0:
            return self.assign(fold.result(total), scope, everywhere)
        return self._finish(fold, total, shape, scope)

    def _masked(self, fold: Fold, body: Expr, inner: Scope) -> str:
        """The body's value with what is beyond the axis replaced by the identity."""
        text = fold.prepare(self.fresh(body, inner).at(inner.rank))
        name = inner.blocks[-1][0] if inner.blocks else ""
        mask = inner.masks.get(name)
        if mask is None:
            return self.assign(text, inner, frozenset()).text if " " in text else text
        first = literal(fold.identity, fold.dtype)
        text = f"tl.where({mask.at(inner.rank)}, {text}, {first})"
        return self.assign(text, inner, frozenset()).text

    def _finish(self, fold: Fold, text: str, inner: Scope, scope: Scope) -> Value:
        value = fold.result(fold.reduce(text, inner.rank - 1))
        return self.assign(value, scope, frozenset(n for n, _ in scope.blocks))


def _filled(scope: Scope, value: float, dtype: DType) -> str:
    """A value for each element of a block."""
    if not scope.rank:
        return literal(value, dtype)
    return f"tl.broadcast_to({literal(value, dtype)}, {scope.shape})"


def _vector_position(axes: Sequence[Axis]) -> int:
    """Which of several reduced axes is walked in blocks: the last one that is not short."""
    for k in reversed(range(len(axes))):
        extent = axes[k].extent
        if not isinstance(extent, int) or extent >= 32:
            return k
    return len(axes) - 1


_FAR = 2**63 - 1  # beyond every position


@dataclass(frozen=True)
class _Extreme:
    """argmax or argmin: the position of the first extreme; NaN is more extreme than all."""

    writer: NestWriter
    kind: str
    axes: tuple[Axis, ...]
    body: Expr

    def write(self, scope: Scope) -> Value:
        """The position among all reduced axes, the last fastest."""
        w, fold = self.writer, fold_of(self.kind.removeprefix("arg"), self.body.dtype)
        nested = scope.rank > len(w.tiling.blocks)
        vector = -1 if nested else len(self.axes) - 1
        shape = scope
        if vector >= 0:
            last = self.axes[-1]
            shape = scope.inner((last.name, w.single(last) or w.tiling.inner))
        best, at = w.name("best"), w.name("at")
        w.write(f"{best} = {_filled(shape, fold.identity, fold.dtype)}")
        w.write(f"{at} = {_filled(shape, _FAR, int64)}")
        with w.over(self.axes, scope, vector) as inner:
            value = fold.prepare(w.fresh(self.body, inner).at(inner.rank))
            position = self._position(inner)
            sign = ">" if self.kind == "argmax" else "<"
            better = f"({value} {sign} {best}) | ({at} == {_FAR})"
            if fold.dtype.is_float:
                better += f" | (({value} != {value}) & ({best} == {best}))"
            mask = w.mask(frozenset({self.axes[-1].name}), inner) if vector >= 0 else None
            if mask is not None:
                better = f"{mask.at(inner.rank)} & ({better})"
            found = w.assign(better, inner, frozenset()).text
            w.write(f"{best} = tl.where({found}, {value}, {best})")
            w.write(f"{at} = tl.where({found}, {position}, {at})")
        everywhere = frozenset(n for n, _ in scope.blocks)
        if vector >= 0:
            at = self._across(fold, best, at, shape, scope)
        return w.assign(f"tl.where({at} == {_FAR}, 0, {at})", scope, everywhere)

    def _position(self, inner: Scope) -> str:
        position = ""
        for axis in self.axes:
            span = self.writer.span(axis, inner)
            here = inner.index(axis.name)
            assert here is not None
            text = here.at(inner.rank)
            if span.start != "0":
                text = f"({text} - {span.start})"
            if position:
                position = f"({position}) * ({span.end} - {span.start})"
            position = f"{position} + {text}" if position else text
        return position

    def _across(self, fold: Fold, best: str, at: str, shape: Scope, scope: Scope) -> str:
        """The first position among the lanes that have the extreme."""
        w, last = self.writer, shape.rank - 1
        most = w.assign(fold.reduce(best, last), scope, frozenset()).text
        spread = Value(most, scope.rank).at(shape.rank)
        hit = f"({best} == {spread})"
        if fold.dtype.is_float:
            hit = f"({hit} | ({best} != {best}))"
        first = w.assign(f"tl.where({hit}, {at}, {_FAR})", shape, frozenset()).text
        return w.assign(f"tl.reduce({first}, {last}, _fold_min)", scope, frozenset()).text
