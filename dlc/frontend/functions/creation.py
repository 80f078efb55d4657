"""Functions that make tensors from shapes and numbers."""

from __future__ import annotations

import math
from typing import Any

from dlc.frontend.apply import (
    apply,
    as_tensor,
    convert,
    dtype_argument,
    float_promote,
    materialise,
)
from dlc.frontend.apply import broadcast_to as stretch
from dlc.frontend.extent import as_dim, known_extent
from dlc.frontend.functions import composed, elementwise
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    find_axis,
    find_shape,
    fresh,
    integer,
    placed,
    reshaped,
)
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, floordiv, maximum, mul
from dlc.ir.errors import ArgumentError, ShapeError, TracedValueError, ValueRangeError
from dlc.ir.types import DType, Shape, TensorType, bool_, float32, float64, int64


def _dtype(dtype: Any, default: DType) -> DType:
    return default if dtype is None else dtype_argument(dtype)


def _filled(value: float, shape: Shape, dtype: DType) -> Tensor:
    return apply("full", value=bool(value) if dtype is bool_ else value, shape=shape, dtype=dtype)


def zeros(shape: Any, dtype: Any = None, *, device: Any = None) -> Tensor:
    """A tensor of zeros.

    Args:
        shape: An integer or several.
        dtype: Its dtype; float32 by default.
        device: The device it lies on.

    Returns:
        A tensor of that shape and dtype.

    Raises:
        ArgumentError: An extent is not an integer.
        ValueRangeError: An extent is negative.
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.zeros((2, 2))
        Tensor([[0., 0.],
                [0., 0.]], dtype=float32)
    """
    return placed(_filled(0, find_shape("zeros", shape), _dtype(dtype, float32)), device)


def ones(shape: Any, dtype: Any = None, *, device: Any = None) -> Tensor:
    """A tensor of ones.

    Args:
        shape: An integer or several.
        dtype: Its dtype; float32 by default.
        device: The device it lies on.

    Returns:
        A tensor of that shape and dtype.

    Raises:
        ArgumentError: An extent is not an integer.
        ValueRangeError: An extent is negative.
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.ones(3, dtype=dlc.int32)
        Tensor([1, 1, 1], dtype=int32)
    """
    return placed(_filled(1, find_shape("ones", shape), _dtype(dtype, float32)), device)


def empty(shape: Any, dtype: Any = None, *, device: Any = None) -> Tensor:
    """A tensor whose elements nobody should rely on; they are zeros.

    Args:
        shape: An integer or several.
        dtype: Its dtype; float32 by default.
        device: The device it lies on.

    Returns:
        A tensor of that shape and dtype.

    Raises:
        ArgumentError: An extent is not an integer.
        ValueRangeError: An extent is negative.
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.empty((2, 3)).shape
        (2, 3)
    """
    return placed(_filled(0, find_shape("empty", shape), _dtype(dtype, float32)), device)


def full(shape: Any, fill_value: ArrayLike, dtype: Any = None, *, device: Any = None) -> Tensor:
    """A tensor with the same number everywhere.

    Args:
        shape: An integer or several.
        fill_value: A number, or a tensor that broadcasts to the shape.
        dtype: Its dtype; that of `fill_value` by default.
        device: The device it lies on.

    Returns:
        A tensor of that shape and dtype.

    Raises:
        ArgumentError: An extent is not an integer.
        ShapeError: `fill_value` does not broadcast to the shape.
        ValueRangeError: An extent is negative, or the dtype cannot hold the number.
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.full(3, 7)
        Tensor([7, 7, 7], dtype=int64)
    """
    held = None if dtype is None else dtype_argument(dtype)
    return placed(_full(find_shape("full", shape), fill_value, held), device)


def _full(shape: Shape, value: ArrayLike, dtype: DType | None) -> Tensor:
    filling = as_tensor(value)
    filling = materialise(filling) if dtype is None else convert(filling, dtype)
    return fresh(stretch(filling, shape), value)


def _like(x: ArrayLike, value: float, dtype: Any, device: Any) -> Tensor:
    held = as_tensor(x)
    return placed(_filled(value, held.tensor.shape, _dtype(dtype, held.dtype)), device)


def zeros_like(x: ArrayLike, /, dtype: Any = None, *, device: Any = None) -> Tensor:
    """Zeros in the shape of another tensor.

    Args:
        x: A tensor, array or number.
        dtype: Its dtype; that of x by default.
        device: The device it lies on.

    Returns:
        A tensor of x's shape.

    Raises:
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.zeros_like(dlc.asarray([1, 2]))
        Tensor([0, 0], dtype=int64)
    """
    return _like(x, 0, dtype, device)


