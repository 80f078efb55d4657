"""A run: the machine, the frameworks, and each case; what is written of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np

from dlc.bench.frameworks import KINDS, OURS
from dlc.bench.load import DISTURBED
from dlc.bench.measure import Record, Say, Settings, measure_case
from dlc.bench.problem import Case
from dlc.bench.process import Process, WorkerError
from dlc.bench.share import limit_of
from dlc.ir.version import __version__

JUDGE = "torch"  # its product of 1024 by 1024 shows whether the machine is itself
LEAST_SHARE = 0.7  # of the peak that the judge must reach
_JUDGED = "matmul 1024"
_IMPORTS = {
    "nothing": "pass",
    "numpy": "import numpy",
    "dlc": "import dlc",
    "dlc in use": "import dlc; dlc.Tensor",
}


def installed(python: str) -> dict[str, str | None]:
    """For each framework, what is missing to run it under an interpreter; None for nothing.

    Raises:
        WorkerError: for an interpreter that cannot be run.
    """
    packages = sorted({p for kind in KINDS.values() for p in kind.packages})
    code = (
        "import importlib.util, sys\n"
        "print(*[n for n in sys.argv[1:] if importlib.util.find_spec(n) is None])"
    )
    try:
        done = subprocess.run(
            [python, "-c", code, *packages], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise WorkerError(f"{python} cannot be run: {error}") from None
    missing = set(done.stdout.split())
    return {
        name: ", ".join(p for p in kind.packages if p in missing) or None
        for name, kind in KINDS.items()
    }


def run_cases(
    cases: Sequence[Case], settings: Settings, say: Say, keep: Callable[[Record], None]
) -> Record:
    """Measures the cases one after the other.

    Args:
        cases: Which ones.
        settings: How.
        say: Told what is being done, again and again.
        keep: Given what there is after each case.
    """
    with contextlib.ExitStack() as stack:
        largest = max((c.problem.bytes(c.extents) for c in cases), default=0)
        machine = _Machine(settings, stack, say, largest)
        about = _about(settings, say)
        warm = {
            name: stack.enter_context(tempfile.TemporaryDirectory(prefix="dlc-bench-"))
            for name, kind in KINDS.items()
            if kind.shared
        }
        record: Record = {"runs": {about["started"]: about}, "cases": {}}
        for k, case in enumerate(cases):
            measured = measure_case(case, settings, say, warm)
            measured["run"] = about["started"]
            record["cases"][case.name] = measured
            if k == len(cases) - 1:
                machine.look_again()
            about.update(peaks=machine.peaks, judge=machine.judged, void=machine.void())
            for done in record["cases"].values():
                _add_ratios(done, about)
            keep(record)
    return record


def _about(settings: Settings, say: Say) -> Record:
    """What a reader wants to know of a run, but for the machine's peaks."""
    started = dt.datetime.now(dt.UTC)
    about: Record = {
        "started": started.isoformat(timespec="seconds"),
        "dlc": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "device": settings.device,
        "threads": settings.threads,
        "rounds": settings.rounds,
        "frameworks": _settings(settings, say),
    }
    if settings.starts:
        about["imports"] = _imports(settings, say)
    return about


