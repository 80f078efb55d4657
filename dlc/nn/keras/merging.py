"""Layers of several inputs, by Keras's names: sums, means, concatenation, products.

The functions of lower-case names make a layer and call it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import dlc
from dlc.nn.keras.layer import Layer
from dlc.nn.keras.normalization import UnitNormalization


class _Merge(Layer):
    """A function of two tensors, over a list of them."""

    function: ClassVar[Callable[[Any, Any], Any]]

    def call(self, inputs: Sequence[Any]) -> dlc.Tensor:
        """The function over the inputs, which broadcast."""
        return functools.reduce(type(self).function, _several(self, inputs))


def _several(layer: Layer, inputs: Any, exactly: int | None = None) -> list[dlc.Tensor]:
    if not isinstance(inputs, (list, tuple)) or (
        len(inputs) != exactly if exactly else len(inputs) < 1
    ):
        wanted = f"{exactly} tensors" if exactly else "tensors"
        raise dlc.ArgumentError(
            f"{type(layer).__name__} takes a list of {wanted}", hint="call it as layer([x, y])"
        )
    return [dlc.asarray(x, copy=None) for x in inputs]


class Add(_Merge):
    """The sum of tensors.

    Example:
        >>> dlc.nn.Add()([dlc.ones(2), dlc.ones(2)])
        Tensor([2., 2.], dtype=float32)
    """

    function = staticmethod(dlc.add)


class Multiply(_Merge):
    """The product of tensors.

    Example:
        >>> dlc.nn.Multiply()([dlc.ones(2), 3 * dlc.ones(2)])
        Tensor([3., 3.], dtype=float32)
    """

    function = staticmethod(dlc.multiply)


class Maximum(_Merge):
    """The largest of tensors, element by element.

    Example:
        >>> dlc.nn.Maximum()([dlc.asarray([1.0, 4.0]), dlc.asarray([2.0, 3.0])])
        Tensor([2., 4.], dtype=float32)
    """

    function = staticmethod(dlc.maximum)


class Minimum(_Merge):
    """The least of tensors, element by element.

    Example:
        >>> dlc.nn.Minimum()([dlc.asarray([1.0, 4.0]), dlc.asarray([2.0, 3.0])])
        Tensor([1., 3.], dtype=float32)
    """

    function = staticmethod(dlc.minimum)


class Average(Add):
    """The mean of tensors, element by element.

    Example:
        >>> dlc.nn.Average()([dlc.asarray([1.0, 4.0]), dlc.asarray([2.0, 3.0])])
        Tensor([1.5, 3.5], dtype=float32)
    """

    def call(self, inputs: Sequence[Any]) -> dlc.Tensor:
        """The mean of the inputs, which broadcast."""
        return super().call(inputs) / len(inputs)


class Subtract(Layer):
    """The difference of two tensors.

    Example:
        >>> dlc.nn.Subtract()([3 * dlc.ones(2), dlc.ones(2)])
        Tensor([2., 2.], dtype=float32)
    """

    def call(self, inputs: Sequence[Any]) -> dlc.Tensor:
        """The first input less the second."""
        first, second = _several(self, inputs, 2)
        return first - second


class Concatenate(Layer):
    """Tensors one after the other along an axis.

    Args:
        axis: The axis.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.Concatenate()([dlc.ones((2, 3)), dlc.ones((2, 4))]).shape
        (2, 7)
    """

    def __init__(self, axis: int = -1, **common: Any) -> None:
        super().__init__(**common)
        self.axis = axis

    def call(self, inputs: Sequence[Any]) -> dlc.Tensor:
        """The inputs as one tensor."""
        return dlc.concat(_several(self, inputs), axis=self.axis)

    def extra_repr(self) -> str:
        """The axis."""
        return f"axis={self.axis}"


class Dot(Layer):
    """The products of examples of two tensors, summed over an axis of each.

    Args:
        axes: The axis, or that of each one; not 0, which is that of examples.
        normalize: Whether vectors along the axes are divided by their norms before.
        common: `name` of the layer.

    Example:
        >>> dlc.nn.Dot(axes=(2, 1))([dlc.ones((5, 2, 3)), dlc.ones((5, 3, 4))]).shape
        (5, 2, 4)
    """

    def __init__(self, axes: int | tuple[int, int], normalize: bool = False, **common: Any) -> None:
        super().__init__(**common)
        self.axes, self.normalize = axes, normalize

    def call(self, inputs: Sequence[Any]) -> dlc.Tensor:
        """The sums [N, ...], of the other axes of the first input, then of the second."""
        first, second = _several(self, inputs, 2)
        given = self.axes if isinstance(self.axes, (tuple, list)) else (self.axes,) * 2
        axes = [a % t.ndim for a, t in zip(given, (first, second), strict=True)]
        if 0 in axes:
            raise dlc.ValueRangeError(f"Dot(axes={self.axes}): axis 0 is that of examples")
        if self.normalize:
            first, second = (
                UnitNormalization(axis=a)(t) for a, t in zip(axes, (first, second), strict=True)
            )
        # n for examples, z for what is summed, other letters for the other axes.
        letters = iter("abcdefghijklm")
        words = ["n" + "".join("z" if k == a else next(letters) for k in range(1, t.ndim))
                 for a, t in zip(axes, (first, second), strict=True)]  # fmt: skip
        rest = "".join(c for word in words for c in word[1:] if c != "z")
        y = dlc.einsum(f"{words[0]},{words[1]}->n{rest}", first, second)
        return y if rest else dlc.expand_dims(y, axis=-1)

    def extra_repr(self) -> str:
        """The axes."""
        return f"axes={self.axes}"


def add(inputs: Sequence[Any], **common: Any) -> dlc.Tensor:
    """The sum of tensors; see `Add`.

    Example:
        >>> dlc.nn.add([dlc.ones(2), dlc.ones(2)])
        Tensor([2., 2.], dtype=float32)
    """
    return Add(**common)(inputs)


def subtract(inputs: Sequence[Any], **common: Any) -> dlc.Tensor:
    """The difference of two tensors; see `Subtract`.

    Example:
        >>> dlc.nn.subtract([3 * dlc.ones(2), dlc.ones(2)])
        Tensor([2., 2.], dtype=float32)
    """
    return Subtract(**common)(inputs)


def multiply(inputs: Sequence[Any], **common: Any) -> dlc.Tensor:
    """The product of tensors; see `Multiply`.

    Example:
        >>> dlc.nn.multiply([dlc.ones(2), 3 * dlc.ones(2)])
        Tensor([3., 3.], dtype=float32)
    """
    return Multiply(**common)(inputs)


def average(inputs: Sequence[Any], **common: Any) -> dlc.Tensor:
    """The mean of tensors; see `Average`.

    Example:
        >>> dlc.nn.average([dlc.ones(2), 3 * dlc.ones(2)])
        Tensor([2., 2.], dtype=float32)
    """
    return Average(**common)(inputs)


def maximum(inputs: Sequence[Any], **common: Any) -> dlc.Tensor:
    """The largest of tensors; see `Maximum`.

    Example:
        >>> dlc.nn.maximum([dlc.ones(2), 3 * dlc.ones(2)])
        Tensor([3., 3.], dtype=float32)
    """
    return Maximum(**common)(inputs)


def minimum(inputs: Sequence[Any], **common: Any) -> dlc.Tensor:
    """The least of tensors; see `Minimum`.

    Example:
        >>> dlc.nn.minimum([dlc.ones(2), 3 * dlc.ones(2)])
        Tensor([1., 1.], dtype=float32)
    """
    return Minimum(**common)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **common: Any) -> dlc.Tensor:
    """Tensors one after the other; see `Concatenate`.

    Example:
        >>> dlc.nn.concatenate([dlc.ones((2, 3)), dlc.ones((2, 4))]).shape
        (2, 7)
    """
    return Concatenate(axis, **common)(inputs)


def dot(
    inputs: Sequence[Any], axes: int | tuple[int, int], normalize: bool = False, **common: Any
) -> dlc.Tensor:
    """Products summed over an axis of each of two tensors; see `Dot`.

    Example:
        >>> dlc.nn.dot([dlc.ones((5, 2)), dlc.ones((5, 2))], axes=1).shape
        (5, 1)
    """
    return Dot(axes, normalize, **common)(inputs)
