"""The header and the Python module of an exported library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.ir.dims import Dim, Range, dim_text, substitute, symbol, symbols_of
from dlc.ir.printer import ranges_text
from dlc.ir.record import NamedTuple
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
    symbols: Mapping[str, Range]
    params: list[Value]
    results: list[Value]
    workspace: Dim

    def __str__(self) -> str:
        params, results = (", ".join(map(str, v)) for v in (self.params, self.results))
        return f"{self.symbol}{ranges_text(self.symbols)}({params}) -> ({results})"


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
        "   Functions return 0; 1 for no workspace, or an extent below 1 or not as [...] says. */",
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
        extents = [f"int64_t {_extent(s)}" for s in f.symbols]
        params = [*extents, *(f"const {_c_type(v.type.dtype)} *{v.name}" for v in f.params)]
        params += [f"{_c_type(v.type.dtype)} *{v.name}" for v in f.results]
        lines += [
            "",
            f"/* {f} */",
            f"int64_t {f.symbol}_workspace({', '.join(extents)});"
            if extents
            else f"#define {f.symbol.upper()}_WORKSPACE {f.workspace}",
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


def floordiv(a, b):
    return a // b


def mod(a, b):
    return a % b


def _extents(symbol, params, ranges):
    """The values of named extents, from the shapes of arguments."""
    found = {{}}
    for name, value, _, shape in params:
        if len(shape) != np.ndim(value):
            dims = np.ndim(value)
            raise ValueError(f"{{symbol}}: {{name}} has {{dims}} dims, not {{len(shape)}}")
        found |= {{d: n for d, n in zip(shape, np.shape(value)) if isinstance(d, str)}}
    for name, (least, most) in ranges.items():
        if found[name] < least or (most is not None and found[name] > most):
            words = f"at least {{least}}" if most is None else f"between {{least}} and {{most}}"
            raise ValueError(f"{{symbol}}: {{name}} is {{found[name]}}, and must be {{words}}")
    return [found[n] for n in ranges]


def _call(symbol, extents, workspace, params, results):
    given = []
    for name, value, dtype, shape in params:
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        if array.dtype != dtype or array.shape != shape:
            found, wanted = f"{{array.dtype}}{{list(array.shape)}}", f"{{dtype}}{{list(shape)}}"
            raise ValueError(f"{{symbol}}: {{name}} is {{found}}, not {{wanted}}")
        given.append(array)
    made = [np.empty(shape, dtype) for dtype, shape in results]
    work = np.empty(workspace, np.uint8)
    numbers = [ctypes.c_int64(n) for n in extents]
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*given, *made, work)]
    status = getattr(_library, symbol)(*numbers, *pointers)
    if status:
        raise ValueError(f"{{symbol}}: the extents {{extents}} do not fit (status {{status}})")
    return made[0] if len(made) == 1 else tuple(made)


def _value(symbol, dtype, shape):
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = (ctypes.c_uint8 * count).in_dll(_library, symbol)
    return np.frombuffer(data, dtype).reshape(shape).copy()
'''


def python_module(name: str, functions: Sequence[Function], initial: Sequence[Value]) -> str:
    """A Python module that calls the library with NumPy's arrays."""
    parts = [_MODULE.format(name=name)]
    parts += [_python_function(f) for f in functions]
    parts += [f"{v.name} = _value({v.name!r}, {_typed(v.type)})\n" for v in initial]
    return "\n\n".join(parts)


def _python_function(f: Function) -> str:
    def rows(named: bool) -> list[str]:
        return [f"        ({v.name!r}, {v.name}, {_typed(v.type, named)})," for v in f.params]

    ranges = {_extent(s): r for s, r in f.symbols.items()}
    names = list(ranges)
    lines = [f"def {f.symbol}({', '.join(v.name for v in f.params)}):", f'    """{f}"""']
    if names:
        lines += ["    params = [", *rows(named=True), "    ]"]
        lines.append(f"    {', '.join(names)}, = _extents({f.symbol!r}, params, {ranges})")
    size = dim_text(f.workspace) if isinstance(f.workspace, int) else None
    if size is None:
        given = ", ".join(f"ctypes.c_int64({n})" for n in names)
        lines.append(f"    _library.{f.symbol}_workspace.restype = ctypes.c_int64")
        size = f"_library.{f.symbol}_workspace({given})"
    results = [f"({_typed(v.type)})" for v in f.results]
    lines += ["    params = [", *rows(named=False), "    ]"]
    lines.append(f"    results = [{', '.join(results)}]")
    lines.append(f"    return _call({f.symbol!r}, [{', '.join(names)}], {size}, params, results)")
    return "\n".join([*lines, ""])


def _extent(symbol: str) -> str:
    """The name of an extent in C and Python; no argument has one like it."""
    return f"extent_{symbol}"


def _typed(t: TensorType, named: bool = False) -> str:
    """A type as NumPy's, where extents are expressions of their names, or text."""
    dtype = "uint16" if t.dtype.short == "bf16" else t.dtype.name
    renamed = {s: symbol(_extent(s)) for d in t.shape for s in symbols_of(d)}
    texts = [dim_text(substitute(d, renamed)) for d in t.shape]
    shown = [repr(x) if named and not x.isdecimal() else x for x in texts]
    return f"{dtype!r}, ({', '.join(shown)}{',' if len(shown) == 1 else ''})"
