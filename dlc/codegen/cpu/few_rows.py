"""Products of few rows by a matrix that is read as it lies, from memory and but once.

To read it is what takes time then. Panel by panel it would be read in short pieces that lie far
apart: where neighbouring columns are adjacent, it is read in long runs instead (`run_products`);
where it is contiguous along K, its columns are read from one end to the other (`turned_products`).
Each sum takes the same products in the same order as in `contraction`, and has the same bits.

A work unit is one batch, all rows and some columns.
"""

from __future__ import annotations

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.assembled_function import has_masks
from dlc.codegen.cpu.contraction_epilogue import Epilogue, open_scope
from dlc.codegen.cpu.contraction_form import Contraction
from dlc.codegen.cpu.contraction_operands import Step, address
from dlc.codegen.cpu.contraction_steps import each_step
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.panel import add_panel
from dlc.codegen.cpu.run_products import runs
from dlc.codegen.cpu.stored_code import THREADS
from dlc.codegen.cpu.turned_products import turned
from dlc.ir.dims import Dim, add, all_positive, ceildiv, maximum, mul, symbol

# The most rows that are read in runs, and fewest bytes of B: otherwise panels are as fast.
_ROWS_IN_RUNS = 4
_LEAST_BYTES = 1 << 20
# The most rows for which blocks are transposed, and the vectors of columns in a unit: all of K of
# few columns is read before the next ones.
_ROWS_TURNED = 8
_VECTORS_TURNED = 2
# The most columns of a unit in runs, whose sums stay in the first-level cache, and the number of
# units that they make or a multiple of it, for threads to get even shares.
_COLUMNS = 1024
_SHARES = 4


