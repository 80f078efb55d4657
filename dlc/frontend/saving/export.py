"""`dlc.export_library`: programs as a library for C, which runs without dlc and without Python."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dlc.codegen.cpu.isa import Isa, current_isa, host_machine, isa_named
from dlc.frontend.closure import Closure
from dlc.frontend.compile import CompiledFunction
from dlc.frontend.saving.library_text import Function, Value, header_text, python_module
from dlc.frontend.saving.save import programs_of, variable_names
from dlc.frontend.signature import CallKey
from dlc.frontend.tensor import Array, contiguous
from dlc.frontend.variable import variables_lock
from dlc.ir.errors import BackendError, SaveError
from dlc.ir.record import NamedTuple
from dlc.ir.types import TensorType
from dlc.runtime.files import write_whole
from dlc.runtime.library import LibraryEntry, LibraryFunction, compile_library

_OUTSIDE = ("exporting", "export outside of compiled functions")
# Words of C, and names that the files use.
_C_WORDS = """
auto bool break case char const continue default do double else enum extern float for goto if inline
int long main register restrict return short signed sizeof static struct switch typedef union
unsigned void volatile while workspace np ctypes os
"""
_RESERVED = {*_C_WORDS.split(), *keyword.kwlist}


class Library(NamedTuple):
    """What `export_library` wrote.

    object: the object file, which can be linked into a program.
    header: the header for C.
    library: the shared library; None where there is no linker for the target.
    module: a Python module that calls the library with NumPy; None without a library.
    """

    object: str
    header: str
    library: str | None
    module: str | None


def export_library(
    f: Any, folder: str | os.PathLike[str], specs: Any = None, target: str | None = None
) -> Library:
    """Compiles a function or model to an object file and a shared library with a header for C.

    The library needs nothing besides: no dlc, no Python, no C library. It has a function for each
    program, which takes named extents, pointers to the elements of arguments and results
    (C-contiguous) and to a workspace, and returns 0. What the program closes over is part of the
    library. Variables that it updates are arguments (`state_*`) and results (`new_*`); their values
    now are symbols of it. Functions run on the calling thread, and may run on several threads with
    a workspace each.

    Args:
        f: A function, compiled or not, or a model.
        folder: Where the files go; it is made.
        specs: What it is called with, as of `dlc.save`.
        target: The instruction set level of the machine that will run it, such as "x86-64-v3" or
            "aarch64"; that of this machine when not given.

    Raises:
        ArgumentError: for what cannot be called.
        BackendError: for a program that calls Python, and one that keeps what a loop of unknown
            length computes.
        SettingError: for an unknown target.
        SaveError: when a file cannot be written, or linked.

    Example:
        >>> twice = dlc.compile(lambda x: x * 2, name="twice")
        >>> dlc.export_library(twice, "out", specs="f32[4]").header
        'out/twice.h'
    """
    compiled, programs = programs_of(f, specs)
    isa = _target(target)
    name = _identifier(compiled.name)
    planned, state = _planned_functions(compiled, name, programs)
    data = {f"{name}_initial_{n}": a for n, (_, a) in state.items()}
    made, entries = compile_library(
        [p.code for p in planned], data, isa, compiled.settings.options.level
    )
    shown = [p.shown(e) for p, e in zip(planned, entries, strict=True)]
    initial = [Value(f"{name}_initial_{n}", t) for n, (t, _) in state.items()]
    where = os.fspath(folder)
    try:
        os.makedirs(where, exist_ok=True)
    except OSError as error:
        raise SaveError(f"the folder {where!r} could not be made: {error.strerror}") from error
    object_file, library = (os.path.join(where, n) for n in (f"{name}.o", f"lib{name}.so"))
    header, module = (os.path.join(where, n) for n in (f"{name}.h", f"{name}.py"))
    linker = _linker(isa)
    line = f"{linker or 'cc'} -shared -nostdlib {name}.o -o lib{name}.so"
    _write(object_file, made)
    _write(header, header_text(name, isa.name, line, shown, initial).encode())
    if linker is None:
        warnings.warn(
            f"no shared library was made: there is no linker for {isa.machine} here. "
            f"Link {object_file} where there is one: {line}",
            stacklevel=2,
        )
        return Library(object_file, header, None, None)
    _link(linker, object_file, library)
    _write(module, python_module(name, shown, initial).encode())
    return Library(object_file, header, library, module)


def _write(path: str, data: bytes) -> None:
    write_whole(path, lambda file: file.write(data))


class _Planned(NamedTuple):
    """A function of the library, with the names of what it takes and gives."""

    code: LibraryFunction
    params: list[str]
    results: list[str]

    def shown(self, entry: LibraryEntry) -> Function:
        """It as the header shows it."""
        params = [Value(n, t) for n, t in zip(self.params, entry.params, strict=True)]
        results = [Value(n, t) for n, t in zip(self.results, entry.results, strict=True)]
        return Function(entry.symbol, entry.symbols, params, results, entry.workspace)


def _planned_functions(
    compiled: CompiledFunction, name: str, programs: Sequence[tuple[CallKey, Closure]]
) -> tuple[list[_Planned], dict[str, tuple[TensorType, Array]]]:
    """A function for each program, and the first values of state by name."""
    variables = [v for _, c in programs for v in (*c.variables, *c.gradients)]
    with variables_lock:
        known = variable_names(compiled.__wrapped__, variables)
        names = dict(zip(known, _identifiers(known.values()), strict=True))
        planned = [
            _planned(compiled, name if len(programs) == 1 else f"{name}_{k}", key, c, names)
            for k, (key, c) in enumerate(programs)
        ]
        written = {names[id(v)]: v for _, c in programs for v in c.written}
        state = {n: (v.tensor, contiguous(v._array(*_OUTSIDE))) for n, v in written.items()}
    return planned, state


def _planned(
    compiled: CompiledFunction, symbol: str, key: CallKey, c: Closure, names: Mapping[int, str]
) -> _Planned:
    function = c.function
    written = set(map(id, c.written))
    others = [*c.captures, *(v for v in c.variables if id(v) not in written)]
    fixed_ids = set(map(id, others))
    read = [*c.captures, *c.variables]
    fixed = tuple(c.arguments + k for k, t in enumerate(read) if id(t) in fixed_ids)
    values = tuple(contiguous(t._array(*_OUTSIDE)) for t in read if id(t) in fixed_ids)
    leaves = compiled.signature.leaf_names(key.structure)
    params = [*leaves, *(f"state_{names[id(v)]}" for v in c.variables if id(v) in written)]
    params += [f"gradient_{names[id(v)]}" for v in c.gradients]
    results = [f"result{path}" for path in c.output.paths()]
    results += [f"new_{names[id(v)]}" for v in c.written]
    results += [f"new_gradient_{names[id(v)]}" for v, present in c.gradients_written if present]
    shown = _identifiers([*params, *results])
    count = len(params)
    code = LibraryFunction(symbol, function, fixed, values)
    return _Planned(code, shown[:count], shown[count:])


def _identifiers(names: Iterable[str]) -> list[str]:
    """Different names of C and Python for names."""
    found: dict[str, None] = {}
    for name in names:
        base = _identifier(name)
        made, suffix = base, 0
        while made in found:
            suffix += 1
            made = f"{base}_{suffix}"
        found[made] = None
    return list(found)


def _identifier(name: str) -> str:
    made = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_") or "x"
    taken = made[0].isdigit() or made in _RESERVED or made.startswith("extent_")
    return f"_{made}" if taken else made


def _target(target: str | None) -> Isa:
    if sys.platform == "win32":
        raise BackendError(
            "libraries are ELF files, which Windows does not have",
            hint="export on Linux, or in its subsystem for Windows",
        )
    if target is not None:
        return isa_named(target)
    isa = current_isa()
    # A process has to ask for the unit that multiplies matrices; a library cannot.
    return isa_named("x86-64-v4") if isa.matrix else isa


def _linker(isa: Isa) -> str | None:
    """A command that links for an architecture, where there is one."""
    own = ["cc", "gcc", "clang"] if isa.machine == host_machine() else []
    candidates = [*own, f"{isa.machine}-linux-gnu-gcc"]
    linux = sys.platform == "linux" or not own
    return next((c for c in candidates if linux and shutil.which(c)), None)


def _link(command: str, made: str, library: str) -> None:
    """Makes a shared library of an object file; it is there as a whole or not at all."""
    unfinished = f"{library}.tmp"
    words = [command, "-shared", "-nostdlib", made, "-o", unfinished]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SaveError(f"{' '.join(words)} failed: {done.stderr.strip()[:2000]}")
    os.replace(unfinished, library)
