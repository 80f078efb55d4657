"""Shapes and element types without data: `dlc.spec((8, 4))`, `dlc.spec("f32[b,784]")`."""

from __future__ import annotations

import re
from typing import Any

from dlc.frontend.apply import dtype_argument
from dlc.frontend.tree import leaf_types
from dlc.ir.errors import ArgumentError, ParseError
from dlc.ir.record import dataclass
from dlc.ir.types import DType, float32

_NAME = r"[A-Za-z_]\w*"


@dataclass(frozen=True)
class Spec:
    """A shape whose extents are integers or names, and an element type."""

    shape: tuple[int | str, ...]
    dtype: DType

    def __str__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"


leaf_types.add(Spec)


def spec(shape: Any, dtype: Any = None) -> Spec:
    """A stand-in for a tensor, for `lower`, `warmup` and `save`.

    Args:
        shape: Integers and names; equal names are equal extents, of any value from 1. Or text such
            as `f32[b,784]`.
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
        ok = re.fullmatch(_NAME, d) if isinstance(d, str) else isinstance(d, int) and d >= 0
        if not ok:
            raise ArgumentError(
                f"{d!r} is no extent", hint="write a number of at least 0 or a name"
            )
    return Spec(dims, float32 if dtype is None else dtype_argument(dtype))


def _parse(text: str) -> Spec:
    match = re.fullmatch(r"\s*(\w+)\s*\[([^\[\]]*)\]\s*", text)
    if match is None:
        raise ParseError(
            f"{text!r} is no type", expected="a type such as f32[8,4] or f32[b,784]", text=text
        )
    parts = [p.strip() for p in match[2].split(",")] if match[2].strip() else []
    dims: list[int | str] = []
    for p in parts:
        if not (p.isdecimal() or re.fullmatch(_NAME, p)):
            column = text.index(p, match.start(2)) + 1 if p else match.end(2) + 1
            raise ParseError(
                f"{p!r} is no extent", column=column, expected="a number or a name", text=text
            )
        dims.append(int(p) if p.isdecimal() else p)
    return Spec(tuple(dims), dtype_argument(match[1]))
