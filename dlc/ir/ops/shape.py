"""Rows that move elements without changing them.

Reshape, transpose, broadcast, slice, pad, concat and the like.

Each lowers to an index map, so that fusion can fold it into whatever reads the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir import scalar
from dlc.ir.dims import Dim, DimUnknown, at_least, dims_equal, floordiv, product, proving
from dlc.ir.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError
from dlc.ir.op import Attrs, Input, NoDerivative, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import ALL, check_number, same_shape
from dlc.ir.scalar import Expr, add_index, mul_index, sub_index
from dlc.ir.types import Shape, TensorType, int64


def linear_jvp(name: str) -> Callable[..., Any]:
    """The jvp of an op that is linear in all its inputs: the op applied to the tangents."""

    def jvp(b: Any, out: Any, x: Any, t: Any, **attrs: Any) -> Any:
        tangents = [
            v if v is not None else b.full(value=0.0, shape=a.tensor.shape, dtype=a.tensor.dtype)
            for a, v in zip(x, t, strict=True)
        ]
        return getattr(b, name)(*tangents, **attrs)

    return jvp


def check_axes(name: str, axes: Sequence[int], type_: TensorType) -> None:
    """IndexRangeError unless `axes` are distinct, in range and not negative."""
    if any(not 0 <= a < type_.rank for a in axes) or len(set(axes)) != len(axes):
        raise IndexRangeError(
            f"{name} of {type_}: axes {tuple(axes)} must be distinct and below {type_.rank}"
        )


# reshape


def _infer_reshape(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    if not dims_equal(types[0].size, product(attrs["shape"])):
        target = types[0].with_shape(attrs["shape"])
        raise ShapeError(
            f"reshape of {types[0]} to {target}: {types[0].size} elements do not fill {target.size}"
        )
    return types[0].with_shape(attrs["shape"])


def _known_equal(a: Dim, b: Dim) -> bool:
    try:
        with proving():
            return dims_equal(a, b)
    except DimUnknown:
        return False


def reshape_groups(old: Shape, new: Shape) -> list[tuple[range, range]]:
    """Cuts two shapes of one size into the shortest runs of dims of equal size."""
    groups: list[tuple[range, range]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        i0, j0 = i, j
        if j < len(new) and new[j] == 1:
            j += 1
        elif i < len(old) and old[i] == 1:
            i += 1
        else:
            i, j = _end_of_group(old[i:], new[j:], i, j)
        groups.append((range(i0, i), range(j0, j)))
    return groups


def _end_of_group(old: Shape, new: Shape, i: int, j: int) -> tuple[int, int]:
    """Where the first run of dims of equal size ends in two shapes that begin at i and j."""
    a, b = product(old[:1]), product(new[:1])
    m, n = min(1, len(old)), min(1, len(new))
    while not _known_equal(a, b) and (m < len(old) or n < len(new)):
        known = isinstance(a, int) and isinstance(b, int)
        if m < len(old) and (n == len(new) or not known or a < b):  # type: ignore[operator]
            a, m = a * old[m], m + 1
        elif n < len(new):
            b, n = b * new[n], n + 1
        if not known and n < len(new) and not _known_equal(a, b):
            b, n = b * new[n], n + 1
    return i + m, j + n


_ZERO = scalar.const(0, int64)


def unravel(flat: Expr, shape: Sequence[Dim]) -> list[Expr]:
    """The indices into `shape` of the row-major position `flat`."""
    ix: list[Expr] = []
    rest = flat
    for k in reversed(range(len(shape))):
        outermost = all(d == 1 for d in shape[:k])
        if shape[k] == 1:
            ix.append(_ZERO)
        elif outermost:
            ix.append(rest)
        else:
            by = scalar.dim(shape[k])
            ix.append(scalar.op("mod", rest, by))
            rest = scalar.op("floordiv", rest, by)
    return ix[::-1]


def ravel(ix: Sequence[Expr], shape: Sequence[Dim]) -> Expr:
    """The row-major position of `ix` in `shape`."""
    if not ix:
        return _ZERO
    flat = ix[0]
    for i, extent in zip(ix[1:], shape[1:], strict=True):
        flat = add_index(mul_index(flat, scalar.dim(extent)), i)
    return flat


def _lower_reshape(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    old, new = inputs[0].type.shape, type_.shape
    result: list[Expr] = []
    for a, b in reshape_groups(old, new):
        flat = ravel([ix[j] for j in b], [new[j] for j in b])
        result += unravel(flat, [old[i] for i in a])
    return inputs[0](*result)


def _reshape_batch(b: Any, inputs: Any, batched: Any, shape: Shape) -> Any:
    return b.reshape(inputs[0], shape=(inputs[0].tensor.shape[0], *shape))


register(
    Op(
        "reshape",
        "The same elements in row-major order under another shape.",
        infer=_infer_reshape,
        reference=lambda x, shape: x.reshape(shape),
        attrs={"shape": "dims"},
        family="shape",
        lower=_lower_reshape,
        jvp=linear_jvp("reshape"),
        linear=(0,),
        transpose=lambda b, ct, i, x, shape: b.reshape(ct, shape=x[0].tensor.shape),
        batch=_reshape_batch,
        cost=0,
        samples=lambda: [
            *(Sample((((4, 6), d),), {"shape": (3, 8)}) for d in ALL),
            *(
                Sample(((old, "f32"),), {"shape": new})
                for old, new in (
                    ((2, 3, 5), (6, 5)), ((2, 3, 5), (2, 15)), ((7,), (1, 7, 1)),
                    ((1, 1), ()), ((0, 4), (2, 0)),
                    ((2, 3, 4, 5), (6, 2, 10)), ((4, 1, 6), (6, 4)),
                )
            ),
        ],
    )
)  # fmt: skip

# transpose


def _infer_transpose(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    axes = attrs["axes"]
    check_axes("transpose", axes, types[0])
    if len(axes) != types[0].rank:
        raise ShapeError(f"transpose of {types[0]}: axes {axes} must name every axis once")
    return types[0].with_shape(types[0].shape[a] for a in axes)


def inverse(axes: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `axes`."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


register(
    Op(
        "transpose",
        "Axis k of the result is axis axes[k] of x.",
        infer=_infer_transpose,
        reference=lambda x, axes: x.transpose(axes),
        attrs={"axes": "ints"},
        family="shape",
        lower=lambda ix, inputs, attrs, type_: inputs[0](*(ix[k] for k in inverse(attrs["axes"]))),
        jvp=linear_jvp("transpose"),
        linear=(0,),
        transpose=lambda b, ct, i, x, axes: b.transpose(ct, axes=inverse(axes)),
        batch=lambda b, x, batched, axes: b.transpose(x[0], axes=(0, *(a + 1 for a in axes))),
        cost=0,
        samples=lambda: [
            *(Sample((((3, 17), d),), {"axes": (1, 0)}) for d in ALL),
            *(
                Sample(((shape, "f32"),), {"axes": axes})
                for shape, axes in (
                    ((2, 3, 5), (2, 0, 1)),
                    ((2, 1, 4, 3), (0, 2, 1, 3)),
                    ((), ()),
                    ((0, 3), (1, 0)),
                )
            ),
        ],
    )
)

# broadcast_to


def _stretched(old: Shape, new: Shape) -> list[int]:
    """The axes of `new` along which a broadcast from `old` repeats elements."""
    lead = len(new) - len(old)
    return [*range(lead), *(lead + k for k, d in enumerate(old) if d == 1 and new[lead + k] != 1)]


def _infer_broadcast(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    old, new = types[0].shape, attrs["shape"]
    lead = len(new) - len(old)
    if lead < 0 or not all(
        a == 1 or dims_equal(a, b) for a, b in zip(old, new[lead:], strict=True)
    ):
        raise ShapeError(
            f"broadcast of {types[0]} to {types[0].with_shape(new)}",
            hint="trailing extents must be equal or 1",
        )
    return types[0].with_shape(new)


def _lower_broadcast(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    old = inputs[0].type.shape
    own = ix[len(ix) - len(old) :]
    return inputs[0](*[_ZERO if d == 1 else i for i, d in zip(own, old, strict=True)])


def _broadcast_transpose(b: Any, ct: Any, i: int, x: Any, shape: Shape) -> Any:
    old = x[0].tensor.shape
    axes = _stretched(old, shape)
    total = b.reduce_sum(ct, axes=tuple(axes)) if axes else ct
    return total if same_shape(total.tensor.shape, old) else b.reshape(total, shape=old)


def _broadcast_batch(b: Any, inputs: Any, batched: Any, shape: Shape) -> Any:
    size, *own = inputs[0].tensor.shape
    lead = (1,) * (len(shape) - len(own))
    x = b.reshape(inputs[0], shape=(size, *lead, *own)) if lead else inputs[0]
    return b.broadcast_to(x, shape=(size, *shape))


register(
    Op(
        "broadcast_to",
        "x repeated along new leading axes and along axes of extent 1.",
        infer=_infer_broadcast,
        reference=np.broadcast_to,
        attrs={"shape": "dims"},
        family="shape",
        lower=_lower_broadcast,
        jvp=linear_jvp("broadcast_to"),
        linear=(0,),
        transpose=_broadcast_transpose,
        batch=_broadcast_batch,
        cost=0,
        samples=lambda: [
            *(Sample((((3, 1), d),), {"shape": (2, 3, 5)}) for d in ALL),
            *(
                Sample(((old, "f32"),), {"shape": new})
                for old, new in (
                    ((), (3, 4)),
                    ((5,), (4, 5)),
                    ((1,), (1,)),
                    ((1, 3), (0, 3)),
                    ((2, 1, 3), (2, 4, 3)),
                )
            ),
        ],
    )
)

# slice and slice_update


def slice_extent(start: Dim, limit: Dim, step: int) -> Dim:
    """The number of positions start, start + step, ... below limit."""
    return floordiv(limit - start + (step - 1), step)


def _check_slice(name: str, type_: TensorType, attrs: Attrs) -> None:
    starts, limits, steps = attrs["start"], attrs["limit"], attrs["step"]
    if not len(starts) == len(limits) == len(steps) == type_.rank:
        raise ShapeError(f"{name} of {type_}: start, limit and step need {type_.rank} entries each")
    for start, limit, step, extent in zip(starts, limits, steps, type_.shape, strict=True):
        if step < 1:
            raise ValueRangeError(f"{name} of {type_}: the step {step} is not positive")
        within = [(start, 0), (limit, start), (extent, limit)]
        if not all(at_least(a, b, expected=True) for a, b in within):
            raise IndexRangeError(f"{name} of {type_}: {start}:{limit} is not within 0:{extent}")


def _sliced(type_: TensorType, attrs: Attrs) -> TensorType:
    parts = zip(attrs["start"], attrs["limit"], attrs["step"], strict=True)
    return type_.with_shape(slice_extent(*p) for p in parts)


def _infer_slice(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    _check_slice("slice", types[0], attrs)
    return _sliced(types[0], attrs)


def offset(value: Dim) -> Expr:
    """A distance along an axis; when an integer, part of the kernel's text, unlike an extent."""
    return scalar.const(value, int64) if isinstance(value, int) else scalar.dim(value)


