"""A GPU that is measured on: what it is, when it is done, and what it can do."""

from __future__ import annotations

import time

import dlc
from dlc.bench.share import Peaks
from dlc.runtime.gpu.device import index_of, open_gpu
from dlc.runtime.gpu.driver import driver, gpu_facts

_TRIES, _CALLS = 7, 10
FOOTPRINTS = (16 << 20, 2 << 30)  # bytes: the second cache, memory
# By architecture: operations of bfloat16 on tensor cores for one of float32 beside them.
_HALF = {"sm_80": 16.0, "sm_90": 16.0}
_LANES = 128  # multiply-adds of float32 that a multiprocessor does in a cycle


def settings(device: str) -> dict[str, str]:
    """What the device is, for a reader of the results; DeviceError where there is none."""
    facts = gpu_facts(index_of(device))
    return {"GPU": f"{facts.name} ({facts.arch})", "driver": f"CUDA {facts.driver}"}


def wait(device: str) -> None:
    """Returns when all that was begun on a device is done."""
    open_gpu(index_of(device)).synchronize()


def measure_peaks(device: str, largest: float) -> Peaks:
    """What a device can do: bytes as a copy by a kernel moves them, operations by its data sheet.

    Args:
        device: Which one.
        largest: The most bytes that a case moves: larger footprints than it needs are left out.
    """
    index = index_of(device)
    needed = FOOTPRINTS[: 1 + sum(size < largest for size in FOOTPRINTS)]
    moved = {str(size): _bytes_a_second(device, size) for size in needed}
    d = driver()
    names = d.api.CUdevice_attribute
    processors, kilohertz = (
        int(d.call("cuDeviceGetAttribute", name, d.call("cuDeviceGet", index)))
        for name in (
            names.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
            names.CU_DEVICE_ATTRIBUTE_CLOCK_RATE,
        )
    )
    operations = 2.0 * _LANES * processors * kilohertz * 1000
    return {"operations": operations, "bytes": moved, "half": _HALF.get(gpu_facts(index).arch, 1.0)}


def _bytes_a_second(device: str, size: int) -> float:
    """Of the fastest of some turns of copies that read and write so many bytes in all."""
    copy = dlc.compile(lambda x: -x, device=device)
    x = dlc.zeros((size // 8,), dtype=dlc.float32, device=device)
    copy(x)
    best = float("inf")
    for _ in range(_TRIES):
        wait(device)
        start = time.perf_counter()
        for _ in range(_CALLS):
            copy(x)
        wait(device)
        best = min(best, (time.perf_counter() - start) / _CALLS)
    return size / best
