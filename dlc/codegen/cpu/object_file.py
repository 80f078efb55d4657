"""Relocatable ELF objects: code and constants for a linker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.codegen.cpu.blob import MACHINES, PAGE
from dlc.codegen.cpu.elf import (
    ALLOC,
    EXEC,
    HEADER,
    IDENT,
    PROGBITS,
    RELA,
    RELOCATION,
    SECTION,
    STRTAB,
    SYMBOL,
    SYMTAB,
)
from dlc.codegen.cpu.pieces import Reference
from dlc.ir.record import NamedTuple

_RELOCATABLE = 1
_INFO_LINK = 0x40
_GLOBAL = 1 << 4
_OBJECT, _FUNCTION = 1, 2
_TEXT, _CONSTANTS, _SYMBOLS, _STRINGS = 1, 2, 4, 5  # numbers of sections


class Data(NamedTuple):
    """A symbol of constants: its offset and size."""

    offset: int
    size: int


def write_object(
    machine: str,
    code: bytes,
    functions: Mapping[str, int],
    *,
    alignment: int = PAGE,
    constants: bytes = b"",
    references: Sequence[Reference] = (),
    data: Mapping[str, Data] | None = None,
) -> bytes:
    """The bytes of an object.

    Args:
        machine: A value of `MACHINES`.
        code: The code.
        functions: Global functions by name, as offsets into the code.
        alignment: That of the code.
        constants: What it reads, at a multiple of 64.
        references: Places in the code that refer to the beginning of the constants.
        data: Global symbols of constants.
    """
    names = _Strings()
    symbols = [bytes(SYMBOL.size)]
    symbols.append(SYMBOL.pack(names.place("constants"), _OBJECT, 0, _CONSTANTS, 0, len(constants)))
    first_global = len(symbols)
    for name, offset in functions.items():
        symbols.append(SYMBOL.pack(names.place(name), _GLOBAL | _FUNCTION, 0, _TEXT, offset, 0))
    for name, d in (data or {}).items():
        symbols.append(
            SYMBOL.pack(names.place(name), _GLOBAL | _OBJECT, 0, _CONSTANTS, d.offset, d.size)
        )
    rows = [RELOCATION.pack(r.place, 1 << 32 | r.kind, r.addend) for r in references]
    # Name, kind, flags, contents, link, info, alignment, size of an entry.
    sections: list[tuple[str, int, int, bytes, int, int, int, int]] = [
        (".text", PROGBITS, ALLOC | EXEC, code, 0, 0, alignment, 0),
        (".rodata", PROGBITS, ALLOC, constants, 0, 0, 64, 0),
        (".rela.text", RELA, _INFO_LINK, b"".join(rows), _SYMBOLS, _TEXT, 8, RELOCATION.size),
        (".symtab", SYMTAB, 0, b"".join(symbols), _STRINGS, first_global, 8, SYMBOL.size),
        (".strtab", STRTAB, 0, names.data, 0, 0, 1, 0),
        (".note.GNU-stack", PROGBITS, 0, b"", 0, 0, 1, 0),  # the stack is not executable
    ]
    titles = _Strings()
    places = [titles.place(s[0]) for s in sections] + [titles.place(".shstrtab")]
    sections.append((".shstrtab", STRTAB, 0, titles.data, 0, 0, 1, 0))
    body, headers = bytearray(HEADER.size), [bytes(SECTION.size)]
    for place, (_, kind, flags, content, link, info, align, entry) in zip(
        places, sections, strict=True
    ):
        body += bytes(-len(body) % max(16, align))
        header = (place, kind, flags, 0, len(body), len(content), link, info, align, entry)
        headers.append(SECTION.pack(*header))
        body += content
    body += bytes(-len(body) % 8)
    number = next(key for key, name in MACHINES.items() if name == machine)
    body[: HEADER.size] = HEADER.pack(
        IDENT, _RELOCATABLE, number, 1, 0, 0, len(body), 0,
        HEADER.size, 0, 0, SECTION.size, len(headers), len(headers) - 1,
    )  # fmt: skip
    return bytes(body) + b"".join(headers)


class _Strings:
    """A section of strings."""

    def __init__(self) -> None:
        self.data = b"\0"

    def place(self, text: str) -> int:
        """Adds a string; gives its offset."""
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at
