"""Programs for NVIDIA GPUs: compiled, stored and shown; this version has no launcher for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from dlc.codegen.program import Program
from dlc.codegen.triton.backend import GpuCode
from dlc.ir.errors import DeviceError


class CudaProgram:
    """A program with its machine code."""

    def __init__(
        self,
        program: Program,
        payloads: Sequence[bytes],
        fixed: Sequence[np.ndarray[Any, Any]] = (),
    ) -> None:
        self.program = program
        called = next((k.host for k in program.kernels if k.host is not None), None)
        if called is not None:
            raise DeviceError(
                f"{program.name}: {called.op.name} runs in Python, on the host's memory",
                hint="compile for the device 'cpu'",
            )
        self.codes = [GpuCode.from_bytes(p) for p in payloads]

    def bind(self, values: Mapping[str, int]) -> NoReturn:
        """Raises DeviceError: nothing can be launched."""
        raise DeviceError(
            f"{self.program.name} cannot run: no NVIDIA driver is used by this version",
            hint="compile for the device 'cpu' to run it, or read its code with `dlc dump`",
        )
