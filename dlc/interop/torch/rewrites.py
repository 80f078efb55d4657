"""Calls in other words, before PyTorch derives their gradients.

PyTorch's own words for these lead to shapes that depend on values, or to other results than those
of its kernels. The functions here take what the originals take.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

Rewrites = dict[Any, Callable[..., Any]]


def rewrite(module: Any) -> None:
    """Has a graph, and the graphs in it, call what is here instead of the originals."""
    import torch

    for part in module.modules():
        if not isinstance(part, torch.fx.GraphModule):
            continue
        found = [n for n in part.graph.nodes if n.op.startswith("call_") and _key(n) in _table()]
        for node in found:
            node.op, node.target = "call_function", _table()[_key(node)]
        if found:
            part.recompile()


def _key(node: Any) -> Any:
    """What a node calls; for operators with a namespace, its name."""
    return str(node.target) if hasattr(node.target, "namespace") else node.target


@functools.cache
def _table() -> Rewrites:
    """By the original function, or the name of the original method or operator."""
    import torch

    return {
        operator.setitem: _set,
        torch.index_put: _index_put,
        "index_put": _index_put,
        "index_put_": _index_put_,
        torch.index_fill: _index_fill,
        "index_fill": _index_fill,
        "index_fill_": _index_fill_,
        torch.repeat_interleave: _repeat_interleave,
        "repeat_interleave": _repeat_interleave,
        torch.nn.functional.interpolate: _interpolate,
        torch.nn.functional.multilabel_margin_loss: multilabel_margin_loss,
        "torch_nn._linear_cross_entropy_batch_chunked.default": _reduced_by_classes,
        "torch_nn._linear_cross_entropy_batch_chunked_no_reduction.default": _by_classes,
    }


def _has_gradient(value: Any) -> bool:
    return bool(getattr(value, "requires_grad", False))


def _is_mask(index: Any) -> bool:
    import torch

    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


def _masked(x: Any, mask: Any, values: Any, accumulate: bool) -> Any:
    """x with values, or their sum with it, where a mask of its first axes holds."""
    import torch

    rest = x.dim() - mask.dim()
    values = values.to(x.dtype)
    if values.dim() > rest:
        count = values.shape[0]
        if count == 0:
            return x.clone()
        if count == 1:
            values = values[0]
        else:  # a slice for each place where it holds, in their order
            ranks = mask.flatten().cumsum(0).sub(1).clamp(0, count - 1)
            values = values.index_select(0, ranks).reshape(*mask.shape, *values.shape[1:])
    where = mask.reshape(*mask.shape, *[1] * rest)
    return torch.where(where, x + values if accumulate else values, x)


def _index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """Elements set, or added to, by advanced indexing."""
    import torch

    if len(indices) == 1 and _is_mask(indices[0]) and _has_gradient(values):
        return _masked(input, indices[0], values, accumulate)
    return torch.index_put(input, tuple(indices), values, accumulate)


def _index_put_(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """The same in place."""
    if len(indices) == 1 and _is_mask(indices[0]) and _has_gradient(values):
        return input.copy_(_masked(input, indices[0], values, accumulate))
    return input.index_put_(tuple(indices), values, accumulate)


def _set(x: Any, index: Any, value: Any) -> None:
    """x[index] = value."""
    if _is_mask(index) and _has_gradient(value) and _is_mask_of(x, index):
        x.copy_(_masked(x, index, value, False))
    else:
        x[index] = value


def _is_mask_of(x: Any, mask: Any) -> bool:
    import torch

    return isinstance(x, torch.Tensor) and 0 < mask.dim() <= x.dim()


def _index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """One number set at indices along an axis."""
    import torch

    if not _has_gradient(value):
        return torch.index_fill(input, dim, index, value)
    shape = [1] * input.dim()
    if shape:
        shape[dim] = input.shape[dim]
    line = torch.zeros(shape[dim] if shape else 1, dtype=torch.bool, device=input.device)
    mask = line.index_fill(0, index, True).reshape(shape)
    return torch.where(mask, value.to(input.dtype), input)


def _index_fill_(input: Any, dim: int, index: Any, value: Any) -> Any:
    """The same in place."""
    if not _has_gradient(value):
        return input.index_fill_(dim, index, value)
    return input.copy_(_index_fill(input, dim, index, value))


def _repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Slices repeated, each as often as a number says; the numbers' places, where they are all."""
    import torch

    counts = input if repeats is None else repeats
    if output_size is None or not isinstance(counts, torch.Tensor):
        given = () if repeats is None else (repeats, dim)
        return torch.repeat_interleave(input, *given, output_size=output_size)
    x, axis = (input.flatten(), 0) if dim is None else (input, dim)
    ends = counts.expand(x.shape[axis]).cumsum(0)
    place = torch.arange(output_size, device=x.device)
    source = torch.searchsorted(ends, place, right=True).clamp(max=x.shape[axis] - 1)
    return source if repeats is None else x.index_select(axis, source)


def _interpolate(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *args: Any,
    **keywords: Any,
) -> Any:  # fmt: skip
    """Images resized; eager mode's kernels take the factor of axes that stay as long for 1."""
    from torch.nn.functional import interpolate

    if scale_factor is not None and mode not in ("bicubic", "nearest-exact"):
        extents = input.shape[2:]
        given = scale_factor if isinstance(scale_factor, (list, tuple)) else [scale_factor]
        factors = given * len(extents) if len(given) == 1 else given
        scale_factor = [_factor(n, f, mode) for n, f in zip(extents, factors, strict=True)]
    return interpolate(input, size, scale_factor, mode, *args, **keywords)


def _factor(extent: Any, factor: float, mode: str) -> float:
    """The factor as it is taken; that of twice as many nearest pixels for 2."""
    if 1 < factor < 2 and int(extent * factor) == extent:
        return 1.0
    twice = mode == "nearest" and 2 < factor < 3
    return 2.0 if twice and int(extent * factor) == 2 * extent else factor


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Hinge loss of each class that is a target against each that is none."""
    import torch
    from torch.nn import _reduction

    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    x, classes = torch.atleast_2d(input), torch.atleast_2d(target)
    count = x.shape[-1]
    given = (classes < 0).cumsum(-1) == 0  # a negative class ends the targets
    classes = torch.where(given, classes, 0)
    place = torch.arange(count, device=x.device)
    is_target = ((classes[:, :, None] == place) & given[:, :, None]).any(1)
    margins = (1 - x.gather(1, classes)[:, :, None] + x[:, None, :]).relu()
    counted = given[:, :, None] & ~is_target[:, None, :]
    loss = torch.where(counted, margins, 0).sum((1, 2)) / count
    if reduction == "none":
        return loss if input.dim() > 1 else loss[0]
    return loss.mean() if reduction == "mean" else loss.sum()


def _by_classes(
    input: Any, classes: Any, target: Any, bias: Any, weight: Any, ignore_index: int,
    *_chunks: Any, reduction: str = "none",
) -> Any:  # fmt: skip
    """The cross entropy of products with a vector for each class, computed in one piece."""
    import torch.nn.functional as F  # noqa: N812  as PyTorch's users call it

    logits = F.linear(input, classes, bias)
    return F.cross_entropy(logits, target, weight, ignore_index=ignore_index, reduction=reduction)


def _reduced_by_classes(
    input: Any, classes: Any, target: Any, bias: Any, weight: Any, reduction: str,
    ignore_index: int, *_chunks: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """The mean or sum, where the original's next results are gradients that only it reads."""
    return (_by_classes(input, classes, target, bias, weight, ignore_index, reduction=reduction),)
