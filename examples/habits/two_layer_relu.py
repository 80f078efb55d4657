"""A network with two layers, ReLU and the L2 loss, written in three habits.

    python examples/habits/two_layer_relu.py [--steps 20]

The network learns the sine. Parameters are a dict: functions take it and give gradients of the same
structure, a tape is asked for the gradients of it, and `backward()` fills in the `grad` of each of
its variables. As in `linear_regression.py`, each habit runs as it stands and compiled. The compiled
losses are equal bit for bit; eager ones may differ from them in the last bits.
"""

from __future__ import annotations

import argparse

import numpy as np

import dlc

HIDDEN, RATE = 32, 0.01


def make_data():
    """64 points of the sine: x f32[64,1], y f32[64,1]."""
    x = np.linspace(-3, 3, 64, dtype=np.float32).reshape(-1, 1)
    return x, np.sin(x)


def initial_parameters():
    """Weights by He et al. (2015), and zero biases."""
    rng = np.random.default_rng(0)
    return {
        "w1": (rng.standard_normal((1, HIDDEN)) * np.sqrt(2)).astype(np.float32),
        "b1": np.zeros(HIDDEN, np.float32),
        "w2": (rng.standard_normal((HIDDEN, 1)) * np.sqrt(2 / HIDDEN)).astype(np.float32),
        "b2": np.zeros(1, np.float32),
    }


def loss_of(p, x, y):
    """The L2 loss of the network: the mean of the squared errors."""
    hidden = dlc.relu(x @ p["w1"] + p["b1"])
    return dlc.mean((hidden @ p["w2"] + p["b2"] - y) ** 2)


# 1. A function of its parameters: no state, the step returns the new ones.


def function_step(p, x, y):
    """One step of gradient descent: the loss and the new parameters."""
    loss, gradients = dlc.value_and_grad(loss_of)(p, x, y)
    return loss, dlc.tree.map(lambda v, g: v - RATE * g, p, gradients)


def by_function(x, y, steps, compiled):
    """The losses of `steps` steps."""
    step = dlc.compile(function_step) if compiled else function_step
    p = initial_parameters()
    losses = []
    for _ in range(steps):
        loss, p = step(p, x, y)
        losses.append(float(loss))
    return losses


# 2. A tape: it records what is computed under it, and is asked for gradients afterwards.


def by_tape(x, y, steps, compiled):
    """The losses of `steps` steps."""
    p = dlc.tree.map(dlc.Variable, initial_parameters())

    def step(x, y):
        with dlc.GradientTape() as tape:
            loss = loss_of(p, x, y)
        gradients = tape.gradient(loss, p)
        for name, v in p.items():
            v.assign_sub(RATE * gradients[name])
        return loss

    step = dlc.compile(step) if compiled else step
    return [float(step(x, y)) for _ in range(steps)]


# 3. backward(): gradients are added up in the parameters themselves.


def by_backward(x, y, steps, compiled):
    """The losses of `steps` steps."""
    p = {n: dlc.Variable(a, requires_grad=True) for n, a in initial_parameters().items()}

    def step(x, y):
        loss = loss_of(p, x, y)
        loss.backward()
        for v in p.values():
            v.data -= RATE * v.grad
            v.grad = None
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
