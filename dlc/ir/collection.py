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


@contextlib.contextmanager
def no_collection() -> Generator[None]:
    """Collects no garbage inside a `with`, unless another thread turns the collector on again.

    Where modules are loaded inside, most of what is made stays: the collector then counts it among
    what is old at once, where it would walk over all of it next.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    modules = len(sys.modules)
    try:
        yield
    finally:
        if len(sys.modules) > modules and not gc.get_freeze_count():  # else that is the user's
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        gc.enable()
