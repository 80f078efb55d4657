"""The operators of tensors: the public functions, whose usual calls run from native code."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dlc.frontend.native_functions import NativeFunction
from dlc.frontend.tensor import Tensor, functions

# For these a number is data, whatever its value.
_OF_NUMBERS: Final = ("add", "subtract", "multiply", "divide")
_COMPARISONS: Final = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
_OTHERS: Final = (
    *("floor_divide", "remainder", "pow", "matmul", "bitwise_and", "bitwise_or", "bitwise_xor"),
    *("bitwise_left_shift", "bitwise_right_shift"),
)


class Operator(NativeFunction):
    """One operator of two operands.

    Args:
        name: Of the public function that it is.
        takes_numbers: Whether an operand that is a number may be passed to the kernel.
    """

    def __init__(self, name: str, takes_numbers: bool) -> None:
        super().__init__(self._of_operands, takes_numbers=takes_numbers)
        self._name = name

    def _of_operands(self, a: Any, b: Any) -> Any:
        """The function of both; NotImplemented for operands of another library."""
        other = b if isinstance(a, Tensor) else a
        if not isinstance(other, (Tensor, int, float, np.ndarray, np.generic)) and not hasattr(
            other, "terms"
        ):
            return NotImplemented
        return getattr(functions, self._name)(a, b)


def make_operator(name: str) -> Operator:
    """The operator of `Tensor` that is the function of this name."""
    takes_numbers = name in _OF_NUMBERS + _COMPARISONS
    if not takes_numbers and name not in _OTHERS:
        raise AttributeError(f"no operator {name!r}")
    return Operator(name, takes_numbers)
