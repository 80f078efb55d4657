"""The sums of a panel: all rows of a block by up to a panel's columns, as calls of micro-kernels.

These functions depend on the type, the level and the micro-kernels' sizes alone, so that the
contractions of a module share them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.assembled_function import can_assemble, has_masks
from dlc.codegen.cpu.assembled_panels import RowsAdded
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.micro_kernel import KernelWriter, micro_kernel, put_size, tile_sizes
from dlc.codegen.cpu.tiling import FEW_ROWS
from dlc.ir.types import DType

_Widths = tuple[int, ...]


@functools.cache
def panel(dtype: DType, isa: Isa, rows: _Widths, vectors: _Widths, wide: int) -> Emitter:
    """The function dlc.panel.*.

    Its parameters: (a, b, c, ahead, behind, rows, columns, kc, a_row, a_k, b_k, c_row, add, part,
    start, size). Arguments mean what those of a micro-kernel do; where the level has no masks,
    `columns` that are no whole number of vectors are computed up to one. The micro-kernels are
    those of `rows` by `vectors`, largest first, and one of a single row by `wide` vectors where
    that is not 0. Together they fetch `size` bytes into the cache, from byte `start` on of the
    `part` bytes at `ahead` and what is at `behind` after them. Of few rows, a first tile of the
    most streams b where `size` is 0.
    """
    tall, across = ("_".join(map(str, x)) for x in (rows, (wide, *vectors)))
    pointers = ("a", "b", "c", "ahead", "behind")
    numbers = ["rows", "columns", "kc", "a_row", "a_k", "b_k", "c_row", "add"]
    numbers += ["part", "start", "size"]
    parameters = [*(("ptr", x) for x in pointers), *(("i64", x) for x in numbers)]
    em = Emitter(f"dlc.panel.{tall}x{across}.{dtype.short}", parameters)
    em.quick = can_assemble(dtype, isa)  # else LLVM compiles the micro-kernels beside it
    lanes = isa.lanes(dtype.bits)
    count = em.value(f"add i64 %columns, {lanes - 1}")
    count = em.value(f"udiv i64 {count}, {lanes}")
    fetched = _FetchedByRows(em)
    values = ["%a_row", "%a_k", "%b_k", "%c_row", "%add", fetched.step, str(lanes)]
    sizes = tile_sizes(em, values)
    few = em.value(f"icmp sle i64 %rows, {FEW_ROWS}")
    few = em.value(f"and i1 {few}, {em.value('icmp eq i64 %size, 0')}")

    def move(pointer: str, count: str, stride: str) -> str:
        return memory.element_pointer(em, dtype, pointer, iv.multiply(em, count, stride))

    def columns(width: str, v: str) -> None:
        column = em.value(f"mul i64 {v}, {lanes}")
        b, c = move("%b", column, "1"), move("%c", column, "1")
        if has_masks(dtype, isa):
            before = em.value(f"sub i64 {em.value(f'add i64 {v}, {width}')}, 1")
            left = em.value(f"sub i64 %columns, {em.value(f'mul i64 {before}, {lanes}')}")
            # A branch is foreseen, where a number that is always stored would be waited for.
            ragged = em.value(f"icmp slt i64 {left}, {lanes}")
            em.when(ragged, lambda: put_size(em, sizes, "lanes", left))

        def tile(height: str, m: str) -> None:
            places = [move("%a", m, "%a_row"), b, move(c, m, "%c_row")]
            args = [*places, fetched.by(m), "%kc", sizes]
            first = em.value(f"icmp eq i64 {m}, 0")
            streams = em.value(f"and i1 {few}, {first}")
            for high in rows:
                this = em.value(f"icmp eq i64 {height}, {high}")
                em.when(this, lambda h=high: of_height(h, width, args, streams))

        # The widest micro-kernel is for a single row.
        wider = em.value(f"icmp sgt i64 {width}, {vectors[0]}")
        most = em.value(f"select i1 {wider}, i64 1, i64 {rows[0]}")
        cover_by_largest(em, "%rows", rows, tile, most)

    def of_height(height: int, width: str, args: Sequence[str], streams: str) -> None:
        widths = (wide, *vectors) if wide and height == 1 else vectors
        for across in widths:
            this = em.value(f"icmp eq i64 {width}, {across}")
            em.when(this, lambda w=across: call(height, w, args, streams))

    def call(height: int, width: int, args: Sequence[str], streams: str) -> None:
        usual = micro_kernel(dtype, height, width, isa)
        if height == 1 or height != max(rows) or width != max(vectors):
            em.call_helper(usual, args)
            return
        streaming = micro_kernel(dtype, height, width, isa, streams=True)
        em.when(streams, lambda: em.call_helper(streaming, args))
        em.when(em.value(f"xor i1 {streams}, true"), lambda: em.call_helper(usual, args))

    if rows and vectors:
        cover_by_largest(em, count, (wide, *vectors) if wide else vectors, columns)
    em.line("ret void")
    return em


class _FetchedByRows:
    """What the rows of a panel fetch, each as much; in the function of `panel`.

    step: the bytes for each row and k.
    """

    def __init__(self, em: Emitter) -> None:
        self.em = em
        self.share = em.value(f"udiv i64 %size, {iv.maximum(em, '%rows', '1')}")
        self.step = iv.blocks(em, self.share, iv.maximum(em, "%kc", "1"))
        before = em.value("sub i64 0, %part")
        self.behind = em.value(f"getelementptr i8, ptr %behind, i64 {before}")

    def by(self, row: str) -> str:
        """Where that begins which rows from `row` on fetch."""
        em = self.em
        at = iv.add(em, "%start", em.value(f"mul i64 {row}, {self.share}"))
        within = em.value(f"icmp slt i64 {at}, %part")
        start = em.value(f"select i1 {within}, ptr %ahead, ptr {self.behind}")
        return em.value(f"getelementptr i8, ptr {start}, i64 {at}")


class EvenPanels:
    """The fewest panels of up to `most` vectors that cover some columns, as even as may be.

    Narrow ones would have too few sums to hide the latency of multiply-adds.
    """

    def __init__(self, em: Emitter, columns: str, lanes: int, most: int) -> None:
        self.em = em
        vectors = em.value(f"udiv i64 {iv.add(em, columns, str(lanes - 1))}, {lanes}")
        self.count = em.value(f"udiv i64 {iv.add(em, vectors, str(most - 1))}, {most}")
        some = iv.maximum(em, self.count, "1")
        self.least = em.value(f"udiv i64 {vectors}, {some}")
        self.wider = em.value(f"urem i64 {vectors}, {some}")

    def of(self, number: str) -> tuple[str, str]:
        """(the first vector, the vectors) of a panel."""
        em = self.em
        wide = em.value(f"zext i1 {em.value(f'icmp slt i64 {number}, {self.wider}')} to i64")
        before = iv.add(em, iv.multiply(em, number, self.least), iv.minimum(em, number, self.wider))
        return before, iv.add(em, self.least, wide)


@functools.cache
def panels_by_rows(dtype: DType, isa: Isa, rows: _Widths, vectors: _Widths) -> Emitter:
    """The function dlc.rows.*(a, b, c, after, b_after, rows, columns, kc, a_row, c_row, add).

    Arguments mean what those of a micro-kernel do. All panels of some rows of a, which is
    contiguous along k, are computed before the next rows, which are fetched meanwhile; after the
    last rows, those at `after`. Panels of b are `EvenPanels`, their rows as far apart as the widest
    are wide; `columns` that are no whole number of vectors are computed up to one. All panels but
    the first fetch as many bytes at `b_after` as b has.
    """
    tall, across = ("_".join(map(str, x)) for x in (rows, vectors))
    numbers = ["rows", "columns", "kc", "a_row", "c_row", "add"]
    pointers = ("a", "b", "c", "after", "b_after")
    parameters = [*(("ptr", x) for x in pointers), *(("i64", x) for x in numbers)]
    em = Emitter(f"dlc.rows.{tall}x{across}.{dtype.short}", parameters)
    em.quick = can_assemble(dtype, isa)
    lanes = isa.lanes(dtype.bits)
    b_k = str(vectors[0] * lanes)
    panels = EvenPanels(em, "%columns", lanes, vectors[0])
    apart = iv.multiply(em, "%kc", b_k)
    # Bytes of b that each row of the other panels fetches, for each k and in all.
    bytes_of_k = iv.multiply(em, panels.count, str(vectors[0] * lanes * dtype.itemsize))
    others = iv.maximum(em, em.value(f"sub i64 {panels.count}, 1"), "1")
    sharing = iv.maximum(em, iv.multiply(em, others, "%rows"), "1")
    step = iv.blocks(em, bytes_of_k, sharing)
    share = em.value(f"udiv i64 {iv.multiply(em, bytes_of_k, '%kc')}, {sharing}")
    sizes = tile_sizes(em, ["%a_row", "1", b_k, "%c_row", "%add", step, str(lanes)])

    def move(pointer: str, count: str, stride: str) -> str:
        return memory.element_pointer(em, dtype, pointer, iv.multiply(em, count, stride))

    def tile(height: int, m: str) -> None:
        a, c = move("%a", m, "%a_row"), move("%c", m, "%c_row")
        end = iv.add(em, m, str(height))
        more = em.value(f"icmp slt i64 {end}, %rows")
        following = em.value(f"select i1 {more}, ptr {move('%a', end, '%a_row')}, ptr %after")

        def one(p: str, _: list[str]) -> list[str]:
            column, width = panels.of(p)
            number = iv.add(em, em.value(f"mul i64 {em.value(f'sub i64 {p}, 1')}, %rows"), m)
            ahead = em.value(
                f"getelementptr i8, ptr %b_after, i64 {iv.multiply(em, number, share)}"
            )
            first = em.value(f"icmp eq i64 {p}, 0")
            ahead = em.value(f"select i1 {first}, ptr {following}, ptr {ahead}")
            args = [a, move("%b", p, apart), move(c, column, str(lanes)), ahead, "%kc", sizes]
            for across in vectors:
                this = em.value(f"icmp eq i64 {width}, {across}")
                em.when(this, lambda w=across: call(height, w, first, args))
            return []

        em.loop("0", panels.count, 1, one)

    def call(height: int, width: int, first: str, args: Sequence[str]) -> None:
        usual = micro_kernel(dtype, height, width, isa)
        if height < rows[0]:
            em.call_helper(usual, args)
            return
        fetching = micro_kernel(dtype, height, width, isa, next_rows=True)
        em.when(first, lambda: em.call_helper(fetching, args))
        em.when(em.value(f"xor i1 {first}, true"), lambda: em.call_helper(usual, args))

    cover(em, "%rows", rows, tile)
    em.line("ret void")
    return em


@functools.cache
def add_panel(dtype: DType, isa: Isa) -> Emitter:
    """The function dlc.add.*(c, s, rows, columns, c_row, s_row): c += s.

    Where the level has no masks, `columns` are added up to a whole number of vectors.
    """
    numbers = ["rows", "columns", "c_row", "s_row"]
    parameters = [("ptr", "c"), ("ptr", "s"), *(("i64", x) for x in numbers)]
    name = f"dlc.add.{dtype.short}"
    if can_assemble(dtype, isa):
        return RowsAdded(name, parameters, dtype, isa)
    em = Emitter(name, parameters)
    writer = KernelWriter(em, dtype, isa)

    def one_row(r: str, _: list[str]) -> list[str]:
        c, s = (writer.at(f"%{x}", em.value(f"mul i64 {r}, %{x}_row")) for x in "cs")

        def vector(j: str, _: list[str]) -> list[str]:
            writer.add_to(writer.at(c, j), writer.load(writer.at(s, j)))
            return []

        em.loop("0", "%columns", writer.lanes, vector)
        return []

    em.loop("0", "%rows", 1, one_row)
    em.line("ret void")
    return em


def cover_by_largest(
    em: Emitter,
    count: str,
    sizes: Sequence[int],
    piece: Callable[[str, str], None],
    most: str | None = None,
) -> None:
    """As `cover` in one loop, where the size is a value: the largest that fits, up to `most`."""

    def body(start: str, _: list[str]) -> list[str]:
        left = em.value(f"sub i64 {count}, {start}")
        left = left if most is None else iv.minimum(em, left, most)
        size = str(sizes[-1])
        for larger in reversed(sizes[:-1]):
            fits = em.value(f"icmp sge i64 {left}, {larger}")
            size = em.value(f"select i1 {fits}, i64 {larger}, i64 {size}")
        piece(size, start)
        following.append(size)
        return []

    following: list[str] = []
    em.loop("0", iv.subtract(em, count, str(sizes[-1] - 1)), following.pop, body)


def cover(em: Emitter, count: str, sizes: Sequence[int], piece: Callable[[int, str], None]) -> None:
    """Calls `piece(size, start)` for pieces of these sizes, in turn, that cover [0, count)."""

    def pieces(start: str, size: int) -> str:
        def body(_: str, values: list[str]) -> list[str]:
            piece(size, values[0])
            return [em.value(f"add i64 {values[0]}, {size}")]

        stop = iv.subtract(em, count, str(size - 1))
        return em.loop(start, stop, size, body, [("i64", start)])[0]

    at = "0"
    for size in sizes:
        at = pieces(at, size)
