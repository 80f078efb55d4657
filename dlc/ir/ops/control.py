"""Rows that run functions: one of several, or one many times.

The functions are attributes; what they read from outside are operands. All of them result in a
tuple. Tensors with an extent of `TRIPS` are what each iteration of a loop of unknown length has
left, one after the other; only loops of the same length read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir.core import Function
from dlc.ir.dims import TRIPS, Dim
from dlc.ir.errors import DTypeError, ShapeError, ValueRangeError
from dlc.ir.op import Attrs, Op, Runner, register
from dlc.ir.ops.families import same_shape
from dlc.ir.types import TensorType, TupleType, bool_, int64


def check_inputs(what: str, function: Function, types: Sequence[TensorType]) -> None:
    """ShapeError or DTypeError unless a function takes operands of these types."""
    params = [p.tensor for p in function.params]
    if len(params) != len(types):
        raise ShapeError(f"{what} takes {len(params)} operands, not {len(types)}")
    for k, (p, t) in enumerate(zip(params, types, strict=True)):
        check_same(f"{what}: operand {k}", t, p)


def check_same(what: str, found: TensorType, wanted: TensorType) -> None:
    """DTypeError or ShapeError unless two types are the same."""
    if found.dtype is not wanted.dtype:
        raise DTypeError(f"{what} is {found}, but {wanted} is needed")
    if not same_shape(found.shape, wanted.shape):
        raise ShapeError(f"{what} is {found}, but {wanted} is needed")


def _results(function: Function) -> list[TensorType]:
    return [r.tensor for r in function.results]


def _check_scalar(what: str, type_: TensorType) -> None:
    if type_.shape:
        raise ShapeError(f"{what} is {type_}, which is no scalar")


def _infer_switch(types: Sequence[TensorType], attrs: Attrs) -> TupleType:
    branches: tuple[Function, ...] = attrs["branches"]
    if not branches:
        raise ValueRangeError("switch without branches")
    index, *rest = types
    _check_scalar("the index of switch", index)
    if index.dtype is not int64:
        raise DTypeError(f"the index of switch is {index}, but i64[] is needed")
    first = _results(branches[0])
    for k, branch in enumerate(branches):
        check_inputs(f"branch {k}", branch, rest)
        found = _results(branch)
        if len(found) != len(first):
            raise ShapeError(f"branch {k} has {len(found)} results, branch 0 has {len(first)}")
        for n, (a, b) in enumerate(zip(found, first, strict=True)):
            check_same(f"result {n} of branch {k}", a, b)
    return TupleType(tuple(first))


def _run_switch(run: Runner, inputs: Sequence[Any], attrs: Attrs) -> Sequence[Any]:
    branches: tuple[Function, ...] = attrs["branches"]
    number = min(max(int(inputs[0]), 0), len(branches) - 1)
    return run(branches[number], inputs[1:])


register(
    Op(
        "switch",
        "The results of one of several functions of the operands; the first operand is its number, "
        "and one out of range is that of the nearest.",
        infer=_infer_switch,  # type: ignore[arg-type]
        control=_run_switch,
        attrs={"branches": "functions"},
        family="control",
    )
)


def _infer_while(types: Sequence[TensorType], attrs: Attrs) -> TupleType:
    count: int = attrs["consts"]
    if not 0 <= count <= len(types):
        raise ValueRangeError(f"while with {count} constants of {len(types)} operands")
    carries = list(types[count:])
    check_inputs("the condition", attrs["cond"], types)
    check_inputs("the body", attrs["body"], types)
    found = _results(attrs["cond"])
    if len(found) != 1:
        raise ShapeError(f"the condition has {len(found)} results")
    _check_scalar("the condition", found[0])
    if found[0].dtype is not bool_:
        raise DTypeError(f"the condition is {found[0]}, but bool[] is needed")
    made = _results(attrs["body"])
    _check_carries(made, carries)
    if not attrs["counted"]:
        if len(made) != len(carries):
            raise ShapeError(f"the body has {len(made)} results for {len(carries)} carries")
        return TupleType(tuple(carries))
    return TupleType((*carries, TensorType(int64), *stacked(made[len(carries) :], TRIPS)))


def _check_carries(found: Sequence[TensorType], carries: Sequence[TensorType]) -> None:
    if len(found) < len(carries):
        raise ShapeError(f"the body has {len(found)} results for {len(carries)} carries")
    for k, (a, b) in enumerate(zip(found, carries, strict=False)):
        check_same(f"carry {k} after the body", a, b)


def stacked(types: Sequence[TensorType], length: Dim) -> list[TensorType]:
    """The types of `length` tensors of each type, one after the other."""
    return [t.with_shape((length, *t.shape)) for t in types]


def _run_while(run: Runner, inputs: Sequence[Any], attrs: Attrs) -> Sequence[Any]:
    consts, carries = inputs[: attrs["consts"]], inputs[attrs["consts"] :]
    count = 0
    rows: list[Sequence[Any]] = []
    while run(attrs["cond"], [*consts, *carries])[0]:
        found = run(attrs["body"], [*consts, *carries])
        carries, row = found[: len(carries)], found[len(carries) :]
        rows.append(row)
        count += 1
    if not attrs["counted"]:
        return carries
    left = _results(attrs["body"])[len(carries) :]
    return [*carries, np.array(count, np.int64), *_stack(run, rows, left)]


def _stack(run: Runner, rows: Sequence[Sequence[Any]], types: Sequence[TensorType]) -> list[Any]:
    made: list[Any] = []
    for k, t in enumerate(types):
        whole = np.empty((len(rows), *map(run.extent, t.shape)), t.dtype.numpy)
        for n, row in enumerate(rows):
            whole[n] = row[k]
        made.append(whole)
    return made


register(
    Op(
        "while",
        "Runs `body` on the carries, the operands after the first `consts`, as long as `cond` of "
        "them is true. Both are given the constants too. With `counted`, the number of iterations "
        "follows the carries, and after it what the body results in besides, of all iterations.",
        infer=_infer_while,  # type: ignore[arg-type]
        control=_run_while,
        attrs={"cond": "function", "body": "function", "consts": "int", "counted": "bool"},
        defaults={"consts": 0, "counted": False},
        family="control",
    )
)


def scan_parts(inputs: Sequence[Any], attrs: Attrs) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """The count of a scan (None where its length is a dim), constants, carries and stacked."""
    rest = list(inputs)
    count = rest.pop(0) if attrs["length"] == TRIPS else None
    a = attrs["consts"]
    b = a + attrs["carries"]
    return count, rest[:a], rest[a:b], rest[b:]


def _infer_scan(types: Sequence[TensorType], attrs: Attrs) -> TupleType:
    body: Function = attrs["body"]
    length: Dim = attrs["length"]
    n = (length == TRIPS) + attrs["consts"] + attrs["carries"]
    if min(attrs["consts"], attrs["carries"]) < 0 or n > len(types):
        raise ValueRangeError(f"scan of {len(types)} operands, of which it needs {n}")
    count, consts, carries, xs = scan_parts(types, attrs)
    if count is not None and count != TensorType(int64):
        raise DTypeError(f"the length of scan is {count}, but i64[] is needed")
    rows: list[TensorType] = []
    for k, t in enumerate(xs):
        if not t.shape or not same_shape(t.shape[:1], (length,)):
            raise ShapeError(f"scan of length {length}: input {k} is {t}")
        rows.append(t.with_shape(t.shape[1:]))
    check_inputs("the body", body, [*consts, *carries, *rows])
    made = _results(body)
    _check_carries(made, carries)
    return TupleType((*carries, *stacked(made[len(carries) :], length)))


def _run_scan(run: Runner, inputs: Sequence[Any], attrs: Attrs) -> Sequence[Any]:
    count, consts, carries, xs = scan_parts(inputs, attrs)
    length = run.extent(attrs["length"]) if count is None else int(count)
    order = range(length)
    rows: list[Sequence[Any]] = [()] * length
    for k in reversed(order) if attrs["reverse"] else order:
        found = run(attrs["body"], [*consts, *carries, *(x[k] for x in xs)])
        carries, rows[k] = list(found[: len(carries)]), found[len(carries) :]
    return [*carries, *_stack(run, rows, _results(attrs["body"])[len(carries) :])]


register(
    Op(
        "scan",
        "Runs `body` `length` times on constants, carries, and the next of each stacked input; "
        "results in the carries and what the body has left besides, stacked. A length of TRIPS is "
        "given by the first operand. `reverse` begins at the end.",
        infer=_infer_scan,  # type: ignore[arg-type]
        control=_run_scan,
        attrs={
            "body": "function",
            "length": "dim",
            "consts": "int",
            "carries": "int",
            "reverse": "bool",
        },
        defaults={"consts": 0, "carries": 0, "reverse": False},
        family="control",
    )
)
