"""Compiled functions.

Optimised, lowered, compiled or taken from the cache, and ready to be called with arrays.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlc.codegen.backend import Backend
from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.kernel_names import normalised_text
from dlc.codegen.program import Program, build_program
from dlc.ir.config import config
from dlc.ir.core import Function
from dlc.ir.dims import DimExpr, Symbol, evaluate
from dlc.ir.equal import structural_hash
from dlc.ir.errors import MemoryLimitError, ShapeError, ValueRangeError, nearest
from dlc.ir.printer import print_function
from dlc.ir.types import TensorType
from dlc.ir.version import __version__
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.runtime.cache import Key, default_cache
from dlc.runtime.device import BoundProgram, LoadedProgram, find_device
from dlc.runtime.program_text import program_from_bytes, program_to_bytes

log = logging.getLogger("dlc.compile")
MAX_BOUND = 256  # extents for which a program keeps its table


@dataclass(frozen=True)
class Options:
    """How a function is compiled."""

    level: str = "O2"
    precision: str = "exact"
    device: str = "cpu"
    num_threads: int | None = None
    verify: bool = False
    donated: tuple[int, ...] = ()


@dataclass
class Stats:
    """What compiling and running a function has cost. Times in seconds."""

    kernels: int = 0
    kernels_compiled: int = 0
    kernels_from_cache: int = 0
    program_from_cache: bool = False
    calls: int = 0
    native_calls: int = 0
    interpreted_ops: int = 0
    seconds: dict[str, float] = field(default_factory=dict[str, float])


class Executable:
    """A compiled function. Safe to call from many threads at once."""

    def __init__(self, function: Function, options: Options) -> None:
        self.function, self.options = function, options
        self.device = find_device(options.device)
        self.backend: Backend = self.device.backend()
        self.stats = Stats()
        self.program, self._loaded = self._compile()
        self._bound: OrderedDict[tuple[int, ...], BoundProgram] = OrderedDict()
        self._lock = threading.Lock()
        self._binder = _Binder(function)

    # Compilation

    def _compile(self) -> tuple[Program, LoadedProgram]:
        start = time.perf_counter()
        program = self._program()
        self.stats.kernels = len(program.kernels)
        payloads = self._payloads(program.kernels)
        before_load = time.perf_counter()
        loaded = self.device.load(program, payloads)
        end = time.perf_counter()
        self.stats.seconds["load"] = end - before_load
        self.stats.seconds["total"] = end - start
        log.info(
            "%s: %d kernels, %d compiled, %d from the cache, %.1f ms",
            self.function.name, self.stats.kernels, self.stats.kernels_compiled,
            self.stats.kernels_from_cache, 1e3 * (end - start),
        )  # fmt: skip
        return program, loaded

    def _key(self) -> Key:
        options = self.options
        return Key(
            [
                ("dlc", __version__),
                ("function", structural_hash(self.function)),
                ("level", options.level),
                ("precision", options.precision),
                ("donated", ",".join(map(str, options.donated))),
                ("backend", self.backend.name),
                *self.backend.key_entries(),
            ]
        )

    def _program(self) -> Program:
        start = time.perf_counter()
        key = self._key()
        stored = default_cache().get("program", key)
        if stored is not None:
            program = program_from_bytes(stored, self.function.name)
            if program is not None:
                self.stats.program_from_cache = True
                self.stats.seconds["program"] = time.perf_counter() - start
                return program
        optimized = self.optimized()
        program = build_program(optimized, self.options.donated)
        self.stats.seconds["program"] = time.perf_counter() - start
        default_cache().put("program", key, program_to_bytes(program))
        return program

    def _payloads(self, kernels: Sequence[Kernel]) -> list[bytes]:
        """The code of each kernel, from the cache or compiled now."""
        start = time.perf_counter()
        cache = default_cache()
        keys = [kernel_key(k, self.backend) for k in kernels]
        payloads = [cache.get("kernel", key) for key in keys]
        missing = [k for k, p in enumerate(payloads) if p is None]
        if missing:
            made = self.backend.compile([kernels[k] for k in missing])
            for k, payload in zip(missing, made, strict=True):
                payloads[k] = payload
                cache.put("kernel", keys[k], payload)
        self.stats.kernels_compiled = len(missing)
        self.stats.kernels_from_cache = len(kernels) - len(missing)
        self.stats.seconds["kernels"] = time.perf_counter() - start
        return [p for p in payloads if p is not None]

    def optimized(self) -> Function:
        """The function after the passes of its level."""
        verify = self.options.verify or config.verify
        return run_pipeline(self.function, pipeline_of(self.options.level), verify=verify)

    # Stages

    @property
    def stages(self) -> tuple[str, ...]:
        """The names that `text` takes."""
        return ("traced", "optimized", "kernels", *self.backend.stages)

    def text(self, stage: str) -> str:
        """The function at a stage; ValueRangeError for an unknown one."""
        match stage:
            case "traced":
                return print_function(self.function, locations=True)
            case "optimized":
                return print_function(self.optimized(), locations=True)
            case "kernels":
                return self.program.text()
            case _ if stage in self.backend.stages:
                return self.backend.text(self.program.kernels, stage)
            case _:
                raise ValueRangeError(
                    f"there is no stage {stage!r}", hint=nearest(stage, self.stages)
                )

    # Calls

    def bind(self, values: tuple[int, ...]) -> BoundProgram:
        """The program for these values of the symbols, in the order of `Function.symbols`."""
        with self._lock:
            bound = self._bound.get(values)
            if bound is not None:
                self._bound.move_to_end(values)
                return bound
        try:
            bound = self._loaded.bind(dict(zip(self._binder.names, values, strict=True)))
        except OverflowError:
            given = ", ".join(f"{n}={v}" for n, v in zip(self._binder.names, values, strict=True))
            raise MemoryLimitError(
                f"{self.function.name} with {given} computes tensors that no memory can hold",
                hint="use a smaller batch, or reduce before broadcasting",
            ) from None
        with self._lock:
            self._bound[values] = bound
            while len(self._bound) > MAX_BOUND:
                self._bound.popitem(last=False)
        return bound

    def __call__(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Runs the function. The arrays must be C-contiguous and of the parameters' types."""
        bound = self.bind(self._binder.values(arrays))
        self.stats.calls += 1
        self.stats.native_calls += 1
        return bound.run(arrays, config.thread_count(self.options.num_threads))


