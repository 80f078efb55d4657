"""Convolutions along one, two, three or more axes, and their transposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from dlc.frontend.apply import apply, broadcast_to, materialise
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import elementwise
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    integer,
    reshaped,
    same_dtype,
    transposed,
    types_text,
)
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, add, ceildiv, dims_equal, floordiv, is_multiple, maximum, mul
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError, nearest
from dlc.ir.types import Shape, TensorType

Steps: TypeAlias = int | Sequence[int]
Padding: TypeAlias = int | Sequence[int] | Sequence[tuple[int, int]] | str

FORMATS = ("channels_first", "channels_last")


def steps(name: str, what: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """So many integers, from as many or from one for all.

    Raises:
        ArgumentError: Something is not an integer, or there is another number of them.
        ValueRangeError: One is less than `least`.
    """
    if isinstance(value, (tuple, list)):
        found = tuple(integer(name, what, v) for v in value)
        found = found * rank if len(found) == 1 else found
    else:
        found = (integer(name, what, value),) * rank
    if len(found) != rank:
        raise ArgumentError(
            f"{name}: {what} is {value!r}, there are {rank} axes that windows move along",
            hint=f"give one integer, or {rank}",
        )
    if any(v < least for v in found):
        raise ValueRangeError(f"{name}: {what} is {value!r}, it must be at least {least}")
    return found


def check_format(name: str, data_format: str) -> bool:
    """Whether channels are the last axis; ValueRangeError for an unknown format."""
    if data_format not in FORMATS:
        raise ValueRangeError(
            f"{name}: there is no data_format {data_format!r}", hint=nearest(data_format, FORMATS)
        )
    return data_format == "channels_last"


def paddings(
    name: str, padding: Any, extents: Shape, reaches: Sequence[Dim], stride: Sequence[int]
) -> list[tuple[Dim, Dim]]:
    """What is added before and after each axis.

    "same" adds what makes an axis as long as its stride asks for, ceil(extent / stride), of an odd
    number one more after it than before it.
    """
    rank = len(extents)
    if isinstance(padding, str):
        if padding.lower() == "valid":
            return [(0, 0)] * rank
        if padding.lower() != "same":
            raise ValueRangeError(
                f"{name}: there is no padding {padding!r}", hint='"same", "valid", or numbers'
            )
        return [_same(*each) for each in zip(extents, reaches, stride, strict=True)]
    pairs = isinstance(padding, (tuple, list)) and any(
        isinstance(v, (tuple, list)) for v in padding
    )
    if not pairs:
        return [(p, p) for p in steps(name, "padding", padding, rank, least=0)]
    if len(padding) != rank:
        raise ArgumentError(
            f"{name}: padding is {padding!r}, there are {rank} axes that windows move along"
        )
    both = [steps(name, "padding", p, 2, least=0) for p in padding]
    return [(low, high) for low, high in both]


def _same(extent: Dim, covered: Dim, stride: int) -> tuple[Dim, Dim]:
    if stride == 1:
        total: Dim = add(covered, -1)
    else:
        last = mul(add(ceildiv(extent, stride), -1), stride)
        total = maximum(add(add(last, covered), mul(extent, -1)), 0)
    low = floordiv(total, 2)
    return low, add(total, mul(low, -1))


def padded(x: Tensor, pairs: Sequence[tuple[Dim, Dim]], value: float = 0.0) -> Tensor:
    """`x` with elements around its trailing axes."""
    if all(p == (0, 0) for p in pairs):
        return x
    lead = (0,) * (x.tensor.rank - len(pairs))
    low, high = ((*lead, *(p[k] for p in pairs)) for k in range(2))
    held = value if x.tensor.dtype.is_float else int(value)
    return apply("pad", x, low=low, high=high, value=held)


def check_windows(
    name: str, types: Sequence[TensorType], extents: Shape, reaches: Sequence[Dim], first: int
) -> None:
    """ShapeError for windows that are larger than what they move over, axes from `first` on."""
    for k, (extent, covered) in enumerate(zip(extents, reaches, strict=True)):
        if isinstance(extent, int) and isinstance(covered, int) and covered > extent:
            raise ShapeError(
                f"{name} of {types_text(types)}: a window covers {covered} elements along axis "
                f"{first + k}, which has {extent} with its padding",
                hint="pad more, or choose smaller windows or a smaller dilation",
            )


@casts
def conv(
    x: ArrayLike,
    weight: ArrayLike,
    /,
    bias: ArrayLike | None = None,
    *,
    stride: Steps = 1,
    padding: Padding = 0,
    dilation: Steps = 1,
    groups: int = 1,
    data_format: str = "channels_first",
) -> Tensor:
    """The convolution of x with filters, as neural networks use the word: without turning them.

    y[n,o,p] is bias[o] plus the sum over c and r of x[n,c,p*stride+r*dilation] weight[o,c,r], x
    being padded by zeros before.

    Args:
        x: A tensor or array [N, C, *S] with at least one axis S; with channels last, [N, *S, C].
        weight: The filters [O, C/groups, *R]; with channels last, [*R, C/groups, O].
        bias: A tensor or array [O] that is added to each channel of the result.
        stride: How far a window is from the next one, one number or one an axis.
        padding: What is added around x: one number, or one an axis, or (before, after) of each;
            "valid" for nothing, "same" for as many windows as the stride fits into the axis.
        dilation: How far the elements of a window are apart.
        groups: Into how many groups the channels of x and of the result are divided: each of the
            result's groups is computed from one of x's.
        data_format: "channels_first" or "channels_last".

    Returns:
        A tensor [N, O, *P] or [N, *P, O] of the common dtype; P is
        (S + padding - (R-1)*dilation - 1) // stride + 1. Half types are summed at float32.

    Raises:
        ShapeError: Ranks or channels do not fit, or a window is larger than what it moves over.
        ArgumentError: There are more or fewer numbers than axes.
        ValueRangeError: A stride, dilation or padding is too small, or a word is unknown.
        DTypeError: An operand is of bool.

    Example:
        >>> x, w = dlc.ones((1, 3, 8, 8)), dlc.ones((16, 3, 3, 3))
        >>> dlc.conv(x, w, stride=2, padding=1).shape
        (1, 16, 4, 4)
    """
    return _conv("conv", x, weight, bias, stride, padding, dilation, groups, data_format)


def _operands(
    name: str, x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    given = [v for v in (x, weight, bias) if v is not None]
    x, weight, *rest = (materialise(t) for t in same_dtype(given))
    check_kinds(name, (x, weight), "fiu")
    return x, weight, rest[0] if rest else None


def _conv(
    name: str, x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, stride: Steps,
    padding: Padding, dilation: Steps, groups: int, data_format: str,
) -> Tensor:  # fmt: skip
    last = check_format(name, data_format)
    x, w, b = _operands(name, x, weight, bias)
    types = (x.tensor, w.tensor)
    rank = types[0].rank - 2
    if rank < 1 or types[1].rank != rank + 2:
        raise ShapeError(
            f"{name} of {types_text(types)}: both must have one axis for channels, one for the "
            "batch or the filters, and as many more, at least one",
            hint="a single image becomes a batch of one by x[None]",
        )
    if last:
        x = transposed(x, (0, rank + 1, *range(1, rank + 1)))
        w = transposed(w, (rank + 1, rank, *range(rank)))
    strides, dilations = (
        steps(name, "stride", stride, rank),
        steps(name, "dilation", dilation, rank),
    )
    groups = _check_groups(name, groups, x.tensor.shape[1], w.tensor.shape, types)
    _check_bias(name, b, w.tensor.shape[0])
    reaches = [
        add(mul(add(r, -1), d), 1) for r, d in zip(w.tensor.shape[2:], dilations, strict=True)
    ]
    around = paddings(name, padding, x.tensor.shape[2:], reaches, strides)
    for k, (d, (low, high), r) in enumerate(zip(x.tensor.shape[2:], around, reaches, strict=True)):
        total = add(add(d, low), high)
        if isinstance(total, int) and isinstance(r, int) and r > total:
            raise ShapeError(
                f"{name} of {types_text(types)}: a window covers {r} elements along axis "
                f"{k + 1 if last else k + 2}, which has {total} with its padding",
                hint="pad more, or choose smaller filters or a smaller dilation",
            )
    result = _convolved(padded(x, around), w, groups, strides, dilations)
    result = result if b is None else elementwise.add(result, _per_channel(b, rank))
    return transposed(result, (0, *range(2, rank + 2), 1)) if last else result


@natively
def _convolved(
    x: Tensor, w: Tensor, groups: int, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Tensor:
    attrs: dict[str, Any] = {"stride": stride, "dilation": dilation}
    if groups == 1:
        return apply("convolution", x, w, **attrs)
    if w.tensor.shape[1] == 1:
        return _depthwise(x, w, attrs)
    result = apply("convolution", _split(x, 1, groups), _split(w, 0, groups), grouped=True, **attrs)
    return _joined(result)


def _depthwise(x: Tensor, w: Tensor, attrs: dict[str, Any]) -> Tensor:
    """Filters of one channel each; several for a channel read it repeated."""
    n, channels, *extents = x.tensor.shape
    filters, _, *sizes = w.tensor.shape
    each = floordiv(filters, channels)
    if each != 1:
        apart = reshaped(x, (n, channels, 1, *extents))
        x = reshaped(broadcast_to(apart, (n, channels, each, *extents)), (n, filters, *extents))
    return apply("depthwise_convolution", x, reshaped(w, (filters, *sizes)), **attrs)


def _split(x: Tensor, axis: int, groups: int) -> Tensor:
    """`x` with an axis of so many groups in front of an axis."""
    shape = x.tensor.shape
    inner = floordiv(shape[axis], groups)
    return reshaped(x, (*shape[:axis], groups, inner, *shape[axis + 1 :]))


def _joined(x: Tensor) -> Tensor:
    """`x` with the groups at axis 1 one after another along the channels."""
    n, groups, channels, *rest = x.tensor.shape
    return reshaped(x, (n, mul(groups, channels), *rest))


def _check_groups(
    name: str, groups: Any, channels: Dim, filters: Shape, types: Sequence[TensorType]
) -> int:
    count = integer(name, "groups", groups)
    if count < 1:
        raise ValueRangeError(f"{name}: groups is {groups}, it must be at least 1")
    each = filters[1]
    if not dims_equal(channels, mul(each, count)):
        raise ShapeError(
            f"{name} of {types_text(types)}: the tensor has {channels} channels, the filters are "
            + (f"for {each}" if count == 1 else f"for {count} groups of {each}")
        )
    if not is_multiple(filters[0], count):
        raise ShapeError(
            f"{name} of {types_text(types)}: {filters[0]} filters cannot be divided into {count} "
            "groups"
        )
    return count


def _check_bias(name: str, bias: Tensor | None, channels: Dim) -> None:
    if bias is None:
        return
    shape = bias.tensor.shape
    if len(shape) != 1 or not dims_equal(shape[0], channels):
        raise ShapeError(
            f"{name}: the bias is {bias.tensor}, it must be "
            f"{bias.tensor.with_shape((channels,))}, one number for each channel of the result"
        )


@natively
def _per_channel(bias: Tensor, rank: int) -> Tensor:
    return reshaped(bias, (*bias.tensor.shape, *(1,) * rank))


_CONV_DOC = """The convolution of x with filters along {axes}, as `torch.nn.functional.{name}`.

    See `dlc.conv` for what it computes.

    Args:
        x: A tensor or array {x}, or a single one without N.
        weight: The filters {w}.
        bias: A tensor or array [O] that is added to each channel of the result.
        stride: How far a window is from the next one, one number or one an axis.
        padding: What is added on either side of x: one number or one an axis; "valid" for nothing,
            "same" for a result as long as x, with stride 1.
        dilation: How far the elements of a window are apart.
        groups: Into how many groups the channels are divided.

    Returns:
        A tensor {y} of the common dtype.

    Raises:
        ShapeError: Ranks or channels do not fit, or a window is larger than what it moves over.
        ArgumentError: There are more or fewer numbers than axes.
        ValueRangeError: A stride, dilation or padding is too small; "same" with a stride.

    Example:
        >>> dlc.{name}(dlc.ones({shape}), dlc.ones({filters}), padding=1).shape
        {result}
    """

_AXES = {1: "L", 2: "H, W", 3: "D, H, W"}
_WORDS = {1: "one axis", 2: "two axes", 3: "three axes"}


def _with_doc(function: Callable[..., Tensor], name: str, doc: str, rank: int) -> None:
    function.__name__ = function.__qualname__ = name
    sizes = {1: (8,), 2: (8, 8), 3: (4, 8, 8)}[rank]
    taps = ", ".join("KKK"[:rank])
    transposing = name.startswith("conv_transpose")
    function.__doc__ = doc.format(
        name=name,
        axes=_WORDS[rank],
        x=f"[N, C, {_AXES[rank]}]",
        w=f"[C, O/groups, {taps}]" if transposing else f"[O, C/groups, {taps}]",
        y=f"[N, O, {_AXES[rank]}]",
        shape=(1, 4, *sizes),
        filters=(4, 6, *(3,) * rank) if transposing else (6, 4, *(3,) * rank),
        result=(1, 6, *sizes),
    )


def _batched(name: str, x: ArrayLike, w: ArrayLike, rank: int) -> tuple[Tensor, bool]:
    """(x with a batch axis, whether it had none)."""
    x, w = (materialise(t) for t in same_dtype([x, w]))
    if x.tensor.rank not in (rank + 1, rank + 2) or w.tensor.rank != rank + 2:
        raise ShapeError(
            f"{name} of {types_text((x.tensor, w.tensor))}: it takes a tensor [N, C, {_AXES[rank]}]"
            f" (or without N) and filters of {rank + 2} axes"
        )
    single = x.tensor.rank == rank + 1
    return (reshaped(x, (1, *x.tensor.shape)) if single else x), single


def _unbatched(x: Tensor, single: bool) -> Tensor:
    return reshaped(x, x.tensor.shape[1:]) if single else x


def _conv_function(rank: int) -> Callable[..., Tensor]:
    name = f"conv{rank}d"

    def function(
        x: ArrayLike,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride: Steps = 1,
        padding: Padding = 0,
        dilation: Steps = 1,
        groups: int = 1,
    ) -> Tensor:
        held, single = _batched(name, x, weight, rank)
        if padding == "same" and any(s != 1 for s in steps(name, "stride", stride, rank)):
            raise ValueRangeError(
                f'{name}: padding="same" needs stride 1, as in PyTorch',
                hint="dlc.conv has Keras's meaning of it for other strides",
            )
        result = _conv(
            name, held, weight, bias, stride, padding, dilation, groups, "channels_first"
        )
        return _unbatched(result, single)

    _with_doc(function, name, _CONV_DOC, rank)
    return function


conv1d, conv2d, conv3d = (casts(_conv_function(rank)) for rank in (1, 2, 3))


# Transposed


_TRANSPOSED_DOC = """The transpose of a convolution along {axes}, as `torch.nn.functional.{name}`.

    Each element of x adds its multiple of the filters to a window of the result: the derivative of
    a convolution in its operand, which is used to make images larger.

    Args:
        x: A tensor or array {x}, or a single one without N.
        weight: The filters {w}.
        bias: A tensor or array [O] that is added to each channel of the result.
        stride: How far a window of the result is from the next one, one number or one an axis.
        padding: How much is cut off on either side of the result.
        output_padding: How much longer the result is at its end; less than the stride or dilation.
        groups: Into how many groups the channels are divided.
        dilation: How far the elements of a window are apart.

    Returns:
        A tensor {y} of the common dtype, whose extents are
        (extent-1)*stride + (K-1)*dilation + 1 - 2*padding + output_padding.

    Raises:
        ShapeError: Ranks or channels do not fit, or nothing of the result would be left.
        ArgumentError: There are more or fewer numbers than axes.
        ValueRangeError: A number is too small, or output_padding is too large.

    Example:
        >>> dlc.{name}(dlc.ones({shape}), dlc.ones({filters}), padding=1).shape
        {result}
    """


def _transposed_function(rank: int) -> Callable[..., Tensor]:
    name = f"conv_transpose{rank}d"

    def function(
        x: ArrayLike,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride: Steps = 1,
        padding: Steps = 0,
        output_padding: Steps = 0,
        groups: int = 1,
        dilation: Steps = 1,
    ) -> Tensor:
        held, single = _batched(name, x, weight, rank)
        held, w, b = _operands(name, held, weight, bias)
        result = _transposed(
            name, held, w, rank, integer(name, "groups", groups),
            steps(name, "stride", stride, rank), steps(name, "padding", padding, rank, least=0),
            steps(name, "output_padding", output_padding, rank, least=0),
            steps(name, "dilation", dilation, rank),
        )  # fmt: skip
        _check_bias(name, b, result.tensor.shape[1])
        result = result if b is None else elementwise.add(result, _per_channel(b, rank))
        return _unbatched(result, single)

    _with_doc(function, name, _TRANSPOSED_DOC, rank)
    return function


def _transposed(
    name: str, x: Tensor, w: Tensor, rank: int, groups: int, stride: tuple[int, ...],
    padding: tuple[int, ...], longer: tuple[int, ...], dilation: tuple[int, ...],
) -> Tensor:  # fmt: skip
    types = (x.tensor, w.tensor)
    if groups < 1:
        raise ValueRangeError(f"{name}: groups is {groups}, it must be at least 1")
    if not dims_equal(types[0].shape[1], types[1].shape[0]):
        raise ShapeError(
            f"{name} of {types_text(types)}: the tensor has {types[0].shape[1]} channels, the "
            f"filters are for {types[1].shape[0]}"
        )
    if not is_multiple(types[0].shape[1], groups):
        raise ShapeError(
            f"{name} of {types_text(types)}: {types[0].shape[1]} channels cannot be divided into "
            f"{groups} groups"
        )
    if any(o and o >= max(s, d) for o, s, d in zip(longer, stride, dilation, strict=True)):
        raise ValueRangeError(
            f"{name}: output_padding is {longer}, it must be less than the stride or the dilation"
        )
    sizes = types[1].shape[2:]
    reached = [
        add(add(mul(add(e, -1), s), mul(add(r, -1), d)), 1)
        for e, s, r, d in zip(types[0].shape[2:], stride, sizes, dilation, strict=True)
    ]
    full = [add(d, o) for d, o in zip(reached, longer, strict=True)]
    for d, p in zip(full, padding, strict=True):
        if isinstance(d, int) and d - 2 * p < 1:
            raise ShapeError(
                f"{name} of {types_text(types)}: with padding {padding} nothing of the result's "
                f"extents {tuple(full)} is left"
            )
    # With more behind the last window there would be one more window.
    behind = [min(o, s - 1) for o, s in zip(longer, stride, strict=True)]
    extents = tuple(add(d, o) for d, o in zip(reached, behind, strict=True))
    attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "extents": extents}
    if groups > 1:
        x, w = _split(x, 1, groups), _split(w, 0, groups)
        result = _joined(apply("convolution_transpose", x, w, grouped=True, **attrs))
    else:
        result = apply("convolution_transpose", x, w, **attrs)
    result = padded(result, [(0, o - b) for o, b in zip(longer, behind, strict=True)])
    if not any(padding):
        return result
    shape = result.tensor.shape
    limit = (*shape[:2], *(add(d, -p) for d, p in zip(full, padding, strict=True)))
    return apply("slice", result, start=(0, 0, *padding), limit=limit, step=(1,) * len(shape))


conv_transpose1d, conv_transpose2d, conv_transpose3d = (
    casts(_transposed_function(rank)) for rank in (1, 2, 3)
)
