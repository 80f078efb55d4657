"""Devices.

For each kind, the backend that compiles for it and the loader that runs what was compiled.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from dlc.codegen.backend import Backend
from dlc.ir.errors import DeviceError
from dlc.ir.op import ANY_ROW
from dlc.ir.record import dataclass


class BoundProgram(Protocol):
    """A program for particular extents."""

    def run(
        self, inputs: Sequence[np.ndarray[Any, Any]], num_threads: int
    ) -> list[np.ndarray[Any, Any]]:
        """The results, in arrays of their own or in those of donated inputs."""
        ...


class LoadedProgram(Protocol):
    """A program with its code."""

    def bind(self, values: Mapping[str, int]) -> BoundProgram:
        """The program for these values of the symbols."""
        ...


@dataclass(frozen=True)
class Device:
    """How programs get onto a kind of device.

    load: takes a program, the code of its kernels, and the values of its `fixed` slots.
    own_kernels: up to which extent of rows, known when compiling, its backend compiles the kernels
        of ops that have some of their own; 0 for none.
    split: how long sums of products are shared out, as options of `SplitProducts`; those of a CPU
        where there are none.
    by_precision: whether the backend is made with the precision that is asked for.
    many: whether there are several of a kind: both functions are then given first what stands
        after the colon of the device's name.
    """

    backend: Callable[..., Backend]
    load: Callable[..., LoadedProgram]
    own_kernels: int = ANY_ROW
    split: tuple[int, ...] = ()
    by_precision: bool = False
    many: bool = False

    def backend_at(self, precision: str) -> Backend:
        """The backend for "exact" or "fast" arithmetic, which may be the same."""
        return self.backend(precision=precision) if self.by_precision else self.backend()


def _named(path: str) -> Callable[..., Any]:
    """The class `module:name`, imported at its first call: most programs use one device."""
    module, _, name = path.partition(":")

    def make(*args: Any, **settings: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **settings)

    return make


_DEVICES: dict[str, Device] = {
    "cpu": Device(
        _named("dlc.runtime.cpu_backend:cached_backend"), _named("dlc.runtime.cpu:CpuProgram")
    ),
    "cuda": Device(
        _named("dlc.runtime.gpu.choice:gpu_backend"),
        _named("dlc.runtime.gpu.program:GpuProgram"),
        own_kernels=256,  # what a program of the GPU holds of a row
        split=(256, 256, 1 << 16),  # twice as many pieces as there are multiprocessors
        by_precision=True,
        many=True,
    ),
    "reference": Device(
        _named("dlc.codegen.reference.backend:ReferenceBackend"),
        _named("dlc.runtime.reference:ReferenceProgram"),
    ),
}


def register_device(kind: str, device: Device) -> None:
    """Adds a kind of device; ValueError for a name that is taken."""
    if kind in _DEVICES:
        raise ValueError(f"device {kind} is registered already")
    _DEVICES[kind] = device


def unregister_device(kind: str) -> None:
    """Removes a kind that an extension or a test has added."""
    del _DEVICES[kind]


def device_kinds() -> tuple[str, ...]:
    """The kinds that there are: `cpu`, `cuda`, `reference` and what has been added."""
    return tuple(_DEVICES)


def find_device(name: str) -> Device:
    """The device kind of `cpu`, `cuda:0` and the like; DeviceError for an unknown one."""
    kind, _, which = name.partition(":")
    if kind not in _DEVICES:
        kinds = ", ".join(_DEVICES)  # the nearest name to gpu is cpu, which is not meant
        raise DeviceError(f"there is no device {name!r}", hint=f"the kinds of devices are {kinds}")
    found = _DEVICES[kind]
    if not found.many:
        return found
    return Device(
        functools.partial(found.backend, which),
        functools.partial(found.load, which),
        found.own_kernels,
        found.split,
        found.by_precision,
        many=True,
    )
