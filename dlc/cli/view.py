"""`dlc view`: a program as one page."""

from __future__ import annotations

import argparse
import re
import sys
import webbrowser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from dlc.cli.dump import Stages
from dlc.cli.inputs import DEFAULT_EXTENT, add_dim_argument, given_extents
from dlc.cli.memory_drawing import draw_memory
from dlc.cli.tracing import add_target_arguments, trace_options
from dlc.cli.view_graph import Graphs
from dlc.cli.view_page import page
from dlc.cli.view_source import (
    Sources,
    places_in,
    places_of,
    places_of_program,
    shortened,
    with_own_places,
)
from dlc.codegen.kernel_cost import kernel_operations
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.memory_plan import Timeline, byte_size, plan_memory
from dlc.codegen.program import Branch, Call, Program, Step
from dlc.codegen.program_builder import build_program
from dlc.ir.core import Function, all_nodes
from dlc.ir.dims import Dim, dim_text, evaluate, symbols_of
from dlc.ir.errors import ArgumentError, DlcError, ValueRangeError
from dlc.ir.printer import function_lines
from dlc.ir.types import TensorType
from dlc.ir.version import __version__
from dlc.runtime.files import write_whole

DESCRIPTION = """\
Writes one page that shows a program: its graph, its stages side by side, the lines of your source
that they come from, its kernels, and where its values lie in memory. Pointing at a line, an op or a
kernel marks what belongs to it; a click keeps the marks and brings them into sight. The page is one
file that needs nothing beside itself. Bytes and operations are those of the extents of --dim.
"""
EXAMPLES = """\
examples:
  $ dlc view net.py:softmax --arg f32[8,4]
  wrote softmax.html

  $ dlc view net.py:layer --grad --dim n=32 -o layer.html
  wrote layer.html
"""
_LINE = 2000  # letters of a line of IR
_STAGE = 600_000  # letters of a stage
_KERNEL = 60_000  # letters of the code of a kernel
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")  # of functions of Python, another in each process


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    add_target_arguments(parser)
    add_dim_argument(parser)
    parser.add_argument(
        "-o",
        dest="path",
        metavar="FILE.html",
        type=Path,
        help="write the page there (default: the function's name with .html)",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> int:
    """Writes the page."""
    if options.path is not None and not options.path.parent.is_dir():
        raise ArgumentError(
            f"there is no folder {options.path.parent}", hint="make it, or name another with -o"
        )
    traced = trace_options(options)
    given = given_extents(traced, options.dim)
    values = {name: given.get(name, DEFAULT_EXTENT) for name in traced.function.symbols}
    stages = Stages(traced, locations=False)
    path = options.path or Path(f"{stages.file_stem}.html")
    text = View(stages, values, options.target).html().encode("utf-8", "backslashreplace")
    write_whole(path, lambda file: file.write(text))
    print(f"wrote {path}")
    if options.open and not webbrowser.open(path.resolve().as_uri()):
        print(f"no browser could be started: open {path} yourself", file=sys.stderr)
    return 0


class View:
    """The page of a program.

    Args:
        stages: The program.
        values: The values of its symbols.
        target: FILE[:NAME] as the user gave it.
    """

    def __init__(self, stages: Stages, values: Mapping[str, int], target: str) -> None:
        self.stages, self.values, self.target = stages, values, target
        self.traced, self.optimized = stages.traced, with_own_places(stages.optimized)
        options = self.traced.options
        self.program = build_program(self.optimized, options.donated, options.fixed)
        places = (
            *places_in(self.traced.function),
            *places_in(self.optimized),
            *places_of_program(self.program),
        )
        self.sources = Sources((p for p in places if p is not None), target)
        self.held = self._held()
        _check_sizes(self.program, values)

    def _held(self) -> dict[int, list[str]]:
        """The keys of all that a call does, by the identity of its location."""
        return {
            id(node.loc): self.sources.keys(places_of(node))
            for node in all_nodes(self.optimized)
            if node.loc is not None
        }

    def html(self) -> str:
        """The whole page."""
        name = self.traced.function.name
        parts = f"{self._graphs()}\n{self._stages()}\n{self._kernels()}\n{self._memory()}"
        return page(f"{name}: dlc view", self._header(), self._source(), parts)

    # What it is.

    def _header(self) -> str:
        options, function = self.traced.options, self.traced.function
        code = ", ".join(f"{a} {b}" for a, b in self.stages.backend.key_entries())
        facts = [
            ("program", self.target),
            ("dlc", __version__),
            ("level", options.level),
            ("device", options.device),
            *([("code for", code)] if code else []),
            *([("extents", self._extents())] if self.values else []),
        ]
        rows = "".join(f"<tr><th>{a}</th><td>{escape(b)}</td></tr>" for a, b in facts)
        given = zip(self.traced.names, function.params, self.traced.values, strict=True)
        params = [(n, str(p.type), "" if v is None else "known") for n, p, v in given]
        results = [
            (n, str(r.type)) for n, r in zip(self.traced.results, function.results, strict=True)
        ]
        links = "".join(
            f'<a href="#{n}">{n}</a>' for n in ("graph", "stages", "source", "kernels", "memory")
        )
        return (
            f"<h1>{escape(function.name)}</h1><table>{rows}</table>"
            f"<details><summary>{_many(len(params), 'parameter')}, "
            f"{_many(len(results), 'result')}</summary>"
            f"{_table(('parameter', 'type', 'value'), params)}"
            f"{_table(('result', 'type'), results)}</details><nav>{links}</nav>"
        )

    def _extents(self) -> str:
        return ", ".join(f"{name}={n}" for name, n in self.values.items())

    def _source(self) -> str:
        shown = self.sources.html()
        note = "Files are shown as they are now. Lines with coloured numbers are in the program."
        note = note if shown else "No line of your source is known for it."
        return f'<section id="source"><h2>Source</h2><p class="note">{note}</p>{shown}</section>'

    # The graph.

    def _graphs(self) -> str:
        parts = []
        functions = {"optimized": self.optimized, "traced": self.traced.function}
        for name, function in functions.items():
            graphs = Graphs(name[0], self.sources, self.traced.results)
            pictures = "\n".join(graphs.html(function))
            opened = " open" if name == "optimized" else ""
            parts.append(
                f'<details class="graph" data-name="{name}"{opened}><summary>{name}: '
                f"{_many(len(function.nodes), 'op')}</summary>{pictures}</details>"
            )
        note = (
            "A fusion becomes one kernel, and names what it holds. ↑ names what is read from far "
            "above. Point at a line to see what it carries."
        )
        return (
            f'<section id="graph"><h2>Graph</h2><p class="note">{note}</p>'
            f"{''.join(parts)}</section>"
        )

    # The stages.

    def _stages(self) -> str:
        texts = {
            "traced": self._ir("t", self.traced.function),
            "optimized": self._ir("o", self.optimized),
            "kernels": self._program_lines(),
        }
        shown = {name: self._lines(name, lines) for name, lines in texts.items()}
        shown |= self._device_stages()
        parts = "".join(
            f'<details class="stage" data-name="{escape(name)}"'
            f"{' open' if name == 'optimized' else ''}><summary>{escape(name)}</summary>"
            f'<div class="scroll text">{text}</div></details>'
            for name, text in shown.items()
        )
        return f'<section id="stages"><h2>Stages</h2><div class="store">{parts}</div></section>'

    def _ir(self, stage: str, function: Function) -> Iterator[tuple[str, list[str]]]:
        """The lines of a function, each with its keys."""
        lines, where = function_lines(function, locations=True)
        more: dict[int, list[str]] = {}
        for k, node in enumerate(function.nodes):
            keys = [*self.sources.keys(places_of(node)), f"n{stage}0_{k}"]
            more.setdefault(where[node], []).extend(keys)
        for number, line in enumerate(lines):
            text, keys = self.sources.without_places(line)
            text = shortened(_ADDRESS.sub(">", text), _LINE)
            yield text, list(dict.fromkeys((*keys, *more.get(number, ()))))

    def _program_lines(self) -> Iterator[tuple[str, list[str]]]:
        """The kernels, and the table of calls."""
        for k, kernel in enumerate(self.program.kernels):
            yield _ADDRESS.sub(">", print_kernel(kernel)), self._kernel_keys(k)
        places = {str(p): p for p in places_of_program(self.program) if p is not None}
        plain = self.program.table_lines(locations=False)
        located = self.program.table_lines(locations=True)
        for line, more in zip(plain, located, strict=True):
            key = self.sources.key(places.get(more[len(line) :].strip()))
            yield shortened(f"# {line}", _LINE), [] if key is None else [key]

    def _lines(self, stage: str, lines: Iterable[tuple[str, list[str]]]) -> str:
        """Lines as elements that are linked; it says how many are left out."""
        found: list[str] = []
        size = left_out = 0
        for text, keys in lines:
            size += len(text) + 1
            if size > _STAGE:
                left_out += text.count("\n") + 1
            elif keys:
                found.append(f'<span data-k="{" ".join(keys)}">{escape(text)}</span>')
            else:
                found.append(escape(text))
        text = "\n".join(found)
        return f"<pre>{text}\n</pre>" + (self._left_out(stage, left_out) if left_out else "")

    def _left_out(self, stage: str, count: int) -> str:
        return (
            f'<p class="note left-out">{_many(count, "line")} of this stage '
            f"{'is' if count == 1 else 'are'} left out: `dlc dump --stage {escape(stage)}` prints "
            "all.</p>"
        )

    def _device_stages(self) -> dict[str, str]:
        """The code of each kernel at the stages of its device."""
        found: dict[str, list[str]] = {name: [] for name in self.stages.backend.stages}
        size = dict.fromkeys(found, 0)
        left_out = dict.fromkeys(found, 0)
        for k, kernel in enumerate(self.program.kernels):
            for stage, parts in found.items():
                if kernel.host is not None:
                    text = f"{kernel.name} calls Python: there is no code of it\n"
                else:
                    text = self._code(k, stage)
                lines = text.splitlines(keepends=True)
                taken = 0
                room = min(_STAGE - size[stage], _KERNEL)
                while taken < len(lines) and room >= len(lines[taken]):
                    room -= len(lines[taken])
                    taken += 1
                shown = "".join(lines[:taken])
                size[stage] += len(shown)
                left_out[stage] += len(lines) - taken
                keys = " ".join(self._kernel_keys(k))
                parts.append(f'<div data-k="{keys}"><pre>{escape(shown)}</pre></div>')
        return {
            stage: ("".join(parts) or '<p class="note">There are no kernels.</p>')
            + (self._left_out(stage, left_out[stage]) if left_out[stage] else "")
            for stage, parts in found.items()
        }

    def _code(self, kernel: int, stage: str) -> str:
        try:
            return self.stages.backend.text([self.program.kernels[kernel]], stage) + "\n"
        except DlcError as error:
            return f"{self.program.kernels[kernel].name}: not shown: {error}\n"

    # The kernels.

    def _call_keys(self, call: Call) -> list[str]:
        if call.loc is None:
            return []
        return self.held.get(id(call.loc)) or self.sources.keys([call.loc])

    def _kernel_keys(self, kernel: int) -> list[str]:
        calls = (*self.program.once, *self.program.calls)
        keys = {k for c in calls if c.kernel == kernel for k in self._call_keys(c)}
        return [*sorted(keys, key=lambda key: int(key[1:])), f"k{kernel}"]

    def _kernels(self) -> str:
        program = self.program
        rows = [self._call_row("once", c) for c in program.once]
        rows += self._step_rows(program.all_steps, 0)
        head = "".join(
            f"<th{' class=n' if name in _NUMBERS else ''}>{name}</th>" for name in _CALL_HEAD
        )
        table = (
            f'<div class="scroll"><table class="calls"><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>"
        )
        texts = "".join(
            f'<details id="k{k}" data-k="{" ".join(self._kernel_keys(k))}">'
            f"<summary>{escape(kernel.name)}</summary>"
            f'<pre class="scroll">{self._kernel_text(k)}</pre></details>'
            for k, kernel in enumerate(program.kernels)
        )
        if not program.kernels:
            table, texts = '<p class="note">The program calls no kernels.</p>', ""
        calls = len(program.calls) + len(program.once)
        return (
            f'<section id="kernels"><h2>Kernels</h2><p class="note">{_many(calls, "call")} of '
            f"{_many(len(program.kernels), 'kernel')}{self._with_extents()}. A function such as "
            "exp is one operation; bytes are those of each tensor that a call reads or writes."
            f"</p>{table}{texts}</section>"
        )

    def _with_extents(self) -> str:
        return f", with {escape(self._extents())}" if self.values else ""

    def _kernel_text(self, kernel: int) -> str:
        text = _ADDRESS.sub(">", print_kernel(self.program.kernels[kernel]))
        return escape(shortened(text, _KERNEL))

    def _step_rows(self, steps: Sequence[Step], depth: int) -> Iterator[str]:
        for step in steps:
            if isinstance(step, int):
                yield self._call_row(str(step), self.program.calls[step], depth)
                continue
            if isinstance(step, Branch):
                parts = [
                    (f"case {k} of s{step.index}", branch) for k, branch in enumerate(step.branches)
                ]
            else:
                often = f"while s{step.condition}"
                if step.length is not None:
                    often = f"loop, {self._number(step.length)} times"
                parts = [(often, (*step.test, *step.body))]
            for text, inner in parts:
                keys = self.sources.keys([step.loc])
                linked = f' data-k="{" ".join(keys)}"' if keys else ""
                yield (
                    f'<tr{linked}><td class="n"></td><td colspan="{len(_CALL_HEAD) - 1}" '
                    f'style="padding-left:{6 + 16 * depth}px">{escape(text)}:</td></tr>'
                )
                yield from self._step_rows(inner, depth + 1)

    def _call_row(self, number: str, call: Call, depth: int = 0) -> str:
        kernel = self.program.kernels[call.kernel]
        keys = self._call_keys(call)
        lines = ", ".join(
            f'<a href="#{key}">{escape(self.sources.text(key))}</a>' for key in keys[:_LINES]
        )
        if len(keys) > _LINES:
            lines += f" and {len(keys) - _LINES} more"
        dims = dict(zip(kernel.dims, (self._number(d) for d in call.dims), strict=True))
        operations = "" if kernel.host is not None else self._operations(call)
        cells = (
            ("n", escape(number)),
            (None, f'<a href="#k{call.kernel}">{escape(kernel.name)}</a>'),
            (None, escape(", ".join(f"{n}={d}" for n, d in dims.items()))),
            ("n", escape(operations)),
            ("n", escape(self._moved(call))),
            (None, escape(" ".join(f"s{a}" for a in call.args))),
            (None, lines),
        )
        shown = ""
        for k, (kind, text) in enumerate(cells):
            named = f' class="{kind}"' if kind else ""
            style = f' style="padding-left:{6 + 16 * depth}px"' if k == 1 and depth else ""
            shown += f"<td{named}{style}>{text}</td>"
        return f'<tr data-k="{" ".join((*keys, f"k{call.kernel}"))}">{shown}</tr>'

    def _number(self, dim: Dim) -> str:
        """A dim as a number; its text where it is not known before the program runs."""
        if symbols_of(dim) <= self.values.keys():
            return f"{evaluate(dim, self.values):,}"
        return dim_text(dim)

    def _operations(self, call: Call) -> str:
        kernel = self.program.kernels[call.kernel]
        if any(not symbols_of(d) <= self.values.keys() for d in call.dims):
            return "?"
        dims = {n: evaluate(d, self.values) for n, d in zip(kernel.dims, call.dims, strict=True)}
        cost = kernel_operations(kernel)
        return f"{evaluate(cost, dims):,}" if symbols_of(cost) <= dims.keys() else "?"

    def _moved(self, call: Call) -> str:
        sizes = [self._bytes(self.program.slots[s].type) for s in dict.fromkeys(call.args)]
        return "?" if None in sizes else f"{sum(n for n in sizes if n is not None):,}"

    def _bytes(self, type_: TensorType) -> int | None:
        """None where an extent is not known before the program runs."""
        return byte_size(type_, self.values) if _known(type_, self.values) else None

    # The memory.

    def _memory(self) -> str:
        program, values = self.program, self.values
        timeline, plan = Timeline(program), plan_memory(program, values)
        sizes = [self._bytes(s.type) or 0 for s in program.slots]
        total = dict.fromkeys(("input", "output"), 0)
        donated = 0
        for k, slot in enumerate(program.slots):
            if slot.kind in total:
                total[slot.kind] += sizes[k]
            if slot.kind == "output" and program.slots[program.memory_of(k)].kind == "input":
                donated += sizes[k]
        standing = sum(sizes[k] for k in program.standing)
        kept = total["input"] + total["output"] + standing - donated
        facts = [
            ("arguments", total["input"]),
            ("results", total["output"]),
            ("of these in donated arguments", donated),
            ("constants", standing),
            ("arena of the temporaries", plan.arena_bytes),
            ("least that any arena needs", plan.live_bytes),
            ("peak: all together", kept + plan.arena_bytes),
            ("least that any plan needs", kept + plan.live_bytes),
        ]
        figures = "".join(f'<tr><th>{name}</th><td class="n">{n:,}</td></tr>' for name, n in facts)
        head = "".join(
            f"<th{' class=n' if name in _NUMBERS else ''}>{name}</th>" for name in _SLOT_HEAD
        )
        calls = self._calls_of_slots()
        driven = program.driven
        rows = "".join(
            self._slot_row(k, plan.offsets, calls.get(k), k in driven)
            for k in range(len(program.slots))
        )
        unknown = ""
        if any(not _known(s.type, values) for s in program.slots):
            unknown = " What a loop of unknown length collects is not counted."
        return (
            f'<section id="memory"><h2>Memory</h2><p class="note">Bytes of a call'
            f"{self._with_extents()}.{unknown} Below, the arena by calls: each block is a value "
            "from its first use to its last; a dashed line in it is where another value takes over "
            "its memory; the dashed line across is what is needed at one time. Results are the "
            "bars beneath; those in the memory of a donated argument are coloured.</p>"
            f"<table>{figures}</table>"
            f'<div class="scroll">{draw_memory(program, plan, timeline, values)}</div>'
            f"<details><summary>{_many(len(program.slots), 'slot')}</summary>"
            f'<div class="scroll"><table class="slots"><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div></details></section>"
        )

    def _calls_of_slots(self) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        for k, call in enumerate(self.program.calls):
            for slot in call.args:
                found[slot] = (found.get(slot, (k, 0))[0], k)
        return found

    def _slot_row(
        self, k: int, offsets: Mapping[int, int], calls: tuple[int, int] | None, driven: bool
    ) -> str:
        slot, owner = self.program.slots[k], self.program.memory_of(k)
        size = self._bytes(slot.type)
        where = f"at {offsets[owner]:,}" if owner in offsets else ""
        if slot.shares is not None:
            where = f"{where} in the memory of s{slot.shares}".strip()
        when = ["between calls"] if driven else []
        if calls is not None:
            first, last = calls
            when = [f"{first}" if first == last else f"{first} to {last}", *when]
        cells = (
            ("", f"s{k}"), ("", f"{slot.kind} {slot.position}"), ("", str(slot.type)),
            ("n", "?" if size is None else f"{size:,}"), ("", where), ("", ", ".join(when)),
        )  # fmt: skip
        shown = "".join(
            f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"
            for kind, text in cells
        )
        return f"<tr>{shown}</tr>"


_CALL_HEAD = ("call", "kernel", "extents", "operations", "bytes", "slots", "source")
_SLOT_HEAD = ("slot", "kind", "type", "bytes", "memory", "calls")
_NUMBERS = ("call", "operations", "bytes")
_LINES = 6  # of the source in a row


def _check_sizes(program: Program, values: Mapping[str, int]) -> None:
    """Raises ValueRangeError for extents that the program cannot have."""
    for slot in program.slots:
        for d in slot.type.shape:
            if symbols_of(d) <= values.keys() and evaluate(d, values) < 0:
                given = ", ".join(f"{name}={n}" for name, n in values.items())
                raise ValueRangeError(
                    f"with {given} an extent of {slot.type} is {evaluate(d, values)}",
                    hint="give other extents with --dim",
                )


def _known(type_: TensorType, values: Mapping[str, int]) -> bool:
    return all(symbols_of(d) <= values.keys() for d in type_.shape)


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
