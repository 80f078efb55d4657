"""FILE[:NAME]: finding the function or model that a command is about."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import keyword
import linecache
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.frontend.api import Tensor
from dlc.frontend.compile import CompiledFunction
from dlc.frontend.saving.load import load
from dlc.ir.core import Function
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError, ParseError, nearest
from dlc.ir.parser import parse_module

if TYPE_CHECKING:
    from dlc.interop import onnx
else:
    onnx = deferred("dlc.interop.onnx")

STDIN = "-"
_PYTHON, _IR, _SAVED, _ONNX = (".py", ".pyw"), (".ir",), (".dlc",), (".onnx",)
PLAIN_TEXT = _PYTHON + _IR
_READ = _PYTHON + _IR + _SAVED + _ONNX
FILES = "Python (.py), IR text (.ir), saved programs (.dlc) and ONNX models (.onnx)"


@dataclass(frozen=True)
class Target:
    """What FILE[:NAME] stands for: a callable of Python, or a function of the IR.

    scope: the names that the Python file defines.
    """

    name: str
    value: Callable[..., Any] | Function
    scope: Mapping[str, Any] = field(default_factory=dict[str, Any])


def apart() -> contextlib.AbstractContextManager[Any]:
    """Where what a user's file or program prints goes to standard error: it is no output of dlc."""
    return contextlib.redirect_stdout(sys.stderr)


def load_target(text: str) -> Target:
    """Finds what a command is about.

    Args:
        text: A Python file (which is run), an .ir file, a saved program (.dlc) or an ONNX model;
            `:NAME` after it says what in it, as in `train.py:model.loss`. `-` is IR text on
            standard input.

    Raises:
        ArgumentError: for a file or a name that is not there, and without a name where there are
            several to choose from.
        ParseError: for a malformed .ir file.
        FileFormatError: for what is no saved program or ONNX model.
        ModelError: for an ONNX model with operators that dlc does not know.
        Exception: what the Python file raises.

    Example:
        >>> load_target("examples/digits.py:train_step").name
        'train_step'
    """
    file, name = split_target(text)
    if file == STDIN or Path(file).suffix in _IR:
        return _ir_target(file, name)
    if Path(file).suffix in _SAVED:
        return _saved_target(file, name)
    if Path(file).suffix in _ONNX:
        return _onnx_target(file, name)
    if Path(file).suffix not in _PYTHON:
        _check_file(file)
        raise ArgumentError(f"{file} is no file that dlc reads", hint=f"it reads {FILES}")
    return _python_target(file, name)


def read_ir(file: str) -> tuple[Function, ...]:
    """The functions of an .ir file, or of standard input for `-`.

    Raises:
        ArgumentError: for a file that is not there.
        ParseError: for what is no IR text.
    """
    if file == STDIN:
        data, shown = sys.stdin.buffer.read(), "standard input"
    else:
        _check_file(file)
        data, shown = Path(file).read_bytes(), file
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ParseError(
            "this is no text", line=line, column=column, expected="UTF-8", file=shown
        ) from None
    return parse_module(text, file=shown)


def split_target(text: str) -> tuple[str, str | None]:
    """FILE and NAME, or None where there is none; ArgumentError for what has no such form."""
    if not text:
        raise ArgumentError("FILE[:NAME] is empty", hint="as in train.py:loss")
    file, colon, name = text.rpartition(":")
    # A file's own name may have a colon, as `C:\net.py` does.
    if not colon or Path(text).exists() or "\\" in name or "/" in name:
        return text, None
    if not file or not name:
        raise ArgumentError(f"{text!r} is not FILE:NAME", hint="as in train.py:loss")
    return file, name


def _check_file(file: str) -> None:
    path = Path(file)
    if path.is_file():
        return
    if path.is_dir():
        raise ArgumentError(f"{file} is a folder", hint="name a file in it")
    there: list[str] = []
    with contextlib.suppress(OSError):
        there = [p.name for p in path.parent.iterdir() if p.suffix in _READ]
    close = nearest(path.name, there) if there else ""
    raise ArgumentError(f"there is no file {file}", hint=close if close.startswith("did") else None)


def _ir_target(file: str, name: str | None) -> Target:
    functions = {f.name: f for f in read_ir(file)}
    if name is None and len(functions) == 1:
        (name,) = functions
    if name is None:
        raise _which(file, functions)
    if name not in functions:
        raise ArgumentError(f"{file} has no function @{name}", hint=nearest(name, functions))
    return Target(name, functions[name])


