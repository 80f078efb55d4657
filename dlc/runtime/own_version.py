"""The version of this copy of dlc, for cache keys: its number, and what its sources are.

The sources of a repository change without the number, and so does the code that they make.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence

from dlc.ir.digest import sha256
from dlc.ir.version import __version__
from dlc.runtime.cache import default_cache
from dlc.runtime.cache_entry import Key

# The parts that make code of a traced function, and run it.
_PARTS = ("ir", "passes", "codegen", "runtime")
_SUFFIX = ".py"


@functools.cache
def own_version() -> str:
    """Name the version: equal wherever the sources are, and as long as nobody changes them."""
    return version_of(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def version_of(package: str) -> str:
    """Name the version of the copy in a folder.

    Its files are looked at in each process, which takes a millisecond. They are read, which takes
    fifteen, where one is not what it was.
    """
    try:
        files = [file for part in _PARTS for file in _files(package, (part,))]
        key = Key([("package", package), ("files", sha256(repr(files).encode()).digest())])
        digest = default_cache().find("sources", key, bytes.decode)
        if digest is None:
            digest = _digest(package, [parts for parts, _ in files])
            default_cache().put("sources", key, digest.encode())
    except OSError:  # no files: dlc comes from an archive, and changes with its number
        return __version__
    return f"{__version__} {digest}"


_File = tuple[tuple[str, ...], tuple[int, int, int]]


def _files(package: str, folder: tuple[str, ...]) -> Iterator[_File]:
    """The source files of a folder and those in it, and what changes when one does."""
    with os.scandir(os.path.join(package, *folder)) as found:
        entries = sorted((entry.name, entry) for entry in found)
    for name, entry in entries:
        if name.endswith(_SUFFIX):
            status = entry.stat()
            yield (*folder, name), (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        elif name.isidentifier() and name[0] != "_":
            yield from _files(package, (*folder, name))


def _digest(package: str, names: Sequence[tuple[str, ...]]) -> str:
    total = sha256()
    for parts in names:
        with open(os.path.join(package, *parts), "rb", buffering=0) as file:
            text = file.read()
        total.update(f"{'/'.join(parts)} {len(text)}\n".encode() + text)
    return total.hexdigest()
