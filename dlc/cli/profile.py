"""`dlc profile`: where the time of a program goes."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlc.bench.peaks import Peaks, measure_peaks
from dlc.bench.report import seconds_text
from dlc.bench.share import limit_of
from dlc.cli.inputs import add_input_arguments, given_arrays, input_arrays
from dlc.cli.roofline import Point, roofline
from dlc.cli.targets import apart
from dlc.cli.tracing import add_target_arguments, trace_options
from dlc.codegen.kernel_cost import kernel_operations
from dlc.codegen.program import Call, Program
from dlc.ir.config import config
from dlc.ir.dims import evaluate
from dlc.runtime.executable import compile_function
from dlc.runtime.kernel_times import ProgramTimer

DESCRIPTION = """\
Times a program and each of its kernels, and holds them against what the machine can do: how many
operations and bytes a call takes, how many of them a second, and what part that is of the limit,
operations or bytes, whichever binds. Kernels are timed one by one, warm, without what calls them;
equal ones with equal extents once. An extent is that of the arguments (--arg, --dim).
"""
EXAMPLES = """\
examples:
  $ dlc profile net.py:softmax --arg f32[512,256] --threads 1
  @softmax: ... in its kernels, ...; 1 thread
  ...

  $ dlc profile twice.ir --dim n=100000 --trace trace.json --svg roofline.svg
  @twice: ...
  ...
  wrote trace.json
  wrote roofline.svg
