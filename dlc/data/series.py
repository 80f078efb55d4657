"""Windows of a series as a dataset: `timeseries_dataset_from_array`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dlc.data.dataset import Dataset
from dlc.data.elements import as_array
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.integers import at_least


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Dataset[Any]:
    """The windows of a series, as `keras.utils.timeseries_dataset_from_array`.

    Args:
        data: The series [time, ...].
        targets: What belongs to the window that begins at each time, or None for windows alone.
        sequence_length: How many elements a window has.
        sequence_stride: How far windows begin apart.
        sampling_rate: How far the elements of a window are apart.
        batch_size: Windows of a batch; None for single ones.
        shuffle: Whether they are in another order in each epoch.
        seed: Of the orders.
        start_index: Where the part of the series begins that is used.
        end_index: Where it ends.

    Returns:
        A `Dataset` of windows [batch, sequence_length, ...], or of pairs of them and targets.

    Raises:
        ShapeError: `data` is no series.
        ValueRangeError: for a number that is less than 1, and a part that is not in the series.

    Example:
        >>> series = np.arange(6)
        >>> made = dlc.data.timeseries_dataset_from_array(series, series[3:], sequence_length=3)
        >>> next(iter(made))[0].tolist(), next(iter(made))[1].tolist()
        ([[0, 1, 2], [1, 2, 3], [2, 3, 4]], [3, 4, 5])
    """
    name = "timeseries_dataset_from_array"
    series = as_array(data)
    if series.ndim < 1:
        raise ShapeError(f"{name} of an array of no axes: it takes [time, ...]")
    length = at_least(sequence_length, 1, f"{name}: sequence_length")
    stride = at_least(sequence_stride, 1, f"{name}: sequence_stride")
    rate = at_least(sampling_rate, 1, f"{name}: sampling_rate")
    start = 0 if start_index is None else start_index
    end = len(series) if end_index is None else end_index
    if not 0 <= start < max(end, 1) <= max(len(series), 1):
        raise ValueRangeError(
            f"{name}(start_index={start_index}, end_index={end_index}): a part of a series of "
            f"{len(series)} elements"
        )
    reach = (length - 1) * rate
    count = end - start - reach
    goals = None if targets is None else as_array(targets)[start:end]
    if goals is not None:
        count = min(count, len(goals))
    if count < 1:
        raise ValueRangeError(
            f"{name}: windows over {reach + 1} elements of a part of {end - start}, with "
            f"{'no' if goals is None else len(goals)} targets: there is none"
        )
    begins = Dataset.from_tensor_slices(np.arange(0, count, stride))
    if shuffle:
        begins = begins.shuffle(count, seed=seed)
    if batch_size is not None:
        begins = begins.batch(batch_size)
    steps = np.arange(length) * rate
    return begins.map(partial(_windows, series[start:end], goals, steps))


def _windows(series: Any, goals: Any, steps: Any, begins: Any) -> Any:
    """The windows that begin at some places, and their targets."""
    at = np.asarray(begins)
    found = series[at[..., None] + steps]
    return found if goals is None else (found, goals[at])
