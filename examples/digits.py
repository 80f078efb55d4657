"""Trains a network with two hidden layers on scikit-learn's handwritten digits.

Dlc compiles the whole step.

    python examples/digits.py [--epochs 25] [--dump FOLDER]

One call of `train_step` runs forward, backward and the Adam update as one native program, in place.
At the end the program is written to a folder at every stage of its compilation, with a guide to
what each file shows.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import sys
import time

import numpy as np

import dlc

SIZES = (64, 128, 64, 10)
BATCH = 64
RATE, BETA1, BETA2, EPSILON = 2e-3, 0.9, 0.999, 1e-8


def initial_parameters(seed: int = 0) -> list[np.ndarray]:
    """Weights by He et al. (2015), and zero biases: float32 arrays w1, b1, w2, b2, w3, b3."""
    rng = np.random.default_rng(seed)
    arrays = []
    for n_in, n_out in itertools.pairwise(SIZES):
        arrays.append((rng.standard_normal((n_in, n_out)) * np.sqrt(2 / n_in)).astype(np.float32))
        arrays.append(np.zeros(n_out, np.float32))
    return arrays


PARAMETERS = [dlc.Variable(a) for a in initial_parameters()]
FIRST_MOMENTS = [dlc.Variable(np.zeros(p.shape, np.float32)) for p in PARAMETERS]
SECOND_MOMENTS = [dlc.Variable(np.zeros(p.shape, np.float32)) for p in PARAMETERS]
STEP = dlc.Variable(np.float32(0))


def logits(parameters, x):
    """The network: x f32[b,64] to f32[b,10]."""
    w1, b1, w2, b2, w3, b3 = parameters
    h = dlc.relu(x @ w1 + b1)
    h = dlc.relu(h @ w2 + b2)
    return h @ w3 + b3


def loss_of(parameters, x, labels):
    """The mean cross entropy."""
    return dlc.cross_entropy(logits(parameters, x), labels)


@dlc.compile
def train_step(x: f32[64, 64], labels: i64[64]):
    """One step of Adam (Kingma and Ba, 2015): forward, backward and update. Returns the loss."""
    loss, gradients = dlc.value_and_grad(loss_of)(PARAMETERS, x, labels)
    STEP.assign_add(1)
    rate = RATE * dlc.sqrt(1 - BETA2**STEP) / (1 - BETA1**STEP)
    for p, m, v, g in zip(PARAMETERS, FIRST_MOMENTS, SECOND_MOMENTS, gradients, strict=True):
        m.assign(BETA1 * m + (1 - BETA1) * g)
        v.assign(BETA2 * v + (1 - BETA2) * g * g)
        p.assign_sub(rate * m / (dlc.sqrt(v) + EPSILON))
    return loss


@dlc.compile
def predict(x: f32[64, 64]):
    """The likeliest digit of each image."""
    return dlc.argmax(logits(PARAMETERS, x), axis=1)


def numpy_step(state, x, labels):
    """The same step by hand in NumPy, at the precision of `state`, which it updates."""
    parameters, first, second = state["p"], state["m"], state["v"]
    w1, b1, w2, b2, w3, b3 = parameters
    a1 = x @ w1 + b1
    h1 = np.maximum(a1, 0)
    a2 = h1 @ w2 + b2
    h2 = np.maximum(a2, 0)
    out = h2 @ w3 + b3
    shifted = out - out.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(x))
    loss = -log_p[rows, labels].mean()
    d = np.exp(log_p)
    d[rows, labels] -= 1
    d /= len(x)
    d2 = (d @ w3.T) * (a2 > 0)
    d1 = (d2 @ w2.T) * (a1 > 0)
    gradients = [x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d, d.sum(0)]
    state["t"] += 1
    rate = RATE * np.sqrt(1 - BETA2 ** state["t"]) / (1 - BETA1 ** state["t"])
    for k, g in enumerate(gradients):
        first[k] += (1 - BETA1) * (g - first[k])
        second[k] += (1 - BETA2) * (g * g - second[k])
        parameters[k] -= (rate * first[k] / (np.sqrt(second[k]) + EPSILON)).astype(g.dtype)
    return loss


def numpy_state(dtype):
    """Fresh parameters and moments for `numpy_step`."""
    parameters = [a.astype(dtype) for a in initial_parameters()]
    zeros = [np.zeros_like(a) for a in parameters]
    return {"p": parameters, "m": zeros, "v": [z.copy() for z in zeros], "t": 0}


def load_digits():
    """scikit-learn's 1,797 digits: train and test images (f32, 0 to 1) and labels (i64)."""
    from sklearn.datasets import load_digits as load

    data = load()
    x, y = (data.data / 16).astype(np.float32), data.target.astype(np.int64)
    order = np.random.default_rng(1).permutation(len(x))
    x, y = x[order], y[order]
    return x[:1437], y[:1437], x[1437:], y[1437:]


