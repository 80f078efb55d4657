"""What a saved program consists of, and its manifest: JSON of a fixed form, checked when read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from dlc.frontend.saving.container import MANIFEST, Entry
from dlc.frontend.saving.forms import Form, is_name
from dlc.frontend.tensor import Array
from dlc.ir.core import Function
from dlc.ir.errors import ArgumentError, FileFormatError, ParseError
from dlc.ir.record import dataclass
from dlc.ir.type_parser import parse_type
from dlc.ir.types import DType, TensorType, dtype_of
from dlc.ir.version import __version__

FORMAT = "dlc program"
VERSION = 1
KINDS = (
    "positional_only", "positional_or_keyword", "var_positional", "keyword_only", "var_keyword",
)  # fmt: skip
MAX_NAME = 1000
_MAX_DEPTH = 20


@dataclass
class SavedVariable:
    """A variable: its value is an array of the file, and so is its gradient if it has one."""

    name: str
    array: int
    requires_grad: bool
    gradient: int | None


@dataclass
class SavedProgram:
    """One program. All numbers are positions in lists of the file.

    arguments, output: the forms of the call `(args, kwargs)` and of what it returns.
    static: the places of arguments that are no data, with their values.
    weak: for each leaf of the arguments, whether it is a Python number.
    constants, variables, gradients: what it reads besides, in this order after the arguments; the
        last are variables whose gradient it reads.
    written, gradients_written: variables of which a value, or whether a gradient, results after the
        outputs.
    guards: variables with whether each must have a gradient before a call.
    """

    function: Function | None
    text: Entry
    arguments: Form
    static: list[tuple[int | str, Any]]
    weak: list[bool]
    output: Form
    outputs: int
    constants: list[int]
    variables: list[int]
    gradients: list[int]
    written: list[int]
    gradients_written: list[tuple[int, bool]]
    guards: list[tuple[int, bool]]


@dataclass
class Contents:
    """All of a file.

    maker: the version of dlc that saved it.
    parameters: of the function that was saved: name, kind, and whether it has a default.
    """

    maker: str
    name: str
    level: str
    precision: str
    parameters: list[tuple[str, str, bool]] | None
    static: list[int | str]
    donated: list[int | str]
    types: list[TensorType]
    arrays: list[Array]
    entries: list[Entry]
    variables: list[SavedVariable]
    programs: list[SavedProgram]


def text_name(k: int) -> str:
    """The entry of the text of a program."""
    return f"programs/{k}.ir"


def array_name(k: int) -> str:
    """The entry of an array."""
    return f"arrays/{k}"


# Writing.


def manifest_text(c: Contents) -> bytes:
    """The manifest of a file."""
    value = {
        "format": FORMAT,
        "version": VERSION,
        "dlc": c.maker,
        "name": c.name,
        "level": c.level,
        "precision": c.precision,
        "parameters": c.parameters,
        "static": c.static,
        "donated": c.donated,
        "arrays": [[str(t), e.checksum] for t, e in zip(c.types, c.entries, strict=True)],
        "variables": [[v.name, v.array, v.requires_grad, v.gradient] for v in c.variables],
        "programs": [_program_value(p) for p in c.programs],
    }
    return json.dumps(value, separators=(",", ":")).encode()


def _program_value(p: SavedProgram) -> dict[str, Any]:
    return {
        "text": [p.text.size, p.text.checksum],
        "arguments": p.arguments,
        "static": [[place, _static_value(place, value)] for place, value in p.static],
        "weak": p.weak,
        "output": p.output,
        "outputs": p.outputs,
        "constants": p.constants,
        "variables": p.variables,
        "gradients": p.gradients,
        "written": p.written,
        "gradients_written": p.gradients_written,
        "guards": p.guards,
    }


def _static_value(place: int | str, value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, DType):
        return {"dtype": value.short}
    if type(value) is tuple:
        return {"tuple": [_static_value(place, v) for v in value]}
    raise ArgumentError(
        f"the static argument {place} is a {type(value).__name__}, which a file cannot hold",
        hint="save a function that has it already, such as functools.partial(f, name=value)",
    )


# Reading.


def read_contents(data: bytes) -> Contents:
    """The contents that a manifest describes, without arrays and functions.

    Raises:
        FileFormatError: for what is no manifest, and one of a later version of the format.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise FileFormatError("its manifest is no JSON") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise FileFormatError("this is no program that dlc saved")
    version = value.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise FileFormatError(
            f"it has version {version!r} of the format, saved by dlc {value.get('dlc')!r:.40}",
            hint=f"this is dlc {__version__}, which reads up to version {VERSION}: update dlc",
        )
    try:
        return _contents(value)
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"its manifest is malformed ({type(error).__name__})") from None


