"""Linear maps, embeddings, rotary positions, and attention with dropout."""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc.frontend.cast_table import casts
from dlc.frontend.native_functions import natively
from dlc.ir.errors import ShapeError, ValueRangeError, nearest
from dlc.nn.functional.arguments import tensor, wide
from dlc.nn.functional.dropouts import dropout


@casts
def linear(x: Any, weight: Any, bias: Any = None) -> dlc.Tensor:
    """x @ weight.T + bias, with PyTorch's layout of weights.

    Args:
        x: A tensor or array [..., in].
        weight: [out, in], or [in] for one output without an axis.
        bias: [out], if any.

    Raises:
        ShapeError: The extents do not fit.

    Example:
        >>> dlc.nn.functional.linear(dlc.ones((1, 2)), dlc.ones((3, 2))).shape
        (1, 3)
    """
    held, w = tensor(x), tensor(weight)
    out = dlc.matmul(held, w) if w.ndim == 1 else _by_rows(held, w)
    return out if bias is None else out + tensor(bias)


@natively
def _by_rows(x: dlc.Tensor, weight: dlc.Tensor) -> dlc.Tensor:
    return dlc.matmul(x, dlc.matrix_transpose(weight))


@casts
def affine(x: Any, matrix: Any, bias: Any = None) -> dlc.Tensor:
    """x @ matrix + bias, with Keras's layout of weights.

    Args:
        x: A tensor or array [..., in].
        matrix: [in, out].
        bias: [out], if any.

    Raises:
        ShapeError: The extents do not fit.

    Example:
        >>> dlc.nn.functional.affine(dlc.ones((1, 2)), dlc.ones((2, 3))).shape
        (1, 3)
    """
    out = dlc.matmul(tensor(x), tensor(matrix))
    return out if bias is None else out + tensor(bias)


def one_hot(x: Any, num_classes: int = -1, *, axis: int = -1, dtype: Any = dlc.int64) -> dlc.Tensor:
    """1 at the place that each index gives along a new axis, 0 elsewhere, as integers (PyTorch).

    `dlc.one_hot` is the same with floats.

    Args:
        x: Integers of any shape, from 0 to below `num_classes`.
        num_classes: The extent of the new axis; -1 for one more than the largest index.
        axis: The place of the new axis in the result.
        dtype: The dtype of the result.

    Raises:
        ValueRangeError: There is no index, whose largest would say how many classes there are.

    Example:
        >>> dlc.nn.functional.one_hot(dlc.asarray([0, 2]))
        Tensor([[1, 0, 0],
                [0, 0, 1]], dtype=int64)
    """
    held = tensor(x)
    if num_classes == -1:
        if held.size == 0:
            raise ValueRangeError(f"one_hot of {held.tensor}", hint="give it num_classes")
        num_classes = int(dlc.max(held)) + 1
    return dlc.one_hot(held, num_classes, axis=axis, dtype=dtype)


@casts
def bilinear(x1: Any, x2: Any, weight: Any, bias: Any = None) -> dlc.Tensor:
    """x1 weight[k] x2 for each k.

    Args:
        x1: A tensor or array [..., in1].
        x2: Another one [..., in2].
        weight: [out, in1, in2].
        bias: [out], if any.

    Example:
        >>> dlc.nn.functional.bilinear(dlc.ones((1, 2)), dlc.ones((1, 3)), dlc.ones((4, 2, 3)))
        Tensor([[6., 6., 6., 6.]], dtype=float32)
    """
    out = dlc.einsum("...i,kij,...j->...k", tensor(x1), tensor(weight), tensor(x2))
    return out if bias is None else out + tensor(bias)


def embedding(indices: Any, weight: Any, *, padding_idx: int | None = None) -> dlc.Tensor:
    """Rows of a table.

    Args:
        indices: Integers of any shape.
        weight: The table [N, D].
        padding_idx: A row that gets no gradient; counted from the end where negative.

    Returns:
        A tensor [..., D].

    Raises:
        IndexRangeError: An index that is known is out of range.

    Example:
        >>> dlc.nn.functional.embedding([1, 0], dlc.asarray([[1.0], [2.0]]))
        Tensor([[2.],
                [1.]], dtype=float32)
    """
    table, at = tensor(weight), tensor(indices)
    found = dlc.take(table, at, axis=0)
    if padding_idx is None:
        return found
    row = padding_idx % table.shape[0] if padding_idx < 0 else padding_idx
    padding = dlc.expand_dims(at == row, axis=-1)
    return dlc.where(padding, dlc.stop_gradient(found), found)


