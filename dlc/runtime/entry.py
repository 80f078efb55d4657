"""Call entries: callables that run a compiled program at the price of a C function.

An entry looks at its arguments in native code. If they are what its program was compiled for, it
allocates the results, runs the program and wraps the results; otherwise it calls its fallback, a
Python function that finds or compiles another program.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import types
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from dlc.runtime.entry_type import (
    NativeSupport,
    Unsupported,
    native_support,
    peek,
    poke,
    slot_offset,
)
from dlc.runtime.native import entry_layout as layout
from dlc.runtime.program_table import work_area_bytes
from dlc.runtime.threads import pool

_SCALAR_KINDS = {
    "float32": layout.F32,
    "float64": layout.F64,
    "int32": layout.I32,
    "int64": layout.I64,
    "bool": layout.BOOL,
}


@dataclass(frozen=True)
class ArrayParameter:
    """A tensor argument: C-contiguous, of exactly this shape and dtype.

    Args:
        slot: Slot of the program that takes its address.
        shape: Its extents.
        dtype: Its NumPy dtype.
        alignment: What its address must be a multiple of, a power of two.
        accepts_arrays: Whether a NumPy array may be given in place of a tensor.
    """

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    alignment: int = 1
    accepts_arrays: bool = False


@dataclass(frozen=True)
class ScalarParameter:
    """A Python scalar argument: float for a float dtype, int that fits for an int, bool for bool.

    Args:
        slot: Slot of the program that takes the address of its value.
        dtype: float32, float64, int32, int64 or bool.
    """

    slot: int
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Result:
    """A result: a fresh array, wrapped in a tensor.

    Args:
        slot: Slot of the program that takes its address.
        shape: Its extents.
        dtype: Its NumPy dtype.
    """

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class TensorLayout:
    """How to take a tensor apart and make one.

    Args:
        cls: A Python class with `__slots__`; only its own instances are accepted, not a subclass's.
        data: The slot with the NumPy array.
        defaults: What other slots of a new tensor hold; those not named stay unset.
        required: What slots of an argument must hold, the very objects; others go to the fallback.
    """

    cls: type
    data: str = "_data"
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    required: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class Conditions:
    """What must be so when an object that dispatches to an entry is called.

    Args:
        variables: Context variables, each with the very object that it must hold.
        attributes: Attributes of `__slots__`, as object and name, with the very object to be held.
    """

    variables: Sequence[tuple[ContextVar[Any], object]] = ()
    attributes: Sequence[tuple[object, str, object]] = ()


@dataclass(frozen=True)
class EntryPlan:
    """Everything that one call does.

    Args:
        parameters: In the order of the arguments; keywords go to the fallback.
        results: In the order of the returned tuple.
        table: The program, as `ProgramTable.array` makes it.
        constants: Arrays at fixed slots, C-contiguous; they are kept alive.
        temporaries: Offsets in the arena, by slot.
        arena_bytes: Memory of the temporaries, private to each call.
        single: Whether the one result is returned itself, not in a tuple.
        num_threads: Most threads to use.
        release_gil: Whether other Python threads may run meanwhile: worth it from about 10 us.
        keep: Whatever must live as long as the entry, such as loaded code.
        counts: Where calls served natively, and those passed on, are counted; entries may share it.
        conditions: What must be so besides; `dispatch` looks at it, a call of the entry does not.
    """

    parameters: Sequence[ArrayParameter | ScalarParameter]
    results: Sequence[Result]
    table: np.ndarray[tuple[int], np.dtype[np.int64]]
    constants: Mapping[int, np.ndarray[Any, Any]] = field(
        default_factory=dict[int, "np.ndarray[Any, Any]"]
    )
    temporaries: Mapping[int, int] = field(default_factory=dict[int, int])
    arena_bytes: int = 0
    single: bool = False
    num_threads: int = 1
    release_gil: bool = False
    keep: object = None
    counts: np.ndarray[tuple[int], np.dtype[np.int64]] = field(
        default_factory=lambda: np.zeros(2, np.int64)
    )
    conditions: Conditions = field(default_factory=Conditions)

    def __post_init__(self) -> None:
        slots = [p.slot for p in self.parameters] + [r.slot for r in self.results]
        slots += [*self.constants, *self.temporaries]
        if sorted(slots) != list(range(int(self.table[3]))):
            raise ValueError(f"slots {sorted(slots)} do not fill the {self.table[3]} of the table")
        if self.single and len(self.results) != 1:
            raise ValueError(f"a single result, but {len(self.results)} of them")
        if any(not 0 <= at <= self.arena_bytes for at in self.temporaries.values()):
            raise ValueError(f"temporaries {self.temporaries} outside of {self.arena_bytes} bytes")
        if not all(c.flags.c_contiguous for c in self.constants.values()):
            raise ValueError("constants must be C-contiguous")
        for p in self.parameters:
            if isinstance(p, ScalarParameter) and p.dtype.name not in _SCALAR_KINDS:
                raise ValueError(f"a Python scalar cannot be passed as {p.dtype}")
            if isinstance(p, ArrayParameter) and p.alignment & (p.alignment - 1):
                raise ValueError(f"alignment {p.alignment} is not a power of two")


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


class _Memory:
    """The memory that an entry's native code reads, with the Python objects that it refers to."""

    def __init__(self, plan: EntryPlan, tensor: TensorLayout, fallback: object) -> None:
        self.kept: list[object] = [plan.table, plan.keep, plan.counts, tensor.cls, fallback]
        self.kept += [*plan.constants.values(), *tensor.defaults.values()]
        self.kept += tensor.required.values()
        self.plan = plan
        n_slots = int(plan.table[3])
        n_params, n_results = len(plan.parameters), len(plan.results)
        inputs_at = layout.BLOCK_SLOTS + 8 * (n_slots + 1)
        results_at = inputs_at + 8 * n_params
        self.cells_at = results_at + 8 * n_results
        arena_at = _round_up(self.cells_at + 8 * n_params)
        area_at = _round_up(arena_at + plan.arena_bytes)
        offsets = {slot: arena_at + at for slot, at in plan.temporaries.items()}
        offsets[n_slots] = area_at
        params = self._params(offsets)
        values, bases = self._slots(n_slots, offsets)
        fields = {
            "n_params": n_params,
            "n_outputs": n_results,
            "n_slots": n_slots,
            "table": plan.table.ctypes.data,
            "pool": pool().address,
            "num_threads": plan.num_threads,
            "single": int(plan.single),
            "release_gil": int(plan.release_gil),
            "tensor_type": id(tensor.cls),
            "data_offset": slot_offset(tensor.cls, tensor.data),
            "n_defaults": len(tensor.defaults),
            "defaults": self._pairs(tensor.cls, tensor.defaults),
            "n_required": len(tensor.required),
            "required": self._pairs(tensor.cls, tensor.required),
            "params": params,
            "outputs": self._results(),
            "slot_values": values,
            "slot_bases": bases,
            "fallback": id(fallback),
            "block_bytes": area_at + work_area_bytes(plan.table),
            "inputs_at": inputs_at,
            "results_at": results_at,
            "counts": plan.counts.ctypes.data,
            "n_variables": len(plan.conditions.variables),
            "variables": self._variables(),
            "n_words": len(plan.conditions.attributes),
            "words": self._attributes(),
        }
        self.address = self._words([fields.get(name, 0) for name in layout.CONFIG])

    def _words(self, values: Sequence[int]) -> int:
        array = np.array([v & (2**64 - 1) for v in values] or [0], dtype=np.uint64)
        self.kept.append(array)
        return array.ctypes.data

    def _pairs(self, cls: type, objects: Mapping[str, object]) -> int:
        return self._words([w for n, o in objects.items() for w in (slot_offset(cls, n), id(o))])

    def _variables(self) -> int:
        pairs = self.plan.conditions.variables
        self.kept += [x for pair in pairs for x in pair]
        return self._words([id(x) for pair in pairs for x in pair])

    def _attributes(self) -> int:
        words: list[int] = []
        for holder, name, value in self.plan.conditions.attributes:
            self.kept += [holder, value]
            words += [id(holder) + slot_offset(type(holder), name), id(value)]
        return self._words(words)

    def _dtype(self, dtype: np.dtype[Any]) -> int:
        # The one that arrays of this dtype share: `dtype` may be an equal copy of it.
        shared = np.dtype(dtype.type)
        own = shared if shared == dtype else dtype
        self.kept.append(own)
        return id(own)

    def _params(self, offsets: dict[int, int]) -> int:
        words: list[int] = []
        for position, p in enumerate(self.plan.parameters):
            if isinstance(p, ScalarParameter):
                cell = self.cells_at + 8 * position
                offsets[p.slot] = cell
                record = [_SCALAR_KINDS[p.dtype.name], p.slot, 0, 0, 0, 0, cell]
            else:
                kind = layout.TENSOR_OR_ARRAY if p.accepts_arrays else layout.TENSOR
                shape = self._words(p.shape)
                dtype = self._dtype(p.dtype)
                record = [kind, p.slot, dtype, len(p.shape), shape, p.alignment - 1, 0]
            words += _padded(record, layout.PARAM_BYTES)
        return self._words(words)

    def _results(self) -> int:
        words: list[int] = []
        for r in self.plan.results:
            size = math.prod(r.shape) * r.dtype.itemsize
            record = [r.slot, self._dtype(r.dtype), len(r.shape), self._words(r.shape), size]
            words += _padded(record, layout.OUTPUT_BYTES)
        return self._words(words)

    def _slots(self, n_slots: int, offsets: Mapping[int, int]) -> tuple[int, int]:
        values = [offsets.get(slot, 0) for slot in range(n_slots + 1)]
        for slot, constant in self.plan.constants.items():
            values[slot] = constant.ctypes.data
        bases = [int(slot in offsets) for slot in range(n_slots + 1)]
        return self._words(values), self._words(bases)


def _round_up(size: int) -> int:
    return (size + 63) & -64


def _padded(record: list[int], size: int) -> list[int]:
    return record + [0] * (size // 8 - len(record))


def _native_entry(
    support: NativeSupport, plan: EntryPlan, tensor: TensorLayout, fallback: Callable[..., Any]
) -> Entry:
    memory = _Memory(plan, tensor, fallback)
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
