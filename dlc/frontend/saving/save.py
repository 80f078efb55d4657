"""`dlc.save`: what a compiled function is made of, written to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np

from dlc.frontend.closure import Closure
from dlc.frontend.compile import CompiledFunction, compile
from dlc.frontend.saving.container import Entry, checksum, write
from dlc.frontend.saving.contents import (
    Contents,
    SavedProgram,
    SavedVariable,
    array_name,
    manifest_entry,
    manifest_text,
    text_name,
)
from dlc.frontend.saving.forms import form_of
from dlc.frontend.signature import CallKey, Signature
from dlc.frontend.tensor import Array, contiguous
from dlc.frontend.variable import Variable, variables_lock
from dlc.ir.core import Function, all_nodes
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.host_function import called_functions
from dlc.ir.op import OPS
from dlc.ir.printer import print_function
from dlc.ir.types import TensorType, dtype_of
from dlc.ir.version import __version__
from dlc.runtime.files import write_whole

_OUTSIDE = ("saving", "save outside of compiled functions")


def save(target: Any, path: str | os.PathLike[str], specs: Any = None) -> None:
    """Writes a compiled function or a model to a file; `dlc.load` reads it with no code of yours.

    The file has the typed IR of the program, the values of all that it closes over, and its
    signature. Variables that the program reads or updates are state of the loaded program. A model
    is saved in its present mode (`model.eval()`), under the names of its `state_dict`.

    Args:
        target: A function, compiled or not, or a model.
        path: The file; it is there as a whole or not at all.
        specs: What it is to be called with: a tuple of arguments as `lower` takes them (specs, text
            such as "f32[b,784]", arrays, values of static arguments), a dict of arguments by name,
            or the only argument. A list of such makes a program for each, which share their state.
            Without it, the programs are those for which a compiled function has been called, in the
            region of `dlc.autocast` that this is in, or outside of one.

    Raises:
        ArgumentError: for what cannot be called or held by a file: a Python function that the
            program calls back, a class of yours among arguments or results.
        ValueRangeError: without specs, for a function that has not been called.
        SaveError: when the file cannot be written; what was there before is still there.

    Example:
        >>> dlc.save(lambda x: x * 2, "twice.dlc", specs="f32[n]")
        >>> dlc.load("twice.dlc")(np.float32([1, 2]))
        Tensor([2., 4.], dtype=float32)
    """
    f, programs = programs_of(target, specs)
    contents = _Collector(f).contents(programs)
    write_whole(path, lambda file: _write(file, contents))


def programs_of(target: Any, specs: Any) -> tuple[CompiledFunction, list[tuple[CallKey, Closure]]]:
    """The compiled function that a user means, and the programs of it that `specs` asks for."""
    f = target if isinstance(target, CompiledFunction) else compile(target)
    assert isinstance(f, CompiledFunction)
    try:
        programs = f.saved_programs() if specs is None else [_trace(f, s) for s in _calls(specs)]
    except ArgumentError as error:
        if isinstance(specs, list):
            error.hint = error.hint or "a list of specs is several programs, a tuple the arguments"
        raise
    if not programs:
        raise ValueRangeError(
            f"{f.name} is to be saved, but not for what arguments",
            hint='say it, as in specs="f32[b,784]", or call the compiled function before, with its '
            "models in the mode that they are in now",
        )
    return f, programs


def _calls(specs: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments of each call that `specs` means."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    for one in specs if isinstance(specs, list) else [specs]:
        if isinstance(one, dict):
            calls.append(((), one))
        else:
            calls.append((one if type(one) is tuple else (one,), {}))
    return calls


def _trace(f: CompiledFunction, arguments: tuple[Any, Any]) -> tuple[CallKey, Closure]:
    call, extents = f._declared(*arguments)
    return call.key, f._trace(call, extents)


def _write(file: BinaryIO, contents: Contents) -> None:
    functions = [p.function for p in contents.programs]
    texts = [print_function(f).encode() for f in functions if f is not None]
    for k, (p, text) in enumerate(zip(contents.programs, texts, strict=True)):
        p.text = Entry(text_name(k), len(text), checksum(text))
    arrays = [a.reshape(-1).view(np.uint8).data for a in contents.arrays]
    contents.entries = [Entry(array_name(k), len(m), checksum(m)) for k, m in enumerate(arrays)]
    manifest = manifest_text(contents)
    first = manifest_entry(manifest, checksum(manifest))
    entries = [first, *(p.text for p in contents.programs), *contents.entries]
    write(file, entries, [manifest, *texts, *arrays])


class _Collector:
    """Numbers the variables and arrays of programs."""

    def __init__(self, f: CompiledFunction) -> None:
        self.f = f
        self.types: list[TensorType] = []
        self.arrays: list[Array] = []
        self.places: dict[int, int] = {}
        self.variables: list[Variable] = []
        self.numbers: dict[int, int] = {}

    def contents(self, programs: Sequence[tuple[CallKey, Closure]]) -> Contents:
        """All of the file; the values of variables are those of one moment."""
        options = self.f.settings.options
        with variables_lock:
            made = [self.program(key, closure) for key, closure in programs]
            variables = self.saved_variables()
        signature = self.f.signature
        return Contents(
            maker=__version__,
            name=self.f.name,
            level=options.level,
            precision=options.precision,
            parameters=_parameters(signature),
            static=list(signature.static),
            donated=list(signature.donated),
            types=self.types,
            arrays=self.arrays,
            entries=[],
            variables=variables,
            programs=made,
        )

    def program(self, key: CallKey, closure: Closure) -> SavedProgram:
        name = self.f.name
        _check_portable(name, closure.function)
        return SavedProgram(
            function=closure.function,
            text=Entry("", 0, 0),
            arguments=form_of(key.structure, f"the arguments of {name}"),
            static=[(place, s.value) for place, s in key.static],
            weak=[leaf.weak for leaf in key.leaves],
            output=form_of(closure.output, f"the results of {name}"),
            outputs=closure.outputs,
            constants=[self.array(t._array(*_OUTSIDE)) for t in closure.captures],
            variables=[self.variable(v) for v in closure.variables],
            gradients=[self.variable(v) for v in closure.gradients],
            written=[self.variable(v) for v in closure.written],
            gradients_written=[(self.variable(v), p) for v, p in closure.gradients_written],
            guards=[(self.variable(v), present) for v, present in closure.guards],
        )

    def array(self, given: Array) -> int:
        """The number of an array; one that is there twice has one."""
        found = self.places.get(id(given))
        if found is None:
            found = self.places[id(given)] = len(self.arrays)
            self.arrays.append(contiguous(given))
            self.types.append(TensorType(dtype_of(given.dtype), given.shape))
        return found

    def variable(self, v: Variable) -> int:
        found = self.numbers.get(id(v))
        if found is None:
            found = self.numbers[id(v)] = len(self.variables)
            self.variables.append(v)
        return found

    def saved_variables(self) -> list[SavedVariable]:
        found: list[SavedVariable] = []
        names = variable_names(self.f.__wrapped__, self.variables)
        for v in self.variables:
            gradient = None if v._grad is None else self.array(v._grad._array(*_OUTSIDE))
            value = self.array(v._array(*_OUTSIDE))
            found.append(SavedVariable(names[id(v)], value, v.requires_grad, gradient))
        return found


def variable_names(target: Any, variables: Iterable[Variable]) -> dict[int, str]:
    """Different names for variables, by their number: those that a model has for them, or own."""
    known: dict[int, str] = {}
    for method in ("named_parameters", "named_buffers"):
        walk: Callable[[], Iterable[tuple[str, Variable]]] | None = getattr(target, method, None)
        if walk is not None:
            known |= {id(v): name for name, v in walk()}
    found: dict[int, str] = {}
    taken: set[str] = set()
    for k, v in enumerate({id(v): v for v in variables}.values()):
        base = known.get(id(v)) or v.name or f"variable{k}"
        name, suffix = base, 0
        while name in taken:
            suffix += 1
            name = f"{base}_{suffix}"
        taken.add(name)
        found[id(v)] = name
    return found


def _parameters(signature: Signature) -> list[tuple[str, str, bool]] | None:
    if signature.signature is None:
        return None
    parameters = signature.signature.parameters.values()
    return [(p.name, p.kind.name.lower(), p.default is not p.empty) for p in parameters]


def _check_portable(name: str, function: Function) -> None:
    """ArgumentError for a program that means something in this process only."""
    called = called_functions(function)
    if called:
        names = ", ".join(sorted({c.name for c in called}))
        raise ArgumentError(
            f"{name} cannot be saved: it calls Python back ({names})",
            hint="leave debug.callback and pure_callback out, or write them in functions of dlc",
        )
    added = sorted({n.op.name for n in all_nodes(function) if not OPS.is_built_in(n.op)})
    if added:
        raise ArgumentError(
            f"{name} cannot be saved: {', '.join(added)} is no operation of dlc's own",
            hint="write it in functions of dlc",
        )
