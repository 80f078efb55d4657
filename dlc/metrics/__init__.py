"""Metrics: what is measured over many batches, with Keras's names, arguments and defaults.

A metric has state in variables, so that compiled steps update it: `update_state(y_true, y_pred,
sample_weight)` adds a batch, `result()` gives the value so far, `reset_state()` begins again,
`merge_state([others])` adds what others of its kind have seen. `get` finds one by name.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.frontend.misuse import publish as _publish
from dlc.frontend.suggesting import suggesting as _suggesting
from dlc.metrics.accuracy import Accuracy as Accuracy
from dlc.metrics.accuracy import BinaryAccuracy as BinaryAccuracy
from dlc.metrics.accuracy import CategoricalAccuracy as CategoricalAccuracy
from dlc.metrics.accuracy import SparseCategoricalAccuracy as SparseCategoricalAccuracy
from dlc.metrics.accuracy import (
    SparseTopKCategoricalAccuracy as SparseTopKCategoricalAccuracy,
)
from dlc.metrics.accuracy import TopKCategoricalAccuracy as TopKCategoricalAccuracy
from dlc.metrics.confusion import AUC as AUC
from dlc.metrics.confusion import FalseNegatives as FalseNegatives
from dlc.metrics.confusion import FalsePositives as FalsePositives
from dlc.metrics.confusion import Precision as Precision
from dlc.metrics.confusion import PrecisionAtRecall as PrecisionAtRecall
from dlc.metrics.confusion import Recall as Recall
from dlc.metrics.confusion import RecallAtPrecision as RecallAtPrecision
from dlc.metrics.confusion import SensitivityAtSpecificity as SensitivityAtSpecificity
from dlc.metrics.confusion import SpecificityAtSensitivity as SpecificityAtSensitivity
from dlc.metrics.confusion import TrueNegatives as TrueNegatives
from dlc.metrics.confusion import TruePositives as TruePositives
from dlc.metrics.correlations import ConcordanceCorrelation as ConcordanceCorrelation
from dlc.metrics.correlations import PearsonCorrelation as PearsonCorrelation
from dlc.metrics.metric import Mean as Mean
from dlc.metrics.metric import MeanAbsoluteError as MeanAbsoluteError
from dlc.metrics.metric import MeanOf as MeanOf
from dlc.metrics.metric import MeanSquaredError as MeanSquaredError
from dlc.metrics.metric import Metric as Metric
from dlc.metrics.metric import RootMeanSquaredError as RootMeanSquaredError
from dlc.metrics.metric import Sum as Sum
from dlc.metrics.names import get as get
from dlc.metrics.of_losses import BinaryCrossentropy as BinaryCrossentropy
from dlc.metrics.of_losses import CategoricalCrossentropy as CategoricalCrossentropy
from dlc.metrics.of_losses import CategoricalHinge as CategoricalHinge
from dlc.metrics.of_losses import CosineSimilarity as CosineSimilarity
from dlc.metrics.of_losses import Hinge as Hinge
from dlc.metrics.of_losses import KLDivergence as KLDivergence
from dlc.metrics.of_losses import LogCoshError as LogCoshError
from dlc.metrics.of_losses import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from dlc.metrics.of_losses import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from dlc.metrics.of_losses import Poisson as Poisson
from dlc.metrics.of_losses import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from dlc.metrics.of_losses import SquaredHinge as SquaredHinge
from dlc.metrics.overlaps import BinaryIoU as BinaryIoU
from dlc.metrics.overlaps import IoU as IoU
from dlc.metrics.overlaps import MeanIoU as MeanIoU
from dlc.metrics.overlaps import OneHotIoU as OneHotIoU
from dlc.metrics.overlaps import OneHotMeanIoU as OneHotMeanIoU
from dlc.metrics.scores import F1Score as F1Score
from dlc.metrics.scores import FBetaScore as FBetaScore
from dlc.metrics.scores import R2Score as R2Score

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