def batches(x, y, rng):
    """Shuffled batches; the rest that does not fill one is left for the next epoch."""
    order = rng.permutation(len(x))
    for start in range(0, len(x) - BATCH + 1, BATCH):
        rows = order[start : start + BATCH]
        yield x[rows], y[rows]


def show_progress(epoch, epochs, loss, done):
    """A line that is overwritten on a terminal, and printed at the end of an epoch elsewhere."""
    width = 30
    bar = "#" * int(width * done)
    text = f"epoch {epoch:2d}/{epochs} [{bar:<{width}}] loss {loss:.4f}"
    if sys.stdout.isatty():
        print("\r" + text, end="\n" if done >= 1 else "", flush=True)
    elif done >= 1:
        print(text, flush=True)


def train(epochs, x, y):
    """Runs the epochs with a progress bar."""
    rng = np.random.default_rng(2)
    steps = len(x) // BATCH
    for epoch in range(1, epochs + 1):
        total = 0.0
        for k, (xb, yb) in enumerate(batches(x, y, rng), 1):
            total += float(train_step(xb, yb))
            show_progress(epoch, epochs, total / k, k / steps)


def median_time(f, repeats=200):
    """The median of `repeats` timed calls, in microseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return 1e6 * float(np.median(times))


GUIDE = {
    "traced": "as traced: one typed op a line, with the line of your source that made it",
    "optimized": "after the passes: each `fusion` is one kernel, with its body",
    "kernels": "kernel IR: loop nests over scalar expressions, and the table of calls",
    "llvm": "the LLVM code of each kernel",
    "asm": "the machine code of each kernel",
}


def dump_stages(folder):
    """Writes every stage of the training step, and prints what each file shows."""
    folder.mkdir(parents=True, exist_ok=True)
    lowered = train_step.lower(np.zeros((BATCH, 64), np.float32), np.zeros(BATCH, np.int64))
    print(f"\nThe training step at every stage, in {folder}:")
    for stage, meaning in GUIDE.items():
        text = lowered.as_text(stage)
        path = folder / f"train_step.{stage}"
        path.write_text(text)
        print(f"  {path.name:22} {text.count(chr(10)):6} lines  {meaning}")


def main():
    """Trains, tests, compares with NumPy, dumps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--dump", type=pathlib.Path, default=pathlib.Path("digits_stages"))
    options = parser.parse_args()
    x, y, x_test, y_test = load_digits()
    start = time.perf_counter()
    train_step.warmup("f32[64,64]", "i64[64]")
    print(f"compiled the training step in {time.perf_counter() - start:.2f} s")
    train(options.epochs, x, y)
    accuracy = float(np.mean(predict(x_test).numpy() == y_test))
    print(f"test accuracy: {100 * accuracy:.2f} % on {len(x_test)} held-out digits")
    stats = train_step.stats
    print(
        f"train_step: {stats.calls} calls, {stats.native_calls} native calls, "
        f"{stats.interpreted_ops} interpreted ops"
    )
    xb, yb = x[:BATCH], y[:BATCH]
    state = numpy_state(np.float32)
    ours, numpys = (
        median_time(lambda: train_step(xb, yb)),
        median_time(lambda: numpy_step(state, xb, yb)),
    )
    print(f"time a step: dlc {ours:.0f} us, NumPy {numpys:.0f} us ({numpys / ours:.1f}x)")
    dump_stages(options.dump)


if __name__ == "__main__":
    main()
