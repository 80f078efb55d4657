"""Results as a Markdown table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from dlc.bench.frameworks import KINDS, OURS
from dlc.bench.problem import Case
from dlc.bench.suites import GPU_SUITE, SUITES

Record: TypeAlias = dict[str, Any]


def seconds_text(seconds: float | None) -> str:
    """A time with a unit.

    Example:
        >>> seconds_text(0.000123)
        '123 us'
    """
    if seconds is None:
        return ""
    for factor, unit in ((1e6, "us"), (1e3, "ms"), (1, "s")):
        value = seconds * factor
        if value < 1000 or unit == "s":
            break
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def _bytes_text(size: float | None) -> str:
    return "" if size is None else f"{size / 2**20:.0f} MiB"


def _ratio_text(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


TRACED = "torch traced"


def markdown(record: Record) -> str:
    """The whole report."""
    names = _names(record)
    parts = [*_about(record), _calls(record, names), starts(record)]
    parts += ["\n".join(standing(record)), _problems(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _names(record: Record) -> list[str]:
    """The frameworks that any case has, in the order of their list."""
    present = {name for case in record["cases"].values() for name in case["frameworks"]}
    return [name for name in KINDS if name in present]


def _about(record: Record) -> Iterable[str]:
    for run in record["runs"].values():
        lines = [*about_run(run)]
        for name, settings in run["frameworks"].items():
            lines.append(f"{name}: " + ", ".join(f"{k} {v}" for k, v in settings.items()))
        if "imports" in run:
            times = ", ".join(f"{n} {seconds_text(t)}" for n, t in run["imports"].items())
            lines.append(f"import of {times}")
        if run["void"]:
            lines.append(f"**void: {run['void']}**")
        yield "\n".join(f"* {line}" for line in lines)


def processor_name(run: Record) -> str:
    """The processor of a run, in short."""
    return " ".join(run["processor"].replace("(R)", "").replace("Processor", "").split())


def about_run(run: Record) -> Iterable[str]:
    """When and on which machine a run was, and what the machine could do."""
    how = f"{run['threads']} threads, {run['rounds']} rounds"
    versions = f"dlc {run['dlc']}, Python {run['python']}"
    device = run.get("device", "cpu")
    where = run["processor"] if device == "cpu" else f"{device} beside {run['processor']}"
    yield f"{run['started']}: {where}, {how}, {versions}"
    peaks = run["peaks"]
    if peaks is not None:
        moved = ", ".join(
            f"{b / 1e9:.1f} GB/s over {int(size) >> 20} MiB" for size, b in peaks["bytes"].items()
        )
        yield f"peaks: {peaks['operations'] / 1e9:.0f} GFLOP/s; {moved}"
    if run["judge"] is not None:
        yield f"torch's own matmul 1024 reaches {100 * run['judge']:.0f} % of the peak"


def _calls(record: Record, names: Sequence[str]) -> str:
    """The time of a call, and how dlc stands."""
    head = ["case", *names, "best peer / dlc", "quartiles", "share of the limit", ""]
    rows = [head]
    for name, case in record["cases"].items():
        found = case["frameworks"]
        low, high = case.get("ratio quartiles", (None, None))
        ours = found.get(OURS, {})
        share = ours.get("share")
        rows.append(
            [
                name,
                *(_time(found.get(n, {}), "seconds", n == case.get("best peer")) for n in names),
                _ratio_text(case.get("ratio")),
                "" if low is None else f"{low:.2f} to {high:.2f}",
                "" if share is None else f"{100 * share:.0f} % of {case['binds']}",
                _note(case, ours),
            ]
        )
    return _table(rows)


def _time(figures: Record, what: str, best: bool = False) -> str:
    if "error" in figures:
        return "error"
    text = seconds_text(figures.get(what))
    return f"**{text}**" if best and text else text


def _note(case: Record, ours: Record) -> str:
    notes: list[str] = []
    if case["void"]:
        notes.append("void")
    if "kernel_seconds" in ours:
        over = ours["seconds"] - ours["kernel_seconds"]
        notes.append(f"{seconds_text(max(0.0, over))} over {ours['kernels']} kernels")
    if "over_steps" in ours:
        notes.append(f"{_over(ours, 'over_steps')} over {ours['steps']} bare steps")
    if "epochs_over_steps" in ours:
        notes.append(f"a fit of {ours['epochs']} epochs {_over(ours, 'epochs_over_steps')}")
    return ", ".join(notes)


def _over(ours: Record, what: str) -> str:
    return f"{100 * ours[what]:.1f} % (shuffled {100 * ours[f'shuffled_{what}']:.1f} %)"


# What comes before the calls: where the JSON has it, what it is called, and how it is written.
_BEFORE = (
    ("first call", "first call, warm process", seconds_text),
    ("start", "process start to first result", seconds_text),
    ("second start", "the same with caches", seconds_text),
    ("memory", "memory", _bytes_text),
)


def starts(record: Record) -> str:
    """A table of what comes before the calls: compilation, starts of processes, memory."""
    compilers = [n for n in _names(record) if KINDS[n].compiles]
    present = [
        column
        for column in _BEFORE
        if any(column[0] in f for c in record["cases"].values() for f in c["frameworks"].values())
    ]
    head = ["case", *(f"{what}: {n}" for _, what, _ in present for n in compilers)]
    rows = [head]
    for name, case in record["cases"].items():
        found = case["frameworks"]
        rows.append(
            [name, *(text(found.get(n, {}).get(k)) for k, _, text in present for n in compilers)]
        )
    return _table(rows) if present and compilers else ""


def standing(record: Record) -> list[str]:
    """How dlc stands beside the others, over the cases of each suite."""
    lines = [*_calls_standing(record), *_beyond_tracing(record)]
    for key, what, _ in _BEFORE:
        for name in _names(record):
            ratios = _ratios(record, key, name)
            if name != OURS and KINDS[name].compiles and ratios:
                lines.append(f"* {what}: {name} / dlc is {_mean_text(ratios)}")
    return lines


def suites(record: Record) -> dict[str, tuple[Case, ...]]:
    """The suites that a record can be of: on a GPU their cases have the names of others."""
    on_gpu = any(run.get("device", "cpu") != "cpu" for run in record["runs"].values())
    return {name: cases for name, cases in SUITES.items() if (name == GPU_SUITE) == on_gpu}


def _calls_standing(record: Record) -> Iterable[str]:
    for suite, cases in suites(record).items():
        found = {c.name: record["cases"].get(c.name, {}).get("ratio") for c in cases}
        ratios = {name: ratio for name, ratio in found.items() if ratio}
        if ratios:
            yield f"* call, suite {suite}: best peer / dlc is {_mean_text(ratios)}"


def _mean_text(ratios: Mapping[str, float]) -> str:
    worst = min(ratios, key=lambda case: ratios[case])
    mean = statistics.geometric_mean(ratios.values())
    return (
        f"{mean:.2f} in the geometric mean of {len(ratios)} cases, at least {ratios[worst]:.2f} "
        f"({worst})"
    )


def _beyond_tracing(record: Record) -> Iterable[str]:
    """Which part of a compiler's own time dlc takes, that of PyTorch's tracing left out."""
    for name in _names(record):
        shares: Record = {}
        for case, measured in record["cases"].items():
            firsts = [
                measured["frameworks"].get(n, {}).get("first call") for n in (OURS, name, TRACED)
            ]
            if name not in (OURS, TRACED) and all(firsts) and firsts[1] > firsts[2]:
                shares[case] = (firsts[0] - firsts[2]) / (firsts[1] - firsts[2])
        if shares:
            worst = max(shares, key=lambda case: shares[case])
            yield (
                f"* first call beyond {TRACED}: dlc / {name} is "
                f"{statistics.median(shares.values()):.3f} in the median of {len(shares)} cases, "
                f"at most {shares[worst]:.3f} ({worst})"
            )


def _ratios(record: Record, key: str, peer: str) -> dict[str, float]:
    """A peer's figure over dlc's, by case, where both have one."""
    found: dict[str, float] = {}
    for name, case in record["cases"].items():
        theirs, ours = (case["frameworks"].get(n, {}).get(key) for n in (peer, OURS))
        if theirs and ours:
            found[name] = theirs / ours
    return found


def summary(record: Record, suite: str) -> str:
    """The cases of a suite in short: how dlc stands beside the best peer of each."""
    rows = [
        ["case", "dlc", "best peer", "its time", "best peer / dlc", "quartiles", "of the limit", ""]
    ]
    for case in SUITES[suite]:
        measured = record["cases"].get(case.name, {})
        if "ratio" in measured:
            rows.append([case.name, *_summary_cells(measured)])
    return _table(rows)


def _summary_cells(measured: Record) -> Iterable[str]:
    best, found = measured["best peer"], measured["frameworks"]
    low, high = measured["ratio quartiles"]
    share = found[OURS].get("share")
    yield from (seconds_text(found[OURS]["seconds"]), best, seconds_text(found[best]["seconds"]))
    yield from (_ratio_text(measured["ratio"]), f"{low:.2f} to {high:.2f}")
    yield "" if share is None else f"{100 * share:.0f} % of {measured['binds']}"
    yield "void" if measured["void"] else ""


def dated(record: Record, names: Iterable[str]) -> str:
    """These cases, as far as they were measured, each with its day and processor."""
    rows = [["case", "dlc", "best peer", "its time", "best peer / dlc", "day", "processor"]]
    for name in names:
        measured = record["cases"].get(name, {})
        if "ratio" in measured:
            ours, best, theirs, ratio, *_, void = _summary_cells(measured)
            day = ", ".join(filter(None, (measured["run"][:10], void)))
            where = processor_name(record["runs"][measured["run"]])
            rows.append([name, ours, best, theirs, ratio, day, where])
    return _table(rows)


def perturbed(record: Record) -> str:
    """How the ratios change when all extents are larger, beside the peers of both runs."""
    rows = [["case", "best peer / dlc", "extents 10 % larger", "change"]]
    for case in (case for cases in suites(record).values() for case in cases):
        both = [record["cases"].get(c.name, {}) for c in (case, case.perturbed())]
        times = [
            {n: f["seconds"] for n, f in m.get("frameworks", {}).items() if "seconds" in f}
            for m in both
        ]
        peers = times[0].keys() & times[1].keys() - {OURS}
        if peers and all(OURS in t for t in times):
            best = [min(sorted(peers), key=t.__getitem__) for t in times]
            ratios = [t[b] / t[OURS] for t, b in zip(times, best, strict=True)]
            shown = [f"{r:.2f} ({b})" for r, b in zip(ratios, best, strict=True)]
            rows.append([case.name, *shown, f"{100 * (ratios[1] / ratios[0] - 1):+.0f} %"])
    return _table(rows)


def _problems(record: Record) -> str:
    lines: list[str] = []
    for name, case in record["cases"].items():
        if case["void"]:
            lines.append(f"* {name} is void: {case['void']}")
        for framework, figures in case["frameworks"].items():
            for kind in ("error", "start error"):
                if kind in figures:
                    said = " ".join(figures[kind].split())
                    lines.append(f"* {name}, {framework}: {said[:300]}")
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first row its head; columns are aligned for those who read it as is."""
    widths = [max(3, *(len(row[k]) for row in rows)) for k in range(len(rows[0]))]

    def line(cells: Sequence[str]) -> str:
        padded = (c.ljust(w) for c, w in zip(cells, widths, strict=True))
        return "| " + " | ".join(padded) + " |"

    return "\n".join([line(rows[0]), line(["-" * w for w in widths]), *map(line, rows[1:])])
