"""Packing: copies of a block of an operand into scratch memory, in the order micro-kernels read it.

    void dlc.pack.*(dst, src, rows, columns, dst_row, src_row, src_column)

sets `dst[i*dst_row + j] = src[i*src_row + j*src_column]` for i < rows, j < columns, converted on
the way, and may set what follows in a row, up to a whole number of vectors, to anything. Strides
count elements.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.assembled_function import can_assemble
from dlc.codegen.cpu.assembled_panels import RowsCopied
from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.scalars import emit_op
from dlc.ir.record import dataclass
from dlc.ir.types import DType, int64

_PARAMETERS = [
    ("ptr", "dst"),
    ("ptr", "src"),
    ("i64", "rows"),
    ("i64", "columns"),
    ("i64", "dst_row"),
    ("i64", "src_row"),
    ("i64", "src_column"),
]
_TABLE_PARAMETERS = [*_PARAMETERS[:5], ("ptr", "row_at"), ("ptr", "column_at")]


# Rows of the square blocks that are transposed in registers, largest first.
_SIDES = (16, 8)


def convert_loaded(em: Emitter, isa: Isa, dtypes: Sequence[DType], value: str, lanes: int) -> str:
    """A value of the first of `dtypes` converted to each that follows."""
    for source, target in itertools.pairwise(dtypes):
        if source is not target:
            value = emit_op(em, "convert", target, [source], [value], lanes, isa)
    return value


@dataclass(frozen=True)
class Packer:
    """Writes calls of packing functions for one operand: its types from memory to accumulator."""

    em: Emitter
    isa: Isa
    dtypes: tuple[DType, ...]

    @property
    def lanes(self) -> int:
        """Elements of the accumulator's type in a vector."""
        return self.isa.lanes(self.dtypes[-1].bits)

    def contiguous(self, args: Sequence[str]) -> None:
        """Packs from rows whose elements are adjacent; `args` are all but the last."""
        self._call("rows", [*args, "1"])

    def strided(self, args: Sequence[str]) -> None:
        """Packs element by element."""
        self._call("strided", args)

    def transposed(self, args: Sequence[str]) -> None:
        """Packs from columns whose elements are adjacent (`src_row` is 1), in square blocks."""
        self._call("transposed", args)

    def by_table(self, args: Sequence[str]) -> None:
        """Packs `src[row_at[i] + column_at[j]]`: strides are tables of i64 offsets."""
        self._call("table", args)

    def _call(self, kind: str, args: Sequence[str]) -> None:
        self.em.call_helper(_packing(kind, self.isa, self.dtypes), args)

    def _convert(self, em: Emitter, value: str, lanes: int) -> str:
        return convert_loaded(em, self.isa, self.dtypes, value, lanes)

    def _copy(self, em: Emitter, dst: str, src: str, lanes: int, mask: str | None = None) -> None:
        value = self._convert(em, memory.load(em, self.dtypes[0], src, lanes, mask), lanes)
        memory.store(em, self.dtypes[-1], dst, value, lanes)

    def _source(self, em: Emitter, base: str, offset: str) -> str:
        return memory.element_pointer(em, self.dtypes[0], base, offset)

    def _target(self, em: Emitter, base: str, offset: str) -> str:
        return memory.element_pointer(em, self.dtypes[-1], base, offset)

    def _contiguous(self, em: Emitter) -> None:
        lanes = self.lanes
        whole = em.value(f"and i64 %columns, {-lanes}")
        left = em.value(f"sub i64 %columns, {whole}")
        ragged = em.value(f"icmp ne i64 {left}, 0")
        mask = em.mask_below(left, lanes) if self.isa.masked and lanes > 1 else None

        def row(i: str, _: list[str]) -> list[str]:
            src = self._source(em, "%src", em.value(f"mul i64 {i}, %src_row"))
            dst = self._target(em, "%dst", em.value(f"mul i64 {i}, %dst_row"))

            def copy(j: str, _: list[str]) -> list[str]:
                self._copy(em, self._target(em, dst, j), self._source(em, src, j), lanes)
                return []

            def copy_one(j: str, _: list[str]) -> list[str]:
                self._copy(em, self._target(em, dst, j), self._source(em, src, j), 1)
                return []

            def tail() -> None:
                target, source = self._target(em, dst, whole), self._source(em, src, whole)
                if mask is not None:
                    self._copy(em, target, source, lanes, mask)
                    return
                self._clear(em, target)
                em.loop(whole, "%columns", 1, copy_one)

            em.loop("0", whole, lanes, copy)
            em.when(ragged, tail)
            return []

        em.loop("0", "%rows", 1, row)

    def _clear(self, em: Emitter, target: str) -> None:
        # Stale scratch may hold denormals, which are slow to calculate with.
        type_ = llvm_type(self.dtypes[-1], self.lanes)
        align = self.dtypes[-1].itemsize
        em.line(f"store {type_} zeroinitializer, ptr {target}, align {align}")

    def _strided(self, em: Emitter) -> None:
        def place(i: str, j: str) -> str:
            row, column = (
                em.value(f"mul i64 {x}, %src_{s}") for x, s in ((i, "row"), (j, "column"))
            )
            return em.value(f"add i64 {row}, {column}")

        self._each(em, "%rows", "0", place)

    def _by_table(self, em: Emitter) -> None:
        def entry(table: str, i: str) -> str:
            return memory.load(em, int64, memory.element_pointer(em, int64, table, i), 1)

        def place(i: str, j: str) -> str:
            return em.value(f"add i64 {entry('%row_at', i)}, {entry('%column_at', j)}")

        self._each(em, "%rows", "0", place)

    def _each(self, em: Emitter, rows: str, first: str, place: Callable[[str, str], str]) -> None:
        lanes = self.lanes

        def row(i: str, _: list[str]) -> list[str]:
            dst = self._target(em, "%dst", em.value(f"mul i64 {i}, %dst_row"))
            whole = em.value(f"and i64 %columns, {-lanes}")
            ragged = em.value(f"icmp ne i64 {whole}, %columns")
            em.when(ragged, lambda: self._clear(em, self._target(em, dst, whole)))

            def element(j: str, _: list[str]) -> list[str]:
                self._copy(em, self._target(em, dst, j), self._source(em, "%src", place(i, j)), 1)
                return []

            em.loop("0", "%columns", 1, element)
            return []

        em.loop(first, rows, 1, row)

    def _transposed(self, em: Emitter) -> None:
        """The largest square blocks that there are rows for; fewer rows go element by element."""
        done = em.fresh("done")
        for side in sorted({min(self.lanes, side) for side in _SIDES}, reverse=True):
            yes, no = em.fresh("many"), em.fresh("few")
            em.branch_if(em.value(f"icmp sge i64 %rows, {side}"), yes, no)
            em.block(yes)
            self._square_blocks(em, side)
            em.branch(done)
            em.block(no)
        self._strided(em)
        em.branch(done)
        em.block(done)

    def _square_blocks(self, em: Emitter, lanes: int) -> None:
        """Square blocks; the last ones overlap their neighbours, or repeat the last column."""
        last_column = em.value("sub i64 %columns, 1")
        last_row = em.value(f"sub i64 %rows, {lanes}")

        def columns(j: str, _: list[str]) -> list[str]:
            sources: list[str] = []
            for lane in range(lanes):
                column = iv.minimum(em, em.value(f"add i64 {j}, {lane}"), last_column)
                offset = em.value(f"mul i64 {column}, %src_column")
                sources.append(self._source(em, "%src", offset))

            def block(k: str, _: list[str]) -> list[str]:
                i = iv.minimum(em, k, last_row)
                read = [
                    memory.load(em, self.dtypes[0], self._source(em, s, i), lanes) for s in sources
                ]
                values = transpose(em, self.dtypes[-1], [self._convert(em, v, lanes) for v in read])
                start = em.value(f"add i64 {em.value(f'mul i64 {i}, %dst_row')}, {j}")
                place = self._target(em, "%dst", start)
                for value in values:
                    memory.store(em, self.dtypes[-1], place, value, lanes)
                    place = self._target(em, place, "%dst_row")
                return []

            em.loop("0", "%rows", lanes, block)
            return []

        covered = em.value(f"add i64 %columns, {self.lanes - 1}")
        covered = em.value(f"and i64 {covered}, {-self.lanes}")
        em.loop("0", covered, lanes, columns)


