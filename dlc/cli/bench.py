"""`dlc bench`: the benchmark suite."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from dlc.bench.frameworks import KINDS, OURS, peers_for
from dlc.bench.measure import Settings
from dlc.bench.plot import svg
from dlc.bench.problem import Case
from dlc.bench.process import WorkerError
from dlc.bench.report import markdown
from dlc.bench.run import installed, merge, run_cases
from dlc.bench.suites import GPU_SUITE, SUITES, find_cases
from dlc.ir.config import config
from dlc.ir.errors import ArgumentError, nearest
from dlc.runtime.gpu.device import index_of, open_gpu

DESCRIPTION = """\
Measures dlc and those of its peers that are installed on the same work: each framework in a process
of its own, in rounds in which each has its turn while the others rest, on inputs that change from
call to call. Results are compared with float64. docs/benchmarks.md says what each figure means.
"""
EXAMPLES = """\
examples:
  $ dlc bench --suite smoke --cases add --cases "matmul c*" --peers numpy --starts 0 --rounds 3
  ...
  | case ...
  ...

  $ dlc bench --cases "matmul 1*" --perturb --list
  matmul 128 +10%
  matmul 1024 +10%
  ...

exit status: 0 all is well; 1 dlc failed or was wrong in a case; 2 an error.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--suite", metavar="NAME", help=f"one of {', '.join(SUITES)} (default: core, or gpu on one)"
    )
    parser.add_argument(
        "--device", default="cpu", metavar="NAME",
        help="where everything runs: cpu, or cuda for dlc, PyTorch and JAX (default: cpu)",
    )  # fmt: skip
    parser.add_argument(
        "--cases", action="append", default=[], metavar="PATTERN",
        help='which cases, as in "matmul *"; may be given several times',
    )  # fmt: skip
    parser.add_argument(
        "--peers", metavar="NAME,...",
        help=f"of {', '.join(n for n in KINDS if n != OURS)} (default: those installed)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", help="for each framework")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="(default: 15)")
    parser.add_argument(
        "--starts", type=int, default=1, metavar="N",
        help="processes started for each case to time the first result (default: 1; 0: none)",
    )  # fmt: skip
    parser.add_argument(
        "--firsts", type=int, default=1, metavar="N",
        help="processes that compile each case, whose first calls' median counts (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--at-least", type=float, default=20, metavar="MS", help="milliseconds of a turn"
    )
    parser.add_argument("--perturb", action="store_true", help="all extents larger by a tenth")
    parser.add_argument("--python", default=sys.executable, metavar="PATH",
                        help="the interpreter of the frameworks' processes")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="keep DATE.json, DATE.md and DATE.svg there; cases of the same day that were measured "
        "before, and now were not, stay",
    )  # fmt: skip
    parser.add_argument(
        "--missing", action="store_true",
        help="only cases that have no result of this day in the folder of --out, or an error in it",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the names of the cases")


def run(options: argparse.Namespace) -> int:
    """Measures, prints and keeps the results."""
    if options.suite is None:
        options.suite = "core" if options.device == "cpu" else GPU_SUITE
    cases = find_cases(options.suite, options.cases, perturb=options.perturb)
    if options.missing:
        cases = _missing(cases, options)
    if options.list or not cases:
        print("\n".join(case.name for case in cases) or "no case is missing")
        return 0
    settings = _settings(options)
    progress = _Progress()
    keeper = None if options.out is None else _Keeper(options.out, options.device)
    try:
        record = run_cases(cases, settings, progress.say, keeper or (lambda record: None))
    finally:
        progress.end()
    if keeper is not None:
        record = keeper.record
        print(f"kept in {keeper.path}", file=sys.stderr)
    print(json.dumps(record, indent=1) if options.json else markdown(record), end="")
    ours = [record["cases"][case.name]["frameworks"][OURS] for case in cases]
    return 1 if any("error" in figures or "start error" in figures for figures in ours) else 0


def _missing(cases: list[Case], options: argparse.Namespace) -> list[Case]:
    """The cases that dlc has no result of today."""
    if options.out is None:
        raise ArgumentError("--missing without --out: there is no folder to look in")
    kept = _kept(_file_of_today(options.out, options.device))["cases"]

    def is_missing(case: Case) -> bool:
        return "seconds" not in kept.get(case.name, {}).get("frameworks", {}).get(OURS, {})

    return [case for case in cases if is_missing(case)]


def _settings(options: argparse.Namespace) -> Settings:
    for name, least in (("rounds", 1), ("starts", 0), ("firsts", 1), ("at_least", 0)):
        if getattr(options, name) < least:
            word = name.replace("_", "-")
            raise ArgumentError(f"--{word} {getattr(options, name)} is less than {least}")
    threads = config.thread_count(options.threads)
    _check_device(options.device)
    return Settings(
        suite=options.suite,
        frameworks=(OURS, *_peers(options)),
        threads=threads,
        rounds=options.rounds,
        starts=options.starts,
        at_least=options.at_least / 1000,
        python=options.python,
        device=options.device,
        firsts=options.firsts,
    )


def _check_device(device: str) -> None:
    """DeviceError where the device is not there, which says why; ArgumentError for another kind."""
    if device == "cpu":
        return
    if device.partition(":")[0] != "cuda" or device.startswith("cuda:sm_"):
        raise ArgumentError(f"--device {device}: it must be cpu, cuda, or cuda:0 and the like")
    open_gpu(index_of(device))


def _peers(options: argparse.Namespace) -> list[str]:
    """The peers to measure; those that are not installed are named on standard error."""
    names = peers_for(options.suite, options.device)
    if options.peers is not None:
        names = [word.strip() for word in options.peers.split(",") if word.strip()]
        for name in names:
            if name not in KINDS or name == OURS:
                known = [n for n in KINDS if n != OURS]
                raise ArgumentError(f"there is no peer {name!r}", hint=nearest(name, known))
            if options.device != "cpu" and not KINDS[name].gpus:
                raise ArgumentError(f"{name} is not measured on GPUs")
    try:
        missing = installed(options.python)
    except WorkerError as error:
        raise ArgumentError(f"--python {error}") from None
    for name in names:
        if missing[name]:
            print(f"{name} is left out: {missing[name]} is not installed", file=sys.stderr)
    return [name for name in names if not missing[name]]


def _file_of_today(folder: Path, device: str) -> Path:
    """Where results are; those of a GPU have files of their own."""
    suffix = "" if device == "cpu" else "-gpu"
    return folder / f"{dt.datetime.now():%Y-%m-%d}{suffix}.json"


def _kept(file: Path) -> dict[str, Any]:
    """The results in a file; none where it is not there."""
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    return {"runs": {}, "cases": {}}


class _Keeper:
    """Writes the results of the day, with those that were there already.

    Args:
        folder: Where to.
        device: What was measured on; a GPU's results have files of their own.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = _file_of_today(folder, device)
        self.record = _kept(self.path)

    def __call__(self, record: dict[str, Any]) -> None:
        """Writes what there is by now."""
        self.record = merge(self.record, record)
        whole = json.dumps(self.record, indent=1) + "\n"
        self.path.write_text(whole, encoding="utf-8")
        self.path.with_suffix(".md").write_text(markdown(self.record), encoding="utf-8")
        self.path.with_suffix(".svg").write_text(svg(self.record), encoding="utf-8")


class _Progress:
    """A line on a terminal that says what is being measured."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty() and config.progress
        self.start = time.perf_counter()

    def say(self, what: str) -> None:
        """Replaces the line."""
        if self.shown:
            seconds = time.perf_counter() - self.start
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{f'{seconds:4.0f} s  {what}'[:width]}")
            sys.stderr.flush()

    def end(self) -> None:
        """Removes the line."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
