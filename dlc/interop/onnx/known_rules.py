"""Operators on integers that are known while tracing, mostly shapes; extents may be among them.

The meaning is that of the operator's row. What has no rule here is computed by the row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.interop.onnx.element_types import COMPUTED
from dlc.interop.onnx.values import Array, ints

if TYPE_CHECKING:
    from dlc.interop.onnx.graph import Node

_MOST = 4096  # elements; more are no shape
_rules: dict[str, Callable[..., Any]] = {}


def known_rule(node: Node, inputs: Sequence[Any]) -> list[Any] | None:
    """The results, or None where no rule is for these inputs."""
    rule = _rules.get(node.op) if node.domain in ("", "ai.onnx") else None
    if rule is None or not all(v is None or _is_integral(v) for v in inputs):
        return None
    result = rule(node, *inputs)
    if result is None:
        return None
    return result if isinstance(result, list) else [result]


def _is_integral(value: Any) -> bool:
    if not isinstance(value, np.ndarray) or value.size > _MOST:
        return False
    return value.dtype.kind in "iubO"


def _rule(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            _rules[name] = function
        return function

    return add


def _plain(value: Any, like: Array) -> Array:
    """A result as an array; objects that are all integers become int64."""
    made = np.asarray(value) if not isinstance(value, np.ndarray) else value
    if made.dtype != object:
        return made
    if all(isinstance(n, (bool, np.bool_)) for n in made.reshape(-1)) and made.size:
        return made.astype(bool)
    if all(isinstance(n, (int, np.integer)) for n in made.reshape(-1)):
        return made.astype(np.int64 if like.dtype == object else like.dtype)
    return made


def _binary(name: str, function: Callable[[Any, Any], Any]) -> None:
    @_rule(name)
    def rule(_node: Node, a: Array, b: Array) -> Array | None:
        if object not in (a.dtype, b.dtype) and a.dtype != b.dtype:
            return None
        with np.errstate(over="ignore"):
            return _plain(function(a, b), a)


_binary("Add", np.add)
_binary("Sub", np.subtract)
_binary("Mul", np.multiply)


@_rule("Div")
def _div(_node: Node, a: Array, b: Array) -> Array | None:
    both = [*a.reshape(-1).tolist(), *b.reshape(-1).tolist()]
    if any(isinstance(n, int) and n < 0 for n in both) or any(
        isinstance(n, int) and n == 0 for n in b.reshape(-1).tolist()
    ):
        return None
    return _plain(a // b, a)


def _comparison(name: str, function: Callable[[Any, Any], Any]) -> None:
    each = np.frompyfunc(lambda a, b: bool(function(a, b)), 2, 1)

    @_rule(name)
    def rule(_node: Node, a: Array, b: Array) -> Array:
        return np.asarray(each(a, b)).astype(bool)


_comparison("Equal", lambda a, b: a == b)
_comparison("Less", lambda a, b: a < b)
_comparison("Greater", lambda a, b: a > b)
_comparison("LessOrEqual", lambda a, b: a <= b)
_comparison("GreaterOrEqual", lambda a, b: a >= b)


@_rule("And")
def _and(_node: Node, a: Array, b: Array) -> Array:
    return np.logical_and(a, b)


@_rule("Or")
def _or(_node: Node, a: Array, b: Array) -> Array:
    return np.logical_or(a, b)


@_rule("Not")
def _not(_node: Node, a: Array) -> Array:
    return np.logical_not(a)


@_rule("Neg")
def _neg(_node: Node, a: Array) -> Array:
    return _plain(-a, a)


@_rule("Max", "Min")
def _extreme(node: Node, *parts: Array) -> Array | None:
    if not parts or any(p.dtype != parts[0].dtype for p in parts if p.dtype != object):
        return None
    larger = node.op == "Max"
    choose = np.frompyfunc(lambda a, b: (max(a, b)) if larger else (min(a, b)), 2, 1)
    # Of arrays without axes it is a Python integer, which has no element type.
    return _plain(np.asarray(functools.reduce(choose, parts), object), parts[0])


@_rule("Where")
def _where(_node: Node, condition: Array, a: Array, b: Array) -> Array:
    return _plain(np.where(condition, a, b), a)


@_rule("Cast")
def _cast(node: Node, a: Array) -> Array | None:
    kind = node.attr("to")
    if kind not in COMPUTED:
        return None
    target = np.dtype(COMPUTED[kind].numpy)
    if a.dtype == object:
        return a if target == np.int64 else None
    return a.astype(target) if target.kind in "iub" and a.dtype.kind in "iub" else None


@_rule("Gather")
def _gather(node: Node, a: Array, indices: Array) -> Array | None:
    if indices.dtype == object or a.ndim == 0:
        return None
    extent = a.shape[node.attr("axis", 0)]
    if indices.size and (indices.max() >= extent or indices.min() < -extent):
        return None
    return _plain(np.take(a, indices, axis=node.attr("axis", 0)), a)


@_rule("Concat")
def _concat(node: Node, *parts: Array) -> Array | None:
    if any(p.ndim != parts[0].ndim or p.ndim == 0 for p in parts):
        return None
    return _plain(np.concatenate(parts, axis=node.attr("axis")), parts[0])


@_rule("Slice")
def _slice(
    node: Node,
    a: Array,
    starts: Array | None = None,
    ends: Array | None = None,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array | None:
    if starts is None or ends is None:
        if node.version >= 10:
            return None
        starts, ends = np.array(node.attr("starts")), np.array(node.attr("ends"))
        given = node.attr("axes", None)
        axes = None if given is None else np.array(given)
    if any(v is not None and v.dtype == object for v in (starts, ends, axes, steps)):
        return None
    count = starts.size
    places = list(range(count)) if axes is None else ints(axes)
    strides = [1] * count if steps is None else ints(steps)
    index: list[slice] = [slice(None)] * a.ndim
    for k in range(count):
        low, high, step = int(starts.flat[k]), int(ends.flat[k]), strides[k]
        extent = a.shape[places[k]]
        if step < 0:  # it begins at the first element where it would before
            low = max(low, -extent)
        # Behind the first element, downwards, is no index of Python's.
        high_ = None if step < 0 and high < -extent else high
        index[places[k]] = slice(low, high_, step)
    return _plain(a[tuple(index)], a)


def _axes(node: Node, given: Array | None) -> list[int] | None:
    if given is not None:
        return ints(given)
    return node.attr("axes", None)


@_rule("Unsqueeze")
def _unsqueeze(node: Node, a: Array, axes: Array | None = None) -> Array | None:
    places = _axes(node, axes)
    return None if places is None else np.expand_dims(a, tuple(places))


@_rule("Squeeze")
def _squeeze(node: Node, a: Array, axes: Array | None = None) -> Array | None:
    places = _axes(node, axes)
    try:
        return np.squeeze(a, None if places is None else tuple(places))
    except ValueError:
        return None


@_rule("Reshape")
def _reshape(node: Node, a: Array, shape: Array | None = None) -> Array | None:
    if shape is None or shape.dtype == object or node.attr("allowzero", 0):
        return None
    wanted = [a.shape[k] if n == 0 and k < a.ndim else n for k, n in enumerate(ints(shape))]
    try:
        return a.reshape(wanted)
    except ValueError:
        return None


@_rule("Identity")
def _identity(_node: Node, a: Array) -> Array:
    return a


@_rule("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin")
def _reduced(node: Node, a: Array, axes: Array | None = None) -> Array | None:
    places = _axes(node, axes)
    if a.dtype == bool or (places is not None and places not in ([0], [-1])) or a.ndim != 1:
        return None
    if a.size == 0 or (places is None and node.attr("noop_with_empty_axes", 0)):
        return None
    functions = {
        "ReduceProd": np.multiply,
        "ReduceSum": np.add,
        "ReduceMax": np.maximum,
        "ReduceMin": np.minimum,
    }
    made = np.empty((1,) if node.attr("keepdims", 1) else (), a.dtype)
    made[...] = functions[node.op].reduce(a, dtype=a.dtype)
    return _plain(made, a)