def _saved_target(file: str, name: str | None) -> Target:
    _check_file(file)
    loaded = load(file)
    if name not in (None, loaded.name):
        raise ArgumentError(f"{file} has no {name}", hint=f"it is the program {loaded.name}")
    return Target(loaded.name, loaded, loaded.variables)


def _onnx_target(file: str, name: str | None) -> Target:
    _check_file(file)
    model = onnx.load(file)
    if name not in (None, model.name):
        raise ArgumentError(f"{file} has no {name}", hint=f"it is the model {model.name}")

    def run(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        given = signature.bind(*args, **kwargs).args
        return model(dict(zip(model.input_names, given, strict=True)))

    names = names_of_inputs(model.input_names)
    kind, nothing = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    parameters = (
        inspect.Parameter(n, kind, annotation=nothing if s is None else s)
        for n, s in zip(names, model.input_specs, strict=True)
    )
    signature = inspect.Signature(list(parameters))
    run.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    run.__name__ = model.name
    return Target(model.name, run)


def names_of_inputs(names: Iterable[str]) -> list[str]:
    """Names of a model's inputs as those of parameters of Python.

    Example:
        >>> names_of_inputs(["image", "input.1", "input_1", "class"])
        ['image', 'input_1', 'input_1_', 'class_']
    """
    found: list[str] = []
    for name in names:
        made = re.sub(r"\W", "_", name, flags=re.ASCII)
        made = made if made.isidentifier() else f"_{made}"
        while made in found or keyword.iskeyword(made):
            made += "_"
        found.append(made)
    return found


def _which(file: str, names: Iterable[str]) -> ArgumentError:
    names = sorted(names)
    if not names:
        return ArgumentError(f"{file} defines no function")
    return ArgumentError(
        f"{file} has several functions: {', '.join(names)}", hint=f"say which: {file}:{names[0]}"
    )


def _python_target(file: str, name: str | None) -> Target:
    module = _load_module(file)
    if name is None:
        found = _candidates(module)
        if len(found) != 1:
            raise _which(file, found)
        (name,) = found
    value: Any = module
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            names = [n for n in dir(value) if not n.startswith("_")]
            where = file if value is module else type(value).__name__
            raise ArgumentError(f"{where} has no {part!r}", hint=nearest(part, names)) from None
    if inspect.isclass(value):
        raise ArgumentError(f"{name} of {file} is a class", hint="name an instance of it")
    if not callable(value):
        raise ArgumentError(f"{name} of {file} is no function, but of type {type(value).__name__}")
    return Target(name, value, vars(module))


def _candidates(module: types.ModuleType) -> list[str]:
    """The names that a user may mean who gives none: compiled functions, else all of the file's."""
    public = {n: v for n, v in vars(module).items() if not n.startswith("_")}
    compiled = [n for n, v in public.items() if isinstance(v, CompiledFunction)]
    if compiled:
        return compiled
    own = [
        n
        for n, v in public.items()
        if inspect.isfunction(v) and v.__module__ == module.__name__ and n != "main"
    ]
    models = [
        n
        for n, v in public.items()
        if type(v).__module__ == module.__name__ and callable(v) and not isinstance(v, Tensor)
    ]
    return own + models


def _load_module(file: str) -> types.ModuleType:
    """Runs a Python file as Python's own import would; what it prints goes to standard error."""
    _check_file(file)
    try:
        source = importlib.util.decode_source(Path(file).read_bytes())
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{file} is no Python file: {error}") from None
    if "\0" in source:
        raise ArgumentError(f"{file} is no Python file: it has null characters")
    code = compile(source, file, "exec", dont_inherit=True)
    linecache.checkcache(file)  # under this name another file may have been read
    name = Path(file).stem
    # A file may be called as a module that is loaded already, and must not take its place.
    module = types.ModuleType(f"{name}_file" if name in sys.modules else name)
    module.__file__ = file
    folder = str(Path(file).resolve().parent)
    if folder not in sys.path:  # it stays: functions import more when they are traced
        sys.path.insert(0, folder)
    sys.modules[module.__name__] = module  # where dataclasses look for their module
    arguments, sys.argv = sys.argv, [file]
    try:
        with apart():
            exec(code, vars(module))
    except SystemExit as ended:
        raise ArgumentError(
            f"{file} ended the process when it was loaded (exit status {ended.code})",
            hint='guard what the file does when it is run with `if __name__ == "__main__":`',
        ) from None
    finally:
        sys.argv = arguments
    return module
