"""Helper functions of kernels: compiled once for a level, kept, and joined to what calls them.

The micro-kernels and packing functions of contractions are the same in many kernels, and take most
of the time that compiling one takes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from dlc.codegen.cpu.compiler_version import compiler_version
from dlc.codegen.cpu.emit import Emitter, open_module_text
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.cpu.pieces import Piece
from dlc.ir.errors import BackendError


class HelperStore(Protocol):
    """Keeps code of helpers from one process to the next."""

    def get(self, entries: Sequence[tuple[str, str]]) -> bytes | None:
        """What was put under a key of (label, text) entries, if it is there."""
        ...

    def put(self, entries: Sequence[tuple[str, str]], data: bytes) -> None:
        """Stores bytes under a key."""
        ...


_lock = threading.Lock()
_known: dict[tuple[str, str], Piece] = {}  # by level and text


def helper_pieces(
    helpers: Mapping[str, Emitter], isa: Isa, store: HelperStore | None = None
) -> dict[str, Piece]:
    """The code of helper functions, by name.

    Args:
        helpers: Functions by their names, with those that they call.
        isa: The level.
        store: Where code is looked for that this process has not met, and put.
    """
    texts = {name: helper.text() for name, helper in helpers.items()}
    found: dict[str, Piece] = {}
    missing: list[str] = []
    with _lock:
        for name, text in texts.items():
            piece = _known.get((isa.name, text)) or _stored(name, text, isa, store)
            if piece is None:
                missing.append(name)
            else:
                found[name] = _known[isa.name, text] = piece
    if not missing:
        return found
    module = compile_module(
        open_module_text([helpers[n] for n in missing]), isa, outside=helpers.keys()
    )
    made = module.pieces(missing, outside=helpers.keys())
    for name, piece in zip(missing, made, strict=True):
        found[name] = piece
        if store is not None:
            store.put(_key(name, texts[name], isa), piece.to_bytes())
    with _lock:
        _known.update({(isa.name, texts[name]): found[name] for name in missing})
    return found


def _key(name: str, text: str, isa: Isa) -> list[tuple[str, str]]:
    return [("helper", name), ("isa", isa.name), ("llvm", compiler_version()), ("text", text)]


def _stored(name: str, text: str, isa: Isa, store: HelperStore | None) -> Piece | None:
    data = None if store is None else store.get(_key(name, text, isa))
    try:
        return None if data is None else Piece.from_bytes(data)
    except BackendError:
        return None  # written by another format of this version; compiled again