def few_in_runs(form: Contraction, isa: Isa) -> Dim:
    """1 where a contraction is to be computed by `run_products`."""
    a, b = form.a, form.b
    if b.panel or a.k_stride is None or b.k_stride is None or b.stride != 1:
        return 0
    n, k = form.n.extent, form.k.extent
    narrow = _SHARES * isa.lanes(form.dtype.bits)
    large = add(mul(n, k), 1 - _LEAST_BYTES // b.dtypes[0].itemsize)
    few = _are_few(form.m.extent, _ROWS_IN_RUNS)
    return all_positive([add(n, -narrow), large]) if few else 0


def few_turned(form: Contraction, isa: Isa) -> Dim:
    """1 where a contraction is to be computed by `turned_products`."""
    a, b, lanes = form.a, form.b, isa.lanes(form.dtype.bits)
    if b.panel or a.k_stride is None or b.k_stride != 1 or b.stride == 1 or lanes == 1:
        return 0
    return int(_are_few(form.m.extent, _ROWS_TURNED))


def _are_few(rows: Dim, most: int) -> bool:
    """Whether rows are known to be few: kernels for any number are not written in two ways."""
    return isinstance(rows, int) and 1 <= rows <= most


class FewRows:
    """Writes the function of a contraction for which one of the above may be 1."""

    def __init__(self, form: Contraction, isa: Isa, epilogue: Epilogue, *, turned: bool) -> None:
        self.form, self.isa, self.epilogue, self.turned = form, isa, epilogue, turned
        lanes, m, n = isa.lanes(form.dtype.bits), form.m.extent, form.n.extent
        assert isinstance(m, int)
        self.rows = m
        # Without masks, vectors are computed up to whole ones.
        self.direct = form.direct if has_masks(form.dtype, isa) else None
        shares = mul(_SHARES, maximum(1, ceildiv(n, _COLUMNS * _SHARES)))
        in_runs = mul(lanes, maximum(1, ceildiv(n, mul(shares, lanes))))
        self.n_block: Dim = _VECTORS_TURNED * lanes if turned else in_runs
        self.units = mul(form.batches, ceildiv(n, self.n_block))
        self.chunk = ceildiv(self.units, symbol(THREADS))
        self.strip = self.rows * _COLUMNS * form.dtype.itemsize
        self.scratch: Dim = 3 * self.strip
        parameters = [("ptr", "args"), ("ptr", "dims"), ("i64", "lo"), ("i64", "hi")]
        name = f"{form.kernel.name}.{'turned' if turned else 'runs'}"
        self.em = Emitter(name, [*parameters, ("ptr", "scratch")])

    def function(self) -> Emitter:
        """The whole function; its parameters are those of a kernel's entry."""
        em = self.em
        em.quick = True
        self.ex = open_scope(em, self.form, self.isa)
        em.loop("%lo", "%hi", 1, self._unit)
        em.line("ret void")
        return em

    def _unit(self, unit: str, _: list[str]) -> list[str]:
        form, em, ex = self.form, self.em, self.ex
        with ex.scope():
            rows, n, width = (ex.index(x) for x in (form.m.extent, form.n.extent, self.n_block))
            extents = [ex.index(x.extent) for x in form.outer]
            *outer, nb = iv.positions(em, unit, [*extents, iv.blocks(em, n, width)])
            n0 = iv.multiply(em, nb, width)
            columns = iv.minimum(em, iv.subtract(em, n, n0), width)
            axes = {x.name: v for x, v in zip(form.outer, outer, strict=True)}
            with ex.scope(axes=axes):
                target = self._target(n0)
                each_step(ex, form, lambda step: self._step((n0, rows, columns), step, target))
                if self.direct is None:
                    place, row = target
                    self.epilogue.call(em, [place, "0", n0, rows, columns, row, *outer])
        return []

    def _target(self, n0: str) -> tuple[str, str]:
        """Where a unit's sums go, and how far its rows are apart."""
        form = self.form
        if self.direct is None:
            return "%scratch", str(_COLUMNS)
        at, row = self.direct
        tensor = self.ex.tensor(form.stores[0].name)
        with self.ex.scope(axes={form.m.name: "0", form.n.name: n0}):
            place = memory.element_pointer(self.em, form.dtype, tensor.pointer, self.ex.index(at))
        return place, self.ex.index(row)

    def _strip(self, number: int) -> str:
        return self.em.value(f"getelementptr i8, ptr %scratch, i64 {number * self.strip}")

    def _step(self, over: tuple[str, str, str], step: Step, target: tuple[str, str]) -> None:
        """The sums of a step, stored or added to those before: where a unit begins, its extents."""
        em, (n0, rows, columns), (place, row) = self.em, over, target
        into, apart = place, row
        if step.later:  # the sums of a run that is not the first are apart from the rest
            into = em.value(f"select i1 {step.later}, ptr {self._strip(1)}, ptr {place}")
            apart = em.value(f"select i1 {step.later}, i64 {_COLUMNS}, i64 {row}")
        adding = em.value(f"zext i1 {em.value(f'xor i1 {step.first}, true')} to i64")
        self._products((n0, step.k0), [columns, step.length], (into, apart, adding))
        if step.ends:
            helper = add_panel(self.form.dtype, self.isa)
            args = [place, into, rows, columns, row, apart]
            em.when(step.ends, lambda: em.call_helper(helper, args))

    def _products(
        self, start: tuple[str, str], sizes: list[str], target: tuple[str, str, str]
    ) -> None:
        form, em, ex = self.form, self.em, self.ex
        (n0, k0), (into, apart, adding) = start, target
        types = form.a.dtypes, form.b.dtypes
        a, b = (address(ex, form, x, "0", n0, k0) for x in (form.a, form.b))
        along_b = form.b.stride if self.turned else form.b.k_stride
        assert form.a.k_stride is not None
        assert along_b is not None
        strides = [ex.index(x) for x in (form.a.stride, form.a.k_stride, along_b)]
        args = [*sizes, *strides, apart, adding]
        if self.turned:
            em.call_helper(turned(types, self.isa, self.rows), [a, b, into, *args])
            return
        buffer = self._strip(2)
        args = [a, b, into, buffer, *args, str(_COLUMNS)]
        em.call_helper(runs(types, self.isa, self.rows), args)
