"""The names that users may rely on exist and are documented."""

import inspect

import pytest

import dlc

# Dotted names below `dlc`. A name is listed here when it is finished, and never taken out again.
NAMES = ["__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_name(name):
    value = dlc
    for part in name.split("."):
        value = getattr(value, part)
    if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
        assert inspect.getdoc(value), f"dlc.{name} has no docstring"
