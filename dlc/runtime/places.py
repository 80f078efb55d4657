"""Where arrays lie: in the host's memory, or on a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.ir.config import config
from dlc.ir.deferred import deferred
from dlc.ir.errors import DeviceError
from dlc.runtime.gpu.array import GpuArray

if TYPE_CHECKING:
    from dlc.runtime.gpu import device as gpus
else:
    gpus = deferred("dlc.runtime.gpu.device")

CPU = "cpu"
PLACES = 'there are "cpu" and "cuda:0"'


def is_place(name: Any) -> bool:
    """Whether this reads like the name of a device: `cpu`, `cuda`, `cuda:1`, `gpu:0`."""
    return isinstance(name, str) and name.partition(":")[0] in (CPU, "cuda", "gpu")


def may_be_elsewhere() -> bool:
    """Whether new arrays may have another place than the host's memory."""
    return GpuArray.made or config.device != CPU


def is_cpu(name: str) -> bool:
    """Whether a device is the host."""
    return name.partition(":")[0] == CPU


def place_of(array: Any) -> str:
    """The device that an array lies on."""
    return array.device if type(array) is GpuArray else CPU


def on_host(array: Any) -> np.ndarray[Any, Any]:
    """An array in the host's memory: itself, or a copy."""
    return array.numpy() if type(array) is GpuArray else array


def wait_for(array: Any) -> None:
    """Waits until an array is computed."""
    if type(array) is GpuArray:
        array.gpu.synchronize()


def moved(array: Any, device: str) -> Any:
    """An array on a device: itself where it is there.

    Raises:
        DeviceError: for a device that is not there.
    """
    if is_cpu(device):
        return on_host(array)
    try:
        gpu = gpus.open_gpu(gpus.index_of(device))
    except DeviceError as error:
        message = f"there is no device {device!r}: {error.message}"
        raise DeviceError(message, hint=error.hint) from None
    if type(array) is GpuArray:
        if array.gpu is gpu:
            return array
        array = array.numpy()
    return GpuArray.of(gpu, array)


def common_place(arrays: Iterable[Any]) -> str:
    """The device that arrays lie on; those on the host may be copied to a GPU.

    Raises:
        DeviceError: Two are on different GPUs.
    """
    found = CPU
    if GpuArray.made:
        for a in arrays:
            place = place_of(a)
            if place not in (found, CPU):
                if found != CPU:
                    raise DeviceError(f"tensors on {found} and {place}", hint=_MOVE)
                found = place
    return found


def operation_place(arrays: Iterable[Any]) -> str:
    """Where an operation on arrays runs: numbers may be on the host, all else is on one device.

    Raises:
        DeviceError: Two are on different devices.
    """
    arrays = list(arrays)
    found = common_place(arrays)
    if found != CPU and any(place_of(a) == CPU and not is_number(a) for a in arrays):
        raise DeviceError(f"an operation on tensors on cpu and {found}", hint=_MOVE)
    return found


def is_number(array: Any) -> bool:
    """Whether an array is one number, perhaps seen many times."""
    return all(s == 0 or d == 1 for s, d in zip(array.strides, array.shape, strict=True))


def check_on_host(arrays: Iterable[Any]) -> None:
    """DeviceError for an array on a GPU, which a program of the CPU cannot read."""
    found = common_place(arrays)
    if found != CPU:
        raise DeviceError(
            f"a tensor on {found} for a program on the CPU",
            hint=f'move it with .to("cpu"), or compile for the device {found!r}',
        )


_MOVE = "move one with .to(device)"
