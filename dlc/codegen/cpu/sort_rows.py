"""Functions that sort rows of unsigned integers in memory.

    void dlc.sort.*(keys, more, counts, n)           keys alone
    void dlc.sort.*(keys, places, more, counts, n)   and with them their places, from 0 on

Short rows are sorted by insertion, others by their digits from the last to the first: each pass
counts how often a digit has each value, and moves what is sorted by the later digits to where that
says, from `keys` to `more` and back. Digits that are the same in a whole row cost no pass. Equal
keys stay in their order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.ordered_loop import ordered_loop

SHORT = 24  # rows up to this length are sorted by insertion
DIGIT = 8
VALUES = 1 << DIGIT


@dataclass(frozen=True)
class RowSort:
    """Sorts rows by the bits of their words from `low` to `high`.

    words: the bits of a word. places: whether each word comes with its place, of 64 bits.
    """

    words: int
    low: int
    high: int
    places: bool = False

    @property
    def helper(self) -> Emitter:
        """The function."""
        return _row_sort(self)

    @property
    def type(self) -> str:
        """The LLVM type of a word."""
        return f"i{self.words}"

    @property
    def digits(self) -> int:
        """How many digits a key has."""
        return -(-(self.high - self.low) // DIGIT)

    @property
    def counts_bytes(self) -> int:
        """The scratch memory that the counts of digits take."""
        return self.digits * VALUES * 8


@functools.cache
def _row_sort(sort: RowSort) -> Emitter:
    kind = "places" if sort.places else "keys"
    arrays = [("ptr", "keys"), *([("ptr", "places")] if sort.places else [])]
    parameters = [*arrays, ("ptr", "more"), ("ptr", "counts"), ("i64", "n")]
    em = Emitter(f"dlc.sort.{kind}.{sort.words}.{sort.low}.{sort.high}", parameters)
    _Writer(em, sort).write()
    return em


class _Writer:
    def __init__(self, em: Emitter, sort: RowSort) -> None:
        self.em, self.sort, self.type = em, sort, sort.type

    def write(self) -> None:
        em = self.em
        if self.sort.places:
            em.loop("0", "%n", 1, self._number)
        short = em.value(f"icmp sle i64 %n, {SHORT}")
        yes, no, done = em.fresh("short"), em.fresh("long"), em.fresh("done")
        em.branch_if(short, yes, no)
        em.block(yes)
        em.loop("1", "%n", 1, self._insert)
        em.branch(done)
        em.block(no)
        self._by_digits()
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

    def _number(self, i: str, _: list[str]) -> list[str]:
        self._store(i, "%places", i, "i64")
        return []

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

    def _digit(self, key: str, number: str | int) -> str:
        """A digit of a key as an index, the last one having the number 0."""
        em, t = self.em, self.type
        if isinstance(number, int):
            shift = str(self.sort.low + DIGIT * number)
        else:
            wide = em.value(f"add i64 {em.value(f'mul i64 {number}, {DIGIT}')}, {self.sort.low}")
            shift = wide if t == "i64" else em.value(f"trunc i64 {wide} to {t}")
        digit = em.value(f"lshr {t} {key}, {shift}")
        if t != "i8":
            digit = em.value(f"and {t} {digit}, {VALUES - 1}")
        return digit if t == "i64" else em.value(f"zext {t} {digit} to i64")

    def _by_digits(self) -> None:
        em, digits = self.em, self.sort.digits
        lanes = 8
        clear = f"<{lanes} x i64>"

        def zero(k: str, _: list[str]) -> list[str]:
            em.line(f"store {clear} zeroinitializer, ptr {self._at('%counts', k, 'i64')}, align 8")
            return []

        def count(k: str, _: list[str]) -> list[str]:
            key = self._load("%keys", k, self.type)
            for d in range(digits):
                digit = self._digit(key, d)
                at = em.value(f"add i64 {digit}, {d * VALUES}") if d else digit
                one = self._load("%counts", at, "i64")
                self._store(em.value(f"add i64 {one}, 1"), "%counts", at, "i64")
            return []

        em.loop("0", str(digits * VALUES), lanes, zero)
        em.loop("0", "%n", 1, count)
        first = self._load("%keys", "0", self.type)
        carry = [("ptr", "%keys"), ("ptr", "%more")]
        if self.sort.places:
            size = em.value(f"mul i64 %n, {self.sort.words // 8}")
            other = em.value(f"getelementptr i8, ptr %more, i64 {size}")
            carry += [("ptr", "%places"), ("ptr", other)]

        def one_pass(d: str, arrays: list[str]) -> list[str]:
            counts = self._at("%counts", em.value(f"mul i64 {d}, {VALUES}"), "i64")
            same = self._load(counts, self._digit(first, d), "i64")
            needless = em.value(f"icmp eq i64 {same}, %n")
            moved = em.value(f"select i1 {needless}, i64 0, i64 %n")
            em.when(em.value(f"xor i1 {needless}, true"), lambda: self._starts(counts))
            em.loop("0", moved, 1, lambda k, _: self._move(k, d, counts, arrays))
            after: list[str] = []
            for k in range(0, len(arrays), 2):
                a, b = arrays[k : k + 2]
                after.append(em.value(f"select i1 {needless}, ptr {a}, ptr {b}"))
                after.append(em.value(f"select i1 {needless}, ptr {b}, ptr {a}"))
            return after

        last = em.loop("0", str(digits), 1, one_pass, carry)
        away = em.value(f"icmp ne ptr {last[0]}, %keys")
        em.when(away, lambda: self._bring_back(last))

    def _starts(self, counts: str) -> None:
        """Where the elements of each digit begin, in the place of how many there are."""

        def step(v: str, held: list[str]) -> list[str]:
            here = self._load(counts, v, "i64")
            self._store(held[0], counts, v, "i64")
            return [self.em.value(f"add i64 {held[0]}, {here}")]

        self.em.loop("0", str(VALUES), 1, step, [("i64", "0")])

    def _move(self, k: str, d: str, counts: str, arrays: Sequence[str]) -> list[str]:
        key = self._load(arrays[0], k, self.type)
        digit = self._digit(key, d)
        to = self._load(counts, digit, "i64")
        self._store(self.em.value(f"add i64 {to}, 1"), counts, digit, "i64")
        self._store(key, arrays[1], to, self.type)
        if self.sort.places:
            self._store(self._load(arrays[2], k, "i64"), arrays[3], to, "i64")
        return []

    def _bring_back(self, arrays: Sequence[str]) -> None:
        def copy(k: str, _: list[str]) -> list[str]:
            self._store(self._load(arrays[0], k, self.type), "%keys", k, self.type)
            if self.sort.places:
                self._store(self._load(arrays[2], k, "i64"), "%places", k, "i64")
            return []

        self.em.loop("0", "%n", 1, copy)
