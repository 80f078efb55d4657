"""Operators that move elements, and those that make tensors of a shape."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.element_types import COMPUTED, Stored
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import array_of_ints, as_tensor, ints, is_text, texts
from dlc.ir.errors import ModelError


def moving(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operator that only moves elements: it moves codes of stored types as well."""

    @functools.wraps(function)
    def moved(node: Any, *values: Any, **keywords: Any) -> Any:
        kind = next((v.kind for v in values if isinstance(v, Stored)), None)
        if kind is None:
            return function(node, *values, **keywords)
        plain = [dlc.asarray(v.codes) if isinstance(v, Stored) else v for v in values]
        result = function(node, *plain, **keywords)
        if isinstance(result, tuple):
            return tuple(Stored(r, kind) for r in result)
        return Stored(result, kind)

    return moved


def shape_of(value: Any) -> tuple[Any, ...]:
    """The shape of a value."""
    return tuple((value.codes if isinstance(value, Stored) else value).shape)


@operator("Shape", raw=True)
def shape(node: Any, x: Any) -> Any:
    """The extents, which are known."""
    dims = shape_of(x)
    start, end = node.attr("start", 0), node.attr("end", len(dims))
    return array_of_ints(dims[start:end] if end >= 0 or end >= -len(dims) else ())


@operator("Size", raw=True)
def size(_node: Any, x: Any) -> Any:
    """The number of elements."""
    return array_of_ints([math.prod(shape_of(x))], ())


@operator("Identity", raw=True)
def identity(_node: Any, x: Any) -> Any:
    """The value itself."""
    return x


@operator("Constant")
def constant(node: Any) -> Any:
    """A value in the model."""
    for name, value in node.attributes.items():
        match name:
            case "value" | "sparse_value":
                return value
            case "value_float" | "value_floats":
                return np.array(value, np.float32)
            case "value_int" | "value_ints":
                return np.array(value, np.int64)
            case "value_string" | "value_strings":
                return texts(value)
            case _:
                pass
    raise ModelError("Constant needs a value")


@operator("ConstantOfShape", known=(0,))
def constant_of_shape(node: Any, extents: Any) -> Any:
    """One number everywhere."""
    value = node.attr("value", np.zeros(1, np.float32))
    made = as_tensor(value.reshape(()))
    dims = tuple(ints(extents))
    if isinstance(made, Stored):
        return Stored(dlc.broadcast_to(dlc.asarray(made.codes), dims), made.kind)
    if (
        all(isinstance(d, int) for d in dims)
        and math.prod(dims) <= 64
        and value.dtype.kind in "iub"
    ):
        return np.full(dims, value.reshape(()))
    return dlc.broadcast_to(made, dims)


