"""Kernels as CPU code: the parallel nests of a kernel become work units and vector loops.

A nest with a vector axis has one unit an element of its whole space; a row of it is a main loop of
full vectors and a masked tail. A nest without one has one unit an iteration, and its inner loops
are vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.expressions import Tensor, Vector
from dlc.codegen.cpu.fetch_ahead import STREAM_AHEAD, streamed
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.kernel_code import KernelCode
from dlc.codegen.cpu.memory import LINE, element_pointer, end_streams
from dlc.codegen.cpu.sort_keys import with_integer_keys
from dlc.codegen.cpu.sort_share import Share, parts
from dlc.codegen.cpu.statements import StatementEmitter, names_read
from dlc.codegen.cpu.stored_code import THREADS
from dlc.codegen.cpu.transposes import transposing
from dlc.codegen.cpu.turned_loads import COLUMNS, ROWS, TurnedNest, turned_nest
from dlc.codegen.index_math import IndexMath, blocks_of
from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Param, Sort, Stmt, statements
from dlc.codegen.kernel_transform import normalise
from dlc.codegen.schedule import (
    NestSchedule,
    Schedule,
    body_cost,
    choose_schedule,
    kernel_lanes,
)
from dlc.ir.dims import (
    Dim,
    add,
    ceildiv,
    floordiv,
    lower_bound,
    maximum,
    minimum,
    mul,
    product,
    symbol,
)
from dlc.ir.scalar import Axis, Expr, reduced_axes, walk

# Bytes of a result from which on it is stored past the caches: half of a third level of 32 MB. A
# smaller one may still lie there from the call before, or be read there by who is next.
_STREAMED = 16 << 20


def emit_loops(kernel: Kernel, isa: Isa, schedule: Schedule | None = None) -> KernelCode:
    """Emits a kernel that has no contraction worth a micro-kernel.

    Args:
        kernel: Any kernel of the grammar; a `dot` in it is a plain sum of products.
        isa: The level to emit for.
        schedule: How its nests run; None lets the cost model choose.

    Raises:
        BackendError: for a kernel whose statements break a rule of kernel IR.
        ValueError: for a schedule that would change bits.
    """
    kernel = with_integer_keys(normalise(kernel))
    math = index_math(kernel)
    chosen = choose_schedule(kernel, isa, math)
    if schedule is not None:
        _check_schedule(kernel, chosen, schedule)
        return LoopEmitter(kernel, isa, math, schedule).code()
    turned = turned_nest(kernel, math)
    if turned is not None:
        how = choose_schedule(turned.kernel, isa, math)
        if how.nests[0].vector_axis == turned.columns.name:
            return LoopEmitter(turned.kernel, isa, math, how, turned).code()
    return LoopEmitter(kernel, isa, math, chosen).code()


def index_math(kernel: Kernel) -> IndexMath:
    """Index polynomials that know every axis of a normalised kernel."""
    math = IndexMath()
    for s in statements(kernel.body):
        match s:
            case Assign():
                axes = [*s.axes, *(a for n in walk(s.expr) for a in reduced_axes(n))]
            case Par():
                axes = list(s.axes)
            case For():
                axes = [s.axis]
            case Sort():
                axes = [s.axis, s.over, *(a for n in walk(s.expr) for a in reduced_axes(n))]
        for axis in axes:
            math.declare(axis)
    return math


def _check_schedule(kernel: Kernel, chosen: Schedule, given: Schedule) -> None:
    nests = [s for s in kernel.body if isinstance(s, Par)]
    if len(given.nests) != len(chosen.nests):
        raise ValueError(f"the kernel has {len(nests)} nests, the schedule {len(given.nests)}")
    for nest, ours, theirs in zip(nests, chosen.nests, given.nests, strict=True):
        same = (ours.vector_axis, ours.lanes) == (theirs.vector_axis, theirs.lanes)
        if not same and any(
            n.op == "reduce" and n.dtype.is_float for e in _values(nest.body) for n in walk(e)
        ):
            raise ValueError(f"another vector axis than {ours.vector_axis} would change bits")


def _values(body: tuple[Stmt, ...]) -> list[Expr]:
    return [s.expr for s in statements(body) if isinstance(s, Assign)]


class LoopEmitter:
    """Emits a kernel: its nests as units of work, or all of it as a single one.

    `turned` says which of its parameters are blocks that are transposed first.
    """

    def __init__(
        self,
        kernel: Kernel,
        isa: Isa,
        math: IndexMath,
        schedule: Schedule,
        turned: TurnedNest | None = None,
    ) -> None:
        self.kernel, self.isa, self.math, self.schedule = kernel, isa, math, schedule
        self.turned = turned
        self.em = Emitter(
            kernel.name,
            [("ptr", "args"), ("ptr", "dims"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")],
        )
        symbols = {
            name: self.em.value(f"load i64, ptr {self._slot('%dims', k, 'i64')}", "d")
            for k, name in enumerate(kernel.dims)
        }
        self.streamed_size = LINE // kernel_lanes(kernel, isa) if isa.streams else 0
        self.statements = StatementEmitter(self.em, isa, kernel, math, symbols)
        self.ex = self.statements.ex
        given = len(kernel.params) - (len(turned.loads) if turned is not None else 0)
        for k, p in enumerate(kernel.params[:given]):
            pointer = self.em.value(f"load ptr, ptr {self._slot('%args', k, 'ptr')}", "a")
            self.ex.bind_tensor(p.name, Tensor(p.dtype, pointer, p.dims, streams=self._streams(p)))

    def _slot(self, base: str, k: int, type_: str) -> str:
        return self.em.value(f"getelementptr {type_}, ptr {base}, i64 {k}") if k else base

    def _streams(self, p: Param) -> str:
        """Whether a parameter is a result too large to be in the caches when it is read next.

        None is of which vectors fill no lines.
        """
        if p.mode == "in" or p.name in self.ex.volatile:
            return ""
        if not self.streamed_size or p.dtype.itemsize % self.streamed_size:
            return ""
        size = mul(product(p.dims), p.dtype.itemsize)
        if isinstance(size, int):
            return "true" if size >= _STREAMED else ""
        return self.em.value(f"icmp sge i64 {self.ex.index(size)}, {_STREAMED}")

    def code(self) -> KernelCode:
        """The function with how its work is cut."""
        nests = [s for s in self.kernel.body if isinstance(s, Par)]
        units: Dim = 1
        chunk: Dim = 1
        if self.turned is not None:
            units, chunk = self._in_blocks(nests[0], self.turned)
        elif len(nests) == len(self.kernel.body) and _independent(nests):
            units, chunk = self._parallel(nests)
        else:
            self.statements.lanes = kernel_lanes(self.kernel, self.isa)
            self.statements.prepare(self.kernel.body, (), (1,))
            self.statements.body(self.kernel.body)
        if any(self.ex.tensor(p.name).streams for p in self.kernel.params if p.mode != "in"):
            end_streams(self.em)
        self.em.line("ret void")
        cost = body_cost(self.kernel.body, kernel_lanes(self.kernel, self.isa))
        return KernelCode(
            [self.em],
            self.kernel.name,
            units,
            chunk,
            self.statements.scratch.size,
            cost,
        )

    def _parallel(self, nests: Sequence[Par]) -> tuple[Dim, Dim]:
        """Nests one after the other in the space of work units."""
        total: Dim = 0
        chunks: list[Dim] = []
        for nest, how in zip(nests, self.schedule.nests, strict=True):
            shares = parts(nest)
            whole = _whole_row(nest, how)
            rows = _units(nest, whole)
            units = mul(rows, shares)
            low, high = "%lo", "%hi"
            if len(nests) > 1:
                start = self.ex.index(total)
                end = self.ex.index(units)
                low = iv.maximum(self.em, iv.subtract(self.em, "%lo", start), "0")
                high = iv.minimum(self.em, iv.subtract(self.em, "%hi", start), end)
            if shares == 1:
                self._nest(nest, how, low, high)
                length = 1 if whole is None else whole.extent
                chunks.append(maximum(floordiv(how.chunk, length), 1))
            else:
                self._shared_rows(nest, how, self.ex.index(shares), (low, high))
                chunks.append(_shares_of_a_thread(rows, shares))
            total = add(total, units)
        chunk = chunks[0]
        for other in chunks[1:]:
            chunk = minimum(chunk, other)
        return total, chunk

    def _nest(self, nest: Par, how: NestSchedule, low: str, high: str) -> None:
        self.statements.lanes, self.statements.tile_lanes = how.lanes, how.lanes * how.unroll
        axis = next((a for a in nest.axes if a.name == how.vector_axis), None)
        if axis is None:
            self.statements.prepare(nest.body, nest.axes, (1,))
            self._rows(nest.axes, low, high, lambda _: self.nest_body(nest))
            return
        others = [a for a in nest.axes if a is not axis]
        if _whole_row(nest, how) is not None:
            self._whole_rows(nest, axis, how, (low, high))
            return
        self.statements.prepare(nest.body, nest.axes, ())
        if not others:
            self._segment(nest, axis, how, low, high)
            return
        # A row of an empty axis has no units, but its length must not divide by zero.
        length = self.ex.index(axis.extent)
        if (lower_bound(axis.extent) or 0) < 1:
            length = iv.maximum(self.em, length, "1")
        first = iv.floordiv(self.em, low, length, unsigned=True)
        end = iv.add(self.em, high, iv.subtract(self.em, length, "1"))
        last = iv.floordiv(self.em, end, length, unsigned=True)

        def row(number: str) -> None:
            start = iv.multiply(self.em, number, length)
            begin = iv.maximum(self.em, iv.subtract(self.em, low, start), "0")
            stop = iv.minimum(self.em, iv.subtract(self.em, high, start), length)
            self._segment(nest, axis, how, begin, stop)

        self._rows(others, first, last, row)

    def _whole_rows(
        self, nest: Par, axis: Axis, how: NestSchedule, bounds: tuple[str, str]
    ) -> None:
        """Rows that are a vector each, and a unit."""
        assert isinstance(axis.extent, int)
        width = max(axis.extent, how.lanes)
        self.statements.prepare(nest.body, nest.axes, (width,))
        mask = None if axis.extent == width else self.em.mask_below(str(axis.extent), width)

        def row(_: str) -> None:
            with self.ex.scope({axis.name: "0"}, Vector(axis.name, width, mask)):
                self.statements.body(nest.body)

        self._rows([a for a in nest.axes if a is not axis], *bounds, row)

    def _in_blocks(self, nest: Par, turned: TurnedNest) -> tuple[Dim, Dim]:
        """A nest with loads that are transposed: a unit is some rows, worked through in blocks."""
        em, ex, (how,) = self.em, self.ex, self.schedule.nests
        rows, columns = turned.rows, turned.columns
        others = [a for a in nest.axes if a not in (rows, columns)]
        self.statements.lanes, self.statements.tile_lanes = how.lanes, how.lanes * how.unroll
        self.statements.prepare(nest.body, nest.axes, ())
        height, width = ex.index(rows.extent), ex.index(columns.extent)

        def unit(number: str, _: list[str]) -> list[str]:
            extents = [*(ex.index(a.extent) for a in others), iv.blocks(em, height, str(ROWS))]
            *outer, block = iv.positions(em, number, extents)
            first = iv.multiply(em, block, str(ROWS))
            end = iv.add(em, first, iv.minimum(em, iv.subtract(em, height, first), str(ROWS)))

            def piece(j: str, _: list[str]) -> list[str]:
                stop = iv.add(em, j, iv.minimum(em, iv.subtract(em, width, j), str(COLUMNS)))
                with ex.scope():
                    self._turn(turned, (first, end), (j, stop))

                    def row(i: str, _: list[str]) -> list[str]:
                        with ExitStack() as scopes:
                            self.statements.at([rows], [i], scopes)
                            self._segment(nest, columns, how, j, stop)
                        return []

                    em.loop(first, end, 1, row)
                return []

            with ExitStack() as stack:
                self.statements.at(others, outer, stack)
                em.loop("0", width, COLUMNS, piece)
            return []

        em.loop("%lo", "%hi", 1, unit)
        units = mul(product(a.extent for a in others), ceildiv(rows.extent, ROWS))
        of_unit = maximum(mul(columns.extent, ROWS), 1)
        return units, maximum(floordiv(how.chunk, of_unit), 1)

    def _turn(self, turned: TurnedNest, rows: tuple[str, str], columns: tuple[str, str]) -> None:
        """Transposes blocks of some rows and columns, and binds the parameters that they are."""
        em, ex = self.em, self.ex
        (first, end), (start, stop) = rows, columns
        before = iv.add(em, iv.multiply(em, first, str(COLUMNS)), start)
        for t in turned.loads:
            dtype, access = t.access.dtype, t.access
            with ex.scope({turned.rows.name: first, turned.columns.name: start}):
                source = ex.place(access.attr, access.args).pointer
            size = ROWS * COLUMNS * dtype.itemsize
            offset = self.statements.scratch.place(t.name, 0, size)
            block = em.value(f"getelementptr i8, ptr %scratch, i64 {ex.index(offset)}")
            extents = [iv.subtract(em, end, first), iv.subtract(em, stop, start)]
            args = [block, source, *extents, str(COLUMNS), ex.index(t.column)]
            em.call_helper(transposing(self.isa, (dtype,)), args)
            # Its element of rows and columns 0 would be there.
            origin = element_pointer(em, dtype, block, iv.subtract(em, "0", before))
            ex.bind_tensor(t.name, Tensor(dtype, origin, (turned.rows.extent, COLUMNS)))

    def _shared_rows(
        self, nest: Par, how: NestSchedule, parts: str, bounds: tuple[str, str]
    ) -> None:
        """Rows of several units."""
        self.statements.lanes, self.statements.tile_lanes = how.lanes, how.lanes * how.unroll
        low, high = bounds
        em, axes = self.em, tuple(s.axes[0].name for s in nest.body if isinstance(s, Assign))
        first = iv.floordiv(em, low, parts, unsigned=True)
        end = iv.add(em, high, iv.subtract(em, parts, "1"))
        last = iv.floordiv(em, end, parts, unsigned=True)
        self.statements.prepare(nest.body, nest.axes, (1,))

        def row(number: str) -> None:
            start = iv.multiply(em, number, parts)
            begin = iv.maximum(em, iv.subtract(em, low, start), "0")
            stop = iv.minimum(em, iv.subtract(em, high, start), parts)
            self.statements.share = Share(begin, stop, parts, axes)
            self.nest_body(nest)

        self._rows(nest.axes, first, last, row)
        self.statements.share, self.statements.ranges = None, {}

    def nest_body(self, nest: Par) -> None:
        """One iteration of a nest without a vector axis."""
        last = nest.axes[-1] if nest.axes and nest.axes[-1].block is None else None
        self.statements.body(nest.body, last)

    def _rows(
        self,
        axes: Sequence[Axis],
        low: str,
        high: str,
        body: Callable[[str], None],
    ) -> None:
        """`body` for each point with a number in [low, high) of a space, last axis fastest."""
        em = self.em
        counts = [self.ex.index(_count(a)) for a in axes]
        digits: list[str] = []
        rest = low
        for k in range(len(axes) - 1, 0, -1):
            size = (
                counts[k]
                if (lower_bound(_count(axes[k])) or 0) >= 1
                else iv.maximum(em, counts[k], "1")
            )
            digits.insert(0, iv.mod(em, rest, size, unsigned=True))
            rest = iv.floordiv(em, rest, size, unsigned=True)
        digits.insert(0, rest)

        def iteration(number: str, values: list[str]) -> list[str]:
            point = values or [number][: len(axes)]
            with ExitStack() as stack:
                self.statements.at(axes, point, stack)
                body(number)
            return _successor(em, values, counts) if values else []

        carry = [("i64", d) for d in digits] if len(axes) > 1 else []
        em.loop(low, high, 1, iteration, carry)

    def _segment(self, nest: Par, axis: Axis, how: NestSchedule, low: str, high: str) -> None:
        """Iterations [low, high) of the vector axis: full vectors, then masked ones."""
        em = self.em
        widths = _widths(how)
        self.statements.prepare(nest.body, [axis], (*widths, how.lanes))

        def masked(low: str, high: str) -> None:
            def vector(i: str, _: list[str]) -> list[str]:
                mask = em.mask_below(iv.subtract(em, high, i), how.lanes)
                with self.ex.scope({axis.name: i}, Vector(axis.name, how.lanes, mask)):
                    self.statements.body(nest.body)
                return []

            em.loop(low, high, how.lanes, vector)

        stores = [(s.name, s.ix) for s in nest.body if isinstance(s, Assign) and not s.axes]
        outputs = [(n, ix) for n, ix in stores if n in self.statements.grouping.params]
        start = self.ex.line_start(outputs, axis.name, (low, high))
        if start is not None:
            masked(low, start)
            low = start
        for width in widths:
            if not isinstance(axis.extent, int) or axis.extent >= width:
                low = self._full_vectors(nest, axis, width, (low, high))
        masked(low, high)

    def _full_vectors(self, nest: Par, axis: Axis, width: int, bounds: tuple[str, str]) -> str:
        """As many vectors of `width` lanes as fit; returns where they end."""
        em, (low, high) = self.em, bounds
        whole = em.value(f"and i64 {iv.subtract(em, high, low)}, {-width}")
        # A segment before the first unit of a range has a negative length.
        end = iv.add(em, low, iv.maximum(em, whole, "0"))

        streams = streamed(self.math, self.kernel.params, nest, axis)
        written = {p.name for p in self.kernel.params if p.mode != "in"}
        far = (str(STREAM_AHEAD), "true")

        def full(i: str, _: list[str]) -> list[str]:
            with self.ex.scope({axis.name: i}, Vector(axis.name, width)):
                for access in streams:
                    name = access.attr
                    self.ex.fetch(name, access.args, far, write=name in written)
                self.statements.body(nest.body)
            return []

        em.loop(low, end, width, full)
        return end


def _widths(how: NestSchedule) -> list[int]:
    """The lanes of the loops of full vectors, widest first."""
    wide = how.lanes * how.unroll
    return [wide, how.lanes * 2] if how.unroll > 4 else [wide]


def _successor(em: Emitter, digits: Sequence[str], counts: Sequence[str]) -> list[str]:
    """The next point of a space, the last digit fastest."""
    result: list[str] = []
    step = "1"
    for k in range(len(digits) - 1, 0, -1):
        following = em.value(f"add nsw i64 {digits[k]}, {step}")
        wraps = em.value(f"icmp sge i64 {following}, {counts[k]}")
        result.insert(0, em.value(f"select i1 {wraps}, i64 0, i64 {following}"))
        step = em.value(f"zext i1 {wraps} to i64")
    result.insert(0, em.value(f"add nsw i64 {digits[0]}, {step}"))
    return result


def _count(axis: Axis) -> Dim:
    return axis.extent if axis.block is None else blocks_of(axis)


def _units(nest: Par, within: Axis | None = None) -> Dim:
    return product(_count(a) for a in nest.axes if a is not within)


def _whole_row(nest: Par, how: NestSchedule) -> Axis | None:
    """The vector axis, if each of its rows is known to be one vector, or less."""
    axis = next((a for a in nest.axes if a.name == how.vector_axis), None)
    if axis is None or len(nest.axes) == 1 or axis.block is not None:
        return None
    fits = isinstance(axis.extent, int) and 0 < axis.extent <= how.lanes
    return axis if fits or axis.extent == how.lanes * how.unroll else None


def _shares_of_a_thread(rows: Dim, shares: Dim) -> Dim:
    """The units of a chunk: an equal part of a few rows, or of many rows two."""
    each = ceildiv(mul(rows, shares), symbol(THREADS))
    return maximum(minimum(each, mul(shares, 2)), 1)


def _independent(nests: Sequence[Par]) -> bool:
    """Whether no nest touches what another one writes."""
    writes = [{s.name for s in statements(n.body) if isinstance(s, Assign)} for n in nests]
    reads = [names_read(n.body) for n in nests]
    for k, written in enumerate(writes):
        for m in range(len(nests)):
            if m != k and written & (reads[m] | writes[m]):
                return False
    return True
