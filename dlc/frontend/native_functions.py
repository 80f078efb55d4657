"""Functions of tensors whose usual eager calls run a kernel from native code.

A function that is called eagerly with tensors of the same element types and shapes again, and with
the same other arguments, runs its kernel without a line of Python. It is the kernel that the
function ran, so that the bits are the same. Functions of several kernels stay in Python, and those
that look at values, which may be others in the next call. What is recorded for gradients is computed
so, too, and recorded in a few lines.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np

from dlc.frontend.entry_chain import EntryChain, PlannedCall, Unusual
from dlc.frontend.history import (
    History,
    Leaf,
    Template,
    function_of,
    hashable,
    other_leaves,
    reached,
)
from dlc.frontend.recording import node_of, recorded_persistently, recording
from dlc.frontend.tensor import Array, Tensor, make
from dlc.frontend.variable import Variable
from dlc.ir.build import IRBuilder
from dlc.ir.core import Node
from dlc.ir.deferred import deferred
from dlc.ir.location import user_place
from dlc.ir.record import replace
from dlc.ir.types import DType, Shape
from dlc.runtime.buffers import address_of
from dlc.runtime.dispatch import Dispatching, dispatch

# Not needed by a process that calls nothing twice.
if TYPE_CHECKING:
    from dlc.frontend import eager, entry_layouts
    from dlc.runtime import entry_plan, program_table
    from dlc.runtime.entry_plan import EntryPlan, Guard
else:
    eager = deferred("dlc.frontend.eager")
    entry_layouts = deferred("dlc.frontend.entry_layouts")
    entry_plan = deferred("dlc.runtime.entry_plan")
    program_table = deferred("dlc.runtime.program_table")

Function = TypeVar("Function", bound=Callable[..., Any])

_MOST: Final = 8  # entries of a function
_MANY: Final = 64  # kinds of calls that stay in Python which are remembered
_NUMBERS: Final = (bool, int, float)
_ITEMS: Final = (tuple, list, slice)  # of what an entry compares
_PLAIN: Final = (type(None), bool, int, float, str)  # of arguments that an entry compares


class NativeFunction(Dispatching):
    """A function of positional arguments, with entries for what it is called with.

    Results that have no history come straight from an entry. What may have one, of variables and
    of tensors with a history, is recorded here when an entry has computed it.

    Args:
        function: What it computes.
        takes_numbers: Whether a Python number may be passed to the kernel, whatever its value.
        most: How many entries it may have.
    """

    # The first two are read by native code.
    __slots__ = ("__dict__", "__weakref__", "_entry", "_python")

    def __init__(
        self, function: Callable[..., Any], *, takes_numbers: bool = False, most: int = _MOST
    ) -> None:
        self._function, self._takes_numbers, self._most = function, takes_numbers, most
        self._python = self._apply
        self._chain: EntryChain | None = None
        self._recorded: _Recorded | None = None
        self._in_python: set[Hashable] = set()  # kinds of calls that stay there

    def __call__(self, *args: Any) -> Any:
        """The function of the arguments."""
        return self._apply(*args)

    def _apply(self, *args: Any) -> Any:
        recorded = self._recorded
        kind, result = (None, self._function(*args)) if recorded is None else recorded(*args)
        if kind is not None:
            kind.record(args, result)
        elif type(result) is Tensor and result._trace is None:
            self._note(args)
        return result

    def _note(self, args: tuple[Any, ...]) -> None:
        kinds = tuple([self._kind(x) for x in args])
        if None in kinds or (self._in_python and _of_any_shape(kinds) in self._in_python):
            return
        if all(map(_is_plain, args)):
            if self._chain is None:
                use = functools.partial(dispatch, self)
                self._chain = EntryChain(self._python, use, self._most)
            self._chain.count(kinds, kinds, lambda: self._plan(args, kinds))
            return
        if self._recorded is None:
            self._recorded = _Recorded(self._function, self._most)
        self._recorded.chain.count(kinds, kinds, lambda: self._plan_recorded(args, kinds))

    def _kind(self, x: Any) -> Hashable:
        """What an entry is for in an argument; None for what none is made for."""
        cls = type(x)
        if cls is Tensor or cls is Variable:
            data = x._data
            if type(data) is not np.ndarray or x._weak:
                return None
            return (cls, data.dtype, data.shape, _strides(data))
        return cls if self._takes_numbers and cls in (int, float) else _fixed_kind(x)

    def _plan(self, args: Sequence[Any], kinds: tuple[Hashable, ...]) -> PlannedCall:
        return PlannedCall(self._planned(args, kinds)[0], entry_layouts.LAYOUT, None)

    def _plan_recorded(self, args: Sequence[Any], kinds: tuple[Hashable, ...]) -> PlannedCall:
        with recording(enabled=True):
            plan, given, result = self._planned(args, kinds, recorded=True)
        if result._history is None:
            raise Unusual("results without histories")
        data = [k for k, x in enumerate(given) if self._is_data(x)]
        template = _template(result._history, [given[k] for k in data])
        kind = _RecordedKind(template, data)
        plan = replace(plan, finish=kind.with_result)
        return PlannedCall(plan, entry_layouts.LAYOUT_WITHOUT_HISTORIES, None)

    def _planned(
        self, args: Sequence[Any], kinds: tuple[Hashable, ...], recorded: bool = False
    ) -> tuple[EntryPlan, list[Any], Tensor]:
        """The plan of calls like one, and a call that it is made of: arguments and the result."""
        try:
            return self._planned_for(args, _apart(args, recorded), kinds)
        except Unusual:
            if all(_data(x) is None or _strides(_data(x)) is None for x in args):
                raise
        # Kernels read copies of what is no permutation or repetition of memory.
        return self._planned_for(args, _apart(args, recorded, copied=True), kinds)

    def _planned_for(
        self, args: Sequence[Any], given: list[Any], kinds: tuple[Hashable, ...]
    ) -> tuple[EntryPlan, list[Any], Tensor]:
        with eager.watched() as runs:
            result = self._function(*given)
        data = result._data
        if result._weak:
            raise Unusual("a result of numbers alone")
        if not runs and not any(result is x for x in given):
            return self._plan_of_view(args, given, data), given, result
        ran = runs[0] if len(runs) == 1 else None
        if ran is None or not _same_memory(data, ran.result):
            if len(self._in_python) < _MANY:
                self._in_python.add(_of_any_shape(kinds))
            raise Unusual("more than one kernel, or values that are read")
        program, operands, _ = ran
        plan = eager.entry_plan_of(program, operands, self._guards(args, given, operands))
        if plan is None:
            raise Unusual("no program of the CPU with few temporaries")
        return replace(plan, results=[replace(plan.results[0], shape=data.shape)]), given, result

    def _plan_of_view(self, args: Sequence[Any], given: Sequence[Any], data: Array) -> EntryPlan:
        """The plan of calls whose result is in the memory of their one tensor."""
        tensors = [x._data for x in given if isinstance(x, Tensor)]
        if len(tensors) != 1 or not np.may_share_memory(tensors[0], data):
            raise Unusual("no kernel, and no view")
        offset = address_of(data) - address_of(tensors[0])
        result = entry_plan.Part(0, offset, data.shape, data.dtype, data.strides)
        guards = [
            # A view of an array of the user's could change.
            replace(_guard(x, g, 0, tensors[0]), accepts_arrays=False)  # type: ignore[type-var]
            if isinstance(x, Tensor)
            else _same_value(x)
            for x, g in zip(args, given, strict=True)
        ]
        nothing = program_table.ProgramTable(n_slots=1).array()
        return entry_plan.EntryPlan(guards, [result], nothing, form=entry_plan.RESULT)

    def _guards(
        self, args: Sequence[Any], given: Sequence[Any], operands: Sequence[Array]
    ) -> list[Guard]:
        """A guard for each argument; data is what the kernel was given."""
        slots = {k: _slot(x, operands) for k, x in enumerate(given) if self._is_data(x)}
        fixed = [x for x in given if type(x) in _NUMBERS and not self._is_data(x)]
        others = [a for k, a in enumerate(operands) if k not in slots.values()]
        if len(set(slots.values())) < len(slots):
            raise Unusual("one operand for several arguments")
        if not all(any(_is_number_of(a, x) for x in fixed) for a in others):
            raise Unusual("an operand that was computed first")
        return [
            _guard(x, given[k], slots[k], operands[slots[k]]) if k in slots else _same_value(x)
            for k, x in enumerate(args)
        ]

    def _is_data(self, x: Any) -> bool:
        return isinstance(x, Tensor) or (self._takes_numbers and type(x) in (int, float))


def _template(history: History, data: Sequence[Any]) -> Template:
    """The template of calls like one.

    Args:
        history: Of its result.
        data: Its arguments: tensors with histories that are leaves, and numbers.
    """
    order = reached(history)
    leaves = [x._history for x in data if isinstance(x, Tensor)]
    numbers = len(data) - len(leaves)
    # Numbers are leaves that the function has made, by repeating them.
    others = other_leaves(order, leaves)
    if any(any(h.array.strides) for h in others) or numbers > 1 or (numbers and len(others) > 1):
        raise Unusual("values besides the arguments, or several numbers")
    b = IRBuilder()
    inputs: dict[History, Node] = {}
    params: list[Node] = []
    for x in data:
        leaf, type_ = (x._history, x._history.tensor) if isinstance(x, Tensor) else (
            others[0], others[0].tensor.with_shape(()))  # fmt: skip
        params.append(b.param(type_))
        inputs[leaf] = _stretched(b, params[-1], leaf.tensor.shape)
    for leaf in others:
        if leaf not in inputs:
            inputs[leaf] = b.const(leaf.array.flat[0].item(), leaf.tensor)
    results = b.inlined(function_of(order, list(inputs)), list(inputs.values()))
    return Template(b.function("call", params, results))


def _stretched(b: IRBuilder, x: Node, shape: Shape) -> Node:
    return x if x.tensor.shape == shape else b.broadcast_to(x, shape=shape)


class _RecordedKind:
    """Calls of one kind that are recorded.

    Args:
        template: What they compute.
        data: The positions of the arguments that are its inputs.
    """

    def __init__(self, template: Template, data: Sequence[int]) -> None:
        self._template = template
        dtypes = [p.tensor.dtype.numpy for p in template.function.params]
        self._data = list(zip(data, dtypes, strict=True))

    def with_result(self, result: Tensor) -> tuple[_RecordedKind, Tensor]:
        """What an entry returns."""
        return self, result

    def record(self, args: Sequence[Any], result: Tensor) -> None:
        """Gives the result of a call its history, if anything asks for one."""
        tensors = [x for k, _ in self._data if isinstance(x := args[k], Tensor)]
        persistent = recorded_persistently(tensors)
        if persistent is not None:
            inputs = [
                node_of(x) if isinstance(x := args[k], Tensor) else Leaf(_as(x, dtype), False)
                for k, dtype in self._data
            ]
            result._history = History(self._template, 0, tuple(inputs), persistent, user_place())


class _Recorded(Dispatching):
    """The entries of a function for calls that are recorded.

    A call gives the kind of the call, which records it, and the result; None for the kind where
    the function has done both.
    """

    # The first two are read by native code.
    __slots__ = ("_entry", "_python", "chain")

    def __init__(self, function: Callable[..., Any], most: int) -> None:
        self._python = lambda *args: (None, function(*args))
        self.chain = EntryChain(self._python, functools.partial(dispatch, self), most)

    def __call__(self, *args: Any) -> tuple[_RecordedKind | None, Any]:
        """The kind of the call, and the result."""
        return self._python(*args)


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


def _strides(array: Array) -> tuple[int, ...] | None:
    """The strides of an array that is not C-contiguous."""
    return None if array.flags.c_contiguous else array.strides


def _fixed_kind(x: Any) -> Hashable:
    """What an entry is for in an argument that it compares; None for what it cannot compare."""
    cls = type(x)
    if cls in _ITEMS:
        kinds = [_fixed_kind(item) for item in _items(x)]
        return None if None in kinds else (cls, *kinds)
    return hashable(x) if cls in _PLAIN or x is ... or isinstance(x, DType) else None


def _items(x: Any) -> Sequence[Any]:
    return (x.start, x.stop, x.step) if type(x) is slice else x


def _of_any_shape(kinds: tuple[Any, ...]) -> Hashable:
    """Kinds of arguments without the extents of tensors."""
    found: list[Hashable] = []
    for kind in kinds:
        is_tensor = isinstance(kind, tuple) and kind[:1] in ((Tensor,), (Variable,))
        found.append((kind[1], len(kind[2])) if is_tensor else kind)
    return tuple(found)


def _is_plain(x: Any) -> bool:
    """Whether what is computed from an argument is not recorded, however it is computed."""
    return not isinstance(x, Tensor) or (type(x) is Tensor and x._history is None)


def _data(x: Any) -> Array | None:
    return x._data if isinstance(x, Tensor) else None


def _apart(args: Sequence[Any], recorded: bool, copied: bool = False) -> list[Any]:
    """Arguments of which each tensor has an array of its own.

    Args:
        args: Those of a call.
        recorded: Whether they get histories.
        copied: Whether those that are not C-contiguous are copied.
    """
    seen: set[int] = set()
    given: list[Any] = []
    for x in args:
        held = _data(x)
        if held is not None:
            contiguous, twice = _strides(held) is None, id(held) in seen
            if twice and not (contiguous or copied):
                raise Unusual("a view that is given twice")
            if twice or (copied and not contiguous):
                held = np.copy(held, order="C")
            seen.add(id(held))
            x = make(held, history=Leaf(held, True) if recorded else None)
        given.append(x)
    return given


def _same_memory(x: Array | None, y: Array) -> bool:
    """Whether two arrays have the same elements in the same order."""
    if x is None or x.dtype != y.dtype or x.size != y.size:
        return False
    contiguous = x.flags.c_contiguous and y.flags.c_contiguous
    return x is y or (x.size > 0 and contiguous and address_of(x) == address_of(y))


def _slot(x: Any, operands: Sequence[Array]) -> int:
    held = _data(x)
    read = None if held is None else eager.operand(held).array
    for k, array in enumerate(operands):
        if read is not None:
            if read.size == array.size and address_of(read) == address_of(array):
                return k
        elif _is_number_of(array, x):
            return k
    raise Unusual("an operand that was computed first")


def _is_number_of(array: Array, x: float) -> bool:
    """Whether an operand is a number that was given."""
    known = array.size == 1 and array.dtype.name in entry_plan.SCALARS
    return known and array.tobytes() == _as(x, array.dtype).tobytes()


def _as(x: float, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(x).astype(dtype)


def _guard(x: Any, given: Any, slot: int, array: Array) -> Guard:
    """The guard of data.

    Args:
        x: It.
        given: What the function was run with for it.
        slot: That of the program.
        array: What the kernel got.
    """
    held = _data(x)
    if held is None:
        return entry_plan.ScalarParameter(slot, array.dtype, accepts_ints=array.dtype.kind == "f")
    if not (held.flags.aligned and held.dtype.isnative):
        raise Unusual("memory that kernels cannot read")
    return entry_plan.ArrayParameter(
        slot,
        held.shape,
        held.dtype,
        accepts_arrays=type(x) is Tensor,
        cls=type(x),
        strides=_strides(held),
        copied=_strides(held) != _strides(given._data),
    )


def _same_value(x: Any) -> Guard:
    if type(x) in _ITEMS:
        return entry_plan.Items(type(x), [_same_value(item) for item in _items(x)])
    return entry_plan.Value(x)
