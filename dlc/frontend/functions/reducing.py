"""What reductions share: an op over axes, and statistics of those elements that a mask chooses."""

from __future__ import annotations

import math
from typing import Any

from dlc.frontend.apply import apply, as_tensor, broadcast_to, convert
from dlc.frontend.functions import elementwise
from dlc.frontend.functions.arguments import reshaped
from dlc.frontend.functions.composed import where
from dlc.frontend.tensor import Tensor
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError
from dlc.ir.types import DType, bool_, float32, int64


def with_ones(reduced: Tensor, shape: tuple[Any, ...], axes: tuple[int, ...]) -> Tensor:
    """A reduction's result with the reduced axes back, of extent 1."""
    return reshaped(reduced, tuple(1 if k in axes else d for k, d in enumerate(shape)))


def reduced(op: str, x: Tensor, axes: tuple[int, ...], keepdims: bool, **attrs: Any) -> Tensor:
    """What an op of reductions makes of `x` over axes."""
    result = apply(op, x, axes=tuple(sorted(axes)), **attrs)
    return with_ones(result, x.tensor.shape, axes) if keepdims else result


def mask_of(name: str, mask: Any, x: Tensor) -> Tensor:
    """A `where=` as a mask of the shape of `x`.

    Raises:
        DTypeError: It is not of bools.
        ShapeError: It does not broadcast to the shape of `x`.
    """
    held = as_tensor(mask)
    if held.tensor.dtype is not bool_:
        raise DTypeError(
            f"{name}: where= must be of bools, got {held.tensor}",
            hint="compare first: where=x > 0",
        )
    try:
        return broadcast_to(held, x.tensor.shape)
    except ShapeError:
        raise ShapeError(
            f"{name} of {x.tensor} where {held.tensor}: the mask does not broadcast to the tensor"
        ) from None


def initial_of(name: str, initial: Any, dtype: DType) -> Tensor:
    """An `initial=` at the dtype of the result.

    Raises:
        ShapeError: It is not one number.
        DTypeError: It is a float, and the result is not of floats.
    """
    held = as_tensor(initial)
    if held.tensor.rank:
        raise ShapeError(f"{name}: initial= must be one number, got {held.tensor}")
    if held.tensor.dtype.is_float and not dtype.is_float:
        raise DTypeError(
            f"{name}: initial={held.tensor.dtype.name} of a result of {dtype.name}",
            hint="give an integer, or x at a float dtype",
        )
    return convert(held, dtype)


def find_correction(name: str, correction: Any, ddof: Any, default: float = 0.0) -> float:
    """What is taken from the count of a variance, by either of its names.

    Raises:
        ArgumentError: It is not a number, or there are two.
    """
    if ddof is not None and correction not in (default, ddof):
        raise ArgumentError(
            f"{name} got correction={correction!r} and ddof={ddof!r}",
            hint="they are two names of one argument; give one",
        )
    found = correction if ddof is None else ddof
    if not isinstance(found, (int, float)):
        raise ArgumentError(f"{name}: correction must be a number, got {type(found).__name__}")
    return float(found)


def chosen_mean(x: Tensor, mask: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    """The mean of the floats where a mask is true; of none it is NaN."""
    wide = widened(x)
    total = reduced("reduce_sum", where(mask, wide, 0), axes, keepdims)
    return convert(elementwise.divide(total, _count(mask, wide, axes, keepdims)), x.tensor.dtype)


def chosen_variance(
    x: Tensor, mask: Tensor, axes: tuple[int, ...], correction: float, keepdims: bool
) -> Tensor:
    """The variance of the floats where a mask is true; of too few for the correction it is NaN."""
    wide = widened(x)
    mean = chosen_mean(wide, mask, axes, keepdims=True)
    distance = where(mask, elementwise.subtract(wide, mean), 0)
    total = reduced("reduce_sum", elementwise.square(distance), axes, keepdims)
    count = elementwise.subtract(_count(mask, wide, axes, keepdims), correction)
    count = where(elementwise.greater(count, 0), count, math.nan)
    return convert(elementwise.divide(total, count), x.tensor.dtype)


def widened(x: Tensor) -> Tensor:
    """Floats at a type that holds sums and counts of them; results are rounded once."""
    dtype = x.tensor.dtype
    return convert(x, float32) if dtype.bits == 16 else x


def _count(mask: Tensor, x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return convert(reduced("reduce_sum", convert(mask, int64), axes, keepdims), x.tensor.dtype)
