"""Rows that change how what they stand for is differentiated; kernels never see them.

Functions are attributes, and what they read is operands. The first `arguments` operands are what
derivatives are with respect to, those after them what the functions read besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function
from dlc.ir.errors import DerivativeError, ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.families import filled, same_shape
from dlc.ir.types import TensorType, TupleType


def _check(what: str, found: Sequence[TensorType], wanted: Sequence[TensorType]) -> None:
    same = len(found) == len(wanted) and all(
        a.dtype is b.dtype and same_shape(a.shape, b.shape)
        for a, b in zip(found, wanted, strict=True)
    )
    if not same:
        shown = [", ".join(map(str, types)) for types in (found, wanted)]
        raise ShapeError(f"{what} ({shown[0]}), but ({shown[1]}) is needed")


def _params(function: Function) -> list[TensorType]:
    return [p.tensor for p in function.params]


def _results(function: Function) -> list[TensorType]:
    return [r.tensor for r in function.results]


def _floats(types: Sequence[TensorType]) -> list[TensorType]:
    return [t for t in types if t.dtype.is_float]


def _float_inputs(inputs: Sequence[Any], count: int) -> list[int]:
    """Which of the first `count` inputs are floats."""
    return [k for k, x in enumerate(inputs[:count]) if x.tensor.dtype.is_float]


def _check_outside(name: str, differentiated: Sequence[bool], arguments: int) -> None:
    if any(differentiated[arguments:]):
        raise DerivativeError(
            f"a function given to {name} reads a value from outside with respect to which it is "
            "being differentiated",
            hint="make it an argument of the function",
        )


# custom_vjp


def _vjp_type(types: Sequence[TensorType], attrs: Attrs) -> TupleType:
    primal, forward, backward = (attrs[k] for k in ("primal", "forward", "backward"))
    results = _results(primal)
    _check("the function of custom_vjp takes", _params(primal), types)
    _check("the forward function takes", _params(forward), types)
    made = _results(forward)
    _check("the forward function results in", made[: len(results)], results)
    kept = made[len(results) :]
    _check("the backward function takes", _params(backward), [*kept, *_floats(results)])
    wanted = _floats(types[: attrs["arguments"]])
    _check("the backward function results in", _results(backward), wanted)
    return TupleType(tuple(results))


def _custom_cotangents(
    b: Any,
    out: Any,
    cts: Sequence[Any],
    wanted: Sequence[bool],
    inputs: Sequence[Any],
    primal: Function,
    forward: Function,
    backward: Function,
    arguments: int,
) -> list[Any]:
    _check_outside("custom_vjp", wanted, arguments)
    results = _results(primal)
    kept = b.inlined(forward, inputs)[len(results) :]
    given = [
        b.zeros(t) if ct is None else ct
        for ct, t in zip(cts, results, strict=True)
        if t.dtype.is_float
    ]
    found: list[Any] = [None] * len(inputs)
    places = _float_inputs(inputs, arguments)
    for k, ct in zip(places, b.inlined(backward, [*kept, *given]), strict=True):
        found[k] = ct
    return found


def _custom_tangents(
    b: Any,
    out: Any,
    inputs: Sequence[Any],
    tangents: Sequence[Any],
    primal: Function,
    forward: Function,
    backward: Function,
    arguments: int,
) -> list[Any]:
    """The backward function is linear in the cotangents; its transpose takes tangents forward."""
    _check_outside("custom_vjp", [t is not None for t in tangents], arguments)
    results = _results(primal)
    kept = b.inlined(forward, inputs)[len(results) :]
    zeros = [b.zeros(t) for t in _floats(results)]
    count = len(kept)
    transposed = b.vjp_of(backward, range(count, count + len(zeros)))
    given = [
        filled(b, 0.0, inputs[k]) if tangents[k] is None else tangents[k]
        for k in _float_inputs(inputs, arguments)
    ]
    slopes = iter(b.inlined(transposed, [*kept, *zeros, *given])[len(backward.results) :])
    return [next(slopes) if t.dtype.is_float else None for t in results]


def _custom_batch(
    b: Any,
    inputs: Sequence[Any],
    batched: Sequence[bool],
    primal: Function,
    forward: Function,
    backward: Function,
    arguments: int,
) -> list[Any]:
    size = batching.batch_size(inputs, batched)
    count = len(primal.results)
    rest = len(forward.results) - count
    wide, _ = b.batch_of(primal, batched, size, True)
    ahead, flags = b.batch_of(forward, batched, size, [True] * count + [False] * rest)
    given = [True] * (len(backward.params) - rest)
    back, _ = b.batch_of(backward, [*flags[count:], *given], size, True)
    places = _float_inputs(inputs, arguments)
    back = _summed(back, [not batched[k] for k in places])
    made = b.custom_vjp(*inputs, primal=wide, forward=ahead, backward=back, arguments=arguments)
    return [b.get(made, index=k) for k in range(count)]


def _summed(function: Function, over_batch: Sequence[bool]) -> Function:
    """`function` with some results added up over the batch: cotangents of what elements share."""
    b = IRBuilder()
    b.nodes.extend(function.nodes)
    results = [
        b.reduce_sum(r, axes=(0,)) if shared else r
        for r, shared in zip(function.results, over_batch, strict=True)
    ]
    return b.function(function.name, function.params, results)


register(
    Op(
        "custom_vjp",
        "What `primal` results in. In reverse mode `forward` is used in its place, which results "
        "in values to keep besides, and `backward` takes those and the cotangents of float "
        "results to the cotangents of float arguments.",
        infer=_vjp_type,
        attrs={
            "primal": "function",
            "forward": "function",
            "backward": "function",
            "arguments": "int",
        },
        family="custom",
        decompose=lambda b, *inputs, primal, forward, backward, arguments: b.inlined(
            primal, inputs
        ),
        jvp=_custom_tangents,
        vjp_all=_custom_cotangents,
        batch=_custom_batch,
    )
)


# custom_jvp


def _jvp_type(types: Sequence[TensorType], attrs: Attrs) -> TupleType:
    primal, tangent = attrs["primal"], attrs["tangent"]
    _check("the function of custom_jvp takes", _params(primal), types)
    wanted = [*types, *_floats(types[: attrs["arguments"]])]
    _check("the tangent function takes", _params(tangent), wanted)
    results = _results(primal)
    _check("the tangent function results in", _results(tangent), _floats(results))
    return TupleType(tuple(results))


def _given_tangents(
    b: Any,
    out: Any,
    inputs: Sequence[Any],
    tangents: Sequence[Any],
    primal: Function,
    tangent: Function,
    arguments: int,
) -> list[Any]:
    _check_outside("custom_jvp", [t is not None for t in tangents], arguments)
    given = [
        filled(b, 0.0, inputs[k]) if tangents[k] is None else tangents[k]
        for k in _float_inputs(inputs, arguments)
    ]
    slopes = iter(b.inlined(tangent, [*inputs, *given]))
    return [next(slopes) if t.dtype.is_float else None for t in _results(primal)]


def _given_cotangents(
    b: Any,
    out: Any,
    cts: Sequence[Any],
    wanted: Sequence[bool],
    inputs: Sequence[Any],
    primal: Function,
    tangent: Function,
    arguments: int,
) -> list[Any]:
    """The tangent function is linear in the tangents; its transpose takes cotangents back."""
    _check_outside("custom_jvp", wanted, arguments)
    places = _float_inputs(inputs, arguments)
    transposed = b.vjp_of(tangent, range(len(inputs), len(inputs) + len(places)))
    given = [
        b.zeros(t) if ct is None else ct
        for ct, t in zip(cts, _results(primal), strict=True)
        if t.dtype.is_float
    ]
    zeros = [filled(b, 0.0, inputs[k]) for k in places]
    made = b.inlined(transposed, [*inputs, *zeros, *given])[len(tangent.results) :]
    found: list[Any] = [None] * len(inputs)
    for k, ct in zip(places, made, strict=True):
        found[k] = ct
    return found


def _given_batch(
    b: Any,
    inputs: Sequence[Any],
    batched: Sequence[bool],
    primal: Function,
    tangent: Function,
    arguments: int,
) -> list[Any]:
    size = batching.batch_size(inputs, batched)
    wide, _ = b.batch_of(primal, batched, size, True)
    flags = [batched[k] for k in _float_inputs(primal.params, arguments)]
    slope, _ = b.batch_of(tangent, [*batched, *flags], size, True)
    made = b.custom_jvp(*inputs, primal=wide, tangent=slope, arguments=arguments)
    return [b.get(made, index=k) for k in range(len(primal.results))]


register(
    Op(
        "custom_jvp",
        "What `primal` results in. `tangent` takes the operands and the tangents of float "
        "arguments to the tangents of float results.",
        infer=_jvp_type,
        attrs={"primal": "function", "tangent": "function", "arguments": "int"},
        family="custom",
        decompose=lambda b, *inputs, primal, tangent, arguments: b.inlined(primal, inputs),
        jvp=_given_tangents,
        vjp_all=_given_cotangents,
        batch=_given_batch,
    )
)


# checkpoint and barrier


def _checkpoint_type(types: Sequence[TensorType], attrs: Attrs) -> TupleType:
    _check("the function of checkpoint takes", _params(attrs["body"]), types)
    return TupleType(tuple(_results(attrs["body"])))


def _recomputed(
    b: Any,
    out: Any,
    cts: Sequence[Any],
    wanted: Sequence[bool],
    inputs: Sequence[Any],
    body: Function,
) -> list[Any]:
    """The body's values again, from operands that no pass takes for those of the forward pass."""
    wrt = [k for k, has in enumerate(wanted) if has]
    results = _results(body)
    derived = b.vjp_of(body, wrt)
    given = [
        b.zeros(t) if ct is None else ct
        for ct, t in zip(cts, results, strict=True)
        if t.dtype.is_float
    ]
    again = [b.barrier(x) for x in inputs]
    found: list[Any] = [None] * len(inputs)
    for k, ct in zip(wrt, b.inlined(derived, [*again, *given])[len(results) :], strict=True):
        found[k] = ct
    return found


