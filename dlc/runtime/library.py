"""Programs as an object file with a function of C for each, which needs nothing besides.

A function takes a pointer for each argument and result, and a workspace. In it, it lays out the
program's table, fills in the addresses of kernels, slots and constants, and calls the driver, which
calls the kernels on the calling thread.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass
from dlc.ir.types import TensorType
from dlc.passes import manager, pipelines
from dlc.runtime.cpu import BoundCpuProgram, CodedProgram, CpuProgram
from dlc.runtime.device import find_device
from dlc.runtime.kept import standing_arrays
from dlc.runtime.native.support import pool_text
from dlc.runtime.program_table import work_area_bytes

Array = np.ndarray[Any, Any]
_ALIGNMENT = 64
_CONSTANTS, _DRIVER = "~constants", "dlc_run"
_RELATIVE = {"x86_64": 24, "aarch64": 260}  # 64-bit distances, as relocations
# Words of a table that stand for the kernels; no size or extent is as large.
_MARK = 0x7DC0 << 48


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
    """A function as it is called: a pointer for each type, then one to a workspace."""

    symbol: str
    params: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    workspace: int


def compile_library(
    functions: Sequence[LibraryFunction], data: Mapping[str, Array], isa: Isa, level: str
) -> tuple[bytes, list[LibraryEntry]]:
    """An object file of functions of integer extents, and how they are called.

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
    return maker.finish(entries, data), entries


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
        codes = {k: CpuCode.from_bytes(p) for k, p in enumerate(payloads)}
        marks = {k: _MARK + k for k in codes}
        bound = BoundCpuProgram(CodedProgram(program, codes, marks, {}), {})
        standing = self.standing(program, payloads, f.values)
        by_mark = {mark: names[k] for k, mark in marks.items()}
        text, workspace = self.wrapper(f.symbol, bound, standing, by_mark)
        self.texts.append(text)
        return LibraryEntry(f.symbol, program.params, program.results, workspace)

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

    def wrapper(
        self,
        symbol: str,
        bound: BoundCpuProgram,
        standing: Mapping[int, int],
        kernels: Mapping[int, str],
    ) -> tuple[str, int]:
        """The LLVM text of the function that is called, and the bytes of its workspace."""
        program, table = bound.program, bound.table
        slots = len(program.slots)
        table_at = _aligned(8 * (slots + 1))
        arena_at = _aligned(table_at + table.nbytes)
        area_at = _aligned(arena_at + bound.plan.arena_bytes)
        size = area_at + work_area_bytes(table) + _ALIGNMENT - 1
        inputs = [f"%in{k}" for k in range(len(program.params))]
        outputs = [f"%out{k}" for k in range(len(program.results))]
        places: dict[int, str] = {slots: f"%base, i64 {area_at}"}
        for s, offset in bound.plan.offsets.items():
            places[s] = f"%base, i64 {arena_at + offset}"
        for s, offset in standing.items():
            places[s] = f'@"{_CONSTANTS}", i64 {offset}'
        for s, slot in enumerate(program.slots):
            if slot.kind in ("input", "output") and slot.shares is None:
                given = inputs if slot.kind == "input" else outputs
                places[s] = f"{given[slot.position]}, i64 0"
        stores: list[str] = []
        for s, place in sorted(places.items()):
            stores.append(f"  %v{s} = getelementptr i8, ptr {place}")
            stores.append(f"  %s{s} = getelementptr ptr, ptr %base, i64 {s}")
            stores.append(f"  store ptr %v{s}, ptr %s{s}")
        for word, value in enumerate(table.tolist()):
            if value in kernels:
                stores.append(f"  %w{word} = getelementptr i64, ptr %table, i64 {word}")
                stores.append(f"  store ptr @{kernels[value]}, ptr %w{word}")
        params = ", ".join(f"ptr {p}" for p in (*inputs, *outputs, "%workspace"))
        lines = [
            f'define i32 @{symbol}({params}) section ".text.{symbol}" {{',
            "entry:",
            "  %raw = ptrtoint ptr %workspace to i64",
            f"  %up = add i64 %raw, {_ALIGNMENT - 1}",
            f"  %at = and i64 %up, {-_ALIGNMENT}",
            "  %base = inttoptr i64 %at to ptr",
            f"  %table = getelementptr i8, ptr %base, i64 {table_at}",
            f'  %stored = getelementptr i8, ptr @"{_CONSTANTS}", i64 {self.place(table)}',
            "  br label %copy",
            "copy:",
            "  %k = phi i64 [ 0, %entry ], [ %k1, %copy ]",
            "  %from = getelementptr i64, ptr %stored, i64 %k",
            "  %to = getelementptr i64, ptr %table, i64 %k",
            "  %word = load i64, ptr %from",
            "  store i64 %word, ptr %to",
            "  %k1 = add i64 %k, 1",
            f"  %more = icmp ult i64 %k1, {table.size}",
            "  br i1 %more, label %copy, label %ready",
            "ready:",
            *stores,
            f"  %status = call i32 @{_DRIVER}(ptr %table, ptr %base, ptr null, i64 1)",
            "  ret i32 %status",
            "}",
        ]
        return "\n".join(lines), size

    def finish(self, entries: Sequence[LibraryEntry], data: Mapping[str, Array]) -> bytes:
        """The object file."""
        isa, symbols = self.isa, [e.symbol for e in entries]
        objects = {name: Data(self.place(a), a.nbytes) for name, a in data.items()}
        driver = compile_module(pool_text(isa, futex=True), isa).blob()
        declared = [f"declare hidden void @{name}()" for name in self.pieces]
        declared += [f"declare hidden i32 @{_DRIVER}(ptr, ptr, ptr, i64)"]
        declared += [f'@"{_CONSTANTS}" = external hidden global i8, align {_ALIGNMENT}']
        outside = [*self.pieces, _DRIVER, _CONSTANTS]
        module = compile_module("\n".join([*declared, *self.texts]), isa, outside=outside)
        pieces = dict(zip(symbols, module.pieces(symbols, outside=outside), strict=True))
        pieces |= {**self.pieces, _DRIVER: Piece(driver)}
        # A table of the distances to each function comes first, and says where they are.
        kind = _RELATIVE[isa.machine]
        rows = [Reference(name, 8 * k, kind, 0) for k, name in enumerate(symbols)]
        head = Blob(bytes(_aligned(8 * len(rows))), {}, _ALIGNMENT, isa.machine)
        image = join_open(Piece(head, tuple(rows)), pieces, {_CONSTANTS})
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
