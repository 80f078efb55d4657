"""Values of a graph while it is evaluated.

A value is a `dlc.Tensor`; a NumPy array, which is known while tracing (integers may be extents, in
an array of objects); a list, for sequences; a `Stored`; or None for what is absent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import numpy as np

import dlc
from dlc.frontend.context import Conversion, conversion, current
from dlc.interop.onnx.element_types import STORED, Stored, stored

Array = np.ndarray[Any, Any]


class NeedsValue(BaseException):
    """An operator has to know a value that is computed while the program runs."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@contextlib.contextmanager
def at_once() -> Generator[None]:
    """Functions inside compute at once, also while a program is traced."""
    trace, converting = current.set(None), conversion.set(Conversion.OFF)
    try:
        yield
    finally:
        conversion.reset(converting)
        current.reset(trace)


def is_known(value: Any) -> bool:
    """Whether a value is known while tracing."""
    if isinstance(value, list):
        return all(is_known(v) for v in value)
    if isinstance(value, Stored):
        return isinstance(value.codes, np.ndarray)
    return value is None or isinstance(value, np.ndarray)


def is_text(value: Any) -> bool:
    """Whether a value is an array of texts."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "T"


def texts(values: Any) -> Array:
    """An array of texts: objects would be extents."""
    return np.asarray(values).astype(np.dtypes.StringDType())


def array_of_ints(numbers: Any, shape: Any = None) -> Array:
    """Integers and extents as an array: of int64, or of objects if there are extents."""
    numbers = list(numbers)
    if all(isinstance(n, (int, np.integer)) for n in numbers):
        made = np.array(numbers, np.int64)
    else:
        made = np.empty(len(numbers), object)
        made[:] = numbers
    return made if shape is None else made.reshape(shape)


def ints(value: Array) -> list[Any]:
    """The integers and extents of an array, as a list."""
    flat = value.reshape(-1).tolist()
    return [n if value.dtype == object else int(n) for n in flat]


def as_tensor(value: Any) -> Any:
    """A value as operators compute with it; lists and None stay as they are."""
    if isinstance(value, np.ndarray):
        if is_text(value):
            return value
        if value.dtype == object:
            if value.size == 0:
                return dlc.zeros(value.shape, dtype=dlc.int64)
            parts = [dlc.asarray(n, dtype=dlc.int64) for n in value.reshape(-1).tolist()]
            return dlc.reshape(dlc.stack(parts), value.shape)
        if _is_stored(value):
            return stored(value)
        return dlc.asarray(value)
    if isinstance(value, list):
        return [as_tensor(v) for v in value]
    return value


def _is_stored(array: Array) -> bool:
    return any(array.dtype == np.dtype(d) for d in STORED.values())


def concrete(value: Any) -> Any:
    """What an operator computed at once, as known values."""
    if isinstance(value, dlc.Tensor):
        return value.numpy()
    if isinstance(value, Stored):
        return Stored(np.asarray(concrete(value.codes)), value.kind)
    if isinstance(value, (list, tuple)):
        return [concrete(v) for v in value]
    return value
