"""Attention: the mean of values weighted by how well queries and keys fit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlc.frontend.apply import (
    apply,
    as_tensor,
    broadcast_to,
    convert,
    float_promote,
    materialise,
)
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import elementwise
from dlc.frontend.functions.arguments import ArrayLike, common_shape, reshaped, types_text
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, dims_equal, floordiv, is_multiple, mul
from dlc.ir.errors import DTypeError, ShapeError
from dlc.ir.types import Shape, TensorType, float32

_NAME = "scaled_dot_product_attention"


@casts
def scaled_dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key.T * scale + attn_mask) @ value, as PyTorch's function of that name.

    It is computed without the matrix of scores, forward and backward. There is no dropout of
    weights: PyTorch's `dropout_p` is not among the arguments.

    Args:
        query: A tensor or array [..., heads, L, E].
        key: Another one, [..., heads, S, E].
        value: Another one, [..., heads, S, Ev]. Leading axes broadcast.
        attn_mask: What is added to the scores; or, of bools, True where a key takes part. It
            broadcasts to [..., heads, L, S].
        is_causal: Whether the query at i reads the keys up to i only.
        scale: What the products are multiplied by; 1 / sqrt(E) for None.
        enable_gqa: Whether key and value may have fewer heads, each for a group of the query's.

    Returns:
        A tensor [..., heads, L, Ev] of the common float dtype. Half types are computed at float32.
        A query without keys gives 0.

    Raises:
        ShapeError: The shapes do not fit.
        DTypeError: The mask is of integers.

    Example:
        >>> x = dlc.ones((1, 2, 4))
        >>> dlc.scaled_dot_product_attention(x, x, x).shape
        (1, 2, 4)
    """
    given = float_promote(query, key, value)
    q, k, v = (materialise(t) for t in given)
    dtype = q.tensor.dtype
    if dtype.bits == 16 and scale is None and not isinstance(q.tensor.shape[-1], int):
        # The query is scaled itself.
        q, k, v = (convert(t, float32) for t in (q, k, v))
    types = (q.tensor, k.tensor, v.tensor)
    _check_ranks(types)
    lead = _lead(types, enable_gqa)
    heads = _heads(types, lead, enable_gqa)
    q, factor = _scaled(q, scale)
    q = broadcast_to(q, (*lead, *q.tensor.shape[-2:]))
    masks = [] if attn_mask is None else [_mask(attn_mask, q, k, types)]
    common = lead if heads is None else (*lead[:-1], heads[0])
    k, v = (broadcast_to(t, (*common, *t.tensor.shape[-2:])) for t in (k, v))
    if heads is not None:
        q, *masks = (_grouped(t, heads) for t in (q, *masks))
        if not is_causal and all(m.tensor.shape[-3:-1] == (1, 1) for m in masks):
            # To each query its place does not matter: those of a group are queries of one head.
            q, *masks = (_flattened(t) for t in (q, *masks))
    out = apply("attention", q, k, v, *masks, scale=factor, causal=bool(is_causal))
    return convert(reshaped(out, (*lead, types[0].shape[-2], v.tensor.shape[-1])), dtype)


def _check_ranks(types: Sequence[TensorType]) -> None:
    q, k, v = types
    shown = types_text(types)
    if any(t.rank < 2 for t in types):
        raise ShapeError(f"{_NAME} of {shown}: query, key and value have at least two axes")
    if not dims_equal(q.shape[-1], k.shape[-1]):
        raise ShapeError(
            f"{_NAME} of {shown}: the query has {q.shape[-1]} elements a row, the key {k.shape[-1]}"
        )
    if not dims_equal(k.shape[-2], v.shape[-2]):
        raise ShapeError(
            f"{_NAME} of {shown}: there are {k.shape[-2]} keys and {v.shape[-2]} values"
        )


def _lead(types: Sequence[TensorType], grouped: bool) -> Shape:
    """The leading axes of the result, the heads last."""
    if not grouped:
        return common_shape(_NAME, [t.shape[:-2] for t in types], types)
    if any(t.rank < 3 for t in types):
        raise ShapeError(
            f"{_NAME} of {types_text(types)}: with enable_gqa there must be an axis of heads"
        )
    return (*common_shape(_NAME, [t.shape[:-3] for t in types], types), types[0].shape[-3])


def _heads(types: Sequence[TensorType], lead: Shape, grouped: bool) -> tuple[Dim, Dim] | None:
    """(heads of keys and values, heads of queries for each) where these are not as many."""
    if not grouped:
        single = all(t.rank < 3 or t.shape[-3] == 1 for t in types[1:])
        return (1, lead[-1]) if single and lead and lead[-1] != 1 else None
    mine, theirs = lead[-1], types[1].shape[-3]
    if not dims_equal(theirs, types[2].shape[-3]) or not is_multiple(mine, theirs):
        raise ShapeError(
            f"{_NAME} of {types_text(types)}: the key's heads must divide the query's, and be "
            "as many as the value's"
        )
    return None if dims_equal(mine, theirs) else (theirs, floordiv(mine, theirs))


def _grouped(x: Tensor, heads: tuple[Dim, Dim]) -> Tensor:
    """Queries, or a mask, with the axis of heads in two."""
    shape = x.tensor.shape
    own = (1, 1) if shape[-3] == 1 else heads
    return reshaped(x, (*shape[:-3], *own, *shape[-2:]))


def _flattened(x: Tensor) -> Tensor:
    """Queries, or a mask, with the heads of a group one after the other."""
    *lead, group, rows, row = x.tensor.shape
    return reshaped(x, (*lead, mul(group, rows), row))


def _scaled(q: Tensor, scale: float | None) -> tuple[Tensor, float]:
    """The query and what its products are to be multiplied by."""
    if scale is not None:
        return q, float(scale)
    extent = q.tensor.shape[-1]
    if isinstance(extent, int):
        return q, 1 / math.sqrt(extent) if extent else 1.0
    root = elementwise.rsqrt(convert(apply("dim", dim=extent), q.tensor.dtype))
    return elementwise.multiply(q, root), 1.0


def _mask(given: ArrayLike, q: Tensor, k: Tensor, types: Sequence[TensorType]) -> Tensor:
    """The mask with as many axes as the scores, of extent 1 where it is repeated."""
    mask = materialise(as_tensor(given))
    held = mask.tensor
    if held.dtype.kind not in "fb":
        raise DTypeError(f"{_NAME} with a mask {held}: it must be of floats or bools")
    if held.dtype.is_float:
        mask = convert(mask, float32 if q.tensor.dtype.bits == 16 else q.tensor.dtype)
    full = (*q.tensor.shape[:-1], k.tensor.shape[-2])
    if held.rank > len(full) or common_shape(_NAME, [held.shape, full], [held, *types]) != full:
        raise ShapeError(
            f"{_NAME} of {types_text(types)}: the mask {held} does not broadcast to the scores"
        )
    return reshaped(mask, (*(1 for _ in range(len(full) - held.rank)), *held.shape))
