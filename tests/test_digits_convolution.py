"""The convolutional example: it learns, and its step is one native program."""

import importlib.util
import pathlib
import sys

import numpy as np

PATH = pathlib.Path(__file__).resolve().parent.parent / "examples" / "digits_convolution.py"


def test_learns_and_runs_as_one_native_program():
    spec = importlib.util.spec_from_file_location("digits_convolution", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["digits_convolution"] = module
    spec.loader.exec_module(module)
    x, y, x_test, y_test = module.load_digits()
    module.train(6, x, y)
    stats = module.train_step.stats
    assert stats.native_calls == stats.calls == 6 * (len(x) // module.BATCH)
    assert stats.interpreted_ops == 0
    assert np.mean(module.predict(x_test).numpy() == y_test) >= 0.97
