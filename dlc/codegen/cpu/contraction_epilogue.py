"""What a contraction's kernel does with finished sums: a function over a panel of them.

It is apart from the entry, which is compiled with less care.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.contraction_form import ACCUMULATOR, Contraction
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.expressions import ExprEmitter, Tensor, Value, Vector
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.packing import transpose
from dlc.codegen.index_math import axis_name
from dlc.ir.dims import mul
from dlc.ir.scalar import Expr, walk
from dlc.ir.types import int64

# Rows from what is computed to what is fetched.
_ROWS_AHEAD = 8


def open_scope(em: Emitter, form: Contraction, isa: Isa) -> ExprEmitter:
    """Reads the kernel's dims and arguments in a function with parameters `args` and `dims`."""
    symbols: dict[str, str] = {}
    for k, name in enumerate(form.kernel.dims):
        place = memory.element_pointer(em, int64, "%dims", str(k))
        symbols[name] = em.value(f"load i64, ptr {place}, align 8")
    stored = {s.name for s in form.stores}
    loaded = {x.attr for s in form.stores for x in walk(s.expr) if x.op == "load"}
    ex = ExprEmitter(em, isa, form.math, symbols, volatile=frozenset(stored & loaded))
    for k, param in enumerate(form.kernel.params):
        place = memory.element_pointer(em, int64, "%args", str(k))
        pointer = em.value(f"load ptr, ptr {place}, align 8")
        ex.bind_tensor(param.name, Tensor(param.dtype, pointer, param.dims))
    return ex


