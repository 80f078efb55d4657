"""Tile programs as CPU code: products by micro-kernels, what is between them in vectors.

Tiles lie in scratch memory, each row up to a whole number of vectors, so that loops over a tile's
own elements need no masks. An operand that micro-kernels cannot read where it lies is packed, as
far out as it stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.expressions import Tensor, Vector
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.kernel_code import KernelCode
from dlc.codegen.cpu.literals import literal
from dlc.codegen.cpu.loops import LoopEmitter, index_math
from dlc.codegen.cpu.packing import Packer
from dlc.codegen.cpu.panel import panel
from dlc.codegen.cpu.scopes import free_names
from dlc.codegen.cpu.statements import ordered_loop
from dlc.codegen.cpu.tile_plan import tile_plan, without_axis
from dlc.codegen.cpu.tile_steps import Copy, Loop, Product, Run, Step, Tile, TilePlan, all_steps
from dlc.codegen.cpu.tiling import FEW_ROWS, tile_sizes
from dlc.codegen.index_math import axis_name, block_name, blocks_of
from dlc.codegen.kernel_ir import Assign, Kernel, Par
from dlc.codegen.kernel_transform import normalise
from dlc.codegen.schedule import choose_schedule, count_ops
from dlc.ir.dims import Dim, add, floordiv, mul, product
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr, index, load, walk
from dlc.ir.types import DType, bool_, uint8


def emit_tiles(kernel: Kernel, isa: Isa) -> KernelCode | None:
    """Emits a tile program; None for a kernel that is none."""
    kept = normalise(kernel, keep_dots=True)
    plan = tile_plan(kept, lambda dtype: isa.lanes(dtype.bits))
    return None if plan is None else _TileEmitter(kept, isa, plan).code()


def _memory(name: str) -> str:
    """The name under which a tile's memory is known."""
    return "&" + name


@dataclass(frozen=True)
class _Source:
    """Where micro-kernels read an operand: address and strides in elements."""

    pointer: str
    stride: str
    k_stride: str


