"""A sorting network for rows of some thousand integers: the same comparisons whatever the values.

Bitonic sort (Batcher, 1968) in the form in which all comparisons are ascending: runs of k elements
are made of two runs of half the length by comparing each element with its mirror image in the run,
then at distances k/4, k/8, ..., 1. Element i of V * lanes is in lane i / V of vector i % V, so that
all distances below V are between whole vectors. The row is filled up with the greatest integer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlc.codegen.cpu.emit import Emitter

LONGEST = 4096  # elements of a row that a network sorts
HELD = 16  # vectors that are in registers together


def padding(lanes: int) -> int:
    """How many elements the memory of a network must hold at least, beside twice the row."""
    return HELD * lanes


@dataclass(frozen=True)
class Network:
    """Writes the sort of `n` integers at `keys`, by way of the memory at `more`."""

    em: Emitter
    bits: int
    lanes: int

    @property
    def _element(self) -> str:
        return f"i{self.bits}"

    @property
    def _vector(self) -> str:
        return f"<{self.lanes} x i{self.bits}>"

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

    def _at(self, base: str, k: str, type_: str) -> str:
        return self.em.value(f"getelementptr {type_}, ptr {base}, i64 {k}")

    def _load(self, k: str) -> str:
        at = self._at("%more", k, self._vector)
        return self.em.value(f"load {self._vector}, ptr {at}, align {self.bits // 8}")

    def _store(self, value: str, k: str) -> None:
        at = self._at("%more", k, self._vector)
        self.em.line(f"store {self._vector} {value}, ptr {at}, align {self.bits // 8}")

    def _copy(self, size: str) -> None:
        em, element = self.em, self._element
        whole = em.value(f"and i64 %n, {-self.lanes}")

        def copy(k: str, _: list[str]) -> list[str]:
            at = self._at("%keys", k, element)
            value = em.value(f"load {self._vector}, ptr {at}, align {self.bits // 8}")
            to = self._at("%more", k, element)
            em.line(f"store {self._vector} {value}, ptr {to}, align {self.bits // 8}")
            return []

        def one(k: str, _: list[str]) -> list[str]:
            value = em.value(f"load {element}, ptr {self._at('%keys', k, element)}")
            em.line(f"store {element} {value}, ptr {self._at('%more', k, element)}")
            return []

        def fill(k: str, _: list[str]) -> list[str]:
            em.line(f"store {element} -1, ptr {self._at('%more', k, element)}")
            return []

        em.loop("0", whole, self.lanes, copy)
        em.loop(whole, "%n", 1, one)
        em.loop("%n", size, 1, fill)

    def _give_back(self, vectors: str, log_vectors: str) -> None:
        """The elements in the order of their numbers."""
        em = self.em
        name = f"llvm.masked.gather.v{self.lanes}{self._element}.v{self.lanes}p0"
        inside = em.value(f"sub i64 {vectors}, 1")
        numbers = em.lane_numbers(self.lanes)

        def some(k: str, _: list[str]) -> list[str]:
            lane = em.value(f"lshr i64 {k}, {log_vectors}")
            vector = em.value(f"and i64 {k}, {inside}")
            first = em.value(f"add i64 {em.value(f'mul i64 {vector}, {self.lanes}')}, {lane}")
            base = self._at("%more", first, self._element)
            steps = em.value(f"mul <{self.lanes} x i64> {numbers}, splat (i64 {self.lanes})")
            places = em.value(
                f"getelementptr {self._element}, ptr {base}, <{self.lanes} x i64> {steps}"
            )
            value = em.call(
                name,
                self._vector,
                [
                    (f"<{self.lanes} x ptr>", places),
                    ("i32", str(self.bits // 8)),
                    (f"<{self.lanes} x i1>", "splat (i1 true)"),
                    (self._vector, "zeroinitializer"),
                ],
            )
            to = self._at("%keys", k, self._element)
            em.line(f"store {self._vector} {value}, ptr {to}, align {self.bits // 8}")
            return []

        em.loop("0", "%n", self.lanes, some)

    # Comparisons

    def _least(self, a: str, b: str) -> str:
        name = f"llvm.umin.v{self.lanes}{self._element}"
        return self.em.call(name, self._vector, [(self._vector, a), (self._vector, b)])

    def _greatest(self, a: str, b: str) -> str:
        name = f"llvm.umax.v{self.lanes}{self._element}"
        return self.em.call(name, self._vector, [(self._vector, a), (self._vector, b)])

    def _exchange(self, held: list[str], a: int, b: int) -> None:
        held[a], held[b] = self._least(held[a], held[b]), self._greatest(held[a], held[b])

    def _pairs(self, count: str, place: Callable[[str], tuple[str, str]]) -> None:
        """Exchanges pairs of vectors."""

        def pair(k: str, _: list[str]) -> list[str]:
            a, b = place(k)
            x, y = self._load(a), self._load(b)
            self._store(self._least(x, y), a)
            self._store(self._greatest(x, y), b)
            return []

        self.em.loop("0", count, 1, pair)

    def _blocks(self, vectors: str, *, first: bool) -> None:
        """What is within `HELD` vectors: runs from 2 on, or the last distances of longer runs."""

        def block(k: str, _: list[str]) -> list[str]:
            places = [self.em.value(f"add i64 {k}, {i}") for i in range(HELD)]
            held = [self._load(p) for p in places]
            if first:
                run = 2
                while run <= HELD:
                    for i in range(HELD):
                        if i < i ^ (run - 1):
                            self._exchange(held, i, i ^ (run - 1))
                    self._near(held, run // 4)
                    run *= 2
            else:
                self._near(held, HELD // 2)
            for value, p in zip(held, places, strict=True):
                self._store(value, p)
            return []

        self.em.loop("0", vectors, HELD, block)

    def _near(self, held: list[str], distance: int) -> None:
        while distance:
            for i in range(HELD):
                if not i & distance:
                    self._exchange(held, i, i + distance)
            distance //= 2

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
            a, b = self._load(k), self._load(other)
            turned = self._permuted(b, group - 1), self._permuted(a, group - 1)
            both = [self._ordered(x, t, group // 2) for x, t in zip((a, b), turned, strict=True)]
            distance = group // 4
            while distance:
                both = [self._ordered(x, self._permuted(x, distance), distance) for x in both]
                distance //= 2
            self._store(both[0], k)
            self._store(both[1], other)
            return []

        em.loop("0", em.value(f"lshr i64 {vectors}, 1"), 1, pair)

    def _permuted(self, x: str, mask: int) -> str:
        """Lane i of the result is lane i ^ mask."""
        order = ", ".join(f"i32 {i ^ mask}" for i in range(self.lanes))
        return self._shuffled(x, "poison", order)

    def _ordered(self, x: str, other: str, distance: int) -> str:
        """The lesser of two where the lane comes first, and the greater elsewhere."""
        order = ", ".join(
            f"i32 {i if not i & distance else self.lanes + i}" for i in range(self.lanes)
        )
        return self._shuffled(self._least(x, other), self._greatest(x, other), order)

    def _shuffled(self, a: str, b: str, order: str) -> str:
        type_ = self._vector
        return self.em.value(
            f"shufflevector {type_} {a}, {type_} {b}, <{self.lanes} x i32> <{order}>"
        )
