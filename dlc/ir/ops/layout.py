"""Rows that choose how a tensor lies in memory; what reads one finds it there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.dims import Dim, dims_equal, floordiv
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.op import Attrs, Input, Op, Sample, register
from dlc.ir.ops.families import ALL
from dlc.ir.ops.shape import linear_jvp
from dlc.ir.scalar import Expr
from dlc.ir.types import TensorType


def _check_width(name: str, width: Dim) -> None:
    if not isinstance(width, int) or width < 1:
        raise ValueRangeError(f"{name} of width {width}", hint="a width is a positive number")


def _infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    width = attrs["width"]
    if x.rank != 2:
        raise ShapeError(f"panels of {x}: it takes a matrix")
    _check_width("panels", width)
    if attrs["whole"] and not (isinstance(x.shape[1], int) and x.shape[1] % width == 0):
        raise ShapeError(f"panels of {x}: its columns are no whole number of {width}")
    return x.with_shape((floordiv(x.shape[1] + (width - 1), width), x.shape[0], width))


def _reference(x: Any, width: int, whole: bool) -> Any:
    rows, columns = x.shape
    blocks = -(-columns // width)
    wide = np.zeros((rows, blocks * width), x.dtype)
    wide[:, :columns] = x
    return np.ascontiguousarray(wide.reshape(rows, blocks, width).transpose(1, 0, 2))


def _lower(ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType) -> Expr:
    block, row, column = ix
    start = scalar.op("mul", block, scalar.dim(attrs["width"]))
    if attrs["whole"]:
        return inputs[0](row, scalar.op("add", start, column))
    zero = False if type_.dtype.kind == "b" else 0.0 if type_.dtype.is_float else 0
    return inputs[0].pad((row, scalar.op("add", start, column)), scalar.const(zero, type_.dtype))


def _infer_back(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    (x,) = types
    if x.rank != 3:
        raise ShapeError(f"from_panels of {x}: it takes a matrix in panels")
    blocks, rows, width = x.shape
    _check_width("from_panels", width)
    columns = attrs["columns"]
    if not dims_equal(floordiv(columns + (width - 1), width), blocks):
        raise ShapeError(f"from_panels of {x}: these are not the panels of {columns} columns")
    return x.with_shape((rows, columns))


def _reference_back(x: Any, columns: int) -> Any:
    blocks, rows, width = x.shape
    return x.transpose(1, 0, 2).reshape(rows, blocks * width)[:, :columns].copy()


def _lower_back(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    row, column = ix
    width = scalar.dim(inputs[0].type.shape[2])
    block, place = (scalar.op(name, column, width) for name in ("floordiv", "mod"))
    return inputs[0](block, row, place)


def _batch(b: Any, inputs: Any, batched: Any, width: int, whole: bool) -> Any:
    """The rows of all matrices, one below the other, in panels."""
    size, rows, columns = inputs[0].tensor.shape
    flat = b.panels(b.reshape(inputs[0], shape=(size * rows, columns)), width=width, whole=whole)
    split = b.reshape(flat, shape=(flat.tensor.shape[0], size, rows, width))
    return b.transpose(split, axes=(1, 0, 2, 3))


def _batch_back(b: Any, inputs: Any, batched: Any, columns: Dim) -> Any:
    size, blocks, rows, width = inputs[0].tensor.shape
    moved = b.transpose(inputs[0], axes=(1, 0, 2, 3))
    flat = b.from_panels(b.reshape(moved, shape=(blocks, size * rows, width)), columns=columns)
    return b.reshape(flat, shape=(size, rows, columns))


register(
    Op(
        "panels",
        "A matrix x[k,n] in panels of `width` columns (`dlc.ir.panels`): y[p,k,q] is "
        "x[k,p*width+q], or 0 behind the last column. Columns that are a `whole` number of panels "
        "are a plain copy.",
        infer=_infer,
        reference=_reference,
        attrs={"width": "int", "whole": "bool"},
        family="layout",
        lower=_lower,
        jvp=linear_jvp("panels"),
        linear=(0,),
        transpose=lambda b, ct, i, x, width, whole: b.from_panels(ct, columns=x[0].tensor.shape[1]),
        batch=_batch,
        samples=lambda: [
            *(Sample((((3, 5), d),), {"width": 2, "whole": False}) for d in ALL),
            *(Sample((((7, 64), "f32"),), {"width": 32, "whole": w}) for w in (False, True)),
            Sample((((2, 1), "f32"),), {"width": 1, "whole": True}),
            Sample((((0, 5), "f32"),), {"width": 4, "whole": False}),
            Sample((((3, 0), "f32"),), {"width": 4, "whole": False}),
        ],
    )
)
register(
    Op(
        "from_panels",
        "The matrix of so many columns that is in panels: y[k,n] is x[n/width,k,n%width].",
        infer=_infer_back,
        reference=_reference_back,
        attrs={"columns": "dim"},
        family="layout",
        lower=_lower_back,
        jvp=linear_jvp("from_panels"),
        linear=(0,),
        transpose=lambda b, ct, i, x, columns: b.panels(
            ct, width=x[0].tensor.shape[2], whole=False
        ),
        batch=_batch_back,
        cost=0,
        samples=lambda: [
            *(Sample((((3, 4, 2), d),), {"columns": 5}) for d in ALL),
            Sample((((1, 7, 32), "f32"),), {"columns": 20}),
            Sample((((2, 0, 4), "f32"),), {"columns": 8}),
            Sample((((0, 3, 4), "f32"),), {"columns": 0}),
        ],
    )
)
