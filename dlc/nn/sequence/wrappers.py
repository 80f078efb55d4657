"""Keras's layers of layers of sequences, and its masks."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.nn.functional.arguments import tensor
from dlc.nn.keras.layer import Layer
from dlc.nn.sequence.copies import fresh_copy

_MODES = ("concat", "sum", "mul", "ave", None)


class Bidirectional(Layer):
    """A recurrent layer in both directions, as `keras.layers.Bidirectional`.

    Args:
        layer: A layer that was not called yet, such as `LSTM(units=4)`; two copies of it are made.
        merge_mode: What is done with the two results: "concat", "sum", "mul", "ave", or None for a
            tuple of both.
        backward_layer: The layer of the other direction, with the other `go_backwards`.
        common: `name`, `dtype` and `trainable` of the layer.

    Attributes:
        forward_layer, backward_layer: The two layers.

    Example:
        >>> dlc.nn.Bidirectional(dlc.nn.GRU(4, return_sequences=True))(dlc.ones((2, 7, 3))).shape
        (2, 7, 8)
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        backward_layer: Any = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if merge_mode not in _MODES:
            raise ValueRangeError(
                f"Bidirectional(merge_mode={merge_mode!r})", hint=f"it is one of {_MODES}"
            )
        if not hasattr(layer, "go_backwards"):
            raise ArgumentError(
                f"Bidirectional of a {type(layer).__name__}: it needs a layer with go_backwards, "
                "such as LSTM(units=4)"
            )
        if list(layer.parameters()):  # which the copies would share
            raise ArgumentError("Bidirectional of a layer that was called before")
        self.forward_layer = fresh_copy(layer)
        self.backward_layer = backward_layer
        if backward_layer is None:
            self.backward_layer = fresh_copy(layer)
            self.backward_layer.go_backwards = not layer.go_backwards
        self.merge_mode = merge_mode
        both = (self.forward_layer, self.backward_layer)
        for name in ("return_sequences", "return_state", "stateful"):
            if getattr(both[0], name) != getattr(both[1], name):
                raise ArgumentError(f"Bidirectional: the layers differ in {name}")
        if both[0].go_backwards == both[1].go_backwards:
            raise ArgumentError("Bidirectional: both layers have the same go_backwards")
        for one in both:
            one.zero_output_for_mask = one.return_sequences

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
        """The merged results; `initial_state` are the states of one layer and of the other."""
        half = 0 if initial_state is None else len(initial_state) // 2
        states: Any = (None, None)
        if initial_state is not None:
            states = initial_state[:half], initial_state[half:]
        found = [
            layer(sequences, initial_state=state, mask=mask)
            for layer, state in zip((self.forward_layer, self.backward_layer), states, strict=True)
        ]
        last: list[Any] = []
        if self.forward_layer.return_state:
            last = [s for _, *held in found for s in held]
            found = [f[0] for f in found]
        a, b = found
        if self.forward_layer.return_sequences:
            b = dlc.flip(b, axis=1)
        merged = self._merged(a, b)
        if not last:
            return merged
        return (*merged, *last) if self.merge_mode is None else (merged, *last)

    def _merged(self, a: Any, b: Any) -> Any:
        if self.merge_mode == "concat":
            return dlc.concatenate([a, b], axis=-1)
        if self.merge_mode == "mul":
            return a * b
        if self.merge_mode is None:
            return a, b
        return a + b if self.merge_mode == "sum" else (a + b) / 2

    def reset_states(self) -> None:
        """Sets the states that both keep to zeros."""
        self.forward_layer.reset_states()
        self.backward_layer.reset_states()

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the result."""
        found = self.forward_layer.compute_mask(inputs, mask)
        return (found, found) if self.merge_mode is None else found

    def extra_repr(self) -> str:
        """How results are merged."""
        return f"merge_mode={self.merge_mode!r}"


class TimeDistributed(Layer):
    """A layer of each step of a sequence, as `keras.layers.TimeDistributed`.

    Args:
        layer: The layer; it gets [batch * time, ...].
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> dlc.nn.TimeDistributed(dlc.nn.Dense(4))(dlc.ones((2, 7, 3))).shape
        (2, 7, 4)
    """

    def __init__(self, layer: Any, **common: Any) -> None:
        super().__init__(**common)
        self.layer = layer

    def call(self, inputs: Any) -> Any:
        """The results of [batch, time, ...]: [batch, time, ...]."""
        x = tensor(inputs)
        if len(x.shape) < 3:
            raise ShapeError(
                f"TimeDistributed of an input of shape {tuple(x.shape)}: it is [batch, time, ...]"
            )
        batch, time = x.shape[:2]
        y = self.layer(x.reshape(batch * time, *x.shape[2:]))
        return y.reshape(batch, time, *y.shape[1:])


class Masking(Layer):
    """Sets steps to 0 that have only one value, and gives a mask of the others.

    As `keras.layers.Masking`: in a `Sequential` the mask goes to layers with an argument `mask`.

    Args:
        mask_value: The value.
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> layer = dlc.nn.Masking(9.0)
        >>> x = dlc.asarray([[[9.0, 9.0], [9.0, 1.0]]])
        >>> layer.compute_mask(x).tolist(), layer(x).tolist()
        ([[False, True]], [[[0.0, 0.0], [9.0, 1.0]]])
    """

    def __init__(self, mask_value: float = 0.0, **common: Any) -> None:
        super().__init__(**common)
        self.mask_value = mask_value

    def compute_mask(self, inputs: Any, _mask: Any = None) -> Any:
        """[batch, time]: True for steps that do not have this value only."""
        return dlc.any(tensor(inputs) != self.mask_value, axis=-1)

    def call(self, inputs: Any) -> Any:
        """The inputs, 0 at steps that are masked."""
        x = tensor(inputs)
        return dlc.where(self.compute_mask(x)[..., None], x, dlc.zeros((), dtype=x.dtype))

    def extra_repr(self) -> str:
        """The value."""
        return f"mask_value={self.mask_value}"
