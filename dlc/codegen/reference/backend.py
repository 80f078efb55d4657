"""The reference backend: its code is the kernel's text, which the kernel interpreter runs.

The oracle of the other backends, and the smallest example of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.codegen.backend import nothing
from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.kernel_printer import print_kernel


class ReferenceBackend:
    """Kernels stay kernels."""

    name = "reference"
    stages: tuple[str, ...] = ()
    panel_bits = 0

    def key_entries(self) -> tuple[tuple[str, str], ...]:
        """Nothing: the text says all."""
        return ()

    def compile(
        self, kernels: Sequence[Kernel], meanwhile: Callable[[], None] = nothing
    ) -> list[bytes]:
        """The text of each kernel."""
        meanwhile()
        return [print_kernel(k).encode() for k in kernels]

    def text(self, kernels: Sequence[Kernel], stage: str) -> str:
        """There is no stage below the kernels."""
        raise ValueError(f"the reference backend has no stage {stage!r}")
