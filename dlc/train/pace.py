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
        lately: The seconds that a step took, if that is known; it is kept up to date.
    """

    def __init__(self, unit: int, hurried: bool, lately: float = 0.0) -> None:
        self._unit, self._hurried, self.lately = unit, hurried, lately
        self._since, self._done = 0.0, -1

    def steps(self, done: int) -> int:
        """How many come next, after those that are done: to the end of a unit.

        Call it once for them; the time in between is theirs.
        """
        unit = self._unit
        if not self._hurried:
            return unit - done % unit
        now = time.perf_counter()
        if self._done >= 0:
            self.lately = (now - self._since) / (done - self._done)
        self._since, self._done = now, done
        count = min(int(_SECONDS / self.lately), _MOST) if self.lately else 1
        return max(count // unit, 1) * unit - done % unit
