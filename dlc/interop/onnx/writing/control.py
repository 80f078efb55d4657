"""Writers of ops that run functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.interop.onnx.element_types import kind_of
from dlc.interop.onnx.writing.tensors import reversed_along
from dlc.interop.onnx.writing.writer import Writer, writes
from dlc.ir.types import TensorType, bool_, int64


def _value(w: Writer, name: str, type_: Any) -> Any:
    return w.store.package.helper.make_tensor_value_info(
        name, kind_of(type_.dtype), None if type_.shape else []
    )


@writes("checkpoint", "custom_jvp", "custom_vjp")
def inlined(w: Writer, node: Any, *inputs: str) -> list[str]:
    """The function that it stands for."""
    function = node.attrs["body"] if node.op.name == "checkpoint" else node.attrs["primal"]
    return w.body(function, inputs)


@writes("switch")
def switch(w: Writer, node: Any, index: str, *inputs: str) -> list[str]:
    """One of several functions, by a chain of If."""
    branches = node.attrs["branches"]
    types = [r.tensor for r in branches[0].results]

    def graph(k: int) -> Any:
        inner = w.inner()
        outputs = inner.body(branches[k], inputs) if k == len(branches) - 1 else chosen(inner, k)
        return inner.graph([], outputs, types)

    def chosen(at: Writer, k: int) -> list[str]:
        here = at.inner()
        taken = here.graph([], here.body(branches[k], inputs), types)
        condition = at.op("LessOrEqual", index, at.constant(np.array(k, np.int64)))
        made = at.op(
            "If", condition, outputs=len(types), then_branch=taken, else_branch=graph(k + 1)
        )
        return made if isinstance(made, list) else [made]

    return chosen(w, 0) if len(branches) > 1 else w.body(branches[0], inputs)


@writes("while")
def while_(w: Writer, node: Any, *inputs: str) -> list[str]:
    """A Loop without a count."""
    at = node.attrs
    consts, carries = inputs[: at["consts"]], list(inputs[at["consts"] :])
    types = [x.tensor for x in node.inputs[at["consts"] :]]
    (start,) = w.body(at["cond"], inputs)
    inner = w.inner()
    names = [inner.store.name("carry") for _ in carries]
    made = inner.body(at["body"], [*consts, *names])
    (going,) = inner.body(at["cond"], [*consts, *made])
    step, held = inner.store.name("step"), inner.store.name("held")
    given = [
        _value(w, step, TensorType(int64)),
        _value(w, held, TensorType(bool_)),
        *(_value(w, n, t) for n, t in zip(names, types, strict=True)),
    ]
    body = inner.graph(given, [going, *made], [TensorType(bool_), *types])
    results = w.op("Loop", "", start, *carries, outputs=len(carries), body=body)
    return results if isinstance(results, list) else [results]


@writes("scan")
def scan(w: Writer, node: Any, *inputs: str) -> list[str]:
    """A Loop that takes the next slice of each stacked tensor."""
    at = node.attrs
    a, b = at["consts"], at["consts"] + at["carries"]
    consts, carries, stacked = inputs[:a], inputs[a:b], inputs[b:]
    function = at["body"]
    inner = w.inner()
    step, held = inner.store.name("step"), inner.store.name("held")
    names = [inner.store.name("carry") for _ in carries]
    place = step
    if at["reverse"]:
        last = inner.op("Sub", inner.dim(at["length"]), inner.constant(np.array(1, np.int64)))
        place = inner.op("Sub", last, step)
    slices = [inner.op("Gather", x, place, axis=0) for x in stacked]
    made = inner.body(function, [*consts, *names, *slices])
    types = [r.tensor for r in function.results]
    given = [
        _value(w, step, TensorType(int64)),
        _value(w, held, TensorType(bool_)),
        *(_value(w, n, t) for n, t in zip(names, types, strict=False)),
    ]
    go = inner.constant(np.array(True))
    body = inner.graph(given, [go, *made], [TensorType(bool_), *types])
    results = w.op("Loop", w.dim(at["length"]), "", *carries, outputs=len(types), body=body)
    results = results if isinstance(results, list) else [results]
    count = len(carries)
    rows = results[count:]
    if at["reverse"]:
        rows = [reversed_along(w, r, [0]) for r in rows]
    return [*results[:count], *rows]
