"""Programs as an object file with a function of C for each, which needs nothing besides.

A function takes a pointer for each argument and result, and a workspace. There it lays out the
program's table (`dlc.runtime.library_function`), and calls the driver, which calls the kernels on
the calling thread.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.codegen.cpu.backend import CpuBackend
from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.isa import Isa, current_isa
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.cpu.object_file import Data, write_object
from dlc.codegen.cpu.pieces import Piece, Reference, join_open
from dlc.codegen.cpu.stored_code import CpuCode
from dlc.codegen.program import Program
from dlc.codegen.program_builder import build_program
from dlc.ir.core import Function
from dlc.ir.dims import Dim, Range
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass, replace
from dlc.ir.types import TensorType
from dlc.passes import manager, pipelines
from dlc.runtime.cpu import CpuProgram
from dlc.runtime.device import find_device
from dlc.runtime.kept import standing_arrays
from dlc.runtime.library_function import CONSTANTS, DRIVER, FunctionText, SymbolicTable
from dlc.runtime.native.support import pool_source

Array = np.ndarray[Any, Any]
_ALIGNMENT = 64
_RELATIVE = {"x86_64": 24, "aarch64": 260}  # 64-bit distances, as relocations


@dataclass(frozen=True)
class LibraryFunction:
    """A function of a library.

    fixed: the positions of parameters whose values are parts of the library.
    """

    symbol: str
    function: Function
    fixed: tuple[int, ...]
    values: tuple[Array, ...]


@dataclass(frozen=True)
class LibraryEntry:
    """A function as it is called: extents, a pointer for each type, then one to a workspace.

    symbols: the names of the extents, with what these may be.
    workspace: its bytes; a dim where it depends on extents.
    """

    symbol: str
    params: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    symbols: Mapping[str, Range]
    workspace: Dim


def compile_library(
    functions: Sequence[LibraryFunction], data: Mapping[str, Array], isa: Isa, level: str
) -> tuple[bytes, list[LibraryEntry]]:
    """An object file of functions, and how they are called.

    Args:
        functions: The functions.
        data: Arrays that the library has besides, by symbol.
        isa: The level of the machine that will run it.
        level: Of optimisation.

    Raises:
        BackendError: for what no library can do: call Python, or keep what a loop of unknown length
            computes.
    """
    maker = _Maker(isa, level)
    entries = [maker.add(f) for f in functions]
    return maker.finish(data), entries


class _Maker:
    def __init__(self, isa: Isa, level: str) -> None:
        self.isa, self.level = isa, level
        self.backend = CpuBackend(isa)
        self.constants = bytearray()
        self.placed: dict[int, int] = {}
        self.kept: list[Array] = []
        self.pieces: dict[str, Piece] = {}
        self.kernels: dict[bytes, str] = {}
        self.texts: list[str] = []
        self.symbols: list[str] = []

    def add(self, f: LibraryFunction) -> LibraryEntry:
        """Compiles a function, and writes the one that is called."""
        own = find_device("cpu").own_kernels
        passes = pipelines.pipeline_of(
            self.level, self.backend.panel_bits, f.fixed, own_kernels=own
        )
        program = build_program(manager.run_pipeline(f.function, passes), (), f.fixed)
        _check(program)
        payloads = self.backend.compile(program.kernels)
        names = [self.kernel(p) for p in payloads]
        table = SymbolicTable(program, {k: CpuCode.from_bytes(p) for k, p in enumerate(payloads)})
        standing = self.standing(program, payloads, f.values)
        made = FunctionText(f.symbol, table, standing, names, self.place)
        self.texts.append(made.text())
        self.symbols.append(f.symbol)
        if made.symbols:
            self.symbols.append(f"{f.symbol}_workspace")
        return LibraryEntry(f.symbol, program.params, program.results, made.symbols, made.workspace)

    def kernel(self, payload: bytes) -> str:
        """The name of a kernel's code; the same for the same code."""
        name = self.kernels.get(payload)
        if name is None:
            name = self.kernels[payload] = f"kernel{len(self.kernels)}"
            code = CpuCode.from_bytes(payload)
            symbols = {name: code.blob.symbols[code.entry]}
            self.pieces[name] = Piece(replace(code.blob, symbols=symbols))
        return name

    def standing(
        self, program: Program, payloads: Sequence[bytes], fixed: Sequence[Array]
    ) -> dict[int, int]:
        """Where the constants hold what slots hold in each call, by slot."""
        if program.once:  # computed here, by code for this machine
            here = current_isa()
            native = payloads if here == self.isa else CpuBackend(here).compile(program.kernels)
            arrays = CpuProgram(program, native, fixed).standing
        else:
            arrays = standing_arrays(program, payloads, fixed, lambda calls, slots: None)
        return {slot: self.place(a) for slot, a in arrays.items()}

    def place(self, array: Array) -> int:
        """Adds an array to the constants; gives its offset."""
        found = self.placed.get(id(array))
        if found is None:
            self.constants += bytes(-len(self.constants) % _ALIGNMENT)
            found = self.placed[id(array)] = len(self.constants)
            self.constants += array.tobytes()
            self.kept.append(array)
        return found

    def finish(self, data: Mapping[str, Array]) -> bytes:
        """The object file."""
        isa, symbols = self.isa, self.symbols
        objects = {name: Data(self.place(a), a.nbytes) for name, a in data.items()}
        driver = compile_module(pool_source(isa, futex=True).text(), isa).blob()
        declared = [f"declare hidden void @{name}()" for name in self.pieces]
        declared += [f"declare hidden i32 @{DRIVER}(ptr, ptr, ptr, i64)"]
        declared += [f'@"{CONSTANTS}" = external hidden global i8, align {_ALIGNMENT}']
        outside = [*self.pieces, DRIVER, CONSTANTS]
        module = compile_module("\n".join([*declared, *self.texts]), isa, outside=outside)
        pieces = dict(zip(symbols, module.pieces(symbols, outside=outside), strict=True))
        pieces |= {**self.pieces, DRIVER: Piece(driver)}
        # A table of the distances to each function comes first, and says where they are.
        kind = _RELATIVE[isa.machine]
        rows = [Reference(name, 8 * k, kind, 0) for k, name in enumerate(symbols)]
        head = Blob(bytes(_aligned(8 * len(rows))), {}, _ALIGNMENT, isa.machine)
        image = join_open(Piece(head, tuple(rows)), pieces, {CONSTANTS})
        code = image.blob.code
        functions: dict[str, int] = {}
        for k, name in enumerate(symbols):
            (distance,) = struct.unpack_from("<q", code, 8 * k)
            functions[name] = 8 * k + distance
        return write_object(
            isa.machine,
            code,
            functions,
            constants=bytes(self.constants),
            references=image.references,
            data=objects,
        )


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _check(program: Program) -> None:
    called = sorted({k.host.op.name for k in program.kernels if k.host is not None})
    if called:
        raise BackendError(
            f"{program.name} cannot be exported: {', '.join(called)} runs in Python",
            hint="a library has machine code only; save the program with dlc.save",
        )
    if any(s.kind == "growing" for s in program.slots):
        raise BackendError(
            f"{program.name} cannot be exported: it keeps what a loop of unknown length computes",
            hint="give the loop a length, or save the program with dlc.save",
        )
