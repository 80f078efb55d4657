"""`summary`: a table of layers with the shapes of their results and their parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import dlc
from dlc.frontend.watched import watched
from dlc.ir.errors import ValueRangeError, nearest
from dlc.ir.types import TensorType
from dlc.nn.graph_program import LayerStep, Program
from dlc.train.modes import evaluating

if TYPE_CHECKING:
    from dlc.nn.module import Module


def _shape_text(result: Any) -> str:
    shapes = [
        "(" + ", ".join(map(str, t.shape)) + ")"
        for t in dlc.tree.leaves(result)
        if hasattr(t, "shape")
    ]
    return ", ".join(shapes)


def _traced_shapes(model: Module, inputs: tuple[Any, ...]) -> dict[int, str]:
    """The shape of what each module gives, by tracing the model."""
    found: dict[int, str] = {}

    def note(_path: str, module: Module, result: Any) -> None:
        found[id(module)] = _shape_text(result)

    with watched(model, note), evaluating(model):
        dlc.compile(model).lower(*inputs)
    return found


def _count(module: Module) -> int:
    return sum(math.prod(p.shape) for p in module.parameters(recurse=False))


class Row(NamedTuple):
    """A line of the table: an input, or a layer at its depth."""

    name: str
    cells: tuple[str, ...]
    module: Module | None = None
    depth: int = 1


def summary(
    model: Module,
    inputs: tuple[Any, ...],
    *,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    expand_nested: bool | None = None,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> str:
    """The table; the keywords are those of `Fitting.summary`.

    A model of a graph, and a Sequential that knows its input, need no inputs for it.
    """
    program = getattr(model, "_program", None)
    head: tuple[str, ...]
    if program is not None and not inputs:
        head = ("layer", "output shape", "parameters", "connected to")
        rows = _graph_rows(model, program, bool(expand_nested))
    else:
        if not inputs and getattr(model, "_ends", None) is not None:
            first = getattr(model, "_ends")[0].tensor  # noqa: B009  of Sequential alone
            dims = tuple(d if isinstance(d, int) else str(d) for d in first.shape)
            inputs = (dlc.spec(dims, first.dtype),)
        shapes = _traced_shapes(model, inputs) if inputs else {}
        head = ("layer", "output shape" if inputs else "", "parameters")
        rows = _module_rows(model, shapes)
        if expand_nested is False:
            rows = [row for row in rows if row.depth < 2]
    if layer_range is not None:
        rows = _between(rows, layer_range)
    if show_trainable:
        head = (*head, "trained")
        rows = [row._replace(cells=(*row.cells, _trained(row.module))) for row in rows]
    table = [head, *(row.cells for row in rows)]
    return _text(model, table, _widths(table, line_length, positions), line_length)


def _module_rows(model: Module, shapes: dict[int, str]) -> list[Row]:
    rows: list[Row] = []
    for name, module in model.named_modules():
        empty = next(iter(module.parameters()), None) is None
        if not module.shown or (name and empty and not shapes.get(id(module))):
            continue
        depth, last = name.count(".") + 1 if name else 0, name.rpartition(".")[2]
        label = "  " * depth + (f"{last}: " if name else "") + type(module).__name__
        cells = (label, shapes.get(id(module), ""), f"{_count(module):,}")
        rows.append(Row(last, cells, module, depth))
    return rows


def _graph_rows(model: Module, program: Program, nested: bool) -> list[Row]:
    """A row for each input and call of a layer, with what it gets its inputs from."""
    rows: list[Row] = []
    sources: dict[int, dict[str, None]] = {}  # of slots: names of layers and inputs
    for k, (name, type_) in enumerate(zip(program.input_names, program.input_types, strict=True)):
        sources[k] = {name: None}
        rows.append(Row(name, (f"{name}: Input", _dims(type_), "0", "")))
    counted: set[str] = set()
    for step in program.steps:
        read = {n: None for k in step.reads for n in sources.get(k, ())}
        if isinstance(step, LayerStep):
            module = getattr(model, step.layer)
            again = step.layer in counted
            count = 0 if again else sum(math.prod(p.shape) for p in module.parameters())
            counted.add(step.layer)
            shapes = ", ".join(_dims(t) for t in step.types)
            label = f"{step.layer}: {type(module).__name__}"
            rows.append(Row(step.layer, (label, shapes, f"{count:,}", ", ".join(read)), module))
            if nested and not again:
                inside = _module_rows(module, {})[1:]
                rows += [r._replace(cells=(*r.cells, ""), depth=r.depth + 1) for r in inside]
            read = {step.layer: None}
        sources.update(dict.fromkeys(step.writes, read))
    return rows


def _between(rows: list[Row], layer_range: Sequence[str]) -> list[Row]:
    """The rows from one layer to another, with what is inside of that."""
    if isinstance(layer_range, str) or len(layer_range) != 2:
        raise ValueRangeError(f"layer_range={layer_range!r} is not the names of two layers")
    found: list[list[int]] = []
    for wanted in layer_range:
        found.append([k for k, row in enumerate(rows) if _is_named(row, wanted)])
        if not found[-1]:
            known = [row.name for row in rows if row.depth]
            raise ValueRangeError(f"no layer is called {wanted!r}", hint=nearest(wanted, known))
    first, last = found[0][0], found[1][-1]
    if first > last:
        raise ValueRangeError(f"{layer_range[0]!r} comes after {layer_range[1]!r}")
    end = last + 1
    while end < len(rows) and rows[end].depth > rows[last].depth:
        end += 1
    return rows[first:end]


def _is_named(row: Row, wanted: str) -> bool:
    names = {row.name, getattr(row.module, "name", None)}
    return any(isinstance(n, str) and (n == wanted or re.fullmatch(wanted, n)) for n in names)


def _trained(module: Module | None) -> str:
    trained = [] if module is None else [p.requires_grad for p in module.parameters()]
    return ("Y" if any(trained) else "N") if trained else "-"


def _dims(type_: TensorType) -> str:
    return "(" + ", ".join(map(str, type_.shape)) + ("," if type_.rank == 1 else "") + ")"


def _widths(
    table: list[tuple[str, ...]], line_length: int | None, positions: Sequence[float] | None
) -> list[int]:
    """The width of each column; two blanks lie between them."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    whole = sum(widths) + 2 * (len(widths) - 1)
    if positions is None:  # the first column gives or takes what is over or short
        short = 0 if line_length is None else line_length - whole
        return [max(widths[0] + short, 1), *widths[1:]]
    if len(positions) < len(widths):
        raise ValueRangeError(f"positions has {len(positions)} of {len(widths)} columns")
    scale = (line_length or whole) if positions[-1] <= 1 else 1
    ends = [int(p * scale) for p in positions[: len(widths)]]
    starts = [0, *(end + 2 for end in ends)]
    return [max(end - start, 1) for start, end in zip(starts, ends, strict=False)]


def _text(
    model: Module, table: list[tuple[str, ...]], widths: list[int], line_length: int | None
) -> str:
    lines = [
        "  ".join(f"{_cut(c, w):{'>' if k == 2 else '<'}{w}}"
                  for k, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in table
    ]  # fmt: skip
    lines.insert(1, "-" * (line_length or max(map(len, lines))))
    lines.append(lines[1])
    total = sum(math.prod(p.shape) for p in model.parameters())
    trained = sum(math.prod(p.shape) for p in model.parameters() if p.requires_grad)
    state = sum(math.prod(b.shape) for b in model.buffers())
    lines.append(
        f"{total:,} parameters, {trained:,} of them trained; {state:,} other numbers of state"
    )
    return "\n".join(lines)


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: max(width - 3, 0)] + "..."[:width]
