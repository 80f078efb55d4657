"""Writes that would be lost: into tensors that nothing holds, as `x[0]` in `x[0][1] = 5`."""

from __future__ import annotations

from sys import getrefcount
from types import FrameType
from typing import TYPE_CHECKING, Any

from dlc.ir.deferred import deferred

# Only when a write may be lost.
if TYPE_CHECKING:
    import opcode
else:
    opcode = deferred("opcode")


class _Counting:
    """Counts the references to itself where it is written to, as a tensor does."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def __setitem__(self, index: Any, value: Any) -> None:
        self.counts.append(getrefcount(self))


def _references_of_unheld() -> int:
    """How many references a tensor has that only the statement refers to which writes to it.

    None where one with a name has as many: from Python 3.14 on, the stack borrows from names.
    """
    counts: list[int] = []
    held = _Counting(counts)
    held[0] = 0
    _Counting(counts)[0] = 0
    return counts[1] if counts[1] < counts[0] else 0


UNHELD = _references_of_unheld()


def stores_item(frame: FrameType) -> bool:
    """Whether a frame is at `x[i] = v`: compiled extensions, which have none, borrow too."""
    return frame.f_code.co_code[frame.f_lasti] == opcode.opmap["STORE_SUBSCR"]
