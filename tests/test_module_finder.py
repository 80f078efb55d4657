"""Modules of the package are found where they lie, and run as their sources are now."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pathlib
import subprocess
import sys
from importlib.machinery import PathFinder

import pytest

from dlc.ir import module_finder

ROOT = pathlib.Path(__file__).resolve().parent.parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="others use the standard finder")


@linux
@pytest.mark.parametrize("name", ["dlc.frontend", "dlc.frontend.tensor", "dlc.bench.frameworks"])
def test_specs_are_those_of_the_import_system(name: str) -> None:
    module = importlib.import_module(name)
    parent = importlib.import_module(name.rpartition(".")[0])
    found, expected = module.__spec__, PathFinder.find_spec(name, parent.__path__)
    assert found is not None
    assert expected is not None
    assert type(found.loader).__module__ == module_finder.__name__
    for field in ("name", "origin", "cached", "has_location", "parent"):
        assert getattr(found, field) == getattr(expected, field), field
    places = found.submodule_search_locations, expected.submodule_search_locations
    assert places[0] == (places[1] and list(places[1]))
    assert module.__file__ == expected.origin
    assert module.__cached__ == expected.cached
    assert inspect.getsource(module) == pathlib.Path(module.__file__ or "").read_text()


def test_what_is_not_there() -> None:
    for name in ("dlc.nothing", "dlc.ir.nothing", "dlc.ir.op.nothing"):
        with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'"):
            importlib.import_module(name)


@linux
def test_one_finder_however_often_it_is_installed() -> None:
    importlib.reload(module_finder).install("dlc")
    ours = [f for f in sys.meta_path if type(f).__module__ == module_finder.__name__]
    assert len(ours) == 1


@pytest.fixture
def copy(tmp_path: pathlib.Path) -> pathlib.Path:
    """A package with this finder and a module whose bytecode is stored."""
    package = tmp_path / "pack"
    package.mkdir()
    (package / "finder.py").write_text((ROOT / "dlc/ir/module_finder.py").read_text())
    (package / "__init__.py").write_text("from pack import finder\nfinder.install(__name__)\n")
    (package / "value.py").write_text("value = 1\n")
    assert value(tmp_path) == "1"
    return package


def value(folder: pathlib.Path, *options: str, **variables: str) -> str:
    code = "import pack.value as v; print(v.value)"
    done = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=folder, capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": str(folder), **variables},
    )  # fmt: skip
    return done.stdout.strip()


def stored(package: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(importlib.util.cache_from_source(package / "value.py"))


def test_an_edited_source_counts(copy: pathlib.Path) -> None:
    source = copy / "value.py"
    source.write_text("value = 22\n")  # of another size, in the same second
    assert value(copy.parent) == "22"
    about = source.stat()
    source.write_text("value = 33\n")
    os.utime(source, (about.st_atime, about.st_mtime + 5))
    assert value(copy.parent) == value(copy.parent) == "33"


@pytest.mark.parametrize("damage", ["cut", "magic", "flags", "no code", "absent"])
def test_damaged_bytecode_is_not_run(copy: pathlib.Path, damage: str) -> None:
    file = stored(copy)
    data = file.read_bytes()
    if damage == "absent":
        file.unlink()
    else:
        file.write_bytes({
            "cut": data[:12], "magic": b"\0" * 4 + data[4:],
            "flags": data[:4] + b"\4" + data[5:], "no code": data[:16] + b"N",
        }[damage])  # fmt: skip
    if damage == "no code":  # which the import system refuses
        with pytest.raises(subprocess.CalledProcessError) as error:
            value(copy.parent)
        assert "Error" in error.value.stderr
    else:
        assert value(copy.parent) == "1"


@linux
def test_a_moved_package_names_its_new_files(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    copy.rename(moved / "pack")
    code = "import pack.value as v; print(v.__loader__.get_code('pack.value').co_filename)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=moved, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(moved)},
    )  # fmt: skip
    assert done.stdout.strip() == str(moved / "pack" / "value.py")


def test_bytecode_that_is_kept_elsewhere_or_optimised(copy: pathlib.Path) -> None:
    assert value(copy.parent, PYTHONPYCACHEPREFIX=str(copy.parent / "kept")) == "1"
    assert value(copy.parent, "-OO") == "1"
    assert value(copy.parent, "-B") == "1"
