"""Losses that layers add while they are called, such as those of regularisation.

`Module.add_loss` adds to the collection that is open; `fit` opens one around each step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Hashable
from contextvars import ContextVar
from typing import Any

_open: ContextVar[dict[Hashable, Any] | None] = ContextVar("dlc.added_losses", default=None)


class AddedLosses:
    """What was added while a collection was open."""

    def __init__(self, found: dict[Hashable, Any]) -> None:
        self._found = found

    def total(self) -> Any:
        """Their sum; 0 where there are none."""
        return sum(self._found.values())


@contextlib.contextmanager
def collect_losses() -> Generator[AddedLosses]:
    """Collects what layers add by `add_loss`, for loops of one's own.

    Example:
        >>> layer = dlc.nn.Dense(1, kernel_initializer="ones", kernel_regularizer="l2")
        >>> with dlc.train.collect_losses() as added:
        ...     _ = layer(dlc.ones((2, 3)))
        >>> round(added.total().item(), 4)
        0.03
    """
    found: dict[Hashable, Any] = {}
    token = _open.set(found)
    try:
        yield AddedLosses(found)
    finally:
        _open.reset(token)


def are_collected() -> bool:
    """Whether a collection is open."""
    return _open.get() is not None


def add(value: Any, key: Hashable = None) -> None:
    """Adds a scalar to the open collection, if there is one.

    Args:
        value: The scalar.
        key: What it belongs to: of values with one key the last one counts.
    """
    found = _open.get()
    if found is not None:
        found[object() if key is None else key] = value


def has(key: Hashable) -> bool:
    """Whether the open collection has something with this key."""
    return key in (_open.get() or ())


def take() -> Any:
    """The sum of what has been added, which is then taken out; 0 where there is nothing."""
    found = _open.get()
    if not found:
        return 0
    total = sum(found.values())
    found.clear()
    return total
