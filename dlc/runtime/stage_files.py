"""Stages of compilations as files, for `config.dump_ir` and `dlc dump`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dlc.ir.errors import SaveError

_SUFFIXES = {"traced": ".ir", "optimized": ".ir", "kernels": ".txt", "llvm": ".ll", "asm": ".s"}


def file_stem(name: str) -> str:
    """The name of a function as the beginning of a file's name."""
    return "".join([c if c.isalnum() or c in "._-" else "_" for c in name])


def file_name(stem: str, stage: str) -> str:
    """The name of the file of a stage, or of the IR after a pass."""
    suffix = ".ir" if stage.startswith("pass") else _SUFFIXES.get(stage, ".txt")
    return f"{stem}.{stage}{suffix}"


def write_stages(folder: Path, stem: str, texts: Mapping[str, str]) -> list[Path]:
    """Write the text of each stage into a file of its own; the folder is made.

    Raises:
        SaveError: where that cannot be done.
    """
    paths: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            paths.append(folder / file_name(stem, name))
            paths[-1].write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise SaveError(
            f"the stages of {stem} could not be written into {str(folder)!r}: {error.strerror}",
            hint="name a folder that you may write to",
        ) from None
    return paths
