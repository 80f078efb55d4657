"""Functions that sort rows of unsigned integers in memory.

    void dlc.sort.*(keys, more, counts, n, here)           keys alone
    void dlc.sort.*(keys, places, more, counts, n, here)   and with them their places

Short rows are sorted by insertion, those of middle length by a network (`sort_network`), longer
ones by parting (`sort_partition`) where there are instructions for it. Others are sorted by their
digits from the last to the first: each pass counts how often a digit has each value, and moves what
is sorted by the later digits to where that says, from `keys` to `more` and back. Digits that are
the same in a whole row cost no pass. Equal keys stay in their order. Unless the result is wanted
`here`, it may be in `more` in the end, keys before places; `counts` begins with a 1 then, else with
a 0.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.ordered_loop import ordered_loop
from dlc.codegen.cpu.sort_network import LONGEST, Network, padding
from dlc.codegen.cpu.sort_partition import QuickSort
from dlc.ir.dims import Dim, add, minimum
from dlc.ir.record import dataclass, replace

SHORT = 48  # rows up to this length are sorted by insertion
DIGITS = (8, 11)  # the bits of a digit of shorter and of longer rows
LONG = 1 << 14  # rows from this length on are longer ones


@dataclass(frozen=True)
class RowSort:
    """Sorts rows by the bits of their words from `low` to `high`.

    words: the bits of a word. places: whether each word comes with its place, of 64 bits. lanes:
    the words of a vector; what is beside the bits that are sorted by must be in order already.
    parts: whether long rows are sorted by parting them, else by digits.
    """

    words: int
    low: int
    high: int
    places: bool = False
    lanes: int = 1
    parts: bool = False

    @property
    def helper(self) -> Emitter:
        """The function."""
        return _row_sort(self)

    @property
    def bytes(self) -> int:
        """What an element takes in memory."""
        return self.words // 8 + (8 if self.places else 0)

    @property
    def network(self) -> bool:
        """Whether rows of middle length are sorted by a network."""
        return self.words >= 32 and not self.places and self.lanes > 1

    def more(self, size: Dim) -> Dim:
        """The words of memory that a row of so many needs beside its own."""
        if not self.network:
            return size
        second = size if self.parts else minimum(size, LONGEST)
        return add(add(size, second), padding(self.lanes))

    @property
    def type(self) -> str:
        """The LLVM type of a word."""
        return f"i{self.words}"

    def digits(self, bits: int) -> int:
        """How many digits of so many bits a key has."""
        return -(-(self.high - self.low) // bits)

    @property
    def bits(self) -> tuple[int, ...]:
        """The bits of a digit of shorter and of longer rows, where longer digits are fewer."""
        short, long = DIGITS
        return DIGITS if self.digits(long) < self.digits(short) else (short,)

    @property
    def counts_bytes(self) -> int:
        """The scratch memory that the counts of digits take."""
        return max(self.digits(b) << b for b in self.bits) * 4


@dataclass(frozen=True)
class RowSelect:
    """Finds the first words of a row, a part of the row at a time.

        void dlc.select.*(words, best, more, counts, state, n, k, limit)

    adds those of n words that may be among the first k to the ones held in `best`; where there are
    `limit` of these, it sorts them and keeps k. `state` is how many are held and, once there were
    enough, the last of the first k. Memory behind the words is read up to a whole vector.
    """

    sort: RowSort
    lanes: int

    @property
    def helper(self) -> Emitter:
        """The function."""
        return _row_select(self)


@functools.cache
def _row_select(select: RowSelect) -> Emitter:
    pointers = [("ptr", n) for n in ("words", "best", "more", "counts", "state")]
    em = Emitter(
        f"dlc.select.{select.sort.words}.{select.sort.low}.{select.sort.high}.{select.lanes}",
        [*pointers, *(("i64", n) for n in ("n", "k", "limit"))],
    )
    lanes, type_ = select.lanes, select.sort.type
    vector = type_ if lanes == 1 else f"<{lanes} x {type_}>"
    flags = "i1" if lanes == 1 else f"<{lanes} x i1>"
    threshold = em.value("getelementptr i64, ptr %state, i64 1")
    last = em.value(f"getelementptr {type_}, ptr %best, i64 {em.value('sub i64 %k, 1')}")
    start = [
        ("i64", em.value("load i64, ptr %state")),
        (type_, em.value(f"load {type_}, ptr {threshold}")),
    ]

    def step(i: str, values: list[str]) -> list[str]:
        held, bound = values
        words = em.value(
            f"load {vector}, ptr {em.value(f'getelementptr {type_}, ptr %words, i64 {i}')}, align 8"
        )
        less = em.value(f"icmp ult {vector} {words}, {em.splat(type_, bound, lanes)}")
        inside = em.mask_below(em.value(f"sub i64 %n, {i}"), lanes)
        mask = em.value(f"and {flags} {less}, {inside}")
        bits = mask if lanes == 1 else em.value(f"bitcast {flags} {mask} to i{lanes}")
        before, hit, cut, following = em.current, em.fresh("hit"), em.fresh("cut"), em.fresh("next")
        em.branch_if(em.value(f"icmp ne i{lanes} {bits}, 0"), hit, following)
        em.block(hit)
        to = em.value(f"getelementptr {type_}, ptr %best, i64 {held}")
        if lanes == 1:
            em.line(f"store {type_} {words}, ptr {to}")
            more = em.value(f"add i64 {held}, 1")
        else:
            em.call(
                f"llvm.masked.compressstore.v{lanes}{type_}",
                "void",
                [(vector, words), ("ptr", to), (flags, mask)],
            )
            found = em.call(f"llvm.ctpop.i{lanes}", f"i{lanes}", [(f"i{lanes}", bits)])
            more = em.value(f"add i64 {held}, {_widened(em, found, lanes)}")
        em.branch_if(em.value(f"icmp sge i64 {more}, %limit"), cut, following)
        em.block(cut)
        em.call_helper(select.sort.helper, ["%best", "%more", "%counts", more, "1"])
        bound_then = em.value(f"load {type_}, ptr {last}")
        em.branch(following)
        em.block(following)
        held = em.value(f"phi i64 [ {held}, %{before} ], [ {more}, %{hit} ], [ %k, %{cut} ]")
        bound = em.value(
            f"phi {type_} [ {bound}, %{before} ], [ {bound}, %{hit} ], [ {bound_then}, %{cut} ]"
        )
        return [held, bound]

    held, bound = em.loop("0", "%n", lanes, step, start)
    em.line(f"store i64 {held}, ptr %state")
    em.line(f"store {type_} {bound}, ptr {threshold}")
    em.line("ret void")
    return em


def _widened(em: Emitter, value: str, bits: int) -> str:
    return value if bits == 64 else em.value(f"zext i{bits} {value} to i64")


@functools.cache
def _row_sort(sort: RowSort) -> Emitter:
    kind = "places" if sort.places else "keys"
    arrays = [("ptr", "keys"), *([("ptr", "places")] if sort.places else [])]
    parameters = [*arrays, *(("ptr", x) for x in ("more", "counts")), ("i64", "n"), ("i64", "here")]
    way = "parts" if sort.parts else "digits"
    bits = f"{sort.words}.{sort.low}.{sort.high}.{sort.lanes}"
    em = Emitter(f"dlc.sort.{kind}.{way}.{bits}", parameters)
    _Writer(em, sort).write()
    return em


class _Writer:
    def __init__(self, em: Emitter, sort: RowSort) -> None:
        self.em, self.sort, self.type = em, sort, sort.type

    def write(self) -> None:
        em = self.em
        em.line("store i64 0, ptr %counts, align 8")
        short = em.value(f"icmp sle i64 %n, {SHORT}")
        yes, no, done = em.fresh("short"), em.fresh("long"), em.fresh("done")
        em.branch_if(short, yes, no)
        em.block(yes)
        em.loop("1", "%n", 1, self._insert)
        em.branch(done)
        em.block(no)
        if self.sort.network:
            middle, longest = em.fresh("middle"), em.fresh("longest")
            em.branch_if(em.value(f"icmp sle i64 %n, {LONGEST}"), middle, longest)
            em.block(middle)
            Network(em, self.sort.words, self.sort.lanes).write()
            em.branch(done)
            em.block(longest)
            if self.sort.parts:
                self._by_parts()
                em.branch(done)
                em.block(done)
                em.line("ret void")
                return
        if self.sort.high - self.sort.low == 1:
            self._by_bit()
            em.branch(done)
            em.block(done)
            em.line("ret void")
            return
        shorter_digit, *longer_digit = self.sort.bits
        for digit in longer_digit:
            longer, shorter = em.fresh("longer"), em.fresh("shorter")
            em.branch_if(em.value(f"icmp sge i64 %n, {LONG}"), longer, shorter)
            em.block(longer)
            self._by_digits(digit)
            em.branch(done)
            em.block(shorter)
        self._by_digits(shorter_digit)
        em.branch(done)
        em.block(done)
        em.line("ret void")

    # Elements

    def _at(self, base: str, k: str, type_: str) -> str:
        return self.em.value(f"getelementptr {type_}, ptr {base}, i64 {k}")

    def _load(self, base: str, k: str, type_: str) -> str:
        return self.em.value(f"load {type_}, ptr {self._at(base, k, type_)}")

    def _store(self, value: str, base: str, k: str, type_: str) -> None:
        self.em.line(f"store {type_} {value}, ptr {self._at(base, k, type_)}")

    # Short rows

    def _insert(self, i: str, _: list[str]) -> list[str]:
        """Moves element `i` before those that are greater, of the sorted ones before it."""
        em = self.em
        arrays = [("%keys", self.type), *([("%places", "i64")] if self.sort.places else [])]
        held = [self._load(base, i, t) for base, t in arrays]

        def before(k: str) -> str:
            return em.value(f"sub i64 {em.value(f'sub i64 {i}, {k}')}, 1")

        def greater(k: str, _: list[str]) -> str:
            key = self._load("%keys", before(k), self.type)
            return em.value(f"icmp ugt {self.type} {key}, {held[0]}")

        def move(k: str, _: list[str]) -> list[str]:
            source, target = before(k), em.value(f"sub i64 {i}, {k}")
            for base, t in arrays:
                self._store(self._load(base, source, t), base, target, t)
            return [em.value(f"add i64 {k}, 1")]

        (moved,) = ordered_loop(em, i, [("i64", "0")], move, greater)
        place = em.value(f"sub i64 {i}, {moved}")
        for (base, t), value in zip(arrays, held, strict=True):
            self._store(value, base, place, t)
        return []

    # Long rows

    def _digit(self, key: str, number: str | int, bits: int) -> str:
        """A digit of a key as an index, the last one having the number 0."""
        em, t = self.em, self.type
        if isinstance(number, int):
            shift = str(self.sort.low + bits * number)
        else:
            wide = em.value(f"add i64 {em.value(f'mul i64 {number}, {bits}')}, {self.sort.low}")
            shift = wide if t == "i64" else em.value(f"trunc i64 {wide} to {t}")
        digit = em.value(f"lshr {t} {key}, {shift}")
        if bits < self.sort.words:
            digit = em.value(f"and {t} {digit}, {(1 << bits) - 1}")
        return digit if t == "i64" else em.value(f"zext {t} {digit} to i64")

    def _arrays(self) -> list[tuple[str, str]]:
        """Where keys, and then their places, are, each beside where they are moved to."""
        found = [("%keys", "%more")]
        if self.sort.places:
            size = self.em.value(f"mul i64 %n, {self.sort.words // 8}")
            found.append(("%places", self.em.value(f"getelementptr i8, ptr %more, i64 {size}")))
        return found

    def _by_bit(self) -> None:
        em, arrays = self.em, self._arrays()

        def bit(k: str) -> tuple[str, str]:
            key = self._load("%keys", k, self.type)
            return key, self._digit(key, 0, 1)

        def count(k: str, held: list[str]) -> list[str]:
            return [em.value(f"add i64 {held[0]}, {bit(k)[1]}")]

        (ones,) = em.loop("0", "%n", 1, count, [("i64", "0")])

        def move(k: str, held: list[str]) -> list[str]:
            clear, set_ = held
            key, one = bit(k)
            is_set = em.value(f"trunc i64 {one} to i1")
            to = em.value(f"select i1 {is_set}, i64 {set_}, i64 {clear}")
            self._store(key, arrays[0][1], to, self.type)
            for source, target in arrays[1:]:
                self._store(self._load(source, k, "i64"), target, to, "i64")
            zero = em.value(f"xor i64 {one}, 1")
            return [em.value(f"add i64 {clear}, {zero}"), em.value(f"add i64 {set_}, {one}")]

        em.loop("0", "%n", 1, move, [("i64", "0"), ("i64", em.value(f"sub i64 %n, {ones}"))])
        self._finish([target for _, target in arrays], "true")

    def _finish(self, arrays: Sequence[str], away: str) -> None:
        """Brings keys and places back from where they are if they are `away`, or says so."""
        em = self.em
        here = em.value("icmp ne i64 %here, 0")
        em.when(em.value(f"and i1 {away}, {here}"), lambda: self._bring_back(arrays))
        stays = em.value(f"and i1 {away}, {em.value(f'xor i1 {here}, true')}")
        em.line(f"store i64 {em.value(f'zext i1 {stays} to i64')}, ptr %counts, align 8")

    def _by_digits(self, bits: int) -> None:
        em, digits, values = self.em, self.sort.digits(bits), 1 << bits
        lanes = 16
        clear = f"<{lanes} x i32>"

        def zero(k: str, _: list[str]) -> list[str]:
            em.line(f"store {clear} zeroinitializer, ptr {self._at('%counts', k, 'i32')}, align 4")
            return []

        def count(k: str, _: list[str]) -> list[str]:
            key = self._load("%keys", k, self.type)
            for d in range(digits):
                digit = self._digit(key, d, bits)
                at = em.value(f"add i64 {digit}, {d * values}") if d else digit
                one = self._load("%counts", at, "i32")
                self._store(em.value(f"add i32 {one}, 1"), "%counts", at, "i32")
            return []

        em.loop("0", str(digits * values), lanes, zero)
        em.loop("0", "%n", 1, count)
        first = self._load("%keys", "0", self.type)
        total = em.value("trunc i64 %n to i32")
        carry = [("ptr", pointer) for pair in self._arrays() for pointer in pair]

        def one_pass(d: str, arrays: list[str]) -> list[str]:
            counts = self._at("%counts", em.value(f"mul i64 {d}, {values}"), "i32")
            same = self._load(counts, self._digit(first, d, bits), "i32")
            needless = em.value(f"icmp eq i32 {same}, {total}")
            moved = em.value(f"select i1 {needless}, i64 0, i64 %n")
            em.when(em.value(f"xor i1 {needless}, true"), lambda: self._starts(counts, values))
            em.loop(
                "0",
                moved,
                1,
                lambda k, _: self._move(k, self._digit_of(arrays[0], k, d, bits), counts, arrays),
            )
            after: list[str] = []
            for k in range(0, len(arrays), 2):
                a, b = arrays[k : k + 2]
                after.append(em.value(f"select i1 {needless}, ptr {a}, ptr {b}"))
                after.append(em.value(f"select i1 {needless}, ptr {b}, ptr {a}"))
            return after

        last = em.loop("0", str(digits), 1, one_pass, carry)
        self._finish(last[::2], em.value(f"icmp ne ptr {last[0]}, %keys"))

    def _by_parts(self) -> None:
        em = self.em
        digits = replace(self.sort, parts=False).helper

        def by_digits(start: str, free: str, n: str) -> None:
            em.call_helper(digits, [start, free, "%counts", n, "1"])

        QuickSort(em, self.sort.words, self.sort.lanes, by_digits).write()
        self._finish(["%more"], "true")

    def _digit_of(self, keys: str, k: str, d: str, bits: int) -> tuple[str, str]:
        """An element and its digit."""
        key = self._load(keys, k, self.type)
        return key, self._digit(key, d, bits)

    def _starts(self, counts: str, values: int) -> None:
        """Where the elements of each digit begin, in the place of how many there are."""

        def step(v: str, held: list[str]) -> list[str]:
            here = self._load(counts, v, "i32")
            self._store(held[0], counts, v, "i32")
            return [self.em.value(f"add i32 {held[0]}, {here}")]

        self.em.loop("0", str(values), 1, step, [("i32", "0")])

    def _move(
        self, k: str, element: tuple[str, str], counts: str, arrays: Sequence[str]
    ) -> list[str]:
        key, digit = element
        before = self._load(counts, digit, "i32")
        self._store(self.em.value(f"add i32 {before}, 1"), counts, digit, "i32")
        to = self.em.value(f"zext i32 {before} to i64")
        self._store(key, arrays[1], to, self.type)
        if self.sort.places:
            self._store(self._load(arrays[2], k, "i64"), arrays[3], to, "i64")
        return []

    def _bring_back(self, arrays: Sequence[str]) -> None:
        def copy(k: str, _: list[str]) -> list[str]:
            self._store(self._load(arrays[0], k, self.type), "%keys", k, self.type)
            if self.sort.places:
                self._store(self._load(arrays[1], k, "i64"), "%places", k, "i64")
            return []

        self.em.loop("0", "%n", 1, copy)
