"""Reads kernel IR: headers and statements. Expressions are read by `kernel_expressions`.

Any text may be given: nesting and sizes are limited, and errors are ParseErrors with their place.
"""

from __future__ import annotations

from dlc.codegen.kernel_expressions import ExpressionParser, Literal
from dlc.codegen.kernel_ir import (
    Assign,
    For,
    Host,
    Kernel,
    Mode,
    Par,
    Param,
    Sort,
    Stmt,
    open_inside,
)
from dlc.codegen.kernel_lexer import KernelReader
from dlc.codegen.kernel_words import NO_NAME, RESERVED, SORTS, implied_dims
from dlc.ir.errors import nearest
from dlc.ir.op import OPS
from dlc.ir.parser import parse_attributes
from dlc.ir.scalar import Axis, Expr
from dlc.ir.type_parser import MAX_RANK, read_tensor_type
from dlc.ir.types import int64

MAX_TEXT = 1 << 24
MAX_BLOCKS = 24  # statements inside of statements
MAX_PARAMS = 4096


def parse_kernel(text: str, *, file: str | None = None) -> Kernel:
    """The kernel that a text describes.

    Args:
        text: One kernel, as `print_kernel` writes it or by hand.
        file: A name to show in errors.

    Raises:
        ParseError: The text does not follow `docs/kernel_grammar.md`; it has line and column.

    Example:
        >>> parse_kernel("kernel twice(x: f32[N], out y: f32[N]): par n<N: y[n] = x[n]*2.0").name
        'twice'
    """
    reader = KernelReader(text[: MAX_TEXT + 1], file)
    if len(text) > MAX_TEXT:
        reader.fail(f"a text of more than {MAX_TEXT} characters")
    return _Parser(reader).kernel()


