"""Memory of results: large buffers are used again, and the system gets back what is too much."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import numpy as np
import pytest

import dlc
from dlc.runtime.entry_type import native_support
from dlc.runtime.native import entry_layout as layout
from dlc.runtime.native.entry_support import entry_code
from dlc.runtime.object_layout import poke

pytestmark = pytest.mark.skipif(native_support() is None, reason="no native entries here")

MIB = 1 << 20
WORD = ctypes.c_size_t


class Memory:
    """The buffers of an API block of its own, over an allocator that keeps count."""

    def __init__(self, most):
        self.blocks = {}
        self.failures = 0
        self._api = ctypes.create_string_buffer(layout.API_BYTES)
        self._at = ctypes.addressof(self._api)
        self._functions = (
            ctypes.CFUNCTYPE(WORD, WORD)(self._system_malloc),
            ctypes.CFUNCTYPE(None, WORD)(self._system_free),
        )
        for name, function in zip(
            ("PyMem_RawMalloc", "PyMem_RawFree"), self._functions, strict=True
        ):
            poke(self._at + layout.API[name], ctypes.cast(function, ctypes.c_void_p).value)
        poke(self._at + layout.LARGE_MOST, most)
        symbols = entry_code().symbols
        self._malloc = ctypes.CFUNCTYPE(WORD, WORD, WORD)(symbols["buffer_malloc"])
        self._free = ctypes.CFUNCTYPE(None, WORD, WORD, WORD)(symbols["buffer_free"])

    def _system_malloc(self, size):
        if self.failures:
            self.failures -= 1
            return 0
        block = ctypes.create_string_buffer(size)
        self.blocks[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def _system_free(self, at):
        del self.blocks[at]

    def take(self, size):
        at = self._malloc(self._at, size)
        if at:
            assert at % 64 == 0
            ctypes.memset(at, 255, size)
        return at

    def give(self, at):
        self._free(self._at, at, 0)


def test_results_are_in_such_buffers():
    f = dlc.compile(lambda x: (x + 1.0, dlc.sum(x)))
    x = dlc.asarray(np.arange(3 << 20, dtype=np.float32))
    seen = set()
    for _ in range(4):
        y, total = f(x)
        seen.add(y.numpy().ctypes.data)
        assert y.numpy()[5] == 6
        np.testing.assert_allclose(total, (3 << 20) ** 2 / 2, rtol=1e-5)
        del y, total
    kept = [f(x)[0] for _ in range(3)]
    assert len({y.numpy().ctypes.data for y in kept}) == 3
    assert all(y.numpy()[-1] == 3 << 20 for y in kept)
    assert len(seen) <= 2


def test_a_large_buffer_serves_again():
    memory = Memory(64 * MIB)
    first = memory.take(3 * MIB)
    memory.give(first)
    assert memory.take(3 * MIB - 1000) == first
    other = memory.take(3 * MIB)
    assert other != first
    memory.give(other)
    memory.give(first)
    # Neither for much less nor for more, and the last one freed first.
    assert memory.take(2 * MIB) not in (first, other)
    assert memory.take(4 * MIB) not in (first, other)
    assert [memory.take(3 * MIB) for _ in range(2)] == [first, other]
    assert len(memory.blocks) == 4


def test_no_more_is_kept_than_allowed():
    memory = Memory(10 * MIB)
    held = [memory.take(3 * MIB) for _ in range(5)]
    huge = memory.take(11 * MIB)
    assert len(memory.blocks) == 6
    for at in (*held, huge):
        memory.give(at)
    # The last three are left.
    assert len(memory.blocks) == 3
    assert [memory.take(3 * MIB) for _ in range(3)] == held[:1:-1]
    assert len(memory.blocks) == 3


def test_free_buffers_are_given_back_before_memory_runs_out():
    memory = Memory(64 * MIB)
    for at in [memory.take(3 * MIB) for _ in range(3)]:
        memory.give(at)
    memory.failures = 1
    assert memory.take(5 * MIB)
    assert len(memory.blocks) == 1
    memory.failures = 2
    assert not memory.take(5 * MIB)
    memory.failures = 0
    assert memory.take(5 * MIB)


def test_a_first_result_does_not_wait_for_native_entries():
    code = (
        "import sys, numpy as np, dlc\n"
        "f = dlc.compile(lambda x: x + 1)\n"
        "x = np.zeros((1 << 20,), np.float32)\n"
        "first = f(x)\n"
        "assert 'dlc.runtime.entry_type' not in sys.modules\n"
        "again = [f(x) for _ in range(3)]\n"
        "from dlc.runtime.entry_type import made_support\n"
        "assert made_support() is not None\n"
        "assert all((y.numpy() == 1).all() for y in (first, *again))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
