"""x86-64 machine code, written instruction by instruction.

Encodings are those of Intel's manual (volume 2: chapter 2 for prefixes and operands, then the page
of each instruction). General registers go by their names, vector registers by their numbers.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

from dlc.ir.record import NamedTuple, dataclass, replace

_NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{k}" for k in range(8, 16)))
_NUMBERS = {name: k for k, name in enumerate(_NAMES)}
_SIZE = struct.Struct("<i")
# What the manual recommends for padding, by the number of bytes, and one that takes prefixes.
_NOPS = (
    b"", b"\x90", b"\x66\x90", b"\x0f\x1f\x00", b"\x0f\x1f\x40\x00", b"\x0f\x1f\x44\x00\x00",
    b"\x66\x0f\x1f\x44\x00\x00", b"\x0f\x1f\x80" + bytes(4), b"\x0f\x1f\x84" + bytes(5),
    b"\x66\x0f\x1f\x84" + bytes(5), b"\x66\x2e\x0f\x1f\x84" + bytes(5),
)  # fmt: skip
_ALIGNMENT = 16
_CONDITIONS = {"e": 4, "l": 12, "ge": 13, "le": 14, "g": 15}
# Of vector instructions: the table of opcodes, and the prefix that is a part of the opcode.
_MAP_0F, _MAP_0F38 = 1, 2
_NO_PREFIX, _PREFIX_66, _PREFIX_F3, _PREFIX_F2 = range(4)


class Memory(NamedTuple):
    """An operand in memory: at a base, `offset` bytes on, and `scale` times a register."""

    base: str
    scaled: str | None = None
    scale: int = 1
    offset: int = 0


@dataclass(frozen=True, eq=False)
class _Form:
    """A kind of instruction on vectors; each is made once.

    Args:
        wide: Whether vectors have 512 bits and the prefix is EVEX, else 256 and VEX.
        table: Of opcodes.
        prefix: That is a part of the opcode.
        opcode: The byte.
        w: The prefix's bit W.
        size: The bytes that are read or written, where the last operand is memory.
        masked: Whether lanes that are not in k1 are left alone.
        zeroed: Whether they become 0 instead.
        spread: Whether an element in memory stands for a vector of it.
        short: Whether one lane is meant.
    """

    wide: bool
    table: int
    prefix: int
    opcode: int
    w: bool
    size: int
    masked: bool = False
    zeroed: bool = False
    spread: bool = False
    short: bool = False


class _Forms(NamedTuple):
    """The kinds of instructions for one vector."""

    clear: _Form
    load: _Form
    store: _Form
    add: _Form
    load_masked: _Form
    store_masked: _Form
    broadcast: _Form
    multiply_add: _Form
    multiply_add_spread: _Form
    add_pairs: _Form
    load_one: _Form
    store_one: _Form


@functools.cache
def _forms(wide: bool, double: bool) -> _Forms:
    size, element = 64 if wide else 32, 8 if double else 4
    packed = _PREFIX_66 if double else _NO_PREFIX
    one = _PREFIX_F2 if double else _PREFIX_F3
    w = double and wide
    clear, load, store, add = (
        _Form(wide, _MAP_0F, packed, opcode, w, size) for opcode in (0x57, 0x10, 0x11, 0x58)
    )
    multiply_add = _Form(wide, _MAP_0F38, _PREFIX_66, 0xB8, double, size)
    return _Forms(
        clear=clear,
        load=load,
        store=store,
        add=add,
        load_masked=replace(load, masked=True, zeroed=True),
        store_masked=replace(store, masked=True),
        broadcast=_Form(wide, _MAP_0F38, _PREFIX_66, 0x19 if double else 0x18, w, element),
        multiply_add=multiply_add,
        multiply_add_spread=replace(multiply_add, size=element, spread=True),
        add_pairs=_Form(wide, _MAP_0F38, _PREFIX_F3, 0x52, False, size),
        load_one=_Form(False, _MAP_0F, one, 0x10, False, element, short=True),
        store_one=_Form(False, _MAP_0F, one, 0x11, False, element, short=True),
    )


class Code:
    """Machine code being written.

    Args:
        vector_bits: Of a vector register: 256 of AVX2, 512 of AVX-512.
        double: Whether vectors are of float64, else of float32.
    """

    def __init__(self, vector_bits: int, *, double: bool) -> None:
        self.bytes = bytearray()
        self.wide, self._forms = vector_bits == 512, _forms(vector_bits == 512, double)

    # General registers

    def push(self, register: str) -> None:
        """Keeps a register on the stack."""
        self._stack(0x50, register)

    def pop(self, register: str) -> None:
        """Takes a register from the stack."""
        self._stack(0x58, register)

    def load(self, target: str, place: Memory) -> None:
        """64 bits from memory."""
        self.bytes += _general(0x8B, _NUMBERS[target], place)

    def move(self, target: str, source: str) -> None:
        """target = source."""
        self.bytes += _general(0x89, _NUMBERS[source], target)

    def move_number(self, target: str, number: int) -> None:
        """Target = a number of 32 bits."""
        self.bytes += _general(0xC7, 0, target) + _SIZE.pack(number)

    def add(self, target: str, source: str) -> None:
        """target += source."""
        self.bytes += _general(0x01, _NUMBERS[source], target)

    def add_number(self, target: str, number: int) -> None:
        """target += a number of 8 bits."""
        self.bytes += _general(0x83, 0, target) + _byte(number)

    def subtract_number(self, target: str, number: int) -> None:
        """target -= a number of 8 bits."""
        self.bytes += _general(0x83, 5, target) + _byte(number)

    def and_number(self, target: str, number: int) -> None:
        """target &= a number of 8 bits."""
        self.bytes += _general(0x83, 4, target) + _byte(number)

    def multiply(self, target: str, source: str, number: int) -> None:
        """target = source * a number of 32 bits."""
        small = -128 <= number < 128
        start = _general(0x6B if small else 0x69, _NUMBERS[target], source)
        self.bytes += start + (_byte(number) if small else _SIZE.pack(number))

    def shift_left(self, target: str, count: int) -> None:
        """target <<= count, which is at least 2."""
        self.bytes += _general(0xC1, 4, target) + _byte(count)

    def address(self, target: str, place: Memory) -> None:
        """Target = where an operand in memory is."""
        self.bytes += _general(0x8D, _NUMBERS[target], place)

    def test(self, register: str) -> None:
        """Compares a register with 0."""
        self.bytes += _general(0x85, _NUMBERS[register], register)

    def prefetch(self, place: Memory, level: int) -> None:
        """Asks for a cache line, in the first- or second-level cache."""
        operand, x, b = _memory(level, place, 1)
        if x or b:
            self.bytes.append(0x40 | x << 1 | b)
        self.bytes += b"\x0f\x18" + operand

    def leave(self) -> None:
        """Returns, from code that has used vectors."""
        self.bytes += b"\xc5\xf8\x77\xc3"

    # Vectors

    def clear(self, target: int) -> None:
        """A vector of zeros."""
        self.bytes += _encoded(self._forms.clear, target, target, target)

    def load_vector(self, target: int, place: Memory) -> None:
        """A vector from memory."""
        self.bytes += _encoded(self._forms.load, target, 0, place)

    def store_vector(self, place: Memory, source: int) -> None:
        """A vector to memory."""
        self.bytes += _encoded(self._forms.store, source, 0, place)

    def load_masked(self, target: int, place: Memory) -> None:
        """The lanes of a vector that are set in k1 from memory, zeros in others; of AVX-512."""
        self.bytes += _encoded(self._forms.load_masked, target, 0, place)

    def store_masked(self, place: Memory, source: int) -> None:
        """The lanes of a vector that are set in k1 to memory; of AVX-512."""
        self.bytes += _encoded(self._forms.store_masked, source, 0, place)

    def mask_below(self, count: str, scratch: str) -> None:
        """k1 = the first `count` lanes, at most 16; overwrites `scratch`."""
        self.move_number(scratch, -1)
        self.bytes += _bzhi(_NUMBERS[scratch], _NUMBERS[count])
        self.bytes += _kmov(_NUMBERS[scratch])

    def load_element(self, target: int, place: Memory) -> None:
        """An element from memory in the first lane."""
        self.bytes += _encoded(self._forms.load_one, target, 0, place)

    def store_element(self, place: Memory, source: int) -> None:
        """The first lane to memory."""
        self.bytes += _encoded(self._forms.store_one, source, 0, place)

    def broadcast(self, target: int, place: Memory) -> None:
        """An element from memory in each lane."""
        self.bytes += _encoded(self._forms.broadcast, target, 0, place)

    def multiply_add(self, total: int, x: int, y: int | Memory) -> None:
        """Total += x * y, rounded once."""
        self.bytes += _encoded(self._forms.multiply_add, total, x, y)

    def multiply_add_spread(self, total: int, x: int, place: Memory) -> None:
        """Total += x * an element from memory, in each lane; of AVX-512."""
        self.bytes += _encoded(self._forms.multiply_add_spread, total, x, place)

    def add_pairs(self, total: int, x: int, y: int) -> None:
        """Total += products of pairs of bfloat16, for each lane of float32; of AVX512-BF16."""
        self.bytes += _encoded(self._forms.add_pairs, total, x, y)

    def add_vector(self, total: int, y: int | Memory) -> None:
        """Total += a vector."""
        self.bytes += _encoded(self._forms.add, total, total, y)

    # Order

    def repeat(self, count: int, write: Callable[[], None]) -> None:
        """What `write` writes, `count` times; there is no jump in it."""
        start = len(self.bytes)
        write()
        self.bytes += self.bytes[start:] * (count - 1)

    def loop(self, condition: str, write: Callable[[], None]) -> None:
        """What `write` writes, from a multiple of 16 bytes on; again while `condition` holds."""
        padding = -len(self.bytes) % _ALIGNMENT
        self.bytes += b"\x66" * (padding - 10) + _NOPS[min(padding, 10)]
        start = len(self.bytes)
        write()
        distance, number = start - len(self.bytes), _CONDITIONS[condition]
        if distance - 2 >= -128:
            self.bytes += bytes([0x70 | number]) + _byte(distance - 2)
        else:
            self.bytes += bytes([0x0F, 0x80 | number]) + _SIZE.pack(distance - 6)

    def skip(self, condition: str, write: Callable[[], None]) -> None:
        """What `write` writes, unless a condition holds before."""
        self.bytes += bytes([0x0F, 0x80 | _CONDITIONS[condition]]) + bytes(4)
        start = len(self.bytes)
        write()
        _SIZE.pack_into(self.bytes, start - 4, len(self.bytes) - start)

    def _stack(self, opcode: int, register: str) -> None:
        number = _NUMBERS[register]
        self.bytes += bytes([opcode + number]) if number < 8 else bytes([0x41, opcode + number - 8])


def _byte(number: int) -> bytes:
    return number.to_bytes(1, "little", signed=True)


@functools.cache
def _general(opcode: int, register: int, operand: str | Memory) -> bytes:
    """An instruction of 64 bits whose operands are a register and a register or memory."""
    if isinstance(operand, str):
        other = _NUMBERS[operand]
        raw, x, b = _register(register, other), 0, other >> 3
    else:
        raw, x, b = _memory(register, operand, 1)
    return bytes([0x48 | register >> 3 << 2 | x << 1 | b, opcode]) + raw


def _bzhi(register: int, count: int) -> bytes:
    """The bits of a register of 64 from `count` on are cleared."""
    top = (~register >> 3 & 1) << 7 | 1 << 6 | (~register >> 3 & 1) << 5
    raw = _register(register, register)
    return bytes([0xC4, top | _MAP_0F38, 1 << 7 | (~count & 15) << 3, 0xF5]) + raw


def _kmov(register: int) -> bytes:
    """k1 = the low 16 bits of a register."""
    if register < 8:
        return bytes([0xC5, 0xF8, 0x92]) + _register(1, register)
    return bytes([0xC4, 0xC1, 0x78, 0x92]) + _register(1, register)


@functools.cache
def _encoded(form: _Form, register: int, other: int, last: int | Memory) -> bytes:
    """An instruction on vectors: the operands of ModRM.reg, of the prefix and of ModRM.rm."""
    if isinstance(last, int):
        raw, x, b = _register(register, last), last >> 4, last >> 3 & 1
    else:
        raw, x, b = _memory(register, last, form.size if form.wide else 1)
    top = (~register >> 3 & 1) << 7 | (1 - x) << 6 | (1 - b) << 5
    middle = form.w << 7 | (~other & 15) << 3 | form.prefix
    if form.wide:
        first = top | (~register >> 4 & 1) << 4 | form.table
        rest = form.zeroed << 7 | 2 << 5 | form.spread << 4 | (~other >> 4 & 1) << 3 | form.masked
        return bytes([0x62, first, middle | 4, rest, form.opcode]) + raw
    middle |= (not form.short) << 2
    if form.table == _MAP_0F and not x and not b and not form.w:
        return bytes([0xC5, top & 0x80 | middle, form.opcode]) + raw
    return bytes([0xC4, top | form.table, middle, form.opcode]) + raw


def _register(register: int, other: int) -> bytes:
    return bytes([0xC0 | (register & 7) << 3 | other & 7])


@functools.cache
def _memory(register: int, place: Memory, unit: int) -> tuple[bytes, int, int]:
    """The bytes of an operand in memory, and the high bits of its index and its base.

    Offsets of a byte count units of `unit` bytes.
    """
    base, offset = _NUMBERS[place.base], place.offset
    index = None if place.scaled is None else _NUMBERS[place.scaled]
    if not offset and base & 7 != 5:
        mode, tail = 0, b""
    elif offset % unit == 0 and -128 <= offset // unit < 128:
        mode, tail = 1, _byte(offset // unit)
    else:
        mode, tail = 2, _SIZE.pack(offset)
    first = mode << 6 | (register & 7) << 3
    if index is None and base & 7 != 4:
        return bytes([first | base & 7]) + tail, 0, base >> 3
    scale = place.scale.bit_length() - 1
    inner = scale << 6 | (4 if index is None else index & 7) << 3 | base & 7
    return bytes([first | 4, inner]) + tail, (index or 0) >> 3, base >> 3
