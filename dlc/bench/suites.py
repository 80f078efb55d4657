"""The cases of each suite."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from dlc.bench import convolutions, fits, networks, torch_models
from dlc.bench import layout_problems as y
from dlc.bench import order_problems as o
from dlc.bench import problems as p
from dlc.bench.problem import Case, Problem
from dlc.bench.recurrent import LSTM_TRAINING
from dlc.ir.errors import ArgumentError, nearest

_ROWS = dict(m=4096, n=1024)
_NETWORK = dict(i=784, h=512, o=10)


def _square(n: int) -> Case:
    return Case(f"matmul {n}", p.MATMUL, dict(m=n, k=n, n=n))


def _skinny(m: int, n: int) -> Case:
    return Case(f"matmul {m}x{n}x{n} constant", p.MATMUL_CONSTANT, dict(m=m, k=n, n=n))


def _rows(problem: Problem) -> Case:
    return Case(f"{problem.name.replace('_', ' ')} 4096x1024", problem, _ROWS)


CORE = (
    Case("add 16x16", p.ADD, dict(m=16, n=16)),
    Case("300 parameters", p.DEEP, dict(m=1, n=16, layers=150)),
    Case("chain 4M", p.CHAIN, dict(n=4_000_000)),
    _rows(p.SOFTMAX),
    _rows(p.LOG_SOFTMAX),
    _rows(p.LAYER_NORM),
    _rows(p.RMS_NORM),
    _rows(p.SOFTMAX_GRADIENT),
    _rows(p.LOG_SOFTMAX_GRADIENT),
    _rows(p.LAYER_NORM_GRADIENT),
    _rows(p.RMS_NORM_GRADIENT),
    Case("cross entropy gradient 1024x50000", p.CROSS_ENTROPY_GRADIENT, dict(m=1024, n=50_000)),
    Case("attention 8x12x512x64", p.ATTENTION, dict(b=8, h=12, t=512, d=64)),
    Case("attention gradient 8x12x512x64", p.ATTENTION_GRADIENT, dict(b=8, h=12, t=512, d=64)),
    *(_square(n) for n in (128, 256, 512, 1024, 2048)),
    *(_skinny(m, n) for n in (1024, 4096) for m in (1, 8, 32)),
    Case("mm+bias+gelu 1024x768x3072", p.LINEAR_GELU, dict(m=1024, k=768, n=3072)),
    Case("matmul 96x128x64x128", p.MATMUL_BATCHED, dict(b=96, m=128, k=64, n=128)),
    Case("mlp batch 1", p.MLP, dict(b=1, **_NETWORK)),
    Case("mlp batch 64", p.MLP, dict(b=64, **_NETWORK)),
    Case("mlp training batch 128", p.MLP_TRAINING, dict(b=128, **_NETWORK)),
    Case("gradients of 64 examples", p.EXAMPLE_GRADIENTS, dict(b=64, i=64, h=128, o=10)),
)
_LONG = 1 << 20
ORDER = (
    Case("sort 1M", o.SORT, dict(m=1, n=_LONG)),
    Case("sort 4096x1024", o.SORT, _ROWS),
    Case("argsort 1M", o.ARGSORT, dict(m=1, n=_LONG)),
    Case("argsort 4096x1024", o.ARGSORT, _ROWS),
    Case("top 8 of 4096x1024", o.TOP_8, _ROWS),
    Case("top 64 of 1M", o.TOP_64, dict(m=1, n=_LONG)),
    Case("cumulative sum 4096x1024", o.CUMULATIVE_SUM, _ROWS),
    Case("cumulative sum 4M", o.CUMULATIVE_SUM, dict(m=1, n=4 * _LONG)),
    Case("embedding gradient 50000x256", o.EMBEDDING_GRADIENT, dict(v=50_000, d=256, n=8192)),
)
LAYOUT = (
    *(
        Case(f"matmul {m}x{k}x{n}", p.MATMUL, dict(m=m, k=k, n=n))
        for m, k, n in ((1, 768, 3072), (1, 4096, 4096), (4, 768, 3072))
    ),
    *(
        Case(f"linear {m}x{k}x{n}", y.LINEAR, dict(m=m, k=k, n=n))
        for m, k, n in ((1, 768, 3072), (1, 4096, 4096), (1, 768, 50_257), (8, 768, 3072))
    ),
    Case("add transposed 1024x1024", y.ADD_TRANSPOSED, dict(m=1024, n=1024)),
    Case("merged heads 4x12x128x64", y.MERGED_HEADS, dict(b=4, h=12, t=128, d=64)),
    Case("rotary 8x12x128x64", y.ROTARY, dict(b=8, h=12, t=128, d=32)),
    Case("sum of all 1024x1024", y.SUM_OF_ALL, dict(m=1024, n=1024)),
)
# For a GPU, at its sizes.
_LARGE_ROWS = dict(m=16_384, n=4096)
GPU = (
    Case("add 16x16", p.ADD, dict(m=16, n=16)),
    Case("300 parameters", p.DEEP, dict(m=1, n=16, layers=150)),
    Case("matmul 4096", p.MATMUL, dict(m=4096, k=4096, n=4096)),
    *(
        Case(f"matmul bf16 {n}", p.MATMUL.at_half(), dict(m=n, k=n, n=n))
        for n in (1024, 4096, 8192)
    ),
    Case("mm+bias+gelu bf16 8192x1024x4096", p.LINEAR_GELU.at_half(), dict(m=8192, k=1024, n=4096)),
    *(
        Case(
            f"attention causal bf16 {b}x16x{t}x{d}",
            p.ATTENTION_CAUSAL.at_half(),
            dict(b=b, h=16, t=t, d=d),
        )
        for b, t, d in ((2, 8192, 128), (1, 16_384, 128), (4, 4096, 64))
    ),
    Case("attention gradient 4x16x2048x64", p.ATTENTION_GRADIENT, dict(b=4, h=16, t=2048, d=64)),
    *(
        Case(f"{problem.name.replace('_', ' ')} 16384x4096", problem, _LARGE_ROWS)
        for problem in (
            p.SOFTMAX, p.LAYER_NORM, p.RMS_NORM, p.SOFTMAX_GRADIENT, p.LAYER_NORM_GRADIENT,
            p.RMS_NORM_GRADIENT,
        )
    ),
    Case("cross entropy gradient 8192x50257", p.CROSS_ENTROPY_GRADIENT, dict(m=8192, n=50_257)),
    Case("mlp training batch 4096", p.MLP_TRAINING, dict(b=4096, **_NETWORK)),
    *networks.ON_GPU,
)  # fmt: skip
# Every problem, small: whether the frameworks compute them at all.
SMOKE = (
    Case("add", p.ADD, dict(m=3, n=5)),
    Case("deep", p.DEEP, dict(m=2, n=8, layers=3)),
    Case("chain", p.CHAIN, dict(n=1000)),
    *(
        Case(problem.name.replace("_", " "), problem, dict(m=13, n=37))
        for problem in (
            p.SOFTMAX, p.LOG_SOFTMAX, p.LAYER_NORM, p.RMS_NORM, p.SOFTMAX_GRADIENT,
            p.LOG_SOFTMAX_GRADIENT, p.LAYER_NORM_GRADIENT, p.RMS_NORM_GRADIENT,
            p.CROSS_ENTROPY_GRADIENT,
        )
    ),
    Case("attention", p.ATTENTION, dict(b=2, h=3, t=21, d=16)),
    Case("attention gradient", p.ATTENTION_GRADIENT, dict(b=2, h=3, t=21, d=16)),
    Case("attention causal", p.ATTENTION_CAUSAL, dict(b=2, h=3, t=21, d=16)),
    Case("matmul", p.MATMUL, dict(m=9, k=17, n=33)),
    Case("matmul constant", p.MATMUL_CONSTANT, dict(m=3, k=17, n=33)),
    Case("linear gelu", p.LINEAR_GELU, dict(m=9, k=17, n=33)),
    Case("matmul batched", p.MATMUL_BATCHED, dict(b=3, m=9, k=17, n=33)),
    Case("mlp", p.MLP, dict(b=3, i=20, h=16, o=10)),
    Case("mlp training", p.MLP_TRAINING, dict(b=5, i=20, h=16, o=10)),
    Case("gradients of examples", p.EXAMPLE_GRADIENTS, dict(b=5, i=20, h=16, o=10)),
    Case("lstm training", LSTM_TRAINING, dict(t=5, b=3, i=7, h=6)),
    *convolutions.SMOKE,
    *fits.SMOKE,
    *torch_models.SMOKE,
    *networks.SMOKE,
    *(
        Case(problem.name.replace("_", " "), problem, dict(m=5, n=300))
        for problem in (o.SORT, o.ARGSORT, o.TOP_8, o.TOP_64, o.CUMULATIVE_SUM)
    ),
    Case("embedding gradient", o.EMBEDDING_GRADIENT, dict(v=30, d=7, n=50)),
    Case("linear", y.LINEAR, dict(m=3, k=17, n=33)),
    Case("add transposed", y.ADD_TRANSPOSED, dict(m=17, n=33)),
    Case("merged heads", y.MERGED_HEADS, dict(b=2, h=3, t=5, d=8)),
    Case("rotary", y.ROTARY, dict(b=2, h=3, t=5, d=4)),
    Case("sum of all", y.SUM_OF_ALL, dict(m=17, n=33)),
)  # fmt: skip
RECURRENT = (
    Case("lstm training 64x32x256", LSTM_TRAINING, dict(t=64, b=32, i=256, h=256)),
    Case("lstm training 16x8x64", LSTM_TRAINING, dict(t=16, b=8, i=64, h=64)),
)
GPU_SUITE = "gpu"
SUITES = {
    "core": CORE,
    "order": ORDER,
    "layout": LAYOUT,
    "recurrent": RECURRENT,
    "convolution": convolutions.CASES,
    "training": fits.CASES,
    "torch": torch_models.CASES,
    "networks": networks.CASES,
    GPU_SUITE: GPU,
    "smoke": SMOKE,
}
WARM_UP = Case("warm up", p.WARM_UP, dict(m=33, n=7))


def find_cases(suite: str, patterns: Sequence[str] = (), *, perturb: bool = False) -> list[Case]:
    """The cases of a suite that a pattern fits, or all without patterns.

    Raises:
        ArgumentError: for an unknown suite, and a pattern that nothing fits.

    Example:
        >>> [case.name for case in find_cases("core", ["add*"])]
        ['add 16x16']
    """
    if suite not in SUITES:
        raise ArgumentError(f"there is no suite {suite!r}", hint=nearest(suite, SUITES))
    cases = SUITES[suite]
    names = [case.name for case in cases]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ArgumentError(f"no case is called {pattern!r}", hint=nearest(pattern, names))
    found = [
        case
        for case in cases
        if not patterns or any(fnmatch.fnmatchcase(case.name, pattern) for pattern in patterns)
    ]
    return [case.perturbed() for case in found] if perturb else found


def case_named(suite: str, name: str) -> Case:
    """The case of this name, perturbed or not, or the warm-up."""
    for case in (WARM_UP, *SUITES[suite]):
        for found in (case, case.perturbed()):
            if found.name == name:
                return found
    raise ArgumentError(f"suite {suite} has no case {name!r}")
