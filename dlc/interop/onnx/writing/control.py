"""Writers of ops that run functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.interop.onnx.element_types import kind_of
from dlc.interop.onnx.writing.tensors import reversed_along
from dlc.interop.onnx.writing.writer import Writer, writes
from dlc.ir.ops.control import scan_parts
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
    """A Loop without a count, which may count its iterations and stack what they leave."""
    at = node.attrs
    consts, carries = inputs[: at["consts"]], list(inputs[at["consts"] :])
    types = [x.tensor for x in node.inputs[at["consts"] :]]
    (start,) = w.body(at["cond"], inputs)
    inner = w.inner()
    names = [inner.store.name("carry") for _ in carries]
    function = at["body"]
    made = inner.body(function, [*consts, *names])
    (going,) = inner.body(at["cond"], [*consts, *made[: len(carries)]])
    outputs = [r.tensor for r in function.results]
    step, held = inner.store.name("step"), inner.store.name("held")
    given = [
        _value(w, step, TensorType(int64)),
        _value(w, held, TensorType(bool_)),
        *(_value(w, n, t) for n, t in zip(names, types, strict=True)),
    ]
    count: list[str] = []
    if at["counted"]:  # one more carry
        before, one = inner.store.name("count"), inner.constant(np.array(1, np.int64))
        given.append(_value(w, before, TensorType(int64)))
        made.insert(len(carries), inner.op("Add", before, one))
        outputs.insert(len(carries), TensorType(int64))
        count = [w.constant(np.array(0, np.int64))]
    body = inner.graph(given, [going, *made], [TensorType(bool_), *outputs])
    results = w.op("Loop", "", start, *carries, *count, outputs=len(made), body=body)
    return results if isinstance(results, list) else [results]


@writes("scan")
def scan(w: Writer, node: Any, *inputs: str) -> list[str]:
    """A Loop that takes the next slice of each stacked tensor."""
    at = node.attrs
    count, consts, carries, stacked = scan_parts(inputs, at)
    count = w.dim(at["length"]) if count is None else count
    function = at["body"]
    inner = w.inner()
    step, held = inner.store.name("step"), inner.store.name("held")
    names = [inner.store.name("carry") for _ in carries]
    place = step
    if at["reverse"]:
        last = inner.op("Sub", count, inner.constant(np.array(1, np.int64)))
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
    results = w.op("Loop", count, "", *carries, outputs=len(types), body=body)
    results = results if isinstance(results, list) else [results]
    rows = results[len(carries) :]
    if at["reverse"]:
        rows = [reversed_along(w, r, [0]) for r in rows]
    return [*results[: len(carries)], *rows]
