"""One case, measured with every framework."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

from dlc.bench.files import load_arrays, remove_arrays, save_arrays, scratch_folder
from dlc.bench.frameworks import KINDS
from dlc.bench.load import DISTURBED, Load
from dlc.bench.problem import SETS, Arrays, Case
from dlc.bench.process import Process, WorkerError
from dlc.bench.timing import calls_for

Record: TypeAlias = dict[str, Any]  # what the JSON holds
Say: TypeAlias = Callable[[str], None]

_SLOW = 0.25  # seconds of a call, and
_BEHIND = 5  # times the fastest's: measured in a few rounds only
_FEW = 3
_SECOND_PROCESSES = 3  # that find full caches, for each that found them empty


class Place(TypedDict):
    """What a worker runs in, and where its programs do."""

    python: str
    device: str


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Args:
        suite: Whose cases.
        frameworks: Which ones, dlc first.
        threads: For each of them.
        rounds: In which every framework has its turn.
        starts: Processes that are started to see how long the first result takes with empty
            caches; for each of them, three more find these filled, and their median counts.
        at_least: Seconds that one turn takes.
        python: The interpreter of the workers.
        device: Where programs run: "cpu", or a GPU.
        firsts: Processes that compile the case, whose first calls' median counts.
    """

    suite: str
    frameworks: tuple[str, ...]
    threads: int
    rounds: int
    starts: int
    at_least: float
    python: str
    device: str = "cpu"
    firsts: int = 1

    @property
    def place(self) -> Place:
        """Where workers run."""
        return {"python": self.python, "device": self.device}


@dataclass
class _Runner:
    """A framework that has prepared the case."""

    process: Process
    firsts: list[float]
    count: int = 1
    seconds: list[float] = field(default_factory=list[float])


