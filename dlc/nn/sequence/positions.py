"""Where in a sequence something stands: tables of positions, sines, rotations."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn import initializers
from dlc.nn.described import positive
from dlc.nn.functional.arguments import tensor
from dlc.nn.keras.layer import Layer, known


def _time(x: Any) -> Any:
    if len(x.shape) < 2:
        raise ShapeError(
            f"an input of shape {tuple(x.shape)} has no axis of time: [..., time, extent]"
        )
    return x.shape[-2]


class PositionEmbedding(Layer):
    """A row of a table for each place, as `keras_hub.layers.PositionEmbedding`.

    Args:
        sequence_length: The number of rows.
        initializer: A name or function.
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        position_embeddings: [sequence_length, extent].

    Example:
        >>> layer, x = dlc.nn.PositionEmbedding(9), dlc.ones((2, 5, 3))
        >>> (x + layer(x)).shape
        (2, 5, 3)
    """

    position_embeddings: dlc.Variable

    def __init__(
        self, sequence_length: int, initializer: Any = "glorot_uniform", **common: Any
    ) -> None:
        super().__init__(**common)
        (self.sequence_length,) = positive("PositionEmbedding", sequence_length=sequence_length)
        self.initializer = initializers.get(initializer)

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the table for inputs of this shape."""
        extent = known(self, shape[-1], "the last extent")
        rows = (self.sequence_length, extent)
        self.position_embeddings = self.add_weight(
            rows, self.initializer, name="position_embeddings"
        )

    def call(self, inputs: Any, start_index: Any = 0) -> Any:
        """The rows for inputs [..., time, extent], of their shape; the first is `start_index`."""
        x = tensor(inputs)
        time = _time(x)
        if isinstance(time, int) and isinstance(start_index, int):
            if start_index + time > self.sequence_length:
                raise ShapeError(
                    f"PositionEmbedding of an input of shape {tuple(x.shape)} from {start_index} "
                    f"on: there are {self.sequence_length} rows"
                )
            rows = self.position_embeddings[start_index : start_index + time]
        else:
            rows = dlc.take(self.position_embeddings, dlc.arange(time) + start_index, axis=0)
        return dlc.broadcast_to(rows, x.shape)

    def extra_repr(self) -> str:
        """The number of rows."""
        return f"{self.sequence_length}"


def _angles(x: Any, start: Any, wavelength: float, factor: float) -> Any:
    """[time, extent / 2]: each place over wavelengths from 2 pi to 2 pi * `wavelength`."""
    extent = x.shape[-1] if x.shape else 1
    if not isinstance(extent, int) or extent % 2:
        raise ShapeError(
            f"positions of an input of shape {tuple(x.shape)}: its last extent is even"
        )
    rates = wavelength ** (-dlc.arange(0, extent, 2, dtype=dlc.float32) / extent)
    places = dlc.arange(_time(x)).astype(dlc.float32) + start
    return (places / factor)[:, None] * rates


class SinePositionEncoding(Layer):
    """Sines and cosines of the place (Vaswani et al., 2017), to be added.

    As `keras_hub.layers.SinePositionEncoding`: sines at even places, cosines at odd ones.

    Args:
        max_wavelength: The greatest wavelength, over 2 pi.
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> dlc.nn.SinePositionEncoding()(dlc.ones((1, 2, 2)))[0, 0].tolist()
        [0.0, 1.0]
    """

    def __init__(self, max_wavelength: float = 10000, **common: Any) -> None:
        super().__init__(**common)
        self.max_wavelength = max_wavelength

    def call(self, inputs: Any, start_index: Any = 0) -> Any:
        """The encodings for inputs [..., time, extent], of their shape."""
        x = tensor(inputs)
        angles = _angles(x, start_index, self.max_wavelength, 1.0)
        both = dlc.stack([dlc.sin(angles), dlc.cos(angles)], axis=-1)
        return dlc.broadcast_to(both.reshape(*x.shape[-2:]).astype(x.dtype), x.shape)


class RotaryEmbedding(Layer):
    """Turns pairs of elements by angles that grow with the place (Su et al., 2021).

    As `keras_hub.layers.RotaryEmbedding`: a pair is an element of the first half and one of the
    second.

    Args:
        max_wavelength: The greatest wavelength, over 2 pi.
        scaling_factor: What places are divided by.
        sequence_axis: The axis of time.
        feature_axis: The axis of pairs.
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> y = dlc.nn.RotaryEmbedding()(dlc.asarray([[[1.0, 0.0], [1.0, 0.0]]]))
        >>> y.numpy().round(3).tolist()
        [[[1.0, 0.0], [0.5400000214576721, 0.8410000205039978]]]
    """

    def __init__(
        self,
        max_wavelength: float = 10000,
        scaling_factor: float = 1.0,
        sequence_axis: int = 1,
        feature_axis: int = -1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if max_wavelength <= 0 or scaling_factor <= 0:
            raise ValueRangeError(f"RotaryEmbedding({max_wavelength}, {scaling_factor})")
        self.max_wavelength, self.scaling_factor = max_wavelength, scaling_factor
        self.sequence_axis, self.feature_axis = sequence_axis, feature_axis

    def call(self, inputs: Any, start_index: Any = 0) -> Any:
        """The turned inputs; `start_index` is the place of the first."""
        axes = (self.sequence_axis, self.feature_axis)
        x = dlc.moveaxis(tensor(inputs), axes, (-2, -1))
        angles = _angles(x, start_index, self.max_wavelength, self.scaling_factor)
        c, s = dlc.cos(angles).astype(x.dtype), dlc.sin(angles).astype(x.dtype)
        a, b = dlc.split(x, 2, axis=-1)
        turned = dlc.concatenate([a * c - b * s, b * c + a * s], axis=-1)
        return dlc.moveaxis(turned, (-2, -1), axes)
