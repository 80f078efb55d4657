"""The CPU backend with the disk cache behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dlc.codegen.cpu.backend import CpuBackend
from dlc.runtime.cache import default_cache
from dlc.runtime.cache_entry import Key
from dlc.runtime.own_version import own_version

if TYPE_CHECKING:
    from dlc.codegen.cpu.pieces import Piece


class _CachedHelpers:
    """Helper functions of kernels in the disk cache."""

    def find(
        self, entries: Sequence[tuple[str, str]], read: Callable[[bytes], Piece]
    ) -> Piece | None:
        return default_cache().find("helper", _key(entries), read)

    def put(self, entries: Sequence[tuple[str, str]], data: bytes) -> None:
        default_cache().put("helper", _key(entries), data)


def _key(entries: Sequence[tuple[str, str]]) -> Key:
    return Key([("dlc", own_version()), *entries])


def cached_backend() -> CpuBackend:
    """The backend of this process's level."""
    return CpuBackend(helpers=_CachedHelpers())
