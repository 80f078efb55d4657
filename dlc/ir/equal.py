"""Equality of functions by structure, and a hash that is the same in every process."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.ir.core import Function, Node
from dlc.ir.digest import sha256
from dlc.ir.printer import attribute_text, function_lines, ranges_text
from dlc.ir.types import Type


def same_structure(f: Function, g: Function) -> bool:
    """Whether two functions are the same program.

    Equal are: the ops in their order, inputs, attributes (to the bit: -0.0 is not 0.0), types with
    the names of their symbols, results. Names of functions and nodes, and locations, do not count.

    Example:
        >>> same_structure(f, parse_function(print_function(f)))
        True
    """
    return f is g or structure(f) == structure(g)


def structural_hash(f: Function) -> str:
    """The SHA-256, in hexadecimal digits, of what `same_structure` compares.

    It is the same in every process.
    """
    if f.digest is None:
        text = "\n".join(structure(f))
        f.digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f.digest


def first_difference(f: Function, g: Function) -> str | None:
    """The first place where two functions differ, as text; None where `same_structure` holds."""
    left, right = structure(f), structure(g)
    if left == right:
        return None
    pairs = zip(left, right, strict=False)
    k = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
    return f"{_kind(k, f, g)}:\n  {_shown(f, k)}\n  {_shown(g, k)}"


def structure(f: Function) -> list[str]:
    """What defines a function: a line for the parameters, one a node and one for the results."""
    types: dict[int, str] = {}
    numbers: dict[Node, str] = {p: str(k) for k, p in enumerate(f.params)}
    lines = [",".join([_type_text(p.type, types) for p in f.params]) + ranges_text(f.ranges)]
    count = len(numbers)
    for node in f.nodes:
        op = node.op
        inputs = ",".join([numbers.get(x, "?") for x in node.inputs])
        line = f"{op.name}({inputs}){_type_text(node.type, types)}"
        if op.attrs:
            attrs = node.attrs
            line += ";".join([_attribute(kind, attrs[name]) for name, kind in op.attrs.items()])
        lines.append(line)
        numbers[node] = str(count)
        count += 1
    lines.append(",".join([numbers.get(r, "?") for r in f.results]))
    return lines


def _type_text(type_: Type, known: dict[int, str]) -> str:
    text = known.get(id(type_))
    if text is None:
        text = known[id(type_)] = str(type_)
    return text


def _attribute(kind: str, value: Any) -> str:
    if kind == "array":
        raw = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        return f"{value.dtype.name}{value.shape}{sha256(raw.data).hexdigest()}"
    if kind == "function" and value is not None:
        return "{" + "\n".join(structure(value)) + "}"
    if kind == "functions" and value is not None:
        return "[" + ",".join(_attribute("function", v) for v in value) + "]"
    return attribute_text(kind, value)


def _kind(k: int, f: Function, g: Function) -> str:
    if k == 0:
        return "parameters differ"
    if k <= min(len(f.nodes), len(g.nodes)):
        return f"node {k - 1} differs"
    return "the numbers of nodes differ" if len(f.nodes) != len(g.nodes) else "results differ"


def _shown(f: Function, k: int) -> str:
    lines, where = function_lines(f)
    if k == 0:
        return lines[0]
    if k > len(f.nodes):
        return lines[-2].strip()
    first = where[f.nodes[k - 1]]
    last = where[f.nodes[k]] if k < len(f.nodes) else len(lines) - 2
    return "\n  ".join(lines[first:last]).strip()
