"""PyTorch's own samples of its operators and modules, and what eager computes for them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.testing._internal import common_methods_invocations
from torch.testing._internal.common_device_type import toleranceOverride
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.opinfo.core import DecorateInfo
from torch.utils._pytree import tree_leaves, tree_map

KINDS = ("operators", "gradients", "modules")
SIGNS = ("eigh", "svd", "lowrank")


def _unseeded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Random operators without the seed that their samples set, which no tracer captures."""
    return function(*args, **kwargs)


common_methods_invocations.wrapper_set_seed = _unseeded


class Sample(NamedTuple):
    """A call."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def copied(self, dtype: torch.dtype = torch.float32) -> Sample:
        """The same call with tensors of its own, floats as `dtype`."""
        function = self.function
        if isinstance(function, torch.nn.Module):
            function = copy.deepcopy(function).to(dtype)
        convert = functools.partial(_copied, dtype=dtype)
        return Sample(function, tree_map(convert, self.args), tree_map(convert, self.kwargs))

    def sources(self) -> list[torch.Tensor]:
        """The tensors that have a gradient."""
        module = isinstance(self.function, torch.nn.Module)
        held: list[Any] = list(self.function.parameters()) if module else []
        held += tree_leaves((self.args, self.kwargs))
        return [t for t in held if isinstance(t, torch.Tensor) and t.requires_grad]

    def state(self) -> list[torch.Tensor]:
        """What a call may change."""
        return list(self.function.buffers()) if isinstance(self.function, torch.nn.Module) else []


def _copied(x: Any, dtype: torch.dtype) -> Any:
    if not isinstance(x, torch.Tensor):
        return x
    other = x.detach().clone()
    wanted = {torch.float32: dtype, torch.complex64: dtype.to_complex()}
    other = other.to(wanted.get(other.dtype, other.dtype))
    return other.requires_grad_(x.requires_grad)


@functools.cache
def operators() -> dict[str, Any]:
    """All of `op_db`."""
    return {op.full_name: op for op in op_db}


@functools.cache
def modules() -> dict[str, Any]:
    """All of `module_db`."""
    return {module.name: module for module in module_db}


def names(kind: str) -> list[str]:
    """What there is of a kind: operators with float32, and all that PyTorch lists as derivable."""
    if kind == "modules":
        return sorted(modules())
    return sorted(
        name for name, op in operators().items()
        if (op.supports_autograd if kind == "gradients" else torch.float32 in op.dtypes)
    )  # fmt: skip


def samples(kind: str, name: str) -> Iterator[Sample]:
    """The calls of an operator or a module."""
    if kind == "modules":
        info = modules()[name]
        for training in (True, False):
            torch.manual_seed(0)
            for given in info.module_inputs_func(
                info, device="cpu", dtype=torch.float32, requires_grad=True, training=training
            ):
                made = given.constructor_input
                module = info.module_cls(*made.args, **made.kwargs).train(training)
                forward = given.forward_input
                if forward is not None:
                    yield Sample(module, tuple(forward.args), dict(forward.kwargs))
        return
    op, gradients = operators()[name], kind == "gradients"
    dtype = next((t for t in (torch.float32, torch.complex64) if t in op.dtypes), None)
    if dtype is None:
        return
    for s in op.sample_inputs("cpu", dtype, requires_grad=gradients):
        function = op.op
        if gradients or name.endswith(SIGNS):
            function = _then(op.op, s.output_process_fn_grad)
        yield Sample(function, (s.input, *s.args), dict(s.kwargs))


def _then(function: Callable[..., Any], finish: Callable[..., Any]) -> Callable[..., Any]:
    """Results, made unique: those of decompositions are so up to signs."""
    return lambda *args, **kwargs: finish(function(*args, **kwargs))


def tolerance(kind: str, name: str) -> dict[str, float]:
    """The largest tolerances that an operator asks for at float32 on the CPU; else the default."""
    info = (modules() if kind == "modules" else operators())[name]
    own = [torch.testing._comparison.default_tolerances(torch.float32)]
    for rule in info.decorators:
        listed = rule.decorators if isinstance(rule, DecorateInfo) else [rule]
        if getattr(rule, "device_type", None) not in (None, "cpu"):
            continue
        limits = [d.d.get(torch.float32) for d in listed if isinstance(d, toleranceOverride)]
        own += [(limit.rtol, limit.atol) for limit in limits if limit is not None]
    return {"rtol": max(r for r, _ in own), "atol": max(a for _, a in own)}


@functools.cache
def _fixed(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """What a result's gradient is, in every run."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(shape, generator=generator, dtype=torch.float32) + 0.5).to(dtype)


def values(
    given: Sequence[Sample], call: Callable[[Sequence[Sample]], Any], gradients: bool
) -> Any:
    """For each sample its results, changed state and, if asked for, gradients."""
    results = [tree_leaves(r) for r in call(given)]
    found = [[*r, *s.state()] for r, s in zip(results, given, strict=True)]
    if not gradients:
        return found
    outputs = [
        (k, t) for k, r in enumerate(results) for t in r
        if isinstance(t, torch.Tensor) and t.requires_grad
    ]  # fmt: skip
    sources = [(k, t) for k, s in enumerate(given) for t in s.sources()]
    if outputs and sources:
        grads = torch.autograd.grad(
            [t for _, t in outputs],
            [t for _, t in sources],
            [_fixed(tuple(t.shape), t.dtype) for _, t in outputs],
            allow_unused=True,
        )
        for (k, _), g in zip(sources, grads, strict=True):
            found[k].append(g)
    return found


def _called(given: Sequence[Sample]) -> Any:
    return [s.function(*s.args, **s.kwargs) for s in given]


def many(calls: Sequence[tuple[Any, ...]]) -> Any:
    """What is compiled: several calls."""
    return [f(*args, **kwargs) for f, args, kwargs in calls]


def eager(
    sample: Sample, gradients: bool, seed: int, dtype: torch.dtype = torch.float32
) -> list[Any]:
    """What eager computes after a seed, with floats as `dtype`."""
    torch.manual_seed(seed)
    return values([sample.copied(dtype)], _called, gradients)[0]
