"""Machine code as one position-independent image: what is cached on disk and mapped to run.

An object's code and constants are laid out one after the other and linked to each other, so that
loading is a copy. Absolute addresses and writable data have no place in it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dlc.codegen.cpu.elf import (
    ALLOC,
    EXEC,
    MACHINES,
    NOBITS,
    PROGBITS,
    SHN_RESERVED,
    STT_FILE,
    WRITE,
    ElfObject,
    Relocation,
    Section,
)
from dlc.ir.errors import BackendError

_HEADER = struct.Struct("<4sHHIIQ")
_MAGIC, _VERSION = b"DLCB", 1
_PAGE = 4096
# Cache lines: code of two blobs never shares one.
_MIN_ALIGNMENT = 64


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
            BackendError: for anything else. (A checksum is the cache's business.)
        """
        try:
            return cls._parse(data)
        except (struct.error, UnicodeDecodeError) as error:
            raise BackendError(f"malformed code blob: {error}") from None

    @classmethod
    def _parse(cls, data: bytes) -> Blob:
        magic, version, number, alignment, count, length = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or number not in MACHINES:
            raise BackendError("malformed code blob: not of this version")
        if not _MIN_ALIGNMENT <= alignment <= _PAGE or alignment & (alignment - 1):
            raise BackendError(f"malformed code blob: alignment {alignment}")
        symbols: dict[str, int] = {}
        place = _HEADER.size
        for _ in range(count):
            size, offset = struct.unpack_from("<HQ", data, place)
            place += 10 + size
            symbols[data[place - size : place].decode()] = offset
        if place + length != len(data) or len(symbols) != count:
            raise BackendError("malformed code blob: wrong length")
        if any(offset >= length for offset in symbols.values()):
            raise BackendError("malformed code blob: a symbol outside of the code")
        return cls(data[place:], symbols, alignment, MACHINES[number])


def link_object(data: bytes) -> Blob:
    """Lay out an ELF object's code and constants, and fill in what refers to each other.

    Args:
        data: A relocatable object, as of `compile_module`.

    Returns:
        The image; its symbols are the object's global ones.

    Raises:
        BackendError: for what an image cannot have: writable data, undefined symbols, absolute
            addresses, unknown sections and relocations; each is named.
    """
    elf = ElfObject(data)
    undefined = elf.undefined_names()
    if undefined:
        raise BackendError(f"undefined symbols in compiled code: {', '.join(undefined)}")
    bases, image, alignment = _lay_out(elf)
    for relocation in elf.relocations:
        if relocation.section not in bases:
            continue  # tables for debuggers and unwinders
        place = bases[relocation.section] + relocation.offset
        target = _address(elf, bases, relocation) + relocation.addend
        rules = _X86_64 if elf.machine == "x86_64" else _AARCH64
        rule = rules.get(relocation.kind)
        if rule is None:
            raise BackendError(
                f"{elf.machine} relocation {relocation.kind} against {_name(elf, relocation)} "
                "in compiled code",
                hint="code must be position independent: no tables of addresses, no globals that "
                "other modules may replace",
            )
        try:
            rule(image, place, target)
        except (struct.error, IndexError, OverflowError):
            raise BackendError(
                f"a reference to {_name(elf, relocation)} does not fit into the image"
            ) from None
        if relocation.kind in _PAGE_RELATIVE and elf.machine == "aarch64":
            alignment = _PAGE
    symbols = {
        symbol.name: bases[symbol.section] + symbol.value
        for symbol in elf.symbols
        if not symbol.local and symbol.kind != STT_FILE and symbol.section in bases
    }
    return Blob(bytes(image), symbols, alignment, elf.machine)


def _lay_out(elf: ElfObject) -> tuple[dict[int, int], bytearray, int]:
    """Give the offset of each section in the image, the image, and its alignment."""
    bases: dict[int, int] = {}
    image = bytearray()
    alignment = _MIN_ALIGNMENT
    kept = sorted(_kept(elf), key=lambda item: not item[1].flags & EXEC)
    for number, section in kept:
        if section.alignment > _PAGE:
            raise BackendError(f"compiled code wants an alignment of {section.alignment} bytes")
        alignment = max(alignment, section.alignment)
        image += bytes(-len(image) % max(section.alignment, 16))
        bases[number] = len(image)
        image += section.data
    return bases, image, alignment


def _kept(elf: ElfObject) -> Iterator[tuple[int, Section]]:
    for number, section in enumerate(elf.sections):
        if not section.flags & ALLOC or not section.size or section.name == ".eh_frame":
            continue
        writable = section.flags & WRITE and not section.name.startswith(".data.rel.ro")
        if writable or section.kind == NOBITS:
            raise BackendError(
                f"compiled code has writable data (section {section.name})",
                hint="kernels are stateless; pass the memory in",
            )
        if section.kind != PROGBITS:
            raise BackendError(f"compiled code has a section {section.name} of unknown kind")
        yield number, section


