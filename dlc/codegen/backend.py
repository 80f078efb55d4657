"""What a backend is: kernels in, code and readable stages out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dlc.codegen.kernel_ir import Kernel


def nothing() -> None:
    """What there is to do while code is made, if nothing is."""


class Backend(Protocol):
    """Compiles kernels.

    A new backend is a class like this and a loader for its code in `dlc.runtime.device`.

    name: the device kind that it serves.
    stages: the texts that it can show of kernels, in order, each one a file extension too.
    panel_bits: the width of the panels in which products read fixed matrices (`Prepack`); 0 where
        they read rows as well.
    """

    @property
    def name(self) -> str:
        """The device kind that it serves."""
        ...

    @property
    def stages(self) -> tuple[str, ...]:
        """The texts that it can show, in order."""
        ...

    @property
    def panel_bits(self) -> int:
        """The width of the panels of packed matrices, 0 for none."""
        ...

    def key_entries(self) -> tuple[tuple[str, str], ...]:
        """What the code depends on besides the kernel: (label, text) entries of the cache key."""
        ...

    def compile(
        self, kernels: Sequence[Kernel], meanwhile: Callable[[], None] = nothing
    ) -> list[bytes]:
        """The code of each kernel, as bytes that may be stored and loaded in another process.

        `meanwhile` is called once, while other threads are at work where there are such.
        """
        ...

    def text(self, kernels: Sequence[Kernel], stage: str) -> str:
        """What `kernels` look like at one of `stages`."""
        ...
