"""IR functions with values in the place of their symbols, and as something that `compile` takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlc.frontend.apply import as_tensor, convert
from dlc.frontend.closure import apply_function
from dlc.frontend.tensor import Tensor
from dlc.ir.build import with_extents
from dlc.ir.core import Function
from dlc.ir.dims import Dim, at_least, dims_equal, plain_name, range_words, substitute
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError
from dlc.ir.verifier import verify


def instantiate(function: Function, dims: Mapping[str, Dim]) -> Function:
    """`function` with dims in the place of its symbols."""
    return with_extents(function, lambda d: substitute(d, dims))


def bind_extents(function: Function, tensors: Sequence[Tensor]) -> dict[str, Dim]:
    """The values of the symbols for these arguments; an error when they do not fit."""
    dims: dict[str, Dim] = {}
    for p, t in zip(function.params, tensors, strict=True):
        given = t.tensor
        name = p.name or "an argument"
        if given.dtype is not p.tensor.dtype:
            raise DTypeError(f"{function.name}: {name} is {given}, but {p.tensor} is needed")
        if given.rank != p.tensor.rank:
            raise ShapeError(f"{function.name}: {name} is {given}, but {p.tensor} is needed")
        for d, actual in zip(p.shape, given.shape, strict=True):
            symbol = plain_name(d)
            if symbol is not None:
                dims.setdefault(symbol, actual)
    for n, (least, most) in function.ranges.items():
        if n in dims and not (
            at_least(dims[n], least, expected=True)
            and (most is None or at_least(most, dims[n], expected=True))
        ):
            words = range_words((least, most))
            raise ShapeError(f"{function.name}: {n} is {dims[n]}, and must be {words}")
    for p, t in zip(function.params, tensors, strict=True):
        for d, actual in zip(p.shape, t.tensor.shape, strict=True):
            if not dims_equal(substitute(d, dims), actual):
                raise ShapeError(
                    f"{function.name}: {p.name or 'an argument'} is {t.tensor}, "
                    f"but {p.tensor} is needed"
                )
    return dims


def callable_of(function: Function) -> Callable[..., Any]:
    """A Python function that applies an IR function to tensors.

    It returns a tensor, or a tuple when the function has several results or none.

    Raises:
        VerifyError: for a function that breaks a rule of the IR.
        ArgumentError: (from the call) for another number of arguments.
        DTypeError, ShapeError: for arguments of other types.
    """
    verify(function)

    def call(*args: Any) -> Any:
        if len(args) != len(function.params):
            raise ArgumentError(
                f"{function.name} takes {len(function.params)} arguments, not {len(args)}"
            )
        pairs = zip(function.params, (as_tensor(a) for a in args), strict=True)
        tensors = [convert(t, p.tensor.dtype) if t._weak else t for p, t in pairs]
        results = apply_function(instantiate(function, bind_extents(function, tensors)), tensors)
        return results[0] if len(results) == 1 else tuple(results)

    call.__name__ = call.__qualname__ = function.name
    call.__doc__ = f"The IR function {function.name}."
    names = [p.name or "" for p in function.params]
    if all(n.isidentifier() for n in names) and len(set(names)) == len(names):
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(n, kind) for n in names]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call
