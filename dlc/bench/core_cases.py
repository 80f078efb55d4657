"""The suite `core`: kernels, small programs and a small network."""

from __future__ import annotations

from dlc.bench import problems as p
from dlc.bench.problem import Case, Problem

_ROWS = dict(m=4096, n=1024)
_NETWORK = dict(i=784, h=512, o=10)


def _square(n: int) -> Case:
    return Case(f"matmul {n}", p.MATMUL, dict(m=n, k=n, n=n))


def _skinny(m: int, n: int) -> Case:
    return Case(f"matmul {m}x{n}x{n} constant", p.MATMUL_CONSTANT, dict(m=m, k=n, n=n))


def _rows(problem: Problem) -> Case:
    return Case(f"{problem.name.replace('_', ' ')} 4096x1024", problem, _ROWS)


CASES = (
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
