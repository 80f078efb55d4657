"""Steps of recurrent networks, and how they run along a sequence.

A step is a function (row, state) -> state, where the row is the product of the inputs with their
weights: that product is made for all rows at once. The first part of a state is the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import dlc

State: TypeAlias = tuple[Any, ...]
Step: TypeAlias = Callable[[Any, State], State]
Function: TypeAlias = Callable[[Any], Any]


def simple_step(weights: Any, bias: Any, activation: Function, kept: Any = None) -> Step:
    """h = activation(row + h @ weights + bias) (Elman, 1990).

    Here and below, `kept` is what h is multiplied by before its products, for dropout that is the
    same at all steps (Gal and Ghahramani, 2016).
    """

    def step(row: Any, state: State) -> State:
        return (activation(row + _affine(_times(state[0], kept), weights, bias)),)

    return step


def lstm_step(
    weights: Any,
    bias: Any,
    activation: Function = dlc.tanh,
    gate: Function = dlc.sigmoid,
    projection: Any = None,
    kept: Any = None,
) -> Step:
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    The gates are in the order of both PyTorch and Keras: input, forget, cell, output. With a
    `projection` the output is multiplied by it (Sak et al., 2014).
    """
    gates = gated_step(lambda h: _affine(_times(h, kept), weights, bias), activation, gate)
    if projection is None:
        return gates

    def step(row: Any, state: State) -> State:
        h, c = gates(row, state)
        return h @ projection, c

    return step


def gated_step(of_state: Function, activation: Function, gate: Function, axis: int = -1) -> Step:
    """That of `lstm_step`, for any function of the state that is added to the gates.

    Args:
        of_state: The function: four times as long as the state along the axis.
        activation: Of the new values and of the outputs.
        gate: Of the gates.
        axis: That axis.
    """

    def step(row: Any, state: State) -> State:
        h, c = state
        i, f, g, o = dlc.split(row + of_state(h), 4, axis=axis)
        c = gate(f) * c + gate(i) * activation(g)
        return gate(o) * activation(c), c

    return step


def gru_step(
    weights: Any,
    bias: Any,
    activation: Function = dlc.tanh,
    gate: Function = dlc.sigmoid,
    update_first: bool = False,
    reset_after: bool = True,
    kept: Any = None,
) -> Step:
    """A gated recurrent unit (Cho et al., 2014).

    Args:
        weights: [h, 3 h].
        bias: [3 h], added to the products of the state; or None.
        activation: Of the new state.
        gate: Of the gates.
        update_first: Whether the gates are in Keras's order, the update's first; else in
            PyTorch's, the reset's first.
        reset_after: Whether the reset gate acts on the product with the state, as in PyTorch; else
            on the state before it, as in the paper.
        kept: See `simple_step`.
    """
    parts = _after(weights, bias) if reset_after else _before(weights, bias)

    def step(row: Any, state: State) -> State:
        (h,) = state
        both, new = _cut(row, 2 * weights.shape[0])
        mine, candidate = parts(_times(h, kept))
        gates = dlc.split(gate(both + mine), 2, axis=-1)
        update, reset = gates if update_first else gates[::-1]
        new = activation(new + candidate(reset))
        return (new + update * (h - new),)

    return step


_Parts: TypeAlias = Callable[[Any], tuple[Any, Function]]


def _after(weights: Any, bias: Any) -> _Parts:
    """Of a state: what is added to the gates, and, of the reset gate, what to the new state."""

    def parts(h: Any) -> tuple[Any, Function]:
        gates, candidate = _cut(_affine(h, weights, bias), 2 * weights.shape[0])
        return gates, lambda reset: reset * candidate

    return parts


def _before(weights: Any, bias: Any) -> _Parts:
    """The same, where the reset gate acts on the state."""
    place = 2 * weights.shape[0]
    first, last = _cut(weights, place)
    biases = (None, None) if bias is None else _cut(bias, place)

    def parts(h: Any) -> tuple[Any, Function]:
        return _affine(h, first, biases[0]), lambda reset: _affine(reset * h, last, biases[1])

    return parts


def _times(h: Any, kept: Any) -> Any:
    return h if kept is None else h * kept


def _affine(x: Any, weights: Any, bias: Any) -> Any:
    product = x @ weights
    return product if bias is None else product + bias


def _cut(x: Any, place: int) -> Any:
    """The parts of the last axis before and after a place."""
    return x[..., :place], x[..., place:]


def run(
    step: Step,
    rows: Any,
    state: Sequence[Any],
    mask: Any = None,
    reverse: bool = False,
    zero_output: bool = False,
) -> tuple[Any, State]:
    """A step along the first axis of `rows`, also in reverse.

    Args:
        step: The step.
        rows: What the step takes, a tree of tensors [time, batch, ...].
        state: The first state.
        mask: Bools [time, batch]; where False, the state stays as it was.
        reverse: Whether to begin at the end.
        zero_output: Whether the output is 0 where the mask is False; else it is the one before, 0
            at first.

    Returns:
        The outputs, in the order of `rows`, and the last state.
    """

    def held(row: Any, before: State) -> State:
        """The state after a step; where products are of half types, at the type of the first."""
        after = tuple(step(row, before))
        (new, structure), old = dlc.tree.flatten(after), dlc.tree.leaves(before)
        if len(new) != len(old):
            return after
        return dlc.tree.unflatten(structure, list(map(_widened, new, old)))

    if mask is None:

        def plain(carry: State, row: Any) -> tuple[State, Any]:
            new = held(row, carry)
            return new, new[0]

        last, outputs = dlc.scan(plain, tuple(state), rows, reverse=reverse)
        return outputs, last

    def masked(carry: tuple[State, Any], item: Any) -> tuple[Any, Any]:
        (before, output), (row, kept) = carry, item
        after = dlc.tree.map(lambda n, o: _choose(kept, n, o), held(row, before), before)
        output = _choose(kept, after[0], dlc.zeros_like(output) if zero_output else output)
        return (after, output), output

    first = (tuple(state), dlc.zeros_like(state[0]))
    (last, _), outputs = dlc.scan(masked, first, (rows, mask), reverse=reverse)
    return outputs, last


def _widened(new: Any, old: Any) -> Any:
    """A tensor at the type of another, where that is the wider one."""
    wider = new.dtype != old.dtype and dlc.result_type(new, old) == old.dtype
    return dlc.astype(new, old.dtype) if wider else new


def _choose(kept: Any, new: Any, old: Any) -> Any:
    """Rows of `new` where `kept`, of `old` elsewhere."""
    return dlc.where(kept.reshape(*kept.shape, *(1 for _ in new.shape[1:])), new, old)
