"""Trains a convolutional network on handwritten digits by a loop in PyTorch's manner.

    python examples/torch_loop.py [--epochs 20] [--workers 2]

A `Dataset` class, a `DataLoader` whose worker processes shift the images at random, and a loop over
epochs and batches with `zero_grad`, `backward` and `step`. The step is compiled: one native program
for batches of any size. Its twin without `@dlc.compile` computes the same op by op.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import dlc
from dlc import nn
from dlc.data import DataLoader, Dataset, TensorDataset, loaders
from dlc.nn import functional as F  # noqa: N812  as PyTorch's users write it

SEED = 3
GOAL = 98.0  # per cent of the held-out digits


class Shifted(Dataset):
    """Images that are moved by up to a pixel along each axis, another time each time."""

    def __init__(self, images, labels):
        self.images = np.pad(images, ((0, 0), (1, 1), (1, 1)))[:, None]
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        down, right = np.random.randint(0, 3, 2)  # noqa: NPY002  seeded in each worker
        return self.images[index, :, down : down + 8, right : right + 8], self.labels[index]


class Network(nn.Module):
    """Three convolutions with batch normalisation, and a linear layer."""

    def __init__(self, classes=10):
        self.conv1, self.norm1 = nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.conv2, self.norm2 = nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.conv3, self.norm3 = nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.dropout, self.linear = nn.Dropout(0.3), nn.Linear(64 * 2 * 2, classes)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        x = F.max_pool2d(F.relu(self.norm3(self.conv3(x))), 2)
        return self.linear(self.dropout(x.reshape(x.shape[0], -1)))


class Trainer:
    """The model, its optimizer, and the compiled steps."""

    def __init__(self):
        dlc.random.seed(SEED)
        self.model = Network()
        self.optimizer = dlc.optim.Adam(self.model.parameters(), lr=2e-3)
        self.train_step = dlc.compile(self.step)
        self.predict = dlc.compile(lambda x: dlc.argmax(self.model(x), axis=1))

    def step(self, images, labels):
        """One step of the optimizer. Returns the loss."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def train(self, loader, epochs):
        """The loop; the rate falls to zero along half a wave."""
        for epoch in range(epochs):
            self.optimizer.lr = 2e-3 * (1 + np.cos(np.pi * epoch / epochs)) / 2
            self.model.train()
            total = count = 0
            for images, labels in loader:
                loss = self.train_step(images, labels)
                total += loss.item() * len(labels)
                count += len(labels)
            print(f"epoch {epoch + 1:2d}/{epochs} loss {total / count:.4f}", flush=True)

    def accuracy(self, loader):
        """The share of right answers, in per cent."""
        self.model.eval()
        right = count = 0
        for images, labels in loader:
            right += (self.predict(images) == labels).sum().item()
            count += len(labels)
        return 100 * right / count


def load_data(workers):
    """The loaders of the digits that are learnt from and of those that are held out."""
    (x, y), (x_test, y_test) = loaders.digits()
    train = DataLoader(
        Shifted(x, y), batch_size=64, shuffle=True, seed=SEED, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip
    return train, DataLoader(TensorDataset(x_test[:, None], y_test), batch_size=100)


def main():
    """Trains and tests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    start = time.perf_counter()
    train, test = load_data(options.workers)
    trainer = Trainer()
    trainer.train(train, options.epochs)
    accuracy = trainer.accuracy(test)
    stats = trainer.train_step.stats
    print(f"test accuracy: {accuracy:.2f} % of {len(test.dataset)} held-out digits, goal {GOAL} %")
    print(
        f"train_step: {stats.calls} calls, {stats.compilations} compilations, "
        f"{stats.native_calls} native calls; {time.perf_counter() - start:.1f} s in all"
    )


if __name__ == "__main__":
    main()