def _checkpoint_batch(
    b: Any, inputs: Sequence[Any], batched: Sequence[bool], body: Function
) -> list[Any]:
    wide, _ = b.batch_of(body, batched, batching.batch_size(inputs, batched), True)
    made = b.checkpoint(*inputs, body=wide)
    return [b.get(made, index=k) for k in range(len(body.results))]


register(
    Op(
        "checkpoint",
        "What `body` results in; reverse mode computes its values again, and keeps none of them.",
        infer=_checkpoint_type,
        attrs={"body": "function"},
        family="custom",
        decompose=lambda b, *inputs, body: b.inlined(body, inputs),
        vjp_all=_recomputed,
        batch=_checkpoint_batch,
    )
)
register(
    Op(
        "barrier",
        "x, which passes take for another value: what is computed from it is not made one with "
        "what is computed from x.",
        infer=lambda types, attrs: types[0],
        reference=lambda x: x,
        family="structural",
        lower=lambda ix, inputs, attrs, type_: inputs[0](*ix),
        jvp=lambda b, out, x, t: b.barrier(t[0]),
        linear=(0,),
        transpose=lambda b, ct, i, x: ct,
        batch=batching.elementwise("barrier"),
        cost=0,
        samples=lambda: [Sample((((3, 5), d),)) for d in ("f32", "i64", "bool")],
    )
)


def _no_derivative(b: Any, out: Any, x: Any, t: Any, reason: str) -> Any:
    raise DerivativeError(reason)


register(
    Op(
        "no_derivative",
        "x, whose differentiation is an error with this reason.",
        infer=lambda types, attrs: types[0],
        attrs={"reason": "str"},
        family="structural",
        jvp=_no_derivative,
        decompose=lambda b, x, reason: x,
        batch=batching.elementwise("no_derivative"),
        samples=lambda: [Sample((((3, 5), "f32"),), {"reason": "for a test"})],
    )
)
