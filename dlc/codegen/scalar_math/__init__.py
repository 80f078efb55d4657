"""Math functions as expressions of the basic scalar ops: every backend computes the same bits.

No expansion branches; all are exact about zeros, infinities and NaN, and reach over the whole
range of their argument, subnormals included. Float16 and bfloat16 functions are computed at
float32 by lowering.
"""

from __future__ import annotations

from collections.abc import Callable

from dlc.codegen.scalar_math import (
    error_function,
    exponential,
    inverse_trigonometric,
    logarithm,
    power,
    trigonometric,
)
from dlc.codegen.scalar_math.value import Value
from dlc.ir import scalar
from dlc.ir.scalar import SCALAR_OPS, Expr
from dlc.ir.types import DType, float32, float64

_EXPANSIONS: dict[str, Callable[..., Value]] = {
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "log": logarithm.log,
    "log2": logarithm.log2,
    "log10": logarithm.log10,
    "log1p": logarithm.log1p,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    "tan": trigonometric.tan,
    "asin": inverse_trigonometric.asin,
    "acos": inverse_trigonometric.acos,
    "atan": inverse_trigonometric.atan,
    "sinh": exponential.sinh,
    "cosh": exponential.cosh,
    "tanh": exponential.tanh,
    "asinh": logarithm.asinh,
    "acosh": logarithm.acosh,
    "atanh": logarithm.atanh,
    "erf": error_function.erf,
    "erfc": error_function.erfc,
    "sigmoid": exponential.sigmoid,
    "rsqrt": power.rsqrt,
    "cbrt": power.cbrt,
    "pow": power.pow_,
    "atan2": inverse_trigonometric.atan2,
    "hypot": power.hypot,
}

# The largest error, in units in the last place of the result, at float32 and float64, over all
# arguments: the sines of huge ones too, and subnormals.
_BOUNDS: dict[str, tuple[float, float]] = {
    "exp": (1.0, 1.0),
    "exp2": (1.0, 1.0),
    "expm1": (2.0, 2.5),
    "log": (1.0, 1.0),
    "log2": (2.0, 2.0),
    "log10": (2.0, 2.0),
    "log1p": (2.0, 2.0),
    "sin": (2.0, 1.0),
    "cos": (2.0, 1.0),
    "tan": (4.0, 2.5),
    "asin": (2.5, 2.5),
    "acos": (1.5, 1.5),
    "atan": (1.5, 2.0),
    "sinh": (2.5, 3.0),
    "cosh": (2.0, 2.0),
    "tanh": (1.5, 1.5),
    "asinh": (2.0, 2.0),
    "acosh": (2.0, 2.5),
    "atanh": (2.5, 2.5),
    "erf": (1.5, 1.5),
    "erfc": (4.0, 4.0),
    "sigmoid": (1.5, 1.6),
    "rsqrt": (0.6, 0.6),
    "cbrt": (1.0, 1.0),
    "pow": (1.0, 1.5),
    "atan2": (2.0, 2.5),
    "hypot": (1.0, 1.5),
}
ULP_BOUNDS: dict[tuple[str, DType], float] = {
    (name, dtype): bound
    for name, bounds in _BOUNDS.items()
    for dtype, bound in zip((float32, float64), bounds, strict=True)
}


def expand(expr: Expr) -> Expr:
    """The math node `expr` (float32 or float64) in basic ops, over the same arguments.

    Raises:
        TypeError: for a node that is no math op, or of another type.

    Example:
        >>> expand(op("rsqrt", load("x", ())))
        div(const<1.0>():f32, sqrt(load<x>():f32):f32):f32
    """
    row = SCALAR_OPS.get(expr.op)
    if row is None or not row.math or not expr.dtype.is_float or expr.dtype.bits < 32:
        raise TypeError(f"no expansion of {expr.op} at {expr.dtype.short}")
    return _EXPANSIONS[expr.op](*map(Value, expr.args)).expr


def expand_all(expr: Expr, keep: frozenset[str] = frozenset()) -> Expr:
    """`expr` with its math nodes expanded, but for the ops in `keep`; shared nodes stay shared."""
    done: dict[int, Expr] = {}
    equal: dict[Expr, Expr] = {}
    for node in scalar.walk(expr):
        new = node.with_args(tuple(done[id(a)] for a in node.args))
        row = SCALAR_OPS.get(new.op)
        if row is not None and row.math and new.op not in keep:
            # Equal calls become one, whoever wrote them twice.
            if new not in equal:
                equal[new] = expand(new)
            new = equal[new]
        done[id(node)] = new
    return done[id(expr)]
