"""Recurrent layers with PyTorch's names of parameters, layouts and defaults."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ArgumentError, DTypeError, ShapeError, ValueRangeError
from dlc.nn import initializers
from dlc.nn.described import positive
from dlc.nn.dropout import Dropout
from dlc.nn.functional.arguments import tensor
from dlc.nn.linear import check_last
from dlc.nn.module import Module, Parameter
from dlc.nn.sequence import cells, keras_recurrent
from dlc.nn.sequence.recurrence import Function, State, Step, gru_step, lstm_step, run, simple_step
from dlc.nn.sequence.spelling import Either

NONLINEARITIES: dict[str, Function] = {"tanh": dlc.tanh, "relu": dlc.relu}


def nonlinearity_of(layer: Module, name: str) -> str:
    """The name, or an error."""
    if name not in NONLINEARITIES:
        raise ValueRangeError(
            f"{type(layer).__name__}(nonlinearity={name!r})", hint='it is "tanh" or "relu"'
        )
    return name


class TorchRecurrent(Either):
    """The base of `RNN`, `LSTM` and `GRU`: layers on top of each other, in one or two directions.

    The parameters of layer k are `weight_ih_lk` [gates * hidden, inputs], `weight_hh_lk`
    [gates * hidden, outputs], `bias_ih_lk`, `bias_hh_lk`, those of the other direction end in
    `_reverse`.
    """

    gates: ClassVar[int] = 1
    parts: ClassVar[int] = 1  # of a state

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: Any = None,
    ) -> None:
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        input_size, hidden_size, num_layers = positive(type(self).__name__, **sizes)
        if not 0 <= dropout <= 1:
            raise ValueRangeError(
                f"{type(self).__name__}(dropout={dropout}): a probability is between 0 and 1"
            )
        if not 0 <= proj_size < hidden_size:
            raise ValueRangeError(
                f"{type(self).__name__}(proj_size={proj_size}): it must be smaller than "
                f"hidden_size={hidden_size}, and 0 for none"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bool(bias), bool(batch_first), float(dropout)
        self.bidirectional, self.proj_size = bool(bidirectional), proj_size
        for layer in range(num_layers):
            for suffix in self._suffixes():
                self._make(layer, suffix, dtype or dlc.float32)
        self.between = Dropout(dropout) if dropout and num_layers > 1 else None

    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _make(self, layer: int, suffix: str, dtype: Any) -> None:
        rows, outputs = self.gates * self.hidden_size, self._output_size
        inputs = outputs * len(self._suffixes()) if layer else self.input_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs)}
        shapes["weight_hh"] = (rows, outputs)
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        bound = 1 / math.sqrt(self.hidden_size)
        init = initializers.uniform(-bound, bound)
        for kind, shape in shapes.items():
            name = f"{kind}_l{layer}{suffix}"
            setattr(self, name, Parameter(init(shape, dtype), name))

    def _held(self, kind: str, layer: int, suffix: str) -> Any:
        return getattr(self, f"{kind}_l{layer}{suffix}", None)

    def _step(self, weights: Any, bias: Any, projection: Any) -> Step:
        """The step of one layer; `bias` is that of the state's products where it stands apart."""
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> Any:  # noqa: A002
        """The outputs of the last layer, and the last state of each.

        Args:
            input: [time, batch, inputs]; [batch, time, inputs] with `batch_first`; or, of one
                sequence, [time, inputs].
            hx: The first state, [layers * directions, batch, outputs], a pair of them for `LSTM`;
                zeros for None.
            lengths: Integers [batch]: the steps of each sequence, of which more are neither read
                nor counted; outputs beyond are 0. (PyTorch's packed sequences.)

        Returns:
            Outputs [time, batch, directions * outputs], in the order of `input`'s axes, and the
            last state, in the form of `hx`.

        Raises:
            ShapeError: for shapes that do not fit.
        """
        x = tensor(input)
        check_last(self, x, self.input_size)
        if len(x.shape) not in (2, 3):
            raise ShapeError(
                f"{type(self).__name__} of an input of shape {tuple(x.shape)}: "
                "it has three axes, or two for one sequence"
            )
        single = len(x.shape) == 2
        if single:
            x = x[:, None]
        elif self.batch_first:
            x = dlc.moveaxis(x, 0, 1)
        state = self._first(hx, x, single)
        mask = None if lengths is None else self._mask(lengths, x, single)
        output, last = self._layers(x, state, mask)
        if single:
            output, last = output[:, 0], [s[:, 0] for s in last]
        elif self.batch_first:
            output = dlc.moveaxis(output, 0, 1)
        return output, tuple(last) if self.parts > 1 else last[0]

    def _mask(self, lengths: Any, x: Any, single: bool) -> Any:
        steps = dlc.asarray(lengths)
        if single or len(steps.shape) != 1 or not steps.dtype.is_integer:
            raise ShapeError(
                f"{type(self).__name__} with lengths {steps.tensor} for an input of shape "
                f"{tuple(x.shape)}: they are one integer for each sequence of a batch"
            )
        return dlc.arange(x.shape[0])[:, None] < steps

    def _first(self, hx: Any, x: Any, single: bool) -> list[Any]:
        """The first state, a tensor [layers * directions, batch, extent] for each part."""
        count = self.num_layers * len(self._suffixes())
        extents = (self._output_size, self.hidden_size)[: self.parts]
        shapes = [(count, x.shape[1], extent) for extent in extents]
        dtype = dlc.result_type(x, self.weight_hh_l0)
        if hx is None:
            return [dlc.zeros(shape, dtype=dtype) for shape in shapes]
        given = [hx] if self.parts == 1 else list(hx)
        if len(given) != self.parts:
            raise ArgumentError(f"{type(self).__name__}: hx is a pair (h, c), not {len(given)}")
        held = [tensor(g) for g in given]
        held = [h[:, None] if single and len(h.shape) == 2 else h for h in held]
        for h, shape in zip(held, shapes, strict=True):
            fixed = [s if isinstance(s, int) else None for s in h.shape]
            pairs = zip(fixed, shape, strict=False)
            if len(fixed) != 3 or any(a != b for a, b in pairs if a and isinstance(b, int)):
                raise ShapeError(
                    f"{type(self).__name__}: a first state of shape {tuple(h.shape)}, "
                    f"where {shape} is needed"
                )
        dtype = dlc.result_type(dtype, *held)
        return [dlc.astype(h, dtype) for h in held]

    def _layers(self, x: Any, state: list[Any], mask: Any) -> tuple[Any, list[Any]]:
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.between is not None:
                x = self.between(x)
            found = []
            for suffix in self._suffixes():
                first = [s[len(last)] for s in state]
                outputs, after = self._one(x, first, mask, layer, suffix)
                found.append(outputs)
                last.append(after)
            x = found[0] if len(found) == 1 else dlc.concatenate(found, axis=-1)
        return x, [dlc.stack(parts) for parts in zip(*last, strict=True)]

    def _one(
        self, x: Any, state: list[Any], mask: Any, layer: int, suffix: str
    ) -> tuple[Any, State]:
        """One direction of one layer."""
        weights, recurrent, bias, inner, projection = (
            self._held(kind, layer, suffix)
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        )
        turned = None if projection is None else dlc.matrix_transpose(projection)
        rows, inner = input_rows(x, weights, bias, inner, self.gates == 3)
        step = self._step(dlc.matrix_transpose(recurrent), inner, turned)
        return run(step, rows, state, mask, reverse=bool(suffix), zero_output=True)

    def extra_repr(self) -> str:
        """The settings that are not the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        settings = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        settings |= {"bidirectional": False, "proj_size": 0}
        own = ((n, getattr(self, n)) for n, usual in settings.items() if getattr(self, n) != usual)
        return ", ".join([text, *(f"{n}={v}" for n, v in own)])


def input_rows(x: Any, weights: Any, bias: Any, inner: Any, apart: bool) -> tuple[Any, Any]:
    """The inputs' products with both biases added, and the bias that is left for the step.

    Where the state's products must be `apart`, their bias stays.
    """
    rows = x @ dlc.matrix_transpose(weights)
    if bias is None:
        return rows, None
    return (rows + bias, inner) if apart else (rows + (bias + inner), None)


class RNN(TorchRecurrent):
    """h' = tanh(x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh), as `torch.nn.RNN`.

    Without two sizes, `RNN(cell)` makes the layer of `keras.layers` by this name.

    Args:
        input_size: The last extent of inputs.
        hidden_size: That of the state.
        num_layers: Layers on top of each other.
        nonlinearity: "tanh" or "relu".
        bias: Whether there are biases.
        batch_first: Whether inputs and outputs are [batch, time, ...]; states never are.
        dropout: The probability with which, while training, outputs of all layers but the last are
            set to 0.
        bidirectional: Whether each layer runs in both directions.
        dtype: The element type of the parameters.

    Example:
        >>> output, h = dlc.nn.RNN(3, 5)(dlc.ones((7, 2, 3)))
        >>> output.shape, h.shape
        ((7, 2, 5), (1, 2, 5))
    """

    keras = keras_recurrent.RNN

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        self.nonlinearity = nonlinearity_of(self, nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype
        )

    def _step(self, weights: Any, bias: Any, projection: Any) -> Step:
        return simple_step(weights, bias, NONLINEARITIES[self.nonlinearity])


class LSTM(TorchRecurrent):
    """Long short-term memory, as `torch.nn.LSTM`; gates in the order input, forget, cell, output.

    Without two sizes, `LSTM(units)` makes the layer of `keras.layers` by this name.

    Args:
        input_size: The last extent of inputs.
        hidden_size: That of the state.
        num_layers: Layers on top of each other.
        bias: Whether there are biases.
        batch_first: Whether inputs and outputs are [batch, time, ...]; states never are.
        dropout: The probability with which, while training, outputs of all layers but the last are
            set to 0.
        bidirectional: Whether each layer runs in both directions.
        proj_size: The extent to which outputs are projected, by `weight_hr`; 0 for none.
        dtype: The element type of the parameters.

    Example:
        >>> output, (h, c) = dlc.nn.LSTM(3, 5, num_layers=2)(dlc.ones((7, 2, 3)))
        >>> output.shape, h.shape, c.shape
        ((7, 2, 5), (2, 2, 5), (2, 2, 5))
    """

    keras = keras_recurrent.LSTM

    gates, parts = 4, 2

    def _step(self, weights: Any, bias: Any, projection: Any) -> Step:
        return lstm_step(weights, bias, projection=projection)


class GRU(TorchRecurrent):
    """A gated recurrent unit, as `torch.nn.GRU`; gates in the order reset, update, new.

    Without two sizes, `GRU(units)` makes the layer of `keras.layers` by this name.

    Args:
        input_size: The last extent of inputs.
        hidden_size: That of the state.
        num_layers: Layers on top of each other.
        bias: Whether there are biases.
        batch_first: Whether inputs and outputs are [batch, time, ...]; states never are.
        dropout: The probability with which, while training, outputs of all layers but the last are
            set to 0.
        bidirectional: Whether each layer runs in both directions.
        dtype: The element type of the parameters.

    Example:
        >>> output, h = dlc.nn.GRU(3, 5, batch_first=True)(dlc.ones((2, 7, 3)))
        >>> output.shape, h.shape
        ((2, 7, 5), (1, 2, 5))
    """

    keras = keras_recurrent.GRU

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype
        )

    def _step(self, weights: Any, bias: Any, projection: Any) -> Step:
        return gru_step(weights, bias)


class _Cell(Either):
    """The base of cells: one step."""

    gates: ClassVar[int] = 1
    parts: ClassVar[int] = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = None
    ) -> None:
        sizes = {"input_size": input_size, "hidden_size": hidden_size}
        input_size, hidden_size = positive(type(self).__name__, **sizes)
        self.input_size, self.hidden_size = input_size, hidden_size
        bound = 1 / math.sqrt(hidden_size)
        init = initializers.uniform(-bound, bound)
        rows, dtype = self.gates * hidden_size, dtype or dlc.float32
        self.weight_ih = Parameter(init((rows, input_size), dtype), "weight_ih")
        self.weight_hh = Parameter(init((rows, hidden_size), dtype), "weight_hh")
        self.bias_ih = Parameter(init((rows,), dtype), "bias_ih") if bias else None
        self.bias_hh = Parameter(init((rows,), dtype), "bias_hh") if bias else None

    def _step(self, weights: Any, bias: Any) -> Step:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """The next state.

        Args:
            input: [batch, inputs], or [inputs].
            hx: The state, [batch, hidden] or [hidden], a pair of them for `LSTMCell`; zeros for
                None.
        """
        x = tensor(input)
        check_last(self, x, self.input_size)
        if not x.dtype.is_float:
            raise DTypeError(f"{type(self).__name__} of an input {x.tensor}: it must be of floats")
        if hx is None:
            state = (dlc.zeros((*x.shape[:-1], self.hidden_size), dtype=x.dtype),) * self.parts
        else:
            state = tuple(hx) if self.parts > 1 else (hx,)
        for part in state:
            check_last(self, part, self.hidden_size)
        apart = self.gates == 3
        rows, inner = input_rows(x, self.weight_ih, self.bias_ih, self.bias_hh, apart)
        after = self._step(dlc.matrix_transpose(self.weight_hh), inner)(rows, state)
        return after if self.parts > 1 else after[0]

    def extra_repr(self) -> str:
        """The sizes."""
        bias = "" if self.bias_ih is not None else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{bias}"


class RNNCell(_Cell):
    """One step of `RNN`, as `torch.nn.RNNCell`: h' = tanh(W x + b + U h + c).

    Args:
        input_size: The last extent of inputs.
        hidden_size: The extent of the state.
        bias: Whether there are biases.
        nonlinearity: "tanh" or "relu".
        dtype: The element type of the parameters.

    Example:
        >>> dlc.nn.RNNCell(3, 5)(dlc.ones((2, 3))).shape
        (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: Any = None,
    ) -> None:
        self.nonlinearity = nonlinearity_of(self, nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype)

    def _step(self, weights: Any, bias: Any) -> Step:
        return simple_step(weights, bias, NONLINEARITIES[self.nonlinearity])


