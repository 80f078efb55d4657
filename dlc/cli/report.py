"""`dlc report`: what someone who is to mend an error has to know, as one archive."""

from __future__ import annotations

import argparse
import traceback
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from dlc.cli.cache import size_text
from dlc.cli.doctor import finding_text, findings
from dlc.cli.dump import Stages
from dlc.cli.inputs import add_input_arguments, given_arrays
from dlc.cli.targets import PLAIN_TEXT, apart, split_target
from dlc.cli.tracing import add_target_arguments, trace_options
from dlc.cli.verify import compilation_of
from dlc.ir.config import config
from dlc.ir.errors import ArgumentError
from dlc.runtime.files import write_whole
from dlc.runtime.stage_files import file_name
from dlc.runtime.verification import check

DESCRIPTION = """\
Writes an archive for a report of an error: what `dlc doctor` finds, the versions of all packages,
and the settings. With FILE also the file itself if it is text, the program at every stage of its
compilation, what `dlc verify` says of it, and the error, with its traceback, that ends this early.

Nothing is sent anywhere. What is in the archive is listed: look through it before you give it away.
The folder of your home is written as ~ in it.
"""
EXAMPLES = """\
examples:
  $ dlc report
  options.txt ...
  ...
  wrote dlc-report.zip

  $ dlc report net.py:softmax --arg f32[8,4] -o softmax.zip
  ...
  wrote softmax.zip
"""
_ERROR = "error.txt"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    add_target_arguments(parser, optional=True)
    add_input_arguments(parser)
    parser.set_defaults(passes=None)
    parser.add_argument(
        "--no-source",
        action="store_true",
        help="leave out the file, and what places in it ops come from",
    )
    parser.add_argument(
        "-o", dest="archive", metavar="FILE.zip", type=Path, default=Path("dlc-report.zip"),
        help="the archive (default: dlc-report.zip)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Writes the archive and lists what is in it."""
    archive: Path = options.archive
    if archive.suffix != ".zip":
        raise ArgumentError(f"-o {archive}: the archive is written as .zip")
    files = {name: _without_home(text) for name, text in _files(options)}

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, text in files.items():
                packed.writestr(name, text)

    write_whole(archive, write)
    width = max(map(len, files))
    for name, text in files.items():
        print(f"{name:{width}}  {size_text(len(text.encode()))}")
    if _ERROR in files:
        print(f"{_ERROR} ends with: {files[_ERROR].rstrip().splitlines()[-1]}")
    print(f"wrote {archive}")
    return 0


def _files(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The names and texts of the archive."""
    yield "options.txt", _lines(f"{name} = {value}" for name, value in vars(options).items())
    yield "doctor.txt", _lines(map(finding_text, findings()))
    installed = {(d.metadata["Name"] or "?", d.version) for d in metadata.distributions()}
    yield "packages.txt", _lines(f"{name} {version}" for name, version in sorted(installed))
    described = config.describe()
    yield "settings.txt", _lines(f"{s['name']} = {s['value']!r} ({s['source']})" for s in described)
    if options.target is not None:
        try:
            yield from _program_files(options)
        except Exception:  # noqa: BLE001 - it is what the report is about
            yield _ERROR, traceback.format_exc()


def _program_files(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The file, the stages of its compilation, and whether they agree, as far as these can be had.

    Raises:
        Exception: where one cannot.
    """
    file, _ = split_target(options.target)
    if Path(file).suffix in PLAIN_TEXT and not options.no_source:
        yield f"source/{Path(file).name}", Path(file).read_text(encoding="utf-8", errors="replace")
    stages = Stages(trace_options(options, given_arrays(options)), not options.no_source)
    for name in stages.names:
        yield f"stages/{file_name(stages.file_stem, name)}", stages.text(name) + "\n"
    with apart():
        found = check(compilation_of(options))
    yield "verify.txt", f"{found}\n"


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def _without_home(text: str) -> str:
    """The text with the user's own folder as ~, which often has a name in it."""
    try:
        home = str(Path.home())
    except RuntimeError:  # there is none
        return text
    return text.replace(home, "~") if len(home) > 1 else text
