"""The GPU backend: kernels to Triton source, and through Triton to PTX and machine code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.triton.code import Launch, dims_fit, signature_of
from dlc.codegen.triton.compile import (
    Binary,
    arch_number,
    compile_variant,
    disassemble,
    triton_version,
)
from dlc.codegen.triton.emit import emit_kernel
from dlc.ir.dims import Dim, dim_text
from dlc.ir.errors import StoredCodeError
from dlc.ir.type_parser import parse_dim

CODE_VERSION = "1"  # raised when the code of an unchanged kernel changes


@dataclass(frozen=True)
class GpuVariant:
    """The code of one variant of a launch, with when and how to run it.

    Args:
        entry: The name of the function in the machine code.
        grid: The number of programs, over the kernel's dims.
        num_warps: Warps a program.
        shared: Bytes of shared memory of a program.
        scratch: Bytes of global scratch memory of a program.
        at_most: Extents and the largest values of theirs that this variant is right for.
        aligned: Whether every dim of the kernel must be a multiple of 16.
        cubin: The machine code; its function takes the kernel's arguments in order, then two
            pointers to scratch memory.
        ptx: The assembly that the machine code was made of, for other drivers.
    """

    entry: str
    grid: Dim
    num_warps: int
    shared: int
    scratch: int
    at_most: tuple[tuple[Dim, int], ...]
    aligned: bool
    cubin: bytes
    ptx: bytes

    def fits(self, dims: Mapping[str, int]) -> bool:
        """Whether it is right for these values of the kernel's dims."""
        return dims_fit(dims, self.at_most, self.aligned)


@dataclass(frozen=True)
class GpuCode:
    """The code of one kernel: launches in order; of the variants of each, the first that fits runs.

    Args:
        arch: The architecture, such as "sm_90".
        arguments: The names and types of every function's arguments: a pointer `p_x` for each
            parameter x, an i64 `dim_N` for each dim.
        launches: The variants of each launch; the last one always fits.
    """

    arch: str
    arguments: tuple[tuple[str, str], ...]
    launches: tuple[tuple[GpuVariant, ...], ...]

    def to_bytes(self) -> bytes:
        """The stored form: a line of JSON, then the machine code and PTX of each variant."""
        facts = {
            "arch": self.arch,
            "arguments": self.arguments,
            "launches": [[_facts(v) for v in launch] for launch in self.launches],
        }
        blobs = [b for launch in self.launches for v in launch for b in (v.cubin, v.ptx)]
        return json.dumps(facts).encode() + b"\n" + b"".join(blobs)

    @staticmethod
    def from_bytes(data: bytes) -> GpuCode:
        """Reads the stored form; StoredCodeError when it is not one."""
        line, _, rest = data.partition(b"\n")
        try:
            facts = json.loads(line)
            launches: list[tuple[GpuVariant, ...]] = []
            at = 0
            for stored in facts["launches"]:
                variants: list[GpuVariant] = []
                for v in stored:
                    middle, end = at + int(v["cubin"]), at + int(v["cubin"]) + int(v["ptx"])
                    variants.append(_variant(v, rest[at:middle], rest[middle:end]))
                    at = end
                launches.append(tuple(variants))
            if at != len(rest):
                raise ValueError("its length is wrong")
            arguments = tuple((str(n), str(t)) for n, t in facts["arguments"])
            return GpuCode(str(facts["arch"]), arguments, tuple(launches))
        except (ValueError, KeyError, TypeError) as error:
            raise StoredCodeError(f"stored code is not readable: {error}") from None


def _facts(v: GpuVariant) -> dict[str, object]:
    return {
        "entry": v.entry,
        "grid": dim_text(v.grid),
        "num_warps": v.num_warps,
        "shared": v.shared,
        "scratch": v.scratch,
        "at_most": [[dim_text(d), limit] for d, limit in v.at_most],
        "aligned": v.aligned,
        "cubin": len(v.cubin),
        "ptx": len(v.ptx),
    }


def _variant(facts: Mapping[str, object], cubin: bytes, ptx: bytes) -> GpuVariant:
    numbers = {n: int(str(facts[n])) for n in ("num_warps", "shared", "scratch")}
    limits = facts["at_most"]
    if not isinstance(limits, list):
        raise TypeError("at_most is no list")
    return GpuVariant(
        entry=str(facts["entry"]),
        grid=parse_dim(str(facts["grid"])),
        at_most=tuple((parse_dim(str(d)), int(limit)) for d, limit in limits),
        aligned=bool(facts["aligned"]),
        cubin=cubin,
        ptx=ptx,
        **numbers,
    )


class TritonBackend:
    """Kernels to machine code for one GPU architecture.

    Example:
        >>> TritonBackend(arch="sm_80").key_entries()[0]
        ('arch', 'sm_80')
    """

    name = "cuda"
    stages = ("triton", "ttir", "ptx", "sass")
    panel_bits = 0

    def __init__(self, arch: str = "sm_90") -> None:
        arch_number(arch)
        self.arch = arch

    def key_entries(self) -> tuple[tuple[str, str], ...]:
        """The architecture, Triton's version and the version of this code generator."""
        return (("arch", self.arch), ("triton", triton_version()), ("triton code", CODE_VERSION))

    def emit(self, kernel: Kernel) -> tuple[Launch, ...]:
        """The kernel as Triton source; BackendError for what has no form in it."""
        return emit_kernel(kernel)

    def binaries(self, kernel: Kernel) -> list[list[Binary]]:
        """The machine code of each variant of each launch."""
        signature = signature_of(kernel)
        return [
            [compile_variant(v, signature, self.arch) for v in launch.variants]
            for launch in self.emit(kernel)
        ]

    def compile(self, kernels: Sequence[Kernel]) -> list[bytes]:
        """The code of each kernel, as `GpuCode` stores it."""
        return [self._compile(k).to_bytes() for k in kernels]

    def _compile(self, kernel: Kernel) -> GpuCode:
        launches: list[tuple[GpuVariant, ...]] = []
        for launch, made in zip(self.emit(kernel), self.binaries(kernel), strict=True):
            variants = [
                GpuVariant(
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
                for v, b in zip(launch.variants, made, strict=True)
            ]
            launches.append(tuple(variants))
        return GpuCode(self.arch, tuple(signature_of(kernel).items()), tuple(launches))

    def text(self, kernels: Sequence[Kernel], stage: str) -> str:
        """The kernels as Triton source, Triton IR, PTX or machine instructions."""
        if stage == "triton":
            emitted = [x for k in kernels for x in self.emit(k)]
            return "\n".join(v.source for x in emitted for v in x.variants)
        made = [b for k in kernels for launch in self.binaries(k) for b in launch]
        if stage == "sass":
            return "\n".join(disassemble(b.cubin) for b in made)
        return "\n".join(b.texts[stage] for b in made)
