"""Writes the generated part of docs/settings.md: `python docs/generate.py`."""

from __future__ import annotations

from pathlib import Path

from dlc.ir.config import Config

PAGE = Path(__file__).parent / "settings.md"
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


def page_with(sections: str, page: str) -> str:
    """Put the sections between the page's two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{sections}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(
        page_with(settings_sections(), PAGE.read_text(encoding="utf-8")), encoding="utf-8"
    )
