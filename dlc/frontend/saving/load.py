"""`dlc.load`: a saved program as a compiled function. Its IR is data: it is read and verified."""

from __future__ import annotations

import os
import re
import string
from typing import BinaryIO

import numpy as np

from dlc.frontend.closure import Closure
from dlc.frontend.compile import Settings
from dlc.frontend.saving.container import (
    check_form,
    layout,
    read_content,
    read_into,
    read_manifest,
)
from dlc.frontend.saving.contents import Contents, SavedProgram, read_contents
from dlc.frontend.saving.forms import structure_of
from dlc.frontend.saving.loaded import LoadedFunction, LoadedProgram
from dlc.frontend.tensor import make
from dlc.frontend.variable import Variable
from dlc.ir.config import config
from dlc.ir.core import Function, Node, all_nodes
from dlc.ir.errors import DlcError, FileFormatError, ParseError, VerifyError
from dlc.ir.host_function import called_functions
from dlc.ir.parser import parse_function
from dlc.ir.types import TensorType
from dlc.ir.verifier import verify
from dlc.ir.version import __version__
from dlc.runtime.buffers import aligned_copy, empty
from dlc.runtime.executable import Options


def load(
    path: str | os.PathLike[str], *, device: str | None = None, num_threads: int | None = None
) -> LoadedFunction:
    """A program that `dlc.save` or `f.save` wrote, as a compiled function.

    It is called like the function that was saved, and needs none of its code. It can be
    differentiated, lowered, vmapped and called inside other functions; its variables are in
    `state_dict()`. Nothing in the file is run but its IR, which is verified and compiled here.

    Args:
        path: The file.
        device: Where it runs; `config.device` when not given.
        num_threads: Threads of a call.

    Raises:
        FileNotFoundError: when there is no such file.
        FileFormatError: for a file that is damaged, cut off, of a later version, or no saved
            program.

    Example:
        >>> dlc.save(dlc.compile(lambda x: x * 2, name="twice"), "twice.dlc", specs="f32[n]")
        >>> loaded = dlc.load("twice.dlc")
        >>> loaded
        <loaded twice.dlc: twice(x: f32[n]) -> f32[n]>
        >>> loaded(np.float32([1, 2]))
        Tensor([2., 4.], dtype=float32)
    """
    if num_threads is not None:
        config.thread_count(num_threads)
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            contents = _read(file)
        programs, variables = _programs(contents)
        options = Options(
            level=contents.level,
            precision=contents.precision,
            device=config.device if device is None else str(device),
            num_threads=num_threads,
        )
        return LoadedFunction(name, contents, programs, variables, Settings(options))
    except DlcError as error:
        where = f" ({error.file}, line {error.line})" if isinstance(error, ParseError) else ""
        message = f"{name!r} cannot be loaded: {error.message}{where}"
        raise FileFormatError(message, hint=error.hint) from None


def _read(file: BinaryIO) -> Contents:
    size = os.fstat(file.fileno()).st_size
    first, manifest = read_manifest(file, size)
    contents = read_contents(manifest)
    texts = [p.text for p in contents.programs]
    entries = [first, *texts, *contents.entries]
    if sum(e.size for e in entries) > size:
        raise FileFormatError(f"it has {size} bytes, less than its contents: it is cut off")
    form = layout(entries)
    # Sizes are true from here on: no more is read than the file has.
    check_form(file, size, form)
    for p, entry, offset in zip(contents.programs, texts, form.offsets[1:], strict=False):
        data = read_content(file, entry, offset)
        try:
            p.function = _function(data, entry.name)
        except (ParseError, VerifyError) as error:
            if contents.maker != __version__:
                error.hint = f"dlc {contents.maker} saved it, and this is dlc {__version__}"
            raise
    offsets = form.offsets[1 + len(texts) :]
    for type_, entry, offset in zip(contents.types, contents.entries, offsets, strict=True):
        shape = [d for d in type_.shape if isinstance(d, int)]
        array = empty(shape, type_.dtype)
        raw = array.reshape(-1).view(np.uint8)
        read_into(file, entry, offset, raw.data)
        if type_.dtype.kind == "b" and raw.size and raw.max() > 1:
            raise FileFormatError(f"{entry.name} has truth values that are none")
        contents.arrays.append(array)
    return contents


