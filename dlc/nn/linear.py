"""Layers of one product: PyTorch's `Linear`, Keras's `Dense`, `Embedding`."""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn import activations, initializers
from dlc.nn.module import Module, Parameter


def positive(layer: str, **sizes: int) -> None:
    """ValueRangeError unless all sizes are positive integers."""
    for name, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise ValueRangeError(f"{layer}({name}={value!r}): it must be a positive integer")


def last_extent(layer: Module, shape: tuple[Any, ...]) -> int:
    """The last extent of an input, which a layer that is built from it must know."""
    if not shape or not isinstance(shape[-1], int):
        raise ShapeError(
            f"{type(layer).__name__} of an input of shape {shape}: its last extent must be known"
        )
    return shape[-1]


def check_last(layer: Module, x: Any, expected: int) -> None:
    """ShapeError unless the last extent of an input is as expected."""
    if not x.shape or (isinstance(x.shape[-1], int) and x.shape[-1] != expected):
        raise ShapeError(
            f"{type(layer).__name__} of an input of shape {tuple(x.shape)}: "
            f"its last extent must be {expected}"
        )


class Linear(Module):
    """x @ weight.T + bias, with PyTorch's layout and defaults.

    Both start uniform within 1 / sqrt(in_features).

    Args:
        in_features: The last extent of inputs.
        out_features: That of results.
        bias: Whether something is added.
        dtype: The element type of the parameters.

    Attributes:
        weight: [out_features, in_features].
        bias: [out_features], or None.

    Example:
        >>> dlc.nn.Linear(3, 2)(dlc.ones((5, 3))).shape
        (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None
    ) -> None:
        positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features)
        init = initializers.uniform(-bound, bound)
        dtype = dtype or dlc.float32
        self.weight = Parameter(init((out_features, in_features), dtype), "weight")
        self.bias = Parameter(init((out_features,), dtype), "bias") if bias else None

    def forward(self, x: Any) -> dlc.Tensor:
        """The product of x [..., in_features]: [..., out_features]."""
        check_last(self, x, self.in_features)
        y = x @ dlc.matrix_transpose(self.weight)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """The sizes."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}"


class Dense(Module):
    """activation(x @ kernel + bias), with Keras's layout and defaults.

    Args:
        units: The last extent of results.
        activation: A name or function; none for None.
        use_bias: Whether something is added.
        kernel_initializer, bias_initializer: Names or functions (see `dlc.nn.initializers`).
        dtype: The element type of the parameters.

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
        dtype: Any = None,
    ) -> None:
        positive("Dense", units=units)
        self.units, self.use_bias, self.dtype = units, use_bias, dtype or dlc.float32
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        inputs = last_extent(self, shape)
        self.kernel = Parameter(self.kernel_initializer((inputs, self.units), self.dtype), "kernel")
        self.bias = None
        if self.use_bias:
            self.bias = Parameter(self.bias_initializer((self.units,), self.dtype), "bias")

    def call(self, x: Any) -> dlc.Tensor:
        """The layer of x [..., inputs]: [..., units]."""
        check_last(self, x, self.kernel.shape[0])
        y = x @ self.kernel
        return self.activation(y if self.bias is None else y + self.bias)

    def extra_repr(self) -> str:
        """The size."""
        name = getattr(self.activation, "__name__", "")
        return f"{self.units}" + ("" if name in ("", "linear") else f", activation={name!r}")


class Embedding(Module):
    """Rows of a table by number, with PyTorch's defaults.

    Args:
        num_embeddings: The number of rows.
        embedding_dim: The extent of a row.
        padding_idx: A row that is zero at first and is not trained.
        dtype: The element type of the table.

    Attributes:
        weight: [num_embeddings, embedding_dim], normal at first.

    Example:
        >>> dlc.nn.Embedding(10, 4)(dlc.asarray([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: Any = None,
    ) -> None:
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueRangeError(
                f"Embedding(padding_idx={padding_idx}): there are {num_embeddings} rows"
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        table = initializers.normal(0.0, 1.0)((num_embeddings, embedding_dim), dtype or dlc.float32)
        if self.padding_idx is not None:
            table[self.padding_idx] = 0.0
        self.weight = Parameter(table, "weight")

    def forward(self, indices: Any) -> dlc.Tensor:
        """The rows of integers [...]: [..., embedding_dim]."""
        weight = self.weight
        if self.padding_idx is not None:
            rows = dlc.arange(self.num_embeddings)[:, None]
            weight = dlc.where(rows == self.padding_idx, dlc.stop_gradient(weight), weight)
        return dlc.take(weight, indices, axis=0)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_embeddings}, {self.embedding_dim}"
