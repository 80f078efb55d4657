"""Runs PyTorch's own samples of its operators and modules through the backend of `torch.compile`.

    python tests/opinfo_suite.py [PATTERN] [--operators] [--grad] [--modules] [--jobs 2]
        [--redo failed|stale|all] [--write]

PATTERN is a regular expression for names. Unless kinds are named, all three run. Results are
appended to a file (`--results`), so a run that was ended goes on where it was: what is in the file
is not run again unless it `failed`, is `stale` (of another commit of the sources) or `--redo all`
asks for everything. `--write` brings tests/opinfo_results.txt, whose first lines name the commits
that the results are of, the summary in docs/torch.md and docs/torch_ops.md up to date. A skipped
sample is a failed one; the rules are those of opinfo_cases.py.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

os.environ.setdefault("DLC_NUM_THREADS", "1")

TESTS = Path(__file__).parent
COMMITTED = TESTS / "opinfo_results.txt"
PAGE = TESTS.parent / "docs" / "torch.md"
LIST = TESTS.parent / "docs" / "torch_ops.md"
RESULTS = TESTS.parent / "out" / "judge_torch.jsonl"
TITLES = {
    "operators": "operators, results",
    "gradients": "operators, results and gradients",
    "modules": "modules, results and gradients",
}
OUTCOMES = {
    "pass": "pass",
    "uncaptured": "not captured by PyTorch",
    "fail": "fail",
    "waiting": "not run yet",
}
UNKNOWN = "unknown"
Key = tuple[str, str]
OUT_OF_TIME = (-signal.SIGXCPU, -signal.SIGKILL)


def read(path: Path) -> dict[Key, dict[str, Any]]:
    """The last result of each case."""
    found: dict[Key, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            r = json.loads(line)
        except json.JSONDecodeError:  # a line that was being written when the run was ended
            continue
        found[r["kind"], r["name"]] = r
    return found


@functools.cache
def commit() -> str:
    """The last commit, and its day, of what is judged and of the judge; `+` if changed since."""
    judged = ("--", "dlc", "tests/opinfo_*.py")

    def git(*arguments: str) -> str:
        command = ["git", *arguments, *judged]
        try:
            done = subprocess.run(
                command, cwd=TESTS.parent, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):  # the sources without their history
            return ""
        return done.stdout.strip()

    changed = "+" if git("status", "--porcelain") else ""
    return git("log", "-1", "--format=%h of %cs") + changed or UNKNOWN


def committed() -> dict[Key, dict[str, Any]]:
    """The results that the docs quote."""
    found: dict[Key, dict[str, Any]] = {}
    for line in COMMITTED.read_text().splitlines():
        if line.startswith("#"):
            continue
        kind, name, how, reason = line.split(" ", 3) if line.count(" ") > 2 else (*line.split(), "")
        found[kind, name] = {"kind": kind, "name": name, "outcome": how, "reason": reason}
    return found


def summary(found: dict[Key, dict[str, Any]]) -> str:
    """How many of each kind pass."""
    waiting = any(r["outcome"] == "waiting" for r in found.values())
    shown = {k: t for k, t in OUTCOMES.items() if k != "waiting" or waiting}
    lines = [f"| PyTorch's samples | all | {' | '.join(shown.values())} |"]
    lines.append("|---|---|" + "---|" * len(shown))
    for kind, title in TITLES.items():
        n = Counter(r["outcome"] for (k, _), r in found.items() if k == kind)
        numbers = [n.total(), *(n[k] for k in shown)]
        lines.append(f"| {title} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def listing(found: dict[Key, dict[str, Any]]) -> str:
    """What does not pass, and why."""
    parts: list[str] = []
    for kind, title in TITLES.items():
        parts += [f"## {title.capitalize()}", "", "| not passed | why |", "|---|---|"]
        for (k, name), r in sorted(found.items()):
            if k == kind and r["outcome"] in ("fail", "uncaptured"):
                reason = re.sub(r"([|<>*_`])", r"\\\1", r["reason"])
                own = "not captured by PyTorch: " if r["outcome"] == "uncaptured" else ""
                parts.append(f"| `{name}` | {own}{reason} |")
        parts.append("")
    return "\n".join(parts).strip()


def replaced(text: str, made: str) -> str:
    """A page with what is between its marks replaced."""
    head, _, rest = text.partition("<!-- judge -->\n")
    tail = rest.partition("<!-- end of judge -->")[2]
    return f"{head}<!-- judge -->\n{made}\n<!-- end of judge -->{tail}"


def recorded(found: dict[Key, dict[str, Any]]) -> list[str]:
    """The lines of the committed results: from which commits they are, and each case."""
    of = Counter(r.get("commit", UNKNOWN) for r in found.values() if r["outcome"] != "waiting")
    lines = [f"# {n} results of commit {name}" for name, n in of.most_common()]
    for (kind, name), r in sorted(found.items()):
        lines.append(f"{kind} {name} {r['outcome']} {r['reason']}".strip())
    return lines


def write(found: dict[Key, dict[str, Any]]) -> None:
    """Brings the committed results and the pages up to date."""
    COMMITTED.write_text("\n".join(recorded(found)) + "\n")
    PAGE.write_text(replaced(PAGE.read_text(), summary(found)))
    LIST.write_text(replaced(LIST.read_text(), listing(found)))


def _child(pipe: Any, key: Key, limit: int) -> None:
    import opinfo_cases

    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    pipe.send(opinfo_cases.outcome(*key))


def warm() -> None:
    """Loads in the parent what every child needs."""
    import torch

    from dlc.interop.torch import dlc_backend

    torch.set_num_threads(1)
    x = torch.ones(2, requires_grad=True)
    torch.compile(lambda x: x.sin() + 1, backend=dlc_backend)(x).sum().backward()
    torch._dynamo.reset()


def run(keys: list[Key], jobs: int, limit: int, path: Path) -> None:
    """Each case in a process of its own, ended after `limit` CPU seconds (ten times by clock)."""
    context = multiprocessing.get_context("fork")
    now = commit()
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting, running = list(reversed(keys)), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            key = waiting.pop()
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(theirs, key, limit))
            process.start()
            theirs.close()
            running[ours] = (key, process, time.monotonic())
        wait(list(running), timeout=1)
        for pipe, (key, process, start) in list(running.items()):
            spent = time.monotonic() - start
            if not pipe.poll() and spent < 10 * limit:
                continue
            found = {"kind": key[0], "name": key[1], "samples": 0, "outcome": "fail"}
            late = f"over {limit} s"
            try:
                found = pipe.recv() if pipe.poll() else found | {"reason": late}
            except EOFError:
                process.join()
                code = process.exitcode
                ended = late if code in OUT_OF_TIME else f"the process ended with {code}"
                found["reason"] = ended
            process.kill()
            process.join()
            pipe.close()
            del running[pipe]
            with path.open("a") as file:
                file.write(json.dumps({**found, "seconds": round(spent, 1), "commit": now}) + "\n")


def again(known: dict[str, Any], redo: str | None) -> bool:
    """Whether a case that has a result is run again."""
    if redo == "failed":
        return known["outcome"] != "pass"
    at = known.get("commit", UNKNOWN)
    return redo == "all" or (redo == "stale" and (at != commit() or at.endswith("+")))


def main() -> int:
    """Runs what is asked for and says how many pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--operators", action="store_true")
    parser.add_argument("--grad", action="store_true")
    parser.add_argument("--modules", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=180, help="CPU seconds a case")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--redo", choices=("failed", "stale", "all"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    import opinfo_samples

    asked = dict(zip(TITLES, (options.operators, options.grad, options.modules), strict=True))
    kinds = [k for k in TITLES if asked[k] or not any(asked.values())]
    keys = [(k, n) for k in kinds for n in opinfo_samples.names(k) if re.search(options.pattern, n)]
    known = read(options.results)
    todo = [k for k in keys if k not in known or again(known[k], options.redo)]
    if todo:
        warm()
        run(todo, options.jobs, options.limit, options.results)
    found = {k: r for k, r in read(options.results).items() if k in set(keys)}
    for (kind, name), r in sorted(found.items()):
        if (kind, name) in todo and r["outcome"] != "pass":
            print(f"{kind} {name}: {r['outcome']}: {r['reason']}")
    print(summary(found))
    if options.write:
        every = [(k, n) for k in TITLES for n in opinfo_samples.names(k)]
        known = read(options.results)
        write({k: known.get(k, {"outcome": "waiting", "reason": ""}) for k in every})
    return int(any(r["outcome"] == "fail" for r in found.values()))


if __name__ == "__main__":
    sys.exit(main())
