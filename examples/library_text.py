"""The text of Python's own standard library: characters, held-out files, and a trigram model.

What the language models of this folder learn from and are judged by. It needs no download.
"""

from __future__ import annotations

import math
import sys

import numpy as np

from dlc.data.loaders import library_text

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
VOCABULARY = 1 + len(CHARACTERS)  # 0 stands for any other byte


def encode(data: bytes) -> np.ndarray:
    """The numbers of characters, uint8."""
    table = np.zeros(256, np.uint8)
    for k, character in enumerate(CHARACTERS, 1):
        table[ord(character)] = k
    return table[np.frombuffer(data, np.uint8)]


def decode(numbers: np.ndarray) -> str:
    """The text of character numbers."""
    return "".join("?" if n == 0 else CHARACTERS[n - 1] for n in numbers)


def load_text() -> tuple[np.ndarray, np.ndarray]:
    """The text to learn from, and that of every tenth file, which is held out: uint8[n]."""
    text, held_out = library_text()
    return encode(text), encode(held_out)


def windows(text: np.ndarray, count: int, length: int, rng: np.random.Generator):
    """Random windows, and the same moved on by one character: int64[count,length] each."""
    starts = rng.integers(0, len(text) - length, count)
    rows = text[starts[:, None] + np.arange(length + 1)].astype(np.int64)
    return rows[:, :-1], rows[:, 1:]


def show_progress(step, steps, loss, seconds):
    """A line that is overwritten on a terminal; a line every 200 steps elsewhere."""
    text = f"step {step:5d}/{steps}  loss {loss / math.log(2):.3f} bits  {seconds:4.0f} s"
    if sys.stdout.isatty():
        print("\r" + text, end="\n" if step == steps else "", flush=True)
    elif step % 200 == 0 or step == steps:
        print(text, flush=True)


def mean_bits(evaluate, text: np.ndarray, length: int, count: int, batches: int) -> float:
    """Bits a character by a compiled loss, over `batches * count` windows spread over `text`."""
    starts = np.linspace(0, len(text) - length - 1, batches * count).astype(np.int64)
    rows = text[starts[:, None] + np.arange(length + 1)].astype(np.int64)
    losses = [evaluate(part[:, :-1], part[:, 1:]) for part in np.split(rows, batches)]
    return float(np.mean([float(loss) for loss in losses])) / math.log(2)


def drawn(scores: np.ndarray, rng: np.random.Generator, temperature: float) -> int:
    """A character by its scores; the lower the temperature, the likelier the likeliest."""
    hot = scores.astype(np.float64) / temperature
    likelihood = np.exp(hot - hot.max())
    return int(rng.choice(VOCABULARY, p=likelihood / likelihood.sum()))


def trigram_bits(train: np.ndarray, held_out: np.ndarray, weight: float = 20.0) -> float:
    """Bits a character on `held_out` of a trigram model that was fitted to `train`.

    Counts of three characters, smoothed by those of two, which are smoothed by those of one: each
    as `weight` more observations (MacKay and Peto, 1995).
    """
    v = VOCABULARY
    a, b, c = (train[k : len(train) - 2 + k].astype(np.int64) for k in range(3))
    three = np.bincount((a * v + b) * v + c, minlength=v**3).reshape(v, v, v)
    two = three.sum(0)
    one = (two.sum(0) + 1) / (two.sum() + v)
    two = (two + weight * one) / (two.sum(1, keepdims=True) + weight)
    three = (three + weight * two) / (three.sum(2, keepdims=True) + weight)
    return float(-np.log2(three[held_out[:-2], held_out[1:-1], held_out[2:]]).mean())
