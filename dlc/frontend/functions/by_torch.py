"""Products, pieces and reductions by PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.frontend.apply import apply, as_tensor, float_promote, materialise, promote, promote_all
from dlc.frontend.cast_table import casts
from dlc.frontend.extent import known_extent
from dlc.frontend.functions import elementwise, linalg, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    AxisLike,
    find_axis,
    integer,
    match_shapes,
    reshaped,
)
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.elementwise import named
from dlc.frontend.functions.indexing import take
from dlc.frontend.functions.shape import concat, expand_dims, moveaxis, part, swapaxes
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, floordiv, is_multiple, mul
from dlc.ir.errors import DTypeError, ShapeError, ValueRangeError
from dlc.ir.types import bool_, int64

_PRODUCT = """PyTorch's `{name}`: {words}.

    Args:
        x: {left}
        y: {right}

    Returns:
        A tensor of the common dtype.

    Raises:
        ShapeError: The ranks or the extents do not fit.

    Example:
        >>> dlc.{example}
    """


def _product(
    name: str, words: str, ranks: tuple[int, int], example: str
) -> Callable[[ArrayLike, ArrayLike], Tensor]:
    def function(x: ArrayLike, y: ArrayLike, /) -> Tensor:
        a, b = (materialise(as_tensor(t)) for t in (x, y))
        if (a.tensor.rank, b.tensor.rank) != ranks:
            raise ShapeError(
                f"{name} of {a.tensor} and {b.tensor}: it takes {ranks[0]} and {ranks[1]} axes",
                hint="dlc.matmul takes stacks of any rank and vectors",
            )
        return linalg.matmul(a, b)

    shown = ("", "A vector.", "A matrix.", "A stack of matrices [b, m, n].")
    doc = _PRODUCT.format(
        name=name, words=words, left=shown[ranks[0]], right=shown[ranks[1]], example=example
    )
    return named(function, name, doc)


mm = _product(
    "mm", "the product of two matrices", (2, 2),
    "mm(dlc.ones((2, 3)), dlc.ones((3, 1))).tolist()\n        [[3.0], [3.0]]",
)  # fmt: skip
mv = _product(
    "mv", "the product of a matrix and a vector", (2, 1),
    "mv(dlc.ones((2, 3)), dlc.ones(3)).tolist()\n        [3.0, 3.0]",
)  # fmt: skip
bmm = _product(
    "bmm", "the products of the matrices of two stacks", (3, 3),
    "bmm(dlc.ones((5, 2, 3)), dlc.ones((5, 3, 1))).shape\n        (5, 2, 1)",
)  # fmt: skip

_ADDED = """PyTorch's `{name}`: beta * x + alpha * (a @ b).

    Args:
        x: What is added; it broadcasts.
        a: A {words}.
        b: Another one.
        beta: A number.
        alpha: A number.

    Returns:
        A tensor of the common dtype.

    Raises:
        ShapeError: The ranks or the extents do not fit.

    Example:
        >>> dlc.{name}(1.0, dlc.ones({shape}), dlc.ones({shape})).shape
        {shape}
    """


def _added(
    name: str, product: Callable[[ArrayLike, ArrayLike], Tensor], words: str, shape: str
) -> Callable[..., Tensor]:
    def function(
        x: ArrayLike, a: ArrayLike, b: ArrayLike, /, *, beta: float = 1, alpha: float = 1
    ) -> Tensor:
        found = product(a, b)
        scaled = found if alpha == 1 else elementwise.multiply(found, alpha)
        # As there, what is multiplied by 0 does not count, NaN included.
        if beta == 0:
            return scaled
        return elementwise.add(x if beta == 1 else elementwise.multiply(x, beta), scaled)

    return casts(named(function, name, _ADDED.format(name=name, words=words, shape=shape)))


addmm = _added("addmm", mm, "matrix", "(2, 2)")
baddbmm = _added("baddbmm", bmm, "stack of matrices", "(3, 2, 2)")

_MIXED = """PyTorch's `{name}`: x + value * (a {sign} b).

    Args:
        x: A tensor, array or number. All shapes broadcast and all dtypes are promoted.
        a: Another one.
        b: Another one.
        value: A number.

    Returns:
        A tensor of the common shape and dtype.

    Raises:
        ShapeError: The shapes do not broadcast.

    Example:
        >>> dlc.{name}(dlc.asarray(1.0), 6.0, 3.0).item()
        {shown}
    """


def _mixed(
    name: str, sign: str, join: Callable[[ArrayLike, ArrayLike], Tensor], shown: str
) -> Callable[..., Tensor]:
    def function(x: ArrayLike, a: ArrayLike, b: ArrayLike, /, *, value: float = 1) -> Tensor:
        found = join(a, b)
        return elementwise.add(x, found if value == 1 else elementwise.multiply(found, value))

    return named(function, name, _MIXED.format(name=name, sign=sign, shown=shown))


addcmul = _mixed("addcmul", "*", elementwise.multiply, "19.0")
addcdiv = _mixed("addcdiv", "/", elementwise.divide, "3.0")


def frac(x: ArrayLike, /) -> Tensor:
    """PyTorch's `frac`: x without its whole part, with the sign of x.

    Args:
        x: A tensor, array or number of any shape.

    Returns:
        A tensor of x's shape and dtype.

    Example:
        >>> dlc.frac(dlc.asarray([2.5, -0.25]))
        Tensor([ 0.5 , -0.25], dtype=float32)
    """
    return elementwise.subtract(x, elementwise.trunc(x))


def chunk(x: ArrayLike, chunks: int, /, dim: int = 0) -> tuple[Tensor, ...]:
    """PyTorch's `chunk`: pieces along an axis of which all but the last are equally long.

    Args:
        x: A tensor or array.
        chunks: How many at most.
        dim: The axis.

    Returns:
        A tuple of tensors.

    Raises:
        IndexRangeError: The axis is out of range.
        ValueRangeError: No pieces are asked for.

    Example:
        >>> [t.tolist() for t in dlc.chunk(dlc.asarray([1, 2, 3, 4, 5]), 3)]
        [[1, 2], [3, 4], [5]]
    """
    tensor = materialise(as_tensor(x))
    along = find_axis("chunk", dim, tensor.tensor)
    count, extent = integer("chunk", "chunks", chunks), known_extent(tensor.tensor.shape[along])
    if count < 1:
        raise ValueRangeError(f"chunk into {count} pieces")
    size = -(-extent // count) or 1
    places = range(0, max(extent, 1), size)
    return tuple(part(tensor, along, k, min(k + size, extent)) for k in places)


def _is_within(low: Dim, high: Dim) -> bool:
    return not (isinstance(low, int) and isinstance(high, int) and low > high)


def narrow(x: ArrayLike, dim: int, start: int, length: int, /) -> Tensor:
    """PyTorch's `narrow`: a piece of an axis.

    Args:
        x: A tensor or array.
        dim: The axis.
        start: Where the piece begins; negative ones count from the end.
        length: How long it is.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: The axis is out of range.
        ValueRangeError: The piece does not lie within the axis.

    Example:
        >>> dlc.narrow(dlc.asarray([1, 2, 3, 4]), 0, 1, 2)
        Tensor([2, 3], dtype=int64)
    """
    tensor = materialise(as_tensor(x))
    along = find_axis("narrow", dim, tensor.tensor)
    extent = tensor.tensor.shape[along]
    first, count = integer("narrow", "start", start), integer("narrow", "length", length)
    begin = add(extent, first) if first < 0 else first
    end = add(begin, count)
    if count < 0 or not (
        _is_within(0, begin) and _is_within(begin, end) and _is_within(end, extent)
    ):
        raise ValueRangeError(
            f"narrow of {tensor.tensor}: axis {along} has no {count} elements from {start}"
        )
    return part(tensor, along, begin, end)


def unsqueeze(x: ArrayLike, dim: int, /) -> Tensor:
    """PyTorch's `unsqueeze`: x with one more axis, of extent 1.

    Args:
        x: A tensor, array or number.
        dim: Where it is in the result.

    Returns:
        A tensor of x's dtype.

    Raises:
        IndexRangeError: The place is out of range.

    Example:
        >>> dlc.unsqueeze(dlc.ones(3), -1).shape
        (3, 1)
    """
    return expand_dims(x, dim)


def diag_embed(x: ArrayLike, /, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """PyTorch's `diag_embed`: matrices with the last axis of x on a diagonal.

    Args:
        x: A tensor or array with at least one axis.
        offset: The diagonal: 0 for the main one, positive above it.
        dim1: Where the rows are in the result.
        dim2: Where the columns are.

    Returns:
        A tensor with one more axis than x, of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ValueRangeError: Both axes are the same.

    Example:
        >>> dlc.diag_embed(dlc.asarray([1, 2]))
        Tensor([[1, 0],
                [0, 2]], dtype=int64)
    """
    tensor = materialise(as_tensor(x))
    if not tensor.tensor.rank:
        raise ShapeError(f"diag_embed of {tensor.tensor}: at least one axis is needed")
    rank = tensor.tensor.rank + 1
    first, second = (find_axis("diag_embed", d, tensor.tensor, rank) for d in (dim1, dim2))
    if first == second:
        raise ValueRangeError(f"diag_embed: rows and columns along the same axis {first}")
    shift = abs(integer("diag_embed", "offset", offset))
    low, high = (shift, 0) if offset < 0 else (0, shift)
    size = tensor.tensor.shape[-1]
    lead = (0,) * (rank - 2)
    zero = False if tensor.tensor.dtype.kind == "b" else 0
    # A row for each element, then what is left of the square.
    columns = expand_dims(tensor, -1)
    shape = (*tensor.tensor.shape, size)
    on_it = elementwise.equal(
        *(apply("iota", shape=shape, axis=rank - k, dtype=int64) for k in (2, 1))
    )
    square = where(on_it, apply("broadcast_to", columns, shape=shape), zero)
    square = apply("pad", square, low=(*lead, low, high), high=(*lead, high, low), value=zero)
    return moveaxis(square, (-2, -1), (first, second))


def block_diag(*tensors: ArrayLike) -> Tensor:
    """PyTorch's `block_diag`: a matrix with the given ones along its diagonal, zeros elsewhere.

    Args:
        *tensors: Matrices; vectors count as rows, and numbers as matrices with one element.

    Returns:
        A matrix of the common dtype.

    Raises:
        ShapeError: One has more than two axes.

    Example:
        >>> dlc.block_diag(dlc.ones((1, 2)), 5.0)
        Tensor([[1., 1., 0.],
                [0., 0., 5.]], dtype=float32)
    """
    found: list[Tensor] = []
    for t in promote_all(tensors or (as_tensor(0.0).astype("float32")[None, :0],)):
        held = materialise(t)
        if held.tensor.rank > 2:
            raise ShapeError(f"block_diag of {held.tensor}: matrices have two axes")
        shape = (1,) * (2 - held.tensor.rank) + held.tensor.shape
        found.append(reshaped(held, shape))
    zero = False if found[0].tensor.dtype.kind == "b" else 0
    width = 0
    for t in found:
        width = add(width, t.tensor.shape[1])
    rows: list[Tensor] = []
    before: Any = 0
    for t in found:
        after = add(width, mul(-1, add(before, t.tensor.shape[1])))
        rows.append(apply("pad", t, low=(0, before), high=(0, after), value=zero))
        before = add(before, t.tensor.shape[1])
    return concat(rows, axis=0)


def _moments(name: str, square_root: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    def function(
        x: ArrayLike, /, axis: AxisLike = None, *, correction: float = 1, keepdims: bool = False
    ) -> tuple[Tensor, Tensor]:
        spread = reduction.std if square_root else reduction.var
        return (
            spread(x, axis=axis, correction=correction, keepdims=keepdims),
            reduction.mean(x, axis=axis, keepdims=keepdims),
        )

    doc = f"""PyTorch's `{name}`: the {name.split("_", maxsplit=1)[0]} and the mean.

    Args:
        x: A tensor or array. Integers and bools are taken as float32.
        axis: The axis or axes that are reduced; all of them for None.
        correction: What is taken from the count; 1 gives the unbiased estimate.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        Two tensors without those axes.

    Raises:
        IndexRangeError: An axis is out of range.

    Example:
        >>> [t.item() for t in dlc.{name}(dlc.asarray([1.0, 2.0, 3.0]))]
        [1.0, 2.0]
    """
    return named(function, name, doc)


var_mean, std_mean = _moments("var_mean", False), _moments("std_mean", True)


@casts
def cdist(x: ArrayLike, y: ArrayLike, /, p: float = 2.0) -> Tensor:
    """PyTorch's `cdist`: the distance of each row of x from each row of y.

    Args:
        x: A tensor or array [..., m, n].
        y: A tensor or array [..., k, n].
        p: The norm, from 0 on: the number of elements that differ for 0, the largest difference
            for infinity.

    Returns:
        A tensor [..., m, k]. Its derivative at a distance of 0 is 0.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: p is negative.

    Example:
        >>> dlc.cdist(dlc.asarray([[0.0, 0.0]]), dlc.asarray([[3.0, 4.0], [0.0, 0.0]]))
        Tensor([[5., 0.]], dtype=float32)
    """
    if not p >= 0:
        raise ValueRangeError(f"cdist with p = {p}: it is from 0 on")
    a, b = (materialise(t) for t in float_promote(*promote(x, y)))
    if a.tensor.rank < 2 or b.tensor.rank < 2:
        raise ShapeError(f"cdist of {a.tensor} and {b.tensor}: stacks of rows are needed")
    left, right = match_shapes("cdist", [expand_dims(a, -2), expand_dims(b, -3)])
    difference = elementwise.subtract(left, right)
    size = elementwise.abs(difference)
    if p == 0:
        return reduction.sum(where(elementwise.equal(size, 0), 0.0, size * 0 + 1), axis=-1)
    if p == float("inf"):
        return reduction.max(size, axis=-1)
    if p == 1:
        return reduction.sum(size, axis=-1)
    total = reduction.sum(elementwise.square(difference) if p == 2 else size**p, axis=-1)
    zero = elementwise.equal(total, 0)
    held = where(zero, 1.0, total)
    return where(zero, 0.0, elementwise.sqrt(held) if p == 2 else held ** (1 / p))


def masked_select(x: ArrayLike, mask: ArrayLike, /) -> Tensor:
    """PyTorch's `masked_select`: the elements at which a mask is true, in row-major order.

    Args:
        x: A tensor or array.
        mask: Bools. The shapes broadcast.

    Returns:
        A tensor with one axis.

    Raises:
        DTypeError: The mask is not of bools.
        TracedValueError: The mask is traced: how many elements there are depends on it.

    Example:
        >>> dlc.masked_select(dlc.asarray([1, 2, 3]), dlc.asarray([True, False, True]))
        Tensor([1, 3], dtype=int64)
    """
    tensor, where_ = match_shapes("masked_select", [materialise(as_tensor(t)) for t in (x, mask)])
    if where_.tensor.dtype is not bool_:
        raise DTypeError(f"masked_select by {where_.tensor}: a mask of bools is needed")
    return tensor[where_]


def pdist(x: ArrayLike, /, p: float = 2.0) -> Tensor:
    """PyTorch's `pdist`: the distance of each pair of rows.

    Args:
        x: A matrix.
        p: The norm, as of `dlc.cdist`.

    Returns:
        A tensor with one axis: of rows 0 and 1, 0 and 2, ..., 1 and 2, and so on.

    Raises:
        ShapeError: x is no matrix.
        ValueRangeError: p is negative.

    Example:
        >>> dlc.pdist(dlc.asarray([[0.0], [3.0], [7.0]]))
        Tensor([3., 7., 4.], dtype=float32)
    """
    held = materialise(as_tensor(x))
    if held.tensor.rank != 2:
        raise ShapeError(f"pdist of {held.tensor}: a matrix is needed")
    rows = known_extent(held.tensor.shape[0])
    distances = cdist(held, held, p)
    flat = reshaped(distances, (rows * rows,))
    first, second = np.triu_indices(rows, 1)
    return take(flat, first * rows + second, axis=0)


def channel_shuffle(x: ArrayLike, groups: int, /) -> Tensor:
    """PyTorch's `channel_shuffle`: the channels of all groups in turn (Zhang et al., 2018).

    Args:
        x: A tensor or array [N, C, ...].
        groups: How many groups the channels are in.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        ShapeError: There are no groups of equal size.

    Example:
        >>> dlc.channel_shuffle(dlc.asarray([[1, 2, 3, 4]]), 2)
        Tensor([[1, 3, 2, 4]], dtype=int64)
    """
    held = materialise(as_tensor(x))
    shape = held.tensor.shape
    if held.tensor.rank < 2 or groups < 1 or not is_multiple(shape[1], groups):
        raise ShapeError(f"channel_shuffle of {held.tensor} in {groups} groups of equal size")
    size = floordiv(shape[1], groups)
    parts = reshaped(held, (shape[0], groups, size, *shape[2:]))
    return reshaped(swapaxes(parts, 1, 2), shape)
