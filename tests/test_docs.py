"""Every Python snippet in README.md and docs/ runs and prints what the page says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import snippets

import dlc

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_snippets_run(page, tmp_path):
    if page.name == "error_codes.md" and not hasattr(dlc, "compile"):
        pytest.skip("its examples need dlc.compile")
    done = subprocess.run(
        [sys.executable, "-W", "error", snippets.__file__, str(page)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def page(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text.replace("'''", "```"))
    return path


def test_namespace_is_shared_and_output_is_compared(tmp_path):
    text = """
'''python
x = 1
print("one")
'''
'''python
print(x + 1)
'''
'''text output
one
2
'''
'''text
anything
'''
'''python
import inspect
def f():
    return 3
print(inspect.getsource(f))
'''
'''text output
def f():
    ...
'''
"""
    assert snippets.check(page(tmp_path, text)) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("'''python\n1/0\n'''", r"page.md:2: [\s\S]*ZeroDivisionError"),
        ("'''python\nprint(1)\n'''\n'''text output\n2\n'''", "page.md:5: expected"),
        ("'''python\nprint(1)\n'''\n'''text output\n...\n2\n'''", "page.md:5: expected"),
        ("'''python raises DLC101\npass\n'''", "DLC101 was not raised"),
        ("'''python raises DLC101\n1/0\n'''", "ZeroDivisionError"),
        ("'''python skipped\npass\n'''", "the fence says"),
        ("'''python\npass\n", "never closed"),
    ],
)
def test_what_is_wrong_is_found(tmp_path, text, problem):
    with pytest.raises(AssertionError, match=problem):
        snippets.check(page(tmp_path, text))


def test_error_text_is_output(tmp_path):
    text = """
'''python raises DLC101
from dlc.ir.errors import ShapeError
print("first")
raise ShapeError("wrong", hint="right")
'''
'''text output
first
DLC101: wrong
...
  hint: right
'''
"""
    assert snippets.check(page(tmp_path, text)) == 1
