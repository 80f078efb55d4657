"""The CPU backend: kernels to machine code through LLVM."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.contraction import emit_contraction, is_contraction
from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.isa import Isa, current_isa
from dlc.codegen.cpu.kernel_code import KernelCode
from dlc.codegen.cpu.llvm import assembly, compile_module, compiler_version
from dlc.codegen.cpu.loops import emit_loops
from dlc.codegen.kernel_ir import Kernel
from dlc.ir.dims import Dim, dim_text
from dlc.ir.errors import BackendError
from dlc.ir.type_parser import parse_dim

CODE_VERSION = "1"  # raised when the code of an unchanged kernel changes
MODULE_SIZE = 16  # kernels that are compiled together
# Kernels of one kind are cut up by the same formulas.
_parse_dim = functools.lru_cache(4096)(parse_dim)
_NAME = re.compile(r"@([-\w$.]+)\(")


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
            dims = [_parse_dim(facts[n]) for n in ("units", "chunk", "scratch", "flops")]
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
        """The ISA level and the versions of this code generator and of LLVM."""
        return (
            ("isa", self.isa.name),
            ("cpu code", CODE_VERSION),
            ("llvm", compiler_version()),
        )

    def emit(self, kernel: Kernel) -> KernelCode:
        """The kernel as LLVM functions."""
        if is_contraction(kernel):
            return emit_contraction(kernel, self.isa)
        return emit_loops(kernel, self.isa)

    def compile(self, kernels: Sequence[Kernel]) -> list[bytes]:
        """The code of each kernel, complete in itself."""
        payloads: dict[int, bytes] = {}
        for module in _modules([self.emit(k) for k in kernels]):
            compiled = compile_module(module.text(), self.isa)
            blobs = compiled.blobs([c.entry for c in module.codes])
            for number, code, blob in zip(module.numbers, module.codes, blobs, strict=True):
                payloads[number] = _cpu_code(code, blob).to_bytes()
        return [payloads[k] for k in range(len(kernels))]

    def text(self, kernels: Sequence[Kernel], stage: str) -> str:
        """The kernels as LLVM text or assembly, in the modules that `compile` makes of them."""
        texts = [m.text() for m in _modules([self.emit(k) for k in kernels])]
        if stage == "llvm":
            return "\n".join(texts)
        return "\n".join(assembly(t, self.isa) for t in texts)


def _cpu_code(code: KernelCode, blob: Blob) -> CpuCode:
    return CpuCode(blob, code.entry, code.units, code.chunk, code.scratch, code.flops)


class _Module:
    """Kernels that are compiled together, with the helper functions that they share."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.codes: list[KernelCode] = []
        self._functions: dict[str, str] = {}

    def take(self, number: int, code: KernelCode) -> bool:
        """Adds a kernel, unless there are enough or names of its functions mean something else."""
        own = _functions(code)
        clash = any(self._functions.get(name, text) != text for name, text in own.items())
        if len(self.codes) == MODULE_SIZE or code.entry in self._functions or clash:
            return False
        self._functions |= own
        self.numbers.append(number)
        self.codes.append(code)
        return True

    def text(self) -> str:
        """The LLVM text."""
        return module_text([em for code in self.codes for em in code.emitters])


def _functions(code: KernelCode) -> dict[str, str]:
    """The text of each function of a kernel by name; its own functions are its alone."""
    found: dict[str, str] = {}
    for em in code.emitters:
        found[em.name] = f"{code.entry}: {em.name}"
        for declaration in em.declarations:
            name = _NAME.search(declaration)
            if name is not None:
                found[name[1]] = declaration
    return found


def _modules(codes: Sequence[KernelCode]) -> list[_Module]:
    """Kernels cut into modules; those with most helpers go first, so that they share them."""
    modules: list[_Module] = []
    helpers = [sum(len(em.declarations) for em in code.emitters) for code in codes]
    for number in sorted(range(len(codes)), key=lambda k: -helpers[k]):
        if not any(module.take(number, codes[number]) for module in modules):
            modules.append(_Module())
            modules[-1].take(number, codes[number])
    return modules
