"""Micro-kernels: one tile of a matrix product held in registers over all of a block of K.

    void dlc.mm.RxV(a, b, c, kc, a_row, a_k, b_k, c_row, add)

computes, for r < R and n < V*lanes, `sum(k < kc, a[r*a_row + k*a_k] * b[k*b_k + n])` one k after the other
(with fused multiply-adds where the level has them) and stores it to `c[r*c_row + n]`, or adds it to
that when `add` is not 0. Strides count elements.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.ir.types import DType

_PARAMETERS = [
    ("ptr", "a"),
    ("ptr", "b"),
    ("ptr", "c"),
    ("i64", "kc"),
    ("i64", "a_row"),
    ("i64", "a_k"),
    ("i64", "b_k"),
    ("i64", "c_row"),
    ("i64", "add"),
]


def define_internal(em: Emitter, function: Emitter) -> None:
    """Adds a helper function to the module that `em` will be in; equal ones are there once."""
    em.declarations |= function.declarations
    em.declarations.add(function.text().replace("define ", "define internal ", 1))


def micro_kernel(em: Emitter, dtype: DType, rows: int, vectors: int, isa: Isa) -> str:
    """Makes sure that a micro-kernel is defined; returns its name."""
    lanes = isa.lanes(dtype.bits)
    name = f"dlc.mm.{rows}x{vectors * lanes}x{dtype.short}"
    head = f"define internal void @{name}("
    if not any(d.startswith(head) for d in em.declarations):
        define_internal(em, _Tile(name, dtype, rows, vectors, isa).function())
    return name


def row_kernel(em: Emitter, dtype: DType, isa: Isa) -> str:
    """Makes sure that the kernel of a single row by a B that is contiguous along k is defined.

    void dlc.mv(a, b, c, columns, kc, a_k, b_n, add) computes `sum(k < kc, a[k*a_k] * b[k + n*b_n])` as
    micro-kernels do, for n < columns; it may set what follows, up to a whole vector, to anything.
    """
    name = f"dlc.mv.{dtype.short}"
    head = f"define internal void @{name}("
    if not any(d.startswith(head) for d in em.declarations):
        define_internal(em, _Row(name, dtype, isa).function())
    return name


def transpose(em: Emitter, dtype: DType, rows: list[str]) -> list[str]:
    """The transpose of a square matrix given as vectors: log2(lanes) rounds of interleaving halves."""
    lanes = len(rows)
    type_ = llvm_type(dtype, lanes)
    half = lanes // 2

    def interleave(a: str, b: str, first: int) -> str:
        picks = ", ".join(f"i32 {first + k // 2 + (lanes if k % 2 else 0)}" for k in range(lanes))
        return em.value(f"shufflevector {type_} {a}, {type_} {b}, <{lanes} x i32> <{picks}>")

    for _ in range(lanes.bit_length() - 1):
        rows = [interleave(rows[r // 2], rows[r // 2 + half], half * (r % 2)) for r in range(lanes)]
    return rows


class _Kernel:
    """What micro-kernels being written share: types, addresses, the multiply-add, the store."""

    def __init__(self, em: Emitter, dtype: DType, isa: Isa) -> None:
        self.em, self.dtype, self.isa = em, dtype, isa
        self.lanes = isa.lanes(dtype.bits)
        self.element, self.vector = llvm_type(dtype), llvm_type(dtype, self.lanes)

    def broadcast(self, pointer: str) -> str:
        """The element at an address in every lane."""
        x = self.em.value(f"load {self.element}, ptr {pointer}, align {self.dtype.itemsize}")
        return self.em.splat(self.element, x, self.lanes)

    def keep(self, places: Sequence[str], sums: Sequence[str]) -> None:
        """Stores the sums, or adds them to what is there."""
        em = self.em
        adding = em.value("icmp ne i64 %add, 0")
        add_label, store_label, done = (em.fresh(x) for x in ("add", "store", "done"))
        em.branch_if(adding, add_label, store_label)
        name = "fadd" if self.dtype.is_float else "add"
        em.block(add_label)
        for place, value in zip(places, sums, strict=True):
            self.store(place, em.value(f"{name} {self.vector} {self.load(place)}, {value}"))
        em.branch(done)
        em.block(store_label)
        for place, value in zip(places, sums, strict=True):
            self.store(place, value)
        em.branch(done)
        em.block(done)

    def multiply_add(self, x: str, y: str, total: str) -> str:
        """x * y + total, in the level's way."""
        em, t = self.em, self.vector
        if not self.dtype.is_float:
            return em.value(f"add {t} {em.value(f'mul {t} {x}, {y}')}, {total}")
        if self.isa.fma:
            suffix = f"{'' if self.lanes == 1 else f'v{self.lanes}'}f{self.dtype.bits}"
            return em.call(f"llvm.fma.{suffix}", t, [(t, x), (t, y), (t, total)])
        return em.value(f"fadd {t} {em.value(f'fmul {t} {x}, {y}')}, {total}")

    def at(self, pointer: str, elements: str) -> str:
        """The address `elements` on."""
        return self.em.value(f"getelementptr {self.element}, ptr {pointer}, i64 {elements}", "p")

    def offset(self, pointer: str, vectors: int) -> str:
        return pointer if vectors == 0 else self.at(pointer, str(vectors * self.lanes))

    def load(self, pointer: str) -> str:
        return self.em.value(f"load {self.vector}, ptr {pointer}, align {self.dtype.itemsize}")

    def store(self, pointer: str, value: str) -> None:
        self.em.line(f"store {self.vector} {value}, ptr {pointer}, align {self.dtype.itemsize}")


