"""Values as unsigned integers of the same order: what sorts compare and cut into digits.

The bits of a float with the negative ones turned round, NaN above all. A key may share 64 bits with
the place of its value, so that no two are equal and one array is moved.
"""

from __future__ import annotations

from dlc.ir.record import dataclass
from dlc.ir.scalar import Axis, Expr, bitcast, const, convert, index, op, select
from dlc.ir.types import DType, dtype_of, int64, uint8, uint64

PLACE_BITS = 32  # below the key: the place, and in the last one whether the value is -0.0


def _bits(value: int) -> Expr:
    return const(value, uint64)


def place_of(word: Expr) -> Expr:
    """The place in a word (see `OrderedBits.packed`)."""
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

    def encoded(self, e: Expr, *, zeros_apart: bool = False) -> Expr:
        """The key of a value: the same one for equal values, but for zeros that are kept apart.

        These have the keys on both sides of `middle`.
        """
        key = self._ascending(e, zeros_apart)
        return op("xor", key, self._const(-1)) if self.descending else key

    @property
    def middle(self) -> int:
        """The least key with the highest bit set."""
        return self._sign

    def _ascending(self, e: Expr, zeros_apart: bool) -> Expr:
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
        ordered = turned if zeros_apart else select(op("eq", bits, sign), sign, turned)
        magnitude = op("and", bits, self._const(self._sign - 1))
        infinity = self._const(_infinity(e.dtype))
        return select(op("gt", magnitude, infinity), ones, ordered)

    def decoded(self, key: Expr) -> Expr:
        """A value of a key."""
        key = op("xor", key, self._const(-1)) if self.descending else key
        return (
            bitcast(self._value_bits(key), self.value)
            if self._is_number
            else op("ne", key, self._const(0))
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