"""
_HEAD = ("time", "part", "calls", "GFLOP/s", "GB/s", "of the limit", "kernel", "source")


@dataclass(frozen=True)
class Row:
    """Equal calls of a kernel.

    Args:
        name: The kernel's.
        dims: Its extents, by name.
        calls: How many there are.
        threads: That can work on one.
        seconds: Of one call.
        operations: Of one call.
        bytes: That one call reads and writes.
        share: Of the limit that it reaches.
        binds: "operations" or "bytes".
        sources: The user's lines.
    """

    name: str
    dims: dict[str, int]
    calls: int
    threads: int
    seconds: float
    operations: int
    bytes: int
    share: float
    binds: str
    sources: list[str]

    @property
    def total(self) -> float:
        """The seconds of all of the calls."""
        return self.calls * self.seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    add_target_arguments(parser)
    add_input_arguments(parser)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads to run on (default: as `dlc doctor` says)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE.json", help="write a trace for ui.perfetto.dev there"
    )
    parser.add_argument(
        "--svg", type=Path, metavar="FILE.svg", help="write a roofline diagram there"
    )


def run(options: argparse.Namespace) -> int:
    """Times the program and prints a table."""
    threads = config.thread_count(options.threads)
    arrays = given_arrays(options)
    traced = trace_options(options, arrays)
    inputs = input_arrays(traced, options, arrays)
    fixed = [inputs[k] for k in traced.options.fixed]
    executable = compile_function(traced.function, options=traced.options, fixed=fixed)
    with apart():
        timer = ProgramTimer(executable, inputs, threads)
    values = executable.extents_of(tuple(a.shape for a in executable.changing(inputs)))
    largest = max((_bytes(timer.program, call, values) for call in timer.calls), default=0)
    with config.scope(num_threads=threads):
        peaks = measure_peaks(threads, largest)
    with apart():
        rows = _rows(timer, values, peaks)
        whole = timer.seconds()
    name = traced.function.name
    if options.json:
        print(json.dumps(_record(name, whole, threads, rows, peaks), indent=1))
    else:
        print(_text(name, whole, threads, rows, peaks))
    if options.trace is not None:
        events = _events(timer, rows)
        options.trace.write_text(json.dumps({"traceEvents": events}) + "\n", encoding="utf-8")
    if options.svg is not None:
        together = sum(r.total for r in rows) or 1.0
        points = [Point(r.name, r.operations, r.bytes, r.seconds, r.total / together) for r in rows]
        text = roofline(points, peaks["operations"], peaks["bytes"])
        options.svg.write_text(text, encoding="utf-8")
    for path in (options.trace, options.svg):
        if path is not None and not options.json:
            print(f"wrote {path}")
    return 0


def _key(call: Call, values: Mapping[str, int]) -> tuple[int, tuple[int, ...]]:
    return call.kernel, tuple(evaluate(d, values) for d in call.dims)


def _rows(timer: ProgramTimer, values: Mapping[str, int], peaks: Peaks) -> list[Row]:
    """The kernels with their extents, in the order of their first calls."""
    groups: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for k, call in enumerate(timer.calls):
        groups.setdefault(_key(call, values), []).append(k)
    return [_row(timer, numbers, values, peaks) for numbers in groups.values()]


def _row(
    timer: ProgramTimer, numbers: Sequence[int], values: Mapping[str, int], peaks: Peaks
) -> Row:
    program, first = timer.program, timer.calls[numbers[0]]
    kernel = program.kernels[first.kernel]
    dims = dict(zip(kernel.dims, _key(first, values)[1], strict=True))
    operations = evaluate(kernel_operations(kernel), dims)
    moved = _bytes(program, first, values)
    seconds = timer.seconds(numbers[0])
    least, binds = limit_of(operations, moved, peaks)
    job = timer.jobs[numbers[0]]
    sources = dict.fromkeys(str(timer.calls[k].loc) for k in numbers if timer.calls[k].loc)
    return Row(
        name=kernel.name,
        dims=dims,
        calls=len(numbers),
        threads=min(timer.num_threads, max(1, -(-job.units // job.chunk))),
        seconds=seconds,
        operations=operations,
        bytes=moved,
        share=least / seconds,
        binds=binds,
        sources=list(sources),
    )


def _bytes(program: Program, call: Call, values: Mapping[str, int]) -> int:
    """What a call reads and writes, each tensor once."""
    total = 0
    for slot in dict.fromkeys(call.args):
        type_ = program.slots[slot].type
        total += math.prod(evaluate(d, values) for d in type_.shape) * type_.dtype.itemsize
    return total


def _text(name: str, whole: float, threads: int, rows: Sequence[Row], peaks: Peaks) -> str:
    together = sum(r.total for r in rows)
    moved = ", ".join(
        f"{speed / 1e9:.1f} GB/s over {int(size) >> 20} MiB"
        for size, speed in peaks["bytes"].items()
    )
    times = f"{seconds_text(whole)}, {seconds_text(together)} in its kernels, one by one"
    lines = [
        f"@{name}: {times}; {threads} thread{'' if threads == 1 else 's'}",
        f"limits: {peaks['operations'] / 1e9:.0f} GFLOP/s; {moved}",
    ]
    cells = [_HEAD, *(_cells(r, together) for r in sorted(rows, key=lambda r: -r.total))]
    widths = [max(len(row[k]) for row in cells) for k in range(len(_HEAD))]
    for row in cells:
        shown = [
            c.rjust(w) if k < 5 else c.ljust(w)
            for k, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(shown).rstrip())
    return "\n".join(lines)


def _cells(row: Row, together: float) -> tuple[str, ...]:
    dims = ", ".join(f"{name}={n}" for name, n in row.dims.items())
    more = f" and {len(row.sources) - 1} more" if len(row.sources) > 1 else ""
    return (
        seconds_text(row.total),
        f"{100 * row.total / together:.0f} %",
        str(row.calls),
        f"{row.operations / row.seconds / 1e9:.1f}",
        f"{row.bytes / row.seconds / 1e9:.1f}",
        f"{100 * row.share:.0f} % {row.binds}",
        f"{row.name}({dims})",
        f"{row.sources[0]}{more}" if row.sources else "",
    )


def _record(
    name: str, whole: float, threads: int, rows: Sequence[Row], peaks: Peaks
) -> dict[str, Any]:
    """What `--json` prints."""
    kernels = [{**vars(r), "total": r.total} for r in rows]
    return {
        "function": name, "seconds": whole, "threads": threads, "peaks": peaks, "kernels": kernels,
    }  # fmt: skip


def _events(timer: ProgramTimer, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The calls one after the other, in a lane for each thread that can work on them."""
    by_kernel = {(r.name, tuple(r.dims.values())): r for r in rows}
    lanes = range(timer.num_threads)
    events: list[dict[str, Any]] = [
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": t, "args": {"name": f"thread {t}"}}
        for t in lanes
    ]
    now = 0.0
    for call, job in zip(timer.calls, timer.jobs, strict=True):
        row = by_kernel[timer.program.kernels[call.kernel].name, job.dims]
        about = {
            "operations": row.operations, "bytes": row.bytes, "of the limit": round(row.share, 3),
            "binds": row.binds, "source": str(call.loc) if call.loc else "", **row.dims,
        }  # fmt: skip
        drawn = {"name": row.name, "ph": "X", "pid": 1, "ts": 1e6 * now, "args": about}
        drawn["dur"] = 1e6 * row.seconds
        events += [{**drawn, "tid": t} for t in lanes[: row.threads]]
        now += row.seconds
    return events
