"""Products of a few rows by a matrix that is contiguous along K: blocks of it are transposed.

    void dlc.turned.R.*(a, b, c, columns, kc, a_row, a_k, b_n, c_row, add)

computes, for r < R and n < columns, `sum(k < kc, a[r*a_row + k*a_k] * b[n*b_n + k])`, one k
after another, and stores it to `c[r*c_row + n]`, or adds it to that where `add` is not 0. Strides
count elements. Square blocks of b are transposed in registers, as many columns at once as a vector
has lanes; the columns that come next are fetched meanwhile. Where the level has no masks, columns
that are no whole number of vectors are computed up to one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeAlias

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.assembled_function import has_masks
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.micro_kernel import KernelWriter
from dlc.codegen.cpu.packing import convert_loaded, transpose
from dlc.ir.types import DType

# Of a and of b: in memory, then each that they are converted to.
Types: TypeAlias = tuple[tuple[DType, ...], tuple[DType, ...]]

# Bytes from what is read to what is fetched, at least: as many as hide the latency of memory.
_AHEAD = 8 << 10


def named(types: Types) -> str:
    """The part of a function's name for its types."""
    return ".".join(d.short for some in types for d in some)


@functools.cache
def turned(types: Types, isa: Isa, rows: int) -> Emitter:
    """The function dlc.turned.* for so many rows."""
    numbers = ("columns", "kc", "a_row", "a_k", "b_n", "c_row", "add")
    parameters = [*(("ptr", x) for x in "abc"), *(("i64", x) for x in numbers)]
    em = Emitter(f"dlc.turned.{rows}.{named(types)}", parameters)
    b_types, writer = types[1], KernelWriter(em, types[1][-1], isa)
    lanes = writer.lanes
    # Whole groups of columns on, so that what is fetched is what will be read.
    column = iv.multiply(em, "%b_n", str(b_types[0].itemsize))
    group = iv.maximum(em, iv.multiply(em, column, str(lanes)), "1")
    reach = iv.multiply(em, group, iv.blocks(em, str(_AHEAD), group))

    def columns(n: str, _: list[str]) -> list[str]:
        b = memory.element_pointer(em, b_types[0], "%b", iv.multiply(em, n, "%b_n"))
        left = em.value(f"sub i64 %columns, {n}")
        args = ["%a", b, writer.at("%c", n), left, "%kc", "%a_row", "%a_k", "%b_n", "%c_row"]
        em.call_helper(_tile(types, isa, rows), [*args, "%add", reach])
        return []

    em.loop("0", "%columns", lanes, columns)
    em.line("ret void")
    return em


@functools.cache
def _tile(types: Types, isa: Isa, rows: int) -> Emitter:
    """The function dlc.turn.*(a, b, c, left, kc, a_row, a_k, b_n, c_row, add, reach).

    It computes `rows` rows by up to a vector of the columns that are left.
    """
    numbers = ("left", "kc", "a_row", "a_k", "b_n", "c_row", "add", "reach")
    parameters = [*(("ptr", x) for x in "abc"), *(("i64", x) for x in numbers)]
    em = Emitter(f"dlc.turn.{rows}.{named(types)}", parameters)
    return _Tile(em, types, isa, rows).function()


class _Tile(KernelWriter):
    """A tile being written."""

    def __init__(self, em: Emitter, types: Types, isa: Isa, rows: int) -> None:
        super().__init__(em, types[1][-1], isa)
        (self.a_types, self.b_types), self.rows = types, rows

    def function(self) -> Emitter:
        """The whole function."""
        em, lanes = self.em, self.lanes
        block = em.value(f"alloca [{lanes * lanes * self.dtype.itemsize} x i8], align 64")
        last = em.value("sub i64 %left, 1")
        # The columns that there are not are read as the last one.
        columns = [iv.minimum(em, str(lane), last) for lane in range(lanes)]
        sources = [self._b("%b", iv.multiply(em, x, "%b_n")) for x in columns]
        size = str(self.b_types[0].itemsize)

        def whole(k: str, sums: list[str]) -> list[str]:
            far = iv.add(em, iv.multiply(em, k, size), "%reach")
            for source in sources:
                self.fetch(em.value(f"getelementptr i8, ptr {source}, i64 {far}"), 2)
            for i, column in enumerate(self._block(sources, k, None)):
                sums = self._products(iv.add(em, k, str(i)), column, sums)
            return sums

        end = em.value(f"and i64 %kc, {-lanes}")
        types = [self.vector] * self.rows
        zero = [(t, "zeroinitializer") for t in types]
        sums = em.loop("0", end, lanes, whole, zero)
        rest = em.value(f"sub i64 %kc, {end}")

        def keep_block() -> None:
            made = self._block(sources, end, em.mask_below(rest, lanes))
            for i, column in enumerate(made):
                self.store(self.offset(block, i), column)

        def one(i: str, sums: list[str]) -> list[str]:
            column = self.load(self.at(block, iv.multiply(em, i, str(lanes))))
            return self._products(iv.add(em, end, i), column, sums)

        em.when(em.value(f"icmp sgt i64 {rest}, 0"), keep_block)
        sums = em.loop("0", rest, 1, one, list(zip(types, sums, strict=True)))
        mask = em.mask_below("%left", lanes) if has_masks(self.dtype, self.isa) else None
        self._keep_rows(sums, mask)
        em.line("ret void")
        return em

    def _b(self, start: str, at: str) -> str:
        return memory.element_pointer(self.em, self.b_types[0], start, at)

    def _block(self, sources: Sequence[str], k: str, mask: str | None) -> list[str]:
        """As many ks as there are lanes from k on, each as a vector of its columns."""
        em, lanes, first = self.em, self.lanes, self.b_types[0]
        read = [memory.load(em, first, self._b(s, k), lanes, mask) for s in sources]
        values = [convert_loaded(em, self.isa, self.b_types, x, lanes) for x in read]
        return transpose(em, self.dtype, values)

    def _products(self, k: str, column: str, sums: Sequence[str]) -> list[str]:
        em, along = self.em, iv.multiply(self.em, k, "%a_k")
        found: list[str] = []
        for r, total in enumerate(sums):
            at = iv.add(em, iv.multiply(em, "%a_row", str(r)), along)
            place = memory.element_pointer(em, self.a_types[0], "%a", at)
            value = memory.load(em, self.a_types[0], place, 1)
            value = convert_loaded(em, self.isa, self.a_types, value, 1)
            factor = em.splat(self.element, value, self.lanes)
            found.append(self.multiply_add(factor, column, total))
        return found

    def _keep_rows(self, sums: Sequence[str], mask: str | None) -> None:
        adding = self.em.value("icmp ne i64 %add, 0")
        places = self.places(self.rows, 1)

        def add() -> None:
            for place, value in zip(places, sums, strict=True):
                self.add_to(place, value, mask)

        def store() -> None:
            for place, value in zip(places, sums, strict=True):
                self.store(place, value, mask)

        self.em.choose(adding, add, store)