class _TileEmitter(LoopEmitter):
    def __init__(self, kernel: Kernel, isa: Isa, plan: TilePlan) -> None:
        math = index_math(kernel)
        super().__init__(kernel, isa, math, choose_schedule(kernel, isa, math, inside=True))
        self.plan, self.lanes = plan, self.schedule.nests[0].lanes
        self.places: dict[str, tuple[Expr, ...]] = {}
        self.packed: dict[Product, _Source] = {}
        self.loops: list[Axis] = []
        shared = frozenset(_memory(n) for n in plan.tiles)
        self.statements.grouping.params |= shared
        self.ex.volatile |= shared

    def nest_body(self, nest: Par) -> None:
        """One iteration of the nest."""
        for name, tile in self.plan.tiles.items():
            dims = self._tile_dims(tile)
            pointer = self.statements.tile_pointer(_memory(name), 0, dims, tile.dtype)
            origin = tuple(map(self.statements.origin, tile.axes))
            self.ex.bind_tensor(_memory(name), Tensor(tile.dtype, pointer, dims, origin))
            if len(dims) == 1:
                self._clear(tile, pointer, dims[0])
        self._pack_outside(self.plan.steps)
        self._steps(self.plan.steps)

    def _clear(self, tile: Tile, pointer: str, extent: Dim) -> None:
        """Sets a row of memory to zero: the lanes past the end of its axis are not set later."""
        lanes = self.isa.lanes(tile.dtype.bits)

        def vector(i: str, _: list[str]) -> list[str]:
            place = memory.element_pointer(self.em, tile.dtype, pointer, i)
            memory.store(self.em, tile.dtype, place, literal(0, tile.dtype, lanes), lanes)
            return []

        self.em.loop("0", self.ex.index(extent), lanes, vector)

    def _tile_dims(self, tile: Tile) -> tuple[Dim, ...]:
        *outer, last = (a.extent if a.block is None else a.block for a in tile.axes)
        lanes = self.isa.lanes(tile.dtype.bits)
        return (*outer, mul(floordiv(add(last, lanes - 1), lanes), lanes))

    def _steps(self, steps: Sequence[Step]) -> None:
        for s in steps:
            with self.ex.scope():
                match s:
                    case Product():
                        self._product(s)
                    case Copy():
                        self._copy(s)
                    case Run():
                        self._run(s)
                    case Loop():
                        self._loop(s)

    def _loop(self, s: Loop) -> None:
        self._steps(s.start)
        count = s.axis.extent if s.axis.block is None else blocks_of(s.axis)

        def test(i: str, _: list[str]) -> str:
            assert s.condition is not None
            with ExitStack() as stack:
                self.statements.at([s.axis], [i], stack)
                return self.ex.scalar(s.condition)

        def iteration(i: str, _: list[str]) -> list[str]:
            with ExitStack() as stack:
                self.statements.at([s.axis], [i], stack)
                self._pack_outside(s.body)
                self._steps(s.body)
            return []

        condition = None if s.condition is None else test
        self.loops.append(s.axis)
        ordered_loop(self.em, self.ex.index(count), [], iteration, condition)
        self.loops.pop()

    # Runs

    def _run(self, run: Run) -> None:
        assigns = self._at_one_element(run)
        axis = run.axis
        if axis is None:
            self._emit(assigns, 1)
            return
        low, end = self.statements.axis_range(axis)
        if not run.vector:

            def row(i: str, _: list[str]) -> list[str]:
                with self.ex.scope({axis.name: i}):
                    self._emit(assigns, 1)
                return []

            self.em.loop(low, end, 1, row)
            return
        wide, outside = self._width(run, assigns), self._reads_outside(assigns, axis)
        whole = self.em.value(f"and i64 {iv.subtract(self.em, end, low)}, {-wide}")
        middle = iv.add(self.em, low, whole)
        self._vectors(assigns, axis, (low, middle), wide, masked=False)
        # Lanes that nothing has set may hold denormals, which are slow to calculate with.
        self._vectors(assigns, axis, (middle, end), self.lanes, masked=outside)

    def _vectors(
        self,
        assigns: Sequence[Assign],
        axis: Axis,
        bounds: tuple[str, str],
        lanes: int,
        *,
        masked: bool,
    ) -> None:
        def vector(i: str, _: list[str]) -> list[str]:
            left = iv.subtract(self.em, bounds[1], i)
            mask = self.em.mask_below(left, lanes) if masked else None
            with self.ex.scope({axis.name: i}, Vector(axis.name, lanes, mask)):
                self._emit(assigns, lanes)
            return []

        self.em.loop(*bounds, lanes, vector)

    def _emit(self, assigns: Sequence[Assign], lanes: int) -> None:
        self.statements.lanes, self.statements.tile_lanes = self.lanes, lanes
        self.statements.run(assigns, ())

    def _width(self, run: Run, assigns: Sequence[Assign]) -> int:
        """Lanes of the vectors of a run: several registers where there is little to compute."""
        assert run.axis is not None
        block = run.axis.block or 1
        ops = count_ops([a.expr for a in assigns])
        wide = self.lanes * (4 if ops <= 10 else 2)
        while wide > self.lanes and block % wide:
            wide //= 2
        return wide

    def _reads_outside(self, assigns: Sequence[Assign], axis: Axis) -> bool:
        """Whether parameters are accessed along the axis: they end where it does."""
        params = {p.name for p in self.kernel.params}
        for s in assigns:
            places = [e.args for e in walk(s.expr) if e.op == "load" and e.attr in params]
            places += [s.ix] if s.name in params else []
            if any(_mentions(ix, axis) for ix in places):
                return True
        return False

    def _at_one_element(self, run: Run) -> list[Assign]:
        """The assignments of a run at one element of its axis.

        Tiles of the axis alone are scalars, read from memory before all others and stored after.
        """
        made: dict[str, int] = {}
        first: dict[str, Assign] = {}
        body: list[Assign] = []
        last: list[Assign] = []
        axis = run.axis
        read = {e.attr for s in run.assigns for e in walk(s.expr) if e.op == "load"}

        def change(e: Expr) -> Expr | None:
            if e.op != "load" or self.kernel.param(e.attr) is not None:
                return None
            if e.attr in made:
                at = made[e.attr]
                return load(e.attr, tuple(x for k, x in enumerate(e.args) if k != at), e.dtype)
            memory_load = load(_memory(self._own(e.attr)), e.args, e.dtype)
            if axis is None or e.args != (index(axis.name),):
                return memory_load
            first.setdefault(e.attr, Assign(e.attr, (), (), memory_load))
            return load(e.attr, (), e.dtype)

        for s in run.assigns:
            one = without_axis(s, axis, change)
            if self.kernel.param(s.name) is not None:
                body.append(one)
                continue
            at = next((k for k, i in enumerate(s.ix) if axis and i.attr == axis.name), -1)
            kept = tuple(x for k, x in enumerate(s.ix) if k != at)
            own = self._own(s.name)
            if kept and own in self.plan.tiles and s.name not in read:
                body.append(replace(one, name=_memory(own)))
                continue
            made[s.name] = at
            body.append(replace(one, ix=kept))
            if own in self.plan.tiles:
                value = load(s.name, kept, s.expr.dtype)
                store = Assign(_memory(own), s.ix, one.axes, value)
                (body if kept else last).append(store)
        return [*first.values(), *body, *last]

    def _own(self, name: str) -> str:
        plain = name.removeprefix("next_")
        return plain if name != plain and plain in self.plan.tiles else name

    # Products

    def _product(self, p: Product) -> None:
        b = self.packed.get(p) or self._pack(p)
        name = p.target if self.kernel.param(p.target) else _memory(self._own(p.target))
        a_name = self._tensor_name(p.a)
        rows = self._length(p.m)
        axes = (p.m, p.n, p.k)
        ahead, size = self._ahead(p, rows) or (b.pointer, "0")
        pointers = [self._address(a_name, p.a.args, axes), b.pointer]
        pointers += [self._address(name, p.ix, axes), ahead, ahead]
        lanes = str(self.isa.lanes(p.dtype.bits))
        # What is behind the last column of a tile is set too.
        columns = iv.multiply(self.em, iv.blocks(self.em, self._length(p.n), lanes), lanes)
        sizes = [rows, columns, self._length(p.k)]
        sizes += [self._stride(a_name, p.a.args, p.m), self._stride(a_name, p.a.args, p.k)]
        sizes += [b.k_stride, self._stride(name, p.ix, p.m), "1" if p.adds else "0"]
        sizes += [size, "0", size]
        rows, vectors = tile_sizes(p.dtype, self.isa)
        self.em.call_helper(panel(p.dtype, self.isa, rows, vectors, 0), [*pointers, *sizes])

    def _ahead(self, p: Product, rows: str) -> tuple[str, str] | None:
        """(at, bytes) of what the product reads of a parameter in the next iteration.

        Nothing for few rows, which take too few steps to fetch it; they stream b.
        """
        if not self.loops:
            return None
        loop = self.loops[-1]
        for e in (p.a, p.b):
            name = e.attr
            if self.kernel.param(name) is None or not _mentions(e.args, loop):
                continue
            first = self._address(name, e.args, (p.m, p.n, p.k))
            stride = iv.multiply(self.em, self._stride(name, e.args, loop), str(e.dtype.itemsize))
            size = iv.multiply(self.em, self._length(loop), stride)
            at = self.em.value(f"getelementptr i8, ptr {first}, i64 {size}")
            few = self.em.value(f"icmp sle i64 {rows}, {FEW_ROWS}")
            return at, self.em.value(f"select i1 {few}, i64 0, i64 {size}")
        return None

    def _tensor_name(self, e: Expr) -> str:
        return e.attr if self.kernel.param(e.attr) else _memory(self._own(e.attr))

    def _length(self, axis: Axis) -> str:
        low, end = self.statements.axis_range(axis)
        return iv.subtract(self.em, end, low)

    def _address(self, name: str, ix: tuple[Expr, ...], axes: Sequence[Axis]) -> str:
        """Where the first element of some axes is."""
        used = [a for a in axes if _mentions(ix, a)]
        first = {a.name: self.statements.axis_range(a)[0] for a in used}
        with self.ex.scope(first):
            return self.ex.place(name, ix).pointer

    def _stride(self, name: str, ix: tuple[Expr, ...], axis: Axis) -> str:
        stride = self.ex.stride(name, ix, axis.name)
        assert stride is not None  # indices of a product's operands are affine
        return self.ex.index(stride)

    def _pack_outside(self, steps: Sequence[Step]) -> None:
        """Packs what is the same in every iteration of the loops among some steps."""
        for s in steps:
            if not isinstance(s, Loop):
                continue
            inner = [x for x in all_steps((s,)) if isinstance(x, Loop)]
            changing = {n for x in inner for n in (axis_name(x.axis.name), block_name(x.axis.name))}
            for p in all_steps(s.body):
                if isinstance(p, Product) and p not in self.packed and self._is_packed(p):
                    blocks = {block_name(a.name) for a in (p.n, p.k) if a.block is not None}
                    names = {n for i in p.b.args for n in free_names(i)} - {
                        axis_name(a.name) for a in (p.n, p.k)
                    }
                    if not (names | blocks) & changing:
                        self.packed[p] = self._pack(p)

    def _is_packed(self, p: Product) -> bool:
        """Whether B cannot be read where it is: in its type and in whole vectors along n."""
        name = self._tensor_name(p.b)
        if len(p.b_dtypes) > 1 or self.ex.stride(name, p.b.args, p.n.name) != 1:
            return True
        if self.kernel.param(p.b.attr) is None:
            return False
        lanes = self.isa.lanes(p.dtype.bits)
        extent = p.n.extent
        return p.n.block is not None or not isinstance(extent, int) or extent % lanes != 0

    def _pack(self, p: Product) -> _Source:
        """Where micro-kernels read B, packed if it must be."""
        em = self.em
        name = self._tensor_name(p.b)
        place = self._address(name, p.b.args, (p.m, p.n, p.k))
        along = self._stride(name, p.b.args, p.n)
        k_stride = self._stride(name, p.b.args, p.k)
        if not self._is_packed(p):
            return _Source(place, along, k_stride)
        depth, width = self._tile_dims(Tile((p.k, p.n), p.dtype))
        size = mul(product((depth, width)), p.dtype.itemsize)
        known = f"&packed{list(all_steps(self.plan.steps)).index(p)}"
        offset = self.ex.index(self.statements.scratch.place(known, 0, size))
        target = em.value(f"getelementptr i8, ptr %scratch, i64 {offset}")
        row = self.ex.index(width)
        args = [target, place, self._length(p.k), self._length(p.n), row]
        self._copied(p.b_dtypes, args, (k_stride, along))
        return _Source(target, "1", row)

    def _copied(
        self, dtypes: tuple[DType, ...], args: Sequence[str], strides: tuple[str, str]
    ) -> None:
        """Copies rows and columns that are so far apart."""
        packer = Packer(self.em, self.isa, dtypes)
        row, column = strides
        if column == "1":
            packer.contiguous([*args, row])
        elif row == "1":
            packer.transposed([*args, row, column])
        else:
            packer.strided([*args, row, column])

    def _copy(self, s: Copy) -> None:
        name, axes = _memory(self._own(s.target)), (s.rows, s.columns)
        places = [
            self._address(name, s.ix, axes),
            self._address(s.source.attr, s.source.args, axes),
        ]
        sizes = [self._length(s.rows), self._length(s.columns), self._stride(name, s.ix, s.rows)]
        row, column = (self._stride(s.source.attr, s.source.args, a) for a in axes)
        # A bool is a byte of 0 or 1.
        dtypes = tuple(uint8 if d is bool_ else d for d in s.dtypes)
        self._copied(dtypes, [*places, *sizes], (row, column))


def _mentions(ix: Sequence[Expr], axis: Axis) -> bool:
    return any(x.op == "index" and x.attr == axis.name for i in ix for x in walk(i))
