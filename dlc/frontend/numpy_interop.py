"""What happens when NumPy's own functions are called on tensors.

On eager tensors they see arrays and return arrays. On traced ones, those with a dlc function of the
same meaning trace; others raise. `array + tensor` reaches this file as well (NumPy's operators are
its functions) and gives a tensor, as `tensor + array` does, so that gradients are not lost on the
way.
"""

from __future__ import annotations

import inspect
import sys
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
# NumPy's write into an argument, or a file.
_OF_OTHER_MEANING = {"put_along_axis", "save"}
# Keywords: NumPy's -> dlc's, in functions that have that one.
_KEYWORDS = {"ddof": "correction", "a_min": "min", "a_max": "max"}

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


def _counterpart(module: str, name: str) -> Any:
    """dlc's function of the same meaning; None where there is none."""
    if module == "numpy" and name not in _OF_OTHER_MEANING:
        return getattr(functions, _RENAMED.get(name, name), None)
    if module == "numpy.linalg":
        return getattr(functions.linalg, name, None)
    return getattr(functions.special, name, None) if module == "scipy.special" else None


def _traced(module: str, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    function = _counterpart(module, name)
    if function is None:
        whole = f"{module}.{name}" if module else f"{name}, a ufunc of neither NumPy nor SciPy,"
        raise TracedValueError(
            f"{whole} of a traced value: dlc has no such function",
            hint="NumPy computes with numbers, which are known only when the compiled program runs",
        )
    signature = inspect.signature(function)
    for theirs, ours in _KEYWORDS.items():
        if theirs in kwargs and ours in signature.parameters:
            kwargs = {ours if k == theirs else k: value for k, value in kwargs.items()}
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        raise TracedValueError(
            f"{module}.{name} of a traced value: {error}",
            hint=f"dlc's {function.__name__} traces; it takes {takes}",
        ) from None
    return function(*args, **kwargs)


def _module_of(ufunc: Any) -> str:
    """The module of a universal function of NumPy or SciPy; one of others may do anything."""
    for module in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(module), ufunc.__name__, None) is ufunc:
            return module
    return ""


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
    return _traced(_module_of(ufunc), ufunc.__name__, inputs, kwargs)


def numpy_function(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Another function of NumPy, such as `numpy.concatenate`, with tensors among its arguments."""
    if not _is_tracing((args, kwargs)):
        return function(*_arrays(args), **_arrays(kwargs))
    return _traced(function.__module__, function.__name__, args, kwargs)
