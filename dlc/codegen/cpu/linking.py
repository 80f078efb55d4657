"""Linking: the code and constants of an object as one image.

They are laid out one after the other and linked to each other, so that loading is a copy. Absolute
addresses and writable data have no place in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

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
from dlc.codegen.cpu.pieces import Piece, Reference
from dlc.codegen.cpu.relocations import fill_in, is_page_relative
from dlc.ir.errors import BackendError, nearest
from dlc.ir.record import replace


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
    return linker.link([(number, None) for number in linker.sections]).blob


def link_entries(
    elf: ElfObject, entries: Sequence[str], *, outside: Collection[str] = (), pooled: bool = False
) -> list[Piece]:
    """Link functions of an object, each with the sections that it leads to and no others.

    Args:
        elf: A relocatable object whose functions have sections of their own.
        entries: Names of global functions.
        outside: Names of functions that are left to be joined later, in the object or not.
        pooled: Whether all constants are those of instructions, none of them larger than a
            register, so that tables need not be kept together.

    Returns:
        An image for each entry, whose one symbol that is. Functions are in it whole; of constants
        that are not parts of a table, only those that are used.

    Raises:
        BackendError: as `link_object` does, and for a name that is not there.
    """
    linker = _Linker(elf, frozenset(outside), pooled=pooled)
    found = {s.name: s for s in elf.symbols if not s.local and s.section in linker.sections}
    pieces: list[Piece] = []
    for name in entries:
        if name not in found:
            raise BackendError(f"the object has no function {name!r}", hint=nearest(name, found))
        piece = linker.link(linker.reachable((found[name].section, None)))
        blob = replace(piece.blob, symbols={name: piece.blob.symbols[name]})
        pieces.append(replace(piece, blob=blob))
    return pieces


# A section that is linked whole, or one of the pieces of constants that it is made of.
_Part = tuple[int, int | None]
# No constant of an instruction crosses a boundary of so many bytes.
_POOLED = 64
# On x86-64, a reference is off by 4 bytes and by up to 4 more, the operand that follows in the
# instruction. By way of a section's symbol, it does not quite tell which constant it means.
_ADDEND = 4


class _Linker:
    """Lays out parts of an object."""

    def __init__(
        self, elf: ElfObject, outside: frozenset[str] = frozenset(), *, pooled: bool = False
    ) -> None:
        undefined = [name for name in elf.undefined_names() if name not in outside]
        if undefined:
            raise BackendError(f"undefined symbols in compiled code: {', '.join(undefined)}")
        self.elf, self.outside = elf, outside
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
                if relocation.symbol.name in self.outside:
                    continue
                for part in self._parts(relocation):
                    if part not in found:
                        found[part] = None
                        waiting.append(part)
        # By name, since numbers differ with what else is in the object.
        names = {part: self.sections[part[0]].name for part in found}
        return [root, *sorted(found.keys() - {root}, key=lambda p: (names[p], p[0], p[1] or 0))]

    def link(self, parts: Iterable[_Part]) -> Piece:
        """The image of these parts: code first, in their order, then constants."""
        ordered = sorted(parts, key=lambda part: not self.sections[part[0]].flags & EXEC)
        bases, image, alignment = self._lay_out(ordered)
        machine = self.elf.machine
        references: list[Reference] = []
        for part in ordered:
            if part[1] is not None:
                continue
            for relocation in self.relocations.get(part[0], ()):
                kind, name = relocation.kind, relocation.symbol.name
                if name in self.outside:
                    place = bases[part] + relocation.offset
                    references.append(Reference(name, place, kind, relocation.addend))
                else:
                    self._apply(relocation, bases, image)
                if is_page_relative(machine, kind):
                    alignment = PAGE
        symbols = {
            symbol.name: bases[symbol.section, None] + symbol.value
            for symbol in self.elf.symbols
            if not symbol.local and symbol.kind != STT_FILE and (symbol.section, None) in bases
        }
        return Piece(Blob(bytes(image), symbols, alignment, machine), tuple(references))

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
        fill_in(image, elf.machine, relocation.kind, place, target, _name(elf, relocation))

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
