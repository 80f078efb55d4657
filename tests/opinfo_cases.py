"""One operator or module of PyTorch's own lists, run through the backend and compared with eager.

The rules, which docs/torch_ops.md repeats for users:

* Samples are those of `sample_inputs` (`module_inputs_func`, in training and in evaluation) for
  float32 on the CPU, complex64 where an operator has no float32. Up to `TOGETHER` of them are one
  graph, `fullgraph=True`, no fallback.
* A result has eager's element type and shape and is within the tolerance that PyTorch has for
  float32, or the operator's own, of what eager computes in float32 or in float64.
* Gradients are those of the sum of results times fixed numbers, for all inputs that have one.
  Results that are not unique (signs of vectors) are made so as the lists say.
* Random results (eager's differ by seed) and their gradients have eager's shapes and element types,
  differ by seed and are the same for the same seed; the share of finite numbers, the mean and the
  mean square of each tensor over `DRAWS` calls are within six standard errors of eager's. A tensor
  that is the same for all seeds is compared by value. Results of `empty` and the like have no
  values to compare.
* Where eager raises an error, so must the compiled function; that dlc lacks an operator is no such
  error.
* PyTorch's profiler sees no operator in the compiled part but those of opinfo_profile.py.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from opinfo_compare import Reference, compare, compare_random, reference
from opinfo_profile import profiled
from opinfo_samples import Sample, eager, samples, tolerance, values

from dlc.interop.torch import dlc_backend
from dlc.ir.errors import ModelError

TOGETHER = 16
UNKNOWN = "unknown: "  # how the reason begins where dlc lacks operators
UNSET = ("empty", "new_empty")


class Rules(NamedTuple):
    """How a case is judged: with gradients, to which tolerance, and whether it draws seeds."""

    gradients: bool
    limits: dict[str, float]
    seeds: bool


class Uncaptured(Exception):
    """PyTorch's own tracer refuses the function, whatever the backend."""


def many(calls: Sequence[tuple[Any, ...]]) -> Any:
    """What is compiled: several calls."""
    return [f(*args, **kwargs) for f, args, kwargs in calls]


def _exact(sample: Sample, gradients: bool, expected: Reference) -> list[Any]:
    try:
        return eager(sample, gradients, 0, torch.float64)
    except Exception:  # noqa: BLE001  no float64: float32 alone decides
        return expected.values


def check(given: Sequence[Sample], expected: Sequence[Reference], rules: Rules) -> None:
    """Compiles samples into one graph and compares; fails with the reason."""
    gradients, limits, seeds = rules
    torch._dynamo.reset()
    compiled = torch.compile(many, backend=dlc_backend, fullgraph=True)

    def call(chosen: Sequence[Sample]) -> Any:
        return compiled([tuple(s) for s in chosen])

    copies = [s.copied() for s in given]
    if any(e.random for e in expected):
        assert len(given) == 1
        exact = functools.partial(_exact, given[0], gradients, expected[0])
        compare_random(given[0], call, gradients, exact, limits)
    else:
        torch.manual_seed(0)
        found = values(copies, call, gradients)
        for sample, got, wanted in zip(given, found, expected, strict=True):
            compare(got, wanted, functools.partial(_exact, sample, gradients, wanted), limits)
    again = functools.partial(values, copies, call, gradients)
    # Operators of PyTorch's tracer, should it trace once more, are not seen twice.
    seen = profiled(again, seeds) and profiled(again, seeds)
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
        return f"{UNKNOWN}{found[1]}"
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
    except Exception as error:
        if _explained(error).startswith(UNKNOWN):
            raise
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
            raise AssertionError("no float32 or complex64 samples on the CPU")
        _judge(name, pairs, Rules(gradients, limits, any(e.random for _, e in pairs)))
    except Uncaptured as error:
        found |= {"outcome": "uncaptured", "reason": _explained(error.__cause__ or error)}
    except Exception as error:  # noqa: BLE001  any error is the reason
        found |= {"outcome": "fail", "reason": _explained(error)}
    return found


def _judge(name: str, pairs: list[tuple[Sample, Reference]], rules: Rules) -> None:
    if name.startswith(UNSET):
        pairs = [(s, e._replace(random=False)) for s, e in pairs]
        rules = rules._replace(limits={"rtol": float("inf"), "atol": float("inf")}, seeds=False)
    plain = [p for p in pairs if p[1].error is None and not p[1].random]
    for start in range(0, len(plain), TOGETHER):
        chunk = plain[start : start + TOGETHER]
        try:
            check([s for s, _ in chunk], [e for _, e in chunk], rules)
        except Exception as error:
            if _explained(error).startswith(UNKNOWN):
                raise
            for sample, expected in chunk:
                _alone(sample, expected, rules)
            raise AssertionError(f"only with others in a graph: {_explained(error)}") from error
    for sample, expected in pairs:
        if expected.error is None and not expected.random:
            continue
        if expected.error is None:
            _alone(sample, expected, rules)
        else:
            _raises(sample, rules.gradients)


def _alone(sample: Sample, expected: Reference, rules: Rules) -> None:
    try:
        check([sample], [expected], rules)
    except Exception as error:
        if isinstance(error, AssertionError) or _captured(sample, rules.gradients):
            raise
        raise Uncaptured from error
