"""Writers of ops on elements."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from dlc.interop.onnx.element_types import kind_of
from dlc.interop.onnx.writing.writer import WRITERS, Writer, writes
from dlc.ir.errors import ModelError
from dlc.ir.types import bool_, int32, int64

_SAME = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "asin": "Asin", "asinh": "Asinh",
    "atan": "Atan", "atanh": "Atanh", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "erf": "Erf",
    "exp": "Exp", "floor": "Floor", "log": "Log", "neg": "Neg", "rint": "Round",
    "sigmoid": "Sigmoid", "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt", "tan": "Tan",
    "tanh": "Tanh", "relu": "Relu", "softplus": "Softplus", "add": "Add", "sub": "Sub",
    "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow", "select": "Where",
    "stop_gradient": "Identity", "barrier": "Identity", "no_derivative": "Identity",
}  # fmt: skip


def _same(name: str, w: Writer, _node: Any, *inputs: str) -> str:
    return w.op(name, *inputs)


for _op, _name in _SAME.items():
    WRITERS[_op] = functools.partial(_same, _name)


def _of(node: Any) -> Any:
    return node.inputs[0].tensor.dtype


@writes("gelu")
def gelu(w: Writer, node: Any, x: str) -> str:
    """Gelu by the error function."""
    half, one = w.number(0.5, _of(node)), w.number(1.0, _of(node))
    scaled = w.op("Mul", x, w.number(math.sqrt(0.5), _of(node)))
    return w.op("Mul", w.op("Mul", x, half), w.op("Add", w.op("Erf", scaled), one))


@writes("silu")
def silu(w: Writer, _node: Any, x: str) -> str:
    """x sigmoid(x)."""
    return w.op("Mul", x, w.op("Sigmoid", x))


@writes("exp2")
def exp2(w: Writer, node: Any, x: str) -> str:
    """2 to the x."""
    return w.op("Pow", w.number(2.0, _of(node)), x)


@writes("expm1")
def expm1(w: Writer, node: Any, x: str) -> str:
    """exp(x) - 1 = tanh(x / 2) (exp(x) + 1), which is accurate near 0."""
    half = w.op("Tanh", w.op("Mul", x, w.number(0.5, _of(node))))
    return w.op("Mul", half, w.op("Add", w.op("Exp", x), w.number(1.0, _of(node))))


@writes("log1p")
def log1p(w: Writer, node: Any, x: str) -> str:
    """log(1 + x), with what the sum rounds away put right (Kahan)."""
    one = w.number(1.0, _of(node))
    u = w.op("Add", x, one)
    tiny, large = w.op("Equal", u, one), w.op("Equal", u, x)
    rest = w.op("Where", w.op("Or", tiny, large), one, w.op("Sub", u, one))
    logarithm = w.op("Log", u)
    value = w.op("Mul", logarithm, w.op("Div", x, rest))
    return w.op("Where", tiny, x, w.op("Where", large, logarithm, value))


def _log_to(base: float, w: Writer, node: Any, x: str) -> str:
    return w.op("Div", w.op("Log", x), w.number(math.log(base), _of(node)))


WRITERS["log2"] = functools.partial(_log_to, 2.0)
WRITERS["log10"] = functools.partial(_log_to, 10.0)


@writes("rsqrt")
def rsqrt(w: Writer, _node: Any, x: str) -> str:
    """1 / sqrt(x)."""
    return w.op("Reciprocal", w.op("Sqrt", x))


@writes("cbrt")
def cbrt(w: Writer, node: Any, x: str) -> str:
    """The cube root."""
    root = w.op("Pow", w.op("Abs", x), w.number(1 / 3, _of(node)))
    return w.op("Mul", w.op("Sign", x), root)


@writes("erfc")
def erfc(w: Writer, node: Any, x: str) -> str:
    """1 - erf(x)."""
    return w.op("Sub", w.number(1.0, _of(node)), w.op("Erf", x))


@writes("trunc")
def trunc(w: Writer, _node: Any, x: str) -> str:
    """x without its fraction."""
    return w.op("Mul", w.op("Sign", x), w.op("Floor", w.op("Abs", x)))


@writes("fma")
def fma(w: Writer, _node: Any, x: str, y: str, z: str) -> str:
    """x y + z; rounded twice."""
    return w.op("Add", w.op("Mul", x, y), z)


@writes("hypot")
def hypot(w: Writer, node: Any, x: str, y: str) -> str:
    """The root of the sum of squares, without overflow."""
    a, b = w.op("Abs", x), w.op("Abs", y)
    large, small = w.op("Max", a, b), w.op("Min", a, b)
    one = w.number(1.0, _of(node))
    ratio = w.op("Where", w.op("Equal", large, small), one, w.op("Div", small, large))
    return w.op("Mul", large, w.op("Sqrt", w.op("Add", w.op("Mul", ratio, ratio), one)))


def _has_sign(w: Writer, node: Any, x: str) -> str:
    """Whether numbers, zeros too, are negative."""
    zero = w.number(0.0, _of(node))
    inverse = w.op("Div", w.number(1.0, _of(node)), x)
    return w.op("Or", w.op("Less", x, zero), w.op("Less", inverse, zero))


@writes("atan2")
def atan2(w: Writer, node: Any, y: str, x: str) -> str:
    """The angle of (x, y)."""
    zero, one = w.number(0.0, _of(node)), w.number(1.0, _of(node))
    same = w.op("Equal", w.op("Abs", x), w.op("Abs", y))  # zeros and infinities among them
    nothing = w.op("And", same, w.op("Equal", x, zero))
    minus = w.number(-1.0, _of(node))
    up, right = (w.op("Where", _has_sign(w, node, v), minus, one) for v in (y, x))
    sign = w.op("Mul", up, right)
    quotient = w.op("Where", same, sign, w.op("Div", y, x))
    slope = w.op("Where", nothing, w.op("Mul", sign, zero), quotient)
    angle = WRITERS["atan"](w, node, slope)
    turn = w.op("Mul", up, w.number(math.pi, _of(node)))
    return w.op("Where", w.op("Less", right, zero), w.op("Add", angle, turn), angle)


@writes("bit_not")
def bit_not(w: Writer, node: Any, x: str) -> str:
    """The complement."""
    return w.op("Not" if _of(node) is bool_ else "BitwiseNot", x)


def _bits(name: str, w: Writer, node: Any, x: str, y: str) -> str:
    return w.op(name if _of(node) is bool_ else f"Bitwise{name}", x, y)


for _op, _name in (("bit_and", "And"), ("bit_or", "Or"), ("bit_xor", "Xor")):
    WRITERS[_op] = functools.partial(_bits, _name)


@writes("shl", "shr")
def shift(w: Writer, node: Any, x: str, y: str) -> str:
    """Bits moved; ONNX moves those of unsigned integers only."""
    dtype = _of(node)
    bits = np.dtype(dtype.numpy).itemsize * 8
    unsigned = np.dtype(f"uint{bits}")
    signed = np.dtype(dtype.numpy).kind == "i"
    a, b = (w.op("Cast", v, to=kind_of(unsigned)) if signed else v for v in (x, y))
    inside = w.op("Less", b, w.constant(np.array(bits, unsigned)))
    zero = w.constant(np.array(0, unsigned))
    count = w.where(inside, b, zero, unsigned)
    left = node.op.name == "shl"
    if left or not signed:
        moved = w.op("BitShift", a, count, direction="LEFT" if left else "RIGHT")
        moved = w.where(inside, moved, zero, unsigned)
    else:  # ones come from the left of a negative number
        flip = w.op("Less", x, w.constant(np.array(0, np.dtype(dtype.numpy))))
        turned = w.where(flip, w.op("BitwiseNot", a), a, unsigned)
        moved = w.op("BitShift", turned, count, direction="RIGHT")
        moved = w.where(inside, moved, zero, unsigned)
        moved = w.where(flip, w.op("BitwiseNot", moved), moved, unsigned)
    return w.cast(moved, dtype) if signed else moved


def _integral(node: Any) -> bool:
    return np.dtype(_of(node).numpy).kind in "iu"


def _has_other_sign(w: Writer, rest: str, divisor: str, zero: str) -> str:
    """Whether a remainder is not 0, and of another sign than its divisor."""
    other = w.op("Xor", w.op("Less", rest, zero), w.op("Less", divisor, zero))
    return w.op("And", other, w.op("Not", w.op("Equal", rest, zero)))


@writes("floordiv")
def floordiv(w: Writer, node: Any, x: str, y: str) -> str:
    """The floor of a quotient; of integers 0 where the divisor is 0."""
    dtype = _of(node)
    if not _integral(node):
        return _floor_of_floats(w, node, x, y)
    zero, one = w.number(0, dtype), w.number(1, dtype)
    none = w.op("Equal", y, zero)
    if dtype.kind == "u":
        quotient = w.op("Div", x, w.where(none, one, y, dtype))
        return w.where(none, zero, quotient, dtype)
    minus = w.op("Equal", y, w.number(-1, dtype))  # the least number has no quotient by -1
    safe = w.op("Where", w.op("Or", none, minus), one, y)
    quotient = w.op("Div", x, safe)
    rest = w.op("Sub", x, w.op("Mul", quotient, safe))
    lower = _has_other_sign(w, rest, safe, zero)
    floor = w.op("Sub", quotient, w.op("Where", lower, one, zero))
    return w.op("Where", none, zero, w.op("Where", minus, w.op("Neg", x), floor))


def _floor_of_floats(w: Writer, node: Any, x: str, y: str) -> str:
    """NumPy's: what is left is taken off before the division; without that, of infinities."""
    plain = w.op("Floor", w.op("Div", x, y))
    quotient = w.op("Div", w.op("Sub", x, mod(w, node, x, y)), y)
    floor = w.op("Floor", quotient)
    half, one, zero = (w.number(v, _of(node)) for v in (0.5, 1.0, 0.0))
    rounded = w.op("Greater", w.op("Sub", quotient, floor), half)
    exact = w.op("Add", floor, w.op("Where", rounded, one, zero))
    finite = w.op("Equal", w.op("Sub", exact, exact), zero)
    return w.op("Where", finite, exact, plain)