def ones_like(x: ArrayLike, /, dtype: Any = None, *, device: Any = None) -> Tensor:
    """Ones in the shape of another tensor.

    Args:
        x: A tensor, array or number.
        dtype: Its dtype; that of x by default.
        device: The device it lies on.

    Returns:
        A tensor of x's shape.

    Raises:
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.ones_like(dlc.asarray([1, 2]))
        Tensor([1, 1], dtype=int64)
    """
    return _like(x, 1, dtype, device)


def empty_like(x: ArrayLike, /, dtype: Any = None, *, device: Any = None) -> Tensor:
    """A tensor in the shape of another one, whose elements nobody should rely on.

    Args:
        x: A tensor, array or number.
        dtype: Its dtype; that of x by default.
        device: The device it lies on.

    Returns:
        A tensor of x's shape.

    Raises:
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.empty_like(dlc.asarray([1, 2])).shape
        (2,)
    """
    return _like(x, 0, dtype, device)


def full_like(
    x: ArrayLike, /, fill_value: ArrayLike, dtype: Any = None, *, device: Any = None
) -> Tensor:
    """The same number everywhere, in the shape of another tensor.

    Args:
        x: A tensor, array or number.
        fill_value: A number, or a tensor that broadcasts to x's shape.
        dtype: Its dtype; that of x by default.
        device: The device it lies on.

    Returns:
        A tensor of x's shape.

    Raises:
        ShapeError: `fill_value` does not broadcast to x's shape.
        ValueRangeError: The dtype cannot hold the number.
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.full_like(dlc.asarray([1.0, 2.0]), 5)
        Tensor([5., 5.], dtype=float32)
    """
    held = as_tensor(x)
    return placed(_full(held.tensor.shape, fill_value, _dtype(dtype, held.dtype)), device)


def iota(shape: Any, /, axis: int = 0, *, dtype: Any = None) -> Tensor:
    """0, 1, 2, ... along an axis, the same along the others.

    Args:
        shape: An integer or several.
        axis: The axis that is counted along.
        dtype: Its dtype, of numbers; int64 by default.

    Returns:
        A tensor of that shape and dtype.

    Raises:
        ArgumentError: An extent is not an integer.
        IndexRangeError: The axis is out of range.
        ValueRangeError: An extent is negative.
        DTypeError: There is no such dtype, or it is bool.

    Example:
        >>> dlc.iota((2, 3), axis=1)
        Tensor([[0, 1, 2],
                [0, 1, 2]], dtype=int64)
    """
    held = _dtype(dtype, int64)
    type_ = TensorType(held, find_shape("iota", shape))
    along = find_axis("iota", axis, type_)
    result = apply("iota", shape=type_.shape, axis=along, dtype=held)
    check_kinds("iota", (result,), "fiu")
    return result


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Numbers at equal distances: start, start + step, ... up to stop, which is left out.

    Args:
        start: The first number; where it stands alone, the end of numbers that start at 0.
        stop: The end.
        step: The distance, which may be negative.
        dtype: Its dtype; int64 by default where all are integers, else float32.
        device: The device it lies on.

    Returns:
        A tensor with one axis. Floats are computed at float64 and rounded once.

    Raises:
        ArgumentError: Something is not a number; use `dlc.iota` with tensors.
        ValueRangeError: The step is 0, or a number is not finite.
        DTypeError: There is no such dtype, or it is bool.

    Example:
        >>> dlc.arange(2, 8, 3)
        Tensor([2, 5], dtype=int64)
    """
    first, end = (0, start) if stop is None else (start, stop)
    values = [_number("arange", v) for v in (first, end, step)]
    if values[2] == 0:
        raise ValueRangeError("arange with a step of 0")
    floating = any(isinstance(v, float) for v in values)
    held = _dtype(dtype, float32 if floating else int64)
    if floating:
        low, high, by = (_float(v) for v in values)
        distance = (high - low) / by
        if not (math.isfinite(distance) and math.isfinite(by)):
            raise ValueRangeError(f"arange from {low} to {high} by {by}: how many is not finite")
        count: Dim = max(math.ceil(distance), 0)
        result = apply("iota", shape=(count,), axis=0, dtype=float64)
        result = elementwise.add(elementwise.multiply(result, by), low)
    else:
        count = _steps(*values)  # type: ignore[arg-type]
        result = apply("iota", shape=(count,), axis=0, dtype=int64)
        result = elementwise.multiply(result, apply("dim", dim=values[2]))
        result = elementwise.add(result, apply("dim", dim=values[0]))
    check_kinds("arange", (as_tensor(result),), "fiu")
    if held is bool_:
        raise ArgumentError("arange has no bools", hint="compare the result with something")
    return placed(convert(result, held), device)


def _number(name: str, value: Any) -> Dim | float:
    if isinstance(value, float):
        return float(value)
    try:
        return as_dim(value)
    except (ArgumentError, TracedValueError):
        raise ArgumentError(
            f"{name} takes numbers that are known while tracing, got {type(value).__name__}",
            hint="compute with dlc.iota(shape), or name the argument in static_argnames",
        ) from None


def _float(value: Dim | float) -> float:
    return value if isinstance(value, float) else float(known_extent(value))


def _steps(first: Dim, end: Dim, step: Dim) -> Dim:
    """How many numbers first, first + step, ... there are before end."""
    distance = add(end, mul(first, -1))
    # -(-a // b) is a / b rounded up, for either sign of b.
    return maximum(mul(floordiv(mul(distance, -1), step), -1), 0)


def linspace(
    start: ArrayLike,
    stop: ArrayLike,
    /,
    num: int = 50,
    endpoint: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """`num` numbers at equal distances from start to stop.

    Args:
        start: The first number; a scalar, which may be traced.
        stop: The last number.
        num: How many.
        endpoint: Whether `stop` itself is the last one, or what would follow.
        dtype: Its dtype; by default that of start and stop where they are floats, else float32.
        device: The device it lies on.

    Returns:
        A tensor with one axis, computed at float64 and rounded once: down, for an integer dtype.

    Raises:
        ArgumentError: `num` is not an integer.
        ShapeError: start or stop is not a scalar.
        ValueRangeError: `num` is negative.
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.linspace(0, 1, 5)
        Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    count = as_dim(num, "linspace: num")
    if isinstance(count, int) and count < 0:
        raise ValueRangeError(f"linspace of {count} numbers")
    ends = float_promote(start, stop)
    for end in ends:
        if end.tensor.rank:
            raise ShapeError(f"linspace to or from {end.tensor}: it takes scalars")
    held = _dtype(dtype, materialise(ends[0]).tensor.dtype)
    first, last = (convert(end, float64) for end in ends)
    steps = add(count, -1) if endpoint else count
    places = apply("iota", shape=(count,), axis=0, dtype=float64)
    total = convert(apply("dim", dim=maximum(steps, 1)), float64)
    step = elementwise.divide(elementwise.subtract(last, first), total)
    result = elementwise.add(elementwise.multiply(places, step), first)
    if endpoint and count != 1:
        at_end = elementwise.equal(places, convert(apply("dim", dim=steps), float64))
        result = composed.where(at_end, last, result)
    if held.is_integer:
        result = elementwise.floor(result)
    return placed(convert(result, held), device)


