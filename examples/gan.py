"""Trains a generative adversarial network on handwritten digits: two networks, two optimizers.

    python examples/gan.py [--steps 3000]

The generator makes 8x8 images of noise, the discriminator tells them from real ones, and each is
trained against the other (Goodfellow et al., 2014) by one compiled step. At the end a classifier,
trained on the real digits, looks at new images:

* how many it is sure of, by the number of the digit, beside held-out real ones;
* the Frechet distance (Heusel et al., 2017) of its last hidden layer between generated and held-out
  real images, beside that of images drawn from a normal distribution with the mean and covariance
  of the training images, and that of the training images themselves.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import dlc
from dlc import nn
from dlc.data import Dataset, loaders
from dlc.nn import functional as F  # noqa: N812  as PyTorch's users write it

SEED, BATCH, NOISE = 0, 64, 32
SURE = 0.9  # the likelihood of the likeliest class
GOALS = {"sure": 0.65, "rarest": 0.03, "distance": 0.3}


class Generator(nn.Module):
    """Noise f32[b,32] to images f32[b,1,8,8], from 0 to 1."""

    def __init__(self):
        self.linear1, self.norm1 = nn.Linear(NOISE, 256), nn.BatchNorm1d(256)
        self.linear2, self.norm2 = nn.Linear(256, 32 * 4 * 4), nn.BatchNorm2d(32)
        self.up = nn.ConvTranspose2d(32, 1, 4, 2, 1)

    def forward(self, noise):
        x = F.relu(self.norm1(self.linear1(noise)))
        x = self.linear2(x).reshape(noise.shape[0], 32, 4, 4)
        return dlc.sigmoid(self.up(F.relu(self.norm2(x))))


class Discriminator(nn.Module):
    """Images f32[b,1,8,8] to scores f32[b], above 0 for real ones."""

    def __init__(self):
        self.down1, self.down2 = nn.Conv2d(1, 32, 4, 2, 1), nn.Conv2d(32, 64, 4, 2, 1)
        self.hidden, self.linear = nn.Linear(64 * 2 * 2, 64), nn.Linear(64, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, images):
        x = F.leaky_relu(self.down1(images), 0.2)
        x = F.leaky_relu(self.down2(x), 0.2)
        x = self.dropout(x.reshape(x.shape[0], -1))
        return self.linear(F.leaky_relu(self.hidden(x), 0.2))[:, 0]


class Gan:
    """Both networks with their optimizers."""

    def __init__(self, seed=SEED):
        dlc.random.seed(seed)
        self.generator, self.discriminator = Generator(), Discriminator()
        settings = {"lr": 1e-3, "betas": (0.5, 0.999)}
        self.generator_optimizer = dlc.optim.Adam(self.generator.parameters(), **settings)
        self.discriminator_optimizer = dlc.optim.Adam(self.discriminator.parameters(), **settings)
        self.train_step = dlc.compile(self.step)
        self.generate = dlc.compile(self.generator)

    def step(self, real, noise):
        """A step of each. Returns both losses."""
        fake = self.generator(noise)
        self.discriminator_optimizer.zero_grad()
        told = self.score(self.discriminator(real), 0.9)  # not 1: Salimans et al. (2016)
        told = told + self.score(self.discriminator(fake.detach()), 0.0)
        told.backward()
        self.discriminator_optimizer.step()
        self.generator_optimizer.zero_grad()
        taken = self.score(self.discriminator(fake), 1.0)
        taken.backward()
        self.generator_optimizer.step()
        return told, taken

    @staticmethod
    def score(logits, target):
        """The mean binary cross entropy with one target for all."""
        return F.binary_cross_entropy_with_logits(logits, dlc.full_like(logits, target))

    def train(self, images, steps):
        """Runs the steps; the rates fall to zero during the second half."""
        rng = np.random.default_rng(SEED)
        data = Dataset.from_tensor_slices(images).shuffle(len(images), SEED).repeat()
        batches = iter(data.batch(BATCH))
        losses = []
        for step in range(steps):
            rate = 1e-3 * min(1.0, 2 * (1 - step / steps))
            self.generator_optimizer.lr = self.discriminator_optimizer.lr = rate
            noise = rng.standard_normal((BATCH, NOISE)).astype(np.float32)
            losses.append([x.item() for x in self.train_step(next(batches), noise)])
            if (step + 1) % 500 == 0 or step + 1 == steps:
                told, taken = np.mean(losses[-500:], axis=0)
                print(
                    f"step {step + 1:5d}: discriminator {told:.3f} generator {taken:.3f}",
                    flush=True,
                )

    def sample(self, count, seed=1):
        """New images."""
        noise = np.random.default_rng(seed).standard_normal((count, NOISE)).astype(np.float32)
        self.generator.eval()
        images = self.generate(noise).numpy()
        self.generator.train()
        return images


class Judge(nn.Module):
    """A classifier, whose last hidden layer is what images are compared by."""

    def __init__(self):
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.hidden, self.dropout = nn.Linear(64 * 2 * 2, 64), nn.Dropout(0.3)
        self.last = nn.Linear(64, 10)

    def features(self, x):
        """The hidden layer, f32[b,64]."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return F.relu(self.hidden(x.reshape(x.shape[0], -1)))

    def forward(self, x):
        return self.last(self.dropout(self.features(x)))


