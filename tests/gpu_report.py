"""`make test-gpu`: runs the tests that need a GPU and writes a dated report of them."""

import datetime as dt
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import dlc
from dlc.runtime.gpu.driver import driver, gpu_facts

ROOT = Path(__file__).parent.parent


class Counter:
    """Counts what pytest reports."""

    def __init__(self):
        self.outcomes, self.failed = {"passed": 0, "failed": 0, "skipped": 0}, []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome] += 1
            if report.outcome == "failed":
                self.failed.append(report.nodeid)


def report(facts, outcomes, failed, seconds, today):
    """The text of the report."""
    lines = [
        f"# Tests on a GPU, {today}",
        "",
        f"* Device: {facts.name} ({facts.arch}, {facts.memory / 2**30:.0f} GiB)",
        f"* Driver: CUDA {facts.driver}; Triton {version('triton')}; dlc {dlc.__version__}",
        f"* Tests: {sum(outcomes.values())} in {seconds:.0f} s, "
        + ", ".join(f"{n} {name}" for name, n in outcomes.items()),
    ]
    return "\n".join([*lines, *(f"* Failed: {name}" for name in failed)]) + "\n"


def main():
    """Runs the tests; 2 where there is no GPU, else pytest's exit code, or 1 for a skipped test."""
    try:
        driver()
        facts = gpu_facts(0)
    except dlc.DeviceError as error:
        print(f"No test was run, for there is no NVIDIA GPU here: {error}", file=sys.stderr)
        return 2
    counter, start = Counter(), dt.datetime.now(dt.UTC)
    code = int(pytest.main(["-q", "-m", "gpu", str(ROOT / "tests")], plugins=[counter]))
    now = dt.datetime.now(dt.UTC)
    seconds, today = (now - start).total_seconds(), now.date().isoformat()
    file = ROOT / "bench" / "results" / f"{today}-gpu-tests.md"
    file.write_text(report(facts, counter.outcomes, counter.failed, seconds, today))
    print(file)
    return code or int(counter.outcomes["skipped"] > 0)


if __name__ == "__main__":
    sys.exit(main())
