"""The text form of functions; `docs/ir_grammar.md` is its grammar, `dlc.ir.parser` its inverse."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.ir.core import Function, Node
from dlc.ir.deferred import deferred
from dlc.ir.dims import ANY, Range, dim_text, range_text
from dlc.ir.location import SourceLocation
from dlc.ir.op import Attrs, Op
from dlc.ir.types import DType, Type, dtype_of, float64

if TYPE_CHECKING:
    import base64
else:
    base64 = deferred("base64")

SMALL_ARRAY = 16  # elements up to which an array is printed as literals

_MISSING = object()
_PLAIN_NAME = re.compile(r"[\w.$]+")
_NOT_IN_NAMES = re.compile(r"[^\w.]+")


def print_function(function: Function, *, locations: bool = False) -> str:
    """The text of a function, which `dlc.ir.parser.parse_function` reads back.

    Args:
        function: What to print. It need not be legal: an input that is defined nowhere is shown as
            `%undefined`, so that the verifier can show broken functions.
        locations: Whether to add the user's line to each node.

    Example:
        >>> print(print_function(f))
        func @f(%x: f32[8,4], %w: f32[4,n]) -> (f32[8,n]) {
          %0: f32[8,n] = dot_general(%x, %w) {lhs_batch=[], lhs_contract=[1], ...}
          return %0
        }
    """
    return "\n".join(function_lines(function, locations=locations)[0])


def print_module(functions: Iterable[Function], *, locations: bool = False) -> str:
    """The text of several functions, which `dlc.ir.parser.parse_module` reads back."""
    return "\n\n".join(print_function(f, locations=locations) for f in functions) + "\n"


def function_lines(
    function: Function, *, locations: bool = False, inner: bool = False
) -> tuple[list[str], dict[Node, int]]:
    """The lines of a function's text, and the index of the line on which each node begins.

    Args:
        function: What to print.
        locations: Whether to add the user's line to each node.
        inner: Whether it is inside another one, which says what the symbols may be.
    """
    names = node_names(function)
    type_text = _TypeTexts()
    params = ", ".join(
        f"%{names[p]}: {type_text(p.type)}{_location(p.loc) if locations else ''}"
        for p in function.params
    )
    results = ", ".join(type_text(r.type) for r in function.results)
    name = _function_name(function.name) + ("" if inner else ranges_text(function.ranges))
    lines = [f"func {name}({params}) -> ({results}) {{"]
    where: dict[Node, int] = dict.fromkeys(function.params, 0)
    for node in function.nodes:
        where.setdefault(node, len(lines))
        inputs = ", ".join(["%" + names.get(x, "undefined") for x in node.inputs])
        text = f"  %{names[node]}: {type_text(node.type)} = {node.op.name}({inputs})"
        if node.op.attrs:
            text += attributes_text(node.op, node.attrs, locations)
        if locations:
            text += _location(node.loc)
        lines += text.split("\n") if "\n" in text else (text,)
    returned = ", ".join("%" + names.get(r, "undefined") for r in function.results)
    lines += [f"  return {returned}".rstrip(), "}"]
    return lines, where


def ranges_text(ranges: Mapping[str, Range]) -> str:
    """What symbols may be, `[h>=7, n<=512]`; nothing where they may be any number."""
    parts = [range_text(n, r) for n, r in ranges.items() if r != ANY]
    return f"[{', '.join(parts)}]" if parts else ""


def node_names(function: Function) -> dict[Node, str]:
    """A unique name for each parameter and node: the user's where there is one, else a number."""
    names: dict[Node, str] = {}
    taken: set[str] = set()
    count = 0
    for node in (*function.params, *function.nodes):
        if node.name is None:
            names[node] = str(count)
            count += 1
            continue
        base = name = _NOT_IN_NAMES.sub("_", node.name)
        if not base or base[0].isdigit():  # names that start with a digit are the printer's own
            base = name = "_" + base
        suffix = 0
        while name in taken:
            suffix += 1
            name = f"{base}_{suffix}"
        taken.add(name)
        names[node] = name
    return names


