"""Functions that put tensors together, take them apart, and make matrices and grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.frontend.apply import apply, as_tensor, materialise
from dlc.frontend.extent import as_dim
from dlc.frontend.functions import composed, creation, elementwise, rearrange
from dlc.frontend.functions.arguments import (
    ArrayLike,
    find_axes,
    find_axis,
    fresh,
    integer,
    operands,
    reshaped,
    transposed,
)
from dlc.frontend.functions.elementwise import named
from dlc.frontend.functions.shape import concat, flatten, part, split, stack
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, mul
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.types import bool_, float32, int64

_AT_LEAST_DOC = """Each argument with at least {words}, as NumPy adds them.

    Args:
        *arrays: Tensors, arrays or numbers of any dtypes.

    Returns:
        A tensor for one argument, a tuple of tensors for several.

    Example:
        >>> dlc.{name}(dlc.asarray([1.0, 2.0])).shape
        {shown}
    """


def _at_least(name: str, rank: int, words: str, shown: str) -> Callable[..., Any]:
    def function(*arrays: ArrayLike) -> Any:
        found = tuple(fresh(_with_rank(as_tensor(x), rank), x) for x in arrays)
        return found[0] if len(found) == 1 else found

    return named(function, name, _AT_LEAST_DOC.format(name=name, words=words, shown=shown))


def _with_rank(x: Tensor, rank: int) -> Tensor:
    """`x` with leading axes of extent 1, but for the third axis, which is the last one."""
    shape = x.tensor.shape
    if len(shape) < rank == 3:
        two = (1,) * (2 - len(shape)) + shape
        return reshaped(x, (*two, 1))
    return reshaped(x, (1,) * (rank - len(shape)) + shape)


atleast_1d = _at_least("atleast_1d", 1, "one axis", "(2,)")
atleast_2d = _at_least("atleast_2d", 2, "two axes", "(1, 2)")
atleast_3d = _at_least("atleast_3d", 3, "three axes", "(1, 2, 1)")

_JOIN_DOC = """Tensors joined {words}.

    Args:
        arrays: Tensors, arrays or numbers; their dtypes are promoted.

    Returns:
        A tensor of the common dtype.

    Raises:
        ArgumentError: It is not a list, or an empty one.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.{name}([dlc.zeros(2), dlc.ones(2)]).shape
        {shown}
    """


def _joining(name: str, words: str, rank: int, axis: int, shown: str) -> Callable[..., Tensor]:
    def function(arrays: Sequence[ArrayLike], /) -> Tensor:
        if not isinstance(arrays, (list, tuple)) or not arrays:
            raise ArgumentError(f"{name} takes a list of tensors")
        parts = [_with_rank(as_tensor(x), rank) for x in arrays]
        # Of vectors `hstack` makes one vector.
        along = 0 if axis >= parts[0].tensor.rank else axis
        return concat(parts, axis=along)

    return named(function, name, _JOIN_DOC.format(name=name, words=words, shown=shown))


vstack = _joining("vstack", "one below the other", 2, 0, "(2, 2)")
hstack = _joining(
    "hstack", "one beside the other: along the second axis, or the only one", 1, 1, "(4,)"
)
dstack = _joining("dstack", "along a third axis", 3, 2, "(1, 2, 2)")


def column_stack(arrays: Sequence[ArrayLike], /) -> Tensor:
    """Vectors, as columns, and matrices one beside the other.

    Args:
        arrays: Tensors or arrays with one or two axes; their dtypes are promoted.

    Returns:
        A matrix of the common dtype.

    Raises:
        ArgumentError: It is not a list, or an empty one.
        ShapeError: The numbers of rows differ.

    Example:
        >>> dlc.column_stack([dlc.asarray([1, 2]), dlc.asarray([3, 4])])
        Tensor([[1, 3],
                [2, 4]], dtype=int64)
    """
    if not isinstance(arrays, (list, tuple)) or not arrays:
        raise ArgumentError("column_stack takes a list of tensors")
    tensors = [as_tensor(x) for x in arrays]
    columns = [t if t.tensor.rank > 1 else reshaped(t, (t.tensor.size, 1)) for t in tensors]
    return concat(columns, axis=1)


def array_split(
    x: ArrayLike, /, indices_or_sections: int | Sequence[int], axis: int = 0
) -> list[Tensor]:
    """x cut into parts along an axis; the first ones are longer where it does not divide.

    Args:
        x: A tensor or array with at least one axis.
        indices_or_sections: The number of parts, or the places at which it is cut.
        axis: The axis, whose extent must be known.

    Returns:
        A list of tensors of x's dtype.

    Raises:
        IndexRangeError: The axis is out of range.
        ValueRangeError: The number of parts is not positive.

    Example:
        >>> [p.shape for p in dlc.array_split(dlc.zeros(7), 3)]
        [(3,), (2,), (2,)]
    """
    if isinstance(indices_or_sections, (list, tuple)):
        return list(split(x, indices_or_sections, axis=axis))
    tensor = as_tensor(x)
    along = find_axis("array_split", axis, tensor.tensor)
    count = integer("array_split", "the number of parts", indices_or_sections)
    if count < 1:
        raise ValueRangeError(f"array_split of {tensor.tensor} into {count} parts")
    size, longer = divmod(int(tensor.shape[along]), count)
    ends = [(k + 1) * size + min(k + 1, longer) for k in range(count)]
    starts = [0, *ends[:-1]]
    return [part(tensor, along, a, b) for a, b in zip(starts, ends, strict=True)]


_SPLIT_DOC = """x cut into parts along {words}.

    Args:
        x: A tensor or array.
        indices_or_sections: The number of equal parts, or the places at which it is cut.

    Returns:
        A list of tensors of x's dtype.

    Raises:
        ShapeError: x has too few axes, or does not divide.

    Example:
        >>> [p.shape for p in dlc.{name}(dlc.zeros((4, 4, 4)), 2)]
        {shown}
    """


def _splitting(name: str, words: str, axis: int, rank: int, shown: str) -> Callable[..., Any]:
    def function(x: ArrayLike, /, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
        held = as_tensor(x).tensor
        if held.rank < rank:
            raise ShapeError(f"{name} of {held}: it takes at least {rank} axes")
        return list(split(x, indices_or_sections, axis=min(axis, held.rank - 1)))

    return named(function, name, _SPLIT_DOC.format(name=name, words=words, shown=shown))


vsplit = _splitting("vsplit", "the first axis", 0, 2, "[(2, 4, 4), (2, 4, 4)]")
hsplit = _splitting("hsplit", "the second axis, or the only one", 1, 1, "[(4, 2, 4), (4, 2, 4)]")
dsplit = _splitting("dsplit", "the third axis", 2, 3, "[(4, 4, 2), (4, 4, 2)]")


def rot90(x: ArrayLike, /, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """x turned by a right angle in the plane of two axes, from the first towards the second.

    Args:
        x: A tensor or array with at least two axes.
        k: How many times.
        axes: The two axes.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: There are not two different axes.

    Example:
        >>> dlc.rot90(dlc.asarray([[1, 2], [3, 4]]))
        Tensor([[2, 4],
                [1, 3]], dtype=int64)
    """
    tensor = as_tensor(x)
    plane = find_axes("rot90", axes, tensor.tensor)
    if len(plane) != 2:
        raise ValueRangeError(f"rot90 turns in the plane of two axes, not of {axes}")
    first, second = plane
    turns = integer("rot90", "k", k) % 4
    order = list(range(tensor.tensor.rank))
    order[first], order[second] = second, first
    if turns == 2:
        return rearrange.flip(tensor, axis=plane)
    if turns == 1:
        return transposed(rearrange.flip(tensor, axis=second), order)
    if turns == 3:
        return rearrange.flip(transposed(tensor, order), axis=second)
    return fresh(tensor, x)


_FLIP_DOC = """x in reverse order along its {words} axis.

    Args:
        x: A tensor or array with at least {least}.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        IndexRangeError: x has too few axes.

    Example:
        >>> dlc.{name}(dlc.asarray([[1, 2], [3, 4]]))
        Tensor([{shown}], dtype=int64)
    """


def _flipping(name: str, axis: int, words: str, least: str, shown: str) -> Callable[..., Tensor]:
    def function(x: ArrayLike, /) -> Tensor:
        return rearrange.flip(x, axis=axis)

    return named(function, name, _FLIP_DOC.format(name=name, words=words, least=least, shown=shown))


flipud = _flipping("flipud", 0, "first", "one axis", "[3, 4],\n                [1, 2]")
fliplr = _flipping("fliplr", 1, "second", "two axes", "[2, 1],\n                [4, 3]")


def identity(n: int, /, dtype: Any = None) -> Tensor:
    """The identity matrix.

    Args:
        n: The number of rows.
        dtype: Its dtype; float32 by default.

    Returns:
        A tensor with two axes.

    Raises:
        ValueRangeError: The number is negative.

    Example:
        >>> dlc.identity(2)
        Tensor([[1., 0.],
                [0., 1.]], dtype=float32)
    """
    return creation.eye(n, dtype=dtype)


def tri(n_rows: int, n_cols: int | None = None, /, k: int = 0, dtype: Any = None) -> Tensor:
    """A matrix with ones on a diagonal and below it.

    Args:
        n_rows: The number of rows.
        n_cols: The number of columns; that of rows by default.
        k: The diagonal: 0 for the main one, positive above it, negative below it.
        dtype: Its dtype; float32 by default.

    Returns:
        A tensor with two axes.

    Raises:
        ValueRangeError: An extent is negative.

    Example:
        >>> dlc.tri(2, 3)
        Tensor([[1., 0., 0.],
                [1., 1., 0.]], dtype=float32)
    """
    shape = (n_rows, n_rows if n_cols is None else n_cols)
    return rearrange.tril(creation.ones(shape, dtype=float32 if dtype is None else dtype), k=k)


_PLACES_DOC = """The rows and columns of the elements {words} a diagonal of a matrix.

    Args:
        n: The number of rows.
        k: The diagonal: 0 for the main one, positive above it, negative below it.
        m: The number of columns; that of rows by default.

    Returns:
        Two tensors of int64, in row-major order.

    Raises:
        ArgumentError: A number is not a known integer.

    Example:
        >>> [t.tolist() for t in dlc.{name}(2)]
        {shown}
    """


def _triangle_places(name: str, words: str, lower: bool, shown: str) -> Callable[..., Any]:
    def function(n: int, /, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
        rows, shift = integer(name, "n", n), integer(name, "k", k)
        columns = rows if m is None else integer(name, "m", m)
        diagonal = np.arange(rows) + shift
        starts = np.zeros_like(diagonal) if lower else diagonal.clip(0, max(columns, 0))
        ends = (diagonal + 1).clip(0, max(columns, 0)) if lower else max(columns, 0)
        counts = ends - starts
        first = np.repeat(np.arange(rows), counts)
        # Columns count on from their row's first: a row's begin behind those of the rows before.
        offset = np.repeat(starts - (np.cumsum(counts) - counts), counts)
        return as_tensor(first), as_tensor(np.arange(first.size) + offset)

    return named(function, name, _PLACES_DOC.format(name=name, words=words, shown=shown))


tril_indices = _triangle_places("tril_indices", "on and below", True, "[[0, 1, 1], [0, 0, 1]]")
triu_indices = _triangle_places("triu_indices", "on and above", False, "[[0, 0, 1], [0, 1, 1]]")


def diag(x: ArrayLike, /, k: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix of zeros, or the diagonal of a matrix.

    Args:
        x: A tensor or array with one or two axes.
        k: The diagonal: 0 for the main one, positive above it, negative below it.

    Returns:
        A tensor of x's dtype.

    Raises:
        ShapeError: x has another number of axes.

    Example:
        >>> dlc.diag(dlc.asarray([1, 2]))
        Tensor([[1, 0],
                [0, 2]], dtype=int64)
    """
    tensor = materialise(as_tensor(x))
    if tensor.tensor.rank == 2:
        return rearrange.diagonal(tensor, offset=k)
    if tensor.tensor.rank != 1:
        raise ShapeError(f"diag of {tensor.tensor}: it takes a vector or a matrix")
    shift = integer("diag", "k", k)
    count = tensor.tensor.shape[0]
    size = add(count, abs(shift))
    columns = apply("pad", tensor, low=(max(shift, 0),), high=(max(-shift, 0),), value=0)
    shape = (size, size)
    rows, places = (apply("iota", shape=shape, axis=axis, dtype=int64) for axis in (0, 1))
    on_it = elementwise.equal(places, elementwise.add(rows, shift))
    zero = False if tensor.tensor.dtype is bool_ else 0
    return composed.where(on_it, columns, zero)


