"""The CPU backend with the disk cache behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dlc.codegen.cpu.backend import CpuBackend
from dlc.runtime.cache import default_cache
from dlc.runtime.cache_entry import Key

if TYPE_CHECKING:
    from dlc.codegen.cpu.pieces import Piece


class _CachedHelpers:
    """Helper functions of kernels in the disk cache."""

    def find(
        self, entries: Sequence[tuple[str, str]], read: Callable[[bytes], Piece]
    ) -> Piece | None:
        return default_cache().find("helper", Key(entries), read)

    def put(self, entries: Sequence[tuple[str, str]], data: bytes) -> None:
        default_cache().put("helper", Key(entries), data)


def cached_backend() -> CpuBackend:
    """The backend of this process's level."""
    return CpuBackend(helpers=_CachedHelpers())
