"""What happens when NumPy's own functions are called on tensors.

On eager tensors they see arrays and return arrays. On traced ones, those with a dlc function of the
same meaning trace; others raise. `array + tensor` reaches this file as well (NumPy's operators are
its functions) and gives a tensor, as `tensor + array` does, so that gradients are not lost on the
way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.frontend import tree
from dlc.frontend.context import current_trace
from dlc.frontend.tensor import Tensor, functions
from dlc.ir.errors import TracedValueError

# NumPy's name -> dlc's, where they differ.
_RENAMED = {
    "power": "pow", "absolute": "abs", "fabs": "abs", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "true_divide": "divide", "mod": "remainder", "concatenate": "concat",
    "invert": "bitwise_invert", "bitwise_not": "bitwise_invert", "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift", "amax": "max", "amin": "min", "rint": "round",
    "conjugate": "positive",
}  # fmt: skip


_OPERATORS = {
    "add", "subtract", "multiply", "divide", "true_divide", "floor_divide", "remainder", "power",
    "matmul", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift",
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
}  # fmt: skip


def _is_operator(ufunc: Any, method: str, inputs: Any, kwargs: Any) -> bool:
    """Whether this is, or looks like, `array + tensor`."""
    return (
        method == "__call__"
        and not kwargs
        and ufunc.__name__ in _OPERATORS
        and isinstance(inputs[0], np.ndarray | np.generic)
    )


def _is_tracing(values: Any) -> bool:
    return current_trace() is not None or any(
        isinstance(x, Tensor) and x.is_traced for x in tree.leaves(values)
    )


def _arrays(values: Any) -> Any:
    return tree.map(lambda x: np.asarray(x) if isinstance(x, Tensor) else x, values)


def _traced(name: str, args: Any, kwargs: Any) -> Any:
    function = getattr(functions, _RENAMED.get(name, name), None)
    if function is None:
        raise TracedValueError(
            f"numpy.{name} of a traced value: dlc has no such function",
            hint="NumPy computes with numbers, which are known only when the compiled program runs",
        )
    return function(*args, **kwargs)


def numpy_ufunc(ufunc: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """A universal function of NumPy, such as `numpy.exp`, with tensors among its operands."""
    if kwargs.get("out") is not None and any(isinstance(x, Tensor) for x in kwargs["out"]):
        return NotImplemented  # `array += tensor` is fine, writing into a tensor is not
    if not _is_tracing((inputs, kwargs)) and not _is_operator(ufunc, method, inputs, kwargs):
        return getattr(ufunc, method)(*_arrays(inputs), **_arrays(kwargs))
    if method != "__call__" or kwargs:
        how = "keywords" if method == "__call__" else method
        raise TracedValueError(
            f"numpy.{ufunc.__name__} of a traced value, with {how}",
            hint="use the dlc function",
        )
    return _traced(ufunc.__name__, inputs, kwargs)


def numpy_function(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Another function of NumPy, such as `numpy.concatenate`, with tensors among its arguments."""
    if not _is_tracing((args, kwargs)):
        return function(*_arrays(args), **_arrays(kwargs))
    return _traced(function.__name__, args, kwargs)
