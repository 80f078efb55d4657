"""`TensorBoard`: what happens in training, for TensorBoard to show."""

from __future__ import annotations

import os
import time
from typing import Any, Literal

import numpy as np

import dlc
from dlc.callbacks.base import Callback, Logs
from dlc.callbacks.summary_writer import SummaryWriter
from dlc.ir.errors import ValueRangeError


class TensorBoard(Callback):
    """Writes event files that TensorBoard reads: `tensorboard --logdir logs`.

    Losses and metrics are `epoch_NAME` at the number of the epoch, of training in the folder
    `train` and of validation in `validation`, where there is also `evaluation_NAME_vs_iterations`;
    with `update_freq`, `batch_NAME` at the number of the step. Weights are `PATH/histogram` and
    `PATH/image`. The names are Keras's.

    Args:
        log_dir: The folder.
        histogram_freq: Epochs between histograms of weights; 0 for none.
        write_graph: Whether the model's operations and the table of its layers are written, after
            the first epoch.
        write_images: Whether weights are also written as images, with the histograms.
        write_steps_per_second: Whether the rate is written.
        update_freq: "epoch", "batch", or a number of steps between numbers of batches.
        profile_batch: Must be 0: `dlc profile` says more.
        embeddings_freq: Must be 0.

    Raises:
        ArgumentError: where tensorboardX is not installed.
        ValueRangeError: for settings other than these.
    """

    kept = ("_steps",)

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Literal["batch", "epoch"] | int = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
    ) -> None:
        super().__init__()
        if profile_batch or embeddings_freq:
            name = "profile_batch" if profile_batch else "embeddings_freq"
            hint = "`dlc profile` times kernels" if profile_batch else None
            raise ValueRangeError(f"TensorBoard({name}=...): only 0", hint=hint)
        every = {"epoch": 0, "batch": 1}.get(str(update_freq), update_freq)
        if not isinstance(every, int) or every < 0 or update_freq == 0:
            raise ValueRangeError(
                f'TensorBoard(update_freq={update_freq!r}): "epoch", "batch" or a number of steps'
            )
        self.log_dir, self.histogram_freq = os.fspath(log_dir), histogram_freq
        self.write_graph, self.write_images = write_graph, write_images
        self.write_steps_per_second, self.update_freq = write_steps_per_second, every
        self._writers: dict[str, SummaryWriter] = {}
        self._graph_due = write_graph
        self._training = False
        self._steps = self._epoch_steps = 0
        self._epoch_began = self._batch_began = 0.0

    def writer(self, name: Literal["train", "validation"] = "train") -> SummaryWriter:
        """The writer of a folder, for what else you want to add."""
        if name not in self._writers:
            self._writers[name] = SummaryWriter(os.path.join(self.log_dir, name))
        return self._writers[name]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begins to count steps where the optimizer is."""
        self._training = True
        self._graph_due = self.write_graph
        self._steps = int(self.model.optimizer.iterations.item())
        self.writer()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Closes the files."""
        self._training = False
        self._close()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Looks at the clock."""
        self._epoch_began, self._epoch_steps = time.perf_counter(), self._steps

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Looks at the clock."""
        self._batch_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Writes the numbers of a batch, with `update_freq`."""
        before = self._steps
        self._steps += self._steps_done(batch)
        if not self.update_freq or self._steps // self.update_freq == before // self.update_freq:
            return
        writer = self.writer()
        for name, value in (logs or {}).items():
            writer.add_scalar(f"batch_{name}", value, self._steps)
        if self.write_steps_per_second:
            rate = (self._steps - before) / max(time.perf_counter() - self._batch_began, 1e-9)
            writer.add_scalar("batch_steps_per_second", rate, self._steps)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Writes the numbers of an evaluation at the number of the step."""
        writer, step = self.writer("validation"), int(self.model.optimizer.iterations.item())
        for name, value in (logs or {}).items():
            writer.add_scalar(f"evaluation_{name}_vs_iterations", value, step)
        if not self._training:
            self._close()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the numbers of the epoch, and the weights when it is their turn."""
        held = dict(logs or {})
        held["learning_rate"] = self.model.optimizer.learning_rate
        if self.write_steps_per_second:
            seconds = time.perf_counter() - self._epoch_began
            held["steps_per_second"] = (self._steps - self._epoch_steps) / max(seconds, 1e-9)
        for name, value in held.items():
            tested = name.startswith("val_")
            writer = self.writer("validation" if tested else "train")
            writer.add_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self._graph_due:
            self._write_graph()
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        for writer in self._writers.values():
            writer.flush()

    def _write_graph(self) -> None:
        self._graph_due = False
        types = self.model.input_types
        if types is None:
            return
        self.writer().add_graph(self.model, types)
        table = self.model.summary_text(types)
        self.writer().add_text("model/summary", f"```\n{table}\n```", 0)

    def _write_weights(self, epoch: int) -> None:
        writer = self.writer()
        for path, variable in self.model.named_parameters():
            name, values = path.replace(".", "/"), np.asarray(variable.data)
            writer.add_histogram(f"{name}/histogram", values, epoch)
            image = _as_image(values) if self.write_images else None
            if image is not None:
                writer.add_image(f"{name}/image", image, epoch)

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def _as_image(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Weights as one image: matrices as they are, filters beside each other, from 0 to 1."""
    held = np.asarray(dlc.asarray(values).astype(dlc.float32)).squeeze()
    finite = held[np.isfinite(held)]
    if not finite.size:
        return None
    low, high = finite.min(), finite.max()
    held = (np.nan_to_num(held, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-12)
    if held.ndim < 2:
        return held.reshape(1, -1)
    if held.ndim == 2:
        return held.T if held.shape[0] > held.shape[1] else held
    tiles = held.reshape(-1, *held.shape[-2:])
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    padded = np.zeros((rows * columns, *tiles.shape[1:]), np.float32)
    padded[: len(tiles)] = tiles
    grid = padded.reshape(rows, columns, *tiles.shape[1:]).swapaxes(1, 2)
    return grid.reshape(rows * tiles.shape[1], columns * tiles.shape[2])
