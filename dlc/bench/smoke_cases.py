"""The suite `smoke`: every problem, small; whether the frameworks compute them at all."""

from __future__ import annotations

from dlc.bench import convolutions, eager_problems, fits, networks, torch_models
from dlc.bench import layout_problems as y
from dlc.bench import order_problems as o
from dlc.bench import problems as p
from dlc.bench import system_problems as s
from dlc.bench.problem import Case
from dlc.bench.recurrent import LSTM_TRAINING

CASES = (
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
    *eager_problems.SMOKE,
    *fits.SMOKE,
    *torch_models.SMOKE,
    *networks.SMOKE,
    *(
        Case(problem.name.replace("_", " "), problem, dict(m=5, n=300))
        for problem in (o.SORT, o.ARGSORT, o.TOP_8, o.TOP_64, o.CUMULATIVE_SUM)
    ),
    Case("embedding gradient", o.EMBEDDING_GRADIENT, dict(v=30, d=7, n=50)),
    *(
        Case(problem.name, problem, dict(b=5, n=3))
        for problem in (s.SOLVE, s.INVERSE, s.DETERMINANT, s.CHOLESKY)
    ),
    Case("kalman", s.KALMAN, dict(t=6, n=3, m=2)),
    Case("linear", y.LINEAR, dict(m=3, k=17, n=33)),
    Case("add transposed", y.ADD_TRANSPOSED, dict(m=17, n=33)),
    Case("merged heads", y.MERGED_HEADS, dict(b=2, h=3, t=5, d=8)),
    Case("rotary", y.ROTARY, dict(b=2, h=3, t=5, d=4)),
    Case("sum of all", y.SUM_OF_ALL, dict(m=17, n=33)),
)  # fmt: skip
