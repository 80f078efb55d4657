"""PyTorch's tensors and dlc's over the same memory."""

from __future__ import annotations

from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

import dlc
from dlc.ir.errors import DTypeError

_TYPES = {
    "float32": dlc.float32, "float64": dlc.float64, "float16": dlc.float16,
    "bfloat16": dlc.bfloat16, "int8": dlc.int8, "int16": dlc.int16, "int32": dlc.int32,
    "int64": dlc.int64, "uint8": dlc.uint8, "uint16": dlc.uint16, "uint32": dlc.uint32,
    "uint64": dlc.uint64, "bool": dlc.bool,
}  # fmt: skip


Array: TypeAlias = np.ndarray[Any, Any]


def dtype_of(torch_dtype: Any) -> Any:
    """dlc's element type for one of PyTorch's.

    Raises:
        DTypeError: It has none, as for complex numbers.
    """
    name = str(torch_dtype).removeprefix("torch.")
    if name not in _TYPES:
        hint = "keep real and imaginary parts in two tensors" if "complex" in name else None
        raise DTypeError(f"dlc has no element type for {torch_dtype}", hint=hint)
    return _TYPES[name]


def address_of(array: Array) -> int:
    """Where the elements of an array begin."""
    return array.__array_interface__["data"][0]


def torch_dtype_of(dtype: Any) -> Any:
    """PyTorch's element type for one of dlc's."""
    import torch

    name = next(n for n, d in _TYPES.items() if d == dtype)
    return getattr(torch, name)


def array_of(tensor: Any) -> Array:
    """A NumPy array over the memory of one of PyTorch's tensors; an empty one for None, a token."""
    import torch

    if tensor is None:
        return np.zeros(0, np.float32)
    t = tensor.detach()
    if t.dtype is torch.bfloat16:
        return t.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return t.numpy()


def tensor_of(value: dlc.Tensor, held: set[int]) -> Any:
    """One of PyTorch's tensors over the memory of a result, without a copy.

    Args:
        value: The result, which nobody else uses.
        held: Addresses of memory that others hold: of these a copy is made. The result's is added.
    """
    import torch

    array = value.numpy()
    place = address_of(array)
    array = np.array(array) if place in held or not array.size else np.asarray(_Writable(array))
    held.add(place)
    made = torch.from_numpy(array.view(np.int16) if array.dtype == ml_dtypes.bfloat16 else array)
    return made.view(torch.bfloat16) if value.dtype == dlc.bfloat16 else made


class _Writable:
    """The memory of a read-only array that has no other user left, for writing."""

    def __init__(self, array: Array) -> None:
        whole = array.view(np.int16) if array.dtype == ml_dtypes.bfloat16 else array
        interface = dict(whole.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self.owner = array
