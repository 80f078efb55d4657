"""Tracebacks of errors that compiled functions raise: the user's lines, unless all are wanted."""

import os
import traceback

import numpy as np
import pytest

import dlc

PACKAGE = os.path.dirname(dlc.__file__)


def product(x, w):
    return x @ w


def layer(x, w):
    return dlc.relu(product(x, w))


def loss(x):
    return dlc.sum(layer(x, np.ones((5, 2), np.float32)))


def raised(call, error):
    """The functions of the traceback, and how many of them are dlc's."""
    with pytest.raises(error) as caught:
        call()
    frames = traceback.extract_tb(caught.value.__traceback__)
    own = sum(f.filename.startswith(PACKAGE) for f in frames)
    return [f.name for f in frames if f.filename == __file__][2:], own


X = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (loss, ["loss", "layer", "product"]),
        (dlc.grad(loss), ["loss", "layer", "product"]),
        (dlc.vmap(loss), ["loss", "layer", "product"]),
        (dlc.compile(lambda x: loss(x) * 2), ["<lambda>", "loss", "layer", "product"]),
    ],
)
def test_a_shape_error_has_the_users_lines(function, names):
    f = dlc.compile(function)
    found, own = raised(lambda: f(X), dlc.DlcError)
    assert found == names
    assert own <= 1
    with dlc.config.scope(full_tracebacks=True):
        found, own = raised(lambda: f(X), dlc.DlcError)
    assert found == names
    assert own > 5


def test_a_later_call_and_wrong_arguments():
    f = dlc.compile(layer)
    f(X, np.ones((4, 2), np.float32))
    found, own = raised(lambda: f(X, X), dlc.ShapeError)
    assert (found, own <= 1) == (["layer", "product"], True)
    found, own = raised(lambda: f("text", X), dlc.DlcError)
    assert (found, own <= 1) == ([], True)


def test_errors_of_the_users():
    def wrong(x):
        raise KeyError("mine")

    def numpys(x):
        return x + np.linalg.cholesky(np.ones((2, 3)))

    found, own = raised(lambda: dlc.compile(wrong)(X), KeyError)
    assert (found, own <= 1) == (["wrong"], True)
    found, own = raised(lambda: dlc.compile(numpys)(X), np.linalg.LinAlgError)
    assert (found, own <= 1) == (["numpys"], True)


def test_mistakes_of_dlc_keep_its_lines(monkeypatch):
    from dlc.frontend import compile as compiling

    def broken(*args):
        raise AssertionError("a mistake")

    broken.__code__ = broken.__code__.replace(co_filename=os.path.join(PACKAGE, "broken.py"))
    monkeypatch.setattr(compiling, "program_for", broken)
    _, own = raised(lambda: dlc.compile(lambda x: x + 1)(X), AssertionError)
    assert own > 3
