"""Kernel IR as text: `docs/kernel_grammar.md` has the grammar, `kernel_parser` reads it back.

An expression may share subexpressions; one that is used more than once and is not small is written
once, as `let $1 = ...` before its statement, so that the text stays as small as the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from dlc.codegen.kernel_ir import Assign, For, Host, Kernel, Par, Param, Sort, Stmt, open_inside
from dlc.codegen.kernel_words import (
    COMPARISONS,
    INFIX,
    NO_NAME,
    REDUCTIONS,
    SORTS,
    implied_dims,
    literal_group,
)
from dlc.ir.dims import Dim, DimExpr, Symbol, dim_text
from dlc.ir.printer import attributes_text
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import Axis, Expr, const
from dlc.ir.types import DType

INLINE_SIZE = 5  # nodes of a subexpression that is repeated rather than named
MAX_INLINE_DEPTH = 24  # deeper subexpressions are named, so that readers need little stack
INDENT = " "


def print_kernel(kernel: Kernel) -> str:
    """The text of a kernel; `parse_kernel` gives the kernel back.

    Example:
        >>> print(print_kernel(softmax))
        kernel softmax(x: f32[R,N], out o: f32[R,N]):
         par r<R:
          m[r] = rmax(n<N, x[r,n])
          ...
    """
    return _Printer(kernel).text()[0]


def print_with_lines(kernel: Kernel) -> tuple[str, dict[int, int]]:
    """The text, and the line at which each statement (by `id`) stands."""
    return _Printer(kernel).text()


def print_expression(e: Expr, kernel: Kernel) -> str:
    """An expression on one line, for messages; named parts are shown as `$1`."""
    return _Printer(kernel).expression(e)


def float_text(value: float, dtype: DType) -> str:
    """The shortest decimal that reads back as `value` at `dtype`; `inf`, `-inf` or `nan`."""
    if not np.isfinite(value):
        return repr(value)
    if dtype.bits == 32:
        short = str(np.float32(value))
        if repr(const(float(short), dtype).attr) == repr(value):
            return short
    return repr(value)


def _typed(text: str, dtype: DType) -> str:
    joint = "_" if text[-1] in "fn" else ""
    return f"{text}{joint}{dtype.short}"


@dataclass
class _Graph:
    """The distinct nodes of some expressions by structure, and which of them are named."""

    nodes: dict[int, Expr] = field(default_factory=dict[int, Expr])
    number: dict[tuple[object, ...], int] = field(default_factory=dict[tuple[object, ...], int])
    known: dict[int, int] = field(default_factory=dict[int, int])
    uses: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, e: Expr) -> int:
        """The number of the structure of `e`; children before users."""
        known, stack = self.known, [e]
        while stack:
            node = stack[-1]
            missing = [a for a in node.args if id(a) not in known] if node.args else ()
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            if id(node) in known:
                continue
            children = tuple([known[id(a)] for a in node.args])
            attr = repr(node.attr) if node.op == "const" else node.attr
            key = (node.op, children, node.dtype.short, attr)
            number = self.number.setdefault(key, len(self.nodes))
            if number == len(self.nodes):
                self.nodes[number] = node
                for child in children:
                    self.uses[child] = self.uses.get(child, 0) + 1
            known[id(node)] = number
        self.uses[known[id(e)]] = self.uses.get(known[id(e)], 0) + 1
        return known[id(e)]

    def named(self) -> Iterator[int]:
        """The numbers of the structures to name, arguments before users."""
        size: dict[int, int] = {}
        depth: dict[int, int] = {}
        for number, node in self.nodes.items():
            children = [self.known[id(a)] for a in node.args]
            size[number] = 1 + sum(size[c] for c in children)
            depth[number] = 1 + max((depth[c] for c in children), default=0)
            shared = self.uses.get(number, 0) > 1 and size[number] > INLINE_SIZE
            if shared or depth[number] >= MAX_INLINE_DEPTH:
                size[number] = depth[number] = 1
                yield number


class _Printer:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lines: list[str] = []
        self.places: dict[int, int] = {}
        self.lets = 0
        self.graph = _Graph()
        self.names: dict[int, str] = {}
        self.open: dict[str, Axis] = {}

    def text(self) -> tuple[str, dict[int, int]]:
        k = self.kernel
        dims = "" if k.dims == implied_dims(k.params) else f"<{','.join(k.dims)}>"
        self.lines.append(f"kernel {k.name}{dims}({', '.join(map(_param, k.params))}):")
        if k.host is not None:
            self.lines.append(INDENT + _host(k.host))
        self.body(k.body, 1)
        return "\n".join(self.lines) + "\n", self.places

    # Statements

    def body(self, body: tuple[Stmt, ...], depth: int) -> None:
        for s in body:
            if isinstance(s, Assign):
                lets = self.name_shared([*s.ix, s.expr])
                self.line(s, [*lets, self.assign(s)], depth)
                continue
            if isinstance(s, Sort):
                self.line(s, [*self.name_shared([s.expr]), self.sort(s)], depth)
                continue
            axes = s.axes if isinstance(s, Par) else (s.axis,)
            header = [f"par {_axes(axes)}:" if axes else "par:"]
            self.line(s, self.loop(s) if isinstance(s, For) else header, depth)
            outer = self.open
            self.open = open_inside(axes, outer)
            self.body(s.body, depth + 1)
            self.open = outer

    def line(self, s: Stmt, lines: list[str], depth: int) -> None:
        self.lines += [INDENT * depth + line for line in lines]
        self.places[id(s)] = len(self.lines)

    def assign(self, s: Assign) -> str:
        axes = " " + _axes(s.axes) if s.axes else ""
        operator = "+=" if s.accumulate else "="
        return f"{s.name}{self.indices(s.ix)}{axes} {operator} {self.right_side(s)}"

    def sort(self, s: Sort) -> str:
        names = ", ".join(n or NO_NAME for n in (s.values, s.positions))
        word = next(w for w, down in SORTS.items() if down is s.descending)
        own = f"{names}{self.indices(s.ix)} {_axes(s.axes)}"
        return f"{own} = {word}({self.reduced((s.over,))}{self.expression(s.expr)})"

    def right_side(self, s: Assign) -> str:
        p = self.kernel.param(s.name)
        if s.expr.op == "const" and p is not None and p.dtype is s.expr.dtype:
            return self.literal(s.expr, bare=True)
        return self.expression(s.expr)

    def loop(self, s: For) -> list[str]:
        lets = self.name_shared(e for c in s.carry for e in (*c.ix, c.expr))
        carry = [self.assign(c) for c in s.carry]
        text = f"for {self.range(s.axis)}"
        if s.condition is not None:
            parts = self.name_shared([s.condition])
            text += f" while {self.expression(s.condition)}"
            # They may read what is carried, which is known only once the values are given.
            (carry or lets).extend(parts)
        if s.carry:
            text += f" carry {'; '.join(carry)}"
        return [*lets, text + ":"]

    def name_shared(self, expressions: Iterable[Expr]) -> list[str]:
        """A `let` for each shared part of these expressions; `expression` then refers to them."""
        self.graph, self.names = _Graph(), {}
        for e in expressions:
            self.graph.add(e)
        lets: list[str] = []
        for number in self.graph.named():
            text = self.expression(self.graph.nodes[number])
            self.lets += 1
            self.names[number] = f"${self.lets}"
            lets.append(f"let ${self.lets} = {text}")
        return lets

    # Expressions

    def indices(self, ix: tuple[Expr, ...]) -> str:
        shown = (self.literal(e, bare=True) if e.op == "const" else self.expression(e) for e in ix)
        return f"[{','.join(shown)}]"

    def expression(self, e: Expr, level: int = 0) -> str:
        """The text of `e`, in parentheses when it binds less tightly than `level`."""
        name = self.names.get(self.graph.known.get(id(e), -1))
        if name is not None:
            return name
        text, own = self.node(e)
        return f"({text})" if own < level else text

    def literal(self, e: Expr, bare: bool) -> str:
        if e.dtype.kind == "b":
            return "true" if e.attr else "false"
        text = float_text(e.attr, e.dtype) if e.dtype.is_float else str(int(e.attr))
        return text if bare else _typed(text, e.dtype)

    def node(self, e: Expr) -> tuple[str, int]:
        """Its text and how tightly that binds: 1 comparison, 2 sum, 3 product, 4 sign, 5 atom."""
        match e.op:
            case "const":
                text = self.literal(e, bare=False)
                return text, 4 if text[0] == "-" else 5
            case "index":
                return e.attr, 5
            case "block":
                return f"#{e.attr}", 5
            case "dim":
                return self.dim(e.attr), 5
            case "load":
                return e.attr + self.indices(e.args), 5
            case "reduce":
                kind, axes = e.attr
                body = self.expression(e.args[0], 2)
                return f"{REDUCTIONS[kind]}({self.reduced(axes)}{body})", 5
            case "dot":
                return self.dot(e), 5
            case "convert" | "bitcast":
                prefix = "bits_" if e.op == "bitcast" else ""
                return f"{prefix}{e.dtype.short}({self.expression(e.args[0])})", 5
            case "neg" if e.args[0].op != "const":
                return "-" + self.expression(e.args[0], 4), 4
            case _:
                return self.operation(e)

    def dim(self, value: Dim) -> str:
        if isinstance(value, DimExpr) and len(value.terms) == 1:
            ((monomial, coefficient),) = value.terms
            if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
                name = monomial[0].name
                if name in self.kernel.dims:
                    return name
        return f"dim({dim_text(value)})"

    def reduced(self, axes: tuple[Axis, ...]) -> str:
        return "".join(f"{self.range(a)}, " for a in axes)

    def range(self, axis: Axis) -> str:
        """An axis that a loop or a reduction runs over; an open block by its name."""
        return axis.name if self.open.get(axis.name) == axis else _axes((axis,))

    def dot(self, e: Expr) -> str:
        a, b = e.args
        suffix = "" if a.dtype is e.dtype and b.dtype is e.dtype else f"_{e.dtype.short}"
        body = "*".join(self.expression(x, 4) for x in e.args)
        return f"dot{suffix}({self.reduced(e.attr)}{body})"

    def operation(self, e: Expr) -> tuple[str, int]:
        infix = INFIX.get((e.op, e.args[0].dtype.kind)) if len(e.args) == 2 else None
        shifted = e.op in ("add", "sub") and e.dtype.kind == "i" and e.args[1].op == "const"
        if infix is None or (shifted and e.op == "sub"):
            return f"{e.op}({', '.join(self.operands(e))})", 5
        own = 1 if e.op in COMPARISONS else 2 if e.op in ("add", "sub") else 3
        if shifted and e.args[1].attr < 0 and e.args[1].dtype is e.args[0].dtype:
            return f"{self.operands(e, own)[0]}-{-e.args[1].attr}", own
        a, b = self.operands(e, own)
        space = " " if own == 1 else ""
        return f"{a}{space}{infix}{space}{b}", own

    def operands(self, e: Expr, level: int = -1) -> list[str]:
        """The arguments; a literal is bare when another argument shows its type."""
        first = literal_group(e.op)
        shown_by = next((a for a in e.args[first:] if a.op != "const" or a.dtype.kind == "b"), None)
        texts: list[str] = []
        for k, a in enumerate(e.args):
            if a.op == "const":
                witness = shown_by or (e.args[first] if k > first else None)
                bare = k >= first and witness is not None and witness.dtype is a.dtype
                texts.append(self.literal(a, bare))
            else:
                # Comparisons do not chain; other operators group to the left.
                tight = level + 1 if k or level == 1 else level
                texts.append(self.expression(a, tight))
        return texts


def _axes(axes: Iterable[Axis]) -> str:
    return ", ".join(
        f"{a.name}<{dim_text(a.extent)}" + ("" if a.block is None else f":{a.block}") for a in axes
    )


def _host(s: Host) -> str:
    attrs = dict(zip(s.op.attrs, s.attrs, strict=True))
    return f"host {s.op.name}{attributes_text(s.op, attrs)}"


def _param(p: Param) -> str:
    mode = "" if p.mode == "in" else p.mode + " "
    alias = f" may_alias({','.join(p.may_alias)})" if p.may_alias else ""
    return f"{mode}{p.name}: {p.dtype.short}[{','.join(map(dim_text, p.dims))}]{alias}"
