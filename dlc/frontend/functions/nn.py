"""Functions of neural networks: activations, normalisation, cross entropy."""

from __future__ import annotations

from collections.abc import Callable

from dlc.frontend.apply import apply, as_tensor, convert, float_promote, materialise, wide
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import composed, elementwise, reduction
from dlc.frontend.functions.arguments import (
    ArrayLike,
    check_kinds,
    find_axis,
    known_values,
    reshaped,
    types_text,
)
from dlc.frontend.functions.elementwise import named
from dlc.frontend.functions.indexing import check_classes
from dlc.frontend.native_functions import natively
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, dims_equal
from dlc.ir.errors import ShapeError, ValueRangeError, nearest
from dlc.ir.types import DType, int64

_ACTIVATION_DOC = """{summary}

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.

    Returns:
        A tensor of x's shape and of its float dtype.

    Example:
        >>> dlc.{name}({argument})
        Tensor({result}, dtype=float32)
    """


def _activation(
    name: str, summary: str, argument: str, result: str
) -> Callable[[ArrayLike], Tensor]:
    def function(x: ArrayLike, /) -> Tensor:
        return apply(name, *float_promote(x))

    doc = _ACTIVATION_DOC.format(name=name, summary=summary, argument=argument, result=result)
    return named(natively(function), name, doc)


sigmoid = _activation("sigmoid", "1 / (1 + exp(-x)), without overflow.", "0.0", "0.5")
silu = _activation("silu", "x * sigmoid(x), also known as swish.", "1.0", "0.731...")
softplus = _activation("softplus", "log(1 + exp(x)), without overflow.", "0.0", "0.693...")


@natively
def relu(x: ArrayLike, /) -> Tensor:
    """max(x, 0); NaN stays NaN, and the derivative at 0 is 0.

    Args:
        x: A tensor, array or number of any shape. Not of bool.

    Returns:
        A tensor of x's shape and dtype.

    Raises:
        DTypeError: x is of bool.

    Example:
        >>> dlc.relu(dlc.asarray([-1.0, 2.0]))
        Tensor([0., 2.], dtype=float32)
    """
    x = as_tensor(x)
    check_kinds("relu", (x,), "fiu")
    return apply("relu", x) if x.tensor.dtype.is_float else elementwise.maximum(x, 0)


@natively
def gelu(x: ArrayLike, /, *, approximate: str | bool = "none") -> Tensor:
    """x times the normal distribution function of x (Hendrycks and Gimpel, 2016).

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.
        approximate: "none" (or False) for the exact function, "tanh" (or True) for the
            approximation by tanh.

    Returns:
        A tensor of x's shape and of its float dtype.

    Raises:
        ValueRangeError: There is no such approximation.

    Example:
        >>> dlc.gelu(1.0)
        Tensor(0.841..., dtype=float32)
    """
    if approximate not in ("none", "tanh", True, False):
        raise ValueRangeError(
            f"gelu has no approximation {approximate!r}", hint='write "none" or "tanh"'
        )
    return apply("gelu_tanh" if approximate in ("tanh", True) else "gelu", *float_promote(x))


@natively
def log_sigmoid(x: ArrayLike, /) -> Tensor:
    """The logarithm of `dlc.sigmoid`, without overflow.

    Args:
        x: A tensor, array or number of any shape. Integers and bools are taken as float32.

    Returns:
        A tensor of x's shape and of its float dtype.

    Example:
        >>> dlc.log_sigmoid(0.0)
        Tensor(-0.693..., dtype=float32)
    """
    return elementwise.negative(softplus(elementwise.negative(*float_promote(x))))


def _same_float(name: str, *xs: ArrayLike) -> list[Tensor]:
    return [materialise(t) for t in float_promote(*xs)]


def _normalised(name: str, x: Tensor, parameters: list[tuple[str, Tensor]], axis: int) -> int:
    """The first of the axes that are normalised; ShapeError for parameters of another shape."""
    first = find_axis(name, axis, x.tensor)
    expected = x.tensor.shape[first:]
    for word, p in parameters:
        shape = p.tensor.shape
        if len(shape) != len(expected) or not all(map(dims_equal, shape, expected)):
            raise ShapeError(
                f"{name} of {x.tensor} from axis {first} on: the {word} is {p.tensor}, it must be "
                f"{x.tensor.with_shape(expected)}"
            )
    return first


