"""Finds the first stage of a compilation that changes what a program means.

The stages are the passes, lowering, the two steps of memory planning, and the device. Each is
compared with the one before it or with the interpreter: to the bit where nothing may change bits,
else within what rounding explains (`dlc.runtime.judge`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.codegen.host_call import code_of
from dlc.codegen.program import Program
from dlc.codegen.program_builder import build_program
from dlc.ir.core import Function
from dlc.ir.interpret import bind_symbols, interpret
from dlc.ir.record import dataclass, field
from dlc.ir.rewrite import Fuel, all_rules
from dlc.ir.verifier import Stage, verify
from dlc.passes.manager import Pass, PassContext
from dlc.runtime.device import find_device
from dlc.runtime.executable import Options, passes_of
from dlc.runtime.judge import Difference, Judge, first_exact_difference
from dlc.runtime.program_check import run_program
from dlc.runtime.random_args import random_args

Array: TypeAlias = npt.NDArray[Any]
THREADS = (2, 3)


@dataclass(frozen=True)
class StageCheck:
    """One stage: its name, what is wrong with it if anything is, and the seconds that it took."""

    name: str
    difference: Difference | None
    seconds: float

    def __str__(self) -> str:
        verdict = "ok" if self.difference is None else str(self.difference)
        return f"{self.name:16} {1e3 * self.seconds:8.1f} ms  {verdict}"


@dataclass(frozen=True)
class Report:
    """What `verify_function` found; it stops at the first stage that is wrong."""

    function: str
    stages: tuple[StageCheck, ...]

    @property
    def first_bad(self) -> StageCheck | None:
        """The stage that is wrong."""
        last = self.stages[-1] if self.stages else None
        return None if last is None or last.difference is None else last

    @property
    def ok(self) -> bool:
        """Whether every stage agrees with the interpreter."""
        return self.first_bad is None

    def __str__(self) -> str:
        head = f"@{self.function}: {'every stage agrees' if self.ok else 'a stage is wrong'}"
        return "\n".join([head, *(f"  {s}" for s in self.stages)])


@dataclass
class Compilation:
    """A compilation that is checked stage by stage.

    Args:
        function: A traced function.
        arguments: The sets of arguments to try.
        passes: Its pipeline.
        device: Where it runs in the end.
        threads: The numbers of threads whose results must have the bits of one thread's.
    """

    function: Function
    arguments: Sequence[Sequence[Array]]
    passes: Sequence[Pass]
    device: str
    threads: Sequence[int] = THREADS
    done: list[Function] = field(init=False)  # before each pass, and after the last
    changes: list[int] = field(init=False)  # of each pass, as `Fuel` counts them

    def __post_init__(self) -> None:
        self.judges = [Judge(self.function, a) for a in self.arguments]
        self.dims = [bind_symbols(self.function, a) for a in self.arguments]
        self.done, self.changes = [self.function], []
        self._values: list[Sequence[Array]] = [j.results for j in self.judges]
        self._stage: Stage | None = None
        self._program: Program | None = None

    def stages(self) -> Iterator[tuple[str, Callable[[], Difference | None]]]:
        """The names of the stages, each with its check; to be done in order."""
        for p in self.passes:
            yield p.name, lambda p=p: self._pass(p)
        if self._stage != "fused":
            return
        yield "lower", self._lower
        yield "share_memory", lambda: self._memory("shared")
        yield "plan_memory", lambda: self._memory("planned")
        if self.device != "reference":
            yield self.device, self._device

    def _pass(self, p: Pass) -> Difference | None:
        fuel = Fuel()
        after, wrong = self.apply(p, self.done[-1], self._values, fuel, self._stage)
        self.changes.append(len(fuel.log))
        if wrong is not None or after is None:
            return wrong
        self._stage = p.stage or self._stage
        self._values = self.interpret(after)
        self.done.append(after)
        return None

    def apply(
        self,
        p: Pass,
        before: Function,
        values: Sequence[Sequence[Array]],
        fuel: Fuel,
        stage: Stage | None,
    ) -> tuple[Function | None, Difference | None]:
        """What a pass with so much fuel makes of `before`, and what is wrong with that."""
        context = PassContext(fuel)
        if not context.allows(p.name, p.name, None):
            return before, None
        try:
            after = p.apply(before, context)
            # A pass that was stopped midway has not brought its stage about.
            reached = stage if fuel.limit is not None else p.stage or stage
            verify(after, stage=reached, pass_name=p.name)
            found = self.interpret(after)
        except Exception as error:  # noqa: BLE001  (whatever a wrong pass raises is the finding)
            return None, Difference(f"{type(error).__name__}: {error}")
        inexact = p.inexact is not None or _changes_bits(context)
        for judge, a, b in zip(self.judges, values, found, strict=True):
            wrong = first_exact_difference(a, b)
            if wrong is not None and inexact:
                wrong = judge.difference(b)
            if wrong is not None:
                return after, wrong
        return after, None

    def interpret(self, function: Function) -> list[Sequence[Array]]:
        """The results of a stage of the function on each set of arguments."""
        return [interpret(function, a) for a in self.arguments]

    def _lower(self) -> Difference | None:
        self._program = build_program(self.done[-1])
        self._values = self._run("own")
        return self._judged(self._values)

    def _judged(self, found: Sequence[Sequence[Array]]) -> Difference | None:
        for judge, values in zip(self.judges, found, strict=True):
            wrong = judge.difference(values)
            if wrong is not None:
                return wrong
        return None

    def _run(self, memory: Any) -> list[Sequence[Array]]:
        assert self._program is not None
        with np.errstate(all="ignore"):
            return [
                run_program(self._program, a, d, memory)
                for a, d in zip(self.arguments, self.dims, strict=True)
            ]

    def _memory(self, memory: str) -> Difference | None:
        for a, b in zip(self._values, self._run(memory), strict=True):
            wrong = first_exact_difference(a, b)
            if wrong is not None:
                return wrong
        return None

    def _device(self) -> Difference | None:
        """The device's own code, compiled now: what caches hold is not asked."""
        assert self._program is not None
        device = find_device(self.device)
        codes = code_of(device.backend(), self._program.kernels)
        loaded = device.load(self._program, codes, ())
        for judge, args, dims in zip(self.judges, self.arguments, self.dims, strict=True):
            bound = loaded.bind(dims)
            given = [np.ascontiguousarray(a) for a in args]
            alone = bound.run(given, 1)
            wrong = judge.difference(alone)
            if wrong is not None:
                return wrong
            for n in self.threads:
                wrong = first_exact_difference(alone, bound.run(given, n))
                if wrong is not None:
                    return Difference(f"on {n} threads, {wrong}")
        return None


