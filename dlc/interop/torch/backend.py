"""The backend `dlc` of `torch.compile`."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dlc
from dlc.interop.torch.checks import calls_graphs, is_known
from dlc.interop.torch.decompositions import decompositions
from dlc.interop.torch.graph import GraphFunction
from dlc.interop.torch.layouts import Layouts
from dlc.interop.torch.rewrites import rewrite
from dlc.interop.torch.versions import keep_checks
from dlc.ir.collection import no_collection
from dlc.ir.errors import ValueRangeError, nearest
from dlc.ir.location import pass_over

_OPTIONS = ("fallback", "freeze", "level", "precision", "num_threads")
_MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "reduce-overhead": {},
    "max-autotune": {"level": "O3"},
    "max-autotune-no-cudagraphs": {"level": "O3"},
}
_OF_INPUTS = ("alias_of_input", "custom_function_view", "is_input")


def dlc_backend(
    module: Any,
    example_inputs: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    mode: str | None = None,
) -> Callable[..., Any]:
    """What `torch.compile(model, backend="dlc")` calls with a graph that it has traced.

    Args:
        module: The graph.
        example_inputs: Its inputs.
        options: `fallback`: "error" (default) or "aten", which runs operators that dlc does not
            know in PyTorch; `freeze`: whether parameters are constants of programs for inference,
            made anew when these change (False), which needs memory for a copy of them, and of
            writes that PyTorch does not count sees those of first, middle and last elements;
            `level`, `precision`, `num_threads` as those of `dlc.compile`.
        mode: One of PyTorch's: "max-autotune" and "max-autotune-no-cudagraphs" mean level "O3",
            "default" and "reduce-overhead" change nothing.

    Raises:
        ModelError: There are operators that dlc does not know; all are listed.
        DeviceError: A tensor is not in the memory of the host.
        DTypeError: A tensor has elements of a type that dlc has not.
        ValueRangeError: An option, or its value, or the mode is unknown.
    """
    import torch
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch._aot_autograd.utils import make_boxed_func

    pass_over(os.path.dirname(torch.__file__))
    keep_checks()
    if mode is not None and mode not in _MODES:
        raise ValueRangeError(f"mode={mode!r}", hint=nearest(str(mode), _MODES))
    given = {**_MODES[mode or "default"], **(options or {})}
    unknown = [k for k in given if k not in _OPTIONS]
    if unknown:
        raise ValueRangeError(f"option {unknown[0]!r}", hint=nearest(unknown[0], _OPTIONS))
    fallback = given.pop("fallback", "error")
    if fallback not in ("error", "aten"):
        raise ValueRangeError(f"fallback={fallback!r}", hint='"error" or "aten"')

    freeze = given.pop("freeze", False)
    if not isinstance(freeze, bool):
        raise ValueRangeError(f"freeze={freeze!r}", hint="True or False")
    dlc.compile(dlc_backend, **given)  # says now what is wrong with the others

    def forward(graph: Any, _inputs: Sequence[Any]) -> Any:
        layouts = _layouts(graph)
        return make_boxed_func(layouts.of(_compiled(graph, fallback, (), layouts.count, given)))

    def backward(graph: Any, _inputs: Sequence[Any]) -> Any:
        return make_boxed_func(_compiled(graph, fallback, (), 0, given))

    def inference(graph: Any, inputs: Sequence[Any]) -> Any:
        layouts, parameters = _layouts(graph), _parameters(len(inputs)) if freeze else ()
        compiled = _compiled(graph, fallback, parameters, layouts.count, given)
        return make_boxed_func(layouts.of(compiled))

    rewrite(module)
    trace = aot_autograd(
        fw_compiler=forward,
        bw_compiler=backward,
        inference_compiler=inference,
        decompositions=decompositions(),
    )
    with no_collection():
        return trace(module, example_inputs)


def _metadata() -> Any:
    """What PyTorch knows of the graph in progress, or None."""
    from torch._guards import TracingContext

    context = TracingContext.try_get()
    return None if context is None else context.fw_metadata


def _layouts(graph: Any) -> Layouts:
    """The layouts of what a graph returns, but for what its gradient needs, which is behind it."""
    nodes = list(graph.graph.nodes)
    known = _metadata()
    if known is None:
        return Layouts(nodes, len(nodes))
    first, changed = len(known.tokens), known.mutated_inp_runtime_indices
    written = {
        first + i: first + k
        for k, i in enumerate(changed)
        if not known.input_info[i].mutates_metadata
    }
    views = {
        k: first + result.base_idx
        for k, result in enumerate(known.output_info, first + len(changed))
        if result.output_type.name in _OF_INPUTS and first + result.base_idx in written
    }
    return Layouts(nodes, first + known.num_forward_returns, written, views)


def _parameters(count: int) -> tuple[int, ...]:
    """The inputs of the graph in progress that are parameters, or buffers that it only reads."""
    known = _metadata()
    if known is None:
        return ()
    written = {len(known.tokens) + k for k in known.mutated_inp_runtime_indices}
    return tuple(k for k in known.static_input_indices if k not in written and k < count)


def _compiled(
    graph: Any, fallback: str, parameters: Sequence[int], count: int, options: Mapping[str, Any]
) -> Callable[..., Any]:
    if fallback == "error" or all(is_known(n) for n in graph.graph.nodes):
        return GraphFunction(graph, parameters, count, **options)
    from torch.fx.passes.infra.partitioner import (
        CapabilityBasedPartitioner,
    )
    from torch.fx.passes.operator_support import OperatorSupportBase

    class Known(OperatorSupportBase):
        def is_node_supported(self, submodules: Any, node: Any) -> bool:
            if node.target is operator.getitem:  # with the tuple that it is of
                return self.is_node_supported(submodules, node.args[0])
            return node.op == "call_function" and is_known(node) and not calls_graphs(node)

    split = CapabilityBasedPartitioner(graph, Known()).partition_and_fuse()
    for name, part in list(split.named_children()):
        if name.startswith("fused_"):
            setattr(split, name, _module_of(GraphFunction(part, (), sys.maxsize, **options)))
    return split


def _module_of(function: GraphFunction) -> Any:
    """A function as a module that takes the place of a part of a graph."""
    import torch

    class Part(torch.nn.Module):
        def forward(self, *args: Any) -> Any:
            results = function(*args)
            return results[0] if len(results) == 1 else tuple(results)

    return Part()
