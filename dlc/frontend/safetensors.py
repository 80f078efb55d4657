"""`dlc.safetensors`: tensors by name in files of the safetensors format, which hold no code.

The functions are those of `safetensors.numpy`. A file is: the length of a header (8 bytes), the
header (JSON: for each name an element type, a shape, and where its elements are), and the elements.
The format is described at https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from dlc.frontend.apply import as_array
from dlc.frontend.tensor import Array, Tensor, make
from dlc.ir.errors import ArgumentError, DlcError, DTypeError, FileFormatError
from dlc.ir.record import NamedTuple
from dlc.ir.types import DType, dtype_of
from dlc.runtime.buffers import MAX_RANK, empty
from dlc.runtime.files import write_whole

__all__ = ["load", "load_file", "save", "save_file"]

_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8  # of the elements
_MAX_HEADER = 32 << 20  # parsed, it takes some twenty times as much
_METADATA = "__metadata__"
_NAMES = {
    "BOOL": "bool", "U8": "u8", "I8": "i8", "U16": "u16", "I16": "i16", "U32": "u32", "I32": "i32",
    "U64": "u64", "I64": "i64", "F16": "f16", "BF16": "bf16", "F32": "f32", "F64": "f64",
}  # fmt: skip
_CODES = {short: code for code, short in _NAMES.items()}
# Element types of the format that neither NumPy nor dlc computes with.
_OTHER = ("F8_", "F6_", "F4", "C64", "C128")


class _Place(NamedTuple):
    """Where a tensor lies among the elements."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    start: int
    end: int


def save_file(
    tensors: Mapping[str, Any],
    filename: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes tensors by name to a file, which is there as a whole or not at all.

    Args:
        tensors: Tensors or arrays by name.
        filename: Where.
        metadata: Further text by name.

    Raises:
        ArgumentError: for what is no tensor or array.
        DTypeError: for an element type that dlc does not have.
        SaveError: when the file cannot be written; what was there before is still there.

    Example:
        >>> save_file({"w": dlc.ones((2, 3))}, "w.safetensors")
        >>> load_file("w.safetensors")["w"].shape
        (2, 3)
    """
    header, arrays = _prepared(tensors, metadata)
    write_whole(filename, lambda file: _write(file, header, arrays))


def save(tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a file of tensors by name; see `save_file`.

    Example:
        >>> load(save({"w": np.ones(3)}))["w"]
        array([1., 1., 1.])
    """
    stream = io.BytesIO()
    _write(stream, *_prepared(tensors, metadata))
    return stream.getvalue()


def load_file(filename: str | os.PathLike[str]) -> dict[str, Array]:
    """The tensors of a file by name, as NumPy arrays; bfloat16 is that of `ml_dtypes`.

    Raises:
        FileNotFoundError: when there is no such file.
        FileFormatError: for a file that is cut off, damaged, or no safetensors file.
        DTypeError: for an element type that dlc does not have.
    """
    with open(filename, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        except DlcError as error:
            message = f"{os.fspath(filename)!r} cannot be read: {error.message}"
            raise type(error)(message, hint=error.hint) from None


def load_tensors(filename: str | os.PathLike[str]) -> dict[str, Tensor]:
    """As `load_file`, as tensors, which nobody else has and need no copy."""
    return {name: make(array) for name, array in load_file(filename).items()}


def load(data: bytes) -> dict[str, Array]:
    """The tensors that the bytes of a file have, by name; see `load_file`."""
    return _read(io.BytesIO(data), len(data))


# Writing.


def _prepared(
    tensors: Mapping[str, Any], metadata: Mapping[str, str] | None
) -> tuple[bytes, list[Array]]:
    """The header, and the arrays in their order: wide elements first, so that all are aligned."""
    arrays = {_name(name): _array(name, x) for name, x in tensors.items()}
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    if metadata is not None:
        header[_METADATA] = {_name(k): _name(v) for k, v in metadata.items()}
    at = 0
    for name in order:
        a = arrays[name]
        offsets = [at, at + a.nbytes]
        code = _CODES[dtype_of(a.dtype).short]
        header[name] = {"dtype": code, "shape": list(a.shape), "data_offsets": offsets}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % _ALIGNMENT), [arrays[name] for name in order]


def _name(x: Any) -> str:
    if not isinstance(x, str):
        raise ArgumentError(f"a name or metadata of safetensors is a {type(x).__name__}, not text")
    return x


def _array(name: str, x: Any) -> Array:
    if name == _METADATA:
        raise ArgumentError(f"{name!r} is no name of a tensor", hint="give metadata=")
    given = x.numpy() if isinstance(x, Tensor) else as_array(x)
    return np.ascontiguousarray(given).reshape(given.shape)


def _write(file: BinaryIO, header: bytes, arrays: list[Array]) -> None:
    file.write(_LENGTH.pack(len(header)))
    file.write(header)
    file.writelines(array.reshape(-1).view(np.uint8).data for array in arrays)


# Reading.


def _read(file: BinaryIO, size: int) -> dict[str, Array]:
    start = file.read(_LENGTH.size)
    if len(start) < _LENGTH.size:
        raise FileFormatError(f"it has {size} bytes: it is cut off, or no safetensors file")
    (length,) = _LENGTH.unpack(start)
    if length > min(_MAX_HEADER, size - _LENGTH.size):
        raise FileFormatError(
            f"its header is said to have {length} bytes of {size}: it is cut off, or no "
            "safetensors file",
            hint=_other_format(start),
        )
    places = _places(_parsed(file.read(length)), size - _LENGTH.size - length)
    found: dict[str, Array] = {}
    for p in places:
        array = empty(p.shape, p.dtype)
        raw = array.reshape(-1).view(np.uint8)
        if file.readinto(raw.data) != raw.size:  # type: ignore[attr-defined]
            raise FileFormatError(f"it is cut off in {p.name!r}")
        if p.dtype.kind == "b" and raw.size and raw.max() > 1:
            raise FileFormatError(f"{p.name!r} has truth values that are none")
        found[p.name] = array
    return found


def _other_format(start: bytes) -> str | None:
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return "it seems to be one of PyTorch's: " + CONVERT_TORCH
    return None


CONVERT_TORCH = (
    "such files are run when they are read; convert it where you trust it: "
    'safetensors.torch.save_file(torch.load(name, weights_only=True), "weights.safetensors")'
)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_without_repeats)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"its header is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise FileFormatError("its header is no JSON object")
    header.pop(_METADATA, None)
    return header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))
        raise FileFormatError(f"its header has {twice!r:.80} twice")
    return found


