"""Scalar expressions.

The closed set of operations that every tensor op lowers to and every backend runs.

An `Expr` says what one element of a result is. Index arithmetic is the same language at type i64.
Expressions are immutable and compared by structure; equal subexpressions may be shared.

Meaning (all backends): float operations are IEEE 754, round to nearest even, never contracted or
reassociated. Integer arithmetic wraps. `floordiv` and `mod` round towards minus infinity, as
NumPy's do; a zero divisor gives 0 and the most negative integer divided by -1 gives itself; neither
traps. `min`, `max` return NaN when an operand is NaN. `shl` and `shr` by a negative count or by the
width or more give 0 (`shr` of a negative number: -1). `ldexp(x, n)` is x * 2^n rounded once, for an
integral n up to 1.5 times the exponent bias and an x that is zero, not finite, or of a magnitude
from 2^-30 to 2^30; a zero x may have any n down to minus infinity. For others it is any value.
`convert` of a float to an integer truncates;
NaN gives 0 and a value out of range saturates. `convert` to bool is `!= 0`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from operator import is_
from typing import Any, Literal

from dlc.ir.dims import Dim
from dlc.ir.record import dataclass
from dlc.ir.types import DType, bool_, float32, int64


@dataclass(frozen=True)
class ScalarOp:
    """A row of the closed set: its arity and what its result type is.

    result: "same" (the type of the last argument), "bool", or "given" (stated by the node).
    kinds: element kinds the arguments may have, of "f", "i", "u", "b".
    math: whether the op has an expansion into the others (`dlc.codegen.scalar_math`).
    """

    name: str
    arity: int
    kinds: str
    result: Literal["same", "bool", "given"] = "same"
    math: bool = False


_ROWS = (
    *(ScalarOp(n, 2, "fiu") for n in ("add", "sub", "mul", "min", "max", "floordiv", "mod")),
    *(ScalarOp(n, 2, "f") for n in ("div", "ldexp")),
    ScalarOp("fma", 3, "f"),
    *(ScalarOp(n, 1, "fiu") for n in ("neg", "abs")),
    *(ScalarOp(n, 1, "f") for n in ("sqrt", "floor", "ceil", "trunc", "rint")),
    *(ScalarOp(n, 2, "fiub", "bool") for n in ("eq", "ne", "lt", "le", "gt", "ge")),
    *(ScalarOp(n, 2, "iub") for n in ("and", "or", "xor")),
    ScalarOp("not", 1, "iub"),
    *(ScalarOp(n, 2, "iu") for n in ("shl", "shr")),
    ScalarOp("select", 3, "fiub"),
    ScalarOp("convert", 1, "fiub", "given"),
    ScalarOp("bitcast", 1, "fiu", "given"),
    *(
        ScalarOp(n, 1, "f", math=True)
        for n in (
            "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin",
            "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc",
            "sigmoid", "rsqrt", "cbrt",
        )
    ),
    *(ScalarOp(n, 2, "f", math=True) for n in ("pow", "atan2", "hypot")),
)  # fmt: skip
SCALAR_OPS: dict[str, ScalarOp] = {row.name: row for row in _ROWS}

ReduceKind = Literal["sum", "prod", "max", "min", "any", "all", "argmax", "argmin"]
REDUCE_KINDS: tuple[ReduceKind, ...] = (
    "sum", "prod", "max", "min", "any", "all", "argmax", "argmin",
)  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """A loop axis `name < extent`; with `block`, the body sees one block of that many at a time."""

    name: str
    extent: Dim
    block: int | None = None


class Expr:
    """A node of a scalar expression.

    op is a name of `SCALAR_OPS` or one of these forms:
      const   attr: the value, a Python bool, int or float
      index   attr: an axis name; dtype i64
      block   attr: an axis name; the number of the block the axis is in (`#p` in text); dtype i64
      dim     attr: a Dim, an integer known at run time; dtype i64
      load    attr: a tensor name; args: one i64 index a dim
      pad     args: (a load, a fallback); the fallback where an index of the load is out of bounds
      reduce  attr: (kind, axes); args: (body,); in the order of the axes, last fastest
      dot     attr: axes; args: (a, b); the sum of a*b over the axes, accumulated at this node's
      dtype
    A select has attr "seldom" where its condition seldom holds, which no kernel's text tells.
    """

    __slots__ = ("_free", "_hash", "args", "attr", "dtype", "op")
    op: str
    args: tuple[Expr, ...]
    dtype: DType
    attr: Any

    def __init__(self, op: str, args: tuple[Expr, ...], dtype: DType, attr: Any = None) -> None:
        self.op, self.args, self.dtype, self.attr = op, args, dtype, attr
        self._hash = hash((op, args, dtype.short, self._held()))
        self._free: frozenset[str] | None = None  # see `dlc.codegen.cpu.scopes.FreeNames`

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Expr) or not self._is_like(other):
            return False
        if all(map(is_, self.args, other.args)):
            return True
        # Each pair once: written out, an expression may be exponentially larger than its graph.
        seen: set[tuple[int, int]] = set()
        stack: list[tuple[Expr, Expr]] = [(self, other)]
        while stack:
            a, b = stack.pop()
            if a is b or (id(a), id(b)) in seen:
                continue
            if not a._is_like(b):
                return False
            seen.add((id(a), id(b)))
            stack.extend(zip(a.args, b.args, strict=True))
        return True

    def _held(self) -> Any:
        # repr tells -0.0 from 0.0 and True from 1, which == does not.
        return repr(self.attr) if self.op == "const" else self.attr

    def own_key(self) -> tuple[Any, ...]:
        """What tells the node from others over the same arguments."""
        return self.op, self.dtype.short, self._held()

    def _is_like(self, other: Expr) -> bool:
        """Equal but for the arguments."""
        return (
            self._hash == other._hash
            and self.op == other.op
            and self.dtype is other.dtype
            and len(self.args) == len(other.args)
            and self._held() == other._held()
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        inner = ", ".join(map(repr, self.args))
        return f"{self.op}{'' if self.attr is None else f'<{self.attr}>'}({inner}):{self.dtype}"

    def with_args(self, args: tuple[Expr, ...]) -> Expr:
        """This node over other arguments; itself when they are the same objects."""
        if len(args) == len(self.args) and all(
            a is b for a, b in zip(args, self.args, strict=True)
        ):
            return self
        return Expr(self.op, args, self.dtype, self.attr)


def op(name: str, *args: Expr, dtype: DType | None = None) -> Expr:
    """The scalar op `name` applied to expressions.

    `dtype` is needed for `convert` and `bitcast` only.
    """
    row = SCALAR_OPS[name]
    if len(args) != row.arity:
        raise TypeError(f"scalar op {name} takes {row.arity} arguments, got {len(args)}")
    if row.result == "given":
        if dtype is None:
            raise TypeError(f"scalar op {name} needs a dtype")
        return Expr(name, args, dtype)
    return Expr(name, args, bool_ if row.result == "bool" else args[-1].dtype)


@functools.lru_cache(4096)
def _integer(value: int) -> Expr:
    """A literal of indices, of which a few values occur very often."""
    return Expr("const", (), int64, value)


def const(value: bool | int | float, dtype: DType) -> Expr:
    """A literal, held at the precision of `dtype`."""
    if dtype is int64:
        return _integer(int(value))
    if dtype.is_float:
        held: bool | int | float = float(dtype.numpy.type(value))
    elif dtype.kind == "b":
        held = bool(value)
    else:
        held = int(value)
    return Expr("const", (), dtype, held)


def convert(e: Expr, dtype: DType) -> Expr:
    """`e` converted to `dtype`; `e` itself when it has that type."""
    return e if e.dtype is dtype else Expr("convert", (e,), dtype)


def bitcast(e: Expr, dtype: DType) -> Expr:
    """The bits of `e` read as `dtype` of the same width."""
    return e if e.dtype is dtype else Expr("bitcast", (e,), dtype)


_SELDOM = "seldom"


def select(condition: Expr, a: Expr, b: Expr, *, seldom: bool = False) -> Expr:
    """`a` where `condition`, else `b`; where that seldom holds, `a` may be left out elsewhere."""
    return Expr("select", (condition, a, b), a.dtype, _SELDOM if seldom else None)


def is_seldom(e: Expr) -> bool:
    """Whether an expression is a select whose condition seldom holds."""
    return e.op == "select" and e.attr == _SELDOM


_axis_numbers = itertools.count()


def fresh_axis() -> str:
    """An axis name that no other expression has; lowering renames it to something readable."""
    return f"_{next(_axis_numbers)}"


def index(name: str) -> Expr:
    """The value of the axis `name`."""
    return Expr("index", (), int64, name)


def dim(value: Dim) -> Expr:
    """A dim as an i64 value.

    Extents stay `dim` nodes even where they are integers, so that kernels can be made independent
    of them; 0 and 1 are literals.
    """
    return Expr("const" if value in (0, 1) else "dim", (), int64, value)


def integer_of(e: Expr) -> int | None:
    """The integer that an index expression is, literal or extent; None where it is none."""
    known = e.op in ("const", "dim") and e.dtype is int64 and isinstance(e.attr, int)
    return e.attr if known else None


def load(name: str, ix: tuple[Expr, ...], dtype: DType = float32) -> Expr:
    """The element of tensor `name` at `ix`."""
    return Expr("load", ix, dtype, name)


def pad(inside: Expr, outside: Expr) -> Expr:
    """`inside` (a load) where its indices are within bounds, else `outside`."""
    return Expr("pad", (inside, outside), inside.dtype)


def reduce(kind: ReduceKind, axes: tuple[Axis, ...], body: Expr) -> Expr:
    """`body` reduced over `axes`. argmax and argmin give the i64 position of the first extreme."""
    return Expr("reduce", (body,), int64 if kind.startswith("arg") else body.dtype, (kind, axes))


def dot(axes: tuple[Axis, ...], a: Expr, b: Expr, dtype: DType) -> Expr:
    """The sum of `a * b` over `axes`, accumulated at `dtype`."""
    return Expr("dot", (a, b), dtype, axes)


def reduced_axes(e: Expr) -> tuple[Axis, ...]:
    """The axes that a reduce or dot node binds; none for other nodes."""
    return e.attr[1] if e.op == "reduce" else e.attr if e.op == "dot" else ()


def walk(e: Expr) -> Iterator[Expr]:
    """Every distinct node of `e` once, arguments before users."""
    seen: set[int] = set()
    stack = [e]
    while stack:
        node = stack[-1]
        missing = [a for a in node.args if id(a) not in seen] if node.args else ()
        if missing:
            stack.extend(reversed(missing))
            continue
        stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node


def class_numbers(roots: Iterable[Expr]) -> dict[int, int]:
    """By `id`, a number for each node of some expressions, which equal ones share.

    Linear in the nodes, where to compare two equal nodes of different graphs walks both.
    """
    numbers: dict[int, int] = {}
    classes: dict[tuple[Any, ...], int] = {}
    for root in roots:
        for node in walk(root):
            if id(node) not in numbers:
                key = node.own_key(), *(numbers[id(a)] for a in node.args)
                numbers[id(node)] = classes.setdefault(key, len(classes))
    return numbers


def add_index(a: Expr, b: Expr) -> Expr:
    """a + b of i64 index expressions, folding literals."""
    if a.op == "const" and b.op == "const":
        return const(a.attr + b.attr, int64)
    if a.op == "const" and a.attr == 0:
        return b
    if b.op == "const" and b.attr == 0:
        return a
    return op("add", a, b)


def mul_index(a: Expr, b: Expr) -> Expr:
    """a * b of i64 index expressions, folding literals."""
    if a.op == "const" and b.op == "const":
        return const(a.attr * b.attr, int64)
    for x, y in ((a, b), (b, a)):
        if x.op == "const" and x.attr == 1:
            return y
        if x.op == "const" and x.attr == 0:
            return x
    return op("mul", a, b)


def sub_index(a: Expr, b: Expr) -> Expr:
    """a - b of i64 index expressions, folding literals."""
    if b.op == "const":
        return add_index(a, const(-b.attr, int64))
    return op("sub", a, b)
