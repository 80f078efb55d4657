"""The examples in the docstrings of the frontend print what they say."""

import doctest
import importlib

import pytest

import dlc

MODULES = [
    "apply", "autograd", "compile", "dtypes", "promotion", "random", "spec", "tensor", "transforms",
    "tree", "variable",
]  # fmt: skip
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"dlc.frontend.{name}")
    names = {**vars(dlc), "dlc": dlc, **vars(module)}
    result = doctest.testmod(module, globs=names, optionflags=OPTIONS)
    assert result.attempted
    assert not result.failed
