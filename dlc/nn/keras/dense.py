"""`Dense`: a product, a bias and an activation."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.nn import activations, functional, initializers
from dlc.nn.described import positive
from dlc.nn.keras.layer import Layer
from dlc.nn.linear import check_last, last_extent


class Dense(Layer):
    """activation(x @ kernel + bias), with Keras's layout and defaults.

    Args:
        units: The last extent of results.
        activation: A name or function; none for None.
        use_bias: Whether something is added.
        kernel_initializer, bias_initializer: Names or functions (see `dlc.nn.initializers`).
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        kernel: [inputs, units], made when the layer is called first.
        bias: [units], or None.

    Example:
        >>> layer = dlc.nn.Dense(2, activation="relu")
        >>> layer(dlc.ones((5, 3))).shape, layer.kernel.shape
        ((5, 2), (3, 2))
    """

    kernel: dlc.Variable
    bias: dlc.Variable | None

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        (self.units,) = positive("Dense", units=units)
        self.use_bias = use_bias
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        inputs = last_extent(self, shape)
        self.kernel = self.add_weight((inputs, self.units), self.kernel_initializer, name="kernel")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight((self.units,), self.bias_initializer, name="bias")

    def call(self, x: Any) -> dlc.Tensor:
        """The layer of x [..., inputs]: [..., units]."""
        check_last(self, x, self.kernel.shape[0])
        return self.activation(functional.affine(x, self.kernel, self.bias))

    def extra_repr(self) -> str:
        """The size."""
        name = getattr(self.activation, "__name__", "")
        return f"{self.units}" + ("" if name in ("", "linear") else f", activation={name!r}")
