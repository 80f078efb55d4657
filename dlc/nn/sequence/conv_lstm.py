"""Long short-term memory whose products are convolutions, by Keras's names."""

from __future__ import annotations

from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.nn.described import described, one_of, per_axis
from dlc.nn.dropout import Dropout
from dlc.nn.keras.convolution import Steps, convolved
from dlc.nn.keras.layer import channels_last, known
from dlc.nn.module import Parameter
from dlc.nn.sequence.cells import LSTMCell
from dlc.nn.sequence.keras_recurrent import RecurrentUnits, of_cell
from dlc.nn.sequence.recurrence import Step, gated_step


class ConvLSTMCell(LSTMCell):
    """One step of `ConvLSTM1D`, `ConvLSTM2D` or `ConvLSTM3D`; gates in the order i, f, c, o.

    Args:
        rank: The number of axes besides those of examples and channels.
        filters: The channels of results.
        window: `kernel_size`, `strides`, `padding`, `data_format` and `dilation_rate`.
        rest: The other arguments of `LSTMCell`.
    """

    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation_rate: tuple[int, ...]

    def __init__(self, rank: int, filters: int, window: dict[str, Any], **rest: Any) -> None:
        super().__init__(filters, **rest)
        name = f"ConvLSTM{rank}D"
        self.rank = rank
        for word in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, word, per_axis(name, word, window[word], rank))
        self.padding = one_of(name, "padding", window["padding"].lower(), ("valid", "same"))
        self.last = channels_last(name, window["data_format"])
        ones = (1,) * rank
        if ones not in (self.strides, self.dilation_rate):
            raise ArgumentError(f"{name} with strides and dilation_rate: it takes one of them")

    @property
    def _axis(self) -> int:
        """That of channels."""
        return -1 if self.last else 1

    def build(self, shape: tuple[Any, ...], *_states: Any) -> None:
        """Makes the parameters for inputs of a step of this shape."""
        channels = known(self, shape[self._axis], "the number of channels")
        columns = self.gates * self.units
        held = self.kernel_initializer((*self.kernel_size, channels, columns), self.dtype)
        self.kernel = Parameter(held, "kernel")
        held = self.recurrent_initializer((*self.kernel_size, self.units, columns), self.dtype)
        self.recurrent_kernel = Parameter(held, "recurrent_kernel")
        self.bias = Parameter(self._first_bias(columns), "bias") if self.use_bias else None
        self._step_shape = shape

    def rows(self, x: Any) -> Any:
        """What the steps take, of inputs [..., batch, *extents, channels]."""
        lead, shape = x.shape[: -self.rank - 2], x.shape[-self.rank - 2 :]
        flat = x.reshape(-1, *shape[1:])
        ways = self.strides, self.padding, self.dilation_rate
        masks = self._masks(self.drop, shape, x.dtype)
        if masks is not None:  # the same elements at each step
            masks = [(dlc.ones_like(x) * m).reshape(flat.shape) for m in masks]
        y = self._product(flat, self.kernel, self.bias, masks, *ways)
        return y.reshape(*lead, shape[0], *y.shape[1:])

    def step(self, shape: tuple[Any, ...], dtype: Any) -> Step:
        """The step for inputs of this shape; it draws what dropout of states keeps."""
        ones, kernel = (1,) * self.rank, self.recurrent_kernel
        masks = self._masks(self.recurrent_drop, self.state_shape(shape), dtype)
        return gated_step(
            lambda h: self._product(h, kernel, None, masks, ones, "same", ones),
            self.activation, self.recurrent_activation, self._axis,
        )  # fmt: skip

    def _masks(self, drop: Dropout | None, shape: Any, dtype: Any) -> list[Any] | None:
        """What inputs or states are multiplied by, for each gate another."""
        if drop is None or not self.training:
            return None
        return [drop(dlc.ones(shape, dtype=dtype)) for _ in range(self.gates)]

    def _product(self, x: Any, kernel: Any, bias: Any, masks: Any, *ways: Any) -> Any:
        strides, padding, dilation = ways

        def of(x: Any, kernel: Any, bias: Any) -> Any:
            return convolved(x, kernel, bias, strides, padding, dilation, 1, self.last)

        if masks is None:
            return of(x, kernel, bias)
        kernels = dlc.split(kernel, self.gates, axis=-1)
        biases = [None] * self.gates if bias is None else dlc.split(bias, self.gates)
        parts = [of(x * m, k, b) for m, k, b in zip(masks, kernels, biases, strict=True)]
        return dlc.concat(parts, axis=self._axis)

    def state_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """The shape of each part of the state for inputs of a step of this shape."""
        extents = shape[1:-1] if self.last else shape[2:]
        windows = zip(extents, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        if self.padding == "same":
            after = [(n + s - 1) // s for n, _, s, _ in windows]
        else:
            after = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in windows]
        rest = (*after, self.units) if self.last else (self.units, *after)
        return shape[0], *rest

    def get_initial_state(self, batch_size: Any, dtype: Any = None) -> list[Any]:
        """Zeros for each part of the state, for inputs as the cell was built for."""
        return self.zero_state((batch_size, *self._step_shape[1:]), dtype or self.dtype)


_SHARED = """
    As `keras.layers.{name}`. The product with the inputs of all steps is one convolution; that with
    the state keeps its extents.

    Args:
        filters: The channels of results.
        kernel_size: The extents of a window, one number or one an axis.
        strides: How far a window of the inputs is from the next one.
        padding: "valid" for nothing, "same" for as many windows as strides fit in an axis.
        data_format: "channels_last" for [N, T, {axes}, C], or "channels_first" for
            [N, T, C, {axes}].
        dilation_rate: How far the elements of a window of the inputs are apart.
        activation: Of the new values and of the outputs.
        recurrent_activation: Of the gates.
        use_bias: Whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Names or functions.
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
        dropout: The probability with which elements of inputs are set to 0 while training, the same
            at all steps.
        recurrent_dropout: The same of states.
        seed: Where the random numbers begin.
        return_sequences, return_state, go_backwards, stateful: See the `RNN` of a cell.
        common: `name`, `dtype` and `trainable` of the layer, and regularizers.

    Example:
        >>> dlc.nn.{name}(4, 3, padding="same")(dlc.ones((2, 7{sizes}, 3))).shape
        (2{sizes}, 4)
"""


class _ConvLSTM(RecurrentUnits):
    rank: ClassVar[int]

    def __init__(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        filters: int,
        kernel_size: Steps,
        strides: Steps = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Steps = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **common: Any,
    ) -> None:
        window = {
            "kernel_size": kernel_size, "strides": strides, "padding": padding,
            "data_format": data_format, "dilation_rate": dilation_rate,
        }  # fmt: skip
        cell = ConvLSTMCell(
            self.rank, filters, window, activation=activation,
            recurrent_activation=recurrent_activation, use_bias=use_bias,
            kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, unit_forget_bias=unit_forget_bias, dropout=dropout,
            recurrent_dropout=recurrent_dropout, seed=seed, **of_cell(common),
        )  # fmt: skip
        self._make(cell, return_sequences, return_state, go_backwards, stateful, False, common)

    def build(self, shape: tuple[Any, ...], *more: Any) -> None:
        """Makes the parameters of the cell, and the states where they are kept."""
        if len(shape) != self.rank + 3:
            raise ShapeError(
                f"{type(self).__name__} of an input of shape {shape}: it takes {self.rank + 3} axes"
            )
        super().build(shape, *more)


@described(_SHARED)
class ConvLSTM1D(_ConvLSTM):
    """Long short-term memory of rows, whose products are convolutions (Shi et al., 2015)."""

    rank = 1


@described(_SHARED)
class ConvLSTM2D(_ConvLSTM):
    """Long short-term memory of images, whose products are convolutions (Shi et al., 2015)."""

    rank = 2


@described(_SHARED)
class ConvLSTM3D(_ConvLSTM):
    """Long short-term memory of volumes, whose products are convolutions (Shi et al., 2015)."""

    rank = 3
