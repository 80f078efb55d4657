"""Layers around a layer, by Keras's names."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.nn import initializers
from dlc.nn.keras.layer import Layer
from dlc.nn.module import Module
from dlc.nn.utils.parametrizations import power_iterations

_EPSILON = 1e-7  # Keras's
_KERNELS = ("kernel", "embeddings", "weight")  # the last one is the table of `Embedding`


class Wrapper(Layer):
    """The base of layers around a layer, as `keras.layers.Wrapper`.

    Args:
        layer: The layer, built for the shape of the inputs.
        common: `name`, `dtype` and `trainable` of the layer.

    Raises:
        ArgumentError: for what is no layer.

    Example:
        >>> class Twice(dlc.nn.Wrapper):
        ...     def call(self, x):
        ...         return self.layer(self.layer(x))
        >>> Twice(dlc.nn.Dense(3))(dlc.ones((2, 3))).shape
        (2, 3)
    """

    def __init__(self, layer: Any, **common: Any) -> None:
        super().__init__(**common)
        if not isinstance(layer, Module):
            raise ArgumentError(f"{type(self).__name__} of a {type(layer).__name__}, no layer")
        self.layer: Any = layer

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer."""
        self.layer.ensure_built(input_shape)


class SpectralNormalization(Wrapper):
    """Has the kernel of a layer of spectral norm 1, as `keras.layers.SpectralNormalization`.

    In each call while training the kernel is divided by an estimate of its largest singular value,
    in place; gradients are those at the result. (In Keras this is so with TensorFlow and PyTorch.)
    `dlc.nn.utils.spectral_norm` is PyTorch's.

    Args:
        layer: A layer with `kernel`, or `embeddings`.
        power_iterations: Steps of the power method for each call.
        common: `name`, `dtype` and `trainable` of the layer.

    Raises:
        ArgumentError: for a layer without a kernel.
        ValueRangeError: for less than one step.

    Example:
        >>> dlc.nn.SpectralNormalization(dlc.nn.Conv2D(2, 2))(dlc.ones((1, 10, 10, 1))).shape
        (1, 9, 9, 2)
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **common: Any) -> None:
        super().__init__(layer, **common)
        if power_iterations < 1:
            raise ValueRangeError(
                f"SpectralNormalization(power_iterations={power_iterations}): at least 1"
            )
        self.power_iterations = power_iterations

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer, and makes the vector from which the estimate is made."""
        super().build(input_shape)
        names = (n for n in _KERNELS if getattr(self.layer, n, None) is not None)
        if (name := next(names, None)) is None:
            raise ArgumentError(f"SpectralNormalization: {type(self.layer).__name__} has no kernel")
        self._name_of_kernel, self.kernel = name, getattr(self.layer, name)
        first = initializers.TruncatedNormal(stddev=0.02)
        columns = self.kernel.shape[-1]
        self.vector_u = self.add_weight((1, columns), first, trainable=False, name="vector_u")

    def call(self, inputs: Any) -> Any:
        """The result of the layer."""
        if self.training:
            self._normalize()
        return self.layer(inputs)

    def _normalize(self) -> None:
        kernel, source = self.kernel, self._source or self
        value, first = dlc.stop_gradient(dlc.asarray(kernel)), self.vector_u.data
        matrix = value.reshape(-1, value.shape[-1])
        of_rows, of_columns = power_iterations(matrix, first[0], self.power_iterations, _EPSILON)
        sigma = (of_rows * (matrix @ of_columns)).sum()
        empty = dlc.all(value == 0)
        new = dlc.where(empty, value, value / dlc.where(empty, 1, sigma))
        self.vector_u.assign(dlc.where(empty, first, of_columns[None]))
        source.kernel.assign(new)
        if source is not self:  # a transform differentiates with respect to what stands for it
            self.kernel = new + (kernel - value)
            setattr(self.layer, self._name_of_kernel, self.kernel)
