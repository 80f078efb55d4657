"""Times a handful of programs beside NumPy.

Medians of interleaved rounds, outputs checked against float64.

    python bench/spine.py [--rounds 15] [--threads 1] [--json FILE]

Inputs rotate between calls, so that no side is measured on a cache that the other one does not
have.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import dlc

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Case:
    """The same function for dlc and for NumPy, and the inputs to rotate through."""

    name: str
    ours: Callable[..., object]
    numpy: Callable[..., np.ndarray]
    inputs: list[Arrays]
    tolerance: float


def numpy_softmax(x: np.ndarray) -> np.ndarray:
    """Softmax along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def numpy_layer_norm(x: np.ndarray) -> np.ndarray:
    """Layer norm along the last axis, without scale and shift."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5)


def our_layer_norm(x: dlc.Tensor) -> dlc.Tensor:
    """The same in dlc."""
    centred = x - dlc.mean(x, axis=-1, keepdims=True)
    return centred / dlc.sqrt(dlc.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)


def draw(*shapes: tuple[int, ...]) -> list[Arrays]:
    """Three sets of float32 inputs."""
    rng = np.random.default_rng(0)
    return [tuple(rng.standard_normal(s).astype(np.float32) for s in shapes) for _ in range(3)]


def cases() -> list[Case]:
    """What is measured."""
    return [
        Case("add 16x16", lambda x, y: x + y, np.add, draw((16, 16), (16, 16)), 0),
        Case(
            "chain of 6 on 1M",
            lambda x, y: dlc.tanh(x * y + x) * dlc.exp(-y * y),
            lambda x, y: np.tanh(x * y + x) * np.exp(-y * y),
            draw((1 << 20,), (1 << 20,)),
            1e-5,
        ),
        Case("softmax 4096x1024", dlc.softmax, numpy_softmax, draw((4096, 1024)), 1e-6),
        Case("layer norm 4096x1024", our_layer_norm, numpy_layer_norm, draw((4096, 1024)), 1e-4),
        Case("matmul 512", dlc.matmul, np.matmul, draw((512, 512), (512, 512)), 1e-3),
        Case("matmul 1024", dlc.matmul, np.matmul, draw((1024, 1024), (1024, 1024)), 1e-3),
        Case(
            "mm+bias+relu 128x784x512",
            lambda x, w, b: dlc.relu(x @ w + b),
            lambda x, w, b: np.maximum(x @ w + b, 0),
            draw((128, 784), (784, 512), (512,)),
            1e-3,
        ),
    ]


def seconds_a_call(call: Callable[[], object], at_least: float = 2e-3) -> float:
    """The time of one call, over as many as take `at_least` seconds."""
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            call()
        took = time.perf_counter() - start
        if took >= at_least:
            return took / count
        count *= 2


def measure(case: Case, rounds: int, threads: int) -> dict[str, object]:
    """Medians of both sides and of the ratio, round by round."""
    compiled = dlc.compile(case.ours, name="case", num_threads=threads)
    ours_inputs = [tuple(dlc.asarray(a) for a in arrays) for arrays in case.inputs]
    start = time.perf_counter()
    first = compiled(*ours_inputs[0])
    first_call = time.perf_counter() - start
    exact = case.numpy(*(a.astype(np.float64) for a in case.inputs[0]))
    error = float(np.max(np.abs(first.numpy() - exact)))
    if error > case.tolerance + 1e-6 * float(np.max(np.abs(exact))):
        raise AssertionError(f"{case.name}: off by {error}")
    ours, theirs = [], []
    for k in range(rounds):
        a, b = ours_inputs[k % 3], case.inputs[k % 3]
        ours.append(seconds_a_call(lambda a=a: compiled(*a)))
        theirs.append(seconds_a_call(lambda b=b: case.numpy(*b)))
    ratios = np.array(theirs) / np.array(ours)
    return {
        "case": case.name,
        "dlc_us": round(1e6 * float(np.median(ours)), 2),
        "numpy_us": round(1e6 * float(np.median(theirs)), 2),
        "ratio": round(float(np.median(ratios)), 2),
        "spread": [round(float(q), 2) for q in np.quantile(ratios, (0.25, 0.75))],
        "first_call_ms": round(1e3 * first_call, 1),
    }


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="dlc's; NumPy's are its own")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    print(f"{platform.machine()}, numpy {np.__version__}, dlc {dlc.__version__}")
    print(f"{'case':28}{'dlc us':>12}{'NumPy us':>12}{'ratio':>8}  quartiles     first call ms")
    rows = []
    for case in cases():
        row = measure(case, options.rounds, options.threads)
        rows.append(row)
        low, high = row["spread"]
        print(
            f"{row['case']:28}{row['dlc_us']:12}{row['numpy_us']:12}{row['ratio']:8}"
            f"  {low:5} {high:5} {row['first_call_ms']:12}"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
