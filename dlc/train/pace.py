"""`Pace`: how many steps are run before anything looks up from them."""

from __future__ import annotations

import time

_SECONDS = 0.03  # of steps that are run together: Ctrl-C waits for so long
_MOST = 64


class Pace:
    """Counts steps: beside short ones, to look up after each costs a part of their time.

    Args:
        unit: Steps that are seen as one.
        hurried: Whether as many units are run together as take some milliseconds; else one is.
        lately: The seconds that a step took, if that is known.
    """

    def __init__(self, unit: int, hurried: bool, lately: float = 0.0) -> None:
        self._unit, self._hurried, self._lately = unit, hurried, lately
        self._since, self._done = 0.0, -1

    def steps(self, done: int) -> int:
        """How many come next, after those that are done: to the end of a unit.

        Call it once for them; the time in between is theirs.
        """
        unit = self._unit
        if not self._hurried:
            return unit - done % unit
        lately = self.note(done)
        count = min(int(_SECONDS / lately), _MOST) if lately else 1
        return max(count // unit, 1) * unit - done % unit

    def note(self, done: int) -> float:
        """The seconds that each step took of the last ones, up to those that are done."""
        if self._hurried and done != self._done:
            now = time.perf_counter()
            if self._done >= 0:
                self._lately = (now - self._since) / (done - self._done)
            self._since, self._done = now, done
        return self._lately
