"""Reads dims and types: `8`, `2*n+1`, `floordiv(n,2)`, `f32[8,n]`, `(f32[8], i64[8])`.

Everything is bounded, so that no text takes long or overflows: the limits are the constants below.
"""

from __future__ import annotations

import functools

from dlc.ir.dims import ANY, Atom, Dim, DimExpr, Range, Symbol, add, apply_function, mul, symbol
from dlc.ir.errors import nearest
from dlc.ir.lexer import Reader
from dlc.ir.types import DTYPES, DType, TensorType, TupleType, Type

MAX_RANK = 32
MAX_DIM_DEPTH = 16
MAX_DIM_SIZE = 1024  # symbols and functions in one dim, multiplied out
MAX_SHAPE_SIZE = 4096  # the same of the product of a type's dims
MAX_EXTENT = 2**63 - 1
MAX_RESULTS = 4096
_FEW_DIGITS = 18  # of integers that fit in 64 bits

_DTYPES = {d.short: d for d in DTYPES}
_FUNCTIONS = ("floordiv", "mod", "max", "min")


def parse_type(text: str) -> TensorType:
    """The tensor type that a text such as `f32[8,n]` names.

    Raises:
        ParseError: The text is not a tensor type.
    """
    plain = _plain_type(text)
    if plain is not None:
        return plain
    reader = Reader(text)
    result = read_tensor_type(reader)
    if reader.kind != "end":
        reader.fail_expecting("the end of the type")
    return result


def parse_dim(text: str) -> Dim:
    """The dim that a text such as `2*n+1` names.

    Raises:
        ParseError: The text is not a dim.
    """
    if _is_plain(text):
        return int(text)
    if text.isidentifier():
        return symbol(text)
    reader = Reader(text)
    result = read_dim(reader)
    if reader.kind != "end":
        reader.fail_expecting("the end of the dim")
    return result


def _plain_type(text: str) -> TensorType | None:
    """A type without symbols, as it is printed: most are, and the lexer takes longer to load."""
    short, _, inside = text.partition("[")
    dtype, extents = _DTYPES.get(short), inside[:-1].split(",")
    if inside == "]":
        extents = []
    if dtype is None or inside[-1:] != "]" or len(extents) > MAX_RANK:
        return None
    return TensorType(dtype, tuple(map(int, extents))) if all(map(_is_plain, extents)) else None


def _is_plain(text: str) -> bool:
    """Whether a dim is an integer, and in no need of any check."""
    return text.isdecimal() and text.isascii() and len(text) < _FEW_DIGITS


def read_dtype(reader: Reader) -> DType:
    """A short dtype name."""
    dtype = _DTYPES.get(reader.token) if reader.kind == "name" else None
    if dtype is None:
        hint = nearest(reader.token, _DTYPES) if reader.kind == "name" else None
        reader.fail_expecting("an element type such as f32", hint)
    reader.advance()
    return dtype


def read_type(reader: Reader) -> Type:
    """A tensor type, or several in parentheses."""
    if not reader.accept("("):
        return read_tensor_type(reader)
    items: list[TensorType] = []
    while not reader.accept(")"):
        if items:
            reader.expect(",")
        if len(items) == MAX_RESULTS:
            reader.fail(f"more than {MAX_RESULTS} types")
        items.append(read_tensor_type(reader))
    return TupleType(tuple(items))


def read_tensor_type(reader: Reader) -> TensorType:
    """`f32[8,n]`; its extents fit in 64 bits and are not negative."""
    start = reader.start
    dtype = read_dtype(reader)
    dims = read_dims(reader)
    size = terms = 1
    for d in dims:
        if isinstance(d, DimExpr):
            size, terms = size * _terms(d) + _size(d) * terms, terms * _terms(d)
        elif not 0 <= d <= MAX_EXTENT:
            reader.fail(f"an extent of {d}", expected="0 or more, of 64 bits", at=start)
    if size > MAX_SHAPE_SIZE:
        reader.fail("the dims of this type are too complicated", at=start)
    return TensorType(dtype, dims)


