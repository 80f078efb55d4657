"""Products of few rows by a matrix that is contiguous along K, computed as their transposes.

Micro-kernels want B with neighbouring columns adjacent. Where B lies the other way, as the weights
of a layer do, packing it would exchange the order of all its elements, for a few rows to use. So
the roles are exchanged instead: columns of B are the rows that micro-kernels read where they lie,
element by element; the few rows of A are packed as their columns; and sums are transposed on the
way to the epilogue. Each sum takes the same products in the same order as in `contraction`, and has
the same bits.

A work unit is one batch, some columns and up to a few panels of rows of A. What is packed of A is
kept for the units that follow.
"""

from __future__ import annotations

from collections.abc import Callable

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.assembled_function import can_assemble
from dlc.codegen.cpu.contraction_epilogue import Epilogue, open_scope
from dlc.codegen.cpu.contraction_form import Contraction
from dlc.codegen.cpu.contraction_operands import Block, address, pack_columns, same_type
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.packing import Packer, stored_rows
from dlc.codegen.cpu.panel import EvenPanels, panels_by_rows
from dlc.codegen.cpu.stored_code import THREADS
from dlc.codegen.cpu.tiling import k_step, longest_run, tile_sizes
from dlc.ir.dims import Dim, add, all_positive, ceildiv, maximum, mul, symbol

# The most columns of a unit, whose sums stay in the second-level cache beside what is packed of a
# step, and the number of blocks that they make or a multiple of it, for threads to get even shares.
_COLUMNS = 256
_SHARES = 4
# The most panels of rows of A in a unit, which share its columns.
_PANELS = 4
# Threads, each of which packs A, that the choice reckons with.
_PACKING = 2


def crossing(form: Contraction) -> Dim:
    """1 where `Crossed` is to compute a contraction, as it moves less than packing B would."""
    a, b = form.a, form.b
    m, n, k = form.m.extent, form.n.extent, form.k.extent
    if b.panel or not same_type(b) or a.k_stride is None or b.k_stride != 1 or b.stride == 1:
        return 0
    moved = mul(m, add(n, mul(k, _PACKING)))
    gain = add(mul(n, k), mul(moved, -1))
    bounds = [gain, add(m, -1), add(longest_run(form), mul(k, -1))]
    return all_positive(bounds)


