"""The contraction: matmul, tensordot and einsum all trace to `dot_general`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.dims import DimUnknown, at_least, dims_equal, product, proving
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.op import Attrs, Input, Op, Sample, register
from dlc.ir.ops.batching import all_batched, to_front
from dlc.ir.ops.families import NUMBERS, accumulator, check_kind
from dlc.ir.ops.shape import check_axes, inverse
from dlc.ir.scalar import Axis, Expr
from dlc.ir.types import TensorType

AXES = ("lhs_batch", "lhs_contract", "rhs_batch", "rhs_contract")


def _free(rank: int, *taken: Sequence[int]) -> list[int]:
    used = {a for axes in taken for a in axes}
    return [k for k in range(rank) if k not in used]


def _infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, y = types
    if x.dtype is not y.dtype:
        raise DTypeError(f"dot_general of {x} and {y}: element types differ")
    check_kind("dot_general", x, "fiu")
    lb, lc, rb, rc = (attrs[a] for a in AXES)
    check_axes("dot_general", (*lb, *lc), x)
    check_axes("dot_general", (*rb, *rc), y)
    if len(lb) != len(rb) or len(lc) != len(rc):
        raise ShapeError(f"dot_general of {x} and {y}: axes {lb}, {lc} do not pair with {rb}, {rc}")
    for i, j in zip((*lb, *lc), (*rb, *rc), strict=True):
        if not dims_equal(x.shape[i], y.shape[j]):
            raise ShapeError(
                f"product of {x} and {y}: axis {i} has {x.shape[i]} elements, "
                f"axis {j} has {y.shape[j]}",
                hint="the extents that are summed over must be equal",
            )
    batch = [x.shape[k] for k in lb]
    return x.with_shape(
        [
            *batch,
            *(x.shape[k] for k in _free(x.rank, lb, lc)),
            *(y.shape[k] for k in _free(y.rank, rb, rc)),
        ]
    )


def _reference(
    x: Any, y: Any, lhs_batch: Any, lhs_contract: Any, rhs_batch: Any, rhs_contract: Any
) -> Any:
    half = x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
    a, b = (v.astype(np.float32) if half else v for v in (x, y))
    left, right = list(range(a.ndim)), list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip((*lhs_batch, *lhs_contract), (*rhs_batch, *rhs_contract), strict=True):
        right[j] = left[i]
    out = [left[k] for k in lhs_batch]
    out += [left[k] for k in _free(a.ndim, lhs_batch, lhs_contract)]
    out += [right[k] for k in _free(b.ndim, rhs_batch, rhs_contract)]
    return np.einsum(a, left, b, right, out, optimize=a.dtype.kind == "f").astype(x.dtype)


def _lower(ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType) -> Expr:
    x, y = inputs
    lb, lc, rb, rc = (attrs[a] for a in AXES)
    lf, rf = _free(x.type.rank, lb, lc), _free(y.type.rank, rb, rc)
    at_x: dict[int, Expr] = dict(zip((*lb, *lf), ix, strict=False))
    at_y: dict[int, Expr] = dict(
        zip((*rb, *rf), (*ix[: len(lb)], *ix[len(lb) + len(lf) :]), strict=True)
    )
    axes: list[Axis] = []
    for i, j in zip(lc, rc, strict=True):
        axis = Axis(scalar.fresh_axis(), x.type.shape[i])
        axes.append(axis)
        at_x[i] = at_y[j] = scalar.index(axis.name)
    a = x(*(at_x[k] for k in range(x.type.rank)))
    b = y(*(at_y[k] for k in range(y.type.rank)))
    total = scalar.dot(tuple(axes), a, b, accumulator(type_.dtype))
    return scalar.convert(total, type_.dtype)


def _jvp(b: Any, out: Any, x: Any, t: Any, **attrs: Any) -> Any:
    s = None if t[0] is None else b.dot_general(t[0], x[1], **attrs)
    u = None if t[1] is None else b.dot_general(x[0], t[1], **attrs)
    return u if s is None else s if u is None else b.add(s, u)


def _transpose(
    b: Any,
    ct: Any,
    i: int,
    x: Any,
    lhs_batch: Any,
    lhs_contract: Any,
    rhs_batch: Any,
    rhs_contract: Any,
) -> Any:
    """The cotangent contracted with the other operand over that operand's free axes.

    The operands keep their sides, so that the result's axes come in the order of input `i` where
    they can.
    """
    batch, contract = ((lhs_batch, rhs_batch), (lhs_contract, rhs_contract))
    other = 1 - i
    mine_free = _free(x[i].tensor.rank, batch[i], contract[i])
    other_free = _free(x[other].tensor.rank, batch[other], contract[other])
    n = len(batch[i])
    pairs = dict(zip(contract[other], contract[i], strict=True))
    mine_contracted = [pairs[k] for k in sorted(contract[other])]
    batch_ct = tuple(range(n))
    if i == 0:
        first = n + len(mine_free)
        in_ct = tuple(range(first, first + len(other_free)))
        result = b.dot_general(
            ct,
            x[1],
            lhs_batch=batch_ct,
            lhs_contract=in_ct,
            rhs_batch=rhs_batch,
            rhs_contract=tuple(other_free),
        )
        order = [*lhs_batch, *mine_free, *mine_contracted]
    else:
        in_ct = tuple(range(n, n + len(other_free)))
        result = b.dot_general(
            x[0],
            ct,
            lhs_batch=lhs_batch,
            lhs_contract=tuple(other_free),
            rhs_batch=batch_ct,
            rhs_contract=in_ct,
        )
        order = [*rhs_batch, *mine_contracted, *mine_free]
    return b.transpose(result, axes=inverse(order)) if order != sorted(order) else result


def _batch(b: Any, inputs: Any, batched: Any, **attrs: Any) -> Any:
    """The batch axis is a free one where it then comes first in the result, else a batch axis.

    In the second case an operand without it is repeated, which costs nothing, as kernels read
    through it; to move axes of the result would be a copy of it. But the cotangent of what is
    repeated is a sum over the batch, which is not to be larger than the cotangent of the result.
    """
    lb, lc, rb, rc = (tuple(attrs[a]) for a in AXES)
    x, y = inputs
    if all(batched) or _repeats(inputs, batched, lb, lc, rb, rc):
        x, y = all_batched(b, inputs, batched)
        both = ((0, *_behind(lb)), _behind(lc), (0, *_behind(rb)), _behind(rc))
        return b.dot_general(x, y, **_attrs(*both))
    if batched[0]:
        out = b.dot_general(x, y, **_attrs(_behind(lb), _behind(lc), rb, rc))
        return to_front(b, out, len(lb))
    if len(rb) + len(rc) == y.tensor.rank - 1:
        out = b.dot_general(y, x, **_attrs(_behind(rb), _behind(rc), lb, lc))
        return to_front(b, out, len(lb))
    out = b.dot_general(x, y, **_attrs(lb, lc, _behind(rb), _behind(rc)))
    return to_front(b, out, x.tensor.rank - len(lc))


def _repeats(inputs: Any, batched: Any, *axes: tuple[int, ...]) -> bool:
    """Whether the operand without the batch axis is to be repeated along it."""
    lb, lc, rb, rc = axes
    side = 0 if batched[0] else 1
    contracted, paired = ((lc, lb), (rc, rb))[side]
    free = _free(inputs[side].tensor.rank - 1, contracted, paired)
    if not lb and (side == 0 or not free or len(lc) == inputs[0].tensor.rank):
        return False  # the batch axis comes first as a free one
    shape = inputs[side].tensor.shape[1:]
    try:
        with proving():
            return at_least(product(shape[k] for k in free), product(shape[k] for k in contracted))
    except DimUnknown:
        return False


def _behind(axes: Sequence[int]) -> tuple[int, ...]:
    """Axes of an element in a batch."""
    return tuple(a + 1 for a in axes)


def _attrs(
    lb: Sequence[int], lc: Sequence[int], rb: Sequence[int], rc: Sequence[int]
) -> dict[str, Any]:
    return dict(zip(AXES, (tuple(lb), tuple(lc), tuple(rb), tuple(rc)), strict=True))


_MATMUL = _attrs((), (1,), (), (0,))
_SHAPES = (
    (5, 7, 3), (1, 1, 1), (17, 13, 33), (64, 32, 48), (2, 0, 3), (0, 4, 3),
    (3, 4, 0), (1, 40, 10), (40, 1, 9), (70, 300, 65),
)  # fmt: skip

register(
    Op(
        "dot_general",
        "Sums of products over the contracted axes; the result's axes: batch, lhs's, rhs's.",
        infer=_infer,
        reference=_reference,
        attrs=dict.fromkeys(AXES, "ints"),
        family="contraction",
        lower=_lower,
        jvp=_jvp,
        linear=(0, 1),
        transpose=_transpose,
        batch=_batch,
        cost=1000,
        samples=lambda: [
            *(Sample((((5, 7), d), ((7, 19), d)), _MATMUL) for d in NUMBERS),
            *(
                Sample((((m, k), d), ((k, n), d)), _MATMUL)
                for m, k, n in _SHAPES
                for d in ("f32", "f64")
            ),
            Sample((((7, 5), "f32"), ((19, 7), "f32")), _attrs((), (0,), (), (1,))),
            Sample((((3, 5, 7), "f32"), ((3, 7, 4), "f32")), _attrs((0,), (2,), (0,), (1,))),
            Sample((((3, 5, 7), "f32"), ((7, 4, 3), "f32")), _attrs((0,), (2,), (2,), (0,))),
            Sample((((2, 3, 4, 5), "f32"), ((5, 3, 6), "f32")), _attrs((), (3, 1), (), (0, 1))),
            Sample(
                (((2, 3, 4, 5), "f32"), ((2, 3, 6, 5), "f32")), _attrs((0, 1), (3,), (0, 1), (3,))
            ),
            Sample((((6,), "f32"), ((6,), "f32")), _attrs((), (0,), (), (0,))),
            Sample((((6,), "f32"), ((5,), "f32")), _attrs((), (), (), ())),
            Sample((((6,), "f32"), ((6, 5), "f32")), _attrs((0,), (), (0,), ())),
        ],
    )
)
