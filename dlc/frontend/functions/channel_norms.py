"""Normalisation of channels: over the batch, in groups, one by one, and by neighbours."""

from __future__ import annotations

from dlc.frontend.apply import apply, convert, float_promote, materialise, wide
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import composed, elementwise, reduction
from dlc.frontend.functions.arguments import ArrayLike, integer, reshaped
from dlc.frontend.functions.convolution import padded
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, dims_equal, floordiv, is_multiple, product
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.types import DType, Shape


def _operands(
    name: str, x: ArrayLike, parameters: dict[str, ArrayLike | None], least: int = 2
) -> tuple[Tensor, dict[str, Tensor | None], DType]:
    """x and parameters of one number a channel, and their common float dtype.

    Where that is a half type, they are at float32: only results are rounded.
    """
    given = {k: v for k, v in parameters.items() if v is not None}
    first, *rest = (materialise(t) for t in float_promote(x, *given.values()))
    if first.tensor.rank < least:
        raise ShapeError(f"{name} of {first.tensor}: it takes a tensor [N, C, ...]")
    channels = first.tensor.shape[1]
    found: dict[str, Tensor | None] = dict.fromkeys(parameters)
    for word, p in zip(given, rest, strict=True):
        shape = p.tensor.shape
        if len(shape) != 1 or not dims_equal(shape[0], channels):
            raise ShapeError(
                f"{name} of {first.tensor}: the {word} is {p.tensor}, it must be "
                f"{p.tensor.with_shape((channels,))}, one number a channel"
            )
        found[word] = wide(p)
    return wide(first), found, first.tensor.dtype


def _scaled(x: Tensor, held: dict[str, Tensor | None], shape: Shape) -> Tensor:
    """x times the weight and plus the bias, where there are such, each in a shape."""
    for name, applied in (("weight", elementwise.multiply), ("bias", elementwise.add)):
        p = held[name]
        x = x if p is None else applied(x, reshaped(p, shape))
    return x


