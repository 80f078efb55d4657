"""A sorting network for rows of some thousand integers: the same comparisons whatever the values.

The order of `sort_vectors` over vectors in memory. The row is filled up with the greatest integer.
"""

from __future__ import annotations

from collections.abc import Callable

from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.sort_vectors import SortVectors

LONGEST = 4096  # elements of a row that a network sorts
HELD = 16  # vectors that are in registers together


def padding(lanes: int) -> int:
    """How many elements the memory of a network must hold at least, beside twice the row."""
    return HELD * lanes


class Network:
    """Writes the sort of `n` integers at `keys`, by way of the memory at `more`."""

    def __init__(self, em: Emitter, bits: int, lanes: int) -> None:
        self.em, self.lanes, self.v = em, lanes, SortVectors(em, bits, lanes)

    def write(self) -> None:
        """The whole sort."""
        em = self.em
        least = em.value(f"call i64 @llvm.umax.i64(i64 %n, i64 {HELD * self.lanes})")
        em.declarations.add("declare i64 @llvm.umax.i64(i64, i64)")
        last = em.value(f"sub i64 {least}, 1")
        zeros = em.call("llvm.ctlz.i64", "i64", [("i64", last), ("i1", "false")])
        log = em.value(f"sub i64 64, {zeros}")
        shift = self.lanes.bit_length() - 1
        log_vectors = em.value(f"sub i64 {log}, {shift}")
        vectors = em.value(f"shl i64 1, {log_vectors}")
        self._copy(em.value(f"shl i64 1, {log}"))
        self._blocks(vectors, first=True)
        start = HELD.bit_length()

        def longer(e: str, _: list[str]) -> list[str]:
            self._mirror(vectors, em.value(f"shl i64 1, {e}"))
            self._distances(vectors, em.value(f"sub i64 {e}, 2"))
            return []

        em.loop(str(start), em.value(f"add i64 {log_vectors}, 1"), 1, longer)
        group = 2
        while group <= self.lanes:
            self._across(vectors, group)
            self._distances(vectors, em.value(f"sub i64 {log_vectors}, 1"))
            group *= 2
        self._give_back(vectors, log_vectors)

    # Memory

    def _load(self, k: str) -> str:
        return self.v.load("%more", self.em.value(f"mul i64 {k}, {self.lanes}"))

    def _store(self, value: str, k: str) -> None:
        self.v.store(value, "%more", self.em.value(f"mul i64 {k}, {self.lanes}"))

    def _copy(self, size: str) -> None:
        em, v = self.em, self.v
        whole = em.value(f"and i64 %n, {-self.lanes}")

        def copy(k: str, _: list[str]) -> list[str]:
            v.store(v.load("%keys", k), "%more", k)
            return []

        def one(k: str, _: list[str]) -> list[str]:
            value = em.value(f"load {v.element}, ptr {v.at('%keys', k)}")
            em.line(f"store {v.element} {value}, ptr {v.at('%more', k)}")
            return []

        def fill(k: str, _: list[str]) -> list[str]:
            em.line(f"store {v.element} -1, ptr {v.at('%more', k)}")
            return []

        em.loop("0", whole, self.lanes, copy)
        em.loop(whole, "%n", 1, one)
        em.loop("%n", size, 1, fill)

    def _give_back(self, vectors: str, log_vectors: str) -> None:
        """The elements in the order of their numbers."""
        em, v = self.em, self.v
        inside = em.value(f"sub i64 {vectors}, 1")
        numbers = em.lane_numbers(self.lanes)
        steps = em.value(f"mul <{self.lanes} x i64> {numbers}, splat (i64 {self.lanes})")

        def some(k: str, _: list[str]) -> list[str]:
            lane = em.value(f"lshr i64 {k}, {log_vectors}")
            vector = em.value(f"and i64 {k}, {inside}")
            first = em.value(f"add i64 {em.value(f'mul i64 {vector}, {self.lanes}')}, {lane}")
            v.store(v.gathered(v.at("%more", first), steps), "%keys", k)
            return []

        em.loop("0", "%n", self.lanes, some)

    # Comparisons

    def _pairs(self, count: str, place: Callable[[str], tuple[str, str]]) -> None:
        """Exchanges pairs of vectors."""

        def pair(k: str, _: list[str]) -> list[str]:
            a, b = place(k)
            x, y = self._load(a), self._load(b)
            self._store(self.v.least(x, y), a)
            self._store(self.v.greatest(x, y), b)
            return []

        self.em.loop("0", count, 1, pair)

    def _blocks(self, vectors: str, *, first: bool) -> None:
        """What is within `HELD` vectors: runs from 2 on, or the last distances of longer runs."""

        def block(k: str, _: list[str]) -> list[str]:
            places = [self.em.value(f"add i64 {k}, {i}") for i in range(HELD)]
            held = [self._load(p) for p in places]
            if first:
                self.v.runs(held)
            else:
                self.v.near(held, HELD // 2)
            for value, p in zip(held, places, strict=True):
                self._store(value, p)
            return []

        self.em.loop("0", vectors, HELD, block)

    def _mirror(self, vectors: str, run: str) -> None:
        """Each vector with its mirror image in a run of vectors."""
        em = self.em
        half = em.value(f"lshr i64 {run}, 1")
        inside, turn = em.value(f"sub i64 {half}, 1"), em.value(f"sub i64 {run}, 1")

        def place(k: str) -> tuple[str, str]:
            low = em.value(f"and i64 {k}, {inside}")
            start = em.value(f"shl i64 {em.value(f'sub i64 {k}, {low}')}, 1")
            a = em.value(f"or i64 {start}, {low}")
            return a, em.value(f"xor i64 {a}, {turn}")

        self._pairs(em.value(f"lshr i64 {vectors}, 1"), place)

    def _distances(self, vectors: str, log: str) -> None:
        """Comparisons at distances from 2^log on down."""
        em = self.em
        near = HELD.bit_length() - 1
        count = em.value(f"sub i64 {log}, {near - 1}")

        def far(t: str, _: list[str]) -> list[str]:
            distance = em.value(f"shl i64 1, {em.value(f'sub i64 {log}, {t}')}")
            inside = em.value(f"sub i64 {distance}, 1")

            def place(k: str) -> tuple[str, str]:
                low = em.value(f"and i64 {k}, {inside}")
                start = em.value(f"shl i64 {em.value(f'sub i64 {k}, {low}')}, 1")
                a = em.value(f"or i64 {start}, {low}")
                return a, em.value(f"or i64 {a}, {distance}")

            self._pairs(em.value(f"lshr i64 {vectors}, 1"), place)
            return []

        em.loop("0", count, 1, far)
        self._blocks(vectors, first=False)

    def _across(self, vectors: str, group: int) -> None:
        """Runs of `group` lanes: mirror images, then the distances between lanes."""
        em = self.em
        last = em.value(f"sub i64 {vectors}, 1")

        def pair(k: str, _: list[str]) -> list[str]:
            other = em.value(f"sub i64 {last}, {k}")
            both = self.v.across(self._load(k), self._load(other), group)
            self._store(both[0], k)
            self._store(both[1], other)
            return []

        em.loop("0", em.value(f"lshr i64 {vectors}, 1"), 1, pair)
