"""`make gpu-report`: all that a GPU is needed for, the most important first, in a given time.

    python tests/gpu_session.py [--seconds N] [--out FOLDER] [--python PATH]

Measures the most important cases of the bench, runs the tests for GPUs, then measures the other
cases. Each part is ended when its time is over; what it has found by then is kept, as results of
the day. Run again on the same day it goes on where it was ended, and leaves out what is done.
Exit status: 0 when all is done, 1 when something failed or is left, 2 without a GPU.
"""

import argparse
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import gpu_report

ROOT = Path(__file__).parent.parent
GRACE = 15.0  # seconds for a part to end once it is told to
FIRST = (
    "matmul bf16 *", "attention causal bf16 *", "gpt2 124M training*", "softmax *", "rms norm 1*",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A command, and for how many seconds at most it may run."""

    name: str
    command: list[str]
    seconds: float


def bench(python, out, rounds, patterns=()):
    """Measures cases that have no result of the day; without starts of processes."""
    chosen = [word for p in patterns for word in ("--cases", p)]
    command = [python, "-m", "dlc", "bench", "--device", "cuda", "--starts", "0", "--missing"]
    return [*command, "--rounds", str(rounds), "--out", str(out), *chosen]


def parts(python, out, rounds):
    """What is done, in this order."""
    tests = [python, str(ROOT / "tests" / "gpu_report.py"), "--out", str(out)]
    return [
        Part("bench: what matters most", bench(python, out, rounds, FIRST), 420),
        Part("tests", tests, 240),
        Part("bench: the rest", bench(python, out, rounds), float("inf")),
    ]


def is_done(part, out):
    """Whether the tests have passed today; the bench itself leaves out what it has."""
    file = gpu_report.report_file(out)
    if part.name != "tests" or not file.exists():
        return False
    return gpu_report.is_done(file.read_text(encoding="utf-8"))


def run(part, seconds):
    """The exit status of a part; None when its time was over."""
    process = subprocess.Popen(part.command, cwd=ROOT)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return None


def run_all(todo, out, seconds, say=print):
    """Runs parts one after the other; whether all is done."""
    end, complete = time.monotonic() + seconds, True
    for part in todo:
        if is_done(part, out):
            say(f"{part.name}: done before")
            continue
        left = min(part.seconds, end - time.monotonic() - GRACE)
        if left <= 0:
            say(f"{part.name}: no time was left")
            complete = False
            continue
        start = time.monotonic()
        status = run(part, left)
        how = "its time was over" if status is None else f"status {status}"
        say(f"{part.name}: {time.monotonic() - start:.0f} s, {how}")
        complete = complete and status == 0
    say("all is done" if complete else "not all is done: run it again today, and it goes on")
    return complete


def main(words=None):
    """Runs the session."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=840, help="in all (default: 840)")
    parser.add_argument("--rounds", type=int, default=7, help="of the bench (default: 7)")
    parser.add_argument("--out", type=Path, default=gpu_report.RESULTS, help="where results go")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of all parts")
    options = parser.parse_args(words)
    if gpu_report.facts_or_none() is None:
        return 2
    out = options.out.resolve()
    todo = parts(options.python, out, options.rounds)
    return 0 if run_all(todo, out, options.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
