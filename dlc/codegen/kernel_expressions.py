"""Reads the expressions of the kernel text form.

A literal without a type takes that of the other operand, so that it stays a `Literal` until its
neighbours are read. Equal subexpressions become one object.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from dlc.codegen.kernel_lexer import KernelReader
from dlc.codegen.kernel_words import COMPARISONS, FLOATS, REDUCTIONS, RESERVED, literal_group
from dlc.ir import scalar
from dlc.ir.dims import symbol
from dlc.ir.errors import nearest
from dlc.ir.lexer import MAX_DIGITS, MAX_FLOAT_CHARACTERS
from dlc.ir.record import dataclass
from dlc.ir.scalar import SCALAR_OPS, Axis, Expr
from dlc.ir.type_parser import MAX_RANK, read_dim
from dlc.ir.types import DTYPES, DType, bool_, int64

MAX_NESTING = 64  # of parentheses, calls and signs
MAX_BLOCK = 2**31

_DTYPES = {d.short: d for d in DTYPES}
_BITS = {f"bits_{d.short}": d for d in DTYPES}
_DOTS: dict[str, DType | None] = {"dot": None, **{f"dot_{d.short}": d for d in DTYPES}}
_KINDS = {text: kind for kind, text in REDUCTIONS.items()}
_SIGNS = {sign: name for name, sign in COMPARISONS.items()}
_SPECIAL = {f"{x}_{d.short}": (float(x), d) for x in ("inf", "nan") for d in FLOATS}


@dataclass(frozen=True)
class Literal:
    """A number at an offset of the text; its dtype is None where its neighbours will tell."""

    value: int | float
    start: int
    dtype: DType | None = None


Operand: TypeAlias = Expr | Literal


class ExpressionParser:
    """Reads expressions over known tensors, symbols, named parts and open axes."""

    def __init__(self, reader: KernelReader) -> None:
        self.reader = reader
        self.tensors: dict[str, DType] = {}
        self.params_known: frozenset[str] = frozenset()
        self.symbols: tuple[str, ...] = ()
        self.lets: dict[str, Expr] = {}
        self.open: dict[str, Axis] = {}
        self.nesting = 0
        self._interned: dict[tuple[object, ...], Expr] = {}

    def is_local(self, name: str) -> bool:
        """Whether `name` is not a parameter."""
        return name not in self.params_known

    # Types of literals

    def intern(self, e: Expr) -> Expr:
        """The one object for expressions that are equal to `e`."""
        attr = repr(e.attr) if e.op == "const" else e.attr
        return self._interned.setdefault((e.op, tuple(map(id, e.args)), e.dtype.short, attr), e)

    def resolve(self, e: Operand, dtype: DType | None) -> Expr:
        """An operand as an expression: a literal without a type takes `dtype`."""
        if isinstance(e, Expr):
            return e
        dtype = e.dtype or dtype
        if dtype is None or dtype is bool_:
            hint = "write for example 2.0f32 or inf_f32"
            self.reader.fail("a literal whose type nothing shows", at=e.start, hint=hint)
        if dtype.is_float:
            with np.errstate(over="ignore"):
                held = scalar.const(e.value, dtype)
            if math.isinf(held.attr) and not math.isinf(e.value):
                self.reader.fail(f"{e.value} is beyond {dtype.short}", expected="inf", at=e.start)
            return self.intern(held)
        if isinstance(e.value, float):
            self.reader.fail(f"a fraction where {dtype.short} is needed", at=e.start)
        limits = np.iinfo(dtype.numpy)
        if not limits.min <= e.value <= limits.max:
            self.reader.fail(f"{e.value} is not within {dtype.short}", at=e.start)
        return self.intern(scalar.const(e.value, dtype))

    def typed(self, e: Operand) -> Expr:
        """An operand that must have a type of its own."""
        return self.resolve(e, None)

    def unify(self, args: list[Operand]) -> list[Expr]:
        """Arguments of one type: bare literals take that of the first that has one."""
        dtype = next((a.dtype for a in args if a.dtype is not None), None)
        return [self.resolve(a, dtype) for a in args]

    def apply(self, name: str, args: list[Operand], dtype: DType | None = None) -> Expr:
        """The scalar op `name`, with the types of its literal arguments found."""
        first = literal_group(name)
        exprs = [*map(self.typed, args[:first]), *self.unify(args[first:])]
        return self.intern(scalar.op(name, *exprs, dtype=dtype))

    # Operators

    def comparison(self) -> Operand:
        """An expression."""
        left = self.sum()
        name = _SIGNS.get(self.reader.token)
        if name is None:
            return left
        self.reader.advance()
        return self.apply(name, [left, self.sum()])

    def sum(self) -> Operand:
        """Products with `+` and `-` between them."""
        reader = self.reader
        left = self.product()
        while reader.token in ("+", "-"):
            sign = reader.token
            reader.advance()
            right = self.product()
            both = [left, right]
            left = self.apply("add", both) if sign == "+" else self.difference(left, right)
        return left

    def difference(self, left: Operand, right: Operand) -> Expr:
        """`a - b`; a signed integer less a literal is the sum with the negated literal."""
        if isinstance(right, Literal):
            left = self.resolve(left, right.dtype)
            if left.dtype.kind == "i" and right.dtype in (None, left.dtype):
                return self.apply("add", [left, Literal(-right.value, right.start, left.dtype)])
        return self.apply("sub", [left, right])

    def product(self) -> Operand:
        """Factors with `*`, `/` and `%` between them."""
        reader = self.reader
        left = self.factor()
        while reader.token in ("*", "/", "%"):
            sign = reader.token
            reader.advance()
            args = self.unify([left, self.factor()])
            name = {"*": "mul", "%": "mod"}.get(
                sign, "div" if args[0].dtype.is_float else "floordiv"
            )
            left = self.apply(name, list(args))
        return left

    def factor(self) -> Operand:
        """An operand with any number of signs before it."""
        reader = self.reader
        start = reader.start
        signs = 0
        while reader.accept("-"):
            signs += 1
        if signs == 0:
            return self.atom()
        value = self.atom()
        if isinstance(value, Literal):
            value = Literal(-value.value, start, value.dtype)
            signs -= 1
        for _ in range(signs):
            value = self.apply("neg", [value])
        return value

    # Operands

    def atom(self) -> Operand:
        """A literal, a name with its indices or arguments, or an expression in parentheses."""
        reader = self.reader
        if self.nesting > MAX_NESTING:
            reader.fail(f"an expression nested more than {MAX_NESTING} deep")
        self.nesting += 1
        result = self._atom()
        self.nesting -= 1
        return result

    def _atom(self) -> Operand:
        reader = self.reader
        if reader.kind in ("int", "float"):
            return self.number()
        if reader.kind == "let":
            return self.named()
        if reader.kind == "name":
            return self.name()
        if reader.kind == "block":
            name = reader.token[1:]
            reader.advance()
            return self.intern(Expr("block", (), int64, name))
        if not reader.accept("("):
            reader.fail_expecting("an expression")
        inner = self.comparison()
        reader.expect(")")
        return inner

    def number(self) -> Operand:
        """An integer or a fraction, with a type right after it or without."""
        reader = self.reader
        start = reader.start
        limit = MAX_DIGITS if reader.kind == "int" else MAX_FLOAT_CHARACTERS
        if len(reader.token) > limit:
            reader.fail(f"a number of {len(reader.token)} characters")
        value = int(reader.token) if reader.kind == "int" else float(reader.token)
        if math.isinf(value):
            reader.fail("a number beyond all floating-point types", expected="inf")
        reader.advance()
        dtype = _DTYPES.get(reader.token) if reader.kind == "name" and reader.is_adjacent else None
        if dtype is not None:
            reader.advance()
        return Literal(value, start, dtype)

    def named(self) -> Expr:
        """A part that `let` has named."""
        found = self.lets.get(self.reader.token)
        if found is None:
            self.reader.fail(f"{self.reader.token} is not defined")
        self.reader.advance()
        return found

    def name(self) -> Operand:
        """What begins with a name."""
        reader = self.reader
        start = reader.start
        name = reader.take("name")
        if reader.token == "[":
            return self.load(name, start)
        if reader.accept("("):
            return self.call(name, start)
        if name in ("true", "false"):
            return self.intern(scalar.const(name == "true", bool_))
        if name in ("inf", "nan"):
            return Literal(float(name), start)
        if name in _SPECIAL:
            value, dtype = _SPECIAL[name]
            return Literal(value, start, dtype)
        if name in RESERVED:
            reader.fail(f"{name!r} is a word of the language", expected="an expression", at=start)
        if name in self.symbols:
            return self.intern(scalar.dim(symbol(name)))
        return self.intern(scalar.index(name))

    def load(self, name: str, start: int) -> Expr:
        """`x[i]`; its name has been read."""
        dtype = self.tensors.get(name)
        if dtype is None:
            hint = nearest(name, self.tensors)
            self.reader.fail(f"there is no tensor {name!r} yet", at=start, hint=hint)
        return self.intern(scalar.load(name, self.indices(), dtype))

    def indices(self) -> tuple[Expr, ...]:
        """`[e, e]`."""
        reader = self.reader
        reader.expect("[")
        ix: list[Expr] = []
        while not reader.accept("]"):
            if ix:
                reader.expect(",")
            if len(ix) == MAX_RANK:
                reader.fail(f"more than {MAX_RANK} indices")
            ix.append(self.resolve(self.comparison(), int64))
        return tuple(ix)

    def axis_after(self, name: str) -> Axis:
        """An axis of which `name <` has been read."""
        reader = self.reader
        extent = read_dim(reader)
        if reader.token != ":":
            return Axis(name, extent)
        # A ':' also ends the header of a block.
        colon = reader.start
        reader.advance()
        if reader.kind != "int" or not reader.is_adjacent:
            reader.skip_to(colon)
            return Axis(name, extent)
        start = reader.start
        block = reader.take_integer()
        if not 1 <= block <= MAX_BLOCK:
            reader.fail(f"a block of {block}", expected=f"1 to {MAX_BLOCK}", at=start)
        return Axis(name, extent, block)

    # Calls

    def call(self, name: str, start: int) -> Expr:
        """A call whose `(` has been read."""
        reader = self.reader
        if name in _KINDS:
            result = self.reduction(_KINDS[name])
        elif name in _DOTS:
            result = self.dot(_DOTS[name])
        elif name == "dim":
            result = self.intern(scalar.dim(read_dim(reader)))
        elif name in _DTYPES:
            result = self.apply("convert", [self.comparison()], _DTYPES[name])
        elif name in _BITS:
            result = self.apply("bitcast", [self.comparison()], _BITS[name])
        elif name == "pad" or name in SCALAR_OPS:
            return self.operation(name, start)
        else:
            hint = nearest(name, [*SCALAR_OPS, *_KINDS, *_DOTS, "pad"])
            reader.fail(f"there is no operation {name!r}", at=start, hint=hint)
        reader.expect(")")
        return result

    def operation(self, name: str, start: int) -> Expr:
        """A scalar op or pad; its `(` has been read."""
        reader = self.reader
        arity = 2 if name == "pad" else SCALAR_OPS[name].arity
        args: list[Operand] = [self.comparison()]
        while reader.accept(","):
            args.append(self.comparison())
            if len(args) > arity:
                break
        if len(args) != arity or reader.token != ")":
            reader.fail(f"{name} takes {arity} argument{'s' * (arity > 1)}", at=start)
        if name in ("convert", "bitcast"):
            hint = "write for example f32(x) or bits_f32(x)"
            reader.fail(f"{name} needs a type", at=start, hint=hint)
        reader.advance()
        if name != "pad":
            return self.apply(name, args)
        inside, outside = self.unify(args)
        if inside.op != "load":
            reader.fail("pad takes a load and what it gives out of bounds", at=start)
        return self.intern(scalar.pad(inside, outside))

    def reduced_axes(self) -> tuple[Axis, ...]:
        """`n<N, p, `: axes of a reduction; a bare one is the open block of that name."""
        reader = self.reader
        axes: list[Axis] = []
        while reader.kind == "name" and len(axes) < MAX_RANK:
            start = reader.start
            name = reader.take("name")
            if reader.accept("<"):
                axes.append(self.axis_after(name))
            elif reader.token == ",":
                if name not in self.open:
                    reader.fail(f"{name!r} is not an open block", expected="n<N", at=start)
                axes.append(self.open[name])
            else:
                reader.skip_to(start)
                break
            reader.expect(",")
        return tuple(axes)

    def reduction(self, kind: str) -> Expr:
        """What follows `sum(` and the like."""
        axes = self.reduced_axes()
        body = self.typed(self.comparison())
        dtype = int64 if kind.startswith("arg") else body.dtype
        return self.intern(Expr("reduce", (body,), dtype, (kind, axes)))

    def dot(self, dtype: DType | None) -> Expr:
        """What follows `dot(`: two factors with `*` between them."""
        axes = self.reduced_axes()
        left = self.factor()
        self.reader.expect("*")
        a, b = self.unify([left, self.factor()])
        return self.intern(scalar.dot(axes, a, b, dtype or a.dtype))