@casts
def batch_norm(
    x: ArrayLike,
    running_mean: ArrayLike | None = None,
    running_var: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel (Ioffe and Szegedy, 2015).

    In training the mean and variance are those of the batch, and the running ones are returned
    too, as tensors have no state. Otherwise they are the running ones.

    Args:
        x: A tensor or array [N, C, ...].
        running_mean: The mean of each channel up to now [C].
        running_var: The variance up to now [C].
        weight: What each channel is multiplied by [C], if anything.
        bias: What is added to each channel [C], if anything.
        training: Whether to normalise by the batch.
        momentum: The share of the batch in the new running mean and variance, as in PyTorch.
        eps: What is added to the variance.

    Returns:
        A tensor of x's shape; in training (tensor, running mean, running variance), where the
        latter are those of this batch if none were given. The running variance is the one with
        n - 1 in the denominator.

    Raises:
        ShapeError: A parameter has not one number a channel.
        ArgumentError: There is no mean or variance to normalise by.

    Example:
        >>> y, mean, var = dlc.batch_norm(dlc.asarray([[1.0], [3.0]]), training=True)
        >>> mean, var
        (Tensor([2.], dtype=float32), Tensor([2.], dtype=float32))
    """
    parameters = {
        "running mean": running_mean, "running variance": running_var, "weight": weight,
        "bias": bias,
    }  # fmt: skip
    x, held, dtype = _operands("batch_norm", x, parameters)
    mean, var, rank = held["running mean"], held["running variance"], x.tensor.rank
    shape = (x.tensor.shape[1], *(1,) * (rank - 2))  # of a number a channel, beside x
    if not training:
        if mean is None or var is None:
            raise ArgumentError("batch_norm without training needs running_mean and running_var")
        centred = elementwise.subtract(x, reshaped(mean, shape))
        factor = elementwise.rsqrt(elementwise.add(var, eps))
        y = elementwise.multiply(centred, reshaped(factor, shape))
        return convert(_scaled(y, held, shape), dtype)
    axes = (0, *range(2, rank))
    own_mean = reduction.mean(x, axis=axes)
    own_var = reduction.var(x, axis=axes)
    centred = elementwise.subtract(x, reshaped(own_mean, shape))
    factor = elementwise.rsqrt(elementwise.add(own_var, eps))
    y = _scaled(elementwise.multiply(centred, reshaped(factor, shape)), held, shape)
    count = product(x.tensor.shape[a] for a in axes)
    own_var = unbiased(own_var, count)
    means = own_mean if mean is None else moved(mean, own_mean, momentum, count)
    variances = own_var if var is None else moved(var, own_var, momentum, count)
    means, variances = (apply("stop_gradient", convert(t, dtype)) for t in (means, variances))
    return convert(y, dtype), means, variances


def unbiased(var: Tensor, count: Dim) -> Tensor:
    """The variance of `count` values with n - 1 in the denominator; that of one value stays."""
    if isinstance(count, int):
        return elementwise.multiply(var, count / (count - 1)) if count > 1 else var
    n = apply("convert", apply("dim", dim=count), dtype=var.tensor.dtype)
    return elementwise.multiply(
        var, elementwise.divide(n, elementwise.maximum(elementwise.subtract(n, 1.0), 1.0))
    )


def moved(old: Tensor, new: Tensor, momentum: float, count: Dim) -> Tensor:
    """A running value moved towards that of a batch, which has none if it is empty."""
    after = elementwise.add(
        elementwise.multiply(old, 1.0 - momentum), elementwise.multiply(new, momentum)
    )
    if isinstance(count, int):
        return after if count else old
    return composed.where(elementwise.not_equal(apply("dim", dim=count), 0), after, old)


@casts
def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each example normalised over groups of channels (Wu and He, 2018), as in PyTorch.

    Args:
        x: A tensor or array [N, C, ...].
        num_groups: Into how many groups the channels are divided.
        weight: What each channel is multiplied by [C], if anything.
        bias: What is added to each channel [C], if anything.
        eps: What is added to the variance.

    Returns:
        A tensor of x's shape.

    Raises:
        ShapeError: A parameter has not one number a channel, or the channels cannot be divided.
        ValueRangeError: There is less than one group.

    Example:
        >>> dlc.group_norm(dlc.asarray([[1.0, 3.0, 5.0, 9.0]]), 2)
        Tensor([[-0.9999...,  0.9999..., -0.9999...,  0.9999...]], dtype=float32)
    """
    x, held, dtype = _operands("group_norm", x, {"weight": weight, "bias": bias})
    groups = integer("group_norm", "num_groups", num_groups)
    if groups < 1:
        raise ValueRangeError(f"group_norm: num_groups is {groups}, it must be at least 1")
    n, channels, *rest = x.tensor.shape
    if not is_multiple(channels, groups):
        raise ShapeError(
            f"group_norm of {x.tensor}: {channels} channels cannot be divided into {groups} groups"
        )
    shape = (n, groups, floordiv(channels, groups), product(rest))
    return _each_normalised(x, shape, held, eps, dtype)


def _each_normalised(
    x: Tensor, shape: Shape, held: dict[str, Tensor | None], eps: float, dtype: DType
) -> Tensor:
    """x as [N, groups, channels of a group, elements of a channel], each group normalised."""
    # One nest of loops for each group, its channels' parameters included.
    parted = reshaped(x, shape)
    centred = elementwise.subtract(parted, reduction.mean(parted, axis=(2, 3), keepdims=True))
    var = reduction.mean(elementwise.square(centred), axis=(2, 3), keepdims=True)
    y = elementwise.multiply(centred, elementwise.rsqrt(elementwise.add(var, eps)))
    return convert(reshaped(_scaled(y, held, (*shape[1:3], 1)), x.tensor.shape), dtype)


@casts
def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each example normalised (Ulyanov, Vedaldi and Lempitsky, 2016).

    Args:
        x: A tensor or array [N, C, ...] with at least one more axis.
        weight: What each channel is multiplied by [C], if anything.
        bias: What is added to each channel [C], if anything.
        eps: What is added to the variance.

    Returns:
        A tensor of x's shape.

    Raises:
        ShapeError: There is nothing to normalise over, or a parameter has not one number a channel.

    Example:
        >>> dlc.instance_norm(dlc.asarray([[[1.0, 3.0]]]))
        Tensor([[[-0.9999...,  0.9999...]]], dtype=float32)
    """
    x, held, dtype = _operands("instance_norm", x, {"weight": weight, "bias": bias}, least=3)
    n, channels, *rest = x.tensor.shape
    shape = (n, channels, 1, product(rest))
    return _each_normalised(x, shape, held, eps, dtype)


@casts
def local_response_norm(
    x: ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha * mean of squares of neighbouring channels) ** beta.

    As `torch.nn.functional.local_response_norm` (Krizhevsky, Sutskever and Hinton, 2012).

    Args:
        x: A tensor or array [N, C, ...] with at least one more axis.
        size: Over how many channels squares are summed, size // 2 of them before each one.
        alpha: What the mean of squares is multiplied by.
        beta: The exponent.
        k: What is added.

    Returns:
        A tensor of x's shape.

    Raises:
        ShapeError: There are less than three axes.
        ValueRangeError: The size is less than 1.

    Example:
        >>> dlc.local_response_norm(dlc.ones((1, 2, 1)), 2, alpha=1.0, beta=1.0)
        Tensor([[[0.6666...],
                 [0.5      ]]], dtype=float32)
    """
    x, _, dtype = _operands("local_response_norm", x, {}, least=3)
    count = integer("local_response_norm", "size", size)
    if count < 1:
        raise ValueRangeError(f"local_response_norm: size is {count}, it must be at least 1")
    n, channels, *rest = x.tensor.shape
    flat = reshaped(elementwise.square(x), (n, channels, product(rest)))
    around = padded(flat, [(count // 2, (count - 1) // 2), (0, 0)])
    ones = (1, 1)
    total = apply("window_sum", around, sizes=(count, 1), stride=ones, dilation=ones)
    mean = elementwise.divide(reshaped(total, x.tensor.shape), count)
    scale = elementwise.add(elementwise.multiply(mean, alpha), k)
    return convert(elementwise.divide(x, composed.pow(scale, beta)), dtype)
