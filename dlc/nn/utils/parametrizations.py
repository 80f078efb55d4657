"""Weights in other coordinates, by the names of `torch.nn.utils.parametrizations`."""

from __future__ import annotations

from typing import Any, TypeVar

import dlc
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.nn.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from dlc.nn.functional.distances import normalize
from dlc.nn.module import Module
from dlc.nn.utils.parametrize import register_parametrization
from dlc.nn.weights import NOT_BUILT

Held = TypeVar("Held", bound=Module)

_TRANSPOSED = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
_FIRST_ITERATIONS = 15


def power_iterations(matrix: Any, v: Any, count: int, eps: float) -> tuple[Any, Any]:
    """Vectors [rows] and [columns] nearer to the first singular ones, from v [columns]."""
    u = v
    for _ in range(count):
        u = normalize(dlc.matmul(matrix, v), dim=0, eps=eps)
        v = normalize(dlc.matmul(u, matrix), dim=0, eps=eps)
    return u, v


class _SpectralNorm(Module):
    def __init__(self, weight: Any, count: int, dim: int, eps: float) -> None:
        self.count, self.dim, self.eps = count, dim, eps
        if weight.ndim > 1:
            matrix = self._matrix(weight)
            first = normalize(dlc.random.normal(None, matrix.shape[1:]), dim=0, eps=eps)
            u, v = power_iterations(matrix, first.astype(weight.dtype), _FIRST_ITERATIONS, eps)
            self._u, self._v = dlc.nn.Buffer(u), dlc.nn.Buffer(v)

    def _matrix(self, weight: Any) -> Any:
        rows = dlc.moveaxis(weight, self.dim, 0)
        return rows.reshape(rows.shape[0], -1)

    def forward(self, weight: Any) -> Any:
        """The weight over its largest singular value."""
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            found = power_iterations(dlc.stop_gradient(matrix), self._v, self.count, self.eps)
            for held, value in zip((self._u, self._v), found, strict=True):
                held.assign(dlc.stop_gradient(value))
        sigma = (self._u.data * (matrix @ self._v.data)).sum()
        return weight / sigma


class _WeightNorm(Module):
    def __init__(self, dim: int | None) -> None:
        self.dim = dim

    def _norm(self, v: Any) -> Any:
        axes = None if self.dim is None else tuple(k for k in range(v.ndim) if k != self.dim)
        return dlc.linalg.vector_norm(v, axis=axes, keepdims=self.dim is not None)

    def forward(self, g: Any, v: Any) -> Any:
        """The direction of v with the length g."""
        return v * (g / self._norm(v))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """The length and the vectors."""
        return self._norm(weight), weight


def _dim(name: str, module: Module, weight: str, dim: int) -> int:
    held = getattr(module, weight, None)
    if not isinstance(held, dlc.Tensor):
        raise ArgumentError(
            f"{name}: {type(module).__name__} has no parameter {weight!r}",
            hint=None if module.built else NOT_BUILT,
        )
    if not -max(held.ndim, 1) <= dim < max(held.ndim, 1):
        raise ValueRangeError(f"{name}(dim={dim}) of {weight!r}, which is {held.tensor}")
    return dim % max(held.ndim, 1)


def spectral_norm(
    module: Held,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Held:
    """Divides a weight by an estimate of its largest singular value (Miyato et al., 2018).

    As `torch.nn.utils.parametrizations.spectral_norm`, with its state: the estimate becomes better
    each time the weight is used while training.

    Args:
        module: The module, which is changed and returned.
        name: The weight.
        n_power_iterations: Steps of the power method for each use.
        eps: The least norm that is divided by.
        dim: The axis of outputs; None for 0, and for 1 of transposed convolutions.

    Raises:
        ArgumentError: for a module without such a weight.
        ValueRangeError: for another axis, or less than one step.

    Example:
        >>> layer = dlc.nn.utils.spectral_norm(dlc.nn.Linear(20, 30))
        >>> 0.8 < dlc.linalg.svdvals(layer.weight).max().item() < 1.2
        True
    """
    if n_power_iterations < 1:
        raise ValueRangeError(f"spectral_norm(n_power_iterations={n_power_iterations}): at least 1")
    axis = int(isinstance(module, _TRANSPOSED)) if dim is None else dim
    axis = _dim("spectral_norm", module, name, axis)
    made = _SpectralNorm(getattr(module, name).data, n_power_iterations, axis, eps)
    register_parametrization(module, name, made)
    return module


def weight_norm(module: Held, name: str = "weight", dim: int | None = 0) -> Held:
    """Has lengths and directions of a weight trained apart (Salimans and Kingma, 2016).

    As `torch.nn.utils.parametrizations.weight_norm`, with its state.

    Args:
        module: The module, which is changed and returned.
        name: The weight.
        dim: The axis of outputs, each of which has a length; None for one of all.

    Raises:
        ArgumentError: for a module without such a weight.
        ValueRangeError: for another axis.

    Example:
        >>> layer = dlc.nn.utils.weight_norm(dlc.nn.Linear(20, 30))
        >>> [p.shape for p in layer.parametrizations.weight.parameters()]
        [(30, 1), (30, 20)]
    """
    axis = None if dim is None else _dim("weight_norm", module, name, dim)
    register_parametrization(module, name, _WeightNorm(axis))
    return module
