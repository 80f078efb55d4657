"""Operators over whole axes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import ints

Reduction = Callable[..., Any]


def _widened(function: Reduction) -> Reduction:
    """A function of floats, for integers too."""

    def reduced(x: Any, axis: Any, keepdims: bool) -> Any:
        if not dlc.isdtype(x.dtype, "integral"):
            return function(x, axis=axis, keepdims=keepdims)
        wide = function(dlc.astype(x, dlc.float64), axis=axis, keepdims=keepdims)
        return dlc.astype(wide, x.dtype)

    return reduced


def _sum(x: Any, axis: Any, keepdims: bool) -> Any:
    return dlc.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


def _extreme(function: Reduction, lowest: bool) -> Reduction:
    def reduced(x: Any, axis: Any, keepdims: bool) -> Any:
        if x.dtype == dlc.bool:
            return (dlc.any if lowest else dlc.all)(x, axis=axis, keepdims=keepdims)
        axes = range(x.ndim) if axis is None else axis
        if any(isinstance(x.shape[a], int) and x.shape[a] == 0 for a in axes):
            return _of_nothing(x, axis, keepdims, lowest)
        return function(x, axis=axis, keepdims=keepdims)

    return reduced


def _of_nothing(x: Any, axis: Any, keepdims: bool, lowest: bool) -> Any:
    """The largest (smallest) of no elements: what every element exceeds (is below)."""
    kind = np.dtype(x.dtype.numpy)
    if dlc.isdtype(x.dtype, "integral"):
        limits = np.iinfo(kind)
        value: Any = limits.min if lowest else limits.max
    else:
        value = -np.inf if lowest else np.inf
    shape = dlc.sum(x, axis=axis, keepdims=keepdims).shape
    return dlc.full(shape, value, dtype=x.dtype)


def _l2(x: Any, axis: Any, keepdims: bool) -> Any:
    return dlc.sqrt(dlc.sum(x * x, axis=axis, keepdims=keepdims))


_REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceMean": _widened(dlc.mean),
    "ReduceMax": _extreme(dlc.max, True),
    "ReduceMin": _extreme(dlc.min, False),
    "ReduceProd": lambda x, axis, keepdims: dlc.prod(
        x, axis=axis, keepdims=keepdims, dtype=x.dtype
    ),
    "ReduceL1": lambda x, axis, keepdims: _sum(dlc.abs(x), axis, keepdims),
    "ReduceL2": _widened(_l2),
    "ReduceLogSum": _widened(
        lambda x, axis, keepdims: dlc.log(dlc.sum(x, axis=axis, keepdims=keepdims))
    ),
    "ReduceLogSumExp": _widened(dlc.logsumexp),
    "ReduceSumSquare": lambda x, axis, keepdims: _sum(x * x, axis, keepdims),
}


def _by_attribute(name: str, node: Any, x: Any) -> Any:
    return _reduced(_REDUCTIONS[name], node, x, node.attr("axes", None))


def _by_input(name: str, node: Any, x: Any, axes: Any = None) -> Any:
    return _reduced(_REDUCTIONS[name], node, x, None if axes is None else ints(axes))


def _reduced(function: Reduction, node: Any, x: Any, axes: list[int] | None) -> Any:
    axis: tuple[int, ...] | None = None if axes is None else tuple(axes)
    if axis == () or axis is None:
        # No axes mean all of them, unless the node says that they mean none.
        axis = () if node.attr("noop_with_empty_axes", 0) else None
    if axis is None and x.ndim == 0:
        axis = ()
    if axis is None:
        axis = tuple(range(x.ndim))
    return function(x, axis=axis, keepdims=bool(node.attr("keepdims", 1)))


for _name in _REDUCTIONS:
    operator(_name)(functools.partial(_by_attribute, _name))
    _since = 13 if _name == "ReduceSum" else 18
    operator(_name, since=_since, known=(1,))(functools.partial(_by_input, _name))


def _arg(function: Reduction, node: Any, x: Any) -> Any:
    axis = node.attr("axis", 0)
    keep = bool(node.attr("keepdims", 1))
    if not node.attr("select_last_index", 0):
        return function(x, axis=axis, keepdims=keep)
    return x.shape[axis] - 1 - function(dlc.flip(x, axis=axis), axis=axis, keepdims=keep)


operator("ArgMax")(functools.partial(_arg, dlc.argmax))
operator("ArgMin")(functools.partial(_arg, dlc.argmin))


@operator("CumSum", known=(1,))
def cumulative_sum(node: Any, x: Any, axis: Any) -> Any:
    """The sums up to each element."""
    return _cumulated(dlc.cumulative_sum, 0, node, x, ints(axis)[0])


@operator("CumProd", since=26, known=(1,))
def cumulative_product(node: Any, x: Any, axis: Any) -> Any:
    """The products up to each element."""
    return _cumulated(dlc.cumulative_prod, 1, node, x, ints(axis)[0])


def _cumulated(function: Reduction, first: int, node: Any, x: Any, axis: int) -> Any:
    axis %= x.ndim
    backwards = node.attr("reverse", 0)
    y = dlc.flip(x, axis=axis) if backwards else x
    if node.attr("exclusive", 0):
        head = [slice(None)] * x.ndim
        head[axis] = slice(0, -1)
        ones = dlc.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), first, dtype=x.dtype)
        y = dlc.concat([ones, y[tuple(head)]], axis=axis)
    y = function(y, axis=axis, dtype=x.dtype)
    return dlc.flip(y, axis=axis) if backwards else y


@operator("TopK", since=10, known=(1,))
def top_k(node: Any, x: Any, k: Any) -> Any:
    """The largest or smallest elements and their places."""
    found = dlc.topk(
        x,
        int(k.reshape(-1)[0]),
        axis=node.attr("axis", -1),
        largest=bool(node.attr("largest", 1)),
        sorted=bool(node.attr("sorted", 1)),
    )
    return tuple(found)


@operator("TopK")
def top_k_by_attribute(node: Any, x: Any) -> Any:
    """The largest elements and their places."""
    return tuple(dlc.topk(x, node.attr("k"), axis=node.attr("axis", -1)))
