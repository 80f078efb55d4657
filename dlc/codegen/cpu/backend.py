"""The CPU backend: kernels to machine code through LLVM."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.contraction import emit_contraction, is_contraction
from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.isa import Isa, current_isa
from dlc.codegen.cpu.kernel_code import KernelCode
from dlc.codegen.cpu.llvm import assembly, compile_module
from dlc.codegen.cpu.loops import emit_loops
from dlc.codegen.kernel_ir import Kernel
from dlc.ir.dims import Dim, dim_text
from dlc.ir.errors import BackendError
from dlc.ir.type_parser import parse_dim

CODE_VERSION = "1"  # raised when the code of an unchanged kernel changes


@dataclass(frozen=True)
class CpuCode:
    """The code of one kernel with what the runtime must know to call it.

    Dims are over the kernel's symbols.
    """

    blob: Blob
    entry: str
    units: Dim
    chunk: Dim
    scratch: Dim
    flops: Dim

    def to_bytes(self) -> bytes:
        """The stored form: a line of JSON and the blob."""
        facts = {"entry": self.entry}
        facts |= {n: dim_text(getattr(self, n)) for n in ("units", "chunk", "scratch", "flops")}
        return json.dumps(facts).encode() + b"\n" + self.blob.to_bytes()

    @staticmethod
    def from_bytes(data: bytes) -> CpuCode:
        """Reads the stored form; BackendError when it is not one."""
        line, _, rest = data.partition(b"\n")
        try:
            facts = json.loads(line)
            dims = [parse_dim(facts[n]) for n in ("units", "chunk", "scratch", "flops")]
            return CpuCode(Blob.from_bytes(rest), facts["entry"], *dims)
        except (ValueError, KeyError, TypeError) as error:
            raise BackendError(f"stored code is not readable: {error}") from None


class CpuBackend:
    """Kernels to position-independent machine code for one ISA level."""

    name = "cpu"
    stages = ("llvm", "asm")

    def __init__(self, isa: Isa | None = None) -> None:
        self.isa = isa or current_isa()

    def key_entries(self) -> tuple[tuple[str, str], ...]:
        """The ISA level and the version of this code generator."""
        return (("isa", self.isa.name), ("cpu code", CODE_VERSION))

    def emit(self, kernel: Kernel) -> KernelCode:
        """The kernel as LLVM functions."""
        if is_contraction(kernel):
            return emit_contraction(kernel, self.isa)
        return emit_loops(kernel, self.isa)

    def compile(self, kernels: Sequence[Kernel]) -> list[bytes]:
        """The code of each kernel."""
        return [self._compile(k).to_bytes() for k in kernels]

    def _compile(self, kernel: Kernel) -> CpuCode:
        code = self.emit(kernel)
        blob = compile_module(module_text(code.emitters), self.isa).blob()
        return CpuCode(blob, code.entry, code.units, code.chunk, code.scratch, code.flops)

    def text(self, kernels: Sequence[Kernel], stage: str) -> str:
        """The kernels as LLVM text or assembly."""
        texts = [module_text(self.emit(k).emitters) for k in kernels]
        if stage == "llvm":
            return "\n".join(texts)
        return "\n".join(assembly(t, self.isa) for t in texts)
