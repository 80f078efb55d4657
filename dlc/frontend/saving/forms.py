"""Structures of trees as JSON, without any class of the user's.

A leaf is `"*"`, None is null. A list, tuple or dict is an object of one item that has its kind as
its key. A named tuple keeps the names of its class and fields; one like it is made again.
"""

from __future__ import annotations

import functools
import keyword
from collections import OrderedDict
from typing import Any, NamedTuple, TypeAlias

from dlc.frontend.tree import Leaf, Structure
from dlc.ir.errors import ArgumentError, FileFormatError

Form: TypeAlias = Any

_SEQUENCES: dict[str, type] = {"tuple": tuple, "list": list}
_MAPPINGS: dict[str, type] = {"dict": dict, "ordered": OrderedDict}
_KEYS = (str, int, bool, float, type(None))
_MAX_DEPTH = 100
_MAX_NAME = 200


def form_of(structure: Structure, what: str) -> Form:
    """The form of a structure.

    Args:
        structure: Of a tree.
        what: What has it, for the error: "the arguments of f".

    Raises:
        ArgumentError: where it has a class that means nothing where the user's code is not there.
    """
    kind = structure.kind
    if kind is Leaf:
        return "*"
    if kind is None:
        return None
    children = [form_of(c, what) for c in structure.children]
    for name, known in _SEQUENCES.items():
        if kind is known:
            return {name: children}
    for name, known in _MAPPINGS.items():
        if kind is known and all(type(k) in _KEYS for k in structure.data):
            return {name: [list(pair) for pair in zip(structure.data, children, strict=True)]}
    names: tuple[str, ...] | None = getattr(kind, "_fields", None)
    if issubclass(kind, tuple) and names is not None:
        fields = zip(names, children, strict=True)
        return {"namedtuple": [kind.__name__, [list(pair) for pair in fields]]}
    shown = "dict with keys that are no text or numbers" if kind is dict else kind.__name__
    raise ArgumentError(
        f"{what} have a {shown}, which a file cannot hold",
        hint="use lists, tuples, named tuples, and dicts with text as keys",
    )


def shape_of(form: Form) -> Form:
    """A form without the names of classes: what fits what."""
    if not isinstance(form, dict):
        return form
    (kind, inside), *_ = form.items()
    if kind == "namedtuple":
        return {kind: [[k, shape_of(c)] for k, c in inside[1]]}
    if kind in _MAPPINGS:
        return {kind: [[k, shape_of(c)] for k, c in inside]}
    return {kind: [shape_of(c) for c in inside]}


def structure_of(form: Form, depth: int = 0) -> Structure:
    """The structure that a form describes.

    Raises:
        FileFormatError: for what describes none.
    """
    if form == "*":
        return Structure(Leaf, None, ())
    if form is None:
        return Structure(None, None, ())
    if depth > _MAX_DEPTH or not isinstance(form, dict) or len(form) != 1:
        raise _wrong()
    ((kind, inside),) = form.items()
    if kind == "namedtuple" and isinstance(inside, list) and len(inside) == 2:
        name, items = inside
        fields, children = _items(items, depth)
        return Structure(_class_of(name, fields), None, children)
    if kind in _MAPPINGS:
        keys, children = _items(inside, depth)
        if len(set(keys)) != len(keys):
            raise _wrong()
        return Structure(_MAPPINGS[kind], keys, children)
    if kind not in _SEQUENCES or not isinstance(inside, list):
        raise _wrong()
    return Structure(_SEQUENCES[kind], None, tuple(structure_of(c, depth + 1) for c in inside))


def _wrong() -> FileFormatError:
    return FileFormatError("a tree in its manifest is none")


def _items(items: Any, depth: int) -> tuple[tuple[Any, ...], tuple[Structure, ...]]:
    if not isinstance(items, list):
        raise _wrong()
    keys: list[Any] = []
    children: list[Structure] = []
    for pair in items:
        if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) not in _KEYS:
            raise _wrong()
        keys.append(pair[0])
        children.append(structure_of(pair[1], depth + 1))
    return tuple(keys), tuple(children)


def _class_of(name: Any, fields: tuple[Any, ...]) -> type:
    proper = all(map(is_name, (name, *fields))) and len(set(fields)) == len(fields)
    if not proper or any(f.startswith("_") for f in fields):
        raise _wrong()
    return _make_class(name, fields)


@functools.lru_cache(256)
def _make_class(name: str, fields: tuple[str, ...]) -> type:
    make: Any = NamedTuple
    return make(name, [(field, Any) for field in fields])


def is_name(text: Any) -> bool:
    """Whether text is a name of Python's."""
    return (
        isinstance(text, str)
        and len(text) <= _MAX_NAME
        and text.isidentifier()
        and not keyword.iskeyword(text)
    )
