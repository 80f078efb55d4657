"""Statistics that leave NaN out, weighted ones, and functions of samples: curves, convolution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.frontend.apply import apply, as_tensor, convert, float_promote, materialise, promote
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import composed, elementwise, linalg, rearrange, reduction, searching
from dlc.frontend.functions.arguments import (
    ArrayLike,
    AxisLike,
    find_axes,
    find_axis,
    operands,
    reshaped,
)
from dlc.frontend.functions.composed import where
from dlc.frontend.functions.cumulative import cumprod, cumsum
from dlc.frontend.functions.elementwise import named
from dlc.frontend.functions.reducing import chosen_mean, chosen_variance, find_correction, widened
from dlc.frontend.functions.shape import concat, expand_dims, matrix_transpose, part
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import add, at_least, dims_equal
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.types import bool_, int64

_DOC = """{summary}

    Args:
        x: A tensor, array or number of any shape.
        axis: The axis or axes that are reduced; all of them for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes. {empty}

    Raises:
        IndexRangeError: An axis is out of range.

    Example:
        >>> dlc.{name}(dlc.asarray([1.0, math.nan, 3.0]))
        Tensor({shown})
    """


def _without_nan(x: ArrayLike, filling: float) -> tuple[Tensor, Tensor]:
    """`x` with a number in the place of NaN, and where there was none."""
    held = materialise(as_tensor(x))
    if not held.tensor.dtype.is_float:
        return held, apply("full", value=True, shape=held.tensor.shape, dtype=bool_)
    known = elementwise.equal(held, held)
    return where(known, held, filling), known


def _ignoring(
    name: str, summary: str, filling: float, reduce: Callable[..., Tensor], shown: str, empty: str
) -> Callable[..., Tensor]:
    def function(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
        held, known = _without_nan(x, filling)
        result = reduce(held, axis=axis, keepdims=keepdims)
        if not math.isinf(filling) or not held.tensor.dtype.is_float:
            return result
        some = reduction.any(known, axis=axis, keepdims=keepdims)
        return where(some, result, math.nan)

    doc = _DOC.format(name=name, summary=summary, shown=shown, empty=empty)
    return named(function, name, doc)


nansum = _ignoring(
    "nansum", "The sum of the elements that are not NaN.", 0, reduction.sum,
    "4., dtype=float32", "Of nothing it is 0.",
)  # fmt: skip
nanprod = _ignoring(
    "nanprod", "The product of the elements that are not NaN.", 1, reduction.prod,
    "3., dtype=float32", "Of nothing it is 1.",
)  # fmt: skip
nanmax = _ignoring(
    "nanmax", "The largest element that is not NaN.", -math.inf, reduction.max,
    "3., dtype=float32", "Of NaN alone it is NaN.",
)  # fmt: skip
nanmin = _ignoring(
    "nanmin", "The smallest element that is not NaN.", math.inf, reduction.min,
    "1., dtype=float32", "Of NaN alone it is NaN.",
)  # fmt: skip
nansum, nanprod = casts(nansum), casts(nanprod)


def _nan_place(name: str, word: str, filling: float, place: Callable[..., Tensor]) -> Any:
    def function(x: ArrayLike, /, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        held, known = _without_nan(x, filling)
        if held.tensor.dtype.is_float:
            # An infinity that was there comes before what stands for NaN.
            extreme = (reduction.max if filling < 0 else reduction.min)(
                held, axis=axis, keepdims=True
            )
            hits = elementwise.logical_and(elementwise.equal(held, extreme), known)
            return reduction.argmax(hits, axis=axis, keepdims=keepdims)
        return place(held, axis=axis, keepdims=keepdims)

    shown = "2" if filling < 0 else "0"
    doc = _DOC.format(
        name=name,
        summary=f"The first place of the {word} element that is not NaN.",
        shown=f"{shown}, dtype=int64",
        empty="Of NaN alone it is 0.",
    )
    return named(function, name, doc)


nanargmax = _nan_place("nanargmax", "largest", -math.inf, reduction.argmax)
nanargmin = _nan_place("nanargmin", "smallest", math.inf, reduction.argmin)


@casts
def nanmean(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
    """The mean of the elements that are not NaN.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        axis: The axis or axes that are averaged over; all of them for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes. Of NaN alone it is NaN.

    Raises:
        IndexRangeError: An axis is out of range.

    Example:
        >>> dlc.nanmean(dlc.asarray([1.0, math.nan, 3.0]))
        Tensor(2., dtype=float32)
    """
    (found,) = float_promote(x)
    held, known = _without_nan(found, 0)
    return chosen_mean(held, known, find_axes("nanmean", axis, held.tensor), keepdims)


@casts
def nanvar(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
    ddof: float | None = None,
) -> Tensor:
    """The variance of the elements that are not NaN.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        axis: The axis or axes that are reduced; all of them for None.
        correction: What is taken from the count; 1 gives the unbiased estimate of a sample.
        keepdims: Whether the axes stay, with extent 1.
        ddof: NumPy's name for `correction`.

    Returns:
        A tensor without those axes. Of NaN alone it is NaN.

    Raises:
        ArgumentError: `correction` is not a number, or `ddof` is another one.
        IndexRangeError: An axis is out of range.

    Example:
        >>> dlc.nanvar(dlc.asarray([1.0, math.nan, 3.0]))
        Tensor(1., dtype=float32)
    """
    correction = find_correction("nanvar", correction, ddof)
    (found,) = float_promote(x)
    held, known = _without_nan(found, 0)
    axes = find_axes("nanvar", axis, held.tensor)
    return chosen_variance(held, known, axes, correction, keepdims)


@casts
def nanstd(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
    ddof: float | None = None,
) -> Tensor:
    """The standard deviation of the elements that are not NaN.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        axis: The axis or axes that are reduced; all of them for None.
        correction: What is taken from the count; 1 gives that of a sample.
        keepdims: Whether the axes stay, with extent 1.
        ddof: NumPy's name for `correction`.

    Returns:
        A tensor without those axes. Of NaN alone it is NaN.

    Raises:
        ArgumentError: `correction` is not a number, or `ddof` is another one.
        IndexRangeError: An axis is out of range.

    Example:
        >>> dlc.nanstd(dlc.asarray([1.0, math.nan, 3.0]))
        Tensor(1., dtype=float32)
    """
    correction = find_correction("nanstd", correction, ddof)
    (found,) = float_promote(x)
    dtype = found.tensor.dtype
    spread = nanvar(widened(found), axis=axis, correction=correction, keepdims=keepdims)
    return convert(composed.flat_at_zero(elementwise.sqrt, spread), dtype)


_RUNNING_DOC = """The running {word}, where NaN counts as {filling}.

    Args:
        x: A tensor, array or number of any shape.
        axis: The axis; the flattened tensor is walked along when none is named.

    Returns:
        A tensor of the shape of x, or of one axis.

    Raises:
        IndexRangeError: The axis is out of range.

    Example:
        >>> dlc.{name}(dlc.asarray([2.0, math.nan, 3.0]))
        Tensor([{shown}], dtype=float32)
    """


def _running(name: str, word: str, filling: int, walk: Callable[..., Tensor], shown: str) -> Any:
    def function(x: ArrayLike, /, axis: int | None = None) -> Tensor:
        return walk(_without_nan(x, filling)[0], axis=axis)

    doc = _RUNNING_DOC.format(name=name, word=word, filling=filling, shown=shown)
    return named(function, name, doc)


nancumsum = _running("nancumsum", "sum", 0, cumsum, "2., 2., 5.")
nancumprod = _running("nancumprod", "product", 1, cumprod, "2., 2., 6.")


def ptp(x: ArrayLike, /, axis: AxisLike = None, *, keepdims: bool = False) -> Tensor:
    """From the smallest to the largest element: their difference.

    Args:
        x: A tensor, array or number of any shape. Not of bool.
        axis: The axis or axes that are reduced; all of them for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes, of x's dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ShapeError: There is no element to choose from.

    Example:
        >>> dlc.ptp(dlc.asarray([4, 9, 2]))
        Tensor(7, dtype=int64)
    """
    top, low = (f(x, axis=axis, keepdims=keepdims) for f in (reduction.max, reduction.min))
    return elementwise.subtract(top, low)


@casts
def average(
    x: ArrayLike,
    /,
    axis: AxisLike = None,
    weights: ArrayLike | None = None,
    *,
    keepdims: bool = False,
) -> Tensor:
    """The mean of the elements, weighted.

    Args:
        x: A tensor, array or number. Integers and bools are taken as float32.
        axis: The axis or axes that are averaged over; all of them for None.
        weights: Of x's shape, or with one axis where one is averaged over; equal ones for None.
        keepdims: Whether the axes stay, with extent 1.

    Returns:
        A tensor without those axes, of the common float dtype.

    Raises:
        IndexRangeError: An axis is out of range.
        ShapeError: The weights do not fit.

    Example:
        >>> dlc.average(dlc.asarray([1.0, 5.0]), weights=dlc.asarray([3.0, 1.0]))
        Tensor(2., dtype=float32)
    """
    if weights is None:
        return reduction.mean(x, axis=axis, keepdims=keepdims)
    values, heavy = float_promote(x, weights)
    axes = find_axes("average", axis, values.tensor)
    shape = values.tensor.shape
    if heavy.tensor.rank == 1 and len(axes) == 1 and len(shape) > 1:
        heavy = reshaped(
            heavy, tuple(heavy.tensor.size if k == axes[0] else 1 for k in range(len(shape)))
        )
    values, heavy = operands("average", values, heavy)
    if len(values.tensor.shape) != len(shape):
        raise ShapeError(f"average: weights {heavy.tensor} have more axes than x")
    total = reduction.sum(elementwise.multiply(values, heavy), axis=axis, keepdims=keepdims)
    return elementwise.divide(total, reduction.sum(heavy, axis=axis, keepdims=keepdims))


@casts
def cov(
    x: ArrayLike,
    y: ArrayLike | None = None,
    /,
    rowvar: bool = True,
    *,
    correction: float = 1,
    ddof: float | None = None,
) -> Tensor:
    """The covariances of variables, each a row of x.

    Args:
        x: A tensor or array with one or two axes. Integers and bools are taken as float32.
        y: Further variables, with as many observations.
        rowvar: Whether variables are rows, or columns.
        correction: What is taken from the number of observations.
        ddof: NumPy's name for `correction`.

    Returns:
        A matrix with a row and a column for each variable; a scalar for one variable.

    Raises:
        ArgumentError: `correction` is not a number, or `ddof` is another one.
        ShapeError: x has more axes, or y other observations.

    Example:
        >>> dlc.cov(dlc.asarray([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
        Tensor([[ 1., -1.],
                [-1.,  1.]], dtype=float32)
    """
    correction = find_correction("cov", correction, ddof, default=1.0)
    values = _variables("cov", x, rowvar)
    if y is not None:
        values = concat([values, _variables("cov", y, rowvar)], axis=0)
    distance = elementwise.subtract(values, reduction.mean(values, axis=1, keepdims=True))
    products = linalg.matmul(distance, matrix_transpose(distance))
    count = convert(apply("dim", dim=values.tensor.shape[1]), products.tensor.dtype)
    result = elementwise.divide(products, elementwise.subtract(count, correction))
    return reshaped(result, ()) if result.tensor.shape == (1, 1) else result


def _variables(name: str, x: ArrayLike, rowvar: bool) -> Tensor:
    (found,) = float_promote(x)
    held = materialise(found)
    if held.tensor.rank > 2:
        raise ShapeError(f"{name} of {held.tensor}: it takes one or two axes")
    if held.tensor.rank < 2:
        return reshaped(held, (1, held.tensor.size))
    return held if rowvar else matrix_transpose(held)


@casts
def corrcoef(x: ArrayLike, y: ArrayLike | None = None, /, rowvar: bool = True) -> Tensor:
    """The correlations of variables, each a row of x (Pearson's).

    Args:
        x: A tensor or array with one or two axes. Integers and bools are taken as float32.
        y: Further variables, with as many observations.
        rowvar: Whether variables are rows, or columns.

    Returns:
        A matrix with a row and a column for each variable; a scalar for one variable.

    Raises:
        ShapeError: x has more axes, or y other observations.

    Example:
        >>> dlc.corrcoef(dlc.asarray([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
        Tensor([[ 1., -1.],
                [-1.,  1.]], dtype=float32)
    """
    shared = cov(x, y, rowvar=rowvar)
    if not shared.tensor.rank:
        return elementwise.divide(shared, shared)
    spread = elementwise.sqrt(rearrange.diagonal(shared))
    scaled = elementwise.divide(shared, expand_dims(spread, 1))
    return composed.clip(elementwise.divide(scaled, expand_dims(spread, 0)), -1, 1)


def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    /,
    left: float | None = None,
    right: float | None = None,
) -> Tensor:
    """The values at x of the curve of straight lines through points.

    Args:
        x: Where the curve is read: a tensor, array or number of any shape.
        xp: Where the points are, in ascending order: a tensor or array with one axis.
        fp: The values there, as many.
        left: The value below the first point; that of the first by default.
        right: The value above the last point; that of the last by default.

    Returns:
        A tensor of x's shape and of the common float dtype.

    Raises:
        ShapeError: xp and fp are not vectors of one length.

    Example:
        >>> dlc.interp(2.5, dlc.asarray([1.0, 2.0, 3.0]), dlc.asarray([3.0, 2.0, 0.0]))
        Tensor(1., dtype=float32)
    """
    at, places, values = (materialise(t) for t in float_promote(x, xp, fp))
    shapes = (places.tensor.shape, values.tensor.shape)
    if len(shapes[0]) != 1 or len(shapes[1]) != 1 or not dims_equal(shapes[0][0], shapes[1][0]):
        raise ShapeError(f"interp through {places.tensor} and {values.tensor}: two vectors alike")
    last = add(shapes[0][0], -1)
    behind = searching.searchsorted(places, at, side="right")
    behind = composed.clip(behind, 1, as_tensor(last)) if last != 0 else behind
    before = elementwise.maximum(elementwise.subtract(behind, 1), 0)
    x0, x1, y0, y1 = (
        apply("take", t, i, axis=0) for t in (places, values) for i in (before, behind)
    )
    width = elementwise.subtract(x1, x0)
    flat = elementwise.equal(width, 0)
    slope = elementwise.divide(elementwise.subtract(y1, y0), where(flat, 1, width))
    result = elementwise.add(y0, elementwise.multiply(slope, elementwise.subtract(at, x0)))
    ends = [apply("take", t, as_tensor(0), axis=0) for t in (places, values)]
    tops = [apply("take", t, convert(as_tensor(last), int64), axis=0) for t in (places, values)]
    below = elementwise.less(at, ends[0])
    result = where(below, ends[1] if left is None else left, result)
    above = elementwise.greater(at, tops[0])
    result = where(above, tops[1] if right is None else right, result)
    return where(elementwise.equal(at, tops[0]), tops[1], result)


def polyval(p: ArrayLike, x: ArrayLike, /) -> Tensor:
    """The values of a polynomial, by Horner's rule.

    Args:
        p: The coefficients, that of the highest power first: a tensor or array with one axis,
            whose extent must be known.
        x: Where it is evaluated: a tensor, array or number of any shape.

    Returns:
        A tensor of x's shape and of the common dtype.

    Raises:
        ShapeError: p does not have one axis.

    Example:
        >>> dlc.polyval(dlc.asarray([1.0, 0.0, 2.0]), 3.0)
        Tensor(11., dtype=float32)
    """
    coefficients, at = promote(p, x)
    held = coefficients.tensor
    if held.rank != 1:
        raise ShapeError(f"polyval of {held}: the coefficients have one axis")
    result = elementwise.multiply(at, 0)
    for k in range(int(coefficients.shape[0])):
        factor = reshaped(part(coefficients, 0, k, k + 1), ())
        result = elementwise.add(elementwise.multiply(result, at), factor)
    return result


_CONVOLVE_DOC = """{summary}

    Args:
        x: A tensor or array with one axis.
        y: Another one; the dtypes are promoted. The extents must be known.
        mode: "full": wherever they overlap; "same": as many places as the longer one has, around
            the middle; "valid": where they overlap wholly.

    Returns:
        A tensor with one axis, of the common dtype.

    Raises:
        ShapeError: x or y does not have one axis, or is empty.
        ValueRangeError: There is no such mode.

    Example:
        >>> dlc.{name}(dlc.asarray([1, 2, 3]), dlc.asarray([0, 1]))
        Tensor({shown}, dtype=int64)
    """


def _sliding(name: str, summary: str, flipped: bool, default: str, shown: str) -> Any:
    def function(x: ArrayLike, y: ArrayLike, /, mode: str = default) -> Tensor:
        a, b = (materialise(t) for t in promote(x, y))
        for t in (a.tensor, b.tensor):
            if t.rank != 1 or not at_least(t.size, 1, expected=True):
                raise ShapeError(f"{name} of {t}: it takes vectors that are not empty")
        if mode not in ("full", "same", "valid"):
            hint = 'modes are "full", "same" and "valid"'
            raise ValueRangeError(f"{name} has no mode {mode!r}", hint=hint)
        return _slide(a, b if flipped else rearrange.flip(b), mode, flipped)

    return casts(
        named(function, name, _CONVOLVE_DOC.format(name=name, summary=summary, shown=shown))
    )


def _slide(a: Tensor, b: Tensor, mode: str, commutes: bool) -> Tensor:
    """Sums of products of a vector and another one in reverse, at every overlap of a mode."""
    m, n = int(a.shape[0]), int(b.shape[0])
    long, short = max(m, n), min(m, n)
    zero = False if a.tensor.dtype.kind == "b" else 0
    wide = apply("pad", a, low=(n - 1,), high=(n - 1,), value=zero)
    rows = apply("iota", shape=(m + n - 1, n), axis=0, dtype=int64)
    columns = apply("iota", shape=(m + n - 1, n), axis=1, dtype=int64)
    windows = apply("take", wide, elementwise.add(rows, columns), axis=0)
    full = linalg.matmul(windows, rearrange.flip(b))
    if mode == "full":
        return full
    size = long if mode == "same" else long - short + 1
    # Where the second is the longer one, NumPy swaps them, and reverses a correlation.
    start = (short - 1) // 2 if mode == "same" else short - 1
    if mode == "same" and n > m and not commutes:
        start = short - 1 - start
    return part(full, 0, start, start + size)


convolve = _sliding(
    "convolve", "The convolution of two vectors: sums of products, one of them reversed.",
    True, "full", "[0, 1, 2, 3]",
)  # fmt: skip
correlate = _sliding(
    "correlate", "The correlation of two vectors: sums of products at every shift.",
    False, "valid", "[2, 3]",
)  # fmt: skip


@casts
def trapezoid(
    y: ArrayLike, /, x: ArrayLike | None = None, dx: float = 1.0, axis: int = -1
) -> Tensor:
    """The integral along an axis by the trapezoidal rule.

    Args:
        y: The values: a tensor or array. Integers and bools are taken as float32.
        x: Where they are; it broadcasts to y, or has one axis.
        dx: Their distance where x is not given.
        axis: The axis.

    Returns:
        A tensor without that axis.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.trapezoid(dlc.asarray([1.0, 2.0, 3.0]))
        Tensor(4., dtype=float32)
    """
    pairs, steps, along = _strips("trapezoid", y, x, axis)
    if steps is None:
        return elementwise.multiply(reduction.sum(pairs, axis=along), dx / 2)
    return elementwise.multiply(reduction.sum(elementwise.multiply(pairs, steps), axis=along), 0.5)


@casts
def cumulative_trapezoid(
    y: ArrayLike, /, x: ArrayLike | None = None, dx: float = 1.0, axis: int = -1
) -> Tensor:
    """The integrals along an axis up to each place by the trapezoidal rule, as PyTorch's.

    Args:
        y: The values: a tensor or array. Integers and bools are taken as float32.
        x: Where they are; it broadcasts to y, or has one axis.
        dx: Their distance where x is not given.
        axis: The axis.

    Returns:
        A tensor of which that axis is shorter by one: the integral up to the first place is left
        out.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.cumulative_trapezoid(dlc.asarray([1.0, 2.0, 3.0]))
        Tensor([1.5, 4. ], dtype=float32)
    """
    pairs, steps, along = _strips("cumulative_trapezoid", y, x, axis)
    sums = cumsum(pairs if steps is None else elementwise.multiply(pairs, steps), axis=along)
    return elementwise.multiply(sums, dx / 2 if steps is None else 0.5)


def _strips(
    name: str, y: ArrayLike, x: ArrayLike | None, axis: int
) -> tuple[Tensor, Tensor | None, int]:
    """The sums of neighbours along an axis, their distances where x is given, and the axis."""
    (values,) = float_promote(y)
    values = materialise(values)
    along = find_axis(name, axis, values.tensor)
    pairs = elementwise.add(*_neighbours(values, along))
    if x is None:
        return pairs, None, along
    at = materialise(as_tensor(x))
    if at.tensor.rank == 1:
        size = at.tensor.size
        at = reshaped(at, tuple(size if k == along else 1 for k in range(values.tensor.rank)))
    place = find_axis(name, along - values.tensor.rank, at.tensor)
    return pairs, elementwise.subtract(*_neighbours(at, place)), along


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The second element of each pair of neighbours along an axis, and the first."""
    before = (slice(None),) * axis
    return x[(*before, slice(1, None))], x[(*before, slice(None, -1))]
