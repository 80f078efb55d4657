"""Layers that prepare data, any function as a layer, and a penalty as one, by Keras's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.nn import regularizers
from dlc.nn.keras.layer import Layer, known
from dlc.nn.module import Buffer


class Rescaling(Layer):
    """x * scale + offset.

    Args:
        scale: What x is multiplied by.
        offset: What is added.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.Rescaling(1 / 255)(dlc.asarray([0, 255]))
        Tensor([0., 1.], dtype=float32)
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **common: Any) -> None:
        super().__init__(**common)
        self.scale, self.offset = scale, offset

    def call(self, x: Any) -> dlc.Tensor:
        """x in the other range; integers become float32."""
        held = dlc.asarray(x, copy=None)
        held = held if held.dtype.is_float else held.astype(dlc.float32)
        scale, offset = (
            np.asarray(v, held.dtype.numpy) if isinstance(v, (list, tuple)) else v
            for v in (self.scale, self.offset)
        )
        return held * scale + offset

    def extra_repr(self) -> str:
        """The factor and the offset."""
        return f"{self.scale}, offset={self.offset}"


class Normalization(Layer):
    """(x - mean) / sqrt(variance), with mean and variance that are given or those of data.

    Args:
        axis: The axis (or several) along which each index has a mean and variance of its own; None
            for one of all elements.
        mean, variance: What is known beforehand; else `adapt` finds them.
        invert: Whether it computes x * sqrt(variance) + mean.
        common: `name` of the layer.

    Attributes:
        mean, variance: Buffers, after `adapt` or the first call.

    Example:
        >>> layer = dlc.nn.Normalization()
        >>> layer.adapt([[1.0], [3.0]])
        >>> layer(dlc.asarray([[2.0], [4.0]])).tolist()
        [[0.0], [2.0]]
    """

    mean: dlc.Variable
    variance: dlc.Variable

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if (mean is None) != (variance is None):
            raise dlc.ArgumentError("Normalization takes both of mean and variance, or none")
        given = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.axis, self.invert = given, invert
        self._given = None if mean is None else (np.asarray(mean), np.asarray(variance))

    def _kept(self, rank: int) -> tuple[int, ...]:
        if any(not -rank <= a < rank for a in self.axis):
            raise dlc.ShapeError(f"Normalization(axis={self.axis}) of an input of {rank} axes")
        return tuple(sorted(a % rank for a in self.axis))

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes mean and variance for inputs of this shape."""
        kept = self._kept(len(shape))
        extents = tuple(known(self, shape[a], f"the extent of axis {a}") for a in kept)
        mean, variance = self._given or (np.zeros(()), np.ones(()))
        for name, value in (("mean", mean), ("variance", variance)):
            held = np.broadcast_to(value, extents).astype(self.dtype.numpy)
            setattr(self, name, Buffer(held))

    def adapt(self, data: Any) -> None:
        """Sets mean and variance to those of an array, or of all that an iterable of arrays gives.

        Raises:
            ArgumentError: for no data.
        """
        whole = hasattr(data, "shape") or isinstance(data, (list, tuple))
        batches = [np.asarray(b, np.float64) for b in ([data] if whole else data)]
        count = sum(b.size for b in batches)
        if not count:
            raise dlc.ArgumentError("Normalization.adapt of no data")
        rank = batches[0].ndim
        kept = self._kept(rank)
        others = tuple(a for a in range(rank) if a not in kept)
        number = sum(int(np.prod([b.shape[a] for a in others])) for b in batches)
        mean = sum(b.sum(others) for b in batches) / number
        shape = [batches[0].shape[a] if a in kept else 1 for a in range(rank)]
        centre = np.reshape(mean, shape)
        variance = sum(((b - centre) ** 2).sum(others) for b in batches) / number
        self._given = (np.asarray(mean), np.asarray(variance))
        self._built = False
        self.ensure_built(batches[0].shape)

    def call(self, x: Any) -> dlc.Tensor:
        """The normalised x; integers become float32."""
        held = dlc.asarray(x, copy=None)
        held = held if held.dtype.is_float else held.astype(dlc.float32)
        kept = self._kept(held.ndim)
        shape = tuple(held.shape[a] if a in kept else 1 for a in range(held.ndim))
        mean, variance = (
            dlc.reshape(v, shape).astype(held.dtype) for v in (self.mean, self.variance)
        )
        deviation = dlc.maximum(dlc.sqrt(variance), 1e-7)  # Keras's least
        return held * deviation + mean if self.invert else (held - mean) / deviation

    def extra_repr(self) -> str:
        """The axes."""
        return f"axis={self.axis}"


class Lambda(Layer):
    """A function as a layer.

    Args:
        function: Of tensors.
        arguments: Further arguments by name.
        output_shape: Taken for Keras's sake: the shape is that of what the function gives.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.Lambda(lambda x: x**2)(dlc.asarray([3.0]))
        Tensor([9.], dtype=float32)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: dict[str, Any] | None = None,
        output_shape: Any = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.function, self.arguments = function, arguments or {}

    def call(self, *inputs: Any) -> Any:
        """The function of the inputs."""
        return self.function(*inputs, **self.arguments)

    def extra_repr(self) -> str:
        """The name of the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)


class ActivityRegularization(Layer):
    """Its input, whose size is added to the loss: l1 * sum(|x|) + l2 * sum(x**2), over the samples.

    Args:
        l1, l2: The factors; not negative.
        common: `name` of the layer.

    Example:
        >>> layer = dlc.nn.ActivityRegularization(l1=0.5)
        >>> with dlc.train.collect_losses() as added:
        ...     x = layer(dlc.asarray([[1.0, -3.0], [0.0, 2.0]]))
        >>> added.total().item()
        1.5
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **common: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **common)
        self.l1, self.l2 = l1, l2

    def call(self, x: Any) -> dlc.Tensor:
        """The input."""
        return dlc.asarray(x, copy=None)

    def extra_repr(self) -> str:
        """The factors."""
        return f"l1={self.l1}, l2={self.l2}"
