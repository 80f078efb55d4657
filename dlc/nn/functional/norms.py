"""Norms with the arguments of `torch.nn.functional`; those of `dlc` take an axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.nn.functional.arguments import tensor


def _first_axis(name: str, x: dlc.Tensor, normalized_shape: Any) -> int:
    """The first of the last axes, which have these extents."""
    several = isinstance(normalized_shape, Iterable)
    given = tuple(normalized_shape) if several else (normalized_shape,)
    if not given or tuple(x.shape)[-len(given) :] != given:
        raise ShapeError(
            f"{name} over the last axes {given} of a tensor of shape {tuple(x.shape)}",
            hint=f"dlc.{name} takes an axis and no shape",
        )
    return -len(given)


@casts
def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> dlc.Tensor:
    """The mean 0 and the variance 1 along the last axes; see `dlc.layer_norm`.

    Args:
        input: A tensor or array.
        normalized_shape: The extents of these axes.
        weight: Factors of this shape, or None.
        bias: What is added, or None.
        eps: Is added to the variance.

    Raises:
        ShapeError: for a tensor whose last axes have other extents.

    Example:
        >>> dlc.nn.functional.layer_norm(dlc.asarray([[1.0, 3.0]]), (2,), eps=0.0)
        Tensor([[-1.,  1.]], dtype=float32)
    """
    x = tensor(input)
    axis = _first_axis("layer_norm", x, normalized_shape)
    return dlc.layer_norm(x, weight, bias, axis=axis, eps=eps)


@casts
def rms_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    eps: float | None = None,
) -> dlc.Tensor:
    """The mean square 1 along the last axes; see `dlc.rms_norm`.

    Args:
        input: A tensor or array.
        normalized_shape: The extents of these axes.
        weight: Factors of this shape, or None.
        eps: Is added to the mean; None for the distance of 1 to the next number of the type that
            it is computed with.

    Raises:
        ShapeError: for a tensor whose last axes have other extents.

    Example:
        >>> dlc.nn.functional.rms_norm(dlc.asarray([[3.0, -3.0]]), (2,), eps=0.0)
        Tensor([[ 1., -1.]], dtype=float32)
    """
    x = tensor(input)
    axis = _first_axis("rms_norm", x, normalized_shape)
    if eps is None:
        eps = float(dlc.finfo(dlc.float64 if x.dtype == dlc.float64 else dlc.float32).eps)
    return dlc.rms_norm(x, weight, axis=axis, eps=eps)


@casts
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> dlc.Tensor:
    """Each channel of each example normalised; see `dlc.instance_norm`.

    Args:
        input: A tensor or array [N, C, ...].
        running_mean: A mean of each channel, for use_input_stats=False.
        running_var: A variance of each channel, likewise.
        weight: A factor of each channel, or None.
        bias: What is added to it, or None.
        use_input_stats: Whether the mean and the variance are those of the input.
        momentum: Of no effect: arrays cannot be updated in place.
        eps: Is added to the variance.

    Raises:
        ArgumentError: for a running mean and variance that would have to be updated, or are needed
            and not given.

    Example:
        >>> dlc.nn.functional.instance_norm(dlc.asarray([[[1.0, 3.0]]]), eps=0.0)
        Tensor([[[-1.,  1.]]], dtype=float32)
    """
    running = running_mean is not None, running_var is not None
    if any(running) if use_input_stats else not all(running):
        raise ArgumentError(
            "instance_norm takes running_mean and running_var with use_input_stats=False, and "
            "neither without it",
            hint="the layers nn.InstanceNorm1d to 3d update them",
        )
    if use_input_stats:
        return dlc.instance_norm(input, weight, bias, eps)
    found = dlc.batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    assert isinstance(found, dlc.Tensor)
    return found
