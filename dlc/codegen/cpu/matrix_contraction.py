"""Contractions of bfloat16 on a matrix unit, or by instructions for pairs, block by block.

A work unit is one batch and one block of rows and columns. For each block of the contracted axis it
packs columns of B in the order that the unit reads, then takes some rows at a time by all of these
columns; after the last block the stored expressions are computed over those rows while they are in
cache.

Every sum takes its products in the order of k, as they are added there (`matrix_tiles`,
`pair_tiles`): its bits depend on K and the kernel's text, not on where the element lies or how
units are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import matrix_tiles as mt
from dlc.codegen.cpu import memory, pair_tiles
from dlc.codegen.cpu.contraction_epilogue import Epilogue, open_scope
from dlc.codegen.cpu.contraction_form import Contraction, Operand
from dlc.codegen.cpu.contraction_operands import Block, address
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.kernel_code import KernelCode
from dlc.ir.dims import Dim, add, ceildiv, floordiv, maximum, minimum, mul
from dlc.ir.record import dataclass
from dlc.ir.types import bfloat16, float32

_K_BLOCK = 512  # elements of a row of A that stay in the first-level cache, about
_LONGEST = 768  # the most that `k_step` gives
_M_BLOCK = 512  # rows and columns of a unit: A, B and sums stay in the second-level cache
_PANELS = 8
_ENOUGH_UNITS = 8
_CHUNK_NANOSECONDS = 8000  # that one chunk of units is worth, about


class _Multiplier(NamedTuple):
    """What a level multiplies blocks of bfloat16 with.

    Args:
        tiles: The function, with the parameters of `matrix_tiles.tiles`.
        speed: Operations a nanosecond of a thread, about.
        fewest_rows: That are worth it.
        by_lines: Whether it reads rows of A by whole lines of the cache: those that straddle two
            take twice as long, each time.
    """

    tiles: Callable[[], Emitter]
    speed: int
    fewest_rows: int
    by_lines: bool


def _multiplier(isa: Isa) -> _Multiplier | None:
    if isa.matrix:
        return _Multiplier(mt.tiles, speed=1000, fewest_rows=2, by_lines=True)
    if pair_tiles.adds_pairs(isa):
        tiles = partial(pair_tiles.tiles, isa)
        return _Multiplier(tiles, speed=200, fewest_rows=4, by_lines=False)
    return None


def multiplies_bfloat16(form: Contraction, isa: Isa) -> bool:
    """Whether `emit_matrix_contraction` takes a contraction: several rows of bfloat16."""
    multiplier = _multiplier(isa)
    if form.dtype is not float32 or multiplier is None:
        return False
    m, operands = form.m.extent, (form.a, form.b)
    if isinstance(m, int) and m < multiplier.fewest_rows:  # B is read once where it lies
        return False
    types = all(x.dtypes == (bfloat16, float32) for x in operands)
    return types and all(x.k_stride is not None and _contiguous(x) for x in operands)


def _contiguous(operand: Operand) -> bool:
    return bool(operand.panel) or 1 in (operand.stride, operand.k_stride)


def k_step(k: Dim) -> Dim:
    """Products that are summed at a time, of `k`: about equal steps, whole blocks."""
    steps = maximum(1, floordiv(add(k, _K_BLOCK // 2), _K_BLOCK))
    return mul(mt.DEPTH, maximum(1, ceildiv(ceildiv(k, steps), mt.DEPTH)))


@dataclass(frozen=True)
class _Blocks:
    """Extents of a unit, the most of them, and where the parts of scratch memory begin."""

    m_block: Dim
    n_block: Dim
    n_room: int
    a_at: int
    b_at: int
    c_at: int
    scratch: Dim


def _choose_blocks(form: Contraction) -> _Blocks:
    m, n = form.m.extent, form.n.extent
    panels = maximum(1, ceildiv(n, mt.COLUMNS))
    room = min(_PANELS, panels) if isinstance(panels, int) else _PANELS
    units = mul(form.batches, ceildiv(m, _M_BLOCK))
    wanted = minimum(room, maximum(1, floordiv(mul(panels, units), _ENOUGH_UNITS)))
    # Where there are few columns, rows are shared out.
    groups = ceildiv(m, mt.ROWS)
    groups = floordiv(mul(groups, mul(panels, form.batches)), _ENOUGH_UNITS)
    m_block = mul(mt.ROWS, minimum(_M_BLOCK // mt.ROWS, maximum(1, groups)))
    a = mt.ROWS * _LONGEST * 2
    b = room * mt.COLUMNS * _LONGEST * 2
    n_room = room * mt.COLUMNS
    rows = minimum(mul(mt.ROWS, ceildiv(m, mt.ROWS)), _M_BLOCK)
    return _Blocks(
        m_block=m_block,
        n_block=mul(mt.COLUMNS, wanted),
        n_room=n_room,
        a_at=0,
        b_at=a,
        c_at=a + b,
        scratch=add(a + b, mul(rows, n_room * float32.itemsize)),
    )


def emit_matrix_contraction(form: Contraction, isa: Isa) -> KernelCode:
    """Emits a contraction for which `multiplies_bfloat16` holds."""
    blocks = _choose_blocks(form)
    epilogue = Epilogue(form, isa)
    multiplier = _multiplier(isa)
    assert multiplier is not None
    em = _Writer(form, isa, multiplier, blocks, epilogue).entry()
    m, n, k = form.m.extent, form.n.extent, form.k.extent
    unit = mul(mul(minimum(m, blocks.m_block), minimum(n, blocks.n_block)), maximum(k, 1))
    units = mul(form.batches, mul(ceildiv(m, blocks.m_block), ceildiv(n, blocks.n_block)))
    operations = mul(mul(form.batches, 2), mul(m, mul(n, k)))
    speed = multiplier.speed
    return KernelCode(
        emitters=[em, epilogue.function()],
        entry=form.kernel.name,
        units=units,
        chunk=maximum(1, floordiv(_CHUNK_NANOSECONDS * speed, maximum(1, mul(unit, 2)))),
        scratch=blocks.scratch,
        cost=floordiv(mul(operations, 100), speed),
    )


@dataclass(frozen=True)
class _Unit(Block):
    """The block that a unit computes, and how many panels its columns make."""

    panels: str


@dataclass(frozen=True)
class _Step:
    """A block of the contracted axis.

    k0, length: where it begins and how long it is; blocks: how many times the unit's depth, the
    last being ragged; first, last: whether it is.
    """

    k0: str
    length: str
    blocks: str
    first: str
    last: str


class _Writer:
    """Writes the entry of one contraction."""

    def __init__(
        self,
        form: Contraction,
        isa: Isa,
        multiplier: _Multiplier,
        blocks: _Blocks,
        epilogue: Epilogue,
    ) -> None:
        self.form, self.multiplier = form, multiplier
        self.blocks, self.epilogue = blocks, epilogue
        parameters = [("ptr", "args"), ("ptr", "dims"), ("i64", "lo"), ("i64", "hi")]
        self.em = Emitter(form.kernel.name, [*parameters, ("ptr", "scratch")])
        self.em.quick = True
        self.ex = open_scope(self.em, form, isa)

    def entry(self) -> Emitter:
        """The whole function."""
        self.em.loop("%lo", "%hi", 1, self._unit)
        self.em.line("ret void")
        return self.em

    def _unit(self, number: str, _: list[str]) -> Sequence[str]:
        form, ex, em = self.form, self.ex, self.em
        with ex.scope():
            height, width = ex.index(self.blocks.m_block), ex.index(self.blocks.n_block)
            m, n = ex.index(form.m.extent), ex.index(form.n.extent)
            counts = [iv.blocks(em, n, width), iv.blocks(em, m, height)]
            extents = [ex.index(a.extent) for a in form.outer]
            *outer, nb, mb = iv.positions(em, number, [*extents, *counts])
            m0, n0 = iv.multiply(em, mb, height), iv.multiply(em, nb, width)
            rows = iv.minimum(em, iv.subtract(em, m, m0), height)
            columns = iv.minimum(em, iv.subtract(em, n, n0), width)
            panels = iv.blocks(em, columns, str(mt.COLUMNS))
            axes = {a.name: v for a, v in zip(form.outer, outer, strict=True)}
            with ex.scope(axes=axes):
                self._steps(_Unit(m0, n0, rows, columns, tuple(outer), panels))
        return []

    def _steps(self, unit: _Unit) -> None:
        """The blocks of the contracted axis; one of no products when it is empty."""
        em, ex = self.em, self.ex
        k, block = ex.index(self.form.k.extent), ex.index(k_step(self.form.k.extent))

        def body(k0: str, _: list[str]) -> list[str]:
            left = iv.subtract(em, k, k0)
            length = iv.minimum(em, left, block)
            step = _Step(
                k0=k0,
                length=length,
                blocks=iv.blocks(em, length, str(mt.DEPTH)),
                first=em.value(f"icmp eq i64 {k0}, 0"),
                last=em.value(f"icmp sle i64 {left}, {block}"),
            )
            with ex.scope():
                self._step(unit, step)
            return []

        em.loop("0", iv.maximum(em, k, "1"), block, body)

    def _step(self, unit: _Unit, step: _Step) -> None:
        em, ex, blocks = self.em, self.ex, self.blocks
        self._pack_b(unit, step)
        adding = em.value(f"zext i1 {em.value(f'xor i1 {step.first}, true')} to i64")
        row = blocks.n_room * float32.itemsize
        b, c = self._scratch(blocks.b_at), self._scratch(blocks.c_at)

        def some_rows(r: str, _: list[str]) -> list[str]:
            with ex.scope():
                rows = iv.minimum(em, iv.subtract(em, unit.rows, r), str(mt.ROWS))
                m = iv.add(em, unit.m0, r)
                a, a_step = self._a(m, rows, step)
                sums = memory.bytes_on(em, c, em.value(f"mul i64 {r}, {row}"))
                sizes = [rows, unit.panels, a_step, step.blocks, str(row), adding]
                em.call_helper(self.multiplier.tiles(), [a, b, sums, *sizes])
                args = [sums, m, unit.n0, rows, unit.columns, str(blocks.n_room), *unit.outer]
                em.when(step.last, lambda: self.epilogue.call(em, args))
            return []

        em.loop("0", unit.rows, mt.ROWS, some_rows)

    def _a(self, m: str, rows: str, step: _Step) -> tuple[str, str]:
        """Rows of A: where the unit reads them, and bytes from one to the next."""
        em, ex, a = self.em, self.ex, self.form.a
        place = address(ex, self.form, a, m, "0", step.k0)
        by_rows = a.k_stride == 1
        size = self._elements(ex.index((a.stride if by_rows else a.k_stride) or 0))
        packed = self._scratch(self.blocks.a_at)
        row = em.value(f"mul i64 {step.blocks}, {mt.DEPTH * 2}")
        args = [packed, place, rows, step.length, size, row]
        if not by_rows:
            em.call_helper(mt.turned(), args)
            return packed, row
        bits = self._elements(step.length)
        if self.multiplier.by_lines:
            bits = em.value(f"or i64 {bits}, {size}")
            bits = em.value(f"or i64 {bits}, {em.value(f'ptrtoint ptr {place} to i64')}")
        ragged = em.value(f"icmp ne i64 {em.value(f'and i64 {bits}, 63')}, 0")
        em.when(ragged, lambda: em.call_helper(mt.aligned(), args))
        return (
            em.value(f"select i1 {ragged}, ptr {packed}, ptr {place}"),
            em.value(f"select i1 {ragged}, i64 {row}, i64 {size}"),
        )

    def _pack_b(self, unit: _Unit, step: _Step) -> None:
        em, ex, b = self.em, self.ex, self.form.b
        size = em.value(f"mul i64 {step.blocks}, {mt.B_BYTES}")
        start = self._scratch(self.blocks.b_at)

        def panel(p: str, _: list[str]) -> list[str]:
            with ex.scope():
                j = em.value(f"mul i64 {p}, {mt.COLUMNS}")
                columns = iv.minimum(em, iv.subtract(em, unit.columns, j), str(mt.COLUMNS))
                place = self._b(iv.add(em, unit.n0, j), step.k0)
                along_k = not b.panel and b.k_stride == 1
                stride = ex.index(b.panel or (b.stride if along_k else b.k_stride) or 0)
                target = memory.bytes_on(em, start, em.value(f"mul i64 {p}, {size}"))
                args = [target, place, step.length, columns, self._elements(stride)]
                em.call_helper(mt.pairs_of_columns() if along_k else mt.pairs_of_rows(), args)
            return []

        em.loop("0", unit.panels, 1, panel)

    def _b(self, n: str, k: str) -> str:
        em, b = self.em, self.form.b
        if not b.panel:
            return address(self.ex, self.form, b, "0", n, k)
        inside = iv.mod(em, n, str(b.panel), unsigned=True)
        place = address(self.ex, self.form, b, "0", iv.subtract(em, n, inside), k)
        return memory.element_pointer(em, bfloat16, place, inside)

    def _elements(self, count: str) -> str:
        return iv.multiply(self.em, count, str(bfloat16.itemsize))

    def _scratch(self, offset: int) -> str:
        return memory.bytes_on(self.em, "%scratch", str(offset))