def _address(elf: ElfObject, bases: dict[int, int], relocation: Relocation) -> int:
    base = bases.get(relocation.symbol.section)
    if base is None:
        raise BackendError(f"compiled code refers to {_name(elf, relocation)}, outside of it")
    return base + relocation.symbol.value


def _name(elf: ElfObject, relocation: Relocation) -> str:
    symbol = relocation.symbol
    if symbol.name:
        return symbol.name
    if symbol.section < min(SHN_RESERVED, len(elf.sections)):
        return elf.sections[symbol.section].name
    return f"section {symbol.section}"


# A rule gets the image, the place to fill in and the target, both as offsets into the image. A
# value that does not fit ends in struct.error.
_Rule = Callable[[bytearray, int, int], None]


def _relative32(image: bytearray, place: int, target: int) -> None:
    struct.pack_into("<i", image, place, target - place)


def _relative64(image: bytearray, place: int, target: int) -> None:
    struct.pack_into("<q", image, place, target - place)


def _relaxed_load(image: bytearray, place: int, target: int) -> None:
    # A load of the address from the table of offsets becomes the address itself: mov to lea.
    if image[place - 2] != 0x8B:
        raise BackendError("compiled code uses the table of global offsets")
    image[place - 2] = 0x8D
    _relative32(image, place, target)


def _field(image: bytearray, place: int, value: int, width: int, shift: int) -> None:
    """Put a value into a bit field of an AArch64 instruction."""
    (word,) = struct.unpack_from("<I", image, place)
    mask = (1 << width) - 1
    struct.pack_into("<I", image, place, word & ~(mask << shift) | (value & mask) << shift)


def _signed(value: int, width: int) -> int:
    if not -(1 << (width - 1)) <= value < 1 << (width - 1):
        raise struct.error("out of range")
    return value


def _branch(width: int, shift: int) -> _Rule:
    def rule(image: bytearray, place: int, target: int) -> None:
        distance = target - place
        if distance % 4:
            raise BackendError("compiled code branches to a place between instructions")
        _field(image, place, _signed(distance >> 2, width), width, shift)

    return rule


def _split_immediate(image: bytearray, place: int, value: int) -> None:
    value = _signed(value, 21)
    _field(image, place, value, 2, 29)
    _field(image, place, value >> 2, 19, 5)


def _adr(image: bytearray, place: int, target: int) -> None:
    _split_immediate(image, place, target - place)


def _adrp(image: bytearray, place: int, target: int) -> None:
    _split_immediate(image, place, (target >> 12) - (place >> 12))


def _low_bits(scale: int) -> _Rule:
    def rule(image: bytearray, place: int, target: int) -> None:
        low = target & (_PAGE - 1)
        if low & ((1 << scale) - 1):
            raise BackendError("compiled code has a misaligned constant")
        _field(image, place, low >> scale, 12 - scale, 10)

    return rule


_X86_64: dict[int, _Rule] = {
    2: _relative32,  # R_X86_64_PC32
    4: _relative32,  # R_X86_64_PLT32
    24: _relative64,  # R_X86_64_PC64
    41: _relaxed_load,  # R_X86_64_GOTPCRELX
    42: _relaxed_load,  # R_X86_64_REX_GOTPCRELX
}
_AARCH64: dict[int, _Rule] = {
    260: _relative64,  # R_AARCH64_PREL64
    261: _relative32,  # R_AARCH64_PREL32
    273: _branch(19, 5),  # R_AARCH64_LD_PREL_LO19
    274: _adr,  # R_AARCH64_ADR_PREL_LO21
    275: _adrp,  # R_AARCH64_ADR_PREL_PG_HI21
    277: _low_bits(0),  # R_AARCH64_ADD_ABS_LO12_NC
    278: _low_bits(0),  # R_AARCH64_LDST8_ABS_LO12_NC
    279: _branch(14, 5),  # R_AARCH64_TSTBR14
    280: _branch(19, 5),  # R_AARCH64_CONDBR19
    282: _branch(26, 0),  # R_AARCH64_JUMP26
    283: _branch(26, 0),  # R_AARCH64_CALL26
    284: _low_bits(1),  # R_AARCH64_LDST16_ABS_LO12_NC
    285: _low_bits(2),  # R_AARCH64_LDST32_ABS_LO12_NC
    286: _low_bits(3),  # R_AARCH64_LDST64_ABS_LO12_NC
    299: _low_bits(4),  # R_AARCH64_LDST128_ABS_LO12_NC
}
# Right only where the image begins at a page.
_PAGE_RELATIVE = frozenset({275, 277, 278, 284, 285, 286, 299})
