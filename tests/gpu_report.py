"""`make test-gpu`: runs the tests that need a GPU and writes a dated report of them.

    python tests/gpu_report.py [--out FOLDER] [--jobs N]

Several processes share the work where pytest-xdist is installed. Ctrl-C ends it early: the report
then says so.
"""

import argparse
import datetime as dt
import importlib.util
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import dlc
from dlc.runtime.gpu.driver import driver, gpu_facts

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
EARLY = "* Ended early: not all tests were run"


class Counter:
    """Counts what pytest reports."""

    def __init__(self):
        self.outcomes, self.failed = {"passed": 0, "failed": 0, "skipped": 0}, []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome] += 1
            if report.outcome == "failed":
                self.failed.append(report.nodeid)


def report(facts, outcomes, failed, seconds, today, ended_early=False):
    """The text of the report."""
    lines = [
        f"# Tests on a GPU, {today}",
        "",
        f"* Device: {facts.name} ({facts.arch}, {facts.memory / 2**30:.0f} GiB)",
        f"* Driver: CUDA {facts.driver}; Triton {version('triton')}; dlc {dlc.__version__}",
        f"* Tests: {sum(outcomes.values())} in {seconds:.0f} s, "
        + ", ".join(f"{n} {name}" for name, n in outcomes.items()),
        *([EARLY] if ended_early else []),
    ]
    return "\n".join([*lines, *(f"* Failed: {name}" for name in failed)]) + "\n"


def is_done(text):
    """Whether a report is of all tests, none of which failed or was skipped."""
    return EARLY not in text and ", 0 failed, 0 skipped" in text


def today():
    """The date as the report gives it, in UTC."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def report_file(folder):
    """Today's report."""
    return folder / f"{today()}-gpu-tests.md"


def facts_or_none():
    """What the first GPU is; without one, it is said why and what to do."""
    try:
        driver()
        return gpu_facts(0)
    except dlc.DeviceError as error:
        print(f"There is no NVIDIA GPU here, nothing was run: {error}", file=sys.stderr)
        print(
            "On a machine with a GPU and NVIDIA's driver for CUDA 12.0 or later: "
            "pip install 'dlc[gpu]', then run this again; docs/gpu.md says more.",
            file=sys.stderr,
        )
        return None


def test_files():
    """The files with tests for a GPU: others need not be imported, nor what they import."""
    here = Path(__file__).parent
    return [str(p) for p in sorted(here.glob("test_*.py")) if "= pytest.mark.gpu" in p.read_text()]


def main(words=None):
    """Runs the tests; 2 where there is no GPU, else pytest's exit code, or 1 for a skipped test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the report")
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1))
    options = parser.parse_args(words)
    facts = facts_or_none()
    if facts is None:
        return 2
    shared = options.jobs > 1 and importlib.util.find_spec("xdist") is not None
    jobs = ["-n", str(options.jobs)] if shared else []
    counter, start = Counter(), dt.datetime.now(dt.UTC)
    code = int(pytest.main(["-q", "-m", "gpu", *jobs, *test_files()], plugins=[counter]))
    seconds = (dt.datetime.now(dt.UTC) - start).total_seconds()
    options.out.mkdir(parents=True, exist_ok=True)
    file = report_file(options.out)
    early = code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    held = counter.outcomes, counter.failed, seconds, file.name[: len("2000-01-01")]
    file.write_text(report(facts, *held, ended_early=early), encoding="utf-8")
    print(file)
    return code or int(counter.outcomes["skipped"] > 0)


if __name__ == "__main__":
    sys.exit(main())