def _function(data: bytes, name: str) -> Function:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FileFormatError(f"{name} is no text") from None
    function = parse_function(text, file=name)
    verify(function, stage="traced")
    if called_functions(function):
        raise FileFormatError(f"{name} calls a Python function, which no saved program does")
    for node in all_nodes(function):
        if node.op.name == "debug_print":
            _check_print(node, name)
    return function


def _check_print(node: Node, name: str) -> None:
    """Formats can read attributes and take any amount of memory: those of a file do neither."""
    try:
        parts = list(string.Formatter().parse(node.attrs["text"]))
    except ValueError:
        raise FileFormatError(f"a format in {name} is none") from None
    for _, field, format_, _ in parts:
        wide = re.search(r"\d{4}|\{", format_ or "")
        if wide or set(field or "") & set(".["):
            raise FileFormatError(f"a format in {name} does more than show numbers")


def _programs(contents: Contents) -> tuple[list[LoadedProgram], dict[str, Variable]]:
    variables: list[Variable] = []
    seen: set[int] = set()
    for v in contents.variables:
        value = contents.arrays[v.array]
        if v.array in seen:
            value = aligned_copy(value, contents.types[v.array].dtype)
        seen.add(v.array)
        made = Variable(make(value), False, v.name)
        _need(made.dtype.is_float or not v.requires_grad, f"the variable {v.name} has no gradient")
        made.requires_grad = v.requires_grad
        if v.gradient is not None:
            gradient = make(contents.arrays[v.gradient])
            _need(gradient.tensor == made.tensor, f"the gradient of {v.name} is another's")
            made._grad = gradient
        variables.append(made)
    programs = [_program(p, contents, variables) for p in contents.programs]
    return programs, {v.name: v for v in variables if v.name is not None}


def _program(p: SavedProgram, contents: Contents, variables: list[Variable]) -> LoadedProgram:
    function = p.function
    assert function is not None
    call, output = structure_of(p.arguments), structure_of(p.output)
    _need(
        call.kind is tuple
        and [c.kind for c in call.children] == [tuple, dict]
        and call.num_leaves == len(p.weak)
        and output.num_leaves == p.outputs,
        "its arguments or results are none",
    )
    closure = Closure(
        function=function,
        arguments=len(p.weak),
        captures=[],
        fixed=[],
        variables=[variables[k] for k in p.variables],
        gradients=[variables[k] for k in p.gradients],
        output=output,
        outputs=p.outputs,
        written=[variables[k] for k in p.written],
        gradients_written=[(variables[k], present) for k, present in p.gradients_written],
        guards=[(variables[k], present) for k, present in p.guards],
        observed=[],
    )
    constants = [contents.arrays[k] for k in p.constants]
    _check_types(closure, [contents.types[k] for k in p.constants])
    return LoadedProgram(closure, call, p.arguments, dict(p.static), p.weak, constants)


def _check_types(closure: Closure, constants: list[TensorType]) -> None:
    """Raises FileFormatError unless a function takes and gives what its program says."""
    function, outputs = closure.function, closure.outputs
    with_gradient = {id(v) for v, present in closure.guards if present}
    read = [*constants, *(v.tensor for v in [*closure.variables, *closure.gradients])]
    given = [p.tensor for p in function.params[closure.arguments :]]
    kept = [v for v, present in closure.gradients_written if present]
    made = [v.tensor for v in [*closure.written, *kept]]
    _need(given == read, "a program reads other values than it says")
    _need([r.tensor for r in function.results[outputs:]] == made, "a program's results are others")
    _need(
        all(id(v) in with_gradient for v in closure.gradients)
        and set(map(id, closure.written)) <= set(map(id, closure.variables)),
        "a program uses variables in another way than it says",
    )


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise FileFormatError(message)
