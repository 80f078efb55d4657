"""Where an eager function makes what it needs itself, a range or a mask: where its tensors lie.

An operation follows its operands, and what has none would be on the host. Functions call each other
without saying where; so the arguments of those that are running are looked at. What the user makes
from nothing lies on `config.device`. Only processes with a GPU come here.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from dlc.frontend.tensor import Array, Tensor
from dlc.ir.config import config
from dlc.ir.location import by_user
from dlc.runtime.places import CPU, common_place, is_number, is_place, moved


def find() -> str:
    """Where the tensors lie of the innermost function of dlc that has some; else `config.device`.

    The search ends at the user's code: what that makes, also when dlc has called it, is the user's.

    Raises:
        DeviceError: A function has tensors on different GPUs.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not by_user(frame):
        held = [a for a in _arrays(_arguments(frame)) if not is_number(a)]
        if held:
            return common_place(held)
        frame = frame.f_back
    return config.device if is_place(config.device) else CPU


def moved_there(array: Array) -> Array:
    """An array that has just been made in the host's memory; numbers stay there."""
    place = find() if array.ndim else CPU
    return array if place == CPU else moved(array, place)


def _arguments(frame: FrameType) -> list[Any]:
    code, held = frame.f_code, frame.f_locals
    stars = sum(bool(code.co_flags & f) for f in (inspect.CO_VARARGS, inspect.CO_VARKEYWORDS))
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + stars]
    return [held[name] for name in names if name in held]


def _arrays(values: Any) -> Iterator[Any]:
    """The arrays of the tensors among values, and in lists and dicts of such."""
    for value in values:
        if isinstance(value, Tensor):
            array = getattr(value, "_data", None)  # a variable that is being made has none yet
            if array is not None:
                yield array
        elif isinstance(value, (list, tuple)):
            yield from _arrays(value)
        elif isinstance(value, dict):
            yield from _arrays(value.values())
