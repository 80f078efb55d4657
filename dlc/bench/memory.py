"""The memory that this process takes; 0 where the system does not say."""

from __future__ import annotations

import contextlib

_STATUS = "/proc/self/status"
_CLEAR = "/proc/self/clear_refs"


def resident() -> int:
    """Bytes of memory that the process has now."""
    return _field("VmRSS")


def forget_peak() -> None:
    """Lets the peak start from now, where the system can."""
    with contextlib.suppress(OSError), open(_CLEAR, "w", encoding="ascii") as file:
        file.write("5")


def peak() -> int:
    """The most bytes that the process has had since its peak was last forgotten."""
    return _field("VmHWM")


def _field(name: str) -> int:
    try:
        with open(_STATUS, encoding="utf-8", errors="replace") as file:
            found = [line.split() for line in file if line.startswith(f"{name}:")]
    except OSError:
        return 0
    return 1024 * int(found[0][1]) if found else 0