def _places(header: dict[str, Any], size: int) -> list[_Place]:
    """The tensors in the order of their elements, which follow each other without gaps."""
    places = [_place(name, value) for name, value in header.items()]
    places.sort(key=lambda p: (p.start, p.end))
    at = 0
    for p in places:
        if p.start != at:
            between = "overlap" if p.start < at else "leave a gap"
            raise FileFormatError(f"the elements of {p.name!r:.80} and those before {between}")
        at = p.end
    if at != size:
        said = "cut off" if at > size else "damaged"
        raise FileFormatError(f"it has {size} bytes of elements and should have {at}: it is {said}")
    return places


def _place(name: str, value: Any) -> _Place:
    try:
        code, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
        counts = [*shape, start, end]
        proper = isinstance(code, str) and all(type(n) is int and 0 <= n < 2**63 for n in counts)
        if not proper:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise FileFormatError(f"its header says nothing proper about {name!r:.80}") from None
    if code not in _NAMES:
        if code.startswith(_OTHER):
            raise DTypeError(
                f"{name!r} has the element type {code}, which dlc does not have",
                hint="convert it to float16 or bfloat16 where the file is made",
            )
        raise FileFormatError(f"{name!r:.80} has the element type {code!r:.40}, which is none")
    dtype = dtype_of(_NAMES[code])
    if len(shape) > MAX_RANK or math.prod(shape) * dtype.itemsize != end - start:
        shown = ",".join(map(str, shape[:8]))
        raise FileFormatError(f"{name!r:.80} is {dtype}[{shown}], of {end - start} bytes")
    return _Place(name, dtype, tuple(shape), start, end)
