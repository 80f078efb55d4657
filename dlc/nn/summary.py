"""`summary`: a table of layers with the shapes of their results and their parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dlc
from dlc.frontend.watched import watched
from dlc.ir.types import TensorType
from dlc.nn.graph import LayerStep, Program
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


def summary(model: Module, inputs: tuple[Any, ...]) -> str:
    """The table.

    A model of a graph, and a Sequential that knows its input, need no inputs for it.
    """
    program = getattr(model, "_program", None)
    if program is not None and not inputs:
        return _text(model, _graph_rows(model, program))
    if not inputs and getattr(model, "_ends", None) is not None:
        first = getattr(model, "_ends")[0].tensor  # noqa: B009  of Sequential alone
        inputs = (dlc.spec(tuple(d if isinstance(d, int) else str(d) for d in first.shape),
                           first.dtype),)  # fmt: skip
    shapes = _traced_shapes(model, inputs) if inputs else {}
    rows = [("layer", "output shape" if inputs else "", "parameters")]
    for name, module in model.named_modules():
        empty = next(iter(module.parameters()), None) is None
        if not module.shown or (name and empty and not shapes.get(id(module))):
            continue
        depth = name.count(".") + 1 if name else 0
        label = "  " * depth + (f"{name.rpartition('.')[2]}: " if name else "")
        row = (label + type(module).__name__, shapes.get(id(module), ""), f"{_count(module):,}")
        rows.append(row)
    return _text(model, rows)


def _graph_rows(model: Module, program: Program) -> list[tuple[str, ...]]:
    """A row for each input and call of a layer, with what it gets its inputs from."""
    rows: list[tuple[str, ...]] = [("layer", "output shape", "parameters", "connected to")]
    sources: dict[int, dict[str, None]] = {}  # of slots: names of layers and inputs
    for k, (name, type_) in enumerate(zip(program.input_names, program.input_types, strict=True)):
        sources[k] = {name: None}
        rows.append((f"{name}: Input", _dims(type_), "0", ""))
    counted: set[str] = set()
    for step in program.steps:
        read = {n: None for k in step.reads for n in sources.get(k, ())}
        if isinstance(step, LayerStep):
            module = getattr(model, step.layer)
            count = (
                0 if step.layer in counted else sum(math.prod(p.shape) for p in module.parameters())
            )
            counted.add(step.layer)
            shapes = ", ".join(_dims(t) for t in step.types)
            label = f"{step.layer}: {type(module).__name__}"
            rows.append((label, shapes, f"{count:,}", ", ".join(read)))
            read = {step.layer: None}
        sources.update(dict.fromkeys(step.writes, read))
    return rows


def _dims(type_: TensorType) -> str:
    return "(" + ", ".join(map(str, type_.shape)) + ("," if type_.rank == 1 else "") + ")"


def _text(model: Module, rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join(f"{c:>{w}}" if k == 2 else f"{c:<{w}}" for k, (c, w) in _numbered(row, widths))
        for row in rows
    ]
    lines = [line.rstrip() for line in lines]
    lines.insert(1, "-" * max(map(len, lines)))
    lines.append(lines[1])
    total = sum(math.prod(p.shape) for p in model.parameters())
    trained = sum(math.prod(p.shape) for p in model.parameters() if p.requires_grad)
    state = sum(math.prod(b.shape) for b in model.buffers())
    lines.append(
        f"{total:,} parameters, {trained:,} of them trained; {state:,} other numbers of state"
    )
    return "\n".join(lines)


def _numbered(row: tuple[str, ...], widths: list[int]) -> list[tuple[int, tuple[str, int]]]:
    return list(enumerate(zip(row, widths, strict=True)))
