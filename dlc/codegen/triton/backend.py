"""The GPU backend: kernels to Triton source, and through Triton to PTX and machine code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from dlc.codegen.backend import nothing
from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.triton.code import Launch, Variant, signature_of
from dlc.codegen.triton.compile import (
    Binary,
    arch_number,
    compile_variant,
    disassemble,
    resource_table,
    triton_version,
)
from dlc.codegen.triton.emit import emit_kernel, tried_launches
from dlc.codegen.triton.stored_code import GpuCode, GpuVariant
from dlc.ir.errors import BackendError


class TritonBackend:
    """Kernels to machine code for one GPU architecture.

    Args:
        arch: The architecture.
        precision: "exact", or "fast" for products on tensor cores: float32 operands are rounded to
            tf32, and computed ones of attention to the half type of the others.

    Example:
        >>> TritonBackend(arch="sm_80").key_entries()[0]
        ('arch', 'sm_80')
    """

    name = "cuda"
    stages = ("triton", "ttir", "ptx", "sass", "resources")
    panel_bits = 0

    def __init__(self, arch: str = "sm_90", precision: str = "exact") -> None:
        arch_number(arch)
        self.arch, self.precision = arch, precision
        self._shown: tuple[tuple[Kernel, ...], list[Binary]] = ((), [])

    def key_entries(self) -> tuple[tuple[str, str], ...]:
        """The architecture, how products are computed, and the version of Triton."""
        own = ("arch", self.arch), ("products", self.precision)
        return (*own, ("triton", triton_version()))

    def emit(self, kernel: Kernel) -> tuple[Launch, ...]:
        """The kernel as Triton source; BackendError for what has no form in it."""
        return emit_kernel(kernel, arch_number(self.arch), fast=self.precision == "fast")

    def binaries(self, kernel: Kernel) -> list[list[Binary]]:
        """The machine code of each variant of each launch."""
        signature = signature_of(kernel)
        return [
            [compile_variant(v, signature, self.arch) for v in launch.variants]
            for launch in self.emit(kernel)
        ]

    def compile(
        self, kernels: Sequence[Kernel], meanwhile: Callable[[], None] = nothing
    ) -> list[bytes]:
        """The code of each kernel, as `GpuCode` stores it."""
        meanwhile()
        return [self._compile(k).to_bytes() for k in kernels]

    def _compile(self, kernel: Kernel) -> GpuCode:
        launches: list[tuple[GpuVariant, ...]] = []
        for launch, made in zip(self.emit(kernel), self.binaries(kernel), strict=True):
            pairs = zip(launch.variants, made, strict=True)
            launches.append(tuple(_stored(v, b) for v, b in pairs))
        arguments = tuple(signature_of(kernel).items())
        return GpuCode(self.arch, self.precision, arguments, tuple(launches))

    def tried(self, kernel: Kernel, dims: Mapping[str, int]) -> Iterator[tuple[int, GpuVariant]]:
        """Other variants for some extents, by the number of their launch, compiled one by one.

        Those that Triton refuses are left out.
        """
        signature = signature_of(kernel)
        fast = self.precision == "fast"
        launches = tried_launches(kernel, arch_number(self.arch), dims, fast=fast)
        for k, launch in enumerate(launches):
            for v in launch.variants:
                try:
                    yield k, _stored(v, compile_variant(v, signature, self.arch))
                except BackendError:
                    continue

    def text(self, kernels: Sequence[Kernel], stage: str) -> str:
        """The kernels as Triton source, Triton IR, PTX, machine code; or what that uses."""
        if stage == "triton":
            emitted = [x for k in kernels for x in self.emit(k)]
            return "\n".join(v.source for x in emitted for v in x.variants)
        if self._shown[0] != tuple(kernels):  # else the kernels of the stage before
            made = [b for k in kernels for launch in self.binaries(k) for b in launch]
            self._shown = tuple(kernels), made
        made = self._shown[1]
        if stage == "resources":
            return resource_table(made)
        if stage == "sass":
            return "\n".join(disassemble(b.cubin) for b in made)
        return "\n".join(b.texts[stage] for b in made)


def _stored(v: Variant, b: Binary) -> GpuVariant:
    return GpuVariant(
        entry=b.entry,
        grid=v.grid,
        num_warps=v.num_warps,
        shared=b.shared,
        scratch=b.scratch,
        at_most=v.at_most,
        aligned=v.aligned,
        cubin=b.cubin,
        ptx=b.texts["ptx"].encode(),
    )
