"""`StepCounts`: how many steps each parameter has had, where that is counted for each.

PyTorch counts the steps of each parameter: those in which it has no gradient are none of its own.
Here all have the optimizer's count, less what those that ever missed a step have missed. As long as
none has, there is nothing beside the one count, in programs neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.frontend.context import observe_now
from dlc.frontend.trace import eager
from dlc.ir.record import NamedTuple


class _Missed(NamedTuple):
    """The numbers of parameters that ever missed an update, and how many each of all missed."""

    late: frozenset[int]
    updates: dlc.Variable


class StepCounts:
    """The updates that parameters missed; programs made when fewer ever did are made anew."""

    __slots__ = ("_missed",)

    def __init__(self) -> None:
        self._missed: _Missed | None = None

    def add(self, number: int, updates: int) -> None:
        """Takes one more parameter, which comes after so many updates of the others."""
        if updates or self._missed is not None:
            missed = self._sized(number + 1)
            late = missed.late.union([number] if updates else [])
            own = np.zeros(number + 1, np.int32)
            own[number] = updates
            with eager():
                missed.updates.assign_add(own)
            self._missed = _Missed(late, missed.updates)

    def expect(self, numbers: Iterable[int], size: int) -> None:
        """Says which parameters, of so many, miss an update or have missed some."""
        late = frozenset(numbers)
        if self._missed is None or not late <= self._missed.late:
            missed = self._sized(size)
            self._missed = _Missed(late | missed.late, missed.updates)

    def _sized(self, size: int) -> _Missed:
        """What so many parameters missed; the last of them nothing yet."""
        if self._missed is not None and self._missed.updates.shape[0] == size:
            return self._missed
        late, held = frozenset[int](), np.zeros(0, np.int32)
        with eager():  # it outlives the program that is being traced
            if self._missed is not None:
                late, held = self._missed.late, self._missed.updates.numpy()
            padded = np.pad(held, (0, size - len(held)))
            return _Missed(late, dlc.Variable(padded, name="missed"))

    def missed_by(self, number: int) -> Any:
        """The updates that a parameter missed; None for one that never missed any."""
        missed: _Missed | None = observe_now(self, "_missed")
        if missed is None or number not in missed.late:
            return None
        return missed.updates.value()[number]

    def miss(self, numbers: Sequence[int], updates: Any) -> None:
        """Adds so many updates to what parameters missed."""
        missed: _Missed = observe_now(self, "_missed")
        chosen = np.zeros(missed.updates.shape[0], np.int32)
        chosen[list(numbers)] = 1
        missed.updates.assign_add(updates * dlc.asarray(chosen))

    def state(self) -> dict[str, dlc.Variable]:
        """The state by name: nothing while no parameter has missed an update."""
        return {} if self._missed is None else {"missed": self._missed.updates}