class _Parser(ExpressionParser):
    """Statements over the expression parser; `tensors` grows as locals are assigned."""

    def kernel(self) -> Kernel:
        reader = self.reader
        reader.expect("kernel")
        name = reader.take("name")
        stated = self.dims() if reader.token == "<" else None
        params = self.params()
        self.params_known = frozenset(self.tensors)
        self.symbols = implied_dims(params) if stated is None else stated
        reader.expect(":")
        host = self.host() if reader.accept("host") else None
        body = () if host else self.block(-1, 0)
        if reader.kind != "end":
            reader.fail_expecting("the end of the text, or a statement with the indentation above")
        return Kernel(name, params, self.symbols, body, host)

    def dims(self) -> tuple[str, ...]:
        reader = self.reader
        reader.expect("<")
        names: list[str] = []
        while not reader.accept(">"):
            if names:
                reader.expect(",")
            names.append(self.new_name("a dim"))
        return tuple(names)

    def new_name(self, what: str) -> str:
        reader = self.reader
        if reader.kind == "name" and reader.token in RESERVED:
            reader.fail(
                f"{reader.token!r} is a word of the language", expected=f"a name for {what}"
            )
        return reader.take("name")

    def params(self) -> tuple[Param, ...]:
        reader = self.reader
        reader.expect("(")
        params: list[Param] = []
        while not reader.accept(")"):
            if params:
                reader.expect(",")
            if len(params) == MAX_PARAMS:
                reader.fail(f"more than {MAX_PARAMS} parameters")
            params.append(self.param())
        return tuple(params)

    def param(self) -> Param:
        reader = self.reader
        mode: Mode = "in"
        if reader.accept("out"):
            mode = "out"
        elif reader.accept("inout"):
            mode = "inout"
        start = reader.start
        name = self.new_name("a parameter")
        if name in self.tensors:
            reader.fail(f"two parameters named {name!r}", at=start)
        reader.expect(":")
        type_ = read_tensor_type(reader)
        self.tensors[name] = type_.dtype
        aliases: list[str] = []
        if reader.accept("may_alias"):
            reader.expect("(")
            while not aliases or reader.accept(","):
                aliases.append(reader.take("name"))
            reader.expect(")")
        return Param(name, mode, type_.dtype, type_.shape, tuple(aliases))

    # Statements

    def block(self, outer: int, depth: int) -> tuple[Stmt, ...]:
        """The statements after a colon: on the same line, or on lines that are indented more."""
        reader = self.reader
        if depth > MAX_BLOCKS:
            reader.fail(f"statements nested more than {MAX_BLOCKS} deep")
        own = reader.indentation()
        if own is None:
            return self.line(outer, depth)
        if own <= outer or reader.kind == "end":
            reader.fail_expecting("a statement with more indentation")
        body: list[Stmt] = []
        while reader.kind != "end":
            indentation = reader.indentation()
            if indentation is None:
                reader.fail_expecting("a new line or ';'")
            if indentation < own:
                break
            if indentation > own:
                reader.fail("more indentation than the statement before")
            body += self.line(own, depth)
        return tuple(body)

    def line(self, own: int, depth: int) -> tuple[Stmt, ...]:
        reader = self.reader
        body: list[Stmt] = []
        while True:
            while reader.accept("let"):
                self.let()
                reader.accept(";")
            body.append(self.statement(own, depth))
            # A ';' that ends a line leaves the next statement to the block.
            if not reader.accept(";") or reader.kind == "end" or reader.indentation() is not None:
                return tuple(body)

    def statement(self, own: int, depth: int) -> Stmt:
        reader = self.reader
        if reader.accept("par"):
            axes = () if reader.token == ":" else self.axes()
            return Par(axes, self.nested(axes, own, depth))
        if reader.accept("for"):
            axis = self.looped_axis()
            condition, carry = self.loop()
            return For(axis, self.nested((axis,), own, depth), carry, condition)
        start = reader.start
        if reader.kind == "name":
            reader.advance()
            pair = reader.token == ","
            reader.skip_to(start)
            if pair:
                return self.sort()
        return self.assign()

    def host(self) -> Host:
        """`host op {attributes}`, to the end of the line, in the form of the tensor IR."""
        reader = self.reader
        start, name = reader.start, reader.take("name")
        op = OPS.get(name)
        if op is None:
            reader.fail(f"there is no op {name!r}", at=start, hint=nearest(name, OPS))
        first = start + len(name)
        newline = reader.text.find("\n", first)
        last = len(reader.text) if newline < 0 else newline
        attrs = parse_attributes(op, reader.text[first:last])
        reader.skip_to(last)
        return Host(op, tuple(attrs.values()))

    def sort(self) -> Sort:
        """Two sorted tiles: `s, p[k] k<K = ` and what is sorted."""
        reader = self.reader
        names: list[str | None] = []
        for what in ("values", "positions"):
            if names:
                reader.expect(",")
            unnamed = reader.accept(NO_NAME)
            names.append(None if unnamed else self.new_name(f"the sorted {what}"))
        values, positions = names
        ix = self.indices()
        axis = self.axis()
        reader.expect("=")
        if reader.token not in SORTS:
            reader.fail_expecting(" or ".join(map(repr, SORTS)))
        descending = SORTS[reader.token]
        reader.advance()
        reader.expect("(")
        start = reader.start
        over = self.reduced_axes()
        if len(over) != 1:
            reader.fail("a sort is over one axis", at=start)
        expr = self.typed(self.comparison())
        reader.expect(")")
        if values is not None:
            self.tensors[values] = expr.dtype
        if positions is not None:
            self.tensors[positions] = int64
        return Sort(values, positions, ix, axis, over[0], expr, descending)

    def looped_axis(self) -> Axis:
        """The axis of a `for`; a bare one is the open block of that name."""
        reader = self.reader
        start, name = reader.start, self.new_name("an axis")
        if reader.accept("<"):
            return self.axis_after(name)
        if name not in self.open:
            reader.fail(f"{name!r} is not an open block", expected="n<N", at=start)
        return self.open[name]

    def nested(self, axes: tuple[Axis, ...], own: int, depth: int) -> tuple[Stmt, ...]:
        self.reader.expect(":")
        outer = self.open
        self.open = open_inside(axes, outer)
        body = self.block(own, depth + 1)
        self.open = outer
        return body

    def loop(self) -> tuple[Expr | None, tuple[Assign, ...]]:
        """What follows the axis of a `for`; the condition is read last: it reads the carry."""
        reader = self.reader
        start = reader.start if reader.token == "while" else None
        nesting = 0
        while reader.kind != "end" and (nesting > 0 or reader.token not in (":", "carry")):
            if start is None:
                reader.fail_expecting("'while', 'carry' or ':'")
            nesting += (reader.token in ("(", "[")) - (reader.token in (")", "]"))
            reader.advance()
        carry = self.carry() if reader.accept("carry") else ()
        if start is None:
            return None, carry
        end = reader.start
        reader.skip_to(start)
        reader.expect("while")
        condition = self.typed(self.comparison())
        if reader.token not in ("carry", ":"):
            reader.fail_expecting("'carry' or ':'")
        reader.skip_to(end)
        return condition, carry

    def carry(self) -> tuple[Assign, ...]:
        inits: list[Assign] = []
        while not inits or self.reader.accept(";"):
            if inits and self.reader.accept("let"):
                self.let()
                continue
            init = self.assign()
            self.tensors["next_" + init.name] = init.expr.dtype
            inits.append(init)
        return tuple(inits)

    def axes(self) -> tuple[Axis, ...]:
        axes: list[Axis] = []
        while not axes or self.reader.accept(","):
            if len(axes) == MAX_RANK:
                self.reader.fail(f"more than {MAX_RANK} axes")
            axes.append(self.axis())
        return tuple(axes)

    def axis(self) -> Axis:
        name = self.new_name("an axis")
        self.reader.expect("<")
        return self.axis_after(name)

    def let(self) -> None:
        reader = self.reader
        start = reader.start
        if reader.kind != "let":
            reader.fail_expecting("a name such as $1")
        name = reader.take("let")
        if name in self.lets:
            reader.fail(f"{name} is defined twice", at=start)
        reader.expect("=")
        self.lets[name] = self.typed(self.comparison())

    def assign(self) -> Assign:
        reader = self.reader
        if reader.kind != "name":
            reader.fail_expecting("a statement: par, for, let or an assignment")
        name = self.new_name("a tensor")
        ix = self.indices()
        axes = () if reader.token in ("=", "+=") else self.axes()
        accumulate = reader.accept("+=")
        if not accumulate:
            reader.expect("=")
        value = self.comparison()
        known = self.tensors.get(name)
        expr = self.resolve(value, known) if isinstance(value, Literal) else value
        if self.is_local(name):
            self.tensors[name] = expr.dtype
        return Assign(name, ix, axes, expr, accumulate)
