"""The CPU backend with the disk cache behind it."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.cpu.backend import CpuBackend
from dlc.runtime.cache import default_cache
from dlc.runtime.cache_entry import Key


class _CachedHelpers:
    """Helper functions of kernels in the disk cache."""

    def get(self, entries: Sequence[tuple[str, str]]) -> bytes | None:
        return default_cache().get("helper", Key(entries))

    def put(self, entries: Sequence[tuple[str, str]], data: bytes) -> None:
        default_cache().put("helper", Key(entries), data)


def cached_backend() -> CpuBackend:
    """The backend of this process's level."""
    return CpuBackend(helpers=_CachedHelpers())
