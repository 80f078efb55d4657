"""A file of elements: trees of arrays, numbers and texts. It holds no code and nothing pickled.

After the first line, each element is a line of JSON, which gives the tree and the types of its
leaves, followed by the arrays in NumPy's format. At the end stand the places of the elements, the
place of that table, and the last line.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from dlc.data.array_files import DAMAGED
from dlc.data.elements import as_array
from dlc.ir.errors import ArgumentError, FileFormatError, SaveError

_BEGIN, _END = b"dlc elements 1\n", b"end of dlc elements\n"
_TUPLE, _LIST, _DICT, _TEXT = "tuple", "list", "dict", "text"
_ARRAY, _SCALAR, _NUMBER = "array", "scalar", "number"  # the last are Python's


class ElementWriter:
    """Writes elements to a file that is there as a whole or not at all.

    Args:
        path: The file.

    Raises:
        ArgumentError: by `add`, for elements that are no such trees.
        SaveError: when it cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        folder, name = os.path.split(path)
        with self._told():
            handle, self._unfinished = tempfile.mkstemp(dir=folder or ".", prefix=f".{name}.")
            self._file: IO[bytes] = os.fdopen(handle, "wb")
            self._file.write(_BEGIN)
        self._places: list[int] = []

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        """Says of which file it is that something cannot be written."""
        try:
            yield
        except OSError as error:
            raise SaveError(
                f"{self._path!r} could not be written: {error.strerror or error}",
                hint="make room, or cache elsewhere",
            ) from error

    def __enter__(self) -> Self:
        return self

    def add(self, element: Any) -> None:
        """Writes an element."""
        arrays: list[np.ndarray[Any, Any]] = []
        text = json.dumps(_skeleton(element, arrays)).encode() + b"\n"
        with self._told():
            self._places.append(self._file.tell())
            self._file.write(text)
            for array in arrays:
                np.lib.format.write_array(self._file, _plain(array), allow_pickle=False)

    def finish(self) -> None:
        """Puts the file in its place."""
        with self._told():
            table = self._file.tell()
            np.lib.format.write_array(self._file, np.asarray(self._places, np.int64))
            self._file.write(table.to_bytes(8, "little") + _END)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._unfinished, self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()  # which writes what is left
        with contextlib.suppress(OSError):
            os.unlink(self._unfinished)


def _skeleton(tree: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if tree is None:
        return None
    if type(tree) in (tuple, list):
        kind = _TUPLE if type(tree) is tuple else _LIST
        return [kind, *(_skeleton(part, arrays) for part in tree)]
    if type(tree) is dict and all(isinstance(key, str) for key in tree):
        return [_DICT, {key: _skeleton(part, arrays) for key, part in tree.items()}]
    if isinstance(tree, str):
        return [_TEXT, tree]
    array = as_array(tree)
    if array.dtype.hasobject:
        raise ArgumentError(
            f"a {type(tree).__name__} cannot be cached in a file",
            hint="elements must be tuples, lists and dicts of arrays, numbers and texts",
        )
    arrays.append(array)
    kind = _SCALAR if isinstance(tree, np.generic) else _ARRAY
    return [_NUMBER if type(tree) in (int, float, bool) else kind, array.dtype.name]


def _is_native(dtype: np.dtype[Any]) -> bool:
    return dtype.kind != "V"


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array whose type NumPy's format knows: bfloat16 is written as integers."""
    return array if _is_native(array.dtype) else array.view(f"u{array.dtype.itemsize}")


class ElementReader:
    """Reads elements from a file.

    Raises:
        FileFormatError: for a file that is cut off, or another's.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        tail = 8 + len(_END)
        try:
            with open(path, "rb") as file:
                begin = file.read(len(_BEGIN))
                file.seek(-tail, os.SEEK_END)
                last = file.read(tail)
                if begin != _BEGIN or last[8:] != _END:
                    raise ValueError
                file.seek(int.from_bytes(last[:8], "little"))
                self._places = np.lib.format.read_array(file, allow_pickle=False)
        except FileNotFoundError:
            raise
        except DAMAGED:
            raise self._damaged() from None

    def _damaged(self) -> FileFormatError:
        return FileFormatError(
            f"{self._path!r} is no whole file of elements", hint="remove it: it is written anew"
        )

    def __len__(self) -> int:
        return len(self._places)

    def walk(self, start: int) -> Iterator[Any]:
        """The elements from one on."""
        with open(self._path, "rb") as file:
            for place in self._places[start:].tolist():
                try:
                    file.seek(place)
                    element = _read(json.loads(file.readline()), file)
                except (*DAMAGED, TypeError, IndexError, AttributeError):
                    raise self._damaged() from None
                yield element


def _read(skeleton: Any, file: IO[bytes]) -> Any:
    if skeleton is None:
        return None
    kind, *parts = skeleton
    if kind in (_TUPLE, _LIST):
        found = [_read(part, file) for part in parts]
        return tuple(found) if kind == _TUPLE else found
    if kind == _DICT:
        return {key: _read(part, file) for key, part in parts[0].items()}
    if kind == _TEXT:
        return parts[0]
    array = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.name != parts[0] and array.dtype.kind == "u":
        array = array.view(parts[0])
    if kind == _SCALAR:
        return array[()]
    return array.item() if kind == _NUMBER else array
