"""Writers of ops whose elements follow from those before them along an axis, and of random bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.interop.onnx.element_types import kind_of
from dlc.interop.onnx.writing.tensors import shape_of
from dlc.interop.onnx.writing.writer import Writer, writes
from dlc.ir.dims import product
from dlc.ir.ops.random import threefry
from dlc.ir.types import uint32

Step = Callable[[Writer, str, list[str]], str]


def _run(w: Writer, node: Any, inputs: tuple[str, ...], start: str, step: Step) -> str:
    """A Scan along the op's axis: from what was before and the next slices to the next result."""
    axis, back = node.attrs["axis"], int(node.attrs["reverse"])
    inner = w.inner()
    helper, kind = w.store.package.helper, kind_of(node.tensor.dtype)
    names = [inner.store.name("slice") for _ in inputs]
    before = inner.store.name("before")
    made = step(inner, before, names)
    given = [helper.make_tensor_value_info(n, kind, None) for n in (before, *names)]
    dims = node.tensor.shape
    slice_ = node.tensor.with_shape((*dims[:axis], *dims[axis + 1 :]))
    body = inner.graph(given, [made, made], [slice_, slice_])
    _, result = w.op(
        "Scan", start, *inputs, outputs=2, body=body, num_scan_inputs=len(inputs),
        scan_input_axes=[axis] * len(inputs), scan_input_directions=[back] * len(inputs),
        scan_output_axes=[axis], scan_output_directions=[back],
    )  # fmt: skip
    return result


def _filled(w: Writer, node: Any, value: float) -> str:
    """A slice of one number."""
    axis, dims = node.attrs["axis"], node.tensor.shape
    number = w.number(value, node.tensor.dtype)
    return w.op("Expand", number, w.shape([*dims[:axis], *dims[axis + 1 :]]))


@writes("cumulative_max", "cumulative_min")
def cumulative_extremum(w: Writer, node: Any, x: str) -> str:
    """The maximum or minimum up to each element."""
    axis = node.attrs["axis"]
    if node.tensor.shape[axis] == 0:
        return w.op("Identity", x)
    name = "Max" if node.op.name == "cumulative_max" else "Min"
    first = w.constant(np.array(-1 if node.attrs["reverse"] else 0, np.int64))
    start = w.op("Gather", x, first, axis=axis)
    return _run(w, node, (x,), start, lambda i, a, b: i.op(name, a, *b))


@writes("cumulative_prod")
def cumulative_prod(w: Writer, node: Any, x: str) -> str:
    """The product up to each element."""
    return _run(w, node, (x,), _filled(w, node, 1), lambda i, a, b: i.op("Mul", a, *b))


@writes("linear_recurrence")
def linear_recurrence(w: Writer, node: Any, a: str, b: str) -> str:
    """Each is the one before it times a, plus b."""

    def step(i: Writer, before: str, slices: list[str]) -> str:
        return i.op("Add", i.op("Mul", slices[0], before), slices[1])

    return _run(w, node, (a, b), _filled(w, node, 0), step)


@writes("random_bits")
def random_bits(w: Writer, node: Any, key: str) -> str:
    """Threefry of the key and of the number of each element."""
    shape = node.attrs["shape"]
    lead = shape_of(node)[:-1]
    zero, one, width = (w.constant(np.array(k, np.int64)) for k in (0, 1, 1 << 32))
    counter = w.op("Range", zero, w.dim(product(shape)), one)
    counter = w.op("Reshape", counter, w.shape(shape), allowzero=1)
    high = w.cast(w.op("Div", counter, width), uint32)
    low = w.cast(w.op("Mod", counter, width), uint32)
    words: list[str] = []
    for k in range(2):
        word = w.op("Gather", key, w.constant(np.array(k, np.int64)), axis=-1)
        form = w.shape([*lead, *(1 for _ in shape)])
        words.append(w.op("Reshape", word, form, allowzero=1))

    def literal(value: int) -> str:
        return w.number(value, uint32)

    def rotate(x: str, count: int) -> str:
        left = w.op("BitShift", x, literal(count), direction="LEFT")
        return w.op("BitwiseOr", left, w.op("BitShift", x, literal(32 - count), direction="RIGHT"))

    def add(x: str, y: str) -> str:
        return w.op("Add", x, y)

    def xor(x: str, y: str) -> str:
        return w.op("BitwiseXor", x, y)

    a, b = threefry(words[0], words[1], high, low, add, xor, rotate, literal)
    return xor(a, b)
