"""`summary`: a table of layers with the shapes of their results and their parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dlc
from dlc.frontend.watched import watched
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
    """The table."""
    shapes = _traced_shapes(model, inputs) if inputs else {}
    rows = [("layer", "output shape" if inputs else "", "parameters")]
    for name, module in model.named_modules():
        if not module.shown or (name and not _count(module) and not shapes.get(id(module))):
            continue
        depth = name.count(".") + 1 if name else 0
        label = "  " * depth + (f"{name.rpartition('.')[2]}: " if name else "")
        row = (label + type(module).__name__, shapes.get(id(module), ""), f"{_count(module):,}")
        rows.append(row)
    widths = [max(len(r[k]) for r in rows) for k in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows]
    lines.insert(1, "-" * (sum(widths) + 4))
    lines.append(lines[1])
    total = sum(math.prod(p.shape) for p in model.parameters())
    trained = sum(math.prod(p.shape) for p in model.parameters() if p.requires_grad)
    state = sum(math.prod(b.shape) for b in model.buffers())
    lines.append(
        f"{total:,} parameters, {trained:,} of them trained; {state:,} other numbers of state"
    )
    return "\n".join(lines)
