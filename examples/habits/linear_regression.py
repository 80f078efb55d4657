"""Linear regression by gradient descent, written in three habits.

    python examples/habits/linear_regression.py [--steps 20]

The line is fitted by a function and its derivative, as in JAX; under a tape, as in TensorFlow; and
by `loss.backward()`, as in PyTorch. Each step runs as it stands and compiled.

Compiled, the three become the same program and give the same losses, bit for bit. Eager losses may
differ from them in the last bits: a program rounds `a * b + c` once, and operations that run one at
a time round twice.
"""

from __future__ import annotations

import argparse

import numpy as np

import dlc

RATE = 0.1


def make_data():
    """100 points in 3 dimensions and noisy targets: x f32[100,3], y f32[100]."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 3)).astype(np.float32)
    noise = 0.1 * rng.standard_normal(100).astype(np.float32)
    return x, x @ np.float32([2.0, -3.0, 0.5]) + np.float32(1.5) + noise


def loss_of(w, b, x, y):
    """The L2 loss: the mean of the squared errors."""
    return dlc.mean((x @ w + b - y) ** 2)


# 1. A function of its parameters: no state, the step returns the new ones.


def function_step(w, b, x, y):
    """One step of gradient descent: the loss and the new parameters."""
    loss, (dw, db) = dlc.value_and_grad(loss_of, argnums=(0, 1))(w, b, x, y)
    return loss, w - RATE * dw, b - RATE * db


def by_function(x, y, steps, compiled):
    """The losses of `steps` steps."""
    step = dlc.compile(function_step) if compiled else function_step
    w, b = dlc.zeros(3), dlc.zeros(())
    losses = []
    for _ in range(steps):
        loss, w, b = step(w, b, x, y)
        losses.append(float(loss))
    return losses


# 2. A tape: it records what is computed under it, and is asked for gradients afterwards.


def by_tape(x, y, steps, compiled):
    """The losses of `steps` steps."""
    w, b = dlc.Variable(dlc.zeros(3)), dlc.Variable(dlc.zeros(()))

    def step(x, y):
        with dlc.GradientTape() as tape:
            loss = loss_of(w, b, x, y)
        dw, db = tape.gradient(loss, [w, b])
        w.assign_sub(RATE * dw)
        b.assign_sub(RATE * db)
        return loss

    step = dlc.compile(step) if compiled else step
    return [float(step(x, y)) for _ in range(steps)]


# 3. backward(): gradients are added up in the parameters themselves.


def by_backward(x, y, steps, compiled):
    """The losses of `steps` steps."""
    w = dlc.Variable(dlc.zeros(3), requires_grad=True)
    b = dlc.Variable(dlc.zeros(()), requires_grad=True)

    def step(x, y):
        loss = loss_of(w, b, x, y)
        loss.backward()
        for p in (w, b):
            p.data -= RATE * p.grad
            p.grad = None
        return loss

    step = dlc.compile(step) if compiled else step
    return [float(step(x, y)) for _ in range(steps)]


HABITS = {"function": by_function, "tape": by_tape, "backward": by_backward}


def all_losses(steps):
    """The losses of each habit, as it stands and compiled."""
    x, y = make_data()
    return {
        (habit, compiled): run(x, y, steps, compiled)
        for compiled in (False, True)
        for habit, run in HABITS.items()
    }


def main():
    """Prints the losses side by side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=20)
    columns = all_losses(parser.parse_args().steps)
    print("      ", *(f"{habit:>12}" for habit, _ in columns))
    print("  step", *(f"{'compiled' if compiled else 'eager':>12}" for _, compiled in columns))
    for k, row in enumerate(zip(*columns.values(), strict=True)):
        print(f"{k:6}", *(f"{loss:12.8f}" for loss in row))


if __name__ == "__main__":
    main()
