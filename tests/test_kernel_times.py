"""Timing a program and its kernels without what calls them."""

import numpy as np
import pytest

import dlc
from dlc.ir.errors import DeviceError
from dlc.runtime.kernel_times import ProgramTimer

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def lowered_of(function, *arguments, **keywords):
    return dlc.compile(function, **keywords).lower(*arguments)


def test_every_call_is_timed():
    lowered = lowered_of(lambda x: dlc.tanh(x @ x.T) @ x, X)
    timer = ProgramTimer(lowered.executable, [X], num_threads=2)
    assert len(timer.calls) == len(timer.jobs) > 1
    assert timer.seconds() > 0
    assert all(timer.seconds(k) > 0 for k in range(len(timer.calls)))


def test_independent_calls_and_symbols():
    lowered = lowered_of(lambda x, y: (x @ x.T, dlc.sum(y, axis=0)), X, "f32[n,70]")
    timer = ProgramTimer(lowered.executable, [X, np.ones((5, 70), np.float32)], num_threads=2)
    assert timer.seconds() > 0


def test_fixed_values_are_there_already():
    lowered = lowered_of(lambda x: x @ X.T, X)
    state = [t.numpy() for t in lowered.closure.state()]
    timer = ProgramTimer(lowered.executable, [X, *state], num_threads=2)
    assert timer.seconds() > 0


def test_inputs_stay_as_they_are():
    v = dlc.Variable(X)

    def step(x):
        v.assign_sub(x * 3)

    lowered = lowered_of(step, X)
    state = [t.numpy() for t in lowered.closure.state()]
    assert lowered.executable.program.donated
    given = [X.copy(), *state]
    ProgramTimer(lowered.executable, given, num_threads=1).seconds(0)
    np.testing.assert_array_equal(given[0], X)
    np.testing.assert_array_equal(v.numpy(), X)


def test_other_devices_have_no_times():
    lowered = lowered_of(lambda x: x + 1, X, device="reference")
    with pytest.raises(DeviceError, match="reference"):
        ProgramTimer(lowered.executable, [X], num_threads=1)
