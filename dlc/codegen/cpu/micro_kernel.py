"""Micro-kernels: one tile of a matrix product held in registers over all of a block of K.

    void dlc.mm.RxC(a, b, c, ahead, kc, sizes)

computes, for r < R and n < C, `sum(k < kc, a[r*a_row + k*a_k] * b[k*b_k + n])`, one k after another
(with fused multiply-adds where the level has them) and stores it to `c[r*c_row + n]`, or adds
it to that when `add` is not 0. Strides count elements; they, `add` and `step` are in memory at
`sizes`, in the order of `SIZES`. On the way it fetches the tile of c, and what is at `ahead`,
`step` bytes on with each k and row, into the cache. Those that stream b from memory, named dlc.ms,
fetch its rows some time before they read them instead; and those named dlc.mr fetch R rows of a, at
`ahead`, which are to be contiguous along k.

Where the level has masks (`has_masks`), they read and write the first `lanes` lanes alone of the
last vector of each row of b and c.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from dlc.codegen.cpu import memory
from dlc.codegen.cpu.assembled_function import can_assemble
from dlc.codegen.cpu.assembled_kernel import AssembledKernel
from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.memory import LINE
from dlc.ir.types import DType

_PARAMETERS = [
    ("ptr", "a"),
    ("ptr", "b"),
    ("ptr", "c"),
    ("ptr", "ahead"),
    ("i64", "kc"),
    ("ptr", "sizes"),
]
SIZES = ("a_row", "a_k", "b_k", "c_row", "add", "step", "lanes")
"""The numbers of 64 bits that are the same for all tiles of a panel."""

# Vectors of b from what is read to what is fetched: as many as hide the latency of memory.
_VECTORS_AHEAD = 128
# Products in a step of the loop, where tiles have many sums (it takes longer to compile) and where
# not.
_UNROLL = 4
_MANY_SUMS = 20
_SHORT_UNROLL = 2


@functools.cache
def micro_kernel(
    dtype: DType,
    rows: int,
    vectors: int,
    isa: Isa,
    *,
    streams: bool = False,
    next_rows: bool = False,
) -> Emitter:
    """The micro-kernel of a tile of `rows` by `vectors` vectors.

    It streams b or fetches the next rows of a where that is asked for.
    """
    lanes = isa.lanes(dtype.bits)
    kind = "ms" if streams else "mr" if next_rows and can_assemble(dtype, isa) else "mm"
    name = f"dlc.{kind}.{rows}x{vectors * lanes}x{dtype.short}"
    large = rows * vectors >= _MANY_SUMS
    unroll = 1 if streams else _UNROLL if large else _SHORT_UNROLL
    if can_assemble(dtype, isa):
        ahead = _VECTORS_AHEAD // vectors if streams else 0
        unroll = LINE // dtype.itemsize if next_rows else unroll
        return AssembledKernel(
            name,
            _PARAMETERS,
            dtype,
            (rows, vectors),
            isa,
            ahead=ahead,
            unroll=unroll,
            next_rows=next_rows,
        )
    return _Tile(name, dtype, (rows, vectors), isa, streams=streams).function(unroll)


def tile_sizes(em: Emitter, values: Sequence[str]) -> str:
    """Keeps the values of `SIZES` for micro-kernels on the stack; their address."""
    sizes = em.value(f"alloca [{len(SIZES)} x i64]")
    for name, value in zip(SIZES, values, strict=True):
        put_size(em, sizes, name, value)
    return sizes


def put_size(em: Emitter, sizes: str, name: str, value: str) -> None:
    """Changes a value of `SIZES`."""
    em.line(f"store i64 {value}, ptr {_size(em, sizes, SIZES.index(name))}, align 8")


def _size(em: Emitter, sizes: str, k: int) -> str:
    return em.value(f"getelementptr i64, ptr {sizes}, i64 {k}")


class KernelWriter:
    """What micro-kernels being written share: types, addresses, the multiply-add, the store."""

    def __init__(self, em: Emitter, dtype: DType, isa: Isa) -> None:
        self.em, self.dtype, self.isa = em, dtype, isa
        self.lanes = isa.lanes(dtype.bits)
        self.element, self.vector = llvm_type(dtype), llvm_type(dtype, self.lanes)

    def broadcast(self, pointer: str) -> str:
        """The element at an address in every lane."""
        x = self.em.value(f"load {self.element}, ptr {pointer}, align {self.dtype.itemsize}")
        return self.em.splat(self.element, x, self.lanes)

    def keep(self, places: Sequence[str], sums: Sequence[str], mask: str | None = None) -> None:
        """Stores the sums, or adds them to what is there; of the last the lanes of a mask."""
        em, masks = self.em, [*[None] * (len(sums) - 1), mask]
        adding = em.value("icmp ne i64 %add, 0")
        add_label, store_label, done = (em.fresh(x) for x in ("add", "store", "done"))
        em.branch_if(adding, add_label, store_label)
        em.block(add_label)
        for place, value, lanes in zip(places, sums, masks, strict=True):
            self.add_to(place, value, lanes)
        em.branch(done)
        em.block(store_label)
        for place, value, lanes in zip(places, sums, masks, strict=True):
            self.store(place, value, lanes)
        em.branch(done)
        em.block(done)

    def add_to(self, place: str, value: str, mask: str | None = None) -> None:
        """Adds a vector, or the lanes of a mask, to what is at an address."""
        name = "fadd" if self.dtype.is_float else "add"
        total = self.em.value(f"{name} {self.vector} {self.load(place, mask)}, {value}")
        self.store(place, total, mask)

    def finish(self, rows: int, vectors: int, sums: Sequence[str]) -> None:
        """Keeps the sums of a tile, row by row, and returns."""
        self.keep(self.places(rows, vectors), sums)
        self.em.line("ret void")

    def multiply_add(self, x: str, y: str, total: str) -> str:
        """x * y + total, in the level's way."""
        em, t = self.em, self.vector
        if not self.dtype.is_float:
            return em.value(f"add {t} {em.value(f'mul {t} {x}, {y}')}, {total}")
        if self.isa.fma:
            suffix = f"{'' if self.lanes == 1 else f'v{self.lanes}'}f{self.dtype.bits}"
            return em.call(f"llvm.fma.{suffix}", t, [(t, x), (t, y), (t, total)])
        return em.value(f"fadd {t} {em.value(f'fmul {t} {x}, {y}')}, {total}")

    def fetch(self, pointer: str, level: int) -> None:
        """Asks for the cache line at an address, in the first- or second-level cache."""
        # LLVM counts the levels backwards.
        args = [("ptr", pointer), ("i32", "0"), ("i32", str(4 - level)), ("i32", "1")]
        self.em.call("llvm.prefetch.p0", "void", args)

    def places(self, rows: int, vectors: int) -> list[str]:
        """The addresses of the vectors of a tile of c, row by row."""
        found: list[str] = []
        row = "%c"
        for r in range(rows):
            row = row if r == 0 else self.at(row, "%c_row")
            found += [self.offset(row, v) for v in range(vectors)]
        return found

    def at(self, pointer: str, elements: str) -> str:
        """The address `elements` on."""
        return self.em.value(f"getelementptr {self.element}, ptr {pointer}, i64 {elements}", "p")

    def offset(self, pointer: str, vectors: int) -> str:
        """The address some vectors on."""
        return pointer if vectors == 0 else self.at(pointer, str(vectors * self.lanes))

    def load(self, pointer: str, mask: str | None = None) -> str:
        """The vector at an address, or the lanes of a mask."""
        return memory.load(self.em, self.dtype, pointer, self.lanes, mask)

    def store(self, pointer: str, value: str, mask: str | None = None) -> None:
        """Stores a vector, or the lanes of a mask, to an address."""
        memory.store(self.em, self.dtype, pointer, value, self.lanes, mask)


