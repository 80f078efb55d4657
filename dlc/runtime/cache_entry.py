"""Keys and entries of the disk cache: named parts, hashed each, and the bytes of one entry.

An entry is a header (format, kind, the key's parts, the payload's length), the payload, and the
SHA-256 of everything before it, so that no damaged byte goes unnoticed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from dlc.ir.digest import sha256
from dlc.ir.errors import CacheError
from dlc.ir.record import NamedTuple

FORMAT_VERSION = 1
_MAGIC = b"DLCENTRY"
_HEADER = struct.Struct("<8sHHHQ")
_PART = struct.Struct("<HH32s")
_DIGEST_SIZE = 32
_LONGEST_KIND = 32
# Values up to this length are kept in the header, so that a miss can be told in words.
_SHOWN = 64


class KeyPart(NamedTuple):
    """One named part of a key: its hash, and its value where that is short."""

    label: str
    digest: bytes
    shown: str

    def __str__(self) -> str:
        return f"{self.label}: {self.shown or self.digest.hex()[:16]}"


class Key:
    """What an entry depends on, as an ordered list of named parts.

    Args:
        parts: Pairs of a label and its value, text or bytes. Labels are unique.

    Raises:
        ValueError: for a label that is there twice, or is longer than 200 bytes.

    Example:
        >>> key = Key([("kernel", "kernel f():"), ("isa", "x86-64-v3")])
        >>> print(key.describe())
        kernel: kernel f():
        isa: x86-64-v3
    """

    parts: tuple[KeyPart, ...]
    digest: str

    def __init__(self, parts: Iterable[tuple[str, str | bytes]]) -> None:
        self._set([_part(label, value) for label, value in parts])

    @classmethod
    def of_parts(cls, parts: Iterable[KeyPart]) -> Key:
        """Make the key from its parts, as an entry's header has them."""
        key = cls.__new__(cls)
        key._set(list(parts))
        return key

    def _set(self, parts: list[KeyPart]) -> None:
        self.parts = tuple(parts)
        if len({part.label for part in parts}) != len(parts):
            raise ValueError("a cache key has a label twice")
        whole = sha256()
        for part in parts:
            label = part.label.encode()
            whole.update(struct.pack("<H", len(label)) + label + part.digest)
        self.digest = whole.hexdigest()

    def describe(self) -> str:
        """Show the parts, one a line: short values themselves, hashes of the others."""
        return "\n".join(map(str, self.parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Key({self.digest[:16]}: {', '.join(map(str, self.parts))})"


class Entry(NamedTuple):
    """A decoded entry."""

    kind: str
    key: Key
    payload: bytes


def check_kind(kind: str) -> None:
    """Raise ValueError unless `kind` can be a folder's name: a lower-case word."""
    word = kind.isascii() and kind.isidentifier() and kind == kind.lower() and kind[0] != "_"
    if not word or len(kind) > _LONGEST_KIND:
        raise ValueError(f"{kind!r} cannot name a kind of cache entry")


def encode_entry(kind: str, key: Key, payload: bytes) -> bytes:
    """Give the bytes of an entry."""
    check_kind(kind)
    name = kind.encode()
    chunks = [
        _HEADER.pack(_MAGIC, FORMAT_VERSION, len(name), len(key.parts), len(payload)),
        name,
    ]
    for part in key.parts:
        label, shown = part.label.encode(), part.shown.encode()
        chunks += [_PART.pack(len(label), len(shown), part.digest), label, shown]
    data = b"".join([*chunks, payload])
    return data + sha256(data).digest()


def decode_entry(data: bytes) -> Entry:
    """Read the bytes of an entry.

    Raises:
        CacheError: unless every byte is as `encode_entry` wrote it.
    """
    end = len(data) - _DIGEST_SIZE
    view = memoryview(data)
    if end < 0 or sha256(view[:end]).digest() != view[end:]:
        raise CacheError("a damaged cache entry: its checksum does not match")
    kind, key, length, start = _header(data)
    if start + length != end:
        raise CacheError("a damaged cache entry: its length is not what the header says")
    return Entry(kind, key, data[start:end])


def decode_header(data: bytes) -> tuple[str, Key]:
    """Read kind and key from the beginning of an entry, unchecked; raises CacheError."""
    kind, key, _, _ = _header(data)
    return kind, key


def _header(data: bytes) -> tuple[str, Key, int, int]:
    try:
        magic, version, size, count, length = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != FORMAT_VERSION:
            raise CacheError("not a cache entry of this version")
        place = _HEADER.size + size
        kind = data[_HEADER.size : place].decode()
        check_kind(kind)
        parts: list[KeyPart] = []
        for _ in range(count):
            label_size, shown_size, digest = _PART.unpack_from(data, place)
            place += _PART.size
            label = data[place : place + label_size].decode()
            place += label_size
            shown = data[place : place + shown_size].decode()
            place += shown_size
            parts.append(KeyPart(label, digest, shown))
        return kind, Key.of_parts(parts), length, place
    except (struct.error, ValueError) as error:
        raise CacheError(f"a damaged cache entry: {error}") from None


def _part(label: str, value: str | bytes) -> KeyPart:
    if len(label.encode()) > 200:
        raise ValueError("the label of a cache key is too long")
    raw = value.encode() if isinstance(value, str) else value
    short = isinstance(value, str) and len(raw) <= _SHOWN and value.isprintable()
    return KeyPart(label, sha256(raw).digest(), str(value) if short else "")
