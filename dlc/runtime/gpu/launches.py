"""From stored code to launches: functions of modules, grids, arguments."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from dlc.codegen.triton.stored_code import GpuCode, GpuVariant
from dlc.ir.dims import evaluate
from dlc.ir.errors import DeviceError, MemoryLimitError
from dlc.runtime.gpu.device import Gpu
from dlc.runtime.gpu.driver import LoadError

_MOST_PROGRAMS = 2**31 - 1  # of a grid's first axis
_STATIC_SHARED = 48 << 10  # bytes of shared memory that need not be asked for
_WARP = 32


class Launch:
    """One launch of a kernel, with what does not change from call to call filled in.

    Args:
        function: The driver's.
        variant: What it was made of.
        grid: The number of programs.
        slots: For each pointer the slot whose memory it is.
        dims: The values of the kernel's dims.
    """

    def __init__(
        self,
        function: Any,
        variant: GpuVariant,
        grid: int,
        slots: Sequence[int],
        dims: Sequence[int],
    ) -> None:
        self.function, self.slots, self.grid = function, tuple(slots), grid
        self.threads, self.shared = _WARP * variant.num_warps, variant.shared
        self.scratch = variant.scratch * grid
        # Every argument has eight bytes: pointers, dims, and two pointers to scratch memory.
        count = len(slots) + len(dims) + 2
        self._values = (ctypes.c_uint64 * count)(*[0] * len(slots), *dims, 0, 0)
        at = ctypes.addressof(self._values)
        self._addresses = (ctypes.c_void_p * count)(*range(at, at + 8 * count, 8))
        self._arguments = ctypes.addressof(self._addresses)
        self._scratch_at = count - 2

    def enqueue(self, gpu: Gpu, pointers: Sequence[int]) -> None:
        """Puts it into the stream; `pointers` are the addresses of all slots."""
        values = self._values
        for k, slot in enumerate(self.slots):
            values[k] = pointers[slot]
        scratch = gpu.allocate(self.scratch)
        values[self._scratch_at] = scratch
        gpu.call(
            "cuLaunchKernel", self.function, self.grid, 1, 1, self.threads, 1, 1, self.shared,
            gpu.stream, self._arguments, 0,
        )  # fmt: skip
        gpu.free(scratch)


class LoadedCode:
    """The code of one kernel on a GPU; a variant is loaded when it is first launched.

    Raises:
        DeviceError: The GPU is of another architecture, and the driver cannot translate the code.
    """

    def __init__(self, gpu: Gpu, code: GpuCode) -> None:
        self.gpu, self.code = gpu, code
        self._functions: dict[int, Any] = {}
        self._modules: list[Any] = []

    def launches(self, slots: Sequence[int], dims: Mapping[str, int]) -> list[Launch]:
        """The launches of a call.

        Args:
            slots: The slots of the kernel's parameters.
            dims: The values of its dims.
        """
        found: list[Launch] = []
        for variants in self.code.launches:
            variant = next(v for v in variants if v.fits(dims))
            grid = evaluate(variant.grid, dims)
            if grid > _MOST_PROGRAMS:
                raise MemoryLimitError(
                    f"{variant.entry} needs {grid:,} programs, more than a launch can have",
                    hint="use a smaller batch",
                )
            if grid:
                function = self._function(variant)
                found.append(Launch(function, variant, grid, slots, tuple(dims.values())))
        return found

    def _function(self, variant: GpuVariant) -> Any:
        found = self._functions.get(id(variant))
        if found is None:
            with self.gpu.active():
                found = self._functions[id(variant)] = self._load(variant)
        return found

    def _load(self, variant: GpuVariant) -> Any:
        gpu = self.gpu
        module = self._module(variant)
        self._modules.append(module)
        function = gpu.call("cuModuleGetFunction", module, variant.entry.encode())
        if variant.shared > _STATIC_SHARED:
            name = gpu.driver.api.CUfunction_attribute
            most = name.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            gpu.call("cuFuncSetAttribute", function, most, variant.shared)
        return function

    def _module(self, variant: GpuVariant) -> Any:
        """The machine code; where the GPU does not take it, what the driver makes of the PTX."""
        facts = self.gpu.facts
        try:
            return self.gpu.call("cuModuleLoadData", variant.cubin)
        except LoadError as first:
            try:
                return self.gpu.call("cuModuleLoadData", variant.ptx + b"\0")
            except LoadError as second:
                if self.code.arch == facts.arch:
                    raise second from None
                raise DeviceError(
                    f"{variant.entry} is code for {self.code.arch}, and {self.gpu.name} "
                    f"({facts.name}) is {facts.arch}: {first.message}",
                    hint=f"compile it for this GPU, as the device {self.gpu.name!r}",
                ) from None
