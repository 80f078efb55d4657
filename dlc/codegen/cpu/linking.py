"""Linking: the code and constants of an object as one image.

They are laid out one after the other and linked to each other, so that loading is a copy. Absolute
addresses and writable data have no place in it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from dlc.codegen.cpu.blob import MIN_ALIGNMENT, PAGE, Blob
from dlc.codegen.cpu.elf import (
    ALLOC,
    EXEC,
    MERGE,
    NOBITS,
    PROGBITS,
    SHN_RESERVED,
    STT_FILE,
    STT_SECTION,
    WRITE,
    ElfObject,
    Relocation,
    Section,
)
from dlc.ir.errors import BackendError, nearest


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
    linker = _Linker(ElfObject(data))
    return linker.link([(number, None) for number in linker.sections])


def link_entries(elf: ElfObject, entries: Sequence[str], *, pooled: bool = False) -> list[Blob]:
    """Link functions of an object, each with the sections that it leads to and no others.

    Args:
        elf: A relocatable object whose functions have sections of their own.
        entries: Names of global functions.
        pooled: Whether all constants are those of instructions, none of them larger than a
            register, so that tables need not be kept together.

    Returns:
        An image for each entry, whose one symbol that is. Functions are in it whole; of constants
        that are not parts of a table, only those that are used.

    Raises:
        BackendError: as `link_object` does, and for a name that is not there.
    """
    linker = _Linker(elf, pooled=pooled)
    found = {s.name: s for s in elf.symbols if not s.local and s.section in linker.sections}
    blobs: list[Blob] = []
    for name in entries:
        if name not in found:
            raise BackendError(f"the object has no function {name!r}", hint=nearest(name, found))
        blob = linker.link(linker.reachable((found[name].section, None)))
        blobs.append(replace(blob, symbols={name: blob.symbols[name]}))
    return blobs


# A section that is linked whole, or one of the pieces of constants that it is made of.
_Part = tuple[int, int | None]
# No constant of an instruction crosses a boundary of so many bytes.
_POOLED = 64
# On x86-64, a reference is off by 4 bytes and by up to 4 more, the operand that follows in the
# instruction. By way of a section's symbol, it does not quite tell which constant it means.
_ADDEND = 4


class _Linker:
    """Lays out parts of an object."""

    def __init__(self, elf: ElfObject, *, pooled: bool = False) -> None:
        undefined = elf.undefined_names()
        if undefined:
            raise BackendError(f"undefined symbols in compiled code: {', '.join(undefined)}")
        self.elf = elf
        self.sections = dict(_kept(elf))
        self.relocations: dict[int, list[Relocation]] = {}
        for relocation in elf.relocations:
            if relocation.section in self.sections:  # others are for debuggers and unwinders
                self.relocations.setdefault(relocation.section, []).append(relocation)
        self.divisible = self._divisible(pooled)

    def _divisible(self, pooled: bool) -> dict[int, int]:
        """The size of the pieces of each section that need not be linked whole."""
        sections = {n: s for n, s in self.sections.items() if n not in self.relocations}
        sizes = {n: s.entry_size for n, s in sections.items() if s.flags & MERGE and s.entry_size}
        if self.elf.machine != "x86_64":
            return sizes
        by_section = {r.symbol.section for r in self.elf.relocations if _by_section(r)}
        sizes = {n: size for n, size in sizes.items() if n not in by_section}
        if pooled:
            others = {r.symbol.section for r in self.elf.relocations if not _by_section(r)}
            for n, s in sections.items():
                constants = not s.flags & (EXEC | MERGE) and s.alignment <= _POOLED
                if constants and n not in others:
                    sizes[n] = _POOLED
        return sizes

    def reachable(self, root: _Part) -> list[_Part]:
        """The parts that `root` refers to, and they to others; `root` is the first."""
        found: dict[_Part, None] = {root: None}
        waiting = [root]
        while waiting:
            section, entry = waiting.pop()
            if entry is not None:
                continue
            for relocation in self.relocations.get(section, ()):
                for part in self._parts(relocation):
                    if part not in found:
                        found[part] = None
                        waiting.append(part)
        # By name, since numbers differ with what else is in the object.
        names = {part: self.sections[part[0]].name for part in found}
        return [root, *sorted(found.keys() - {root}, key=lambda p: (names[p], p[0], p[1] or 0))]

    def link(self, parts: Iterable[_Part]) -> Blob:
        """The image of these parts: code first, in their order, then constants."""
        ordered = sorted(parts, key=lambda part: not self.sections[part[0]].flags & EXEC)
        bases, image, alignment = self._lay_out(ordered)
        for part in ordered:
            if part[1] is None:
                for relocation in self.relocations.get(part[0], ()):
                    self._apply(relocation, bases, image)
                    if relocation.kind in _PAGE_RELATIVE and self.elf.machine == "aarch64":
                        alignment = PAGE
        symbols = {
            symbol.name: bases[symbol.section, None] + symbol.value
            for symbol in self.elf.symbols
            if not symbol.local and symbol.kind != STT_FILE and (symbol.section, None) in bases
        }
        return Blob(bytes(image), symbols, alignment, self.elf.machine)

    def _lay_out(self, parts: Sequence[_Part]) -> tuple[dict[_Part, int], bytearray, int]:
        """Give the offset of each part in the image, the image, and its alignment."""
        bases: dict[_Part, int] = {}
        image = bytearray()
        alignment = MIN_ALIGNMENT
        for part in parts:
            section, entry = self.sections[part[0]], part[1]
            if section.alignment > PAGE:
                raise BackendError(f"compiled code wants an alignment of {section.alignment} bytes")
            alignment = max(alignment, section.alignment)
            own = section.alignment if entry is not None else max(section.alignment, 16)
            image += bytes(-len(image) % own)
            bases[part] = len(image)
            size = section.size if entry is None else self.divisible[part[0]]
            start = (entry or 0) * size
            image += section.data[start : start + size]
        return bases, image, alignment

    def _apply(self, relocation: Relocation, bases: Mapping[_Part, int], image: bytearray) -> None:
        elf = self.elf
        place = bases[relocation.section, None] + relocation.offset
        part, inside = self._target(
            relocation, divide=(relocation.symbol.section, None) not in bases
        )
        target = bases[part] + inside
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

    def _parts(self, relocation: Relocation) -> list[_Part]:
        """The parts that a relocation may refer to, of which `_target` gives the first."""
        (section, entry), inside = self._target(relocation, divide=True)
        if entry is None or self.elf.machine != "x86_64" or not _by_section(relocation):
            return [(section, entry)]
        size = self.divisible[section]
        last = min(
            entry + (inside + 2 * _ADDEND) // size, -(-self.sections[section].size // size) - 1
        )
        return [(section, e) for e in range(entry, last + 1)]

    def _target(self, relocation: Relocation, *, divide: bool) -> tuple[_Part, int]:
        """The part that a relocation refers to, and where in it."""
        symbol, section = relocation.symbol, relocation.symbol.section
        if section not in self.sections:
            name = _name(self.elf, relocation)
            raise BackendError(f"compiled code refers to {name}, outside of it")
        target = symbol.value + relocation.addend
        if not divide or section not in self.divisible:
            return (section, None), target
        size = self.divisible[section]
        start = target if symbol.kind == STT_SECTION else symbol.value
        if self.elf.machine == "x86_64" and symbol.kind == STT_SECTION:
            start = max(0, start + _ADDEND)
        if not 0 <= start < self.sections[section].size:
            name = _name(self.elf, relocation)
            raise BackendError(f"compiled code refers to {name}, outside of it")
        return (section, start // size), target - start // size * size


def _by_section(relocation: Relocation) -> bool:
    return relocation.symbol.kind == STT_SECTION


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
        low = target & (PAGE - 1)
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
