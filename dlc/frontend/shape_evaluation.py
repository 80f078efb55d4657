"""`eval_shape`: the shapes and element types of a function's results, without computing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.frontend import tree
from dlc.frontend.closure import Closure, Param, trace_closure
from dlc.frontend.compile import compile
from dlc.frontend.context import current_trace
from dlc.frontend.conversion import user_function
from dlc.frontend.extent import extents
from dlc.frontend.node_functions import is_data, with_tensors
from dlc.frontend.spec import Spec, spec
from dlc.frontend.tensor import Tensor
from dlc.frontend.traced import check_callable, leaf_tensor, name_of
from dlc.ir.dims import dim_text
from dlc.ir.types import TensorType


def eval_shape(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a function would return, with a `dlc.spec` in the place of each tensor.

    The function is traced, not run: nothing is computed, and variables that it assigns to keep
    their values.

    Args:
        function: Of any arguments; it returns a tree of tensors.
        *args: Its arguments, or in the place of tensors their types: `dlc.spec((8, 4))`, or text,
            `"f32[8,4]"`, `"f32[b,4]"`.
        **kwargs: Those by name, likewise.

    Returns:
        The tree of the results, of specs (`.shape`, `.dtype`). Extents that depend on named ones
        are text.

    Raises:
        ArgumentError: The function cannot be called.
        DlcError: What the function raises for arguments of these types.

    Example:
        >>> y = eval_shape(lambda x, w: {"y": x @ w}, "f32[b,4]", "f32[4,2]")
        >>> str(y["y"]), y["y"].shape
        ('f32[b,2]', ('b', 2))
    """
    check_callable(function, "eval_shape")
    leaves, structure = tree.flatten((args, kwargs))
    leaves = [spec(x) if isinstance(x, str) and "[" in x else x for x in leaves]
    if any(isinstance(x, Spec) and any(isinstance(d, str) for d in x.shape) for x in leaves):
        args, kwargs = tree.unflatten(structure, leaves)
        closure = compile(function).lower(*args, **kwargs).closure
    else:
        closure = _traced(function, leaves, structure)
    types = [r.tensor for r in closure.function.results[: closure.outputs]]
    return tree.unflatten(closure.output, [_spec_of(t) for t in types])


def _traced(function: Callable[..., Any], leaves: list[Any], structure: Any) -> Closure:
    """The function traced, within the present trace, for data and specs of known extents."""
    held = {k: x for k, x in enumerate(leaves) if isinstance(x, Spec) or is_data(x)}

    def call(tensors: list[Tensor]) -> Any:
        args, kwargs = tree.unflatten(structure, with_tensors(leaves, held, tensors))
        return user_function(function)(*args, **kwargs)

    params = [Param(_type_of(x)) for x in held.values()]
    name = name_of(function)
    return trace_closure(name, call, params, f"{name}()", function)


def _type_of(x: Any) -> TensorType:
    if isinstance(x, Spec):
        return TensorType(x.dtype, tuple(d for d in x.shape if isinstance(d, int)))
    return leaf_tensor(x, "eval_shape: an argument").tensor


def _spec_of(type_: TensorType) -> Spec:
    """The spec of a result: an extent of the present trace is one that shapes have there."""
    if current_trace() is not None:
        return Spec(extents(type_.shape), type_.dtype)
    shape = tuple(d if isinstance(d, int) else dim_text(d) for d in type_.shape)
    return Spec(shape, type_.dtype)
