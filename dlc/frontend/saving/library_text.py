"""The header and the Python module of an exported library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dlc.ir.types import DType, TensorType

_C_TYPES = {
    "f64": "double",
    "f32": "float",
    "f16": "uint16_t",
    "bf16": "uint16_t",
    "bool": "uint8_t",
}


class Value(NamedTuple):
    """A name and a type."""

    name: str
    type: TensorType

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"


class Function(NamedTuple):
    """A function of a library: what it takes and gives, and the bytes of its workspace."""

    symbol: str
    params: list[Value]
    results: list[Value]
    workspace: int

    def __str__(self) -> str:
        params, results = (", ".join(map(str, v)) for v in (self.params, self.results))
        return f"{self.symbol}({params}) -> ({results})"


def _c_type(dtype: DType) -> str:
    bits = f"{'u' if dtype.kind == 'u' else ''}int{dtype.bits}_t"
    return _C_TYPES.get(dtype.short, bits)


def header_text(
    name: str, isa: str, build: str, functions: Sequence[Function], initial: Sequence[Value]
) -> str:
    """The header for C and C++.

    Args:
        name: The library's.
        isa: The instruction set level that it is for.
        build: The command that makes the shared library.
        functions: What it has.
        initial: The values that state has at first.
    """
    guard = f"{name.upper()}_H"
    lines = [
        f"/* {name}: code for {isa}. Shared library: {build}",
        "",
        "   Arrays are C-contiguous, of the elements that the comments say (f16 and bf16 as their",
        "   bits). A workspace has the bytes named below; calls at the same time need one each.",
        "   Functions return 0, or 3 where memory did not suffice. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
    ]
    for f in functions:
        params = [f"const {_c_type(v.type.dtype)} *{v.name}" for v in f.params]
        params += [f"{_c_type(v.type.dtype)} *{v.name}" for v in f.results]
        lines += [
            "",
            f"/* {f} */",
            f"#define {f.symbol.upper()}_WORKSPACE {f.workspace}",
            f"int32_t {f.symbol}(",
            *(f"    {p}," for p in params),
            "    void *workspace);",
        ]
    for v in initial:
        lines += ["", f"/* {v.type} */", f"extern const {_c_type(v.type.dtype)} {v.name}[];"]
    return "\n".join([*lines, "", "#ifdef __cplusplus", "}", "#endif", "", "#endif", ""])


_MODULE = '''"""The library {name} for NumPy; needs neither dlc nor what it was made from."""

import ctypes
import os

import numpy as np

_library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib{name}.so"))


def _call(symbol, workspace, params, results):
    given = []
    for name, value, dtype, shape in params:
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        if array.dtype != dtype or array.shape != shape:
            found, wanted = f"{{array.dtype}}{{list(array.shape)}}", f"{{dtype}}{{list(shape)}}"
            raise ValueError(f"{{symbol}}: {{name}} is {{found}}, not {{wanted}}")
        given.append(array)
    made = [np.empty(shape, dtype) for dtype, shape in results]
    work = np.empty(workspace, np.uint8)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*given, *made, work)]
    status = getattr(_library, symbol)(*pointers)
    if status:
        raise MemoryError(f"{{symbol}} failed (status {{status}})")
    return made[0] if len(made) == 1 else tuple(made)


def _value(symbol, dtype, shape):
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = (ctypes.c_uint8 * count).in_dll(_library, symbol)
    return np.frombuffer(data, dtype).reshape(shape).copy()
'''


def python_module(name: str, functions: Sequence[Function], initial: Sequence[Value]) -> str:
    """A Python module that calls the library with NumPy's arrays."""
    parts = [_MODULE.format(name=name)]
    for f in functions:
        rows = [f"        ({v.name!r}, {v.name}, {_typed(v.type)})," for v in f.params]
        parts.append(
            "\n".join(
                [
                    f"def {f.symbol}({', '.join(v.name for v in f.params)}):",
                    f'    """{f}"""',
                    "    params = [",
                    *rows,
                    "    ]",
                    f"    results = [{', '.join(f'({_typed(v.type)})' for v in f.results)}]",
                    f"    return _call({f.symbol!r}, {f.workspace}, params, results)",
                    "",
                ]
            )
        )
    parts += [f"{v.name} = _value({v.name!r}, {_typed(v.type)})\n" for v in initial]
    return "\n\n".join(parts)


def _typed(t: TensorType) -> str:
    dtype = "uint16" if t.dtype.short == "bf16" else t.dtype.name
    return f"{dtype!r}, {t.shape!r}"
