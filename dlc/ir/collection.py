"""Compilations without pauses for garbage collection.

A compilation makes many objects and drops most of them by their counts. The collector, which such
numbers set off, would walk over everything that the process holds: several times what it takes to
compile a kernel.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Generator

_MANY = 10_000  # objects that are worth it to be counted among what is old
_MOST = 500_000  # so counted since the collector has last looked there: some may be garbage


class _Aged:
    """How many objects were counted among what is old since the last walk over that."""

    def __init__(self) -> None:
        self.count = self.collections = 0

    def add(self, count: int) -> bool:
        """Counts more, unless that makes too many that the collector has never seen."""
        collections = gc.get_stats()[-1]["collections"]
        if collections != self.collections:
            self.count, self.collections = 0, collections
        if self.count + count > _MOST:
            return False
        self.count += count
        return True


_aged = _Aged()


@contextlib.contextmanager
def no_collection() -> Generator[None]:
    """Collects no garbage inside a `with`, unless another thread turns the collector on again.

    Where modules are loaded inside, or very much is left, most of that stays: the collector then
    counts it among what is old at once, where it would walk over all of it next.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    modules = len(sys.modules)
    try:
        yield
    finally:
        left = gc.get_count()[0]
        lasts = len(sys.modules) > modules or left > _MANY
        # What is frozen is the user's.
        if lasts and not gc.get_freeze_count() and _aged.add(left):
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        gc.enable()
