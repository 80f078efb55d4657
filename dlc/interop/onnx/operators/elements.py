"""Operators on single elements: functions of one number, and activations."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.nn import functional

_PLAIN: dict[str, Callable[[Any], Any]] = {
    "Abs": dlc.abs,
    "Acos": dlc.acos,
    "Acosh": dlc.acosh,
    "Asin": dlc.asin,
    "Asinh": dlc.asinh,
    "Atan": dlc.atan,
    "Atanh": dlc.atanh,
    "BitwiseNot": dlc.bitwise_invert,
    "Ceil": dlc.ceil,
    "Cos": dlc.cos,
    "Cosh": dlc.cosh,
    "Erf": dlc.erf,
    "Exp": dlc.exp,
    "Floor": dlc.floor,
    "IsNaN": dlc.isnan,
    "Log": dlc.log,
    "Mish": functional.mish,
    "Neg": dlc.negative,
    "Not": dlc.logical_not,
    "Reciprocal": dlc.reciprocal,
    "Relu": lambda x: dlc.maximum(x, 0),
    "Round": dlc.round,
    "Sigmoid": dlc.sigmoid,
    "Sign": dlc.sign,
    "Sin": dlc.sin,
    "Sinh": dlc.sinh,
    "Softplus": dlc.softplus,
    "Softsign": functional.softsign,
    "Sqrt": dlc.sqrt,
    "Tan": dlc.tan,
    "Tanh": dlc.tanh,
    "HardSwish": functional.hardswish,
}


def _plain(function: Callable[[Any], Any], _node: Any, x: Any) -> Any:
    return function(x)


for _name, _function in _PLAIN.items():
    operator(_name)(functools.partial(_plain, _function))


@operator("Elu")
def elu(node: Any, x: Any) -> Any:
    """alpha (exp(x) - 1) below zero."""
    return dlc.where(x > 0, x, node.attr("alpha", 1.0) * dlc.expm1(x))


@operator("Celu")
def celu(node: Any, x: Any) -> Any:
    """Continuously differentiable exponential unit."""
    return functional.celu(x, node.attr("alpha", 1.0))


@operator("Selu")
def selu(node: Any, x: Any) -> Any:
    """Scaled exponential unit."""
    alpha = node.attr("alpha", 1.67326319217681884765625)
    return node.attr("gamma", 1.05070102214813232421875) * dlc.where(x > 0, x, alpha * dlc.expm1(x))


@operator("LeakyRelu")
def leaky_relu(node: Any, x: Any) -> Any:
    """A fraction of what is below zero."""
    return dlc.where(x >= 0, x, node.attr("alpha", 0.01) * x)


@operator("PRelu")
def prelu(node: Any, x: Any, slope: Any) -> Any:
    """A slope below zero, which is given."""
    if node.version < 7 and slope.ndim == 1 and slope.shape[0] > 1:
        slope = dlc.reshape(slope, (-1, *[1] * (x.ndim - 2)))  # one a channel
    return dlc.where(x >= 0, x, slope * x)


@operator("ThresholdedRelu")
def thresholded_relu(node: Any, x: Any) -> Any:
    """Zero up to a limit."""
    return dlc.where(x > node.attr("alpha", 1.0), x, 0)


@operator("HardSigmoid")
def hard_sigmoid(node: Any, x: Any) -> Any:
    """A line cut at 0 and 1."""
    return dlc.clip(node.attr("alpha", 0.2) * x + node.attr("beta", 0.5), 0, 1)


@operator("Shrink")
def shrink(node: Any, x: Any) -> Any:
    """Towards zero by a bias; zero within a limit."""
    limit, bias = node.attr("lambd", 0.5), node.attr("bias", 0.0)
    moved = dlc.where(x < -limit, x + bias, dlc.where(x > limit, x - bias, 0))
    return dlc.astype(moved, x.dtype)


@operator("Gelu")
def gelu(node: Any, x: Any) -> Any:
    """Gaussian error linear unit."""
    return dlc.gelu(x, approximate=node.attr("approximate", "none"))


@operator("Swish")
def swish(node: Any, x: Any) -> Any:
    """x sigmoid(alpha x)."""
    return x * dlc.sigmoid(node.attr("alpha", 1.0) * x)


@operator("SwiGLU")
def swiglu(node: Any, gate: Any, x: Any) -> Any:
    """The swish of a gate, times what it lets through."""
    return swish(node, gate) * x


@operator("IsInf")
def is_inf(node: Any, x: Any) -> Any:
    """Infinite, of the signs that are asked for."""
    infinite = dlc.isinf(x)
    if not node.attr("detect_negative", 1):
        infinite = dlc.logical_and(infinite, x > 0)
    if not node.attr("detect_positive", 1):
        infinite = dlc.logical_and(infinite, x < 0)
    return infinite


def flattened(function: Callable[..., Any], x: Any, axis: int) -> Any:
    """A function over the last axis, of x as a matrix cut before an axis."""
    axis = axis % max(x.ndim, 1)
    rows, columns = math.prod(x.shape[:axis]), math.prod(x.shape[axis:])
    return dlc.reshape(function(dlc.reshape(x, (rows, columns)), axis=-1), x.shape)


@operator("Softmax")
def softmax_before_13(node: Any, x: Any) -> Any:
    """Over all axes from one on."""
    return flattened(dlc.softmax, x, node.attr("axis", 1))


@operator("LogSoftmax")
def log_softmax_before_13(node: Any, x: Any) -> Any:
    """Over all axes from one on."""
    return flattened(dlc.log_softmax, x, node.attr("axis", 1))


@operator("Softmax", since=13)
def softmax(node: Any, x: Any) -> Any:
    """Over one axis."""
    return dlc.softmax(x, axis=node.attr("axis", -1))


@operator("LogSoftmax", since=13)
def log_softmax(node: Any, x: Any) -> Any:
    """Over one axis."""
    return dlc.log_softmax(x, axis=node.attr("axis", -1))


def _hardmax(x: Any, axis: int) -> Any:
    largest = dlc.argmax(x, axis=axis, keepdims=True)
    places = dlc.reshape(
        dlc.arange(x.shape[axis]), [-1 if k == axis % x.ndim else 1 for k in range(x.ndim)]
    )
    return dlc.astype(places == largest, x.dtype)


@operator("Hardmax")
def hardmax_before_13(node: Any, x: Any) -> Any:
    """1 at the first largest element of all axes from one on."""
    return flattened(_hardmax, x, node.attr("axis", 1))


@operator("Hardmax", since=13)
def hardmax(node: Any, x: Any) -> Any:
    """1 at the first largest element of an axis."""
    return _hardmax(x, node.attr("axis", -1))