def measure_case(
    case: Case, settings: Settings, say: Say, caches: Mapping[str, str] | None = None
) -> Record:
    """Everything that is measured of a case, by framework; errors stand where figures would.

    Args:
        case: What is measured.
        settings: How.
        say: Told what is being done.
        caches: Folders that workers of some frameworks share with those of other cases.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(_temporary()))
        sets, constants = case.draw()
        for k, inputs in enumerate(sets):
            save_arrays(folder, f"set{k}", inputs)
        save_arrays(folder, "constant", constants)
        exact = case.exact(sets, constants)
        del sets, constants
        found: dict[str, Record] = {}
        runners: dict[str, _Runner] = {}
        firsts = _firsts(case, settings, folder, caches or {}, say, found)
        for name in (n for n in settings.frameworks if n not in found):
            say(f"{case.name}: {name}")
            try:
                runner = _prepare(
                    name, case, settings, folder, exact, stack, (caches or {}).get(name)
                )
                if runner is None:
                    found[name] = {"absent": "has no such program"}
                    continue
                runner.firsts += firsts[name]
                runners[name] = runner
            except WorkerError as error:
                found[name] = {"error": str(error)}
        del exact
        load = Load(r.process.pid for r in runners.values())
        _run_rounds(case, runners, settings, say, found)
        others = load.others()
        for name, runner in runners.items():
            if name not in found:
                found[name] = _figures(name, runner, found)
        for runner in runners.values():
            runner.process.close()
        for name in runners:
            if KINDS[name].compiles and "error" not in found[name]:
                say(f"{case.name}: {name} starts")
                found[name].update(_starts(name, case, settings, folder))
    return {
        "extents": dict(case.extents),
        "operations": case.problem.operations(case.extents),
        "bytes": case.problem.bytes(case.extents),
        "half": case.problem.half,
        "others": others,
        "disturbed": others is not None and others > DISTURBED,
        "frameworks": {name: found[name] for name in settings.frameworks},
    }


def _temporary() -> contextlib.AbstractContextManager[str]:
    return tempfile.TemporaryDirectory(prefix="dlc-bench-", dir=scratch_folder())


def _in_turn(names: list[str], k: int) -> list[str]:
    """The names, with another one first in each round."""
    at = k % max(1, len(names))
    return names[at:] + names[:at]


def _firsts(
    case: Case,
    settings: Settings,
    folder: Path,
    caches: Mapping[str, str],
    say: Say,
    found: dict[str, Record],
) -> dict[str, list[float]]:
    """First calls of processes that do nothing else, each framework having its turn.

    A shared folder is copied for them: it must hold nothing of the case when that is measured.
    Errors are put into `found`.
    """
    firsts: dict[str, list[float]] = {name: [] for name in settings.frameworks}
    names = [name for name in settings.frameworks if KINDS[name].compiles]
    for k in range(settings.firsts - 1):
        for name in _in_turn([n for n in names if n not in found], k):
            say(f"{case.name}: {name}, first call {k + 1} of {settings.firsts}")
            with _temporary() as cache:
                if name in caches:
                    shutil.copytree(caches[name], cache, dirs_exist_ok=True)
                try:
                    with Process(name, settings.threads, cache, **settings.place) as process:
                        first = _first_call(process, case, settings, folder)
                except WorkerError as error:
                    found[name] = {"error": str(error)}
                    continue
            firsts[name] += [] if first is None else [first]
    return firsts


def _first_call(process: Process, case: Case, settings: Settings, folder: Path) -> float | None:
    """Seconds of a first call, something else having been compiled; None for no such program."""
    process.ask("start")
    process.ask("warm_up", suite=settings.suite)
    process.ask("prepare", suite=settings.suite, name=case.name, folder=str(folder))
    return process.ask("first")["seconds"]


def _prepare(
    name: str,
    case: Case,
    settings: Settings,
    folder: Path,
    exact: Sequence[Arrays],
    stack: contextlib.ExitStack,
    cache: str | None,
) -> _Runner | None:
    """Starts a worker, lets it compile something, then the case, and checks what that gives."""
    cache = cache or stack.enter_context(_temporary())
    process = Process(name, settings.threads, cache, **settings.place)
    stack.enter_context(process)
    first = _first_call(process, case, settings, folder)
    if first is None:
        process.close()
        return None
    process.ask("results", folder=str(folder))
    for k in range(SETS):
        wrong = case.error(load_arrays(folder, f"result{k}"), exact[k])
        remove_arrays(folder, f"result{k}")
        if wrong is not None:
            process.close()
            raise WorkerError(f"wrong for set {k}: {wrong}")
    seconds = process.ask("run", count=1)["seconds"]
    for _ in range(3):  # the first calls are not yet what later ones are
        count = calls_for(seconds, settings.at_least)
        if count == 1:
            break
        seconds = process.ask("run", count=max(1, count // 3))["seconds"]
    process.rest()
    return _Runner(process, [first], calls_for(seconds, settings.at_least), [seconds])


def _run_rounds(
    case: Case,
    runners: dict[str, _Runner],
    settings: Settings,
    say: Say,
    found: dict[str, Record],
) -> None:
    """Gives each framework its turn in each round, another one first every time."""
    names = list(runners)
    fastest = min((r.seconds[0] for r in runners.values()), default=0.0)
    slow = {n for n, r in runners.items() if r.seconds[0] > max(_SLOW, _BEHIND * fastest)}
    for runner in runners.values():
        runner.seconds.clear()
    for k in range(settings.rounds):
        say(f"{case.name}: round {k + 1} of {settings.rounds}")
        for name in _in_turn(names, k):
            runner = runners[name]
            if name in found or (name in slow and k >= _FEW):
                continue
            try:
                runner.seconds.append(runner.process.ask("run", count=runner.count)["seconds"])
            except WorkerError as error:
                found[name] = {"error": str(error)}
            runner.process.rest()


def _figures(name: str, runner: _Runner, found: dict[str, Record]) -> Record:
    try:
        memory = runner.process.ask("memory")["peak"]
        further = runner.process.ask("further")
        runner.process.rest()
    except WorkerError as error:
        return {"error": str(error)}
    seconds = runner.seconds
    low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    return {
        "seconds": statistics.median(seconds),
        "quartiles": [low, high],
        "rounds": seconds,
        "calls a round": runner.count,
        "first call": statistics.median(runner.firsts),
        "first calls": runner.firsts,
        "memory": memory,
        **further,
    }


def _starts(name: str, case: Case, settings: Settings, folder: Path) -> Record:
    """From the start of a process to its first result: with empty caches, and with filled ones."""
    cold: list[float] = []
    second: list[float] = []
    try:
        for _ in range(settings.starts):
            with _temporary() as cache:
                cold.append(_first_result(name, case, settings, folder, cache, asked=False))
                if KINDS[name].asked is not None:
                    _first_result(name, case, settings, folder, cache, asked=True)
                second += (
                    _first_result(name, case, settings, folder, cache, asked=True)
                    for _ in range(_SECOND_PROCESSES)
                )
    except WorkerError as error:
        return {"start error": str(error)}
    if not cold:
        return {}
    return {"start": statistics.median(cold), "second start": statistics.median(second)}


def _first_result(
    name: str, case: Case, settings: Settings, folder: Path, cache: str, *, asked: bool
) -> float:
    with Process(name, settings.threads, cache, **settings.place, asked=asked) as process:
        process.send("start")
        process.send("prepare", suite=settings.suite, name=case.name, folder=str(folder), sets=1)
        process.send("first")
        for _ in range(3):
            process.receive()
        return time.perf_counter() - process.began
