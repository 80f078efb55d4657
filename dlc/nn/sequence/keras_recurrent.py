"""Recurrent layers with Keras's names of parameters, layouts and defaults."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.nn.functional.arguments import tensor
from dlc.nn.keras.layer import Layer
from dlc.nn.module import Module
from dlc.nn.sequence import cells
from dlc.nn.sequence.recurrence import State, run
from dlc.train import added_losses


class RNN(Layer):
    """A cell along a sequence, as `keras.layers.RNN`.

    Args:
        cell: A cell: a module with a `state_size`, called with (inputs, states), which returns
            (output, new states); or a list of them, on top of each other.
        return_sequences: Whether all outputs are returned; else the last.
        return_state: Whether the last states are returned, too.
        go_backwards: Whether to begin at the end; outputs are in the order of the steps then.
        stateful: Whether a call begins with the states that the last one ended with. The extent of
            the batch must be known.
        unroll: Accepted for Keras's sake: between steps there is nothing that it could save.
        zero_output_for_mask: Whether outputs of steps that are masked are 0; else that before.
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> layer = dlc.nn.RNN(dlc.nn.SimpleRNNCell(4), return_sequences=True)
        >>> layer(dlc.ones((2, 7, 3))).shape
        (2, 7, 4)
    """

    regularized = {}  # noqa: RUF012  the cell has the parameters

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        cell = cells.StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell
        if not callable(cell) or not hasattr(cell, "state_size"):
            raise ArgumentError(
                f"RNN of a {type(cell).__name__}: a cell can be called and has a state_size"
            )
        if any(m.activity_regularizer is not None for m in _layers_of(cell)):
            raise ArgumentError(
                "activity_regularizer of a cell", hint="give it to the layer that runs the cell"
            )
        self.cell: Any = cell
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful = bool(go_backwards), bool(stateful)
        self.zero_output_for_mask = bool(zero_output_for_mask)

    def build(self, shape: tuple[Any, ...], *_more: Any) -> None:
        """Makes the parameters of the cell, and the states where they are kept."""
        if isinstance(self.cell, cells.KerasCell):
            self.cell.ensure_built((shape[0], *shape[2:]))
        if self.stateful:
            if not isinstance(shape[0], int):
                raise ShapeError(
                    f"{type(self).__name__}(stateful=True) of an input of shape {shape}: "
                    "its first extent must be known"
                )
            dtype = getattr(self.cell, "dtype", dlc.float32)
            first = self._zeros((shape[0], *shape[2:]), dtype)
            for k, zeros in enumerate(dlc.tree.leaves(first)):
                self.register_buffer(f"state_{k}", zeros)

    def _zeros(self, shape: tuple[Any, ...], dtype: Any) -> list[Any]:
        """The first state for inputs of a step of this shape."""
        if isinstance(self.cell, cells.KerasCell):
            return self.cell.zero_state(shape, dtype)
        size = self.cell.state_size
        return cells.zero_state([size] if isinstance(size, int) else list(size), shape[0], dtype)

    @property
    def states(self) -> list[dlc.Variable]:
        """The states that are kept between calls."""
        held = vars(self)
        return [held[n] for n in held if n.startswith("state_")]

    def reset_states(self) -> None:
        """Sets the states that are kept to zeros."""
        for s in self.states:
            s.assign(dlc.zeros_like(s.data))

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
        """The outputs, and with `return_state` the last states.

        Args:
            sequences: [batch, time, ...].
            initial_state: A list of the first states; zeros for None.
            mask: Bools [batch, time]: False for steps to leave out.

        Returns:
            [batch, units], or [batch, time, units] with `return_sequences`; with `return_state` a
            tuple of it and the states.
        """
        x = tensor(sequences)
        if len(x.shape) < 3:
            raise ShapeError(
                f"{type(self).__name__} of an input of shape {tuple(x.shape)}: "
                "it is [batch, time, ...]"
            )
        if added_losses.are_collected():
            for layer in _layers_of(self.cell):  # once, and not in the loop
                layer.add_penalties()
        first = self._first(initial_state, x)
        kept = None if mask is None else dlc.moveaxis(tensor(mask), 0, 1)
        outputs, last = self._run(dlc.moveaxis(x, 0, 1), first, kept)
        if self.stateful:
            for held, new in zip(self.states, dlc.tree.leaves(last), strict=True):
                held.assign(new)
        if not self.return_sequences:
            result = outputs[0] if self.go_backwards else outputs[-1]
        else:
            result = dlc.flip(outputs, axis=0) if self.go_backwards else outputs
            result = dlc.moveaxis(result, 0, 1)
        return (result, *last) if self.return_state else result

    def _first(self, given: Any, x: Any) -> State:
        zeros = self._zeros((x.shape[0], *x.shape[2:]), self._state_type(x))
        if given is None:
            return tuple(
                dlc.tree.unflatten(dlc.tree.structure(zeros), self.states)
                if self.stateful
                else zeros
            )
        held = dlc.tree.map(tensor, list(given) if isinstance(given, (list, tuple)) else [given])
        wanted, found = dlc.tree.leaves(zeros), dlc.tree.leaves(held)
        if len(found) != len(wanted):
            raise ArgumentError(
                f"{type(self).__name__}: initial_state has {len(found)} parts, not {len(wanted)}"
            )
        for state, zero in zip(found, wanted, strict=True):
            if state.shape[-1] != zero.shape[-1]:
                raise ShapeError(
                    f"{type(self).__name__}: a state of shape {tuple(state.shape)}, "
                    f"where {tuple(zero.shape)} is needed"
                )
        if isinstance(self.cell, cells.KerasCell):
            dtype = dlc.result_type(wanted[0], *found)
            found = [dlc.astype(state, dtype) for state in found]
        return tuple(dlc.tree.unflatten(dlc.tree.structure(zeros), found))

    def _state_type(self, x: Any) -> Any:
        """The type of states: that of cells, where `autocast` gives inputs of a half type."""
        held = self.cell.cells if isinstance(self.cell, cells.StackedRNNCells) else [self.cell]
        return dlc.result_type(x, *(c.dtype for c in held if isinstance(c, Layer)))

    def _run(self, x: Any, first: State, mask: Any) -> tuple[Any, State]:
        how = {"reverse": self.go_backwards, "zero_output": self.zero_output_for_mask}
        if isinstance(self.cell, cells.KerasCell):
            step = self.cell.step(x.shape[1:], x.dtype)
            return run(step, self.cell.rows(x), first, mask, **how)

        def step_of_any(row: Any, state: State) -> State:
            output, new = self.cell(row, list(state[1:]))
            return (output, *(new if isinstance(new, (list, tuple)) else (new,)))

        extents = (x.shape[1], cells.output_size(self.cell))
        output = dlc.zeros(extents, dtype=self._state_type(x))
        outputs, last = run(step_of_any, x, (output, *first), mask, **how)
        return outputs, last[1:]

    def compute_mask(self, _inputs: Any, mask: Any = None) -> Any:
        """The mask of the result: the one given, where the result is a sequence."""
        return mask if self.return_sequences else None

    def extra_repr(self) -> str:
        """The settings that are not the defaults."""
        names = ("return_sequences", "return_state", "go_backwards", "stateful")
        return ", ".join(f"{n}=True" for n in names if getattr(self, n))


def _layers_of(cell: Any) -> list[Layer]:
    return [m for m in cell.modules() if isinstance(m, Layer)] if isinstance(cell, Module) else []


def of_cell(common: dict[str, Any]) -> dict[str, Any]:
    """Takes the arguments out that are the cell's, and gives the cell the element type, too."""
    kinds = ("regularizer", "constraint")
    words = [f"{w}_{kind}" for w in cells.KerasCell.regularized for kind in kinds]
    return {"dtype": common.get("dtype"), **{w: common.pop(w, None) for w in words}}


