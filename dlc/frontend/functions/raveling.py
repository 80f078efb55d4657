"""Trees of tensors as vectors, by JAX's name."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

from dlc.frontend import tree
from dlc.frontend.apply import as_tensor, convert, materialise, promote
from dlc.frontend.extent import extents
from dlc.frontend.functions.arguments import ArrayLike, reshaped
from dlc.frontend.functions.creation import zeros
from dlc.frontend.functions.shape import concat
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import add, dims_equal, product
from dlc.ir.errors import ShapeError


def ravel_pytree(pytree: Any, /) -> tuple[Tensor, Callable[[ArrayLike], Any]]:
    """The leaves of a tree as one vector, and the way back, as `jax.flatten_util.ravel_pytree`.

    For what works on vectors: solvers, samplers, matrices of second derivatives.

    Args:
        pytree: A tree of tensors, arrays and numbers.

    Returns:
        A vector of all elements, in the order of the leaves, of the dtype that those promote to;
        and a function that makes a tree of the same structure, shapes and dtypes from a vector of
        that length. It raises a ShapeError for another one.

    Example:
        >>> vector, unravel = dlc.ravel_pytree({"w": dlc.ones((2, 2)), "b": 3.0})
        >>> vector.tolist(), unravel(2 * vector)["b"]
        ([3.0, 1.0, 1.0, 1.0, 1.0], Tensor(6., dtype=float32))
    """
    leaves, structure = tree.flatten(pytree)
    held = [materialise(as_tensor(x)) for x in leaves]
    types = [x.tensor for x in held]
    ends = list(accumulate((product(t.shape) for t in types), add, initial=0))

    def unravel(vector: ArrayLike) -> Any:
        x = materialise(as_tensor(vector))
        if x.tensor.rank != 1 or not dims_equal(x.tensor.shape[0], ends[-1]):
            raise ShapeError(f"unravel of {x.tensor}: the tree has {ends[-1]} elements")
        parts = (x[slice(*extents(part))] for part in pairwise(ends))
        shaped = (reshaped(p, t.shape) for p, t in zip(parts, types, strict=True))
        return tree.unflatten(
            structure, [convert(s, t.dtype) for s, t in zip(shaped, types, strict=True)]
        )

    if not held:
        return zeros((0,)), unravel
    flat = [reshaped(x, (product(x.tensor.shape),)) for x in promote(*held)]
    return concat(flat), unravel
