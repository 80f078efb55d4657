"""Transfer learning: what a network has learnt of digits 0 to 4 helps it with 5 to 9.

    python examples/transfer.py [--labels 2] [--repetitions 8]

A convolutional body learns from scikit-learn's handwritten digits 0 to 4 alone: which of them an
image is, and how it has been turned and mirrored, 40 classes. Then it is frozen, and a new head
learns 5 to 9 from a few labelled images of each. Beside it the same network learns from the same
few images from scratch. Both are tested on all other images of 5 to 9; everything is repeated with
other few images.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import dlc
from dlc import nn
from dlc.data import Dataset, loaders

SEED = 0
GOAL = 3.0  # points by which the frozen body is better


def new_body():
    """Images f32[b,1,8,8] to features f32[b,256]."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
    )  # fmt: skip


def new_model(body, classes, rate):
    """The body with a new head, ready to be fitted."""
    model = nn.Sequential(body, nn.Dropout(0.3), nn.Linear(256, classes))
    model.compile(
        dlc.optim.Adam(learning_rate=rate),
        dlc.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def load_data():
    """Images f32[n,1,8,8] and labels from 0 of the digits 0 to 4, and of 5 to 9."""
    (x, y), _ = loaders.digits(test_share=0)
    x = x[:, None]
    return (x[y < 5], y[y < 5]), (x[y >= 5], y[y >= 5] - 5)


def turned(x, y):
    """Each image turned and mirrored in all eight ways, and the number of digit and way."""
    ways = [np.rot90(x[..., ::step], k, axes=(2, 3)) for step in (1, -1) for k in range(4)]
    return np.concatenate(ways), np.concatenate([y + 5 * way for way in range(8)])


def shifted(image, label, rng):
    """The image moved by up to a pixel along each axis."""
    down, right = rng.integers(0, 3, 2)
    wide = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    return wide[:, down : down + 8, right : right + 8], label


def pretrained_body(x, y, epochs):
    """A body that has learnt the 40 classes, and its accuracy on images that were held out."""
    dlc.random.seed(SEED)
    order = np.random.default_rng(SEED).permutation(len(x))
    train, held_out = (turned(x[rows], y[rows]) for rows in (order[100:], order[:100]))
    images = Dataset.from_tensor_slices(train).shuffle(len(train[0]), SEED)
    model = new_model(body := new_body(), 40, 2e-3)
    model.fit(images.map(shifted, seed=SEED).batch(64).prefetch(), epochs=epochs, verbose=0)
    return body, 100 * model.evaluate(*held_out, verbose=0)[1]


def few_of_each(y, count, seed):
    """The numbers of `count` images of each class, and those of all others."""
    order = np.random.default_rng(seed).permutation(len(y))
    chosen = np.concatenate([order[y[order] == k][:count] for k in range(5)])
    return chosen, np.setdiff1d(order, chosen)


def test_accuracy(model, x, y, chosen, others, epochs):
    """The per cent of right answers on the others after learning from the chosen."""
    model.fit(x[chosen], y[chosen], batch_size=len(chosen), epochs=epochs, verbose=0)
    return 100 * model.evaluate(x[others], y[others], batch_size=256, verbose=0)[1]


def compare(body, x, y, labels, repetitions, epochs=100):
    """Accuracies with the frozen body and from scratch, for several choices of labelled images."""
    found = []
    for seed in range(repetitions):
        chosen, others = few_of_each(y, labels, seed)
        dlc.random.seed(seed)
        body.trainable = False
        moved = test_accuracy(new_model(body, 5, 5e-3), x, y, chosen, others, epochs)
        alone = test_accuracy(new_model(new_body(), 5, 1e-3), x, y, chosen, others, epochs)
        print(
            f"images {seed + 1}: frozen body {moved:.2f} %, from scratch {alone:.2f} %", flush=True
        )
        found.append((moved, alone))
    return np.mean(found, axis=0)


def main():
    """Learns the first digits, then the others in both ways."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=8)
    options = parser.parse_args()
    start = time.perf_counter()
    first, (x, y) = load_data()
    body, accuracy = pretrained_body(*first, epochs=20)
    print(f"digits 0 to 4, turned and mirrored: {accuracy:.2f} % of held-out ones")
    moved, alone = compare(body, x, y, options.labels, options.repetitions)
    print(
        f"digits 5 to 9 from {options.labels} images of each: frozen body {moved:.2f} %, "
        f"from scratch {alone:.2f} %, goal {GOAL} points more; {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
