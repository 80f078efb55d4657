"""Dims as users see them: `x.shape` has integers, and in a trace with symbolic dims also extents.

An extent computes like an integer that is not known yet. Where Python needs its value (a comparison
that depends on it, `range`, `int`), `DimUnknown` tells `compile` to trace again with the extent's
present value as a constant.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from numbers import Real
from operator import ge, gt, index, le, lt
from typing import Any

import numpy as np

from dlc.frontend.context import outermost_trace
from dlc.ir.dims import (
    AS_NUMBER,
    Dim,
    DimExpr,
    DimUnknown,
    add,
    as_told,
    at_least,
    dim_text,
    dims_equal,
    floordiv,
    mod,
    mul,
)
from dlc.ir.errors import ArgumentError, LeakedTracerError, TracedValueError, ValueRangeError

_tensor_of: list[Callable[[DimExpr], Any]] = []


def tensors_by(make: Callable[[DimExpr], Any]) -> None:
    """Sets what turns an extent into a tensor, for arithmetic with floats and tensors."""
    _tensor_of[:] = [make]


def plain(dim: Any) -> Dim:
    """The dim of the IR that an extent or an integer stands for; TypeError for anything else."""
    if isinstance(dim, Extent):
        return dim.dim()
    return dim if isinstance(dim, DimExpr) else index(dim)


def as_dim(value: Any, what: str = "an extent") -> Dim:
    """`plain` with ArgumentError, for arguments that users give."""
    try:
        return plain(value)
    except TracedValueError:
        raise TracedValueError(
            f"{what} must be known while tracing, got a traced value",
            hint="use the shape of an argument, or name the argument in static_argnames",
        ) from None
    except TypeError:
        raise ArgumentError(f"{what} must be an integer, got {type(value).__name__}") from None


def as_dims(shape: Any) -> tuple[Dim, ...]:
    """A shape given by a user, as dims of the IR: one integer or a sequence of them.

    Raises:
        ArgumentError: for anything else.
        ValueRangeError: for a negative extent.
    """
    if isinstance(shape, DimExpr) or hasattr(shape, "__index__"):
        dims: tuple[Dim, ...] = (as_dim(shape),)
    elif isinstance(shape, str) or not isinstance(shape, Iterable):
        raise ArgumentError(f"a shape must be integers, got {type(shape).__name__}")
    else:
        dims = tuple(as_dim(d) for d in shape)
    for d in dims:
        if isinstance(d, int) and d < 0:
            raise ValueRangeError(f"the shape {shape} has the negative extent {d}")
    return dims


def known_extent(dim: Dim) -> int:
    """An extent whose number decides what is traced; DimUnknown where it is a symbol.

    `compile` then traces again with its present value, as where Python needs an extent.
    """
    if isinstance(dim, int):
        return dim
    raise as_told(DimUnknown(dim, 0, AS_NUMBER))


def extents(shape: tuple[Dim, ...]) -> tuple[Any, ...]:
    """The dims of the IR as users see them."""
    return tuple([_wrap(d) for d in shape])


def _wrap(dim: Dim) -> Any:
    return Extent(dim.terms) if isinstance(dim, DimExpr) else dim


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, DimExpr)) or (
        hasattr(value, "__index__") and not hasattr(value, "__array_namespace__")
    )


class Extent(DimExpr):
    """An extent that is not known while tracing; computes like an integer.

    Its symbols mean something only in the trace (and those inside it) that it was read in.
    """

    __slots__ = ("_trace",)

    def __init__(self, terms: Any) -> None:
        super().__init__(terms)
        self._trace = outermost_trace()

    def __repr__(self) -> str:
        return dim_text(self)

    def dim(self) -> DimExpr:
        """The dim of the IR; LeakedTracerError outside of the trace.

        Those of symbolic tensors, which belong to no trace, hold where there is none.
        """
        if self._trace is not outermost_trace():
            raise LeakedTracerError(
                f"the extent {dim_text(self)} was used after the function that read it had "
                "been traced",
                hint="return what is computed from it from the function",
            )
        return DimExpr(self.terms)

    def _binary(
        self, other: Any, dims: Callable[[Dim, Dim], Dim], name: str, swap: bool = False
    ) -> Any:
        if _is_integer(other):
            a, b = plain(self), plain(other)
            return _wrap(dims(b, a) if swap else dims(a, b))
        mine = _tensor_of[0](self.dim())
        return getattr(mine, f"__r{name}__" if swap else f"__{name}__")(other)

    def __add__(self, other: Any) -> Any:
        return self._binary(other, add, "add")

    __radd__ = __add__

    def __mul__(self, other: Any) -> Any:
        return self._binary(other, mul, "mul")

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Any:
        return self._binary(other, lambda a, b: add(a, mul(b, -1)), "sub")

    def __rsub__(self, other: Any) -> Any:
        return self._binary(other, lambda a, b: add(a, mul(b, -1)), "sub", swap=True)

    def __neg__(self) -> Any:
        return _wrap(mul(plain(self), -1))

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        d = plain(self)
        return _wrap(d if at_least(d, 0) else mul(d, -1))

    def __floordiv__(self, other: Any) -> Any:
        return self._binary(other, floordiv, "floordiv")

    def __rfloordiv__(self, other: Any) -> Any:
        return self._binary(other, floordiv, "floordiv", swap=True)

    def __mod__(self, other: Any) -> Any:
        return self._binary(other, mod, "mod")

    def __rmod__(self, other: Any) -> Any:
        return self._binary(other, mod, "mod", swap=True)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __truediv__(self, other: Any) -> Any:
        return _tensor_of[0](self.dim()) / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / _tensor_of[0](self.dim())

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, int) and 0 <= other <= 8:
            result: Any = 1
            for _ in range(other):
                result = result * self
            return result
        return _tensor_of[0](self.dim()) ** other

    def __eq__(self, other: object) -> bool:
        if not _is_integer(other) and isinstance(other, Real):
            if other % 1 != 0:
                return False
            other = math.floor(other)
        if not _is_integer(other):
            return NotImplemented
        return dims_equal(plain(self), plain(other))

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        """That of the number: what is looked up by extents depends on it."""
        return hash(int(self))

    def __getattr__(self, name: str) -> Any:
        """What else integers have, such as `bit_length`, of the number."""
        if name.startswith("_") or not hasattr(int, name):
            raise AttributeError(f"'Extent' object has no attribute {name!r}")
        return getattr(int(self), name)

    def _compared(
        self, other: Any, compare: Callable[[Any, Any], bool], rounded: Callable[[Any], int],
        holds: Callable[[Dim, Dim], bool],
    ) -> bool:  # fmt: skip
        """Whether `holds`, with a number that is no integer `rounded` to one that says the same."""
        if not _is_integer(other) and isinstance(other, Real):
            if not math.isfinite(other):
                return compare(0, other)
            other = rounded(other)
        return holds(plain(self), plain(other)) if _is_integer(other) else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return self._compared(other, ge, math.ceil, at_least)

    def __gt__(self, other: Any) -> bool:
        return self._compared(other, gt, math.floor, lambda a, b: at_least(a, add(b, 1)))

    def __le__(self, other: Any) -> bool:
        return self._compared(other, le, math.floor, lambda a, b: at_least(b, a))

    def __lt__(self, other: Any) -> bool:
        return self._compared(other, lt, math.ceil, lambda a, b: at_least(b, add(a, 1)))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """A function of NumPy, such as `numpy.sqrt`, which gives what it would of an integer.

        That is a tensor of the dtype that NumPy has for it, and an extent where integers give one.
        """
        numbers = (int(x) if isinstance(x, Extent) else x for x in inputs)
        if method != "__call__" or kwargs:
            return getattr(ufunc, method)(*numbers, **kwargs)
        with np.errstate(all="ignore"):
            like: Any = ufunc(*(1 if isinstance(x, Extent) else x for x in inputs))
        if isinstance(like, np.generic) and like.dtype.kind != "f":
            compute = _OF_INTEGERS.get(ufunc.__name__)
            usual = like.dtype.name in ("bool", "int64") and all(map(_is_integer, inputs))
            return compute(*inputs) if compute and usual else ufunc(*numbers)
        if isinstance(like, tuple):
            return ufunc(*numbers)
        held = [
            _tensor_of[0](x.dim()).astype(like.dtype if like.dtype.kind == "f" else np.int64)
            if isinstance(x, Extent)
            else x
            for x in inputs
        ]
        first = next(x for x, given in zip(held, inputs, strict=True) if x is not given)
        return first.__array_ufunc__(ufunc, method, *held).astype(like.dtype)

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else str(self)

    def __bool__(self) -> bool:
        return not dims_equal(plain(self), 0)

    def __index__(self) -> int:
        return known_extent(plain(self))

    def __int__(self) -> int:
        return self.__index__()

    def __float__(self) -> float:
        return float(self.__index__())


_OF_INTEGERS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "floor_divide": operator.floordiv, "remainder": operator.mod, "negative": operator.neg,
    "absolute": abs, "equal": operator.eq, "not_equal": operator.ne, "less": lt,
    "less_equal": le, "greater": gt, "greater_equal": ge,
}  # fmt: skip
"""What functions of NumPy are of extents, where they give int64 or bool."""


def clamp(dim: Dim, high: Dim, expected: bool = True) -> Dim:
    """`dim` kept within 0 to `high`, for slices; DimUnknown where that depends on symbols."""
    if not at_least(dim, 0, expected=True):
        return 0
    return dim if at_least(high, dim, expected=expected) else high


def slice_bound(value: Any, extent: Dim, default: Dim, *, stop: bool = False) -> Dim:
    """A bound of a slice: counted from the end when negative, kept within the extent.

    That a number at which a slice stops is within an open extent is not to be expected: `x[:512]`
    is what shortens long sequences, and leaves others as they are.
    """
    if value is None:
        return default
    d = as_dim(value, "a slice's bound")
    if not at_least(d, 0, expected=True):
        d = add(d, extent)
    return clamp(d, extent, expected=not (stop and isinstance(d, int)))
