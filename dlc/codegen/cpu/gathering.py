"""Gathered operands: tables of offsets, and packing by tables whose columns lie in runs.

    void dlc.offsets.R(table, start, count, extent_1, stride_1, ...)

sets `table[i]` for i < count to the offset of position start + i in axes of these extents and
strides, the last of which varies fastest.

    void dlc.pack.runsS.*(dst, src, rows, columns, dst_row, row_at, column_at, first, run)

sets `dst[i*dst_row + j] = src[row_at[i] + column_at[j]]`, converted on the way, where columns lie S
apart in runs: of `first` columns, then of `run` each. It may set what follows in a row, up to a
whole number of vectors, to anything.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import Emitter, llvm_type
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.packing import convert_loaded
from dlc.ir.types import DType, int64

RUN_STEPS = (1, 2)  # how far apart columns may lie in runs
_NARROWEST = 128  # bits of a vector
_ROWS = 32  # rows whose packed vectors stay in the first-level cache while runs are copied


@functools.cache
def offset_table(rank: int) -> Emitter:
    """The function that fills a table of offsets along so many axes."""
    parameters = [("ptr", "table"), ("i64", "start"), ("i64", "count")]
    for k in range(rank):
        parameters += [("i64", f"extent{k}"), ("i64", f"stride{k}")]
    em = Emitter(f"dlc.offsets.{rank}", parameters)
    at, offset, rest = ["0"] * rank, "0", "%start"
    for k in reversed(range(rank)):
        at[k] = rest
        if k:
            extent = iv.maximum(em, f"%extent{k}", "1")
            at[k] = em.value(f"urem i64 {rest}, {extent}")
            rest = em.value(f"udiv i64 {rest}, {extent}")
        offset = iv.add(em, offset, iv.multiply(em, at[k], f"%stride{k}"))

    def entry(i: str, values: list[str]) -> list[str]:
        now, *places = values
        place = memory.element_pointer(em, int64, "%table", i)
        em.line(f"store i64 {now}, ptr {place}, align 8")
        carry = "true"
        for k in reversed(range(rank)):
            one = em.value(f"zext i1 {carry} to i64")
            moved = em.value(f"add i64 {places[k]}, {one}")
            now = em.value(f"add i64 {now}, {em.value(f'mul i64 {one}, %stride{k}')}")
            if not k:
                places[k] = moved
                break
            full = em.value(f"icmp eq i64 {moved}, %extent{k}")
            carry = em.value(f"and i1 {carry}, {full}")
            places[k] = em.value(f"select i1 {carry}, i64 0, i64 {moved}")
            back = em.value(f"mul i64 %extent{k}, %stride{k}")
            back = em.value(f"select i1 {carry}, i64 {back}, i64 0")
            now = em.value(f"sub i64 {now}, {back}")
        return [now, *places]

    em.loop("0", "%count", 1, entry, [("i64", offset), *(("i64", p) for p in at)])
    em.line("ret void")
    return em


@functools.cache
def packed_runs(step: int, isa: Isa, dtypes: tuple[DType, ...]) -> Emitter:
    """The packing function for runs of columns `step` apart, of `RUN_STEPS`, for these types."""
    return _Runs(step, isa, dtypes).function()


def _halvings(lanes: int, least: int) -> list[int]:
    """Numbers of lanes down to the least one by halves, smallest first."""
    found = [lanes]
    while found[0] > least:
        found.insert(0, found[0] // 2)
    return found


def _first_lanes(em: Emitter, count: str, lanes: int) -> str:
    """The mask of 1 to `lanes` lanes, from the bits of a number.

    LLVM would compare again in each iteration of a loop.
    """
    bits = max(lanes, 8)
    ones = em.value(f"lshr i64 -1, {em.value(f'sub i64 64, {count}')}")
    ones = ones if bits == 64 else em.value(f"trunc i64 {ones} to i{bits}")
    mask = em.value(f"bitcast i{bits} {ones} to <{bits} x i1>")
    if lanes == bits:
        return mask
    picks = ", ".join(f"i32 {k}" for k in range(lanes))
    return em.value(
        f"shufflevector <{bits} x i1> {mask}, <{bits} x i1> poison, <{lanes} x i32> <{picks}>"
    )


class _Runs:
    """A packing function being written."""

    def __init__(self, step: int, isa: Isa, dtypes: tuple[DType, ...]) -> None:
        name = ".".join([f"dlc.pack.runs{step}", *(d.short for d in dtypes)])
        pointers = [("ptr", "row_at"), ("ptr", "column_at")]
        sizes = [("i64", "rows"), ("i64", "columns"), ("i64", "dst_row")]
        ends = [("i64", "first"), ("i64", "run")]
        self.em = Emitter(name, [("ptr", "dst"), ("ptr", "src"), *sizes, *pointers, *ends])
        self.step, self.isa, self.dtypes = step, isa, dtypes
        self.lanes = isa.lanes(dtypes[-1].bits)

    def function(self) -> Emitter:
        """The whole function."""
        em, lanes = self.em, self.lanes
        whole = em.value(f"and i64 %columns, {-lanes}")
        ragged = em.value(f"icmp ne i64 {whole}, %columns")

        def block(row: str, _: list[str]) -> Sequence[str]:
            end = iv.minimum(em, em.value(f"add i64 {row}, {_ROWS}"), "%rows")
            em.when(ragged, lambda: self._each_row(row, end, lambda i: self._clear(i, whole)))

            lengths: list[str] = []

            def run(j: str, values: list[str]) -> list[str]:
                length = iv.minimum(em, values[0], em.value(f"sub i64 %columns, {j}"))
                lengths.append(length)
                at = memory.element_pointer(em, int64, "%column_at", j)
                source = self._from("%src", memory.load(em, int64, at, 1))
                self._copy_run(row, end, source, j, length)
                return [iv.maximum(em, "%run", "1")]

            em.loop("0", "%columns", lambda: lengths[0], run, [("i64", "%first")])
            return []

        em.loop("0", "%rows", _ROWS, block)
        em.line("ret void")
        return em

    def _each_row(self, start: str, end: str, body: Callable[[str], None]) -> None:
        def one(i: str, _: list[str]) -> list[str]:
            body(i)
            return []

        self.em.loop(start, end, 1, one)

    def _from(self, base: str, offset: str) -> str:
        return memory.element_pointer(self.em, self.dtypes[0], base, offset)

    def _to(self, i: str, j: str) -> str:
        em = self.em
        at = em.value(f"add i64 {em.value(f'mul i64 {i}, %dst_row')}, {j}")
        return memory.element_pointer(em, self.dtypes[-1], "%dst", at)

    def _clear(self, i: str, j: str) -> None:
        # Stale scratch may hold denormals, which are slow to calculate with.
        type_ = llvm_type(self.dtypes[-1], self.lanes)
        align = self.dtypes[-1].itemsize
        self.em.line(f"store {type_} zeroinitializer, ptr {self._to(i, j)}, align {align}")

    def _copy_run(self, start: str, end: str, source: str, j: str, length: str) -> None:
        em, lanes = self.em, self.lanes
        masked = self.isa.masked and lanes > 1
        whole = em.value(f"and i64 {length}, {-lanes}")
        if self.step > 1:  # whole vectors would read behind the last element
            whole = "0" if not masked else whole
        self._vectors(start, end, source, j, whole, None)
        if not masked:

            def single(v: str, _: list[str]) -> list[str]:
                self._rows(start, end, source, j, v, 1, None)
                return []

            em.loop(whole, length, 1, single)
            return
        left = em.value(f"sub i64 {length}, {whole}")
        self._narrow(start, end, source, j, whole, left)

    def _narrow(self, start: str, end: str, source: str, j: str, v: str, left: str) -> None:
        """Copies what is left of a run by the narrowest vectors that hold it.

        Wide ones would straddle cache lines, and what a mask has stored is not forwarded to loads.
        """
        em, bits = self.em, self.dtypes[-1].bits
        below = 0
        for lanes in _halvings(self.lanes, max(2, _NARROWEST // bits)):
            above = em.value(f"icmp sgt i64 {left}, {below}")
            full = em.value(f"icmp eq i64 {left}, {lanes}")
            if self.step == 1 and lanes < self.lanes:
                em.when(full, lambda w=lanes: self._rows(start, end, source, j, v, w, None))
                fits = em.value(f"icmp slt i64 {left}, {lanes}")
            else:
                fits = em.value(f"icmp sle i64 {left}, {lanes}")
            some = em.value(f"and i1 {above}, {fits}")
            em.when(some, lambda w=lanes: self._rows(start, end, source, j, v, w, left))
            below = lanes

    def _vectors(
        self, start: str, end: str, source: str, j: str, whole: str, left: str | None
    ) -> None:
        def vector(v: str, _: list[str]) -> list[str]:
            self._rows(start, end, source, j, v, self.lanes, left)
            return []

        self.em.loop("0", whole, self.lanes, vector)

    def _rows(
        self, start: str, end: str, source: str, j: str, v: str, lanes: int, left: str | None
    ) -> None:
        """Copies the vector at `v` of a run, or `left` elements of it, of some rows."""
        em, first = self.em, self.dtypes[0]
        mask = None if left is None else _first_lanes(em, left, lanes)
        reads: list[str | None] = [mask]
        if self.step == 2 and lanes > 1:
            count = str(lanes) if left is None else left
            covered = em.value(f"sub i64 {em.value(f'mul i64 {count}, 2')}, 1")
            behind = em.value(f"sub i64 {covered}, {lanes}")
            reads = [em.mask_below(covered, lanes), em.mask_below(behind, lanes)]
        at_run = self._from(source, iv.multiply(em, v, str(self.step)))
        column = em.value(f"add i64 {j}, {v}")

        def copy(i: str) -> None:
            entry = memory.load(em, int64, memory.element_pointer(em, int64, "%row_at", i), 1)
            place = self._from(at_run, entry)
            parts = [
                memory.load(em, first, self._from(place, str(k * lanes)), lanes, m)
                for k, m in enumerate(reads)
            ]
            value = parts[0] if len(parts) == 1 else self._every_second(parts, lanes)
            value = convert_loaded(em, self.isa, self.dtypes, value, lanes)
            memory.store(em, self.dtypes[-1], self._to(i, column), value, lanes, mask)

        self._each_row(start, end, copy)

    def _every_second(self, parts: Sequence[str], lanes: int) -> str:
        type_ = llvm_type(self.dtypes[0], lanes)
        picks = ", ".join(f"i32 {2 * k}" for k in range(lanes))
        pair = ", ".join(f"{type_} {p}" for p in parts)
        return self.em.value(f"shufflevector {pair}, <{lanes} x i32> <{picks}>")
