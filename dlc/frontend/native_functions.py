"""Functions of tensors whose usual eager calls run a kernel from native code.

A function that is called eagerly with tensors of the same element types and shapes again, and with
the same other arguments, runs its kernel without a line of Python. It is the kernel that the
function ran, so that the bits are the same. Functions of several kernels stay in Python, and those
that look at values, which may be others in the next call. What is recorded for gradients is
computed so, too, and recorded in a few lines.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from dlc.frontend.call_kinds import is_plain, kinds_of, of_any_shape
from dlc.frontend.entry_chain import EntryChain, PlannedCall
from dlc.frontend.tensor import Tensor
from dlc.ir.deferred import deferred
from dlc.runtime.dispatch import Dispatching, dispatch

# Not needed by a process that calls nothing twice.
if TYPE_CHECKING:
    from dlc.frontend import entry_layouts, native_plans
    from dlc.frontend.native_plans import RecordedKind
else:
    entry_layouts = deferred("dlc.frontend.entry_layouts")
    native_plans = deferred("dlc.frontend.native_plans")

Function = TypeVar("Function", bound=Callable[..., Any])

_MOST: Final = 8  # entries of a function
_MANY: Final = 64  # kinds of calls that stay in Python which are remembered


class NativeFunction(Dispatching):
    """A function of positional arguments, with entries for what it is called with.

    Results of tensors that have no history come straight from an entry. What may have a history,
    of variables and of other tensors, is recorded here when an entry has computed it.

    Args:
        function: What it computes.
        takes_numbers: Whether a Python number may be passed to the kernel, whatever its value.
        most: How many entries it may have of either sort.
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
        """Counts a call that Python has served; there may be an entry for the next one."""
        kinds = kinds_of(args, self._takes_numbers)
        if kinds is None or (self._in_python and of_any_shape(kinds) in self._in_python):
            return
        if all(map(is_plain, args)):
            if self._chain is None:
                use = functools.partial(dispatch, self)
                self._chain = EntryChain(self._python, use, self._most)
            self._chain.count(kinds, kinds, lambda: self._plan(args, kinds, recorded=False))
            return
        if self._recorded is None:
            self._recorded = _Recorded(self._function, self._most)
        self._recorded.chain.count(kinds, kinds, lambda: self._plan(args, kinds, recorded=True))

    def _plan(self, args: tuple[Any, ...], kinds: Hashable, *, recorded: bool) -> PlannedCall:
        planner = native_plans.Planner(self._function, args, self._takes_numbers)
        try:
            if recorded:
                return PlannedCall(
                    planner.recorded_plan(), entry_layouts.LAYOUT_WITHOUT_HISTORIES, None
                )
            return PlannedCall(planner.plan(), entry_layouts.LAYOUT, None)
        except native_plans.SeveralKernels:
            if len(self._in_python) < _MANY:
                self._in_python.add(of_any_shape(kinds))
            raise


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

    def __call__(self, *args: Any) -> tuple[RecordedKind | None, Any]:
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