@writes("mod")
def mod(w: Writer, node: Any, x: str, y: str) -> str:
    """The remainder, of the sign of the divisor."""
    dtype = _of(node)
    if not _integral(node):
        rest = w.op("Mod", x, y, fmod=1)
        zero = w.number(0.0, dtype)
        fix = _has_other_sign(w, rest, y, zero)
        return w.op("Where", fix, w.op("Add", rest, y), rest)
    zero, one = w.number(0, dtype), w.number(1, dtype)
    none = w.op("Equal", y, zero)
    if dtype.kind != "u":
        none = w.op("Or", none, w.op("Equal", y, w.number(-1, dtype)))
    return w.where(none, zero, w.op("Mod", x, w.where(none, one, y, dtype)), dtype)


_COMPARISONS = {
    "eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual",
}  # fmt: skip


@writes("eq", "ne", "lt", "le", "gt", "ge")
def compare(w: Writer, node: Any, x: str, y: str) -> str:
    """A comparison; bools are compared as integers."""
    if _of(node) is bool_ and node.op.name not in ("eq", "ne"):
        x, y = w.cast(x, int32), w.cast(y, int32)
    if node.op.name == "ne":
        return w.op("Not", w.op("Equal", x, y))
    return w.op(_COMPARISONS[node.op.name], x, y)


