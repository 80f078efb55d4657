"""The code of one kernel as it is stored, with what the runtime must know to call it."""

from __future__ import annotations

import functools
import json

from dlc.codegen.cpu.blob import Blob
from dlc.ir.dims import Dim, dim_text
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass
from dlc.ir.type_parser import parse_dim

# The number of threads, in formulas of what cannot change bits.
THREADS = "_threads"
# Kernels of one kind are cut up by the same formulas.
_parse_dim = functools.lru_cache(4096)(parse_dim)


@dataclass(frozen=True)
class CpuCode:
    """The code of one kernel with what the runtime must know to call it.

    Dims are over the kernel's symbols, `chunk` over `THREADS` too.
    """

    blob: Blob
    entry: str
    units: Dim
    chunk: Dim
    scratch: Dim
    cost: Dim

    def to_bytes(self) -> bytes:
        """The stored form: a line of JSON and the blob."""
        facts = {"entry": self.entry}
        facts |= {n: dim_text(getattr(self, n)) for n in ("units", "chunk", "scratch", "cost")}
        return json.dumps(facts).encode() + b"\n" + self.blob.to_bytes()

    @staticmethod
    def from_bytes(data: bytes) -> CpuCode:
        """Reads the stored form; BackendError when it is not one."""
        line, _, rest = data.partition(b"\n")
        try:
            facts = json.loads(line)
            dims = [_parse_dim(facts[n]) for n in ("units", "chunk", "scratch", "cost")]
            return CpuCode(Blob.from_bytes(rest), facts["entry"], *dims)
        except (ValueError, KeyError, TypeError) as error:
            raise BackendError(f"stored code is not readable: {error}") from None
