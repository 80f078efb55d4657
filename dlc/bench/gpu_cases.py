"""The suite `gpu`: what `core` has and published networks, at the sizes of a GPU."""

from __future__ import annotations

from dlc.bench import networks
from dlc.bench import problems as p
from dlc.bench.problem import Case

_ROWS = dict(m=16_384, n=4096)
CASES = (
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
        Case(f"{problem.name.replace('_', ' ')} 16384x4096", problem, _ROWS)
        for problem in (
            p.SOFTMAX, p.LAYER_NORM, p.RMS_NORM, p.SOFTMAX_GRADIENT, p.LAYER_NORM_GRADIENT,
            p.RMS_NORM_GRADIENT,
        )
    ),
    Case("cross entropy gradient 8192x50257", p.CROSS_ENTROPY_GRADIENT, dict(m=8192, n=50_257)),
    Case("mlp training batch 4096", p.MLP_TRAINING, dict(b=4096, i=784, h=512, o=10)),
    *networks.ON_GPU,
)  # fmt: skip
