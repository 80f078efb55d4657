"""Functions of NumPy's that are made of others above them: of slices, and fits of polynomials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import as_tensor, convert, float_promote, materialise
from dlc.frontend.functions.arguments import ArrayLike, find_axis, integer, reshaped
from dlc.frontend.functions.assembly import vander
from dlc.frontend.functions.elementwise import divide, sqrt, square
from dlc.frontend.functions.reduction import sum as total
from dlc.frontend.functions.shape import expand_dims, moveaxis
from dlc.frontend.linalg.functions import lstsq
from dlc.frontend.tensor import Tensor
from dlc.frontend.vmap import vmap
from dlc.ir.dims import product
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.types import float64


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, x: ArrayLike, *args: Any, **kwargs: Any
) -> Tensor:
    """A function of vectors, of all those along an axis.

    Args:
        func1d: Of a tensor with one axis, and what else is given; it is traced once, as by `vmap`.
        axis: The axis.
        x: A tensor or array.
        *args: Further arguments, the same for all.
        **kwargs: And more.

    Returns:
        A tensor with what the function returns in the place of the axis.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.apply_along_axis(dlc.sort, 0, dlc.asarray([[3, 1], [2, 9]]))
        Tensor([[2, 1],
                [3, 9]], dtype=int64)
    """
    held = materialise(as_tensor(x))
    along = find_axis("apply_along_axis", axis, held.tensor)
    last = moveaxis(held, along, -1)
    rest, size = last.tensor.shape[:-1], last.tensor.shape[-1]
    rows = reshaped(last, (product(rest), size))
    found = vmap(lambda row: materialise(as_tensor(func1d(row, *args, **kwargs))))(rows)
    own = found.tensor.shape[1:]
    shaped = reshaped(found, (*rest, *own))
    sources = range(len(rest), len(rest) + len(own))
    return moveaxis(shaped, tuple(sources), tuple(range(along, along + len(own))))


def polyfit(x: ArrayLike, y: ArrayLike, deg: int, /) -> Tensor:
    """The polynomial with the least squares of distances from points.

    Args:
        x: Where the points are: a tensor or array with one axis.
        y: Their values: [n], or [n, k] for k polynomials.
        deg: The degree.

    Returns:
        The coefficients, that of the highest power first, [deg + 1] or [deg + 1, k], computed at
        float64.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: The degree is negative.

    Example:
        >>> dlc.polyfit(dlc.asarray([0.0, 1.0, 2.0]), dlc.asarray([1.0, 3.0, 5.0]), 1)
        Tensor([2...., 1....], dtype=float32)
    """
    degree = integer("polyfit", "deg", deg)
    if degree < 0:
        raise ValueRangeError(f"polyfit of degree {degree}")
    at, values = (materialise(t) for t in float_promote(x, y))
    dtype, rank = values.tensor.dtype, values.tensor.rank
    if at.tensor.rank != 1 or rank not in (1, 2) or values.tensor.shape[:1] != at.tensor.shape:
        raise ShapeError(f"polyfit of {at.tensor} and {values.tensor}: [n] and [n] or [n, k]")
    powers = vander(convert(at, float64), degree + 1)
    scale = sqrt(total(square(powers), axis=0))
    wide = convert(values, float64)
    right = wide if rank == 2 else expand_dims(wide, 1)
    found = divide(lstsq(divide(powers, scale), right)[0], expand_dims(scale, 1))
    return convert(found if rank == 2 else reshaped(found, (degree + 1,)), dtype)
