"""Compiled functions.

Optimised, lowered, compiled or taken from the cache, and ready to be called with arrays.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.codegen.backend import Backend, nothing
from dlc.codegen.host_call import host_code
from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.memory_plan import byte_size, plan_memory
from dlc.codegen.program import Program
from dlc.ir.collection import no_collection
from dlc.ir.config import config
from dlc.ir.core import Function, all_nodes
from dlc.ir.deferred import deferred
from dlc.ir.digest import sha256
from dlc.ir.dims import evaluate, in_range, plain_name, range_words
from dlc.ir.equal import structural_hash
from dlc.ir.errors import MemoryLimitError, ShapeError, StoredCodeError, ValueRangeError, nearest
from dlc.ir.host_function import called_functions
from dlc.ir.locks import make_lock
from dlc.ir.logs import TopicLog
from dlc.ir.op import OPS
from dlc.ir.printer import print_function
from dlc.ir.recent import Recent
from dlc.ir.record import dataclass, field
from dlc.ir.types import TensorType
from dlc.runtime.cache import Key, default_cache
from dlc.runtime.device import BoundProgram, LoadedProgram, find_device
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.own_version import own_version
from dlc.runtime.places import check_on_host
from dlc.runtime.program_text import program_from_bytes, program_to_bytes

# Not needed where everything comes from the cache.
if TYPE_CHECKING:
    from pathlib import Path

    from dlc.codegen import kernel_names, program_builder
    from dlc.passes import manager, pipelines
    from dlc.runtime import progress, stage_files
else:
    kernel_names = deferred("dlc.codegen.kernel_names")
    program_builder = deferred("dlc.codegen.program_builder")
    manager = deferred("dlc.passes.manager")
    pipelines = deferred("dlc.passes.pipelines")
    progress = deferred("dlc.runtime.progress")
    stage_files = deferred("dlc.runtime.stage_files")

log = TopicLog("compile")
_fusion_log, _code_log = TopicLog("fusion"), TopicLog("code")
MAX_BOUND = 256  # extents for which a program keeps its table
BATCH = 64  # kernels that are compiled, and then stored, at a time
PHASES = ("key", "passes", "lower", "cache", "compile", "load")


@dataclass(frozen=True)
class Options:
    """How a function is compiled.

    donated, fixed: positions of parameters whose memory may be reused, and of those whose values
        are given once, when the program is loaded.
    """

    level: str = "O2"
    precision: str = "exact"
    device: str = "cpu"
    num_threads: int | None = None
    verify: bool = False
    donated: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()


@dataclass
class Stats:
    """What compiling and running a function has cost.

    seconds: by phase, in the order of their first time; those that did not happen are not there.
        `key` prints and hashes, `passes` optimises the IR, `lower` makes kernels and the program,
        `cache` reads and writes the cache, `compile` makes machine code (and writes the program
        to the cache meanwhile), `load` puts it into memory; `total` is all of it.
    """

    kernels: int = 0
    kernels_compiled: int = 0
    kernels_from_cache: int = 0
    program_from_cache: bool = False
    calls: int = 0
    native_calls: int = 0
    interpreted_ops: int = 0
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextlib.contextmanager
    def phase(self, name: str) -> Generator[None]:
        """Adds the time inside a `with` to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def times(self) -> str:
        """The seconds in words, as milliseconds."""
        return ", ".join(f"{name} {1e3 * t:.1f}" for name, t in self.seconds.items()) + " ms"


