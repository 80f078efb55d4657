"""Programs as bytes for the cache.

JSON with kernels, types and dims in their text forms, and arrays in base64.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.program import Call, Program, Slot
from dlc.ir.dims import dim_text
from dlc.ir.errors import DlcError
from dlc.ir.location import SourceLocation
from dlc.ir.type_parser import parse_dim, parse_type
from dlc.ir.types import TensorType, dtype_of


def program_to_bytes(program: Program) -> bytes:
    """The stored form of a program."""
    value = {
        "slots": [[s.kind, str(s.type), s.position, s.shares] for s in program.slots],
        "params": [str(t) for t in program.params],
        "results": [str(t) for t in program.results],
        "kernels": [print_kernel(k) for k in program.kernels],
        "calls": [
            [c.kernel, list(c.args), [dim_text(d) for d in c.dims], c.loc] for c in program.calls
        ],
        "constants": [_array_to_json(a) for a in program.constants],
        "donated": list(program.donated),
    }
    return json.dumps(value, separators=(",", ":")).encode()


def program_from_bytes(data: bytes, name: str) -> Program | None:
    """Reads the stored form; None when it is not one, which makes it a miss."""
    try:
        value = json.loads(data)
        return Program(
            name,
            _types(value["params"]),
            _types(value["results"]),
            tuple(Slot(k, parse_type(t), p, s) for k, t, p, s in value["slots"]),
            tuple(parse_kernel(k) for k in value["kernels"]),
            tuple(_call(*c) for c in value["calls"]),
            tuple(_array_from_json(a) for a in value["constants"]),
            tuple(value["donated"]),
        )
    except (ValueError, KeyError, TypeError, DlcError):
        return None


def _types(texts: list[str]) -> tuple[TensorType, ...]:
    return tuple(parse_type(t) for t in texts)


def _call(kernel: int, args: list[int], dims: list[str], loc: list[Any] | None) -> Call:
    where = None if loc is None else SourceLocation(*loc)
    return Call(kernel, tuple(args), tuple(parse_dim(d) for d in dims), where)


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