class RecurrentUnits(RNN):
    """The base of layers that make their cell."""

    def _make(
        self,
        cell: cells.KerasCell,
        return_sequences: bool,
        return_state: bool,
        go_backwards: bool,
        stateful: bool,
        zero_output_for_mask: bool,
        common: dict[str, Any],
    ) -> None:
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful,
            zero_output_for_mask=zero_output_for_mask, **common,
        )  # fmt: skip

    @property
    def units(self) -> int:
        """The extent of outputs."""
        return self.cell.units

    def extra_repr(self) -> str:
        """The size, and the settings that are not the defaults."""
        return ", ".join(filter(None, [f"{self.units}", super().extra_repr()]))


class SimpleRNN(RecurrentUnits):
    """h = activation(x @ kernel + bias + h @ recurrent_kernel), as `keras.layers.SimpleRNN`.

    Args:
        units: The extent of outputs.
        activation: A name or function.
        use_bias: Whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Names or functions.
        dropout: The probability with which elements of inputs are set to 0 while training, the same
            at all steps.
        recurrent_dropout: The same of states.
        seed: Where the random numbers begin.
        return_sequences, return_state, go_backwards, stateful, unroll: See the `RNN` of a cell.
        zero_output_for_mask: See there.
        common: `name`, `dtype` and `trainable` of the layer, and regularizers.

    Example:
        >>> dlc.nn.SimpleRNN(4)(dlc.ones((2, 7, 3))).shape
        (2, 4)
    """

    def __init__(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        zero_output_for_mask: bool = False,
        **common: Any,
    ) -> None:
        cell = cells.SimpleRNNCell(
            units, activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, dropout, recurrent_dropout, seed, **of_cell(common),
        )  # fmt: skip
        self._make(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            zero_output_for_mask,
            common,
        )


