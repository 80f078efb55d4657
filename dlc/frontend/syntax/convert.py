"""Which functions are rewritten, and how the result becomes a function.

Rewritten are functions of the user, in Python, whose source can be read. Left alone are dlc's own,
the standard library's, and those of installed packages (folders named site-packages or
dist-packages) unless their module uses dlc; generators and coroutines; and what
`dlc.do_not_convert` marks.
"""

from __future__ import annotations

import ast
import dis
import functools
import os
import re
from collections.abc import Callable
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, SimpleNamespace
from typing import Any, TypeVar

from dlc.frontend.conversion import marked
from dlc.frontend.syntax import builtins, operators
from dlc.frontend.syntax.blocks import notes
from dlc.frontend.syntax.build import MARK, RUNTIME, at, copy_tree
from dlc.frontend.syntax.rewrite import rewrite_function
from dlc.frontend.syntax.source import Definition, Unconvertible, definition_of
from dlc.ir.errors import UnsetVariableError
from dlc.ir.location import SourceLocation
from dlc.ir.locks import make_lock

Result = TypeVar("Result")

_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "")
_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED = ("site-packages", "dist-packages")
_SUSPENDS = 0x20 | 0x80 | 0x100 | 0x200  # generators and coroutines
_FUNCTION = 0x2  # what the code of a class does not have
_FUTURE = 0x20000 | 0x100000 | 0x1000000  # what `from __future__ import` sets
_DECIDES = frozenset({"CONTAINS_OP", "FOR_ITER", "UNARY_NOT"})

_OF_FRAMES = frozenset({"eval", "exec", "locals"})  # they would see other variables
_APPLY = (map, filter, functools.reduce)

_lock = make_lock()
_codes: dict[CodeType, CodeType | str] = {}  # what was rewritten, or why not
_made: set[CodeType] = set()
_places: dict[str, str | None] = {}


def why_not(code: CodeType) -> str | None:
    """Why the function of a code object was not rewritten; None when it was, or was not asked."""
    found = _codes.get(code)
    return found if isinstance(found, str) else None


def why_asked(code: CodeType) -> str:
    """Why a place in a function asked a traced tensor for its truth, as the beginning of a hint."""
    reason = why_not(code)
    if reason is None and code in _made:
        reason = "a `match` with patterns of sequences, mappings or classes, a condition with `:=` "
        reason += "in part of it, and functions such as sorted() are not converted"
    elif reason is None and code.co_name in _PARTS:
        reason = f"conditions in {_PARTS[code.co_name]} are not converted, as what they leave out "
        reason += "would decide how long the result is"
    elif reason is None and _kind_of_place(code.co_filename) is None:
        reason = f"{code.co_qualname} was called by Python or a library (a property, an operator, "
        reason += "a callback), and only what converted code calls is converted"
    return f"{reason}; " if reason is not None else ""


_PARTS = {
    "<listcomp>": "a comprehension", "<setcomp>": "a comprehension",
    "<dictcomp>": "a comprehension", "<genexpr>": "a generator",
}  # fmt: skip


def converted(function: FunctionType) -> FunctionType:
    """A function that does the same with Python's values, and takes traced ones; or itself."""
    code = function.__code__
    if code in _made:
        return function
    new = _codes.get(code)
    if new is None:
        with _lock:
            new = _codes.get(code)
            if new is None:
                new = _codes[code] = _convert(function)
    return function if isinstance(new, str) else _with_code(function, new)