@functools.cache
def _packing(kind: str, isa: Isa, dtypes: tuple[DType, ...]) -> Emitter:
    """The packing function of a kind for these types."""
    name = ".".join(["dlc.pack", kind, *(d.short for d in dtypes)])
    if kind == "rows" and len({*dtypes}) == 1 and can_assemble(dtypes[0], isa):
        return RowsCopied(name, _PARAMETERS, dtypes[0], isa, padded=True)
    em = Emitter(name, _TABLE_PARAMETERS if kind == "table" else _PARAMETERS)
    packer = Packer(em, isa, dtypes)
    if kind == "rows":
        packer._contiguous(em)
    elif kind == "strided":
        packer._strided(em)
    elif kind == "transposed":
        packer._transposed(em)
    else:
        packer._by_table(em)
    em.line("ret void")
    return em


@functools.cache
def stored_rows(dtype: DType, isa: Isa) -> Emitter:
    """The function dlc.store.*(dst, src, rows, columns, dst_row, src_row).

    As packing from rows, but it leaves alone what follows in a row. It needs `can_assemble`.
    """
    return RowsCopied(f"dlc.store.{dtype.short}", _PARAMETERS[:-1], dtype, isa, padded=False)


def transpose(em: Emitter, dtype: DType, rows: list[str]) -> list[str]:
    """The transpose of a square matrix of vectors: log2(lanes) rounds of interleaving halves."""
    lanes = len(rows)
    type_ = llvm_type(dtype, lanes)
    half = lanes // 2

    def interleave(a: str, b: str, first: int) -> str:
        picks = ", ".join(f"i32 {first + k // 2 + (lanes if k % 2 else 0)}" for k in range(lanes))
        return em.value(f"shufflevector {type_} {a}, {type_} {b}, <{lanes} x i32> <{picks}>")

    for _ in range(lanes.bit_length() - 1):
        rows = [interleave(rows[r // 2], rows[r // 2 + half], half * (r % 2)) for r in range(lanes)]
    return rows