def read_dims(reader: Reader) -> tuple[Dim, ...]:
    """`[8,n]`: as many as a tensor may have."""
    reader.expect("[")
    dims: list[Dim] = []
    while not reader.accept("]"):
        if dims:
            reader.expect(",")
        if len(dims) == MAX_RANK:
            reader.fail(f"more than {MAX_RANK} dims")
        dims.append(read_dim(reader))
    return tuple(dims)


def read_range(reader: Reader) -> tuple[str, Range]:
    """A symbol and what it may be: `n>=7`, `n<=9` or `7<=n<=9`."""
    start = reader.start
    least, most = 1, None
    if reader.kind == "int":
        least = reader.take_integer()
        reader.expect("<=")
    name = reader.take("name")
    if reader.token == ">=" and least == 1:
        reader.advance()
        least = reader.take_integer()
    elif reader.token == "<=" or least == 1:
        reader.expect("<=")
        most = reader.take_integer()
    if not 1 <= least <= (MAX_EXTENT if most is None else most) <= MAX_EXTENT:
        reader.fail(f"what {name} may be", expected="numbers from 1, the larger one last", at=start)
    return name, (least, most)


def read_dim(reader: Reader, depth: int = 0) -> Dim:
    """A sum of products of integers, symbols, functions of two dims and parenthesised sums."""
    if depth > MAX_DIM_DEPTH:
        reader.fail(f"a dim nested more than {MAX_DIM_DEPTH} deep")
    total: Dim = 0
    sign = -1 if reader.accept("-") else 1
    while True:
        total = add(total, mul(sign, _read_product(reader, depth)))
        if reader.token == "+":
            sign = 1
        elif reader.token == "-":
            sign = -1
        else:
            return total
        _check_size(reader, total)
        reader.advance()


def _read_product(reader: Reader, depth: int) -> Dim:
    result = _read_factor(reader, depth)
    while reader.accept("*"):
        factor = _read_factor(reader, depth)
        if _size(result) * _terms(factor) + _size(factor) * _terms(result) > MAX_DIM_SIZE:
            reader.fail("this dim is too complicated")
        result = mul(result, factor)
        _check_size(reader, result)
    return result


def _read_factor(reader: Reader, depth: int) -> Dim:
    start = reader.start
    if reader.kind == "int":
        value = reader.take_integer()
        if value > MAX_EXTENT:
            reader.fail(f"{value} in a dim", expected="an integer of 64 bits", at=start)
        return value
    if reader.accept("("):
        result = read_dim(reader, depth + 1)
        reader.expect(")")
        return result
    if reader.kind != "name":
        reader.fail_expecting("a dim such as 8, n or 2*n+1")
    name = reader.take("name")
    if not reader.accept("("):
        return symbol(name, reader.ranges.get(name, ANY))
    if name not in _FUNCTIONS:
        expected = "one of " + ", ".join(_FUNCTIONS)
        reader.fail(f"there is no dim function {name!r}", expected=expected, at=start)
    a = read_dim(reader, depth + 1)
    reader.expect(",")
    b = read_dim(reader, depth + 1)
    reader.expect(")")
    try:
        result = apply_function(name, a, b)
    except ZeroDivisionError:
        reader.fail("a division by zero", at=start)
    _check_size(reader, result)
    return result


def _terms(dim: Dim) -> int:
    return len(dim.terms) if isinstance(dim, DimExpr) else 1


@functools.lru_cache(4096)
def _size(dim: Dim) -> int:
    """The atoms of a dim written out; quick, because each dim is checked when it is made."""
    if not isinstance(dim, DimExpr):
        return 1
    return sum(1 + sum(map(_atom_size, monomial)) for monomial, _ in dim.terms)


def _atom_size(atom: Atom) -> int:
    return 1 if isinstance(atom, Symbol) else 1 + _size(atom.a) + _size(atom.b)


def _check_size(reader: Reader, dim: Dim) -> None:
    if _size(dim) > MAX_DIM_SIZE:
        reader.fail("this dim is too complicated")
    coefficients = (c for _, c in dim.terms) if isinstance(dim, DimExpr) else (dim,)
    if any(abs(c) > MAX_EXTENT for c in coefficients):
        reader.fail("a number of more than 64 bits in a dim")
