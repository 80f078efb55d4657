"""Rules of arithmetic that keep every bit, for floats with their infinities, NaN and signed zeros.

A number in a pattern is one of the element type, so `add(x, -0.0)` is also `x + 0` of integers;
`x + 0.0` of floats is missing because it is 0.0 where x is -0.0.
"""

from __future__ import annotations

import math

import numpy as np

from dlc.ir.patterns import Match
from dlc.ir.rewrite import Rule
from dlc.ir.types import float16, float32


def is_integer(m: Match) -> bool:
    """Whether the result has integers."""
    return m.dtype.is_integer


def is_float(m: Match) -> bool:
    """Whether the result has floats."""
    return m.dtype.is_float


def _is_unsigned(m: Match) -> bool:
    return m.dtype.kind == "u"


def wrapped(value: int, m: Match) -> int:
    """`value` modulo the number of values of the element type."""
    bits = m.dtype.bits
    value &= (1 << bits) - 1
    return value - (1 << bits) if m.dtype.kind == "i" and value >> (bits - 1) else value


def _reciprocal(m: Match) -> float | None:
    """1 / C where C is a power of two with a normal reciprocal, so that x / C == x * (1 / C)."""
    c = float(m["C"])
    if c == 0 or not math.isfinite(c) or abs(math.frexp(c)[0]) != 0.5:
        return None
    tiniest = float(np.finfo(m.dtype.numpy).tiny) if m.dtype.bits > 16 else 2.0**-14
    return 1 / c if tiniest <= abs(1 / c) <= 1 / tiniest else None


def exponent_of_two(value: int) -> int | None:
    """k where `value` is 2**k."""
    return value.bit_length() - 1 if value > 0 and value & (value - 1) == 0 else None


def _square_is_stated(m: Match) -> bool:
    # pow is computed at float64 and rounded once; so is, in effect, a product of these.
    return m.dtype in (float32, float16)


IDENTITIES = (
    Rule("add_zero", "add(x, -0.0)", "x"),
    Rule("sub_zero", "sub(x, 0)", "x"),
    Rule("zero_sub", "sub(-0.0, x)", "neg(x)"),
    Rule("mul_one", "mul(x, 1)", "x"),
    Rule("mul_minus_one", "mul(x, -1)", "neg(x)"),
    Rule("mul_zero", "mul(x, 0)", "0", when=is_integer),
    Rule("sub_self", "sub(x, x)", "0", when=is_integer),
    Rule("div_one", "div(x, 1)", "x"),
    Rule("div_power_of_two", "div(x, C)", "mul(x, d)", let={"d": _reciprocal}),
    Rule("pow_zero", "pow(x, 0)", "1"),
    Rule("pow_one", "pow(x, 1)", "x"),
    Rule("pow_two", "pow(x, 2)", "mul(x, x)", when=_square_is_stated),
    Rule("one_pow", "pow(1, x)", "1"),
)
SIGNS = (
    Rule("neg_neg", "neg(neg(x))", "x"),
    Rule("add_neg", "add(x, neg(y))", "sub(x, y)"),
    Rule("sub_neg", "sub(x, neg(y))", "add(x, y)"),
    Rule("mul_neg_neg", "mul(neg(x), neg(y))", "mul(x, y)"),
    Rule("div_neg_neg", "div(neg(x), neg(y))", "div(x, y)"),
    Rule(
        "neg_sub", "neg(d:sub(x, y))", "sub(y, x)",
        when=lambda m: is_integer(m) and m.uses(m["d"]) == 1,
    ),
    Rule(
        "mul_neg_number", "mul(neg(x), C)", "mul(x, d)",
        when=is_float, let={"d": lambda m: -m["C"]},
    ),
    Rule(
        "neg_mul_number", "neg(p:mul(x, C))", "mul(x, d)",
        when=lambda m: is_float(m) and m.uses(m["p"]) == 1, let={"d": lambda m: -m["C"]},
    ),
    Rule("abs_neg", "abs(neg(x))", "abs(x)", when=lambda m: m.dtype.kind != "u"),
    Rule("abs_abs", "abs(abs(x))", "abs(x)"),
    Rule("abs_unsigned", "abs(x)", "x", when=_is_unsigned),
)  # fmt: skip
EXTREMES = (
    Rule("max_self", "max(x, x)", "x"),
    Rule("min_self", "min(x, x)", "x"),
    Rule("max_max", "max(m:max(x, y), y)", "m"),
    Rule("min_min", "min(m:min(x, y), y)", "m"),
    Rule("max_lowest", "max(x, C)", "x", when=lambda m: m["C"] == lowest(m)),
    Rule("min_highest", "min(x, C)", "x", when=lambda m: m["C"] == highest(m)),
)


def lowest(m: Match) -> float | int:
    """The least value of the element type; minus infinity for floats."""
    return -math.inf if m.dtype.is_float else int(np.iinfo(m.dtype.numpy).min)


def highest(m: Match) -> float | int:
    """The greatest value of the element type; infinity for floats."""
    return math.inf if m.dtype.is_float else int(np.iinfo(m.dtype.numpy).max)


INTEGERS = (
    Rule(
        "add_add_numbers", "add(add(x, C), D)", "add(x, e)", when=is_integer,
        let={"e": lambda m: wrapped(m["C"] + m["D"], m)}, given={"C": [1, -3, 250], "D": [-1, 7]},
    ),
    Rule(
        "mul_mul_numbers", "mul(mul(x, C), D)", "mul(x, e)", when=is_integer,
        let={"e": lambda m: wrapped(m["C"] * m["D"], m)}, given={"C": [2, -3, 100], "D": [-1, 7]},
    ),
    Rule("floordiv_one", "floordiv(x, 1)", "x", when=is_integer),
    Rule("mod_one", "mod(x, 1)", "0", when=is_integer),
    Rule(
        "floordiv_power_of_two", "floordiv(x, C)", "shr(x, k)", when=is_integer,
        let={"k": lambda m: exponent_of_two(m["C"])}, given={"C": [2, 8, 64]},
    ),
    Rule(
        "mod_power_of_two", "mod(x, C)", "bit_and(x, k)", when=is_integer,
        let={"k": lambda m: m["C"] - 1 if exponent_of_two(m["C"]) is not None else None},
        given={"C": [2, 8, 64]},
    ),
)  # fmt: skip
ROUNDINGS = tuple(
    Rule(f"{outer}_{inner}", f"{outer}(r:{inner}(x))", "r")
    for outer in ("floor", "ceil", "trunc", "rint")
    for inner in ("floor", "ceil", "trunc", "rint")
)
FMA = (
    Rule("fma_one", "fma(x, 1, z)", "add(x, z)"),
    Rule("fma_no_addend", "fma(x, y, -0.0)", "mul(x, y)"),
    Rule("fma_neg_neg", "fma(neg(x), neg(y), z)", "fma(x, y, z)"),
)
ARITHMETIC = (*IDENTITIES, *SIGNS, *EXTREMES, *INTEGERS, *ROUNDINGS, *FMA)