def _lower_slice(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    return inputs[0](
        *(
            add_index(mul_index(i, scalar.const(step, int64)), offset(start))
            for i, start, step in zip(ix, attrs["start"], attrs["step"], strict=True)
        )
    )


def numpy_slices(
    start: Sequence[int], limit: Sequence[int], step: Sequence[int]
) -> tuple[slice, ...]:
    """The NumPy index of a slice."""
    return tuple(slice(a, b, c) for a, b, c in zip(start, limit, step, strict=True))


def _slice_transpose(b: Any, ct: Any, i: int, x: Any, **attrs: Any) -> Any:
    zeros = b.full(value=0.0, shape=x[0].tensor.shape, dtype=ct.tensor.dtype)
    return b.slice_update(zeros, ct, **attrs)


def _slice_batch(name: str) -> Callable[..., Any]:
    def batch(
        b: Any, inputs: Any, batched: Any, start: Shape, limit: Shape, step: Sequence[int]
    ) -> Any:
        operands = batching.all_batched(b, inputs, batched)
        size = operands[0].tensor.shape[0]
        places = {"start": (0, *start), "limit": (size, *limit), "step": (1, *step)}
        return getattr(b, name)(*operands, **places)

    return batch


SLICE_ATTRS = {"start": "dims", "limit": "dims", "step": "ints"}
_SLICES = (
    ((9, 7), (1, 0), (8, 7), (3, 1)),
    ((9, 7), (0, 2), (9, 7), (1, 2)),
    ((5,), (2,), (2,), (1,)),
    ((), (), (), ()),
    ((3, 4, 35), (0, 1, 5), (2, 4, 34), (1, 2, 7)),
)

register(
    Op(
        "slice",
        "The elements from start up to limit (not included), every step-th along each axis.",
        infer=_infer_slice,
        reference=lambda x, start, limit, step: x[numpy_slices(start, limit, step)],
        attrs=SLICE_ATTRS,  # type: ignore[arg-type]
        family="shape",
        lower=_lower_slice,
        jvp=linear_jvp("slice"),
        linear=(0,),
        transpose=_slice_transpose,
        batch=_slice_batch("slice"),
        cost=0,
        samples=lambda: [
            *(
                Sample(((shape, "f32"),), {"start": a, "limit": b, "step": c})
                for shape, a, b, c in _SLICES
            ),
            *(
                Sample((((9, 7), d),), {"start": (1, 2), "limit": (8, 6), "step": (2, 1)})
                for d in ALL
            ),
        ],
    )
)


def _infer_update(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, u = types
    _check_slice("slice_update", x, attrs)
    if x.dtype is not u.dtype:
        raise DTypeError(f"slice_update of {x} with {u}: element types differ")
    if not same_shape(_sliced(x, attrs).shape, u.shape):
        raise ShapeError(f"slice_update of {x} with {u}: the slice has shape {_sliced(x, attrs)}")
    return x


def _update_reference(x: Any, u: Any, start: Any, limit: Any, step: Any) -> Any:
    result = x.copy()
    result[numpy_slices(start, limit, step)] = u
    return result


def _lower_update(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    x, u = inputs
    at: list[Expr] = []
    on_grid: Expr | None = None
    for i, start, step in zip(ix, attrs["start"], attrs["step"], strict=True):
        at_u = sub_index(i, offset(start))
        if step != 1:
            by = scalar.const(step, int64)
            hit = scalar.op("eq", scalar.op("mod", at_u, by), scalar.const(0, int64))
            on_grid = hit if on_grid is None else scalar.op("and", on_grid, hit)
            at_u = scalar.op("floordiv", at_u, by)
        at.append(at_u)
    old = x(*ix)
    written = u.pad(at, old)
    return written if on_grid is None else scalar.select(on_grid, written, old)


def _update_transpose(b: Any, ct: Any, i: int, x: Any, **attrs: Any) -> Any:
    if i == 1:
        return b.slice(ct, **attrs)
    update = x[1].tensor
    return b.slice_update(ct, b.full(value=0.0, shape=update.shape, dtype=update.dtype), **attrs)


register(
    Op(
        "slice_update",
        "x with the elements that `slice` would read replaced by those of u.",
        infer=_infer_update,
        reference=_update_reference,
        attrs=SLICE_ATTRS,  # type: ignore[arg-type]
        family="shape",
        lower=_lower_update,
        jvp=linear_jvp("slice_update"),
        linear=(0, 1),
        transpose=_update_transpose,
        batch=_slice_batch("slice_update"),
        samples=lambda: [
            *(
                Sample(
                    (
                        (shape, "f32"),
                        (tuple(len(range(*p)) for p in zip(a, b, c, strict=True)), "f32"),
                    ),
                    {"start": a, "limit": b, "step": c},
                )
                for shape, a, b, c in _SLICES
            ),
            *(
                Sample(
                    (((9, 7), d), ((4, 4), d)), {"start": (1, 2), "limit": (8, 6), "step": (2, 1)}
                )
                for d in ALL
            ),
        ],
    )
)

# flip, pad, concat, iota


def _infer_flip(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    check_axes("flip", attrs["axes"], types[0])
    return types[0]


def _lower_flip(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    return inputs[0](
        *(
            sub_index(sub_index(scalar.dim(d), scalar.const(1, int64)), i)
            if k in attrs["axes"]
            else i
            for k, (i, d) in enumerate(zip(ix, type_.shape, strict=True))
        )
    )


register(
    Op(
        "flip",
        "x in reverse order along axes.",
        infer=_infer_flip,
        reference=lambda x, axes: np.flip(x, axis=axes),
        attrs={"axes": "ints"},
        family="shape",
        lower=_lower_flip,
        jvp=linear_jvp("flip"),
        linear=(0,),
        transpose=lambda b, ct, i, x, axes: b.flip(ct, axes=axes),
        batch=batching.over_axes("flip"),
        cost=0,
        samples=lambda: [
            *(Sample((((5, 19), d),), {"axes": (1,)}) for d in ALL),
            Sample((((4, 3, 2), "f32"),), {"axes": (0, 2)}),
            Sample((((0, 3), "f32"),), {"axes": (0,)}),
        ],
    )
)


def _infer_pad(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    x, low, high = types[0], attrs["low"], attrs["high"]
    if len(low) != x.rank or len(high) != x.rank:
        raise ShapeError(f"pad of {x}: low and high need {x.rank} entries each")
    if not all(at_least(v, 0, expected=True) for v in (*low, *high)):
        raise ValueRangeError(f"pad of {x}: widths must not be negative, got {low} and {high}")
    check_number("pad", attrs["value"], x.dtype)
    return x.with_shape(a + d + b for a, d, b in zip(low, x.shape, high, strict=True))


def _pad_reference(x: Any, low: Any, high: Any, value: Any) -> Any:
    widths = list(zip(low, high, strict=True))
    return np.pad(x, widths, constant_values=np.asarray(value, x.dtype)) if widths else x.copy()


def _lower_pad(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    at = [sub_index(i, offset(a)) for i, a in zip(ix, attrs["low"], strict=True)]
    return inputs[0].pad(at, scalar.const(attrs["value"], type_.dtype))


def _pad_jvp(b: Any, out: Any, x: Any, t: Any, low: Any, high: Any, value: Any) -> Any:
    return b.pad(t[0], low=low, high=high, value=0.0)


def _pad_transpose(b: Any, ct: Any, i: int, x: Any, low: Any, high: Any, value: Any) -> Any:
    limits = tuple(a + d for a, d in zip(low, x[0].tensor.shape, strict=True))
    return b.slice(ct, start=low, limit=limits, step=(1,) * len(low))


register(
    Op(
        "pad",
        "x with low[k] elements before and high[k] after it along axis k, all equal to value.",
        infer=_infer_pad,
        reference=_pad_reference,
        attrs={"low": "dims", "high": "dims", "value": "number"},
        defaults={"value": 0},
        family="shape",
        lower=_lower_pad,
        jvp=_pad_jvp,
        linear=(0,),
        transpose=_pad_transpose,
        batch=lambda b, x, batched, low, high, value: b.pad(
            x[0], low=(0, *low), high=(0, *high), value=value
        ),
        samples=lambda: [
            *(Sample((((3, 5), d),), {"low": (1, 0), "high": (2, 3), "value": 1}) for d in ALL),
            Sample((((0, 2), "f32"),), {"low": (2, 1), "high": (0, 0), "value": -0.5}),
            Sample((((), "f32"),), {"low": (), "high": ()}),
        ],
    )
)


def _infer_concat(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    axis = attrs["axis"]
    if not types:
        raise ShapeError("concat of nothing")
    first = types[0]
    check_axes("concat", (axis,), first)
    total: Dim = 0
    for t in types:
        if t.dtype is not first.dtype:
            raise DTypeError(f"concat of {', '.join(map(str, types))}: element types differ")
        rest = tuple(d for k, d in enumerate(t.shape) if k != axis)
        if t.rank != first.rank or not same_shape(
            rest, tuple(d for k, d in enumerate(first.shape) if k != axis)
        ):
            raise ShapeError(f"concat of {', '.join(map(str, types))}: only axis {axis} may differ")
        total = total + t.shape[axis]
    return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _lower_concat(
    ix: tuple[Expr, ...], inputs: Sequence[Input], attrs: Attrs, type_: TensorType
) -> Expr:
    axis = attrs["axis"]
    offsets: list[Dim] = [0]
    for x in inputs[:-1]:
        offsets.append(offsets[-1] + x.type.shape[axis])

    def at(k: int) -> list[Expr]:
        return [sub_index(i, scalar.dim(offsets[k])) if d == axis else i for d, i in enumerate(ix)]

    # Past the extents of one part lies the next.
    result = (
        inputs[-1].pad(at(len(inputs) - 1), scalar.const(0, type_.dtype))
        if len(inputs) > 1
        else inputs[0](*ix)
    )
    for k in range(len(inputs) - 2, -1, -1):
        result = inputs[k].pad(at(k), result)
    return result


def _concat_transpose(b: Any, ct: Any, i: int, x: Any, axis: int) -> Any:
    start: Dim = 0
    for other in x[:i]:
        start = start + other.tensor.shape[axis]
    shape = x[i].tensor.shape
    starts = tuple(start if k == axis else 0 for k in range(len(shape)))
    limits = tuple(start + d if k == axis else d for k, d in enumerate(shape))
    return b.slice(ct, start=starts, limit=limits, step=(1,) * len(shape))


register(
    Op(
        "concat",
        "The inputs one after the other along an axis.",
        infer=_infer_concat,
        reference=lambda *xs, axis: np.concatenate(xs, axis),
        attrs={"axis": "int"},
        family="shape",
        lower=_lower_concat,
        jvp=linear_jvp("concat"),
        linear="all",
        transpose=_concat_transpose,
        batch=batching.along_axis("concat"),
        samples=lambda: [
            *(Sample((((3, 5), d), ((3, 18), d), ((3, 1), d)), {"axis": 1}) for d in ALL),
            Sample((((2, 3), "f32"), ((0, 3), "f32"), ((4, 3), "f32")), {"axis": 0}),
            Sample((((2, 3), "f32"),), {"axis": 0}),
        ],
    )
)


def _infer_iota(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    type_ = TensorType(attrs["dtype"], attrs["shape"])
    check_axes("iota", (attrs["axis"],), type_)
    return type_


def _iota_reference(shape: Any, axis: int, dtype: Any) -> Any:
    ramp = np.arange(shape[axis]).astype(dtype.numpy)
    return np.broadcast_to(ramp.reshape([-1 if k == axis else 1 for k in range(len(shape))]), shape)


register(
    Op(
        "iota",
        "0, 1, 2, ... along an axis.",
        infer=_infer_iota,
        reference=_iota_reference,
        attrs={"shape": "dims", "axis": "int", "dtype": "dtype"},
        family="shape",
        lower=lambda ix, inputs, attrs, type_: scalar.convert(ix[attrs["axis"]], type_.dtype),
        jvp=NoDerivative("constant"),
        samples=lambda: (
            [
                Sample((), {"shape": (3, 17), "axis": 1, "dtype": d})
                for d in ("i64", "i32", "u8", "f32", "f64", "bf16", "f16")
            ]
            + [
                Sample((), {"shape": (3, 2), "axis": 0, "dtype": "i64"}),
                Sample((), {"shape": (0,), "axis": 0, "dtype": "i32"}),
            ]
        ),
    )
)
