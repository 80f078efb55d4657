"""The names that users may rely on exist and are documented."""

import inspect
from pathlib import Path

import pytest

import dlc

# Dotted names below `dlc`, a line each. A name is listed when it is finished, and never taken out
# again.
NAMES = sorted(set((Path(__file__).parent / "api_names.txt").read_text().split()))


@pytest.mark.parametrize("name", NAMES)
def test_name(name):
    value = dlc
    for part in name.split("."):
        value = getattr(value, part)
    if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
        assert inspect.getdoc(value), f"dlc.{name} has no docstring"


def test_every_public_name_is_listed():
    assert set(dlc.__all__) <= set(NAMES)
