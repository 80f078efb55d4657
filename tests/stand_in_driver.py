"""A stand-in for NVIDIA's driver: kernels run in Triton's interpreter, on shared memory.

Machine code is the source that it would be made of. Addresses are not the host's, so that nothing
on the host can reach them but through the driver. Memory that nobody has written is 0xFF in every
byte; what is used after it was freed, or written beyond its end, is an error.
"""

import ctypes
import enum
import json
import mmap
import os
import sys
import tempfile
import threading
import types
from contextlib import contextmanager

from dlc.codegen.triton import backend as triton_backend
from dlc.codegen.triton.compile import Binary
from dlc.frontend import eager, execution
from dlc.runtime.gpu import program
from dlc.runtime.gpu.device import forget_gpus

BASE = 0x7100_0000_0000
SIZE = 1 << 28
ROOM = 256  # bytes between allocations
FRESH, EDGE = b"\xff", b"\xa5"


class Attribute(enum.IntEnum):
    CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76


class FunctionAttribute(enum.IntEnum):
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8


class PoolAttribute(enum.IntEnum):
    CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4


class PointerAttribute(enum.IntEnum):
    CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2


class CaptureMode(enum.IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


class Event:
    at = 0.0  # milliseconds


class Function:
    def __init__(self, source, entry, kinds):
        self.source, self.entry, self.kinds = source, entry, kinds
        self.shared = 48 << 10


class StandIn:
    """The module `cuda.bindings.driver`.

    Args:
        worker: Runs kernels; None where none is to run.
        count: The number of GPUs.
        arch: Their architecture.
        version: Of the driver.
        memory: Bytes of a GPU.
    """

    def __init__(self, worker=None, count=1, arch=(9, 0), version=13000, memory=SIZE):
        self.worker, self.count, self.arch, self.version = worker, count, arch, version
        self.memory_size = memory
        self.calls = []  # names, in order
        self.launched = []  # entries of kernels, in order
        self.clock, self.cost = 0.0, lambda entry: 1.0  # milliseconds of launches by entry
        self.live, self.gaps = {}, {}
        self.top, self.used, self.peak = 0, 0, 0
        self.recording, self.closed = None, False
        self.pinned = set()  # addresses of the host, which copies read when they are waited for
        self.late = []
        self.failing = {}  # statuses by the names of calls
        self.thread = threading.local()
        shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.file = tempfile.NamedTemporaryFile(dir=shared)  # noqa: SIM115
        self.file.truncate(SIZE)
        self.memory = mmap.mmap(self.file.fileno(), SIZE)
        if worker is not None:
            worker.request("memory", (self.file.name, SIZE, BASE))
        self.CUdevice_attribute, self.CUfunction_attribute = Attribute, FunctionAttribute
        self.CUmemPool_attribute, self.CUstreamCaptureMode = PoolAttribute, CaptureMode
        self.CUpointer_attribute = PointerAttribute
        self.cuuint64_t = int

    def close(self):
        """Checks all memory; what is freed later is nobody's concern."""
        self.closed = True
        for address in list(self.live):
            self._check_edge(address)
        self.memory.close()
        self.file.close()

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if name.startswith("cu") and callable(found) and name != "cuuint64_t":
            self.calls.append(name)
            if name in self.failing:
                return lambda *_: self._failed(name)
        return found

    def _failed(self, name):
        if name == "cuStreamEndCapture":
            self.recording = None
        return self.failing.pop(name), None

    # The driver and its devices

    def cuInit(self, flags):
        return (0 if self.count else 100,)

    def cuDriverGetVersion(self):
        return 0, self.version

    def cuGetErrorString(self, status):
        return 0, f"status {int(status)}".encode()

    def cuDeviceGetCount(self):
        return 0, self.count

    def cuDeviceGet(self, index):
        return 0, index

    def cuDeviceGetAttribute(self, attribute, device):
        known = {13: 1_000_000, 16: 2, 75: self.arch[0], 76: self.arch[1]}
        return 0, known[attribute]

    def cuDeviceGetName(self, length, device):
        return 0, b"Stand-in\0\0"

    def cuDeviceTotalMem(self, device):
        return 0, self.memory_size

    def cuDevicePrimaryCtxRetain(self, device):
        return 0, f"context {device}"

    def cuCtxPushCurrent(self, context):
        self.contexts().append(context)
        return (0,)

    def cuCtxPopCurrent(self):
        return 0, self.contexts().pop()

    def contexts(self):
        """Those of the calling thread; the last one is current."""
        return vars(self.thread).setdefault("contexts", [])

    def _in_context(self):
        assert self.contexts(), "no GPU is this thread's"

    # Streams and events

    def cuStreamCreate(self, flags):
        self._in_context()
        return 0, "stream"

    def cuEventCreate(self, flags):
        self._in_context()
        return 0, Event()

    def cuEventRecord(self, event, stream):
        self._in_context()
        event.at = self.clock
        return (0,)

    def cuEventElapsedTime(self, first, last):
        return 0, last.at - first.at

    def cuEventSynchronize(self, event):
        self._in_context()
        assert self.recording is None, "nothing is waited for while a graph is captured"
        self._do_late()
        return (0,)

    def cuEventDestroy(self, event):
        return (0,)

    def cuStreamWaitEvent(self, stream, event, flags):
        self._in_context()
        return (0,)

    # Memory

    def cuDeviceGetDefaultMemPool(self, device):
        return 0, "pool"

    def cuMemPoolSetAttribute(self, pool, attribute, value):
        return (0,)

    def cuMemGetInfo(self):
        self._in_context()
        return 0, self.memory_size - self.used, self.memory_size

    def cuMemAllocAsync(self, size, stream):
        self._in_context()
        assert size > 0
        whole = -(-size // 512) * 512
        if self.used + whole > self.memory_size:
            return 2, 0
        gaps = self.gaps.get(whole)
        if gaps:
            at = gaps.pop()
        else:
            at = self.top
            self.top += whole + ROOM
            assert self.top <= SIZE, "the stand-in's memory is full"
        self.used += whole
        self.peak = max(self.peak, self.used)
        self.live[BASE + at] = (size, whole)
        self.memory[at : at + size] = FRESH * size
        self.memory[at + size : at + whole + ROOM] = EDGE * (whole + ROOM - size)
        return 0, BASE + at

    def cuMemFreeAsync(self, address, stream):
        if self.closed:
            return (0,)
        self._in_context()
        self._check_edge(address)
        _, whole = self.live.pop(address)
        self.used -= whole
        if self.recording is None:
            self.gaps.setdefault(whole, []).append(address - BASE)
        return (0,)

    def _check_edge(self, address):
        size, whole = self.live[address]
        at = address - BASE
        edge = self.memory[at + size : at + whole + ROOM]
        assert edge == EDGE * len(edge), "something was stored out of bounds"

    def _place(self, address, size, step=1):
        for start, (length, _) in self.live.items():
            if start <= address and address + size <= start + length:
                return address - BASE
        raise AssertionError(f"{size} bytes at {address:#x} are nobody's")

    def _do(self, action):
        """Does something now, or keeps it for the graph that is captured, or for later."""
        if self.recording is not None:
            self.recording.append(action)
        elif self.late:
            self.late.append(action)
        else:
            action()
        return (0,)

    def _do_late(self):
        late, self.late = self.late, []
        for action in late:
            action()

    def cuPointerGetAttribute(self, attribute, address):
        self._in_context()
        return (0, 1) if address in self.pinned else (1, None)

    def cuMemcpyHtoDAsync(self, target, source, size, stream):
        self._in_context()
        at = self._place(target, size)
        assert self.recording is None, "a graph would copy the same again"

        def copy():
            self.memory[at : at + size] = ctypes.string_at(source, size)

        if source in self.pinned:
            self.late.append(copy)
            return (0,)
        return self._do(copy)

    def cuMemcpyDtoHAsync(self, target, source, size, stream):
        self._in_context()
        at = self._place(source, size)
        assert self.recording is None
        self._do_late()
        ctypes.memmove(target, self.memory[at : at + size], size)
        return (0,)

    def cuMemcpyDtoDAsync(self, target, source, size, stream):
        self._in_context()
        to, at = self._place(target, size), self._place(source, size)

        def copy():
            self.memory[to : to + size] = self.memory[at : at + size]

        return self._do(copy)

    # Code

    def cuModuleLoadData(self, image):
        self._in_context()
        if image[:1] != b"{":
            return 200, None
        facts = json.loads(image.rstrip(b"\0"))
        if facts["arch"] > f"sm_{self.arch[0]}{self.arch[1]}":
            return 209, None
        return 0, facts

    def cuModuleGetFunction(self, module, name):
        self._in_context()
        return 0, Function(module["source"], name.decode(), module["kinds"])

    def cuFuncSetAttribute(self, function, attribute, value):
        function.shared = value
        return (0,)

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared, stream, arguments, extra):
        self._in_context()
        assert gx > 0
        assert bx % 32 == 0
        assert shared <= function.shared
        kinds = function.kinds
        places = ctypes.cast(arguments, ctypes.POINTER(ctypes.POINTER(ctypes.c_uint64)))
        values = [places[k].contents.value for k in range(len(kinds) + 2)]
        for value, kind in zip(values, kinds, strict=False):
            if kind[0] == "*" and value:
                assert value % 16 == 0, "an address that code takes for a multiple of 16"
                self._place(value, 1)

        def launch():
            self.launched.append(function.entry)
            self.clock += self.cost(function.entry)
            if self.worker is not None:
                work = (function.source, function.entry, gx, values[: len(kinds)], kinds)
                self.worker.request("launch", work)

        return self._do(launch)

    # Graphs

    def cuStreamBeginCapture(self, stream, mode):
        self._in_context()
        assert mode == 1
        self.recording = []
        return (0,)

    def cuStreamEndCapture(self, stream):
        self._in_context()
        recording, self.recording = self.recording, None
        return 0, recording

    def cuGraphInstantiate(self, graph, flags):
        self._in_context()
        return 0, list(graph)

    def cuGraphLaunch(self, graph, stream):
        self._in_context()
        for action in graph:
            self._do(action)
        return (0,)

    def cuGraphDestroy(self, graph):
        return (0,)

    def cuGraphExecDestroy(self, graph):
        return (0,)


def forget():
    """Forgets GPUs, and programs that are loaded on them."""
    forget_gpus()
    for cached in (eager._kernels, eager._usual, execution._programs, program._uploaded):
        cached.clear()


@contextmanager
def stand_in(worker=None, which=0, **facts):
    """The stand-in in place of the driver, and sources in place of machine code.

    Args:
        worker: Runs kernels; None where none is to run.
        which: 0 lets the first variants run that fit, 1 the last ones, which always do.
        facts: Of the driver; see `StandIn`.
    """
    driver = StandIn(worker, **facts)
    bindings = types.ModuleType("cuda.bindings")
    bindings.driver = driver
    modules = {"cuda": types.ModuleType("cuda"), "cuda.bindings": bindings}
    modules["cuda.bindings.driver"] = driver
    saved = {name: sys.modules.get(name) for name in modules}
    plain = (triton_backend.compile_variant, triton_backend.triton_version)
    emit = triton_backend.emit_kernel

    def source_of(variant, signature, arch):
        facts = {"source": variant.source, "arch": arch, "kinds": list(signature.values())}
        return Binary(variant.entry, 0, 0, json.dumps(facts).encode(), {"ptx": "", "ttir": ""})

    def last_of(kernel, arch, **how):
        return tuple(type(x)(x.variants[-1:]) for x in emit(kernel, arch, **how))

    sys.modules.update(modules)
    forget()
    triton_backend.compile_variant = source_of
    triton_backend.triton_version = lambda: f"stand-in {which}"
    if which:
        triton_backend.emit_kernel = last_of
    try:
        yield driver
        driver.close()
    finally:
        triton_backend.compile_variant, triton_backend.triton_version = plain
        triton_backend.emit_kernel = emit
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        forget()
