"""Products with a matrix in panels: micro-kernels that stream it and fetch ahead what comes next.

A panel lies in memory in the order in which it is read, one panel after the other. So while a block
of it is multiplied, what follows is on its way into the second-level cache: each micro-kernel
fetches the share of the next block that its rows are of all rows. Few rows then run at the speed of
memory; the fewest take several panels at once, so that there are sums enough to work on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.micro_kernel import KernelWriter
from dlc.codegen.cpu.packing import convert_loaded
from dlc.codegen.cpu.panel import cover
from dlc.ir.record import NamedTuple
from dlc.ir.types import DType, int64

# Bytes from what is read to what is fetched into the first-level cache, in the same panel, and to
# what is fetched into the second by a micro-kernel that does all rows.
_NEAR = 1536
_FAR = 16 << 10
# Sums that hide the latency of multiply-adds, and the most vectors that they are of.
_SUMS = 16
_MOST_VECTORS = 8


def span(height: int, vectors: int, width: int, isa: Isa, lanes: int) -> int:
    """The vectors that a micro-kernel for `height` rows alone takes at once, of several panels."""
    wider = 2 * vectors
    fits = height * wider <= _SUMS and (height + 1) * wider < isa.registers
    whole = width % (wider * lanes) == 0 or wider * lanes % width == 0
    if fits and whole and wider <= _MOST_VECTORS:
        return span(height, wider, width, isa, lanes)
    return vectors


@functools.cache
def packed(
    dtypes: tuple[DType, ...],
    isa: Isa,
    rows: tuple[int, ...],
    vectors: int,
    width: int,
    by_tables: bool,
) -> Emitter:
    """The function dlc.packed.*(a, b, c, rows, kc, a_row, a_k, c_row, add, panels, apart).

    Arguments mean what those of a micro-kernel do; `by_tables`, a_row and a_k are tables of the
    offsets of rows and along k. b is a block of the first of `panels`, of the
    first of `dtypes`, `width` columns wide and `apart` elements from each other. All of their
    columns are computed, by micro-kernels of `rows` by `vectors`, and by wider ones where those for
    all rows have few sums.
    """
    shorts = ".".join(d.short for d in dtypes)
    kind = "gathered" if by_tables else "packed"
    name = f"dlc.{kind}.{'_'.join(map(str, rows))}x{vectors}.{width}.{shorts}"
    numbers = ["rows", "kc", "a_row", "a_k", "c_row", "add", "panels", "apart"]
    em = Emitter(name, [*(("ptr", x) for x in "abc"), *_typed(numbers, by_tables)])
    lanes = isa.lanes(dtypes[-1].bits)

    def columns(p: str, step: int, body: Callable[[str, str], None]) -> None:
        """Calls `body(b, c)` for every `step` columns of panel p."""
        start = memory.element_pointer(em, dtypes[0], "%b", iv.multiply(em, p, "%apart"))
        first = iv.multiply(em, p, str(width))

        def one(j: str, _: list[str]) -> list[str]:
            b = memory.element_pointer(em, dtypes[0], start, j)
            body(b, memory.element_pointer(em, dtypes[-1], "%c", iv.add(em, first, j)))
            return []

        em.loop("0", str(width), step, one)

    def alone(height: int, across: int) -> None:
        """All rows, by micro-kernels of `across` vectors."""
        panels = max(1, across * lanes // width)

        def group(count: int, p: str) -> None:
            narrow = min(across, width // lanes)
            helper = _micro_kernel(_Kind(dtypes, isa, height, narrow, width, count, by_tables))
            sizes = ["%kc", "%a_row", "%a_k", "%c_row", "%add", "0", "%apart"]
            columns(p, narrow * lanes, lambda b, c: em.call_helper(helper, ["%a", b, c, b, *sizes]))

        cover(em, "%panels", (panels, 1) if panels > 1 else (1,), group)

    def tile(height: int, m: str, b: str, c: str) -> None:
        helper = _micro_kernel(_Kind(dtypes, isa, height, vectors, width, 0, by_tables))
        c = memory.element_pointer(em, dtypes[-1], c, iv.multiply(em, m, "%c_row"))
        a, a_row, step = "%a", "%a_row", "0"
        if by_tables:
            ahead = _rows_ahead(em, (height, m), dtypes[-1])
            a_row = memory.element_pointer(em, int64, a_row, m)
        else:
            a = memory.element_pointer(em, dtypes[-1], a, iv.multiply(em, m, a_row))
            ahead, step = _block_ahead(em, b, (height, m), width * dtypes[0].itemsize)
        sizes = ["%kc", a_row, "%a_k", "%c_row", "%add", step, "%apart"]
        em.call_helper(helper, [a, b, c, ahead, *sizes])

    def tiles(p: str, _: list[str]) -> list[str]:
        step = vectors * lanes
        columns(p, step, lambda b, c: cover(em, "%rows", rows, lambda h, m: tile(h, m, b, c)))
        return []

    other = "true"
    for height in rows:
        across = span(height, vectors, width, isa, lanes)
        if across == vectors:
            continue
        this = em.value(f"icmp eq i64 %rows, {height}")
        em.when(this, lambda h=height, v=across: alone(h, v))
        other = em.value(f"and i1 {other}, {em.value(f'xor i1 {this}, true')}")

    def by_tiles() -> None:
        em.loop("0", "%panels", 1, tiles)

    em.when(other, by_tiles)
    em.line("ret void")
    return em


def _rows_ahead(em: Emitter, tile: tuple[int, str], dtype: DType) -> str:
    """Where the rows of the tile after one begin, of which each line is new to the caches."""
    height, m = tile
    following = iv.minimum(em, iv.add(em, m, str(height)), em.value("sub i64 %rows, 1"))
    place = memory.element_pointer(em, int64, "%a_row", following)
    return memory.element_pointer(em, dtype, "%a", memory.load(em, int64, place, 1))


def _block_ahead(em: Emitter, b: str, tile: tuple[int, str], row_bytes: int) -> tuple[str, str]:
    """What a tile of so many rows, from its first on, fetches of the block after b: (place, step).

    The step is for each k.
    """
    height, m = tile
    block = em.value(f"mul i64 %kc, {row_bytes}")
    share = em.value(f"udiv i64 {em.value(f'mul i64 {m}, {block}')}, %rows")
    # A micro-kernel that does all rows reads the block from memory itself.
    all_rows = em.value(f"icmp sge i64 {height}, %rows")
    start = em.value(f"select i1 {all_rows}, i64 {_FAR}, i64 {iv.add(em, block, share)}")
    ahead = em.value(f"getelementptr i8, ptr {b}, i64 {start}")
    return ahead, em.value(f"udiv i64 {height * row_bytes}, %rows")


def _typed(numbers: Sequence[str], by_tables: bool) -> list[tuple[str, str]]:
    tables = ("a_row", "a_k") if by_tables else ()
    return [("ptr" if x in tables else "i64", x) for x in numbers]


class _Kind(NamedTuple):
    """A micro-kernel for rows of a number of panels; of one, some way ahead too, where it is 0."""

    dtypes: tuple[DType, ...]
    isa: Isa
    rows: int
    vectors: int
    width: int
    panels: int
    by_tables: bool


@functools.cache
def _micro_kernel(kind: _Kind) -> Emitter:
    """The function. Its parameters: (a, b, c, ahead, kc, a_row, a_k, c_row, add, step, apart)."""
    return _Tile(kind).function()


class _Tile(KernelWriter):
    """A micro-kernel being written."""

    def __init__(self, kind: _Kind) -> None:
        self.dtypes, isa, self.rows, self.vectors, self.panel, panels, self.by_tables = kind
        shorts = ".".join(d.short for d in self.dtypes)
        size = f"{self.rows}x{self.vectors}.{self.panel}.{panels}.{shorts}"
        numbers = ["kc", "a_row", "a_k", "c_row", "add", "step", "apart"]
        pointers = [("ptr", x) for x in ("a", "b", "c", "ahead")]
        name = f"dlc.{'gm' if self.by_tables else 'pm'}.{size}"
        em = Emitter(name, [*pointers, *_typed(numbers, self.by_tables)])
        super().__init__(em, self.dtypes[-1], isa)
        self.panels, self.looks_ahead = max(panels, 1), panels == 0

    def function(self) -> Emitter:
        """The whole function."""
        em = self.em
        if self.by_tables:
            starts = [self.at("%a", self._entry("%a_row", str(r))) for r in range(self.rows)]
        else:
            starts = ["%a"]
            for _ in range(1, self.rows):
                starts.append(self.at(starts[-1], "%a_row"))
        across = self.vectors * self.panels
        pointers = ["%b"]
        for _ in range(1, self.panels):
            pointers.append(memory.element_pointer(em, self.dtypes[0], pointers[-1], "%apart"))
        first = self._entry("%a_k", "0") if self.by_tables else "0"
        carry = [("i64", first), ("ptr", "%ahead"), *(("ptr", p) for p in pointers)]
        carry += [(self.vector, "zeroinitializer")] * (self.rows * across)

        def body(k: str, values: list[str]) -> list[str]:
            at, ahead, *rest = values
            bs, sums = rest[: self.panels], rest[self.panels :]
            columns = [self._column(b, v * self.lanes) for b in bs for v in range(self.vectors)]
            for b in bs:
                self._fetch_row(em.value(f"getelementptr i8, ptr {b}, i64 {_NEAR}"), 1)
            if self.looks_ahead and self.by_tables:
                ends = (0, self.rows - 1) if self.rows > 1 else (0,)
                for end in ends:
                    self.fetch(self.at(self.at(ahead, at), str(end)), 1)
            elif self.looks_ahead:
                self._fetch_row(ahead, 2)
            result: list[str] = []
            for r in range(self.rows):
                spread = self.broadcast(self.at(starts[r], at))
                for v, y in enumerate(columns):
                    result.append(self.multiply_add(spread, y, sums[r * across + v]))
            following = [memory.element_pointer(em, self.dtypes[0], b, str(self.panel)) for b in bs]
            ahead = em.value(f"getelementptr i8, ptr {ahead}, i64 %step")
            at = self._next_entry(k) if self.by_tables else em.value(f"add i64 {at}, %a_k")
            return [at, ahead, *following, *result]

        values = em.loop("0", "%kc", 1, body, carry)
        self.finish(self.rows, across, values[2 + self.panels :])
        return em

    def _next_entry(self, k: str) -> str:
        """What follows in the table along k, the last entry after the last."""
        last = self.em.value("sub i64 %kc, 1")
        return self._entry("%a_k", iv.minimum(self.em, self.em.value(f"add i64 {k}, 1"), last))

    def _entry(self, table: str, k: str) -> str:
        place = memory.element_pointer(self.em, int64, table, k)
        return memory.load(self.em, int64, place, 1)

    def _column(self, row: str, offset: int) -> str:
        """A vector of a row of the panel, converted."""
        place = memory.element_pointer(self.em, self.dtypes[0], row, str(offset))
        value = memory.load(self.em, self.dtypes[0], place, self.lanes)
        return convert_loaded(self.em, self.isa, self.dtypes, value, self.lanes)

    def _fetch_row(self, place: str, level: int) -> None:
        """Prefetches as much as a row of the tile in a panel has."""
        for at in range(0, self.vectors * self.lanes * self.dtypes[0].itemsize, memory.LINE):
            line = self.em.value(f"getelementptr i8, ptr {place}, i64 {at}") if at else place
            self.fetch(line, level)
