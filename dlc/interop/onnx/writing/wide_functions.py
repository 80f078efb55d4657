"""Functions of float64 for which ONNX Runtime has no kernel, in terms of those for which it has."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from dlc.interop.onnx.writing.elements import log1p
from dlc.interop.onnx.writing.writer import WRITERS, Writer
from dlc.ir.types import float32, float64

Formula = Callable[[Writer, Any, str], str]
_LARGE = 1e9  # its square is all there is of 1 + x^2


def _number(w: Writer, value: float) -> str:
    return w.number(value, float64)


def _with_sign(w: Writer, x: str, magnitude: str) -> str:
    return w.op("Where", w.op("Less", x, _number(w, 0.0)), w.op("Neg", magnitude), magnitude)


def _tan(w: Writer, _node: Any, x: str) -> str:
    return w.op("Div", w.op("Sin", x), w.op("Cos", x))


def _cosh(w: Writer, _node: Any, x: str) -> str:
    """By the exponential of half of x, which does not overflow where the result does not."""
    half = _number(w, 0.5)
    root = w.op("Exp", w.op("Mul", w.op("Abs", x), half))
    scaled = w.op("Mul", root, half)
    return w.op("Add", w.op("Mul", scaled, root), w.op("Div", w.op("Div", half, root), root))


def _sinh(w: Writer, node: Any, x: str) -> str:
    """tanh(x / 2) (cosh(x) + 1), which is accurate near 0."""
    share = w.op("Tanh", w.op("Mul", x, _number(w, 0.5)))
    return w.op("Mul", share, w.op("Add", _cosh(w, node, x), _number(w, 1.0)))


def _or_of_large(w: Writer, x: str, value: str) -> str:
    """log(2 x) where x is large."""
    logarithm = w.op("Add", w.op("Log", x), _number(w, math.log(2.0)))
    return w.op("Where", w.op("Greater", x, _number(w, _LARGE)), logarithm, value)


def _asinh(w: Writer, node: Any, x: str) -> str:
    one, size = _number(w, 1.0), w.op("Abs", x)
    square = w.op("Mul", size, size)
    root = w.op("Sqrt", w.op("Add", square, one))
    more = w.op("Add", size, w.op("Div", square, w.op("Add", root, one)))
    return _with_sign(w, x, _or_of_large(w, size, log1p(w, node, more)))


def _acosh(w: Writer, node: Any, x: str) -> str:
    less = w.op("Sub", x, _number(w, 1.0))
    more = w.op("Add", less, _number(w, 2.0))
    root = w.op("Mul", w.op("Sqrt", less), w.op("Sqrt", more))
    return _or_of_large(w, x, log1p(w, node, w.op("Add", less, root)))


def _atanh(w: Writer, node: Any, x: str) -> str:
    size = w.op("Abs", x)
    ratio = w.op("Div", w.op("Mul", size, _number(w, 2.0)), w.op("Sub", _number(w, 1.0), size))
    return _with_sign(w, x, w.op("Mul", log1p(w, node, ratio), _number(w, 0.5)))


def _atan(w: Writer, _node: Any, x: str) -> str:
    """The angle at float32, and what it is off: the angle between it and that of x.

    Of that angle, which is less than 1e-6, the tangent is itself at float64.
    """
    one, size = _number(w, 1.0), w.op("Abs", x)
    steep = w.op("Greater", size, one)
    slope = w.op("Where", steep, w.op("Div", one, size), size)
    about = w.cast(w.op("Atan", w.cast(slope, float32)), float64)
    sine, cosine = w.op("Sin", about), w.op("Cos", about)
    across = w.op("Sub", w.op("Mul", slope, cosine), sine)
    along = w.op("Add", cosine, w.op("Mul", slope, sine))
    angle = w.op("Add", about, w.op("Div", across, along))
    turned = w.op("Sub", _number(w, math.pi / 2), angle)
    return _with_sign(w, x, w.op("Where", steep, turned, angle))


def _asin(w: Writer, node: Any, x: str) -> str:
    one = _number(w, 1.0)
    rest = w.op("Mul", w.op("Sub", one, x), w.op("Add", one, x))
    return _atan(w, node, w.op("Div", x, w.op("Sqrt", rest)))


def _acos(w: Writer, node: Any, x: str) -> str:
    one = _number(w, 1.0)
    ratio = w.op("Div", w.op("Sub", one, x), w.op("Add", one, x))
    return w.op("Mul", _number(w, 2.0), _atan(w, node, w.op("Sqrt", ratio)))


def _softplus(w: Writer, node: Any, x: str) -> str:
    rest = log1p(w, node, w.op("Exp", w.op("Neg", w.op("Abs", x))))
    return w.op("Add", w.op("Max", x, _number(w, 0.0)), rest)


def _chosen(plain: Callable[..., Any], wide: Formula, w: Writer, node: Any, x: str) -> str:
    return (wide if node.tensor.dtype is float64 else plain)(w, node, x)


for _op, _formula in {
    "tan": _tan, "cosh": _cosh, "sinh": _sinh, "asinh": _asinh, "acosh": _acosh, "atanh": _atanh,
    "atan": _atan, "asin": _asin, "acos": _acos, "softplus": _softplus,
}.items():  # fmt: skip
    WRITERS[_op] = functools.partial(_chosen, WRITERS[_op], _formula)
