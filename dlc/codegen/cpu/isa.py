"""Instruction set levels as data: what CPU code may use, and how wide it works.

A level is a definition, not a machine: all code of one level is the same wherever it was compiled,
so that the level's name stands for it in cache keys.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Iterable

import numpy as np

from dlc.ir.config import config
from dlc.ir.errors import BackendError, SettingError, nearest
from dlc.ir.record import dataclass, replace


@dataclass(frozen=True)
class Isa:
    """One instruction set level.

    Args:
        name: Name of the level, the value of `DLC_ISA` and its entry in cache keys.
        machine: Architecture, as in `platform.machine()` on Linux.
        triple: LLVM's target triple. Always one with ELF objects, so that one loader serves all
            systems.
        cpu: LLVM's name of the level.
        features: LLVM's features on top of the level.
        vector_bits: Width of a vector register.
        registers: Number of vector registers.
        page_lines: Lines whole pages apart, which share few places in the first-level cache, that
            this keeps at once on any CPU of the level.
        requires: The flags of `/proc/cpuinfo` that a CPU of the level has.
        fma: Whether one instruction does a fused multiply-add.
        half: Whether float16 is converted to and from float32 by instructions.
        masked: Whether loads and stores take a mask register.
        gather: Whether there are gather instructions.
        scales: Whether one instruction multiplies by a power of two (`ldexp`).
        compresses: Whether one instruction moves the lanes of a mask together.
        streams: Whether large results are better stored past the caches.
        pairs: Whether one instruction adds up products of pairs of bfloat16 (AVX512-BF16).
        matrix: Whether there is a unit that multiplies tiles of bfloat16 (AMX).
    """

    name: str
    machine: str
    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    page_lines: int
    requires: frozenset[str]
    fma: bool
    half: bool
    masked: bool
    gather: bool
    scales: bool
    compresses: bool = False
    streams: bool = False
    pairs: bool = False
    matrix: bool = False

    def lanes(self, bits: int) -> int:
        """Count the elements of `bits` bits (at least 8) in a vector register.

        Example:
            >>> isa_named("x86-64-v4").lanes(32)
            16
        """
        if bits < 8 or self.vector_bits % bits:
            raise ValueError(f"no vector register holds elements of {bits} bits")
        return self.vector_bits // bits

    def runs_on(self, machine: str, flags: Iterable[str]) -> bool:
        """Tell whether a CPU of an architecture with these flags runs the level's code."""
        if machine != self.machine or not self.requires <= frozenset(flags):
            return False
        return not self.matrix or matrix_unit_granted()


def _triple(machine: str) -> str:
    # Windows has a calling convention of its own; elsewhere the System V one holds, and the
    # generic Linux triple stands for all.
    return (
        f"{machine}-pc-windows-elf" if sys.platform == "win32" else f"{machine}-unknown-linux-gnu"
    )


_V2_FLAGS = frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"})
_V3_FLAGS = _V2_FLAGS | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
_V4_FLAGS = _V3_FLAGS | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}

_V4 = Isa(
    name="x86-64-v4",
    machine="x86_64",
    triple=_triple("x86_64"),
    cpu="x86-64-v4",
    features="-prefer-256-bit,+prfchw",
    vector_bits=512,
    registers=32,
    page_lines=8,
    requires=_V4_FLAGS,
    fma=True,
    half=True,
    masked=True,
    gather=True,
    scales=True,
    compresses=True,
)

