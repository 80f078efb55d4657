"""Long rows that threads sort together: each takes the elements of its own range of keys.

A row is `PARTS` units of work. Units from `low` to `high` are the elements between two quantiles of
a sample of the row; how many come before them tells their place in the sorted row. So a thread
reads the whole row, sorts its share and writes it to where it belongs, and waits for no other.

    void dlc.share.*(words, keys, state, low, high, open, n)
    void dlc.share.*(words, keys, places, state, low, high, open, n, number)

adds those of n words from `low` on, and below `high` unless that is `open`, to `keys`; `state` is
how many there are, and how many words are less than `low`. `number` is the place of the first word.
Words are read up to a whole vector, and so much is written behind the keys.
"""

from __future__ import annotations

import functools

from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.kernel_ir import Assign, Par, Sort
from dlc.ir.dims import Dim, add, floordiv, minimum, mul
from dlc.ir.record import dataclass
from dlc.ir.scalar import index

PARTS = 16  # units of work in a row that is shared
LONG = 1 << 13  # elements of a row that is worth it
SAMPLE = 1024  # elements by which ranges are chosen


def parts(nest: Par) -> Dim:
    """The units of work in a row of a nest: several where it is one long sort."""
    sort, *stores = nest.body
    if not isinstance(sort, Sort) or sort.axis.extent != sort.over.extent:
        return 1
    for s in stores:
        if not isinstance(s, Assign) or len(s.axes) != 1 or index(s.axes[0].name) not in s.ix:
            return 1
        if s.axes[0].extent != sort.axis.extent or s.axes[0].block is not None:
            return 1
    size = sort.over.extent
    if isinstance(size, int):
        return PARTS if size >= LONG else 1
    return add(1, mul(minimum(floordiv(size, LONG), 1), PARTS - 1))


@dataclass(frozen=True)
class Share:
    """Units [low, high) of the `count` of a row, and the axes along which it is stored."""

    low: str
    high: str
    count: str
    axes: tuple[str, ...]


@dataclass(frozen=True)
class KeyFilter:
    """Finds the keys of a range, of so many bits, with or without their places."""

    bits: int
    lanes: int
    places: bool

    @property
    def helper(self) -> Emitter:
        """The function."""
        return _key_filter(self)


@functools.cache
def _key_filter(f: KeyFilter) -> Emitter:
    type_, lanes = f"i{f.bits}", f.lanes
    pointers = ["words", "keys", *(["places"] if f.places else []), "state"]
    em = Emitter(
        f"dlc.share.{'places' if f.places else 'keys'}.{f.bits}.{lanes}",
        [
            *(("ptr", n) for n in pointers),
            *((type_, n) for n in ("low", "high")),
            *(("i64", n) for n in ("open", "n", *(["number"] if f.places else []))),
        ],
    )
    flags = "i1" if lanes == 1 else f"<{lanes} x i1>"
    vector = type_ if lanes == 1 else f"<{lanes} x {type_}>"
    low, high = em.splat(type_, "%low", lanes), em.splat(type_, "%high", lanes)
    open_ = em.splat("i1", em.value("icmp ne i64 %open, 0"), lanes)
    second = em.value("getelementptr i64, ptr %state, i64 1")
    start = [("i64", em.value(f"load i64, ptr {p}")) for p in ("%state", second)]

    def put(value: str, element: str, base: str, place: str, mask: str) -> None:
        to = em.value(f"getelementptr {element}, ptr {base}, i64 {place}")
        if lanes > 1:
            name = f"llvm.experimental.vector.compress.v{lanes}{element}"
            whole = f"<{lanes} x {element}>"
            value = em.call(name, whole, [(whole, value), (flags, mask), (whole, "poison")])
            element = whole
        em.line(f"store {element} {value}, ptr {to}, align {f.bits // 8}")

    def step(k: str, held: list[str]) -> list[str]:
        found, before = held
        at = em.value(f"getelementptr {type_}, ptr %words, i64 {k}")
        value = em.value(f"load {vector}, ptr {at}, align {f.bits // 8}")
        inside = em.mask_below(em.value(f"sub i64 %n, {k}"), lanes) if lanes > 1 else "true"
        less = em.value(f"icmp ult {vector} {value}, {low}")
        less = em.value(f"and {flags} {less}, {inside}")
        taken = em.value(f"icmp ult {vector} {value}, {high}")
        taken = em.value(f"or {flags} {taken}, {open_}")
        taken = em.value(f"and {flags} {taken}, {em.value(f'xor {flags} {less}, {inside}')}")
        put(value, type_, "%keys", found, taken)
        if f.places:
            first = em.value(f"add i64 %number, {k}")
            places = em.splat("i64", first, lanes)
            if lanes > 1:
                places = em.value(f"add <{lanes} x i64> {places}, {em.lane_numbers(lanes)}")
            put(places, "i64", "%places", found, taken)
        return [
            em.value(f"add i64 {total}, {_count(em, mask, lanes)}")
            for total, mask in ((found, taken), (before, less))
        ]

    found, before = em.loop("0", "%n", lanes, step, start)
    em.line(f"store i64 {found}, ptr %state")
    em.line(f"store i64 {before}, ptr {second}")
    em.line("ret void")
    return em


def _count(em: Emitter, mask: str, lanes: int) -> str:
    if lanes == 1:
        return em.value(f"zext i1 {mask} to i64")
    bits = em.value(f"bitcast <{lanes} x i1> {mask} to i{lanes}")
    count = em.call(f"llvm.ctpop.i{lanes}", f"i{lanes}", [(f"i{lanes}", bits)])
    return count if lanes == 64 else em.value(f"zext i{lanes} {count} to i64")
