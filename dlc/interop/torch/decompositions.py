"""How operators without a row are written by others, for PyTorch's tracer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from dlc.interop.torch.rewrites import multilabel_margin_loss
from dlc.interop.torch.table import find

# The rules of the first write to views; the others are the tracer's own.
_OTHERS = ("complex.", "polar.", "lift.", "lift_fresh.")
# The gradients of losses whose rules divide by how many elements there are.
_MEANS = ("huber_loss_backward", "mse_loss_backward", "smooth_l1_loss_backward")
Rules = dict[Any, Callable[..., Any]]


@functools.cache
def decompositions() -> Rules:
    """PyTorch's rules of operators that have no row, its core ones first, and ours.

    An operator with a row stays as it is: that is the faster to trace, and rows know the kernels.
    """
    import torch
    from torch._decomp import core_aten_decompositions, decomposition_table
    from torch._ops import OpOverload

    table: Rules = {}
    for operator, function in (*core_aten_decompositions().items(), *decomposition_table.items()):
        if not isinstance(operator, OpOverload) or operator.__name__.startswith(_OTHERS):
            continue
        if find(operator.__name__) is None:
            table.setdefault(operator, function)
    for name in _MEANS:
        operator = getattr(torch.ops.aten, name).default
        table[operator] = functools.partial(_unless_empty, table[operator])
    return table | _by_factors() | _with_checks() | _of_tangents() | _of_layers() | _of_lists()


def decompositions_of_export() -> Any:
    """The same for programs of `torch.export`, in which nothing was said in other words."""
    import torch

    def multilabel(x: Any, target: Any, reduction: int) -> tuple[Any, Any]:
        how = ("none", "mean", "sum")[reduction]
        return multilabel_margin_loss(x, target, reduction=how), torch.empty_like(x)

    table = torch.export.default_decompositions()
    for operator, function in decompositions().items():
        if operator not in table:
            table[operator] = function
    # These take the factors of axes that stay as long, which eager mode's kernels do not.
    for operator in (torch.ops.aten.upsample_linear1d.vec, torch.ops.aten.upsample_trilinear3d.vec):
        table.pop(operator, None)
    # There is no gradient, for which the second result is.
    table[torch.ops.aten.multilabel_margin_loss_forward.default] = multilabel
    return table


def _with_checks() -> Rules:
    """Rules that leave an operator, and say of open extents what PyTorch's description does not."""
    import torch

    def attention(_q: Any, k: Any, v: Any, *_more: Any, **_keywords: Any) -> Any:
        torch._check(k.shape[-2] == v.shape[-2])
        return NotImplemented

    return {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default: attention}


def _of_tangents() -> Rules:
    """What derivatives in forward mode, `torch.func.linearize` among them, make beside values."""
    import torch

    def zeros(x: Any, like: Any, *, self_num_batch_dims: int = 0) -> Any:
        return like.new_zeros((*x.shape[:self_num_batch_dims], *like.shape))

    return {torch.ops.aten._new_zeros_with_same_feature_meta.default: zeros}


def _of_layers() -> Rules:
    """Layers of transformers, which modules call as one where nothing has a gradient."""
    import torch

    functional = torch.nn.functional

    def encoder(  # noqa: PLR0913, PLR0917  what the schema has
        x: Any, width: int, heads: int, in_weight: Any, in_bias: Any, out_weight: Any,
        out_bias: Any, gelu: bool, norm_first: bool, eps: float, scale_1: Any, shift_1: Any,
        scale_2: Any, shift_2: Any, weight_1: Any, bias_1: Any, weight_2: Any, bias_2: Any,
        mask: Any = None, mask_type: int | None = None,
    ) -> Any:  # fmt: skip
        def attended(x: Any) -> Any:
            three = functional.linear(x, in_weight, in_bias).unflatten(-1, (3, heads, -1))
            q, k, v = three.permute(2, 0, 3, 1, 4).unbind()
            scores = (q * q.shape[-1] ** -0.5) @ k.mT
            if mask is not None:  # what is not 0 is hidden; 1 stands for a mask of (batch, keys)
                hidden = mask != 0
                hidden = hidden[:, None, None] if mask_type == 1 else hidden
                scores = scores.masked_fill(hidden, -math.inf)
            found = (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2)
            return functional.linear(found, out_weight, out_bias)

        def fed(x: Any) -> Any:
            activation = functional.gelu if gelu else functional.relu
            inner = activation(functional.linear(x, weight_1, bias_1))
            return functional.linear(inner, weight_2, bias_2)

        def norm(x: Any, scale: Any, shift: Any) -> Any:
            return functional.layer_norm(x, (width,), scale, shift, eps)

        if norm_first:
            x = x + attended(norm(x, scale_1, shift_1))
            return x + fed(norm(x, scale_2, shift_2))
        x = norm(x + attended(x), scale_1, shift_1)
        return norm(x + fed(x), scale_2, shift_2)

    return {torch.ops.aten._transformer_encoder_layer_fwd.default: encoder}