@casts
def layer_norm(
    x: ArrayLike,
    /,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: int = -1,
    eps: float = 1e-5,
) -> Tensor:
    """x brought to mean 0 and variance 1 over its last axes (Ba et al., 2016).

    Args:
        x: A tensor or array with at least one axis. Integers and bools are taken as float32.
        weight: What the result is multiplied by, of the shape of those axes; 1 for None.
        bias: What is added to it then, of the same shape; 0 for None.
        axis: The first of the axes; -1 for the last axis alone.
        eps: What is added to the variance.

    Returns:
        A tensor of x's shape and of the common float dtype. Half types are computed at float32.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The weight or the bias has another shape.

    Example:
        >>> dlc.layer_norm(dlc.asarray([1.0, 3.0]), eps=0.0)
        Tensor([-1.,  1.], dtype=float32)
    """
    names = [n for n, p in (("weight", weight), ("bias", bias)) if p is not None]
    x, *given = _same_float("layer_norm", x, *(p for p in (weight, bias) if p is not None))
    found = dict(zip(names, given, strict=True))
    first = _normalised("layer_norm", x, list(found.items()), axis)
    kept, dtype = x.tensor.shape[first:], x.tensor.dtype
    scale, shift = (
        found[name] if name in found else apply("full", value=value, shape=kept, dtype=dtype)
        for name, value in (("weight", 1.0), ("bias", 0.0))
    )
    return apply("layer_norm", x, scale, shift, axis=first, eps=float(eps))


@casts
def rms_norm(
    x: ArrayLike, /, weight: ArrayLike | None = None, *, axis: int = -1, eps: float = 1e-6
) -> Tensor:
    """x over the root of the mean of its squares (Zhang and Sennrich, 2019).

    Args:
        x: A tensor or array with at least one axis. Integers and bools are taken as float32.
        weight: What the result is multiplied by, of the shape of the axes; 1 for None.
        axis: The first of the axes that the mean is over; -1 for the last axis alone.
        eps: What is added to the mean of the squares.

    Returns:
        A tensor of x's shape and of the common float dtype. Half types are computed at float32.

    Raises:
        IndexRangeError: The axis is out of range.
        ShapeError: The weight has another shape.

    Example:
        >>> dlc.rms_norm(dlc.asarray([2.0, -2.0]), eps=0.0)
        Tensor([ 1., -1.], dtype=float32)
    """
    x, *given = _same_float("rms_norm", x, *(() if weight is None else (weight,)))
    first = _normalised("rms_norm", x, [("weight", p) for p in given], axis)
    dtype = x.tensor.dtype
    held, *scales = (wide(t) for t in (x, *given))
    axes = tuple(range(first, x.tensor.rank))
    power = reduction.mean(elementwise.square(held), axis=axes, keepdims=True)
    result = elementwise.multiply(held, elementwise.rsqrt(elementwise.add(power, float(eps))))
    for scale in scales:
        result = elementwise.multiply(result, scale)
    return convert(result, dtype)


_REDUCTIONS = ("mean", "sum", "none")


