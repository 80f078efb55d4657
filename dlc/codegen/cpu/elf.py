"""Reading ELF64 object files, as far as compiled kernels need it."""

from __future__ import annotations

import struct

from dlc.codegen.cpu.blob import MACHINES
from dlc.ir.errors import BackendError
from dlc.ir.record import dataclass

PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 1, 2, 3, 4, 8, 9
WRITE, ALLOC, EXEC, MERGE = 1, 2, 4, 16
# Symbol types and special section numbers.
STT_SECTION, STT_FILE = 3, 4
SHN_UNDEF, SHN_ABS, SHN_COMMON, SHN_RESERVED = 0, 0xFFF1, 0xFFF2, 0xFF00

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")
IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)


@dataclass(frozen=True)
class Section:
    """One section: its header's fields and, but for `NOBITS`, its bytes.

    `entry_size` is 0, or the size of the equal pieces that it is made of.
    """

    name: str
    kind: int
    flags: int
    size: int
    alignment: int
    link: int
    info: int
    entry_size: int
    data: memoryview


@dataclass(frozen=True)
class Symbol:
    """One symbol; `section` is a section's number or a special one."""

    name: str
    kind: int
    local: bool
    section: int
    value: int


@dataclass(frozen=True)
class Relocation:
    """One place of section number `section` to be filled in from a symbol and an addend."""

    section: int
    offset: int
    kind: int
    symbol: Symbol
    addend: int


class ElfObject:
    """A parsed relocatable object, little-endian ELF64 for x86-64 or AArch64.

    Args:
        data: The file's bytes.

    Raises:
        BackendError: for anything else than such an object, or one whose tables lead outside it.
    """

    machine: str
    sections: list[Section]
    symbols: list[Symbol]
    relocations: list[Relocation]

    def __init__(self, data: bytes) -> None:
        try:
            self._read(memoryview(data))
        except (struct.error, IndexError, OverflowError, ValueError) as error:
            raise BackendError(f"malformed ELF object: {error}") from None

    def undefined_names(self) -> list[str]:
        """Names that the object uses and does not define, in the order of the symbol table."""
        return [
            symbol.name
            for symbol in self.symbols[1:]
            if symbol.section == SHN_UNDEF and symbol.name
        ]

    def _read(self, data: memoryview) -> None:
        header = HEADER.unpack_from(data, 0)
        ident, kind, machine, section_offset = header[0], header[1], header[2], header[6]
        entry_size, count, names_index = header[11:14]
        if ident[:7] != IDENT[:7] or kind != 1 or entry_size != SECTION.size:
            raise BackendError("not a relocatable little-endian ELF64 object")
        if machine not in MACHINES:
            raise BackendError(f"ELF object for an unknown machine, number {machine}")
        self.machine = MACHINES[machine]
        raw = [
            SECTION.unpack_from(data, section_offset + number * SECTION.size)
            for number in range(count)
        ]
        names = _bytes_of(data, raw[names_index])
        self.sections = [
            Section(
                name=_string(names, fields[0]),
                kind=fields[1],
                flags=fields[2],
                size=fields[5],
                alignment=max(1, fields[8]),
                link=fields[6],
                info=fields[7],
                entry_size=fields[9],
                data=_bytes_of(data, fields),
            )
            for fields in raw
        ]
        self.symbols = self._read_symbols()
        self.relocations = self._read_relocations()

    def _read_symbols(self) -> list[Symbol]:
        tables = [section for section in self.sections if section.kind == SYMTAB]
        if len(tables) > 1:
            raise ValueError("two symbol tables")
        symbols: list[Symbol] = []
        for table in tables:
            names = self.sections[table.link].data
            for name, info, _, section, value, _ in SYMBOL.iter_unpack(table.data):
                symbols.append(
                    Symbol(
                        name=_string(names, name),
                        kind=info & 15,
                        local=info >> 4 == 0,
                        section=section,
                        value=value,
                    )
                )
        return symbols

    def _read_relocations(self) -> list[Relocation]:
        relocations: list[Relocation] = []
        for table in self.sections:
            if table.kind == REL:
                raise ValueError("relocations without addends")
            if table.kind != RELA:
                continue
            for offset, info, addend in RELOCATION.iter_unpack(table.data):
                relocations.append(
                    Relocation(
                        section=table.info,
                        offset=offset,
                        kind=info & 0xFFFFFFFF,
                        symbol=self.symbols[info >> 32],
                        addend=addend,
                    )
                )
        return relocations


def _bytes_of(data: memoryview, fields: tuple[int, ...]) -> memoryview:
    kind, offset, size = fields[1], fields[4], fields[5]
    if kind in (0, NOBITS):
        return data[:0]
    if offset + size > len(data):
        raise ValueError("a section reaches beyond the end")
    return data[offset : offset + size]


def _string(table: memoryview, start: int) -> str:
    raw = bytes(table[start : start + 4096])
    return raw[: raw.index(b"\0")].decode()