_MODES = ("sum", "mean", "max")


def embedding_bag(
    indices: Any,
    weight: Any,
    offsets: Any = None,
    *,
    mode: str = "mean",
    per_sample_weights: Any = None,
    padding_idx: int | None = None,
) -> dlc.Tensor:
    """The sum, mean or maximum of rows of a table, for each bag of indices.

    Args:
        indices: Bags of integers [B, L]; or, with offsets, bags of any size one after the other
            [L].
        weight: The table [N, D].
        offsets: Where each bag begins [B], ascending from 0.
        mode: "sum", "mean" or "max".
        per_sample_weights: A factor for each index, of a sum.
        padding_idx: A row that is in no bag.

    Returns:
        A tensor [B, D]; 0 for an empty bag.

    Raises:
        ShapeError: The indices are no matrix of bags, or no vector with offsets.
        ValueRangeError: An unknown mode, or factors of another one than "sum".

    Example:
        >>> table = dlc.asarray([[1.0], [2.0]])
        >>> dlc.nn.functional.embedding_bag([[1, 1], [0, 1]], table)
        Tensor([[2. ],
                [1.5]], dtype=float32)
    """
    if mode not in _MODES:
        raise ValueRangeError(f"embedding_bag has no mode {mode!r}", hint=nearest(mode, _MODES))
    if per_sample_weights is not None and mode != "sum":
        raise ValueRangeError(f"embedding_bag with weights of samples and mode {mode!r}, not 'sum'")
    at = tensor(indices)
    if at.ndim != (2 if offsets is None else 1):
        words = "rows of a matrix" if offsets is None else "parts of a vector, with offsets"
        raise ShapeError(f"embedding_bag of {at.tensor}: bags are {words}")
    (rows,), dtype = wide(dlc.take(tensor(weight), at, axis=0))
    taken = dlc.ones_like(at, dtype=dlc.bool_)
    if padding_idx is not None:
        row = padding_idx % tensor(weight).shape[0] if padding_idx < 0 else padding_idx
        taken = at != row
    if per_sample_weights is not None:
        rows = rows * dlc.expand_dims(wide(per_sample_weights)[0][0].astype(rows.dtype), axis=-1)
    mask = dlc.expand_dims(taken, axis=-1)
    rows = dlc.where(mask, rows, -math.inf if mode == "max" else 0.0)
    counts = mask.astype(rows.dtype)
    if offsets is None:
        number = dlc.sum(counts, axis=1)
        found = dlc.max(rows, axis=1) if mode == "max" else dlc.sum(rows, axis=1)
    else:
        found, number = _ragged(rows, counts, tensor(offsets), mode)
    if mode == "max":
        return dlc.where(number > 0, found, 0.0).astype(dtype)
    return (found / dlc.maximum(number, 1.0) if mode == "mean" else found).astype(dtype)


def _ragged(
    rows: dlc.Tensor, counts: dlc.Tensor, offsets: dlc.Tensor, mode: str
) -> tuple[dlc.Tensor, dlc.Tensor]:
    """The sums or maxima of rows, and the sums of counts, of bags that begin at offsets."""
    bag = dlc.searchsorted(offsets, dlc.arange(rows.shape[0], dtype=offsets.dtype), side="right")
    bag = bag - 1
    shape = (offsets.shape[0], rows.shape[1])
    number = dlc.zeros((shape[0], 1), dtype=counts.dtype).at[bag].add(counts)
    if mode == "max":
        return dlc.full(shape, -math.inf, dtype=rows.dtype).at[bag].max(rows), number
    return dlc.zeros(shape, dtype=rows.dtype).at[bag].add(rows), number


