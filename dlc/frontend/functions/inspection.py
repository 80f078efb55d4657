"""What there is: devices, element types, and what the namespace is able to do."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

from dlc.frontend.dtypes import isdtype
from dlc.ir.config import config
from dlc.ir.errors import DeviceError
from dlc.ir.types import DTYPES, DType, bfloat16, float16, float32, int64
from dlc.runtime.gpu.driver import gpu_count

_BEYOND_THE_STANDARD = (float16, bfloat16)
_MOST_AXES = 64  # those of a NumPy array


def devices() -> tuple[str, ...]:
    """The devices that tensors can lie on: the CPU, and the GPUs that there are.

    Returns:
        Their names, the default one first.

    Example:
        >>> dlc.devices()
        ('cpu',)
    """
    return ("cpu", *(f"cuda:{k}" for k in range(gpu_count())))


@contextlib.contextmanager
def device(name: Any) -> Generator[None]:
    """Where tensors are made, and programs run that name no device, inside of a `with`.

    The same as `config.scope(device=name)`, for a device that is there; for the calling thread
    alone.

    Args:
        name: One of `devices()`, or `cuda` for the first GPU.

    Returns:
        What `with` takes.

    Raises:
        DeviceError: There is no such device.

    Example:
        >>> with dlc.device("cpu"):
        ...     x = dlc.zeros(2)
        >>> x.device
        'cpu'
    """
    check_is_there(name)
    with config.scope(device=str(name)):
        yield


def check_is_there(name: Any) -> None:
    """DeviceError for a `device=` that this machine does not have."""
    names = devices()
    if name is not None and str(name) not in (*names, *(n.partition(":")[0] for n in names)):
        raise DeviceError(f"there is no device {name!r}", hint=f"there are {', '.join(names)}")


class NamespaceInfo:
    """What the Array API's inspection functions tell about dlc."""

    def capabilities(self) -> dict[str, Any]:
        """What results may have shapes that depend on values (outside of compiled code); limits."""
        return {
            "boolean indexing": True,
            "data-dependent shapes": True,
            "max dimensions": _MOST_AXES,
        }

    def default_device(self) -> str:
        """The device on which tensors are made."""
        return config.device

    def devices(self) -> tuple[str, ...]:
        """All devices."""
        return devices()

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The dtypes of Python's numbers, and of indices."""
        check_is_there(device)
        return {"real floating": float32, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The dtypes that the standard knows, by name: of a kind, of one of several, or all."""
        check_is_there(device)
        standard = [d for d in DTYPES if d not in _BEYOND_THE_STANDARD]
        return {d.name: d for d in standard if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> NamespaceInfo:  # noqa: N807 - the Array API's name
    """The Array API's inspection functions, as methods of one object.

    Returns:
        An object with `capabilities`, `default_device`, `default_dtypes`, `devices` and `dtypes`.

    Example:
        >>> sorted(dlc.__array_namespace_info__().dtypes(kind="real floating"))
        ['float32', 'float64']
    """
    return NamespaceInfo()
