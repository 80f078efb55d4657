"""Compilations without pauses for garbage collection.

A compilation makes many objects and drops most of them by their counts. The collector, which such
numbers set off, would walk over everything that the process holds: several times what it takes to
compile a kernel.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def no_collection() -> Generator[None]:
    """Collects no garbage inside a `with`, unless another thread turns the collector on again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
