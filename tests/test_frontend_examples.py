"""The examples in docstrings print what they say."""

import builtins
import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import dlc

SOURCES = Path(dlc.__file__).parent
FOLDERS = (
    "frontend", "nn", "optim", "losses", "metrics", "data", "train", "callbacks", "models",
)  # fmt: skip


def modules_with_examples():
    """Of what a user's code calls; functions of tensors have a test of their own."""
    for folder in FOLDERS:
        for path in sorted((SOURCES / folder).rglob("*.py")):
            place = path.relative_to(SOURCES).with_suffix("").parts
            examples = [x for x in path.read_text().splitlines() if x.strip().startswith(">>> ")]
            templates = [x for x in examples if ".{" in x]
            if place[:2] != ("frontend", "functions") and examples != templates:
                yield ".".join(place).removesuffix(".__init__")


OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", [*modules_with_examples()])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"dlc.{name}")
    public = {k: v for k, v in vars(dlc).items() if not hasattr(builtins, k)}
    names = {**public, "dlc": dlc, "np": np, **vars(module)}
    result = doctest.testmod(module, globs=names, optionflags=OPTIONS)
    assert result.attempted
    assert not result.failed
