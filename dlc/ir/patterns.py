"""A small language of patterns over nodes, in which most rewrite rules are one line.

    pattern := (name ':')? op '(' pattern, ... ')' attrs?
             | variable      any node, in lower case: x; twice the same name: the same node
             | NUMBER        the number of a `full`, in upper case: C
             | number        a `full` of this number: 0, -0.0, 1, inf, true
    attrs   := '{' attribute '=' (name | literal), ... '}'

Attributes that a pattern does not name may have any value; a name binds the value. A name before an
op binds its node. On the right of a rule, a number becomes a `full` of the type of its neighbours.
Operands of commutative ops match in either order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from dlc.ir.build import IRBuilder, find_op
from dlc.ir.core import Node
from dlc.ir.errors import ValueRangeError, nearest
from dlc.ir.lexer import Reader
from dlc.ir.op import Op
from dlc.ir.record import dataclass, replace
from dlc.ir.type_parser import read_dtype
from dlc.ir.types import DTYPES, DType, TensorType

# In their first two operands, if they have more.
COMMUTATIVE = frozenset(
    {"add", "mul", "max", "min", "eq", "ne", "bit_and", "bit_or", "bit_xor", "fma"}
)
MAX_DEPTH = 16
_DTYPE_NAMES = {d.short for d in DTYPES}

Number: TypeAlias = bool | int | float


@dataclass(frozen=True)
class Variable:
    """Any node."""

    name: str


@dataclass(frozen=True)
class Literal:
    """A `full` of one number."""

    value: Number


@dataclass(frozen=True)
class AnyNumber:
    """A `full` of any number, which the name stands for."""

    name: str


@dataclass(frozen=True)
class Name:
    """The value of an attribute, bound to a name."""

    name: str


@dataclass(frozen=True, eq=False)
class Application:
    """A node of `op`; `attrs` has a `Name` or the value for each attribute that is mentioned."""

    op: Op
    args: tuple[Pattern, ...]
    attrs: Mapping[str, Any]
    label: str | None = None


Pattern: TypeAlias = Variable | Literal | AnyNumber | Application


class Match:
    """What a pattern's names stand for: `m["x"]` a node, `m["C"]` a number, `m["a"]` an attribute.

    Attributes:
        root: The node that the whole pattern matched.
        uses: Gives the number of readers of a node.
    """

    __slots__ = ("bound", "root", "uses")

    def __init__(self, root: Node, uses: Callable[[Node], int]) -> None:
        self.root, self.uses = root, uses
        self.bound: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.bound[name]

    @property
    def type(self) -> TensorType:
        """The type of the root."""
        return self.root.tensor

    @property
    def dtype(self) -> DType:
        """The element type of the root."""
        return self.root.tensor.dtype


def parse_pattern(text: str) -> Pattern:
    """The pattern that a text means.

    Raises:
        ParseError: The text is no pattern, or names an attribute that does not exist.
        ValueRangeError: It names an op that does not exist.

    Example:
        >>> parse_pattern("add(mul(x, y), z)")
    """
    reader = Reader(text)
    result = _read(reader, 0)
    if reader.kind != "end":
        reader.fail_expecting("the end of the pattern")
    return result


def _read(reader: Reader, depth: int) -> Pattern:
    if depth > MAX_DEPTH:
        reader.fail(f"a pattern nested more than {MAX_DEPTH} deep")
    if reader.kind != "name" or reader.token in ("true", "false", "inf", "nan"):
        return Literal(reader.take_number())
    name = reader.take("name")
    label = None
    if reader.accept(":"):
        label, name = name, reader.take("name")
        if reader.token != "(":
            reader.fail_expecting("the operands of an op")
    if not reader.accept("("):
        return AnyNumber(name) if name.isupper() else Variable(name)
    op = find_op(name)
    args: list[Pattern] = []
    while not reader.accept(")"):
        if args:
            reader.expect(",")
        args.append(_read(reader, depth + 1))
    return Application(op, tuple(args), _read_attrs(reader, op), label)


def _read_attrs(reader: Reader, op: Op) -> dict[str, Any]:
    attrs: dict[str, Any] = {}
    if not reader.accept("{"):
        return attrs
    while not reader.accept("}"):
        if attrs:
            reader.expect(",")
        name = reader.take("name")
        if name not in op.attrs:
            reader.fail(f"{op.name} has no attribute {name!r}", hint=nearest(name, op.attrs))
        reader.expect("=")
        attrs[name] = _read_value(reader)
    return attrs


def _read_value(reader: Reader) -> Any:
    if reader.kind == "name" and reader.token in _DTYPE_NAMES and reader.token != "bool":
        return read_dtype(reader)
    if reader.kind == "name" and reader.token not in ("true", "false", "inf", "nan"):
        return Name(reader.take("name"))
    if not reader.accept("["):
        return reader.take_number()
    values: list[int] = []
    while not reader.accept("]"):
        if values:
            reader.expect(",")
        values.append(reader.take_integer())
    return tuple(values)


# Matching.


def match(pattern: Pattern, node: Node, m: Match) -> bool:
    """Whether `node` has the form of `pattern`; names are bound in `m`."""
    if isinstance(pattern, Application):
        if node.op is not pattern.op or len(node.inputs) != len(pattern.args):
            return False
        if not all(map(match, pattern.args, node.inputs, itertools.repeat(m))):
            return False
        if pattern.label is not None:
            m.bound[pattern.label] = node
        return not pattern.attrs or _match_attrs(pattern, node, m)
    if isinstance(pattern, Variable):
        return m.bound.setdefault(pattern.name, node) is node
    if node.op.name != "full":
        return False
    value = node.attrs["value"]
    if isinstance(pattern, AnyNumber):
        held = held_number(value, node.tensor.dtype)
        return same_number(m.bound.setdefault(pattern.name, held), held)
    wanted = held_number(pattern.value, node.tensor.dtype)
    return wanted is not None and same_number(wanted, held_number(value, node.tensor.dtype))


def _match_attrs(pattern: Application, node: Node, m: Match) -> bool:
    for name, wanted in pattern.attrs.items():
        value = node.attrs[name]
        bound = m.bound.setdefault(wanted.name, value) if isinstance(wanted, Name) else wanted
        if bound is not value and bound != value:
            return False
    return True


def held_number(value: Number, dtype: DType) -> Number | None:
    """`value` as an element of `dtype` holds it; None for one of another kind or out of range."""
    if dtype.kind == "b" or isinstance(value, bool):
        return value if dtype.kind == "b" and isinstance(value, bool) else None
    if dtype.is_float:
        with np.errstate(all="ignore"):
            return float(dtype.numpy.type(value))
    if isinstance(value, float) and not value.is_integer():
        return None
    low = -(2 ** (dtype.bits - 1)) if dtype.kind == "i" else 0
    return int(value) if low <= value < low + 2**dtype.bits else None


def same_number(a: Number | None, b: Number | None) -> bool:
    """Whether two numbers are the same to the bit; all NaN are."""
    if a is None or b is None:
        return False
    if isinstance(a, float) and isinstance(b, float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return type(a) is type(b) and a == b


def variants(pattern: Pattern) -> list[Pattern]:
    """`pattern` with the operands of commutative ops in each order."""
    if not isinstance(pattern, Application):
        return [pattern]
    found: list[Pattern] = []
    for args in itertools.product(*map(variants, pattern.args)):
        found.append(replace(pattern, args=args))
        if pattern.op.name in COMMUTATIVE and args[0] != args[1]:
            found.append(replace(pattern, args=(args[1], args[0], *args[2:])))
    return found


# Building.


def build(pattern: Pattern, b: IRBuilder, bound: Mapping[str, Any], like: TensorType) -> Any:
    """The node of a rule's right side; `like` is the type of a number that has no neighbours.

    Raises:
        ValueRangeError: A number does not fit the element type.
    """
    if isinstance(pattern, Variable):
        value = bound[pattern.name]
        return value if isinstance(value, Node) else number_node(b, value, like)
    if isinstance(pattern, AnyNumber):
        return number_node(b, bound[pattern.name], like)
    if isinstance(pattern, Literal):
        return number_node(b, pattern.value, like)
    args: list[Any] = [
        build(p, b, bound, like) if _is_node(p, bound) else None for p in pattern.args
    ]
    # The condition of a select says nothing about the type of what is selected.
    neighbours = args[1:] if pattern.op.name == "select" else args
    type_ = next((a.tensor for a in reversed(neighbours) if a is not None), like)
    for k, p in enumerate(pattern.args):
        if args[k] is None:
            args[k] = build(p, b, bound, type_)
    attrs = {k: bound[v.name] if isinstance(v, Name) else v for k, v in pattern.attrs.items()}
    return getattr(b, pattern.op.name)(*args, **attrs)


def _is_node(pattern: Pattern, bound: Mapping[str, Any]) -> bool:
    if isinstance(pattern, Variable):
        return isinstance(bound[pattern.name], Node)
    return isinstance(pattern, Application)


def number_node(b: IRBuilder, value: Number, type_: TensorType) -> Any:
    """A `full` of `value`, as the element type holds it."""
    held = held_number(value, type_.dtype)
    if held is None:
        raise ValueRangeError(f"{value!r} is no {type_.dtype}")
    return b.full(value=held, shape=type_.shape, dtype=type_.dtype)


def walk(pattern: Pattern) -> Iterator[Pattern]:
    """`pattern` and what it is made of."""
    yield pattern
    if isinstance(pattern, Application):
        for arg in pattern.args:
            yield from walk(arg)


def names_of(pattern: Pattern) -> set[str]:
    """The names that a pattern binds, or needs."""
    found: set[str] = set()
    for p in walk(pattern):
        if isinstance(p, Application):
            found.update(v.name for v in p.attrs.values() if isinstance(v, Name))
            found.update(() if p.label is None else (p.label,))
        elif not isinstance(p, Literal):
            found.add(p.name)
    return found
