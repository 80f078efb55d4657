"""Cached code belongs to the sources that made it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dlc
from dlc.runtime import own_version as module
from dlc.runtime.own_version import own_version, version_of

PACKAGE = Path(dlc.__file__).parent
PROGRAM = """
import numpy as np, dlc
f = dlc.compile(lambda x: dlc.exp(x) + 1)
assert np.allclose(f(np.zeros(100, np.float32)), 2)
"""


def copy_of(folder: Path) -> Path:
    shutil.copytree(PACKAGE, folder / "dlc", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "dlc"


@pytest.fixture
def copy(tmp_path):
    return copy_of(tmp_path)


def reads(monkeypatch):
    """A list that grows with each reading of all sources."""
    found = []
    digest = module._digest
    monkeypatch.setattr(module, "_digest", lambda *args: found.append(args) or digest(*args))
    return found


def test_a_copy_elsewhere_has_the_same_version(copy):
    assert version_of(str(copy)) == version_of(str(PACKAGE)) == own_version()
    assert own_version().startswith(dlc.__version__ + " ")


@pytest.mark.parametrize("part", ["ir", "passes", "codegen/cpu", "codegen/triton", "runtime/gpu"])
def test_a_change_of_any_part_changes_it(copy, part):
    before = version_of(str(copy))
    changed = max((copy / part).glob("*.py"))
    text = changed.read_text()
    changed.write_text(text.replace("a", "b", 1))  # as long as before
    assert version_of(str(copy)) != before
    changed.write_text(text)
    assert version_of(str(copy)) == before
    (copy / part / "another.py").touch()
    assert version_of(str(copy)) != before


def test_what_makes_no_code_does_not_change_it(copy):
    before = version_of(str(copy))
    (copy / "nn" / "another.py").touch()
    (copy / "ir" / "notes.txt").touch()
    assert version_of(str(copy)) == before


def test_files_are_read_only_where_they_changed(copy, monkeypatch):
    before = version_of(str(copy))
    read = reads(monkeypatch)
    assert version_of(str(copy)) == before
    assert not read
    os.utime(copy / "ir" / "types.py")
    assert version_of(str(copy)) == before
    assert len(read) == 1


def test_without_files_it_is_the_number(tmp_path):
    assert version_of(str(tmp_path / "dlc.zip" / "dlc")) == dlc.__version__


def test_a_process_with_other_sources_does_not_use_what_was_cached(copy, tmp_path):
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "DLC_CACHE_DIR": str(tmp_path / "cache"),
        "DLC_LOGS": "compile",
    }

    def log() -> str:
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stderr

    assert "1 compiled, 0 from the cache" in log()
    assert "0 compiled, 1 from the cache" in log()
    changed = copy / "codegen" / "cpu" / "emit.py"
    changed.write_text(changed.read_text() + "# another version\n")
    again = log()
    assert "program made, 1 kernels, 1 compiled" in again, again
