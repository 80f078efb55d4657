"""Functions that are written as x86-64 machine code: they need no compiler and no assembler."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence

from dlc.codegen.cpu.blob import MIN_ALIGNMENT, Blob
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa, host_machine
from dlc.codegen.cpu.pieces import Piece
from dlc.codegen.cpu.x86_assembly import Assembly
from dlc.codegen.cpu.x86_code import Code
from dlc.ir.types import DType, float32, float64


def can_assemble(dtype: DType, isa: Isa) -> bool:
    """Whether there are such functions for a level, and an assembler here for their text."""
    return (
        dtype in (float32, float64)
        and isa.machine == host_machine() == "x86_64"
        and "linux" in isa.triple
        and isa.fma
    )


def has_masks(dtype: DType, isa: Isa) -> bool:
    """Whether such functions can read the first lanes of a vector alone."""
    return can_assemble(dtype, isa) and isa.vector_bits == 512


class AssembledFunction(Emitter):
    """A function that writes its machine code, and its assembly for readers, in the same way.

    Args:
        name: Of the function.
        parameters: Of the function.
        dtype: The elements of its vectors.
        isa: The level.
        kind: What else its code depends on, besides its class.
    """

    needs_compiler = False

    def __init__(
        self,
        name: str,
        parameters: Sequence[tuple[str, str]],
        dtype: DType,
        isa: Isa,
        kind: tuple[int, ...],
    ) -> None:
        super().__init__(name, parameters)
        self.dtype, self.isa, self.kind = dtype, isa, kind
        self.shift = dtype.itemsize.bit_length() - 1
        self.vector_bytes, self.double = isa.vector_bits // 8, dtype is float64

    @abstractmethod
    def write(self, code: Code | Assembly) -> None:
        """Writes the function."""

    def assembled(self) -> Piece:
        """The code, which nobody has to compile."""
        return self._piece

    def key(self) -> str:
        """What tells it from all others, without its code being written for that."""
        return f"{type(self).__name__} {self.name} {self.dtype} {self.isa.name} {self.kind}"

    def text(self) -> str:
        """The function as assembly in LLVM's text, with its declaration."""
        assembly = Assembly(self.name, self.isa.vector_bits, double=self.double)
        self.write(assembly)
        head = [
            f".section .text.{self.name},\\22ax\\22,@progbits",
            f".globl {self.name}",
            f".hidden {self.name}",
            ".p2align 4",
            f".type {self.name},@function",
            f"{self.name}:",
        ]
        lines = [*head, *assembly.lines, f".size {self.name}, .-{self.name}"]
        module = "\n".join(f'module asm "{line}"' for line in lines)
        types = ", ".join(t for t, _ in self.parameters)
        return f"{module}\ndeclare hidden void @{self.name}({types})\n"

    @functools.cached_property
    def _piece(self) -> Piece:
        code = Code(self.isa.vector_bits, double=self.double)
        self.write(code)
        blob = Blob(bytes(code.bytes), {self.name: 0}, MIN_ALIGNMENT, self.isa.machine)
        return Piece(blob)
