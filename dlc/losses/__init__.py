"""Losses: classes with Keras's names, arguments and defaults, and functions of one sample's loss.

A loss is called with the true values and the predictions, `loss(y_true, y_pred, sample_weight)`,
and gives a scalar. `get` finds one by name.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.frontend.misuse import publish as _publish
from dlc.frontend.suggesting import suggesting as _suggesting
from dlc.losses.classes import BinaryCrossentropy as BinaryCrossentropy
from dlc.losses.classes import CategoricalCrossentropy as CategoricalCrossentropy
from dlc.losses.classes import CosineSimilarity as CosineSimilarity
from dlc.losses.classes import Huber as Huber
from dlc.losses.classes import KLDivergence as KLDivergence
from dlc.losses.classes import Loss as Loss
from dlc.losses.classes import MeanAbsoluteError as MeanAbsoluteError
from dlc.losses.classes import MeanSquaredError as MeanSquaredError
from dlc.losses.classes import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from dlc.losses.deviation_classes import CTC as CTC
from dlc.losses.deviation_classes import BinaryFocalCrossentropy as BinaryFocalCrossentropy
from dlc.losses.deviation_classes import (
    CategoricalFocalCrossentropy as CategoricalFocalCrossentropy,
)
from dlc.losses.deviation_classes import CategoricalHinge as CategoricalHinge
from dlc.losses.deviation_classes import Dice as Dice
from dlc.losses.deviation_classes import Hinge as Hinge
from dlc.losses.deviation_classes import LogCosh as LogCosh
from dlc.losses.deviation_classes import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from dlc.losses.deviation_classes import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from dlc.losses.deviation_classes import Poisson as Poisson
from dlc.losses.deviation_classes import SquaredHinge as SquaredHinge
from dlc.losses.deviation_classes import Tversky as Tversky
from dlc.losses.deviations import categorical_hinge as categorical_hinge
from dlc.losses.deviations import hinge as hinge
from dlc.losses.deviations import log_cosh as log_cosh
from dlc.losses.deviations import mean_absolute_percentage_error as mean_absolute_percentage_error
from dlc.losses.deviations import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from dlc.losses.deviations import poisson as poisson
from dlc.losses.deviations import squared_hinge as squared_hinge
from dlc.losses.focal import binary_focal_crossentropy as binary_focal_crossentropy
from dlc.losses.focal import categorical_focal_crossentropy as categorical_focal_crossentropy
from dlc.losses.functions import binary_crossentropy as binary_crossentropy
from dlc.losses.functions import categorical_crossentropy as categorical_crossentropy
from dlc.losses.functions import cosine_similarity as cosine_similarity
from dlc.losses.functions import huber as huber
from dlc.losses.functions import kl_divergence as kl_divergence
from dlc.losses.functions import mean_absolute_error as mean_absolute_error
from dlc.losses.functions import mean_squared_error as mean_squared_error
from dlc.losses.functions import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from dlc.losses.names import get as get
from dlc.losses.overlaps import dice as dice
from dlc.losses.overlaps import tversky as tversky
from dlc.losses.sequences import ctc as ctc

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
