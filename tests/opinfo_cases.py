"""One operator or module of PyTorch's own lists, run through the backend and compared with eager.

The rules, which docs/torch_ops.md repeats for users:

* Samples are those of `sample_inputs` (`module_inputs_func`, in training and in evaluation) for
  float32 on the CPU. Up to `TOGETHER` of them are one graph, `fullgraph=True`, no fallback.
* A result has eager's element type and shape and is within the tolerance that PyTorch has for
  float32, or the operator's own, of what eager computes in float32 or in float64.
* Gradients are those of the sum of results times fixed numbers, for all inputs that have one.
  Results that are not unique (signs of vectors) are made so as the lists say.
* Random results (eager's differ by seed) have eager's shapes and element types, differ by seed,
  are the same for the same seed, and their mean and mean square over `DRAWS` calls are within six
  standard errors of eager's. Results of `empty` and the like have no values to compare.
* Where eager raises an error, so must the compiled function.
* PyTorch's profiler sees no operator in the compiled part but those in `BOUNDARY`.
"""

from __future__ import annotations

import copy
import functools
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.testing._internal import common_methods_invocations
from torch.testing._internal.common_device_type import toleranceOverride
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.opinfo.core import DecorateInfo
from torch.utils._pytree import tree_leaves, tree_map

from dlc.interop.torch import dlc_backend
from dlc.ir.errors import ModelError

KINDS = ("operators", "gradients", "modules")
TOGETHER, SEEDS, DRAWS = 16, 6, 64
# Views, memory without values, copies into the caller's tensors, and the draw of a seed.
BOUNDARY = {
    "_reshape_alias", "_unsafe_view", "adjoint", "alias", "as_strided", "atleast_1d", "atleast_2d",
    "atleast_3d", "broadcast_to", "chunk", "clone", "contiguous", "copy_", "detach", "diagonal",
    "dsplit", "empty", "empty_like", "empty_strided", "expand", "expand_as", "flatten", "hsplit",
    "lift_fresh", "linalg_diagonal", "mH", "mT", "matrix_H", "moveaxis", "movedim", "narrow",
    "numpy_T", "permute", "positive", "randint", "random_", "ravel", "real", "reshape",
    "reshape_as", "resize_", "resolve_conj", "resolve_neg", "result_type", "select", "set_",
    "slice", "split", "split_with_sizes", "squeeze", "swapaxes", "swapdims", "t", "tensor_split",
    "to", "transpose", "unbind", "unflatten", "unfold", "unsafe_chunk", "unsafe_split",
    "unsafe_split_with_sizes", "unsqueeze", "view", "view_as", "vsplit",
}  # fmt: skip
UNSET = ("empty", "new_empty")
SIGNS = ("eigh", "svd")


def _unseeded(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Random operators without the seed that their samples set, which no tracer captures."""
    return function(*args, **kwargs)


common_methods_invocations.wrapper_set_seed = _unseeded


class Sample(NamedTuple):
    """A call."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self) -> list[Any]:
        return tree_leaves(self.function(*self.args, **self.kwargs))

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
    if other.dtype == torch.float32:
        other = other.to(dtype)
    return other.requires_grad_(x.requires_grad)


class Reference(NamedTuple):
    """What eager computes: results and gradients by seed, or the error."""

    values: list[Any]
    random: bool
    error: Exception | None


class Uncaptured(Exception):
    """PyTorch's own tracer refuses the function, whatever the backend."""


@functools.cache
def operators() -> dict[str, Any]:
    """The float32 operators of `op_db`."""
    return {op.full_name: op for op in op_db if torch.float32 in op.dtypes}


@functools.cache
def modules() -> dict[str, Any]:
    """All of `module_db`."""
    return {module.name: module for module in module_db}


def names(kind: str) -> list[str]:
    """What there is of a kind."""
    if kind == "modules":
        return sorted(modules())
    return sorted(n for n, op in operators().items() if kind != "gradients" or op.supports_autograd)


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
    for s in op.sample_inputs("cpu", torch.float32, requires_grad=gradients):
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


def _eager(sample: Sample, gradients: bool, seed: int, dtype: Any = torch.float32) -> list[Any]:
    torch.manual_seed(seed)
    return values([sample.copied(dtype)], _called, gradients)[0]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
    return type(a) is type(b) and a == b


def reference(sample: Sample, gradients: bool) -> Reference:
    """What eager computes."""
    try:
        first, *others = (_eager(sample, gradients, seed) for seed in range(SEEDS))
    except Exception as error:  # noqa: BLE001  whatever it is, the compiled function must raise too
        return Reference([], False, error)
    random = not all(all(map(_same, first, other)) for other in others)
    return Reference(first, random, None)


def _close(got: Any, wanted: Any, **limits: float) -> None:
    if isinstance(wanted, torch.Tensor):
        assert isinstance(got, torch.Tensor), f"{type(got).__name__} instead of a tensor"
        if got.dtype.is_floating_point or got.dtype.is_complex:
            torch.testing.assert_close(got, wanted, equal_nan=True, **limits)
        else:
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    elif isinstance(wanted, float):
        torch.testing.assert_close(got, wanted, equal_nan=True, **limits)
    else:
        assert got == wanted, f"{got!r} instead of {wanted!r}"


def _shaped(got: Any, wanted: Any) -> None:
    if isinstance(wanted, torch.Tensor):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), (
            f"{got.dtype}{list(got.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
        )


