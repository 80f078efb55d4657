"""Writes the generated parts of six pages: `python docs/generate.py`."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
import runpy
from pathlib import Path
from types import FunctionType

from dlc.bench import report
from dlc.bench.run import merge
from dlc.frontend import api
from dlc.ir.config import Config
from dlc.ir.op import NO_DERIVATIVE_REASONS, OPS, NoDerivative, Op
from dlc.ir.ops.families import ALL, FLOATS, INTEGERS, NUMBERS, SIGNED, UNSIGNED
from dlc.ir.types import dtype_of

PAGE = Path(__file__).parent / "settings.md"
FUNCTIONS_PAGE = Path(__file__).parent / "functions.md"
OPS_PAGE = Path(__file__).parent / "ops.md"
DEFAULTS_PAGE = Path(__file__).parent / "defaults.md"
FIGURES_PAGE = Path(__file__).parent / "figures.md"
FRONT_PAGE = Path(__file__).parent.parent / "README.md"
RESULTS = Path(__file__).parent.parent / "dlc" / "bench" / "results"
# What the front page shows of the figures.
SHOWN = (
    "add 16x16", "300 parameters", "chain 4M", "softmax 4096x1024", "layer norm 4096x1024",
    "layer norm gradient 4096x1024", "cross entropy gradient 1024x50000", "attention 8x12x512x64",
    "attention gradient 8x12x512x64", "matmul 128", "matmul 512", "matmul 2048",
    "matmul 96x128x64x128", "mm+bias+gelu 1024x768x3072", "matmul 8x1024x1024 constant",
    "mlp batch 1", "mlp batch 64", "mlp training batch 128", "sort 1M", "cumulative sum 4M",
    "embedding gradient 50000x256", "lstm training 64x32x256", "resnet conv1",
    "resnet 256-256 3x3", "unet 64-64 3x3 gradient batch 4", "fit digits 56 steps of 32",
    "BERT base 1x128", "GPT-2 1x128", "ViT base 1x224x224", "T5 base 1x128",
)  # fmt: skip
DEFAULTS_TABLE = Path(__file__).parent.parent / "tests" / "defaults_table.py"
FAMILIES = (
    "creation",
    "spaces",
    "elementwise",
    "composed",
    "reduction",
    "cumulative",
    "sorting",
    "searching",
    "sets",
    "statistics",
    "histograms",
    "nan_quantiles",
    "order_statistics",
    "segments",
    "predicates",
    "shape",
    "rearrange",
    "padding",
    "repetition",
    "indexing",
    "scattering",
    "assembly",
    "numeric",
    "samples",
    "differences",
    "choosing",
    "linalg",
    "einsum",
    "by_torch",
    "by_jax",
    "raveling",
    "selections",
    "nn",
    "attention",
    "convolution",
    "pooling",
    "adaptive_pooling",
    "unpooling",
    "unfolding",
    "resizing",
    "grid_sampling",
    "channel_norms",
    "inspection",
)
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def settings_sections() -> str:
    """One section a setting, from the declarations in `dlc/ir/config.py`."""
    sections: list[str] = []
    for setting in Config({}).describe():
        default = setting["default"]
        shown = "nothing" if default is None or default == frozenset() else f"`{default}`"
        sections.append(
            f"### `{setting['name']}`\n\n{setting['doc']}\n\n"
            f"* Variable: `{setting['variable']}`\n"
            f"* Value: {setting['kind']}\n"
            f"* Default: {shown}\n"
        )
    return "\n".join(sections)


def function_sections() -> str:
    """One section a family: each public function's signature and the first line about it."""
    sections: list[str] = []
    for family in FAMILIES:
        module = importlib.import_module(f"dlc.frontend.functions.{family}")
        found = [
            (name, value)
            for name, value in vars(api).items()
            if isinstance(value, FunctionType) and value.__module__ == module.__name__
        ]
        title = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        lines = [f"* `{name}{_signature(f)}`: {_summary(f)}" for name, f in sorted(found)]
        sections.append("\n".join([f"## {title}\n", *lines, ""]))
    return "\n".join(sections)


def _signature(function: FunctionType) -> str:
    """The parameters without their types, and without the mark of those that have no name."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    shown = str(inspect.Signature(bare)).replace(", /", "")
    return re.sub(r"dlc\.(\w+)", r"\1", shown)


def _summary(function: FunctionType) -> str:
    """The first sentence; of an alias, what it is another name of."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


KINDS = {
    "all": ALL, "numbers": NUMBERS, "floats": FLOATS, "integers": INTEGERS,
    "signed": SIGNED, "unsigned": UNSIGNED,
}  # fmt: skip


def op_sections() -> str:
    """One table a family: each op with its element types, derivative and batching."""
    families: dict[str, list[Op]] = {}
    for op in OPS.values():
        families.setdefault(op.family, []).append(op)
    sections: list[str] = []
    for family in sorted(families):
        lines = [f"## {family}\n", "| op | element types | derivative | batching | result |"]
        lines.append("|---|---|---|---|---|")
        lines += [_op_line(op) for op in sorted(families[family], key=lambda op: op.name)]
        sections.append("\n".join([*lines, ""]))
    return "\n".join(sections)