def diagflat(x: ArrayLike, /, k: int = 0) -> Tensor:
    """The elements in row-major order as the diagonal of a matrix of zeros.

    Args:
        x: A tensor, array or number of any shape.
        k: The diagonal: 0 for the main one, positive above it, negative below it.

    Returns:
        A tensor with two axes, of x's dtype.

    Raises:
        ArgumentError: `k` is not an integer.

    Example:
        >>> dlc.diagflat(dlc.asarray([[1, 2]]))
        Tensor([[1, 0],
                [0, 2]], dtype=int64)
    """
    return diag(flatten(materialise(as_tensor(x))), k)


def kron(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The Kronecker product: blocks of y, multiplied by each element of x.

    Args:
        x: A tensor, array or number.
        y: Another one; their dtypes are promoted.

    Returns:
        A tensor each of whose extents is the product of those of x and y.

    Raises:
        DTypeError: The dtypes have none in common.

    Example:
        >>> dlc.kron(dlc.asarray([1, 2]), dlc.asarray([1, 10]))
        Tensor([ 1, 10,  2, 20], dtype=int64)
    """
    a, b = (as_tensor(v) for v in (x, y))
    rank = max(a.tensor.rank, b.tensor.rank)
    outer, inner = (((1,) * (rank - t.tensor.rank) + t.tensor.shape) for t in (a, b))
    wide: tuple[Dim, ...] = tuple(d for extent in outer for d in (extent, 1))
    tall: tuple[Dim, ...] = tuple(d for extent in inner for d in (1, extent))
    product = elementwise.multiply(reshaped(a, wide), reshaped(b, tall))
    return reshaped(product, tuple(mul(m, n) for m, n in zip(outer, inner, strict=True)))


def cross(x: ArrayLike, y: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of three elements.

    Args:
        x: A tensor or array.
        y: Another one. The axes but `axis` broadcast; the dtypes are promoted.
        axis: The axis of the vectors.

    Returns:
        A tensor of the common shape and dtype.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The vectors do not have three elements, or the shapes do not broadcast.

    Example:
        >>> dlc.cross(dlc.asarray([1, 0, 0]), dlc.asarray([0, 1, 0]))
        Tensor([0, 0, 1], dtype=int64)
    """
    for t in (as_tensor(x).tensor, as_tensor(y).tensor):
        if t.shape[find_axis("cross", axis, t)] != 3:
            raise ShapeError(f"cross of {t} along axis {axis}: vectors have three elements")
    a, b = operands("cross", x, y)
    along = find_axis("cross", axis, a.tensor)
    u, v = ([part(t, along, k, k + 1) for k in range(3)] for t in (a, b))

    def minor(i: int, j: int) -> Tensor:
        left, right = elementwise.multiply(u[i], v[j]), elementwise.multiply(u[j], v[i])
        return elementwise.subtract(left, right)

    return concat([minor(1, 2), minor(2, 0), minor(0, 1)], axis=along)


def vander(x: ArrayLike, /, n: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of each element of a vector, as the rows of a matrix.

    Args:
        x: A tensor or array with one axis.
        n: How many powers; as many as elements by default.
        increasing: Whether powers increase from 0, or decrease to it.

    Returns:
        A tensor with two axes, of x's dtype.

    Raises:
        ShapeError: x has another number of axes.

    Example:
        >>> dlc.vander(dlc.asarray([1, 2, 3]), 2)
        Tensor([[1, 1],
                [2, 1],
                [3, 1]], dtype=int64)
    """
    tensor = materialise(as_tensor(x))
    if tensor.tensor.rank != 1:
        raise ShapeError(f"vander of {tensor.tensor}: it takes a vector")
    count = as_dim(tensor.shape[0] if n is None else n, "vander: n")
    powers = list(range(int(count.__index__())))  # type: ignore[union-attr]
    columns = [composed.pow(tensor, k) for k in (powers if increasing else powers[::-1])]
    if not columns:
        return creation.zeros((tensor.shape[0], 0), dtype=tensor.dtype)
    return stack(columns, axis=1)


def indices(dimensions: Sequence[int], /, dtype: Any = None) -> Tensor:
    """The places of a grid, along each of its axes.

    Args:
        dimensions: The shape of the grid.
        dtype: Its dtype; int64 by default.

    Returns:
        A tensor with an axis in front of those of the grid, as long as it has axes.

    Raises:
        ValueRangeError: An extent is negative.

    Example:
        >>> dlc.indices((2, 2)).tolist()
        [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]
    """
    shape = tuple(dimensions)
    return stack([creation.iota(shape, axis, dtype=dtype) for axis in range(len(shape))])
