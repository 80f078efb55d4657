"""Machine code as one position-independent image: what is cached on disk and mapped to run."""

from __future__ import annotations

import struct

from dlc.ir.errors import StoredCodeError
from dlc.ir.record import dataclass

_HEADER = struct.Struct("<4sHHIIQ")
_MAGIC, _VERSION = b"DLCB", 1
PAGE = 4096
# Architectures by their number in ELF.
MACHINES = {62: "x86_64", 183: "aarch64"}
# Cache lines: code of two blobs never shares one.
MIN_ALIGNMENT = 64


@dataclass(frozen=True)
class Blob:
    """Linked machine code.

    Args:
        code: The image: code, then constants.
        symbols: Functions by name, as offsets into `code`.
        alignment: What the image's address must be a multiple of.
        machine: Architecture, as in `Isa.machine`.

    Example:
        >>> blob = compile_module("define void @f() { ret void }", host_isa()).blob()
        >>> Blob.from_bytes(blob.to_bytes()) == blob
        True
    """

    code: bytes
    symbols: dict[str, int]
    alignment: int
    machine: str

    def to_bytes(self) -> bytes:
        """Serialise, for the disk cache."""
        number = next(key for key, name in MACHINES.items() if name == self.machine)
        parts = [
            _HEADER.pack(
                _MAGIC, _VERSION, number, self.alignment, len(self.symbols), len(self.code)
            )
        ]
        for name, offset in self.symbols.items():
            raw = name.encode()
            parts += [struct.pack("<HQ", len(raw), offset), raw]
        return b"".join([*parts, self.code])

    @classmethod
    def from_bytes(cls, data: bytes) -> Blob:
        """Read what `to_bytes` wrote.

        Raises:
            StoredCodeError: for anything else. (A checksum is the cache's business.)
        """
        try:
            return cls._parse(data)
        except (struct.error, UnicodeDecodeError) as error:
            raise StoredCodeError(f"malformed code blob: {error}") from None

    @classmethod
    def _parse(cls, data: bytes) -> Blob:
        magic, version, number, alignment, count, length = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or number not in MACHINES:
            raise StoredCodeError("malformed code blob: not of this version")
        if not MIN_ALIGNMENT <= alignment <= PAGE or alignment & (alignment - 1):
            raise StoredCodeError(f"malformed code blob: alignment {alignment}")
        symbols: dict[str, int] = {}
        place = _HEADER.size
        for _ in range(count):
            size, offset = struct.unpack_from("<HQ", data, place)
            place += 10 + size
            symbols[data[place - size : place].decode()] = offset
        if place + length != len(data) or len(symbols) != count:
            raise StoredCodeError("malformed code blob: wrong length")
        if any(offset >= length for offset in symbols.values()):
            raise StoredCodeError("malformed code blob: a symbol outside of the code")
        return cls(data[place:], symbols, alignment, MACHINES[number])
