"""Triton source to machine code, ahead of time: no GPU and no PyTorch is needed.

Triton is imported by the functions that need it, never by importing this module.
"""

from __future__ import annotations

import itertools
import linecache
import re
import subprocess
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.codegen.triton.code import Variant
from dlc.codegen.triton.stored_code import ALIGNMENT
from dlc.ir.deferred import deferred
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass

if TYPE_CHECKING:
    import importlib.metadata as metadata  # noqa: PLR0402
else:
    metadata = deferred("importlib.metadata")

_numbers = itertools.count()
_lock = threading.Lock()


@dataclass(frozen=True)
class Binary:
    """A compiled variant.

    Args:
        entry: The name of the function in the machine code.
        shared: Bytes of shared memory of a program.
        scratch: Bytes of global scratch memory of a program.
        cubin: The machine code.
        texts: The stages `ttir`, `ptx` and `sass`.
    """

    entry: str
    shared: int
    scratch: int
    cubin: bytes
    texts: Mapping[str, str]


def triton_version() -> str:
    """The version of the installed Triton, which is not imported; BackendError for none."""
    try:
        return metadata.version("triton")
    except metadata.PackageNotFoundError as error:
        raise _missing(error) from None


def _missing(error: ImportError) -> BackendError:
    hint = "install it with: pip install 'dlc[gpu]'"
    return BackendError(f"Triton cannot be imported: {error}", hint=hint)


def _triton() -> Any:
    """Triton; BackendError where there is none."""
    try:
        import triton
    except ImportError as error:
        raise _missing(error) from None
    return triton


def jit_function(source: str, entry: str) -> Any:
    """The function `entry` of a module in Triton's language, made a JIT function.

    Triton reads the source of what it compiles from `linecache`, where the text is put under a name
    of its own.
    """
    name = f"<dlc {entry} {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": f"dlc_triton_{entry}"}
    exec(compile(source, name, "exec"), namespace)
    return namespace[entry]


def arch_number(arch: str) -> int:
    """90 of "sm_90"; BackendError for another form."""
    prefix, _, number = arch.partition("_")
    if prefix != "sm" or not number.isdigit():
        raise BackendError(f"{arch!r} is no GPU architecture: it should read like 'sm_90'")
    return int(number)


def compile_variant(variant: Variant, signature: Mapping[str, str], arch: str) -> Binary:
    """Machine code for a variant.

    Args:
        variant: What to compile.
        signature: The types of the function's arguments, in order.
        arch: The architecture, such as "sm_90".

    Raises:
        BackendError: Triton is missing, or refuses the source.
    """
    triton = _triton()
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = jit_function(variant.source, variant.entry)
    known = [k for k, t in enumerate(signature.values()) if t[0] == "*" or variant.aligned]
    attributes = {(k,): [["tt.divisibility", ALIGNMENT]] for k in known}
    source = ASTSource(function, signature=dict(signature), constexprs={}, attrs=attributes)
    options = {
        "num_warps": variant.num_warps,
        "num_stages": variant.num_stages,
        "enable_fp_fusion": False,
        "enable_reflect_ftz": False,  # else floor and ceil take subnormals for zero
    }
    with _lock, _private_cache(triton):
        try:
            made = triton.compile(
                source, target=GPUTarget("cuda", arch_number(arch), 32), options=options
            )
        except Exception as error:
            raise BackendError(f"Triton refuses {variant.entry}: {error}") from error
        return _binary(made)


def _binary(made: Any) -> Binary:
    metadata, asm = made.metadata, made.asm
    return Binary(
        entry=str(metadata.name),
        shared=int(metadata.shared),
        scratch=int(getattr(metadata, "global_scratch_size", 0) or 0),
        cubin=bytes(asm["cubin"]),
        texts={"ttir": str(asm["ttir"]), "ptx": str(asm["ptx"])},
    )


@contextmanager
def _private_cache(triton: Any) -> Generator[None]:
    """Triton's own cache in a folder that is thrown away: dlc keeps what it needs in its own.

    Its key, a hash of half a gigabyte of libraries, is then of no use: the version stands in.
    """
    cache = triton.runtime.cache
    key = cache.triton_key
    with tempfile.TemporaryDirectory(prefix="dlc-triton-") as folder, triton.knobs.cache.scope():
        triton.knobs.cache.dir = folder
        cache.triton_key = lambda: f"dlc-{triton.__version__}"
        try:
            yield
        finally:
            cache.triton_key = key


def disassemble(cubin: bytes) -> str:
    """Machine code as text, by the tool in Triton's package."""
    return run_tool("nvdisasm", cubin, "-c")


def resources(cubin: bytes) -> dict[str, int]:
    """What a program's threads use: `REG` registers, `STACK` bytes (of spilled ones) and more."""
    text = run_tool("cuobjdump", cubin, "-res-usage")
    return {name: int(value) for name, value in re.findall(r"(\w+):(\d+)", text)}


def resource_table(binaries: Sequence[Binary]) -> str:
    """A line for each: registers of a thread, bytes of its stack, shared and scratch memory."""
    width = max((len(b.entry) for b in binaries), default=0)
    lines = [f"{'':{width}}  registers  stack  shared  scratch"]
    for b in binaries:
        used = resources(b.cubin)
        lines.append(
            f"{b.entry:{width}}  {used['REG']:9}  {used['STACK']:5}  {b.shared:6}  {b.scratch:7}"
        )
    return "\n".join(lines)


def run_tool(tool: str, cubin: bytes, *options: str) -> str:
    """What one of the tools in Triton's package says of machine code."""
    triton = _triton()
    path = getattr(triton.knobs.nvidia, tool).path
    with tempfile.TemporaryDirectory(prefix="dlc-triton-") as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        command = [path, *options, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"{tool} fails: {done.stderr.strip()}")
    return done.stdout
