"""Incomplete gamma functions."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.interop.torch.operators.elements import as_float
from dlc.interop.torch.table import aten


@aten("igamma")
def igamma(a: Any, x: Any) -> Any:
    """The lower one, as a part of the whole."""
    return dlc.special.gammainc(as_float(a), as_float(x))


@aten("igammac")
def igammac(a: Any, x: Any) -> Any:
    """The upper one, as a part of the whole."""
    return dlc.special.gammaincc(as_float(a), as_float(x))
