"""Functions that read and write along an axis, each row at places of its own."""

from __future__ import annotations

from dlc.frontend.apply import apply, as_tensor, convert, materialise
from dlc.frontend.apply import broadcast_to as stretch
from dlc.frontend.functions import composed, elementwise, indexing
from dlc.frontend.functions.arguments import ArrayLike, check_kinds, find_axis, fresh, known_values
from dlc.frontend.places import as_int64, stretched, write_along
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, at_least
from dlc.ir.errors import IndexRangeError, ShapeError, ValueRangeError, nearest
from dlc.ir.types import TensorType, bool_, float32, int64

_REDUCTIONS = {"sum": "add", "prod": "mul", "mean": "add", "amax": "max", "amin": "min"}


def _index(name: str, index: ArrayLike, x: TensorType, axis: int) -> Tensor:
    """Places along an axis, int64 and counted from 0; known ones are within bounds."""
    found = materialise(as_tensor(index))
    if found.tensor.size == 0 and found.tensor.dtype.is_float:
        found = convert(found, int64)  # the dtype of an empty list says nothing
    check_kinds(name, (found,), "iu", "indices are integers")
    if found.tensor.rank != x.rank:
        raise ShapeError(
            f"{name} of {x} at {found.tensor}: the indices need {x.rank} axes",
            hint="add axes of extent 1 with dlc.expand_dims",
        )
    extent, known = x.shape[axis], known_values(index, found)
    if known is not None and isinstance(extent, int) and known.size:
        low, high = int(known.min()), int(known.max())
        if low < -extent or high >= extent:
            wrong = low if low < -extent else high
            raise IndexRangeError(
                f"{name}: the index {wrong} is out of range for {extent} elements"
            )
    held = as_int64(found)
    counted = elementwise.add(held, apply("dim", dim=extent))
    return composed.where(elementwise.less(held, 0), counted, held)


def put_along_axis(
    x: ArrayLike, indices: ArrayLike, values: ArrayLike, /, axis: int | None = -1
) -> Tensor:
    """x with `values` put along an axis at the places that `indices` gives for each row.

    Args:
        x: A tensor or array of any dtype; it stays as it is.
        indices: Integers with as many axes as x; the axes but `axis` broadcast. Negative ones
            count from the end.
        values: What is put, converted to x's dtype; it broadcasts to the indices.
        axis: The axis; for None x is taken as one axis in row-major order.

    Returns:
        A tensor of x's shape and dtype. Of values for one place the last one stays.

    Raises:
        DTypeError: The indices are not integers.
        IndexRangeError: The axis is out of range, or an index is.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.put_along_axis(dlc.zeros((2, 3)), dlc.asarray([[2], [0]]), 5.0, axis=1)
        Tensor([[0., 0., 5.],
                [5., 0., 0.]], dtype=float32)
    """
    tensor = materialise(as_tensor(x))
    if axis is None:
        flat = apply("reshape", tensor, shape=(tensor.tensor.size,))
        result = put_along_axis(flat, indices, values, axis=0)
        return apply("reshape", result, shape=tensor.tensor.shape)
    type_ = tensor.tensor
    along = find_axis("put_along_axis", axis, type_)
    places = _index("put_along_axis", indices, type_, along)
    wide = tuple(places.tensor.shape[along] if k == along else d for k, d in enumerate(type_.shape))
    places = stretched(places, wide, type_)
    update = stretched(convert(as_tensor(values), type_.dtype), wide, type_)
    return fresh(write_along(tensor, places, update, "set", along), x)


def gather(x: ArrayLike, axis: int, index: ArrayLike, /) -> Tensor:
    """PyTorch's `gather`: along an axis, the elements of x at `index`, which may be smaller than x.

    Args:
        x: A tensor or array of any dtype.
        axis: The axis.
        index: Integers with as many axes as x, none but `axis` longer than x's. Negative ones
            count from the end.

    Returns:
        A tensor of the index's shape and x's dtype.

    Raises:
        DTypeError: The indices are not integers.
        IndexRangeError: The axis is out of range, or an index is.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.gather(dlc.asarray([[1, 2], [3, 4]]), 1, dlc.asarray([[1], [0]]))
        Tensor([[2],
                [3]], dtype=int64)
    """
    tensor = materialise(as_tensor(x))
    along = find_axis("gather", axis, tensor.tensor)
    places = _index("gather", index, tensor.tensor, along)
    part = _corner("gather", tensor, places.tensor, along)
    return apply("take_along", part, places, axis=along)


