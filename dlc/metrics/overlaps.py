"""Metrics of how far predicted classes cover true ones: intersection over union, as in Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import dlc
from dlc.frontend.apply import as_tensor
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.losses.classes import weighted
from dlc.metrics.metric import Metric, share


class IoU(Metric):
    """The mean, over some classes, of what is truly and predicted so over what is either.

    Args:
        num_classes: How many classes there are; other labels and predictions do not count.
        target_class_ids: The classes of the mean. Those that are neither do not count.
        name: The metric's name.
        ignore_class: A label that does not count.
        sparse_y_true: Whether labels are numbers of classes; else one-hot.
        sparse_y_pred: Whether predictions are; else the largest counts.
        axis: That of the classes where there is one.

    Raises:
        ValueRangeError: for classes that there are not.

    Example:
        >>> metric = dlc.metrics.IoU(num_classes=2, target_class_ids=[0])
        >>> metric([0, 0, 1, 1], [0, 1, 0, 1]).item()
        0.333...
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name)
        wrong = [k for k in target_class_ids if not 0 <= k < num_classes]
        if wrong or not len(target_class_ids):
            raise ValueRangeError(
                f"{type(self).__name__}(num_classes={num_classes}, "
                f"target_class_ids={list(target_class_ids)}): they are from 0 to below num_classes"
            )
        self.num_classes, self.target_class_ids = num_classes, list(target_class_ids)
        self.ignore_class, self.axis = ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        # Pixels are many: float32 has no odd numbers above 2**24.
        self.confusion = self.add_variable(np.zeros((num_classes, num_classes)), dlc.float64)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        true, pred = as_tensor(y_true), as_tensor(y_pred)
        true = true if self.sparse_y_true else dlc.argmax(true, axis=self.axis)
        pred = pred if self.sparse_y_pred else dlc.argmax(pred, axis=self.axis)
        if dlc.size(true) != dlc.size(pred):
            raise ShapeError(
                f"{self.name} of labels {true.tensor} and predictions {pred.tensor}: they must be "
                "as many"
            )
        true, pred = (dlc.astype(x, dlc.int64) for x in (true, pred))
        weights = dlc.ones_like(true, dtype=dlc.float64)
        if sample_weight is not None:
            weights = weighted(weights, sample_weight)[0]
        true, pred, weights = (x.reshape(-1) for x in (true, pred, weights))
        count = self.num_classes
        counts = (true >= 0) & (true < count) & (pred >= 0) & (pred < count)
        if self.ignore_class is not None:
            counts = counts & (true != self.ignore_class)
        place = dlc.where(counts, true * count + pred, count * count)
        found = dlc.bincount(place, weights=weights, length=count * count + 1)
        self.confusion.assign_add(found[:-1].reshape(count, count))

    def result(self) -> dlc.Tensor:
        """The mean; 0 where there is none of the classes."""
        matrix = self.confusion.value()
        both = dlc.diagonal(matrix)
        either = matrix.sum(axis=0) + matrix.sum(axis=1) - both
        places = dlc.asarray(self.target_class_ids)
        each, there = share(both, either)[places], dlc.astype(either[places] > 0, dlc.float64)
        return dlc.astype(share(each.sum(), there.sum()), dlc.float32)


class BinaryIoU(IoU):
    """`IoU` of labels 0 and 1, and of probabilities.

    Args:
        target_class_ids: The classes of the mean.
        threshold: Predictions of at least it stand for 1.
        name: The metric's name.

    Example:
        >>> dlc.metrics.BinaryIoU(target_class_ids=[1])([1, 1, 0], [0.9, 0.2, 0.1]).item()
        0.5
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
    ) -> None:
        super().__init__(2, target_class_ids, name)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        super().update_state(y_true, as_tensor(y_pred) >= self.threshold, sample_weight)


class MeanIoU(IoU):
    """`IoU` of all classes.

    Args:
        num_classes: How many there are.
        name: The metric's name.
        ignore_class, sparse_y_true, sparse_y_pred, axis: See `IoU`.

    Example:
        >>> dlc.metrics.MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]).item()
        0.333...
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, range(num_classes), name, ignore_class, sparse_y_true, sparse_y_pred, axis
        )


class OneHotIoU(IoU):
    """`IoU` of one-hot labels, and of a score for each class.

    Args:
        num_classes, target_class_ids, name, ignore_class: See `IoU`.
        sparse_y_pred: Whether predictions are numbers of classes.
        axis: That of the classes.

    Example:
        >>> metric = dlc.metrics.OneHotIoU(num_classes=2, target_class_ids=[1])
        >>> metric([[0, 1], [0, 1]], [[0.1, 0.9], [0.8, 0.2]]).item()
        0.5
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, target_class_ids, name, ignore_class, False, sparse_y_pred, axis
        )


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` of one-hot labels, and of a score for each class.

    Args:
        num_classes, name, ignore_class: See `IoU`.
        sparse_y_pred: Whether predictions are numbers of classes.
        axis: That of the classes.

    Example:
        >>> metric = dlc.metrics.OneHotMeanIoU(num_classes=2)
        >>> metric([[0, 1], [1, 0]], [[0.1, 0.9], [0.8, 0.2]]).item()
        1.0
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, ignore_class, False, sparse_y_pred, axis)