def _changes_bits(context: PassContext) -> bool:
    fired = {name for name, count in context.stats.rules.items() if count.matches}
    return any(r.inexact is not None and r.name in fired for r in all_rules())


def argument_sets(function: Function, seed: int = 0) -> list[list[Array]]:
    """Ordinary random arguments, and some with infinities, NaN and zeros of both signs."""
    return [random_args(function, seed), random_args(function, seed + 1, special=True)]


def compilation(
    function: Function,
    args: Sequence[Array] | None = None,
    *,
    device: str = "cpu",
    level: str = "O2",
    passes: Sequence[Pass] | None = None,
    threads: Sequence[int] = THREADS,
    seed: int = 0,
) -> Compilation:
    """A compilation to check; arguments as of `verify_function`."""
    given = argument_sets(function, seed) if args is None else [args]
    chosen = passes_of(Options(level=level, device=device)) if passes is None else passes
    return Compilation(function, given, chosen, device, threads)


def check(work: Compilation) -> Report:
    """Checks the stages of a compilation up to the first that is wrong."""
    checks: list[StageCheck] = []
    for name, stage in work.stages():
        start = time.perf_counter()
        try:
            difference = stage()
        except Exception as error:  # noqa: BLE001  (whatever a wrong stage raises is the finding)
            difference = Difference(f"{type(error).__name__}: {error}")
        checks.append(StageCheck(name, difference, time.perf_counter() - start))
        if difference is not None:
            break
    return Report(work.function.name, tuple(checks))


def verify_function(
    function: Function, args: Sequence[Array] | None = None, **keywords: Any
) -> Report:
    """Compares every stage of a compilation with the interpreter.

    Args:
        function: A traced function.
        args: Its arguments; by default random ones, ordinary and with special values.
        **keywords: `device` ("cpu"), `level` ("O2") or `passes`, `threads` (numbers of threads that
            must agree), `seed` of the random arguments.

    Raises:
        ArgumentError, DTypeError, ShapeError: The arguments do not fit.
        ValueRangeError: An unknown level. DeviceError: an unknown device.

    Example:
        >>> print(verify_function(f, level="O3"))
    """
    verify(function)
    return check(compilation(function, args, **keywords))
