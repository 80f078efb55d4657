"""Archives of cache entries: a plain tar file, read as data that nobody vouches for."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dlc.ir.errors import CacheError
from dlc.runtime.cache_entry import Entry, decode_entry
from dlc.runtime.cache_folder import read_entry

# No compiled module comes near; it bounds what a hostile archive makes us read at once.
_MAX_ENTRY = 256 << 20


def write_archive(archive: Path, files: Sequence[Path]) -> int:
    """Write the sound ones of some entry files to an archive, whole or not at all.

    Returns:
        The number of entries written.

    Raises:
        CacheError: if the archive cannot be written.
    """
    unfinished = archive.with_name(f"{archive.name}.{os.urandom(8).hex()}.tmp")
    count = 0
    try:
        with tarfile.open(unfinished, "x:", format=tarfile.USTAR_FORMAT) as tar:
            for file in files:
                with contextlib.suppress(CacheError):
                    if read_entry(file) is None:
                        continue
                    _add(tar, f"{count:08d}", file.read_bytes())
                    count += 1
            _add(tar, "end", _trailer(count))
        os.replace(unfinished, archive)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise CacheError(f"cannot write the archive {archive}: {error.strerror}") from None
    return count


def read_archive(archive: Path) -> Iterator[Entry]:
    """Give the entries of an archive, verified; the names in it are not looked at.

    Raises:
        CacheError: at the first thing that is not an entry.
    """
    count, complete = 0, False
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if complete:
                    raise CacheError(f"the archive {archive} goes on after its end")
                data = _contents(tar, member)
                complete = data == _trailer(count)
                if not complete:
                    yield decode_entry(data)
                    count += 1
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        if isinstance(error, CacheError):
            raise
        raise CacheError(f"cannot read the archive {archive}: {error}") from None
    if not complete:
        raise CacheError(f"the archive {archive} is cut off after {count} entries")


def _trailer(count: int) -> bytes:
    # A tar file that is cut off between two members looks like a whole one.
    return f"end of {count} dlc cache entries\n".encode()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _contents(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise CacheError(f"the archive has a member {member.name!r} that is not a plain file")
    if member.size > _MAX_ENTRY:
        raise CacheError(f"the archive has a member {member.name!r} of {member.size} bytes")
    file = tar.extractfile(member)
    if file is None:
        raise CacheError(f"the archive has a member {member.name!r} without contents")
    with file:
        return file.read()
