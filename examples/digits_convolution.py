"""Trains a convolutional network on scikit-learn's handwritten digits.

Dlc compiles the whole step.

    python examples/digits_convolution.py [--epochs 30]

Three convolutions with batch normalisation, pooling and a linear layer learn from images that are
shifted by up to a pixel at random. One call of `train_step` runs forward, backward, the Adam update
and the running means of the norms as one native program, in place.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np

import dlc

CHANNELS = (1, 32, 32, 64)
BATCH = 64
RATE, BETA1, BETA2, EPSILON = 2e-3, 0.9, 0.999, 1e-8


def initial_parameters(seed: int = 0) -> list[np.ndarray]:
    """Filters by He et al. (2015) with the scale and shift of each norm, and the last layer."""
    rng = np.random.default_rng(seed)
    arrays = []
    for n_in, n_out in itertools.pairwise(CHANNELS):
        filters = rng.standard_normal((n_out, n_in, 3, 3)) * np.sqrt(2 / (9 * n_in))
        arrays += [filters, np.ones(n_out), np.zeros(n_out)]
    features = CHANNELS[-1] * 4
    arrays += [rng.standard_normal((features, 10)) / np.sqrt(features), np.zeros(10)]
    return [a.astype(np.float32) for a in arrays]


PARAMETERS = [dlc.Variable(a) for a in initial_parameters()]
FIRST_MOMENTS = [dlc.Variable(np.zeros(p.shape, np.float32)) for p in PARAMETERS]
SECOND_MOMENTS = [dlc.Variable(np.zeros(p.shape, np.float32)) for p in PARAMETERS]
STEP, RATE_NOW = dlc.Variable(np.float32(0)), dlc.Variable(np.float32(RATE))
MEANS = [dlc.Variable(np.zeros(n, np.float32)) for n in CHANNELS[1:]]
VARIANCES = [dlc.Variable(np.ones(n, np.float32)) for n in CHANNELS[1:]]


def logits(parameters, x, training):
    """The network: x f32[b,1,8,8] to f32[b,10], and the running means and variances."""
    running = []
    for k in range(3):
        filters, scale, shift = parameters[3 * k : 3 * k + 3]
        x = dlc.conv2d(x, filters, padding=1)
        if training:
            x, *moments = dlc.batch_norm(x, MEANS[k], VARIANCES[k], scale, shift, training=True)
            running.append(moments)
        else:
            x = dlc.batch_norm(x, MEANS[k], VARIANCES[k], scale, shift)
        x = dlc.relu(x)
        if k:
            x = dlc.max_pool2d(x, 2)
    w, b = parameters[-2:]
    return dlc.reshape(x, (x.shape[0], -1)) @ w + b, running


def loss_of(parameters, x, labels):
    """The mean cross entropy, and the running means and variances."""
    out, running = logits(parameters, x, training=True)
    return dlc.cross_entropy(out, labels), running


@dlc.compile
def train_step(x: f32[64, 1, 8, 8], labels: i64[64]):
    """One step of Adam (Kingma and Ba, 2015): forward, backward and update. Returns the loss."""
    (loss, running), gradients = dlc.value_and_grad(loss_of, has_aux=True)(PARAMETERS, x, labels)
    for mean, variance, (m, v) in zip(MEANS, VARIANCES, running, strict=True):
        mean.assign(m)
        variance.assign(v)
    STEP.assign_add(1)
    rate = RATE_NOW * dlc.sqrt(1 - BETA2**STEP) / (1 - BETA1**STEP)
    for p, m, v, g in zip(PARAMETERS, FIRST_MOMENTS, SECOND_MOMENTS, gradients, strict=True):
        m.assign(BETA1 * m + (1 - BETA1) * g)
        v.assign(BETA2 * v + (1 - BETA2) * g * g)
        p.assign_sub(rate * m / (dlc.sqrt(v) + EPSILON))
    return loss


@dlc.compile
def predict(x: f32[360, 1, 8, 8]):
    """The likeliest digit of each image."""
    return dlc.argmax(logits(PARAMETERS, x, training=False)[0], axis=1)


def load_digits():
    """scikit-learn's 1,797 digits: train and test images (f32, 0 to 1) and labels (i64)."""
    from sklearn.datasets import load_digits as load

    data = load()
    x, y = (data.images[:, None] / 16).astype(np.float32), data.target.astype(np.int64)
    order = np.random.default_rng(1).permutation(len(x))
    x, y = x[order], y[order]
    return x[:1437], y[:1437], x[1437:], y[1437:]


def shifted(x, rng):
    """The images moved by up to a pixel along each axis, each by itself."""
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    moves = rng.integers(0, 3, (len(x), 2))
    return np.stack([w[:, a : a + 8, b : b + 8] for w, (a, b) in zip(wide, moves, strict=True)])


def batches(x, y, rng):
    """Shuffled batches; the rest that does not fill one is left for the next epoch."""
    order = rng.permutation(len(x))
    for start in range(0, len(x) - BATCH + 1, BATCH):
        rows = order[start : start + BATCH]
        yield shifted(x[rows], rng), y[rows]


def train(epochs, x, y):
    """Runs the epochs, the rate falling to zero along half a wave; prints each mean loss."""
    rng = np.random.default_rng(2)
    for epoch in range(1, epochs + 1):
        RATE_NOW.assign(np.float32(RATE * (1 + np.cos(np.pi * (epoch - 1) / epochs)) / 2))
        losses = [float(train_step(xb, yb)) for xb, yb in batches(x, y, rng)]
        print(f"epoch {epoch:2d}/{epochs} loss {np.mean(losses):.4f}", flush=True)


def main():
    """Trains and tests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    x, y, x_test, y_test = load_digits()
    start = time.perf_counter()
    train_step.warmup("f32[64,1,8,8]", "i64[64]")
    print(f"compiled the training step in {time.perf_counter() - start:.2f} s")
    train(options.epochs, x, y)
    accuracy = float(np.mean(predict(x_test).numpy() == y_test))
    print(f"test accuracy: {100 * accuracy:.2f} % on {len(x_test)} held-out digits")
    stats = train_step.stats
    print(
        f"train_step: {stats.calls} calls, {stats.native_calls} native calls, "
        f"{stats.interpreted_ops} interpreted ops; {time.perf_counter() - start:.1f} s in all"
    )


if __name__ == "__main__":
    main()
