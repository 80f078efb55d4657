"""Runs the Array API conformance suite (data-apis/array-api-tests) on dlc.

    python tests/array_api_suite.py CHECKOUT [--mode eager|compiled|both] [--max-examples N] [-n N]

CHECKOUT is a checkout of the suite with its submodule. The suite runs eagerly, and a second time
with each function under `dlc.compile` (`tests/array_api_compiled.py`). It needs the packages
pytest-json-report and ndindex. `tests/array_api_exceptions.txt` lists what is left out or may fail,
and why; what needs complex numbers or fft does not count.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
MODULES = {"eager": "dlc", "compiled": "array_api_compiled"}
VERSION = "2025.12"

# The suite cannot be imported for a library without complex numbers: file, text, in its place.
AMENDMENTS = (
    ("array_api_tests/dtype_helpers.py", "complex_dtypes], key=lambda x: x[1]\n)[0]",
     "complex_dtypes], key=lambda x: x[1], default=(0, 0)\n)[0]"),
    ("array_api_tests/test_signatures.py",
     "cmplx_name = dh.dtype_to_name[dh.widest_complex_dtype]", 'cmplx_name = "complex128"'),
)  # fmt: skip


def prepare(checkout, folder):
    """A copy of the suite that can be imported without complex numbers."""
    shutil.copytree(checkout / "array_api_tests", folder / "array_api_tests")
    for name in ("conftest.py", "reporting.py", "pytest.ini"):
        shutil.copy(checkout / name, folder)
    (folder / "array-api").symlink_to((checkout / "array-api").resolve())
    for name, old, new in AMENDMENTS:
        path = folder / name
        text = path.read_text()
        if text.count(old) == 1:
            path.write_text(text.replace(old, new))


def command(options, report):
    """The suite's command line."""
    return [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"),
        *("--disable-deadline", "--derandomize", "--max-examples", str(options.max_examples)),
        *("-n", str(options.n), "-W", "ignore", "-p", "array_api_exceptions"),
        *("--junitxml", str(report), *(options.pytest or ["array_api_tests"])),
    ]


def counts(report):
    """How many tests passed, failed, and so on."""
    found = Counter()
    for case in ET.parse(report).iter("testcase"):
        tags = {child.tag: child for child in case}
        if "skipped" in tags:
            kind, message = (tags["skipped"].get(key, "") for key in ("type", "message"))
            needs = message.startswith("needs ") or "fft not found" in message
            what = "need complex numbers or fft" if needs else "skipped"
            found["may fail and did" if "xfail" in kind else what] += 1
        elif "failure" in tags or "error" in tags:
            found["failed"] += 1
            print("  failed:", case.get("classname"), case.get("name"))
        else:
            found["passed"] += 1
    return found


def run(mode, options, folder):
    """Runs the suite in a mode; whether nothing failed that should not have."""
    report = folder / f"report-{mode}.xml"
    environment = {
        **os.environ,
        "ARRAY_API_MODE": mode,
        "ARRAY_API_TESTS_MODULE": MODULES[mode],
        "ARRAY_API_TESTS_VERSION": VERSION,
        "ARRAY_API_TESTS_SKIP_DTYPES": "complex64,complex128",
        "PYTHONPATH": os.pathsep.join(
            [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
        ),
    }
    arguments = command(options, report)
    log = None if options.verbose else (folder / f"log-{mode}.txt").open("w")
    subprocess.run(arguments, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    found = counts(report)
    counted = found["passed"] + found["failed"] + found["may fail and did"]
    shown = ", ".join(f"{n} {what}" for what, n in sorted(found.items()))
    print(f"{mode}: {shown}; {100 * found['passed'] / max(counted, 1):.2f} % of {counted}")
    return not found["failed"]


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--mode", choices=("eager", "compiled", "both"), default="both")
    parser.add_argument("--max-examples", type=int, default=20)
    parser.add_argument("-n", type=int, default=2, help="processes")
    parser.add_argument("--keep", type=Path, help="a folder for the logs and reports")
    parser.add_argument("--verbose", action="store_true", help="show the suite's own output")
    parser.add_argument("--pytest", nargs="+", help="tests; all of them by default")
    options = parser.parse_args()
    modes = list(MODULES) if options.mode == "both" else [options.mode]
    with tempfile.TemporaryDirectory() as made:
        folder = options.keep or Path(made)
        if options.keep:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        prepare(options.checkout, folder)
        passed = [run(mode, options, folder) for mode in modes]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
