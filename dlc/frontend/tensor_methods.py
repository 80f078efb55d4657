"""Methods of tensors that are public functions, under NumPy's names.

The functions are written in terms of tensors and therefore stand above this file; each is found
when it is first used.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from dlc.ir.deferred import deferred

if TYPE_CHECKING:
    from dlc.frontend import elsewhere, method_functions
    from dlc.frontend import operators as operator_objects
    from dlc.frontend.tensor import Tensor
else:
    elsewhere = deferred("dlc.frontend.elsewhere")
    method_functions = deferred("dlc.frontend.method_functions")
    operator_objects = deferred("dlc.frontend.operators")


def _late(module: Any, finder: str) -> Any:
    """Functions that a function of a module finds when they are first used."""
    names = ModuleType("late")  # whose attributes are read fastest

    def look_up(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(module, finder)(name)
        setattr(names, name, found)
        return found

    setattr(names, "__getattr__", look_up)  # noqa: B010 - an attribute that Python looks for
    return names


# The public functions that methods delegate to.
functions: Any = _late(method_functions, "find_function")
# What the signs +, -, < and so on do, by the name of the function.
operators: Any = _late(operator_objects, "make_operator")


class _Elsewhere:
    """A method that PyTorch's tensors have and these have not: the error says what does it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(
            f"{owner.__name__!r} object has no attribute {self.name!r}; "
            f"write {elsewhere.method(self.name)}"
        )


