"""The operands of a contraction's entry: where micro-kernels read them, and what is packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.contraction_form import Contraction, Operand, Parts
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.expressions import ExprEmitter
from dlc.codegen.cpu.gathering import RUN_STEPS, offset_table, packed_runs
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.packing import Packer
from dlc.codegen.cpu.tiling import FEW_ROWS, Tiling, reads_by_tables
from dlc.ir.dims import Dim
from dlc.ir.record import dataclass
from dlc.ir.types import DType, int64

# Bytes of a block of A that stay in the first-level cache whatever the stride.
_SMALL_BLOCK = 16 << 10
# Bytes of a block, with what lies between its rows, of which panels are read as they lie if it is
# B's, and which is fetched ahead.
_SMALL_SPAN = 256 << 10
_FOLLOWING = {"pointer": "ptr", "behind": "ptr", "part": "i64", "share": "i64"}


@dataclass(frozen=True)
class Reuse:
    """What the unit before has left in scratch memory: conditions.

    tables: the offsets along k.
    gathered_a: the block of A, gathered, which always packs it.
    packed_a: the block of A where it is packed for as many columns.
    """

    tables: str
    gathered_a: str
    packed_a: str


@dataclass(frozen=True)
class Block:
    """What a unit computes: where it begins, how large it is, and the values of the outer axes."""

    m0: str
    n0: str
    rows: str
    columns: str
    outer: tuple[str, ...]


@dataclass(frozen=True)
class Unit(Block):
    """The block that a unit computes, with what it has in common with others.

    shares: whether its panels of B are kept for units that follow.
    fresh: whether its panels of B are others than those of the unit before it.
    later: whether another one follows.
    following: writes where the blocks of A and B of that begin, and returns the addresses.
    reuse: what need not be made again.
    """

    shares: str
    fresh: str
    later: str
    following: Callable[[], tuple[str, str]]
    reuse: Reuse


@dataclass(frozen=True)
class Step:
    """A block of the contracted axis: where it begins, its length, whether it is first and last.

    Where there may be several runs of blocks, `first` says that it is the first of its run, `later`
    that its run is not the first, and `ends` that it is the last of such a run.
    """

    k0: str
    length: str
    first: str
    last: str
    later: str = ""
    ends: str = ""


@dataclass(frozen=True)
class Source:
    """Where micro-kernels read an operand: address, and strides in elements or tables."""

    pointer: str
    stride: str
    k_stride: str


@dataclass(frozen=True)
class Ahead:
    """What a panel is to fetch: `size` bytes, from byte `start` on.

    They are those of the `part` bytes at `pointer` and, after these, of what is at `behind`.
    """

    pointer: str
    behind: str
    part: str
    start: str
    size: str


def address(ex: ExprEmitter, form: Contraction, operand: Operand, m: str, n: str, k: str) -> str:
    """The address of an operand's element of m, n and k, in a scope with the outer axes."""
    with ex.scope(axes={form.m.name: m, form.n.name: n, form.k.name: k}):
        at = ex.index(operand.at)
    tensor = ex.tensor(operand.tensor)
    return memory.element_pointer(ex.em, tensor.dtype, tensor.pointer, at)


def pack_columns(
    packer: Packer, operand: Operand, args: Sequence[str], strides: tuple[str, str]
) -> None:
    """Packs part of an operand that is not gathered, rows of the target being those of a k.

    `args` are those of a packing function up to the strides in memory; `strides` are along k and
    the other axis.
    """
    if operand.stride == 1:
        packer.contiguous([*args, strides[0]])
        return
    how = packer.transposed if operand.k_stride == 1 else packer.strided
    how([*args, *strides])