class Executable:
    """A compiled function. Safe to call from many threads at once.

    Args:
        function: What it computes.
        options: How it is compiled.
        fixed: The values of the parameters that `options.fixed` names, in that order.
    """

    def __init__(
        self, function: Function, options: Options, fixed: Sequence[np.ndarray[Any, Any]] = ()
    ) -> None:
        self.function, self.options = function, options
        self._given = [k for k in range(len(function.params)) if k not in options.fixed]
        self.device = find_device(options.device)
        self.backend: Backend = self.device.backend_at(options.precision)
        self.stats = Stats()
        self.program, self._loaded = self._compile(fixed)
        self._bound: Recent[BoundProgram] = Recent(MAX_BOUND)
        self._by_shapes: dict[tuple[tuple[int, ...], ...], BoundProgram] = {}
        self._lock = make_lock()
        self._binder = _Binder(function, self.program.params)

    # Compilation

    def _compile(self, fixed: Sequence[np.ndarray[Any, Any]]) -> tuple[Program, LoadedProgram]:
        stats = self.stats
        with no_collection(), stats.phase("total"):
            program, digests, store = self._program()
            loaded = self._load(program, digests, fixed, store)
        log.info(
            "%s: program %s, %d kernels, %d compiled, %d from the cache (%s)",
            self.function.name, "from the cache" if stats.program_from_cache else "made",
            stats.kernels, stats.kernels_compiled, stats.kernels_from_cache, stats.times(),
        )  # fmt: skip
        return program, loaded

    def _load(
        self,
        program: Program,
        digests: Sequence[str],
        fixed: Sequence[np.ndarray[Any, Any]],
        store: Callable[[], None],
    ) -> LoadedProgram:
        payloads = self._payloads(program.kernels, digests, store)
        try:
            with self.stats.phase("load"):
                return self.device.load(program, payloads, fixed)
        except StoredCodeError as error:
            if not self.stats.kernels_from_cache:
                raise
            for digest in digests:
                key = _kernel_key(digest, self.backend)
                default_cache().discard("kernel", key, error.message)
        payloads = self._payloads(program.kernels, digests)
        with self.stats.phase("load"):
            return self.device.load(program, payloads, fixed)

    def _key(self) -> Key:
        options = self.options
        return Key(
            [
                ("dlc", own_version()),
                ("function", structural_hash(self.function)),
                ("level", options.level),
                ("precision", options.precision),
                ("donated", ",".join(map(str, options.donated))),
                ("fixed", ",".join(map(str, options.fixed))),
                ("backend", self.backend.name),
                *self.backend.key_entries(),
            ]
        )

    def _program(self) -> tuple[Program, list[str], Callable[[], None]]:
        """The program, from the cache or made now, with the digests of its kernels.

        The third stores what was made now.
        """
        stats, cache = self.stats, default_cache()
        with stats.phase("key"):
            key = self._key()
        # What a row of someone else's does is not in the key, so such programs are made anew.
        nodes = list(all_nodes(self.function))
        lasting = all(OPS.is_built_in(n.op) for n in nodes)
        for called in called_functions(self.function)[:1]:
            log.info("%s is not stored: it calls the function %s", self.function.name, called.name)
            lasting = False
        with stats.phase("cache"):
            name, places = self.function.name, [n.loc for n in nodes]
            read = functools.partial(program_from_bytes, name=name, places=places)
            found = cache.find("program", key, read) if lasting else None
        if found is not None:
            stats.program_from_cache = True
            return *found, nothing
        with stats.phase("passes"):
            optimized = self.optimized()
        with stats.phase("lower"):
            options = self.options
            program = program_builder.build_program(optimized, options.donated, options.fixed)
        with stats.phase("key"):
            digests = [_digest(text) for text in program.texts]

        def store() -> None:
            cache.put("program", key, program_to_bytes(program, digests, places))

        return program, digests, store if lasting else nothing

    def _payloads(
        self,
        kernels: Sequence[Kernel],
        digests: Sequence[str],
        meanwhile: Callable[[], None] = nothing,
    ) -> list[bytes]:
        """The code of each kernel, from the cache or compiled now; `meanwhile` is called once."""
        stats, cache = self.stats, default_cache()
        with stats.phase("key"):
            keys = [_kernel_key(digest, self.backend) for digest in digests]
        with stats.phase("cache"):
            payloads = [
                cache.get("kernel", key) if k.host is None else host_code(k)
                for k, key in zip(kernels, keys, strict=True)
            ]
        missing = [k for k, p in enumerate(payloads) if p is None]
        if missing:
            for k, payload in self._compiled(kernels, keys, missing, meanwhile):
                payloads[k] = payload
        else:
            with stats.phase("cache"):
                meanwhile()
        stats.kernels = len(kernels)
        stats.kernels_compiled = len(missing)
        stats.kernels_from_cache = len(kernels) - len(missing)
        return [p for p in payloads if p is not None]

    def _compiled(
        self,
        kernels: Sequence[Kernel],
        keys: Sequence[Key],
        missing: Sequence[int],
        meanwhile: Callable[[], None],
    ) -> Iterator[tuple[int, bytes]]:
        """The code of those kernels that the cache has not, compiled now and stored there."""
        stats, cache = self.stats, default_cache()
        title = f"dlc: compiling {self.function.name}"
        with progress.Progress(title, len(missing)) as shown:
            for start in range(0, len(missing), BATCH):
                batch = missing[start : start + BATCH]
                log.debug("compiling %s", ", ".join(kernels[k].name for k in batch))
                with stats.phase("compile"):
                    made = self.backend.compile([kernels[k] for k in batch], meanwhile)
                meanwhile = nothing
                with stats.phase("cache"):
                    for k, payload in zip(batch, made, strict=True):
                        cache.put("kernel", keys[k], payload)
                shown.advance(len(batch))
                yield from zip(batch, made, strict=True)

    def optimized(self) -> Function:
        """The function after the passes of its level."""
        verify = self.options.verify or config.verify
        return manager.run_pipeline(self.function, passes_of(self.options), verify=verify)

    # Stages

    @property
    def stages(self) -> tuple[str, ...]:
        """The names that `text` takes."""
        return ("traced", "optimized", "kernels", *self.backend.stages)

    def text(self, stage: str, *, locations: bool = True) -> str:
        """The function at a stage, by default with the user's source lines.

        Raises:
            ValueRangeError: for an unknown stage.
        """
        match stage:
            case "traced":
                return print_function(self.function, locations=locations)
            case "optimized":
                return print_function(self.optimized(), locations=locations)
            case "kernels":
                return self.program.text(locations=locations)
            case _ if stage in self.backend.stages:
                coded = [k for k in self.program.kernels if k.host is None]
                return self.backend.text(coded, stage) if coded else ""
            case _:
                raise ValueRangeError(
                    f"there is no stage {stage!r}", hint=nearest(stage, self.stages)
                )

    def dump(self, folder: Path) -> None:
        """Write every stage into a folder, under a name that tells programs apart."""
        stem = f"{stage_files.file_stem(self.function.name)}.{self._key().digest[:8]}"
        stage_files.write_stages(folder, stem, {name: self.text(name) for name in self.stages})

    def log_stages(self) -> None:
        """Log which operations share a kernel, and the code that the backend writes."""
        if _fusion_log.watched():
            for node in all_nodes(self.optimized()):
                if node.op.name == "fusion":
                    body: Function = node.attrs["body"]
                    _fusion_log.debug(
                        "%s: %s of %s%s",
                        self.function.name, body.name, ", ".join(n.op.name for n in body.nodes),
                        f" at {node.loc}" if node.loc else "",
                    )  # fmt: skip
        if self.backend.stages and _code_log.watched():
            stage = self.backend.stages[0]
            _code_log.debug("%s: %s\n%s", self.function.name, stage, self.text(stage))

    # Memory

    def memory_analysis(self, values: Mapping[str, int] | None = None) -> dict[str, int]:
        """The bytes that a call takes.

        Args:
            values: The extents of the function's symbols, if it has any.

        Returns:
            `arguments`, `results` and `constants`; `temporaries`, the arena in which they lie;
            `live`, the most of them that is needed at one time, which no arena can be smaller than.

        Raises:
            ValueRangeError: for a symbol without a value.
        """
        program, known = self.program, dict(values or {})
        missing = [n for n in self.function.symbols if n not in known]
        if missing:
            raise ValueRangeError(f"{self.function.name} needs the extent {missing[0]}")
        plan = plan_memory(program, known)
        return {
            "arguments": sum(byte_size(t, known) for t in program.params),
            "results": sum(byte_size(t, known) for t in program.results),
            "constants": sum(byte_size(program.slots[s].type, known) for s in program.standing),
            "temporaries": plan.arena_bytes,
            "live": plan.live_bytes,
        }

    # Calls

    def bind(self, values: tuple[int, ...]) -> BoundProgram:
        """The program for these values of the symbols, in the order of `Function.symbols`."""
        bound = self._bound.get(values)
        if bound is not None:
            return bound
        try:
            bound = self._loaded.bind(dict(zip(self._binder.names, values, strict=True)))
        except OverflowError:
            given = ", ".join(f"{n}={v}" for n, v in zip(self._binder.names, values, strict=True))
            raise MemoryLimitError(
                f"{self.function.name} with {given} computes tensors that no memory can hold",
                hint="use a smaller batch, or reduce before broadcasting",
            ) from None
        return self._bound.keep(values, bound)

    def extents_of(self, shapes: tuple[tuple[int, ...], ...]) -> dict[str, int]:
        """The values of the function's symbols; ShapeError when these shapes do not fit."""
        return dict(zip(self._binder.names, self._binder.values(shapes), strict=True))

    def changing(self, arrays: Sequence[np.ndarray[Any, Any]]) -> Sequence[np.ndarray[Any, Any]]:
        """Of arrays for all parameters, those for the ones that are not fixed."""
        return [arrays[k] for k in self._given] if self.options.fixed else arrays

    def bound_for(self, shapes: tuple[tuple[int, ...], ...]) -> BoundProgram:
        """The program for arguments of these shapes; ShapeError when they do not fit."""
        bound = self._by_shapes.get(shapes)
        if bound is None:
            bound = self.bind(self._binder.values(shapes))
            if len(self._by_shapes) >= MAX_BOUND:
                self._by_shapes.clear()
            self._by_shapes[shapes] = bound
        return bound

    def __call__(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Runs the function on arrays for all parameters; what is fixed has its value already.

        The arrays must be C-contiguous and of the parameters' types.
        """
        arrays = self.changing(arrays)
        if GpuArray.made and not self.device.many:
            check_on_host(arrays)
        bound = self.bound_for(tuple([a.shape for a in arrays]))
        with self._lock:
            self.stats.calls += 1
            self.stats.native_calls += 1
        return bound.run(arrays, config.thread_count(self.options.num_threads))


def passes_of(options: Options) -> tuple[manager.Pass, ...]:
    """The passes of a level as they are for a device and parameters that are fixed.

    Raises:
        ValueRangeError: for an unknown level. DeviceError: for an unknown device.
    """
    device = find_device(options.device)
    bits = device.backend().panel_bits
    return pipelines.pipeline_of(
        options.level, bits, options.fixed, own_kernels=device.own_kernels, split=device.split
    )


def kernel_digest(kernel: Kernel) -> str:
    """The hash of what a kernel computes."""
    return _digest(kernel_names.normalised_text(kernel))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def kernel_key(kernel: Kernel, backend: Backend) -> Key:
    """What the code of a kernel depends on."""
    return _kernel_key(kernel_digest(kernel), backend)


def _kernel_key(digest: str, backend: Backend) -> Key:
    entries = [("dlc", own_version()), ("kernel", digest), ("backend", backend.name)]
    return Key([*entries, *backend.key_entries()])


class _Binder:
    """Finds the values of a function's symbols from the shapes of its arguments."""

    def __init__(self, function: Function, types: Sequence[TensorType]) -> None:
        self.types = types
        self.ranges = function.ranges
        self.names = tuple(self.ranges)
        self.sources: list[tuple[int, int]] = []
        for name in self.names:
            self.sources.append(self._source(name))

    def _source(self, name: str) -> tuple[int, int]:
        for k, t in enumerate(self.types):
            for axis, d in enumerate(t.shape):
                if plain_name(d) == name:
                    return k, axis
        raise ShapeError(f"the extent {name} is not a dim of any argument by itself")

    def values(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """The values; ShapeError when an argument does not fit its type."""
        found = tuple(shapes[k][axis] for k, axis in self.sources)
        by_name: Mapping[str, int] = dict(zip(self.names, found, strict=True))
        for name, range_ in self.ranges.items():
            if not in_range(by_name[name], range_):
                raise ShapeError(f"{name} is {by_name[name]}, and must be {range_words(range_)}")
        for k, (t, shape) in enumerate(zip(self.types, shapes, strict=True)):
            expected = tuple(evaluate(d, by_name) for d in t.shape)
            if shape != expected:
                raise ShapeError(f"argument {k} has shape {shape}, but {t} means {expected} here")
        return found


def compile_function(
    function: Function,
    *,
    options: Options | None = None,
    fixed: Sequence[np.ndarray[Any, Any]] = (),
) -> Executable:
    """Compiles a function for the device of `options`; `fixed` as of `Executable`."""
    made = Executable(function, options or Options(), fixed)
    made.log_stages()
    if config.dump_ir is not None:
        made.dump(config.dump_ir)
    return made
