"""Trains an LSTM on the text of Python's standard library, and lets it write.

    python examples/lstm.py [--steps 1500] [--samples 2]

The network is that of Hochreiter and Schmidhuber (1997) with forget gates: 256 units that read a
character a step. `dlc.scan` makes the steps a loop inside the compiled program; forward, backward
through time and the Adam update are one native program. Bits a character on held-out files stand
beside those of a trigram model.
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

UNITS, LENGTH, BATCH = 256, 96, 32


def initial_parameters(seed: int = 0):
    """Weights within 1 / sqrt(units), as in PyTorch; forget gates begin open."""
    rng, bound = np.random.default_rng(seed), 1 / math.sqrt(UNITS)

    def uniform(*shape):
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    bias = np.zeros(4 * UNITS, np.float32)
    bias[UNITS : 2 * UNITS] = 1
    return {
        "read": uniform(VOCABULARY, 4 * UNITS),  # a row for each character: its part of the gates
        "recur": uniform(UNITS, 4 * UNITS),
        "bias": bias,
        "write": uniform(UNITS, VOCABULARY),
    }


PARAMETERS = dlc.tree.map(dlc.Variable, initial_parameters())
OPTIMIZER = dlc.optim.Adam(learning_rate=4e-3, global_clipnorm=1.0)


def cell(parameters, state, given):
    """One step: (h, c) f32[b,units] and the characters' part of the gates f32[b,4*units]."""
    h, c = state
    gates = given + h @ parameters["recur"]
    i, f, g, o = (gates[:, k * UNITS : (k + 1) * UNITS] for k in range(4))
    c = dlc.sigmoid(f) * c + dlc.sigmoid(i) * dlc.tanh(g)
    h = dlc.sigmoid(o) * dlc.tanh(c)
    return (h, c), h


def run(parameters, characters, state):
    """The scores of what follows each character: i64[b,t] to the last state and f32[b,t,97]."""
    given = parameters["read"][dlc.matrix_transpose(characters)] + parameters["bias"]
    state, hs = dlc.scan(lambda s, x: cell(parameters, s, x), state, given)
    return state, dlc.swapaxes(hs @ parameters["write"], 0, 1)


def zero_state(count):
    """What the network knows before the first character."""
    return dlc.zeros((count, UNITS)), dlc.zeros((count, UNITS))


def loss_of(parameters, characters, following):
    """The mean cross entropy of each character after those before it, in nats."""
    _, scores = run(parameters, characters, zero_state(characters.shape[0]))
    return dlc.cross_entropy(scores.reshape(-1, VOCABULARY), following.reshape(-1))


@dlc.compile
def train_step(characters, following):
    """One step of Adam. Returns the loss."""
    loss, gradients = dlc.value_and_grad(loss_of)(PARAMETERS, characters, following)
    OPTIMIZER.apply(dlc.tree.leaves(gradients), dlc.tree.leaves(PARAMETERS))
    return loss


@dlc.compile
def evaluate(characters, following):
    """The loss alone."""
    return loss_of(PARAMETERS, characters, following)


@dlc.compile
def read_on(characters, state):
    """Reads characters i64[1,t]: the state after them, and the scores of what follows."""
    state, scores = run(PARAMETERS, characters, state)
    return state, scores[0, -1]


def train(text, steps):
    """Trains for so many steps, the learning rate falling to nothing along half a cosine."""
    rng = np.random.default_rng(1)
    start, smooth = time.perf_counter(), math.log(VOCABULARY)
    OPTIMIZER.learning_rate = dlc.optim.schedules.CosineDecay(4e-3, steps)
    for step in range(1, steps + 1):
        smooth += 0.05 * (float(train_step(*windows(text, BATCH, LENGTH, rng))) - smooth)
        show_progress(step, steps, smooth, time.perf_counter() - start)


def bits_on(text, batches=20):
    """Bits a character over windows spread evenly over `text`."""
    return mean_bits(evaluate, text, LENGTH, BATCH, batches)


def write(beginning: str, count: int, rng, temperature=0.7) -> str:
    """Lets the network continue a text by `count` characters."""
    text = list(encode(beginning.encode()))
    state, scores = read_on(np.array([text], np.int64), zero_state(1))
    for _ in range(count):
        text.append(drawn(scores.numpy(), rng, temperature))
        state, scores = read_on(np.array([text[-1:]], np.int64), state)
    return decode(np.array(text))


def main():
    """Trains, compares with the trigram model, writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1500, help="steps of training")
    parser.add_argument("--samples", type=int, default=2, help="texts to write")
    options = parser.parse_args()
    text, held_out = load_text()
    print(f"{len(text):,} characters to learn, {len(held_out):,} held out")
    start = time.perf_counter()
    train_step(*windows(text, BATCH, LENGTH, np.random.default_rng(0)))
    print(f"compiled and made the first step in {time.perf_counter() - start:.2f} s")
    train(text, options.steps)
    trigram, bits = trigram_bits(text, held_out), bits_on(held_out)
    print(f"bits a character on held-out files: LSTM {bits:.3f}, trigram model {trigram:.3f}")
    rng = np.random.default_rng(3)
    for k in range(options.samples):
        print(f"\n--- sample {k + 1} ---\n" + write("def ", 400, rng))


if __name__ == "__main__":
    main()