def compare(
    got: Sequence[Any],
    expected: Reference,
    exact: Callable[[], list[Any]],
    limits: dict[str, float],
) -> None:
    """Fails where results or gradients are not eager's."""
    assert len(got) == len(expected.values), f"{len(got)} results, not {len(expected.values)}"
    precise: list[Any] | None = None
    for k, (x, y) in enumerate(zip(got, expected.values, strict=True)):
        try:
            _close(x, y, **limits)
        except AssertionError:
            _shaped(x, y)
            if precise is None:
                precise = exact()
            z = precise[k]
            _close(x, z.to(x.dtype) if isinstance(z, torch.Tensor) else z, **limits)


def _exact(sample: Sample, gradients: bool, expected: Reference) -> list[Any]:
    try:
        return _eager(sample, gradients, 0, torch.float64)
    except Exception:  # noqa: BLE001  no float64: float32 alone decides
        return expected.values


def _moments(drawn: Sequence[Sequence[Any]]) -> torch.Tensor:
    """Mean and mean square of each call."""
    rows: list[list[float]] = []
    for results in drawn:
        whole = [t.detach().double().flatten() for t in results if isinstance(t, torch.Tensor)]
        x = torch.cat(whole)
        rows.append([float(x.mean()), float(x.square().mean())])
    return torch.tensor(rows, dtype=torch.float64)


def compare_random(sample: Sample, call: Callable[[Sequence[Sample]], Any]) -> None:
    """Fails where random results are not distributed as eager's."""

    def drawn(seed: int) -> list[Any]:
        torch.manual_seed(seed)
        return values([sample.copied()], call, False)[0]

    first = drawn(0)
    for x, y in zip(first, _eager(sample, False, 0), strict=True):
        _shaped(x, y)
    assert all(map(_same, first, drawn(0))), "the same seed gives other numbers"
    assert not all(all(map(_same, first, drawn(k))) for k in range(1, 9)), "no other numbers"
    ours = _moments([drawn(k) for k in range(DRAWS)])
    theirs = _moments([_eager(sample, False, DRAWS + k) for k in range(DRAWS)])
    error = ((ours.var(0) + theirs.var(0)) / DRAWS).sqrt()
    apart = (ours.mean(0) - theirs.mean(0)).abs()
    assert bool((apart <= 6 * error + 1e-6).all()), f"moments apart by {apart.tolist()}"