class Epilogue:
    """The function (args, dims, sums, m, n, rows, columns, row, outer..).

    It computes the stored expressions of `rows` by `columns` sums, rows being `row` elements apart,
    whose first is that of m and n.
    """

    def __init__(self, form: Contraction, isa: Isa) -> None:
        self.form, self.isa, self.called = form, isa, False
        self.lanes = isa.lanes(form.dtype.bits)
        numbers = ["m", "n", "rows", "columns", "row"]
        numbers += [f"outer{k}" for k in range(len(form.outer))]
        parameters = [
            *(("ptr", x) for x in ("args", "dims", "sums")),
            *(("i64", x) for x in numbers),
        ]
        self.em = Emitter(f"{form.kernel.name}.epilogue", parameters)

    def call(self, em: Emitter, args: Sequence[str]) -> None:
        """Calls it; `args` begin with `sums`."""
        self.called = True
        em.call_part(self.em, ["%args", "%dims", *args])

    def function(self) -> Emitter:
        """The whole function."""
        em, form, lanes = self.em, self.form, self.lanes
        self.ex = open_scope(em, form, self.isa)
        outer = {a.name: f"%outer{k}" for k, a in enumerate(form.outer)}
        with self.ex.scope(axes=outer):
            length = "%rows" if form.turned else "%columns"
            whole = em.value(f"and i64 {length}, {-lanes}")
            left = em.value(f"sub i64 {length}, {whole}")
            ragged = em.value(f"icmp ne i64 {left}, 0")
            mask = em.mask_below(left, lanes)
            if form.turned:
                self._turned(whole, ragged, mask)
            else:
                em.loop("0", "%rows", 1, lambda r, _: self._row(r, whole, ragged, mask))
        em.line("ret void")
        return em

    def _turned(self, whole: str, ragged: str, mask: str) -> None:
        """Square blocks of sums are transposed, so that outputs are written row by row."""
        em, form, lanes = self.em, self.form, self.lanes
        size = lanes * lanes * form.dtype.itemsize
        block = em.value(f"alloca [{size} x i8], align 64")

        def blocks(r: str, mask: str | None) -> None:
            em.loop("0", "%columns", lanes, lambda j, _: self._square(block, r, j, mask))

        def whole_block(r: str, _: list[str]) -> list[str]:
            blocks(r, None)
            return []

        em.loop("0", whole, lanes, whole_block)
        em.when(ragged, lambda: blocks(whole, mask))

    def _square(self, block: str, r: str, j: str, mask: str | None) -> Sequence[str]:
        em, ex, form, lanes = self.em, self.ex, self.form, self.lanes
        last = em.value("sub i64 %rows, 1")
        rows: list[str] = []
        for k in range(lanes):
            row = iv.minimum(em, iv.add(em, r, str(k)), last)
            at = iv.add(em, em.value(f"mul i64 {row}, %row"), j)
            place = memory.element_pointer(em, form.dtype, "%sums", at)
            rows.append(memory.load(em, form.dtype, place, lanes))
        for k, value in enumerate(transpose(em, form.dtype, rows)):
            place = memory.element_pointer(em, form.dtype, block, str(k * lanes))
            memory.store(em, form.dtype, place, value, lanes)
        m = iv.add(em, "%m", r)

        def column(k: str, _: list[str]) -> list[str]:
            n = iv.add(em, iv.add(em, "%n", j), k)
            at = iv.multiply(em, k, str(lanes))
            place = memory.element_pointer(em, form.dtype, block, at)
            vector = Vector(form.m.name, lanes, mask)
            with ex.scope(axes={form.m.name: m, form.n.name: n}, vector=vector):
                self._store(place)
            return []

        em.loop("0", iv.minimum(em, iv.subtract(em, "%columns", j), str(lanes)), 1, column)
        return []

    def _row(self, r: str, whole: str, ragged: str, mask: str) -> Sequence[str]:
        em, ex, form, lanes = self.em, self.ex, self.form, self.lanes
        expressions = [s.expr for s in form.stores]
        entering = {axis_name(form.n.name), ACCUMULATOR}
        at = em.value(f"mul i64 {r}, %row")
        sums = memory.element_pointer(em, form.dtype, "%sums", at)
        with ex.scope(axes={form.m.name: iv.add(em, "%m", r)}):
            ex.prepare(expressions, entering, lanes=lanes)
            for s in form.stores:
                ex.prepare_place(s.name, s.ix, entering)

            def whole_vector(j: str, _: list[str]) -> list[str]:
                self._vector(sums, j, None)
                return []

            em.loop("0", whole, lanes, whole_vector)
            em.when(ragged, lambda: self._vector(sums, whole, mask))
        return []

    def _vector(self, sums: str, j: str, mask: str | None) -> None:
        em, ex, form = self.em, self.ex, self.form
        lanes, axis = self.lanes, form.n.name
        with ex.scope(axes={axis: iv.add(em, "%n", j)}, vector=Vector(axis, lanes, mask)):
            if mask is None:
                self._fetch()
            # Without masks in a level, sums behind the last column are computed too.
            inside = mask if self.isa.masked else None
            self._store(memory.element_pointer(em, form.dtype, sums, j), inside)

    def _fetch(self) -> None:
        """Fetches what is read and written some rows on: rows are too short to foresee the next."""
        ex, form = self.ex, self.form
        nodes = [e for s in form.stores for e in walk(s.expr)]
        loads = [e for e in nodes if e.op == "load" and e.attr != ACCUMULATOR]
        stores = [Expr("load", s.ix, s.expr.dtype, s.name) for s in form.stores]
        for access in dict.fromkeys([*loads, *stores]):
            across, down = (ex.stride(access.attr, access.args, a.name) for a in (form.n, form.m))
            if across != 1 or down is None or down == 0:
                continue
            size = mul(down, _ROWS_AHEAD * ex.tensor(access.attr).dtype.itemsize)
            reach = ex.index(size), "true"
            ex.fetch(access.attr, access.args, reach, write=access in stores)

    def _store(self, sums: str, mask: str | None = None) -> None:
        """Computes and stores a vector of outputs from the sums at an address."""
        ex, form = self.ex, self.form
        value = memory.load(self.em, form.dtype, sums, self.lanes, mask)
        ex.bind_value(ACCUMULATOR, Value(value, True))
        values = [ex.vector(s.expr) for s in form.stores]
        for s, result in zip(form.stores, values, strict=True):
            ex.store(s.name, s.ix, result)
