"""Finds the length and the friction of a pendulum from when it passes its lowest point.

    python examples/pendulum.py [--steps 250]

The pendulum is let go at several angles, and a light barrier notes when it passes for the fourth
time, and how fast. How many steps a simulation takes until then depends on the parameters, so it is
a `while_loop` of unknown length; the fit follows the gradient back through it, for all angles at
once. The measurements come from another, much finer simulation, with noise.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import dlc

GRAVITY = 9.81
LENGTH, FRICTION = 0.83, 0.12  # what is to be found: metres, and 1 / s
ANGLES = np.array([0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4])
PASSES = 4
STEP = 0.01  # seconds
RATE, BETA1, BETA2, EPSILON = 0.1, 0.9, 0.99, 1e-8


def slopes(length, friction, angle, speed):
    """The equation of motion."""
    return speed, -GRAVITY / length * dlc.sin(angle) - friction * speed


def runge_kutta(length, friction, angle, speed):
    """The state one step later (the classical method of Runge and Kutta)."""
    a1, s1 = slopes(length, friction, angle, speed)
    a2, s2 = slopes(length, friction, angle + a1 * (STEP / 2), speed + s1 * (STEP / 2))
    a3, s3 = slopes(length, friction, angle + a2 * (STEP / 2), speed + s2 * (STEP / 2))
    a4, s4 = slopes(length, friction, angle + a3 * STEP, speed + s3 * STEP)
    moved = angle + (a1 + 2 * a2 + 2 * a3 + a4) * (STEP / 6)
    return moved, speed + (s1 + 2 * s2 + 2 * s3 + s4) * (STEP / 6)


def swing(parameters, angle):
    """When a pendulum passes its lowest point for the last time, and how fast it is then."""
    length, friction = dlc.exp(parameters[0]), dlc.exp(parameters[1])

    def goes_on(state):
        return state["passes"] < PASSES

    def step(state):
        angle, speed = runge_kutta(length, friction, state["angle"], state["speed"])
        passed = state["angle"] * angle <= 0
        part = state["angle"] / (state["angle"] - angle)  # of the step, until it passes
        return {
            "angle": angle,
            "speed": speed,
            "time": state["time"] + STEP,
            "passes": state["passes"] + passed,
            "at": dlc.where(passed, state["time"] + part * STEP, state["at"]),
            "fast": dlc.where(
                passed, dlc.abs(state["speed"] + part * (speed - state["speed"])), state["fast"]
            ),
        }

    zero = angle * 0
    start = {
        "angle": angle, "speed": zero, "time": zero, "passes": 0, "at": zero, "fast": zero,
    }  # fmt: skip
    end = dlc.while_loop(goes_on, step, start)
    return end["at"], end["fast"]


def loss_of(parameters, times, speeds):
    """The mean squared relative error over all angles."""
    at, fast = dlc.vmap(lambda angle: swing(parameters, angle))(dlc.asarray(ANGLES))
    return dlc.mean((at / times - 1) ** 2 + (fast / speeds - 1) ** 2)


@dlc.compile
def improve(parameters, first, second, count, times, speeds):
    """One step of Adam (Kingma and Ba, 2015) on the logarithms of the parameters."""
    loss, slope = dlc.value_and_grad(loss_of)(parameters, times, speeds)
    first = BETA1 * first + (1 - BETA1) * slope
    second = BETA2 * second + (1 - BETA2) * slope * slope
    size = RATE / (1 + count * 0.01)
    change = size * (first / (1 - BETA1**count)) / (dlc.sqrt(second / (1 - BETA2**count)) + EPSILON)
    return parameters - change, first, second, loss


def measurements(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Times and speeds at the last pass, measured to about a thousandth."""
    fine = 2e-4
    times, speeds = [], []
    for start in ANGLES:
        angle, speed, at, passes = start, 0.0, 0.0, 0
        while passes < PASSES:  # the leap-frog method
            half = speed + fine / 2 * (-GRAVITY / LENGTH * np.sin(angle) - FRICTION * speed)
            moved = angle + fine * half
            pull = half - fine / 2 * GRAVITY / LENGTH * np.sin(moved)
            speed = pull / (1 + fine / 2 * FRICTION)
            passes += angle * moved <= 0
            angle, at = moved, at + fine
        times.append(at)
        speeds.append(abs(speed))
    rng = np.random.default_rng(seed)
    noise = 1 + 1e-3 * rng.standard_normal((2, len(ANGLES)))
    return np.array(times) * noise[0], np.array(speeds) * noise[1]


def fit(steps: int) -> tuple[float, float]:
    """The length and the friction, from a guess that is far off."""
    times, speeds = measurements()
    parameters = dlc.log(dlc.asarray(np.array([1.5, 0.5])))
    first = second = dlc.zeros((2,), dtype=dlc.float64)
    for count in range(1, steps + 1):
        parameters, first, second, loss = improve(
            parameters, first, second, np.float64(count), times, speeds
        )
        if count % 25 == 0 or count == 1:
            length, friction = np.exp(parameters.numpy())
            error = np.sqrt(loss.item())
            found = f"length {length:.4f} m  friction {friction:.4f} / s"
            print(f"step {count:4}  {found}  off by {error:.2e}")
    length, friction = np.exp(parameters.numpy())
    return float(length), float(friction)


def main() -> None:
    """Fits, and says how far off it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=250)
    steps = parser.parse_args().steps
    start = time.perf_counter()
    length, friction = fit(steps)
    for name, found, true in (("length", length, LENGTH), ("friction", friction, FRICTION)):
        print(f"{name}: {found:.4f}, in truth {true}: off by {abs(found / true - 1):.2%}")
    print(f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