@writes("convert")
def convert(w: Writer, node: Any, x: str) -> str:
    """Elements as another type: floats are cut to the range of integers, NaN is 0."""
    source, target = _of(node), node.attrs["dtype"]
    kind = np.dtype(target.numpy)
    if target is bool_:
        return w.op("Not", w.op("Equal", x, w.number(0, source)))
    if kind.kind not in "iu" or np.dtype(source.numpy).kind in "iub":
        return w.cast(x, target)
    limits = np.iinfo(kind)
    low, high = w.number(float(limits.min), source), w.number(float(limits.max), source)
    below, above = w.op("LessOrEqual", x, low), w.op("GreaterOrEqual", x, high)
    outside = w.op("Or", w.op("Or", below, above), w.op("IsNaN", x))
    inside = w.cast(w.op("Where", outside, w.number(0.0, source), x), target)
    value = w.where(above, w.number(limits.max, target), inside, target)
    return w.where(below, w.number(limits.min, target), value, target)


BITS_SINCE = 26  # the opset that reads the bits of floats


def reads_bits(node: Any) -> bool:
    """Whether a node needs that opset."""
    return node.op.name == "bitcast" and _of(node).is_float != node.tensor.dtype.is_float


@writes("bitcast")
def bitcast(w: Writer, node: Any, x: str) -> str:
    """The same bits as another type."""
    target = node.attrs["dtype"]
    if not reads_bits(node):
        return w.cast(x, target)
    if w.version < BITS_SINCE:
        raise ModelError(
            f"ONNX reads the bits of {_of(node)} as {target} since opset {BITS_SINCE}",
            hint=f"leave out opset_version, or give {BITS_SINCE}",
        )
    return w.op("BitCast", x, to=kind_of(target))


@writes("constant")
def constant(w: Writer, node: Any) -> str:
    """An array."""
    return w.constant(node.attrs["value"])


@writes("full")
def full(w: Writer, node: Any) -> str:
    """One number everywhere."""
    value = w.number(node.attrs["value"], node.attrs["dtype"])
    if not node.attrs["shape"]:
        return value
    return w.op("Expand", value, w.shape(node.attrs["shape"]))


@writes("dim")
def dim(w: Writer, node: Any) -> str:
    """An extent."""
    return w.dim(node.attrs["dim"])


@writes("iota")
def iota(w: Writer, node: Any) -> str:
    """0, 1, 2, ... along an axis."""
    shape, axis = node.attrs["shape"], node.attrs["axis"]
    zero, one = (w.constant(np.array(k, np.int64)) for k in (0, 1))
    numbers = w.op("Range", zero, w.dim(shape[axis]), one)
    if node.attrs["dtype"] is not int64:
        numbers = w.cast(numbers, node.attrs["dtype"])
    if len(shape) == 1:
        return numbers
    form = [1] * len(shape)
    form[axis] = -1
    return w.op("Expand", w.op("Reshape", numbers, w.ints(form)), w.shape(shape))
