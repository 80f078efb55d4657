"""The code of one kernel as it is stored, with what the runtime must know to call it."""

from __future__ import annotations

import json

from dlc.codegen.cpu.blob import Blob
from dlc.ir.dim_table import dims_from_table, dims_to_table
from dlc.ir.dims import Dim
from dlc.ir.errors import StoredCodeError
from dlc.ir.record import dataclass

# The number of threads, in formulas of what cannot change bits.
THREADS = "_threads"


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
        dims = [self.units, self.chunk, self.scratch, self.cost]
        return json.dumps([self.entry, dims_to_table(dims)]).encode() + b"\n" + self.blob.to_bytes()

    @staticmethod
    def from_bytes(data: bytes) -> CpuCode:
        """Reads the stored form; StoredCodeError when it is not one."""
        line, _, rest = data.partition(b"\n")
        try:
            entry, table = json.loads(line)
            code = CpuCode(Blob.from_bytes(rest), entry, *dims_from_table(table))
            code.blob.symbols[entry]
        except (ValueError, LookupError, TypeError) as error:
            raise StoredCodeError(f"stored code is not readable: {error}") from None
        return code
