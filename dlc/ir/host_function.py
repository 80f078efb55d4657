"""Python functions as attributes of nodes: what `debug.callback` and `pure_callback` call.

In text one is a name such as `@callback.3`, which only means something in its process: programs
that call one are not stored.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import Any

from dlc.ir.core import Function, all_nodes
from dlc.ir.locks import make_lock

_PREFIX = "callback."
_numbers = itertools.count(1)
_lock = make_lock()


class HostFunction:
    """A Python function that programs call. Compared by identity.

    Args:
        call: The function.
    """

    __slots__ = ("__weakref__", "call", "text")

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call
        with _lock:
            self.text = f"@{_PREFIX}{next(_numbers)}"
            _known[self.text] = self

    @property
    def name(self) -> str:
        """The name that the user gave it."""
        return getattr(self.call, "__qualname__", type(self.call).__name__)

    def __repr__(self) -> str:
        return self.text


_known: weakref.WeakValueDictionary[str, HostFunction] = weakref.WeakValueDictionary()
_made: weakref.WeakKeyDictionary[Any, weakref.ref[HostFunction]] = weakref.WeakKeyDictionary()


def host_function(call: Callable[..., Any]) -> HostFunction:
    """The attribute for a Python function: the same one while some program has it."""
    try:
        with _lock:
            held = _made.get(call)
            found = None if held is None else held()
            if found is None:
                found = HostFunction(call)
                _made[call] = weakref.ref(found)
            return found
    except TypeError:  # no weak references to it, or no hash
        return HostFunction(call)


def known_function(text: str) -> HostFunction | None:
    """The function of a name in text; None where it is another process's, or gone."""
    return _known.get(text)


def called_functions(function: Function) -> list[HostFunction]:
    """The Python functions that a function calls."""
    values = (v for n in all_nodes(function) for v in n.attrs.values())
    return [v for v in values if isinstance(v, HostFunction)]
