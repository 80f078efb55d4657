"""Reads functions from their text form; `docs/ir_grammar.md` is the grammar.

Text is data from anywhere: whatever it holds, the result is a function or a ParseError.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.ir.build import make_node, normalise_attrs
from dlc.ir.core import Function, Node
from dlc.ir.dims import DimUnknown, Range
from dlc.ir.errors import DlcError, nearest
from dlc.ir.host_function import HostFunction, known_function
from dlc.ir.lexer import Reader
from dlc.ir.location import SourceLocation
from dlc.ir.op import OPS, Op
from dlc.ir.signature import input_count
from dlc.ir.type_parser import (
    MAX_EXTENT,
    read_dim,
    read_dims,
    read_dtype,
    read_range,
    read_tensor_type,
    read_type,
)
from dlc.ir.types import TensorType, Type

MAX_FUNCTION_DEPTH = 16
MAX_NODES = 1_000_000
MAX_LIST = 65_536  # items of an attribute that is a list
MAX_ARRAY_BYTES = 2**31

# What a type rule may raise for operands that it does not expect.
_RULE_ERRORS = (
    DlcError, DimUnknown, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError,
    RecursionError, TypeError, ValueError,
)  # fmt: skip
_COMMON_TYPE = re.compile(r"\w+\[[\w,]*+\]")


def parse_function(text: str, *, file: str | None = None) -> Function:
    """The function that a text describes.

    Args:
        text: One function in the text form.
        file: The name of the file that it came from, for errors.

    Returns:
        A function equal in structure to the one that was printed; its types were inferred again.

    Raises:
        ParseError: The text breaks the grammar, a limit of this module, or an op's type rule.

    Example:
        >>> parse_function("func @f(%x: f32[8]) -> (f32[8]) { %0: f32[8] = neg(%x) return %0 }")
        <Function f: 1 params, 1 nodes>
    """
    parser = _Parser(text, file)
    function = parser.function(0)
    if parser.reader.kind != "end":
        parser.reader.fail_expecting("the end of the text after the function")
    return function


def parse_module(text: str, *, file: str | None = None) -> tuple[Function, ...]:
    """The functions that a text describes, one after the other, of different names.

    Raises:
        ParseError: As `parse_function`, or two functions have one name.
    """
    parser = _Parser(text, file)
    functions: dict[str, Function] = {}
    while parser.reader.kind != "end":
        start = parser.reader.start
        function = parser.function(0)
        if function.name in functions:
            parser.reader.fail(f"a second function @{function.name}", at=start)
        functions[function.name] = function
    return tuple(functions.values())


def parse_attributes(op: Op, text: str) -> dict[str, Any]:
    """The attributes of an op, with its defaults, from text in braces or nothing.

    Raises:
        ParseError: As `parse_function`.
    """
    parser = _Parser(text, None)
    attrs = parser.attributes(op) if parser.reader.accept("{") else {}
    if parser.reader.kind != "end":
        parser.reader.fail_expecting("the end of the attributes")
    return normalise_attrs(op, attrs)


class _Parser:
    """Recursive descent over functions, statements and attributes."""

    def __init__(self, text: str, file: str | None) -> None:
        self.reader = Reader(text, file)
        self.types: dict[str, TensorType] = {}
        self.nodes = 0
        self.array_bytes = 0
        self.depth = 0
        self.attribute_readers: dict[str, Callable[[], Any]] = {
            "int": self.integer,
            "ints": lambda: self.items(self.integer),
            "dim": lambda: read_dim(self.reader),
            "dims": lambda: read_dims(self.reader),
            "dtype": lambda: read_dtype(self.reader),
            "bool": self.boolean,
            "number": self.number,
            "str": self.reader.take_string,
            "array": self.array,
            "function": lambda: self.function(self.depth + 1),
            "functions": lambda: self.items(lambda: self.function(self.depth + 1)),
            "callable": self.callable,
            "types": lambda: self.items(lambda: read_type(self.reader)),
        }

    # Functions.

    def function(self, depth: int) -> Function:
        """`func @f(%x: f32[8]) -> (f32[8]) { ... }`."""
        reader = self.reader
        if depth > MAX_FUNCTION_DEPTH:
            reader.fail(f"functions nested more than {MAX_FUNCTION_DEPTH} deep")
        outer, self.depth = self.depth, depth
        reader.expect("func")
        start = reader.start
        token = reader.take("function")[1:]
        name = reader.unquote(token, start + 1) if token.startswith('"') else token
        if depth == 0:
            self.types = {}
            reader.ranges = self.ranges()
        values: dict[str, Node] = {}
        params = self.params(values)
        reader.expect("->")
        start = reader.start
        declared = [start, *self.declared_results()]
        reader.expect("{")
        nodes: list[Node] = []
        while not reader.accept("return"):
            if reader.kind != "value":
                reader.fail_expecting("a statement such as %0: f32[8] = neg(%x), or return")
            nodes.append(self.statement(values))
        results = self.results(values, declared)
        reader.expect("}")
        self.depth = outer
        return Function(name, params, results, nodes)

    def ranges(self) -> dict[str, Range]:
        """`[h>=7, n<=512]`, or nothing."""
        reader = self.reader
        found: dict[str, Range] = {}
        if not reader.accept("["):
            return found
        while not reader.accept("]"):
            if found:
                reader.expect(",")
            start = reader.start
            name, range_ = read_range(reader)
            if name in found:
                reader.fail(f"what {name} may be is said twice", at=start)
            found[name] = range_
        return found

    def params(self, values: dict[str, Node]) -> list[Node]:
        reader = self.reader
        reader.expect("(")
        params: list[Node] = []
        while not reader.accept(")"):
            if params:
                reader.expect(",")
            name = self.new_name(values)
            reader.expect(":")
            type_ = self.tensor_type()
            node = make_node(
                OPS["param"], (), {"type": (type_,)}, self.location(), _given_name(name)
            )
            self.count_node()
            values[name] = node
            params.append(node)
        return params

    def declared_results(self) -> list[Type]:
        reader = self.reader
        reader.expect("(")
        types: list[Type] = []
        while not reader.accept(")"):
            if types:
                reader.expect(",")
            types.append(self.tensor_type())
        return types

    def results(self, values: dict[str, Node], declared: list[Any]) -> list[Node]:
        reader = self.reader
        at, *types = declared
        results: list[Node] = []
        while reader.kind == "value" or results:
            results.append(self.value(values))
            if not reader.accept(","):
                break
        found = [r.type for r in results]
        if found != types:
            shown = ", ".join(map(str, types)), ", ".join(map(str, found))
            reader.fail(f"declared results ({shown[0]}), but returned are ({shown[1]})", at=at)
        return results

    # Statements.

    def statement(self, values: dict[str, Node]) -> Node:
        """`%0: f32[8] = add(%x, %y) {...} loc(...)`."""
        reader = self.reader
        name = self.new_name(values)
        reader.expect(":")
        type_start = reader.start
        declared = self.type()
        reader.expect("=")
        start = reader.start
        op = self.op()
        inputs = self.inputs(values)
        attrs = self.attributes(op) if reader.accept("{") else {}
        loc = self.location()
        self.check_count(op, inputs, start)
        try:
            node = make_node(op, inputs, attrs, loc, _given_name(name))
        except _RULE_ERRORS as error:
            said = error.message if isinstance(error, DlcError) else None
            shown = ", ".join(str(x.type) for x in inputs)
            hint = error.hint if isinstance(error, DlcError) else None
            reader.fail(said or f"{op.name} cannot take ({shown})", at=start, hint=hint)
        if node.type != declared:
            reader.fail(f"declared {declared}, but {op.name} gives {node.type}", at=type_start)
        self.count_node()
        values[name] = node
        return node

    def op(self) -> Op:
        reader = self.reader
        if reader.kind != "name":
            reader.fail_expecting("the name of an op")
        op = OPS.get(reader.token)
        if op is None or op.name == "param":
            names = OPS.keys() - {"param"}
            reader.fail(f"there is no op {reader.token!r}", hint=nearest(reader.token, names))
        reader.advance()
        return op

    def inputs(self, values: dict[str, Node]) -> list[Node]:
        reader = self.reader
        reader.expect("(")
        inputs: list[Node] = []
        while not reader.accept(")"):
            if inputs:
                reader.expect(",")
            inputs.append(self.value(values))
        return inputs

    def check_count(self, op: Op, inputs: list[Node], start: int) -> None:
        wanted = input_count(op)
        if wanted is not None and len(inputs) != wanted:
            self.reader.fail(f"{op.name} takes {wanted} inputs, not {len(inputs)}", at=start)

    def value(self, values: dict[str, Node]) -> Node:
        reader = self.reader
        node = values.get(reader.token[1:]) if reader.kind == "value" else None
        if node is None:
            if reader.kind != "value":
                reader.fail_expecting("a value such as %x")
            hint = nearest(reader.token[1:], values) if len(values) <= 100 else None
            reader.fail(f"{reader.token} is not defined before this", hint=hint)
        reader.advance()
        return node

    def new_name(self, values: dict[str, Node]) -> str:
        reader = self.reader
        start = reader.start
        name = reader.take("value")[1:]
        if name in values:
            reader.fail(f"%{name} is defined a second time", at=start)
        return name

    def count_node(self) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.reader.fail(f"more than {MAX_NODES} nodes")

    def location(self) -> SourceLocation | None:
        reader = self.reader
        if not reader.accept("loc"):
            return None
        reader.expect("(")
        file = reader.take_string()
        reader.expect(":")
        line = reader.take_integer()
        reader.expect("in")
        function = reader.take_string()
        reader.expect(")")
        return SourceLocation(file, line, function)

    # Types: most are short, and the same ones over and over.

    def type(self) -> Type:
        return read_type(self.reader) if self.reader.token == "(" else self.tensor_type()

    def tensor_type(self) -> TensorType:
        reader = self.reader
        match = _COMMON_TYPE.match(reader.text, reader.start)
        if match is None:
            return read_tensor_type(reader)
        known = self.types.get(match[0])
        if known is None:
            known = self.types[match[0]] = read_tensor_type(reader)
        else:
            reader.skip_to(match.end())
        return known

    # Attributes.

    def attributes(self, op: Op) -> dict[str, Any]:
        reader = self.reader
        attrs: dict[str, Any] = {}
        while not reader.accept("}"):
            if attrs:
                reader.expect(",")
            start = reader.start
            name = reader.take("name")
            kind = op.attrs.get(name)
            if kind is None:
                hint = nearest(name, op.attrs) if op.attrs else None
                reader.fail(f"{op.name} has no attribute {name!r}", at=start, hint=hint)
            if name in attrs:
                reader.fail(f"attribute {name!r} is given twice", at=start)
            reader.expect("=")
            attrs[name] = self.attribute(op, name)
        return attrs

    def attribute(self, op: Op, name: str) -> Any:
        # `none` is a value where the row's own default is.
        if self.reader.token == "none" and op.defaults.get(name, 0) is None:
            self.reader.advance()
            return None
        return self.attribute_readers[op.attrs[name]]()

    def items(self, read: Callable[[], Any]) -> tuple[Any, ...]:
        reader = self.reader
        reader.expect("[")
        values: list[Any] = []
        while not reader.accept("]"):
            if values:
                reader.expect(",")
            if len(values) == MAX_LIST:
                reader.fail(f"a list of more than {MAX_LIST} items")
            values.append(read())
        return tuple(values)

    def callable(self) -> HostFunction:
        """The name of a Python function of this process."""
        start = self.reader.start
        token = self.reader.take("function")
        found = known_function(token)
        if found is None:
            self.reader.fail(f"{token} is no Python function of this process", at=start)
        return found

    def integer(self) -> int:
        start = self.reader.start
        value = self.reader.take_integer()
        if abs(value) > MAX_EXTENT:
            self.reader.fail(f"{value}", expected="an integer of 64 bits", at=start)
        return value

    def number(self) -> bool | int | float:
        start = self.reader.start
        value = self.reader.take_number()
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            self.reader.fail(f"{value}", expected="a number of 64 bits", at=start)
        return value

    def boolean(self) -> bool:
        reader = self.reader
        if reader.token not in ("true", "false"):
            reader.fail_expecting("true or false")
        return reader.take("name") == "true"

    # Arrays.

    def array(self) -> np.ndarray[Any, Any]:
        """`array(f32[2], [1.0, -0.0])` or `array(f32[100], "base64")`."""
        reader = self.reader
        reader.expect("array")
        reader.expect("(")
        start = reader.start
        type_ = read_tensor_type(reader)
        if not type_.is_static:
            reader.fail(f"an array of type {type_}", expected="integer dims", at=start)
        shape = [d for d in type_.shape if isinstance(d, int)]
        self.array_bytes += math.prod(shape) * type_.dtype.itemsize
        if self.array_bytes > MAX_ARRAY_BYTES or any(d > MAX_ARRAY_BYTES for d in shape):
            reader.fail(f"arrays of more than {MAX_ARRAY_BYTES} bytes", at=start)
        reader.expect(",")
        start = reader.start
        flat = self.encoded(type_) if reader.kind == "string" else self.literals(type_, shape)
        if flat.size != math.prod(shape):
            reader.fail(f"{flat.size} elements for {type_}", at=start)
        reader.expect(")")
        return flat.reshape(shape)

    def encoded(self, type_: TensorType) -> np.ndarray[Any, Any]:
        start, token = self.reader.start, self.reader.take("string")
        try:
            data = base64.b64decode(token[1:-1], validate=True)
        except (binascii.Error, ValueError):
            self.reader.fail("a string that is not base64", at=start)
        if len(data) % type_.dtype.itemsize:
            self.reader.fail(f"{len(data)} bytes for {type_}", at=start)
        array = np.frombuffer(data, np.uint8)
        # Only 0 and 1 are bools; other bytes would compare and print as what they are not.
        return array != 0 if type_.dtype.kind == "b" else array.view(type_.dtype.numpy)

    def literals(self, type_: TensorType, shape: list[int]) -> np.ndarray[Any, Any]:
        found: list[Any] = []
        if 0 in shape:
            self.reader.expect("[")
            self.reader.expect("]")
        else:
            self.nested(shape, found, type_)
        return np.array(found, type_.dtype.numpy)

    def nested(self, shape: list[int], found: list[Any], type_: TensorType) -> None:
        reader = self.reader
        if not shape:
            found.append(self.element(type_))
            return
        reader.expect("[")
        for k in range(shape[0]):
            if k:
                reader.expect(",")
            self.nested(shape[1:], found, type_)
        reader.expect("]")

    def element(self, type_: TensorType) -> Any:
        dtype, start = type_.dtype, self.reader.start
        if dtype.kind == "b":
            return self.boolean()
        value = self.number()
        if dtype.is_float:
            with np.errstate(over="ignore"):
                return dtype.numpy.type(float(value))
        limits = np.iinfo(dtype.numpy)
        if type(value) is not int or not limits.min <= value <= limits.max:
            self.reader.fail(f"{value!r} in an array of {dtype}", expected=f"an {dtype}", at=start)
        return value


def _given_name(name: str) -> str | None:
    """The name that a node keeps; numbers are the printer's."""
    return None if name.isascii() and name.isdigit() else name
