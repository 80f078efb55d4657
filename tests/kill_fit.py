"""Kills a fit at random instants (`kill -9`), begins it again, and compares with an unbroken one.

    python tests/kill_fit.py [--kills 20] [--seed 0]

Each kill comes after a random time, or in the middle of a write: with part of a file written,
before its bytes are forced to the disk, before or after it gets its name, before an old one goes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import dlc
from dlc import callbacks, losses, nn, optim
from dlc.train import checkpoint_file

WRITING = ("write", "fsync", "replace", "replaced", "unlink")
EPOCHS = 12


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Truncated:
    """A file of which only a part is written."""

    def __init__(self, file: Any, share: float) -> None:
        self.file, self.share = file, share

    def write(self, content: bytes) -> NoReturn:
        self.file.write(content[: int(len(content) * self.share)])
        self.file.flush()
        die()


def set_trap(kind: str, rng: random.Random, seconds: float) -> None:
    """Lets this process kill itself, at a time or at some event of a write."""
    left = rng.randrange(1, 12)

    def now() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def before(holder: Any, name: str, after: bool = False) -> None:
        original = getattr(holder, name)

        def trap(*args: Any, **kwargs: Any) -> Any:
            last = now()
            if last and not after:
                die()
            result = original(*args, **kwargs)
            return die() if last else result

        setattr(holder, name, trap)

    if kind == "time":
        delay = rng.uniform(0, seconds)
        threading.Thread(target=lambda: (time.sleep(delay), die()), daemon=True).start()
    elif kind == "write":
        original, share = checkpoint_file.write_whole, rng.random()

        def write(path: Any, fill: Any) -> None:
            last = now()
            original(path, lambda file: fill(Truncated(file, share) if last else file))

        checkpoint_file.write_whole = write
    elif kind == "unlink":
        before(Path, "unlink")
    else:
        before(os, "fsync" if kind == "fsync" else "replace", after=kind == "replaced")


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((90, 4)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] > 0).astype(np.int64) + (x[:, 2] > 1)


Kill = tuple[str, int, float]  # its kind, a seed, and the seconds that a fit takes


def train(folder: Path, kill: Kill | None, save_freq: Any) -> dict[str, Any]:
    """The fit, which may be one that goes on; what it ends with."""
    x, y = data()
    dlc.random.seed(1)
    model = nn.Sequential(
        nn.Dense(16, activation="relu"), nn.Dropout(0.3), nn.LayerNorm(16), nn.Dense(3)
    )
    rate = optim.schedules.ExponentialDecay(0.02, 10, 0.9)
    settings: dict[str, Any] = {"use_ema": True, "ema_momentum": 0.9, "global_clipnorm": 1.0}
    optimizer = optim.Adam(learning_rate=rate, gradient_accumulation_steps=2, **settings)
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    start = time.perf_counter()
    trap = callbacks.LambdaCallback(
        on_train_begin=lambda _: None if kill is None else set_trap(*_args(kill))
    )
    history = model.fit(
        x, y, batch_size=10, epochs=EPOCHS, validation_split=0.2, verbose=0,
        callbacks=[
            callbacks.BackupAndRestore(folder / "backup", save_freq, delete_checkpoint=False),
            callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True),
            callbacks.CSVLogger(folder / "log.csv"),
            trap,
        ],
    )  # fmt: skip
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(name.encode() + value.numpy().tobytes())
    return {
        "weights": total.hexdigest(),
        "history": history.history,
        "epochs": history.epoch,
        "log": (folder / "log.csv").read_text(),
        "random": dlc.random.get_state(),
        "seconds": time.perf_counter() - start,
    }


def _args(kill: Kill) -> tuple[str, random.Random, float]:
    return kill[0], random.Random(kill[1]), kill[2]


def child(folder: Path, save_freq: Any, kill: Kill | None = None) -> dict[str, Any] | None:
    """What a process of its own ends with; None when it was killed."""
    command = [sys.executable, __file__, "--folder", str(folder), "--every", json.dumps(save_freq)]
    if kill is not None:
        command += ["--kill", json.dumps(kill)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(kills: int, seed: int) -> list[str]:
    """Compares so many killed runs with one that was not; what each was like."""
    rng = random.Random(seed)
    said: list[str] = []
    with tempfile.TemporaryDirectory() as base:
        unbroken = child(_made(base, "unbroken"), 3)
        assert unbroken is not None
        seconds = unbroken.pop("seconds")
        for k in range(kills):
            kind = WRITING[k // 2 % len(WRITING)] if k % 2 else "time"
            every = rng.choice([1, 3, 5, 8, "epoch"])
            found: Any = unbroken
            for attempt in range(20):  # a fit may have ended before it was to be killed
                folder = _made(base, f"{k}-{attempt}")
                kill = kind, rng.randrange(1 << 30), seconds * 0.7**attempt
                found = child(folder, every, kill)
                if found is None:
                    break
            assert found is None
            left = sorted(p.name for p in folder.rglob("checkpoint*"))
            found = child(folder, every)
            assert found is not None
            found.pop("seconds")
            assert found == unbroken, (kind, every, found, unbroken)
            names = ", ".join(left) or "nothing"
            said.append(f"{kind}, a checkpoint every {every}: killed, leaving {names}")
    return said


def _made(base: str, name: str) -> Path:
    folder = Path(base) / name
    folder.mkdir()
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--kill", type=json.loads)
    parser.add_argument("--every", type=json.loads)
    given = parser.parse_args()
    if given.folder is not None:
        print(json.dumps(train(given.folder, given.kill, given.every)))
        return
    print(*check(given.kills, given.seed), sep="\n")


if __name__ == "__main__":
    main()