def _contents(m: dict[str, Any]) -> Contents:
    arrays = [_array(*pair) for pair in _list(m["arrays"])]
    count = len(arrays)
    variables = [_variable(count, *v) for v in _list(m["variables"])]
    _need(len({v.name for v in variables}) == len(variables), "two variables have one name")
    programs = [_program(k, p, count, len(variables)) for k, p in enumerate(_list(m["programs"]))]
    _need(bool(programs), "it has no program")
    return Contents(
        maker=_text(m["dlc"]),
        name=_text(m["name"]),
        level=_one_of(m["level"], ("O0", "O1", "O2", "O3")),
        precision=_one_of(m["precision"], ("exact", "fast")),
        parameters=None if m["parameters"] is None else _parameters(m["parameters"]),
        static=[_place(p) for p in _list(m["static"])],
        donated=[_place(p) for p in _list(m["donated"])],
        types=[t for t, _ in arrays],
        arrays=[],
        entries=[Entry(array_name(k), _bytes(t), crc) for k, (t, crc) in enumerate(arrays)],
        variables=variables,
        programs=programs,
    )


def _program(k: int, p: dict[str, Any], arrays: int, variables: int) -> SavedProgram:
    size, crc = p["text"]
    return SavedProgram(
        function=None,
        text=Entry(text_name(k), _count(size), _checksum(crc)),
        arguments=p["arguments"],
        static=[(_place(at), _static(v)) for at, v in _list(p["static"])],
        weak=[_flag(w) for w in _list(p["weak"])],
        output=p["output"],
        outputs=_count(p["outputs"]),
        constants=_numbers(p["constants"], arrays),
        variables=_numbers(p["variables"], variables),
        gradients=_numbers(p["gradients"], variables),
        written=_numbers(p["written"], variables),
        gradients_written=_flagged(p["gradients_written"], variables),
        guards=_flagged(p["guards"], variables),
    )


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise FileFormatError(message)


def _list(value: Any) -> list[Any]:
    _need(isinstance(value, list), "a list in its manifest is none")
    return value


def _text(value: Any) -> str:
    _need(isinstance(value, str) and len(value) <= MAX_NAME, "a name in its manifest is none")
    return value


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _count(value: Any) -> int:
    _need(_is_count(value), "a number in its manifest is none")
    return value


def _checksum(value: Any) -> int:
    _need(_count(value) < 2**32, "a checksum in its manifest is none")
    return value


def _flag(value: Any) -> bool:
    _need(isinstance(value, bool), "a flag in its manifest is none")
    return value


def _one_of(value: Any, known: Sequence[str]) -> str:
    _need(value in known, f"{value!r:.40} in its manifest is none of {', '.join(known)}")
    return value


def _place(value: Any) -> int | str:
    return _text(value) if isinstance(value, str) else _count(value)


def _numbers(values: Any, below: int) -> list[int]:
    found = [_count(v) for v in _list(values)]
    _need(all(v < below for v in found), "its manifest refers to what is not there")
    _need(len(set(found)) == len(found), "its manifest names something twice")
    return found


def _flagged(values: Any, below: int) -> list[tuple[int, bool]]:
    pairs = [(_count(k), _flag(v)) for k, v in _list(values)]
    _numbers([k for k, _ in pairs], below)
    return pairs


def _array(text: Any, crc: Any) -> tuple[TensorType, int]:
    try:
        found = parse_type(_text(text))
    except ParseError as error:
        raise FileFormatError(f"the type of an array is none: {error.message}") from None
    _need(found.is_static, f"an array has the type {found}")
    return found, _checksum(crc)


def _bytes(t: TensorType) -> int:
    return math.prod(d for d in t.shape if isinstance(d, int)) * t.dtype.itemsize


def _variable(arrays: int, name: Any, array: Any, flag: Any, gradient: Any) -> SavedVariable:
    found = [array] if gradient is None else [array, gradient]
    _need(all(_is_count(k) and k < arrays for k in found), "a variable has no value")
    return SavedVariable(_text(name), array, _flag(flag), gradient)


def _parameters(values: Any) -> list[tuple[str, str, bool]]:
    found = [(name, _one_of(kind, KINDS), _flag(default)) for name, kind, default in _list(values)]
    _need(all(is_name(name) for name, _, _ in found), "a parameter's name is none")
    return found


def _static(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    _need(isinstance(value, dict) and len(value) == 1 and depth < _MAX_DEPTH, "a value is none")
    ((kind, inside),) = value.items()
    read: dict[str, Callable[[], Any]] = {
        "dtype": lambda: dtype_of(_text(inside)),
        "tuple": lambda: tuple(_static(v, depth + 1) for v in _list(inside)),
    }
    _need(kind in read, "a value in its manifest is none")
    return read[kind]()


def manifest_entry(data: bytes, checksum: int) -> Entry:
    """The entry of a manifest."""
    return Entry(MANIFEST, len(data), checksum)