def kernel_key(kernel: Kernel, backend: Backend) -> Key:
    """What the code of a kernel depends on."""
    entries = [("dlc", __version__), ("kernel", normalised_text(kernel)), ("backend", backend.name)]
    return Key([*entries, *backend.key_entries()])


class _Binder:
    """Finds the values of a function's symbols from the shapes of its arguments."""

    def __init__(self, function: Function) -> None:
        self.types: list[TensorType] = [p.tensor for p in function.params]
        self.names = function.symbols
        self.sources: list[tuple[int, int]] = []
        for name in self.names:
            self.sources.append(self._source(name))

    def _source(self, name: str) -> tuple[int, int]:
        wanted = DimExpr((((Symbol(name),), 1),))
        for k, t in enumerate(self.types):
            for axis, d in enumerate(t.shape):
                if d == wanted:
                    return k, axis
        raise ShapeError(f"the extent {name} is not a dim of any argument by itself")

    def values(self, arrays: Sequence[np.ndarray[Any, Any]]) -> tuple[int, ...]:
        """The values; ShapeError when an argument does not fit its type."""
        found = tuple(arrays[k].shape[axis] for k, axis in self.sources)
        by_name: Mapping[str, int] = dict(zip(self.names, found, strict=True))
        for k, (t, a) in enumerate(zip(self.types, arrays, strict=True)):
            expected = tuple(evaluate(d, by_name) for d in t.shape)
            if a.shape != expected:
                raise ShapeError(f"argument {k} has shape {a.shape}, but {t} means {expected} here")
        return found


def compile_function(function: Function, *, options: Options | None = None) -> Executable:
    """Compiles a function for the device of `options`."""
    return Executable(function, options or Options())