def _with_code(function: FunctionType, code: CodeType) -> FunctionType:
    """The function with other code: it shares globals, defaults and the cells of closures."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    cells[RUNTIME] = _runtime
    closure = tuple(cells[name] for name in code.co_freevars)
    new = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, closure
    )
    new.__kwdefaults__ = function.__kwdefaults__
    new.__qualname__, new.__module__ = function.__qualname__, function.__module__
    new.__dict__.update(function.__dict__)
    return new


def _convert(function: FunctionType) -> CodeType | str:
    code = function.__code__
    reason = _kept_as_it_is(function)
    if reason is not None:
        return reason
    try:
        node, class_name = definition_of(code)
        return _compiled(copy_tree(node), code, class_name)
    except Unconvertible as why:
        return str(why)


def _kept_as_it_is(function: FunctionType) -> str | None:
    """Why a function is not to be rewritten."""
    code = function.__code__
    if code in marked:
        return f"{code.co_qualname} is marked with dlc.do_not_convert"
    kind = _kind_of_place(code.co_filename)
    if kind == "installed":
        kind = None if _uses_dlc(function.__globals__) else "an installed package's"
    if kind is not None:
        return f"{code.co_qualname} is {kind}"
    if code.co_flags & _SUSPENDS:
        return f"{code.co_qualname} is a generator or a coroutine"
    looks = _OF_FRAMES.intersection(code.co_names)
    if looks:
        return f"{code.co_qualname} uses {min(looks)}()"
    if not any(
        i.opname in _DECIDES or i.opname.startswith(("POP_JUMP", "JUMP_IF", "CALL"))
        for i in dis.get_instructions(code)
    ):
        return f"{code.co_qualname} has neither branches nor calls"
    return None


def _kind_of_place(file: str) -> str | None:
    if file in _places:
        return _places[file]
    kind = None
    if file.startswith((_PACKAGE, "<frozen ")):
        kind = "dlc's own"
    elif any(part in file for part in _INSTALLED):
        kind = "installed"
    elif file.startswith(_LIBRARY):
        kind = "the standard library's"
    _places[file] = kind
    return kind


def _uses_dlc(names: dict[str, Any]) -> bool:
    """Whether a module has imported dlc, or something of it."""
    return any(
        str(getattr(v, "__module__", None) or getattr(v, "__name__", "")).partition(".")[0] == "dlc"
        for v in list(names.values())
    )


def _compiled(node: Definition, code: CodeType, class_name: str | None) -> CodeType:
    """The rewritten definition as a code object."""
    new = rewrite_function(node, class_name)
    if isinstance(new, ast.Lambda):
        statement: ast.stmt = ast.Expr(new)
        name = code.co_name
    else:
        statement = new
        new.name = name = "_dlc_function"  # the user's may be read inside, as a global
    declared: list[ast.stmt] = []
    if class_name is not None:
        statement = ast.ClassDef(class_name, [], [], [statement], [])
        if class_name not in code.co_freevars:
            declared.append(ast.Global([class_name]))
    outside = [ast.Name(n, ast.Store()) for n in (RUNTIME, *code.co_freevars) if n != "__class__"]
    bound = ast.Assign(list(outside), ast.Constant(None))
    empty = ast.arguments([], [], None, [], [], None, [])
    factory = ast.FunctionDef("_dlc_factory", empty, [*declared, bound, statement], [])
    module = ast.Module([at(factory, node)], [])
    flags = code.co_flags & _FUTURE
    whole = compile(module, code.co_filename, "exec", flags=flags, dont_inherit=True)
    found = _named(_inner(whole, name), code.co_name, code.co_qualname)
    _remember(found)
    return found


def _inner(code: CodeType, name: str) -> CodeType:
    """The first code object of this name, from outside in."""
    pending = [code]
    while pending:
        current = pending.pop(0)
        inside = [c for c in current.co_consts if isinstance(c, CodeType)]
        for c in inside:
            if c.co_name == name:
                return c
        pending += inside
    raise AssertionError(name)


def _named(code: CodeType, name: str, qualname: str) -> CodeType:
    """Code under the names that the user's function has; so are the functions made for blocks."""
    constants: list[Any] = []
    inside = f"{qualname}.<locals>." if code.co_flags & _FUNCTION else f"{qualname}."
    for c in code.co_consts:
        if not isinstance(c, CodeType):
            constants.append(c)
        elif MARK in c.co_varnames:
            constants.append(_named(c, name, qualname))
        else:
            constants.append(_named(c, c.co_name, inside + c.co_name))
    return code.replace(co_name=name, co_qualname=qualname, co_consts=tuple(constants))


def _remember(code: CodeType) -> None:
    """Notes the code made here, but not that of the user's functions inside it."""
    _made.add(code)
    for c in code.co_consts:
        if isinstance(c, CodeType) and MARK in c.co_varnames:
            _remember(c)


def target(f: Any) -> Any:
    """What is called for `f`: a user's function rewritten, anything else itself."""
    if isinstance(f, FunctionType):
        return converted(f)
    if isinstance(f, MethodType):
        if not isinstance(f.__func__, FunctionType):
            return f
        new = converted(f.__func__)
        return f if new is f.__func__ else MethodType(new, f.__self__)
    if isinstance(f, functools.partial):
        return functools.partial(target(f.func), *f.args, **f.keywords)
    if any(f is known for known in _APPLY):
        return functools.partial(_applied, f)
    if isinstance(f, type):
        return builtins.REPLACED.get(f) or _constructor(f)
    if isinstance(f, BuiltinFunctionType):
        return builtins.REPLACED.get(f, f)
    call = next((k.__dict__["__call__"] for k in type(f).__mro__ if "__call__" in k.__dict__), None)
    if isinstance(call, FunctionType) and converted(call) is not call:
        return MethodType(converted(call), f)
    return f


def _applied(f: Any, function: Any, *rest: Any) -> Any:
    """A builtin that calls the function it is given."""
    return f(target(function), *rest)


def _constructor(kind: type) -> Any:
    """A class whose `__init__` is rewritten, as a function; or itself."""
    init = kind.__init__
    if (
        type(kind) is not type
        or kind.__new__ is not object.__new__
        or not isinstance(init, FunctionType)
        or converted(init) is init
    ):
        return kind

    @functools.wraps(kind, updated=())
    def construct(*args: Any, **kwargs: Any) -> Any:
        made = object.__new__(kind)
        converted(init)(made, *args, **kwargs)
        return made

    return construct


def explaining_unset(trace: Callable[[], Result]) -> Result:
    """`trace()`; reading a variable that a branch or a loop left unset raises an error of dlc."""
    token = notes.set({})
    try:
        return trace()
    except NameError as error:
        noted = notes.get() or {}
        name = error.name or (re.findall(r"'(\w+)'", str(error)) or [""])[0]
        if name not in noted:
            raise
        raise UnsetVariableError(
            f"{name!r} may have no value here: {noted[name]}",
            hint=f"give {name} a value before",
            location=_place_of(error),
        ) from None
    finally:
        notes.reset(token)


def _place_of(error: BaseException) -> SourceLocation | None:
    """The line that raised an error."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return None
    code = at.tb_frame.f_code
    return SourceLocation(
        code.co_filename, at.tb_lineno, code.co_qualname.rpartition("<locals>.")[2]
    )


_runtime = CellType(SimpleNamespace(target=target, **operators.OPERATORS))