def _corner(name: str, x: Tensor, index: TensorType, axis: int | None) -> Tensor:
    """The part of `x` that indices of this shape are for: all of `axis`, the first of others."""
    shape = x.tensor.shape
    limit: list[Dim] = []
    for k, (have, wanted) in enumerate(zip(shape, index.shape, strict=True)):
        if k != axis and not at_least(have, wanted, expected=True):
            raise ShapeError(
                f"{name} of {x.tensor} at {index}: axis {k} of the indices is longer",
                hint=f"only axis {axis} may be" if axis is not None else None,
            )
        limit.append(have if k == axis else wanted)
    if tuple(limit) == shape:
        return x
    zeros, ones = (0,) * len(shape), (1,) * len(shape)
    return apply("slice", x, start=zeros, limit=tuple(limit), step=ones)


def _scattered(
    name: str, x: ArrayLike, axis: int, index: ArrayLike, src: ArrayLike, how: str
) -> Tensor:
    tensor = materialise(as_tensor(x))
    type_ = tensor.tensor
    along = find_axis(name, axis, type_)
    places = _index(name, index, type_, along)
    update = convert(as_tensor(src), type_.dtype)
    if not update.tensor.rank:
        update = stretch(update, places.tensor.shape)
    if update.tensor.rank != type_.rank:
        raise ShapeError(f"{name} of {type_}: src has {update.tensor.rank} axes, not {type_.rank}")
    update = _corner(name, update, places.tensor, None)
    part = _corner(name, tensor, places.tensor, along)
    result = write_along(part, places, update, how, along)
    if part is not tensor:
        zeros, ones = (0,) * type_.rank, (1,) * type_.rank
        limit = part.tensor.shape
        result = apply("slice_update", tensor, result, start=zeros, limit=limit, step=ones)
    return fresh(result, x)


def scatter(x: ArrayLike, axis: int, index: ArrayLike, src: ArrayLike, /) -> Tensor:
    """PyTorch's `scatter`: x with `src` put along an axis at the places of `index`.

    Args:
        x: A tensor or array of any dtype; it stays as it is.
        axis: The axis.
        index: Integers with as many axes as x, none but `axis` longer than x's.
        src: What is put: a number, or a tensor no axis of which is shorter than the index's.

    Returns:
        A tensor of x's shape and dtype. Of what is put at one place the last stays.

    Raises:
        DTypeError: The indices are not integers.
        IndexRangeError: The axis is out of range, or an index is.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.scatter(dlc.zeros((2, 3)), 1, dlc.asarray([[2], [0]]), 5.0)
        Tensor([[0., 0., 5.],
                [5., 0., 0.]], dtype=float32)
    """
    return _scattered("scatter", x, axis, index, src, "set")


def scatter_add(x: ArrayLike, axis: int, index: ArrayLike, src: ArrayLike, /) -> Tensor:
    """PyTorch's `scatter_add`: x with `src` added along an axis at the places of `index`.

    Args:
        x: A tensor or array of numbers; it stays as it is.
        axis: The axis.
        index: Integers with as many axes as x, none but `axis` longer than x's.
        src: What is added: a number, or a tensor no axis of which is shorter than the index's.

    Returns:
        A tensor of x's shape and dtype; half types are added at float32.

    Raises:
        DTypeError: The indices are not integers.
        IndexRangeError: The axis is out of range, or an index is.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.scatter_add(dlc.zeros(3), 0, dlc.asarray([1, 1, 2]), 1.0)
        Tensor([0., 2., 1.], dtype=float32)
    """
    return _scattered("scatter_add", x, axis, index, src, "add")