class _Machine:
    """What the machine can do, before and after the cases, of which one moves `largest` bytes."""

    def __init__(
        self, settings: Settings, stack: contextlib.ExitStack, say: Say, largest: float
    ) -> None:
        say("the machine's peaks")
        self.largest = largest
        self.peaks: Record | None = None
        self.shares: list[float] = []
        self.workers: dict[str, Process] = {}
        for name in (OURS, JUDGE):
            if name not in settings.frameworks or (name == JUDGE and settings.device != "cpu"):
                continue
            cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="dlc-bench-"))
            worker = Process(name, settings.threads, cache, **settings.place)
            stack.enter_context(worker)
            with contextlib.suppress(WorkerError):
                worker.ask("start")
                worker.rest()
                self.workers[name] = worker
        self.look_again()

    def look_again(self) -> None:
        """Measures the peaks, of which the higher ones count, and what the judge reaches."""
        with contextlib.suppress(WorkerError):
            if OURS in self.workers:
                found = self.workers[OURS].ask("peaks", largest=self.largest)
                self.workers[OURS].rest()
                if self.peaks is None:
                    self.peaks = found
                self.peaks["operations"] = max(self.peaks["operations"], found["operations"])
                for size, moved in found["bytes"].items():
                    self.peaks["bytes"][size] = max(self.peaks["bytes"][size], moved)
            if JUDGE in self.workers and self.peaks is not None:
                reached = self._reached(self.workers[JUDGE])
                self.workers[JUDGE].rest()
                self.shares.append(reached / self.peaks["operations"])

    def _reached(self, judge: Process) -> float:
        """Operations a second of the judge's product, at its best, as the peaks are."""
        return 2 * 1024**3 / judge.ask("product", size=1024, count=60)["seconds"]

    @property
    def judged(self) -> float | None:
        """The least share of the peak that the judge has reached; None without a judge."""
        return min(self.shares, default=None)

    def void(self) -> str | None:
        """Why the run counts for nothing; None if it counts."""
        if self.judged is not None and self.judged < LEAST_SHARE:
            return (
                f"{JUDGE}'s own {_JUDGED} reached {100 * self.judged:.0f} % of the machine's peak"
            )
        return None


def _settings(settings: Settings, say: Say) -> dict[str, Record]:
    """What each framework says of itself."""
    found: dict[str, Record] = {}
    for name in settings.frameworks:
        say(f"settings of {name}")
        with tempfile.TemporaryDirectory(prefix="dlc-bench-") as cache:
            try:
                with Process(name, settings.threads, cache, **settings.place) as process:
                    found[name] = process.ask("settings")
            except WorkerError as error:
                found[name] = {"error": str(error)}
    return found


def _imports(settings: Settings, say: Say) -> dict[str, float]:
    """The seconds of a process that imports something, without those of one that does not."""
    say("imports")
    found: dict[str, list[float]] = {name: [] for name in _IMPORTS}
    root = Process.root
    for _ in range(max(5, settings.starts)):
        for name, code in _IMPORTS.items():
            command = [settings.python, "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"]
            start = time.perf_counter()
            subprocess.run(command, check=False, capture_output=True)
            found[name].append(time.perf_counter() - start)
    base = statistics.median(found.pop("nothing"))
    return {name: statistics.median(times) - base for name, times in found.items()}


def _processor() -> str:
    """The name of the CPU, where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _add_ratios(record: Record, about: Record) -> None:
    """How dlc stands beside the best peer and beside what the machine can do."""
    record["void"] = about["void"]
    if record["void"] is None and record["disturbed"]:
        record["void"] = f"others kept {record['others']:.2f} CPUs busy (at most {DISTURBED})"
    timed = {n: f for n, f in record["frameworks"].items() if "seconds" in f}
    for figures in timed.values():
        if about["peaks"] is not None:
            least, record["binds"] = limit_of(
                record["operations"],
                record["bytes"],
                about["peaks"],
                half=record.get("half", False),
            )
            figures["share"] = least / figures["seconds"]
    ours = timed.pop(OURS, None)
    if ours is None or not timed:
        return
    best = min(timed, key=lambda n: timed[n]["seconds"])
    pairs = list(zip(timed[best]["rounds"], ours["rounds"], strict=False))
    ratios = [theirs / mine for theirs, mine in pairs]
    record["best peer"] = best
    record["ratio"] = statistics.median(ratios)
    record["ratio quartiles"] = [float(q) for q in np.quantile(ratios, (0.25, 0.75))]


def merge(old: Record, new: Record) -> Record:
    """Two records as one; a case that both have is the new one's."""
    cases = {**old["cases"], **new["cases"]}
    used = {case["run"] for case in cases.values()}
    runs = {k: r for k, r in {**old["runs"], **new["runs"]}.items() if k in used}
    return {"runs": runs, "cases": cases}