def _factored(a: Any) -> tuple[Any, Any, Any]:
    """Factors as the formulas of gradients expect them: those of the transpose of C's layout."""
    import torch

    turned = a.mT if a.is_contiguous() else a
    packed, pivots, codes = torch.ops.aten.linalg_lu_factor_ex(turned)
    return packed, pivots, codes


def _sign(packed: Any, pivots: Any) -> Any:
    """-1 for an odd number of exchanges."""
    import torch

    moved = pivots != torch.arange(1, pivots.shape[-1] + 1, dtype=pivots.dtype)
    return 1 - 2 * (moved.sum(-1) % 2).to(packed.dtype)


def _by_factors() -> Rules:
    """Determinants, by factors in the layout that their gradients take."""
    import torch

    aten = torch.ops.aten

    def det(a: Any) -> Any:
        packed, pivots, _ = _factored(a)
        product = packed.diagonal(0, -2, -1).prod(-1)
        return product * _sign(packed, pivots), packed, pivots

    def slogdet(a: Any) -> Any:
        packed, pivots, _ = _factored(a)
        found = packed.diagonal(0, -2, -1)
        sign = found.sgn().prod(-1) * _sign(packed, pivots)
        return sign, found.abs().log().sum(-1), packed, pivots

    return {
        aten._linalg_det.default: det,
        aten._linalg_slogdet.default: slogdet,
    }


# Operators that optimizers and the clipping of gradients call for all parameters at once.
_OF_LISTS = (
    "abs", "acos", "add", "addcdiv", "addcmul", "asin", "atan", "ceil", "clamp_max",
    "clamp_min", "clone", "copy", "cos", "cosh", "div", "erf", "erfc", "exp", "expm1", "floor",
    "frac", "lerp", "lgamma", "log", "log10", "log1p", "log2", "max", "maximum", "minimum",
    "mul", "neg", "norm", "pow", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin",
    "sinh", "sqrt", "sub", "tan", "tanh", "trunc", "zero",
)  # fmt: skip


def _unless_empty(rule: Callable[..., Any], gradient: Any, x: Any, *args: Any) -> Any:
    """What a rule makes of x, of which there may be no elements."""
    return rule(gradient, x, *args) if x.numel() else x.clone()


def _of_lists() -> Rules:
    """Operators on lists of tensors, by those on tensors."""
    import torch

    aten = torch.ops.aten

    def scaled(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(x: Any, a: Any, b: Any, value: Any = 1) -> Any:
            return function(x, a, b, value=value)

        return call

    def norm(x: Any, order: Any = 2, dtype: Any = None) -> Any:
        return torch.linalg.vector_norm(x, order, dtype=dtype)

    others = {
        "addcdiv": scaled(torch.addcdiv), "addcmul": scaled(torch.addcmul),
        "copy": aten.copy.default, "maximum": torch.clamp_min, "minimum": torch.clamp_max,
        "norm": norm, "zero": torch.zeros_like,
    }  # fmt: skip
    rules: Rules = {}
    for name in _OF_LISTS:
        packet = getattr(aten, f"_foreach_{name}", None)
        for overload in packet.overloads() if packet is not None else ():
            function = others.get(name) or getattr(torch, name)
            rule = functools.partial(_each, function)
            rules[getattr(packet, overload)] = rule
    return rules


def _each(function: Callable[..., Any], *given: Any, **keywords: Any) -> list[Any]:
    """What a function makes of each element of the lists among its arguments."""
    lists = [x for x in given if isinstance(x, (list, tuple))]
    return [
        function(*(x[k] if isinstance(x, (list, tuple)) else x for x in given), **keywords)
        for k in range(len(lists[0]))
    ]
