"""Calls of Python from machine code: arrays over the slots of a program, errors to its caller.

The native driver calls a function made by `ctypes`, which takes the interpreter's lock. What Python
raises is kept for the thread, the program stops, and whoever called it raises that again.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from dlc.codegen.host_call import run_host
from dlc.codegen.kernel_ir import Kernel, Param
from dlc.ir.dims import evaluate
from dlc.ir.errors import DlcError
from dlc.ir.location import SourceLocation
from dlc.runtime.native.layout import HOST_FAILED, OK
from dlc.runtime.threads import interrupts

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)

_pending = threading.local()


def raise_pending() -> NoReturn:
    """Raises what ended this thread's last program: an error of Python that ran meanwhile."""
    if interrupts and not hasattr(_pending, "error"):
        raise interrupts.pop()
    error: BaseException = _pending.error
    del _pending.error
    raise error


class _View:
    """How the memory of one parameter is seen: a dense array, read-only unless it is an output."""

    def __init__(self, param: Param, values: Mapping[str, int]) -> None:
        self.shape = tuple(evaluate(d, values) for d in param.dims)
        self.dtype = param.dtype.numpy
        self.writeable = param.mode != "in"
        self.memory = ctypes.c_char * (math.prod(self.shape) * param.dtype.itemsize)

    def at(self, address: int) -> np.ndarray[Any, Any]:
        """The array at an address."""
        array = np.ndarray(self.shape, self.dtype, memoryview(self.memory.from_address(address)))
        array.flags.writeable = self.writeable
        return array


def host_callback(
    kernel: Kernel, values: Mapping[str, int], location: SourceLocation | None
) -> tuple[int, Callable[..., int]]:
    """What machine code calls to run a kernel in Python.

    Args:
        kernel: A kernel that runs in Python.
        values: Its dims.
        location: The user's line, for errors.

    Returns:
        The address, and the object that must live as long as that is used.
    """
    host = kernel.host
    assert host is not None
    views = [_View(p, values) for p in kernel.params]
    pointers = ctypes.c_uint64 * len(views)

    def call(address: int) -> int:
        try:
            places = pointers.from_address(address)
            arrays = [v.at(places[k]) for k, v in enumerate(views)]
            inputs = [a for v, a in zip(views, arrays, strict=True) if not v.writeable]
            outputs = [a for v, a in zip(views, arrays, strict=True) if v.writeable]
            run_host(host, inputs, outputs, values)
        except BaseException as error:  # noqa: BLE001  (machine code cannot let it through)
            _pending.error = _placed(error, host.op.name, location)
            return HOST_FAILED
        return OK

    callback = _CALLBACK(call)
    address = ctypes.cast(callback, ctypes.c_void_p).value
    assert address is not None
    return address, callback


def _placed(error: BaseException, name: str, location: SourceLocation | None) -> BaseException:
    """The error with the user's line of the operation that raised it."""
    if location is not None:
        if isinstance(error, DlcError):
            error.location = location
        elif isinstance(error, Exception):
            error.add_note(f"in {name} at {location}")
    return error
