"""A plugin of pytest that leaves out tests of the Array API suite, as a list beside it says.

A line of `array_api_exceptions.txt` is a kind and a pattern that a test's id has; a reason stands
above it, behind a #. The kinds: `complex` and `fft` are for tests that need these, `skip` leaves a
test out, `fail` lets it fail; `fail:compiled` and so on hold for one mode.
"""

import os
import re
from pathlib import Path

import pytest

LIST = Path(__file__).with_suffix(".txt")


def read(mode):
    """The exceptions of a mode: a kind, a pattern of ids, and the reason of each."""
    reason = []
    for line in LIST.read_text().splitlines():
        if line.startswith("#"):
            reason.append(line.lstrip("# "))
        elif line.strip():
            kind, pattern = line.split(maxsplit=1)
            kind, _, only = kind.partition(":")
            if only in ("", mode):
                yield kind, pattern, " ".join(reason)
        else:
            reason = []


def pytest_collection_modifyitems(items):
    """Marks the tests."""
    found = list(read(os.environ["ARRAY_API_MODE"]))
    for item in items:
        for kind, pattern, reason in found:
            if re.search(pattern, item.nodeid):
                if kind == "fail":
                    item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
                else:
                    prefix = "" if kind == "skip" else f"needs {kind}: "
                    item.add_marker(pytest.mark.skip(reason=prefix + reason))