class _Tile(_Kernel):
    """A micro-kernel being written."""

    def __init__(self, name: str, dtype: DType, rows: int, vectors: int, isa: Isa) -> None:
        super().__init__(Emitter(name, _PARAMETERS), dtype, isa)
        self.rows, self.vectors = rows, vectors

    def function(self) -> Emitter:
        """The whole function."""
        em, rows = self.em, self.rows
        starts = ["%a"]
        for _ in range(1, rows):
            starts.append(self.at(starts[-1], "%a_row"))
        carry = [("i64", "0"), ("ptr", "%b")]
        carry += [(self.vector, "zeroinitializer")] * (rows * self.vectors)

        def body(_: str, values: list[str]) -> list[str]:
            at, b, *sums = values
            columns = [self.load(self.offset(b, v)) for v in range(self.vectors)]
            result: list[str] = []
            for r in range(rows):
                pointer = self.at(starts[r], at)
                spread = self.broadcast(pointer)
                for v, y in enumerate(columns):
                    result.append(self.multiply_add(spread, y, sums[r * self.vectors + v]))
            return [em.value(f"add i64 {at}, %a_k"), self.at(b, "%b_k"), *result]

        self.finish(em.loop("0", "%kc", 1, body, carry)[2:])
        return em

    def finish(self, sums: list[str]) -> None:
        """Keeps the sums and returns."""
        places: list[str] = []
        row = "%c"
        for r in range(self.rows):
            row = row if r == 0 else self.at(row, "%c_row")
            places += [self.offset(row, v) for v in range(self.vectors)]
        self.keep(places, sums)
        self.em.line("ret void")


class _Row(_Kernel):
    """The kernel of a single row being written: transposes square blocks of B in registers."""

    def __init__(self, name: str, dtype: DType, isa: Isa) -> None:
        numbers = [("i64", x) for x in ("columns", "kc", "a_k", "b_n", "add")]
        super().__init__(Emitter(name, [*_PARAMETERS[:3], *numbers]), dtype, isa)

    def function(self) -> Emitter:
        """The whole function."""
        em = self.em
        last = em.value("sub i64 %columns, 1")
        whole = em.value(f"and i64 %kc, {-self.lanes}")

        def columns(j: str, _: list[str]) -> list[str]:
            offsets = [
                em.value(f"mul i64 {iv.minimum(em, iv.add(em, j, str(lane)), last)}, %b_n")
                for lane in range(self.lanes)
            ]
            sums = self.blocks([self.at("%b", x) for x in offsets], whole)
            sums = self.rest(offsets, whole, sums)
            self.keep([self.at("%c", j)], sums)
            return []

        em.loop("0", "%columns", self.lanes, columns)
        em.line("ret void")
        return em

    def blocks(self, sources: list[str], whole: str) -> list[str]:
        """The sums over whole square blocks."""

        def block(k: str, values: list[str]) -> list[str]:
            rows = [self.load(self.at(s, k)) for s in sources]
            a, total = values
            for column in transpose(self.em, self.dtype, rows):
                total = self.multiply_add(self.broadcast(a), column, total)
                a = self.at(a, "%a_k")
            return [a, total]

        carry = [("ptr", "%a"), (self.vector, "zeroinitializer")]
        return self.em.loop("0", whole, self.lanes, block, carry)

    def rest(self, offsets: list[str], whole: str, values: list[str]) -> list[str]:
        """The sums with what is left of k added, column by column."""
        em, vector = self.em, f"<{self.lanes} x i64>"
        at = "poison"
        for lane, offset in enumerate(offsets):
            at = em.value(f"insertelement {vector} {at}, i64 {offset}, i64 {lane}")

        def column(k: str, values: list[str]) -> list[str]:
            a, total = values
            y = memory.gather(em, self.dtype, self.at("%b", k), at, self.lanes, None)
            return [self.at(a, "%a_k"), self.multiply_add(self.broadcast(a), y, total)]

        carry = [("ptr", values[0]), (self.vector, values[1])]
        return em.loop(whole, "%kc", 1, column, carry)[1:]