def _op_line(op: Op) -> str:
    doc = op.doc.replace("|", "\\|")
    cells = [f"`{op.name}`", _element_types(op), _derivative(op), _batching(op), doc]
    return f"| {' | '.join(cells)} |"


def _element_types(op: Op) -> str:
    """Those that the samples have, by the names of kinds where they make one."""
    found: set[str] = set()
    for sample in op.samples() if op.samples else ():
        given = [s[1] if isinstance(s, tuple) else dtype_of(s.dtype).short for s in sample.inputs]
        found |= set(given) | ({_short(sample.attrs["dtype"])} if "dtype" in op.attrs else set())
    names: list[str] = []
    for name, kind in KINDS.items():
        if found.issuperset(kind):
            names.append(name)
            found -= set(kind)
    return ", ".join([*names, *sorted(found)]) or "none"


def _short(dtype: object) -> str:
    return dtype if isinstance(dtype, str) else dtype_of(dtype).short


def _derivative(op: Op) -> str:
    if isinstance(op.jvp, NoDerivative):
        return f"none: {op.jvp.reason}"
    if op.family == "control":
        return "of what it runs"
    modes: list[str] = []
    if op.jvp is not None:
        modes.append("forward")
    if op.transpose is not None:
        modes.append("transpose")
    if op.vjp is not None or op.vjp_all is not None:
        modes.append("reverse")
    if op.decompose is not None and op.jvp is None:
        modes.append("of simpler ops")
    return ", ".join(modes) or "none"


def _batching(op: Op) -> str:
    if op.batch is not None:
        return "rule"
    if op.family == "control":
        return "of what it runs"
    return "of simpler ops" if op.decompose is not None else "none"


def reason_lines() -> str:
    """What the reasons for missing derivatives mean."""
    return "\n".join(f"* `{name}`: {text}." for name, text in NO_DERIVATIVE_REASONS.items())


def defaults_sections() -> str:
    """A table a group, from `tests/defaults_table.py`."""
    cases = runpy.run_path(str(DEFAULTS_TABLE))["CASES"]
    sections: list[str] = []
    for group in dict.fromkeys(case.group for case in cases):
        lines = [f"## {group}", "", "| | peers | dlc |", "|---|---|---|"]
        for case in cases:
            if case.group == group:
                theirs = "; ".join(f"{side.who}: `{side.value}`" for side in case.peers)
                ours = "; ".join(f"`{side.who}`: `{side.value}`" for side in case.ours)
                lines.append(f"| {case.what} | {theirs} | {ours} |")
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def record() -> report.Record:
    """The newest record of each case, its date among what is known of it."""
    return functools.reduce(merge, _records())


def _records() -> list[report.Record]:
    paths = sorted(RESULTS.glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def by_processor() -> dict[str, report.Record]:
    """The newest record of each case on each processor, that of the last run first."""
    found: dict[str, report.Record] = {}
    for known in _records():
        for run in sorted(known["runs"]):
            name = report.processor_name(known["runs"][run])
            cases = {n for n, case in known["cases"].items() if case["run"] == run}
            before = found.pop(name, {"runs": {}, "cases": {}})
            found[name] = merge(before, _part(known, cases))
    return dict(reversed(found.items()))


def _part(record: report.Record, names: set[str]) -> report.Record:
    cases = {name: case for name, case in record["cases"].items() if name in names}
    return merge({"runs": record["runs"], "cases": {}}, {"runs": {}, "cases": cases})


def figure_sections() -> str:
    """For each suite the machine, the table of calls, that of starts, and how dlc stands."""
    sections: list[str] = []
    for processor, known in by_processor().items():
        for suite, cases in report.suites(known).items():
            part = _part(known, {case.name for case in cases})
            if part["cases"]:
                runs = [f"* {'; '.join(report.about_run(run))}" for run in part["runs"].values()]
                parts = [f"## {suite}, on {processor}", "\n".join(runs)]
                parts += [report.summary(part, suite)]
                parts += ["\n".join(report.standing(part)), report.starts(part)]
                sections += [text for text in parts if text]
        larger = report.perturbed(known)
        if len(larger.splitlines()) > 2:  # beside the head of the table
            sections += [f"## All extents larger by a tenth, on {processor}", larger]
    return "\n\n".join(sections) + "\n"


def page_with(sections: str, page: str) -> str:
    """Put the sections between the page's two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{sections}\n{END}{after}"


if __name__ == "__main__":
    for path, made in (
        (PAGE, settings_sections()),
        (FUNCTIONS_PAGE, function_sections()),
        (OPS_PAGE, f"{reason_lines()}\n\n{op_sections()}"),
        (DEFAULTS_PAGE, defaults_sections()),
        (FIGURES_PAGE, figure_sections()),
        (FRONT_PAGE, report.dated(record(), SHOWN) + "\n"),
    ):
        path.write_text(page_with(made, path.read_text(encoding="utf-8")), encoding="utf-8")
