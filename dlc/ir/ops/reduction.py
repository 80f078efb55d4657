"""Rows that reduce axes. Float sums and products of half types accumulate at float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.dims import product
from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, Input, NoDerivative, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import FLOATS, NUMBERS, check_kind, is_half
from dlc.ir.ops.shape import check_axes
from dlc.ir.scalar import Axis, Expr, ReduceKind
from dlc.ir.types import DType, Shape, TensorType, dtype_of, float32, int64


def _infer(name: str, kinds: str) -> Callable[[Sequence[TensorType], Attrs], TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        x = types[0]
        check_kind(name, x, kinds)
        check_axes(name, attrs["axes"], x)
        return x.with_shape(d for k, d in enumerate(x.shape) if k not in attrs["axes"])

    return infer


def reduce_axes(
    ix: tuple[Expr, ...], shape: Shape, axes: Sequence[int]
) -> tuple[tuple[Axis, ...], list[Expr]]:
    """The axes of a reduction, and the operand's index that the result's `ix` stands for."""
    kept, reduced, at = iter(ix), [], list[Expr]()
    for k, extent in enumerate(shape):
        if k in axes:
            axis = Axis(scalar.fresh_axis(), extent)
            reduced.append(axis)
            at.append(scalar.index(axis.name))
        else:
            at.append(next(kept))
    return tuple(reduced), at


def _lower(kind: ReduceKind) -> Callable[..., Expr]:
    def lower(
        ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
    ) -> Expr:
        x = inputs[0]
        if not attrs["axes"]:
            return x(*ix)
        axes, at = reduce_axes(ix, x.type.shape, attrs["axes"])
        body = x(*at)
        wide = is_half(body.dtype) and kind in ("sum", "prod")
        result = scalar.reduce(kind, axes, scalar.convert(body, float32) if wide else body)
        return scalar.convert(result, type_.dtype)

    return lower


def _accumulating(function: Callable[..., Any]) -> Callable[..., Any]:
    """A sum or product in the element type, half types at float32 and rounded once."""

    def reference(x: Any, axes: Any) -> Any:
        wide = x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x
        return np.asarray(function(wide, axis=axes, dtype=wide.dtype)).astype(x.dtype)

    return reference


def identity_of(kind: str, dtype: DType) -> Any:
    """What a reduction of nothing gives: 0, 1, or the least or greatest value of `dtype`."""
    if kind in ("sum", "any"):
        return 0
    if kind in ("prod", "all"):
        return 1
    if dtype.is_float:
        return -np.inf if kind == "max" else np.inf
    info = np.iinfo(dtype.numpy)
    return info.min if kind == "max" else info.max


def _keep(b: Any, reduced: Any, like: Shape, axes: Sequence[int]) -> Any:
    """`reduced` stretched back over the reduced axes."""
    kept = tuple(1 if k in axes else d for k, d in enumerate(like))
    return b.broadcast_to(b.reshape(reduced, shape=kept), shape=like)


def _prod_jvp(b: Any, out: Any, x: Any, t: Any, axes: Any) -> Any:
    """The sum over k of t[k] times the product of the others: right where elements are zero."""
    shape = x[0].tensor.shape
    moved = [*(k for k in range(len(shape)) if k not in axes), *axes]
    n = product(shape[k] for k in axes)
    flat_shape = (*(shape[k] for k in moved[: len(shape) - len(axes)]), n)

    def flat(v: Any) -> Any:
        return b.reshape(b.transpose(v, axes=tuple(moved)), shape=flat_shape)

    square = (*flat_shape, n)
    dtype = x[0].tensor.dtype
    rows = b.iota(shape=square, axis=len(square) - 2, dtype=int64)
    columns = b.iota(shape=square, axis=len(square) - 1, dtype=int64)
    one = b.full(value=1.0, shape=square, dtype=dtype)
    wide = b.broadcast_to(b.reshape(flat(x[0]), shape=(*flat_shape[:-1], 1, n)), shape=square)
    others = b.reduce_prod(b.select(b.eq(rows, columns), one, wide), axes=(len(square) - 1,))
    return b.reduce_sum(b.mul(flat(t[0]), others), axes=(len(flat_shape) - 1,))


def _extreme_jvp(b: Any, out: Any, x: Any, t: Any, axes: Any) -> Any:
    """The mean of the tangents at the places that attain the extreme."""
    shape, dtype = x[0].tensor.shape, x[0].tensor.dtype
    hit = b.convert(b.eq(x[0], _keep(b, out, shape, axes)), dtype=dtype)
    count = b.reduce_sum(hit, axes=axes)
    return b.div(b.reduce_sum(b.mul(hit, t[0]), axes=axes), count)


def _samples(dtypes: Sequence[str]) -> Callable[[], list[Sample]]:
    def samples() -> list[Sample]:
        made = [Sample((((5, 19), d),), {"axes": (1,)}) for d in dtypes]
        made += [
            Sample(((shape, dtypes[0]),), {"axes": axes})
            for shape, axes in (
                ((5, 19), (0,)), ((5, 19), (0, 1)), ((3, 4, 5), (1,)), ((3, 4, 5), (0, 2)),
                ((2, 0), (1,)),
                ((), ()), ((4, 1), (1,)), ((70,), (0,)), ((3, 300), (1,)), ((129, 3), (0,)),
            )
        ]  # fmt: skip
        return made

    return samples


register(
    Op(
        "reduce_sum",
        "The sum over axes; integers wrap.",
        infer=_infer("reduce_sum", "fiu"),
        reference=_accumulating(np.sum),
        attrs={"axes": "ints"},
        family="reduction",
        lower=_lower("sum"),
        jvp=lambda b, out, x, t, axes: b.reduce_sum(t[0], axes=axes),
        linear=(0,),
        transpose=lambda b, ct, i, x, axes: _keep(b, ct, x[0].tensor.shape, axes),
        batch=batching.over_axes("reduce_sum"),
        samples=_samples(NUMBERS),
    )
)
register(
    Op(
        "reduce_prod",
        "The product over axes; integers wrap.",
        infer=_infer("reduce_prod", "fiu"),
        reference=_accumulating(np.prod),
        attrs={"axes": "ints"},
        family="reduction",
        lower=_lower("prod"),
        jvp=_prod_jvp,
        batch=batching.over_axes("reduce_prod"),
        samples=_samples(NUMBERS),
    )
)


def _extreme_reference(name: ReduceKind, function: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Any, axes: Any) -> Any:
        initial = identity_of(name, dtype_of(x.dtype))
        return np.asarray(function(x, axis=axes, initial=initial), x.dtype)

    return reference


for _name, _function, _doc in (("max", np.max, "largest"), ("min", np.min, "smallest")):
    register(
        Op(
            f"reduce_{_name}",
            f"The {_doc} element over axes; NaN where there is one; of nothing, the identity.",
            infer=_infer(f"reduce_{_name}", "fiu"),
            reference=_extreme_reference(_name, _function),  # type: ignore[arg-type]
            attrs={"axes": "ints"},
            family="reduction",
            lower=_lower(_name),  # type: ignore[arg-type]
            jvp=_extreme_jvp,
            batch=batching.over_axes(f"reduce_{_name}"),
            samples=_samples(NUMBERS),
        )
    )
for _name, _function, _doc in (
    ("any", np.any, "some element is"),
    ("all", np.all, "all elements are"),
):
    register(
        Op(
            f"reduce_{_name}",
            f"Whether {_doc} true, over axes.",
            infer=_infer(f"reduce_{_name}", "b"),
            reference=lambda x, axes, function=_function: np.asarray(function(x, axis=axes)),
            attrs={"axes": "ints"},
            family="reduction",
            lower=_lower(_name),  # type: ignore[arg-type]
            jvp=NoDerivative("integer"),
            batch=batching.over_axes(f"reduce_{_name}"),
            samples=_samples(("bool",)),
        )
    )


def _infer_arg(name: str) -> Callable[[Sequence[TensorType], Attrs], TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        x, axis = types[0], attrs["axis"]
        check_kind(name, x, "fiub")
        check_axes(name, (axis,), x)
        if x.shape[axis] == 0:
            raise ShapeError(f"{name} of {x} along axis {axis}, which is empty")
        return TensorType(int64, tuple(d for k, d in enumerate(x.shape) if k != axis))

    return infer


def _lower_arg(kind: ReduceKind) -> Callable[..., Expr]:
    def lower(
        ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
    ) -> Expr:
        axes, at = reduce_axes(ix, inputs[0].type.shape, (attrs["axis"],))
        return scalar.reduce(kind, axes, inputs[0](*at))

    return lower


def _arg_reference(function: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Any, axis: int) -> Any:
        wide = x.astype(np.float32) if x.dtype.name == "bfloat16" else x
        return np.asarray(function(wide, axis=axis), np.int64)

    return reference


for _name, _function in (("argmax", np.argmax), ("argmin", np.argmin)):
    register(
        Op(
            _name,
            f"The first position of the {_name[3:]}imum along an axis; of the first NaN.",
            infer=_infer_arg(_name),
            reference=_arg_reference(_function),
            attrs={"axis": "int"},
            family="reduction",
            lower=_lower_arg(_name),  # type: ignore[arg-type]
            jvp=NoDerivative("integer"),
            batch=batching.along_axis(_name),
            samples=lambda: [
                *(Sample((((5, 19), d),), {"axis": 1}) for d in (*NUMBERS, "bool")),
                *(Sample((((5, 19), d),), {"axis": 0}) for d in FLOATS),
                Sample((((3, 4, 5), "f32"),), {"axis": 1}),
                Sample((((300,), "f32"),), {"axis": 0}),
            ],
        )
    )
