"""Golden files: `tests/golden/*.ir` hold a pipeline, a function and what the pipeline makes of it.

    # what the file shows
    pipeline: simplify,cse

    func @f(...) -> (...) {...}
    ----
    func @f(...) -> (...) {...}

The result is compared by structure, so names and layout are free. `pytest --update-golden` writes
the second half. Files may use the op `test.op`, which takes any inputs, gives the type of the
first, and is known to no pass.
"""

import contextlib
import importlib
import pkgutil

import pytest

import dlc.passes
from dlc.ir.equal import first_difference
from dlc.ir.op import Op, register, unregister
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.passes.manager import parse_pipeline, run_pipeline

SEPARATOR = "\n----\n"


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what passes give now into tests/golden/*.ir",
    )


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ir" and file_path.parent.name == "golden":
        return GoldenFile.from_parent(parent, path=file_path)
    return None


class GoldenFile(pytest.File):
    def collect(self):
        yield GoldenItem.from_parent(self, name=self.path.stem)


class GoldenMismatch(Exception):
    """The pipeline gave something else; the message shows it."""


class GoldenItem(pytest.Item):
    def runtest(self):
        update = self.config.getoption("--update-golden")
        message = check(self.path, update=update)
        if message is not None:
            raise GoldenMismatch(message)

    def repr_failure(self, excinfo):
        if excinfo.errisinstance(GoldenMismatch):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, f"golden: {self.name}"


def check(path, *, update=False):
    """None where the file holds, else what differs; with `update` the file is made to hold."""
    import_passes()
    text = path.read_text()
    given, _, expected = text.partition(SEPARATOR)
    header, function = split_header(path, given)
    with opaque_op():
        found = run_pipeline(
            parse_function(function, file=path.name), parse_pipeline(header), verify=True
        )
        shown = print_function(found)
        if update and expected.strip() != shown:
            path.write_text(f"{given.rstrip()}{SEPARATOR}{shown}\n")
            return None
        if not expected:
            return f"{path.name} has no second half: run pytest --update-golden"
        difference = first_difference(parse_function(expected, file=path.name), found)
    if difference is None:
        return None
    return f"{path.name}: {difference}\nexpected, then found:\n{expected.strip()}\n\n{shown}"


def split_header(path, text):
    """The pipeline, and the function's text after blank lines, so that errors count right."""
    lines = text.splitlines()
    for k, line in enumerate(lines):
        name, colon, value = line.partition(":")
        if name.strip() == "pipeline" and colon:
            return value.strip(), "\n".join([*[""] * (k + 1), *lines[k + 1 :]])
        if line.strip() and not line.startswith("#"):
            break
    raise ValueError(f"{path.name} does not begin with `pipeline: ...`")


def import_passes():
    """Imports every pass, which registers it."""
    for module in pkgutil.iter_modules(dlc.passes.__path__, "dlc.passes."):
        importlib.import_module(module.name)


@contextlib.contextmanager
def opaque_op():
    """Has `test.op` in the table: passes must leave it as it is."""
    op = register(
        Op(
            "test.op",
            "An op that no pass knows.",
            infer=lambda types, attrs: types[0],
            attrs={"tag": "int"},
            defaults={"tag": 0},
        )
    )
    try:
        yield op
    finally:
        unregister(op.name)