def eye(
    n_rows: int, n_cols: int | None = None, /, k: int = 0, dtype: Any = None, *, device: Any = None
) -> Tensor:
    """A matrix with ones on a diagonal and zeros elsewhere.

    Args:
        n_rows: The number of rows.
        n_cols: The number of columns; that of rows by default.
        k: The diagonal: 0 for the main one, positive above it, negative below it.
        dtype: Its dtype; float32 by default.
        device: The device it lies on.

    Returns:
        A tensor with two axes.

    Raises:
        ArgumentError: An extent is not an integer.
        ValueRangeError: An extent is negative.
        DTypeError: There is no such dtype.

    Example:
        >>> dlc.eye(2)
        Tensor([[1., 0.],
                [0., 1.]], dtype=float32)
    """
    shape = find_shape("eye", (n_rows, n_rows if n_cols is None else n_cols))
    rows = apply("iota", shape=shape, axis=0, dtype=int64)
    columns = apply("iota", shape=shape, axis=1, dtype=int64)
    on_it = elementwise.equal(columns, elementwise.add(rows, integer("eye", "k", k)))
    return placed(convert(on_it, _dtype(dtype, float32)), device)


def meshgrid(*arrays: ArrayLike, indexing: str = "xy") -> tuple[Tensor, ...]:
    """The coordinates of a grid, one tensor for each axis of it.

    Args:
        *arrays: The places along each axis: tensors with one axis, or scalars.
        indexing: "xy" exchanges the first two axes of the grid, as in a picture; "ij" does not.

    Returns:
        As many tensors, all of the grid's shape, each of its own dtype.

    Raises:
        ShapeError: A tensor has more than one axis.
        ValueRangeError: `indexing` is neither "xy" nor "ij".

    Example:
        >>> dlc.meshgrid(dlc.asarray([1, 2]), dlc.asarray([3, 4]))[0]
        Tensor([[1, 2],
                [1, 2]], dtype=int64)
    """
    if indexing not in ("xy", "ij"):
        raise ValueRangeError(f"meshgrid has no indexing {indexing!r}", hint='write "xy" or "ij"')
    tensors = [materialise(as_tensor(x)) for x in arrays]
    for t in tensors:
        if t.tensor.rank > 1:
            raise ShapeError(f"meshgrid of {t.tensor}: it takes tensors with one axis")
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    extents = [t.tensor.size for t in tensors]
    shape = tuple(extents[k] for k in order)
    columns = [
        reshaped(t, tuple(extents[k] if o == k else 1 for o in order))
        for k, t in enumerate(tensors)
    ]
    return tuple(fresh(stretch(c, shape), x) for c, x in zip(columns, arrays, strict=True))
