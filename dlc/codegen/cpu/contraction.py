"""Contractions on the CPU: packed panels, micro-kernels, and an epilogue over each finished panel.

A work unit is one batch and one block of rows and columns. For each block of the contracted axis
it packs what is not already in a good order (`packing`), runs micro-kernels over the tiles of each
panel of columns (`panel`), and after the last block computes the stored expressions over the panel
while it is in cache.

Every element is the sum of its blocks of `k_step` products in order, each block a chain of
multiply-adds in order; of very many blocks each run is added up by itself first. So its bits depend
on K and the kernel's text, not on where the element lies or how units are cut.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.assembled_function import can_assemble
from dlc.codegen.cpu.contraction_epilogue import Epilogue, open_scope
from dlc.codegen.cpu.contraction_form import Contraction, contraction_of
from dlc.codegen.cpu.contraction_operands import (
    Operands,
    Reuse,
    Source,
    Step,
    Unit,
    address,
    same_type,
)
from dlc.codegen.cpu.contraction_steps import each_step
from dlc.codegen.cpu.crossed_contraction import Crossed, crossing
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.few_rows import FewRows, few_in_runs, few_turned
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.kernel_code import KernelCode
from dlc.codegen.cpu.matrix_contraction import emit_matrix_contraction, multiplies_bfloat16
from dlc.codegen.cpu.packed import packed
from dlc.codegen.cpu.packing import stored_rows
from dlc.codegen.cpu.panel import add_panel, panel
from dlc.codegen.cpu.stored_code import THREADS
from dlc.codegen.cpu.tiling import (
    FEW_ROWS,
    PANELS_ROWS,
    Tiling,
    choose_tiling,
    k_step,
    reads_by_tables,
    row_block,
)
from dlc.codegen.index_math import axis_name
from dlc.codegen.kernel_ir import Kernel
from dlc.ir.dims import (
    Dim,
    add,
    ceildiv,
    floordiv,
    larger,
    maximum,
    minimum,
    mod,
    mul,
    symbol,
    symbols_of,
)
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass, replace

# One chunk of units is worth about ten microseconds.
_CHUNK_FLOPS = 1 << 20
# Units of a thread that are cut into more chunks than two.
_MANY_UNITS = 48
# Fewer rows by a matrix in panels take as long: as long as reading it.
_BOUND_ROWS = 8
# Costs, in hundredths of a nanosecond: an operation, and reading a byte of a large matrix.
_OPERATION = 1
_BYTE = 5


def is_contraction(kernel: Kernel, isa: Isa) -> bool:
    """Whether `emit_contraction` takes this kernel."""
    form = contraction_of(kernel)
    return form is not None and form.b.panel % isa.lanes(form.dtype.bits) == 0


def emit_contraction(kernel: Kernel, isa: Isa) -> KernelCode:
    """Emits a kernel that is one contraction with a pointwise epilogue.

    Raises:
        BackendError: for any other kernel (see `is_contraction`).
    """
    form = contraction_of(kernel)
    if form is None:
        raise BackendError(f"kernel {kernel.name} is not one contraction with an epilogue")
    if multiplies_bfloat16(form, isa):
        return emit_matrix_contraction(form, isa)
    tiling = choose_tiling(form, isa)
    epilogue = Epilogue(form, isa)
    others = _other_ways(form, isa, epilogue)
    em = _Writer(form, tiling, isa, epilogue).entry(others)
    m, n, k = form.m.extent, form.n.extent, form.k.extent
    rows = maximum(minimum(m, row_block(form)), _BOUND_ROWS if form.b.panel else 1)
    columns = tiling.n_block if form.b.panel else tiling.panel  # of a simpler formula
    unit = mul(mul(rows, minimum(n, columns)), maximum(k, 1))
    m_blocks, n_blocks = ceildiv(m, tiling.m_block), ceildiv(n, tiling.n_block)
    units = mul(form.batches, mul(m_blocks, n_blocks))
    some = larger(ceildiv(m, row_block(form)), mul(2, tiling.by_rows))  # likewise
    about = mul(form.batches, mul(some, n_blocks))
    least = floordiv(_CHUNK_FLOPS, maximum(1, mul(unit, 2)))
    code = KernelCode(
        emitters=[em, epilogue.function()] if epilogue.called else [em],
        entry=kernel.name,
        units=units,
        chunk=larger(least, 1 if form.b.panel else _chunk(about)),
        scratch=tiling.areas.size,
        cost=mul(mul(form.batches, mul(n, k)), _row_cost(form)),
    )
    for way in reversed(others):
        code = _joined(code, way)
    return code


@dataclass(frozen=True)
class _Way:
    """Another way to compute a contraction, where `chosen` is 1 and it is 0 of those before."""

    chosen: Dim
    writer: Crossed | FewRows


def _other_ways(form: Contraction, isa: Isa, epilogue: Epilogue) -> list[_Way]:
    """Those that may be chosen, the one that is asked first coming first."""
    found: list[_Way] = []
    for chosen, write in (
        (few_turned(form, isa), functools.partial(FewRows, turned=True)),
        (few_in_runs(form, isa), functools.partial(FewRows, turned=False)),
        (crossing(form), Crossed),
    ):
        if chosen != 0:
            found.append(_Way(chosen, write(form, isa, epilogue)))
        if chosen == 1:
            break
    return found


def _joined(code: KernelCode, way: _Way) -> KernelCode:
    """The code of a kernel whose entry calls that of a way where it is chosen."""
    writer = way.writer

    def chosen(a: Dim, b: Dim) -> Dim:
        return add(b, mul(way.chosen, add(a, mul(b, -1))))

    return replace(
        code,
        emitters=[*code.emitters, writer.em],
        units=chosen(writer.units, code.units),
        chunk=chosen(writer.chunk, code.chunk),
        scratch=maximum(code.scratch, mul(way.chosen, writer.scratch)),
    )


def _chunk(units: Dim) -> Dim:
    """The units of a chunk where there are many: a thread's share, cut into few.

    Units that follow each other share packed panels of B; and an odd share in two would leave one
    thread waiting for another.
    """
    share = ceildiv(units, symbol(THREADS))
    cuts = add(add(1, mod(add(share, 1), 2)), floordiv(share, _MANY_UNITS))
    return ceildiv(share, cuts)


def _row_cost(form: Contraction) -> Dim:
    """The cost of an element of B: by all rows of A it is multiplied, and once it is read."""
    return maximum(mul(form.m.extent, 2 * _OPERATION), _BYTE * form.b.dtypes[0].itemsize)


@dataclass(frozen=True)
class _Panel:
    """Where a panel's sums go: address, row stride, and whether that is the output itself.

    `output` is address and row stride in the output, where that is of sums.
    """

    pointer: str
    row: str
    direct: str
    output: tuple[str, str] | None = None


@dataclass(frozen=True)
class _Stages:
    """How a unit's columns are cut: panels of `width` up to `split`, then on (`count` is 2)."""

    width: str
    split: str
    count: str


