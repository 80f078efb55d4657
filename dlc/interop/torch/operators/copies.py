"""Operators that PyTorch has a second time, as copies: their rows are those of the views."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.interop.torch.operators import selection, tensors
from dlc.interop.torch.table import aten

aten("view_copy.default", "_reshape_copy")(tensors.view)
aten("permute_copy")(tensors.permute)
aten("expand_copy")(tensors.expand)
aten("squeeze_copy")(tensors.squeeze)
aten("unsqueeze_copy")(tensors.unsqueeze)
aten("transpose_copy.int")(tensors.transpose)
aten("t_copy")(tensors.t)
aten("select_copy.int")(tensors.select)
aten("slice_copy.Tensor")(tensors.slice_)
aten("split_copy.Tensor")(tensors.split)
aten("split_with_sizes_copy")(tensors.split_with_sizes)
aten("diagonal_copy")(tensors.diagonal)
aten("unfold_copy")(selection.unfold)


@aten("copy_strided")
def copy_strided(x: Any, _stride: Any) -> Any:
    """The tensor with other strides: results have their own."""
    return x


@aten("narrow_copy")
def narrow_copy(x: Any, dim: int, start: Any, length: Any) -> Any:
    """A part along an axis."""
    start = start + x.shape[dim] if isinstance(start, int) and start < 0 else start
    return tensors.slice_(x, dim, start, start + length)


@aten("unbind", "unbind_copy.int")
def unbind(x: Any, dim: int = 0) -> tuple[Any, ...]:
    """The slices along an axis."""
    return tuple(dlc.unstack(x, axis=dim))
