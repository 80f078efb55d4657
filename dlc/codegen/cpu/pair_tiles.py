"""Tiles of sums of products of bfloat16 by instructions that add up pairs (AVX512-BF16).

What is multiplied lies as a matrix unit reads it (`matrix_tiles`): rows of A with pairs of elements
along k, panels of B of 32 columns with a row for each pair. Each sum takes its pairs in order, at
float32; subnormal numbers count as zero ("Intel Architecture Instruction Set Extensions Programming
Reference", VDPBF16PS).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from dlc.codegen.cpu import matrix_tiles as mt
from dlc.codegen.cpu.assembled_function import AssembledFunction, can_assemble
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.memory import bytes_on
from dlc.codegen.cpu.row_pointers import RowPointers
from dlc.codegen.cpu.x86_assembly import Assembly
from dlc.codegen.cpu.x86_code import Code, Memory
from dlc.ir.types import float32

_HEIGHTS = (12, 8, 4, 2, 1)  # rows of tiles, the tallest first
_PAIR = 4  # bytes
_VECTOR = 64
_VECTORS = mt.COLUMNS * _PAIR // _VECTOR  # of a row of a panel
_UNROLL = 8  # pairs in a step of the loop; a block along k has twice as many
# Parameters but for the first.
_B, _C, _LEFT, _A_STEP, _C_STEP = "rsi", "rdx", "rcx", "r8", "r9"


def adds_pairs(isa: Isa) -> bool:
    """Whether a level has these tiles."""
    return isa.pairs and can_assemble(float32, isa)


@functools.cache
def tiles(isa: Isa) -> Emitter:
    """The function dlc.pairs.tiles, whose parameters are those of `matrix_tiles.tiles`."""
    numbers = ["rows", "panels", "a_step", "blocks", "c_step", "add"]
    parameters = [*(("ptr", x) for x in "abc"), *(("i64", x) for x in numbers)]
    em = Emitter("dlc.pairs.tiles", parameters)
    panel = em.value(f"mul i64 %blocks, {mt.B_BYTES}")
    pairs = em.value(f"mul i64 %blocks, {mt.DEPTH // 2}")

    def one(p: str, _: list[str]) -> list[str]:
        b = bytes_on(em, "%b", em.value(f"mul i64 {p}, {panel}"))
        columns = bytes_on(em, "%c", em.value(f"mul i64 {p}, {mt.COLUMNS * float32.itemsize}"))
        done = "0"
        for height in _HEIGHTS:
            whole = em.value(f"sub i64 %rows, {done}")
            whole = em.value(f"sub i64 {whole}, {em.value(f'urem i64 {whole}, {height}')}")
            stop = em.value(f"add i64 {done}, {whole}")

            def tile(r: str, _: list[str], height: int = height) -> list[str]:
                a = bytes_on(em, "%a", em.value(f"mul i64 {r}, %a_step"))
                c = bytes_on(em, columns, em.value(f"mul i64 {r}, %c_step"))
                args = [a, b, c, pairs, "%a_step", "%c_step", "%add"]
                em.call_helper(_tile(height, isa), args)
                return []

            em.loop(done, stop, height, tile)
            done = stop
        return []

    em.loop("0", "%panels", 1, one)
    em.line("ret void")
    return em


@functools.cache
def _tile(rows: int, isa: Isa) -> Emitter:
    return PairTile(rows, isa)


class PairTile(AssembledFunction):
    """The sums of `rows` rows by a panel: dlc.pairs.N(a, b, c, pairs, a_step, c_step, add).

    `pairs` along k are multiplied, a multiple of `DEPTH` / 2; steps are in bytes. Sums begin with
    what is in c when `add` is not 0.
    """

    def __init__(self, rows: int, isa: Isa) -> None:
        parameters = [("ptr", x) for x in "abc"]
        parameters += [("i64", x) for x in ("pairs", "a_step", "c_step", "add")]
        super().__init__(f"dlc.pairs.{rows}", parameters, float32, isa, (rows,))
        self.rows, self.of_a = rows, RowPointers(rows, _A_STEP)
        self.sums = [isa.registers - 1 - k for k in range(rows * _VECTORS)]

    def write(self, code: Code | Assembly) -> None:
        """Writes the function."""
        for register in self.sums:
            code.clear(register)
        code.load("rax", Memory("rsp", offset=8))
        code.test("rax")
        code.skip("e", lambda: self._each_sum(code, code.load_vector))
        self.of_a.set_up(code)
        code.test(_LEFT)
        code.skip("le", lambda: code.loop("g", lambda: self._pairs(code)))
        self._each_sum(code, lambda total, place: code.store_vector(place, total))
        code.leave()

    def _pairs(self, code: Code | Assembly) -> None:
        """The products of a step."""
        for k in range(_UNROLL):
            for v in range(_VECTORS):
                code.load_vector(v, Memory(_B, offset=(k * _VECTORS + v) * _VECTOR))
            for row in range(self.rows):
                code.broadcast(_VECTORS, self.of_a.place(row, k * _PAIR))
                for v in range(_VECTORS):
                    code.add_pairs(self.sums[row * _VECTORS + v], _VECTORS, v)
        for pointer in self.of_a.pointers:
            code.add_number(pointer, _UNROLL * _PAIR)
        code.address(_B, Memory(_B, offset=_UNROLL * _VECTORS * _VECTOR))
        code.subtract_number(_LEFT, _UNROLL)

    def _each_sum(self, code: Code | Assembly, use: Callable[[int, Memory], None]) -> None:
        """Calls `use` with each register of sums and where it is in c."""
        code.move("rax", _C)
        for k, total in enumerate(self.sums):
            row, v = divmod(k, _VECTORS)
            if row and not v:
                code.add("rax", _C_STEP)
            use(total, Memory("rax", offset=v * _VECTOR))
