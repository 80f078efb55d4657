"""Call entries: callables that run a compiled program at the price of a C function.

An entry looks at its arguments in native code. If they are what its program was compiled for, it
allocates the results, runs the program and wraps the results; otherwise it calls its fallback, a
Python function that finds or compiles another program.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import types
from collections.abc import Callable
from typing import Any, Protocol, cast

from dlc.runtime.entry_memory import EntryMemory
from dlc.runtime.entry_plan import EntryPlan, TensorLayout
from dlc.runtime.entry_type import NativeSupport, native_support
from dlc.runtime.native import entry_layout as layout
from dlc.runtime.object_layout import Unsupported, peek, poke


class Entry(Protocol):
    """What `make_entry` returns; it binds as a method and takes any attribute."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program, or the fallback."""
        ...


class PythonEntry:
    """An entry where there are no native ones: always calls the fallback."""

    def __init__(self, fallback: Callable[..., Any]) -> None:
        self._fallback = fallback
        self._calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the fallback."""
        self._calls += 1
        return self._fallback(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind as a function does."""
        return self if instance is None else types.MethodType(self, instance)


def make_entry(
    plan: EntryPlan,
    tensor: TensorLayout,
    fallback: Callable[..., Any],
    wrapped: Callable[..., Any] | None = None,
) -> Entry:
    """Make the callable of a compiled program.

    Args:
        plan: What a call does.
        tensor: The class of arguments and results.
        fallback: Called with the same arguments when they are not what the plan asks for.
        wrapped: The user's function, whose name and documentation the entry takes.

    Example:
        >>> entry = make_entry(plan, TensorLayout(Tensor), fallback=dispatch, wrapped=f)
        >>> y = entry(x, w)
    """
    support = native_support()
    entry: Entry = PythonEntry(fallback)
    if support is not None:
        # A tensor class with an unusual layout: the fallback serves all calls.
        with contextlib.suppress(Unsupported):
            entry = _native_entry(support, plan, tensor, fallback)
    if wrapped is not None:
        functools.update_wrapper(entry, wrapped)
    return entry


def set_bypass(active: bool) -> None:
    """Send all calls to the fallbacks, while tapes, traces or checks are active."""
    support = native_support()
    if support is not None:
        support.set_bypass(active)


def call_counts(entry: Entry) -> tuple[int, int]:
    """Count the calls that an entry served natively, and those that its fallback served."""
    if isinstance(entry, PythonEntry):
        return 0, entry._calls  # pyright: ignore[reportPrivateUsage]
    config = peek(id(entry) + layout.OBJECT["config"])
    counts = peek(config + layout.CONFIG["counts"])
    return peek(counts), peek(counts + 8)


def _native_entry(
    support: NativeSupport, plan: EntryPlan, tensor: TensorLayout, fallback: Callable[..., Any]
) -> Entry:
    memory = EntryMemory(plan, tensor, fallback)
    # A tuple, which the garbage collector sees through but never empties before the entry's turn.
    owner = tuple(memory.kept)
    _prepare_type(support.type)
    allocate = ctypes.pythonapi.PyType_GenericAlloc
    allocate.restype, allocate.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_ssize_t]
    entry = allocate(support.type, 0)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))
    fields = {
        "vectorcall": support.vectorcall,
        "api": support.api,
        "config": memory.address,
        "owner": id(owner),
    }
    for name, value in fields.items():
        poke(id(entry) + layout.OBJECT[name], value)
    return cast(Entry, entry)


@functools.cache
def _prepare_type(entry_type: type) -> None:
    def bind(self: Any, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def describe(self: Any) -> str:
        name = getattr(self, "__qualname__", None)
        return f"<compiled function {name}>" if name else "<compiled program>"

    setattr(entry_type, "__get__", bind)  # noqa: B010  the type's stub has no such attribute
    setattr(entry_type, "__repr__", describe)  # noqa: B010
