"""The disk cache of compiled code: what one process compiles, the next one only reads.

Entries are found by a `Key` of everything that they depend on. Whatever is wrong with the disk
(damaged entries, a folder that others can write, no room, no permission) costs time, never a wrong
result: a bad entry is a miss and is written again, and without a usable folder entries live in
memory.
"""

from __future__ import annotations

import collections
import functools
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from dlc.ir.config import config
from dlc.ir.deferred import deferred
from dlc.ir.errors import CacheError, StoredCodeError
from dlc.ir.logs import TopicLog
from dlc.ir.record import dataclass
from dlc.runtime.cache_entry import Key, KeyPart, check_kind, decode_header, encode_entry
from dlc.runtime.cache_folder import CacheFolder

if TYPE_CHECKING:
    import heapq
    import pathlib
    import random
    from pathlib import Path

    from dlc.runtime import cache_archive
else:
    heapq = deferred("heapq")
    pathlib = deferred("pathlib")
    random = deferred("random")
    cache_archive = deferred("dlc.runtime.cache_archive")

Found = TypeVar("Found")
_log = TopicLog("cache")
# Bytes that are kept in memory where the disk cannot be used.
_MEMORY_LIMIT = 256 << 20
# The folder's size is looked at once in this share of its limit written, by chance, so that many
# short processes come to it as one long one does.
_CHECKS_PER_LIMIT = 64
# How many entries `explain_miss` looks at, and how much of each.
_EXPLAINED_ENTRIES = 1000
_EXPLAINED_BYTES = 1 << 16


class CacheWarning(UserWarning):
    """The disk cache cannot be used; compiled code is kept in memory only."""


@dataclass(frozen=True)
class CacheInfo:
    """What a cache holds and how it has served this process.

    Args:
        folder: Where it is.
        entries: Number of entries on disk.
        size: Their bytes.
        limit: Bytes that they are kept under.
        kinds: Entries of each kind.
        hits: Lookups that found their entry.
        misses: Lookups that did not.
        writes: Entries written to disk.
        rejected: Entries that were damaged or not trusted.
        in_memory: Entries held in memory only.
    """

    folder: Path
    entries: int
    size: int
    limit: int
    kinds: dict[str, int]
    hits: int
    misses: int
    writes: int
    rejected: int
    in_memory: int


