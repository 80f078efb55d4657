"""NumPy arrays that traced functions close over: constants, taken when the function is traced."""

from __future__ import annotations

import weakref

import numpy as np

from dlc.frontend.tensor import Array
from dlc.ir.locks import make_lock
from dlc.ir.types import dtype_of
from dlc.runtime.buffers import aligned_copy

_lock = make_lock()
_copies: dict[object, weakref.ref[Array]] = {}


def constant_copy(array: Array) -> Array:
    """A copy of an array that nobody writes: the same one while the array holds the same.

    So the programs of a function, and functions with the same weights, share what is made of them.
    """
    place = array.__array_interface__
    key = (place["data"][0], array.shape, array.strides, array.dtype.str)
    with _lock:
        reference = _copies.get(key)
    found = None if reference is None else reference()
    if found is not None and _same_bytes(found, array):
        return found
    copy = aligned_copy(array, dtype_of(array.dtype))
    with _lock:
        _copies[key] = weakref.ref(copy)
        for gone in [k for k, r in _copies.items() if r() is None]:
            del _copies[gone]
    return copy


def _same_bytes(a: Array, b: Array) -> bool:
    """Whether two arrays of one type have the same bits, by words where it can be."""
    x, y = (np.ascontiguousarray(v).reshape(-1).view(np.uint8) for v in (a, b))
    whole = x.size & -8
    words = np.array_equal(x[:whole].view(np.uint64), y[:whole].view(np.uint64))
    return words and np.array_equal(x[whole:], y[whole:])
