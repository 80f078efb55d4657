"""What happens to whole panels of matrices, as machine code: a copy of rows, a sum.

Parameters of functions arrive in registers rdi, rsi, rdx, rcx, r8 and r9, in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.codegen.cpu.assembled_function import AssembledFunction
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.x86_assembly import Assembly
from dlc.codegen.cpu.x86_code import Code, Memory
from dlc.ir.types import DType

_FIRST, _SECOND, _LEFT = "rax", "r10", "r11"  # places in two rows, and what is left of them


class RowsCopied(AssembledFunction):
    """Rows to other rows: dst, src, rows, columns, dst_row, src_row (see `packing`).

    Args:
        name: Of the function.
        parameters: Of the function.
        dtype: The elements.
        isa: The level.
        padded: Whether the last vector of a row is filled up with zeros.
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[tuple[str, str]],
        dtype: DType,
        isa: Isa,
        *,
        padded: bool = True,
    ) -> None:
        super().__init__(name, parameters, dtype, isa, (padded,))
        self.padded = padded

    def write(self, code: Code | Assembly) -> None:
        """Writes the function."""
        dst, src, rows, columns, dst_row, src_row = "rdi", "rsi", "rdx", "rcx", "r8", "r9"
        self._mask(code, columns)

        def copy() -> None:
            code.load_vector(0, Memory(_SECOND))
            code.store_vector(Memory(_FIRST), 0)

        def rest() -> None:
            if code.wide:
                code.load_masked(0, Memory(_SECOND))
                (code.store_vector if self.padded else code.store_masked)(Memory(_FIRST), 0)
                return
            if self.padded:  # stale scratch may hold denormals, which are slow to calculate with
                code.clear(0)
                code.store_vector(Memory(_FIRST), 0)
            code.loop("g", element)

        def element() -> None:
            code.load_element(0, Memory(_SECOND))
            code.store_element(Memory(_FIRST), 0)
            for place in (_FIRST, _SECOND):
                code.add_number(place, self.dtype.itemsize)
            code.subtract_number(_LEFT, 1)

        def row() -> None:
            code.move(_LEFT, columns)
            self._vectors(code, copy)
            code.skip("e", rest)

        self._rows(code, rows, [(dst, dst_row), (src, src_row)], row)

    def _mask(self, code: Code | Assembly, columns: str) -> None:
        """A mask of what is left of a row after whole vectors, where there are masks."""
        if code.wide:
            code.move(_FIRST, columns)
            code.and_number(_FIRST, self._lanes - 1)
            code.mask_below(_FIRST, _LEFT)

    @property
    def _lanes(self) -> int:
        return self.vector_bytes // self.dtype.itemsize

    def _vectors(self, code: Code | Assembly, write: Callable[[], None]) -> None:
        """Whole vectors of a row; then compares what is left with 0."""

        def vector() -> None:
            write()
            for place in (_FIRST, _SECOND):
                code.add_number(place, self.vector_bytes)
            code.subtract_number(_LEFT, self._lanes)

        code.subtract_number(_LEFT, self._lanes)
        code.skip("l", lambda: code.loop("ge", vector))
        code.add_number(_LEFT, self._lanes)

    def _rows(
        self,
        code: Code | Assembly,
        rows: str,
        places: list[tuple[str, str]],
        write: Callable[[], None],
    ) -> None:
        """Each row, between two `places` with the elements from one row to the next."""

        def row() -> None:
            for (place, _), own in zip(places, (_FIRST, _SECOND), strict=True):
                code.move(own, place)
            write()
            for place, stride in places:
                code.add(place, stride)
            code.subtract_number(rows, 1)

        for _, stride in places:
            code.shift_left(stride, self.shift)
        code.test(rows)
        code.skip("le", lambda: code.loop("g", row))
        code.leave()


class RowsAdded(RowsCopied):
    """One panel to another: c, s, rows, columns, c_row, s_row (see `add_panel`)."""

    def write(self, code: Code | Assembly) -> None:
        """Writes the function."""
        c, s, rows, columns, c_row, s_row = "rdi", "rsi", "rdx", "rcx", "r8", "r9"
        self._mask(code, columns)

        def add() -> None:
            code.load_vector(0, Memory(_FIRST))
            code.add_vector(0, Memory(_SECOND))
            code.store_vector(Memory(_FIRST), 0)

        def rest() -> None:
            code.load_masked(0, Memory(_FIRST))
            code.load_masked(1, Memory(_SECOND))
            code.add_vector(0, 1)
            code.store_masked(Memory(_FIRST), 0)

        def row() -> None:
            code.move(_LEFT, columns)
            if code.wide:
                self._vectors(code, add)
                code.skip("e", rest)
                return
            # A last vector is whole, too.
            code.add_number(_LEFT, self._lanes - 1)
            self._vectors(code, add)

        self._rows(code, rows, [(c, c_row), (s, s_row)], row)
