"""Assembles the text of the native support code, compiles it once for a machine, and loads it."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.compiler_version import compiler_version
from dlc.codegen.cpu.isa import Isa, host_isa
from dlc.ir.deferred import deferred
from dlc.ir.record import NamedTuple
from dlc.runtime.cache import default_cache
from dlc.runtime.cache_entry import Key
from dlc.runtime.loader import LoadedCode, load_blob
from dlc.runtime.native import layout
from dlc.runtime.native.driver import DRIVER
from dlc.runtime.native.interrupts import INTERRUPT_CODE
from dlc.runtime.native.loops import LOOP_CODE
from dlc.runtime.native.pool import POOL_CODE
from dlc.runtime.native.pool_chunks import CHUNK_CODE
from dlc.runtime.native.pool_waiting import (
    CONDITION_SLEEP,
    FUTEX_NUMBER,
    FUTEX_SLEEP,
    PAUSE,
    PLACE_CODE,
    WAIT_CODE,
)
from dlc.runtime.own_version import own_version

if TYPE_CHECKING:
    import string

    from dlc.codegen.cpu import llvm
else:
    string = deferred("string")
    llvm = deferred("dlc.codegen.cpu.llvm")

HAS_FUTEX: Final = sys.platform == "linux"

CLOCK_MONOTONIC: Final = 6 if sys.platform == "darwin" else 1


class Source(NamedTuple):
    """An LLVM module: a template, and what stands for the names in it."""

    template: str
    names: Mapping[str, object]

    def key(self) -> str:
        """What tells it from all others, from which the text follows."""
        return f"{self.template}{self.names}"

    def text(self) -> str:
        """The text."""
        return string.Template(self.template).substitute(self.names)


def pool_source(isa: Isa, *, futex: bool) -> Source:
    """Write the LLVM module of the pool and the driver; its one symbol is `dlc_run`.

    Args:
        isa: The level to write for; only its architecture matters.
        futex: Whether threads sleep by Linux's futex, else on a condition variable.
    """
    sleep = FUTEX_SLEEP if futex else CONDITION_SLEEP
    names: dict[str, object] = {f"pool_{name}": at for name, at in layout.POOL.items()}
    names |= {f"thread_{name}": at for name, at in layout.THREAD.items()}
    names |= {f"signals_{name}": at for name, at in layout.SIGNALS.items()}
    names |= {name: value for name, value in vars(layout).items() if name.isupper()}
    names |= {
        "declare_pause": PAUSE[isa.machine][0],
        "pause": PAUSE[isa.machine][1],
        "CLOCK_MONOTONIC": CLOCK_MONOTONIC,
        "futex_number": FUTEX_NUMBER[isa.machine],
        "ALL_SIGNALS": ", ".join(["i64 -1"] * 16),
    }
    parts = (DRIVER, LOOP_CODE, INTERRUPT_CODE, CHUNK_CODE, WAIT_CODE, PLACE_CODE, sleep, POOL_CODE)
    return Source("".join(parts), names)


@functools.cache
def pool_code(*, futex: bool = HAS_FUTEX) -> int:
    """Load the pool's code, from the disk cache if it is there; gives the address of `dlc_run`.

    Raises:
        BackendError: where machine code cannot be made or run.
    """
    return load_once("pool", pool_source(host_isa(), futex=futex)).address("dlc_run")


def load_once(name: str, source: Source) -> LoadedCode:
    """Compile (or take from the disk cache) and load a support module; it stays mapped for ever."""
    isa = host_isa()
    entries = [("dlc", own_version()), ("module", name), ("isa", isa.name)]
    key = Key([*entries, ("llvm", compiler_version()), ("text", source.key())])
    blob = default_cache().find("support", key, Blob.from_bytes)
    if blob is None:
        blob = llvm.compile_module(source.text(), isa).blob()
        default_cache().put("support", key, blob.to_bytes())
    code = load_blob(blob)
    keep_for_ever(code)
    return code


def address_of(function: Any) -> int:
    """Give the address of a foreign function."""
    # `ctypes.cast` takes twice as long.
    return ctypes.c_void_p.from_buffer(function).value or 0


def keep_for_ever(thing: object) -> None:
    """Make an object immortal: sleeping workers use its memory even while the interpreter exits."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