@casts
def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    *,
    axis: int = -1,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross entropy of labels and the softmax of logits, computed without overflow.

    Args:
        logits: A tensor or array of floats, with the classes along `axis`.
        labels: The class of each example, as integers of the shape of `logits` without `axis`; or
            the probability of each class, as floats of the shape of `logits`.
        axis: The axis of the classes.
        reduction: "mean" or "sum" of the examples' losses, or "none" to return them.
        label_smoothing: The share of each label that is spread evenly over all classes.

    Returns:
        A scalar; with "none" a tensor of the shape of `logits` without `axis`. Of the common float
        dtype. A label that is no class, and not known while tracing, gives NaN.

    Raises:
        IndexRangeError: The axis is out of range, or a label is no class.
        ShapeError: The shapes do not fit.
        DTypeError: The labels are bools.
        ValueRangeError: There is no such reduction, or the smoothing is not within 0 to 1.

    Example:
        >>> dlc.cross_entropy(dlc.zeros((3, 2)), dlc.asarray([0, 1, 1]))
        Tensor(0.693..., dtype=float32)
    """
    if reduction not in _REDUCTIONS:
        raise ValueRangeError(
            f"cross_entropy has no reduction {reduction!r}", hint=nearest(reduction, _REDUCTIONS)
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueRangeError(f"cross_entropy with label_smoothing={label_smoothing}, not 0 to 1")
    (x,) = _same_float("cross_entropy", logits)
    target = materialise(as_tensor(labels))
    check_kinds("cross_entropy", (target,), "fiu")
    along = find_axis("cross_entropy", axis, x.tensor)
    if target.tensor.dtype.is_float:
        losses, dtype = _of_probabilities(x, target, along, label_smoothing)
    else:
        known = known_values(labels, target)
        check_classes("cross_entropy", known, x.tensor.shape[along])
        losses, dtype = _of_classes(x, target, along, label_smoothing)
        if known is None or not isinstance(x.tensor.shape[along], int):
            losses = _without_strangers(losses, target, x.tensor.shape[along])
    return convert(_reduced(losses, reduction), dtype)


def _reduced(losses: Tensor, how: str) -> Tensor:
    if how == "none":
        return losses
    return reduction.mean(losses) if how == "mean" else reduction.sum(losses)


def _of_probabilities(
    x: Tensor, target: Tensor, axis: int, smoothing: float
) -> tuple[Tensor, DType]:
    x, target = _same_float("cross_entropy", x, target)
    if len(x.tensor.shape) != len(target.tensor.shape) or not all(
        map(dims_equal, x.tensor.shape, target.tensor.shape)
    ):
        raise ShapeError(
            f"cross_entropy of {types_text((x.tensor, target.tensor))}: probabilities need the "
            "shape of the logits",
            hint="labels that are classes must be of integers",
        )
    dtype = x.tensor.dtype
    log_p, target = elementwise.negative(reduction.log_softmax(wide(x), axis)), wide(target)
    if smoothing:
        even = reduction.mean(target, axis=axis, keepdims=True)
        kept = elementwise.multiply(target, 1.0 - smoothing)
        target = elementwise.add(kept, elementwise.multiply(even, smoothing))
    # A class of probability 0 adds nothing, even where its logit is -inf.
    parts = composed.where(elementwise.equal(target, 0), 0, elementwise.multiply(target, log_p))
    return reduction.sum(parts, axis=axis), dtype


def _of_classes(x: Tensor, target: Tensor, axis: int, smoothing: float) -> tuple[Tensor, DType]:
    shape = x.tensor.shape
    expected = (*shape[:axis], *shape[axis + 1 :])
    held = target.tensor
    if len(held.shape) != len(expected) or not all(map(dims_equal, held.shape, expected)):
        raise ShapeError(
            f"cross_entropy of {types_text((x.tensor, held))}: labels that are classes need the "
            f"shape {held.with_shape(expected)}"
        )
    column = reshaped(convert(target, int64), (*shape[:axis], 1, *shape[axis + 1 :]))
    log_p = reduction.log_softmax(wide(x), axis)
    chosen = reshaped(apply("take_along", log_p, column, axis=axis), expected)
    losses = elementwise.negative(chosen)
    if smoothing:
        even = elementwise.negative(reduction.mean(log_p, axis=axis))
        kept = elementwise.multiply(losses, 1.0 - smoothing)
        losses = elementwise.add(kept, elementwise.multiply(even, smoothing))
    return losses, x.tensor.dtype


def _without_strangers(losses: Tensor, target: Tensor, classes: Dim) -> Tensor:
    """The losses, NaN where the label is no class."""
    places = convert(target, int64)
    within = elementwise.logical_and(
        elementwise.greater_equal(places, 0), elementwise.less(places, apply("dim", dim=classes))
    )
    return composed.where(within, losses, float("nan"))
