"""Arithmetic on scalar expressions with Python's operators, for writing expansions as formulas."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias, Union

from dlc.ir import scalar
from dlc.ir.scalar import Expr
from dlc.ir.types import DType, float32, float64, uint32, uint64

Operand: TypeAlias = Union["Value", int, float]


class Value:
    """An expression; a Python number next to it becomes a literal of its type."""

    __slots__ = ("expr",)

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    @property
    def dtype(self) -> DType:
        """The type of the expression."""
        return self.expr.dtype

    def lift(self, x: Operand) -> Value:
        """`x` as a value of this one's type."""
        return x if isinstance(x, Value) else Value(scalar.const(x, self.dtype))

    def op(self, name: str, *others: Operand) -> Value:
        """The scalar op `name` of this value and others."""
        return Value(scalar.op(name, self.expr, *(self.lift(x).expr for x in others)))

    def __add__(self, x: Operand) -> Value:
        return self.op("add", x)

    def __radd__(self, x: Operand) -> Value:
        return self.lift(x) + self

    def __sub__(self, x: Operand) -> Value:
        return self.op("sub", x)

    def __rsub__(self, x: Operand) -> Value:
        return self.lift(x) - self

    def __mul__(self, x: Operand) -> Value:
        return self.op("mul", x)

    def __rmul__(self, x: Operand) -> Value:
        return self.lift(x) * self

    def __truediv__(self, x: Operand) -> Value:
        return self.op("div", x)

    def __rtruediv__(self, x: Operand) -> Value:
        return self.lift(x) / self

    def __neg__(self) -> Value:
        return self.op("neg")

    def __abs__(self) -> Value:
        return self.op("abs")

    def __lt__(self, x: Operand) -> Value:
        return self.op("lt", x)

    def __le__(self, x: Operand) -> Value:
        return self.op("le", x)

    def __gt__(self, x: Operand) -> Value:
        return self.op("gt", x)

    def __ge__(self, x: Operand) -> Value:
        return self.op("ge", x)

    def __and__(self, x: Operand) -> Value:
        return self.op("and", x)

    def __or__(self, x: Operand) -> Value:
        return self.op("or", x)

    def __xor__(self, x: Operand) -> Value:
        return self.op("xor", x)

    def __lshift__(self, x: Operand) -> Value:
        return self.op("shl", x)

    def __rshift__(self, x: Operand) -> Value:
        return self.op("shr", x)

    def equals(self, x: Operand) -> Value:
        """Whether the values are equal (`==` compares the objects)."""
        return self.op("eq", x)

    def convert(self, dtype: DType) -> Value:
        """Converted to `dtype`."""
        return Value(scalar.convert(self.expr, dtype))

    @property
    def bits(self) -> Value:
        """A float's bits as an unsigned integer."""
        return Value(scalar.bitcast(self.expr, uint32 if self.dtype is float32 else uint64))

    @property
    def as_float(self) -> Value:
        """An unsigned integer's bits as a float."""
        return Value(scalar.bitcast(self.expr, float32 if self.dtype is uint32 else float64))

    @property
    def sign_bit(self) -> Value:
        """A float's bits with all but the sign cleared."""
        return self.bits & (1 << (self.dtype.bits - 1))


def fma(a: Operand, b: Operand, c: Operand) -> Value:
    """a * b + c with one rounding; at least one is a Value."""
    some = next(x for x in (a, b, c) if isinstance(x, Value))
    return some.lift(a).op("fma", b, c)


def ldexp(x: Value, n: Value) -> Value:
    """x * 2^n with one rounding, for an integral n and an x near 1 (see `dlc.ir.scalar`)."""
    return x.op("ldexp", n)


def select(condition: Value, a: Operand, b: Operand, *, seldom: bool = False) -> Value:
    """`a` where the condition holds, which may be seldom, else `b`; at least one is a Value."""
    some = a if isinstance(a, Value) else b
    assert isinstance(some, Value)
    operands = some.lift(a).expr, some.lift(b).expr
    return Value(scalar.select(condition.expr, *operands, seldom=seldom))


def horner(x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial in x with these coefficients, the constant one first."""
    total = x.lift(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = fma(total, x, c)
    return total


def two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """a + b rounded, and the error of that."""
    s = a + b
    b_part = s - a
    return s, (a - (s - b_part)) + (b - b_part)


def fast_two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """a + b rounded, and the error of that, for |a| >= |b|."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Value, b: Operand) -> tuple[Value, Value]:
    """a * b rounded, and the error of that."""
    p = a * b
    return p, fma(a, b, -p)


def with_sign(magnitude: Value, sign: Value) -> Value:
    """A non-negative value with a sign bit (see `Value.sign_bit`) put on."""
    return (magnitude.bits | sign).as_float


def float_bits(x: float, dtype: DType) -> int:
    """The bits of `x` at float32 or float64."""
    code, read = ("<f", "<I") if dtype is float32 else ("<d", "<Q")
    return int(struct.unpack(read, struct.pack(code, x))[0])
