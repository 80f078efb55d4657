"""Layers that normalise rows: `LayerNorm`, `RMSNorm`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import dlc
from dlc.ir.errors import ShapeError
from dlc.nn.described import positive
from dlc.nn.module import Module, Parameter


def _row_shape(layer: str, given: int | Sequence[int]) -> tuple[int, ...]:
    extents = tuple(given) if isinstance(given, Iterable) else (given,)
    return tuple([positive(layer, normalized_shape=extent)[0] for extent in extents or (0,)])


def _rows(layer: Module, x: Any, shape: tuple[int, ...]) -> Any:
    """The input with the axes that are normalised as one."""
    trailing = tuple(x.shape[-len(shape) :])
    if len(x.shape) < len(shape) or trailing != shape:
        raise ShapeError(
            f"{type(layer).__name__} of an input of shape {tuple(x.shape)}: "
            f"its last extents must be {shape}"
        )
    return x.reshape(*x.shape[: -len(shape)], math.prod(shape))


class LayerNorm(Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last axes (Ba et al., 2016).

    Args:
        normalized_shape: The extents of the axes, or the only one.
        eps: What is added to the variance; PyTorch's default.
        elementwise_affine: Whether there are a weight and a bias.
        bias: Whether there is a bias.
        dtype: The element type of the parameters.

    Example:
        >>> dlc.nn.LayerNorm(4)(dlc.asarray([[1.0, 2.0, 3.0, 4.0]])).sum().item()
        0.0
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape = _row_shape("LayerNorm", normalized_shape)
        self.eps = eps
        dtype = dtype or dlc.float32
        shape = self.normalized_shape
        self.weight = self.bias = None
        if elementwise_affine:
            self.weight = Parameter(dlc.ones(shape, dtype=dtype), "weight")
        if elementwise_affine and bias:
            self.bias = Parameter(dlc.zeros(shape, dtype=dtype), "bias")

    def forward(self, x: Any) -> dlc.Tensor:
        """The normalised x, of x's shape."""
        rows = _rows(self, x, self.normalized_shape)
        weight, bias = (None if p is None else p.reshape(-1) for p in (self.weight, self.bias))
        return dlc.layer_norm(rows, weight, bias, eps=self.eps).reshape(*x.shape)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.normalized_shape}, eps={self.eps}"


class RMSNorm(Module):
    """x / sqrt(mean(x**2) + eps) * weight, over the last axes (Zhang and Sennrich, 2019).

    Args:
        normalized_shape: The extents of the axes, or the only one.
        eps: What is added to the mean; the spacing at 1 of the dtype that it is computed at
            for None, as in PyTorch: half types are computed at float32.
        elementwise_affine: Whether there is a weight.
        dtype: The element type of the weight.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
    ) -> None:
        self.normalized_shape, self.eps = _row_shape("RMSNorm", normalized_shape), eps
        self.weight = None
        if elementwise_affine:
            ones = dlc.ones(self.normalized_shape, dtype=dtype or dlc.float32)
            self.weight = Parameter(ones, "weight")

    def forward(self, x: Any) -> dlc.Tensor:
        """The normalised x, of x's shape."""
        rows = _rows(self, x, self.normalized_shape)
        computed = dlc.result_type(x.dtype, dlc.float32)
        eps = float(dlc.finfo(computed).eps) if self.eps is None else self.eps
        weight = None if self.weight is None else self.weight.reshape(-1)
        return dlc.rms_norm(rows, weight, eps=eps).reshape(*x.shape)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.normalized_shape}, eps={self.eps}"
