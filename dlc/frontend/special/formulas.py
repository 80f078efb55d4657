"""What special functions are built with: at float64, rounded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.frontend.apply import convert, float_promote, materialise
from dlc.frontend.functions import elementwise
from dlc.frontend.functions.arguments import ArrayLike, match_shapes
from dlc.frontend.functions.elementwise import named
from dlc.frontend.tensor import Tensor
from dlc.ir.types import float64

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


def wide(build: Callable[..., Tensor], *xs: Tensor) -> Tensor:
    """What is built of tensors at float64, in the float dtype of the first."""
    held = [materialise(x) for x in xs]
    return convert(build(*(convert(x, float64) for x in held)), held[0].tensor.dtype)


def unary(
    name: str, summary: str, example: str, build: Callable[[Tensor], Tensor]
) -> Callable[..., Tensor]:
    """A public function of one argument, built at float64."""

    def function(x: ArrayLike, /) -> Tensor:
        return wide(build, *float_promote(x))

    doc = _DOC.format(summary=summary, second="", shape="x's shape", example=example)
    return named(function, name, doc)


def binary(
    name: str, summary: str, example: str, build: Callable[[Tensor, Tensor], Tensor]
) -> Callable[..., Tensor]:
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
