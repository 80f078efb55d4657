"""Trains a small GPT on the text of Python's standard library, and lets it write.

    python examples/gpt.py [--steps 3200] [--samples 2]

The network is that of Radford et al. (2019), smaller: 4 blocks of 128 features and 4 heads, over
windows of 128 characters. Forward, backward and the AdamW update are one native program. In the
end the network is compared, in bits a character on files that it has not seen, with a trigram
model of the same text.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from library_text import (
    VOCABULARY,
    decode,
    drawn,
    encode,
    load_text,
    mean_bits,
    show_progress,
    trigram_bits,
    windows,
)

import dlc

BLOCKS, HEADS, FEATURES, LENGTH, BATCH = 4, 4, 128, 128, 8
RATE, WARM_UP, DECAY, BETA1, BETA2, EPSILON = 3e-3, 100, 0.1, 0.9, 0.98, 1e-8


def initial_parameters(seed: int = 0):
    """Matrices of a normal distribution by their fan-in; residual branches begin small."""
    rng = np.random.default_rng(seed)

    def matrix(n_in, n_out, scale=1.0):
        return (rng.standard_normal((n_in, n_out)) * scale / math.sqrt(n_in)).astype(np.float32)

    d, small = FEATURES, 1 / math.sqrt(2 * BLOCKS)
    ones, zeros = (lambda n: np.ones(n, np.float32)), (lambda n: np.zeros(n, np.float32))
    blocks = [
        {
            "norm1": [ones(d), zeros(d)],
            "qkv": [matrix(d, 3 * d), zeros(3 * d)],
            "out": [matrix(d, d, small), zeros(d)],
            "norm2": [ones(d), zeros(d)],
            "up": [matrix(d, 4 * d), zeros(4 * d)],
            "down": [matrix(4 * d, d, small), zeros(d)],
        }
        for _ in range(BLOCKS)
    ]
    return {
        "characters": 0.02 * rng.standard_normal((VOCABULARY, d)).astype(np.float32),
        "positions": 0.02 * rng.standard_normal((LENGTH, d)).astype(np.float32),
        "blocks": blocks,
        "norm": [ones(d), zeros(d)],
        "head": matrix(d, VOCABULARY),
    }


PARAMETERS = dlc.tree.map(dlc.Variable, initial_parameters())
FIRST_MOMENTS = dlc.tree.map(lambda p: dlc.Variable(np.zeros(p.shape, np.float32)), PARAMETERS)
SECOND_MOMENTS = dlc.tree.map(lambda p: dlc.Variable(np.zeros(p.shape, np.float32)), PARAMETERS)
STEP = dlc.Variable(np.float32(0))


def attention(block, x):
    """Causal self-attention of several heads: x f32[b,t,d]."""
    b, t, d = x.shape
    w, bias = block["qkv"]
    heads = (x @ w + bias).reshape(b, t, 3, HEADS, d // HEADS)
    q, k, v = (heads[:, :, i].swapaxes(1, 2) for i in range(3))
    mixed = dlc.scaled_dot_product_attention(q, k, v, is_causal=True)
    w, bias = block["out"]
    return mixed.swapaxes(1, 2).reshape(b, t, d) @ w + bias


def feed_forward(block, x):
    """Two dense layers: x f32[b,t,d]."""
    (w1, b1), (w2, b2) = block["up"], block["down"]
    return dlc.gelu(x @ w1 + b1) @ w2 + b2


def logits(parameters, characters):
    """The network: characters i64[b,t] to f32[b,t,VOCABULARY]."""
    x = parameters["characters"][characters] + parameters["positions"]
    for block in parameters["blocks"]:
        x = x + attention(block, dlc.layer_norm(x, *block["norm1"]))
        x = x + feed_forward(block, dlc.layer_norm(x, *block["norm2"]))
    return dlc.layer_norm(x, *parameters["norm"]) @ parameters["head"]


def loss_of(parameters, characters, following):
    """The mean cross entropy of each character after those before it, in nats."""
    scores = logits(parameters, characters).reshape(-1, VOCABULARY)
    return dlc.cross_entropy(scores, following.reshape(-1))


@dlc.compile
def train_step(characters, following, rate):
    """One step of AdamW (Loshchilov and Hutter, 2019). Returns the loss."""
    loss, gradients = dlc.value_and_grad(loss_of)(PARAMETERS, characters, following)
    STEP.assign_add(1)
    corrected = rate * dlc.sqrt(1 - BETA2**STEP) / (1 - BETA1**STEP)

    def update(p, m, v, g):
        m.assign(BETA1 * m + (1 - BETA1) * g)
        v.assign(BETA2 * v + (1 - BETA2) * g * g)
        decay = DECAY if p.ndim == 2 else 0.0
        p.assign_sub(corrected * m / (dlc.sqrt(v) + EPSILON) + rate * decay * p)

    dlc.tree.map(update, PARAMETERS, FIRST_MOMENTS, SECOND_MOMENTS, gradients)
    return loss


@dlc.compile
def evaluate(characters, following):
    """The loss alone."""
    return loss_of(PARAMETERS, characters, following)


@dlc.compile
def scores_at(characters, position):
    """The scores of what follows `position` in one window i64[1,LENGTH]."""
    return logits(PARAMETERS, characters)[0, position]


def rate_at(step: int, steps: int) -> float:
    """A warm-up, then half a cosine (Loshchilov and Hutter, 2017)."""
    warm = min(1, (step + 1) / WARM_UP)
    return RATE * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))


def train(text, steps):
    """Trains for so many steps."""
    rng = np.random.default_rng(1)
    start, smooth = time.perf_counter(), math.log(VOCABULARY)
    for step in range(steps):
        rate = np.float32(rate_at(step, steps))
        loss = float(train_step(*windows(text, BATCH, LENGTH, rng), rate))
        smooth += 0.05 * (loss - smooth)
        show_progress(step + 1, steps, smooth, time.perf_counter() - start)


def bits_on(text, batches=60):
    """Bits a character over windows spread evenly over `text`."""
    return mean_bits(evaluate, text, LENGTH, BATCH, batches)


def write(beginning: str, count: int, rng, temperature=0.7) -> str:
    """Lets the network continue a text by `count` characters."""
    text = list(encode(beginning.encode()))
    for _ in range(count):
        window = np.zeros((1, LENGTH), np.int64)
        last = text[-LENGTH:]
        window[0, : len(last)] = last
        scores = scores_at(window, np.int64(len(last) - 1)).numpy()
        text.append(drawn(scores, rng, temperature))
    return decode(np.array(text))


def main():
    """Trains, compares with the trigram model, writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3200, help="steps of training")
    parser.add_argument("--samples", type=int, default=2, help="texts to write")
    options = parser.parse_args()
    text, held_out = load_text()
    size = sum(int(np.prod(p.shape)) for p in dlc.tree.flatten(PARAMETERS)[0])
    print(f"{len(text):,} characters to learn, {len(held_out):,} held out; {size:,} parameters")
    start = time.perf_counter()
    train_step.warmup(f"i64[{BATCH},{LENGTH}]", f"i64[{BATCH},{LENGTH}]", "f32[]")
    print(f"compiled the training step in {time.perf_counter() - start:.2f} s")
    train(text, options.steps)
    trigram, bits = trigram_bits(text, held_out), bits_on(held_out)
    print(f"bits a character on held-out files: GPT {bits:.3f}, trigram model {trigram:.3f}")
    rng = np.random.default_rng(3)
    for k in range(options.samples):
        print(f"\n--- sample {k + 1} ---\n" + write("def ", 400, rng))


if __name__ == "__main__":
    main()
