"""The command `dlc`: finds the command that is meant, runs it, and reports what goes wrong.

The file of a command is imported when it is wanted, so that `dlc --help` is there at once. It has
`configure(parser)`, which declares its arguments, and `run(options)`, which returns the exit
status.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Generator, Iterable, Sequence
from types import TracebackType
from typing import Any, NoReturn

from dlc.ir.errors import ArgumentError, DlcError, nearest
from dlc.ir.version import __version__

COMMANDS = {
    "dump": "print a program at the stages of its compilation",
    "opt": "run passes over IR text",
    "run": "run a program on random or given inputs",
    "verify": "compare a program after every pass, and compiled, with the interpreter",
    "bisect": "find the pass and the rewrite that make a program wrong",
    "cache": "look at, clear, export or import the cache of compiled code",
    "doctor": "check the installation and show devices, threads, cache and settings",
    "report": "write an archive for a report of an error",
    "view": "write one page that shows a program: graph, stages, source, kernels, memory",
    "profile": "time a program's kernels, and hold them against what the machine can do",
    "bench": "measure dlc and its peers on the benchmark suite",
}
OK, DIFFERENT, FAILED = 0, 1, 2
_INTERRUPTED, _PIPE_CLOSED = 130, 141  # 128 and the number of the signal, as in a shell

_DESCRIPTION = """\
dlc compiles functions over tensors to machine code. These commands look at programs on their way
there, check them and run them.

commands:
{commands}

FILE[:NAME] is a function or a model in a Python file, a function in an .ir file, a program that
`dlc.save` wrote (.dlc) or an ONNX model (.onnx); NAME may be left out where the file has only one.
`dlc COMMAND --help` explains a command, with examples.
"""
_STATUS = """\
exit status: 0 all is well; 1 `verify`, `bisect` or `doctor` found something wrong; 2 an error.
"""
# What the user has not written: dlc, Python's library, what is installed.
_NOT_THE_USERS = (
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ""),
    *(os.path.join(sysconfig.get_path(p), "") for p in ("stdlib", "purelib", "platlib")),
)
# Where errors are made on the way to a command: nobody wants to read these places.
_MACHINERY = frozenset({importlib.__file__, argparse.__file__, contextlib.__file__})


class Parser(argparse.ArgumentParser):
    """A parser whose errors are dlc's."""

    def __init__(self, **keywords: Any) -> None:
        shape = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=shape, allow_abbrev=False, **keywords)

    def error(self, message: str) -> NoReturn:
        """Raises ArgumentError."""
        raise ArgumentError(message, hint=f"`{self.prog} --help` shows how it is used")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The options; ArgumentError, with the nearest option, for what there is none for."""
        options, rest = self.parse_known_args(arguments)
        if rest:
            word = rest[0].partition("=")[0]
            if word.startswith("-"):
                hint = nearest(word, self._option_string_actions)
                raise ArgumentError(f"{self.prog} has no option {word}", hint=hint)
            self.error(f"{word!r} is one argument too many")
        return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: What follows the word `dlc`; those of the process when not given.

    Returns:
        The exit status: 0, 1 where a check found something wrong, 2 for an error.

    Example:
        >>> main(["opt", "softmax.ir", "-p", "simplify,cse"])
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    caller = sys._getframe(1).f_code.co_filename
    with _plain_warnings():
        try:
            status = _run(words)
            if sys.stdout is not None:  # it is where the process was started without one
                sys.stdout.flush()
        except BrokenPipeError:
            _forget_output()
            return _PIPE_CLOSED
        except KeyboardInterrupt:
            return _INTERRUPTED
        except SystemExit as ended:  # no check has been made, whatever status the user's code gave
            print(
                f"{ArgumentError.code}: the program ended the process when it was traced or run "
                f"(exit status {ended.code})",
                file=sys.stderr,
            )
            return FAILED
        except Exception as error:  # noqa: BLE001 - all of them are reported to the user
            if "--traceback" in words:
                traceback.print_exc()
            else:
                print(_report(error, caller), file=sys.stderr)
            return FAILED
    return status


def _run(words: list[str]) -> int:
    command = words[0] if words else "--help"
    if command in ("-h", "--help", "help"):
        listed = "\n".join(f"  {name:8} {what}" for name, what in COMMANDS.items())
        print("usage: dlc COMMAND ...\n\n" + _DESCRIPTION.format(commands=listed))
        print(_STATUS, end="")
        return OK
    if command in ("-V", "--version"):
        print(f"dlc {__version__}")
        return OK
    if command not in COMMANDS:
        raise ArgumentError(f"there is no command {command!r}", hint=nearest(command, COMMANDS))
    module = importlib.import_module(f"dlc.cli.{command}")
    parser = Parser(prog=f"dlc {command}", description=module.DESCRIPTION, epilog=module.EXAMPLES)
    module.configure(parser)
    parser.add_argument(
        "--traceback", action="store_true", help="show the whole Python traceback of an error"
    )
    try:
        options = parser.parse(words[1:])
    except SystemExit:  # after it has printed a help text
        return OK
    return module.run(options)


def _report(error: Exception, caller: str) -> str:
    """What the user reads about an error: dlc's text, or the user's own lines of the traceback."""
    if isinstance(error, DlcError):
        if error.location is not None and error.location.file in {caller, *_MACHINERY}:
            error.location = None  # not a line of the user's
        return str(error)
    last = "".join(traceback.format_exception_only(error)).rstrip()
    frames = list(_users_frames(error.__traceback__))
    if frames:
        lines = "".join(traceback.StackSummary.from_list(frames).format())
        return f"Traceback (your code only; --traceback shows all):\n{lines}{last}"
    if isinstance(error, SyntaxError):
        return last
    if isinstance(error, OSError):
        file = "" if error.filename is None else f"{error.filename}: "
        return f"dlc: {file}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return f"dlc: there is not enough memory: {error}"
    return f"dlc: internal error, please report it with what `dlc report` writes\n{last}"


def _users_frames(trace: TracebackType | None) -> Iterable[traceback.FrameSummary]:
    for frame in traceback.extract_tb(trace):
        # Extension modules have frames of files that are not there.
        if frame.line and not os.path.abspath(frame.filename).startswith(_NOT_THE_USERS):
            yield frame


@contextlib.contextmanager
def _plain_warnings() -> Generator[None]:
    """Warnings as one line on standard error, without the line of dlc that warns."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _forget_output() -> None:
    """Lets Python end without trying to write what a closed pipe cannot take."""
    with contextlib.suppress(OSError, io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
