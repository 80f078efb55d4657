"""Shapes and element types without data: `dlc.spec((8, 4))`, `dlc.spec("f32[b,784]")`."""

from __future__ import annotations

import re
from typing import Any

from dlc.frontend.apply import dtype_argument
from dlc.frontend.tree import leaf_types
from dlc.ir.dims import ANY, DimExpr, Range, plain_name
from dlc.ir.errors import ArgumentError, ParseError
from dlc.ir.record import dataclass
from dlc.ir.type_parser import parse_dim
from dlc.ir.types import DType, float32

_NAME = r"[A-Za-z_]\w*"
_NUMBER = r"\s*([1-9]\d{0,17})\s*"
_OPEN = re.compile(rf"(?:{_NUMBER}<=)?\s*({_NAME})\s*(?:<={_NUMBER})?|\s*({_NAME})\s*>={_NUMBER}")


@dataclass(frozen=True)
class Spec:
    """A shape whose extents are integers or text, and an element type.

    Text is the name of an extent, which may say what it may be (`n>=7`, `n<=512`, `7<=n<=512`), or
    a formula of names (`2*n+1`).
    """

    shape: tuple[int | str, ...]
    dtype: DType

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"


leaf_types.add(Spec)


def open_extent(text: str) -> tuple[str | DimExpr, Range]:
    """The name that is an extent, and what it may be, or the formula; ArgumentError for others."""
    match = _OPEN.fullmatch(text)
    if match is None:
        try:
            formula = parse_dim(text)
        except ParseError:
            formula = 0
        if isinstance(formula, int):
            raise ArgumentError(f"{text!r} is no extent", hint=_HINT)
        return plain_name(formula) or formula, ANY
    least, name, most, lower_name, lower = match.groups()
    range_ = (int(least or lower or 1), int(most) if most else None)
    if range_[1] is not None and range_[1] < range_[0]:
        raise ArgumentError(f"{text!r} is no extent: no number is like that", hint=_HINT)
    return name or lower_name, range_


_HINT = "write a number of at least 0, a name such as n, what it may be, n>=7, or a formula, 2*n+1"


def spec(shape: Any, dtype: Any = None) -> Spec:
    """A stand-in for a tensor, for `lower`, `warmup` and `save`.

    Args:
        shape: Integers and names; equal names are equal extents, of any value from 1, or what is
            said of one of them: `n>=7`, `n<=512`, `7<=n<=512`. Formulas of names are extents that
            depend on others: `2*n+1`, `floordiv(n,2)`. Or text such as `f32[b,784]`.
        dtype: The element type; float32 when not given.

    Raises:
        ParseError: for text that is no type.
        ArgumentError: for an extent that is neither a name nor a number.
        DTypeError: for an unknown element type.

    Example:
        >>> str(spec(("b", 784)))
        'f32[b,784]'
    """
    if isinstance(shape, Spec):
        return shape
    if isinstance(shape, str):
        return _parse(shape)
    dims = (shape,) if isinstance(shape, int) else tuple(shape)
    for d in dims:
        if isinstance(d, str):
            open_extent(d)
        elif not isinstance(d, int) or d < 0:
            raise ArgumentError(f"{d!r} is no extent", hint=_HINT)
    return Spec(dims, float32 if dtype is None else dtype_argument(dtype))


def _parse(text: str) -> Spec:
    match = re.fullmatch(r"\s*(\w+)\s*\[([^\[\]]*)\]\s*", text)
    if match is None:
        raise ParseError(
            f"{text!r} is no type", expected="a type such as f32[8,4] or f32[b,784]", text=text
        )
    parts = [p.strip() for p in _split(match[2])] if match[2].strip() else []
    dims: list[int | str] = []
    for p in parts:
        try:
            if not p.isdecimal():
                open_extent(p)
        except ArgumentError as error:
            column = text.index(p, match.start(2)) + 1 if p else match.end(2) + 1
            raise ParseError(
                error.message, column=column, expected="a number or a name", text=text
            ) from None
        dims.append(int(p) if p.isdecimal() else p)
    return Spec(tuple(dims), dtype_argument(match[1]))


def _split(text: str) -> list[str]:
    """The parts between commas that are in no parentheses."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and not depth:
            parts.append("")
        else:
            parts[-1] += c
    return parts
