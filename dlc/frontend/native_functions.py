"""Functions of tensors whose usual eager calls run a kernel from native code.

A function that is called eagerly with tensors of the same element types and shapes again, and with
the same other arguments, runs its kernel without a line of Python. It is the kernel that the
function ran, so that the bits are the same. Functions of several kernels stay in Python, and those
that look at values, which may be others in the next call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np

from dlc.frontend.entry_chain import EntryChain, PlannedCall, Unusual
from dlc.frontend.tensor import Array, Tensor
from dlc.ir.deferred import deferred
from dlc.ir.types import DType
from dlc.runtime.buffers import address_of
from dlc.runtime.dispatch import Dispatching, dispatch

# Not needed by a process that calls nothing twice.
if TYPE_CHECKING:
    from dlc.frontend import eager, entry_layouts
    from dlc.runtime import entry_plan
    from dlc.runtime.entry_plan import Guard
else:
    eager = deferred("dlc.frontend.eager")
    entry_layouts = deferred("dlc.frontend.entry_layouts")
    entry_plan = deferred("dlc.runtime.entry_plan")

Function = TypeVar("Function", bound=Callable[..., Any])

_MOST: Final = 8  # entries of a function
_MANY: Final = 64  # kinds of calls that stay in Python which are remembered
_PLAIN: Final = (type(None), bool, int, str)  # of arguments that an entry compares


class NativeFunction(Dispatching):
    """A function of positional arguments, with entries for what it is called with.

    Args:
        function: What it computes.
        takes_numbers: Whether a Python number may be passed to the kernel, whatever its value.
    """

    # The first two are read by native code.
    __slots__ = ("__dict__", "__weakref__", "_entry", "_python")

    def __init__(self, function: Callable[..., Any], *, takes_numbers: bool = False) -> None:
        self._function, self._takes_numbers = function, takes_numbers
        self._python = self._apply
        self._chain: EntryChain | None = None
        self._in_python: set[Hashable] = set()  # kinds of calls that stay there

    def __call__(self, *args: Any) -> Any:
        """The function of the arguments."""
        return self._apply(*args)

    def _apply(self, *args: Any) -> Any:
        result = self._function(*args)
        plain = type(result) is Tensor and result._trace is None and result._history is None
        if plain:
            self._note(args)
        return result

    def _note(self, args: tuple[Any, ...]) -> None:
        kinds = tuple([self._kind(x) for x in args])
        if None in kinds or _one_twice(args):
            return  # of an array that is given twice it cannot be told which argument it was
        if self._in_python and _of_any_shape(kinds) in self._in_python:
            return
        if self._chain is None:
            use = functools.partial(dispatch, self)
            self._chain = EntryChain(self._python, use, _MOST)
        self._chain.count(kinds, kinds, lambda: self._plan(args, kinds))

    def _kind(self, x: Any) -> Hashable:
        """What an entry is for in an argument; None for what none is made for."""
        if type(x) is Tensor:
            usual = x._data is not None and not x._weak
            return (x._data.dtype, x._data.shape) if usual else None  # type: ignore[union-attr]
        if self._takes_numbers and type(x) in (int, float):
            return type(x)
        if type(x) is tuple and all(type(item) in _PLAIN for item in x):
            return tuple([(type(item), item) for item in x])
        return (type(x), x) if type(x) in _PLAIN or isinstance(x, DType) else None

    def _plan(self, args: tuple[Any, ...], kinds: tuple[Hashable, ...]) -> PlannedCall:
        with eager.watched() as runs:
            result = self._function(*args)
        ran = runs[0] if len(runs) == 1 else None
        if ran is None or result._data is not ran.result:
            if len(self._in_python) < _MANY:
                self._in_python.add(_of_any_shape(kinds))
            raise Unusual("more than one kernel, or values that are read")
        program, operands, _ = ran
        plan = eager.entry_plan_of(program, operands, self._guards(args, operands))
        if plan is None:
            raise Unusual("no program of the CPU with few temporaries")
        return PlannedCall(plan, entry_layouts.LAYOUT, None)

    def _guards(self, args: Sequence[Any], operands: Sequence[Array]) -> list[Guard]:
        """A guard for each argument; data is what the kernel was given."""
        slots = {k: _slot(x, operands) for k, x in enumerate(args) if self._is_data(x)}
        if not len(operands) == len(slots) == len(set(slots.values())):
            raise Unusual("an argument that the kernel does not read, or one array for two")
        return [
            _guard(x, slots[k], operands[slots[k]]) if k in slots else _same_value(x)
            for k, x in enumerate(args)
        ]

    def _is_data(self, x: Any) -> bool:
        return isinstance(x, Tensor) or (self._takes_numbers and type(x) in (int, float))


class Parameters(NamedTuple):
    """The names of a function's parameters: positional ones, the rest, those by name alone."""

    positional: tuple[str, ...]
    rest: str | None
    named: tuple[str, ...]
    by_position_alone: int


