"""Which GPUs there are, and the backend that compiles for one, or for an architecture."""

from __future__ import annotations

from dlc.codegen.triton.backend import TritonBackend
from dlc.ir.errors import DeviceError
from dlc.runtime.gpu.device import index_of
from dlc.runtime.gpu.driver import gpu_count, gpu_facts

DEFAULT_ARCH = "sm_90"  # of code that is made where there is no GPU


def gpu_backend(which: str, precision: str = "exact") -> TritonBackend:
    """The backend for the GPU of a number, or for an architecture such as "sm_80".

    Where there is no GPU, it compiles for `DEFAULT_ARCH`.
    """
    if which.startswith("sm_"):
        return TritonBackend(which, precision)
    index = index_of(f"cuda:{which}" if which else "cuda")
    try:
        return TritonBackend(gpu_facts(index).arch, precision)
    except DeviceError:
        if gpu_count():
            raise
        return TritonBackend(DEFAULT_ARCH, precision)
