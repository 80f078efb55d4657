"""SHA-256, from the smallest module that has it.

`hashlib` takes its hashes from OpenSSL, whose library takes longer to load than a program from the
cache. CPython's own code gives the same digests.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol


class Hash(Protocol):
    """A hash that is fed with bytes."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Feed more bytes."""
        ...

    def digest(self) -> bytes:
        """The hash of all bytes so far."""
        ...

    def hexdigest(self) -> str:
        """The same in hexadecimal digits."""
        ...


def _find() -> Callable[..., Hash]:
    for module in ("_sha2", "_sha256"):  # from Python 3.12 on, and before
        try:
            return importlib.import_module(module).sha256
        except (ImportError, AttributeError):
            continue
    return importlib.import_module("hashlib").sha256


sha256 = _find()
