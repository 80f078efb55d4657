"""What was made and used last, by key: of the rest, nothing is held."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from dlc.ir.locks import make_lock

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The values that were asked for last, at most so many; threads may share it.

    Args:
        most: How many it holds.

    Example:
        >>> squares = Recent(most=2)
        >>> squares.keep(3, 9), squares.get(3), squares.get(4)
        (9, 9, None)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = make_lock()

    def get(self, key: Hashable) -> Value | None:
        """The value of a key, which counts as used now; None where there is none."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def keep(self, key: Hashable, made: Value) -> Value:
        """Holds a value; returns the one that another thread kept first, if any."""
        with self._lock:
            found = self._held.setdefault(key, made)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
            return found

    def __iter__(self) -> Iterator[Hashable]:
        """The keys, the one that was used longest ago first."""
        with self._lock:
            return iter(list(self._held))

    def clear(self) -> None:
        """Holds nothing from now on."""
        with self._lock:
            self._held.clear()
