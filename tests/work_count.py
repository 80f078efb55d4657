"""How much work a call is, by a measure that is the same on every machine: lines of Python."""

import os
import sys

import dlc

_PACKAGE = os.path.dirname(dlc.__file__)


def lines_of(run) -> int:
    """How many lines of dlc, and of the file where ``run`` is written, run."""
    count = 0
    own = run.__code__.co_filename

    def local(frame, event, arg):
        nonlocal count
        count += event == "line"
        return local

    def every(frame, event, arg):
        file = frame.f_code.co_filename
        return local if file.startswith(_PACKAGE) or file == own else None

    before = sys.gettrace()
    sys.settrace(every)
    try:
        run()
    finally:
        sys.settrace(before)
    return count
