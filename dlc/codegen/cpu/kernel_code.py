"""The code of one kernel: its functions, and how to cut its work and size its scratch memory."""

from __future__ import annotations

from dlc.codegen.cpu.emit import Emitter
from dlc.ir.dims import Dim
from dlc.ir.record import dataclass


@dataclass(frozen=True)
class KernelCode:
    """A kernel as LLVM functions.

    Args:
        emitters: The functions, the entry among them; none refers to an external symbol.
        entry: Name of the function `void entry(ptr args, ptr dims, i64 lo, i64 hi, ptr scratch)`.
        units: How many work units there are, over the kernel's dims; `[lo, hi)` is a range of them.
        chunk: How many units to hand to a worker at a time, over the kernel's dims and
            `stored_code.THREADS`.
        scratch: Bytes of scratch memory that a worker needs, 64-byte aligned.
        cost: About the time of all units on one thread, in hundredths of a nanosecond.
    """

    emitters: list[Emitter]
    entry: str
    units: Dim
    chunk: Dim
    scratch: Dim
    cost: Dim