@dataclass(frozen=True)
class MissReason:
    """Why there is no entry for a key: how the most similar entry's key differs.

    Args:
        kind: The kind that was looked for.
        differences: Pairs of the wanted part and the found one, None where a key lacks it; empty
            where there is no entry of the kind at all.
    """

    kind: str
    differences: tuple[tuple[KeyPart | None, KeyPart | None], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that differ."""
        return tuple(part.label for pair in self.differences if (part := pair[0] or pair[1]))

    def __str__(self) -> str:
        if not self.differences:
            return f"no {self.kind} entry is cached"
        lines = [
            f"  wanted {wanted or 'nothing'}; cached {found or 'nothing'}"
            for wanted, found in self.differences
        ]
        return "\n".join([f"the nearest {self.kind} entry differs:", *lines])


class DiskCache:
    """A cache in a folder, safe to share between threads and processes.

    Args:
        root: The folder; made, private to the user, when the first entry is written.
        limit: Bytes that the entries are kept under; `config.cache_size` without it.

    Example:
        >>> cache = DiskCache(Path("cache"))
        >>> key = Key([("kernel", "kernel f():"), ("isa", "x86-64-v3")])
        >>> cache.put("cpu", key, b"code")
        >>> cache.get("cpu", key)
        b'code'
    """

    def __init__(self, root: str | os.PathLike[str], *, limit: int | None = None) -> None:
        self._folder = CacheFolder(os.path.join(os.getcwd(), os.path.expanduser(root)))
        self._limit = limit
        self._memory: collections.OrderedDict[tuple[str, str], bytes] = collections.OrderedDict()
        self._memory_size = 0
        self._counts: collections.Counter[str] = collections.Counter()
        self._readable: bool | None = None  # None: not yet known, there is no folder
        self._writable = True
        self._warned = False
        self._lock = threading.Lock()
        _instances.add(self)

    def get(self, kind: str, key: Key) -> bytes | None:
        """Look an entry up; None for a miss. Never raises for what is wrong with the disk."""
        check_kind(kind)
        payload = self._remembered(kind, key)
        if payload is None and self._may_read():
            payload = self._read(kind, key)
            if payload is not None:
                self._folder.touch(kind, key)
        self._count("misses" if payload is None else "hits")
        if _log.watched():
            found = "miss" if payload is None else "hit"
            _log.debug("%s %s %s\n%s", found, kind, key.digest[:16], key.describe())
        return payload

    def find(self, kind: str, key: Key, read: Callable[[bytes], Found]) -> Found | None:
        """What `read` makes of an entry; None for a miss.

        An entry for which it raises StoredCodeError is a miss too, and dropped.
        """
        payload = self.get(kind, key)
        try:
            return None if payload is None else read(payload)
        except StoredCodeError as error:
            self.discard(kind, key, error.message)
            return None

    def discard(self, kind: str, key: Key, reason: str) -> None:
        """Drop an entry that was found, but is of no use; never raises."""
        check_kind(kind)
        _log.warning("%s entry %s is made again: %s", kind, key.digest[:16], reason)
        with self._lock:
            self._counts.update(rejected=1, hits=-1, misses=1)
            self._memory_size -= len(self._memory.pop((kind, key.digest), b""))
        self._folder.remove(kind, key)

    def put(self, kind: str, key: Key, payload: bytes) -> None:
        """Store an entry; an entry that is there and sound stays as it is.

        Never raises for what is wrong with the disk: the entry is then kept in memory.
        """
        check_kind(kind)
        if not self._store(kind, key, payload):
            self._remember(kind, key, payload)

    def explain_miss(self, kind: str, key: Key) -> MissReason | None:
        """Say how the most similar entry's key differs from `key`; None if the entry is there."""
        check_kind(kind)
        best: tuple[int, Key] | None = None
        for other in self._recent_keys(kind):
            equal = len(set(key.parts) & set(other.parts))
            if best is None or equal > best[0]:
                best = equal, other
        if best is None:
            return MissReason(kind, ())
        if best[1] == key:
            return None
        wanted = {part.label: part for part in key.parts}
        found = {part.label: part for part in best[1].parts}
        return MissReason(
            kind,
            tuple(
                (wanted.get(label), found.get(label))
                for label in {**wanted, **found}
                if wanted.get(label) != found.get(label)
            ),
        )

    def info(self) -> CacheInfo:
        """Count what is there; walks over the folder."""
        kinds: collections.Counter[str] = collections.Counter()
        size = 0
        for file in self._folder.files():
            kinds[self._folder.kind_of(file.path)] += 1
            size += file.size
        counts = self._counts
        return CacheInfo(
            folder=self._folder.root,
            entries=kinds.total(),
            size=size,
            limit=self.limit,
            kinds=dict(kinds),
            hits=counts["hits"],
            misses=counts["misses"],
            writes=counts["writes"],
            rejected=counts["rejected"],
            in_memory=len(self._memory),
        )

    @functools.cached_property
    def _chance(self) -> random.Random:
        return random.Random()

    @property
    def limit(self) -> int:
        """Bytes that the entries are kept under."""
        return config.cache_size if self._limit is None else self._limit

    def clear(self) -> int:
        """Remove all entries, and try the disk again if it could not be used.

        Returns:
            The number of entries removed from disk.
        """
        with self._lock:
            self._memory.clear()
            self._memory_size = 0
            self._readable, self._writable, self._warned = None, True, False
        return self._folder.clear() if self._may_read() else 0

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write all sound entries to an archive, for `import_` on another machine.

        Returns:
            The number of entries.

        Raises:
            CacheError: if the archive cannot be written.
        """
        files = self._folder.files() if self._may_read() else iter(())
        return cache_archive.write_archive(pathlib.Path(path), sorted(file.path for file in files))

    def import_(self, path: str | os.PathLike[str]) -> int:
        """Take the entries of an archive that `export` wrote.

        Names in the archive mean nothing: each entry is verified and stored under its own key. But
        entries are machine code, which will run: import only archives that you trust.

        Returns:
            The number of entries.

        Raises:
            CacheError: for an archive that is damaged or holds anything else than entries; none
                of it is then imported.
        """
        for _ in cache_archive.read_archive(pathlib.Path(path)):
            pass  # the whole is verified before any of it is used
        count = 0
        for entry in cache_archive.read_archive(pathlib.Path(path)):
            self.put(entry.kind, entry.key, entry.payload)
            count += 1
        return count

    def _read(self, kind: str, key: Key) -> bytes | None:
        try:
            return self._folder.read(kind, key)
        except CacheError as error:
            self._count("rejected")
            _log.warning("%s", error.message)
            return None

    def _store(self, kind: str, key: Key, payload: bytes) -> bool:
        data = encode_entry(kind, key, payload)
        limit = self.limit
        # An entry that nearly fills the cache would only push out all others and then itself.
        if not self._writable or len(data) > limit // 2:
            return False
        self._may_read()
        if self._readable is False:
            return False
        try:
            if not self._is_stored(kind, key):
                self._folder.write(kind, key, data)
                self._count("writes")
        except OSError as error:
            self._writable = False
            reason = error.message if isinstance(error, CacheError) else str(error)
            self._warn(f"cannot write to the cache: {reason}")
            return False
        if self._chance.random() * limit < len(data) * _CHECKS_PER_LIMIT:
            removed = self._folder.evict(limit)
            if removed:
                _log.info("removed %d entries, least recently used first", removed)
        return True

    def _is_stored(self, kind: str, key: Key) -> bool:
        try:
            return self._folder.read(kind, key) is not None
        except CacheError:
            return False

    def _may_read(self) -> bool:
        if self._readable is None:
            try:
                if self._folder.check():
                    self._readable = True
            except CacheError as error:
                self._readable = False
                self._warn(f"{error.message}; {error.hint}")
        return self._readable is True

    def _warn(self, reason: str) -> None:
        with self._lock:
            if self._warned:
                return
            self._warned = True
        _log.warning("%s", reason)
        warnings.warn(f"{reason}; compiled code is kept in memory", CacheWarning, stacklevel=2)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def _remembered(self, kind: str, key: Key) -> bytes | None:
        with self._lock:
            payload = self._memory.get((kind, key.digest))
            if payload is not None:
                self._memory.move_to_end((kind, key.digest))
            return payload

    def _remember(self, kind: str, key: Key, payload: bytes) -> None:
        with self._lock:
            previous = self._memory.pop((kind, key.digest), b"")
            self._memory[kind, key.digest] = payload
            self._memory_size += len(payload) - len(previous)
            while self._memory_size > _MEMORY_LIMIT and len(self._memory) > 1:
                self._memory_size -= len(self._memory.popitem(last=False)[1])

    def _recent_keys(self, kind: str) -> list[Key]:
        if not self._may_read():
            return []
        files = [file for file in self._folder.files() if self._folder.kind_of(file.path) == kind]
        keys: list[Key] = []
        for file in heapq.nlargest(_EXPLAINED_ENTRIES, files):
            try:
                with file.path.open("rb") as stream:
                    keys.append(decode_header(stream.read(_EXPLAINED_BYTES))[1])
            except OSError:  # CacheError is one
                continue
        return keys


# A child made by `fork` may find locks held by threads that it does not have.
_instances: weakref.WeakSet[DiskCache] = weakref.WeakSet()
_defaults: dict[str, DiskCache] = {}
_defaults_lock = threading.Lock()


def default_cache() -> DiskCache:
    """Give the cache in `config.cache_dir`, else in the platform's cache folder."""
    root = config.cache_folder()
    with _defaults_lock:
        cache = _defaults.get(root)
        if cache is None:
            cache = _defaults[root] = DiskCache(root)
        return cache


def _after_fork() -> None:
    global _defaults_lock  # noqa: PLW0603
    _defaults_lock = threading.Lock()
    for cache in list(_instances):
        cache._lock = threading.Lock()
        vars(cache).pop("_chance", None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
