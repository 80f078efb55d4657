"""A worker as its parent sees it: commands, answers, an end in every case."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from dlc.bench.frameworks import environment

_CODE = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
from dlc.bench.worker import main
main()
"""
_TAIL = 1200  # characters of standard error that an error shows


class WorkerError(Exception):
    """A worker could not do what it was asked, or ended."""


class Process:
    """A worker process; a context manager that ends it.

    Args:
        name: The framework.
        threads: How many threads it may use.
        cache: An existing folder for what the framework caches on disk.
        python: The interpreter.
        asked: Whether caches are wanted that are off by default.
        device: Where its programs run.
    """

    root = str(Path(__file__).parents[2])  # what workers import dlc from

    def __init__(
        self,
        name: str,
        threads: int,
        cache: str,
        *,
        python: str,
        asked: bool = False,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self.began = time.perf_counter()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - until `close`
        # Installed packages have their bytecode; that of a clone is there after its first process.
        variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        variables |= environment(name, threads, cache, asked=asked, device=device)
        try:
            self._process = subprocess.Popen(
                [python, "-c", _CODE, self.root, name, str(threads), cache, device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=variables,
                start_new_session=True,  # with what the framework starts, it ends as one
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            self._errors.close()
            raise WorkerError(f"{python}: {error.strerror or error}") from None
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """What the worker answers; raises WorkerError where it fails or has ended."""
        self.send(command, **arguments)
        return self.receive()

    def send(self, command: str, **arguments: Any) -> None:
        """Gives a command, without waiting; a worker that rested goes on."""
        self._continue()
        with contextlib.suppress(BrokenPipeError):  # `receive` says why
            stdin = _pipe(self._process.stdin)
            stdin.write(json.dumps({"do": command, **arguments}) + "\n")
            stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest command that has none."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            status = self._process.wait()
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            raise WorkerError(f"ended with {how}: {self._said()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def rest(self) -> None:
        """Stops the process until it is asked something: its threads take no time from others."""
        if hasattr(signal, "SIGSTOP") and self._process.poll() is None:
            self._signal(signal.SIGSTOP)
            self._stopped = True

    def close(self) -> None:
        """Ends the process."""
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                self._signal(signal.SIGKILL)
            else:
                self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._errors.close()

    def _continue(self) -> None:
        if self._stopped:
            self._signal(signal.SIGCONT)
            self._stopped = False

    def _signal(self, number: signal.Signals) -> None:
        """Signals the worker and the processes that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _said(self) -> str:
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return text[-_TAIL:] or "it said nothing"


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
