"""Tracebacks of the user's lines alone: what dlc does between them says nothing to its users."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from types import TracebackType

from dlc.ir.config import config
from dlc.ir.errors import DlcError
from dlc.ir.location import by_user

_INSTALLED = tuple(sysconfig.get_path(p) for p in ("stdlib", "purelib", "platlib"))


def hide_own_frames(error: Exception) -> None:
    """Takes dlc's frames out of the traceback of an error, unless `config.full_tracebacks` is set.

    An error that dlc's own code has made by mistake keeps them.
    """
    if config.full_tracebacks or not (isinstance(error, DlcError) or _is_users(error)):
        return
    shown: TracebackType | None = None
    for step in reversed(list(_steps(error))):
        if by_user(step.tb_frame):
            shown = TracebackType(shown, step.tb_frame, step.tb_lasti, step.tb_lineno)
    error.__traceback__ = shown


def _steps(error: Exception) -> Iterator[TracebackType]:
    step = error.__traceback__
    while step is not None:
        yield step
        step = step.tb_next


def _is_users(error: Exception) -> bool:
    """Whether code of the user's, with what that calls, has raised an error."""
    for step in reversed(list(_steps(error))):
        if not by_user(step.tb_frame):
            return False
        if not step.tb_frame.f_code.co_filename.startswith(_INSTALLED):
            return True
    return False
