"""Attention (Vaswani et al., 2017) and what its gradient needs.

Queries are [..., T, D], keys [..., S, D] and values [..., S, E] with the same leading axes, the
heads; queries may have one more, [..., G, T, D], a group that reads the same keys. A mask
[..., (G), T, S], any of whose extents may be 1, is added to the scores or, of bools, says which
keys take part; where there are both, that of bools comes second. A causal score has only keys up to
the query's own position. Half types are computed at float32, which added masks, the logarithms of
sums, and gradients have; the cotangent of the result has either type. All rows of the family have
the inputs of `attention` first, so that those of the same inputs can be computed by one kernel.
Their attributes:

scale: what products of queries and keys are multiplied by.
causal: whether the query at i reads the keys up to i only.
hidden: the score of a key that a mask of bools leaves out; the key takes part if it is finite.
nan_rows: whether a query to which no key is left gets NaN, as softmax gives it, and not 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dlc.ir.dims import Dim, product
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.op import Attrs, Op, Sample, register
from dlc.ir.ops import batching
from dlc.ir.ops.composite import stretch
from dlc.ir.ops.families import accumulator, check_kind, filled, same_shape
from dlc.ir.types import DType, TensorType, int64

# Gradients are computed by parts of at least so many keys where there are fewer heads than jobs.
_KEYS, _JOBS = 512, 8


def _product(b: Any, x: Any, y: Any, x_axes: Sequence[int], y_axes: Sequence[int]) -> Any:
    """Sums of products over axes counted from the end, for each head of y, which has two more."""
    heads = tuple(range(y.tensor.rank - 2))
    return b.dot_general(
        x,
        y,
        lhs_batch=heads,
        rhs_batch=heads,
        lhs_contract=tuple(a + x.tensor.rank for a in x_axes),
        rhs_contract=tuple(a + y.tensor.rank for a in y_axes),
    )


def _over_queries(b: Any, x: Any, y: Any, k: Any) -> Any:
    """Sums of products over the queries of each of the heads that k has."""
    heads = k.tensor.rank - 2
    axes = tuple(range(heads, x.tensor.rank - 1))
    batch = tuple(range(heads))
    return b.dot_general(
        x, y, lhs_batch=batch, rhs_batch=batch, lhs_contract=axes, rhs_contract=axes
    )


def _check(name: str, types: Sequence[TensorType], more: int) -> None:
    """Checks the operands of `attention` before and after the `more` that a gradient has."""
    q, k, v, *rest = types
    shown = ", ".join(map(str, types))
    check_kind(name, q, "f")
    mask = rest[more:]
    n = k.rank - 2
    fits = (
        n >= 0
        and v.rank == k.rank
        and q.rank in (k.rank, k.rank + 1)
        and same_shape(k.shape, (*q.shape[:n], k.shape[n], q.shape[-1]))
        and same_shape(v.shape[:-1], k.shape[:-1])
        and len(mask) <= 2
        and all(_is_mask_of(m, (*q.shape[:-1], k.shape[n])) for m in mask)
    )
    if not fits:
        raise ShapeError(
            f"{name} of {shown}: the shapes must be [..., T, D], [..., S, D] and [..., S, E], "
            "that of a mask [..., T, S]"
        )
    wide = _wide(q)
    lse, ct, delta = rest[:more] or (None, None, None)
    same = (
        k.dtype is v.dtype is q.dtype
        and (ct is None or ct.dtype in (q.dtype, wide))
        and all(t is None or t.dtype is wide for t in (lse, delta))
    )
    if not same or any(m.dtype.kind != "b" and m.dtype is not wide for m in mask):
        raise DTypeError(f"{name} of {shown}: the element types must be floats, and equal")
    if len(mask) == 2 and [m.dtype.kind for m in mask] != ["f", "b"]:
        raise DTypeError(f"{name} of {shown}: of two masks one is of floats, then one of bools")


def _wide(type_: TensorType) -> DType:
    """The element type at which attention of operands of a type is computed."""
    return accumulator(type_.dtype)


def _converted(b: Any, x: Any, dtype: DType) -> Any:
    return x if x.tensor.dtype is dtype else b.convert(x, dtype=dtype)


def _at_float32(b: Any, operands: Sequence[Any]) -> list[Any]:
    """Operands at which half types are computed; others as they are."""
    return [_converted(b, x, _wide(x.tensor)) for x in operands]


def _is_mask_of(mask: TensorType, shape: Sequence[Any]) -> bool:
    return mask.rank == len(shape) and all(
        m == 1 or same_shape((m,), (d,)) for m, d in zip(mask.shape, shape, strict=True)
    )


def _infer(name: str, pick: Callable[..., TensorType]) -> Callable[..., TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        _check(name, types, 0)
        return pick(*types)

    return infer


def _infer_grad(name: str, which: int) -> Callable[..., TensorType]:
    def infer(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
        if len(types) < 6:
            raise ShapeError(f"{name} of {len(types)} operands: it takes 6 to 8")
        _check(name, types, 3)
        q, v, (lse, ct, delta) = types[0], types[2], types[3:6]
        rows = q.shape[:-1]
        if not all(
            same_shape(t.shape, shape)
            for t, shape in ((lse, rows), (delta, rows), (ct, (*rows, v.shape[-1])))
        ):
            raise ShapeError(f"{name} of {', '.join(map(str, types))}: the cotangent does not fit")
        return TensorType(_wide(q), types[which].shape)

    return infer


def _scores(b: Any, q: Any, k: Any, mask: Sequence[Any], attrs: Attrs) -> Any:
    """[..., T, S]: products of queries and keys, scaled and masked."""
    s = _product(b, q, k, (-1,), (-1,))
    s = b.mul(s, filled(b, attrs["scale"], s))
    shape = s.tensor.shape
    for m in mask:
        wide = b.broadcast_to(m, shape=shape)
        hidden = filled(b, attrs["hidden"], s)
        s = b.select(wide, s, hidden) if _is_bool(m) else b.add(s, wide)
    if attrs["causal"]:
        i, j = (b.iota(axis=a, shape=shape, dtype=int64) for a in (len(shape) - 2, len(shape) - 1))
        s = b.select(b.le(j, i), s, filled(b, -math.inf, s))
    return s


def _is_bool(x: Any) -> bool:
    return x.tensor.dtype.kind == "b"


def _exponentials(
    b: Any, q: Any, k: Any, mask: Sequence[Any], attrs: Attrs
) -> tuple[Any, Any, Any]:
    """Of each row: its largest score (0 where no key takes part), the exponentials, their sum."""
    s = _scores(b, q, k, mask, attrs)
    last = (s.tensor.rank - 1,)
    top = _finite(b, b.stop_gradient(b.reduce_max(s, axes=last)))
    e = b.exp(b.sub(s, stretch(b, top, s, last)))
    return top, e, b.reduce_sum(e, axes=last)


def _finite(b: Any, x: Any) -> Any:
    """x with 0 in the place of -inf."""
    return b.select(b.eq(x, filled(b, -math.inf, x)), filled(b, 0.0, x), x)


def _is_zero(b: Any, x: Any) -> Any:
    return b.eq(x, filled(b, 0.0, x))


def _attention(b: Any, q: Any, k: Any, v: Any, *mask: Any, **attrs: Any) -> Any:
    dtype = q.tensor.dtype
    q, k, v = _at_float32(b, (q, k, v))
    _, e, total = _exponentials(b, q, k, mask, attrs)
    if not attrs["nan_rows"]:
        total = b.select(_is_zero(b, total), filled(b, 1.0, total), total)
    out = _product(b, e, v, (-1,), (-2,))
    return _converted(b, b.div(out, _as_column(b, total, out)), dtype)


def _as_column(b: Any, x: Any, like: Any) -> Any:
    """One element for each row of `like`, along the rows."""
    return stretch(b, x, like, (like.tensor.rank - 1,))


def _lse(b: Any, q: Any, k: Any, v: Any, *mask: Any, **attrs: Any) -> Any:
    q, k = _at_float32(b, (q, k))
    top, _, total = _exponentials(b, q, k, mask, attrs)
    found = b.add(b.log(total), top)
    if not attrs["nan_rows"]:
        return found
    return b.select(_is_zero(b, total), filled(b, math.nan, found), found)


def _lse_low(b: Any, q: Any, k: Any, v: Any, *mask: Any, **attrs: Any) -> Any:
    q, k = _at_float32(b, (q, k))
    top, _, total = _exponentials(b, q, k, mask, attrs)
    log = b.log(total)
    low = b.add(b.sub(top, b.add(log, top)), log)
    return b.select(_is_zero(b, total), filled(b, 0.0, low), low)


def _probabilities(b: Any, q: Any, k: Any, lse: Any, mask: Sequence[Any], attrs: Attrs) -> Any:
    s = _scores(b, q, k, mask, attrs)
    return b.exp(b.sub(s, _as_column(b, _finite(b, lse), s)))


def _score_cotangents(
    b: Any, p: Any, v: Any, ct: Any, delta: Any, mask: Sequence[Any], attrs: Attrs
) -> Any:
    dp = _product(b, ct, v, (-1,), (-1,))
    found = b.mul(p, b.sub(dp, _as_column(b, delta, dp)))
    for m in mask:
        if _is_bool(m) and hides_numbers(attrs):
            wide = b.broadcast_to(m, shape=found.tensor.shape)
            found = b.select(wide, found, filled(b, 0.0, found))
    return found


def hides_numbers(attrs: Attrs) -> bool:
    """Whether what a mask of bools leaves out may have a probability other than 0."""
    return attrs["nan_rows"] or attrs["hidden"] != -math.inf


def _grad_query(
    b: Any, q: Any, k: Any, v: Any, lse: Any, ct: Any, delta: Any, *mask: Any, **attrs: Any
) -> Any:
    q, k, v, ct = _at_float32(b, (q, k, v, ct))
    p = _probabilities(b, q, k, lse, mask, attrs)
    ds = _score_cotangents(b, p, v, ct, delta, mask, attrs)
    dq = _product(b, ds, k, (-1,), (-2,))
    return b.mul(dq, filled(b, attrs["scale"], dq))


def _grad_key(
    b: Any, q: Any, k: Any, v: Any, lse: Any, ct: Any, delta: Any, *mask: Any, **attrs: Any
) -> Any:
    q, k, v, ct = _at_float32(b, (q, k, v, ct))
    p = _probabilities(b, q, k, lse, mask, attrs)
    ds = _score_cotangents(b, p, v, ct, delta, mask, attrs)
    dk = _over_queries(b, ds, q, k)
    return b.mul(dk, filled(b, attrs["scale"], dk))


def _grad_value(
    b: Any, q: Any, k: Any, v: Any, lse: Any, ct: Any, delta: Any, *mask: Any, **attrs: Any
) -> Any:
    q, k, ct = _at_float32(b, (q, k, ct))
    p = _probabilities(b, q, k, lse, mask, attrs)
    return _over_queries(b, p, ct, k)


def _part_count(heads: Dim, keys: Dim) -> int:
    """Of how many equal parts of the keys the gradients are computed."""
    if not (isinstance(heads, int) and isinstance(keys, int) and heads > 0):
        return 1
    most = min(_JOBS // heads, keys // _KEYS)
    return next((n for n in range(most, 1, -1) if keys % n == 0), 1)


def _in_parts(b: Any, which: int, operands: Sequence[Any], attrs: Attrs) -> Any:
    """The cotangent of one of the inputs; where there are few heads, parts of the keys are some.

    A kernel takes the keys of a head in order, as all of them add to its queries' cotangents. What
    parts give to the queries is added up in the end.
    """
    q, k, v, lse, ct, delta, *mask = operands
    gradient = getattr(b, _GRADIENTS[which])
    heads, keys = k.tensor.rank - 2, k.tensor.shape[-2]
    count = 1 if attrs["causal"] else _part_count(product(k.tensor.shape[:-2]), keys)
    if count == 1:
        return gradient(*operands, **attrs)

    def repeated(x: Any, times: int = count) -> Any:
        lead, rest = x.tensor.shape[:heads], x.tensor.shape[heads:]
        x = b.reshape(x, shape=(*lead, 1, *rest))
        return b.broadcast_to(x, shape=(*lead, times, *rest))

    def cut(x: Any, axis: int) -> Any:
        shape = x.tensor.shape
        axis += len(shape)
        x = b.reshape(x, shape=(*shape[:axis], count, keys // count, *shape[axis + 1 :]))
        before = [a for a in range(len(shape) + 1) if a != axis]
        return b.transpose(x, axes=(*before[:heads], axis, *before[heads:]))

    parts = [repeated(q), cut(k, -2), cut(v, -2), *map(repeated, (lse, ct, delta))]
    parts += [repeated(m, 1) if m.tensor.shape[-1] == 1 else cut(m, -1) for m in mask]
    found = gradient(*parts, **attrs)
    if which == 0:
        return b.reduce_sum(found, axes=(heads,))
    return b.reshape(found, shape=operands[which].tensor.shape)


_GRADIENTS = ("attention_grad_query", "attention_grad_key", "attention_grad_value")


def _vjp(b: Any, out: Any, ct: Any, i: int, inputs: Sequence[Any], **attrs: Any) -> Any:
    """The cotangent of input `i`: of the mask in simple ops, of the others by their own rows."""
    q, k, v, *mask = inputs
    wide, wide_out = _at_float32(b, (ct, out))
    lse = b.attention_lse(q, k, v, *mask, **attrs)
    if any(not _is_bool(m) or attrs["hidden"] != -math.inf for m in mask):
        # Beside a score of -1e9 the logarithm of a sum is nothing. What that leaves out is a factor
        # of all probabilities of the row, and so of its cotangent.
        low = b.attention_lse_low(q, k, v, *mask, **attrs)
        ct = wide = b.mul(wide, _as_column(b, b.exp(b.neg(low)), wide))
    delta = b.reduce_sum(b.mul(wide, wide_out), axes=(wide.tensor.rank - 1,))
    if i < 3:
        found = _in_parts(b, i, (q, k, v, lse, ct, delta, *mask), attrs)
        return _converted(b, found, inputs[i].tensor.dtype)
    q, k, v = _at_float32(b, (q, k, v))
    p = _probabilities(b, q, k, lse, mask, attrs)
    ds = _score_cotangents(b, p, v, wide, delta, mask, attrs)
    shape = mask[0].tensor.shape
    repeated = tuple(a for a, d in enumerate(shape) if d == 1)
    return b.reshape(b.reduce_sum(ds, axes=repeated), shape=shape) if repeated else ds


def _samples(grad: bool) -> Callable[[], list[Sample]]:
    plain, causal = {"scale": 0.5, "causal": False}, {"scale": 0.3, "causal": True}
    nan_rows, hidden = {**plain, "nan_rows": True}, {**plain, "hidden": -3.0}

    def of(lead: tuple[int, ...], group: tuple[int, ...], sizes: str, dtype: str = "f32") -> Any:
        t, s, d, e = map(int, sizes.split())
        rows = (*lead, *group, t)
        shapes = [(*rows, d), (*lead, s, d), (*lead, s, e)]
        held = [(shape, dtype) for shape in shapes]
        wide = "f64" if dtype == "f64" else "f32"
        held += [(rows, wide), ((*rows, e), dtype), (rows, wide)] if grad else []
        return tuple(held)

    def samples() -> list[Sample]:
        halves = [
            Sample((*of((2,), (), "7 9 4 6", "bf16"), ((2, 7, 9), "f32")), causal),
            Sample(of((2,), (2,), "7 5 16 6", "f16"), {**plain, "scale": 0.1}),
        ]
        return [
            *halves,
            Sample(of((2, 3), (), "7 5 4 6"), plain),
            Sample(of((2, 3), (2,), "7 9 4 6", "f64"), causal),
            Sample((*of((2,), (), "5 11 3 3"), ((2, 5, 11), "f32")), plain),
            Sample((*of((2, 1), (2,), "6 7 3 3"), ((2, 1, 1, 1, 7), "bool")), causal),
            Sample(of((), (), "1 1 1 1"), plain),
            Sample((*of((2,), (), "5 9 4 3"), ((2, 5, 9), "f32"), ((1, 5, 9), "bool")), nan_rows),
            Sample((*of((2,), (), "5 9 4 3", "f64"), ((2, 1, 9), "bool")), hidden),
        ]

    return samples


def _batch(name: str, mask_at: int) -> Callable[..., Any]:
    """The rule of a row of the family: the batch axis is one more of the heads."""

    def batch(b: Any, inputs: Sequence[Any], batched: Sequence[bool], **attrs: Any) -> Any:
        size = batching.batch_size(inputs, batched)
        operands: list[Any] = []
        for i, (x, has) in enumerate(zip(inputs, batched, strict=True)):
            if has:
                operands.append(x)
            elif i < mask_at:
                operands.append(batching.repeated(b, x, size))
            else:
                operands.append(b.reshape(x, shape=(1, *x.tensor.shape)))
        return getattr(b, name)(*operands, **attrs)

    return batch


_ATTRS: dict[str, Any] = {
    "scale": "number", "causal": "bool", "hidden": "number", "nan_rows": "bool",
}  # fmt: skip
_DEFAULTS: dict[str, Any] = {"hidden": -math.inf, "nan_rows": False}


def _row(name: str, doc: str, *, inputs: int, **rules: Any) -> None:
    """A row of the family, of which masks follow the first `inputs` operands."""
    register(
        Op(
            name,
            doc,
            attrs=_ATTRS,
            defaults=_DEFAULTS,
            family="attention",
            own_kernel=True,
            batch=_batch(name, inputs),
            samples=_samples(grad=name in _GRADIENTS),
            **rules,
        )
    )


_row(
    "attention",
    "The mean of values by the softmax of scores, products of queries and keys; see the file.",
    inputs=3,
    infer=_infer("attention", lambda q, k, v, *mask: q.with_shape((*q.shape[:-1], v.shape[-1]))),
    decompose=_attention,
    vjp=_vjp,
)
for _name, _build, _doc in (
    (
        "attention_lse",
        _lse,
        "The logarithm of the sum of the exponentials of each row of attention's scores.",
    ),
    ("attention_lse_low", _lse_low, "What `attention_lse` is less than its value for rounding."),
):
    _row(
        _name,
        _doc,
        inputs=3,
        infer=_infer(_name, lambda q, k, v, *mask: TensorType(_wide(q), q.shape[:-1])),
        decompose=_build,
    )
for _which, (_name, _build) in enumerate(
    zip(_GRADIENTS, (_grad_query, _grad_key, _grad_value), strict=True)
):
    _input = _name.rpartition("_")[2]
    _row(
        _name,
        f"The cotangent of attention's {_input}, from its rows' logarithms of sums, its "
        "result's cotangent, and the sums of products of that with the result.",
        inputs=6,
        infer=_infer_grad(_name, _which),
        decompose=_build,
    )
