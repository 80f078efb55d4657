"""The functions of a library: LLVM text that lays out a program's table and memory, and runs it.

A table is a constant, but for words that are only known in a call: addresses of kernels, and what
depends on extents. These are written into a copy of it, in the workspace.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dlc.codegen.cpu.stored_code import CpuCode
from dlc.codegen.memory_plan import ALIGNMENT, plan_memory, plan_symbolic_memory
from dlc.codegen.program import Program
from dlc.ir.dims import (
    Atom,
    Dim,
    Range,
    Symbol,
    add,
    ceildiv,
    maximum,
    minimum,
    mul,
    product,
    ranges_of,
    substitute,
)
from dlc.runtime.cpu import add_steps
from dlc.runtime.program_table import Job, ProgramTable, work_area_bytes

CONSTANTS, DRIVER = "~constants", "dlc_run"
BAD_EXTENT = 1
# Words of a table that stand for kernels and for dims; no size or extent is as large.
_KERNEL, _DIM = 0x7DC0 << 48, 0x7DC1 << 48


class SymbolicTable:
    """The table of a program whose extents are known only in a call.

    table: its words; some stand for others.
    kernels: the number of the kernel whose address belongs in a word, by word.
    dims: the dim that belongs in a word, by word.
    offsets, arena: where temporaries lie, and the bytes of all.
    area: the bytes of the driver's work area.
    """

    def __init__(self, program: Program, codes: Mapping[int, CpuCode]) -> None:
        self.program, self.codes = program, codes
        self._dims: dict[Dim, int] = {}
        jobs = [self._job(k) for k in range(len(program.calls))]
        scratch = functools.reduce(maximum, {s for _, s in jobs}, 0)
        made = ProgramTable(len(program.slots))
        add_steps(made, program, [j for j, _ in jobs], program.all_steps, self._word)
        self.table = made.array()
        self.area: Dim = add(work_area_bytes(self.table), scratch)
        known = {word: dim for dim, word in self._dims.items()}
        words = list(enumerate(self.table.tolist()))
        self.kernels = {at: w - _KERNEL for at, w in words if _KERNEL <= w < _DIM}
        self.dims = {at: known[w] for at, w in words if w >= _DIM}
        self.offsets: Mapping[int, Dim]
        self.arena: Dim
        if any(not t.is_static for t in program.params):
            self.offsets, self.arena = plan_symbolic_memory(program)
        else:
            plan = plan_memory(program, {})
            self.offsets, self.arena = plan.offsets, plan.arena_bytes

    def _word(self, dim: Dim) -> int:
        return dim if isinstance(dim, int) else self._dims.setdefault(dim, _DIM + len(self._dims))

    def _job(self, number: int) -> tuple[Job, Dim]:
        """A call, and the scratch memory that it needs."""
        call = self.program.calls[number]
        kernel, code = self.program.kernels[call.kernel], self.codes[call.kernel]
        own = dict(zip(kernel.dims, call.dims, strict=True))
        # What writes nothing has nothing to do.
        written = [product(p.dims) for p in kernel.params if p.mode != "in"]
        size = functools.reduce(add, (substitute(d, own) for d in written), 0)
        units = mul(substitute(code.units, own), minimum(size, 1))
        slots = tuple(self.program.memory_of(a) for a in call.args)
        dims = tuple(map(self._word, call.dims))
        job = Job(_KERNEL + call.kernel, self._word(units), 1, slots, dims, work=0.0)
        return job, substitute(code.scratch, own)


class FunctionText:
    """The LLVM text of a function, and of one that says how large its workspace must be.

    Args:
        symbol: Its name.
        made: The table.
        standing: Where the constants hold what slots hold in each call, by slot.
        kernels: The names of the kernels.
        place: Gives the offset of an array among the constants.

    workspace: the bytes of the workspace; a dim where it depends on extents.
    """

    def __init__(
        self,
        symbol: str,
        made: SymbolicTable,
        standing: Mapping[int, int],
        kernels: Sequence[str],
        place: Callable[[np.ndarray[tuple[int], np.dtype[np.int64]]], int],
    ) -> None:
        self.symbol, self.made, self.program = symbol, made, made.program
        self.symbols = symbols_of_params(made.program)
        self.standing, self.kernels = standing, kernels
        self.stored = place(made.table)
        slots = len(made.program.slots)
        self.table_at = _aligned(8 * (slots + 1))
        self.arena_at = _aligned(add(self.table_at, made.table.nbytes))
        self.area_at = _aligned(add(self.arena_at, made.arena))
        self.workspace: Dim = add(add(self.area_at, made.area), ALIGNMENT - 1)

    def text(self) -> str:
        """Both."""
        program, values = self.program, _Values()
        inputs = [f"%in{k}" for k in range(len(program.params))]
        outputs = [f"%out{k}" for k in range(len(program.results))]
        extents = [f"i64 %{_extent(s)}" for s in self.symbols]
        pointers = [f"ptr {p}" for p in (*inputs, *outputs, "%workspace")]
        body = [*self._slots(values, inputs, outputs), *self._words(values)]
        run = f"""
