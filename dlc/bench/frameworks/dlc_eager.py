"""The programs of dlc's eager mode, which nobody compiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dlc
from dlc.bench.eager_problems import LINKS, RATE, ROW
from dlc.bench.problem import Array, Program
from dlc.nn import functional


def _network(parameters: Sequence[Any], x: Any) -> Any:
    w1, b1, w2, b2 = parameters
    return functional.linear(dlc.relu(functional.linear(x, w1, b1)), w2, b2)


def _inference(constants: Sequence[Array]) -> Program:
    parameters = [dlc.asarray(c) for c in constants]
    return lambda x: _network(parameters, x)


def _gradients(constants: Sequence[Array]) -> Program:
    parameters = [dlc.Variable(c, requires_grad=True) for c in constants]

    def run(x: Any) -> Any:
        for p in parameters:
            p.grad = None
        dlc.mean(_network(parameters, x) ** 2).backward()
        return tuple(p.grad for p in parameters)

    return run


def _step(constants: Sequence[Array]) -> Program:
    parameters = [dlc.Variable(c, requires_grad=True) for c in constants]
    optimizer = dlc.optim.Adam(parameters, lr=RATE)

    def run(x: Any) -> Any:
        optimizer.zero_grad()
        loss = dlc.mean(_network(parameters, x) ** 2)
        loss.backward()
        optimizer.step()
        return loss

    return run


def _chain(x: Any) -> Any:
    y = v = dlc.Variable(x, requires_grad=True)
    for _ in range(LINKS):
        y = dlc.tanh(y) + v
    dlc.sum(y).backward()
    return v.grad


def _plain(function: Program) -> Callable[[Sequence[Array]], Program]:
    return lambda constants: function


PROGRAMS: Mapping[str, Callable[[Sequence[Array]], Program]] = {
    "eager_exp": _plain(dlc.exp),
    "eager_row_sums": _plain(lambda x: dlc.sum(x, axis=-1)),
    "eager_softmax": _plain(lambda x: dlc.softmax(x, axis=-1)),
    "eager_part": _plain(lambda x: x[ROW]),
    "eager_network": _inference,
    "eager_gradients": _gradients,
    "eager_step": _step,
    "eager_chain": _plain(_chain),
}