class _Writer:
    """Writes the entry of one contraction."""

    def __init__(self, form: Contraction, tiling: Tiling, isa: Isa, epilogue: Epilogue) -> None:
        self.form, self.tiling, self.isa, self.epilogue = form, tiling, isa, epilogue
        parameters = [("ptr", "args"), ("ptr", "dims"), ("i64", "lo"), ("i64", "hi")]
        self.em = Emitter(form.kernel.name, [*parameters, ("ptr", "scratch")])
        self.dtype = form.dtype
        self.lanes = tiling.lanes
        self.by_rows = "false"

    def entry(self, others: Sequence[_Way]) -> Emitter:
        """The whole function, which leaves the work to the first way that is chosen."""
        em = self.em
        em.quick = True
        self.ex = open_scope(em, self.form, self.isa)
        for way in others:
            no = em.fresh("usual")
            if way.chosen != 1:
                yes = em.fresh("other")
                em.branch_if(em.value(f"icmp eq i64 {self.ex.index(way.chosen)}, 1"), yes, no)
                em.block(yes)
            em.call_part(way.writer.function(), ["%args", "%dims", "%lo", "%hi", "%scratch"])
            em.line("ret void")
            if way.chosen == 1:
                return em  # there is no other
            em.block(no)
        self.operands = Operands(self.form, self.tiling, self.isa, self.ex)
        self.by_rows = self._by_rows()
        em.loop("%lo", "%hi", 1, self._unit, [("i64", "-1"), ("i64", "-1")])
        em.line("ret void")
        return em

    # Units

    def _unit(self, unit: str, values: list[str]) -> Sequence[str]:
        form, tiling, ex, em = self.form, self.tiling, self.ex, self.em
        with ex.scope():
            width, height = ex.index(tiling.n_block), ex.index(tiling.m_block)
            m, n = ex.index(form.m.extent), ex.index(form.n.extent)
            m_blocks = iv.blocks(em, m, height)
            extents = [ex.index(a.extent) for a in form.outer]
            extents += [iv.blocks(em, n, width), m_blocks]
            *outer, nb, mb = self._place_of(unit, extents)
            sharing = self._sharing(unit, m_blocks)
            fresh = em.value(f"icmp ne i64 {sharing}, {values[0]}")
            m0 = iv.multiply(em, mb, height)
            n0 = iv.multiply(em, nb, width)
            rows = iv.minimum(em, iv.subtract(em, m, m0), height)
            columns = iv.minimum(em, iv.subtract(em, n, n0), width)
            axes = {a.name: v for a, v in zip(form.outer, outer, strict=True)}
            shares = em.value(f"icmp slt i64 {rows}, {m}")
            many = em.value(f"icmp sgt i64 {rows}, {FEW_ROWS}")
            several = em.value(f"icmp sgt i64 {em.value('sub i64 %hi, %lo')}, 1")
            shares = em.value(f"and i1 {shares}, {em.value(f'and i1 {many}, {several}')}")
            shares = em.value(f"and i1 {shares}, {em.value(f'xor i1 {self.by_rows}, true')}")
            later = em.value(f"icmp slt i64 {unit}, {em.value('sub i64 %hi, 1')}")
            reuse = self._reuse(values, m0, em.value(f"icmp eq i64 {columns}, {n}"))
            with ex.scope(axes=axes):
                this = Unit(
                    m0,
                    n0,
                    rows,
                    columns,
                    tuple(outer),
                    shares,
                    fresh,
                    later,
                    lambda: self._following(unit, extents),
                    reuse,
                )
                each_step(ex, form, lambda step: self._step(this, step))
        return [sharing, m0]

    def _by_rows(self) -> str:
        """Whether units of the same rows follow each other: an i1."""
        by_rows = self.tiling.by_rows
        if isinstance(by_rows, int):
            return "true" if by_rows else "false"
        return self.em.value(f"icmp ne i64 {self.ex.index(by_rows)}, 0")

    def _place_of(self, unit: str, extents: Sequence[str]) -> list[str]:
        """The numbers of a unit's outer axes, and of its blocks of columns and rows."""
        em, by_rows = self.em, self.by_rows
        *outer, n_blocks, m_blocks = extents
        if by_rows == "false":
            return iv.positions(em, unit, extents)
        fast = em.value(f"select i1 {by_rows}, i64 {n_blocks}, i64 {m_blocks}")
        slow = em.value(f"select i1 {by_rows}, i64 {m_blocks}, i64 {n_blocks}")
        *numbers, first, last = iv.positions(em, unit, [*outer, slow, fast])
        nb = em.value(f"select i1 {by_rows}, i64 {last}, i64 {first}")
        return [*numbers, nb, em.value(f"select i1 {by_rows}, i64 {first}, i64 {last}")]

    def _sharing(self, unit: str, m_blocks: str) -> str:
        """What units with the same panels of B, one after the other, have in common."""
        panels = iv.floordiv(self.em, unit, m_blocks, unsigned=True)
        if self.by_rows == "false":
            return panels
        return self.em.value(f"select i1 {self.by_rows}, i64 {unit}, i64 {panels}")

    def _reuse(self, before: Sequence[str], m0: str, all_columns: str) -> Reuse:
        """What is left of the unit before, of rows that begin at m0 too, if its steps had room."""
        em, form = self.em, self.form
        k, block = self.ex.index(form.k.extent), self.ex.index(k_step(form))
        room = em.value(f"icmp ne i64 {self.operands.holds}, 0")
        room = em.value(f"or i1 {room}, {em.value(f'icmp sle i64 {k}, {block}')}")
        tables = em.value(f"and i1 {room}, {em.value(f'icmp ne i64 {before[0]}, -1')}")
        if {axis_name(a.name) for a in form.outer} & symbols_of(form.a.at):
            return Reuse(tables, "false", "false")  # each batch has an A of its own
        same = em.value(f"icmp eq i64 {m0}, {before[1]}")
        same = em.value(f"and i1 {same}, {tables}")
        return Reuse(tables, same, em.value(f"and i1 {same}, {all_columns}"))

    def _following(self, unit: str, extents: Sequence[str]) -> tuple[str, str]:
        """Where A and B of the unit that follows begin."""
        form, em = self.form, self.em
        *outer, nb, mb = self._place_of(em.value(f"add i64 {unit}, 1"), extents)
        axes = {a.name: v for a, v in zip(form.outer, outer, strict=True)}
        with self.ex.scope(axes=axes):
            m = iv.multiply(em, mb, self.ex.index(self.tiling.m_block))
            n = iv.multiply(em, nb, self.ex.index(self.tiling.n_block))
            a, b = (address(self.ex, form, x, m, n, "0") for x in (form.a, form.b))
            return a, b

    def _step(self, unit: Unit, step: Step) -> None:
        em, ex = self.em, self.ex
        self.operands.begin(unit, step)
        a = self.operands.pack_a(unit, step)
        self.operands.note_following(unit, step)
        stages = self._stages(unit)

        def one_panel(j: str, columns: str) -> None:
            n = iv.add(em, unit.n0, j)
            target = self._target(unit, n, j, columns)
            into = self._of_run(step, j, target)
            self._products(unit, step, (n, j), columns, a, into)
            if step.ends:
                places = [target.pointer, into.pointer]
                sizes = [unit.rows, columns, target.row, into.row]
                helper = add_panel(self.dtype, self.isa)
                em.when(step.ends, lambda: em.call_helper(helper, [*places, *sizes]))
            if not self._always_direct():
                done = em.value(f"xor i1 {target.direct}, true")
                done = em.value(f"and i1 {done}, {step.last}")
                em.when(done, lambda: self._finish(unit, n, columns, target))

        def stage(s: str, _: list[str]) -> list[str]:
            second = em.value(f"icmp ne i64 {s}, 0")
            start = em.value(f"select i1 {second}, i64 {stages.split}, i64 0")
            stop = em.value(f"select i1 {second}, i64 {unit.columns}, i64 {stages.split}")

            def one(j: str, _: list[str]) -> list[str]:
                columns = iv.minimum(em, iv.subtract(em, stop, j), stages.width)
                with ex.scope():
                    one_panel(j, columns)
                return []

            em.loop(start, stop, stages.width, one)
            return []

        em.loop("0", stages.count, 1, stage)

    def _stages(self, unit: Unit) -> _Stages:
        """Few rows are worked through in whole vectors of B where it is, then what is left.

        All are where that can be read where it is.
        """
        em, b, tiling = self.em, self.form.b, self.tiling
        width = str(tiling.panel)
        if b.panel:
            several = em.value(f"icmp sle i64 {unit.rows}, {PANELS_ROWS}")
            width = em.value(f"select i1 {several}, i64 {tiling.n_room}, i64 {width}")
            return _Stages(width, unit.columns, "1")
        in_place = same_type(b) and b.stride == 1 and b.k_stride is not None
        one = em.value(f"icmp eq i64 {unit.rows}, 1")
        if in_place and tiling.wide:
            widest = tiling.wide * self.lanes
            width = em.value(f"select i1 {one}, i64 {widest}, i64 {width}")
        if not in_place or tiling.exact:
            return _Stages(width, unit.columns, "1")
        few = em.value(f"icmp sle i64 {unit.rows}, {FEW_ROWS}")
        whole = em.value(f"and i64 {unit.columns}, {-self.lanes}")
        split = em.value(f"select i1 {few}, i64 {whole}, i64 {unit.columns}")
        more = em.value(f"icmp slt i64 {split}, {unit.columns}")
        count = em.value(f"select i1 {more}, i64 2, i64 1")
        return _Stages(width, split, count)

    def _products(
        self,
        unit: Unit,
        step: Step,
        start: tuple[str, str],
        columns: str,
        a: Source,
        target: _Panel,
    ) -> None:
        """The sums of a panel, by micro-kernels.

        `start` is its first column, of all and of the unit.
        """
        em, b, (n, j) = self.em, self.form.b, start
        adding = em.value(f"zext i1 {em.value(f'xor i1 {step.first}, true')} to i64")
        if b.panel:
            with self.ex.scope():
                block = address(self.ex, self.form, b, "0", n, step.k0)
            pointers = [a.pointer, block, target.pointer]
            panels = iv.add(em, columns, str(b.panel - 1))
            panels = iv.floordiv(em, panels, str(b.panel), unsigned=True)
            apart = iv.multiply(em, self.ex.index(b.stride), str(b.panel))
            sizes = [unit.rows, step.length, a.stride, a.k_stride, target.row, adding]
            sizes += [panels, apart]
            rows, (vectors,) = self.tiling.rows, self.tiling.vectors
            by_tables = reads_by_tables(self.form)
            helper = packed(b.dtypes, self.isa, rows, vectors, self.tiling.panel, by_tables)
            em.call_helper(helper, [*pointers, *sizes])
            return

        with self.ex.scope():
            source, ahead = self.operands.pack_b(unit, step, n, j, columns)
            pointers = [a.pointer, source.pointer, target.pointer, ahead.pointer, ahead.behind]
            sizes = [unit.rows, columns, step.length, a.stride, a.k_stride, source.k_stride]
            sizes += [target.row, adding, ahead.part, ahead.start, ahead.size]
            tiling = self.tiling
            helper = panel(self.dtype, self.isa, tiling.rows, tiling.vectors, tiling.wide)
            em.call_helper(helper, [*pointers, *sizes])

    # Tiles

    def _finish(self, unit: Unit, n: str, columns: str, target: _Panel) -> None:
        """From the sums of a panel to what is stored."""
        if target.output is None or not can_assemble(self.dtype, self.isa):
            room = str(self.tiling.n_room)
            args = [target.pointer, unit.m0, n, unit.rows, columns, room, *unit.outer]
            self.epilogue.call(self.em, args)
            return
        place, row = target.output
        args = [place, target.pointer, unit.rows, columns, row, target.row]
        self.em.call_helper(stored_rows(self.dtype, self.isa), args)

    def _always_direct(self) -> bool:
        if self.form.direct is None or self.tiling.exact:
            return self.form.direct is not None
        n, step = self.form.n.extent, self.form.b.panel or self.lanes
        return isinstance(n, int) and n % step == 0

    def _target(self, unit: Unit, n: str, j: str, columns: str) -> _Panel:
        em, form, tiling = self.em, self.form, self.tiling
        buffer = memory.element_pointer(em, self.dtype, self.operands.scratch(tiling.areas.c_at), j)
        own = _Panel(buffer, str(tiling.n_room), "false")
        if form.direct is None:
            return own
        at, row = form.direct
        with self.ex.scope(axes={form.m.name: unit.m0, form.n.name: n}):
            offset = self.ex.index(at)
        tensor = self.ex.tensor(form.stores[0].name)
        place = memory.element_pointer(em, tensor.dtype, tensor.pointer, offset)
        stride = self.ex.index(row)
        if self._always_direct():
            return _Panel(place, stride, "true")
        whole = self.operands.whole(columns)
        return _Panel(
            em.value(f"select i1 {whole}, ptr {place}, ptr {own.pointer}"),
            em.value(f"select i1 {whole}, i64 {stride}, i64 {own.row}"),
            whole,
            (place, stride),
        )

    def _of_run(self, step: Step, j: str, target: _Panel) -> _Panel:
        """Where a panel's sums of the run of a step go: of the first one, to the panel itself."""
        if not step.later:
            return target
        em = self.em
        at = self.ex.index(self.tiling.areas.run_at)
        place = em.value(f"getelementptr i8, ptr %scratch, i64 {at}")
        place = memory.element_pointer(em, self.dtype, place, j)
        return _Panel(
            em.value(f"select i1 {step.later}, ptr {place}, ptr {target.pointer}"),
            em.value(f"select i1 {step.later}, i64 {self.tiling.n_room}, i64 {target.row}"),
            target.direct,
        )
