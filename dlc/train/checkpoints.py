"""`Checkpoint` and `CheckpointManager`: everything that training goes on from, in files.

checkpoint = dlc.train.Checkpoint(model=model, optimizer=optimizer)
manager = dlc.train.CheckpointManager(checkpoint, "run", max_to_keep=3)
position = manager.restore() or {"epoch": 0}
...
manager.save(epoch=epoch + 1)
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, FileFormatError, ValueRangeError
from dlc.train import checkpoint_file

_NAME = re.compile(r"checkpoint-(\d+)\.safetensors")
_UNFINISHED = re.compile(r"checkpoint-\d+\.safetensors\.[0-9a-f]+\.tmp")
_RANDOM = "random"


class Checkpoint:
    """Objects whose state is saved and restored as one, with the global random generator.

    Args:
        objects: By name: models, optimizers, metrics, variables, callbacks, and whatever has
            `state_dict()` and `load_state_dict(state)`, where a state is made of dicts, lists,
            numbers, text, None and tensors.

    Raises:
        ArgumentError: for an object that has no state.

    Example:
        >>> weight = dlc.Variable([1.0, 2.0])
        >>> checkpoint = dlc.train.Checkpoint(weight=weight)
        >>> checkpoint.save("/tmp/weight.safetensors", step=3)
        >>> weight.assign([0.0, 0.0]).numpy()
        array([0., 0.], dtype=float32)
        >>> checkpoint.restore("/tmp/weight.safetensors"), weight.numpy()
        ({'step': 3}, array([1., 2.], dtype=float32))
    """

    def __init__(self, **objects: Any) -> None:
        for name, held in objects.items():
            known = isinstance(held, dlc.Variable) or hasattr(held, "load_state_dict")
            if not known or name == _RANDOM:
                raise ArgumentError(
                    f"a checkpoint of {name!r}, a {type(held).__name__}",
                    hint="give models, optimizers, metrics, variables, or objects with "
                    f"state_dict() and load_state_dict(state); {_RANDOM!r} is always there",
                )
        self.objects = objects

    def state_dict(self) -> dict[str, Any]:
        """The state of all objects by name, and that of the global generator."""
        names = self._parameter_names()
        return {_RANDOM: dlc.random.get_state()} | {
            name: _state_of(held, names) for name, held in self.objects.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Gives all objects the state that `state_dict` gave.

        Raises:
            ValueRangeError: for a state of other objects, or one that does not fit one of them;
                all have what they had then.
        """
        wanted = [_RANDOM, *self.objects]
        if sorted(state) != sorted(wanted):
            raise ValueRangeError(
                f"a checkpoint of {', '.join(sorted(state))} for {', '.join(sorted(wanted))}"
            )
        by_name = {name: variable for variable, name in self._parameters()}
        for name, held in self.objects.items():
            _check_kind(name, held, state[name])
            if isinstance(held, dlc.optim.Optimizer):
                # Its state is made in the order in which parameters came; that order is kept.
                held.build(by_name[of] for of in state[name]["of"] if of in by_name)
        before, loaded = self.state_dict(), []
        try:
            for name, held in self.objects.items():
                _load(held, state[name])
                loaded.append(name)
            dlc.random.set_state(state[_RANDOM])
        except BaseException:
            for name in loaded:
                _load(self.objects[name], before[name])
            raise

    def save(self, path: str | os.PathLike[str], **position: Any) -> None:
        """Writes a file, which is there as a whole or not at all.

        Args:
            path: The file; it is a safetensors file.
            position: Numbers and the like that `restore` is to give back.

        Raises:
            SaveError: when it cannot be written.
        """
        checkpoint_file.write(path, {"position": position, "objects": self.state_dict()})

    def restore(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Gives all objects the state in a file; returns the position that was saved with it.

        Models must have been built: their parameters must be there.

        Raises:
            FileNotFoundError: when there is no such file.
            FileFormatError: for a file that is cut off or damaged, or no checkpoint.
            ValueRangeError: where it does not fit the objects.
        """
        return self.load_contents(checkpoint_file.read(path))

    def load_contents(self, contents: Mapping[str, Any]) -> dict[str, Any]:
        """Gives all objects the state of what was in a file; returns the position."""
        self.load_state_dict(contents["objects"])
        return contents["position"]

    def _parameters(self) -> list[tuple[dlc.Variable, str]]:
        """The parameters of models, with names by which optimizers' state is found again."""
        return [
            (variable, f"{name}.{path}")
            for name, held in self.objects.items()
            if isinstance(held, dlc.nn.Module)
            for path, variable in held.named_parameters()
        ]

    def _parameter_names(self) -> dict[int, str]:
        return {id(variable): name for variable, name in self._parameters()}


def _state_of(held: Any, names: Mapping[int, str]) -> Any:
    if isinstance(held, dlc.Variable):
        return {"value": held.data}
    state = dict(held.state_dict())
    if isinstance(held, dlc.optim.Optimizer):
        return {"of": [names.get(id(p)) for p in held.parameters], "state": state}
    return state


def _check_kind(name: str, held: Any, state: Any) -> None:
    """Whether a state is such as `_state_of` gives; ValueRangeError where it is not."""
    if isinstance(held, dlc.Variable):
        keys = {"value"}
    elif isinstance(held, dlc.optim.Optimizer):
        keys = {"of", "state"}
    else:
        return
    if not isinstance(state, Mapping) or set(state) != keys:
        raise ValueRangeError(f"what the checkpoint has as {name!r} is no {type(held).__name__}")


def _load(held: Any, state: Any) -> None:
    if isinstance(held, dlc.Variable):
        held.assign(state["value"])
    else:
        held.load_state_dict(state["state"] if isinstance(held, dlc.optim.Optimizer) else state)


class CheckpointManager:
    """Checkpoints in a folder, the oldest of which are removed.

    A process that is killed at any moment, also while it writes, leaves what it had written
    before. One manager at a time writes to a folder.

    Args:
        checkpoint: What is saved.
        directory: The folder; it is made if need be.
        max_to_keep: How many checkpoints are kept.

    Raises:
        ValueRangeError: for `max_to_keep` less than 1.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        directory: str | os.PathLike[str],
        max_to_keep: int = 3,
    ) -> None:
        if max_to_keep < 1:
            raise ValueRangeError(f"max_to_keep={max_to_keep}: at least one checkpoint is kept")
        self.checkpoint, self.directory = checkpoint, Path(directory)
        self.max_to_keep = max_to_keep

    @property
    def checkpoints(self) -> list[Path]:
        """The files, from the oldest on."""
        found: list[tuple[int, Path]] = []
        if self.directory.is_dir():
            for path in self.directory.iterdir():
                match = _NAME.fullmatch(path.name)
                if match is not None:
                    found.append((int(match[1]), path))
        return [path for _, path in sorted(found)]

    @property
    def latest_checkpoint(self) -> Path | None:
        """The newest file; None where there is none."""
        return (self.checkpoints or [None])[-1]

    def save(self, **position: Any) -> Path:
        """Writes a checkpoint, then removes the oldest; returns the file.

        Args:
            position: Numbers and the like that `restore` is to give back.

        Raises:
            SaveError: when it cannot be written; those before are still there.
        """
        before = self.checkpoints
        match = _NAME.fullmatch(before[-1].name) if before else None
        number = 1 if match is None else int(match[1]) + 1
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"checkpoint-{number:08d}.safetensors"
        self._checkpoint().save(path, **position)
        for old in self.checkpoints[: -self.max_to_keep]:
            old.unlink()
        self._remove_unfinished()
        return path

    def restore(self) -> dict[str, Any] | None:
        """Restores the newest checkpoint that is whole; returns its position.

        Returns:
            What `save` was given; None where there are no checkpoints.

        Raises:
            FileFormatError: when there are checkpoints, and all are damaged.
            ValueRangeError: where it does not fit the objects.
        """
        contents = self.read()
        return None if contents is None else self._checkpoint().load_contents(contents)

    def read(self) -> dict[str, Any] | None:
        """What is in the newest checkpoint that is whole; None where there are none.

        A warning names those that are damaged; they are renamed, and so leave the rotation.
        """
        found = self.checkpoints
        problems: list[str] = []
        for path in reversed(found):
            try:
                contents = checkpoint_file.read(path)
            except FileFormatError as error:
                problems.append(error.message)
                continue
            for message, damaged in zip(problems, reversed(found), strict=False):
                warnings.warn(f"{message}; the checkpoint before it is used", stacklevel=3)
                damaged.replace(damaged.with_name(f"{damaged.name}.damaged"))
            return contents
        if problems:
            raise FileFormatError(
                "no checkpoint is whole:\n  " + "\n  ".join(problems),
                hint=f"remove them from {str(self.directory)!r} to begin anew",
            )
        return None

    def delete(self) -> None:
        """Removes all checkpoints; the folder too, if nothing else is in it."""
        for path in self.checkpoints:
            path.unlink()
        self._remove_unfinished()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def _checkpoint(self) -> Checkpoint:
        if self.checkpoint is None:
            raise ArgumentError("the manager has no checkpoint yet")
        return self.checkpoint

    def _remove_unfinished(self) -> None:
        """Removes what processes that were killed while writing have left."""
        if self.directory.is_dir():
            for path in self.directory.iterdir():
                if _UNFINISHED.fullmatch(path.name):
                    path.unlink(missing_ok=True)
