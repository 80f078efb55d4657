"""Products of a few rows by a matrix with neighbouring columns adjacent, read in long runs.

    void dlc.runs.R.*(a, b, c, buffer, columns, kc, a_row, a_k, b_k, c_row, add, buffer_row)

computes, for r < R and n < columns, `sum(k < kc, a[r*a_row + k*a_k] * b[k*b_k + n])`, one k
after another, and stores it to `c[r*c_row + n]`, or adds it to that where `add` is not 0. Strides
count elements. A few rows of b at a time are read from the first column to the last, while the next
ones are fetched: memory is slow where it is read in short pieces that lie far apart. Sums are
loaded and stored for each of these groups; where they are to be added, in the buffer. Where the
level has no masks, columns that are no whole number of vectors are added up to one.
"""

from __future__ import annotations

import functools

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.micro_kernel import KernelWriter
from dlc.codegen.cpu.packing import convert_loaded
from dlc.codegen.cpu.panel import add_panel, cover
from dlc.codegen.cpu.turned_products import Types, named

_HEIGHT = 2  # rows of a that are multiplied with what is read, whose elements are in registers


def _group(isa: Isa) -> int:
    """The rows of b that are read at a time."""
    return 8 if isa.registers >= 32 else 4


@functools.cache
def runs(types: Types, isa: Isa, rows: int) -> Emitter:
    """The function dlc.runs.* for so many rows."""
    numbers = ("columns", "kc", "a_row", "a_k", "b_k", "c_row", "add", "buffer_row")
    parameters = [*(("ptr", x) for x in ("a", "b", "c", "buffer")), *(("i64", x) for x in numbers)]
    em = Emitter(f"dlc.runs.{rows}.{named(types)}", parameters)
    writer = KernelWriter(em, types[1][-1], isa)
    group = _group(isa)
    adding = em.value("icmp ne i64 %add, 0")
    sums = em.value(f"select i1 {adding}, ptr %buffer, ptr %c")
    apart = em.value(f"select i1 {adding}, i64 %buffer_row, i64 %c_row")

    def several(depth: int, k: str) -> None:
        fresh = em.value(f"zext i1 {em.value(f'icmp eq i64 {k}, 0')} to i64")
        b = memory.element_pointer(em, types[1][0], "%b", iv.multiply(em, k, "%b_k"))
        across = memory.element_pointer(em, types[0][0], "%a", iv.multiply(em, k, "%a_k"))

        for r in range(0, rows, _HEIGHT):
            down = iv.multiply(em, "%a_row", str(r))
            a = memory.element_pointer(em, types[0][0], across, down)
            c = writer.at(sums, iv.multiply(em, apart, str(r)))
            # Only the first rows find b in memory; further ones have it in the cache.
            tile = _tile(types, isa, (min(rows - r, _HEIGHT), depth), fetches=r == 0)
            args = [a, b, c, "%columns", "%a_row", "%a_k", "%b_k", apart, fresh]
            em.call_helper(tile, args)

    cover(em, "%kc", (group, 1), several)
    args = ["%c", "%buffer", str(rows), "%columns", "%c_row", "%buffer_row"]
    em.when(adding, lambda: em.call_helper(add_panel(writer.dtype, isa), args))
    em.line("ret void")
    return em


@functools.cache
def _tile(types: Types, isa: Isa, tile: tuple[int, int], *, fetches: bool) -> Emitter:
    """The function dlc.run.*(a, b, c, columns, a_row, a_k, b_k, c_row, fresh).

    It adds the products of a tile of a, rows by ks, to all columns; where `fresh` is 1, to 0.
    """
    rows, depth = tile
    numbers = ("columns", "a_row", "a_k", "b_k", "c_row", "fresh")
    parameters = [*(("ptr", x) for x in "abc"), *(("i64", x) for x in numbers)]
    kind = "run" if fetches else "again"
    em = Emitter(f"dlc.{kind}.{rows}x{depth}.{named(types)}", parameters)
    writer = KernelWriter(em, types[1][-1], isa)
    lanes = writer.lanes
    (a_types, b_types), fresh = types, em.value("icmp ne i64 %fresh, 0")

    def place_of_a(r: int, k: int) -> str:
        down, along = iv.multiply(em, "%a_row", str(r)), iv.multiply(em, "%a_k", str(k))
        return memory.element_pointer(em, a_types[0], "%a", iv.add(em, down, along))

    def spread(r: int, k: int) -> str:
        value = memory.load(em, a_types[0], place_of_a(r, k), 1)
        return em.splat(writer.element, convert_loaded(em, isa, a_types, value, 1), lanes)

    factors = [[spread(r, k) for k in range(depth)] for r in range(rows)]
    sources = [
        memory.element_pointer(em, b_types[0], "%b", iv.multiply(em, "%b_k", str(k)))
        for k in range(2 * depth if fetches else depth)
    ]

    def vector(n: str, mask: str | None) -> None:
        read: list[str] = []
        for k in range(depth):
            if fetches:
                writer.fetch(memory.element_pointer(em, b_types[0], sources[depth + k], n), 2)
            place = memory.element_pointer(em, b_types[0], sources[k], n)
            value = memory.load(em, b_types[0], place, lanes, mask)
            read.append(convert_loaded(em, isa, b_types, value, lanes))
        for r in range(rows):
            place = writer.at("%c", iv.add(em, iv.multiply(em, "%c_row", str(r)), n))
            before = writer.load(place, mask)
            total = em.value(
                f"select i1 {fresh}, {writer.vector} zeroinitializer, {writer.vector} {before}"
            )
            for factor, x in zip(factors[r], read, strict=True):
                total = writer.multiply_add(factor, x, total)
            writer.store(place, total, mask)

    def whole(n: str, _: list[str]) -> list[str]:
        vector(n, None)
        return []

    end = em.value(f"and i64 %columns, {-lanes}")
    em.loop("0", end, lanes, whole)
    left = em.value(f"sub i64 %columns, {end}")
    ragged = em.value(f"icmp ne i64 {left}, 0")
    em.when(ragged, lambda: vector(end, em.mask_below(left, lanes)))
    em.line("ret void")
    return em
