"""NVIDIA's driver, through `cuda-bindings`: loaded at first use, its failures told in words."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from dlc.ir.errors import DeviceError, DlcError, MemoryLimitError
from dlc.ir.record import dataclass

OLDEST = 12000  # the version of the driver that this is written for: 12.0
_BINDINGS = "cuda.bindings.driver"
_EXTRA = "install it with: pip install 'dlc[gpu]'"
_NO_DRIVER = "install NVIDIA's driver, or compile for the device 'cpu'"
_OUT_OF_MEMORY = 2
_NO_DEVICE = 100
_WRONG_CODE = {200: "the code is of another form", 209: "it has no code for this architecture"}
_TOO_NEW = {218: "its PTX is refused", 222: "its PTX is of a later version"}


class LoadError(DeviceError):
    """Machine code that a GPU or its driver does not take; `status` is the driver's."""

    def __init__(self, message: str, status: int, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.status = status


@functools.cache
def _bindings() -> Any:
    try:
        return importlib.import_module(_BINDINGS)
    except ImportError as error:
        raise DeviceError(f"cuda-bindings cannot be imported: {error}", hint=_EXTRA) from None


class Driver:
    """The driver's calls, each of which gives what it returns besides its status.

    Raises:
        DeviceError: There is no driver, no GPU, or the driver is too old.
    """

    def __init__(self) -> None:
        self.api = _bindings()
        try:
            status, *_ = self.api.cuInit(0)
        except Exception as error:  # noqa: BLE001  (the bindings have their own kinds)
            raise DeviceError(f"there is no NVIDIA driver: {error}", hint=_NO_DRIVER) from None
        if int(status) == _NO_DEVICE:
            raise DeviceError("there is no NVIDIA GPU here", hint="compile for the device 'cpu'")
        self._check("cuInit", status)
        self.version = int(self.call("cuDriverGetVersion"))
        if self.version < OLDEST:
            raise DeviceError(
                f"NVIDIA's driver serves CUDA {_version(self.version)}, which is too old",
                hint=f"install a driver for CUDA {_version(OLDEST)} or later",
            )

    def call(self, name: str, *args: Any) -> Any:
        """Calls a function of the driver.

        Raises:
            MemoryLimitError: The GPU has not enough memory.
            DeviceError: The driver reports another error.
        """
        status, *results = getattr(self.api, name)(*args)
        if status:
            self._check(name, status)
        return results[0] if len(results) == 1 else results

    def _check(self, name: str, status: Any) -> None:
        number = int(status)
        if number:
            raise self._error(name, number, status)

    def _error(self, name: str, number: int, status: Any) -> DlcError:
        text = f"{name}: {self._text(status)} ({number})"
        if number == _OUT_OF_MEMORY:
            return MemoryLimitError(f"the GPU has not enough memory: {text}")
        if number in _WRONG_CODE:
            return LoadError(f"the GPU does not take the code: {_WRONG_CODE[number]}", number)
        if number in _TOO_NEW:
            return LoadError(
                f"the driver does not take the code: {_TOO_NEW[number]}",
                number,
                hint="install a later driver, or an earlier Triton",
            )
        return DeviceError(f"NVIDIA's driver reports an error: {text}")

    def _text(self, status: Any) -> str:
        _, text = self.api.cuGetErrorString(status)
        return text.decode() if isinstance(text, bytes) else str(text)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


@dataclass(frozen=True)
class GpuFacts:
    """What is known of a GPU.

    Args:
        index: Its number.
        name: As its maker has it.
        arch: Its architecture, such as "sm_90".
        memory: Its bytes.
        driver: The version of CUDA that its driver serves.
    """

    index: int
    name: str
    arch: str
    memory: int
    driver: str


@functools.cache
def driver() -> Driver:
    """The driver, loaded once.

    Raises:
        DeviceError: There is none, or it is of no use.
    """
    return Driver()


def gpu_count() -> int:
    """The number of GPUs; 0 where there is no driver."""
    try:
        return int(driver().call("cuDeviceGetCount"))
    except DeviceError:
        return 0


@functools.cache
def gpu_facts(index: int) -> GpuFacts:
    """What is known of a GPU, without making a context on it.

    Raises:
        DeviceError: There is no such GPU.
    """
    d = driver()
    count = int(d.call("cuDeviceGetCount"))
    if not 0 <= index < count:
        known = ", ".join(f"cuda:{k}" for k in range(count))
        raise DeviceError(f"there is no GPU cuda:{index}", hint=f"there are: {known}")
    device = d.call("cuDeviceGet", index)
    names = d.api.CUdevice_attribute
    major, minor = (
        int(d.call("cuDeviceGetAttribute", getattr(names, _CAPABILITY + part), device))
        for part in ("MAJOR", "MINOR")
    )
    name = d.call("cuDeviceGetName", 256, device)
    return GpuFacts(
        index=index,
        name=name.split(b"\0")[0].decode() if isinstance(name, bytes) else str(name),
        arch=f"sm_{major}{minor}",
        memory=int(d.call("cuDeviceTotalMem", device)),
        driver=_version(d.version),
    )


_CAPABILITY = "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_"


def forget_driver() -> None:
    """Lets the next call look for a driver again: a test has put another one in its place."""
    for cached in (_bindings, driver, gpu_facts):
        cached.cache_clear()
