"""Which calls of a function of tensors one native entry serves."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final

import numpy as np

from dlc.frontend.history import hashable
from dlc.frontend.tensor import Array, Tensor
from dlc.frontend.variable import Variable
from dlc.ir.types import DType

ITEMS: Final = (tuple, list, slice)  # of what an entry compares
_COMPARED: Final = (type(None), bool, int, float, str)


def kinds_of(args: Sequence[Any], takes_numbers: bool) -> tuple[Hashable, ...] | None:
    """What an entry is for in each argument; None where none is made for one of them.

    Args:
        args: Those of a call.
        takes_numbers: Whether an entry is for a number whatever its value.
    """
    kinds = tuple([_kind(x, takes_numbers) for x in args])
    return None if None in kinds else kinds


def _kind(x: Any, takes_numbers: bool) -> Hashable:
    cls = type(x)
    if cls is Tensor or cls is Variable:
        data = x._data
        if type(data) is not np.ndarray or x._weak:
            return None
        return (cls, data.dtype, data.shape, strides_of(data))
    return cls if is_number(x, takes_numbers) else _fixed_kind(x)


def is_number(x: Any, takes_numbers: bool) -> bool:
    """Whether an argument is a number that an entry takes whatever its value."""
    return takes_numbers and type(x) in (int, float)


def _fixed_kind(x: Any) -> Hashable:
    """What an entry is for in an argument that it compares; None for what it cannot compare."""
    cls = type(x)
    if cls in ITEMS:
        kinds = [_fixed_kind(item) for item in items_of(x)]
        return None if None in kinds else (cls, *kinds)
    return hashable(x) if cls in _COMPARED or x is ... or isinstance(x, DType) else None


def items_of(x: Any) -> Sequence[Any]:
    """What a list, a tuple or a slice holds."""
    return (x.start, x.stop, x.step) if type(x) is slice else x


def strides_of(array: Array) -> tuple[int, ...] | None:
    """The strides of an array that is not C-contiguous."""
    return None if array.flags.c_contiguous else array.strides


def of_any_shape(kinds: Any) -> Hashable:
    """Kinds of arguments without the extents of tensors."""
    found: list[Hashable] = []
    for kind in kinds:
        is_tensor = isinstance(kind, tuple) and kind[:1] in ((Tensor,), (Variable,))
        found.append((kind[1], len(kind[2])) if is_tensor else kind)
    return tuple(found)


def is_plain(x: Any) -> bool:
    """Whether what is computed from an argument is not recorded, however it is computed."""
    return not isinstance(x, Tensor) or (type(x) is Tensor and x._history is None)