# From the most to the least capable.
ISA_LEVELS: tuple[Isa, ...] = (
    replace(
        _V4,
        name="x86-64-amx",
        features=_V4.features + ",+amx-tile,+amx-bf16",
        requires=_V4_FLAGS | {"amx_tile", "amx_bf16"},
        page_lines=12,
        matrix=True,
    ),
    # AMD's from Zen 4 on, which are told by an instruction of their own.
    replace(
        _V4,
        name="x86-64-zen4",
        requires=_V4_FLAGS | {"clzero", "avx512_bf16"},
        streams=True,
        pairs=True,
    ),
    _V4,
    Isa(
        name="x86-64-v3",
        machine="x86_64",
        triple=_triple("x86_64"),
        cpu="x86-64-v3",
        features="+prfchw",
        vector_bits=256,
        registers=16,
        page_lines=8,
        requires=_V3_FLAGS,
        fma=True,
        half=True,
        masked=False,
        gather=True,
        scales=False,
    ),
    Isa(
        name="x86-64-v2",
        machine="x86_64",
        triple=_triple("x86_64"),
        cpu="x86-64-v2",
        features="",
        vector_bits=128,
        registers=16,
        page_lines=8,
        requires=_V2_FLAGS,
        fma=False,
        half=False,
        masked=False,
        gather=False,
        scales=False,
    ),
    Isa(
        name="aarch64",
        machine="aarch64",
        triple=_triple("aarch64"),
        cpu="generic",
        # Some systems keep x18 for themselves.
        features="+neon,+reserve-x18",
        vector_bits=128,
        registers=32,
        page_lines=12,
        requires=frozenset(),
        fma=True,
        half=True,
        masked=False,
        gather=False,
        scales=False,
    ),
)


def isa_named(name: str) -> Isa:
    """Look up a level; this machine need not run it.

    Raises:
        SettingError: for an unknown name.
    """
    for isa in ISA_LEVELS:
        if isa.name == name:
            return isa
    raise SettingError(
        f"unknown instruction set level {name!r}",
        hint=nearest(name, [isa.name for isa in ISA_LEVELS]),
    )


@functools.cache
def host_isa() -> Isa:
    """Find the best level that this machine runs, without loading LLVM.

    Raises:
        BackendError: where the machine runs none.
    """
    machine, flags = host_machine(), host_flags()
    for isa in ISA_LEVELS:
        if isa.runs_on(machine, flags):
            return isa
    raise BackendError(
        f"there is no instruction set level for this machine ({machine})",
        hint="dlc compiles for " + ", ".join(isa.name for isa in ISA_LEVELS),
    )


def current_isa() -> Isa:
    """Give the level that code is generated for: `config.isa`, else the best of this machine.

    Raises:
        SettingError: for an unknown level, or one that this machine does not run.
        BackendError: where the machine runs no level.
    """
    if config.isa is None:
        return host_isa()
    isa = isa_named(config.isa)
    if not isa.runs_on(host_machine(), host_flags()):
        missing = ", ".join(sorted(isa.requires - host_flags())) or isa.machine
        raise SettingError(
            f"this machine does not run {isa.name} code (it lacks {missing})",
            hint=f"the best level here is {host_isa().name}",
        )
    return isa


@functools.cache
def host_machine() -> str:
    """Name this machine's architecture: x86_64, aarch64, or what the system calls it."""
    if sys.maxsize < 1 << 32:
        return "a 32-bit Python"
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


@functools.cache
def host_flags() -> frozenset[str]:
    """List the CPU's flags by their names in Linux's `/proc/cpuinfo`."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return _numpy_flags()
    return cpuinfo_flags(text)


def cpuinfo_flags(text: str) -> frozenset[str]:
    """Read the flags that all CPUs of a `/proc/cpuinfo` have."""
    found: frozenset[str] | None = None
    for line in text.splitlines():
        label, _, value = line.partition(":")
        if label.strip() == "flags":
            flags = frozenset(value.split())
            found = flags if found is None else found & flags
    return found or frozenset()


# Linux's arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA), "Using XSTATE features in user
# space applications" in the kernel's documentation.
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18


@functools.cache
def matrix_unit_granted() -> bool:
    """Ask the system for the tile registers, which each process has to before it uses them."""
    if sys.platform != "linux":
        return False
    request = getattr(ctypes.CDLL(None), "syscall", None)
    return request is not None and request(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0


def _numpy_flags() -> frozenset[str]:
    # NumPy asks the CPU and the system on every platform; only whole levels are taken from it.
    core = getattr(np, "_core", None)
    features: dict[str, bool] = getattr(
        getattr(core, "_multiarray_umath", None), "__cpu_features__", {}
    )
    flags: frozenset[str] = frozenset()
    if features.get("SSE42"):
        flags |= _V2_FLAGS
    if features.get("AVX2") and features.get("FMA3") and features.get("F16C"):
        flags |= _V3_FLAGS
    if features.get("X86_V4", features.get("AVX512_SKX")):
        flags |= _V4_FLAGS
    return flags
