"""Micro-kernels as x86-64 assembly, which needs an assembler alone and no code generator.

Their few registers are dealt out once and for all, so that LLVM has nothing to find out: writing
and assembling one takes a fiftieth of the time that compiling it does. The bits are the same.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa, host_machine
from dlc.ir.types import DType, float32, float64

# Rows of a reached from one pointer, by none, one or two strides; the pointers, and where the other
# parameters of a micro-kernel and its sizes are kept.
_ROWS = ("", ",%r9", ",%r9,2")
_BASES = ("%rdi", "%rax", "%r10", "%r11")
_B, _C, _AHEAD, _LEFT, _A_ROW, _A_K, _B_K, _C_ROW, _ADD, _STEP = (
    "%rsi", "%rdx", "%rcx", "%r8", "%r9", "%r12", "%rbx", "%r13", "%r14", "%r15",
)  # fmt: skip
_SAVED = (_A_K, _B_K, _C_ROW, _ADD, _STEP)


def can_assemble(dtype: DType, isa: Isa) -> bool:
    """Whether there is such a kernel for a level, and an assembler on this machine."""
    return (
        dtype in (float32, float64)
        and isa.machine == host_machine() == "x86_64"
        and "linux" in isa.triple
        and isa.fma
    )


class AssembledKernel(Emitter):
    """A micro-kernel of `rows` by `vectors` vectors; see `micro_kernel`.

    Args:
        name: Of the function.
        parameters: Of the function.
        dtype: What it multiplies and adds.
        tile: Rows, and columns in vectors.
        isa: The level.
        ahead: For one that streams b, rows of it from what is read to what is fetched.
        unroll: Products in a step of the loop.
        fetches: Products to a prefetch.
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
        fetches: int,
    ) -> None:
        super().__init__(name, parameters)
        self.rows, self.vectors = tile
        self.ahead, self.unroll, self.fetches = ahead, unroll, fetches
        self.file = "zmm" if isa.vector_bits == 512 else "ymm"
        self.bytes, self.shift = isa.vector_bits // 8, dtype.itemsize.bit_length() - 1
        self.broadcast, self.type = ("ss", "ps") if dtype is float32 else ("sd", "pd")
        self.sums = [self._register(isa.registers - 1 - k) for k in range(self.rows * self.vectors)]
        self._write()

    def text(self) -> str:
        """The function as assembly in LLVM's text, with its declaration."""
        return self._text

    @functools.cached_property
    def _text(self) -> str:
        head = [
            f".section .text.{self.name},\\22ax\\22,@progbits",
            f".globl {self.name}",
            f".hidden {self.name}",
            ".p2align 4",
            f".type {self.name},@function",
            f"{self.name}:",
        ]
        lines = [*head, *self.lines, f".size {self.name}, .-{self.name}"]
        assembly = "\n".join(f'module asm "{line}"' for line in lines)
        types = ", ".join(t for t, _ in self.parameters)
        return f"{assembly}\ndeclare hidden void @{self.name}({types})\n"

    def _register(self, number: int) -> str:
        return f"%{self.file}{number}"

    def _write(self) -> None:
        self._enter()
        for register in self.sums:
            self.line(f"vxor{self.type} {register}, {register}, {register}")
        if self.unroll > 1:
            self._loop(self.unroll, fetches=self.fetches)
        self._loop(1, fetches=0)
        self._keep()
        for register in reversed(_SAVED):
            self.line(f"pop {register}")
        self.line("vzeroupper")
        self.line("ret")

    def _enter(self) -> None:
        for register in _SAVED:
            self.line(f"push {register}")
        loads = enumerate((_A_ROW, _A_K, _B_K, _C_ROW, _ADD, _STEP))
        for k, register in reversed(list(loads)):  # the first is in the place of their address
            self.line(f"mov {8 * k}({_A_ROW}), {register}")
        for register in (_A_ROW, _A_K, _B_K, _C_ROW):
            self.line(f"shl ${self.shift}, {register}")
        self.line(f"mov {_C}, %rax")
        for row in range(self.rows):
            if row:
                self.line(f"add {_C_ROW}, %rax")
            for v in range(self.vectors):
                self.line(f"prefetcht0 {v * self.bytes}(%rax)")
        for before, base in itertools.pairwise(_BASES[: -(-self.rows // len(_ROWS))]):
            self.line(f"lea ({before},{_A_ROW},2), {base}")
            self.line(f"add {_A_ROW}, {base}")
        if self.ahead:
            self.line(f"imul ${self.ahead}, {_B_K}, {_AHEAD}")
            self.line(f"add {_B}, {_AHEAD}")
        else:
            self.line(f"imul ${self.rows * self.fetches}, {_STEP}")

    def _loop(self, unroll: int, *, fetches: int) -> None:
        """As many steps of `unroll` products as are left, which fetch once in `fetches`, if any."""
        again, done = (f".L{self.name}.{self.fresh('l')}" for _ in range(2))
        self.line(f"sub ${unroll}, {_LEFT}")
        self.line(f"jl {done}")
        self.line(".p2align 4")
        self.line(f"{again}:")
        self.line(f".rept {unroll // max(fetches, 1)}")
        for k in range(max(fetches, 1)):
            self._product(fetches=fetches > 0 and k == 0)
        if fetches and not self.ahead:
            self.line(f"add {_STEP}, {_AHEAD}")
        self.line(".endr")
        self.line(f"sub ${unroll}, {_LEFT}")
        self.line(f"jge {again}")
        self.line(f"{done}:")
        self.line(f"add ${unroll}, {_LEFT}")

    def _product(self, *, fetches: bool) -> None:
        """One k of the tile."""
        if self.ahead or fetches:
            for v in range(self.vectors if self.ahead else 1):
                self.line(f"prefetcht1 {v * self.bytes}({_AHEAD})")
        columns = [f"{v * self.bytes}({_B})" for v in range(self.vectors)]
        if self.rows > 1:  # else each is used once, from memory
            for v, place in enumerate(columns):
                self.line(f"vmovu{self.type} {place}, {self._register(v)}")
            columns = [self._register(v) for v in range(self.vectors)]
        spread = self._register(self.vectors if self.rows > 1 else 0)
        for row in range(self.rows):
            place = f"({_BASES[row // len(_ROWS)]}{_ROWS[row % len(_ROWS)]})"
            self.line(f"vbroadcast{self.broadcast} {place}, {spread}")
            for v, column in enumerate(columns):
                total = self.sums[row * self.vectors + v]
                self.line(f"vfmadd231{self.type} {column}, {spread}, {total}")
        for base in _BASES[: -(-self.rows // len(_ROWS))]:
            self.line(f"add {_A_K}, {base}")
        self.line(f"add {_B_K}, {_B}")
        if self.ahead:
            self.line(f"add {_B_K}, {_AHEAD}")

    def _keep(self) -> None:
        """Stores the sums, or adds them to what is there."""
        store = f".L{self.name}.store"
        self.line(f"test {_ADD}, {_ADD}")
        self.line(f"je {store}")
        self.line(f"mov {_C}, %rax")
        self._each_place("%rax", "vadd{type} {place}, {sum}, {sum}")
        self.line(f"{store}:")
        self._each_place(_C, "vmovu{type} {sum}, {place}")

    def _each_place(self, pointer: str, instruction: str) -> None:
        for k, total in enumerate(self.sums):
            row, v = divmod(k, self.vectors)
            if row and not v:
                self.line(f"add {_C_ROW}, {pointer}")
            place = f"{v * self.bytes}({pointer})"
            self.line(instruction.format(type=self.type, place=place, sum=total))
