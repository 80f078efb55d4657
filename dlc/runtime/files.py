"""Files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import BinaryIO

from dlc.ir.errors import SaveError


def write_whole(given: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Writes a file under another name, forces it to the disk, and puts it in place at once.

    A process that is killed, or a machine that stops, leaves what was there before, or the new
    file.

    Args:
        given: Where.
        write: Writes the contents.

    Raises:
        SaveError: when it cannot be written, which leaves what was there.
    """
    path = os.path.realpath(given)  # through links, as `open` writes
    unfinished = f"{path}.{os.urandom(6).hex()}.tmp"
    try:
        if os.path.lexists(path) and not os.path.isfile(path):
            raise OSError("it is no plain file")
        with open(unfinished, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(os.path.dirname(path))
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        if not isinstance(error, OSError):
            raise
        raise SaveError(
            f"{os.fspath(given)!r} could not be written: {error.strerror or error}",
            hint=_hint(error, os.path.dirname(path)),
        ) from error


def _sync_folder(folder: str) -> None:
    """Forces the name of a new file to the disk; some systems cannot."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _hint(error: OSError, folder: str) -> str:
    kept = "what was there before is still there"
    if isinstance(error, FileNotFoundError) and not os.path.isdir(folder):
        return f"there is no folder {folder}"
    return kept
