"""What special functions are built with: at float64, rounded once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from dlc.frontend.apply import convert, float_promote, materialise
from dlc.frontend.context import current_trace
from dlc.frontend.functions import elementwise
from dlc.frontend.functions.arguments import ArrayLike, match_shapes
from dlc.frontend.functions.elementwise import named
from dlc.frontend.tensor import Tensor
from dlc.ir.deferred import deferred
from dlc.ir.types import float64

if TYPE_CHECKING:
    from dlc.frontend import compile as compiling
else:
    compiling = deferred("dlc.frontend.compile")

Build: TypeAlias = Callable[..., Tensor]

_DOC = """{summary}

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
{second}
    Returns:
        A tensor of {shape} and of its float dtype.

    Example:
        >>> dlc.special.{example}
    """
_SECOND = "        y: Another one. Their shapes broadcast and their dtypes are promoted.\n"


def wide(build: Build, *xs: Tensor) -> Tensor:
    """What is built of tensors at float64, in the float dtype of the first.

    Called eagerly, it runs as one program.
    """
    return _at_float64(build)(*(materialise(x) for x in xs))


@functools.lru_cache
def _at_float64(build: Build) -> Build:
    def formula(*xs: Tensor) -> Tensor:
        return convert(build(*(convert(x, float64) for x in xs)), xs[0].tensor.dtype)

    compiled: Build = compiling.compile(formula)
    return lambda *xs: formula(*xs) if current_trace() is not None else compiled(*xs)


def unary(name: str, summary: str, example: str, build: Build) -> Callable[..., Tensor]:
    """A public function of one argument, built at float64."""

    def function(x: ArrayLike, /) -> Tensor:
        return wide(build, *float_promote(x))

    doc = _DOC.format(summary=summary, second="", shape="x's shape", example=example)
    return named(function, name, doc)


def binary(name: str, summary: str, example: str, build: Build) -> Callable[..., Tensor]:
    """A public function of two arguments that broadcast, built at float64."""

    def function(x: ArrayLike, y: ArrayLike, /) -> Tensor:
        return wide(build, *match_shapes(name, float_promote(x, y)))

    doc = _DOC.format(summary=summary, second=_SECOND, shape="the common shape", example=example)
    return named(function, name, doc)


def polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """By Horner's rule, the highest power first."""
    result = elementwise.add(elementwise.multiply(x, 0), coefficients[0])
    for c in coefficients[1:]:
        result = elementwise.add(elementwise.multiply(result, x), c)
    return result
