"""Tile and block sizes of a contraction for a level.

Of these only `k_step` and `RUN` change bits.
"""

from __future__ import annotations

from dlc.codegen.cpu.assembled_function import has_masks
from dlc.codegen.cpu.contraction_form import Contraction
from dlc.codegen.cpu.contraction_scratch import Areas, lay_out
from dlc.codegen.cpu.isa import Isa
from dlc.ir.dims import (
    Dim,
    add,
    all_positive,
    ceildiv,
    floordiv,
    larger,
    maximum,
    minimum,
    mod,
    mul,
    smaller,
    symbol,
)
from dlc.ir.record import dataclass
from dlc.ir.types import DType

# The most rows of blocks of A, a multiple of the rows of every micro-kernel that is used with it.
_M_BLOCK = 192
# Bytes of a row of K that is summed in registers before it is added to the rest. Where operands are
# gathered, packing takes more time than adding does: sums of windows have more, shorter parts.
_K_BYTES = 2048
_GATHERED_K_BYTES = 512
# Steps of K that are added up before they are added to the rest.
RUN = 16
# The most panels in a unit, which share its block of A, and units from which there are so many.
_SHARING_PANELS = 4
_ENOUGH_UNITS = 16
# Vectors of a panel that may be one narrower, where a few panels are units.
_NARROWED = 4
# Rows below which packing a panel of B costs more than it saves.
FEW_ROWS = 24
# The most rows for which several panels are read at once, and panels that make that worthwhile.
PANELS_ROWS = 4
_ENOUGH_PANELS = 16
# Bytes of A's block up to which it is read where it is, whatever its strides.
_SMALL_A = 16 << 10


@dataclass(frozen=True)
class Tiling:
    """How a contraction is cut.

    rows, vectors: the micro-kernels, largest first; `vectors` of `lanes` elements.
    m_block, n_block: extents of a unit; n_block is a multiple of `panel`, or one less a vector.
    by_rows: 1 where units of the same rows follow each other, 0 where those of the same columns do.
    m_rows, n_room: the most rows and columns that a unit has.
    wide: vectors of the micro-kernel for a single row at run time, 0 without one.
    exact: whether micro-kernels read and write no more columns than there are.
    packs_a: whether blocks of A may be packed.
    areas: the parts of scratch memory.
    """

    lanes: int
    rows: tuple[int, ...]
    vectors: tuple[int, ...]
    panel: int
    m_block: Dim
    n_block: Dim
    by_rows: Dim
    packs_a: bool
    wide: int
    exact: bool
    m_rows: int
    n_room: int
    areas: Areas


