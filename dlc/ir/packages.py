"""Packages that only a part of dlc needs: imported late, with an error that names the extra."""

from __future__ import annotations

import importlib
from typing import Any

from dlc.ir.errors import ArgumentError


def needed(module: str, what: str, extra: str) -> Any:
    """A module of a package that is not among dlc's own requirements.

    Args:
        module: Its full name.
        what: What needs it, the subject of the error's sentence.
        extra: The extra of dlc that has the package.

    Raises:
        ArgumentError: where the package is not installed.

    Example:
        >>> needed("math", "this example", "train").sqrt(4.0)
        2.0
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ArgumentError(
            f"{what} needs the package {package}, which is not installed",
            hint=f"pip install 'dlc[{extra}]'",
        ) from None