class LSTMCell(_Cell):
    """One step of `LSTM`, as `torch.nn.LSTMCell`: the state is (h, c).

    Without two sizes, `LSTMCell(units)` makes the layer of `keras.layers` by this name.

    Args:
        input_size: The last extent of inputs.
        hidden_size: The extent of the state.
        bias: Whether there are biases.
        dtype: The element type of the parameters.

    Example:
        >>> h, c = dlc.nn.LSTMCell(3, 5)(dlc.ones((2, 3)))
        >>> h.shape, c.shape
        ((2, 5), (2, 5))
    """

    keras = cells.LSTMCell

    gates, parts = 4, 2

    def _step(self, weights: Any, bias: Any) -> Step:
        return lstm_step(weights, bias)


class GRUCell(_Cell):
    """One step of `GRU`, as `torch.nn.GRUCell`.

    Without two sizes, `GRUCell(units)` makes the layer of `keras.layers` by this name.

    Args:
        input_size: The last extent of inputs.
        hidden_size: The extent of the state.
        bias: Whether there are biases.
        dtype: The element type of the parameters.

    Example:
        >>> dlc.nn.GRUCell(3, 5)(dlc.ones((2, 3)), dlc.zeros((2, 5))).shape
        (2, 5)
    """

    keras = cells.GRUCell

    gates = 3

    def _step(self, weights: Any, bias: Any) -> Step:
        return gru_step(weights, bias)
