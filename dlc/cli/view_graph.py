"""The graph of a function for `dlc view`: what becomes a box, and what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from dlc.cli.graph_drawing import Box, draw
from dlc.cli.view_source import Sources, places_of, shortened
from dlc.ir.core import Function, Node, bodies
from dlc.ir.printer import attributes_text, node_names

_BOXES = 3000  # of the graphs of a function with all that is inside
_WIDE = 44  # letters of a box
_ROWS = 4  # of the names of what a fusion holds
_TITLE = 600
_LISTED = 12  # lines of the source in a title


@dataclass
class Graphs:
    """Draws a function and the functions inside of its control flow, each as a picture.

    Args:
        stage: What ids begin with, a letter.
        sources: The keys of the user's lines.
        results: Names of the function's results.
    """

    stage: str
    sources: Sources
    results: Sequence[str]
    boxes: int = 0
    count: int = 0

    def html(self, function: Function) -> Iterator[str]:
        """The pictures, the function's own first."""
        waiting = [(function, "", tuple(self.results))]
        for f, title, results in waiting:
            number = self.count
            self.count += 1
            inside: dict[tuple[Node, str], int] = {}
            for node in f.nodes:
                if node.op.name == "fusion":
                    continue
                for name, body in bodies(node):
                    inside[node, name] = len(waiting)
                    named = node_names(f)[node]
                    waiting.append((body, f"{name} of %{named} {node.op.name}", ()))
            if title:
                yield f'<h3 id="{self.stage}{number}">{escape(title)}</h3>'
            yield from self._picture(f, number, results, inside)

    def _picture(
        self,
        function: Function,
        number: int,
        results: Sequence[str],
        inside: dict[tuple[Node, str], int],
    ) -> Iterator[str]:
        room = max(_BOXES - self.boxes, 0)
        made = _Boxes(self, function, number, results, inside).boxes()
        shown = made[:room]
        self.boxes += len(shown)
        if shown:
            yield f'<div class="scroll">{draw(shown)}</div>'
        elif not made:
            yield '<p class="note">It has neither parameters nor ops.</p>'
        if len(shown) < len(made):
            yield (
                f'<p class="note left-out">{len(made) - len(shown)} of its {len(made)} boxes are '
                f"left out: the page draws {_BOXES} at most. The stages have all ops.</p>"
            )


class _Boxes:
    def __init__(
        self,
        graphs: Graphs,
        function: Function,
        number: int,
        results: Sequence[str],
        inside: dict[tuple[Node, str], int],
    ) -> None:
        self.graphs, self.function, self.number, self.inside = graphs, function, number, inside
        self.names = node_names(function)
        self.place: dict[Node, int] = {}
        returned: dict[Node, list[str]] = {}
        for k, node in enumerate(function.results):
            name = results[k] if k < len(results) else f"result{k}"
            returned.setdefault(_made_by(node), []).append(name)
        self.returned = returned

    def boxes(self) -> list[Box]:
        """A box for each parameter and op; results of ops with several are no boxes."""
        found: list[Box] = []
        for k, node in enumerate((*self.function.params, *self.function.nodes)):
            if _made_by(node) is not node:
                continue
            self.place[node] = len(found)
            first = len(self.function.params)
            last = f"p{k}" if k < first else str(k - first)
            found.append(self._box(node, f"{self.graphs.stage}{self.number}_{last}"))
        return found

    def _box(self, node: Node, id_: str) -> Box:
        name, sources = self.names[node], self.graphs.sources
        keys = sources.keys(places_of(node))
        bodies_of = dict(bodies(node))
        lines = [f"%{name}" if node.op.name == "param" else f"%{name} {node.op.name}"]
        title = [f"%{name}: {node.type} = {node.op.name}"]
        kind = "op"
        if node.op.name == "param":
            kind = "param"
            title = [f"%{name}: {node.type}, a parameter"]
        elif node.op.name == "fusion":
            kind = "fusion"
            held = [n.op.name for n in bodies_of["body"].nodes]
            lines += _wrapped(held)
            title.append("holds " + ", ".join(held))
        elif bodies_of:
            kind = "control"
        elif node.op.attrs:
            attributes = attributes_text(node.op, node.attrs).strip()
            title[0] += " " + attributes
            kind = "op" if node.inputs else "constant"
            if node.op.name == "full":
                lines.append(attributes)
        lines.append(str(node.type))
        lines += [f"= {result}" for result in self.returned.get(node, ())[:4]]
        title += [f"result {result}" for result in self.returned.get(node, ())]
        title += [f"from {sources.text(key)}" for key in keys[:_LISTED]]
        if len(keys) > _LISTED:
            title.append(f"and {len(keys) - _LISTED} more lines")
        opened = [n for (owner, _), n in self.inside.items() if owner is node]
        return Box(
            id_,
            f"%{name}",
            tuple(_clipped(line) for line in lines),
            shortened("\n".join(title), _TITLE + 40 * _LISTED),
            kind + " result" * (node in self.returned),
            tuple((self.place[_made_by(x)], self._value(x)) for x in node.inputs),
            " ".join((*keys, f"n{id_}")),
            f"{self.graphs.stage}{opened[0]}" if opened else None,
        )

    def _value(self, node: Node) -> str:
        return f"%{self.names[node]}: {node.type}"


def _made_by(node: Node) -> Node:
    """The node that a value is a result of: `get` only says which."""
    while node.op.name == "get":
        (node,) = node.inputs
    return node


def _wrapped(names: Sequence[str]) -> list[str]:
    """Names of ops in a few lines, each once."""
    words = [f"{count} {n}" if count > 1 else n for n, count in Counter(names).items()]
    lines = [""]
    for k, word in enumerate(words):
        if len(lines[-1]) + len(word) + 2 <= _WIDE - 10:
            lines[-1] = f"{lines[-1]}, {word}" if lines[-1] else word
        elif len(lines) < _ROWS:
            lines.append(word)
        else:
            lines[-1] += f" +{len(words) - k} more"
            break
    return lines


def _clipped(line: str) -> str:
    return line if len(line) <= _WIDE else line[: _WIDE - 1] + "…"
