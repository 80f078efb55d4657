"""The types of a function's arguments: from `--arg`, or from its annotations."""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlc.frontend import tree
from dlc.frontend.spec import Spec, spec
from dlc.ir.errors import ArgumentError, DlcError, ParseError

_NUMBERS: dict[str, bool | int | float] = {"bool": True, "int": 1, "float": 1.0}


def parse_argument(text: str) -> Spec | bool | int | float:
    """The argument that the text after `--arg` stands for: a type such as `f32[8,4]`, or a number.

    Raises:
        ParseError: for text that is neither.
        DTypeError: for a type of an unknown element type.

    Example:
        >>> parse_argument("f32[b,784]"), parse_argument("0.5")
        (Spec(shape=('b', 784), dtype=float32), 0.5)
    """
    if "[" in text:
        return spec(text)
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    raise ParseError(
        f"{text!r} is no argument",
        expected="a type such as f32[8,4] or f32[] or a number such as 0.5",
        text=text,
    )


def arguments_of(
    function: Callable[..., Any], name: str, given: Sequence[str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments to trace a function with: specs and numbers.

    Args:
        function: The function or model.
        name: What to call it in errors.
        given: The texts after `--arg`, in order; without any, the annotations count.

    Raises:
        ArgumentError: where neither says what an argument is.
        ParseError, DTypeError: as `parse_argument`.
    """
    if given:
        return tuple(parse_argument(text) for text in given), {}
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise ArgumentError(f"the arguments of {name} are not known", hint=_HINT) from None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    unknown: list[str] = []
    for p in signature.parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        value = _from_annotation(p.annotation, p.default)
        if value is None:
            if p.default is p.empty:
                unknown.append(p.name)
        elif p.kind is p.POSITIONAL_ONLY:
            args.append(value)
        else:
            kwargs[p.name] = value
    if unknown:
        raise ArgumentError(
            f"{name}{_plain(signature)} does not say of what type {', '.join(unknown)} "
            f"{'is' if len(unknown) == 1 else 'are'}",
            hint=_HINT,
        )
    return tuple(args), kwargs


_HINT = (
    "give a type for each argument, in order, as in --arg f32[8,4] --arg 0.5, "
    'or annotate them in the file: def f(x: "f32[8,4]")'
)


def _plain(signature: inspect.Signature) -> str:
    """A signature's names, without annotations."""
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(parameters))


def _from_annotation(annotation: Any, default: Any) -> Any:
    """The argument that an annotation describes; None where it describes none."""
    read = _from_text if isinstance(annotation, str) else _from_object
    value = read(annotation)
    if isinstance(value, (bool, int, float)) and isinstance(default, (bool, int, float)):
        return default
    return value


def _from_object(annotation: Any) -> Any:
    if annotation in (bool, int, float):
        return _NUMBERS[annotation.__name__]
    if not isinstance(annotation, (str, Spec, list, tuple, dict)):
        return None
    with contextlib.suppress(DlcError):
        return tree.map(lambda x: x if isinstance(x, Spec) else spec(x), annotation)
    return None


def _from_text(text: str) -> Any:
    """As `from __future__ import annotations` leaves it: the text of a type, a string or a tree."""
    with contextlib.suppress(DlcError):
        return spec(text)
    try:
        return _from_syntax(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, DlcError):
        return None


def _from_syntax(node: ast.expr) -> Any:
    """The value of an annotation's syntax; None where it is no type or tree of types."""
    match node:
        case ast.Constant(value=str(text)):
            return spec(text)
        case ast.Subscript():
            return spec(ast.unparse(node).replace("(", "").replace(")", ""))
        case ast.Name(id=name):
            return _NUMBERS.get(name)
        case ast.List(elts=items):
            return _all([_from_syntax(x) for x in items])
        case ast.Tuple(elts=items):
            values = _all([_from_syntax(x) for x in items])
            return None if values is None else tuple(values)
        case ast.Dict(keys=keys, values=items):
            values = _all([_from_syntax(x) for x in items])
            names = [k.value for k in keys if isinstance(k, ast.Constant)]
            if values is None or len(names) != len(items):
                return None
            return dict(zip(names, values, strict=True))
        case _:
            return None


def _all(values: list[Any]) -> list[Any] | None:
    return None if any(v is None for v in values) else values


def parse_dims(texts: Sequence[str]) -> Mapping[str, int]:
    """The extents that `--dim NAME=N` give.

    Raises:
        ParseError: for text that is not of that form.
    """
    found: dict[str, int] = {}
    for text in texts:
        name, equals, number = (part.strip() for part in text.partition("="))
        if not (equals and name.isidentifier() and number.isdecimal() and int(number) >= 1):
            raise ParseError(
                f"{text!r} is no extent", expected="a name and a number, as in b=32", text=text
            )
        found[name] = int(number)
    return found
