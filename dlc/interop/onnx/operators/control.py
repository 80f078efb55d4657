"""If, Loop and Scan: as control flow of the program where types allow it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.frontend.context import current_trace
from dlc.interop.onnx.element_types import numpy_type
from dlc.interop.onnx.evaluation import NeedsRun
from dlc.interop.onnx.graph import Graph, Known
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import NeedsValue, as_tensor, is_known
from dlc.ir.errors import ControlFlowError, IndexRangeError, ModelError, ShapeError

_UNROLLED = 64  # iterations of a loop whose values change their shapes


@operator("If", raw=True)
def if_(node: Any, condition: Any) -> Any:
    """One of two graphs."""
    then, other = node.attr("then_branch"), node.attr("else_branch")
    if is_known(condition) or current_trace() is None:
        chosen = then if bool(np.asarray(condition).reshape(-1)[0]) else other
        return tuple(node.run(chosen, []))

    def branch(graph: Graph) -> Callable[[], Any]:
        return lambda: [as_tensor(v) for v in node.run(graph, [])]

    try:
        return tuple(dlc.cond(dlc.reshape(condition, ()), branch(then), branch(other)))
    except (ControlFlowError, ShapeError):
        # The branches have other types: which one it is has to be known.
        raise node.needs(0) from None


@operator("Loop", raw=True)
def loop(node: Any, count: Any = None, condition: Any = None, *initial: Any) -> Any:
    """A graph while a condition holds, at most so many times."""
    body: Graph = node.attr("body")
    carried = list(initial)
    scanned = len(body.outputs) - 1 - len(carried)
    if current_trace() is None:
        return _run_loop(node, body, count, condition, carried)
    if condition is not None and is_known(condition) and not bool(np.asarray(condition).all()):
        return _run_loop(node, body, np.array(0), None, carried)
    # A condition that is not known may be false before the first iteration.
    endless = _keeps_going(body) and is_known(condition)
    if endless and is_known(count) and count is not None:
        return _counted_loop(node, body, int(np.asarray(count).reshape(-1)[0]), carried)
    if scanned or any(isinstance(v, list) or v is None for v in carried):
        raise node.needs_run()  # how many slices there are depends on data
    return _while(node, body, count, condition, carried)


def _keeps_going(body: Graph) -> bool:
    """Whether the condition that a body gives is the one that it got, or true."""
    name = body.outputs[0]
    makers = {o: n for n in body.nodes for o in n.outputs}
    while name in makers and makers[name].op == "Identity":
        name = makers[name].inputs[0]
    if name == body.inputs[1]:
        return True
    value = body.values.get(name)
    if value is None and name in makers and makers[name].op == "Constant":
        value = makers[name].attributes.get("value")
    return value is not None and bool(np.asarray(value).all())


def _run_loop(
    node: Any, body: Graph, count: Any, condition: Any, carried: list[Any]
) -> tuple[Any, ...]:
    """Iterations one after the other: outside of a trace, or unrolled into it."""
    most = None if count is None else int(np.asarray(count).reshape(-1)[0])
    going = condition is None or bool(np.asarray(condition).reshape(-1)[0])
    slices: list[list[Any]] = [[] for _ in body.outputs[1 + len(carried) :]]
    if slices and not (going and (most is None or most > 0)):
        return (*carried, *_no_slices(node, body, carried))
    k = 0
    while going and (most is None or k < most):
        results = node.run(body, [np.array(k, np.int64), np.array(True), *carried])
        going = bool(np.asarray(results[0]).reshape(-1)[0])
        carried = results[1 : 1 + len(carried)]
        for made, value in zip(slices, results[1 + len(carried) :], strict=True):
            made.append(as_tensor(value))
        k += 1
    return (*carried, *(dlc.stack(made) for made in slices))


def _no_slices(node: Any, body: Graph, carried: list[Any]) -> list[Any]:
    """The slices of no iteration, of the types that the body would give."""
    if not any(isinstance(v, list) or v is None for v in carried):
        with contextlib.suppress(
            ControlFlowError, IndexRangeError, ShapeError, NeedsValue, NeedsRun
        ):
            return _scan(node, body, 0, carried)[1]
    try:  # an iteration in vain tells
        results = node.run(body, [np.array(0, np.int64), np.array(True), *carried])
    except (IndexRangeError, ShapeError):  # it takes a slice of what has none
        declared = [_nothing_of(t) for t in body.declared[1 + len(carried) :]]
        made = [v for v in declared if v is not None]
        if not made or len(made) < len(declared):
            raise
        return made
    made = [as_tensor(v) for v in results[1 + len(carried) :]]
    return [dlc.zeros((0, *v.shape), dtype=v.dtype) for v in made]


def _nothing_of(known: Known) -> Any:
    """No values of the type that the model declares; None where it leaves that open."""
    shape = [d for d in known.shape or () if isinstance(d, int)]
    if known.kind is None or known.shape is None or len(shape) < len(known.shape):
        return None
    return dlc.zeros((0, *shape), dtype=numpy_type(known.kind))


def _scan(node: Any, body: Graph, count: int, carried: list[Any]) -> tuple[list[Any], list[Any]]:
    """The last state and the slices of a known number of iterations."""

    def step(state: Any, k: Any) -> Any:
        results = node.run(body, [k, np.array(True), *state])
        values = [as_tensor(v) for v in results[1:]]
        return values[: len(carried)], values[len(carried) :]

    steps = dlc.arange(count, dtype=dlc.int64)
    return dlc.scan(step, [as_tensor(v) for v in carried], steps)


def _counted_loop(node: Any, body: Graph, count: int, carried: list[Any]) -> tuple[Any, ...]:
    """A loop whose number of iterations is known: a scan, or unrolled if types change."""
    if count > 0 and not any(isinstance(v, list) or v is None for v in carried):
        try:
            state, slices = _scan(node, body, count, carried)
        except (ControlFlowError, ShapeError, NeedsValue, NeedsRun):
            if count > _UNROLLED:
                raise
        else:
            return (*state, *slices)
    if count > _UNROLLED:
        raise node.needs_run()
    return _run_loop(node, body, np.array(count), None, carried)


def _while(
    node: Any, body: Graph, count: Any, condition: Any, carried: list[Any]
) -> tuple[Any, ...]:
    limit = dlc.asarray(np.iinfo(np.int64).max) if count is None else as_tensor(count)
    limit = dlc.reshape(limit, ())
    going = dlc.asarray(True) if condition is None else dlc.reshape(as_tensor(condition), ())

    def more(state: Any) -> Any:
        k, holds, _ = state
        return dlc.logical_and(holds, k < limit)

    def step(state: Any) -> Any:
        k, holds, values = state
        results = [as_tensor(v) for v in node.run(body, [k, holds, *values])]
        return k + 1, dlc.reshape(results[0], ()), results[1:]

    start = (dlc.asarray(0, dtype=dlc.int64), going, [as_tensor(v) for v in carried])
    try:
        return tuple(dlc.while_loop(more, step, start)[2])
    except (ControlFlowError, ShapeError):
        raise node.needs_run() from None


@operator("Scan", since=9)
def scan(node: Any, *inputs: Any) -> Any:
    """A graph over the slices of tensors, with a state."""
    body: Graph = node.attr("body")
    count = node.attr("num_scan_inputs")
    states, sequences = list(inputs[:-count]), list(inputs[-count:])
    axes = node.attr("scan_input_axes", [0] * count)
    backwards = node.attr("scan_input_directions", [0] * count)
    sequences = [
        dlc.flip(dlc.moveaxis(x, axis, 0), axis=0) if turn else dlc.moveaxis(x, axis, 0)
        for x, axis, turn in zip(sequences, axes, backwards, strict=True)
    ]
    finals, slices = _scanned(node, body, states, sequences)
    out_axes = node.attr("scan_output_axes", [0] * len(slices))
    turned = node.attr("scan_output_directions", [0] * len(slices))
    made = [
        dlc.moveaxis(dlc.flip(y, axis=0) if turn else y, 0, axis)
        for y, axis, turn in zip(slices, out_axes, turned, strict=True)
    ]
    return (*finals, *made)


def _scanned(
    node: Any, body: Graph, states: Sequence[Any], sequences: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    def step(carry: Any, given: Any) -> Any:
        values = [as_tensor(v) for v in node.run(body, [*carry, *given])]
        return values[: len(carry)], values[len(carry) :]

    if current_trace() is not None:
        try:
            return dlc.scan(step, list(states), list(sequences))
        except (ControlFlowError, ShapeError):
            raise node.needs_run() from None
    carry, slices = list(states), []
    for k in range(sequences[0].shape[0]):
        carry, made = step(carry, [x[k] for x in sequences])
        slices.append(made)
    return carry, [dlc.stack([s[k] for s in slices]) for k in range(len(slices[0]))]


@operator("Scan")
def scan_of_batches(node: Any, lengths: Any, *inputs: Any) -> Any:
    """The first form of Scan: each sample of a batch by itself."""
    if lengths is not None:
        raise ModelError("Scan of opset 8 with sequence_lens")
    body: Graph = node.attr("body")
    count = node.attr("num_scan_inputs")
    turns = node.attr("directions", [0] * count)
    parts: list[Any] = []
    for b in range(inputs[0].shape[0]):
        states = [x[b] for x in inputs[:-count]]
        sequences = [
            dlc.flip(x[b], axis=0) if t else x[b]
            for x, t in zip(inputs[-count:], turns, strict=True)
        ]
        finals, slices = _scanned(node, body, states, sequences)
        parts.append([*finals, *slices])
    return tuple(dlc.stack([p[k] for p in parts]) for k in range(len(parts[0])))
