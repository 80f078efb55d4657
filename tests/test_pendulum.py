"""The pendulum: its simulation against SciPy's, and the parameters that its fit finds."""

import importlib.util
import pathlib

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dlc

FILE = pathlib.Path(__file__).resolve().parent.parent / "examples" / "pendulum.py"


@pytest.fixture(scope="module")
def pendulum():
    spec = importlib.util.spec_from_file_location("pendulum", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_simulation_is_right(pendulum):
    def motion(_, state):
        pull = pendulum.GRAVITY / pendulum.LENGTH * np.sin(state[0])
        return [state[1], -pull - pendulum.FRICTION * state[1]]

    parameters = dlc.asarray(np.log([pendulum.LENGTH, pendulum.FRICTION]))
    swing = dlc.compile(pendulum.swing)
    for angle in (0.5, 2.0):
        at, fast = swing(parameters, dlc.asarray(np.float64(angle)))
        exact = solve_ivp(
            motion, (0, 10), [angle, 0], events=lambda _, s: s[0], rtol=1e-10, atol=1e-10
        )
        assert at.item() == pytest.approx(exact.t_events[0][3], rel=1e-4)
        assert fast.item() == pytest.approx(abs(exact.y_events[0][3][1]), rel=1e-3)


def test_the_fit_finds_the_parameters(pendulum, capsys):
    length, friction = pendulum.fit(250)
    assert length == pytest.approx(pendulum.LENGTH, rel=0.01)
    assert friction == pytest.approx(pendulum.FRICTION, rel=0.01)
    assert "step  250" in capsys.readouterr().out
