"""Arrays in the memory of a GPU: what tensors hold there, dense and row-major.

They have those attributes of NumPy's arrays by which dlc knows what a tensor is. Their elements are
reached by copying them to the host.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlc.ir.config import config
from dlc.ir.record import dataclass
from dlc.ir.types import DType, dtype_of

if TYPE_CHECKING:
    from dlc.runtime.gpu.device import Gpu


@dataclass(frozen=True)
class _Flags:
    c_contiguous: bool = True
    aligned: bool = True
    writeable: bool = True
    owndata: bool = True


_FLAGS = _Flags()


class GpuArray:
    """A tensor's elements on a GPU.

    Args:
        gpu: Where.
        shape: The extents.
        dtype: The element type.
        pointer: The address; memory of its own is taken without one.
        base: What owns the memory at `pointer`, kept as long as this.
    """

    __slots__ = ("__weakref__", "base", "dtype", "gpu", "pointer", "shape")
    flags = _FLAGS
    made = False  # whether there has been one in this process

    def __init__(
        self,
        gpu: Gpu,
        shape: Sequence[int],
        dtype: DType,
        pointer: int | None = None,
        base: object = None,
    ) -> None:
        if not GpuArray.made:
            GpuArray.made = True
            config.end_entries()  # those made so far do not ask where a call's tensors lie
        self.gpu, self.shape, self.dtype, self.base = gpu, tuple(shape), dtype.numpy, base
        if pointer is None:
            pointer = gpu.allocate(self.nbytes)
            if pointer:
                # At exit the driver may be gone, and the memory with it.
                weakref.finalize(self, gpu.free, pointer).atexit = False
        self.pointer = pointer

    @classmethod
    def of(cls, gpu: Gpu, array: np.ndarray[Any, Any]) -> Self:
        """A copy of an array of the host."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        made = cls(gpu, array.shape, dtype_of(array.dtype))
        gpu.copy_in(made.pointer, array.ctypes.data, made.nbytes)
        return made

    @property
    def device(self) -> str:
        """Where it lies, such as "cuda:0"."""
        return self.gpu.name

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next, by axis."""
        found: list[int] = []
        step = self.dtype.itemsize
        for d in reversed(self.shape):
            found.append(step)
            step *= d
        return tuple(reversed(found))

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy in the host's memory, when all that was asked of the GPU before is done."""
        made = np.empty(self.shape, self.dtype)
        self.gpu.copy_out(made.ctypes.data, self.pointer, self.nbytes)
        return made

    def copy(self) -> GpuArray:
        """Another array of the same elements, on the same GPU."""
        made = GpuArray(self.gpu, self.shape, dtype_of(self.dtype))
        self.gpu.copy(made.pointer, self.pointer, self.nbytes)
        return made

    def reshaped(self, shape: Sequence[int]) -> GpuArray:
        """The same elements under another shape of as many."""
        return GpuArray(self.gpu, shape, dtype_of(self.dtype), self.pointer, self)

    def item(self, *index: int) -> Any:
        """An element as a Python number."""
        return self.numpy().item(*index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{self.dtype.name}{list(self.shape)} on {self.device}>"
