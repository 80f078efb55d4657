"""`Channel`: objects between processes, their arrays through memory that has no name.

A message is pickled; if it is large, it lies with the buffers of its arrays in an anonymous file of
the memory, whose descriptor is sent. The other side maps it. Nothing of it is in a file system, so
nothing stays behind, however processes end; the memory is free again when no array is in it.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import select
import struct
import sys
import tempfile
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

import dlc

_INLINE = 2048  # bytes of a message that are sent themselves
_ALIGNED = 64
_SHARES = sys.platform != "win32"  # descriptors are sent through sockets
_STEP = 1 << 30  # bytes of one call


class Encoded(NamedTuple):
    """A message, ready to be sent any number of times.

    head: the sizes of its parts, and the parts where there is no file.
    file: the descriptor of the file with the parts; None where they are in the head.
    """

    head: bytes
    file: int | None

    def close(self) -> None:
        """Lets the file go."""
        if self.file is not None:
            os.close(self.file)


class _Pickler(pickle.Pickler):
    """Keeps the memory of arrays out of the text, of tensors too."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is dlc.Tensor:
            return _tensor, (np.ascontiguousarray(obj.numpy()),)
        if type(obj) is np.ndarray and not (obj.flags.c_contiguous or obj.flags.f_contiguous):
            return np.ascontiguousarray(obj).__reduce_ex__(5)
        return NotImplemented


def _tensor(array: np.ndarray[Any, Any]) -> dlc.Tensor:
    return dlc.asarray(array, copy=False)


def encode(message: Any) -> Encoded:
    """Makes a message of an object.

    Raises:
        Exception: what pickling it raises.
    """
    buffers: list[pickle.PickleBuffer] = []
    text = io.BytesIO()
    _Pickler(text, 5, buffer_callback=buffers.append).dump(message)
    parts = [text.getbuffer(), *(b.raw() for b in buffers)]
    sizes = [p.nbytes for p in parts]
    large = _SHARES and sum(sizes) > _INLINE
    head = struct.pack(f"<?I{len(sizes)}Q", large, len(sizes), *sizes)
    if not large:
        return Encoded(b"".join([head, *(bytes(p) + bytes(_gap(p.nbytes)) for p in parts)]), None)
    file = _anonymous_file()
    try:
        place = 0
        for part in parts:
            _write(file, part, place)
            place += part.nbytes + _gap(part.nbytes)
        os.ftruncate(file, place)
    except BaseException:
        os.close(file)
        raise
    return Encoded(head, file)


def _gap(size: int) -> int:
    return -size % _ALIGNED


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("dlc data")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write(file: int, part: memoryview, place: int) -> None:
    done = 0
    while done < part.nbytes:
        done += os.pwrite(file, part[done : done + _STEP], place + done)


class Channel:
    """One end of a connection between two processes.

    Args:
        connection: The end of a `multiprocessing.Pipe(duplex=True)`.
    """

    def __init__(self, connection: Any) -> None:
        self.connection: Connection = connection

    def send(self, message: Any) -> None:
        """Sends an object.

        Raises:
            OSError: when the other end is closed.
            Exception: what pickling it raises; nothing is sent then.
        """
        encoded = encode(message)
        try:
            self.send_encoded(encoded)
        finally:
            encoded.close()

    def send_encoded(self, encoded: Encoded) -> None:
        """Sends what `encode` made."""
        self.connection.send_bytes(encoded.head)
        if encoded.file is not None:
            reduction.send_handle(self.connection, encoded.file, None)  # type: ignore[arg-type]

    def has_room(self) -> bool:
        """Whether a small message can be sent without waiting."""
        if not _SHARES:
            return True
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLOUT)
        return bool(poll.poll(0))

    def receive(self) -> Any:
        """Waits for an object.

        Raises:
            EOFError: when the other end is closed.
            OSError: likewise.
            Exception: what making the object of its text raises.
        """
        head = bytearray(self.connection.recv_bytes())
        large, count = struct.unpack_from("<?I", head)
        sizes = struct.unpack_from(f"<{count}Q", head, 5)
        content: Any = memoryview(head)[5 + 8 * count :]
        if large:
            file = reduction.recv_handle(self.connection)
            try:
                content = memoryview(mmap.mmap(file, 0))
            finally:
                os.close(file)
        parts: list[memoryview] = []
        place = 0
        for size in sizes:
            parts.append(content[place : place + size])
            place += size + _gap(size)
        return pickle.loads(parts[0], buffers=parts[1:])
