"""Tensors from one device to another, and to other frameworks on a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.frontend.tensor import Tensor, contiguous, make
from dlc.ir.deferred import deferred
from dlc.ir.errors import DeviceError
from dlc.runtime import places
from dlc.runtime.gpu.array import GpuArray

if TYPE_CHECKING:  # of GPUs only
    from dlc.runtime.gpu import dlpack
else:
    dlpack = deferred("dlc.runtime.gpu.dlpack")


def moved(x: Tensor, device: str) -> Tensor:
    """The value of `x` on a device; `x` itself where it lies there, with the same history.

    Raises:
        DeviceError: for a device that is not there, and in a program, which is on one device.
    """
    if x.is_traced:
        if places.is_cpu(device):
            return x
        raise DeviceError(
            f"a traced value to {device!r}: a program is on one device",
            hint=f"compile the function for it: dlc.compile(f, device={device!r})",
        )
    held = x._held(".to()", "move the result of the compiled function")
    array = places.moved(contiguous(held), device)
    return x if array is held else make(array, weak=x._weak, history=x._history)


def gpu_capsule(
    array: GpuArray, stream: Any, max_version: Any, dl_device: Any, copy: bool | None
) -> Any:
    """What `__dlpack__` gives for a tensor on a GPU.

    Raises:
        DeviceError: Another device is asked for.
    """
    if dl_device is not None and tuple(dl_device) != dlpack.device_of(array):
        if copy is False or tuple(dl_device) != (1, 0):
            raise DeviceError(f"a tensor on {array.device} for the device {tuple(dl_device)}")
        return array.numpy().__dlpack__(max_version=max_version)
    shared = array.copy() if copy else array
    return dlpack.capsule(shared, stream)


def from_gpu(x: Any) -> Tensor:
    """A tensor of what lies on a GPU and has `__dlpack__`, without a copy."""
    array: Any = dlpack.imported(x)
    return make(array)
