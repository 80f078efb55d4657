"""NumPy's files, whose arrays stay in the file until rows are read."""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np

from dlc.ir.errors import ArgumentError, FileFormatError, nearest

# What NumPy and Python's archives raise for bytes that they did not write.
DAMAGED = (
    ValueError, EOFError, OSError, OverflowError, NotImplementedError, RuntimeError, SyntaxError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


def open_arrays(path: str | os.PathLike[str]) -> Any:
    """The array of a .npy file, or the arrays of a .npz file by name; mapped, not read.

    Compressed arrays of a .npz file are read.

    Raises:
        FileFormatError: for a file that is damaged, or has Python's objects in it, which would have
            to be unpickled.
    """
    name = os.fspath(path)
    with open(name, "rb") as opened:
        is_archive = opened.read(2) == b"PK"
    try:
        if is_archive:
            with zipfile.ZipFile(name) as archive:
                return {
                    member.filename.removesuffix(".npy"): _member(name, archive, member)
                    for member in archive.infolist()
                }
        return np.load(name, mmap_mode="r", allow_pickle=False)
    except DAMAGED as error:
        raise FileFormatError(f"{name!r} is no whole file of NumPy's: {error}") from None


def _member(path: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    if member.compress_type != zipfile.ZIP_STORED:
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    with open(path, "rb") as file:
        # The sizes of the name and of the extra field, which stand in front of the content.
        file.seek(member.header_offset + 26)
        lengths = struct.unpack("<HH", file.read(4))
        file.seek(member.header_offset + 30 + sum(lengths))
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} has Python's objects in it")
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def chosen(arrays: Any, names: Any, path: str) -> Any:
    """Arrays of a file as an element has them.

    Args:
        arrays: Of `open_arrays`.
        names: A tree of names; None for all.
        path: The file, for messages.

    Raises:
        ArgumentError: for a name that there is not.
    """
    if names is None:
        return arrays
    if isinstance(names, str):
        if not isinstance(arrays, dict) or names not in arrays:
            there = list(arrays) if isinstance(arrays, dict) else []
            raise ArgumentError(f"{path!r} has no array {names!r}", hint=nearest(names, there))
        return arrays[names]
    if isinstance(names, dict):
        return {key: chosen(arrays, name, path) for key, name in names.items()}
    return type(names)(chosen(arrays, name, path) for name in names)
