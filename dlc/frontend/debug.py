"""`dlc.debug`: prints, callbacks and breakpoints that happen when a compiled function runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import apply
from dlc.frontend.callbacks import as_operands, on_arrays
from dlc.frontend.context import current_trace
from dlc.ir.errors import ArgumentError
from dlc.ir.host_function import host_function
from dlc.ir.ops.callbacks import shown

__all__ = ["breakpoint", "callback", "print"]


def print(format: str, /, *args: Any, **kwargs: Any) -> None:
    """Prints values when a compiled function runs, in the order of the program.

    Args:
        format: A format as of `str.format`: `"x = {}, y = {y:.3f}"`.
        args: Tensors, arrays and numbers for the places without a name.
        kwargs: Those for places with names.

    Under `vmap` it prints for each element of the batch; in branches and loops whenever they are
    taken. It is neither left out nor done twice, whatever the compiler does with the values.

    Raises:
        ArgumentError: The format is no text, none of `str.format`, or has places for arguments
            that are not there.
        ValueRangeError: A value has no such format, as the `d` of a float. When the compiled
            function runs: the values are known only then.

    Example:
        >>> @dlc.compile
        ... def f(x):
        ...     dlc.debug.print("x = {}, its double {y}", x, y=x * 2)
        ...     return x + 1
        >>> f(dlc.asarray(1.0))
        x = 1.0, its double 2.0
        Tensor(2., dtype=float32)
    """
    if not isinstance(format, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(
            f"debug.print of a {type(format).__name__}: the format comes first",
            hint='write print("{}", x)',
        )
    operands = as_operands((*args, *kwargs.values()))
    names = ",".join([*("" for _ in args), *kwargs]) if kwargs else ""
    if current_trace() is None:
        text = shown(format, names, [x.numpy() for x in operands])
        sys.stdout.write(text + "\n")
        return
    apply("debug_print", *operands, text=format, names=names)


def callback(f: Callable[..., Any], /, *args: Any) -> None:
    """Calls a Python function for its effects when a compiled function runs.

    Args:
        f: A function of NumPy arrays, which are its own. What it returns is not used.
        args: Its arguments, trees of tensors, arrays and numbers.

    The calls come in the order of the program. Under `vmap` there is one for each element of the
    batch. Programs with callbacks are not stored on disk.

    Raises:
        Exception: What the function raises comes out of the compiled function, which stops there.

    Example:
        >>> seen = []
        >>> f = dlc.compile(lambda x: (dlc.debug.callback(seen.append, x), x * 2)[1])
        >>> f(dlc.asarray(3.0))
        Tensor(6., dtype=float32)
        >>> seen
        [array(3., dtype=float32)]
    """
    if current_trace() is None:
        on_arrays(f, args)(*(x.numpy().copy() for x in as_operands(args)))
        return
    apply("debug_callback", *as_operands(args), function=host_function(on_arrays(f, args)))


def breakpoint(**values: Any) -> None:
    """Stops in the debugger (`sys.breakpointhook`) when a compiled function comes to this point.

    Args:
        values: What is to be looked at there, by name: they are the items of `values`.

    Example:
        >>> import sys
        >>> hook, sys.breakpointhook = sys.breakpointhook, lambda: print("stopped")
        >>> f = dlc.compile(lambda x: (dlc.debug.breakpoint(x=x), x)[1])
        >>> f(dlc.asarray(1.0)) is None
        stopped
        False
        >>> sys.breakpointhook = hook
    """
    callback(_stop, values)


def _stop(values: dict[str, Any]) -> None:
    sys.breakpointhook()  # noqa: T100  (what it is for)
