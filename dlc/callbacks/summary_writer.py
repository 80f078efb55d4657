"""`SummaryWriter`: event files that TensorBoard reads.

The format (records with checksums, and the messages in them) is that of the package tensorboardX,
of which only the parts without threads are used: what was flushed is in the file.
"""

from __future__ import annotations

import functools
import itertools
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from dlc.callbacks import graph_events
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.packages import needed

_counter = itertools.count()  # two files of one process and second have different names
_LAYOUTS = {2: "HW", 3: "CHW", 4: "NCHW"}


def _part(name: str) -> Any:
    return needed(f"tensorboardX.{name}", "an event file for TensorBoard", "train")


class SummaryWriter:
    """Writes scalars, histograms, images, text and graphs for TensorBoard, as PyTorch's class.

    Args:
        log_dir: The folder of the event file; `runs/TIME_HOST` by default.
        comment: What is added to the default folder's name.
        filename_suffix: What the file's name ends in.

    Raises:
        ArgumentError: where tensorboardX is not installed.

    Example:
        >>> with dlc.callbacks.SummaryWriter("logs") as writer:
        ...     writer.add_scalar("loss", 0.5, global_step=1)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        filename_suffix: str = "",
    ) -> None:
        if log_dir is None:
            now = time.strftime("%b%d_%H-%M-%S")
            log_dir = Path("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = os.fspath(log_dir)
        Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        suffix = f".{os.getpid()}.{next(_counter)}{filename_suffix}"
        self._messages, self._events = _part("summary"), _part("proto.event_pb2")
        prefix = os.path.join(self.log_dir, "events")
        self._file = _part("event_file_writer").EventsWriter(prefix, suffix)
        self._others: dict[str, SummaryWriter] = {}
        self._closed = False

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """A number at a step."""
        message = self._messages.scalar(tag, _number(tag, scalar_value))
        self._add(message, global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Several numbers in one chart, each in a folder of its own below `log_dir`."""
        for name, value in tag_scalar_dict.items():
            folder = f"{main_tag.replace('/', '_')}_{name}"
            if folder not in self._others:
                self._others[folder] = SummaryWriter(os.path.join(self.log_dir, folder))
            self._others[folder].add_scalar(main_tag, value, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
    ) -> None:
        """How often values occur; those that are not finite are left out.

        Args:
            tag: The name.
            values: An array of numbers of any shape.
            global_step: The step.
            bins: Limits, or what `numpy.histogram` takes; "tensorflow" for limits that grow by a
                tenth from one to the next.
            walltime: Seconds since 1970; now by default.
        """
        held = np.asarray(values).astype(np.float64).ravel()
        held = held[np.isfinite(held)]
        if not held.size:
            return
        limits: Any = _growing_limits() if isinstance(bins, str) and bins == "tensorflow" else bins
        self._add(self._messages.histogram(tag, held, limits), global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str | None = None,
    ) -> None:
        """An image, or several beside each other.

        Args:
            tag: The name.
            img_tensor: uint8, or floats from 0 to 1.
            global_step: The step.
            walltime: Seconds since 1970; now by default.
            dataformats: What the axes are: "CHW" of three, "HW" of two, "NCHW" of four by default;
                also "HWC" and "NHWC".

        Raises:
            ShapeError: for other numbers of axes, or of channels than 1, 3 and 4.
        """
        image = np.asarray(img_tensor)
        layout = dataformats or _LAYOUTS.get(image.ndim, "")
        if len(layout) != image.ndim or sorted(layout) not in (
            ["H", "W"], ["C", "H", "W"], ["C", "H", "N", "W"],
        ):  # fmt: skip
            raise ShapeError(f"add_image: shape {image.shape} as {layout or 'an image'!r}")
        if "C" in layout and image.shape[layout.index("C")] not in (1, 3, 4):
            raise ShapeError(
                f"add_image: {image.shape[layout.index('C')]} channels of shape {image.shape}",
                hint=f"1, 3 or 4 channels; the axes were taken as {layout}, see dataformats=",
            )
        if image.dtype != np.uint8:
            image = np.nan_to_num(image.astype(np.float32)).clip(0, 1)
        message = self._messages.image(tag, image, dataformats=layout)
        self._add(message, global_step, walltime)

    add_images = add_image

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """A figure of matplotlib, as an image."""
        canvas = needed("matplotlib.backends.backend_agg", "add_figure", "train")
        drawn = canvas.FigureCanvasAgg(figure)
        drawn.draw()
        self.add_image(tag, np.asarray(drawn.buffer_rgba()), global_step, walltime, "HWC")

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Text, which TensorBoard shows as Markdown."""
        self._add(self._messages.text(tag, text_string), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        run_name: str | None = None,
    ) -> None:
        """Adds the settings of a run with what came of it, for TensorBoard's table of runs.

        Args:
            hparam_dict: Numbers, texts and bools by name.
            metric_dict: Numbers by name, under which they are scalars of the run.
            run_name: The folder of the run within `log_dir`; the time for None.
        """
        run = SummaryWriter(Path(self.log_dir, run_name or str(time.time())))
        metrics = {k: float(v) for k, v in metric_dict.items()}
        settings = {k: v.item() if hasattr(v, "item") else v for k, v in hparam_dict.items()}
        with run:
            for summary in self._messages.hparams(settings, metrics):
                run._add(summary, None, None)
            for tag, value in metrics.items():
                run.add_scalar(tag, value)

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Adds a curve of precision and recall.

        Args:
            tag: Its name.
            labels: Whether each example is positive, [N].
            predictions: The probabilities of that, [N].
            global_step: The number of the step.
            num_thresholds: How many points the curve has.
            weights: What each example counts, [N].
            walltime: The time; now for None.
        """
        truth, found = np.asarray(labels).ravel(), np.asarray(predictions).ravel()
        if truth.shape != found.shape:
            raise ShapeError(
                f"add_pr_curve({tag!r}) of {truth.size} labels and {found.size} predictions"
            )
        count = None if weights is None else np.asarray(weights).ravel()
        curve = self._messages.pr_curve(tag, truth, found, num_thresholds, count)
        self._add(curve, global_step, walltime)

    def add_graph(self, model: Any, input_to_model: Any) -> None:
        """The operations of a model or function, grouped by the modules that they are from.

        Args:
            model: A module, or a function of tensors.
            input_to_model: Its argument, or a tuple of them: arrays, or types without data.
        """
        given = input_to_model if isinstance(input_to_model, tuple) else (input_to_model,)
        graph = graph_events.graph_of(model, given)
        event = self._events.Event(graph_def=graph.SerializeToString(), wall_time=time.time())
        self._file.write_event(event)

    def _add(self, summary: Any, step: int | None, walltime: float | None) -> None:
        if self._closed:
            raise ValueRangeError(f"the writer of {self.log_dir} is closed")
        when = time.time() if walltime is None else walltime
        event = self._events.Event(summary=summary, wall_time=when)
        if step is not None:
            event.step = int(step)
        self._file.write_event(event)

    def flush(self) -> None:
        """What was added is in the file when this returns."""
        if not self._closed:
            self._file.flush()
            for other in self._others.values():
                other.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        if not self._closed:
            self._file.close()
            for other in self._others.values():
                other.close()
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _number(tag: str, value: Any) -> float:
    held = np.asarray(value)
    if held.size != 1:
        raise ShapeError(f"the scalar {tag!r} has shape {held.shape}")
    return float(held.reshape(()))


@functools.cache
def _growing_limits() -> list[float]:
    """Limits that grow by a tenth, from 1e-12 to beyond 1e20, of both signs."""
    above = [1e-12 * 1.1**k for k in range(774)]
    return [*(-x for x in reversed(above)), 0.0, *above]
