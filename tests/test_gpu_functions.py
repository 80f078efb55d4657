"""Eager functions of tensors on a GPU: values are those of the CPU, and stay on the GPU.

The examples of all functions run with tensors on the stand-in for the driver.
"""

import contextlib
import doctest
import importlib.util
import inspect
import io
import math
import sys
import types

import numpy as np
import pytest
from test_functions import EXAMPLES

import dlc
from dlc.frontend import tree

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

from stand_in_driver import stand_in

MAKERS = ("asarray", "arange", "zeros", "ones", "full", "eye", "linspace")
OTHERWISE = {
    "device": "prints the device",
    "devices": "prints the devices",
    "diag_indices": "indexes with tensors that the user made on the CPU",
    "ix_": "indexes with tensors that the user made on the CPU",
}


class OnGpu(types.ModuleType):
    """The namespace `dlc`, where tensors are made on the GPU."""

    made = False  # whether one was

    def __getattr__(self, name):
        found = getattr(dlc, name)
        return self._maker(found) if name in MAKERS else found

    def _maker(self, function):
        def make(*args, **options):
            self.made = True
            return function(*args, **{"device": "cuda", **options})

        return make


@pytest.fixture(scope="module")
def there(worker):
    with stand_in(worker) as driver:
        yield driver


def run_example(name):
    """What the example printed that it should not have, and the tensors that it gave."""
    on_gpu, shown, output = OnGpu("dlc"), [], io.StringIO()
    names = {"dlc": on_gpu, "math": math, "np": np}
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(EXAMPLES[name]), names, name, None, 0)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        show = sys.__displayhook__
        patch.setattr(sys, "__displayhook__", lambda value: (shown.append(value), show(value)))
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=output.write, clear_globs=False)
    tensors = [t for t in tree.leaves(shown) if isinstance(t, dlc.Tensor)]
    return output.getvalue(), tensors if on_gpu.made else []


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in OTHERWISE])
def test_example(there, name):
    output, tensors = run_example(name)
    assert not output
    assert {t.device for t in tensors} <= {"cuda:0"}


X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def _assigned(x):
    y = +x
    y[0], y[1:3, [0, 1]], y[y > 1] = 1.0, np.zeros(2, np.float32), 0.0
    return y


def _gradient(x):
    v = dlc.Variable(x, requires_grad=True)
    dlc.sum(dlc.tril(v) ** 2).backward()
    return v.grad


@pytest.mark.parametrize(
    "function",
    [
        lambda x: dlc.pad(x, ((1, 1), (2, 1)), "reflect"),
        lambda x: dlc.interpolate(x[None, None], size=(3, 7), mode="bicubic"),
        lambda x: dlc.nn.functional.dropout(x, 0.5),
        lambda x: dlc.random.permutation(None, x),
        lambda x: x[x > 0],
        lambda x: x[[0, 2], np.array([1, -1])],
        lambda x: x.at[[0, 0]].add(np.ones(6, np.float32)),
        lambda x: np.ones(6, np.float32) + x,
        lambda x: dlc.full_like(x, 2),
        dlc.grad(lambda x: dlc.sum(dlc.cumprod(x, axis=1))),
        _assigned,
        _gradient,
    ],
)
def test_values_are_those_of_the_cpu(there, function):
    dlc.random.seed(0)
    expected = function(dlc.asarray(X))
    dlc.random.seed(0)
    found = function(dlc.asarray(X, device="cuda"))
    assert found.device == "cuda:0"
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, host: dlc.where(x > 0, x, host),
        dlc.isin,
        lambda x, host: dlc.tril(x) + dlc.eye(4, 6),
        lambda x, host: dlc.histogram(x, weights=host),
        lambda x, host: dlc.take(x, host.astype(dlc.int32)[0]),
    ],
)
def test_tensors_of_the_user_are_not_moved(there, function):
    with pytest.raises(dlc.DeviceError, match="cpu and cuda:0"):
        function(dlc.asarray(X, device="cuda"), dlc.asarray(X))


def test_what_the_user_makes_on_the_way_is_on_the_cpu(there):
    made = []

    def body(x):
        made.append(dlc.arange(3))
        return x

    dlc.tree.map(body, [dlc.asarray(X, device="cuda")])
    assert made[0].device == "cpu"


def test_variables_stay_on_the_gpu_when_arrays_and_numbers_are_assigned(there):
    v = dlc.Variable(dlc.asarray(X, device="cuda"))
    for value in (0.0, X, X[:1], X.tolist()):
        v.assign(value)
        assert v.device == "cuda:0"
        assert np.array_equal(v.numpy(), np.broadcast_to(np.float32(value), X.shape))
    v.assign(dlc.asarray(X))
    assert v.device == "cpu"


def test_numbers_that_have_been_stacked_on_the_host_before(there):
    """Native entries of that time make nothing for calls with tensors on a GPU."""
    for _ in range(30):
        dlc.random.bits(None, (2,))
    assert dlc.nn.functional.dropout(dlc.asarray(X, device="cuda"), 0.5).device == "cuda:0"
