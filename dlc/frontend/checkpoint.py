"""`checkpoint`: values that reverse mode computes again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dlc.frontend import tree
from dlc.frontend.closure import Param, trace_closure
from dlc.frontend.conversion import user_function
from dlc.frontend.node_functions import Parts, check_stateless, is_data, with_tensors
from dlc.frontend.tensor import Tensor
from dlc.frontend.traced import check_callable, fresh, leaf_tensor, name_of


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of which reverse mode keeps no values in between; also a decorator.

    What the backward pass needs of them is computed again from the arguments, which takes time and
    saves memory. (`jax.checkpoint` and `torch.utils.checkpoint` are the same idea: Chen et al.,
    "Training deep nets with sublinear memory cost", 2016.)

    Args:
        function: Of any arguments. Tensors and variables that it reads from outside are arguments
            too; it must not assign to variables.

    Returns:
        A function of the same arguments with the same value and derivatives.

    Raises:
        ArgumentError: (from the call) for a function that assigns to a variable.

    Example:
        >>> dlc.grad(dlc.checkpoint(lambda x: x * x * x))(2.0)
        Tensor(12., dtype=float32)
    """
    check_callable(function, "checkpoint")

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found, structure = tree.flatten((args, kwargs))
        held = [fresh(x) for x in found]
        places = [k for k, x in enumerate(held) if is_data(x)]
        leaves = [leaf_tensor(held[k], "checkpoint: an argument") for k in places]

        def call(tensors: list[Tensor]) -> Any:
            args, kwargs = tree.unflatten(structure, with_tensors(held, places, tensors))
            return user_function(function)(*args, **kwargs)

        name = name_of(function)
        params = [Param(t.tensor) for t in leaves]
        closure = trace_closure(name, call, params, f"{name}()", function)
        check_stateless(closure, f"checkpoint: {name}()")
        parts = Parts(leaves, [closure])
        return closure.value(parts.emit("checkpoint", body=parts.function(0)))

    return wrapped