def tile_sizes(dtype: DType, isa: Isa) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(rows, vectors) of micro-kernels for tiles of any extents, largest first: few, shared."""
    height, width = micro_kernel_size(symbol("m"), symbol("n"), isa.lanes(dtype.bits), isa)
    return (height, 2, 1), tuple(w for w in (4, 2, 1) if w <= width)


def _k_block(form: Contraction) -> int:
    gathered = form.a.k_stride is None or form.b.k_stride is None
    return (_GATHERED_K_BYTES if gathered else _K_BYTES) // max(form.dtype.itemsize, 4)


def k_step(form: Contraction) -> Dim:
    """Products summed in a row before they are added to the rest.

    The steps are about equal: a short one would cost an update of all sums for little work.
    """
    k, block = form.k.extent, _k_block(form)
    steps = maximum(1, floordiv(add(k, block // 2), block))
    return maximum(1, ceildiv(k, steps))


def _longest_step(form: Contraction) -> int:
    block = _k_block(form)
    return block + block // 2


def runs(form: Contraction) -> Dim:
    """0 where all steps of K are one run, that are added up in order; at least 1 otherwise."""
    return floordiv(form.k.extent, longest_run(form))


def longest_run(form: Contraction) -> int:
    """Products from which there is more than one run of steps."""
    return RUN * _k_block(form)


def reads_by_tables(form: Contraction) -> bool:
    """Whether micro-kernels read A, gathered, where it lies: by panels, of the type of the sums."""
    a = form.a
    return bool(form.b.panel) and a.k_stride is None and all(d is form.dtype for d in a.dtypes)


def row_block(form: Contraction) -> int:
    """About the most rows of a unit: less where A is packed for each, to have units for threads."""
    if reads_by_tables(form):
        return _M_BLOCK
    return _M_BLOCK if form.a.k_stride == 1 else _M_BLOCK // 2


def choose_tiling(form: Contraction, isa: Isa) -> Tiling:
    """The sizes for a contraction: the micro-kernels its extents need, blocks that fit caches."""
    dtype, lanes = form.dtype, isa.lanes(form.dtype.bits)
    m, n = form.m.extent, form.n.extent
    packed = form.b.panel
    height, width = (
        _packed_micro_kernel(m, packed // lanes, isa)
        if packed
        else micro_kernel_size(m, n, lanes, isa)
    )
    panel = packed or width * lanes
    depth = k_step(form)
    depth = depth if isinstance(depth, int) else _longest_step(form)
    most_rows = row_block(form)
    most_rows -= most_rows % height
    m_blocks = ceildiv(m, most_rows)
    by_rows: Dim = 0
    if not packed and form.a.k_stride is not None and form.b.k_stride is not None:
        by_rows = _by_rows(m, mul(form.batches, m_blocks), ceildiv(n, lanes), width)
        m_blocks = larger(m_blocks, mul(2, by_rows))
    m_block = mul(height, larger(1, ceildiv(m, mul(height, larger(1, m_blocks)))))
    m_rows = min(most_rows, m) if isinstance(m, int) else most_rows
    packs_a = _packs_a(form, m_rows * depth * dtype.itemsize)
    wide = _single_row_width(isa)
    wide = wide if not isinstance(m, int) and width < wide and not packed else 0
    enough = _ENOUGH_UNITS if form.a.k_stride == 1 else _ENOUGH_UNITS // 2
    if packed and not packs_a and isinstance(m, int) and m <= FEW_ROWS:
        n_block, n_room = _panels_at_once(m, n, panel)
    else:
        n_block, n_room = _n_block(m, n, panel, mul(form.batches, m_blocks), enough)
    exact = has_masks(dtype, isa) and not packed
    vectors = _vector_pieces(m, n, lanes, width, most_rows, exact=exact)
    if width == _NARROWED and not packed:
        less = _narrower(m, ceildiv(n, lanes), width, mul(form.batches, m_blocks))
        if less != 0:
            n_block = add(n_block, mul(less, -lanes))
            vectors = tuple(sorted({*vectors, width - 1, 1}, reverse=True))
    areas = lay_out(
        form,
        lanes,
        depth=depth,
        panel=panel,
        rows=m_rows,
        columns=n_room,
        packs_a=packs_a,
        several_runs=minimum(1, runs(form)),
    )
    return Tiling(
        lanes=lanes,
        rows=piece_sizes(m, height),
        vectors=(width,) if packed else vectors,
        panel=panel,
        m_block=m_block,
        n_block=n_block,
        by_rows=by_rows,
        packs_a=packs_a,
        wide=wide,
        exact=exact,
        m_rows=m_rows,
        n_room=n_room,
        areas=areas,
    )


def _n_block(m: Dim, n: Dim, panel: int, m_units: Dim, enough: int) -> tuple[Dim, int]:
    """(columns of a unit, the most that these are), a multiple of `panel`.

    Panels share what is done once for a unit; few units do not keep threads busy, and few rows make
    little work of a panel. One panel less keeps the last unit from being narrow.
    """
    panels = ceildiv(n, panel)
    if panels == 1:
        return panel, panel
    spare = floordiv(mul(panels, m_units), enough)
    wanted = larger(larger(1, floordiv(FEW_ROWS, maximum(m, 1))), spare)
    some = smaller(_SHARING_PANELS, wanted)
    left = mod(add(panels, -1), some)  # one less than the panels of the last unit
    even = larger(1, add(add(some, -1), floordiv(mul(2, left), some)))
    most = _SHARING_PANELS
    if isinstance(panels, int):
        most = min(most, max(1, panels))
    return mul(panel, smaller(even, most)), panel * most


def _of_the_busier(extent: Dim, width: int, rows: Dim) -> Dim:
    """What the one of two threads that has more gets of an extent cut into units of a width.

    That is half of the units, of so many rows each, none of them the narrow last one.
    """
    return mul(ceildiv(mul(ceildiv(extent, width), rows), 2), width)


def _narrower(m: Dim, vectors: Dim, width: int, m_units: Dim) -> Dim:
    """1 where two threads share units that are a vector narrower more evenly, else 0.

    That is where columns make a few panels, each of which is a unit.
    """
    panels = ceildiv(vectors, width)
    now, then = (_of_the_busier(vectors, w, m_units) for w in (width, width - 1))
    gain = add(mul(now, 20), mul(then, -21))
    few = add(2 * _ENOUGH_UNITS, mul(mul(panels, m_units), -1))
    return all_positive([gain, few, add(panels, -1), add(m, -FEW_ROWS)])


def _by_rows(m: Dim, m_units: Dim, vectors: Dim, width: int) -> Dim:
    """1 where two threads had better take halves of the rows than panels of columns, else 0.

    That is where there are few units, of which the last panel's are so narrow that the thread
    without them has a quarter more than its share. Each packs all panels for itself then.
    """
    units = mul(ceildiv(vectors, width), m_units)
    more = add(mul(_of_the_busier(vectors, width, m_units), 8), mul(mul(vectors, m_units), -5))
    few = add(_ENOUGH_UNITS, mul(units, -1))
    return all_positive([more, few, add(m, -4 * FEW_ROWS)])


def _panels_at_once(m: int, n: Dim, panel: int) -> tuple[Dim, int]:
    """(columns of a unit of few rows, the most of them): what is read at once, one after another.

    That is several panels of the fewest rows, if there are many: two or three, whichever leaves
    less to the busier of two threads, or four.
    """
    panels = ceildiv(n, panel)
    many, more = (minimum(1, floordiv(panels, p)) for p in (_ENOUGH_PANELS, 4 * _ENOUGH_PANELS))
    if m <= PANELS_ROWS // 2:
        two, three = (_of_the_busier(panels, p, 1) for p in (2, 3))
        third = all_positive([add(two, mul(three, -1))])
        third = mul(third, add(many, mul(more, -1)))
        return mul(panel, add(add(add(1, many), third), mul(2, more))), 4 * panel
    return (mul(panel, add(1, many)), 2 * panel) if m <= PANELS_ROWS else (panel, panel)


def _packs_a(form: Contraction, block_bytes: int) -> bool:
    a = form.a
    if reads_by_tables(form):
        return False
    if a.k_stride is None or any(d is not a.dtypes[0] for d in a.dtypes):
        return True
    return a.k_stride != 1 and block_bytes > _SMALL_A


def _single_row_width(isa: Isa) -> int:
    """Vectors of the micro-kernel for a single row: B is read in long pieces."""
    return 16 if isa.registers >= 32 and isa.vector_bits >= 512 else 8


def micro_kernel_size(m: Dim, n: Dim, lanes: int, isa: Isa) -> tuple[int, int]:
    """(rows, vectors) of the main micro-kernel: sums and operands fit the registers."""
    wide = isa.registers >= 32
    if isinstance(m, int) and m <= 4:
        width = {
            0: 8,
            1: _single_row_width(isa),
            2: 8 if wide else 4,
            3: 6 if wide else 3,
            4: 5 if wide else 2,
        }[m]
        height = max(m, 1)
    elif wide and isa.vector_bits >= 512:
        height, width = 6, 4
    else:
        height, width = (8, 2) if wide else (6, 2) if isa.fma else (4, 2)
    if isinstance(n, int):
        needed = max(1, -(-n // lanes))
        if needed < width:
            width = needed
            taller = 8 if wide or width == 1 else height
            height = height if isinstance(m, int) and m <= height else taller
    return height, width


def _packed_micro_kernel(m: Dim, panel: int, isa: Isa) -> tuple[int, int]:
    """(rows, vectors) for panels of so many vectors: few rows are cut into even pieces."""
    width = 1 if panel % 2 else 2
    most = min(
        isa.page_lines,  # rows of A may be whole pages apart
        (isa.registers - 1 - width) // 2,
    )
    if not isinstance(m, int):
        return most, width
    pieces = max(1, -(-m // most))
    return max(1, -(-m // pieces)), width


def piece_sizes(extent: Dim, size: int) -> tuple[int, ...]:
    """Piece sizes, largest first, that cover any multiple of `size` and `extent`."""
    if isinstance(extent, int):
        sizes = ([size] if extent >= size else []) + ([extent % size] if extent % size else [])
        return tuple(sizes)
    smaller = [p for p in (8, 4, 2, 1) if p < size]
    return (size, *smaller)


def _vector_pieces(
    m: Dim, n: Dim, lanes: int, width: int, m_block: int, *, exact: bool
) -> tuple[int, ...]:
    """Widths of micro-kernels in vectors.

    Few rows take the last, ragged vector by itself, where no part of one can be read.
    """
    if not isinstance(n, int):
        return (width, 1) if width > 1 else (1,)
    pieces = set(piece_sizes(-(-n // lanes), width))
    few = isinstance(m, int) and m <= FEW_ROWS
    if not exact and n % lanes and (not isinstance(m, int) or few or 0 < m % m_block <= FEW_ROWS):
        last = n // lanes % width
        pieces = (pieces - {last + 1} if few and last + 1 < width else pieces) | {1, last} - {0}
    return tuple(sorted(pieces, reverse=True))