class _Tile(KernelWriter):
    """A micro-kernel being written."""

    def __init__(
        self, name: str, dtype: DType, tile: tuple[int, int], isa: Isa, *, streams: bool
    ) -> None:
        super().__init__(Emitter(name, _PARAMETERS), dtype, isa)
        (self.rows, self.vectors), self.streams = tile, streams

    def function(self, unroll: int) -> Emitter:
        """The whole function, with so many products in a step of its loop."""
        em, rows = self.em, self.rows
        for k, name in enumerate(SIZES):
            em.line(f"%{name} = load i64, ptr {_size(em, '%sizes', k)}, align 8")
        self.step = em.value(f"mul i64 %step, {rows}")
        starts = ["%a"]
        for _ in range(1, rows):
            starts.append(self.at(starts[-1], "%a_row"))
        for place in self.places(rows, self.vectors):
            self.fetch(place, 1)
        first = "%ahead"
        if self.streams:
            first = self.at("%b", em.value(f"mul i64 %b_k, {_VECTORS_AHEAD // self.vectors}"))
        start = ["0", "%b", first, *["zeroinitializer"] * (rows * self.vectors)]
        types = ["i64", "ptr", "ptr", *[self.vector] * (rows * self.vectors)]

        def several(_: str, values: list[str]) -> list[str]:
            for _step in range(unroll):
                values = self._product(starts, values, fetches=True)
            return values

        def one(_: str, values: list[str]) -> list[str]:
            return self._product(starts, values, fetches=False)

        whole, values = "0", start
        if unroll > 1:
            whole = em.value(f"and i64 %kc, {-unroll}")
            values = em.loop("0", whole, unroll, several, list(zip(types, values, strict=True)))
        values = em.loop(whole, "%kc", 1, one, list(zip(types, values, strict=True)))
        self.finish(rows, self.vectors, values[3:])
        return em

    def _product(self, starts: Sequence[str], values: list[str], *, fetches: bool) -> list[str]:
        """One k of a tile: the offset into rows of a, where b is, what is fetched, and the sums."""
        em = self.em
        at, b, ahead, *sums = values
        if fetches or self.streams:
            for v in range(self.vectors if self.streams else 1):
                self.fetch(self.offset(ahead, v), 2)
        columns = [self.load(self.offset(b, v)) for v in range(self.vectors)]
        result: list[str] = []
        for r in range(self.rows):
            spread = self.broadcast(self.at(starts[r], at))
            for v, y in enumerate(columns):
                result.append(self.multiply_add(spread, y, sums[r * self.vectors + v]))
        ahead = (
            self.at(ahead, "%b_k")
            if self.streams
            else em.value(f"getelementptr i8, ptr {ahead}, i64 {self.step}")
        )
        return [em.value(f"add i64 {at}, %a_k"), self.at(b, "%b_k"), ahead, *result]