def scatter_reduce(
    x: ArrayLike,
    axis: int,
    index: ArrayLike,
    src: ArrayLike,
    /,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """PyTorch's `scatter_reduce`: x with `src` combined along an axis at the places of `index`.

    Args:
        x: A tensor or array of numbers; it stays as it is.
        axis: The axis.
        index: Integers with as many axes as x, none but `axis` longer than x's.
        src: What is combined: a number, or a tensor no axis of which is shorter than the index's.
        reduce: "sum", "prod", "mean", "amax" or "amin".
        include_self: Whether what is in x counts where something is combined with it.

    Returns:
        A tensor of x's shape and dtype. Means of integers are rounded down.

    Raises:
        DTypeError: The indices are not integers.
        IndexRangeError: The axis is out of range, or an index is.
        ShapeError: The shapes do not fit.
        ValueRangeError: There is no such reduction.

    Example:
        >>> places = dlc.asarray([1, 1, 2])
        >>> dlc.scatter_reduce(dlc.zeros(3), 0, places, dlc.asarray([1.0, 4.0, 2.0]), "amax")
        Tensor([0., 4., 2.], dtype=float32)
    """
    if reduce not in _REDUCTIONS:
        hint = nearest(str(reduce), _REDUCTIONS)
        raise ValueRangeError(f"scatter_reduce has no reduction {reduce!r}", hint=hint)
    tensor = materialise(as_tensor(x))
    dtype = tensor.tensor.dtype
    start = tensor
    nothing = apply("full", value=0, shape=tensor.tensor.shape, dtype=int64)
    hits = _scattered("scatter_reduce", nothing, axis, index, 1, "add")
    if not include_self:
        start = composed.where(elementwise.greater(hits, 0), _neutral(reduce, tensor), tensor)
    result = _scattered("scatter_reduce", start, axis, index, src, _REDUCTIONS[reduce])
    if reduce != "mean":
        return result
    total = elementwise.add(hits, 1) if include_self else elementwise.maximum(hits, 1)
    divide = elementwise.divide if dtype.is_float else elementwise.floor_divide
    wide = float32 if dtype.is_float and dtype.bits == 16 else dtype
    return convert(divide(convert(result, wide), convert(total, wide)), dtype)


def _neutral(reduce: str, x: Tensor) -> Tensor:
    """What does not change a reduction, everywhere; the type's ends for extremes."""
    dtype, shape = x.tensor.dtype, x.tensor.shape
    if reduce in ("amax", "amin"):
        empty = apply("full", value=0, shape=(*shape, 0), dtype=dtype)
        return apply("reduce_max" if reduce == "amax" else "reduce_min", empty, axes=(len(shape),))
    return apply("full", value=1 if reduce == "prod" else 0, shape=shape, dtype=dtype)


def index_select(x: ArrayLike, axis: int, index: ArrayLike, /) -> Tensor:
    """PyTorch's `index_select`: the slices of x at places along an axis.

    Args:
        x: A tensor or array of any dtype.
        axis: The axis.
        index: Integers with one axis.

    Returns:
        A tensor of x's dtype, with as many slices as there are places.

    Raises:
        DTypeError: The indices are not integers.
        IndexRangeError: The axis is out of range, or an index is.

    Example:
        >>> dlc.index_select(dlc.asarray([[1, 2], [3, 4]]), 0, dlc.asarray([1, 1]))
        Tensor([[3, 4],
                [3, 4]], dtype=int64)
    """
    return indexing.take(x, index, axis=axis)


def index_add(
    x: ArrayLike, axis: int, index: ArrayLike, source: ArrayLike, /, *, alpha: float = 1
) -> Tensor:
    """PyTorch's `index_add`: x with slices of `source` added at places along an axis.

    Args:
        x: A tensor or array of numbers; it stays as it is.
        axis: The axis.
        index: Integers with one axis, one for each slice of `source`.
        source: What is added, in x's shape but for that axis.
        alpha: A number by which the source is multiplied.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        IndexRangeError: The axis is out of range, or an index is.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.index_add(dlc.zeros(3), 0, dlc.asarray([0, 0]), dlc.asarray([1.0, 2.0]))
        Tensor([3., 0., 0.], dtype=float32)
    """
    tensor = materialise(as_tensor(x))
    along = find_axis("index_add", axis, tensor.tensor)
    added = source if alpha == 1 else elementwise.multiply(source, alpha)
    place = (*(slice(None) for _ in range(along)), as_tensor(index))
    return tensor.at[place].add(added)


def masked_fill(x: ArrayLike, mask: ArrayLike, value: ArrayLike, /) -> Tensor:
    """PyTorch's `masked_fill`: x with `value` where the mask is true.

    Args:
        x: A tensor or array of any dtype; it stays as it is.
        mask: Bools that broadcast to x's shape.
        value: A number or a scalar, converted to x's dtype.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        DTypeError: The mask is not of bools.
        ShapeError: The mask does not broadcast to x's shape.

    Example:
        >>> dlc.masked_fill(dlc.asarray([1.0, 2.0]), dlc.asarray([True, False]), 0)
        Tensor([0., 2.], dtype=float32)
    """
    tensor, flags = materialise(as_tensor(x)), as_tensor(mask)
    if flags.tensor.dtype is not bool_:
        check_kinds("masked_fill", (flags,), "b", "compare it with something first")
    flags = stretched(flags, tensor.tensor.shape, tensor.tensor)
    return composed.where(flags, convert(as_tensor(value), tensor.tensor.dtype), tensor)
