"""One step of recurrent networks, with Keras's names of parameters, layouts and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ValueRangeError
from dlc.nn import activations, initializers
from dlc.nn.described import positive
from dlc.nn.dropout import Dropout
from dlc.nn.functional.arguments import tensor
from dlc.nn.keras.layer import Layer
from dlc.nn.linear import check_last, last_extent
from dlc.nn.module import Parameter
from dlc.nn.sequence.recurrence import Step, gru_step, lstm_step, simple_step


class KerasCell(Layer):
    """The base of `SimpleRNNCell`, `LSTMCell` and `GRUCell`.

    Attributes:
        kernel: [inputs, gates * units], made when the cell is called first.
        recurrent_kernel: [units, gates * units].
        bias: [gates * units], or None.
    """

    regularized = {  # noqa: RUF012
        "kernel": "kernel", "recurrent": "recurrent_kernel", "bias": "bias",
    }  # fmt: skip
    gates: ClassVar[int] = 1
    parts: ClassVar[int] = 1
    kernel: dlc.Variable
    recurrent_kernel: dlc.Variable
    bias: dlc.Variable | None

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        name = type(self).__name__
        (self.units,) = positive(name, units=units)
        for p in (dropout, recurrent_dropout):
            if not 0 <= p < 1:
                raise ValueRangeError(f"{name}: dropout of {p} is no probability below 1")
        self.use_bias = bool(use_bias)
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.drop = Dropout(dropout, seed=seed) if dropout else None
        self.recurrent_drop = Dropout(recurrent_dropout, seed=seed) if recurrent_dropout else None

    @property
    def state_size(self) -> int | list[int]:
        """The extent of a state, or of its parts."""
        return self.units if self.parts == 1 else [self.units] * self.parts

    @property
    def output_size(self) -> int:
        """The last extent of outputs."""
        return self.units

    def build(self, shape: tuple[Any, ...], *_states: Any) -> None:
        """Makes the parameters for inputs of this shape."""
        columns = self.gates * self.units
        inputs = last_extent(self, shape)
        self.kernel = Parameter(self.kernel_initializer((inputs, columns), self.dtype), "kernel")
        held = self.recurrent_initializer((self.units, columns), self.dtype)
        self.recurrent_kernel = Parameter(held, "recurrent_kernel")
        self.bias = Parameter(self._first_bias(columns), "bias") if self.use_bias else None

    def _first_bias(self, columns: int) -> Any:
        return self.bias_initializer((columns,), self.dtype)

    def _biases(self) -> tuple[Any, Any]:
        """The bias of the inputs' products and that of the state's."""
        return self.bias, None

    def rows(self, x: Any) -> Any:
        """What the steps take, of inputs [..., batch, inputs] of any number of steps."""
        check_last(self, x, self.kernel.shape[0])
        if self.drop is not None and self.training:  # the same elements at each step
            x = x * self.drop(dlc.ones(x.shape[-2:], dtype=x.dtype))
        bias = self._biases()[0]
        product = x @ self.kernel
        return product if bias is None else product + bias

    def step(self, shape: tuple[Any, ...], dtype: Any) -> Step:
        """The step for inputs of this shape; it draws what dropout of states keeps."""
        kept = None
        if self.recurrent_drop is not None and self.training:
            kept = self.recurrent_drop(dlc.ones(self.state_shape(shape), dtype=dtype))
        return self._step(kept)

    def _step(self, kept: Any) -> Step:
        raise NotImplementedError

    def state_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """The shape of each part of the state for inputs of a step of this shape."""
        return shape[0], self.units

    def zero_state(self, shape: tuple[Any, ...], dtype: Any) -> list[Any]:
        """The first state for inputs of a step of this shape."""
        return [dlc.zeros(self.state_shape(shape), dtype=dtype)] * self.parts

    def get_initial_state(self, batch_size: Any, dtype: Any = None) -> list[Any]:
        """Zeros [batch_size, units] for each part of the state."""
        return self.zero_state((batch_size,), dtype or self.dtype)

    def call(self, inputs: Any, states: Any) -> tuple[Any, list[Any]]:
        """The output of a step, and the new states.

        Args:
            inputs: [batch, inputs].
            states: A list of tensors [batch, units].
        """
        x = tensor(inputs)
        held = states if isinstance(states, (list, tuple)) else [states]
        after = self.step(x.shape, x.dtype)(self.rows(x), tuple(map(tensor, held)))
        return after[0], list(after)

    def extra_repr(self) -> str:
        """The size."""
        return f"{self.units}"


class SimpleRNNCell(KerasCell):
    """activation(x @ kernel + bias + h @ recurrent_kernel), as `keras.layers.SimpleRNNCell`.

    Example:
        >>> cell = dlc.nn.SimpleRNNCell(4)
        >>> output, states = cell(dlc.ones((2, 3)), [dlc.zeros((2, 4))])
        >>> output.shape, len(states)
        ((2, 4), 1)
    """

    def _step(self, kept: Any) -> Step:
        return simple_step(self.recurrent_kernel, None, self.activation, kept)


class LSTMCell(KerasCell):
    """One step of `LSTM`, as `keras.layers.LSTMCell`; gates in the order i, f, c, o.

    Args:
        units: The extent of outputs.
        activation: Of the new values and of the outputs.
        recurrent_activation: Of the gates.
        use_bias: Whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Names or functions.
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
        dropout: The probability with which elements of inputs are set to 0 while training.
        recurrent_dropout: The same of states.
        seed: Where the random numbers begin.
        common: `name`, `dtype` and `trainable` of the layer.
    """

    gates, parts = 4, 2

    def __init__(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        units: int,
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
        **common: Any,
    ) -> None:
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, dropout, recurrent_dropout, seed, **common,
        )  # fmt: skip
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)

    def _first_bias(self, columns: int) -> Any:
        bias = super()._first_bias(columns)
        if self.unit_forget_bias:
            bias[self.units : 2 * self.units] = 1.0
        return bias

    def _step(self, kept: Any) -> Step:
        held = self.recurrent_kernel
        return lstm_step(held, None, self.activation, self.recurrent_activation, kept=kept)


class GRUCell(KerasCell):
    """One step of `GRU`, as `keras.layers.GRUCell`; gates in the order z, r, h.

    Args:
        units: The extent of outputs.
        activation: Of the new state.
        recurrent_activation: Of the gates.
        use_bias: Whether there is a bias: [3 * units]; with `reset_after` [2, 3 * units], of inputs
            and of states.
        kernel_initializer, recurrent_initializer, bias_initializer: Names or functions.
        dropout: The probability with which elements of inputs are set to 0 while training.
        recurrent_dropout: The same of states.
        reset_after: Whether the reset gate acts on the product with the state.
        seed: Where the random numbers begin.
        common: `name`, `dtype` and `trainable` of the layer.
    """

    gates = 3

    def __init__(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, dropout, recurrent_dropout, seed, **common,
        )  # fmt: skip
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = bool(reset_after)

    def _first_bias(self, columns: int) -> Any:
        shape = (2, columns) if self.reset_after else (columns,)
        return self.bias_initializer(shape, self.dtype)

    def _biases(self) -> tuple[Any, Any]:
        if self.bias is None or not self.reset_after:
            return self.bias, None
        return self.bias[0], self.bias[1]

    def _step(self, kept: Any) -> Step:
        return gru_step(
            self.recurrent_kernel, self._biases()[1], self.activation, self.recurrent_activation,
            True, self.reset_after, kept,
        )  # fmt: skip


class StackedRNNCells(Layer):
    """Cells on top of each other as one, as `keras.layers.StackedRNNCells`.

    Args:
        cells: The cells; the state is a list of theirs.
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> cells = [dlc.nn.SimpleRNNCell(4), dlc.nn.SimpleRNNCell(5)]
        >>> dlc.nn.RNN(dlc.nn.StackedRNNCells(cells))(dlc.ones((2, 7, 3))).shape
        (2, 5)
    """

    def __init__(self, cells: Sequence[Any], **common: Any) -> None:
        super().__init__(**common)
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The extents of the states of all cells."""
        return [c.state_size for c in self.cells]

    @property
    def output_size(self) -> int:
        """The last extent of outputs."""
        return output_size(self.cells[-1])

    def call(self, inputs: Any, states: Any) -> tuple[Any, list[Any]]:
        """The output of the last cell, and the new states of all."""
        new: list[Any] = []
        for cell, held in zip(self.cells, states, strict=True):
            several = isinstance(held, (list, tuple))
            inputs, after = cell(inputs, list(held) if several else [held])
            after = list(after) if isinstance(after, (list, tuple)) else [after]
            new.append(after if several else after[0])
        return inputs, new


def output_size(cell: Any) -> int:
    """The last extent of a cell's outputs: that of the first part of its state if it says none."""
    found = getattr(cell, "output_size", None)
    while found is None or not isinstance(found, int):
        held = cell.state_size if found is None else found
        found = held if isinstance(held, int) else held[0]
    return found


def zero_state(size: Any, batch: Any, dtype: Any) -> Any:
    """Zeros for a state of these extents, in a list for each list."""
    if isinstance(size, int):
        return dlc.zeros((batch, size), dtype=dtype)
    return [zero_state(s, batch, dtype) for s in size]
