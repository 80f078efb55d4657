"""However a program with worker processes ends, none of them stays, and no memory with a name."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")

PROGRAM = """
import os, sys, time
import numpy as np
from dlc.data import DataLoader, Dataset
import loader_samples as samples

def loader(**settings):
    wide = samples.Samples(64, 20_000)
    return DataLoader(wide, 2, num_workers=2, multiprocessing_context=CONTEXT, **settings)

def say(text):
    print(text, flush=True)

def held():
    assert "memfd:dlc data" in open("/proc/self/maps").read()
    assert "/dev/shm/" not in open("/proc/self/maps").read()

if __name__ == "__main__":
    CONTEXT = sys.argv[1]
"""
ENDS = {
    "whole": "for batch in loader(): pass",
    "abandoned": "walk = iter(loader()); batch = next(walk); held()",
    "persistent": "l = loader(persistent_workers=True); walk = iter(l); next(walk)",
    "error in the loop": "for batch in loader(): raise ValueError('mine')",
    "hard exit": "for batch in loader(): os._exit(7)",
    "map": (
        "walk = iter(Dataset.range(99).map(samples.five, 2, workers=CONTEXT)); next(walk)"
    ),
    "interrupt": "for batch in loader(): held(); say('running'); time.sleep(60)",
    "interrupt in a wait": (
        "for batch in DataLoader(samples.Bad('slow', 3), 1, num_workers=2, "
        "multiprocessing_context=CONTEXT): say('running')"
    ),
    "kill": "for batch in loader(): held(); say('running'); time.sleep(60)",
    "kill while workers are busy": (
        "for batch in DataLoader(samples.Bad('slow', 3), 1, num_workers=2, "
        "multiprocessing_context=CONTEXT): say('running')"
    ),
}  # fmt: skip


def with_token(token):
    """The processes whose environment has a text."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (folder / "environ").read_bytes():
                found.append((folder.name, (folder / "cmdline").read_bytes()))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("context", "end"),
    [
        *(("fork", end) for end in ENDS),
        *(("forkserver", end) for end in ("whole", "abandoned", "interrupt", "kill")),
    ],
)
def test_nothing_is_left(context, end, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + "    " + ENDS[end])
    token = uuid.uuid4().hex
    environment = {
        **os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "TOKEN": token
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(program), context], env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        if end.startswith(("interrupt", "kill")):
            assert process.stdout.readline() == "running\n", process.stderr.read()
            assert len(with_token(token)) >= 3
            if end.startswith("kill"):
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    codes = {"hard exit": 7, "error in the loop": 1}
    if end.startswith("interrupt"):
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert "Process" not in said  # no worker complains
    elif not end.startswith("kill"):
        assert process.returncode == codes.get(end, 0), said
        assert said.count("Traceback") == (end == "error in the loop")
    for _ in range(300):
        left = with_token(token)
        if not left:
            break
        time.sleep(0.02)
    assert not left


def test_a_program_without_a_guard_is_told(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from dlc.data import DataLoader\n"
        "import loader_samples\n"
        "list(DataLoader(loader_samples.Samples(), num_workers=1, "
        "multiprocessing_context='forkserver'))\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )  # fmt: skip
    assert done.returncode == 1
    assert '__name__ == "__main__"' in done.stderr.splitlines()[-1]


def test_how_processes_are_started_depends_on_threads():
    code = (
        "import threading\nfrom dlc.data import pool\nprint(pool.start_method())\n"
        "t = threading.Thread(target=threading.Event().wait, daemon=True)\nt.start()\n"
        "print(pool.start_method())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stdout.split() == ["fork", "forkserver"]
