"""Micro-kernels as x86-64 machine code, which needs no compiler and no assembler.

Their few registers are dealt out once and for all, so that LLVM has nothing to find out: writing
one takes a hundredth of the time that compiling it does. The bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.codegen.cpu.assembled_function import AssembledFunction
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.memory import LINE
from dlc.codegen.cpu.row_pointers import RowPointers
from dlc.codegen.cpu.x86_assembly import Assembly
from dlc.codegen.cpu.x86_code import Code, Memory
from dlc.ir.types import DType

# Where parameters of a micro-kernel but for a, and its sizes, are kept; the lanes become a mask.
_B, _C, _AHEAD, _LEFT, _A_ROW, _A_K, _B_K, _C_ROW, _ADD, _STEP = (
    "rsi", "rdx", "rcx", "r8", "r9", "r12", "rbx", "r13", "r14", "r15",
)  # fmt: skip
_SAVED = (_A_K, _B_K, _C_ROW, _ADD, _STEP)
# Parts of a step that fetches rows, which fetch as many each.
_HALVES = 2


class AssembledKernel(AssembledFunction):
    """A micro-kernel of `rows` by `vectors` vectors; see `micro_kernel`.

    Args:
        name: Of the function.
        parameters: Of the function.
        dtype: What it multiplies and adds.
        tile: Rows, and columns in vectors.
        isa: The level.
        ahead: For one that streams b, rows of it from what is read to what is fetched.
        unroll: Products in a step of the loop; in a line of the cache for one with `next_rows`.
        next_rows: Whether it fetches the next rows of a.

    With vectors of 512 bits it reads and writes no more than the first `lanes` of last vectors.
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[tuple[str, str]],
        dtype: DType,
        tile: tuple[int, int],
        isa: Isa,
        *,
        ahead: int = 0,
        unroll: int,
        next_rows: bool,
    ) -> None:
        super().__init__(name, parameters, dtype, isa, (*tile, ahead, unroll, next_rows))
        self.rows, self.vectors = tile
        self.of_a = RowPointers(self.rows, _A_ROW)
        self.ahead, self.unroll, self.next_rows = ahead, unroll, next_rows
        self.sums = [isa.registers - 1 - k for k in range(self.rows * self.vectors)]

    def write(self, code: Code | Assembly) -> None:
        """Writes the function."""
        self._enter(code)
        for register in self.sums:
            code.clear(register)
        if self.next_rows:
            self._loop(code, self.unroll, lambda: self._fetching_rows(code))
        elif self.unroll > 1:
            self._loop(code, self.unroll, lambda: self._fetching_ahead(code))
        self._loop(code, 1, lambda: self._product(code, fetches=False))
        self._keep(code)
        for register in reversed(_SAVED):
            code.pop(register)
        code.leave()

    def _enter(self, code: Code | Assembly) -> None:
        for register in _SAVED:
            code.push(register)
        numbers = (_A_ROW, _A_K, _B_K, _C_ROW, _ADD, _STEP)
        if code.wide:
            code.load("rax", Memory(_A_ROW, offset=8 * len(numbers)))
            code.mask_below("rax", "r10")
        loads = enumerate(numbers)
        for k, register in reversed(list(loads)):  # the first is in the place of their address
            code.load(register, Memory(_A_ROW, offset=8 * k))
        for register in (_A_ROW, _A_K, _B_K, _C_ROW):
            code.shift_left(register, self.shift)
        code.move("rax", _C)
        for row in range(self.rows):
            if row:
                code.add("rax", _C_ROW)
            for v in range(self.vectors):
                code.prefetch(Memory("rax", offset=v * self.vector_bytes), 1)
        self.of_a.set_up(code)
        if self.ahead:
            code.multiply(_AHEAD, _B_K, self.ahead)
            code.add(_AHEAD, _B)
        elif not self.next_rows:
            code.multiply(_STEP, _STEP, self.rows)
        else:  # what leads from behind the last row that is fetched to the next line of the first
            code.multiply(_STEP, _A_ROW, -_HALVES * self._half)
            code.add_number(_STEP, LINE)

    @property
    def _half(self) -> int:
        """Of the next rows of a, those that half a step fetches."""
        return -(-self.rows // _HALVES)

    def _fetching_ahead(self, code: Code | Assembly) -> None:
        """The products of a step, each of which fetches."""

        def product() -> None:
            self._product(code, fetches=True)
            if not self.ahead:
                code.add(_AHEAD, _STEP)

        code.repeat(self.unroll, product)

    def _fetching_rows(self, code: Code | Assembly) -> None:
        """The products of a step, which fetch a line of each of the next rows."""
        count = self.unroll // _HALVES

        def half() -> None:
            for k in range(count):
                for _ in range(k * self._half // count, (k + 1) * self._half // count):
                    code.prefetch(Memory(_AHEAD), 2)
                    code.add(_AHEAD, _A_ROW)
                self._product(code, fetches=False)

        code.repeat(_HALVES, half)
        code.add(_AHEAD, _STEP)

    def _loop(self, code: Code | Assembly, unroll: int, products: Callable[[], None]) -> None:
        """As many steps of `unroll` products as are left."""

        def step() -> None:
            products()
            code.subtract_number(_LEFT, unroll)

        code.subtract_number(_LEFT, unroll)
        code.skip("l", lambda: code.loop("ge", step))
        code.add_number(_LEFT, unroll)

    def _product(self, code: Code | Assembly, *, fetches: bool) -> None:
        """One k of the tile."""
        if self.ahead or fetches:
            for v in range(self.vectors if self.ahead else 1):
                code.prefetch(Memory(_AHEAD, offset=v * self.vector_bytes), 2)
        columns: list[int | Memory] = []
        for v in range(self.vectors):
            place = Memory(_B, offset=v * self.vector_bytes)
            if self._ends(code, v):
                register = v if self.rows > 1 else 1
                code.load_masked(register, place)
                columns.append(register)
                continue
            if self.rows > 1:  # else each is used once, from memory
                code.load_vector(v, place)
            columns.append(v if self.rows > 1 else place)
        spread = self.vectors if self.rows > 1 else 0
        for row in range(self.rows):
            place = self.of_a.place(row)
            if code.wide and self.rows > 1 and self.vectors == 1:
                # By one instruction: two that load as much take 1.4 cycles on AMD's Zen 4.
                code.multiply_add_spread(self.sums[row], 0, place)
                continue
            code.broadcast(spread, place)
            for v, column in enumerate(columns):
                code.multiply_add(self.sums[row * self.vectors + v], spread, column)
        for pointer in self.of_a.pointers:
            code.add(pointer, _A_K)
        code.add(_B, _B_K)
        if self.ahead:
            code.add(_AHEAD, _B_K)

    def _ends(self, code: Code | Assembly, vector: int) -> bool:
        """Whether a vector of a row may have lanes that there are not in memory."""
        return code.wide and vector == self.vectors - 1

    def _keep(self, code: Code | Assembly) -> None:
        """Stores the sums, or adds them to what is there."""

        def add_all() -> None:
            code.move("rax", _C)
            self._each_place(code, "rax", add)

        def add(total: int, place: Memory, ends: bool) -> None:
            if ends:
                code.load_masked(0, place)  # that no sum is in
            code.add_vector(total, 0 if ends else place)

        def store(total: int, place: Memory, ends: bool) -> None:
            (code.store_masked if ends else code.store_vector)(place, total)

        code.test(_ADD)
        code.skip("e", add_all)
        self._each_place(code, _C, store)

    def _each_place(
        self, code: Code | Assembly, pointer: str, write: Callable[[int, Memory, bool], None]
    ) -> None:
        for k, total in enumerate(self.sums):
            row, v = divmod(k, self.vectors)
            if row and not v:
                code.add(pointer, _C_ROW)
            write(total, Memory(pointer, offset=v * self.vector_bytes), self._ends(code, v))
