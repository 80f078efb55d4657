"""`EinsumDense`: a layer of one product of any axes, as `keras.layers.EinsumDense`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.record import NamedTuple
from dlc.nn import activations, initializers
from dlc.nn.functional.arguments import tensor
from dlc.nn.keras.layer import Layer


class _Axes(NamedTuple):
    """The letters of an equation, without the ellipsis."""

    inputs: str
    kernel: str
    outputs: str
    left: bool  # whether an ellipsis stands before the letters
    right: bool  # or behind them


def _parsed(equation: str) -> _Axes:
    text = equation.replace(" ", "")
    given, _, outputs = text.partition("->")
    inputs, _, kernel = given.partition(",")
    left, right = inputs.startswith("..."), inputs.endswith("...")
    found = _Axes(inputs.strip("."), kernel, outputs.strip("."), left, right)
    letters = "".join(found[:3])
    same = outputs.startswith("...") == left and outputs.endswith("...") == right
    if not (letters.isalpha() and found.outputs and kernel.isalpha() and same) or (left and right):
        raise ValueRangeError(
            f"EinsumDense({equation!r})",
            hint='an equation is of an input, the kernel and the output: "abc,cd->abd", '
            '"...x,xy->...y"',
        )
    return found


class EinsumDense(Layer):
    """activation(einsum(equation, x, kernel) + bias), as `keras.layers.EinsumDense`.

    Args:
        equation: Of an input, the kernel and the output: "abc,cd->abd"; an ellipsis may stand for
            axes of input and output.
        output_shape: The extents of the output without the first and those of the ellipsis; None
            for one that is the input's.
        activation: A name or function.
        bias_axes: The letters of the output along which there is a bias; no bias for None.
        kernel_initializer, bias_initializer: Names or functions.
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> layer = dlc.nn.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de")
        >>> layer(dlc.ones((3, 4, 6))).shape, layer.kernel.shape, layer.bias.shape
        ((3, 4, 2, 5), (6, 2, 5), (2, 5))
    """

    kernel: dlc.Variable
    bias: dlc.Variable | None

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.equation, self._axes = equation, _parsed(equation)
        self.output_shape = (
            (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        )
        self.activation, self.bias_axes = activations.get(activation), bias_axes
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        named = self._axes.outputs[0 if self._axes.left else 1 :]
        unknown = set(bias_axes or "") - set(self._axes.outputs)
        if len(named) != len(self.output_shape) or unknown:
            raise ValueRangeError(
                f"EinsumDense({equation!r}, {self.output_shape}, bias_axes={bias_axes!r}): "
                f"output_shape has an extent for each of {named!r}, bias_axes are of the output"
            )

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the parameters for inputs of this shape."""
        inputs, kernel, outputs, left, right = self._axes
        if len(shape) < len(inputs) or (not left and not right and len(shape) != len(inputs)):
            raise ShapeError(f"EinsumDense({self.equation!r}) of an input of shape {shape}")
        own = shape[len(shape) - len(inputs) :] if left else shape[: len(inputs)]
        told = zip(outputs[0 if left else 1 :], self.output_shape, strict=True)
        extents = dict(zip(inputs, own, strict=True))
        extents |= {letter: extent for letter, extent in told if extent is not None}
        made = [extents.get(letter) for letter in kernel]
        if not all(isinstance(e, int) for e in made):
            raise ShapeError(
                f"EinsumDense({self.equation!r}) of an input of shape {shape}: "
                "the extents of the kernel must be known"
            )
        self.kernel = self.add_weight(made, self.kernel_initializer, name="kernel")
        self.bias = None
        if self.bias_axes:
            first = min(outputs.index(a) for a in self.bias_axes)
            axes = [extents[a] if a in self.bias_axes else 1 for a in outputs[first:]]
            axes += [1] * (len(shape) - len(inputs) if right else 0)
            self.bias = self.add_weight(axes, self.bias_initializer, name="bias")

    def call(self, inputs: Any) -> Any:
        """The layer of inputs of the equation's axes."""
        y = dlc.einsum(self.equation, tensor(inputs), self.kernel)
        return self.activation(y if self.bias is None else y + self.bias)

    def extra_repr(self) -> str:
        """The equation and the extents."""
        return f"{self.equation!r}, {self.output_shape}"
