"""All parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import dlc
from dlc.ir.errors import ShapeError


def parameters_to_vector(parameters: Iterable[dlc.Tensor]) -> dlc.Tensor:
    """The elements of all parameters, one after the other, [N].

    Example:
        >>> dlc.nn.utils.parameters_to_vector(dlc.nn.Linear(3, 2).parameters()).shape
        (8,)
    """
    return dlc.concat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vector: dlc.Tensor, parameters: Iterable[dlc.Variable]) -> None:
    """Assigns the elements of a vector to parameters, as `parameters_to_vector` has them.

    Raises:
        ShapeError: for a vector of another length.

    Example:
        >>> layer = dlc.nn.Linear(3, 2)
        >>> dlc.nn.utils.vector_to_parameters(dlc.arange(8.0), layer.parameters())
        >>> layer.bias.tolist()
        [6.0, 7.0]
    """
    held = list(parameters)
    sizes = [math.prod(p.shape) for p in held]
    if tuple(vector.shape) != (sum(sizes),):
        raise ShapeError(
            f"vector_to_parameters of a vector of shape {tuple(vector.shape)}: "
            f"the parameters have {sum(sizes)} elements"
        )
    first = 0
    for p, size in zip(held, sizes, strict=True):
        p.assign(vector[first : first + size].reshape(p.shape).astype(p.dtype))
        first += size
