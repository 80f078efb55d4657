"""Rows that walk an axis in order and carry a value: running sums and products, linear recurrences.

Of half types the value is carried at float32 and rounded when it is given out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import FLOATS, NUMBERS, check_kind, filled, same_shape
from dlc.ir.ops.shape import check_axes
from dlc.ir.types import TensorType


def _infer(name: str, kinds: str) -> Callable[[Sequence[TensorType], Attrs], TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        first = types[0]
        check_kind(name, first, kinds)
        check_axes(name, (attrs["axis"],), first)
        for other in types[1:]:
            if other.dtype is not first.dtype:
                raise DTypeError(f"{name} of {first} and {other}: the element types differ")
            if not same_shape(other.shape, first.shape):
                raise ShapeError(f"{name} of {first} and {other}: the shapes differ")
        return first

    return infer


def _walked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference that walks axis 0 of arrays at least as wide as float32."""

    def reference(*arrays: Any, axis: int, reverse: bool) -> Any:
        dtype = arrays[0].dtype
        half = dtype.itemsize == 2 and dtype.kind not in "iu"
        moved = [np.moveaxis(x.astype(np.float32) if half else x, axis, 0) for x in arrays]
        moved = [x[::-1] for x in moved] if reverse else moved
        result = function(*moved)
        result = result[::-1] if reverse else result
        return np.moveaxis(result, 0, axis).astype(dtype)

    return reference


def _linear_reference(a: Any, b: Any) -> Any:
    result = np.empty_like(b)
    carried = np.zeros_like(b[0]) if len(b) else None
    for k in range(len(b)):
        carried = result[k] = a[k] * carried + b[k]
    return result


def _before(b: Any, x: Any, axis: int, reverse: bool, first: float) -> Any:
    """What comes before each element in the order of the walk; `first` before the first."""
    shape = x.tensor.shape
    one, none = tuple(int(k == axis) for k in range(len(shape))), (0,) * len(shape)
    low, high = (none, one) if reverse else (one, none)
    longer = b.pad(x, low=low, high=high, value=first)
    start = one if reverse else none
    limit = tuple(d + s for d, s in zip(shape, start, strict=True))
    return b.slice(longer, start=start, limit=limit, step=(1,) * len(shape))


def _after(b: Any, x: Any, axis: int, reverse: bool, last: float) -> Any:
    return _before(b, x, axis, not reverse, last)


def _sum_transpose(b: Any, ct: Any, i: int, x: Any, axis: int, reverse: bool) -> Any:
    return b.cumulative_sum(ct, axis=axis, reverse=not reverse)


def _sum_jvp(b: Any, out: Any, x: Any, t: Any, axis: int, reverse: bool) -> Any:
    return b.cumulative_sum(t[0], axis=axis, reverse=reverse)


def _prod_jvp(b: Any, out: Any, x: Any, t: Any, axis: int, reverse: bool) -> Any:
    """d_i = x_i d_before + out_before t_i: right where elements are zero."""
    given = b.mul(t[0], _before(b, out, axis, reverse, 1.0))
    return b.linear_recurrence(x[0], given, axis=axis, reverse=reverse)


def _extreme_jvp(b: Any, out: Any, x: Any, t: Any, axis: int, reverse: bool) -> Any:
    """The tangent of the last element so far that is as extreme; of NaN, its own."""
    held = b.bit_or(b.eq(x[0], out), b.ne(x[0], x[0]))
    zeros, ones = filled(b, 0.0, out), filled(b, 1.0, out)
    given = b.select(held, t[0], zeros)
    return b.linear_recurrence(b.select(held, zeros, ones), given, axis=axis, reverse=reverse)


def _linear_jvp(b: Any, out: Any, x: Any, t: Any, axis: int, reverse: bool) -> Any:
    """d_i = a_i d_before + (da_i h_before + db_i)."""
    given = t[1]
    if t[0] is not None:
        moved = b.mul(t[0], _before(b, out, axis, reverse, 0.0))
        given = moved if given is None else b.add(moved, given)
    return b.linear_recurrence(x[0], given, axis=axis, reverse=reverse)


def _linear_transpose(b: Any, ct: Any, i: int, x: Any, axis: int, reverse: bool) -> Any:
    """g_i = ct_i + a_after g_after, from the last to the first."""
    factors = _after(b, x[0], axis, reverse, 0.0)
    return b.linear_recurrence(factors, ct, axis=axis, reverse=not reverse)


def _samples(operands: int, dtypes: Sequence[str]) -> Callable[[], list[Sample]]:
    def samples() -> list[Sample]:
        cases: list[tuple[tuple[int, ...], int]] = [
            ((5, 19), 1), ((5, 19), 0), ((3, 4, 5), 1), ((70,), 0), ((4, 1), 1), ((2, 0), 1),
            ((1, 1), 0), ((3, 70), 1),
        ]  # fmt: skip
        made = [Sample((((3, 7), d),) * operands, {"axis": 1, "reverse": False}) for d in dtypes]
        for reverse in (False, True):
            attrs = [(shape, {"axis": axis, "reverse": reverse}) for shape, axis in cases]
            made += [Sample(((shape, dtypes[0]),) * operands, a) for shape, a in attrs]
        return made

    return samples


_ATTRS: dict[str, Any] = {"axis": "int", "reverse": "bool"}

register(
    Op(
        "cumulative_sum",
        "The sum of each element and those before it along an axis (behind it, in reverse), in "
        "order; integers wrap.",
        infer=_infer("cumulative_sum", "fiu"),
        reference=_walked(lambda x: np.cumsum(x, axis=0, dtype=x.dtype) + x.dtype.type(0)),
        attrs=_ATTRS,
        family="recurrence",
        jvp=_sum_jvp,
        linear=(0,),
        transpose=_sum_transpose,
        batch=batching.along_axis("cumulative_sum"),
        samples=_samples(1, NUMBERS),
    )
)
register(
    Op(
        "cumulative_prod",
        "The product of each element and those before it along an axis (behind it, in reverse), in "
        "order; integers wrap.",
        infer=_infer("cumulative_prod", "fiu"),
        reference=_walked(lambda x: np.cumprod(x, axis=0, dtype=x.dtype)),
        attrs=_ATTRS,
        family="recurrence",
        jvp=_prod_jvp,
        batch=batching.along_axis("cumulative_prod"),
        samples=_samples(1, NUMBERS),
    )
)
for _name, _function in (("max", np.maximum), ("min", np.minimum)):
    register(
        Op(
            f"cumulative_{_name}",
            f"The {_name}imum of each element and those before it along an axis (behind it, in "
            "reverse); NaN from the first one on.",
            infer=_infer(f"cumulative_{_name}", "fiu"),
            reference=_walked(lambda x, f=_function: f.accumulate(x, axis=0)),
            attrs=_ATTRS,
            family="recurrence",
            jvp=_extreme_jvp,
            batch=batching.along_axis(f"cumulative_{_name}"),
            samples=_samples(1, NUMBERS),
        )
    )
register(
    Op(
        "linear_recurrence",
        "h where each h = a * (the h before it, 0 at first) + b, along an axis, in order (from the "
        "end, in reverse).",
        infer=_infer("linear_recurrence", "f"),
        reference=_walked(_linear_reference),
        attrs=_ATTRS,
        family="recurrence",
        jvp=_linear_jvp,
        linear=(1,),
        transpose=_linear_transpose,
        batch=batching.along_axis("linear_recurrence"),
        samples=_samples(2, FLOATS),
    )
)