class Operands:
    """Writes what concerns the operands into the entry `em`, in the scope `ex`."""

    def __init__(self, form: Contraction, tiling: Tiling, isa: Isa, ex: ExprEmitter) -> None:
        self.form, self.tiling, self.isa, self.ex = form, tiling, isa, ex
        self.em: Emitter = ex.em
        self.dtype, self.lanes = form.dtype, tiling.lanes
        # Where packed A and the tables along k are, and whether there is room for all steps.
        self.holds, self.a_at, self.a_row, self.k_tables = self._areas()
        self.noted = self._room_for_notes()

    def _areas(self) -> tuple[str, str, str, tuple[str, ...]]:
        em, ex, areas = self.em, self.ex, self.tiling.areas
        held = areas.held
        tables = [self.scratch(at) for at in areas.k_tables_at]
        if held.size == 0:
            return "0", self.scratch(areas.a_at), str(areas.a_row), tuple(tables)
        number = ex.index(held.holds)
        holds = em.value(f"icmp ne i64 {number}, 0")

        def chosen(at: Dim, otherwise: str) -> str:
            place = em.value(f"getelementptr i8, ptr %scratch, i64 {ex.index(at)}")
            return em.value(f"select i1 {holds}, ptr {place}, ptr {otherwise}")

        a = chosen(held.a_at, self.scratch(areas.a_at))
        row = em.value(f"select i1 {holds}, i64 {ex.index(held.a_row)}, i64 {areas.a_row}")
        pairs = zip(held.tables_at, tables, strict=True)
        return number, a, row, tuple(chosen(at, table) for at, table in pairs)

    def scratch(self, offset: int) -> str:
        """The address of a part of scratch memory."""
        return "%scratch" if not offset else self.em.value(
            f"getelementptr i8, ptr %scratch, i64 {offset}"
        )  # fmt: skip

    def pack_a(self, unit: Unit, step: Step) -> Source:
        """Packs the block of A unless it is read as it lies; where it is read."""
        a, em, ex, tiling = self.form.a, self.em, self.ex, self.tiling
        packer = Packer(em, self.isa, a.dtypes)
        packed = self._of_step(self.a_at, step, self.dtype)
        by_rows = Source(packed, self.a_row, "1")
        if reads_by_tables(self.form):
            rows = self.scratch(tiling.areas.table_at)
            em.when(step.first, lambda: self._fill(rows, unit.m0, unit.rows, a.parts))
            return Source(address(ex, self.form, a, "0", "0", "0"), rows, self._k_tables(step)[0])
        if a.k_stride is None:

            def gather() -> None:
                with ex.scope():
                    place = address(ex, self.form, a, "0", "0", "0")
                    along, along_k = self._along(a, unit.m0, unit.rows), self._k_tables(step)[0]
                    sizes = [unit.rows, step.length, by_rows.stride]
                    args = [packed, place, *sizes, along, along_k]
                    self._gather(packer, args, a.k_parts, step.k0)

            em.when(em.value(f"xor i1 {unit.reuse.gathered_a}, true"), gather)
            return by_rows
        place = address(ex, self.form, a, unit.m0, "0", step.k0)
        own = Source(place, ex.index(a.stride), ex.index(a.k_stride))
        if not tiling.packs_a:
            return own
        size = iv.multiply(em, iv.multiply(em, unit.rows, step.length), str(self.dtype.itemsize))
        large = em.value(f"icmp sgt i64 {size}, {_SMALL_BLOCK}")
        shared = em.value(f"icmp sgt i64 {unit.columns}, {tiling.panel}")
        large = em.value(f"and i1 {large}, {shared}") if same_type(a) else "true"

        def pack() -> None:
            args = [packed, place, unit.rows, step.length, by_rows.stride, own.stride]
            if a.k_stride == 1:
                packer.contiguous(args)
                return
            how = packer.transposed if a.stride == 1 else packer.strided
            how([*args, own.k_stride])

        old = em.value(f"xor i1 {unit.reuse.packed_a}, true")
        em.when(em.value(f"and i1 {large}, {old}"), pack)
        return self._choose(large, by_rows, own)

    def _room_for_notes(self) -> dict[str, str]:
        """The places of what panels fetch for the unit that follows, if they ever do.

        They are of (pointer, behind, part) of `Ahead`, and of the bytes that each column fetches.
        """
        form, m = self.form, self.form.m.extent
        gathered = form.a.k_stride is None and form.b.k_stride is None
        if form.b.panel or gathered or (isinstance(m, int) and m <= FEW_ROWS):
            return {}
        return {name: self.em.value(f"alloca {type_}") for name, type_ in _FOLLOWING.items()}

    def note_following(self, unit: Unit, step: Step) -> None:
        """Notes what the panels of a step are to fetch of the unit that follows.

        That is what this one does not read, where it lies close together. Of few rows, panels fetch
        their own columns.
        """
        em = self.em
        if not self.noted:
            return
        many = em.value(f"icmp sgt i64 {unit.rows}, {FEW_ROWS}")
        wanted = em.value(f"and i1 {many}, {em.value(f'and i1 {step.last}, {unit.later}')}")

        def note() -> None:
            with self.ex.scope():
                a, b = unit.following()
                a_size = self._other_bytes(self.form.a, unit, step, a, unit.rows)
                b_size = self._other_bytes(self.form.b, unit, step, b, unit.columns)
            total, some = iv.add(em, a_size, b_size), iv.maximum(em, unit.columns, "1")
            self._note(b, a, b_size, em.value(f"udiv i64 {total}, {some}"))

        em.choose(wanted, note, lambda: self._note("%scratch", "%scratch", "0", "0"))

    def _note(self, *values: str) -> None:
        for (name, place), value in zip(self.noted.items(), values, strict=True):
            self.em.line(f"store {_FOLLOWING[name]} {value}, ptr {place}, align 8")

    def _other_bytes(
        self, operand: Operand, unit: Unit, step: Step, following: str, count: str
    ) -> str:
        """The bytes that `count` rows or columns span from `following` on.

        Where they are this unit's too, or many, it is 0.
        """
        em, ex = self.em, self.ex
        if operand.k_stride is None:
            return "0"
        along = iv.multiply(em, count, ex.index(operand.stride))
        along_k = iv.multiply(em, step.length, ex.index(operand.k_stride))
        size = iv.multiply(em, iv.maximum(em, along, along_k), str(operand.dtypes[0].itemsize))
        own = address(ex, self.form, operand, unit.m0, unit.n0, "0")
        other = em.value(f"icmp ne ptr {own}, {following}")
        small = em.value(f"icmp sle i64 {size}, {_SMALL_SPAN}")
        wanted = em.value(f"and i1 {other}, {small}")
        return em.value(f"select i1 {wanted}, i64 {size}, i64 0")

    def pack_b(self, unit: Unit, step: Step, n: str, j: str, columns: str) -> tuple[Source, Ahead]:
        """Packs a panel's block of B unless it was kept or is read as it lies.

        Returns where it is read, and what is to be fetched meanwhile.
        """
        b, em, ex = self.form.b, self.em, self.ex
        panel, kept = self._place_b(unit, step, j)
        packer = Packer(em, self.isa, b.dtypes)
        args = [panel.pointer, step.length, columns, panel.k_stride]
        ahead = self._ahead(j, columns)
        wanted = em.value(f"xor i1 {kept}, true")
        if b.k_stride is None:

            def gather() -> None:
                with ex.scope():
                    self._gather_b(packer, args, step, n)

            em.when(wanted, gather)
            return panel, self._after(kept, panel, step, ahead)
        place = address(ex, self.form, b, "0", n, step.k0)
        own = Source(place, ex.index(b.stride), ex.index(b.k_stride))
        args.insert(1, place)
        if b.stride != 1 or not same_type(b):
            strides = (own.k_stride, own.stride)
            em.when(wanted, lambda: pack_columns(packer, b, args, strides))
            return panel, self._after(kept, panel, step, ahead)
        packed = em.value(f"xor i1 {self._in_place(unit, step, columns, own)}, true")
        wanted = em.value(f"and i1 {packed}, {wanted}")
        em.when(wanted, lambda: packer.contiguous([*args, own.k_stride]))
        kept = em.value(f"and i1 {packed}, {kept}")
        return self._choose(packed, panel, own), self._after(kept, panel, step, ahead)

    def _ahead(self, j: str, columns: str) -> Ahead:
        """A panel's share of what is noted for the unit that follows."""
        em = self.em
        if not self.noted:
            return Ahead("%scratch", "%scratch", "0", "0", "0")
        pointer, behind, part, share = (
            em.value(f"load {_FOLLOWING[name]}, ptr {place}, align 8")
            for name, place in self.noted.items()
        )
        start, size = (iv.multiply(em, share, x) for x in (j, columns))
        return Ahead(pointer, behind, part, start, size)

    def _after(self, kept: str, panel: Source, step: Step, ahead: Ahead) -> Ahead:
        """What a panel fetches: the one behind it, if it was kept, else what is given."""
        em = self.em
        block = iv.multiply(em, step.length, str(self.tiling.panel * self.dtype.itemsize))
        after = em.value(f"getelementptr i8, ptr {panel.pointer}, i64 {block}")
        return Ahead(
            em.value(f"select i1 {kept}, ptr {after}, ptr {ahead.pointer}"),
            ahead.behind,
            em.value(f"select i1 {kept}, i64 {block}, i64 {ahead.part}"),
            em.value(f"select i1 {kept}, i64 0, i64 {ahead.start}"),
            em.value(f"select i1 {kept}, i64 {block}, i64 {ahead.size}"),
        )

    def _place_b(self, unit: Unit, step: Step, j: str) -> tuple[Source, str]:
        """Where a panel's block of B is packed, and whether it has been, for another unit.

        Blocks of many rows' panels are kept for the next unit, in the order of their use, so that
        the one that follows can be fetched meanwhile.
        """
        em, tiling = self.em, self.tiling
        end = iv.add(em, step.k0, step.length)
        kept = em.value(f"icmp sle i64 {end}, {tiling.areas.k_kept}")
        kept = em.value(f"and i1 {kept}, {unit.shares}")
        offset = iv.add(
            em, iv.multiply(em, step.k0, str(tiling.n_room)), iv.multiply(em, j, step.length)
        )
        area = self.scratch(tiling.areas.kept_at)
        place = memory.element_pointer(em, self.dtype, area, offset)
        place = em.value(f"select i1 {kept}, ptr {place}, ptr {self.scratch(tiling.areas.b_at)}")
        old = em.value(f"and i1 {kept}, {em.value(f'xor i1 {unit.fresh}, true')}")
        return Source(place, "1", str(tiling.panel)), old

    def _in_place(self, unit: Unit, step: Step, columns: str, own: Source) -> str:
        """Whether micro-kernels read B where it is: too little use to pack, and no more columns."""
        em = self.em
        few = em.value(f"icmp sle i64 {unit.rows}, {FEW_ROWS}")
        size = em.value(f"mul i64 {step.length}, {own.k_stride}")
        size = em.value(f"mul i64 {size}, {self.dtype.itemsize}")
        small = em.value(f"icmp sle i64 {size}, {_SMALL_SPAN}")
        some = em.value(f"or i1 {few}, {small}")
        return some if self.tiling.exact else em.value(f"and i1 {some}, {self.whole(columns)}")

    def whole(self, columns: str) -> str:
        """Whether there are as many columns as are computed; not asked where tiles are `exact`."""
        step = self.form.b.panel or self.lanes
        rest = self.em.value(f"and i64 {columns}, {step - 1}")
        return self.em.value(f"icmp eq i64 {rest}, 0")

    def _choose(self, condition: str, a: Source, b: Source) -> Source:
        em = self.em
        return Source(
            em.value(f"select i1 {condition}, ptr {a.pointer}, ptr {b.pointer}"),
            em.value(f"select i1 {condition}, i64 {a.stride}, i64 {b.stride}"),
            em.value(f"select i1 {condition}, i64 {a.k_stride}, i64 {b.k_stride}"),
        )

    # Gathered operands

    def begin(self, unit: Unit, step: Step) -> None:
        """Notes the offsets along a block of k of gathered operands."""
        pairs = zip((self.form.a, self.form.b), self._k_tables(step), strict=True)
        gathered = [(x, table) for x, table in pairs if x.k_stride is None]

        def fill() -> None:
            for x, table in gathered:
                with self.ex.scope():
                    self._fill(table, step.k0, step.length, x.k_parts)

        if gathered:
            self.em.when(self.em.value(f"xor i1 {unit.reuse.tables}, true"), fill)

    def _k_tables(self, step: Step) -> tuple[str, ...]:
        return tuple(self._of_step(start, step, int64) for start in self.k_tables)

    def _of_step(self, start: str, step: Step, dtype: DType) -> str:
        """The place of a step in what has room for all of them, if this has."""
        offset = iv.multiply(self.em, step.k0, self.holds)
        return memory.element_pointer(self.em, dtype, start, offset)

    def _along(self, operand: Operand, start: str, count: str) -> str:
        """The table of the offsets along m or n."""
        table = self.scratch(self.tiling.areas.table_at)
        self._fill(table, start, count, operand.parts)
        return table

    def _fill(self, table: str, start: str, count: str, parts: Parts) -> None:
        sizes = [self.ex.index(v) for part in parts for v in part]
        self.em.call_helper(offset_table(len(parts)), [table, start, count, *sizes])

    def _gather(self, packer: Packer, args: Sequence[str], columns: Parts, start: str) -> None:
        """Packs by tables: by runs of columns that are adjacent, or every second one."""
        step = columns[-1][1] if columns else 0
        if step not in RUN_STEPS:
            packer.by_table(args)
            return
        assert isinstance(step, int)
        run = self.ex.index(columns[-1][0])
        helper = packed_runs(step, packer.isa, packer.dtypes)
        self.em.call_helper(helper, [*args, self._left(start, run), run])

    def _left(self, start: str, run: str) -> str:
        """What is left of the run of so many in which a position lies."""
        em = self.em
        within = em.value(f"urem i64 {start}, {iv.maximum(em, run, '1')}")
        return iv.subtract(em, run, within)

    def _gather_b(self, packer: Packer, args: Sequence[str], step: Step, n: str) -> None:
        """Packs a panel of B; rows that are adjacent along k are transposed, run by run."""
        b, em, ex = self.form.b, self.em, self.ex
        place = address(ex, self.form, b, "0", "0", "0")
        panel, length, columns, row = args
        along_k = self._k_tables(step)[1]
        if len(b.parts) > 1 or b.stride in RUN_STEPS or b.k_parts[-1][1] != 1:
            along = self._along(b, n, columns)
            self._gather(packer, [panel, place, length, columns, row, along_k, along], b.parts, n)
            return
        stride = ex.index(b.stride)
        place = memory.element_pointer(em, b.dtypes[0], place, iv.multiply(em, n, stride))
        run = ex.index(b.k_parts[-1][0])

        counts: list[str] = []

        def one(k: str, values: list[str]) -> list[str]:
            counts.append(iv.minimum(em, values[0], iv.subtract(em, length, k)))
            entry = memory.load(em, int64, memory.element_pointer(em, int64, along_k, k), 1)
            source = memory.element_pointer(em, b.dtypes[0], place, entry)
            target = memory.element_pointer(em, self.dtype, panel, iv.multiply(em, k, row))
            packer.transposed([target, source, counts[0], columns, row, "1", stride])
            return [run]

        first = self._left(step.k0, run)
        em.loop("0", length, lambda: counts[0], one, [("i64", first)])


def same_type(operand: Operand) -> bool:
    """Whether an operand is in memory as it is multiplied."""
    return all(d is operand.dtypes[0] for d in operand.dtypes)