class Crossed:
    """Writes the function of a contraction for which `crossing` may be 1."""

    def __init__(self, form: Contraction, isa: Isa, epilogue: Epilogue) -> None:
        self.form, self.isa, self.epilogue = form, isa, epilogue
        self.lanes, size = isa.lanes(form.dtype.bits), form.dtype.itemsize
        self.heights, (most, *_) = tile_sizes(form.dtype, isa)
        self.widths = tuple(range(most, 0, -1))
        self.panel = most * self.lanes
        panels = ceildiv(form.m.extent, self.panel)
        blocks = maximum(1, ceildiv(panels, _PANELS))
        self.m_block = mul(self.panel, maximum(1, ceildiv(panels, blocks)))
        shares = mul(_SHARES, maximum(1, ceildiv(form.n.extent, _COLUMNS * _SHARES)))
        vectors = maximum(1, ceildiv(form.n.extent, mul(shares, self.lanes)))
        self.n_block = mul(vectors, self.lanes)
        self.units = mul(form.batches, mul(blocks, ceildiv(form.n.extent, self.n_block)))
        # One share for each thread, which packs its rows once.
        self.chunk = ceildiv(self.units, symbol(THREADS))
        self.strip_at = _COLUMNS * _PANELS * self.panel * size
        self.packed_at = self.strip_at + self.lanes * _COLUMNS * size
        self.scratch = add(self.packed_at, mul(mul(form.k.extent, self.m_block), size))
        parameters = [("ptr", "args"), ("ptr", "dims"), ("i64", "lo"), ("i64", "hi")]
        self.em = Emitter(f"{form.kernel.name}.crossed", [*parameters, ("ptr", "scratch")])

    def function(self) -> Emitter:
        """The whole function; its parameters are those of a kernel's entry."""
        em = self.em
        em.quick = True
        self.ex = open_scope(em, self.form, self.isa)
        self.room = self.ex.index(self.m_block)
        self.packed = em.value(f"getelementptr i8, ptr %scratch, i64 {self.packed_at}")
        self.strip = em.value(f"getelementptr i8, ptr %scratch, i64 {self.strip_at}")
        em.loop("%lo", "%hi", 1, self._unit, [("i64", "-1")])
        em.line("ret void")
        return em

    def _unit(self, unit: str, values: list[str]) -> list[str]:
        """One unit; what is packed already is that of units that differ in columns alone."""
        form, em, ex = self.form, self.em, self.ex
        with ex.scope():
            m, n = ex.index(form.m.extent), ex.index(form.n.extent)
            height, width = self.room, ex.index(self.n_block)
            n_blocks = iv.blocks(em, n, width)
            extents = [ex.index(a.extent) for a in form.outer]
            extents += [iv.blocks(em, m, height), n_blocks]
            *outer, mb, nb = iv.positions(em, unit, extents)
            sharing = iv.floordiv(em, unit, n_blocks, unsigned=True)
            m0, n0 = iv.multiply(em, mb, height), iv.multiply(em, nb, width)
            rows = iv.minimum(em, iv.subtract(em, m, m0), height)
            columns = iv.minimum(em, iv.subtract(em, n, n0), width)
            axes = {a.name: v for a, v in zip(form.outer, outer, strict=True)}
            with ex.scope(axes=axes):
                this = Block(m0, n0, rows, columns, tuple(outer))
                fresh = em.value(f"icmp ne i64 {sharing}, {values[0]}")
                em.when(fresh, lambda: self._steps(lambda k0, kc: self._pack(this, k0, kc)))
                self._steps(lambda k0, kc: self._products(this, k0, kc))
                self._finish(this)
        return [sharing]

    def _steps(self, step: Callable[[str, str], None]) -> None:
        """Calls `step(k0, length)` for the blocks of the contracted axis, which is not empty."""
        em = self.em
        with self.ex.scope():
            k, block = self.ex.index(self.form.k.extent), self.ex.index(k_step(self.form))

            def body(k0: str, _: list[str]) -> list[str]:
                with self.ex.scope():
                    step(k0, iv.minimum(em, iv.subtract(em, k, k0), block))
                return []

            em.loop("0", k, block, body)

    def _element(self, start: str, at: str) -> str:
        return memory.element_pointer(self.em, self.form.dtype, start, at)

    def _step_at(self, k0: str) -> str:
        return self._element(self.packed, iv.multiply(self.em, k0, self.room))

    def _pack(self, unit: Block, k0: str, length: str) -> None:
        """Packs the unit's rows of a step, panel by panel."""
        em, ex, a, panel = self.em, self.ex, self.form.a, str(self.panel)
        packer, lanes = Packer(em, self.isa, a.dtypes), str(self.lanes)
        panels = EvenPanels(em, unit.rows, self.lanes, self.widths[0])
        apart = iv.multiply(em, length, panel)

        def one(p: str, _: list[str]) -> list[str]:
            with ex.scope():
                i, width = (iv.multiply(em, vectors, lanes) for vectors in panels.of(p))
                rows = iv.minimum(em, iv.subtract(em, unit.rows, i), width)
                target = self._element(self._step_at(k0), iv.multiply(em, p, apart))
                place = address(ex, self.form, a, iv.add(em, unit.m0, i), "0", k0)
                assert a.k_stride is not None
                strides = (ex.index(a.k_stride), ex.index(a.stride))
                pack_columns(packer, a, [target, place, length, rows, panel], strides)
            return []

        em.loop("0", panels.count, 1, one)

    def _products(self, unit: Block, k0: str, length: str) -> None:
        """The sums of a step, while the columns that come next are fetched."""
        em, ex, form = self.em, self.ex, self.form
        last = em.value(f"icmp sle i64 {iv.subtract(em, ex.index(form.k.extent), k0)}, {length}")
        here, next_columns, next_step = (
            address(ex, form, form.b, "0", n, k)
            for n, k in (
                (unit.n0, k0),
                (iv.add(em, unit.n0, unit.columns), "0"),
                (unit.n0, iv.add(em, k0, length)),
            )
        )
        after = em.value(f"select i1 {last}, ptr {next_columns}, ptr {next_step}")
        adding = em.value(f"zext i1 {em.value(f'icmp ne i64 {k0}, 0')} to i64")
        helper = panels_by_rows(form.dtype, self.isa, self.heights, self.widths)
        sizes = [unit.columns, unit.rows, length, ex.index(form.b.stride), self.room, adding]
        following = em.value(f"select i1 {last}, i64 0, i64 {iv.add(em, k0, length)}")
        blocks = [self._step_at(k0), "%scratch", after, self._step_at(following)]
        em.call_helper(helper, [here, *blocks, *sizes])

    def _store(self, unit: Block, m: str, rows: str) -> None:
        """Stores what is made of the sums of some rows, from m on."""
        em, form, ex = self.em, self.form, self.ex
        if form.direct is None or not can_assemble(form.dtype, self.isa):
            sizes = [m, unit.n0, rows, unit.columns, str(_COLUMNS), *unit.outer]
            self.epilogue.call(em, [self.strip, *sizes])
            return
        at, row = form.direct
        tensor = ex.tensor(form.stores[0].name)
        with ex.scope(axes={form.m.name: m, form.n.name: unit.n0}):
            place = self._element(tensor.pointer, ex.index(at))
        args = [place, self.strip, rows, unit.columns, ex.index(row), str(_COLUMNS)]
        em.call_helper(stored_rows(form.dtype, self.isa), args)

    def _finish(self, unit: Block) -> None:
        """Transposes the sums, some rows at a time, and stores the expressions of these."""
        em, lanes = self.em, str(self.lanes)
        packer = Packer(em, self.isa, (self.form.dtype,))

        def rows(i: str, _: list[str]) -> list[str]:
            sums = self._element("%scratch", i)
            packer.transposed(
                [self.strip, sums, lanes, unit.columns, str(_COLUMNS), "1", self.room]
            )
            count = iv.minimum(em, iv.subtract(em, unit.rows, i), lanes)
            with self.ex.scope():
                self._store(unit, iv.add(em, unit.m0, i), count)
            return []

        em.loop("0", unit.rows, lanes, rows)
