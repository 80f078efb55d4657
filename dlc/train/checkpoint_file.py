"""The file of a checkpoint: a safetensors file, whose header also holds a document and a checksum.

A state is a tree of dicts, lists, tuples, numbers, text, None and tensors. The document is that
tree as JSON, in which numbers stand for the tensors. The file is data: nothing in it is run.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np

import dlc
from dlc.ir.errors import ArgumentError, DlcError, FileFormatError
from dlc.runtime.files import write_whole

_FORMAT = "dlc checkpoint 1"
_TENSOR, _TUPLE = "$tensor", "$tuple"  # keys of dicts that stand for something else


def write(path: str | os.PathLike[str], state: Any) -> None:
    """Writes a state; the file is there as a whole or not at all.

    Raises:
        ArgumentError: for something in the state that is no data.
        SaveError: when the file cannot be written.
    """
    arrays: list[np.ndarray[Any, Any]] = []
    document = json.dumps(_encoded(state, arrays, ""))
    named = {str(k): a for k, a in enumerate(arrays)}
    metadata = {"format": _FORMAT, "state": document, "checksum": _checksum(document, named)}
    content = dlc.safetensors.save(named, metadata)
    write_whole(path, lambda file: file.write(content))


def read(path: str | os.PathLike[str]) -> Any:
    """The state in a file, with arrays in the place of tensors.

    Raises:
        FileNotFoundError: when there is no such file.
        FileFormatError: for a file that is cut off or damaged, or no checkpoint.
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        named = dlc.safetensors.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = header["__metadata__"]
        document = metadata["state"]
        whole = metadata["format"] == _FORMAT
        whole = whole and metadata["checksum"] == _checksum(document, named)
        state: Any = _decoded(json.loads(document), named) if whole else None
        if whole and set(state) != {"position", "objects"}:
            raise KeyError
    except (DlcError, KeyError, TypeError, ValueError, RecursionError) as error:
        said = error.message if isinstance(error, DlcError) else "its header is that of another"
        raise FileFormatError(f"{os.fspath(path)!r} is no checkpoint: {said}") from None
    if not whole:
        raise FileFormatError(f"{os.fspath(path)!r} is damaged: its checksum is another one")
    return state


def _checksum(document: str, named: dict[str, np.ndarray[Any, Any]]) -> str:
    total = hashlib.sha256(document.encode())
    for name in sorted(named):
        array = named[name]
        total.update(f"|{name} {array.dtype.name} {array.shape}|".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _encoded(value: Any, arrays: list[np.ndarray[Any, Any]], place: str) -> Any:
    """A value as JSON; the arrays in it are added to `arrays`."""
    if isinstance(value, (dlc.Tensor, np.ndarray)):
        array = value.numpy() if isinstance(value, dlc.Tensor) else value
        arrays.append(array)
        return {_TENSOR: len(arrays) - 1}
    if isinstance(value, dict):
        if any(not isinstance(k, str) or k.startswith("$") for k in value):
            raise ArgumentError(f"a checkpoint of a dict whose keys are no names{place}")
        return {k: _encoded(v, arrays, f"{place} at {k!r}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        held = [_encoded(v, arrays, f"{place} at {k}") for k, v in enumerate(value)]
        return held if isinstance(value, list) else {_TUPLE: held}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ArgumentError(
        f"a checkpoint of a {type(value).__name__}{place}",
        hint="a state is made of dicts, lists, numbers, text, None and tensors",
    )


def _decoded(value: Any, named: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_decoded(v, named) for v in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return named[str(value[_TENSOR])]
    if _TUPLE in value:
        return tuple(_decoded(v, named) for v in value[_TUPLE])
    return {k: _decoded(v, named) for k, v in value.items()}