def rotary_embedding(
    x: Any, positions: Any = None, *, base: float = 10000.0, interleaved: bool = False
) -> dlc.Tensor:
    """Turns pairs of elements by angles that grow with the position (Su et al., 2021).

    Args:
        x: Queries or keys [..., L, D], D even.
        positions: The positions [..., L]; 0, 1, ... by default.
        base: Pair i turns by base^(-2 i / D) a position.
        interleaved: Whether pairs are neighbours, else element i and element i + D / 2.

    Raises:
        ShapeError: D is odd, or there are too few axes.

    Example:
        >>> dlc.nn.functional.rotary_embedding(dlc.ones((1, 4)))
        Tensor([[1., 1., 1., 1.]], dtype=float32)
    """
    (held,), dtype = wide(x)
    if held.ndim < (2 if positions is None else 1):
        raise ShapeError(f"rotary_embedding of {held.tensor}: it takes [..., T, D]")
    width = held.shape[-1]
    if width % 2:
        raise ShapeError(f"rotary_embedding of {held.tensor}: the last extent must be even")
    at = dlc.arange(held.shape[-2], dtype=held.dtype) if positions is None else tensor(positions)
    pairs = dlc.arange(width // 2, dtype=held.dtype)
    speed = dlc.exp(pairs * (-2.0 * math.log(base) / width))
    angle = dlc.expand_dims(at.astype(held.dtype), axis=-1) * speed
    cos, sin = dlc.cos(angle), dlc.sin(angle)
    if interleaved:
        first, second = held[..., 0::2], held[..., 1::2]
    else:
        first, second = dlc.split(held, 2, axis=-1)
    turned = first * cos - second * sin, first * sin + second * cos
    if not interleaved:
        return dlc.concat(turned, axis=-1).astype(dtype)
    return dlc.reshape(dlc.stack(turned, axis=-1), held.shape).astype(dtype)


@casts
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    random_key: Any = None,
) -> dlc.Tensor:
    """`dlc.scaled_dot_product_attention`, with dropout of the weights.

    Args:
        query: A tensor or array [..., heads, L, E].
        key: Another one, [..., heads, S, E].
        value: Another one, [..., heads, S, Ev].
        attn_mask: What is added to the scores; or, of bools, True where a key takes part.
        dropout_p: The probability with which a weight is dropped. Above 0 the matrix of weights is
            in memory, and heads are not grouped.
        is_causal: Whether the query at i reads the keys up to i only.
        scale: What the products are multiplied by; 1 / sqrt(E) for None.
        enable_gqa: Whether key and value may have fewer heads, each for a group of the query's.
        random_key: A random key for dropout; None takes the next of the global generator.

    Returns:
        A tensor [..., heads, L, Ev]. A query without keys gives 0.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: `dropout_p` is no probability.

    Example:
        >>> x = dlc.ones((1, 2, 4))
        >>> dlc.nn.functional.scaled_dot_product_attention(x, x, x).shape
        (1, 2, 4)
    """
    if dropout_p == 0:
        return dlc.scaled_dot_product_attention(
            query, key, value, attn_mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
        )
    (q, k, v), dtype = wide(query, key, value)
    if enable_gqa and k.shape[-3] != q.shape[-3]:
        group = q.shape[-3] // k.shape[-3]
        k, v = (dlc.repeat(t, group, axis=-3) for t in (k, v))
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = dlc.matmul(q * factor, dlc.matrix_transpose(k))
    rows, columns = scores.shape[-2:]
    if attn_mask is not None:
        mask = tensor(attn_mask)
        scores = scores + mask if mask.dtype.is_float else dlc.where(mask, scores, -math.inf)
    if is_causal:
        kept = dlc.tril(dlc.ones((rows, columns), dtype=dlc.bool_))
        scores = dlc.where(kept, scores, -math.inf)
    alive = dlc.any(scores > -math.inf, axis=-1, keepdims=True)
    weights = dlc.softmax(dlc.where(alive, scores, 0.0), axis=-1)
    weights = dropout(dlc.where(alive, weights, 0.0), dropout_p, key=random_key)
    return dlc.matmul(weights, v).astype(dtype)
