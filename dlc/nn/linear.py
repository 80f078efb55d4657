"""Layers of one product, `Linear` and `Bilinear`, and distances, by PyTorch's names."""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc.ir.errors import ShapeError
from dlc.nn import functional, initializers
from dlc.nn.described import positive
from dlc.nn.module import Module, Parameter


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
        inputs, outputs = positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = inputs, outputs
        bound = 1 / math.sqrt(inputs)
        init = initializers.uniform(-bound, bound)
        dtype = dtype or dlc.float32
        self.weight = Parameter(init((outputs, inputs), dtype), "weight")
        self.bias = Parameter(init((outputs,), dtype), "bias") if bias else None

    def forward(self, x: Any) -> dlc.Tensor:
        """The product of x [..., in_features]: [..., out_features]."""
        check_last(self, x, self.in_features)
        return functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}"


class Bilinear(Module):
    """x1 weight[k] x2 + bias[k] for each k, with PyTorch's layout and defaults.

    Args:
        in1_features: The last extent of the first input.
        in2_features: That of the second.
        out_features: That of results.
        bias: Whether something is added.
        dtype: The element type of the parameters.

    Attributes:
        weight: [out_features, in1_features, in2_features], uniform within 1 / sqrt(in1_features)
            at first, as is the bias.
        bias: [out_features], or None.

    Example:
        >>> dlc.nn.Bilinear(3, 4, 2)(dlc.ones((5, 3)), dlc.ones((5, 4))).shape
        (5, 2)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        sizes = {"in1_features": in1_features, "in2_features": in2_features}
        first, second, outputs = positive("Bilinear", **sizes, out_features=out_features)
        self.in1_features, self.in2_features, self.out_features = first, second, outputs
        bound = 1 / math.sqrt(first)
        init, held = initializers.uniform(-bound, bound), dtype or dlc.float32
        self.weight = Parameter(init((outputs, first, second), held), "weight")
        self.bias = Parameter(init((outputs,), held), "bias") if bias else None

    def forward(self, x1: Any, x2: Any) -> dlc.Tensor:
        """The map of x1 [..., in1_features] and x2 [..., in2_features]: [..., out_features]."""
        check_last(self, x1, self.in1_features)
        check_last(self, x2, self.in2_features)
        return functional.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in1_features}, {self.in2_features}, {self.out_features}{bias}"


class CosineSimilarity(Module):
    """The cosine of the angle between vectors; see `dlc.nn.functional.cosine_similarity`.

    Args:
        dim: The axis of the vectors.
        eps: The least product of norms that is divided by.

    Example:
        >>> dlc.nn.CosineSimilarity()(dlc.asarray([[1.0, 0.0]]), dlc.asarray([[2.0, 0.0]]))
        Tensor([1.], dtype=float32)
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> dlc.Tensor:
        """The cosines, without the axis of the vectors."""
        return functional.cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        return f"dim={self.dim}, eps={self.eps}"


class PairwiseDistance(Module):
    """The p-norm of differences of vectors; see `dlc.nn.functional.pairwise_distance`.

    Args:
        p: The exponent of the norm.
        eps: What is added to differences.
        keepdim: Whether the axis of the vectors stays, with extent 1.

    Example:
        >>> dlc.nn.PairwiseDistance(eps=0.0)(dlc.asarray([[0.0, 3.0]]), dlc.asarray([[4.0, 0.0]]))
        Tensor([5.], dtype=float32)
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> dlc.Tensor:
        """The distances."""
        return functional.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)

    def extra_repr(self) -> str:
        """The settings."""
        return f"p={self.norm}, eps={self.eps}, keepdim={self.keepdim}"
