"""Sorts of any values as sorts of unsigned integers, which machine code does.

A value becomes an integer that orders as it does: the bits of a float with the negative ones turned
round, NaN above all. Where places are wanted too, key and place share 64 bits, so that no two are
equal and one array is moved; of 64-bit values, keys and places are two arrays.

    s, p[k] k<K = sort(n<N, x[n])        _, w[k] k<K = ... and x[p[k]], or
                                         w, _[k] k<K = sort(n<N, key(x[n]) and n in 64 bits)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt
from dlc.codegen.kernel_transform import rename_axes, rewrite
from dlc.ir.scalar import Axis, Expr, bitcast, const, convert, index, load, op, select
from dlc.ir.types import DType, dtype_of, int64, uint8, uint64

PLACE_BITS = 32  # below the key: the place, and in the last one whether the value is -0.0


@dataclass(frozen=True)
class KeySort(Sort):
    """A sort of unsigned integers that only differ, or are in their order, but for some bits.

    Args:
        low: The first bit that they are sorted by.
        high: The end of these bits.
    """

    low: int = 0
    high: int = 64


def with_integer_keys(kernel: Kernel) -> Kernel:
    """A normalised kernel all of whose sorts are of unsigned integers; it means the same."""
    return replace(kernel, body=_body(kernel.body, {}))


_Reads = dict[str, Callable[[Expr], Expr]]  # by tile: its element at an index


def _body(body: Sequence[Stmt], reads: _Reads) -> tuple[Stmt, ...]:
    found: list[Stmt] = []
    known = dict(reads)

    def mapped(e: Expr) -> Expr:
        return _inlined(e, known)

    for s in body:
        match s:
            case Assign():
                found.append(replace(s, ix=tuple(map(mapped, s.ix)), expr=mapped(s.expr)))
            case Sort():
                new, own = _integer_sort(replace(s, expr=mapped(s.expr)))
                found.append(new)
                known |= own
            case Par():
                found.append(Par(s.axes, _body(s.body, known)))
            case For():
                carry = tuple(replace(c, expr=mapped(c.expr)) for c in s.carry)
                condition = None if s.condition is None else mapped(s.condition)
                found.append(For(s.axis, _body(s.body, known), carry, condition))
    return tuple(found)


def _inlined(e: Expr, reads: _Reads) -> Expr:
    def change(node: Expr) -> Expr | None:
        read = reads.get(node.attr) if node.op == "load" else None
        return None if read is None else read(_inlined(node.args[0], reads))

    return rewrite(e, change) if reads else e


def _integer_sort(s: Sort) -> tuple[KeySort, _Reads]:
    """A sort of unsigned integers, and what is to be read for its tiles."""
    keys = OrderedBits(s.expr.dtype, s.descending)
    key = keys.encoded(s.expr)

    def sort(values: str | None, places: str | None, e: Expr, low: int = 0) -> KeySort:
        bits = 1 if s.expr.dtype.kind == "b" else keys.dtype.bits
        return KeySort(values, places, s.ix, s.axis, s.over, e, low=low, high=low + bits)

    if s.positions is None and not s.expr.dtype.is_float:
        name = s.values or ""
        return sort(name, None, key), {name: lambda k: keys.decoded(load(name, (k,), keys.dtype))}
    if keys.dtype is uint64:
        places = s.positions or f"{s.values}.places"

        def at(k: Expr) -> Expr:
            return rename_axes(s.expr, {s.over.name: load(places, (k,), int64)})

        return sort(None, places, key), {} if s.values is None else {s.values: at}
    words = f"{s.values or s.positions}.words"
    reads: _Reads = {}
    if s.values is not None:
        reads[s.values] = lambda k: keys.unpacked(load(words, (k,), uint64))
    if s.positions is not None:
        reads[s.positions] = lambda k: _place(load(words, (k,), uint64))
    return sort(words, None, keys.packed(s.expr, key, s.over), PLACE_BITS), reads


def _bits(value: int) -> Expr:
    return const(value, uint64)


def _place(word: Expr) -> Expr:
    return convert(op("shr", op("and", word, _bits((1 << PLACE_BITS) - 1)), _bits(1)), int64)


@dataclass(frozen=True)
class OrderedBits:
    """Values of a type as unsigned integers of the same order, or of the opposite one."""

    value: DType
    descending: bool

    @property
    def dtype(self) -> DType:
        """The type of the integers."""
        return uint8 if self.value.kind == "b" else dtype_of(f"uint{self.value.bits}")

    def _const(self, value: int) -> Expr:
        return const(value & self._ones, self.dtype)

    @property
    def _ones(self) -> int:
        return (1 << self.dtype.bits) - 1

    @property
    def _sign(self) -> int:
        return 1 << (self.dtype.bits - 1)

    def encoded(self, e: Expr) -> Expr:
        """The key of a value: the same one for equal values."""
        key = self._ascending(e)
        return op("xor", key, self._const(-1)) if self.descending else key

    def _ascending(self, e: Expr) -> Expr:
        if e.dtype.kind == "b":
            return convert(e, uint8)
        bits = bitcast(e, self.dtype)
        if e.dtype.kind == "u":
            return bits
        if e.dtype.kind == "i":
            return op("xor", bits, self._const(self._sign))
        sign, ones = self._const(self._sign), self._const(-1)
        negative = op("ge", bits, sign)
        turned = op("xor", bits, select(negative, ones, sign))
        ordered = select(op("eq", bits, sign), sign, turned)  # -0.0 as 0.0
        magnitude = op("and", bits, self._const(self._sign - 1))
        infinity = self._const(_infinity(e.dtype))
        return select(op("gt", magnitude, infinity), ones, ordered)

    def decoded(self, key: Expr) -> Expr:
        """A value of a key."""
        key = op("xor", key, self._const(-1)) if self.descending else key
        return bitcast(self._value_bits(key), self.value) if self._is_number else op(
            "ne", key, self._const(0)
        )

    @property
    def _is_number(self) -> bool:
        return self.value.kind != "b"

    def _value_bits(self, key: Expr) -> Expr:
        sign = self._const(self._sign)
        if self.value.kind == "u":
            return key
        if self.value.kind == "i":
            return op("xor", key, sign)
        return op("xor", key, select(op("ge", key, sign), sign, self._const(-1)))

    def packed(self, e: Expr, key: Expr, axis: Axis) -> Expr:
        """The key of `e`, the place along `axis` and whether `e` is -0.0, in one word."""
        high = op("shl", convert(key, uint64), _bits(PLACE_BITS))
        word = op("or", high, op("shl", convert(index(axis.name), uint64), _bits(1)))
        if not e.dtype.is_float:
            return word
        minus_zero = op("eq", bitcast(e, self.dtype), self._const(self._sign))
        return op("or", word, convert(minus_zero, uint64))

    def unpacked(self, word: Expr) -> Expr:
        """The value in a word."""
        value = self.decoded(convert(op("shr", word, _bits(PLACE_BITS)), self.dtype))
        if not self.value.is_float:
            return value
        last = convert(op("and", word, _bits(1)), self.dtype)
        sign = op("shl", last, self._const(self.dtype.bits - 1))
        return bitcast(op("or", bitcast(value, self.dtype), sign), self.value)


def _infinity(dtype: DType) -> int:
    """The bits of infinity."""
    mantissa = {"f64": 52, "f32": 23, "f16": 10, "bf16": 7}[dtype.short]
    return ((1 << (dtype.bits - 1 - mantissa)) - 1) << mantissa
