"""Python functions inside of compiled ones: `pure_callback`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.frontend import tree
from dlc.frontend.apply import apply, as_dims, as_tensor, dtype_argument, materialise
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ArgumentError
from dlc.ir.host_function import HostFunction, host_function


def as_operands(args: Any) -> list[Tensor]:
    """The leaves of arguments, as tensors."""
    return [materialise(as_tensor(x)) for x in tree.leaves(args)]


def on_arrays(f: Callable[..., Any], args: Any) -> Callable[..., Any]:
    """`f` of the arguments' structure as a function of their leaves."""
    leaves, form = tree.flatten(args)
    if len(leaves) == len(args) and all(x is a for x, a in zip(leaves, args, strict=True)):
        return f

    def call(*arrays: Any) -> Any:
        return f(*tree.unflatten(form, arrays))

    return call


def pure_callback(f: Callable[..., Any], result: Any, /, *args: Any) -> Any:
    """Calls a Python function in the middle of a compiled one, for what it returns.

    Args:
        f: A function of NumPy arrays, which are its own, without effects: it may be called more
            often than it is written, or not at all if nothing needs what it returns.
        result: What it returns: a `dlc.spec`, or anything with a shape and a dtype; or a tree of
            such.
        args: Its arguments, trees of tensors, arrays and numbers.

    Returns:
        Tensors of those types, in the form of `result`. Of several, each calls the function. Under
        `vmap` it is called for each element of the batch. There is no derivative: wrap it in
        `dlc.custom_vjp` to give it one.

    Raises:
        ArgumentError: `result` has something without a shape and a dtype.
        ShapeError: The function returns something else than it was to.
        Exception: What the function raises comes out of the compiled function.

    Example:
        >>> f = dlc.compile(lambda x: dlc.pure_callback(np.sort, x, x) + 1)
        >>> f(dlc.asarray([3.0, 1.0]))
        Tensor([2., 4.], dtype=float32)
    """
    operands = as_operands(args)
    wanted, form = tree.flatten(result)
    call = on_arrays(f, args)
    found: list[Tensor] = []
    for k, one in enumerate(wanted):
        if not hasattr(one, "shape") or not hasattr(one, "dtype"):
            raise ArgumentError(
                f"pure_callback: a {type(one).__name__} says no shape and dtype of a result",
                hint="write dlc.spec(shape, dtype)",
            )
        attrs: dict[str, Any] = {"shape": as_dims(one.shape), "dtype": dtype_argument(one.dtype)}
        function = host_function(call) if len(wanted) == 1 and one is result else _part(call, k)
        found.append(apply("pure_callback", *operands, function=function, **attrs))
    return tree.unflatten(form, found)


def _part(call: Callable[..., Any], k: int) -> HostFunction:
    """The k-th leaf of what a function returns."""

    def part(*arrays: Any) -> Any:
        return np.asarray(tree.leaves(call(*arrays))[k])

    return HostFunction(part)
