"""Normalisation by Keras's names: over the batch, rows, groups, to unit length, to unit squares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import dlc
from dlc.nn import initializers
from dlc.nn.keras.layer import Layer, known

Axes: TypeAlias = int | Sequence[int]


def _wide(x: Any) -> tuple[dlc.Tensor, dlc.DType]:
    """x at 32 bits or more, and its own dtype."""
    held = dlc.asarray(x, copy=None)
    dtype = held.dtype if held.dtype.is_float else dlc.float32
    return held.astype(dlc.float32 if dtype.bits == 16 else dtype), dtype


def _positive_axes(layer: Layer, axis: Axes, rank: int) -> tuple[int, ...]:
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    if any(not -rank <= a < rank for a in given):
        raise dlc.ShapeError(
            f"{type(layer).__name__}(axis={axis!r}) of an input of {rank} axes: there is no such"
        )
    return tuple(sorted(a % rank for a in given))


class _Scaled(Layer):
    """What has a factor gamma and a summand beta."""

    regularized = {"gamma": "gamma", "beta": "beta"}  # noqa: RUF012

    gamma: dlc.Variable | None
    beta: dlc.Variable | None

    def _set_up(
        self, axis: Axes, epsilon: float, center: bool, scale: bool, beta: Any, gamma: Any,
        common: dict[str, Any],
    ) -> None:  # fmt: skip
        Layer.__init__(self, **common)
        self.axis: Axes = axis
        self.epsilon, self.center, self.scale = epsilon, center, scale
        self.beta_initializer = initializers.get(beta)
        self.gamma_initializer = initializers.get(gamma)
        self.gamma = self.beta = None

    def _extents(self, shape: tuple[Any, ...]) -> tuple[int, ...]:
        axes = _positive_axes(self, self.axis, len(shape))
        return tuple(known(self, shape[a], f"the extent of axis {a}") for a in axes)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        extents = self._extents(shape)
        if self.scale:
            self.gamma = self.add_weight(extents, self.gamma_initializer, name="gamma")
        if self.center:
            self.beta = self.add_weight(extents, self.beta_initializer, name="beta")

    def extra_repr(self) -> str:
        """The settings."""
        return f"axis={self.axis}, epsilon={self.epsilon}"


class BatchNormalization(_Scaled):
    """Each index of an axis normalised over the batch, with Keras's defaults.

    Ioffe and Szegedy (2015). While training it normalises by the batch and moves the moving mean
    and variance towards the batch's; in evaluation, and when it is frozen (`trainable = False`),
    it normalises by the moving ones.

    Args:
        axis: The axis of the channels.
        momentum: The share of the old values in the new moving mean and variance.
        epsilon: What is added to the variance.
        center: Whether there is a beta.
        scale: Whether there is a gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer:
            Names or functions (see `dlc.nn.initializers`).
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        gamma, beta: What channels are multiplied by, and what is added, or None.
        moving_mean, moving_variance: Buffers.

    Example:
        >>> layer = dlc.nn.BatchNormalization()
        >>> layer(dlc.ones((4, 3))).shape, round(layer.moving_mean.numpy().item(0), 4)
        ((4, 3), 0.01)
    """

    moving_mean: dlc.Variable
    moving_variance: dlc.Variable

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        **common: Any,
    ) -> None:
        self._set_up(axis, epsilon, center, scale, beta_initializer, gamma_initializer, common)
        self.momentum = momentum
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters and moving values for inputs of this shape."""
        super().build(shape)
        extents = self._extents(shape)
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        self.moving_mean = self.add_weight(extents, mean, trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight(
            extents, variance, trainable=False, name="moving_variance"
        )

    def call(self, x: Any) -> dlc.Tensor:
        """The normalised x, of x's shape."""
        held, dtype = _wide(x)
        (axis,) = _positive_axes(self, self.axis, held.ndim)
        mean, variance = self.moving_mean.value(), self.moving_variance.value()
        if self.training and not self._is_frozen():
            axes = tuple(a for a in range(held.ndim) if a != axis)
            mean, variance = dlc.mean(held, axis=axes), dlc.var(held, axis=axes)
            for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                kept = dlc.stop_gradient(new).astype(moving.dtype)
                moving.assign(moving * self.momentum + kept * (1.0 - self.momentum))
        shape = tuple(-1 if a == axis else 1 for a in range(held.ndim))
        factor = dlc.rsqrt(variance.astype(held.dtype) + self.epsilon)
        y = (held - dlc.reshape(mean.astype(held.dtype), shape)) * dlc.reshape(factor, shape)
        if self.gamma is not None:
            y = y * dlc.reshape(self.gamma.astype(held.dtype), shape)
        if self.beta is not None:
            y = y + dlc.reshape(self.beta.astype(held.dtype), shape)
        return y.astype(dtype)

    def _is_frozen(self) -> bool:
        """Whether there are parameters, none of which is trained."""
        own = list((self._source or self).parameters())
        return self._frozen or (bool(own) and not any(p.requires_grad for p in own))


class LayerNormalization(_Scaled):
    """Each example normalised over axes (Ba et al., 2016), with Keras's defaults.

    Args:
        axis: The axis, or several.
        epsilon: What is added to the variance.
        center: Whether there is a beta.
        scale: Whether there is a gamma.
        beta_initializer, gamma_initializer: Names or functions (see `dlc.nn.initializers`).
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        gamma, beta: Of the extents of the axes, or None.

    Example:
        >>> dlc.nn.LayerNormalization()(dlc.ones((2, 3))).shape
        (2, 3)
    """

    def __init__(
        self,
        axis: Axes = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        **common: Any,
    ) -> None:
        self._set_up(axis, epsilon, center, scale, beta_initializer, gamma_initializer, common)

    def call(self, x: Any) -> dlc.Tensor:
        """The normalised x, of x's shape."""
        held = dlc.asarray(x, copy=None)
        axes = _positive_axes(self, self.axis, held.ndim)
        order = (*(a for a in range(held.ndim) if a not in axes), *axes)
        moved = dlc.permute_dims(held, order)
        lead = moved.shape[: held.ndim - len(axes)]
        extents = [known(self, held.shape[a], f"the extent of axis {a}") for a in axes]
        rows = dlc.reshape(moved, (*lead, math.prod(extents)))
        gamma, beta = (None if p is None else dlc.reshape(p, -1) for p in (self.gamma, self.beta))
        y = dlc.reshape(dlc.layer_norm(rows, gamma, beta, eps=self.epsilon), moved.shape)
        back = tuple(order.index(a) for a in range(held.ndim))
        return dlc.permute_dims(y, back)


class GroupNormalization(_Scaled):
    """Each example normalised over groups of channels (Wu and He, 2018), with Keras's defaults.

    Args:
        groups: Into how many groups the channels are divided; -1 for one group a channel.
        axis: The axis of the channels.
        epsilon: What is added to the variance.
        center: Whether there is a beta.
        scale: Whether there is a gamma.
        beta_initializer, gamma_initializer: Names or functions (see `dlc.nn.initializers`).
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        gamma, beta: [channels], or None.

    Example:
        >>> dlc.nn.GroupNormalization(2)(dlc.ones((2, 5, 4))).shape
        (2, 5, 4)
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        **common: Any,
    ) -> None:
        self._set_up(axis, epsilon, center, scale, beta_initializer, gamma_initializer, common)
        self.groups = groups

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        (channels,) = self._extents(shape)
        if self.groups != -1 and (self.groups < 1 or channels % self.groups):
            raise dlc.ValueRangeError(
                f"GroupNormalization: {channels} channels cannot be divided into {self.groups} "
                "groups"
            )
        super().build(shape)

    def call(self, x: Any) -> dlc.Tensor:
        """The normalised x, of x's shape."""
        held = dlc.asarray(x, copy=None)
        (axis,) = _positive_axes(self, self.axis, held.ndim)
        moved = dlc.moveaxis(held, axis, 1)
        groups = moved.shape[1] if self.groups == -1 else self.groups
        y = dlc.group_norm(moved, groups, self.gamma, self.beta, self.epsilon)
        return dlc.moveaxis(y, 1, axis)


class RMSNormalization(Layer):
    """x / sqrt(mean(x**2) + epsilon) * scale, over an axis (Zhang and Sennrich, 2019).

    Args:
        axis: The axis, or several.
        epsilon: What is added to the mean.
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        scale: Of the extents of the axes.

    Example:
        >>> dlc.nn.RMSNormalization()(dlc.ones((2, 3))).shape
        (2, 3)
    """

    scale: dlc.Variable

    def __init__(self, axis: Axes = -1, epsilon: float = 1e-6, **common: Any) -> None:
        super().__init__(**common)
        self.axis, self.epsilon = axis, epsilon

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameter for inputs of this shape."""
        axes = _positive_axes(self, self.axis, len(shape))
        extents = tuple(known(self, shape[a], f"the extent of axis {a}") for a in axes)
        self.scale = self.add_weight(extents, "ones", name="scale")

    def call(self, x: Any) -> dlc.Tensor:
        """The normalised x, of x's shape."""
        held, dtype = _wide(x)
        axes = _positive_axes(self, self.axis, held.ndim)
        mean = dlc.mean(dlc.square(held), axis=axes, keepdims=True)
        shape = tuple(held.shape[a] if a in axes else 1 for a in range(held.ndim))
        scale = dlc.reshape(self.scale.astype(held.dtype), shape)
        return (held * dlc.rsqrt(mean + self.epsilon) * scale).astype(dtype)


class UnitNormalization(Layer):
    """x divided by its norm over an axis.

    Args:
        axis: The axis, or several.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.UnitNormalization()(dlc.asarray([[3.0, 4.0]]))
        Tensor([[0.6, 0.8]], dtype=float32)
    """

    def __init__(self, axis: Axes = -1, **common: Any) -> None:
        super().__init__(**common)
        self.axis = axis

    def call(self, x: Any) -> dlc.Tensor:
        """x of norm 1."""
        held, dtype = _wide(x)
        axes = _positive_axes(self, self.axis, held.ndim)
        squares = dlc.sum(dlc.square(held), axis=axes, keepdims=True)
        return (held * dlc.rsqrt(dlc.maximum(squares, 1e-24))).astype(dtype)