@operator("Reshape", known=(1,))
@moving
def reshape(node: Any, x: Any, extents: Any = None) -> Any:
    """Elements in another shape: 0 keeps an extent, -1 is what is left."""
    wanted = node.attr("shape", None) if extents is None else ints(extents)
    if wanted is None:
        raise ModelError("Reshape needs a shape")
    if not node.attr("allowzero", 0):
        wanted = [
            x.shape[k] if isinstance(d, int) and d == 0 and k < x.ndim else d
            for k, d in enumerate(wanted)
        ]
    if any(isinstance(d, int) and d == -1 for d in wanted) and any(
        isinstance(d, int) and d == 0 for d in x.shape
    ):
        rest = math.prod(d for d in wanted if not (isinstance(d, int) and d == -1))
        whole = math.prod(x.shape)
        wanted = [
            (whole // rest if rest else 0) if isinstance(d, int) and d == -1 else d for d in wanted
        ]
    return x.reshape(tuple(wanted)) if is_text(x) else dlc.reshape(x, tuple(wanted))


@operator("Flatten")
@moving
def flatten(node: Any, x: Any) -> Any:
    """A matrix, cut before an axis."""
    axis = node.attr("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return dlc.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator("Transpose")
@moving
def transpose(node: Any, x: Any) -> Any:
    """Axes in another order."""
    order = node.attr("perm", None)
    return dlc.permute_dims(x, tuple(reversed(range(x.ndim)) if order is None else order))


@operator("Squeeze", known=(1,))
@moving
def squeeze(node: Any, x: Any, axes: Any = None) -> Any:
    """Without axes of extent 1."""
    places = node.attr("axes", None) if axes is None else ints(axes)
    if places is None:
        places = [k for k, d in enumerate(x.shape) if isinstance(d, int) and d == 1]
    return dlc.squeeze(x, axis=tuple(places))


@operator("Unsqueeze", known=(1,))
@moving
def unsqueeze(node: Any, x: Any, axes: Any = None) -> Any:
    """With axes of extent 1."""
    places = node.attr("axes") if axes is None else ints(axes)
    return dlc.expand_dims(x, axis=tuple(places))


@operator("Concat")
@moving
def concat(node: Any, *parts: Any) -> Any:
    """Tensors one after the other."""
    return dlc.concat(list(parts), axis=node.attr("axis"))


@operator("Expand", known=(1,))
@moving
def expand(_node: Any, x: Any, extents: Any) -> Any:
    """Repeated along axes of extent 1."""
    return dlc.broadcast_to(x, dlc.broadcast_shapes(x.shape, tuple(ints(extents))))


@operator("Tile", known=(1,))
@moving
def tile(_node: Any, x: Any, repeats: Any) -> Any:
    """Repeated as a whole."""
    return dlc.tile(x, tuple(ints(repeats)))


def cut(x: Any, axis: int, sizes: Sequence[Any]) -> tuple[Any, ...]:
    """Parts along an axis, which they make up.

    Raises:
        ModelError: The sizes do not add up to the axis.
    """
    if sum(sizes) != x.shape[axis]:
        raise ModelError(f"parts of {list(sizes)} along an axis of {x.shape[axis]}")
    parts: list[Any] = []
    start: Any = 0
    for n in sizes:
        index = [slice(None)] * x.ndim
        index[axis] = slice(start, start + n)
        parts.append(x[tuple(index)])
        start = start + n
    return tuple(parts)


@operator("Split", known=(1,))
@moving
def split(node: Any, x: Any, sizes: Any = None) -> Any:
    """Parts along an axis."""
    axis = node.attr("axis", 0) % x.ndim
    wanted = node.attr("split", None) if sizes is None else ints(sizes)
    if wanted is None:
        count = node.attr("num_outputs", len(node.outputs))
        extent = x.shape[axis]
        each = (extent + count - 1) // count
        wanted = [each] * (count - 1)
        wanted.append(extent - each * (count - 1))
    return cut(x, axis, wanted)


def _sliced(x: Any, starts: Any, ends: Any, axes: Any, steps: Any) -> Any:
    index: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        extent = x.shape[axis]
        low, high = start, end
        if isinstance(step, int) and step < 0:
            # Downwards, a slice begins at the first element where it would before.
            low = max(low, -extent)
            if isinstance(high, int) and isinstance(extent, int):
                low = min(low, extent - 1) if isinstance(low, int) else low
                high = None if high < -extent else high
        index[axis] = slice(low, high, step)
    return x[tuple(index)]


@operator("Slice")
@moving
def slice_by_attributes(node: Any, x: Any) -> Any:
    """A part along axes."""
    starts, ends = node.attr("starts"), node.attr("ends")
    return _sliced(x, starts, ends, node.attr("axes", list(range(len(starts)))), [1] * len(starts))


@operator("Slice", since=10, known=(1, 2, 3, 4))
@moving
def slice_(_node: Any, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    """A part along axes, with steps."""
    low, high = ints(starts), ints(ends)
    places = list(range(len(low))) if axes is None else ints(axes)
    return _sliced(x, low, high, places, [1] * len(low) if steps is None else ints(steps))


def _pad_mode(mode: str) -> str:
    return {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}[mode]


def _padded(x: Any, before: Sequence[Any], after: Sequence[Any], mode: str, value: Any) -> Any:
    index = []
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        low = -b if isinstance(b, int) and b < 0 else 0
        high = x.shape[axis] + a if isinstance(a, int) and a < 0 else x.shape[axis]
        index.append(slice(low, high))
    x = x[tuple(index)]
    widths = [
        (0 if isinstance(b, int) and b < 0 else b, 0 if isinstance(a, int) and a < 0 else a)
        for b, a in zip(before, after, strict=True)
    ]
    if mode != "constant":
        return dlc.pad(x, widths, _pad_mode(mode))
    return dlc.pad(x, widths, constant_values=value)


@operator("Pad")
def pad_by_attributes(node: Any, x: Any) -> Any:
    """Elements around a tensor."""
    pads = node.attr("pads")
    return _padded(
        x, pads[: x.ndim], pads[x.ndim :], node.attr("mode", "constant"), node.attr("value", 0.0)
    )


@operator("Pad", since=11, known=(1, 2, 3))
@moving
def pad(node: Any, x: Any, pads: Any, value: Any = None, axes: Any = None) -> Any:
    """Elements around a tensor; a negative number takes some away."""
    places = list(range(x.ndim)) if axes is None else [a % x.ndim for a in ints(axes)]
    given = ints(pads)
    before, after = [0] * x.ndim, [0] * x.ndim
    for k, axis in enumerate(places):
        before[axis], after[axis] = given[k], given[k + len(places)]
    fill = 0 if value is None or value.size == 0 else value.reshape(-1)[0].item()
    return _padded(x, before, after, node.attr("mode", "constant"), fill)


@operator("DepthToSpace")
@moving
def depth_to_space(node: Any, x: Any) -> Any:
    """Channels as pixels."""
    b = node.attr("blocksize")
    n, c, h, w = x.shape
    if node.attr("mode", "DCR") == "DCR":
        y = dlc.permute_dims(dlc.reshape(x, (n, b, b, c // (b * b), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = dlc.permute_dims(dlc.reshape(x, (n, c // (b * b), b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return dlc.reshape(y, (n, c // (b * b), h * b, w * b))


@operator("SpaceToDepth")
@moving
def space_to_depth(node: Any, x: Any) -> Any:
    """Pixels as channels."""
    b = node.attr("blocksize")
    n, c, h, w = x.shape
    y = dlc.reshape(x, (n, c, h // b, b, w // b, b))
    order = (0, 3, 5, 1, 2, 4) if node.attr("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    y = dlc.permute_dims(y, order)
    return dlc.reshape(y, (n, c * b * b, h // b, w // b))


@operator("Range", known=(0, 1, 2))
def range_(_node: Any, start: Any, limit: Any, delta: Any) -> Any:
    """Numbers from start, before limit."""
    low, high, step = (v.reshape(-1)[0] for v in (start, limit, delta))
    if object in (start.dtype, limit.dtype, delta.dtype):
        low, high, step = (ints(v)[0] for v in (start, limit, delta))
        if all(isinstance(v, int) for v in (low, high, step)):
            return np.arange(low, high, step, dtype=np.int64)
        return dlc.arange(low, high, step, dtype=dlc.int64)
    if start.dtype.kind in "iu":
        return np.arange(low, high, step, dtype=start.dtype)
    count = max(0, int(np.ceil((float(high) - float(low)) / float(step))))
    return (low + np.arange(count).astype(start.dtype) * step).astype(start.dtype)


@operator("EyeLike", raw=True)
def eye_like(node: Any, x: Any) -> Any:
    """Ones on a diagonal."""
    rows, columns = shape_of(x)
    kind = node.attr("dtype", None)
    dtype = as_tensor(x).dtype if kind is None else COMPUTED[kind]
    return dlc.eye(rows, columns, k=node.attr("k", 0), dtype=dtype)


@operator("Trilu", known=(1,))
def trilu(node: Any, x: Any, k: Any = None) -> Any:
    """A triangle; zero elsewhere."""
    diagonal = 0 if k is None else ints(k)[0]
    return (dlc.triu if node.attr("upper", 1) else dlc.tril)(x, k=diagonal)


@operator("CenterCropPad", since=18, known=(1,))
def center_crop_pad(node: Any, x: Any, extents: Any) -> Any:
    """The middle of a tensor, or a tensor in the middle of zeros."""
    wanted = ints(extents)
    axes = node.attr("axes", list(range(len(wanted))))
    for axis, extent in zip(axes, wanted, strict=True):
        now = x.shape[axis]
        index: list[slice] = [slice(None)] * x.ndim
        if now > extent:
            start = (now - extent) // 2
            index[axis] = slice(start, start + extent)
            x = x[tuple(index)]
        elif now < extent:
            before = (extent - now) // 2
            widths = [(0, 0)] * x.ndim
            widths[axis] = (before, extent - now - before)
            x = dlc.pad(x, widths)
    return x


@operator("ReverseSequence", since=10)
def reverse_sequence(node: Any, x: Any, lengths: Any) -> Any:
    """The first elements of each sequence, backwards."""
    time, batch = node.attr("time_axis", 0), node.attr("batch_axis", 1)
    steps = dlc.arange(x.shape[time])
    whole = [1] * x.ndim
    whole[time] = -1
    places = dlc.reshape(steps, tuple(whole))
    whole = [1] * x.ndim
    whole[batch] = -1
    counts = dlc.reshape(lengths, tuple(whole))
    mirrored = dlc.where(places < counts, counts - 1 - places, places)
    return dlc.take_along_axis(x, dlc.broadcast_to(mirrored, x.shape), axis=time)
