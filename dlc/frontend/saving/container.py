"""The container of a saved program: a zip archive of a fixed form, without compression.

Everything in it besides the contents of its entries follows from their names, sizes and checksums.
The first entry is the manifest, which lists those of the others, and a reader compares the rest
with what it must be. So nothing in an archive is interpreted but the manifest, and no byte of a
file can differ unnoticed. Other programs see an ordinary archive. Contents start at multiples of 64
bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import BinaryIO, TypeAlias

from dlc.ir.errors import FileFormatError
from dlc.ir.record import NamedTuple

Buffer: TypeAlias = bytes | memoryview

ALIGNMENT = 64
MANIFEST = "manifest.json"
MAX_MANIFEST = 16 << 20  # parsed, it takes some twenty times as much
_CHUNK = 1 << 22

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4sQ2H2I4Q4sIQI4s4H2IH")
_SIZES = struct.Struct("<2H2Q")  # the extra field of large archives, which all entries have
_SIZES_AND_OFFSET = struct.Struct("<2H3Q")
_EXTRA = struct.Struct("<2H")
_VERSION = 45  # of zip, the first with that field
_DATE = 0x21  # 1980-01-01: equal programs are equal files
_ELSEWHERE = 0xFFFFFFFF  # a number that the extra field has
_PADDING = 0x4C44  # an extra field of zeros


class Entry(NamedTuple):
    """The name, size and checksum of an entry."""

    name: str
    size: int
    checksum: int


class Layout(NamedTuple):
    """Where everything lies: headers with their offsets, and the offset of each content."""

    headers: list[tuple[int, bytes]]
    offsets: list[int]
    size: int


def checksum(data: Buffer) -> int:
    """The checksum of a content, which zip has for it."""
    return zlib.crc32(data)


def layout(entries: Iterable[Entry]) -> Layout:
    """The form of an archive of entries in this order."""
    headers: list[tuple[int, bytes]] = []
    offsets: list[int] = []
    directory: list[bytes] = []
    at = 0
    for name, size, crc in entries:
        raw = name.encode("ascii")
        sizes = _SIZES.pack(1, 16, size, size)
        fixed = _LOCAL.size + len(raw) + len(sizes) + _EXTRA.size
        padding = -(at + fixed) % ALIGNMENT
        extra = sizes + _EXTRA.pack(_PADDING, padding) + bytes(padding)
        shared = (_VERSION, 0, 0, 0, _DATE, crc, _ELSEWHERE, _ELSEWHERE, len(raw))
        headers.append((at, _LOCAL.pack(b"PK\3\4", *shared, len(extra)) + raw + extra))
        place = _SIZES_AND_OFFSET.pack(1, 24, size, size, at)
        more = (len(place), 0, 0, 0, 0, _ELSEWHERE)
        directory.append(_CENTRAL.pack(b"PK\1\2", _VERSION, *shared, *more) + raw + place)
        offsets.append(at + fixed + padding)
        at += fixed + padding + size
    listed, count = b"".join(directory), len(directory)
    end = _END.pack(
        b"PK\6\6", 44, _VERSION, _VERSION, 0, 0, count, count, len(listed), at,
        b"PK\6\7", 0, at + len(listed), 1,
        b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, _ELSEWHERE, _ELSEWHERE, 0,
    )  # fmt: skip
    headers.append((at, listed + end))
    return Layout(headers, offsets, at + len(listed) + len(end))


def write(file: BinaryIO, entries: Sequence[Entry], contents: Iterable[Buffer]) -> None:
    """Writes an archive; the contents are those of the entries."""
    form = layout(entries)
    for (_, header), content in zip(form.headers, contents, strict=False):
        file.write(header)
        file.write(content)
    file.write(form.headers[-1][1])


def read_manifest(file: BinaryIO, size: int) -> tuple[Entry, bytes]:
    """The first entry of an archive.

    Args:
        file: The archive, at its beginning.
        size: Its size.

    Raises:
        FileFormatError: for what is no archive of this form, or damaged.
    """
    name = MANIFEST.encode()
    start = file.read(_LOCAL.size + len(name) + _SIZES.size)
    at = _LOCAL.size + len(name)
    if len(start) < at + _SIZES.size or start[:4] != b"PK\3\4" or start[_LOCAL.size : at] != name:
        raise FileFormatError("this is no program that dlc saved" + _what_else(start))
    length = _SIZES.unpack_from(start, at)[2]
    if length > min(MAX_MANIFEST, size):
        raise FileFormatError(f"its manifest is said to have {length} bytes: it is damaged")
    entry = Entry(MANIFEST, length, _LOCAL.unpack_from(start)[6])
    return entry, read_content(file, entry, layout([entry]).offsets[0])


def read_content(file: BinaryIO, entry: Entry, offset: int) -> bytes:
    """The content of an entry; FileFormatError where it is cut off or damaged."""
    file.seek(offset)
    data = file.read(entry.size)
    check_content(entry, data)
    return data


def read_into(file: BinaryIO, entry: Entry, offset: int, memory: memoryview) -> None:
    """Reads the content of an entry; FileFormatError where it is cut off or damaged."""
    file.seek(offset)
    at = 0
    while at < len(memory):
        count = file.readinto(memory[at : at + _CHUNK])  # type: ignore[attr-defined]
        if not count:
            raise cut_off(entry)
        at += count
    check_content(entry, memory)


def cut_off(entry: Entry) -> FileFormatError:
    """The error for a content that a file does not have."""
    return FileFormatError(f"the file is cut off in {entry.name}")


def check_content(entry: Entry, data: Buffer) -> None:
    """Raises FileFormatError for a content that is not an entry's."""
    if memoryview(data).nbytes != entry.size:
        raise cut_off(entry)
    if checksum(data) != entry.checksum:
        raise FileFormatError(f"{entry.name} is damaged: its checksum is wrong")


def check_form(file: BinaryIO, size: int, form: Layout) -> None:
    """Raises FileFormatError where a file is not what its manifest says."""
    if size != form.size:
        said = "cut off" if size < form.size else "damaged"
        raise FileFormatError(f"it has {size} bytes, and should have {form.size}: it is {said}")
    for offset, header in form.headers:
        file.seek(offset)
        if file.read(len(header)) != header:
            raise FileFormatError(f"what lies between its contents, at byte {offset}, is damaged")


def _what_else(start: bytes) -> str:
    """A guess at what a file is, for an error."""
    if not start:
        return ": it is empty"
    if start[:4] == b"PK\3\4":
        return ": it is another zip archive, such as one of PyTorch or NumPy"
    if start[8:9] == b"{":
        return ": it seems to be a safetensors file, which `load_weights` reads"
    return ""