def parameters_of(function: Any) -> Parameters:
    """The parameters of a Python function."""
    code: CodeType = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    rest = code.co_varnames[count] if code.co_flags & inspect.CO_VARARGS else None
    names = code.co_varnames
    positional, named = names[: code.co_argcount], names[code.co_argcount : count]
    return Parameters(positional, rest, named, code.co_posonlyargcount)


def by_position(function: Callable[..., Any]) -> NativeFunction:
    """The native function of another, of all of whose arguments it takes the values in order."""
    positional, _, named, _ = parameters_of(function)
    if not named:
        return NativeFunction(function)
    count = len(positional)

    def ordered(*args: Any) -> Any:
        return function(*args[:count], **dict(zip(named, args[count:], strict=True)))

    return NativeFunction(ordered)


def natively(function: Function) -> Function:
    """A public function whose usual eager calls run from native code."""
    return with_signature_of(
        function, "return _native({ordered})", {"_native": by_position(function)}
    )


def with_signature_of(function: Function, body: str, scope: dict[str, Any]) -> Function:
    """A function of the same parameters, documentation and defaults as another.

    So arguments that do not fit are refused where the user's code stands, not in here.

    Args:
        function: The other one.
        body: What it does. In it, {positional} stands for the arguments by position, {named} for
            those by name alone, {ordered} for the values of all.
        scope: What the body reads.
    """
    given = parameters_of(function)
    rest = [] if given.rest is None else [f"*{given.rest}"]
    head = [*given.positional, *(rest or (["*"] if given.named else [])), *given.named]
    if given.by_position_alone:
        head.insert(given.by_position_alone, "/")
    text = body.format(
        positional=", ".join([*given.positional, *rest]),
        named=", ".join(f"{n}={n}" for n in given.named),
        ordered=", ".join([*given.positional, *rest, *given.named]),
    )
    exec(_compiled(f"def call({', '.join(head)}):\n    {text}\n"), scope)
    call: Any = functools.update_wrapper(scope["call"], function)
    call.__defaults__ = getattr(function, "__defaults__", None)
    call.__kwdefaults__ = getattr(function, "__kwdefaults__", None)
    return call


@functools.cache
def _compiled(text: str) -> CodeType:
    """The code of a call; many functions have the same parameters."""
    return compile(text, f"{__file__}:call", "exec")  # no line of this file is shown for it


def _of_any_shape(kinds: tuple[Any, ...]) -> Hashable:
    """Kinds of arguments without the extents of tensors."""
    found: list[Hashable] = []
    for kind in kinds:
        is_tensor = isinstance(kind, tuple) and len(kind) == 2 and isinstance(kind[0], np.dtype)
        found.append((kind[0], len(kind[1])) if is_tensor else kind)
    return tuple(found)


def _one_twice(args: Sequence[Any]) -> bool:
    data = [id(x._data) for x in args if isinstance(x, Tensor)]
    return len(set(data)) < len(data)


def _slot(x: Any, operands: Sequence[Array]) -> int:
    for k, array in enumerate(operands):
        if isinstance(x, Tensor):
            data = x._data
            if data is not None and data.size == array.size and _at(data) == _at(array):
                return k
        elif _is_number(array) and array.item() == _as(x, array):
            return k
    raise Unusual("an operand that was computed first")


def _is_number(array: Array) -> bool:
    return array.size == 1 and array.dtype.name in entry_plan.SCALARS


def _at(array: Array) -> int | None:
    usable = array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative
    return address_of(array) if usable else None


def _as(x: float, array: Array) -> Any:
    with np.errstate(over="ignore"):
        return np.asarray(x).astype(array.dtype).item()


def _guard(x: Any, slot: int, array: Array) -> Guard:
    if isinstance(x, Tensor):
        assert x._data is not None
        return entry_plan.ArrayParameter(slot, x._data.shape, x._data.dtype, accepts_arrays=True)
    return entry_plan.ScalarParameter(slot, array.dtype, accepts_ints=array.dtype.kind == "f")


def _same_value(x: Any) -> Guard:
    if type(x) is tuple:
        return entry_plan.Items(tuple, [entry_plan.Value(item) for item in x])
    return entry_plan.Value(x)
