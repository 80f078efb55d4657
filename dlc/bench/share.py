"""What the machine needs at least for some work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict


class Peaks(TypedDict):
    """What the machine can do.

    operations: Additions and multiplications of float32, a second.
    bytes: Moved a second, by the size of what is worked on.
    half: How many times as many operations of bfloat16, where that is known.
    """

    operations: float
    bytes: dict[str, float]
    half: NotRequired[float]


def limit_of(
    operations: float, moved: float, peaks: Peaks, *, half: bool = False
) -> tuple[float, str]:
    """The least seconds, and whether "operations" or "bytes" take them.

    Args:
        operations: To be done.
        moved: Bytes to be read and written; the peak of the size that they fit in counts.
        peaks: What the machine can do.
        half: Whether the operations are those of bfloat16.
    """
    speeds: Mapping[str, float] = peaks["bytes"]
    sizes = sorted(speeds, key=int)
    fitting = next((s for s in sizes if moved <= int(s)), sizes[-1])
    speed = peaks["operations"] * (peaks.get("half", 1.0) if half else 1.0)
    times = {"operations": operations / speed, "bytes": moved / speeds[fitting]}
    binds = max(times, key=lambda name: times[name])
    return times[binds], binds
