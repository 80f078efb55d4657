"""The base of classes whose instances pass their calls on to native entries.

An instance begins with two words that Python does not see: the function that a call goes to, null
until it has an entry, and what all entries share. A call of an instance without one runs `__call__`
of its class.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dlc.ir.deferred import deferred
from dlc.ir.logs import TopicLog
from dlc.runtime.native import entry_layout as layout
from dlc.runtime.native.support import address_of
from dlc.runtime.object_layout import Unsupported, make_type, peek, poke, slot_offset

# Not needed by a process that calls nothing twice.
if TYPE_CHECKING:
    from dlc.runtime import entry_type
    from dlc.runtime.entry import Entry
else:
    entry_type = deferred("dlc.runtime.entry_type")

_log = TopicLog("code")

_TP_CALL: Final = 50
_DEFAULT, _VECTORCALL, _MAY_BE_BASE = 1 << 18, 1 << 11, 1 << 10

# PyTypeObject: compared with the running interpreter before they are used.
_TP_BASICSIZE, _TP_VECTORCALL_OFFSET, _TP_FLAGS = 32, 56, 168

Class = TypeVar("Class", bound="type[Dispatching]")


def _make_base() -> type:
    # Objects of free-threaded builds are larger.
    if sys.implementation.name != "cpython" or object.__basicsize__ != 16:
        return type("Dispatching", (), {"__slots__": ()})
    return make_type(
        "dlc.runtime.dispatch.Dispatching",
        layout.CALLABLE_SIZE,
        _DEFAULT | _VECTORCALL | _MAY_BE_BASE,
        {_TP_CALL: address_of(ctypes.pythonapi.PyVectorcall_Call)},
        {"__vectorcalloffset__": layout.CALLABLE["vectorcall"]},
    )


if TYPE_CHECKING:

    class Dispatching:
        """Derive from it with the slots `_entry` and `_python` (what serves other calls) only."""

        __slots__ = ("_entry", "_python")
        _entry: Any
        _python: Any
else:
    Dispatching = _make_base()


@functools.cache
def _can_dispatch(cls: type) -> bool:
    """Makes calls of instances look at their first word; says whether they do."""
    first = next((c for c in cls.__mro__ if "__call__" in vars(c)), None)
    if first is None or "_entry" not in vars(first):
        return False  # derived, and calls mean something else
    try:
        _check_layout(cls)
    except Unsupported as error:
        _log.warning("calls go through Python: %s", error)
        return False
    at = id(cls) + _TP_FLAGS
    poke(at, peek(at) | _VECTORCALL)
    return True


def _check_layout(cls: type) -> None:
    at, offsets = id(cls), layout.CALLABLE
    expected = (
        peek(at + _TP_FLAGS) == cls.__flags__
        and peek(at + _TP_BASICSIZE) == cls.__basicsize__
        and peek(at + _TP_VECTORCALL_OFFSET) == offsets["vectorcall"]
        and slot_offset(cls, "_entry") == offsets["entry"]
        and slot_offset(cls, "_python") == offsets["python"]
    )
    if not expected:
        raise Unsupported(f"{cls.__name__} has an unknown layout")


def dispatch(instance: Dispatching, entry: Entry) -> None:
    """Let calls of an instance go to an entry while its conditions hold, else to `_python`."""
    instance._entry = entry
    support = entry_type.native_support()
    if support is not None and _can_dispatch(type(instance)):
        poke(id(instance) + layout.CALLABLE["api"], support.api)
        poke(id(instance) + layout.CALLABLE["vectorcall"], support.dispatch)
