"""Where in the user's source something happened."""

from __future__ import annotations

import contextlib
import functools
import importlib
import linecache
import os
import sys
import warnings
from typing import TYPE_CHECKING, TypeAlias

from dlc.ir.deferred import deferred
from dlc.ir.record import NamedTuple

if TYPE_CHECKING:
    import opcode
    from types import CodeType, FrameType
else:
    opcode = deferred("opcode")


class SourceLocation(NamedTuple):
    """A line of the user's source.

    Example:
        >>> str(SourceLocation("train.py", 12, "loss"))
        'train.py:12 in loss'
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


# Taken from a code object, not from __file__, so that both sides of the comparison in
# `user_location` were spelt by the import system in the same way.
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(sys._getframe().f_code.co_filename)), "")
_packages = [_PACKAGE]

# File name -> is it never the user's? Frames of contextlib, functools and importlib stand between
# dlc's own context managers, decorators, or files that are loaded at first use, and their callers.
_internal: dict[str, bool] = {
    contextlib.contextmanager.__code__.co_filename: True,
    functools.update_wrapper.__code__.co_filename: True,
    importlib.import_module.__code__.co_filename: True,
}


def _is_internal(file: str) -> bool:
    internal = file.startswith((*_packages, "<frozen "))
    _internal[file] = internal
    return internal


def pass_over(folder: str) -> None:
    """Takes the files of a package for no user's: one that calls dlc for the user."""
    if os.path.join(folder, "") not in _packages:
        _packages.append(os.path.join(folder, ""))
        for file in [f for f, internal in _internal.items() if not internal]:
            del _internal[file]


def user_location() -> SourceLocation | None:
    """Find the innermost frame of the calling thread that is outside the dlc package.

    Returns:
        The place, or None where no such frame exists (`python -m dlc`). It works for files, for
        the REPL, for notebook cells and for `exec`, whose file is a name in angle brackets.
    """
    return location_of(user_place())


Place: TypeAlias = "tuple[CodeType, int] | None"
"""A place as it is found fastest: the code, and the line in it."""


def user_place() -> Place:
    """`user_location`, to be made of it by `location_of` if it is asked for."""
    frame = user_frame()
    return None if frame is None else (frame.f_code, frame.f_lineno)


def location_of(place: Place) -> SourceLocation | None:
    """The location of a place."""
    if place is None:
        return None
    code, line = place
    return SourceLocation(code.co_filename, line, code.co_qualname.rpartition("<locals>.")[2])


def warn_user(message: str) -> None:
    """Warns at the user's line."""
    place = user_location()
    file, line = ("<unknown>", 1) if place is None else (place.file, place.line)
    warnings.warn_explicit(message, UserWarning, file, line)


def user_frame() -> FrameType | None:
    """The innermost frame of the calling thread that is outside dlc, and what is passed over."""
    frame = sys._getframe(1)
    internal = _internal
    while frame is not None:
        file = frame.f_code.co_filename
        known = internal.get(file)
        if known is False or (known is None and not _is_internal(file)):
            return frame
        frame = frame.f_back
    return None


def by_user(frame: FrameType) -> bool:
    """Whether a frame is outside the dlc package."""
    file = frame.f_code.co_filename
    known = _internal.get(file)
    return not (_is_internal(file) if known is None else known)


def in_loop(frame: FrameType) -> bool:
    """Whether a user's frame is at the beginning of a `for` statement, or a call just before it."""
    if not by_user(frame):
        return False
    code, at = frame.f_code.co_code, frame.f_lasti
    fillers = [opcode.opmap[name] for name in ("CACHE", "NOP", "EXTENDED_ARG")]

    def after(at: int) -> int:
        at += 2
        while at < len(code) - 2 and code[at] in fillers:
            at += 2
        return at

    if opcode.opname[code[at]].startswith("CALL"):
        at = after(at)
    return code[at] == opcode.opmap["GET_ITER"] and code[after(at)] == opcode.opmap["FOR_ITER"]


def source_line(location: SourceLocation) -> str | None:
    """Read the text of a location's line, stripped.

    Returns:
        The line, or None where the source cannot be read (`exec` of a string) or is blank.
    """
    return linecache.getline(location.file, location.line).strip() or None
