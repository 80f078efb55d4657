"""Rows without arithmetic: parameters, constants, dims as values, several results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.errors import ShapeError
from dlc.ir.op import Attrs, Input, NoDerivative, Op, Sample, register
from dlc.ir.ops.families import check_number
from dlc.ir.scalar import Expr
from dlc.ir.types import TensorType, TupleType, dtype_of, int64


def _lower_full(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    return scalar.const(attrs["value"], type_.dtype)


def _lower_dim(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    return scalar.dim(attrs["dim"])


def _constant_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    value: np.ndarray[Any, Any] = attrs["value"]
    return TensorType(dtype_of(value.dtype), value.shape)


def _full_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    check_number("full", attrs["value"], attrs["dtype"])
    return TensorType(attrs["dtype"], attrs["shape"])


register(
    Op(
        "param",
        "A parameter of a function.",
        infer=lambda types, attrs: attrs["type"][0],
        attrs={"type": "types"},
        family="structural",
    )
)
register(
    Op(
        "constant",
        "An array known at compile time.",
        infer=_constant_type,
        reference=lambda value: value,
        attrs={"value": "array"},
        family="structural",
        jvp=NoDerivative("constant"),
        samples=lambda: [Sample((), {"value": np.array([[1.0, -0.0], [np.nan, 3.0]], np.float32)})],
    )
)
register(
    Op(
        "full",
        "A tensor filled with one number.",
        infer=_full_type,
        reference=lambda value, shape, dtype: np.full(shape, value, dtype.numpy),
        attrs={"value": "number", "shape": "dims", "dtype": "dtype"},
        family="structural",
        lower=_lower_full,
        jvp=NoDerivative("constant"),
        cost=0,
        samples=lambda: [
            Sample((), {"value": 2.5, "shape": (3, 5), "dtype": "f32"}),
            Sample((), {"value": -7, "shape": (), "dtype": "i16"}),
            Sample((), {"value": True, "shape": (0, 2), "dtype": "bool"}),
        ],
    )
)
register(
    Op(
        "dim",
        "A dim as an i64 scalar.",
        infer=lambda types, attrs: TensorType(int64),
        reference=lambda dim: np.array(dim, np.int64),
        attrs={"dim": "dim"},
        family="structural",
        lower=_lower_dim,
        jvp=NoDerivative("constant"),
        cost=0,
        samples=lambda: [Sample((), {"dim": 12})],
    )
)


def _get_type(types: Sequence[Any], attrs: Attrs) -> TensorType:
    (whole,) = types
    if not isinstance(whole, TupleType) or not 0 <= attrs["index"] < len(whole.items):
        raise ShapeError(f"get of result {attrs['index']} of {whole}")
    return whole.items[attrs["index"]]


register(
    Op(
        "get",
        "One of the results of a node that has several.",
        infer=_get_type,
        reference=lambda values, index: values[index],
        batch=lambda b, inputs, batched, index: b.get(inputs[0], index=index),
        attrs={"index": "int"},
        family="structural",
    )
)


def _fusion_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType | TupleType:
    results = tuple(r.tensor for r in attrs["body"].results)
    return results[0] if len(results) == 1 else TupleType(results)


register(
    Op(
        "fusion",
        "A function whose nodes are computed by one kernel.",
        infer=_fusion_type,
        attrs={"body": "function"},
        family="structural",
    )
)
