"""Metrics that are means of losses, with Keras's names and arguments."""

from __future__ import annotations

import functools

from dlc.losses import deviations, functions
from dlc.metrics.metric import MeanOfLoss


class MeanAbsolutePercentageError(MeanOfLoss):
    """The mean of `dlc.losses.mean_absolute_percentage_error`."""

    def __init__(self, name: str = "mean_absolute_percentage_error") -> None:
        super().__init__(deviations.mean_absolute_percentage_error, name)


class MeanSquaredLogarithmicError(MeanOfLoss):
    """The mean of `dlc.losses.mean_squared_logarithmic_error`."""

    def __init__(self, name: str = "mean_squared_logarithmic_error") -> None:
        super().__init__(deviations.mean_squared_logarithmic_error, name)


class LogCoshError(MeanOfLoss):
    """The mean of `dlc.losses.log_cosh`."""

    def __init__(self, name: str = "logcosh") -> None:
        super().__init__(deviations.log_cosh, name)


class Poisson(MeanOfLoss):
    """The mean of `dlc.losses.poisson`."""

    def __init__(self, name: str = "poisson") -> None:
        super().__init__(deviations.poisson, name)


class Hinge(MeanOfLoss):
    """The mean of `dlc.losses.hinge`."""

    def __init__(self, name: str = "hinge") -> None:
        super().__init__(deviations.hinge, name)


class SquaredHinge(MeanOfLoss):
    """The mean of `dlc.losses.squared_hinge`."""

    def __init__(self, name: str = "squared_hinge") -> None:
        super().__init__(deviations.squared_hinge, name)


class CategoricalHinge(MeanOfLoss):
    """The mean of `dlc.losses.categorical_hinge`."""

    def __init__(self, name: str = "categorical_hinge") -> None:
        super().__init__(deviations.categorical_hinge, name)


class KLDivergence(MeanOfLoss):
    """The mean of `dlc.losses.kl_divergence`."""

    def __init__(self, name: str = "kl_divergence") -> None:
        super().__init__(functions.kl_divergence, name)


class CosineSimilarity(MeanOfLoss):
    """The mean cosine of the angle between true values and predictions along an axis."""

    def __init__(self, name: str = "cosine_similarity", axis: int = -1) -> None:
        super().__init__(functools.partial(functions.cosine_similarity, axis=axis), name)


class BinaryCrossentropy(MeanOfLoss):
    """The mean of `dlc.losses.binary_crossentropy` over samples.

    Args:
        name: The metric's name.
        from_logits: Whether predictions are logits, not probabilities.
        label_smoothing: How far labels are moved towards 0.5.

    Example:
        >>> dlc.metrics.BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]).item()
        0.693...
    """

    def __init__(
        self,
        name: str = "binary_crossentropy",
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        settings = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(functools.partial(functions.binary_crossentropy, **settings), name)


class CategoricalCrossentropy(MeanOfLoss):
    """The mean of `dlc.losses.categorical_crossentropy` over samples.

    Args:
        name: The metric's name.
        from_logits: Whether predictions are logits, not probabilities.
        label_smoothing: Which share of a label is spread evenly over all classes.
        axis: The axis of the classes.

    Example:
        >>> dlc.metrics.CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item()
        0.693...
    """

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        settings = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(functools.partial(functions.categorical_crossentropy, **settings), name)


class SparseCategoricalCrossentropy(MeanOfLoss):
    """The mean of `dlc.losses.sparse_categorical_crossentropy` over samples.

    Args:
        name: The metric's name.
        from_logits: Whether predictions are logits, not probabilities.
        axis: The axis of the classes.

    Example:
        >>> dlc.metrics.SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item()
        0.693...
    """

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        from_logits: bool = False,
        axis: int = -1,
    ) -> None:
        found = functools.partial(
            functions.sparse_categorical_crossentropy, from_logits=from_logits, axis=axis
        )
        super().__init__(found, name)