class TensorMethods:
    """The base of `dlc.Tensor`."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def shape(self) -> tuple[Any, ...]:
            """Of `dlc.Tensor`."""
            ...

        @property
        def ndim(self) -> int:
            """Of `dlc.Tensor`."""
            ...

    def reshape(self, *shape: Any, **options: Any) -> Tensor:
        """`dlc.reshape`: the shape as one tuple or as several integers, one of which may be -1."""
        return functions.reshape(self, shape[0] if len(shape) == 1 else shape, **options)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order, reversed when none is given."""
        if not axes:
            axes = tuple(range(self.ndim))[::-1]
        return functions.permute_dims(
            self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        )

    def flatten(self, start_dim: int = 0, end_dim: int = -1, **options: Any) -> Tensor:
        """`dlc.flatten`: the elements in row-major order, as one axis."""
        return functions.flatten(self, start_dim, end_dim, **options)

    def ravel(self, **options: Any) -> Tensor:
        """`dlc.ravel`."""
        return functions.ravel(self, **options)

    def squeeze(self, axis: Any = None, **options: Any) -> Tensor:
        """Without the given axes of extent 1, or all of them."""
        if axis is None:
            axis = tuple(k for k, d in enumerate(self.shape) if d == 1)
        return functions.squeeze(self, axis, **options)

    def sum(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.sum`, with its `dtype`, `initial` and `where`."""
        return functions.sum(self, axis=axis, keepdims=keepdims, **options)

    def prod(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.prod`, with its `dtype`, `initial` and `where`."""
        return functions.prod(self, axis=axis, keepdims=keepdims, **options)

    def mean(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.mean`, with its `dtype` and `where`."""
        return functions.mean(self, axis=axis, keepdims=keepdims, **options)

    def var(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.var`, with its `correction` or `ddof`, `dtype` and `where`."""
        return functions.var(self, axis=axis, keepdims=keepdims, **options)

    def std(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.std`, with its `correction` or `ddof`, `dtype` and `where`."""
        return functions.std(self, axis=axis, keepdims=keepdims, **options)

    def max(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.max`, with its `initial` and `where`."""
        return functions.max(self, axis=axis, keepdims=keepdims, **options)

    def min(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.min`, with its `initial` and `where`."""
        return functions.min(self, axis=axis, keepdims=keepdims, **options)

    def any(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.any`, with its `where`."""
        return functions.any(self, axis=axis, keepdims=keepdims, **options)

    def all(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.all`, with its `where`."""
        return functions.all(self, axis=axis, keepdims=keepdims, **options)

    def argmax(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.argmax`."""
        return functions.argmax(self, axis=axis, keepdims=keepdims, **options)

    def argmin(self, axis: Any = None, *, keepdims: bool = False, **options: Any) -> Tensor:
        """`dlc.argmin`."""
        return functions.argmin(self, axis=axis, keepdims=keepdims, **options)

    def clip(self, min: Any = None, max: Any = None, **options: Any) -> Tensor:
        """`dlc.clip`."""
        return functions.clip(self, min, max, **options)

    def argsort(self, axis: int = -1, *, descending: bool = False, **options: Any) -> Tensor:
        """`dlc.argsort`, with its `stable`."""
        return functions.argsort(self, axis=axis, descending=descending, **options)

    def sort(self, axis: int = -1, *, descending: bool = False, **options: Any) -> Tensor:
        """`dlc.sort`: a sorted copy; the tensor stays as it is; with its `stable`."""
        return functions.sort(self, axis=axis, descending=descending, **options)

    def searchsorted(self, values: Any, *, side: str = "left", sorter: Any = None) -> Tensor:
        """`dlc.searchsorted` of values in this tensor."""
        return functions.searchsorted(self, values, side=side, sorter=sorter)

    def nonzero(self) -> tuple[Tensor, ...]:
        """`dlc.nonzero`."""
        return functions.nonzero(self)

    def cumsum(self, axis: int | None = None, dtype: Any = None, **options: Any) -> Tensor:
        """`dlc.cumsum`."""
        return functions.cumsum(self, axis=axis, dtype=dtype, **options)

    def cumprod(self, axis: int | None = None, dtype: Any = None, **options: Any) -> Tensor:
        """`dlc.cumprod`."""
        return functions.cumprod(self, axis=axis, dtype=dtype, **options)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """`dlc.diagonal`."""
        return functions.diagonal(self, offset=offset, axis1=axis1, axis2=axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """`dlc.trace`."""
        return functions.trace(self, offset=offset, axis1=axis1, axis2=axis2)

    def dot(self, other: Any) -> Tensor:
        """`dlc.dot`."""
        return functions.dot(self, other)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """`dlc.swapaxes`."""
        return functions.swapaxes(self, axis1, axis2)

    def take(self, indices: Any, axis: int | None = None, **options: Any) -> Tensor:
        """`dlc.take`, with its `mode` and `fill_value`; of all elements without an axis."""
        return functions.take(self, indices, axis=axis, **options)

    def repeat(self, repeats: Any, axis: int | None = None, **options: Any) -> Tensor:
        """`dlc.repeat`, with its `total_repeat_length`."""
        return functions.repeat(self, repeats, axis=axis, **options)

    def round(self, decimals: int = 0) -> Tensor:
        """`dlc.round`, to so many decimals."""
        if not decimals:
            return functions.round(self)
        scale = 10.0**decimals
        return functions.divide(functions.round(functions.multiply(self, scale)), scale)

    def copy(self) -> Tensor:
        """Another tensor with this value; no tensor ever changes with another one."""
        return functions.copy(self)

    def __dir__(self) -> list[str]:
        """Without the names that only have an error."""
        return sorted(set(object.__dir__(self)).difference(_ABSENT))


_ABSENT: Final = (
    "abs", "add", "add_", "argwhere", "bmm", "bool", "byte", "ceil", "chunk", "clamp",
    "clamp_", "clone", "cos", "cosh", "cuda", "diag", "dim", "div", "div_", "double", "eq",
    "erf", "exp", "expand", "expand_as", "expm1", "flip", "float", "floor", "gather", "ge",
    "gt", "half", "index_add", "index_select", "int", "isinf", "isnan", "le", "log", "log10",
    "log1p", "log2", "log_softmax", "logsumexp", "long", "lt", "masked_fill", "masked_fill_",
    "matmul", "maximum", "median", "minimum", "mm", "moveaxis", "mul", "mul_", "mv", "narrow",
    "ne", "neg", "norm", "numel", "outer", "permute", "pow", "reciprocal", "relu", "relu_",
    "requires_grad_", "roll", "rsqrt", "scatter", "scatter_add", "sigmoid", "sign", "sin",
    "softmax", "split", "sqrt", "square", "sub", "sub_", "t", "tan", "tanh", "tile", "topk",
    "tril", "triu", "type", "type_as", "unbind", "unique", "unsqueeze", "view", "view_as",
    "where",
)  # fmt: skip
for _name in _ABSENT:
    setattr(TensorMethods, _name, _Elsewhere(_name))
