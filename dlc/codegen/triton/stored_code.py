"""The code of a kernel for a GPU as it is stored, and which of it serves a call: no Triton here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from dlc.ir.dims import Dim, dim_text, evaluate
from dlc.ir.errors import StoredCodeError
from dlc.ir.record import dataclass
from dlc.ir.type_parser import parse_dim

ALIGNMENT = 16  # bytes of every buffer, and what `aligned` says of every dim


def dims_fit(dims: Mapping[str, int], at_most: Iterable[tuple[Dim, int]], aligned: bool) -> bool:
    """Whether extents are within limits and, where `aligned`, all dims multiples of `ALIGNMENT`."""
    if aligned and any(v % ALIGNMENT for v in dims.values()):
        return False
    return all(evaluate(extent, dims) <= limit for extent, limit in at_most)


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
        precision: How products are computed: "exact" or "fast".
        arguments: The names and types of every function's arguments: a pointer `p_x` for each
            parameter x, an i64 `dim_N` for each dim.
        launches: The variants of each launch; the last one always fits.
    """

    arch: str
    precision: str
    arguments: tuple[tuple[str, str], ...]
    launches: tuple[tuple[GpuVariant, ...], ...]

    def to_bytes(self) -> bytes:
        """The stored form: a line of JSON, then the machine code and PTX of each variant."""
        facts = {
            "arch": self.arch,
            "precision": self.precision,
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
            arch, precision = str(facts["arch"]), str(facts["precision"])
            return GpuCode(arch, precision, arguments, tuple(launches))
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
