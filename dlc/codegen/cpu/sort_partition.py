"""Quicksort of unsigned integers by vectors that an instruction compresses.

Around the middle one of a sample, the elements of a range are parted: the lesser ones of a vector
go to free memory, the others to the range's own, from its start on, where all has been read. What
is left of both is as much as each part needs for itself in its turn. A part that fits into
registers is sorted there and written to its place in the result. Only the samples decide how often
that happens; a range that was parted too often is sorted by its digits.
"""

from __future__ import annotations

from collections.abc import Callable

from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.ordered_loop import ordered_loop
from dlc.codegen.cpu.sort_vectors import SortVectors
from dlc.ir.record import dataclass

HELD = 16  # vectors that are in registers together
_DEEP = 64  # ranges that wait: more than the binary logarithm of any length
_TRIES = 3  # times as many partings as halves would need, before it is given up
_RANGE = (("ptr", "from"), ("ptr", "free"), ("ptr", "to"), ("i64", "n"), ("i64", "tries"))


@dataclass(frozen=True)
class _Range:
    """`n` elements at `start`, free memory for as many, and where their sort is to be."""

    start: str
    free: str
    to: str
    n: str
    tries: str

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.start, self.free, self.to, self.n, self.tries)


class QuickSort:
    """Writes the sort of `n` integers at `keys` to `more`, behind which there is room for as many.

    by_digits: writes another sort of elements in place, given them, free memory and their number.
    """

    def __init__(
        self, em: Emitter, bits: int, lanes: int, by_digits: Callable[[str, str, str], None]
    ) -> None:
        self.em, self.v, self.lanes = em, SortVectors(em, bits, lanes), lanes
        self.bits, self.by_digits = bits, by_digits
        self.size = bits // 8

    def write(self) -> None:
        """The whole sort."""
        em = self.em
        self.stack = em.value(f"alloca [{_DEEP * len(_RANGE)} x i64], align 8")
        log = em.value(
            f"sub i64 64, {em.call('llvm.ctlz.i64', 'i64', [('i64', '%n'), ('i1', 'false')])}"
        )
        tries = em.value(f"mul i64 {log}, {_TRIES}")
        first = _Range("%keys", self.v.at("%more", "%n"), "%more", "%n", tries)
        labels = ("next", "small", "large", "again", "split", "pop", "take", "done")
        self.head, self.small, self.large, self.again, self.split, self.pop, self.take, done = map(
            em.fresh, labels
        )
        self.entered = [(first, "0", em.current)]
        em.branch(self.head)
        em.block(self.head)
        at = len(em.lines)
        names = [em.fresh(name) for _, name in _RANGE]
        self.range, self.waiting = _Range(*(f"%{n}" for n in names)), "%" + em.fresh("waiting")
        fits = em.value(f"icmp sle i64 {self.range.n}, {HELD * self.lanes}")
        em.branch_if(fits, self.small, self.large)
        em.block(self.small)
        self._in_registers()
        em.branch(self.pop)
        self._part()
        em.block(self.pop)
        em.branch_if(em.value(f"icmp eq i64 {self.waiting}, 0"), done, self.take)
        em.block(self.take)
        left = em.value(f"sub i64 {self.waiting}, 1")
        self._enter(self._loaded(left), left)
        em.lines[at:at] = self._phis()
        em.block(done)

    # Ranges that wait

    def _phis(self) -> list[str]:
        found: list[str] = []
        for k, (type_, _) in enumerate(_RANGE):
            values = ", ".join(f"[ {r.fields[k]}, %{b} ]" for r, _, b in self.entered)
            found.append(f"  {self.range.fields[k]} = phi {type_} {values}")
        values = ", ".join(f"[ {w}, %{b} ]" for _, w, b in self.entered)
        return [*found, f"  {self.waiting} = phi i64 {values}"]

    def _enter(self, range_: _Range, waiting: str) -> None:
        self.entered.append((range_, waiting, self.em.current))
        self.em.branch(self.head)

    def _field(self, place: str, k: int) -> str:
        em = self.em
        at = em.value(f"add i64 {em.value(f'mul i64 {place}, {len(_RANGE)}')}, {k}")
        return em.value(f"getelementptr i64, ptr {self.stack}, i64 {at}")

    def _loaded(self, place: str) -> _Range:
        em = self.em
        return _Range(
            *(
                em.value(f"load {type_}, ptr {self._field(place, k)}")
                for k, (type_, _) in enumerate(_RANGE)
            )
        )

    def _push(self, range_: _Range) -> str:
        em = self.em
        for k, (type_, _) in enumerate(_RANGE):
            em.line(f"store {type_} {range_.fields[k]}, ptr {self._field(self.waiting, k)}")
        return em.value(f"add i64 {self.waiting}, 1")

    # What fits into registers

    def _below(self, n: str, first: int) -> str:
        """The lanes of a vector whose first element is number `first`, that are before `n`."""
        return self.em.mask_below(self.em.value(f"sub i64 {n}, {first}"), self.lanes)

    def _masked(self, op: str) -> str:
        return f"llvm.masked.{op}.v{self.lanes}i{self.bits}.p0"

    def _loaded_some(self, base: str, k: str, mask: str) -> str:
        """A vector that is the greatest integer outside of a mask."""
        args = [
            ("ptr", self.v.at(base, k)),
            ("i32", str(self.size)),
            (f"<{self.lanes} x i1>", mask),
            (self.v.type, f"splat (i{self.bits} -1)"),
        ]
        return self.em.call(self._masked("load"), self.v.type, args)

    def _in_registers(self) -> None:
        r = self.range
        masks = [self._below(r.n, i * self.lanes) for i in range(HELD)]
        firsts = [str(i * self.lanes) for i in range(HELD)]
        held = [self._loaded_some(r.start, k, mask) for k, mask in zip(firsts, masks, strict=True)]
        for k, value, mask in zip(firsts, self.v.sort(held), masks, strict=True):
            args = [
                (self.v.type, value),
                ("ptr", self.v.at(r.to, k)),
                ("i32", str(self.size)),
                (f"<{self.lanes} x i1>", mask),
            ]
            self.em.call(self._masked("store"), "void", args)

    # Parting

    def _part(self) -> None:
        em, r = self.em, self.range
        em.block(self.large)
        digits, part = em.fresh("digits"), em.fresh("part")
        em.branch_if(em.value(f"icmp eq i64 {r.tries}, 0"), digits, part)
        em.block(digits)
        self.by_digits(r.start, r.free, r.n)
        em.loop("0", r.n, 1, self._copied)
        em.branch(self.pop)
        em.block(part)
        sample = self._sample()
        pivot = self._spread(sample, self.lanes // 2)
        self._if_all_equal(sample, pivot)
        lesser, others = self._parted(pivot, "ult")
        em.branch_if(em.value(f"icmp eq i64 {lesser}, 0"), self.again, self.split)
        em.block(self.again)
        self._least_apart(pivot)
        em.block(self.split)
        tries = em.value(f"sub i64 {r.tries}, 1")
        low = _Range(r.free, self.v.at(r.start, others), r.to, lesser, tries)
        high = _Range(r.start, self.v.at(r.free, lesser), self.v.at(r.to, lesser), others, tries)
        low_next, high_next = em.fresh("low"), em.fresh("high")
        em.branch_if(em.value(f"icmp slt i64 {lesser}, {others}"), low_next, high_next)
        for label, one, other in ((low_next, low, high), (high_next, high, low)):
            em.block(label)
            self._enter(one, self._push(other))

    def _copied(self, k: str, _: list[str]) -> list[str]:
        element = self.v.element
        value = self.em.value(f"load {element}, ptr {self.v.at(self.range.start, k)}")
        self.em.line(f"store {element} {value}, ptr {self.v.at(self.range.to, k)}")
        return []

    def _least_apart(self, pivot: str) -> None:
        """Nothing is less than the middle one: those that are equal to it come first."""
        em, r = self.em, self.range
        equal, others = self._parted(pivot, "ule")

        def fill(k: str, _: list[str]) -> list[str]:
            value = self.v.load(r.free, k)
            self.v.store(value, r.to, k)
            return []

        whole = em.value(f"and i64 {equal}, {-self.lanes}")
        em.loop("0", whole, self.lanes, fill)

        def one(k: str, _: list[str]) -> list[str]:
            value = em.value(f"load {self.v.element}, ptr {self.v.at(r.free, k)}")
            em.line(f"store {self.v.element} {value}, ptr {self.v.at(r.to, k)}")
            return []

        em.loop(whole, equal, 1, one)
        tries = em.value(f"sub i64 {r.tries}, 1")
        self._enter(_Range(r.start, r.free, self.v.at(r.to, equal), others, tries), self.waiting)

    def _if_all_equal(self, sample: str, pivot: str) -> None:
        """Where a sample is of one value, and the whole range is: this is its sort."""
        em, v, r, lanes = self.em, self.v, self.range, self.lanes
        look, fill, part = em.fresh("look"), em.fresh("fill"), em.fresh("part")
        ends = [em.value(f"extractelement {v.type} {sample}, i64 {k}") for k in (0, lanes - 1)]
        em.branch_if(em.value(f"icmp eq {v.element} {ends[0]}, {ends[1]}"), look, part)
        em.block(look)
        count = em.value(f"udiv i64 {r.n}, {lanes}")
        last = em.value(f"sub i64 {r.n}, {lanes}")

        def equal(k: str) -> str:
            same = em.value(f"icmp eq {v.type} {v.load(r.start, k)}, {pivot}")
            bits = em.value(f"bitcast <{lanes} x i1> {same} to i{lanes}")
            return em.value(f"icmp eq i{lanes} {bits}, -1")

        def step(k: str, _: list[str]) -> list[str]:
            return [equal(em.value(f"mul i64 {k}, {lanes}"))]

        (all_,) = ordered_loop(em, count, [("i1", equal(last))], step, lambda _, held: held[0])
        em.branch_if(all_, fill, part)
        em.block(fill)

        def put(k: str, _: list[str]) -> list[str]:
            v.store(pivot, r.to, k)
            return []

        em.loop("0", last, lanes, put)
        v.store(pivot, r.to, last)
        em.branch(self.pop)
        em.block(part)

    def _sample(self) -> str:
        """A sorted sample, each of which is the middle one of three."""
        em, v, lanes = self.em, self.v, self.lanes
        apart = em.value(f"udiv i64 {self.range.n}, {3 * lanes}")
        step = em.splat("i64", apart, lanes)
        sample: list[str] = []
        for k in range(3):
            numbers = "<" + ", ".join(f"i64 {3 * i + k}" for i in range(lanes)) + ">"
            steps = em.value(f"mul <{lanes} x i64> {numbers}, {step}")
            sample.append(v.gathered(self.range.start, steps))
        for a, b in ((0, 1), (1, 2), (0, 1)):
            v.exchange(sample, a, b)
        return v.in_order(sample[1])

    def _spread(self, vector: str, lane: int) -> str:
        """A lane in all of them."""
        type_, order = self.v.type, ", ".join([f"i32 {lane}"] * self.lanes)
        return self.em.value(
            f"shufflevector {type_} {vector}, {type_} poison, <{self.lanes} x i32> <{order}>"
        )

    def _parted(self, pivot: str, before: str) -> tuple[str, str]:
        """Parts the range; how many elements come before the pivot, and the other ones."""
        em, v, r, lanes = self.em, self.v, self.range, self.lanes
        flags = f"<{lanes} x i1>"

        def compressed(value: str, mask: str) -> str:
            name = f"llvm.experimental.vector.compress.v{lanes}i{self.bits}"
            return em.call(name, v.type, [(v.type, value), (flags, mask), (v.type, "poison")])

        def part(k: str, held: list[str]) -> list[str]:
            lesser, others = held
            value = v.load(r.start, k)
            less = em.value(f"icmp {before} {v.type} {value}, {pivot}")
            v.store(compressed(value, less), r.free, lesser)
            v.store(
                compressed(value, em.value(f"xor {flags} {less}, splat (i1 true)")), r.start, others
            )
            return self._counted(lesser, others, less, str(lanes))

        def rest(k: str, held: list[str]) -> list[str]:
            lesser, others = held
            left = em.value(f"sub i64 {r.n}, {k}")
            inside = em.mask_below(left, lanes)
            value = self._loaded_some(r.start, k, inside)
            less = em.value(f"icmp {before} {v.type} {value}, {pivot}")
            less = em.value(f"and {flags} {less}, {inside}")
            more = em.value(f"xor {flags} {less}, {inside}")
            for base, place, mask in ((r.free, lesser, less), (r.start, others, more)):
                args = [(v.type, value), ("ptr", v.at(base, place)), (flags, mask)]
                em.call(f"llvm.masked.compressstore.v{lanes}i{self.bits}", "void", args)
            return self._counted(lesser, others, less, left)

        whole = em.value(f"and i64 {r.n}, {-lanes}")
        first = em.loop("0", whole, lanes, part, [("i64", "0"), ("i64", "0")])
        lesser, others = em.loop(whole, r.n, lanes, rest, [("i64", value) for value in first])
        return lesser, others

    def _counted(self, lesser: str, others: str, less: str, of: str) -> list[str]:
        em, lanes = self.em, self.lanes
        bits = em.value(f"bitcast <{lanes} x i1> {less} to i{lanes}")
        found = em.call(f"llvm.ctpop.i{lanes}", f"i{lanes}", [(f"i{lanes}", bits)])
        found = found if lanes == 64 else em.value(f"zext i{lanes} {found} to i64")
        lesser = em.value(f"add i64 {lesser}, {found}")
        rest = em.value(f"sub i64 {of}, {found}")
        return [lesser, em.value(f"add i64 {others}, {rest}")]
