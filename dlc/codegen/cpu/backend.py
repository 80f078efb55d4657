"""The CPU backend: kernels to machine code through LLVM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dlc.codegen.backend import nothing
from dlc.codegen.cpu.compiler_version import compiler_version
from dlc.codegen.cpu.isa import Isa, current_isa
from dlc.codegen.kernel_ir import Kernel
from dlc.ir.deferred import deferred

if TYPE_CHECKING:
    from dlc.codegen.cpu import modules
    from dlc.codegen.cpu.helper_code import HelperStore
    from dlc.codegen.cpu.kernel_code import KernelCode
else:
    modules = deferred("dlc.codegen.cpu.modules")


class CpuBackend:
    """Kernels to position-independent machine code for one ISA level."""

    name = "cpu"
    stages = ("llvm", "asm")

    def __init__(self, isa: Isa | None = None, helpers: HelperStore | None = None) -> None:
        self.isa = isa or current_isa()
        self.helpers = helpers

    @property
    def panel_bits(self) -> int:
        """Two vectors: the more rows of sums fit the registers beside them."""
        return 2 * self.isa.vector_bits

    def key_entries(self) -> tuple[tuple[str, str], ...]:
        """The ISA level and the version of LLVM."""
        return ("isa", self.isa.name), ("llvm", compiler_version())

    def emit(self, kernel: Kernel) -> KernelCode:
        """The kernel as LLVM functions."""
        return modules.emit(kernel, self.isa)

    def compile(
        self, kernels: Sequence[Kernel], meanwhile: Callable[[], None] = nothing
    ) -> list[bytes]:
        """The code of each kernel, complete in itself."""
        return modules.compile_kernels(kernels, self.isa, self.helpers, meanwhile)

    def text(self, kernels: Sequence[Kernel], stage: str) -> str:
        """The kernels as LLVM text or assembly, in the modules that `compile` makes of them."""
        return (modules.llvm_text if stage == "llvm" else modules.assembly_text)(kernels, self.isa)
