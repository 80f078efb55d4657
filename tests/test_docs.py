"""Every Python snippet in README.md and docs/ runs and prints what the page says."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import snippets

import dlc

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


PEERS = {"from_jax": "jax", "from_keras": "keras", "from_tensorflow1": "tensorflow"}


def run_side(page, folder, side, warnings):
    """Runs one side of a page in a process of its own."""
    env = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}  # tests set it
    done = subprocess.run(
        [sys.executable, "-W", warnings, snippets.__file__, str(page), side],
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_snippets_run(page, tmp_path):
    if snippets.has_peer(page):
        peer = PEERS.get(page.stem, "torch")
        if find_spec(peer) is None:
            pytest.skip(f"{peer} is not installed")
        run_side(page, tmp_path, "peer", "ignore")
    run_side(page, tmp_path, "dlc", "error")


def unfenced(page):
    """A page without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text())


def links(page):
    """Where the links of a page lead within the repository: files and anchors."""
    prose = re.sub(r"(?m)^    .*$|`[^`\n]*`", "", unfenced(page))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield (page.parent / file).resolve() if file else page, anchor


def anchors(page):
    """The anchors that a page's headings have where it is shown."""
    headings = re.findall(r"(?m)^#+ (.+)$", unfenced(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    known = {page: anchors(page) for page in PAGES}
    broken = [
        f"{page.name}: {target.name}#{anchor}"
        for page in PAGES
        for target, anchor in links(page)
        if not target.exists() or (anchor and anchor not in known[target])
    ]
    assert not broken


def test_index_has_every_page():
    index = ROOT / "docs" / "index.md"
    listed = {target for target, _ in links(index)} | {index}
    assert {page for page in PAGES if page.parent == index.parent} <= listed


def is_named(name, text):
    """Whether a page has a name; `#` and `(each `1d, 2d, 3d`)` stand for numbers of axes."""
    spellings = {name, re.sub(r"[123](?=[dD])", "#", name), re.sub(r"[123]d$", "", name)}
    return any(re.search(rf"(?<![\w#]){re.escape(s)}(?![\w#])", text) for s in spellings)


@pytest.mark.parametrize(
    ("page", "module"), [("layers", dlc.nn), ("functional", dlc.nn.functional)]
)
def test_tables_have_every_name(page, module):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    names = [n for n in dir(module) if callable(getattr(module, n)) and not n.startswith("_")]
    names = [n for n in names if n[0].isupper() == (page == "layers")]
    assert not [n for n in names if not is_named(n, text)]


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


def test_what_a_peer_prints_is_compared_too(tmp_path):
    text = """
'''python both
x = 2
'''
'''python peer
y = 3
print(x + y)
'''
'''python
assert "y" not in globals()
print(x + 3)
'''
'''text output
5
'''
'''python
print("ours alone")
'''
'''text output
ours alone
'''
"""
    assert snippets.check(page(tmp_path, text)) == 3
    assert snippets.check(page(tmp_path, text), "peer") == 2
    assert snippets.has_peer(page(tmp_path, text))
    other = page(tmp_path, text.replace("y = 3", "y = 4"))
    with pytest.raises(AssertionError, match="page.md:14: expected"):
        snippets.check(other, "peer")
    with pytest.raises(AssertionError, match="nothing is compared"):
        snippets.check(page(tmp_path, "'''python peer\nprint(1)\n'''"), "peer")


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
