"""Rows that compute each element from the elements at the same place.

References are NumPy's; derivatives are written in IR ops and hold for the float types.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.op import Attrs, Input, NoDerivative, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import (
    ALL,
    FLOATS,
    SIGNED,
    UNSIGNED,
    elementwise_samples,
    filled,
    infer_elementwise,
    pointwise,
    same_shape,
    via_float32,
)
from dlc.ir.scalar import Expr
from dlc.ir.scalar_reference import NUMPY_SCALAR
from dlc.ir.types import TensorType, bool_

INTEGER, PIECEWISE = NoDerivative("integer"), NoDerivative("piecewise")
KIND_NAMES = {"f": FLOATS, "i": SIGNED, "u": UNSIGNED, "b": ("bool",)}


@functools.cache
def _names(kinds: str) -> tuple[str, ...]:
    return tuple(n for k in kinds for n in KIND_NAMES[k])


def _elementwise(
    name: str,
    doc: str,
    kinds: str,
    jvp: Callable[..., Any] | NoDerivative,
    *,
    arity: int = 1,
    compare: bool = False,
    cost: int = 1,
    linear: tuple[int, ...] = (),
    transpose: Callable[..., Any] | None = None,
    scalar_op: str | None = None,
) -> None:
    """Registers the row of a scalar op; `scalar_op` where its name is a Python keyword."""
    meaning = scalar_op or name
    register(
        Op(
            name,
            doc,
            infer=infer_elementwise(name, kinds, bool_ if compare else None),
            reference=via_float32(NUMPY_SCALAR[meaning]),
            family={1: "unary", 2: "compare" if compare else "binary", 3: "ternary"}[arity],
            lower=pointwise(meaning),
            jvp=jvp,
            linear=linear,
            transpose=transpose,
            batch=batching.elementwise(name),
            samples=elementwise_samples(arity, _names(kinds)),
            cost=cost,
        )
    )


def _unary(derivative: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """A jvp from `derivative(b, x, out)`."""
    return lambda b, out, x, t: b.mul(t[0], derivative(b, x[0], out))


def _sum(b: Any, s: Any, t: Any) -> Any:
    """s + t where None is zero."""
    return t if s is None else s if t is None else b.add(s, t)


def _binary(dx: Callable[..., Any], dy: Callable[..., Any]) -> Callable[..., Any]:
    """A jvp from the two partial derivatives, each `(b, x, y, out, t) -> tangent`."""

    def jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
        s = None if t[0] is None else dx(b, x[0], x[1], out, t[0])
        u = None if t[1] is None else dy(b, x[0], x[1], out, t[1])
        return _sum(b, s, u)

    return jvp


# Arithmetic.
_elementwise(
    "add", "x + y; integers wrap.", "fiu", arity=2,
    jvp=_binary(lambda b, x, y, out, t: t, lambda b, x, y, out, t: t),
    linear=(0, 1), transpose=lambda b, ct, i, x: ct,
)  # fmt: skip
_elementwise(
    "sub", "x - y; integers wrap.", "fiu", arity=2,
    jvp=_binary(lambda b, x, y, out, t: t, lambda b, x, y, out, t: b.neg(t)),
    linear=(0, 1), transpose=lambda b, ct, i, x: b.neg(ct) if i else ct,
)  # fmt: skip
_elementwise(
    "mul", "x * y; integers wrap.", "fiu", arity=2,
    jvp=_binary(lambda b, x, y, out, t: b.mul(t, y), lambda b, x, y, out, t: b.mul(x, t)),
    linear=(0, 1), transpose=lambda b, ct, i, x: b.mul(ct, x[1 - i]),
)  # fmt: skip
_elementwise(
    "div", "x / y of floats.", "f", arity=2, cost=8,
    jvp=_binary(
        lambda b, x, y, out, t: b.div(t, y),
        # Divided last, so that both cotangents have one quotient in common.
        lambda b, x, y, out, t: b.div(b.neg(b.mul(t, out)), y),
    ),
    linear=(0,), transpose=lambda b, ct, i, x: b.div(ct, x[1]),
)  # fmt: skip
_elementwise(
    "fma", "x * y + z, rounded once.", "f", arity=3,
    jvp=lambda b, out, x, t: _sum(
        b,
        _sum(
            b,
            None if t[0] is None else b.mul(t[0], x[1]),
            None if t[1] is None else b.mul(x[0], t[1]),
        ),
        t[2],
    ),
)  # fmt: skip
_elementwise(
    "floordiv", "The floor of x / y; of integers 0 where y is 0.", "fiu",
    PIECEWISE, arity=2, cost=10,
)  # fmt: skip
_elementwise(
    "mod", "x - floor(x / y) * y, of the sign of y; of integers 0 where y is 0.", "fiu",
    arity=2, cost=12,
    jvp=_binary(
        lambda b, x, y, out, t: t,
        lambda b, x, y, out, t: b.neg(b.mul(t, b.floor(b.div(x, y)))),
    ),
)  # fmt: skip


def _extreme_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    """The tangent of the operand that was chosen; half of each where they are equal."""

    def share(mine: Any, other: Any, tangent: Any) -> Any:
        if tangent is None:
            return None
        half, zero = filled(b, 0.5, mine), filled(b, 0.0, mine)
        chosen = b.select(b.eq(mine, out), tangent, b.mul(tangent, zero))
        return b.select(b.eq(mine, other), b.mul(tangent, half), chosen)

    return _sum(b, share(x[0], x[1], t[0]), share(x[1], x[0], t[1]))


_elementwise("max", "The larger; NaN where one is NaN.", "fiu", _extreme_jvp, arity=2)
_elementwise("min", "The smaller; NaN where one is NaN.", "fiu", _extreme_jvp, arity=2)
_elementwise(
    "neg", "-x; integers wrap.", "fiu", lambda b, out, x, t: b.neg(t[0]),
    linear=(0,), transpose=lambda b, ct, i, x: b.neg(ct),
)  # fmt: skip


def _sign(b: Any, x: Any) -> Any:
    one, zero = filled(b, 1.0, x), filled(b, 0.0, x)
    return b.select(b.lt(x, zero), b.neg(one), b.select(b.gt(x, zero), one, x))


_elementwise(
    "abs",
    "|x|; the most negative integer is unchanged.",
    "fiu",
    _unary(lambda b, x, out: _sign(b, x)),
)

# Roots and rounding.
_elementwise(
    "sqrt", "The square root; NaN below zero.", "f", cost=8,
    jvp=lambda b, out, x, t: b.div(b.mul(t[0], filled(b, 0.5, out)), out),
)  # fmt: skip
_elementwise(
    "rsqrt", "1 / sqrt(x).", "f", cost=8,
    jvp=_unary(lambda b, x, out: b.mul(filled(b, -0.5, x), b.div(out, x))),
)  # fmt: skip
_elementwise(
    "cbrt", "The cube root.", "f", cost=20,
    jvp=lambda b, out, x, t: b.div(t[0], b.mul(filled(b, 3.0, out), b.mul(out, out))),
)  # fmt: skip
for _name, _doc in (
    ("floor", "The largest integer not above x."),
    ("ceil", "The smallest integer not below x."),
    ("trunc", "x without its fraction."),
    ("rint", "The nearest integer, the even one of two."),
):
    _elementwise(_name, _doc, "f", PIECEWISE)

# Exponentials and logarithms.
_elementwise("exp", "e to the x.", "f", _unary(lambda b, x, out: out), cost=12)
_elementwise(
    "exp2",
    "2 to the x.",
    "f",
    _unary(lambda b, x, out: b.mul(out, filled(b, math.log(2), x))),
    cost=12,
)
_elementwise(
    "expm1",
    "exp(x) - 1, accurate near 0.",
    "f",
    _unary(lambda b, x, out: b.exp(x)),  # the result and 1 cancel far below 0
    cost=15,
)
_elementwise("log", "The natural logarithm.", "f", lambda b, out, x, t: b.div(t[0], x[0]), cost=14)
_elementwise(
    "log2", "The logarithm to base 2.", "f", cost=14,
    jvp=lambda b, out, x, t: b.div(t[0], b.mul(x[0], filled(b, math.log(2), x[0]))),
)  # fmt: skip
_elementwise(
    "log10", "The logarithm to base 10.", "f", cost=14,
    jvp=lambda b, out, x, t: b.div(t[0], b.mul(x[0], filled(b, math.log(10), x[0]))),
)  # fmt: skip
_elementwise(
    "log1p", "log(1 + x), accurate near 0.", "f", cost=16,
    jvp=lambda b, out, x, t: b.div(t[0], b.add(x[0], filled(b, 1.0, x[0]))),
)  # fmt: skip


def _pow_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    base, power = x
    zero, one = filled(b, 0.0, base), filled(b, 1.0, base)
    s = u = None
    if t[0] is not None:
        # power * base ** (power - 1), and exactly 0 for power 0, where base ** -1 may be infinite.
        slope = b.mul(power, b.pow(base, b.sub(power, one)))
        s = b.mul(t[0], b.select(b.eq(power, zero), zero, slope))
    if t[1] is not None:
        # out * log(base); 0 where base is 0 and the power is not negative, as the limit is.
        safe = b.select(b.gt(base, zero), base, b.select(b.lt(base, zero), base, one))
        u = b.mul(t[1], b.mul(out, b.log(safe)))
    return _sum(b, s, u)


_elementwise("pow", "x to the y (IEEE 754's pow).", "f", _pow_jvp, arity=2, cost=40)

# Trigonometric and hyperbolic functions.
_elementwise("sin", "The sine of radians.", "f", _unary(lambda b, x, out: b.cos(x)), cost=20)
_elementwise(
    "cos", "The cosine of radians.", "f", _unary(lambda b, x, out: b.neg(b.sin(x))), cost=20
)


def _one_plus_square(b: Any, y: Any) -> Any:
    return b.add(filled(b, 1.0, y), b.mul(y, y))


def _one_minus_square(b: Any, y: Any) -> Any:
    return b.sub(filled(b, 1.0, y), b.mul(y, y))


_elementwise(
    "tan",
    "The tangent of radians.",
    "f",
    _unary(lambda b, x, out: _one_plus_square(b, out)),
    cost=30,
)
_elementwise(
    "asin", "The arc sine.", "f", cost=25,
    jvp=lambda b, out, x, t: b.mul(t[0], b.rsqrt(_one_minus_square(b, x[0]))),
)  # fmt: skip
_elementwise(
    "acos", "The arc cosine.", "f", cost=25,
    jvp=lambda b, out, x, t: b.neg(b.mul(t[0], b.rsqrt(_one_minus_square(b, x[0])))),
)  # fmt: skip
_elementwise(
    "atan",
    "The arc tangent.",
    "f",
    lambda b, out, x, t: b.div(t[0], _one_plus_square(b, x[0])),
    cost=20,
)


def _atan2_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    y, z = x
    square = b.add(b.mul(y, y), b.mul(z, z))
    s = None if t[0] is None else b.mul(t[0], b.div(z, square))
    u = None if t[1] is None else b.neg(b.mul(t[1], b.div(y, square)))
    return _sum(b, s, u)


_elementwise(
    "atan2", "The angle of the point (y, x): atan2(y, x).", "f", _atan2_jvp, arity=2, cost=30
)
_elementwise(
    "hypot", "sqrt(x*x + y*y) without overflow.", "f", arity=2, cost=20,
    jvp=_binary(
        lambda b, x, y, out, t: b.mul(t, b.div(x, out)),
        lambda b, x, y, out, t: b.mul(t, b.div(y, out)),
    ),
)  # fmt: skip
_elementwise("sinh", "The hyperbolic sine.", "f", _unary(lambda b, x, out: b.cosh(x)), cost=25)
_elementwise("cosh", "The hyperbolic cosine.", "f", _unary(lambda b, x, out: b.sinh(x)), cost=25)
_elementwise(
    "tanh",
    "The hyperbolic tangent.",
    "f",
    _unary(lambda b, x, out: _one_minus_square(b, out)),
    cost=18,
)
_elementwise(
    "asinh", "The inverse hyperbolic sine.", "f", cost=30,
    jvp=lambda b, out, x, t: b.mul(t[0], b.rsqrt(_one_plus_square(b, x[0]))),
)  # fmt: skip
_elementwise(
    "acosh", "The inverse hyperbolic cosine.", "f", cost=30,
    jvp=lambda b, out, x, t: b.mul(
        t[0],
        b.mul(b.rsqrt(b.sub(x[0], filled(b, 1.0, out))), b.rsqrt(b.add(x[0], filled(b, 1.0, out)))),
    ),
)  # fmt: skip
_elementwise(
    "atanh",
    "The inverse hyperbolic tangent.",
    "f",
    lambda b, out, x, t: b.div(t[0], _one_minus_square(b, x[0])),
    cost=30,
)


def _gauss(b: Any, x: Any, scale: float) -> Any:
    return b.mul(filled(b, scale, x), b.exp(b.neg(b.mul(x, x))))


_SLOPE = 2 / math.sqrt(math.pi)
_elementwise(
    "erf", "The error function.", "f", _unary(lambda b, x, out: _gauss(b, x, _SLOPE)), cost=20
)
_elementwise(
    "erfc",
    "1 - erf(x), accurate for large x.",
    "f",
    _unary(lambda b, x, out: _gauss(b, x, -_SLOPE)),
    cost=25,
)
_elementwise(
    "sigmoid", "1 / (1 + exp(-x)).", "f", cost=16,
    jvp=_unary(lambda b, x, out: b.mul(out, b.sub(filled(b, 1.0, out), out))),
)  # fmt: skip

# Comparisons, logic and bits.
for _name, _sign_text in (
    ("eq", "=="),
    ("ne", "!="),
    ("lt", "<"),
    ("le", "<="),
    ("gt", ">"),
    ("ge", ">="),
):
    _elementwise(
        _name,
        f"x {_sign_text} y; false where one is NaN (ne: true).",
        "fiub",
        INTEGER,
        arity=2,
        compare=True,
    )
for _name, _doc in (("and", "and"), ("or", "or"), ("xor", "exclusive or")):
    _elementwise(
        f"bit_{_name}",
        f"Bitwise {_doc}; logical {_doc} of bools.",
        "iub",
        INTEGER,
        arity=2,
        scalar_op=_name,
    )
_elementwise(
    "bit_not", "Bitwise complement; logical not of bools.", "iub", INTEGER, scalar_op="not"
)
_elementwise("shl", "x shifted left by y bits; 0 for a count out of range.", "iu", INTEGER, arity=2)
_elementwise("shr", "x shifted right by y bits, keeping the sign.", "iu", INTEGER, arity=2)


def _infer_select(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    condition, a, b = types
    if condition.dtype is not bool_ or a.dtype is not b.dtype:
        raise DTypeError(
            f"select of {condition}, {a}, {b}: it takes a bool and two of one element type"
        )
    if not (same_shape(condition.shape, a.shape) and same_shape(a.shape, b.shape)):
        raise ShapeError(f"select of {condition}, {a}, {b}: shapes differ")
    return a


def _select_jvp(b: Any, out: Any, x: Any, t: Any) -> Any:
    if t[1] is None and t[2] is None:
        return None
    zero = filled(b, 0.0, out)
    return b.select(x[0], t[1] if t[1] is not None else zero, t[2] if t[2] is not None else zero)


def _select_transpose(b: Any, ct: Any, i: int, x: Any) -> Any:
    zero = filled(b, 0.0, ct)
    return b.select(x[0], ct, zero) if i == 1 else b.select(x[0], zero, ct)


def _lower_select(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    return scalar.select(*(x(*ix) for x in inputs))


register(
    Op(
        "select",
        "x where the condition holds, else y.",
        infer=_infer_select,
        reference=np.where,
        family="ternary",
        lower=_lower_select,
        jvp=_select_jvp,
        linear=(1, 2),
        transpose=_select_transpose,
        batch=batching.elementwise("select"),
        samples=elementwise_samples(3, ALL, bool_positions=(0,)),
    )
)


def _convert_jvp(b: Any, out: Any, x: Any, t: Any, dtype: Any) -> Any:
    return b.convert(t[0], dtype=dtype) if dtype.is_float and x[0].tensor.dtype.is_float else None


def _convert_reference(x: Any, dtype: Any) -> Any:
    return NUMPY_SCALAR["convert"](x, dtype)


register(
    Op(
        "convert",
        "x at another type: float to integer truncates and saturates, NaN gives 0; bool is x != 0.",
        infer=lambda types, attrs: types[0].with_dtype(attrs["dtype"]),
        reference=_convert_reference,
        attrs={"dtype": "dtype"},
        family="unary",
        lower=lambda ix, inputs, attrs, type_: scalar.convert(inputs[0](*ix), type_.dtype),
        jvp=_convert_jvp,
        linear=(0,),
        transpose=lambda b, ct, i, x, dtype: b.convert(ct, dtype=x[0].tensor.dtype),
        batch=batching.elementwise("convert"),
        samples=lambda: [Sample((((7, 5), a),), {"dtype": b}) for a in ALL for b in ALL if a != b],
    )
)


def _infer_bitcast(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    if types[0].dtype.bits != attrs["dtype"].bits or "b" in (
        types[0].dtype.kind,
        attrs["dtype"].kind,
    ):
        raise DTypeError(
            f"bitcast of {types[0]} to {attrs['dtype']}: the widths must be equal, and not bool"
        )
    return types[0].with_dtype(attrs["dtype"])


register(
    Op(
        "bitcast",
        "The bits of x read as another element type of the same width.",
        infer=_infer_bitcast,
        reference=lambda x, dtype: x.view(dtype.numpy),
        attrs={"dtype": "dtype"},
        family="unary",
        lower=lambda ix, inputs, attrs, type_: scalar.bitcast(inputs[0](*ix), type_.dtype),
        jvp=INTEGER,
        batch=batching.elementwise("bitcast"),
        samples=lambda: [
            Sample((((7, 5), a),), {"dtype": b})
            for a, b in (("f32", "u32"), ("i64", "f64"), ("u16", "bf16"), ("i8", "u8"))
        ],
    )
)
