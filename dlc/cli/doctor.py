"""`dlc doctor`: what is installed, which devices work, and where things are."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from dlc.cli.cache import size_text
from dlc.codegen.cpu.isa import current_isa, host_isa
from dlc.codegen.program_builder import build_program
from dlc.ir.config import config
from dlc.ir.cpus import available_cpus
from dlc.ir.errors import DeviceError, DlcError
from dlc.ir.parser import parse_function
from dlc.ir.version import __version__
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.runtime.cache import CacheWarning, default_cache
from dlc.runtime.cache_entry import Key
from dlc.runtime.device import device_kinds, find_device

DESCRIPTION = """\
Checks that dlc works here: the packages that it needs, a small program compiled and run on each
device, a cache that can be written. Also shows what decides speed (instruction set, threads) and
the settings that are not at their default.
"""
EXAMPLES = """\
examples:
  $ dlc doctor
  dlc       ...
  python    ...
  ...
  all is well

  $ dlc doctor --quiet
  all is well
"""
_REQUIRED = ("numpy", "llvmlite", "ml_dtypes")
_OPTIONAL = {
    "triton": "GPU kernels",
    "cuda-bindings": "NVIDIA GPUs",
    "torch": "PyTorch modules",
    "onnx": "ONNX models",
    "safetensors": "weights in safetensors files",
    "matplotlib": "plots of training",
    "tensorboardX": "files for TensorBoard",
    "scikit-learn": "the data of the examples",
}
_PROGRAM = """
func @check(%x: f32[n]) -> (f32[n]) {
  %0: f32[n] = mul(%x, %x)
  %1: f32[n] = add(%0, %x)
  return %1
}
"""


@dataclass(frozen=True)
class Finding:
    """A line of the report; `problem` where something does not work."""

    label: str
    text: str
    problem: bool = False


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("--quiet", action="store_true", help="print problems only")


def run(options: argparse.Namespace) -> int:
    """Prints the findings; the exit status is 1 where something does not work."""
    problems = 0
    for finding in findings():
        problems += finding.problem
        if finding.problem or not options.quiet:
            print(finding_text(finding), flush=True)
    words = {0: "all is well", 1: "1 problem"}
    print(words.get(problems, f"{problems} problems"))
    return 1 if problems else 0


def finding_text(finding: Finding) -> str:
    """The finding as a line."""
    mark = "PROBLEM: " if finding.problem else ""
    return f"{finding.label:9} {mark}{finding.text}"


def findings() -> Iterator[Finding]:
    """The lines of the report, each made when it is asked for."""
    yield Finding("dlc", __version__)
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", f"{platform.platform()}")
    for package in _REQUIRED:
        yield _required(package)
    yield _checked("llvm", _llvm)
    for package, use in _OPTIONAL.items():
        version = _version(package)
        yield Finding("optional", f"{package} {version or f'is not installed (for {use})'}")
    yield _cache()  # before anything else meets it: its warning is given once
    yield _checked("isa", _isa)
    for kind in device_kinds():
        yield _device(kind)
    yield Finding("threads", _threads())
    yield from _settings()


def _checked(label: str, look: Callable[[], str]) -> Finding:
    """A finding; a problem where looking raises."""
    try:
        return Finding(label, look())
    except DeviceError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever does not work is what is looked for
        text = f"{error.code}: {error.message}" if isinstance(error, DlcError) else repr(error)
        return Finding(label, text, problem=True)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _required(package: str) -> Finding:
    version = _version(package)
    if version is None:
        return Finding("package", f"{package} is not installed, and is needed", problem=True)
    return Finding("package", f"{package} {version}")


def _llvm() -> str:
    import llvmlite.binding as llvm

    return ".".join(map(str, llvm.llvm_version_info))


def _isa() -> str:
    used, best = current_isa().name, host_isa().name
    return used if used == best else f"{used} (this machine runs {best})"


def _device(kind: str) -> Finding:
    """Whether a device works; one that this machine does not have is no problem."""
    try:
        return _checked("device", lambda: f"{kind}: {_try_device(kind)}")
    except DeviceError as error:
        return Finding("device", f"{kind}: not here: {error.message}")


def _try_device(kind: str) -> str:
    """Compiles a small program, without the cache, and compares what it gives."""
    function = run_pipeline(parse_function(_PROGRAM), pipeline_of("O2"), verify=True)
    program = build_program(function)
    device = find_device(kind)
    loaded = device.load(program, device.backend().compile(program.kernels), ())
    x = np.arange(-17, 20, dtype=np.float32)
    (result,) = loaded.bind({"n": x.size}).run([x], 1)
    if not np.array_equal(result, x * x + x):
        raise ArithmeticError(f"a small program on {kind} gives wrong results")
    return "compiles and runs a small program"


def _threads() -> str:
    count, cpus = config.thread_count(), available_cpus()
    if config.num_threads is not None:
        why = "the setting num_threads"
    elif count == cpus:
        why = "the CPUs that this process may use"
    else:
        why = f"OMP_NUM_THREADS; this process may use {cpus} CPUs"
    return f"{count} ({why}; the machine has {os.cpu_count()})"


def _cache() -> Finding:
    """The cache's state; to find out, a small entry is written."""
    cache = default_cache()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", CacheWarning)
        cache.put("doctor", Key([("check", "1")]), b"ok")
        info = cache.info()
    if raised:
        return Finding("cache", str(raised[0].message), problem=True)
    if info.in_memory:
        text = f"{info.folder} cannot be written, or its limit of {info.limit} bytes is too small"
        return Finding("cache", text, problem=True)
    size = f"{size_text(info.size)} of {size_text(info.limit)}"
    return Finding("cache", f"{info.folder}: {info.entries} entries, {size}")


def _settings() -> Iterator[Finding]:
    for setting in config.describe():
        if setting["source"] != "default":
            text = f"{setting['name']} = {setting['value']} ({setting['source']})"
            yield Finding("setting", text)
