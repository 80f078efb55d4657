"""Judges random programs until it is stopped: crashes, hangs and disagreements, made small.

    python tests/fuzz_programs.py --first 0 --count 500 --judges stages,calls --seconds 300

A process of its own runs them, so that one that crashes or hangs is found too. Each failure is
printed as a program of a few lines.
"""

import argparse
import contextlib
import faulthandler
import random
import re
import select
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import replace

from program_judges import JUDGES, judge
from source_maker import make_program
from source_programs import NAME, pruned

import dlc.ir.errors

ALL = [*JUDGES, "derivatives"]


def plan(seed, chosen):
    """What a seed stands for: the program, its judges, whether arguments have special values."""
    rng = random.Random(f"plan {seed}")
    names = chosen if len(chosen) <= 2 else rng.sample([c for c in chosen if c != "derivatives"], 2)
    if "derivatives" in chosen and (len(chosen) <= 2 or rng.random() < 0.25):
        return make_program(seed, wide="float64", smooth=True), ["derivatives"], False
    program, special = make_program(seed), rng.random() < 0.4
    gradient = bool(program.floats) and rng.random() < 0.4
    return replace(program, gradient=gradient), names, special


def outcome(program, names, special, seed):
    """None where all agree, else the failure as text."""
    try:
        judge(program, names, seed, special=special)
    except (dlc.ir.errors.IndexRangeError, NotImplementedError):
        return None  # places that are known to be out of range
    except Exception as error:  # noqa: BLE001  (whatever is raised is the finding)
        return f"{type(error).__name__}: {error}", traceback.format_exc(limit=-8)
    return None


def kind_of(text):
    """What two failures have in common that are the same one."""
    return re.sub(r"[-+]?\d[\d.e+-]*|nan|inf|v\d+|a\d+", "#", text)[:60]


def shrunk(program, names, special, seed, kind, seconds=40):
    """A smaller program that fails in the same way."""
    end = time.time() + seconds

    def fails(candidate):
        if time.time() > end:
            return False
        found = outcome(candidate, names, special, seed)
        return found is not None and kind_of(found[0]) == kind

    changed = True
    while changed and time.time() < end:
        changed = False
        for candidate in smaller(program):
            if fails(candidate):
                program, changed = candidate, True
                break
    return program


def smaller(program):
    for k in range(len(program.results)):
        if len(program.results) > 1:
            kept = program.results[:k] + program.results[k + 1 :]
            yield pruned(replace(program, results=kept))
    for k, line in enumerate(program.lines):
        name = line.split(" ", 1)[0]
        for other in dict.fromkeys(NAME.findall(line)):
            if other != name:
                lines = tuple(re.sub(rf"\b{name}\b", other, x)
                              for x in program.lines[:k] + program.lines[k + 1 :])  # fmt: skip
                results = tuple(other if r == name else r for r in program.results)
                yield pruned(replace(program, lines=lines, results=results))
    for k, p in enumerate(program.params):
        if p.layout != "plain":
            params = list(program.params)
            params[k] = replace(p, layout="plain")
            yield replace(program, params=tuple(params))


def work(first, count, chosen):
    """In the process: a line before each seed and one for each failure."""
    faulthandler.enable()
    for seed in range(first, first + count):
        print(f"seed {seed}", flush=True)
        try:
            program, names, special = plan(seed, chosen)
        except Exception:  # noqa: BLE001
            print(
                f"== seed {seed}: while it was made\n{traceback.format_exc(limit=-8)}", flush=True
            )
            continue
        print("program", names, special, "\n" + program.source, file=sys.stderr, flush=True)
        found = outcome(program, names, special, seed)
        if found is not None:
            kind = kind_of(found[0])
            small = shrunk(program, names, special, seed, kind)
            text = outcome(small, names, special, seed) or found
            trace = "" if text[0].startswith("Wrong") else text[1][-700:]
            print(f"== seed {seed} {names} special={special}\n{small.source}")
            print(f"{text[0][:1500]}\n{trace}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--judges", default=",".join(ALL))
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--limit", type=float, default=90, help="seconds of one program")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.first, options.count, options.judges.split(","))
        return
    end, seed, last = time.time() + options.seconds, options.first, options.first + options.count
    while seed < last and time.time() < end:
        seed = watch(seed, last, end, options) + 1
    print("up to seed", seed)


def watch(seed, last, end, options):
    """Runs seeds in a process until it ends, hangs or time is up; the last seed that it began."""
    command = [sys.executable, __file__, "--work", "--first", str(seed), "--count",
               str(last - seed), "--judges", options.judges]  # fmt: skip
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        buffer = b""
        with contextlib.ExitStack() as stack:
            stack.callback(process.kill)
            while True:
                ready, _, _ = select.select([process.stdout], [], [], options.limit)
                chunk = process.stdout.read1() if ready else None
                if not ready:
                    print(f"== seed {seed} hangs\n{tail(errors)}", flush=True)
                    return seed
                if not chunk:
                    break
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    if line.startswith(b"seed "):
                        seed = int(line.split()[1])
                    else:
                        print(line.decode(), flush=True)
                if time.time() > end:
                    return seed
        if process.wait() != 0:
            print(f"== seed {seed} ends with {process.returncode}\n{tail(errors)}", flush=True)
        return seed


def tail(errors):
    errors.seek(0)
    text = errors.read()
    return text[text.rfind("\nprogram") :][:6000]


if __name__ == "__main__":
    main()