def profiled(call: Callable[[], Any]) -> set[str]:
    """The ATen operators that PyTorch's profiler sees in the compiled part of a call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    seen: set[str] = set()
    for event in profile.events():
        name = event.name.removeprefix("aten::")
        if name == event.name or name in BOUNDARY:
            continue
        around = event.cpu_parent
        while around is not None and "evaluate_function: " not in around.name:
            around = around.cpu_parent
        # The gradient of a view that is made outside of the graph is PyTorch's own.
        if around is None or around.name.endswith("CompiledFunctionBackward"):
            seen.add(name)
    return seen


def check(
    given: Sequence[Sample],
    expected: Sequence[Reference],
    gradients: bool,
    limits: dict[str, float],
) -> None:
    """Compiles samples into one graph and compares; fails with the reason."""
    torch._dynamo.reset()
    compiled = torch.compile(many, backend=dlc_backend, fullgraph=True)

    def call(chosen: Sequence[Sample]) -> Any:
        return compiled([tuple(s) for s in chosen])

    if any(e.random for e in expected):
        assert len(given) == 1
        if gradients:
            values([given[0].copied()], call, True)
        else:
            compare_random(given[0], call)
        return
    copies = [s.copied() for s in given]
    torch.manual_seed(0)
    for sample, got, wanted in zip(given, values(copies, call, gradients), expected, strict=True):
        compare(got, wanted, functools.partial(_exact, sample, gradients, wanted), limits)
    again = functools.partial(values, copies, call, gradients)
    # Operators of PyTorch's tracer, should it trace once more, are not seen twice.
    seen = profiled(again) and profiled(again)
    assert not seen, f"PyTorch ran {', '.join(sorted(seen))}"


def _explained(error: BaseException) -> str:
    """The reason in a line."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ModelError):
        cause = cause.__cause__ or getattr(cause, "inner_exception", None)
    text = re.sub(r" at 0x[0-9a-f]+", "", str(cause if cause is not None else error))
    kind = type(error).__name__
    found = re.search(r"dlc does not know \d+ operators?: ([^\n]*)", text)
    if found:
        return f"unknown: {found[1]}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if isinstance(error, AssertionError):
        return "; ".join(lines[:3])[:160]
    first = next((line for line in lines if "raised:" not in line), "")
    return f"{kind}: {first}"[:200]


def _captured(sample: Sample, gradients: bool) -> bool:
    """Whether PyTorch's tracer takes a sample for another backend."""
    torch._dynamo.reset()
    traced = torch.compile(many, backend="aot_eager", fullgraph=True)
    try:
        values([sample.copied()], lambda chosen: traced([tuple(s) for s in chosen]), gradients)
    except Exception:  # noqa: BLE001  any error is PyTorch's own here
        return False
    return True


def _raises(sample: Sample, gradients: bool) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(many, backend=dlc_backend, fullgraph=True)
    try:
        values([sample.copied()], lambda chosen: compiled([tuple(s) for s in chosen]), gradients)
    except Exception:  # noqa: BLE001  as eager, which raises
        return
    raise AssertionError("no error where eager raises one")


def outcome(kind: str, name: str) -> dict[str, Any]:
    """Runs all samples: `pass`, `fail` or `uncaptured`, the number of samples, and the reason."""
    warnings.simplefilter("ignore")
    gradients = kind != "operators"
    limits = tolerance(kind, name)
    whole = list(samples(kind, name))
    found = {"kind": kind, "name": name, "samples": len(whole), "outcome": "pass", "reason": ""}
    try:
        pairs = [(s, reference(s, gradients)) for s in whole]
        if not pairs:
            raise AssertionError("no samples")
        _judge(name, pairs, gradients, limits)
    except Uncaptured as error:
        found |= {"outcome": "uncaptured", "reason": _explained(error.__cause__ or error)}
    except Exception as error:  # noqa: BLE001  any error is the reason
        found |= {"outcome": "fail", "reason": _explained(error)}
    return found


def _judge(
    name: str, pairs: list[tuple[Sample, Reference]], gradients: bool, limits: dict[str, float]
) -> None:
    if name.startswith(UNSET):
        pairs = [(s, e._replace(random=False)) for s, e in pairs]
        limits = {"rtol": float("inf"), "atol": float("inf")}
    plain = [p for p in pairs if p[1].error is None and not p[1].random]
    for start in range(0, len(plain), TOGETHER):
        chunk = plain[start : start + TOGETHER]
        try:
            check([s for s, _ in chunk], [e for _, e in chunk], gradients, limits)
        except Exception as error:
            if "unknown: " in _explained(error):
                raise
            for sample, expected in chunk:
                _alone(sample, expected, gradients, limits)
            raise AssertionError(f"only with others in a graph: {_explained(error)}") from error
    for sample, expected in pairs:
        if expected.error is None and not expected.random:
            continue
        if expected.error is None:
            _alone(sample, expected, gradients, limits)
        else:
            _raises(sample, gradients)


def _alone(sample: Sample, expected: Reference, gradients: bool, limits: dict[str, float]) -> None:
    try:
        check([sample], [expected], gradients, limits)
    except Exception as error:
        if isinstance(error, AssertionError) or _captured(sample, gradients):
            raise
        raise Uncaptured from error