def trained_judge(x, y, epochs=20):
    """A classifier of the real digits."""
    dlc.random.seed(SEED + 1)
    judge = Judge()
    loss = dlc.losses.SparseCategoricalCrossentropy(from_logits=True)
    judge.compile(dlc.optim.Adam(learning_rate=2e-3), loss, metrics=["accuracy"])
    judge.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    judge.eval()
    return judge


def frechet(a, b):
    """The Frechet distance between normal distributions fitted to two sets of features."""
    means, spreads = [], []
    for features in (a, b):
        means.append(features.mean(0))
        spreads.append(np.cov(features.astype(np.float64), rowvar=False))
    # The trace of the square root of the product, by the one of a symmetric matrix.
    values, vectors = np.linalg.eigh(spreads[0])
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    joint = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ spreads[1] @ root), 0)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(spreads[0] + spreads[1]) - 2 * joint)


def normal_images(images, count):
    """Images drawn from a normal distribution with the mean and covariance of others."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    rng = np.random.default_rng(SEED)
    drawn = rng.multivariate_normal(flat.mean(0), np.cov(flat, rowvar=False), count)
    return np.clip(drawn, 0, 1).astype(np.float32).reshape(count, *images.shape[1:])


def report(gan, judge, train, held_out, count=2000):
    """Prints what the classifier sees in new images; returns the figures."""
    made = gan.sample(count)
    features = dlc.compile(judge.features)
    likelihood = dlc.compile(lambda x: dlc.softmax(judge(x), axis=-1))

    def sure(images):
        found = likelihood(images).numpy()
        return found.max(1) > SURE, found.argmax(1)

    is_sure, digit = sure(made)
    drawn = normal_images(train, count)
    shares = np.bincount(digit[is_sure], minlength=10) / count
    real = features(held_out).numpy()
    distances = {
        name: frechet(features(images).numpy(), real)
        for name, images in (
            ("generated", made),
            ("normal", drawn),
            ("training", train),
        )
    }
    print(
        f"sure of {is_sure.mean():.1%} of generated images, {sure(drawn)[0].mean():.1%} of normal "
        f"ones, {sure(held_out)[0].mean():.1%} of held-out digits"
    )
    print("each digit, sure: " + "  ".join(f"{k}: {s:.1%}" for k, s in enumerate(shares)))
    print("distance to held-out digits: " + ", ".join(f"{k} {v:.2f}" for k, v in distances.items()))
    return {
        "sure": is_sure.mean(),
        "rarest": shares.min(),
        "distance": distances["generated"] / distances["normal"],
    }


def show(images):
    """Prints images as characters."""
    grey = np.asarray(list(" .:-=+*#%@"))
    levels = grey[np.minimum((images[:, 0] * 10).astype(int), 9)]
    for row in range(levels.shape[1]):
        print("  ".join("".join(c * 2 for c in image[row]) for image in levels))


def main():
    """Trains, and judges what was learnt."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    start = time.perf_counter()
    (x, y), (x_test, y_test) = loaders.digits()
    x, x_test = x[:, None], x_test[:, None]
    gan = Gan()
    gan.train(x, options.steps)
    show(gan.sample(6))
    judge = trained_judge(x, y)
    _, accuracy = judge.evaluate(x_test, y_test, verbose=0)
    judge.eval()
    print(f"the classifier is right on {accuracy:.2%} of {len(y_test)} held-out digits")
    found = report(gan, judge, x, x_test)
    print(
        f"goals: sure of {found['sure']:.1%} (at least {GOALS['sure']:.0%}), the rarest digit "
        f"{found['rarest']:.1%} (at least {GOALS['rarest']:.0%}), distance "
        f"{found['distance']:.2f} of the normal one (at most {GOALS['distance']}); "
        f"{time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
