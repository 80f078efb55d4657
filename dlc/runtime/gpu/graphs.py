"""Calls of a program captured as CUDA graphs, and replayed with one call of the driver.

A graph has addresses in it. Memory from the pool has the same ones again and again while a program
is called in a loop, so that few graphs serve all calls: one for each set of addresses.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from dlc.runtime.gpu.device import Gpu

MOST = 8  # graphs of a program
AFTER = 2  # calls with the same addresses before they are captured
UNUSED = 256  # calls without a graph before another one takes its place
_MOST_SEEN = 256


class Graphs:
    """The graphs of one program with its extents."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.replays = 0
        self._calls = 0
        self._graphs: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._seen: dict[tuple[int, ...], int] = {}

    def run(self, addresses: tuple[int, ...], enqueue: Callable[[], None]) -> None:
        """Does what `enqueue` does with these addresses, which are all that it depends on."""
        self._calls += 1
        graph = self._graphs.get(addresses)
        if graph is None:
            seen = self._seen[addresses] = self._seen.get(addresses, 0) + 1
            if seen <= AFTER or not self._has_room():
                enqueue()
                self._forget()
                return
            graph = self._graphs[addresses] = self._capture(enqueue)
            if len(self._graphs) > MOST:
                _, oldest = self._graphs.popitem(last=False)
                oldest.release()
        self._graphs.move_to_end(addresses)
        graph.used = self._calls
        self.gpu.call("cuGraphLaunch", graph.executable, self.gpu.stream)
        self.replays += 1

    def _has_room(self) -> bool:
        """Whether one more may be captured; where many sets take turns, none would be replayed."""
        if len(self._graphs) < MOST:
            return True
        oldest = next(iter(self._graphs.values()))
        return self._calls - oldest.used >= UNUSED

    def _forget(self) -> None:
        if len(self._seen) > _MOST_SEEN:
            self._seen.clear()

    def _capture(self, enqueue: Callable[[], None]) -> _Graph:
        graph = self.gpu.capture(enqueue)
        executable = self.gpu.call("cuGraphInstantiate", graph, 0)
        self.gpu.call("cuGraphDestroy", graph)
        return _Graph(self.gpu, executable)


class _Graph:
    def __init__(self, gpu: Gpu, executable: Any) -> None:
        self.executable = executable
        self.used = 0  # the number of the last call
        self.release = weakref.finalize(self, gpu.call, "cuGraphExecDestroy", executable)
        self.release.atexit = False
