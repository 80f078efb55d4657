"""Copies that exchange the axes along which memory is contiguous, in square blocks of registers.

Element by element they touch a line of memory for each element; in blocks, for a whole vector.

    void dlc.transpose.*(dst, src, rows, columns, dst_row, src_column)

sets `dst[i*dst_row + j] = src[i + j*src_column]`, converted on the way, for i < rows, j < columns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from dlc.codegen.chunks import CHUNK_COST
from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.contraction_form import flat_offset
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.expressions import ExprEmitter, Tensor
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.kernel_code import KernelCode
from dlc.codegen.cpu.packing import convert_loaded, transpose
from dlc.codegen.index_math import IndexMath, stride_along
from dlc.codegen.kernel_ir import Assign, Kernel, Par
from dlc.ir.dims import Dim, ceildiv, floordiv, maximum, mul, product, symbols_of
from dlc.ir.record import dataclass
from dlc.ir.scalar import Axis
from dlc.ir.types import DType, int64

_SIDE = 16  # rows and columns of the largest block
_ROWS = 64  # rows of a unit of work
_ELEMENT = 30  # hundredths of a nanosecond


@dataclass(frozen=True)
class _Copy:
    """A transposing copy: its tensors and types, offsets, and the axes of rows and columns."""

    source: str
    target: str
    dtypes: tuple[DType, ...]
    read_at: Dim
    write_at: Dim
    rows: Axis  # contiguous in the source
    columns: Axis  # contiguous in the target
    outer: tuple[Axis, ...]
    dst_row: Dim
    src_column: Dim
    math: IndexMath


def emit_transpose(kernel: Kernel, isa: Isa) -> KernelCode | None:
    """The code of a kernel that is one transposing copy; None for any other."""
    copy = _copy_of(kernel)
    if copy is None:
        return None
    blocks = ceildiv(copy.rows.extent, _ROWS)
    columns = copy.columns.extent
    unit = mul(maximum(columns, 1), _ROWS * _ELEMENT)
    return KernelCode(
        emitters=[_entry(kernel, copy, isa)],
        entry=kernel.name,
        units=mul(product(a.extent for a in copy.outer), blocks),
        chunk=maximum(floordiv(CHUNK_COST, unit), 1),
        scratch=0,
        cost=mul(product(a.extent for a in (*copy.outer, copy.rows)), mul(columns, _ELEMENT)),
    )


def _copy_of(kernel: Kernel) -> _Copy | None:
    if len(kernel.body) != 1 or not isinstance(kernel.body[0], Par):
        return None
    par = kernel.body[0]
    if len(par.body) != 1 or any(a.block is not None for a in par.axes):
        return None
    (store,) = par.body
    if not isinstance(store, Assign) or store.axes or store.accumulate:
        return None
    e, dtypes = store.expr, [store.expr.dtype]
    while e.op == "convert":
        e = e.args[0]
        dtypes.insert(0, e.dtype)
    source, target = kernel.param(e.attr) if e.op == "load" else None, kernel.param(store.name)
    if source is None or target is None or any(d.kind == "b" for d in dtypes):
        return None
    math = IndexMath()
    for axis in par.axes:
        math.declare(axis)
    read_at = flat_offset(math, source, e.args)
    write_at = flat_offset(math, target, store.ix)
    if any(n[0] == "$" for at in (read_at, write_at) for n in symbols_of(at)):
        return None  # an index out of memory
    reads, writes = ([stride_along(at, a.name) for a in par.axes] for at in (read_at, write_at))
    if None in reads or None in writes or 1 not in reads or 1 not in writes:
        return None
    r, c = reads.index(1), writes.index(1)
    dst_row, src_column = writes[r], reads[c]
    if r == c or dst_row is None or src_column is None:
        return None
    outer = tuple(a for k, a in enumerate(par.axes) if k not in (r, c))
    return _Copy(
        source.name, target.name, tuple(dtypes), read_at, write_at, par.axes[r], par.axes[c],
        outer, dst_row, src_column, math,
    )  # fmt: skip


def _entry(kernel: Kernel, copy: _Copy, isa: Isa) -> Emitter:
    parameters = [
        ("ptr", "args"),
        ("ptr", "dims"),
        ("i64", "lo"),
        ("i64", "hi"),
        ("ptr", "scratch"),
    ]
    em = Emitter(kernel.name, parameters)
    em.quick = True
    symbols: dict[str, str] = {}
    for k, name in enumerate(kernel.dims):
        place = memory.element_pointer(em, int64, "%dims", str(k))
        symbols[name] = em.value(f"load i64, ptr {place}, align 8")
    ex = ExprEmitter(em, isa, copy.math, symbols)
    for k, param in enumerate(kernel.params):
        place = memory.element_pointer(em, int64, "%args", str(k))
        pointer = em.value(f"load ptr, ptr {place}, align 8")
        ex.bind_tensor(param.name, Tensor(param.dtype, pointer, param.dims))

    def unit(number: str, _: list[str]) -> Sequence[str]:
        with ex.scope():
            rows = ex.index(copy.rows.extent)
            extents = [*(ex.index(a.extent) for a in copy.outer), iv.blocks(em, rows, str(_ROWS))]
            *outer, block = iv.positions(em, number, extents)
            start = iv.multiply(em, block, str(_ROWS))
            axes = {a.name: v for a, v in zip(copy.outer, outer, strict=True)}
            with ex.scope(axes={**axes, copy.rows.name: start, copy.columns.name: "0"}):
                read, write = ex.index(copy.read_at), ex.index(copy.write_at)
                count = iv.minimum(em, iv.subtract(em, rows, start), str(_ROWS))
                src = memory.element_pointer(
                    em, copy.dtypes[0], ex.tensor(copy.source).pointer, read
                )
                dst = memory.element_pointer(
                    em, copy.dtypes[-1], ex.tensor(copy.target).pointer, write
                )
                sizes = [count, ex.index(copy.columns.extent)]
                sizes += [ex.index(copy.dst_row), ex.index(copy.src_column)]
                em.call_helper(transposing(isa, copy.dtypes), [dst, src, *sizes])
        return []

    em.loop("%lo", "%hi", 1, unit)
    em.line("ret void")
    return em


@functools.cache
def transposing(isa: Isa, dtypes: tuple[DType, ...]) -> Emitter:
    """The function that transposes a matrix of these types, from memory to memory."""
    return _Blocks(isa, dtypes).function()


class _Blocks:
    """The function being written."""

    def __init__(self, isa: Isa, dtypes: tuple[DType, ...]) -> None:
        sizes = ("rows", "columns", "dst_row", "src_column")
        parameters = [("ptr", "dst"), ("ptr", "src"), *(("i64", s) for s in sizes)]
        name = ".".join(["dlc.transpose", *(d.short for d in dtypes)])
        self.em, self.isa, self.dtypes = Emitter(name, parameters), isa, dtypes
        self.side = min(_SIDE, *(isa.lanes(d.bits) for d in dtypes))

    def function(self) -> Emitter:
        """The whole function."""
        em, side = self.em, self.side
        short = em.value(f"icmp slt i64 %rows, {side}")
        narrow = em.value(f"icmp slt i64 %columns, {side}")
        few, many, done = (em.fresh(x) for x in ("few", "many", "done"))
        em.branch_if(em.value(f"or i1 {short}, {narrow}"), few, many)
        em.block(few)
        self._each("%rows", 1, lambda i: self._each("%columns", 1, lambda j: self._one(i, j)))
        em.branch(done)
        em.block(many)
        last_row = em.value(f"sub i64 %rows, {side}")
        last_column = em.value(f"sub i64 %columns, {side}")

        def row(i: str) -> None:
            i = iv.minimum(em, i, last_row)  # blocks at the ends overlap their neighbours

            def column(j: str) -> None:
                self._block(i, iv.minimum(em, j, last_column))

            self._each("%columns", side, column)

        self._each("%rows", side, row)
        em.branch(done)
        em.block(done)
        em.line("ret void")
        return em

    def _each(self, stop: str, step: int, body: Callable[[str], None]) -> None:
        def one(i: str, _: list[str]) -> list[str]:
            body(i)
            return []

        self.em.loop("0", stop, step, one)

    def _source(self, i: str, j: str) -> str:
        em = self.em
        at = em.value(f"add i64 {em.value(f'mul i64 {j}, %src_column')}, {i}")
        return memory.element_pointer(em, self.dtypes[0], "%src", at)

    def _target(self, i: str, j: str) -> str:
        em = self.em
        at = em.value(f"add i64 {em.value(f'mul i64 {i}, %dst_row')}, {j}")
        return memory.element_pointer(em, self.dtypes[-1], "%dst", at)

    def _one(self, i: str, j: str) -> None:
        em = self.em
        value = memory.load(em, self.dtypes[0], self._source(i, j), 1)
        value = convert_loaded(em, self.isa, self.dtypes, value, 1)
        memory.store(em, self.dtypes[-1], self._target(i, j), value, 1)

    def _block(self, i: str, j: str) -> None:
        em, side = self.em, self.side
        source, read = self._source(i, j), list[str]()
        for k in range(side):
            read.append(memory.load(em, self.dtypes[0], source, side))
            if k + 1 < side:
                source = memory.element_pointer(em, self.dtypes[0], source, "%src_column")
        values = [convert_loaded(em, self.isa, self.dtypes, v, side) for v in read]
        target = self._target(i, j)
        for k, value in enumerate(transpose(em, self.dtypes[-1], values)):
            memory.store(em, self.dtypes[-1], target, value, side)
            if k + 1 < side:
                target = memory.element_pointer(em, self.dtypes[-1], target, "%dst_row")
