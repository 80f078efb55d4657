"""Locks and `fork`: a lock that another thread holds at that moment would stay locked in the child.

Locks around data that is whole between any two statements are made by `make_lock`: in a child they
are free. Locks around what must not be cut in two, such as a running update of variables, are
passed to `hold_during_fork`: a fork waits for them.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_free_in_child: weakref.WeakSet[Any] = weakref.WeakSet()


def make_lock() -> threading.RLock:
    """A re-entrant lock that is free in a forked child, unless the thread that forked holds it."""
    lock = threading.RLock()
    _free_in_child.add(lock)
    return lock


def hold_during_fork(lock: Any) -> None:
    """Lets forks wait for `lock`, and gives it back on both sides.

    Args:
        lock: A lock of the `threading` module, which lives as long as the process.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )


def _after_fork() -> None:
    for lock in list(_free_in_child):
        if not lock._is_owned():
            lock._at_fork_reinit()  # as `logging` does with its locks


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
