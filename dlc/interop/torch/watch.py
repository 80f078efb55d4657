"""Whether tensors of PyTorch still hold what they held."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from dlc.interop.torch.arrays import array_of

_pointer = operator.methodcaller("data_ptr")
_version = operator.attrgetter("_version")
_SAMPLE = 64  # bytes


class Watch:
    """Whether tensors hold what they held when they were added.

    PyTorch counts writes. It does not count those through `tensor.data` or an array over the
    memory: of these, the ones are seen that change the first, middle or last bytes.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._tensors: list[Any] = []
        self._counted: list[Any] = []
        self._versions: list[int] = []
        self._pointers: list[int] = []
        self._samples: list[memoryview] = []
        self._bytes = b""

    def add(self, *tensors: Any) -> None:
        """Watches more tensors."""
        for tensor in tensors:
            if id(tensor) in self._known:
                continue
            self._known.add(id(tensor))
            self._tensors.append(tensor)
            self._pointers.append(tensor.data_ptr())
            if not tensor.is_inference():  # of those PyTorch counts no writes
                self._counted.append(tensor)
                self._versions.append(tensor._version)
            found = _samples(array_of(tensor))
            self._samples += found
            self._bytes += b"".join(found)

    def holds(self) -> bool:
        """Whether none was written to since."""
        return (
            list(map(_version, self._counted)) == self._versions
            and list(map(_pointer, self._tensors)) == self._pointers
            and b"".join(self._samples) == self._bytes
        )


def _samples(array: np.ndarray[Any, Any]) -> list[memoryview]:
    """The first, middle and last bytes, over the memory itself; none where it has gaps."""
    flat = np.ravel(array, "K")
    if not flat.size or not np.shares_memory(flat, array):
        return []
    words = flat.view(np.uint8)
    if len(words) <= 3 * _SAMPLE:
        return [words.data]
    middle = len(words) // 2
    return [words[:_SAMPLE].data, words[middle : middle + _SAMPLE].data, words[-_SAMPLE:].data]
