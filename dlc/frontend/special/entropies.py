"""Products with logarithms, and logits."""

from __future__ import annotations

import math
from collections.abc import Callable

from dlc.frontend.functions import elementwise
from dlc.frontend.functions.composed import where
from dlc.frontend.special.formulas import binary, unary
from dlc.frontend.tensor import Tensor

logit = unary(
    "logit", "log(x / (1 - x)), the inverse of `expit`.",
    "logit(0.5)\n        Tensor(0., dtype=float32)",
    lambda x: elementwise.subtract(elementwise.log(x), elementwise.log1p(elementwise.negative(x))),
)  # fmt: skip


def _zero_or(x: Tensor, build: Callable[[Tensor], Tensor], y: Tensor, pole: float) -> Tensor:
    """x * build(y), where build is finite above `pole`, and 0 where x is 0 and y is a number.

    Where the product is 0 by itself it stays the product, for its derivative.
    """
    beyond = elementwise.logical_or(elementwise.less_equal(y, pole), elementwise.equal(y, math.inf))
    zero = elementwise.logical_and(elementwise.equal(x, 0), beyond)
    return where(zero, 0, elementwise.multiply(x, build(where(zero, 1, y))))


xlogy = binary(
    "xlogy", "x log(y), and 0 where x is 0.",
    "xlogy(0.0, 0.0)\n        Tensor(0., dtype=float32)",
    lambda x, y: _zero_or(x, elementwise.log, y, 0.0),
)  # fmt: skip
xlog1py = binary(
    "xlog1py", "x log(1 + y), and 0 where x is 0.",
    "xlog1py(0.0, -1.0)\n        Tensor(0., dtype=float32)",
    lambda x, y: _zero_or(x, elementwise.log1p, y, -1.0),
)  # fmt: skip


def _entr(x: Tensor) -> Tensor:
    positive = elementwise.greater(x, 0)
    held = where(positive, x, 1)
    value = elementwise.negative(elementwise.multiply(held, elementwise.log(held)))
    below = where(elementwise.less(x, 0), -math.inf, x)
    return where(positive, value, where(elementwise.equal(x, 0), 0, below))


entr = unary(
    "entr", "-x log(x), an outcome's share of entropy; 0 at 0, and -inf below.",
    "entr(1.0)\n        Tensor(-0., dtype=float32)", _entr,
)  # fmt: skip


def _rel_entr(x: Tensor, y: Tensor) -> Tensor:
    both = elementwise.logical_and(elementwise.greater(x, 0), elementwise.greater(y, 0))
    a, b = where(both, x, 1), where(both, y, 1)
    value = elementwise.multiply(a, elementwise.log(elementwise.divide(a, b)))
    empty = elementwise.logical_and(elementwise.equal(x, 0), elementwise.greater_equal(y, 0))
    unknown = elementwise.add(x, y)
    outside = where(elementwise.equal(unknown, unknown), math.inf, math.nan)
    return where(both, value, where(empty, 0, outside))


rel_entr = binary(
    "rel_entr", "x log(x / y), an outcome's share of the relative entropy; inf below 0.",
    "rel_entr(1.0, 1.0)\n        Tensor(0., dtype=float32)", _rel_entr,
)  # fmt: skip
kl_div = binary(
    "kl_div", "x log(x / y) - x + y, which is nowhere negative; inf below 0.",
    "kl_div(1.0, 1.0)\n        Tensor(0., dtype=float32)",
    lambda x, y: elementwise.add(elementwise.subtract(_rel_entr(x, y), x), y),
)  # fmt: skip
