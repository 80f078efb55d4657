"""What functional forms share: tensors of floats, computing half types at float32, reductions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError, nearest

REDUCTIONS = ("mean", "sum", "none")


def tensor(x: Any) -> dlc.Tensor:
    """A tensor of what a user gave."""
    return x if isinstance(x, dlc.Tensor) else dlc.asarray(x, copy=None)


def wide(*xs: Any) -> tuple[list[dlc.Tensor], dlc.DType]:
    """Tensors of one float dtype of at least 32 bits, and the dtype that results have.

    Integers and bools count as float32.
    """
    tensors = [tensor(x) for x in xs]
    dtype = dlc.result_type(*tensors)
    if not dtype.is_float:
        dtype = dlc.float32
    held = dlc.float32 if dtype.bits == 16 else dtype
    return [t.astype(held) for t in tensors], dtype


def pointwise(function: Callable[..., dlc.Tensor]) -> Callable[..., dlc.Tensor]:
    """A function of one tensor that computes half types at float32 and rounds once."""

    @functools.wraps(function)
    def call(x: Any, *args: Any, **keywords: Any) -> dlc.Tensor:
        (held,), dtype = wide(x)
        return function(held, *args, **keywords).astype(dtype)

    return call


def check_reduction(name: str, reduction: str, allowed: Sequence[str] = REDUCTIONS) -> None:
    """ValueRangeError for a reduction that there is not."""
    if reduction not in allowed:
        raise ValueRangeError(
            f"{name} has no reduction {reduction!r}", hint=nearest(reduction, allowed)
        )


def reduced(losses: dlc.Tensor, reduction: str, dtype: dlc.DType) -> dlc.Tensor:
    """The mean or the sum of losses, or the losses, in the dtype of the result."""
    if reduction != "none":
        losses = dlc.mean(losses) if reduction == "mean" else dlc.sum(losses)
    return losses.astype(dtype)


def same_shape(name: str, x: dlc.Tensor, y: dlc.Tensor) -> None:
    """ShapeError unless two tensors have one shape."""
    if x.shape != y.shape:
        raise ShapeError(
            f"{name} of {x.tensor} and {y.tensor}: input and target must have one shape"
        )
