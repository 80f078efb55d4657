"""Rows that stand for a few simpler ops.

They keep the traced IR readable and are expanded by `decompose`.

Their derivatives are those of what they expand to.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from dlc.ir.dims import Dim, product
from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import (
    FLOATS,
    check_kind,
    elementwise_samples,
    filled,
    infer_elementwise,
    is_half,
    same_shape,
)
from dlc.ir.ops.shape import check_axes
from dlc.ir.types import TensorType, float32


def stretch(b: Any, reduced: Any, like: Any, axes: Sequence[int]) -> Any:
    """A reduction's result back at the shape of what was reduced."""
    shape = like.tensor.shape
    kept = tuple(1 if k in axes else d for k, d in enumerate(shape))
    return b.broadcast_to(b.reshape(reduced, shape=kept), shape=shape)


def element_count(b: Any, shape: Sequence[Dim], like: Any) -> Any:
    """The number of elements of `shape` as a float tensor like `like`."""
    n = product(shape)
    if isinstance(n, int):
        return filled(b, float(n), like)
    return b.broadcast_to(b.convert(b.dim(dim=n), dtype=like.tensor.dtype), shape=like.tensor.shape)


def at_float32(build: Callable[..., Any]) -> Callable[..., Any]:
    """A decomposition that works at float32 for half types and rounds its result once."""

    @functools.wraps(build)  # the number of inputs is read from the signature
    def decompose(b: Any, *inputs: Any, **attrs: Any) -> Any:
        dtype = inputs[0].tensor.dtype
        if not is_half(dtype):
            return build(b, *inputs, **attrs)
        wide = [b.convert(x, dtype=float32) for x in inputs]
        return b.convert(build(b, *wide, **attrs), dtype=dtype)

    return decompose


def _pointwise(name: str, doc: str, build: Callable[..., Any]) -> None:
    register(
        Op(
            name,
            doc,
            infer=infer_elementwise(name, "f"),
            family="composite",
            decompose=at_float32(build),
            batch=batching.elementwise(name),
            samples=elementwise_samples(1, FLOATS),
        )
    )


_pointwise("relu", "max(x, 0), NaN staying NaN; its derivative at 0 is 0.", lambda b, x: b.select(
    b.le(x, filled(b, 0.0, x)), filled(b, 0.0, x), x))  # fmt: skip
_pointwise("silu", "x * sigmoid(x).", lambda b, x: b.mul(x, b.sigmoid(x)))
_pointwise(
    "gelu", "x times the normal distribution function of x (Hendrycks and Gimpel, 2016).",
    lambda b, x: b.mul(
        b.mul(filled(b, 0.5, x), x),
        b.add(filled(b, 1.0, x), b.erf(b.mul(x, filled(b, math.sqrt(0.5), x)))),
    ),
)  # fmt: skip
_pointwise(
    "gelu_tanh", "The approximation of gelu by tanh.",
    lambda b, x: b.mul(
        b.mul(filled(b, 0.5, x), x),
        b.add(
            filled(b, 1.0, x),
            b.tanh(
                b.mul(
                    filled(b, math.sqrt(2 / math.pi), x),
                    b.add(x, b.mul(filled(b, 0.044715, x), b.mul(x, b.mul(x, x)))),
                )
            ),
        ),
    ),
)  # fmt: skip


def _softplus(b: Any, x: Any) -> Any:
    # Each case is the function on both sides of 0, so that all derivatives at 0 are its own: those
    # of max(x, 0) and |x| are not.
    positive, zero = b.gt(x, filled(b, 0.0, x)), filled(b, 0.0, x)
    distance = b.select(positive, b.neg(x), x)
    return b.add(b.select(positive, x, zero), b.log1p(b.exp(distance)))


_pointwise("softplus", "log(1 + exp(x)) without overflow.", _softplus)


