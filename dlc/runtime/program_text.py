"""Programs as bytes for the cache.

JSON with types and dims in their text forms, and arrays in base64. Of a kernel, what calls of it
need is there to read, and the text of the whole, which is parsed when its body is asked for.

Places in the user's source are numbers of nodes of the traced function: who finds the program may
have written the same one elsewhere.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.codegen.kernel_ir import Host, Kernel, Param, Stmt
from dlc.codegen.program import Branch, Call, Carry, Loop, Program, Slice, Slot, Step
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, dim_text
from dlc.ir.errors import DlcError, StoredCodeError
from dlc.ir.location import SourceLocation
from dlc.ir.type_parser import parse_dim, parse_type
from dlc.ir.types import TensorType, dtype_of

if TYPE_CHECKING:
    import base64

    from dlc.codegen import kernel_parser, kernel_printer
else:
    base64 = deferred("base64")
    kernel_parser = deferred("dlc.codegen.kernel_parser")
    kernel_printer = deferred("dlc.codegen.kernel_printer")

_MODES = ("in", "out", "inout")
_parse_dim = functools.lru_cache(4096)(parse_dim)
_parse_type = functools.lru_cache(4096)(parse_type)


class StoredKernel(Kernel):
    """A kernel from the cache; its body is parsed when it is first read."""

    text: str

    def __init__(
        self,
        name: str,
        params: tuple[Param, ...],
        dims: tuple[str, ...],
        body: tuple[Stmt, ...] | None = None,
        host: Host | None = None,
        *,
        text: str = "",
    ) -> None:
        # The class is frozen; without a body, reading it comes to `__getattr__`.
        vars(self).update(name=name, params=params, dims=dims, host=host, text=text)
        if body is not None:  # `dataclasses.replace` gives one
            vars(self)["body"] = body

    def __getattr__(self, name: str) -> Any:
        if name != "body":
            raise AttributeError(f"a kernel has no attribute {name!r}")
        body = vars(self)["body"] = kernel_parser.parse_kernel(self.text).body
        return body

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kernel):
            return NotImplemented
        return _fields(self) == _fields(other)

    def __hash__(self) -> int:
        return hash(_fields(self))


def _fields(kernel: Kernel) -> tuple[object, ...]:
    return kernel.name, kernel.params, kernel.dims, kernel.body, kernel.host


_Places = Sequence[SourceLocation | None]


def program_to_bytes(program: Program, digests: Sequence[str], places: _Places = ()) -> bytes:
    """The stored form of a program and of the digests of its kernels' texts.

    `places` are those of the nodes of the function that it was made of.
    """
    number = _numbering(places)
    value = {
        "slots": [[s.kind, str(s.type), s.position, s.shares] for s in program.slots],
        "params": [str(t) for t in program.params],
        "results": [str(t) for t in program.results],
        "kernels": [_kernel_to_json(k) for k in program.kernels],
        "digests": list(digests),
        "calls": [_call_to_json(c, number) for c in program.calls],
        "once": [_call_to_json(c, number) for c in program.once],
        "steps": [_step_to_json(s, number) for s in program.steps],
        "constants": [_array_to_json(a) for a in program.constants],
        "donated": list(program.donated),
        "fixed": [str(t) for t in program.fixed],
    }
    return json.dumps(value, separators=(",", ":")).encode()


def program_from_bytes(data: bytes, name: str, places: _Places = ()) -> tuple[Program, list[str]]:
    """Reads the stored form: the program under a name, and its kernels' digests.

    `places` are those of the nodes of the same function, as it is traced now.

    Raises:
        StoredCodeError: when it is not one.
    """
    try:
        value = json.loads(data)
        program = Program(
            name,
            _types(value["params"]),
            _types(value["results"]),
            tuple(Slot(k, _parse_type(t), p, s) for k, t, p, s in value["slots"]),
            tuple(_kernel_from_json(*k) for k in value["kernels"]),
            tuple(_call(places, *c) for c in value["calls"]),
            tuple(_array_from_json(a) for a in value["constants"]),
            tuple(value["donated"]),
            _types(value["fixed"]),
            tuple(_call(places, *c) for c in value["once"]),
            _steps(places, value["steps"]),
        )
        digests = [str(d) for d in value["digests"]]
        if len(digests) != len(program.kernels):
            raise ValueError("another number of kernels")
    except (AttributeError, LookupError, TypeError, ValueError, DlcError) as error:
        raise StoredCodeError(f"a stored program is not readable ({error})") from None
    return program, digests


def _types(texts: list[str]) -> tuple[TensorType, ...]:
    return tuple(_parse_type(t) for t in texts)


def _dims(texts: list[str]) -> tuple[Dim, ...]:
    return tuple(_parse_dim(t) for t in texts)


# A place as it is stored: the number of a node, or itself where no node has it.
_StoredPlace = int | list[Any] | None
_Numbering = Callable[[SourceLocation | None], _StoredPlace]


def _numbering(places: _Places) -> _Numbering:
    """What stores a place: of several nodes there, the one that it was taken from, if it is."""
    known = {place: k for k, place in reversed(list(enumerate(places)))}
    own = {id(place): k for k, place in enumerate(places)}

    def number(place: SourceLocation | None) -> _StoredPlace:
        if place is None:
            return None
        return own.get(id(place), known.get(place, list(place)))

    return number


def _place(places: _Places, stored: _StoredPlace) -> SourceLocation | None:
    if isinstance(stored, int):
        return places[stored]
    return None if stored is None else SourceLocation(*stored)


def _call_to_json(call: Call, number: _Numbering) -> list[Any]:
    return [call.kernel, list(call.args), [dim_text(d) for d in call.dims], number(call.loc)]


def _step_to_json(step: Step, number: _Numbering) -> Any:
    match step:
        case int():
            return step
        case Branch():
            branches = [[_step_to_json(s, number) for s in b] for b in step.branches]
            return {
                "index": step.index,
                "branches": branches,
                "results": list(step.results),
                "loc": number(step.loc),
            }
        case Loop():
            return {
                "body": [_step_to_json(s, number) for s in step.body],
                "counter": step.counter,
                "carries": [[c.slot, c.next, c.first] for c in step.carries],
                "slices": [[x.slot, x.whole, x.written] for x in step.slices],
                "length": None if step.length is None else dim_text(step.length),
                "reverse": step.reverse,
                "test": [_step_to_json(s, number) for s in step.test],
                "condition": step.condition,
                "count": step.count,
                "loc": number(step.loc),
            }


def _steps(places: _Places, values: list[Any]) -> tuple[Step, ...]:
    return tuple(v if isinstance(v, int) else _step(places, **v) for v in values)


def _step(places: _Places, loc: _StoredPlace, **fields: Any) -> Step:
    where = _place(places, loc)
    if "branches" in fields:
        branches = tuple(_steps(places, b) for b in fields["branches"])
        return Branch(fields["index"], branches, tuple(fields["results"]), where)
    length: str | None = fields["length"]
    return Loop(
        body=_steps(places, fields["body"]),
        counter=fields["counter"],
        carries=tuple(Carry(*c) for c in fields["carries"]),
        slices=tuple(Slice(*x) for x in fields["slices"]),
        length=None if length is None else _parse_dim(length),
        reverse=fields["reverse"],
        test=_steps(places, fields["test"]),
        condition=fields["condition"],
        count=fields["count"],
        loc=where,
    )


def _call(
    places: _Places, kernel: int, args: list[int], dims: list[str], loc: _StoredPlace
) -> Call:
    return Call(kernel, tuple(args), _dims(dims), _place(places, loc))


def _kernel_to_json(kernel: Kernel) -> list[Any]:
    params = [
        [p.name, p.mode, p.dtype.short, [dim_text(d) for d in p.dims], list(p.may_alias)]
        for p in kernel.params
    ]
    text, in_python = kernel_printer.print_kernel(kernel), kernel.host is not None
    return [kernel.name, params, list(kernel.dims), text, in_python]


def _kernel_from_json(
    name: str, params: list[Any], dims: list[str], text: str, in_python: bool
) -> StoredKernel:
    host = kernel_parser.parse_kernel(text).host if in_python else None
    known = tuple(_param(*p) for p in params)
    return StoredKernel(name, known, tuple(dims), host=host, text=text)


def _param(name: str, mode: str, dtype: str, dims: list[str], may_alias: list[str]) -> Param:
    for known in _MODES:
        if known == mode:
            return Param(name, known, dtype_of(dtype), _dims(dims), tuple(may_alias))
    raise ValueError(f"a parameter of mode {mode}")


def _array_to_json(array: np.ndarray[Any, Any]) -> list[Any]:
    return [
        dtype_of(array.dtype).short,
        list(array.shape),
        base64.b64encode(array.tobytes()).decode(),
    ]


def _array_from_json(value: list[Any]) -> np.ndarray[Any, Any]:
    short, shape, data = value
    flat = np.frombuffer(base64.b64decode(data), dtype_of(short).numpy)
    return flat.reshape(shape)
