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
from dlc.ir.dims import Dim, DimExpr, Symbol, dims_equal, substitute
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError
from dlc.ir.verifier import verify


def instantiate(function: Function, dims: Mapping[str, Dim]) -> Function:
    """`function` with dims in the place of its symbols."""
    return with_extents(function, lambda d: substitute(d, dims))


def plain_symbol(dim: Dim) -> str | None:
    """The name of a dim that is just a symbol."""
    if isinstance(dim, DimExpr) and len(dim.terms) == 1:
        monomial, c = dim.terms[0]
        if c == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
            return monomial[0].name
    return None


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
            symbol = plain_symbol(d)
            if symbol is not None:
                dims.setdefault(symbol, actual)
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