define i32 @{self.symbol}({", ".join([*extents, *pointers])}) section ".text.{self.symbol}" {{
entry:
  %b0 = icmp eq ptr %workspace, null
{self._checks(f"i32 {BAD_EXTENT}")}
  %raw = ptrtoint ptr %workspace to i64
  %up = add i64 %raw, {ALIGNMENT - 1}
  %at = and i64 %up, {-ALIGNMENT}
  %base = inttoptr i64 %at to ptr
  %table = getelementptr i8, ptr %base, i64 {self.table_at}
  %stored = getelementptr i8, ptr @"{CONSTANTS}", i64 {self.stored}
  br label %copy
copy:
  %k = phi i64 [ 0, %good ], [ %k1, %copy ]
  %from = getelementptr i64, ptr %stored, i64 %k
  %to = getelementptr i64, ptr %table, i64 %k
  %word = load i64, ptr %from
  store i64 %word, ptr %to
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, {self.made.table.size}
  br i1 %more, label %copy, label %ready
ready:
{chr(10).join([*values.lines, *body])}
  %status = call i32 @{DRIVER}(ptr %table, ptr %base, ptr null, i64 1)
  ret i32 %status
}}
"""
        return run + self._size_text(extents) if self.symbols else run

    def _checks(self, result: str) -> str:
        """A return for extents out of range, or where %b0 is set; then comes the block `good`."""
        bounds = [
            f"{comparison} i64 %{_extent(s)}, {bound}"
            for s, (least, most) in self.symbols.items()
            for comparison, bound in (("slt", least), ("sgt", most))
            if bound is not None
        ]
        lines = [
            f"  %c{k} = icmp {outside}\n  %b{k + 1} = or i1 %b{k}, %c{k}"
            for k, outside in enumerate(bounds)
        ]
        lines.append(f"  br i1 %b{len(bounds)}, label %bad, label %good")
        return "\n".join([*lines, f"bad:\n  ret {result}\ngood:"])

    def _size_text(self, extents: Sequence[str]) -> str:
        values = _Values()
        size = values.of(self.workspace)
        name = f"{self.symbol}_workspace"
        lines = "\n".join(values.lines)
        head = f'define i64 @{name}({", ".join(extents)}) section ".text.{name}" {{'
        checks = "  %b0 = icmp eq i1 0, 1\n" + self._checks("i64 0")
        return f"{head}\nentry:\n{checks}\n{lines}\n  ret i64 {size}\n}}\n"

    def _slots(self, values: _Values, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
        """Fills in the addresses of the slots."""
        program, made = self.program, self.made
        places: dict[int, tuple[str, Dim]] = {len(program.slots): ("%base", self.area_at)}
        for s, offset in made.offsets.items():
            places[s] = ("%base", add(self.arena_at, offset))
        places |= {s: (f'@"{CONSTANTS}"', offset) for s, offset in self.standing.items()}
        for s, slot in enumerate(program.slots):
            if slot.kind in ("input", "output") and slot.shares is None:
                given = inputs if slot.kind == "input" else outputs
                places[s] = (given[slot.position], 0)
        lines: list[str] = []
        for s, (start, offset) in sorted(places.items()):
            lines += [
                f"  %v{s} = getelementptr i8, ptr {start}, i64 {values.of(offset)}",
                f"  %s{s} = getelementptr ptr, ptr %base, i64 {s}",
                f"  store ptr %v{s}, ptr %s{s}",
            ]
        return lines

    def _words(self, values: _Values) -> list[str]:
        """Fills in the words of the table that are not known before."""
        found = {at: f"ptr @{self.kernels[k]}" for at, k in self.made.kernels.items()}
        found |= {at: f"i64 {values.of(dim)}" for at, dim in self.made.dims.items()}
        lines: list[str] = []
        for at, value in found.items():
            lines += [
                f"  %w{at} = getelementptr i64, ptr %table, i64 {at}",
                f"  store {value}, ptr %w{at}",
            ]
        return lines


class _Values:
    """Instructions that compute dims from extents; each is computed once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._known: dict[Dim | Atom, str] = {}

    def of(self, dim: Dim) -> str:
        """The value of a dim."""
        if isinstance(dim, int):
            return str(dim)
        found = self._known.get(dim)
        if found is None:
            total = "0"
            for monomial, c in dim.terms:
                term = str(c)
                for atom in monomial:
                    term = self._do("mul", term, self._atom(atom))
                total = self._do("add", total, term)
            found = self._known[dim] = total
        return found

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, Symbol):
            return f"%{_extent(atom.name)}"
        found = self._known.get(atom)
        if found is None:
            a, b = self.of(atom.a), self.of(atom.b)
            found = self._known[atom] = self._function(atom.function, a, b)
        return found

    def _function(self, name: str, a: str, b: str) -> str:
        if name in ("max", "min"):
            kind = "sgt" if name == "max" else "slt"
            return self._emit(
                f"select i1 {self._emit(f'icmp {kind} i64 {a}, {b}')}, i64 {a}, i64 {b}"
            )
        # Of numbers below 0 too, as Python's: the remainder has the sign of b.
        remainder = self._do("srem", self._do("add", self._do("srem", a, b), b), b)
        return remainder if name == "mod" else self._do("sdiv", self._do("sub", a, remainder), b)

    def _do(self, instruction: str, a: str, b: str) -> str:
        if instruction == "add" and a == "0":
            return b
        if instruction == "mul" and a == "1":
            return b
        return self._emit(f"{instruction} i64 {a}, {b}")

    def _emit(self, text: str) -> str:
        name = f"%x{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return name


def symbols_of_params(program: Program) -> dict[str, Range]:
    """The symbols of a program's arguments with what they may be, in order of first use."""
    found: dict[str, Range] = {}
    for t in program.params:
        for d in t.shape:
            found.update(ranges_of(d))
    return found


def _extent(symbol: str) -> str:
    return f"extent_{symbol}"


def _aligned(size: Dim) -> Dim:
    return mul(ceildiv(size, ALIGNMENT), ALIGNMENT)