class LSTM(RecurrentUnits):
    """Long short-term memory, as `keras.layers.LSTM`; gates in the order i, f, c, o.

    Args:
        units: The extent of outputs.
        activation: Of the new values and of the outputs.
        recurrent_activation: Of the gates.
        use_bias: Whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Names or functions.
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
        dropout: The probability with which elements of inputs are set to 0 while training, the same
            at all steps.
        recurrent_dropout: The same of states.
        seed: Where the random numbers begin.
        return_sequences, return_state, go_backwards, stateful, unroll: See the `RNN` of a cell.
        zero_output_for_mask: See there.
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> output, h, c = dlc.nn.LSTM(4, return_state=True)(dlc.ones((2, 7, 3)))
        >>> output.shape, h.shape, c.shape
        ((2, 4), (2, 4), (2, 4))
    """

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
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **common: Any,
    ) -> None:
        cell = cells.LSTMCell(
            units, activation, recurrent_activation, use_bias, kernel_initializer,
            recurrent_initializer, bias_initializer, unit_forget_bias, dropout, recurrent_dropout,
            seed, **of_cell(common),
        )  # fmt: skip
        self._make(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            zero_output_for_mask,
            common,
        )


class GRU(RecurrentUnits):
    """A gated recurrent unit, as `keras.layers.GRU`; gates in the order z, r, h.

    Args:
        units: The extent of outputs.
        activation: Of the new state.
        recurrent_activation: Of the gates.
        use_bias: Whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Names or functions.
        dropout: The probability with which elements of inputs are set to 0 while training, the same
            at all steps.
        recurrent_dropout: The same of states.
        seed: Where the random numbers begin.
        return_sequences, return_state, go_backwards, stateful, unroll: See the `RNN` of a cell.
        reset_after: Whether the reset gate acts on the product with the state.
        zero_output_for_mask: See there.
        common: `name`, `dtype` and `trainable` of the layer.

    Example:
        >>> dlc.nn.GRU(4, return_sequences=True)(dlc.ones((2, 7, 3))).shape
        (2, 7, 4)
    """

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
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        zero_output_for_mask: bool = False,
        **common: Any,
    ) -> None:
        cell = cells.GRUCell(
            units, activation, recurrent_activation, use_bias, kernel_initializer,
            recurrent_initializer, bias_initializer, dropout, recurrent_dropout, reset_after, seed,
            **of_cell(common),
        )  # fmt: skip
        self._make(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            zero_output_for_mask,
            common,
        )
