"""Pieces of machine code that refer to functions of others, and how they are joined to an image."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.relocations import fill_in
from dlc.ir.errors import BackendError, StoredCodeError
from dlc.ir.record import dataclass, replace


@dataclass(frozen=True)
class Reference:
    """One place that is filled in when the function that it names has an address.

    Args:
        name: The function.
        place: Offset into the code.
        kind: ELF's number of the relocation.
        addend: What is added to the function's address.
    """

    name: str
    place: int
    kind: int
    addend: int


@dataclass(frozen=True)
class Piece:
    """Linked code but for its references to functions of other pieces."""

    blob: Blob
    references: tuple[Reference, ...] = ()

    def to_bytes(self) -> bytes:
        """The stored form: a line of JSON and the blob."""
        rows = [(r.name, r.place, r.kind, r.addend) for r in self.references]
        return json.dumps(rows).encode() + b"\n" + self.blob.to_bytes()

    @staticmethod
    def from_bytes(data: bytes) -> Piece:
        """Reads the stored form; StoredCodeError when it is not one."""
        line, _, rest = data.partition(b"\n")
        try:
            references = tuple(Reference(*row) for row in json.loads(line))
        except (ValueError, TypeError) as error:
            raise StoredCodeError(f"stored code is not readable: {error}") from None
        return Piece(Blob.from_bytes(rest), references)


def join(piece: Piece, others: Mapping[str, Piece]) -> Blob:
    """One image of a piece and of all that it leads to; its symbols are those of the piece.

    Args:
        piece: The code that comes first.
        others: The piece of each function that is referred to, by its name.

    Raises:
        BackendError: for a function that is not among them.
    """
    return join_open(piece, others).blob


def join_open(piece: Piece, others: Mapping[str, Piece], outside: Collection[str] = ()) -> Piece:
    """As `join`, where names of `outside` are left to be filled in."""
    image, starts = bytearray(), dict[str, int]()
    waiting = [("", piece)]
    joined: list[tuple[int, Piece]] = []
    left: list[Reference] = []
    alignment = piece.blob.alignment
    while waiting:
        name, current = waiting.pop()
        if name in starts:
            continue
        image += bytes(-len(image) % current.blob.alignment)
        starts[name] = len(image) + current.blob.symbols.get(name, 0)
        joined.append((len(image), current))
        image += current.blob.code
        alignment = max(alignment, current.blob.alignment)
        for wanted in sorted({r.name for r in current.references} - {*outside}, reverse=True):
            if wanted not in others:
                raise BackendError(f"compiled code refers to {wanted}, outside of it")
            waiting.append((wanted, others[wanted]))
    for start, current in joined:
        machine = current.blob.machine
        for r in current.references:
            if r.name in outside:
                left.append(replace(r, place=start + r.place))
                continue
            target = starts[r.name] + r.addend
            fill_in(image, machine, r.kind, start + r.place, target, r.name)
    return Piece(replace(piece.blob, code=bytes(image), alignment=alignment), tuple(left))
