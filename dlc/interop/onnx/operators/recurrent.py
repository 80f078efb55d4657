"""Recurrent networks, by `dlc.scan`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.ir.errors import ModelError
from dlc.nn import functional

Step = Callable[[Any, Any], Any]


# Functions of the element and of as many numbers as there are defaults: alpha, beta.
_ACTIVATIONS: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "relu": (lambda x: dlc.maximum(x, 0), ()),
    "tanh": (dlc.tanh, ()),
    "sigmoid": (dlc.sigmoid, ()),
    "affine": (lambda x, a, b: a * x + b, (1.0, 0.0)),
    "leakyrelu": (lambda x, a: dlc.where(x >= 0, x, a * x), (0.01,)),
    "thresholdedrelu": (lambda x, a: dlc.where(x >= a, x, 0), (1.0,)),
    "scaledtanh": (lambda x, a, b: a * dlc.tanh(b * x), (1.0, 1.0)),
    "hardsigmoid": (lambda x, a, b: dlc.clip(a * x + b, 0, 1), (0.2, 0.5)),
    "elu": (functional.elu, (1.0,)),
    "softsign": (functional.softsign, ()),
    "softplus": (dlc.softplus, ()),
}


def _activation(name: str, *given: Iterator[float]) -> Callable[[Any], Any]:
    """An activation by its name, whose case does not matter.

    given: the alphas and betas that are left; it takes those that it has.
    """
    if name.lower() not in _ACTIVATIONS:
        raise ModelError(f"the activation {name!r} is unknown")
    function, defaults = _ACTIVATIONS[name.lower()]
    numbers = [next(left, default) for left, default in zip(given, defaults, strict=False)]
    return lambda x: function(x, *numbers)


class _Given(NamedTuple):
    """What the node says, for one direction."""

    activations: list[Callable[[Any], Any]]
    clip: float | None


def _directions(node: Any, defaults: Sequence[str]) -> list[_Given]:
    count = 2 if node.attr("direction", "forward") == "bidirectional" else 1
    names = node.attr("activations", list(defaults) * count)
    alphas, betas = iter(node.attr("activation_alpha", [])), iter(node.attr("activation_beta", []))
    functions = [_activation(n, alphas, betas) for n in names]
    each = len(defaults)
    limit = node.attr("clip", None)
    return [_Given(functions[d * each : (d + 1) * each], limit) for d in range(count)]


def _clipped(x: Any, limit: float | None) -> Any:
    return x if limit is None else dlc.clip(x, -limit, limit)


def _run(
    node: Any, x: Any, lengths: Any, states: Sequence[Any], step: Callable[[int], Step]
) -> tuple[Any, list[Any]]:
    """All directions over [time, batch, ...]: the outputs and the last states.

    step: for a direction, from states and the input of one moment to new states; the first of them
        is the output.
    """
    backwards = node.attr("direction", "forward") == "reverse"
    outputs: list[Any] = []
    finals: list[list[Any]] = []
    for d in range(states[0].shape[0]):
        turn = backwards or d == 1
        one = step(d)

        def moment(carry: Any, given: Any, one: Step = one) -> Any:
            inputs, active = given
            new = one(carry, inputs)
            if active is None:
                return new, new[0]
            kept = tuple(dlc.where(active, n, c) for n, c in zip(new, carry, strict=True))
            return kept, dlc.where(active, new[0], 0)

        active = None
        if lengths is not None:
            steps = dlc.arange(x.shape[0])
            active = (steps[:, None] < lengths[None, :])[:, :, None]
        carry, ys = dlc.scan(moment, tuple(s[d] for s in states), (x, active), reverse=turn)
        outputs.append(ys)
        finals.append(list(carry))
    y = dlc.stack(outputs, axis=1)
    return y, [dlc.stack([f[k] for f in finals]) for k in range(len(states))]


def _prepared(node: Any, x: Any, weight: Any, *states: Any) -> tuple[Any, list[Any]]:
    """Time first, and states of zeros where none are given."""
    batch_first = bool(node.attr("layout", 0))
    if batch_first:
        x = dlc.swapaxes(x, 0, 1)
    hidden = node.attr("hidden_size", None)
    made: list[Any] = []
    for s in states:
        if s is None:
            made.append(dlc.zeros((weight.shape[0], x.shape[1], hidden), dtype=x.dtype))
        else:
            made.append(dlc.swapaxes(s, 0, 1) if batch_first else s)
    return x, made


def _finished(node: Any, y: Any, finals: Sequence[Any]) -> tuple[Any, ...]:
    if node.attr("layout", 0):
        return dlc.permute_dims(y, (2, 0, 1, 3)), *(dlc.swapaxes(f, 0, 1) for f in finals)
    return y, *finals


def _biases(bias: Any, d: int, gates: int, hidden: int) -> tuple[Any, Any]:
    if bias is None:
        return 0, 0
    return bias[d, : gates * hidden], bias[d, gates * hidden :]


@operator("RNN")
def rnn(
    node: Any, x: Any, weight: Any, recurrence: Any, bias: Any = None, lengths: Any = None,
    initial: Any = None,
) -> Any:  # fmt: skip
    """A plain recurrent network."""
    hidden = node.attr("hidden_size", recurrence.shape[-1])
    x, (h0,) = _prepared(node, x, recurrence, initial)
    given = _directions(node, ["Tanh"])

    def step(d: int) -> Step:
        wb, rb = _biases(bias, d, 1, hidden)
        (f,) = given[d].activations

        def one(carry: Any, inputs: Any) -> Any:
            (h,) = carry
            z = inputs @ weight[d].mT + h @ recurrence[d].mT + wb + rb
            return (f(_clipped(z, given[d].clip)),)

        return one

    y, finals = _run(node, x, lengths, [h0], step)
    return _finished(node, y, finals)


@operator("GRU")
def gru(
    node: Any, x: Any, weight: Any, recurrence: Any, bias: Any = None, lengths: Any = None,
    initial: Any = None,
) -> Any:  # fmt: skip
    """A network of gated units; gates in the order update, reset, hidden."""
    n = node.attr("hidden_size", recurrence.shape[-1])
    x, (h0,) = _prepared(node, x, recurrence, initial)
    given = _directions(node, ["Sigmoid", "Tanh"])
    after = bool(node.attr("linear_before_reset", 0))

    def step(d: int) -> Step:
        wb, rb = _biases(bias, d, 3, n)
        f, g = given[d].activations
        limit = given[d].clip
        w, r = weight[d], recurrence[d]

        def one(carry: Any, inputs: Any) -> Any:
            (h,) = carry
            a = inputs @ w.mT + wb
            gates = a[:, : 2 * n] + h @ r[: 2 * n].mT + (rb if bias is None else rb[: 2 * n])
            gates = f(_clipped(gates, limit))
            update, reset = gates[:, :n], gates[:, n:]
            inner = 0 if bias is None else rb[2 * n :]
            past = (
                reset * (h @ r[2 * n :].mT + inner) if after else reset * h @ r[2 * n :].mT + inner
            )
            new = g(_clipped(a[:, 2 * n :] + past, limit))
            return ((1 - update) * new + update * h,)

        return one

    y, finals = _run(node, x, lengths, [h0], step)
    return _finished(node, y, finals)


@operator("LSTM")
def lstm(
    node: Any, x: Any, weight: Any, recurrence: Any, bias: Any = None, lengths: Any = None,
    initial: Any = None, initial_cell: Any = None, peepholes: Any = None,
) -> Any:  # fmt: skip
    """A long short-term memory; gates in the order input, output, forget, cell."""
    n = node.attr("hidden_size", recurrence.shape[-1])
    x, (h0, c0) = _prepared(node, x, recurrence, initial, initial_cell)
    given = _directions(node, ["Sigmoid", "Tanh", "Tanh"])
    coupled = bool(node.attr("input_forget", 0))

    def step(d: int) -> Step:
        wb, rb = _biases(bias, d, 4, n)
        f, g, h_ = given[d].activations
        limit = given[d].clip
        p = (
            [0, 0, 0]
            if peepholes is None
            else [peepholes[d, k * n : (k + 1) * n] for k in range(3)]
        )

        def one(carry: Any, inputs: Any) -> Any:
            h, c = carry
            z = inputs @ weight[d].mT + h @ recurrence[d].mT + wb + rb
            i, o, forget, cell = (z[:, k * n : (k + 1) * n] for k in range(4))
            i = f(_clipped(i + p[0] * c, limit))
            forget = 1 - i if coupled else f(_clipped(forget + p[2] * c, limit))
            new = forget * c + i * g(_clipped(cell, limit))
            o = f(_clipped(o + p[1] * new, limit))
            return o * h_(new), new

        return one

    y, finals = _run(node, x, lengths, [h0, c0], step)
    return _finished(node, y, finals)
