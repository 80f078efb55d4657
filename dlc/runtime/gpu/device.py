"""One GPU as programs use it: a context, a stream, memory from a pool in the stream's order.

All work of dlc on a GPU goes through one stream, so that memory which is given back may be handed
out again at once: what used it comes earlier in the stream.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from dlc.ir.errors import DeviceError, MemoryLimitError
from dlc.runtime.gpu.driver import GpuFacts, driver, forget_driver, gpu_facts

_NON_BLOCKING = 1  # of streams: it does not wait for the default one
_THREAD_LOCAL = 1  # of captures: other threads may use the driver meanwhile
_WITH_TIME, _WITHOUT_TIME = 0, 2  # of events
_KEPT = 2**62  # bytes that the pool may keep between calls: all


class Gpu:
    """An open GPU; made once an index by `open_gpu`.

    lock: held while the calls of a program are put into the stream.
    """

    def __init__(self, index: int) -> None:
        self.facts: GpuFacts = gpu_facts(index)
        self.name = f"cuda:{index}"
        self.lock = threading.RLock()
        self._captured: set[int] | None = None  # memory of the graph that is being captured
        self._later: list[Callable[[], None]] = []
        self._workspace = (0, 0)  # its address and size
        self._workspace_is_used = False
        self.driver = driver()
        self._device: Any = self.driver.call("cuDeviceGet", index)
        self.context: Any = self.driver.call("cuDevicePrimaryCtxRetain", self._device)
        with self.active():
            self.stream: Any = self.call("cuStreamCreate", _NON_BLOCKING)
            self._keep_pool()

    def _keep_pool(self) -> None:
        """Memory stays with the pool when nothing uses it, so that the next call has it at once."""
        pool = self.call("cuDeviceGetDefaultMemPool", self._device)
        names, api = self.driver.api.CUmemPool_attribute, self.driver.api
        threshold = api.cuuint64_t(_KEPT)
        self.call("cuMemPoolSetAttribute", pool, names.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, threshold)

    def call(self, name: str, *args: Any) -> Any:
        """Calls the driver; see `Driver.call`."""
        return self.driver.call(name, *args)

    @contextlib.contextmanager
    def active(self) -> Generator[None]:
        """This is the GPU of the calling thread inside of a `with`; others go by it as well."""
        self.call("cuCtxPushCurrent", self.context)
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent")

    # Memory

    def allocate(self, size: int) -> int:
        """The address of so many bytes, 0 for none.

        Raises:
            MemoryLimitError: There is not enough.
        """
        if not size:
            return 0
        try:
            address = self._allocate(size)
        except MemoryLimitError:
            with self.active():
                free, total = self.call("cuMemGetInfo")
            raise MemoryLimitError(
                f"{self.name} has not enough memory: {size:,} bytes are wanted, "
                f"{int(free):,} of {int(total):,} are free",
                hint="use a smaller batch or a narrower element type, or free tensors on the GPU",
            ) from None
        if self._captured is not None:
            self._captured.add(address)
        return address

    def _allocate(self, size: int) -> int:
        with self._ordered():
            try:
                return int(self.call("cuMemAllocAsync", size, self.stream))
            except MemoryLimitError:
                in_use = self._workspace_is_used or self._captured is not None
                if in_use or not self._workspace[1]:
                    raise
                self.release_workspace()
                return int(self.call("cuMemAllocAsync", size, self.stream))

    def free(self, address: int) -> None:
        """Gives memory back, when what is in the stream has used it."""
        if not address:
            return
        with self._ordered():
            if self._captured is not None and address not in self._captured:
                # A graph frees only what is its own.
                self._later.append(partial(self.free, address))
            else:
                self.call("cuMemFreeAsync", address, self.stream)

    @contextlib.contextmanager
    def workspace(self, size: int) -> Generator[int]:
        """Memory that a program may use inside of a `with`, in the order of the stream.

        It grows to what the largest program needs, and has the same address until it does.
        """
        if size > self._workspace[1]:
            self.release_workspace()
            self._workspace = (self.allocate(size), size)
        self._workspace_is_used = True
        try:
            yield self._workspace[0]
        finally:
            self._workspace_is_used = False

    @contextlib.contextmanager
    def own_space(self, size: int) -> Generator[int]:
        """Memory that nobody else uses, inside of a `with`."""
        address = self.allocate(size)
        try:
            yield address
        finally:
            self.free(address)

    def release_workspace(self) -> None:
        """Gives back what `workspace` has given, when nothing uses it."""
        address, _ = self._workspace
        self._workspace = (0, 0)
        self.free(address)

    def copy_in(self, address: int, source: int, size: int) -> None:
        """Copies bytes of the host's memory, which may be written to when this returns."""
        if not size:
            return
        with self._ordered():
            self.call("cuMemcpyHtoDAsync", address, source, size, self.stream)
            pinned = self._is_known(source)
        if pinned:  # other memory has been read by now
            self.synchronize()

    def _is_known(self, address: int) -> bool:
        """Whether the driver knows memory of the host, which it may then read later."""
        name = self.driver.api.CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE
        status, *_ = self.driver.api.cuPointerGetAttribute(name, address)
        return not int(status)

    def copy_out(self, target: int, address: int, size: int) -> None:
        """Copies bytes into the host's memory and waits for it."""
        if size:
            with self._ordered():
                self.call("cuMemcpyDtoHAsync", target, address, size, self.stream)
        self.synchronize()

    def copy(self, target: int, source: int, size: int) -> None:
        """Copies bytes on the GPU."""
        if size and target != source:
            with self._ordered():
                self.call("cuMemcpyDtoDAsync", target, source, size, self.stream)

    def synchronize(self) -> None:
        """Waits for all that is in the stream now."""
        with self._ordered():
            event = self._event(self.stream)
        with self.active():
            self.call("cuEventSynchronize", event)
            self.call("cuEventDestroy", event)

    @contextlib.contextmanager
    def _ordered(self) -> Generator[None]:
        """Nothing else gets into the stream inside of a `with`, and no graph is being captured."""
        with self.lock, self.active():
            yield

    def _event(self, stream: Any) -> Any:
        event = self.call("cuEventCreate", _WITHOUT_TIME)
        self.call("cuEventRecord", event, stream)
        return event

    def milliseconds(self, enqueue: Callable[[], None], times: int) -> float:
        """How long what `enqueue` puts into the stream takes, on average."""
        with self._ordered():
            first, last = (self.call("cuEventCreate", _WITH_TIME) for _ in range(2))
            self.call("cuEventRecord", first, self.stream)
            for _ in range(times):
                enqueue()
            self.call("cuEventRecord", last, self.stream)
            self.call("cuEventSynchronize", last)
            took = float(self.call("cuEventElapsedTime", first, last))
            for event in (first, last):
                self.call("cuEventDestroy", event)
        return took / times

    def capture(self, enqueue: Callable[[], None]) -> Any:
        """The graph of what `enqueue` puts into the stream, which is not run."""
        mode = self.driver.api.CUstreamCaptureMode(_THREAD_LOCAL)
        with self._ordered():
            self.call("cuStreamBeginCapture", self.stream, mode)
            self._captured = set()
            try:
                enqueue()
            except BaseException:
                with contextlib.suppress(DeviceError):  # the capture may be of no use any more
                    self.call("cuGraphDestroy", self._end_capture())
                raise
            return self._end_capture()

    def _end_capture(self) -> Any:
        try:
            return self.call("cuStreamEndCapture", self.stream)
        finally:
            self._captured, later, self._later = None, self._later, []
            for action in later:
                action()

    def uncaptured(self, action: Callable[[], None]) -> None:
        """Does something that is no part of a graph: now, or after the present capture."""
        with self._ordered():
            if self._captured is None:
                action()
            else:
                self._later.append(action)

    # Other streams

    def lead(self, stream: Any) -> None:
        """Lets another stream wait for what is in this one."""
        self._wait(stream, self.stream)

    def follow(self, stream: Any) -> None:
        """Lets this stream wait for what is in another one."""
        self._wait(self.stream, stream)

    def _wait(self, waiting: Any, first: Any) -> None:
        with self._ordered():
            event = self._event(first)
            self.call("cuStreamWaitEvent", waiting, event, 0)
            self.call("cuEventDestroy", event)


_open: dict[int, Gpu] = {}
_opening = threading.Lock()


def open_gpu(index: int) -> Gpu:
    """The GPU of a number.

    Raises:
        DeviceError: There is none.
    """
    found = _open.get(index)
    if found is None:
        with _opening:  # threads that come at once get the same one
            found = _open.get(index) or _open.setdefault(index, Gpu(index))
    return found


def index_of(device: str) -> int:
    """The number of `cuda`, `cuda:1` or `gpu:1`.

    Raises:
        DeviceError: It has another form.
    """
    kind, _, number = device.partition(":")
    if kind not in ("cuda", "gpu") or not (number.isdigit() or not number):
        raise DeviceError(f"{device!r} is no GPU: it should read like 'cuda:0'")
    return int(number or 0)


def forget_gpus() -> None:
    """Lets the next program look for GPUs again: a test has put another driver in place."""
    _open.clear()
    forget_driver()
