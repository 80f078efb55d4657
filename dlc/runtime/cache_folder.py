"""Files of the disk cache: private folders, verified reads, atomic writes, eviction.

The cache holds machine code, so that nothing is read that another user could have written.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlc.ir.deferred import deferred
from dlc.ir.errors import CacheError
from dlc.ir.record import NamedTuple
from dlc.runtime.cache_entry import FORMAT_VERSION, Entry, Key, decode_entry

if TYPE_CHECKING:
    import pathlib
    from pathlib import Path
else:
    pathlib = deferred("pathlib")

# Flags that some systems lack: a symbolic link is not followed, a pipe does not block.
_SAFE = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_SUFFIX = ".entry"
_UNFINISHED = ".tmp"
# Writers that died leave their files; nobody writes for so long.
_UNFINISHED_SECONDS = 3600.0
# How finely the time of the last use is kept.
_TOUCH_SECONDS = 60.0


class StoredFile(NamedTuple):
    """One file of the cache and what eviction has to know."""

    used: float
    size: int
    path: Path


class CacheFolder:
    """The folder of a cache, with one file an entry.

    Entries are found and read without `pathlib`, which takes longer to load than they do.

    Args:
        root: The folder; it is made, private, when the first entry is written.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._entries = os.path.join(root, f"v{FORMAT_VERSION}")

    @property
    def root(self) -> Path:
        """The folder."""
        return pathlib.Path(self._root)

    def check(self) -> bool:
        """Tell whether the folder is there.

        Raises:
            CacheError: where it belongs to another user, or others may write to it.
        """
        try:
            status = os.stat(self._root)
        except OSError:
            return False
        complaint = _complaint(status)
        if complaint is not None:
            raise CacheError(
                f"the cache folder {self.root} {complaint}, so that the code in it cannot be "
                "trusted",
                hint="set DLC_CACHE_DIR to a folder of your own, with mode 0700",
            )
        return True

    def path(self, kind: str, key: Key) -> Path:
        """Give the file of an entry."""
        return pathlib.Path(self._file(kind, key))

    def _file(self, kind: str, key: Key) -> str:
        return os.path.join(self._entries, kind, key.digest[:2], key.digest[2:] + _SUFFIX)

    def read(self, kind: str, key: Key) -> bytes | None:
        """Read the payload of an entry, None where there is none.

        Raises:
            CacheError: for an entry that is damaged, or that others can write.
        """
        path = self._file(kind, key)
        entry = read_entry(path)
        if entry is None:
            return None
        if entry.kind != kind or entry.key != key:
            raise CacheError(f"a cache entry under the name of another: {path}")
        return entry.payload

    def touch(self, kind: str, key: Key) -> None:
        """Note that an entry was used now."""
        path = self._file(kind, key)
        with contextlib.suppress(OSError):
            if time.time() - os.stat(path).st_mtime > _TOUCH_SECONDS:
                os.utime(path)

    def remove(self, kind: str, key: Key) -> None:
        """Remove an entry, where that can be done."""
        with contextlib.suppress(OSError):
            os.unlink(self._file(kind, key))

    def write(self, kind: str, key: Key, data: bytes) -> None:
        """Put an entry's bytes in place, whole or not at all; raises OSError."""
        path = self._file(kind, key)
        folder = os.path.dirname(path)
        self._make_folders(folder)
        name = f"{key.digest[2:]}.{os.urandom(8).hex()}{_UNFINISHED}"
        unfinished = os.path.join(folder, name)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            # Not forced to the disk, which takes longer than compiling: of an entry that a crash of
            # the machine leaves behind in part, the checksum is wrong, which makes it a miss.
            os.replace(unfinished, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise

    def files(self) -> Iterator[StoredFile]:
        """Walk over all entries, whether they are sound or not."""
        for path in self._walk(_SUFFIX):
            with contextlib.suppress(OSError):
                status = path.stat(follow_symlinks=False)
                yield StoredFile(status.st_mtime, status.st_size, path)

    def kind_of(self, path: Path) -> str:
        """Give the kind that an entry's file is stored under."""
        return path.relative_to(self._entries).parts[0]

    def evict(self, limit: int) -> int:
        """Remove the least recently used entries where all together are over `limit` bytes.

        Some room is made beyond that, so that it is not done for each entry. What writers left
        unfinished long ago goes too.

        Returns:
            The number of removed entries.
        """
        for path in self._walk(_UNFINISHED):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _UNFINISHED_SECONDS:
                    path.unlink()
        files = sorted(self.files())
        total = sum(file.size for file in files)
        if total <= limit:
            return 0
        removed = 0
        for file in files:
            if total <= limit * 9 // 10:
                break
            with contextlib.suppress(OSError):
                file.path.unlink()
                removed += 1
            total -= file.size
        return removed

    def clear(self) -> int:
        """Remove all entries and unfinished files; returns the number of entries."""
        removed = 0
        for suffix in (_SUFFIX, _UNFINISHED):
            for path in self._walk(suffix):
                with contextlib.suppress(OSError):
                    path.unlink()
                    removed += suffix == _SUFFIX
        return removed

    def _make_folders(self, folder: str) -> None:
        try:
            os.mkdir(folder, mode=0o700)  # what it is in is there, but for the first time
        except FileExistsError:
            return
        except OSError:
            self._make_all_folders(folder)
        self.check()

    def _make_all_folders(self, folder: str) -> None:
        os.makedirs(os.path.dirname(self._root), exist_ok=True)
        inside = os.path.relpath(folder, self._root).split(os.sep)
        for k in range(len(inside) + 1):
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(self._root, *inside[:k]), mode=0o700)

    def _walk(self, suffix: str) -> Iterator[Path]:
        for folder, _, names in os.walk(self._entries):
            for name in names:
                if name.endswith(suffix):
                    yield pathlib.Path(folder, name)


def read_entry(path: str | Path) -> Entry | None:
    """Read and verify one file, None where there is none.

    Raises:
        CacheError: for an entry that is damaged, or that others can write.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _SAFE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CacheError(f"cannot open the cache entry {path}: {error.strerror}") from None
    try:
        status = os.fstat(handle)
        complaint = _complaint(status)
        if not stat.S_ISREG(status.st_mode):
            complaint = "is not a plain file"
        if complaint is not None:
            raise CacheError(f"the cache entry {path} {complaint}")
        with os.fdopen(handle, "rb", buffering=0, closefd=False) as file:
            data = file.read()
    except OSError as error:
        if isinstance(error, CacheError):
            raise
        raise CacheError(f"cannot read the cache entry {path}: {error.strerror}") from None
    finally:
        os.close(handle)
    return decode_entry(data)


def _complaint(status: os.stat_result) -> str | None:
    if os.name != "posix":
        return None  # a user's folder is private there by its access list
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "may be written by other users"
    return None