class _TypeTexts:
    """Type texts by identity: the types of a function are few and shared."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def __call__(self, type_: Type) -> str:
        text = self._texts.get(id(type_))
        if text is None:
            text = self._texts[id(type_)] = str(type_)
        return text


def _function_name(name: str) -> str:
    return f"@{name}" if _PLAIN_NAME.fullmatch(name) else f"@{json.dumps(name)}"


def _location(loc: SourceLocation | None) -> str:
    if loc is None:
        return ""
    return f" loc({json.dumps(loc.file)}:{loc.line} in {json.dumps(loc.function)})"


def attributes_text(op: Op, attrs: Attrs, locations: bool = False) -> str:
    """The attributes of a node in braces, without those that have their default."""
    parts: list[str] = []
    for name, kind in op.attrs.items():
        value = attrs.get(name, _MISSING)
        if kind == "function" and isinstance(value, Function):
            text = _body_text(value, locations)
        elif kind == "functions" and isinstance(value, tuple):
            items: tuple[Any, ...] = value
            text = ", ".join(_body_text(v, locations) for v in items)
            text = f"[{text}]"
        else:
            try:
                text = attribute_text(kind, value)
            except (AttributeError, LookupError, TypeError, ValueError):  # the verifier's business
                text = "?" if value is _MISSING else repr(value)
            if name in op.defaults and text == _default_text(op, name):
                continue
        parts.append(f"{name}={text}")
    return f" {{{', '.join(parts)}}}" if parts else ""


def _body_text(function: Any, locations: bool) -> str:
    if not isinstance(function, Function):  # the verifier's business
        return repr(function)
    return "\n  ".join(function_lines(function, locations=locations, inner=True)[0])


@functools.cache
def _default_text(op: Op, name: str) -> str:
    return attribute_text(op.attrs[name], op.defaults[name])


def attribute_text(kind: str, value: Any) -> str:
    """The text of an attribute's value; `kind` is one of `dlc.ir.op.AttrKind` but function."""
    return "none" if value is None else _TEXTS[kind](value)


def number_text(value: Any) -> str:
    """A bool, integer or float exactly: `true`, `-3`, `0.1`, `-0.0`, `inf`, `nan`."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, (int, np.integer)) else repr(float(value))


def array_text(value: np.ndarray[Any, Any]) -> str:
    """An array exactly: `array(f32[2], [1.0, -0.0])`, a long one as base64 of its bytes."""
    dtype = dtype_of(value.dtype)
    type_text = f"{dtype.short}[{','.join(map(str, value.shape))}]"
    # Signalling NaNs, and short forms beyond the largest number, are no reason to warn.
    with np.errstate(all="ignore"):
        if value.size <= SMALL_ARRAY and not (dtype.is_float and _has_odd_nan(value)):
            return f"array({type_text}, {_literals(value, dtype)})"
    encoded = base64.b64encode(value.tobytes()).decode()
    return f'array({type_text}, "{encoded}")'


def _has_odd_nan(value: np.ndarray[Any, Any]) -> bool:
    """Whether a NaN in `value` is not the one that the literal `nan` means."""
    nans = value[np.isnan(value)]
    usual = np.full(nans.shape, np.nan, value.dtype)
    return nans.tobytes() != usual.tobytes()


def _literals(value: np.ndarray[Any, Any], dtype: DType) -> str:
    if not value.size:
        return "[]"
    if value.ndim == 0:
        return _element_text(value[()], dtype)
    return f"[{', '.join(_literals(row, dtype) for row in value)}]"


def _element_text(x: Any, dtype: DType) -> str:
    if not dtype.is_float or dtype is float64:
        return number_text(x)
    # The short form of a narrow float, where reading it through float64 gives the same bits.
    short = str(x)
    if not re.search(r"[.en]", short):
        short += ".0"
    same = dtype.numpy.type(float(short)).tobytes() == x.tobytes()
    return short if same else repr(float(x))


def _list_of(text: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda values: f"[{','.join(map(text, values))}]"


_TEXTS: dict[str, Callable[[Any], str]] = {
    "int": str,
    "ints": _list_of(str),
    "dim": dim_text,
    "dims": _list_of(dim_text),
    "dtype": lambda value: value.short,
    "bool": lambda value: "true" if value else "false",
    "number": number_text,
    "str": json.dumps,
    "array": array_text,
    "types": _list_of(str),
    "callable": repr,
}
