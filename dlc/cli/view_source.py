"""The user's source for `dlc view`: which lines a program comes from, and their text."""

from __future__ import annotations

import json
import linecache
import os
import re
import sys
from collections.abc import Iterable, Iterator
from html import escape

from dlc.codegen.program import Program, Step, inner_steps
from dlc.ir.core import Function, Node, bodies, with_bodies
from dlc.ir.location import SourceLocation

_WHOLE = 300  # lines of a file up to which all are shown
_AROUND = 6  # lines shown before and after one that is used, of a longer file
_LONGEST = 400  # letters of a line
_STRING = r'"(?:[^"\\]|\\.)*"'
_PLACE = re.compile(rf" loc\(({_STRING}):(\d+) in {_STRING}\)")


class Sources:
    """The lines of the user's source that a program comes from, each with a key.

    Args:
        places: All locations that are in the program.
        target: FILE[:NAME] as the user gave it, of which the file is shown so.
    """

    def __init__(self, places: Iterable[SourceLocation], target: str) -> None:
        known = set(places)
        files = {p.file for p in known}
        self._names = {
            f: f if target == f or target.startswith(f"{f}:") else shown_file(f) for f in files
        }
        lines = sorted({(self._names[p.file], p.file, p.line) for p in known})
        self._keys = {(file, line): f"s{k}" for k, (_, file, line) in enumerate(lines)}

    def key(self, place: SourceLocation | None) -> str | None:
        """The key of a line."""
        return None if place is None else self._keys.get((place.file, place.line))

    def keys(self, places: Iterable[SourceLocation | None]) -> list[str]:
        """The keys of lines, each once, in the order of the source."""
        found = {key for p in places if (key := self.key(p)) is not None}
        return sorted(found, key=lambda key: int(key[1:]))

    def without_places(self, line: str) -> tuple[str, list[str]]:
        """A line of IR text without its locations, and the keys of these."""
        found = [(json.loads(m[1]), int(m[2])) for m in _PLACE.finditer(line)]
        keys = [self._keys[place] for place in dict.fromkeys(found) if place in self._keys]
        return _PLACE.sub("", line), keys

    def text(self, key: str) -> str:
        """`file:line` of a key."""
        file, line = next(place for place, k in self._keys.items() if k == key)
        return f"{self._names[file]}:{line}"

    def html(self) -> str:
        """The files, with the lines that are used linked by their keys."""
        used: dict[str, list[int]] = {}
        for file, line in self._keys:
            used.setdefault(file, []).append(line)
        return "\n".join(
            f"<h3>{escape(self._names[file])}</h3>"
            '<div class="scroll"><pre class="source">'
            f"{''.join(self._file(file, lines))}</pre></div>"
            for file, lines in used.items()
        )

    def _file(self, file: str, used: list[int]) -> Iterator[str]:
        texts = linecache.getlines(file)
        if not texts:
            yield f"<b>{escape(self._names[file])} is not there: only the numbers are known</b>\n"
        last = 0
        for number in _window(used, len(texts)):
            if number > last + 1 and texts:
                yield f"<b>... {number - last - 1} lines are left out ...</b>\n"
            last = number
            text = texts[number - 1].rstrip("\r\n\f") if number <= len(texts) else ""
            shown = escape(shortened(text, _LONGEST))
            key = self._keys.get((file, number))
            begin = f'<span id="{key}" data-k="{key}" tabindex="0">' if key else "<span>"
            yield f"{begin}<i>{number}</i>{shown}</span>\n"
        if last < len(texts):
            yield f"<b>... {len(texts) - last} lines are left out ...</b>\n"


def _window(used: list[int], count: int) -> list[int]:
    """The lines of a file that are shown, in order."""
    if 0 < count <= _WHOLE:
        return sorted({*range(1, count + 1), *used})
    around = _AROUND if count else 0
    near = {n for line in used for n in range(max(line - around, 1), line + around + 1)}
    return sorted(n for n in near if n <= count or n in used)


def shown_file(file: str) -> str:
    """A file without what only this machine has: relative to here, or to where Python finds it."""
    if not os.path.isabs(file):
        return file
    roots = [os.path.join(os.path.abspath(p or "."), "") for p in ("", *sys.path)]
    inside = [root for root in roots if file.startswith(root)]
    return file[len(max(inside, key=len)) :] if inside else os.path.basename(file)


def shortened(text: str, most: int) -> str:
    """A text that says where it is cut.

    Example:
        >>> shortened("0123456789", 4)
        '0123 ... 6 letters are left out'
    """
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[:most]} ... {left_out} letters are left out"


def places_of(node: Node) -> Iterator[SourceLocation | None]:
    """Where a node, and all that is in it, comes from."""
    yield node.loc
    for _, body in bodies(node):
        for inner in body.nodes:
            yield from places_of(inner)


def places_in(function: Function) -> Iterator[SourceLocation | None]:
    """Where all of a function comes from, its parameters included."""
    for p in function.params:
        yield p.loc
    for node in function.nodes:
        yield node.loc
        for _, body in bodies(node):
            yield from places_in(body)


def with_own_places(function: Function) -> Function:
    """The function with a location of its own for each node, which tells whose a call is."""
    new: dict[Node, Node] = {p: p for p in function.params}
    for node in function.nodes:
        place = None if node.loc is None else SourceLocation(*node.loc)
        inputs = tuple(new[x] for x in node.inputs)
        made = Node(node.op, inputs, node.attrs, node.type, place, node.name)
        new[node] = with_bodies(made, with_own_places) if node.op.family == "control" else made
    results = (new[r] for r in function.results)
    return function.with_results(results, (new[n] for n in function.nodes))


def places_of_program(program: Program) -> Iterator[SourceLocation | None]:
    """Where the calls, loops and branches of a program come from."""
    for call in (*program.calls, *program.once):
        yield call.loc
    yield from _places_of_steps(program.all_steps)


def _places_of_steps(steps: Iterable[Step]) -> Iterator[SourceLocation | None]:
    for step in steps:
        if not isinstance(step, int):
            yield step.loc
            for inner in inner_steps(step):
                yield from _places_of_steps(inner)
