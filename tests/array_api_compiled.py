"""dlc's namespace with each function under `dlc.compile`, for the Array API suite.

The tensors among a call's arguments are those of the compiled function; everything else is fixed.
The operators and the index of tensors are compiled in the same way. What gives no tensors, or has
results whose shapes depend on values, runs as it is, and so does what the suite itself computes
with tensors to make examples and to look at results: only calls from its tests are compiled.
"""

import builtins
import sys
import types

import dlc
from dlc.frontend.context import current_trace

# What runs outside of compiled code: data from outside, questions about dtypes, and functions whose
# results' shapes depend on values.
OUTSIDE = {
    "__array_namespace_info__", "asarray", "broadcast_shapes", "can_cast", "devices", "finfo",
    "from_dlpack", "iinfo", "isdtype", "nonzero", "result_type", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "argwhere", "flatnonzero",
}  # fmt: skip
OPERATORS = [
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"),
    *("lshift", "rshift"),
]
METHODS = [
    *(f"__{name}__" for name in OPERATORS),
    *(f"__r{name}__" for name in OPERATORS),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    *("__neg__", "__pos__", "__abs__", "__invert__", "__getitem__"),
]


def _split(value, tensors):
    """`value` with its tensors moved to `tensors`, and numbers of their places left."""
    if isinstance(value, dlc.Tensor):
        tensors.append(value)
        return _Place(len(tensors) - 1)
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_split(v, tensors) for v in value)
    if isinstance(value, dict):
        return {k: _split(v, tensors) for k, v in value.items()}
    return value


class _Place:
    def __init__(self, at):
        self.at = at


def _joined(value, tensors):
    if isinstance(value, _Place):
        return tensors[value.at]
    if isinstance(value, (list, tuple)):
        return type(value)(_joined(v, tensors) for v in value)
    if isinstance(value, dict):
        return {k: _joined(v, tensors) for k, v in value.items()}
    return value


def _is_from_a_test():
    """Whether the caller of the caller is a test of the suite."""
    name = sys._getframe(2).f_globals.get("__name__", "")
    return name.startswith("array_api_tests.test_")


def compiled(function, always=False):
    """`function`, compiled anew for each call, with what is no tensor fixed."""

    def call(*args, **kwargs):
        if current_trace() is not None or not (always or _is_from_a_test()):
            return function(*args, **kwargs)
        tensors = []
        args, kwargs = _split(args, tensors), _split(kwargs, tensors)

        @dlc.compile
        def run(*given):
            return function(*_joined(args, given), **_joined(kwargs, given))

        return run(*tensors)

    call.__wrapped__ = function
    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call


def _has_mask(index):
    items = index if isinstance(index, tuple) else (index,)
    return builtins.any(isinstance(v, dlc.Tensor) and v.dtype == dlc.bool for v in items)


def _compile_index():
    """Reads through masks stay outside of compiled code, writes do not."""
    eager = dlc.Tensor.__getitem__
    inside = compiled(eager, always=True)

    def getitem(x, key, /):
        outside = current_trace() is not None or _has_mask(key) or not _is_from_a_test()
        return eager(x, key) if outside else inside(x, key)

    eager_set = dlc.Tensor.__setitem__

    def written(x, key, value):
        eager_set(x, key, value)
        return x

    compile_write = compiled(written, always=True)

    def setitem(x, key, value, /):
        if current_trace() is not None or not _is_from_a_test():
            eager_set(x, key, value)
        else:
            x._rebind(compile_write(x, key, value))

    dlc.Tensor.__getitem__, dlc.Tensor.__setitem__ = getitem, setitem


def _compile_methods():
    _compile_index()
    for name in METHODS:
        if name != "__getitem__":
            setattr(dlc.Tensor, name, compiled(getattr(dlc.Tensor, name)))


def _fill():
    module = sys.modules[__name__]
    for name in dlc.__all__:
        value = getattr(dlc, name)
        is_function = isinstance(value, types.FunctionType) and name not in OUTSIDE
        setattr(module, name, compiled(value) if is_function else value)


_compile_methods()
_fill()
