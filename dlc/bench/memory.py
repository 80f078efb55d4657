"""The memory that this process takes; 0 where the system does not say."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def resident() -> int:
    """Bytes of memory that the process has now."""
    return _field("VmRSS")


def forget_peak() -> None:
    """Lets the peak start from now, where the system can."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")


def peak() -> int:
    """The most bytes that the process has had since its peak was last forgotten."""
    return _field("VmHWM")


def _field(name: str) -> int:
    try:
        text = _STATUS.read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
