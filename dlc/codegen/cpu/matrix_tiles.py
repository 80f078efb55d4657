"""Functions for a matrix unit (AMX): tiles of 16 by 16 sums, and what it reads in its own order.

The unit multiplies a tile of A, 16 rows of 32 elements of bfloat16, by a tile of B, 16 rows that
each hold a pair of elements along k for 16 columns. Each sum is that of its pairs in order, an even
and an odd one apart, at float32; subnormal numbers count as zero ("Intel Architecture Instruction
Set Extensions Programming Reference", TDPBF16PS). Sizes are in elements, steps in bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from dlc.codegen.cpu import index_values as iv
from dlc.codegen.cpu import memory
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.memory import bytes_on
from dlc.codegen.cpu.packing import transpose
from dlc.ir.types import int16, int32

ROWS = 32  # of A and sums that are worked on together: two tiles
COLUMNS = 32  # of a panel of B: two tiles
DEPTH = 32  # elements along k that are multiplied at a time
B_BYTES = DEPTH * COLUMNS * 2  # of a block of a panel

_SIDE = 16  # rows and columns of a tile of sums, rows of one of A and of B
_TILE_ROW = 64  # bytes of a row of a tile
# Tile registers: sums (by rows, then columns), A, B.
_SUMS, _A, _B = ((0, 1), (2, 3)), (4, 5), (6, 7)


@functools.cache
def tiles() -> Emitter:
    """The function dlc.amx.tiles.

    Its parameters are (a, b, c, rows, panels, a_step, blocks, c_step, add): up to `ROWS` rows by
    panels of B, both of `blocks` blocks along k. Sums begin with what is in c when `add` is not 0.
    """
    numbers = ["rows", "panels", "a_step", "blocks", "c_step", "add"]
    parameters = [*(("ptr", x) for x in "abc"), *(("i64", x) for x in numbers)]
    em = Emitter("dlc.amx.tiles", parameters)
    _configure(em)
    panel = em.value(f"mul i64 %blocks, {B_BYTES}")
    both = em.value(f"icmp sgt i64 %rows, {_SIDE}")

    def one(p: str, _: list[str]) -> list[str]:
        b = bytes_on(em, "%b", em.value(f"mul i64 {p}, {panel}"))
        c = bytes_on(em, "%c", em.value(f"mul i64 {p}, {COLUMNS * 4}"))
        em.when(both, lambda: _panel(em, b, c, 2))
        em.when(em.value(f"xor i1 {both}, true"), lambda: _panel(em, b, c, 1))
        return []

    em.loop("0", "%panels", 1, one)
    em.call("llvm.x86.tilerelease", "void", [])
    em.line("ret void")
    return em


def _configure(em: Emitter) -> None:
    """Sets the shapes of the tile registers: palette 1, then bytes of a row, then rows."""
    place = em.value("alloca [64 x i8], align 64")
    upper = iv.minimum(em, "%rows", str(_SIDE))
    lower = iv.maximum(em, em.value(f"sub i64 %rows, {_SIDE}"), "1")
    em.line(f"store <64 x i8> zeroinitializer, ptr {place}, align 64")
    em.line(f"store i8 1, ptr {place}, align 64")
    rows = {**dict.fromkeys((*_SUMS[0], _A[0]), upper), **dict.fromkeys((*_SUMS[1], _A[1]), lower)}
    for tile in range(8):
        em.line(f"store i16 {_TILE_ROW}, ptr {bytes_on(em, place, str(16 + 2 * tile))}, align 2")
        count = em.value(f"trunc i64 {rows.get(tile, str(_SIDE))} to i8")
        em.line(f"store i8 {count}, ptr {bytes_on(em, place, str(48 + tile))}, align 1")
    em.call("llvm.x86.ldtilecfg", "void", [("ptr", place)])


def _panel(em: Emitter, b: str, c: str, heights: int) -> None:
    """The sums of one panel, by one or two rows of tiles."""
    below = bytes_on(em, c, em.value(f"mul i64 %c_step, {_SIDE}"))
    sums = [
        (tile, bytes_on(em, row, str(k * _TILE_ROW)))
        for row, numbers in zip((c, below)[:heights], _SUMS, strict=False)
        for k, tile in enumerate(numbers)
    ]
    adding = em.value("icmp ne i64 %add, 0")
    for tile, _ in sums:
        em.call("llvm.x86.tilezero", "void", [("i8", str(tile))])

    def load_sums() -> None:
        for tile, place in sums:
            _load(em, tile, place, "%c_step")

    em.when(adding, load_sums)

    def block(_: str, values: list[str]) -> list[str]:
        a, b = values
        for k, tile in enumerate(_B):
            _load(em, tile, bytes_on(em, b, str(k * _TILE_ROW)), str(COLUMNS * 4))
        for h in range(heights):
            row = bytes_on(em, a, em.value(f"mul i64 %a_step, {_SIDE}")) if h else a
            _load(em, _A[h], row, "%a_step")
            for k, tile in enumerate(_SUMS[h]):
                numbers = (tile, _A[h], _B[k])
                em.call("llvm.x86.tdpbf16ps", "void", [("i8", str(x)) for x in numbers])
        return [bytes_on(em, a, str(DEPTH * 2)), bytes_on(em, b, str(B_BYTES))]

    em.loop("0", "%blocks", 1, block, [("ptr", "%a"), ("ptr", b)])
    for tile, place in sums:
        args = [("i8", str(tile)), ("ptr", place), ("i64", "%c_step")]
        em.call("llvm.x86.tilestored64", "void", args)


def _load(em: Emitter, tile: int, place: str, step: str) -> None:
    args = [("i8", str(tile)), ("ptr", place), ("i64", step)]
    em.call("llvm.x86.tileloadd64", "void", args)


@functools.cache
def pairs_of_rows() -> Emitter:
    """The function dlc.amx.rows(dst, src, rows, columns, step): a panel of a B that lies in rows.

    What is outside of `rows` (along k) and `columns` is zero.
    """
    em = _packer("rows", ["rows", "columns", "step"])
    masks = _masks(em, "%columns")

    def pair(i: str, second: bool) -> None:
        source = bytes_on(em, "%src", em.value(f"mul i64 {i}, {em.value('shl i64 %step, 1')}"))
        target = bytes_on(em, "%dst", em.value(f"mul i64 {i}, {COLUMNS * 4}"))
        other = bytes_on(em, source, "%step")
        for k, mask in enumerate(masks):
            at = str(k * _SIDE * 2)
            low = memory.load(em, int16, bytes_on(em, source, at), _SIDE, mask)
            high = memory.load(em, int16, bytes_on(em, other, at), _SIDE, mask) if second else None
            memory.store(
                em, int32, bytes_on(em, target, str(k * _TILE_ROW)), _zipped(em, low, high), _SIDE
            )

    _pairs(em, "%rows", pair, lambda i: _clear(em, "%dst", i))
    em.line("ret void")
    return em


def _pairs(
    em: Emitter, rows: str, pair: Callable[[str, bool], None], clear: Callable[[str], None]
) -> None:
    """Calls `pair` for each two rows, for one that is left, and `clear` up to a whole block."""
    whole = em.value(f"lshr i64 {rows}, 1")
    odd = em.value(f"trunc i64 {rows} to i1")

    def both(i: str, _: list[str]) -> list[str]:
        pair(i, True)
        return []

    def none(i: str, _: list[str]) -> list[str]:
        clear(i)
        return []

    em.loop("0", whole, 1, both)
    em.when(odd, lambda: pair(whole, False))
    stop = em.value(f"lshr i64 {_up(em, rows, DEPTH)}, 1")
    em.loop(em.value(f"add i64 {whole}, {em.value(f'zext i1 {odd} to i64')}"), stop, 1, none)


def _clear(em: Emitter, base: str, i: str) -> None:
    target = bytes_on(em, base, em.value(f"mul i64 {i}, {COLUMNS * 4}"))
    for k in range(2):
        memory.store(em, int32, bytes_on(em, target, str(k * _TILE_ROW)), "zeroinitializer", _SIDE)


@functools.cache
def pairs_of_columns() -> Emitter:
    """The function dlc.amx.columns(dst, src, rows, columns, step): B is contiguous along k.

    `step` is from a column to the next; what is outside of `rows` and `columns` is zero.
    """
    em = _packer("columns", ["rows", "columns", "step"])

    def half(k: int) -> None:
        def block(i: str, _: list[str]) -> list[str]:
            inside = em.mask_below(em.value(f"sub i64 %rows, {i}"), DEPTH)
            rows: list[str] = []
            for lane in range(_SIDE):
                column = k * _SIDE + lane
                there = em.splat("i1", em.value(f"icmp sgt i64 %columns, {column}"), DEPTH)
                mask = em.value(f"and <{DEPTH} x i1> {there}, {inside}")
                place = bytes_on(em, "%src", em.value(f"mul i64 %step, {column}"))
                place = bytes_on(em, place, em.value(f"shl i64 {i}, 1"))
                loaded = memory.load(em, int16, place, DEPTH, mask)
                rows.append(em.value(f"bitcast <{DEPTH} x i16> {loaded} to <{_SIDE} x i32>"))
            target = bytes_on(em, "%dst", em.value(f"mul i64 {i}, {COLUMNS * 2}"))
            for r, value in enumerate(transpose(em, int32, rows)):
                memory.store(
                    em,
                    int32,
                    bytes_on(em, target, str(r * COLUMNS * 4 + k * _TILE_ROW)),
                    value,
                    _SIDE,
                )
            return []

        em.loop("0", "%rows", DEPTH, block)

    half(0)
    half(1)
    em.line("ret void")
    return em


@functools.cache
def turned() -> Emitter:
    """The function dlc.amx.turned(dst, src, rows, depth, step, dst_step): rows of an A by columns.

    A is contiguous along m, `step` from one k to the next. Up to `ROWS` rows of it are written
    `dst_step` apart; what is outside of `depth`, up to a whole block, is zero.
    """
    em = _packer("turned", ["rows", "depth", "step", "dst_step"])
    masks = _masks(em, "%rows")

    def block(k0: str, _: list[str]) -> list[str]:
        left = em.value(f"sub i64 %depth, {k0}")
        source = bytes_on(em, "%src", em.value(f"mul i64 {k0}, %step"))
        for h, mask in enumerate(masks):
            loaded: list[str] = []
            for k in range(DEPTH):
                there = em.splat("i1", em.value(f"icmp sgt i64 {left}, {k}"), _SIDE)
                both = em.value(f"and <{_SIDE} x i1> {there}, {mask}")
                place = bytes_on(em, source, em.value(f"mul i64 %step, {k}"))
                loaded.append(
                    memory.load(em, int16, bytes_on(em, place, str(h * _SIDE * 2)), _SIDE, both)
                )
            zipped = [_zipped(em, x, y) for x, y in zip(loaded[::2], loaded[1::2], strict=True)]
            target = bytes_on(em, "%dst", em.value(f"mul i64 %dst_step, {h * _SIDE}"))
            target = bytes_on(em, target, em.value(f"shl i64 {k0}, 1"))
            for value in transpose(em, int32, zipped):
                memory.store(em, int32, target, value, _SIDE)
                target = bytes_on(em, target, "%dst_step")
        return []

    em.loop("0", "%depth", DEPTH, block)
    em.line("ret void")
    return em


@functools.cache
def aligned() -> Emitter:
    """The function dlc.amx.aligned(dst, src, rows, depth, step, dst_step): rows of an A by rows.

    They are written `dst_step` apart, with zeros up to a whole block.
    """
    em = _packer("aligned", ["rows", "depth", "step", "dst_step"])
    whole = em.value(f"and i64 %depth, {-DEPTH}")
    left = em.value(f"sub i64 %depth, {whole}")
    ragged, mask = em.value(f"icmp ne i64 {left}, 0"), em.mask_below(left, DEPTH)

    def row(r: str, _: list[str]) -> list[str]:
        source = bytes_on(em, "%src", em.value(f"mul i64 {r}, %step"))
        target = bytes_on(em, "%dst", em.value(f"mul i64 {r}, %dst_step"))

        def copy(k: str, mask: str | None) -> None:
            place = em.value(f"shl i64 {k}, 1")
            value = memory.load(em, int16, bytes_on(em, source, place), DEPTH, mask)
            memory.store(em, int16, bytes_on(em, target, place), value, DEPTH)

        def block(k: str, _: list[str]) -> list[str]:
            copy(k, None)
            return []

        em.loop("0", whole, DEPTH, block)
        em.when(ragged, lambda: copy(whole, mask))
        return []

    em.loop("0", "%rows", 1, row)
    em.line("ret void")
    return em


def _packer(name: str, numbers: Sequence[str]) -> Emitter:
    return Emitter(
        f"dlc.amx.{name}", [("ptr", "dst"), ("ptr", "src"), *(("i64", x) for x in numbers)]
    )


def _up(em: Emitter, size: str, multiple: int) -> str:
    return em.value(f"and i64 {em.value(f'add i64 {size}, {multiple - 1}')}, {-multiple}")


def _masks(em: Emitter, count: str) -> list[str]:
    """The masks of two vectors of which `count` lanes are there."""
    second = em.value(f"sub i64 {count}, {_SIDE}")
    return [em.mask_below(x, _SIDE) for x in (count, second)]


def _zipped(em: Emitter, low: str, high: str | None) -> str:
    """Pairs of elements, as 32-bit integers."""
    narrow, wide = f"<{_SIDE} x i16>", f"<{_SIDE} x i32>"
    first = em.value(f"zext {narrow} {low} to {wide}")
    if high is None:
        return first
    second = em.value(f"zext {narrow} {high} to {wide}")
    second = em.value(f"shl {wide} {second}, splat (i32 16)")
    return em.value(f"or {wide} {first}, {second}")
