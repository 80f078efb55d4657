"""Writes the generated parts of settings.md and functions.md: `python docs/generate.py`."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import FunctionType

from dlc.frontend import api
from dlc.ir.config import Config

PAGE = Path(__file__).parent / "settings.md"
FUNCTIONS_PAGE = Path(__file__).parent / "functions.md"
FAMILIES = (
    "creation",
    "elementwise",
    "composed",
    "reduction",
    "cumulative",
    "sorting",
    "searching",
    "sets",
    "statistics",
    "shape",
    "rearrange",
    "repetition",
    "indexing",
    "linalg",
    "einsum",
    "nn",
    "attention",
    "inspection",
)
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def settings_sections() -> str:
    """One section a setting, from the declarations in `dlc/ir/config.py`."""
    sections: list[str] = []
    for setting in Config({}).describe():
        default = setting["default"]
        shown = "nothing" if default is None or default == frozenset() else f"`{default}`"
        sections.append(
            f"### `{setting['name']}`\n\n{setting['doc']}\n\n"
            f"* Variable: `{setting['variable']}`\n"
            f"* Value: {setting['kind']}\n"
            f"* Default: {shown}\n"
        )
    return "\n".join(sections)


def function_sections() -> str:
    """One section a family: each public function's signature and the first line about it."""
    sections: list[str] = []
    for family in FAMILIES:
        module = importlib.import_module(f"dlc.frontend.functions.{family}")
        found = [
            (name, value)
            for name, value in vars(api).items()
            if isinstance(value, FunctionType) and value.__module__ == module.__name__
        ]
        title = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        lines = [f"* `{name}{_signature(f)}`: {_summary(f)}" for name, f in sorted(found)]
        sections.append("\n".join([f"## {title}\n", *lines, ""]))
    return "\n".join(sections)


def _signature(function: FunctionType) -> str:
    """The parameters without their types, and without the mark of those that have no name."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    shown = str(inspect.Signature(bare)).replace(", /", "")
    return re.sub(r"dlc\.(\w+)", r"\1", shown)


def _summary(function: FunctionType) -> str:
    """The first sentence; of an alias, what it is another name of."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def page_with(sections: str, page: str) -> str:
    """Put the sections between the page's two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{sections}\n{END}{after}"


if __name__ == "__main__":
    for path, made in ((PAGE, settings_sections()), (FUNCTIONS_PAGE, function_sections())):
        path.write_text(page_with(made, path.read_text(encoding="utf-8")), encoding="utf-8")
