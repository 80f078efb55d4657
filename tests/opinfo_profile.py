"""Which of PyTorch's operators run while a compiled function is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# They compute nothing: views, memory without values, and, where tensors are handed over,
# - `to`, `contiguous`: of a tensor that is so already (else `_to_copy` or `clone` is seen in it);
# - `copy_`: the new values of a tensor of the caller's that the function changes, and a gradient
#   that is handed in with other strides than the compiled function was made for.
BOUNDARY = {
    "_reshape_alias", "_unsafe_view", "adjoint", "alias", "as_strided", "atleast_1d", "atleast_2d",
    "atleast_3d", "broadcast_to", "chunk", "contiguous", "copy_", "detach", "diagonal",
    "dsplit", "empty", "empty_like", "empty_strided", "expand", "expand_as", "flatten", "hsplit",
    "lift_fresh", "linalg_diagonal", "mH", "mT", "matrix_H", "moveaxis", "movedim", "narrow",
    "numpy_T", "permute", "positive", "ravel", "real", "reshape",
    "reshape_as", "resize_", "resolve_conj", "resolve_neg", "result_type", "select", "set_",
    "slice", "split", "split_with_sizes", "squeeze", "swapaxes", "swapdims", "t", "tensor_split",
    "to", "transpose", "unbind", "unflatten", "unfold", "unsafe_chunk", "unsafe_split",
    "unsafe_split_with_sizes", "unsqueeze", "view", "view_as", "vsplit",
}  # fmt: skip
# The draw of the seed, only in cases with random results.
SEED = {"randint", "random_"}


def _allowed(event: Any, seeds: bool) -> bool:
    name = event.name.removeprefix("aten::")
    if name == "clone":
        # PyTorch's autograd gives a gradient that is handed in the memory format it expects.
        return event.cpu_parent is not None and event.cpu_parent.name == "aten::contiguous"
    return name in BOUNDARY or (seeds and name in SEED)


def profiled(call: Callable[[], Any], seeds: bool = False) -> set[str]:
    """The ATen operators that PyTorch's profiler sees in the compiled part of a call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    seen: set[str] = set()
    for event in profile.events():
        if not event.name.startswith("aten::") or _allowed(event, seeds):
            continue
        around = event.cpu_parent
        while around is not None and "evaluate_function: " not in around.name:
            around = around.cpu_parent
        # The gradient of a view that is made outside of the graph is PyTorch's own.
        if around is None or around.name.endswith("CompiledFunctionBackward"):
            seen.add(event.name.removeprefix("aten::"))
    return seen
