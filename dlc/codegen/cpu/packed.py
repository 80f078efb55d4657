"""Products with a matrix in panels: micro-kernels that stream it and fetch ahead what comes next.

A panel lies in memory in the order in which it is read, one panel after the other. So while a block
of it is multiplied, what follows is on its way into the second-level cache: each micro-kernel
fetches the share of the next block that its rows are of all rows. Few rows then run at the speed of
memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.micro_kernel import KernelWriter, call_internal, define_internal, is_defined
from dlc.codegen.cpu.packing import convert_loaded
from dlc.codegen.cpu.panel import cover
from dlc.codegen.cpu.tiling import Tiling
from dlc.ir.types import DType

_LINE = 64  # bytes that one prefetch brings
_NEAR = 32 << 10  # bytes from what is read to what is fetched, in the same block
_TO_SECOND_LEVEL = 2  # LLVM's locality


def call_packed(
    em: Emitter,
    dtypes: tuple[DType, ...],
    tiling: Tiling,
    isa: Isa,
    pointers: Sequence[str],
    sizes: Sequence[str],
) -> None:
    """Calls void dlc.packed.*(a, b, c, rows, kc, a_row, a_k, c_row, add).

    Arguments mean what those of a micro-kernel do; b is a block of a panel, of the first of
    `dtypes`, whose width is that of the tiling's panels. All of its columns are computed.
    """
    shorts = ".".join(d.short for d in dtypes)
    rows = "_".join(map(str, tiling.rows))
    name = f"dlc.packed.{rows}x{tiling.panel}.{shorts}"
    numbers = ["rows", "kc", "a_row", "a_k", "c_row", "add"]
    parameters = [*(("ptr", x) for x in "abc"), *(("i64", x) for x in numbers)]
    if not is_defined(em, name):
        define_internal(em, _panel(Emitter(name, parameters), dtypes, tiling, isa))
    call_internal(em, name, pointers, sizes)


def _panel(em: Emitter, dtypes: tuple[DType, ...], tiling: Tiling, isa: Isa) -> Emitter:
    row_bytes = tiling.panel * dtypes[0].itemsize
    block = em.value(f"mul i64 %kc, {row_bytes}")

    def columns(j: str, _: list[str]) -> list[str]:
        b = memory.element_pointer(em, dtypes[0], "%b", j)
        c = memory.element_pointer(em, dtypes[-1], "%c", j)
        cover(em, "%rows", tiling.rows, lambda height, m: tile(height, m, b, c))
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
        name = _micro_kernel(em, dtypes, height, tiling, isa)
        call_internal(em, name, [a, b, c, ahead], sizes)

    (vectors,) = tiling.vectors
    em.loop("0", str(tiling.panel), vectors * tiling.lanes, columns)
    em.line("ret void")
    return em


def _micro_kernel(
    em: Emitter, dtypes: tuple[DType, ...], rows: int, tiling: Tiling, isa: Isa
) -> str:
    """Makes sure that a micro-kernel for rows of a panel is defined; returns its name."""
    shorts = ".".join(d.short for d in dtypes)
    name = f"dlc.pm.{rows}x{tiling.vectors[0] * tiling.lanes}.{tiling.panel}.{shorts}"
    if not is_defined(em, name):
        define_internal(em, _Tile(name, dtypes, rows, tiling, isa).function())
    return name


class _Tile(KernelWriter):
    """A micro-kernel being written."""

    def __init__(
        self, name: str, dtypes: tuple[DType, ...], rows: int, tiling: Tiling, isa: Isa
    ) -> None:
        numbers = ["kc", "a_row", "a_k", "c_row", "add", "step"]
        pointers = [("ptr", x) for x in ("a", "b", "c", "ahead")]
        em = Emitter(name, [*pointers, *(("i64", x) for x in numbers)])
        super().__init__(em, dtypes[-1], isa)
        self.dtypes, self.rows, self.panel = dtypes, rows, tiling.panel
        (self.vectors,) = tiling.vectors

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
            self._fetch(ahead)
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

    def _fetch(self, ahead: str) -> None:
        """Prefetches as much as a row of the panel has."""
        for at in range(0, self.vectors * self.lanes * self.dtypes[0].itemsize, _LINE):
            place = self.em.value(f"getelementptr i8, ptr {ahead}, i64 {at}") if at else ahead
            args = [("ptr", place), ("i32", "0"), ("i32", str(_TO_SECOND_LEVEL)), ("i32", "1")]
            self.em.call("llvm.prefetch.p0", "void", args)
