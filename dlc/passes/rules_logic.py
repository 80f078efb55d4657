"""Rules of comparisons, logic, bits, selection and conversion; all keep every bit."""

from __future__ import annotations

import numpy as np

from dlc.ir.core import Node
from dlc.ir.patterns import COMMUTATIVE, Match
from dlc.ir.rewrite import RewriteBuilder, Rule, rule
from dlc.ir.types import DType

_SIGNIFICANT_BITS = {"f64": 53, "f32": 24, "f16": 11, "bf16": 8}
_OPPOSITE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
_TURNED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


def _has_no_nan(m: Match) -> bool:
    return not m["x"].tensor.dtype.is_float


def loses_nothing(a: DType, b: DType) -> bool:
    """Whether each value of `a` is one of `b`."""
    if a is b or a.kind == "b":
        return True
    if b.kind == "b":
        return False
    if b.is_float:
        if a.is_float:
            return a.bits < b.bits
        return a.bits - (a.kind == "i") <= _SIGNIFICANT_BITS[b.short]
    if a.is_float:
        return False
    low, high = np.iinfo(a.numpy), np.iinfo(b.numpy)
    return int(low.min) >= int(high.min) and int(low.max) <= int(high.max)


def _middle_is_free(m: Match) -> bool:
    """Whether the middle type of two conversions changes nothing.

    It must hold every value of the first, and not turn the wrapping of integers into saturation.
    """
    first, middle, last = m["x"].tensor.dtype, m["c"].tensor.dtype, m.dtype
    if not loses_nothing(first, middle):
        return False
    changes_rule = middle.is_float and not first.is_float and last.is_integer
    return not changes_rule or loses_nothing(first, last)


def _all_ones(m: Match) -> bool:
    if m.dtype.kind == "b":
        return False
    return m["C"] == (-1 if m.dtype.kind == "i" else int(np.iinfo(m.dtype.numpy).max))


_ONES = {"C": [-1, 65535]}  # of signed integers and of u16
BITS = (
    Rule("not_not", "bit_not(bit_not(x))", "x"),
    Rule("and_self", "bit_and(x, x)", "x"),
    Rule("or_self", "bit_or(x, x)", "x"),
    Rule("xor_self", "bit_xor(x, x)", "0", when=lambda m: m.dtype.is_integer),
    Rule("xor_self_bool", "bit_xor(x, x)", "false", when=lambda m: m.dtype.kind == "b"),
    Rule("and_true", "bit_and(x, true)", "x"),
    Rule("and_false", "bit_and(x, false)", "false"),
    Rule("or_true", "bit_or(x, true)", "true"),
    Rule("or_false", "bit_or(x, false)", "x"),
    Rule("xor_true", "bit_xor(x, true)", "bit_not(x)"),
    Rule("xor_false", "bit_xor(x, false)", "x"),
    Rule("and_zero", "bit_and(x, 0)", "0"),
    Rule("or_zero", "bit_or(x, 0)", "x"),
    Rule("xor_zero", "bit_xor(x, 0)", "x"),
    Rule("and_ones", "bit_and(x, C)", "x", when=_all_ones, given=_ONES),
    Rule("or_ones", "bit_or(x, C)", "C", when=_all_ones, given=_ONES),
    Rule("shl_zero", "shl(x, 0)", "x"),
    Rule("shr_zero", "shr(x, 0)", "x"),
)
COMPARISONS = (
    Rule("eq_self", "eq(x, x)", "true", when=_has_no_nan),
    Rule("ne_self", "ne(x, x)", "false", when=_has_no_nan),
    Rule("le_self", "le(x, x)", "true", when=_has_no_nan),
    Rule("ge_self", "ge(x, x)", "true", when=_has_no_nan),
    Rule("lt_self", "lt(x, x)", "false"),
    Rule("gt_self", "gt(x, x)", "false"),
    Rule("eq_true", "eq(x, true)", "x"),
    Rule("eq_false", "eq(x, false)", "bit_not(x)"),
    Rule("ne_true", "ne(x, true)", "bit_not(x)"),
    Rule("ne_false", "ne(x, false)", "x"),
    Rule("not_eq", "bit_not(eq(x, y))", "ne(x, y)"),
    Rule("not_ne", "bit_not(ne(x, y))", "eq(x, y)"),
    *(
        Rule(f"not_{a}", f"bit_not({a}(x, y))", f"{b}(x, y)", when=_has_no_nan)
        for a, b in _OPPOSITE.items()
    ),
)
SELECTIONS = (
    Rule("select_true", "select(true, x, y)", "x"),
    Rule("select_false", "select(false, x, y)", "y"),
    Rule("select_same", "select(c, x, x)", "x"),
    Rule("select_not", "select(bit_not(c), x, y)", "select(c, y, x)"),
    Rule("select_condition", "select(c, true, false)", "c"),
    Rule("select_not_condition", "select(c, false, true)", "bit_not(c)"),
    Rule("select_select_then", "select(c, select(c, x, y), z)", "select(c, x, z)"),
    Rule("select_select_else", "select(c, x, select(c, y, z))", "select(c, x, z)"),
)
_TYPES = [f"{d}[7,33]" for d in ("bool", "i8", "u8", "u16", "i32", "f16", "bf16", "f32", "f64")]
_DTYPES = ["bool", "i8", "u8", "i16", "u16", "i32", "i64", "f16", "bf16", "f32", "f64"]
CONVERSIONS = (
    Rule(
        "convert_same", "convert(x){dtype=a}", "x", when=lambda m: m["x"].tensor.dtype is m["a"],
        given={"x": _TYPES, "a": _DTYPES},
    ),
    Rule(
        "convert_convert", "convert(c:convert(x){dtype=a}){dtype=b}", "convert(x){dtype=b}",
        when=_middle_is_free, given={"x": _TYPES, "a": _DTYPES, "b": _DTYPES},
    ),
    Rule(
        "bitcast_same", "bitcast(x){dtype=a}", "x", when=lambda m: m["x"].tensor.dtype is m["a"],
        given={"x": _TYPES, "a": _DTYPES},
    ),
    Rule(
        "bitcast_bitcast", "bitcast(bitcast(x){dtype=a}){dtype=b}", "bitcast(x){dtype=b}",
        given={"x": ["f32[7,33]", "i8[5]"], "a": ["u32", "u8"], "b": ["i32", "f32", "i8"]},
    ),
)  # fmt: skip


@rule(
    *sorted(COMMUTATIVE - {"fma"}),
    name="number_right",
    patterns=[f"{op}(C, x)" for op in ("add", "mul", "max", "min", "eq", "bit_and", "bit_xor")],
)
def number_right(b: RewriteBuilder, node: Node, x: Node, y: Node) -> Node | None:
    """Numbers and constants stand on the right, so that equal nodes look equal."""
    return b.emit(node.op, (y, x)) if _rank(x) > _rank(y) else None


@rule(
    *_TURNED,
    name="number_right_of_comparison",
    patterns=[f"{op}(C, x)" for op in _TURNED],
)
def number_right_of_comparison(b: RewriteBuilder, node: Node, x: Node, y: Node) -> Node | None:
    """As `number_right`; the comparison is turned."""
    return getattr(b, _TURNED[node.op.name])(y, x) if _rank(x) > _rank(y) else None


def _rank(x: Node) -> int:
    return {"constant": 1, "full": 2}.get(x.op.name, 0)


ORDER = (number_right, number_right_of_comparison)
LOGIC = (*BITS, *COMPARISONS, *SELECTIONS, *CONVERSIONS, *ORDER)
