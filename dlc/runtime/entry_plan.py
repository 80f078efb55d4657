"""What one call of a native entry does, as data: guards of the arguments, results, the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

import numpy as np

from dlc.ir.record import dataclass, field

SCALARS: Final = frozenset({"float32", "float64", "int32", "int64", "bool"})
"""Dtypes that a Python scalar can be passed as."""


@dataclass(frozen=True)
class ArrayParameter:
    """A tensor argument of exactly this shape, dtype and layout.

    Args:
        slot: Slot of the program that takes its address.
        shape: Its extents.
        dtype: Its NumPy dtype.
        strides: Its strides in bytes; C-contiguous when not given.
        copied: Whether the program gets a copy that is C-contiguous.
        alignment: What its address must be a multiple of, a power of two.
        accepts_arrays: Whether a NumPy array may be given in place of a tensor.
        cls: The class that it must be of; the layout's when not given.
        overwritten: The program writes to its memory, which nobody else may see; the slots of the
            tensor hold these objects from then on.
        comes_back: Whether it gets an array again when the program is done, as variables do.
    """

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    alignment: int = 1
    accepts_arrays: bool = False
    cls: type | None = None
    overwritten: Mapping[str, object] | None = None
    comes_back: bool = False
    strides: tuple[int, ...] | None = None
    copied: bool = False


@dataclass(frozen=True)
class ScalarParameter:
    """A Python scalar argument: float for a float dtype, int that fits for an int, bool for bool.

    Args:
        slot: Slot of the program that takes the address of its value.
        dtype: float32, float64, int32, int64 or bool.
        accepts_ints: Whether an int of 64 bits may be given in place of a float.
    """

    slot: int
    dtype: np.dtype[Any]
    accepts_ints: bool = False


@dataclass(frozen=True)
class Value:
    """An argument that is no data: plain numbers and texts must be equal, others the very object.

    Floats must have equal bits.

    Args:
        value: What it must be.
    """

    value: object


@dataclass(frozen=True)
class Items:
    """A list, a slice, or a tuple of exactly this class.

    Args:
        kind: Its class.
        items: What it must hold; of a slice the start, the stop and the step.
    """

    kind: type
    items: Sequence[Guard]


@dataclass(frozen=True)
class Mapped:
    """A dict.

    Args:
        items: What it must hold by key, in the order of the dict.
    """

    items: Mapping[Any, Guard]


@dataclass(frozen=True)
class Held:
    """An object that is no argument; the program reads it as it is at the time of a call.

    Args:
        holder: The object.
        guard: What it must be.
        attribute: An attribute of `__slots__`, if not the object itself but that is meant.
    """

    holder: object
    guard: Guard
    attribute: str | None = None


Guard: TypeAlias = ArrayParameter | ScalarParameter | Value | Items | Mapped


@dataclass(frozen=True)
class Result:
    """A result: a fresh array, wrapped in a tensor.

    Args:
        slot: Slot of the program that takes its address.
        shape: Its extents.
        dtype: Its NumPy dtype.
        donor: Slot of the overwritten argument that it is in, instead of in memory of its own.
        holder: The object that gets it; without one, the call returns it.
        attribute: Where in `__slots__` of that; a tensor's data gets the array itself.
    """

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    donor: int | None = None
    holder: object = None
    attribute: str | None = None


@dataclass(frozen=True)
class Part:
    """A result in the memory of an argument, which is left as it is; wrapped in a tensor.

    Args:
        whole: Slot of the argument.
        offset: Where the result begins, in bytes.
        shape: Its extents.
        dtype: Its NumPy dtype.
        strides: Its strides in bytes.
    """

    whole: int
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Cleared:
    """An attribute of `__slots__` that is None after each call."""

    holder: object
    attribute: str


@dataclass(frozen=True)
class TensorLayout:
    """How to take a tensor apart and make one.

    Args:
        cls: A Python class with `__slots__`; only its own instances are accepted, not a subclass's.
        data: The slot with the NumPy array.
        defaults: What other slots of a new tensor hold; those not named stay unset.
        required: What slots of an argument must hold, the very objects; others go to the fallback.
        reset: What slots hold when a tensor has got another array.
    """

    cls: type
    data: str = "_data"
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    required: Mapping[str, object] = field(default_factory=dict[str, object])
    reset: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class Conditions:
    """What must be so when an object that dispatches to an entry is called.

    Args:
        variables: Context variables, each with the very object that it must hold.
        attributes: Attributes of `__slots__`, as object and name, with the very object to be held.
    """

    variables: Sequence[tuple[ContextVar[Any], object]] = ()
    attributes: Sequence[tuple[object, str, object]] = ()


class ResultMark:
    """Stands for the next result in the form of what a call returns; there is one, `RESULT`."""


RESULT: Final = ResultMark()


@dataclass(frozen=True)
class EntryPlan:
    """Everything that one call does.

    Args:
        parameters: In the order of the arguments, those with names at the end.
        results: Those that are returned, then those that objects get.
        table: The program, as `ProgramTable.array` makes it.
        names: Of the last arguments.
        held: What the program reads besides arguments.
        constants: Arrays at fixed slots, C-contiguous; they are kept alive.
        temporaries: Offsets in the arena, by slot.
        arena_bytes: Memory of the temporaries, private to each call.
        form: What is returned: lists, tuples and dicts of `RESULT` and None; when not given, a
            tuple of all results.
        finish: Makes what is returned of that.
        num_threads: Most threads to use.
        release_gil: Whether other Python threads may run meanwhile: worth it from about 10 us.
        lock: Held while the interpreter's lock is not, where objects get results.
        keep: Whatever must live as long as the entry, such as loaded code.
        counts: Where calls served natively, and those passed on, are counted; entries may share it.
        conditions: What must be so besides; `dispatch` looks at it, a call of the entry does not.
    """

    parameters: Sequence[Guard]
    results: Sequence[Result | Part | Cleared]
    table: np.ndarray[tuple[int], np.dtype[np.int64]]
    names: tuple[str, ...] = ()
    held: Sequence[Held] = ()
    constants: Mapping[int, np.ndarray[Any, Any]] = field(
        default_factory=dict[int, "np.ndarray[Any, Any]"]
    )
    temporaries: Mapping[int, int] = field(default_factory=dict[int, int])
    arena_bytes: int = 0
    form: Any = ...
    finish: Callable[[Any], Any] | None = None
    num_threads: int = 1
    release_gil: bool = False
    lock: Any = None
    keep: object = None
    counts: np.ndarray[tuple[int], np.dtype[np.int64]] = field(
        default_factory=lambda: np.zeros(2, np.int64)
    )
    conditions: Conditions = field(default_factory=Conditions)

    def __post_init__(self) -> None:
        leaves = list(self.leaves())
        slots = [p.slot for p in leaves]
        slots += [r.slot for r in self.results if isinstance(r, Result)]
        slots += [*self.constants, *self.temporaries]
        if sorted(slots) != list(range(int(self.table[3]))):
            raise ValueError(f"slots {sorted(slots)} do not fill the {self.table[3]} of the table")
        if (places := _places(self.returned_form)) != len(self.returned):
            raise ValueError(f"{len(self.returned)} results for a form that takes {places}")
        if any(not 0 <= at <= self.arena_bytes for at in self.temporaries.values()):
            raise ValueError(f"temporaries {self.temporaries} outside of {self.arena_bytes} bytes")
        if not all(c.flags.c_contiguous for c in self.constants.values()):
            raise ValueError("constants must be C-contiguous")
        for p in leaves:
            _check_leaf(p)
        overwritten = {p.slot for p in leaves if isinstance(p, ArrayParameter) and p.overwritten}
        for r in self.results:
            if isinstance(r, Result) and r.donor is not None and r.donor not in overwritten:
                raise ValueError(f"a result in slot {r.donor}, which is not overwritten")
            if isinstance(r, Part) and r.whole in overwritten:
                raise ValueError(f"a result in slot {r.whole}, which is overwritten")

    @property
    def returned(self) -> list[Result | Part]:
        """The results that the call returns."""
        return [
            r
            for r in self.results
            if isinstance(r, Part) or (isinstance(r, Result) and r.holder is None)
        ]

    @property
    def returned_form(self) -> Any:
        """The form of what is returned."""
        return (RESULT,) * len(self.returned) if self.form is ... else self.form

    def leaves(self) -> Iterator[ArrayParameter | ScalarParameter]:
        """The data among what is read, in the order in which it is looked at."""
        for guard in (*self.parameters, *(h.guard for h in self.held)):
            yield from _leaves(guard)


def _check_leaf(p: ArrayParameter | ScalarParameter) -> None:
    if isinstance(p, ScalarParameter):
        if p.dtype.name not in SCALARS:
            raise ValueError(f"a Python scalar cannot be passed as {p.dtype}")
    elif p.alignment & (p.alignment - 1):
        raise ValueError(f"alignment {p.alignment} is not a power of two")
    elif p.accepts_arrays and p.overwritten:
        raise ValueError("an array of the caller's cannot be overwritten")


def _leaves(guard: Guard) -> Iterator[ArrayParameter | ScalarParameter]:
    match guard:
        case Items():
            children: Sequence[Guard] = guard.items
        case Mapped():
            children = list(guard.items.values())
        case Value():
            return
        case _:
            yield guard
            return
    for child in children:
        yield from _leaves(child)


def _places(form: Any) -> int:
    """The number of results in a form."""
    if isinstance(form, ResultMark):
        return 1
    if form is None:
        return 0
    return sum(map(_places, form.values() if isinstance(form, dict) else form))
