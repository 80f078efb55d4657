"""Runs the ONNX backend suite (`onnx.backend.test`, all CPU tests) on dlc.

    python tests/onnx_suite.py [PATTERN] [--write]

PATTERN is a regular expression for the names of tests. What fails is compared with
`tests/onnx_exceptions.txt`, which gives a reason for each. `--write` brings the table in
docs/onnx.md up to date. A skipped test is a failed one.
"""

import argparse
import re
import sys
import unittest
import warnings
from collections import Counter
from pathlib import Path

import onnx.backend.test
from onnx.backend.base import Backend, BackendRep

import dlc
from dlc.interop.onnx.operators import text

TESTS = Path(__file__).parent
EXCEPTIONS = TESTS / "onnx_exceptions.txt"
BETWEEN = (
    "in compiled programs and, between two of them, operators whose results have shapes that"
    " depend on data"
)
PAGE = TESTS.parent / "docs" / "onnx.md"
HOST = {
    name
    for (_, name), rows in dlc.interop.onnx.operator_table.operators().items()
    if rows[0].function.__module__ == text.__name__
}


class Prepared(BackendRep):
    """A model and how it ran."""

    last = "compiled"

    def __init__(self, model):
        self.prepared = dlc.onnx.prepare(model)

    def run(self, inputs, **_keywords):
        result = self.prepared.run(inputs)
        nodes = list(self.prepared.model.graph.all_nodes())
        if any(n.op in HOST for n in nodes):
            Prepared.last = "host"
        elif any(s.at_once for s in self.prepared.model._runner._segments):
            Prepared.last = "between"
        else:
            Prepared.last = "compiled"
        return result


class DlcBackend(Backend):
    """dlc as the suite sees it."""

    @classmethod
    def prepare(cls, model, device="CPU", **_keywords):
        return Prepared(model)

    @classmethod
    def supports_device(cls, device):
        return device.startswith("CPU")


def tests(pattern):
    """The CPU tests, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = onnx.backend.test.BackendTest(DlcBackend, "dlc").test_cases
    return [
        kind(name)
        for kind in cases.values()
        for name in unittest.TestLoader().getTestCaseNames(kind)
        if name.endswith("_cpu") and re.search(pattern, name)
    ]


def outcome(test):
    """How a test ran: compiled, between, host; or why it failed."""
    result = unittest.TestResult()
    Prepared.last = "compiled"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test.run(result)
    for _, trace in [*result.errors, *result.failures, *result.skipped]:
        return False, trace.strip().splitlines()[-1]
    return True, Prepared.last


def exceptions():
    """Names of tests that may fail, and why."""
    lines = [line for line in EXCEPTIONS.read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split(": ", 1) for line in lines)


def table(found, reasons):
    """The table of the page."""
    kinds = Counter(how for good, how in found.values() if good)
    rows = [
        ("in compiled programs alone", kinds["compiled"]),
        (BETWEEN, kinds["between"]),
        ("with operators on texts or image files, which run on the host", kinds["host"]),
        ("not passed", sum(not good for good, _ in found.values())),
    ]  # fmt: skip
    lines = ["| tests | number |", "|---|---|", *(f"| {what} | {n:,} |" for what, n in rows)]
    lines += [f"| all | {len(found):,} |", "", "| not passed | why |", "|---|---|"]
    failed = sorted(name for name, (good, _) in found.items() if not good)
    lines += [f"| `{name}` | {reasons.get(name, 'unknown')} |" for name in failed]
    return "\n".join(lines)


def main():
    """Runs the suite and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found = {test._testMethodName: outcome(test) for test in tests(options.pattern)}
    reasons = exceptions()
    if options.write:
        head, _, rest = PAGE.read_text().partition("<!-- suite -->\n")
        tail = rest.partition("<!-- end of suite -->")[2]
        PAGE.write_text(
            f"{head}<!-- suite -->\n{table(found, reasons)}\n<!-- end of suite -->{tail}"
        )
    failed = {name: why for name, (good, why) in found.items() if not good}
    for name in sorted(set(failed) - set(reasons)):
        print(f"{name}: {failed[name]}")
    for name in sorted((set(reasons) - set(failed)) & set(found)):
        print(f"{name} passes, but is listed")
    kinds = Counter(how if good else "failed" for good, how in found.values())
    print(f"{len(found) - len(failed)} of {len(found)} passed: {dict(kinds)}")
    return int(bool((set(failed) ^ set(reasons)) & set(found)))


if __name__ == "__main__":
    sys.exit(main())
