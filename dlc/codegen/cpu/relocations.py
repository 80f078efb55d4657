"""Relocations: how the places of machine code that refer to others are filled in."""

from __future__ import annotations

import struct
from collections.abc import Callable

from dlc.codegen.cpu.blob import PAGE
from dlc.ir.errors import BackendError

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


def fill_in(image: bytearray, machine: str, kind: int, place: int, target: int, name: str) -> None:
    """Fill in a reference.

    Args:
        image: The code.
        machine: A value of `MACHINES`.
        kind: ELF's number of the relocation.
        place: Offset of the reference into the image.
        target: Offset of what it refers to.
        name: What is referred to, for errors.

    Raises:
        BackendError: for a kind that position-independent code has no use for, and for a target
            that is too far away.
    """
    rule = (_X86_64 if machine == "x86_64" else _AARCH64).get(kind)
    if rule is None:
        raise BackendError(
            f"{machine} relocation {kind} against {name} in compiled code",
            hint="code must be position independent: no tables of addresses, no globals that "
            "other modules may replace",
        )
    try:
        rule(image, place, target)
    except (struct.error, IndexError, OverflowError):
        raise BackendError(f"a reference to {name} does not fit into the image") from None


def is_page_relative(machine: str, kind: int) -> bool:
    """Whether a relocation is right only where the image begins at a page."""
    return machine == "aarch64" and kind in _PAGE_RELATIVE
