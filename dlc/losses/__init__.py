"""Losses: classes with Keras's names, arguments and defaults, and functions of one sample's loss.

A loss is called with the true values and the predictions, `loss(y_true, y_pred, sample_weight)`,
and gives a scalar. `get` finds one by name.
"""

from dlc.losses.classes import BinaryCrossentropy as BinaryCrossentropy
from dlc.losses.classes import CategoricalCrossentropy as CategoricalCrossentropy
from dlc.losses.classes import CosineSimilarity as CosineSimilarity
from dlc.losses.classes import Huber as Huber
from dlc.losses.classes import KLDivergence as KLDivergence
from dlc.losses.classes import Loss as Loss
from dlc.losses.classes import MeanAbsoluteError as MeanAbsoluteError
from dlc.losses.classes import MeanSquaredError as MeanSquaredError
from dlc.losses.classes import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from dlc.losses.classes import get as get
from dlc.losses.functions import binary_crossentropy as binary_crossentropy
from dlc.losses.functions import categorical_crossentropy as categorical_crossentropy
from dlc.losses.functions import cosine_similarity as cosine_similarity
from dlc.losses.functions import huber as huber
from dlc.losses.functions import kl_divergence as kl_divergence
from dlc.losses.functions import mean_absolute_error as mean_absolute_error
from dlc.losses.functions import mean_squared_error as mean_squared_error
from dlc.losses.functions import sparse_categorical_crossentropy as sparse_categorical_crossentropy
