"""Rows of a matrix in assembled code: three from each of a few pointers, by none to two strides."""

from __future__ import annotations

import itertools

from dlc.codegen.cpu.x86_assembly import Assembly
from dlc.codegen.cpu.x86_code import Code, Memory

_ROWS_OF_A_POINTER = 3
_POINTERS = ("rdi", "rax", "r10", "r11")


class RowPointers:
    """Pointers to the rows of a matrix whose address is in rdi, the first parameter.

    Args:
        rows: Their number, at most 12.
        stride: The register with the bytes from one row to the next.
    """

    def __init__(self, rows: int, stride: str) -> None:
        self.stride = stride
        self.pointers = _POINTERS[: -(-rows // _ROWS_OF_A_POINTER)]

    def set_up(self, code: Code | Assembly) -> None:
        """Makes the pointers after the first."""
        for before, pointer in itertools.pairwise(self.pointers):
            code.address(pointer, Memory(before, self.stride, 2))
            code.add(pointer, self.stride)

    def place(self, row: int, offset: int = 0) -> Memory:
        """Where a row is, `offset` bytes on."""
        pointer, strides = _POINTERS[row // _ROWS_OF_A_POINTER], row % _ROWS_OF_A_POINTER
        if not strides:
            return Memory(pointer, offset=offset)
        return Memory(pointer, self.stride, strides, offset)