def _infer_axis(name: str, keep: bool) -> Callable[[Sequence[TensorType], Attrs], TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        x, axis = types[0], attrs["axis"]
        check_kind(name, x, "f")
        check_axes(name, (axis,), x)
        return x if keep else x.with_shape(d for k, d in enumerate(x.shape) if k != axis)

    return infer


def _shifted(b: Any, x: Any, axis: int) -> tuple[Any, Any]:
    """The maximum over the axis (0 where it is infinite; held constant) and x minus it."""
    top = b.stop_gradient(b.reduce_max(x, axes=(axis,)))
    finite = b.lt(b.abs(top), filled(b, math.inf, top))
    top = b.select(finite, top, filled(b, 0.0, top))
    return top, b.sub(x, stretch(b, top, x, (axis,)))


def _softmax(b: Any, x: Any, axis: int) -> Any:
    top = b.stop_gradient(b.reduce_max(x, axes=(axis,)))
    e = b.exp(b.sub(x, stretch(b, top, x, (axis,))))
    total = b.reduce_sum(e, axes=(axis,))
    # One division for the axis, not one an element: the sum is at least 1 where it is a number.
    return b.mul(e, stretch(b, b.div(filled(b, 1.0, total), total), x, (axis,)))


def _logsumexp(b: Any, x: Any, axis: int) -> Any:
    top, shifted = _shifted(b, x, axis)
    return b.add(b.log(b.reduce_sum(b.exp(shifted), axes=(axis,))), top)


def _log_softmax(b: Any, x: Any, axis: int) -> Any:
    top = b.stop_gradient(b.reduce_max(x, axes=(axis,)))
    shifted = b.sub(x, stretch(b, top, x, (axis,)))
    total = b.reduce_sum(b.exp(shifted), axes=(axis,))
    return b.sub(shifted, stretch(b, b.log(total), x, (axis,)))


def _axis_samples() -> list[Sample]:
    made = [Sample((((5, 19), d),), {"axis": 1}) for d in FLOATS]
    return [
        *made,
        Sample((((5, 19, 3), "f32"),), {"axis": 1}),
        Sample((((70,), "f32"),), {"axis": 0}),
    ]


for _name, _doc, _build in (
    ("softmax", "exp(x) over its sum along an axis.", _softmax),
    ("log_softmax", "The logarithm of softmax, without overflow.", _log_softmax),
    (
        "logsumexp",
        "The logarithm of the sum of exp(x) along an axis, without overflow.",
        _logsumexp,
    ),
):
    register(
        Op(
            _name,
            _doc,
            infer=_infer_axis(_name, keep=_name != "logsumexp"),
            attrs={"axis": "int"},
            family="composite",
            decompose=at_float32(_build),
            batch=batching.along_axis(_name),
            samples=_axis_samples,
        )
    )


def _infer_reduction(name: str) -> Callable[[Sequence[TensorType], Attrs], TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        x = types[0]
        check_kind(name, x, "f")
        check_axes(name, attrs["axes"], x)
        return x.with_shape(d for k, d in enumerate(x.shape) if k not in attrs["axes"])

    return infer


def _mean(b: Any, x: Any, axes: Sequence[int]) -> Any:
    total = b.reduce_sum(x, axes=axes)
    return b.div(total, element_count(b, [x.tensor.shape[k] for k in axes], total))


def _var(b: Any, x: Any, axes: Sequence[int], correction: float) -> Any:
    centred = b.sub(x, stretch(b, _mean(b, x, axes), x, axes))
    total = b.reduce_sum(b.mul(centred, centred), axes=axes)
    n = element_count(b, [x.tensor.shape[k] for k in axes], total)
    # Fewer elements than the correction give 0 / 0 or a division by 0, not a negative count.
    free = b.max(b.sub(n, filled(b, correction, total)), filled(b, 0.0, total))
    return b.div(total, free)


def _reduction_samples(**attrs: Any) -> Callable[[], list[Sample]]:
    return lambda: [
        *(Sample((((5, 19), d),), {"axes": (1,), **attrs}) for d in FLOATS),
        Sample((((5, 19, 3), "f32"),), {"axes": (0, 2), **attrs}),
        Sample((((40,), "f32"),), {"axes": (0,), **attrs}),
    ]


register(
    Op(
        "reduce_mean",
        "The mean over axes; NaN of nothing.",
        infer=_infer_reduction("reduce_mean"),
        attrs={"axes": "ints"},
        family="composite",
        decompose=at_float32(_mean),
        batch=batching.over_axes("reduce_mean"),
        samples=_reduction_samples(),
    )
)
register(
    Op(
        "reduce_var",
        "The sum of squared distances from the mean over the count less `correction`.",
        infer=_infer_reduction("reduce_var"),
        attrs={"axes": "ints", "correction": "number"},
        defaults={"correction": 0.0},
        family="composite",
        decompose=at_float32(_var),
        batch=batching.over_axes("reduce_var"),
        samples=_reduction_samples(correction=1.0),
    )
)


def _infer_norm(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, scale, shift = types
    check_kind("layer_norm", x, "f")
    n = attrs["axis"]
    check_axes("layer_norm", (n,) if x.rank else (), x)
    for t in (scale, shift):
        if t.dtype is not x.dtype or not same_shape(t.shape, x.shape[n:]):
            raise ShapeError(
                f"layer_norm of {x} from axis {n}: scale and shift must be "
                f"{x.with_shape(x.shape[n:])}, got {t}"
            )
    return x


def _layer_norm(b: Any, x: Any, scale: Any, shift: Any, axis: int, eps: float) -> Any:
    axes = tuple(range(axis, x.tensor.rank))
    centred = b.sub(x, stretch(b, _mean(b, x, axes), x, axes))
    variance = _mean(b, b.mul(centred, centred), axes)
    factor = b.rsqrt(b.add(variance, filled(b, eps, variance)))
    normal = b.mul(centred, stretch(b, factor, x, axes))
    shape = x.tensor.shape
    return b.add(
        b.mul(normal, b.broadcast_to(scale, shape=shape)), b.broadcast_to(shift, shape=shape)
    )


def _norm_batch(b: Any, inputs: Any, batched: Any, axis: int, eps: float) -> Any:
    x, scale, shift = inputs
    if tuple(batched) != (True, False, False):
        return None  # each element's own scale and shift are no longer those of all rows
    return b.layer_norm(x, scale, shift, axis=axis + 1, eps=eps)


register(
    Op(
        "layer_norm",
        "x at mean 0 and variance 1 over the axes from `axis`, scaled, shifted (Ba et al., 2016).",
        infer=_infer_norm,
        attrs={"axis": "int", "eps": "number"},
        defaults={"eps": 1e-5},
        family="composite",
        decompose=at_float32(_layer_norm),
        batch=_norm_batch,
        samples=lambda: [
            *(Sample((((5, 19), d), ((19,), d), ((19,), d)), {"axis": 1}) for d in FLOATS),
            Sample(
                (((2, 3, 7), "f32"), ((3, 7), "f32"), ((3, 7), "f32")), {"axis": 1, "eps": 1e-3}
            ),
        ],
    )
)
register(
    Op(
        "stop_gradient",
        "x, held constant by differentiation.",
        infer=lambda types, attrs: types[0],
        reference=lambda x: x,
        family="composite",
        jvp=lambda b, out, x, t: None,
        decompose=lambda b, x: x,
        batch=batching.elementwise("stop_gradient"),
        samples=lambda: [Sample((((3, 5), "f32"),))],
    )
)
