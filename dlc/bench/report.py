"""Results as a Markdown table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from dlc.bench.frameworks import KINDS, OURS

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


def markdown(record: Record) -> str:
    """The whole report."""
    names = _names(record)
    parts = [*_about(record), _calls(record, names), _starts(record, names)]
    parts += [_standing(record, names), _problems(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _names(record: Record) -> list[str]:
    """The frameworks that any case has, in the order of their list."""
    present = {name for case in record["cases"].values() for name in case["frameworks"]}
    return [name for name in KINDS if name in present]


def _about(record: Record) -> Iterable[str]:
    for run in record["runs"].values():
        peaks = run["peaks"]
        how = f"{run['threads']} threads, {run['rounds']} rounds"
        versions = f"dlc {run['dlc']}, Python {run['python']}"
        lines = [f"{run['started']}: {run['processor']}, {how}, {versions}"]
        if peaks is not None:
            moved = ", ".join(
                f"{b / 1e9:.1f} GB/s over {int(size) >> 20} MiB"
                for size, b in peaks["bytes"].items()
            )
            lines.append(f"peaks: {peaks['operations'] / 1e9:.0f} GFLOP/s; {moved}")
        if run["judge"] is not None:
            lines.append(f"torch's own matmul 1024 reaches {100 * run['judge']:.0f} % of the peak")
        for name, settings in run["frameworks"].items():
            lines.append(f"{name}: " + ", ".join(f"{k} {v}" for k, v in settings.items()))
        if "imports" in run:
            times = ", ".join(f"{n} {seconds_text(t)}" for n, t in run["imports"].items())
            lines.append(f"import of {times}")
        if run["void"]:
            lines.append(f"**void: {run['void']}**")
        yield "\n".join(f"* {line}" for line in lines)


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
    return ", ".join(notes)


# What comes before the calls: where the JSON has it, what it is called, and how it is written.
_BEFORE = (
    ("first call", "first call, warm process", seconds_text),
    ("start", "process start to first result", seconds_text),
    ("second start", "the same with caches", seconds_text),
    ("memory", "memory", _bytes_text),
)


def _starts(record: Record, names: Sequence[str]) -> str:
    """What comes before the calls: compilation, starts of processes, memory."""
    compilers = [n for n in names if KINDS[n].compiles]
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


def _standing(record: Record, names: Sequence[str]) -> str:
    """How the other compilers stand beside dlc in what comes before the calls."""
    lines: list[str] = []
    for key, what, _ in _BEFORE:
        for name in names:
            ratios = _ratios(record, key, name)
            if name == OURS or not KINDS[name].compiles or not ratios:
                continue
            mean = statistics.geometric_mean(ratios.values())
            worst = min(ratios, key=lambda case: ratios[case])
            lines.append(
                f"* {what}: {name} / dlc is {mean:.2f} in the geometric mean of {len(ratios)} "
                f"cases, at least {ratios[worst]:.2f} ({worst})"
            )
    return "\n".join(lines)


def _ratios(record: Record, key: str, peer: str) -> dict[str, float]:
    """A peer's figure over dlc's, by case, where both have one."""
    found: dict[str, float] = {}
    for name, case in record["cases"].items():
        theirs, ours = (case["frameworks"].get(n, {}).get(key) for n in (peer, OURS))
        if theirs and ours:
            found[name] = theirs / ours
    return found


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
