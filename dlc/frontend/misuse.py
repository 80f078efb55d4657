"""What was wrong with a call that ended in an error of Python's own.

Public functions and layers compute with their arguments without asking first whether each is of
its kind. Where that ends in an error that is none of dlc's, the arguments are compared with the
annotations, and the first that does not fit is named, with the user's line. An error that all
arguments fit stays what it is: a mistake of dlc's, or of a function that the user gave.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from dlc.ir.deferred import deferred
from dlc.ir.errors import DlcError
from dlc.ir.location import by_user

if TYPE_CHECKING:  # only where a call is wrong
    from dlc.frontend import kinds
else:
    kinds = deferred("dlc.frontend.kinds")

STRAY: Final = (
    AssertionError, AttributeError, LookupError, MemoryError, OverflowError, TypeError, ValueError,
    ZeroDivisionError,
)  # fmt: skip
"""What Python raises for arguments of another kind."""

_PUBLIC = "_dlc_public"
Function = TypeVar("Function", bound=Callable[..., Any])


def explained(function: Function, is_init: bool = False) -> Function:
    """The function; an error of Python's own becomes one that says which argument was wrong.

    Args:
        function: The function, whose annotations say what it takes.
        is_init: Whether it sets up an object, its first argument, whose class messages name.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except DlcError:
            raise
        except STRAY as error:
            name = type(args[0]).__name__ if is_init else function.__name__
            wrong = wrong_call(name, function, args, kwargs, error)
            if wrong is None:
                raise
            raise wrong from None

    return cast(Function, functools.update_wrapper(call, function))


def wrong_call(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    error: Exception,
) -> DlcError | None:
    """The error that says what was wrong with a call; None where its arguments were not.

    Args:
        name: What the message calls the function.
        function: What was called, and failed.
        args: What it was called with by position.
        kwargs: And by name.
        error: How it failed; the caller has caught it.
    """
    if _is_of_others(error.__traceback__):
        return None
    return kinds.find_wrong(name, function, args, kwargs, error)


def _is_of_others(trace: TracebackType | None) -> bool:
    """Whether an error comes from functions that the user gave, and which dlc called."""
    seen = trace.tb_next if trace is not None else None
    while seen is not None:
        frame = seen.tb_frame
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        known = package in sys.stdlib_module_names or package in ("numpy", "ml_dtypes")
        if by_user(frame) and not known:
            return True
        seen = seen.tb_next
    return False


def public(value: Any, module: str, name: str) -> Any:
    """What users get for a name of a public module: functions of dlc's `explained`.

    Args:
        value: What the name stands for; the same function gives the same one by any name.
        module: The full name of the module.
        name: The name; pickles import the function by the first one that it was asked for by.
    """
    if not isinstance(value, FunctionType) or not value.__module__.startswith("dlc."):
        return value
    known = value.__dict__.get(_PUBLIC)
    if known is None:
        known = explained(value)
        known.__module__, known.__qualname__ = module, name
        value.__dict__[_PUBLIC] = known.__dict__[_PUBLIC] = known
    return known


def publish(names: dict[str, Any]) -> None:
    """Makes the functions among the globals of a public module `public` ones.

    Its classes are changed: making an object of one says which argument was wrong.
    """
    module: str = names["__name__"]
    for name in [n for n in names if n[0] != "_"]:
        if isinstance(names[name], type):
            _explain_init(names[name])
        else:
            names[name] = public(names[name], module, name)


def _explain_init(cls: type[Any]) -> None:
    owner: Any = next(k for k in cls.__mro__ if "__init__" in vars(k))
    init = vars(owner)["__init__"]
    ours = owner.__module__.startswith("dlc.") and not issubclass(owner, BaseException)
    if ours and isinstance(init, FunctionType) and _PUBLIC not in init.__dict__:
        owner.__init__ = explained(init, is_init=True)
        owner.__init__.__dict__[_PUBLIC] = True
