"""Runs the Python snippets of a Markdown page: `python tests/snippets.py PAGE.md [peer]`.

A page's snippets share one namespace, in the order of the page. The words after the fence's
language say what is expected:

    ```python                  runs without an error
    ```python raises DLC101    ends with the dlc error of that code
    ```python peer             is of another framework, with which the page compares dlc
    ```python both             runs on both sides
    ```text output             what the snippets since the last such block printed (or the text of
                               the error that was raised); a line `...` stands for any lines

The two sides run in two processes, the peer's first. What both print is compared with one text.

Snippets in other languages, and text that is not marked as output, are not looked at.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

SIDES = {(): ("dlc",), ("peer",): ("peer",), ("both",): ("dlc", "peer")}
FENCE = re.compile(r"^( *)```(.*)$")


class Block(NamedTuple):
    words: tuple[str, ...]
    line: int  # of the first line inside
    text: str


def blocks(page):
    """All fenced blocks of a page's text."""
    found, inside, start, indent, info = [], None, 0, "", ""
    for number, line in enumerate(page.splitlines(), 1):
        fence = FENCE.match(line)
        if inside is None and fence:
            inside, start, indent, info = [], number + 1, fence[1], fence[2]
        elif inside is not None and fence and not fence[2].strip():
            found.append(Block(tuple(info.split()), start, "\n".join(inside)))
            inside = None
        elif inside is not None:
            inside.append(line.removeprefix(indent))
    assert inside is None, f"the fence before line {start} is never closed"
    return found


def matches(expected, printed):
    """Is the printed text the expected one, where a line `...` stands for any lines?"""
    lines = [line.rstrip() for line in expected.strip("\n").splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line) + "\n" for line in lines
    )
    shown = "".join(line.rstrip() + "\n" for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, shown) is not None


def run(block, path, names):
    """Run a snippet and give what it printed; raises AssertionError when it goes wrong."""
    wanted = block.words[2] if block.words[1:2] == ("raises",) else None
    known = block.words[1:] in SIDES or (wanted is not None and len(block.words) == 3)
    assert known, f"{path}:{block.line}: the fence says {' '.join(block.words)!r}"
    # Padded, so that line numbers are the page's and the source of functions is found in it.
    code = compile("\n" * (block.line - 1) + block.text, str(path), "exec")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, names)
    except Exception as error:  # noqa: BLE001 - a page may show any error
        if wanted is None or getattr(error, "code", None) != wanted:
            shown = "".join(traceback.format_exception(error))
            raise AssertionError(f"{path}:{block.line}: {shown}") from None
        return printed.getvalue() + str(error)
    assert wanted is None, f"{path}:{block.line}: {wanted} was not raised"
    return printed.getvalue()


def check(path, side="dlc"):
    """Run a page's snippets and count them; raises AssertionError at the first bad one."""
    names = {"__name__": "__main__"}
    printed, count, ran = "", 0, side == "dlc"
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.words[:1] == ("python",) and side in SIDES.get(block.words[1:], ("dlc",)):
            printed += run(block, path, names)
            ran = True
            count += 1
        elif block.words == ("text", "output") and ran:
            assert matches(block.text, printed), (
                f"{path}:{block.line}: expected\n{block.text}\nbut this was printed\n{printed}"
            )
            printed, ran = "", side == "dlc"
    assert side == "dlc" or not printed, f"{path}: nothing is compared with\n{printed}"
    return count


def has_peer(path):
    """Does a page compare dlc with another framework?"""
    return any(b.words == ("python", "peer") for b in blocks(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    try:
        print(check(Path(sys.argv[1]), *sys.argv[2:]))
    except AssertionError as problem:
        raise SystemExit(str(problem)) from None
