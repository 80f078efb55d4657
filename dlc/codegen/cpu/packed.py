"""Products with a matrix in panels: micro-kernels that stream it and fetch ahead what comes next.

A panel lies in memory in the order in which it is read, one panel after the other. So while a block
of it is multiplied, what follows is on its way into the second-level cache: each micro-kernel
fetches the share of the next block that its rows are of all rows. Few rows then run at the speed of
memory.
"""

from __future__ import annotations

import functools

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.micro_kernel import KernelWriter
from dlc.codegen.cpu.packing import convert_loaded
from dlc.codegen.cpu.panel import cover
from dlc.ir.types import DType

_PAIR = 128  # bytes that one prefetch brings: the other line of a pair comes by itself
_NEAR = 32 << 10  # bytes from what is read to what is fetched, in the same block


@functools.cache
def packed(
    dtypes: tuple[DType, ...], isa: Isa, rows: tuple[int, ...], vectors: int, width: int
) -> Emitter:
    """The function dlc.packed.*(a, b, c, rows, kc, a_row, a_k, c_row, add).

    Arguments mean what those of a micro-kernel do; b is a block of a panel, of the first of
    `dtypes`, `width` columns wide. All of its columns are computed, by micro-kernels of `rows` by
    `vectors`.
    """
    shorts = ".".join(d.short for d in dtypes)
    name = f"dlc.packed.{'_'.join(map(str, rows))}x{vectors}.{width}.{shorts}"
    numbers = ["rows", "kc", "a_row", "a_k", "c_row", "add"]
    em = Emitter(name, [*(("ptr", x) for x in "abc"), *(("i64", x) for x in numbers)])
    row_bytes = width * dtypes[0].itemsize
    block = em.value(f"mul i64 %kc, {row_bytes}")

    def columns(j: str, _: list[str]) -> list[str]:
        b = memory.element_pointer(em, dtypes[0], "%b", j)
        c = memory.element_pointer(em, dtypes[-1], "%c", j)
        cover(em, "%rows", rows, lambda height, m: tile(height, m, b, c))
        return []

    def tile(height: int, m: str, b: str, c: str) -> None:
        a = memory.element_pointer(em, dtypes[-1], "%a", iv.multiply(em, m, "%a_row"))
        c = memory.element_pointer(em, dtypes[-1], c, iv.multiply(em, m, "%c_row"))
        share = em.value(f"udiv i64 {em.value(f'mul i64 {m}, {block}')}, %rows")
        # A micro-kernel that does all rows reads the block from memory itself.
        alone = em.value(f"icmp sge i64 {height}, %rows")
        start = em.value(f"select i1 {alone}, i64 {_NEAR}, i64 {iv.add(em, block, share)}")
        ahead = em.value(f"getelementptr i8, ptr {b}, i64 {start}")
        step = em.value(f"udiv i64 {height * row_bytes}, %rows")
        sizes = ["%kc", "%a_row", "%a_k", "%c_row", "%add", step]
        helper = _micro_kernel(dtypes, isa, height, vectors, width)
        em.call_helper(helper, [a, b, c, ahead, *sizes])

    em.loop("0", str(width), vectors * isa.lanes(dtypes[-1].bits), columns)
    em.line("ret void")
    return em


@functools.cache
def _micro_kernel(
    dtypes: tuple[DType, ...], isa: Isa, rows: int, vectors: int, width: int
) -> Emitter:
    """The micro-kernel for rows of a panel."""
    shorts = ".".join(d.short for d in dtypes)
    name = f"dlc.pm.{rows}x{vectors}.{width}.{shorts}"
    return _Tile(name, dtypes, isa, rows, vectors, width).function()


class _Tile(KernelWriter):
    """A micro-kernel being written."""

    def __init__(
        self,
        name: str,
        dtypes: tuple[DType, ...],
        isa: Isa,
        rows: int,
        vectors: int,
        width: int,
    ) -> None:
        numbers = ["kc", "a_row", "a_k", "c_row", "add", "step"]
        pointers = [("ptr", x) for x in ("a", "b", "c", "ahead")]
        em = Emitter(name, [*pointers, *(("i64", x) for x in numbers)])
        super().__init__(em, dtypes[-1], isa)
        self.dtypes, self.rows, self.vectors, self.panel = dtypes, rows, vectors, width

    def function(self) -> Emitter:
        """The whole function."""
        em = self.em
        starts = ["%a"]
        for _ in range(1, self.rows):
            starts.append(self.at(starts[-1], "%a_row"))
        carry = [("i64", "0"), ("ptr", "%b"), ("ptr", "%ahead")]
        carry += [(self.vector, "zeroinitializer")] * (self.rows * self.vectors)

        def body(_: str, values: list[str]) -> list[str]:
            at, b, ahead, *sums = values
            columns = [self._column(b, v * self.lanes) for v in range(self.vectors)]
            self._fetch_row(ahead)
            result: list[str] = []
            for r in range(self.rows):
                spread = self.broadcast(self.at(starts[r], at))
                for v, y in enumerate(columns):
                    result.append(self.multiply_add(spread, y, sums[r * self.vectors + v]))
            following = memory.element_pointer(em, self.dtypes[0], b, str(self.panel))
            ahead = em.value(f"getelementptr i8, ptr {ahead}, i64 %step")
            return [em.value(f"add i64 {at}, %a_k"), following, ahead, *result]

        self.finish(self.rows, self.vectors, em.loop("0", "%kc", 1, body, carry)[3:])
        return em

    def _column(self, row: str, offset: int) -> str:
        """A vector of a row of the panel, converted."""
        place = memory.element_pointer(self.em, self.dtypes[0], row, str(offset))
        value = memory.load(self.em, self.dtypes[0], place, self.lanes)
        return convert_loaded(self.em, self.isa, self.dtypes, value, self.lanes)

    def _fetch_row(self, ahead: str) -> None:
        """Prefetches as much as a row of the panel has."""
        for at in range(0, self.vectors * self.lanes * self.dtypes[0].itemsize, _PAIR):
            place = self.em.value(f"getelementptr i8, ptr {ahead}, i64 {at}") if at else ahead
            self.fetch(place, 2)
